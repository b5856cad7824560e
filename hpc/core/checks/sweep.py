"""The sweep in itself: lists of equal length, nothing twice, conditions that can be computed; then its combinations."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpc.core.checks.draft import Finding
from hpc.core.checks.wording import combination_key, described, repeated, shown
from hpc.core.errors import nearest
from hpc.core.experiment.grid import CASE, MAX_TASKS, Combination, combination_count, combinations, parameter_names
from hpc.core.experiment.spec import Sweep


def check_sweep(sweep: Sweep) -> Iterator[Finding]:
    """Find what is wrong with a sweep before it is expanded."""
    yield from _check_zip(sweep)
    yield from _check_repeats(sweep)
    yield from _check_cases(sweep)
    count = combination_count(sweep) * len(sweep.seeds)
    if count > MAX_TASKS:
        yield Finding(("sweep",), f"asks for {count:,} tasks; {MAX_TASKS:,} are allowed. Split it, or draw a `sample`")


def _check_zip(sweep: Sweep) -> Iterator[Finding]:
    lengths = {name: len(values) for name, values in sweep.zipped.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        yield Finding(("sweep", "zip"), f"needs lists of equal length, because they are taken side by side: {listed}")


def _check_repeats(sweep: Sweep) -> Iterator[Finding]:
    for name, values in sweep.grid.items():
        for value in repeated(values):
            yield Finding(("sweep", "grid", name), f"holds {shown(value)} twice; keep one")
    for seed in repeated(sweep.seeds):
        yield Finding(("sweep", "seeds"), f"holds {seed} twice; keep one")
    for seed in repeated((*dict.fromkeys(sweep.seeds), *sweep.further_seeds)):
        yield Finding(("sweep", "further_seeds"), f"holds {seed}, which is already asked for; keep it in one place")
    homes = {"grid": sweep.grid, "zip": sweep.zipped, "cases": swept_in(sweep.cases), "sample": swept_in(sweep.points)}
    owner: dict[str, str] = {}
    for home, names in homes.items():
        for name in names:
            if name in owner:
                yield Finding(
                    ("sweep", home, name), f"'{name}' is swept twice, in {owner[name]} and in {home}; keep one"
                )
            owner.setdefault(name, home)


def _check_cases(sweep: Sweep) -> Iterator[Finding]:
    ids = [str(case["id"]) for case in sweep.cases]
    for name in repeated(ids):
        yield Finding(("sweep", "cases"), f"two cases have the id '{name}'")
    seen: dict[Any, str] = {}
    for case in sweep.cases:
        key = combination_key({name: value for name, value in case.items() if name != "id"})
        first = seen.setdefault(key, str(case["id"]))
        if first != case["id"]:
            yield Finding(
                ("sweep", "cases"),
                f"'{first}' and '{case['id']}' have the same parameters, which must tell cases apart",
            )


def expand(sweep: Sweep) -> tuple[tuple[Combination, ...] | None, list[Finding]]:
    """Return the sweep's combinations, None where there are none that could be run; and what is wrong with it."""
    if wrong := list(_check_when(sweep)):
        return None, wrong
    try:
        grid = tuple(combinations(sweep))
    except ValueError as error:
        return None, [Finding(("sweep", "where"), str(error))]
    if not grid:
        count = combination_count(sweep)
        return None, [
            Finding(("sweep", "where"), f"'{sweep.where}' leaves out all {count} combinations, so nothing would run")
        ]
    is_product = not (sweep.zipped or sweep.points or sweep.cases or sweep.when)  # of lists without repeats
    double = None if is_product else _repeated_combination(grid)
    if double:
        return None, [Finding(("sweep",), f"gives the same parameters twice: {described(double)}")]
    return grid, []


def _check_when(sweep: Sweep) -> Iterator[Finding]:
    """Find conditions of parameters that are not swept, or that cannot be computed."""
    names = parameter_names(sweep)
    for name, text in sweep.when.items():
        path = ("sweep", "when", name)
        if name not in names:
            yield Finding(path, f"'{name}' is not swept; {nearest(name, names)}")
            continue
        try:
            held = [one for one in combinations(replace(sweep, where="", when={name: text})) if name in one]
        except ValueError as error:
            yield Finding(path, str(error))
            continue
        if not held:
            yield Finding(path, f"'{text}' is never true, so '{name}' would never be used; leave the parameter out")


def _repeated_combination(grid: Sequence[Combination]) -> Combination | None:
    seen: set[Any] = set()
    for combination in grid:
        key = combination_key({name: value for name, value in combination.items() if name != CASE})
        if key in seen:
            return combination
        seen.add(key)
    return None


def swept_in(mappings: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Name the parameters of cases or drawn points, each once."""
    return tuple(dict.fromkeys(name for mapping in mappings for name in mapping if name != "id"))


def case_names(sweep: Sweep) -> tuple[str, ...]:
    """Name what stands for a case's name in templates; nothing without cases."""
    return (CASE, "id") if sweep.cases else ()
