"""The best configuration so far, beside the baseline: means over seeds with their spread. A look, and no verdict. Pure.

No test is made here, and the best of many looks better than it is: the report judges.
"""

import math
from collections.abc import Mapping, Sequence

from hpc.core.experiment.grid import CASE, Combination
from hpc.core.experiment.spec import Value
from hpc.core.experiment.values import render_value
from hpc.core.immutable import immutable, replace
from hpc.core.question.baseline import counterpart, values_of, varying_names
from hpc.core.question.systems import system_of
from hpc.core.words import counted, in_percent, with_spread

SAME = 1e-12
"""Relative difference up to which two means are one number, summed in another order."""
NAMED = 4
"""Parameters that name a configuration."""


@immutable
class Measured:
    """One finished run.

    Attributes:
        combination: Its parameters and case, without the seed.
        value: Final value of the primary metric.
    """

    combination: Combination
    value: float


@immutable
class Summed:
    """One configuration over its seeds.

    Attributes:
        label: The parameters in which configurations differ, such as ``lora_rank=8``; empty where there is one only.
        mean: Of the values.
        spread: Sample standard deviation; None for one value.
        n: Values.
    """

    label: str
    mean: float
    spread: float | None
    n: int

    def __str__(self) -> str:
        """``0.500 ± 0.020 (n 3), lora_rank=8``."""
        mean = f"{self.mean:.6g}" if self.spread is None else with_spread(self.mean, self.spread)
        return f"{mean} (n {self.n})" + (f", {self.label}" if self.label else "")


@immutable
class Best:
    """The best configuration so far.

    Attributes:
        metric: The primary metric.
        goal: ``min`` or ``max``.
        best: The configuration with the best mean.
        baseline: The one it is compared with; None where none is declared, or none is measured.
        change: Of the mean, relative to the baseline's; None without one, or where that is 0.
        configurations: How many were measured.
        ties: How many others have the very same mean.
        system: Where it is the best, when raw values do not compare between systems; empty where they do.
    """

    metric: str
    goal: str
    best: Summed
    baseline: Summed | None
    change: float | None
    configurations: int
    ties: int = 0
    system: str = ""

    def __str__(self) -> str:
        """One sentence."""
        of = f"of {counted(self.configurations, 'configuration')}" + (f" on {self.system}" if self.system else "")
        what = "largest gain on its baseline in" if self.system and self.baseline else "best"
        words = f"{what} {self.metric} so far ({self.goal}, {of}): {self.best}"
        if self.ties and self.ties == self.configurations - 1:
            same = f"mean {self.best.mean:.6g} in all {of.removeprefix('of ')}"
            return f"{self.metric} so far ({self.goal}): {same}, so none is best"
        if self.ties:
            words += f" and {self.ties} more with the same mean"
        if self.baseline is None:
            return words
        if self.baseline == self.best:
            return f"{words}: the baseline itself"
        change = f" ({in_percent(100 * self.change)}%)" if self.change is not None else ""
        return f"{words}; baseline {self.baseline}{change}"


def find_best_of_systems(
    runs: Sequence[Measured],
    metric: str,
    goal: str,
    baseline: Mapping[str, Value] | None,
    systems: Sequence[str],
) -> Best | None:
    """Find the configuration that gained most on its own system's baseline; without baselines the first system's best.

    Args:
        runs: Finished runs of all systems.
        metric: Name of the primary metric.
        goal: ``min`` or ``max``.
        baseline: What is declared as the baseline.
        systems: Parameters whose values are systems.
    """
    groups: dict[str, list[Measured]] = {}
    for run in runs:
        groups.setdefault(system_of(run.combination, systems), []).append(run)
    found = [
        replace(best, system=system)
        for system, group in groups.items() if (best := find_best(group, metric, goal, baseline)) is not None
    ]  # fmt: skip
    sign = 1 if goal == "min" else -1
    return min(found, key=lambda one: math.inf if one.change is None else sign * one.change, default=None)


def find_best(
    runs: Sequence[Measured], metric: str, goal: str, baseline: Mapping[str, Value] | None = None
) -> Best | None:
    """Find the best mean; None where nothing finite was measured.

    Args:
        metric: Name of the primary metric.
        goal: ``min`` or ``max``.
        baseline: What is declared as the baseline, such as ``{"lora_rank": 8}``; None for nothing.
    """
    finite = [run for run in runs if math.isfinite(run.value)]
    groups: dict[tuple[object, ...], list[Measured]] = {}
    names = sorted({name for run in finite for name in run.combination})
    for run in finite:
        groups.setdefault(values_of(run.combination, names), []).append(run)
    if not groups:
        return None
    combinations = [group[0].combination for group in groups.values()]
    apart = varying_names(combinations)
    listed = list(groups.values())
    means = [math.fsum(run.value for run in group) / len(group) for group in listed]
    place = (min if goal == "min" else max)(range(len(means)), key=means.__getitem__)
    other = counterpart(combinations, baseline, place) if baseline else None
    best, base = _sum(listed[place], apart), _sum(listed[other], apart) if other is not None else None
    change = (best.mean - base.mean) / abs(base.mean) if base and base.mean else None
    ties = sum(math.isclose(mean, best.mean, rel_tol=SAME) for mean in means) - 1
    return Best(metric, goal, best, base, change, len(means), ties)


def _sum(group: Sequence[Measured], apart: Sequence[str]) -> Summed:
    values = [run.value for run in group]
    mean = math.fsum(values) / len(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    spread = math.sqrt(squares / (len(values) - 1)) if len(values) > 1 else None
    return Summed(_label(group[0].combination, apart), mean, spread, len(values))


def _label(combination: Combination, apart: Sequence[str]) -> str:
    """Name a configuration by its case, else by the parameters that tell it apart."""
    if CASE in apart and CASE in combination:
        return str(combination[CASE])
    shown = [f"{name}={render_value(combination[name])}" for name in apart if name in combination]
    return ", ".join(shown[:NAMED]) + (", …" if len(shown) > NAMED else "")
