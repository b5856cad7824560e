"""What a planned design can find, said before anything runs: the smallest difference, and what a seed more buys."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import fsum, inf, isfinite, sqrt
from statistics import fmean, stdev
from typing import Any

from hpc.adapters.files import read_json_or_none
from hpc.core.errors import InputError
from hpc.core.experiment.grid import CASE, Combination
from hpc.core.experiment.spec import ExperimentSpec, Task
from hpc.core.identity import canonical_json
from hpc.core.immutable import immutable, replace
from hpc.core.layout import RunLayout
from hpc.core.question.baseline import counterparts
from hpc.core.question.detectable import POWER, Design
from hpc.core.words import counted, rounded

MOST_SIBLINGS = 20
"""So many collected experiments are looked at, the newest first."""


@immutable
class Spread:
    """How much runs of one configuration differ, as far as it is known.

    Attributes:
        sigma: Standard deviation of the primary metric, in its unit.
        mean: Mean of the runs it is of; None where it was declared.
        source: Where it comes from: ``analysis.sigma``, or an experiment's name and runs.
    """

    sigma: float
    mean: float | None
    source: str


@immutable
class CanFind:
    """What a design can find with a chance of 80 %.

    Attributes:
        design: Arms, seeds and comparisons.
        spread: What is known of the spread; None where nothing is.
        smallest: Smallest difference, in σ.
        one_seed_more: The same with one more seed of everything that runs here.
        one_arm_fewer: The same with one configuration fewer; None where there is one only.
    """

    design: Design
    spread: Spread | None
    smallest: float
    one_seed_more: float
    one_arm_fewer: float | None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; sizes in σ, and in the metric's unit where the spread is known."""
        sizes = {"smallest": self.smallest, "one_seed_more": self.one_seed_more, "one_arm_fewer": self.one_arm_fewer}
        known = {name: one if one is not None and isfinite(one) else None for name, one in sizes.items()}
        found: dict[str, Any] = {"power": POWER, "arms": self.design.arms, "seeds": self.design.seeds, "sigmas": known}
        if self.spread:
            sigma = self.spread.sigma
            found |= {"sigma": sigma, "mean": self.spread.mean, "source": self.spread.source}
            found["units"] = {name: one if one is None else one * sigma for name, one in known.items()}
        return found


def find_detectable(layout: RunLayout, spec: ExperimentSpec, tasks: Sequence[Task]) -> CanFind | None:
    """Compute what the design can find; None where nothing is compared with a baseline."""
    keys = [canonical_json([task.case, task.parameters]) for task in tasks]
    seeds_of = Counter(keys)
    by_key = {key: _combination(task) for key, task in zip(keys, tasks, strict=True)}
    combinations = [by_key[key] for key in seeds_of]
    stored = _stored(layout, spec)
    if spec.analysis.baseline_from:
        pairs = dict.fromkeys(range(len(combinations)), -1)
    else:
        found = counterparts(combinations, spec.baseline or {}) if spec.baseline is not None else {}
        pairs = {place: base for place, base in found.items() if place != base}
    if not pairs:
        return None
    runs = list(seeds_of.values())
    seeds = min(runs[place] for place in pairs)
    kept = len(stored) if spec.analysis.baseline_from else min(runs[base] for base in pairs.values())
    if spec.analysis.baseline_from and not stored:
        kept = seeds
    design = Design(max(Counter(pairs.values()).values()), seeds, kept, len(pairs), spec.analysis.alpha)
    more = replace(design, seeds=seeds + 1, baseline=kept if spec.analysis.baseline_from else kept + 1)
    fewer = replace(design, arms=design.arms - 1, comparisons=design.comparisons - 1) if design.arms > 1 else None
    spread = _spread(spec, stored) or _spread_of_siblings(layout, spec)
    return CanFind(design, spread, design.smallest, more.smallest, fewer.smallest if fewer else None)


def describe_detectable(found: CanFind | None, metric: str) -> tuple[str, ...]:
    """Say it in three short lines; in one where nothing can be found, in none where nothing is compared."""
    if found is None:
        return ()
    design, size = found.design, found.smallest
    of = counted(design.arms, "configuration") if design.arms > 1 else "one configuration"
    if size == inf:
        return (f"can find: nothing; one run of {of} or of the baseline has no spread, so nothing is tested",)
    fewer = found.one_arm_fewer
    buys = f"with one more seed: {_shown(found.one_seed_more, found.spread)}"
    buys += "" if fewer is None else f"; with one configuration fewer: {_shown(fewer, found.spread)}"
    return (
        f"can find: a difference of {_shown(size, found.spread)} in {metric}, with {100 * POWER:.0f} % probability "
        f"({counted(design.seeds, 'seed')} of {of})",
        f"  {buys}",
        f"  {_of_spread(found.spread)}",
    )


