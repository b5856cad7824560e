"""The rule of comparison: which configuration each one is compared with, and why one is compared with none.

A baseline may leave parameters open (``training: sft`` in a sweep over systems too); then several configurations are
meant. They are told apart by the parameters in which they differ from each other, and each other configuration is
compared with the one that has its values in those. One configuration that is meant is compared with all others.
Planning, the criterion, the table of verdicts and the second look ask here and nowhere else.
"""

from collections.abc import Mapping, Sequence

from hpc.core.experiment.grid import CASE, Combination
from hpc.core.experiment.spec import Value
from hpc.core.experiment.values import is_single, render_value, value_key


def agrees(one: Combination, chosen: Mapping[str, Value]) -> bool:
    """Whether a configuration has all the values that are chosen; absent is no value.

    A list or mapping may be chosen by its JSON text, too: a criterion knows no other way to write one.
    """
    return all(name in one and _is_meant(one[name], value) for name, value in chosen.items())


def _is_meant(value: Value, chosen: Value) -> bool:
    same = value_key(value) == value_key(chosen)
    return same or (isinstance(chosen, str) and not is_single(value) and render_value(value) == chosen)


def counterparts(combinations: Sequence[Combination], chosen: Mapping[str, Value]) -> dict[int, int]:
    """Find for each configuration the one that is meant by `chosen` beside it: place → place.

    A configuration that is meant itself is its own counterpart. One that has no counterpart is left out; `uncompared`
    says why.
    """
    meant = [place for place, one in enumerate(combinations) if agrees(one, chosen)]
    apart = varying_names([combinations[place] for place in meant])
    by_values = {values_of(combinations[place], apart): place for place in meant}
    found = {place: by_values.get(values_of(one, apart)) for place, one in enumerate(combinations)}
    return {place: other for place, other in found.items() if other is not None}


def counterpart(combinations: Sequence[Combination], chosen: Mapping[str, Value], place: int) -> int | None:
    """Find the counterpart of one configuration, as `counterparts`; None where it has none."""
    meant = [other for other, one in enumerate(combinations) if agrees(one, chosen)]
    apart = varying_names([combinations[other] for other in meant])
    by_values = {values_of(combinations[other], apart): other for other in meant}
    return by_values.get(values_of(combinations[place], apart))


def uncompared(combinations: Sequence[Combination], chosen: Mapping[str, Value]) -> dict[int, str]:
    """Say why configurations have no counterpart: place → ``no configuration with training=sft has system=C``."""
    compared = counterparts(combinations, chosen)
    apart = varying_names([one for one in combinations if agrees(one, chosen)])
    return {
        place: f"no configuration with {_written(chosen)} has {_written({name: one.get(name) for name in apart})}"
        if apart
        else f"no configuration has {_written(chosen)}"
        for place, one in enumerate(combinations)
        if place not in compared
    }


def changed_beside(combinations: Sequence[Combination], chosen: Mapping[str, Value]) -> dict[int, tuple[str, ...]]:
    """Name the parameters in which a configuration differs from its counterpart although `chosen` leaves them open.

    What a named case sets belongs to the case, and is not listed beside it.
    """
    skipped = {*chosen, *(names_set_by_case(combinations) if CASE in chosen else ())}
    found = {
        place: tuple(name for name in varying_names([combinations[place], combinations[other]]) if name not in skipped)
        for place, other in counterparts(combinations, chosen).items()
    }
    return {place: names for place, names in found.items() if names}


def names_set_by_case(combinations: Sequence[Combination]) -> tuple[str, ...]:
    """Name the parameters of which each case has one value only; none where there are no cases."""
    names = dict.fromkeys(name for one in combinations for name in one if name != CASE)
    cases = {values_of(one, (CASE,)) for one in combinations if CASE in one}
    return tuple(
        name for name in names if cases and len({values_of(one, (CASE, name)) for one in combinations}) == len(cases)
    )


def varying_names(found: Sequence[Combination]) -> tuple[str, ...]:
    """Name the parameters in which some configurations differ; absent is a value of its own."""
    names = dict.fromkeys(name for one in found for name in one)
    return tuple(name for name in names if _varies(found, (name,)))


def _varies(found: Sequence[Combination], names: Sequence[str]) -> bool:
    """Whether some configurations differ in these; of ten thousand, the second mostly tells."""
    seen = set()
    for one in found:
        seen.add(values_of(one, names))
        if len(seen) > 1:
            return True
    return False


def values_of(one: Combination, names: Sequence[str]) -> tuple[object, ...]:
    """Return the values of some parameters as a key; None where one is absent."""
    return tuple(value_key(one[name]) if name in one else None for name in names)


def _written(chosen: Mapping[str, Value]) -> str:
    return ", ".join(f"{name}={'nothing' if value is None else render_value(value)}" for name, value in chosen.items())
