"""Runs of methods on several systems, made comparable: which systems and runs there are, and on which scale.

Systems have units of their own. Values become scores within a declared range, else logarithms, whose differences are
ratios, where every value is above 0, else their order alone counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.statistics.missing import Runs
from analysis.statistics.rank_tests import midranks

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
RANGE, RATIO, ORDER = "range", "ratio", "order"
_SAME = 1e-12


@dataclass(frozen=True)
class Dropped:
    """What is in no number over systems.

    Attributes:
        name: The system or method.
        reason: Why.
    """

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class SystemRuns:
    """The runs of one method on one system.

    Attributes:
        values: Scaled values of the runs that have one: scores, logarithms, or as they are.
        seeds: Their seeds; None where seeds mean nothing.
        ordered: Values such that less is better, infinite for diverged runs.
        missing: Other runs without a value.
    """

    values: Floats
    seeds: Ints | None
    ordered: Floats
    missing: int

    @classmethod
    def make(cls, runs: Runs, scale: str, limits: tuple[float, float] | None, goal: str) -> "SystemRuns":
        """Bring runs to the scale.

        Args:
            runs: Those of one method on one system.
            scale: ``range``, ``ratio`` or ``order``.
            limits: Declared range; None where none is declared.
            goal: ``min`` or ``max``.
        """
        is_there = np.isfinite(runs.values)
        values = runs.values[is_there]
        if scale == RATIO:
            values = np.log(values)
        elif scale == RANGE and limits is not None:
            values = (values - limits[0]) / (limits[1] - limits[0])
        lost = int(runs.lost[~is_there].sum()) if runs.lost is not None else 0
        ordered = np.concatenate([values if goal == "min" else -values, np.full(lost, np.inf)])
        seeds = None if runs.seeds is None else runs.seeds[is_there]
        return cls(values, seeds, ordered, int((~is_there).sum()) - lost)

    @property
    def mean(self) -> float:
        """Mean such that less is better; infinite where every run diverged."""
        finite = self.ordered[np.isfinite(self.ordered)]
        return float(finite.mean()) if len(finite) else np.inf

    @property
    def diverged(self) -> int:
        """Number of runs that diverged."""
        return len(self.ordered) - len(self.values)


def shared_systems(
    runs: Mapping[str, Mapping[str, Runs]], baseline: str, ranges: Mapping[str, tuple[float, float]]
) -> tuple[Mapping[str, Mapping[str, Runs]], tuple[str, ...], tuple[Dropped, ...]]:
    """Keep the systems on which every method has a result; a method that has none on 2 systems is left out itself."""
    dropped = []
    systems = dict.fromkeys(system for by_system in runs.values() for system in by_system)
    usable = []
    for system in systems:
        base = runs[baseline].get(system)
        if base is None or not np.isfinite(base.values).any():
            diverged = base is not None and base.lost is not None and base.lost.any()
            why = "every run of it diverged" if diverged else "no run of it has a value"
            dropped.append(Dropped(system, f"the baseline {baseline} has none: {why}"))
        elif ranges and system not in ranges:
            dropped.append(Dropped(system, "no range is declared for it"))
        else:
            usable.append(system)
    kept = {}
    for name, by_system in runs.items():
        if sum(_has_result(by_system.get(system)) for system in usable) >= min(2, len(usable)):
            kept[name] = by_system
        else:
            dropped.append(Dropped(name, "it has results on fewer than 2 systems"))
    shared = []
    for system in usable:
        without = [name for name, by_system in kept.items() if not _has_result(by_system.get(system))]
        if without:
            dropped.append(Dropped(system, f"no run of {', '.join(without)} has a value there"))
        else:
            shared.append(system)
    return kept, tuple(shared), tuple(dropped)


def _has_result(runs: Runs | None) -> bool:
    """Whether a run gave a value, or diverged, which is a result too."""
    if runs is None:
        return False
    return bool(np.isfinite(runs.values).any() or (runs.lost is not None and runs.lost.any()))


def choose_scale(
    runs: Mapping[str, Mapping[str, Runs]], systems: Sequence[str], ranges: Mapping[str, tuple[float, float]]
) -> tuple[str, str]:
    """Choose how values of different systems are made comparable, and say why in no better way."""
    if ranges:
        return RANGE, ""
    undeclared = "no range of the metric is declared (metrics.primary.range)"
    below = [
        system for system in systems
        if any((by_system[system].values[np.isfinite(by_system[system].values)] <= 0).any()
               for by_system in runs.values())
    ]  # fmt: skip
    if below:
        return ORDER, f"{undeclared}, and ratios need values above 0, which {', '.join(below)} has not everywhere"
    return RATIO, undeclared


def find_outside(
    runs: Mapping[str, Mapping[str, Runs]],
    names: Sequence[str],
    systems: Sequence[str],
    ranges: Mapping[str, tuple[float, float]],
) -> tuple[str, ...]:
    """Name the values outside the declared ranges."""
    said = []
    for system in systems if ranges else ():
        low, high = ranges[system]
        for name in names:
            values = runs[name][system].values
            finite = values[np.isfinite(values)]
            out = finite[(finite < low) | (finite > high)]
            if len(out):
                span = f"{out.min():.4g}" + (f" to {out.max():.4g}" if len(out) > 1 else "")
                said.append(f"{system}, {name}: {len(out)} of {len(finite)} ({span}; declared {low:g} to {high:g})")
    return tuple(said)


def rank_methods(methods: Sequence[Sequence[SystemRuns]]) -> Floats:
    """Rank the methods on each system, equal means alike: array of shape (systems, methods).

    Means that differ by rounding are equal: by less than a billionth of what the runs on the system differ by.
    """
    rows = []
    for cells in zip(*methods, strict=True):
        values = np.concatenate([one.values for one in cells])
        spread = float(np.ptp(values))
        means = np.array([one.mean for one in cells])
        finite = means[np.isfinite(means)]
        unit = spread if spread > _SAME * float(np.abs(values).max()) else np.inf
        away = np.where(np.isfinite(means), means, finite.min()) - finite.min()
        rows.append(midranks(np.where(np.isfinite(means), np.round(away / unit, 9), np.inf)))
    ranked: Floats = np.array(rows)
    return ranked


def bounded_exp(values: npt.ArrayLike) -> Floats:
    """Ratios of differences of logarithms, kept within what floats can hold."""
    found: Floats = np.exp(np.clip(np.asarray(values, dtype=np.float64), -700, 700))
    return found