def _of_spread(spread: Spread | None) -> str:
    if spread is None:
        return "σ is the standard deviation between seeds; declare analysis.sigma to see the metric's unit"
    mean = f", mean {rounded(spread.mean, 4)}" if spread.mean is not None else ""
    return f"σ = {rounded(spread.sigma)}{mean} ({spread.source})"


def _shown(size: float, spread: Spread | None) -> str:
    if spread is None:
        return f"{rounded(size, 2)} σ"
    share = f" ({rounded(100 * size * spread.sigma / abs(spread.mean), 2)} %)" if spread.mean else ""
    return f"{rounded(size * spread.sigma)}{share}"


def _combination(task: Task) -> Combination:
    """A configuration, as its tasks have it in common."""
    return {**task.parameters, **({CASE: task.case} if task.case is not None else {})}


def _stored(layout: RunLayout, spec: ExperimentSpec) -> list[float]:
    """The runs of the stored baseline on the primary metric; of the experiment itself where nothing is stored yet."""
    name, metric = spec.analysis.baseline_from, spec.metrics.primary.name
    if not name:
        return []
    stored = _mapping(read_json_or_none(layout.stored_baseline(name)))
    values = _mapping(stored.get("metrics")).get(metric)
    if not isinstance(values, list):
        judged = _mapping(read_json_or_none(RunLayout(layout.root, name).verdicts)).get("tasks")
        summaries = [_mapping(_mapping(one).get("summary")) for one in judged] if isinstance(judged, list) else []
        values = [one.get(metric) for one in summaries]
    return [float(one) for one in values if isinstance(one, int | float) and isfinite(one)]


def _spread(spec: ExperimentSpec, stored: Sequence[float]) -> Spread | None:
    mean = fmean(stored) if stored else None
    if spec.analysis.sigma is not None:
        return Spread(spec.analysis.sigma, mean, "analysis.sigma")
    if len(stored) < 2:
        return None
    return Spread(stdev(stored), mean, f"{len(stored)} runs of {spec.analysis.baseline_from}")


def _spread_of_siblings(layout: RunLayout, spec: ExperimentSpec) -> Spread | None:
    """The spread between seeds in the newest collected runs of the same program and metric, here or in a sibling.

    Pooled over the configurations that ran with several seeds; the mean is that of their means.
    """
    found = [(path.stat().st_mtime, path) for path in layout.root.glob("*/collected/verdicts.json")]
    for _, path in sorted(found, reverse=True)[:MOST_SIBLINGS]:
        sibling = RunLayout(layout.root, path.parent.parent.name)
        groups = _values_of(sibling, spec)
        inside = [fsum((value - fmean(group)) ** 2 for value in group) for group in groups]
        free = sum(len(group) - 1 for group in groups)
        if free and fsum(inside) > 0:
            runs = sum(len(group) for group in groups)
            return Spread(sqrt(fsum(inside) / free), fmean(map(fmean, groups)), f"{runs} runs of {sibling.experiment}")
    return None


def _values_of(sibling: RunLayout, spec: ExperimentSpec) -> list[list[float]]:
    """What finished runs of a sibling gave, for each configuration with several; none of another program or metric."""
    try:
        judged = _mapping(read_json_or_none(sibling.verdicts)).get("tasks")
        planned = _mapping(_mapping(read_json_or_none(sibling.manifest)).get("spec"))
    except (InputError, OSError):
        return []
    if _what_runs(_mapping(planned.get("program"))) != _what_runs(vars(spec.program)) or not isinstance(judged, list):
        return []
    values: dict[str, list[float]] = {}
    for task in map(_mapping, judged):
        value = _mapping(task.get("summary")).get(spec.metrics.primary.name)
        if task.get("outcome") == "finished" and not task.get("altered") and isinstance(value, int | float):
            values.setdefault(canonical_json([task.get("case"), task.get("parameters")]), []).append(float(value))
    return [group for group in values.values() if len(group) > 1 and all(map(isfinite, group))]


def _what_runs(program: Mapping[str, Any]) -> str:
    """The program itself: its module, or its command up to the first argument."""
    words = str(program.get("command") or "").split()
    script = next((place for place, word in enumerate(words) if word.endswith((".py", ".sh", ".R", ".jl"))), 0)
    module = next((place + 1 for place, word in enumerate(words) if word == "-m"), 0)
    return str(program.get("module") or " ".join(words[: max(script, module) + 1]))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
