"""Names of columns: what programs call their metrics, made fit for files, and never one name twice."""

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import count

MAX_NAME_LENGTH = 200


def label_metrics(names: Iterable[str], first: Sequence[str], most: int) -> dict[str, str]:
    """Choose the metrics that get a column, and give each a name that every file can hold.

    Args:
        names: As the programs call them, in order of appearance; repeated ones count once.
        first: The declared metrics: they have a column whatever else there is.
        most: How many columns there may be.

    Returns:
        Metric → name of its column: its own, if that is printable, not too long and not taken.
    """
    known = dict.fromkeys(names)
    chosen = list(dict.fromkeys((*(name for name in first if name in known), *known)))[:most]
    return _named_apart(chosen, _fit)


def _fit(name: str) -> str:
    """Write what cannot be printed as an escape, and cut what is too long."""
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in name) or "(empty)"
    return shown if len(shown) <= MAX_NAME_LENGTH else shown[: MAX_NAME_LENGTH - 1] + "…"


def link_names(names: Iterable[str]) -> dict[str, str]:
    """Name metrics inside an HDF5 file, where ``/`` makes groups and ``.`` means the group itself; none twice."""
    return _named_apart(dict.fromkeys(names), lambda name: name.replace("/", ".").strip(".") or "metric")


def name_columns(
    fixed: Collection[str], parameters: Iterable[str], metrics: Iterable[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Name the columns of a table so that no two are called alike.

    Args:
        fixed: Columns every table has; they keep their names.
        parameters: They keep theirs, unless a fixed column has it: then ``parameter.<name>``.
        metrics: They keep theirs, unless a fixed column or a parameter has it: then ``metric.<name>``.

    Returns:
        Parameter → column, and metric → column.
    """
    of_parameters = _beside("parameter", dict.fromkeys(parameters), fixed)
    return of_parameters, _beside("metric", dict.fromkeys(metrics), {*fixed, *of_parameters.values()})


def _beside(kind: str, names: Collection[str], taken: Collection[str]) -> dict[str, str]:
    return _named_apart(names, lambda name: f"{kind}.{name}" if name in taken else name, taken)


def _named_apart(names: Collection[str], change: Callable[[str], str], taken: Collection[str] = ()) -> dict[str, str]:
    """Change each name; one that is then taken gets ``~2``, ``~3``, … Names that need no change keep their own."""
    changed: dict[str, str] = {name: name for name in names if change(name) == name}
    used = {*taken, *changed}
    for name in names:
        if name not in changed:
            changed[name] = _free(change(name), used)
            used.add(changed[name])
    return {name: changed[name] for name in names}


def _free(name: str, used: Collection[str]) -> str:
    if name not in used:
        return name
    return next(other for number in count(2) if (other := f"{name}~{number}") not in used)
