"""Which parameters are systems: what a metric is measured on, each with a level and unit of its own.

A declared range of the metric names the systems. Else they are the texts that the baseline leaves open (each system has
a baseline of its own), and the swept texts whose name says so. Raw values of a metric do not compare between systems.
"""

import re
from collections.abc import Collection, Mapping, Sequence

from hpc.core.experiment.grid import Combination
from hpc.core.experiment.spec import Value
from hpc.core.experiment.values import render_value
from hpc.core.question.baseline import agrees, varying_names

OVER_SYSTEMS = ("cross_system", "transfer_learning")
"""Types of experiments whose open parameters are systems whatever their values are."""
_NAMES = frozenset(
    ("system", "systems", "task", "tasks", "env", "environment", "dataset", "datasets", "target", "domain", "benchmark",
     "corpus", "game", "problem", "plant", "robot")
)  # fmt: skip


def system_parameters(
    grid: Sequence[Combination],
    baseline: Mapping[str, Value] | None,
    question: str = "",
    ranged: Collection[str] = (),
) -> tuple[str, ...]:
    """Name the parameters that tell systems apart; none where raw values compare throughout.

    Args:
        grid: Configurations of the experiment.
        baseline: What it declares as its baseline.
        question: Type of the experiment.
        ranged: Systems for which a range of the metric is declared.
    """
    if ranged:
        named = ranged_parameter(grid, baseline, ranged)
        return (named,) if named else ()
    swept = varying_names(grid)
    left_open = _left_open(grid, baseline)
    if question in OVER_SYSTEMS and left_open:
        return left_open
    fixed = baseline or {}
    return tuple(
        name for name in swept
        if _is_text(grid, name) and (name in left_open or (name not in fixed and _says_system(name)))
    )  # fmt: skip


def ranged_parameter(
    grid: Sequence[Combination], baseline: Mapping[str, Value] | None, ranged: Collection[str]
) -> str | None:
    """Find the swept parameter whose values the declared ranges name: most of them, one left open if two do."""
    left_open = _left_open(grid, baseline)
    shared = {name: len(set(ranged) & set(values_named(grid, name))) for name in varying_names(grid)}
    best = max(shared, key=lambda name: (shared[name], name in left_open), default=None)
    return best if best is not None and shared[best] else None


def values_named(grid: Sequence[Combination], name: str) -> tuple[str, ...]:
    """Write the values of a parameter as a range names them, in the order of the sweep."""
    return tuple(dict.fromkeys(render_value(one[name]) for one in grid if name in one))


def system_of(one: Combination, names: Sequence[str]) -> str:
    """Name a configuration's system: ``pendulum``; with several parameters ``system=pendulum, mass=heavy``."""
    if len(names) == 1:
        return render_value(one[names[0]]) if names[0] in one else "none"
    return ", ".join(f"{name}={render_value(one[name])}" for name in names if name in one)


def _left_open(grid: Sequence[Combination], baseline: Mapping[str, Value] | None) -> tuple[str, ...]:
    return varying_names([one for one in grid if agrees(one, baseline)]) if baseline else ()


def _is_text(grid: Sequence[Combination], name: str) -> bool:
    return all(isinstance(one[name], str) for one in grid if name in one)


def _says_system(name: str) -> bool:
    return not _NAMES.isdisjoint(re.split(r"[^a-z]+", name.lower()))
