"""Brings an experiment's runs to the statistics: the declared plan, samples by configuration, methods by system.

Chance is needed for bootstrap intervals and simulated error rates only. Its seed is the manifest's hash, so that the
same experiment gives the same report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.data.comparable import comparable_values, system_names
from analysis.data.frame import ExperimentFrame
from analysis.data.values import DIVERGED, combinations_of
from analysis.statistics.comparisons import ALPHA, AnalysisPlan, Comparison, compare_family
from analysis.statistics.estimates import LEVEL, Interval, bca_intervals
from analysis.statistics.importance import Importance, analyse_importance
from analysis.statistics.missing import Robustness, Runs, read_robustness
from analysis.statistics.optimism import Selection, select_best
from analysis.statistics.samples import Sample
from analysis.statistics.sequential import TwoLooks, simulate_two_looks
from analysis.statistics.systems import OverSystems, compare_over_systems
from analysis.statistics.verdicts import Judgement, judge_family
from analysis.words import show_value
from hpc.core.experiment.spec import Metric
from hpc.core.question.baseline import names_set_by_case, varying_names
from hpc.core.question.systems import system_of
from hpc.core.resources import parse_share

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
SMALLEST_BOOTSTRAP = 10
"""Runs from which a bootstrap interval is shown: below it covers far less than it says (docs/statistics.md)."""


@dataclass(frozen=True)
class Judged:
    """All that is said of one configuration against its baseline.

    Attributes:
        comparison: Tests and sizes of the difference.
        judgement: Both verdicts.
        robustness: How it reads with what is missing; None where nothing is.
    """

    comparison: Comparison
    judgement: Judgement
    robustness: Robustness | None


def chance(frame: ExperimentFrame) -> np.random.Generator:
    """The source of chance of one experiment's report."""
    return np.random.default_rng(int(frame.manifest_sha[:16], 16))


def analysis_plan(spec: Mapping[str, Any], primary: Metric | None) -> AnalysisPlan:
    """Read how the results are to be judged; what is not declared is the default.

    Args:
        spec: The experiment as it was planned.
        primary: Its primary metric, whose `meaningful` is the margin where `analysis.equivalence` is not declared.
    """
    declared = spec.get("analysis") or {}
    margin = declared.get("equivalence")
    if margin is not None:
        margin = parse_share(margin)
    return AnalysisPlan(
        alpha=float(declared.get("alpha") or ALPHA),
        correction=str(declared.get("correction") or "holm"),
        confidence=float(declared.get("confidence") or LEVEL),
        margin=margin if margin is not None else primary.meaningful if primary else None,
    )


def account_for_looks(
    spec: Mapping[str, Any], plan: AnalysisPlan, stored: Sample | None, rng: np.random.Generator, arms: int = 1
) -> TwoLooks | None:
    """Account for the second look where further seeds are declared; None where the number of seeds is fixed.

    It counts from the first look on: whoever may look again has to be as careful the first time. A baseline of the
    sweep gets the further seeds with the others (`analysis.second_look`); a stored one stays what it is.

    Args:
        spec: The experiment as it was planned.
        plan: Error rate.
        stored: The stored baseline, where there is one.
        rng: Source of chance of the simulation.
        arms: Configurations that are compared with one baseline.
    """
    sweep = spec.get("sweep") or {}
    first, further = list(sweep.get("seeds") or (42,)), list(sweep.get("further_seeds") or ())
    kept = len(first) if stored is None else len(stored.finite)
    if not further or len(first) < 2 or kept < 2:
        return None
    seeds = set() if stored is None or stored.seeds is None else set(stored.seeds.tolist())
    return simulate_two_looks(
        len(first),
        len(further),
        (kept, kept + len(further) if stored is None else kept),
        rng,
        alpha=plan.alpha,
        paired=stored is None or set(first) <= seeds,
        arms=arms,
    )


def runs_by_configuration(
    frame: ExperimentFrame, members: Sequence[Ints], values: Floats, every_value: Floats
) -> list[Runs]:
    """Return each configuration's planned runs.

    Args:
        frame: The experiment.
        members: Rows of each configuration.
        values: Array of shape (tasks,): what may be compared, NaN elsewhere.
        every_value: Array of shape (tasks,): the values of altered runs too.
    """
    seeds, altered = frame.tasks["seed"].to_numpy(), frame.tasks["altered"].to_numpy(dtype=bool)
    failed = (frame.tasks["outcome"] == "failed").to_numpy()
    of_altered = np.where(altered, every_value, np.nan)
    lost = frame.tasks["failure_class"].isin(DIVERGED).to_numpy(dtype=bool)
    return [Runs(values[rows], seeds[rows], failed[rows], of_altered[rows], lost[rows]) for rows in members]


def compare_with_baselines(
    runs: Sequence[Runs],
    baseline_of: Mapping[int, int],
    stored: Sample | None,
    goal: str,
    plan: AnalysisPlan,
    looks: TwoLooks | None,
) -> dict[int, Judged]:
    """Compare and judge all configurations but the baselines, as one family.

    Args:
        runs: Planned runs of each configuration.
        baseline_of: Number of a configuration → number of its baseline (itself, for a baseline).
        stored: A stored baseline, with which every configuration is compared instead.
        goal: ``min`` or ``max``.
        plan: How to judge.
        looks: The account of the second look.
    """
    if stored is not None:
        kept = Runs(
            stored.values, stored.seeds, np.zeros(len(stored.values), bool), np.full(len(stored.values), np.nan)
        )
        bases = dict.fromkeys(range(len(runs)), kept)
    else:
        bases = {number: runs[base] for number, base in baseline_of.items() if number != base}
    ours, theirs = [runs[number] for number in bases], list(bases.values())
    read_at = replace(plan, alpha=looks.level) if looks else plan
    # The same sample object for the same baseline: it is estimated once.
    sample_of = {id(one): one.sample for one in (*ours, *theirs)}
    groups, against = [sample_of[id(one)] for one in ours], [sample_of[id(one)] for one in theirs]
    family = compare_family(groups, against, goal, read_at)
    judgements = judge_family(family, goal, plan, looks)
    robustness = read_robustness(family, ours, theirs, goal, read_at)
    return {
        number: Judged(*parts)
        for number, parts in zip(bases, zip(family, judgements, robustness, strict=True), strict=True)
    }


def compare_beside(
    samples: Sequence[Sample], baseline_of: Mapping[int, int], stored: Sample | None, goal: str, plan: AnalysisPlan
) -> dict[int, Comparison]:
    """Compare all configurations on a secondary metric, as a family of its own: no verdict rests on it.

    Args:
        samples: The runs of each configuration.
        baseline_of: As for `compare_with_baselines`.
        stored: The stored baseline on this metric; every configuration is compared with it instead.
        goal: ``min`` or ``max``.
        plan: How to judge.
    """
    if stored is not None:
        bases = dict.fromkeys(range(len(samples)), stored)
    else:
        bases = {number: samples[base] for number, base in baseline_of.items() if number != base}
    found = compare_family(
        [samples[number] for number in bases], list(bases.values()), goal, replace(plan, margin=None)
    )
    return dict(zip(bases, found, strict=True))


def bootstrap_intervals(
    samples: Sequence[Floats], plan: AnalysisPlan, rng: np.random.Generator
) -> tuple[Interval | None, ...]:
    """BCa intervals of the means where there are enough runs for one."""
    enough = [one if np.isfinite(one).sum() >= SMALLEST_BOOTSTRAP else np.empty(0) for one in samples]
    return bca_intervals(enough, rng, plan.confidence)


def find_selection(
    samples: Sequence[Floats], candidates: Sequence[int], goal: str, rng: np.random.Generator, level: float
) -> Selection | None:
    """Correct the best of the candidates for having been selected; places are numbers of configurations."""
    found = select_best([samples[number] for number in candidates], goal, rng, level=level)
    if found is None:
        return None
    ranks = tuple(replace(one, place=candidates[one.place]) for one in found.ranks)
    return replace(found, chosen=candidates[found.chosen], ranks=ranks)


def find_importance(frame: ExperimentFrame, metric: Metric, plan: AnalysisPlan) -> Importance | None:
    """Analyse what the swept parameters, and the named cases as one parameter, do to a metric.

    Over systems the values are made comparable first; what is then left of a system's own effect means nothing, and
    only how it changes those of others is kept.
    """
    columns: dict[str, list[Any]] = {str(name): frame.parameters[name].tolist() for name in frame.parameters.columns}
    cases = frame.tasks["case"].tolist()
    if len(set(cases)) > 1:
        # A case sets parameters together: what each of them does cannot be told apart.
        columns = {"case": cases, **{name: column for name, column in columns.items() if not _set_by(cases, column)}}
    numbers = frame.tasks["configuration"].to_numpy()
    found = comparable_values(frame, metric)
    name = f"{metric.name} ({found.unit})" if found.unit else metric.name
    return analyse_importance(
        columns,
        numbers,
        found.values,
        metric.goal,
        metric=name,
        level=plan.confidence,
        blocks=found.systems,
        has_zero=not found.is_centred,
    )


def find_systems(
    frame: ExperimentFrame,
    runs: Sequence[Runs],
    baseline_of: Mapping[int, int],
    metric: Metric,
    plan: AnalysisPlan,
    looks: TwoLooks | None,
) -> OverSystems | None:
    """Compare methods over systems, where the declared baseline leaves parameters open.

    A system is what tells the baselines apart, a method everything else; what a case sets is said by the case.
    """
    if len(set(baseline_of.values())) < 2:
        return None
    by_method: dict[str, dict[str, Runs]] = {}
    ranges: dict[str, tuple[float, float]] = {}
    baseline = ""
    for number, one in find_methods(frame, baseline_of, metric).items():
        by_method.setdefault(one.method, {})[one.system] = runs[number]
        if one.limits is not None:
            ranges[one.system] = one.limits
        baseline = one.method if baseline_of[number] == number else baseline
    if len(by_method) < 2:
        return None
    level = looks.level if looks else plan.alpha
    found = compare_over_systems(by_method, baseline, metric.goal, plan, ranges=ranges, alpha=level)
    return replace(found, are_scales=bool(system_names(frame)))


@dataclass(frozen=True)
class MethodOnSystem:
    """What a configuration is where methods are compared over systems.

    Attributes:
        method: Name of the method.
        system: Name of the system.
        limits: Declared range of the metric on it; None where none is declared.
    """

    method: str
    system: str
    limits: tuple[float, float] | None


def find_methods(frame: ExperimentFrame, baseline_of: Mapping[int, int], metric: Metric) -> dict[int, MethodOnSystem]:
    """Name method and system of every configuration that has a baseline, by the number of the configuration."""
    combinations = combinations_of(frame)
    apart = set(varying_names([combinations[number] for number in sorted(set(baseline_of.values()))]))
    by_case = set(names_set_by_case(combinations)) - apart
    names = system_names(frame)
    declared = {system: (low, high) for system, low, high in metric.ranges}
    found = {}
    for number in sorted(baseline_of):
        method, system = (
            ", ".join(
                f"{name}={show_value(value)}"
                for name, value in combinations[number].items()
                if (name in apart) == is_system and name not in by_case
            )
            for is_system in (False, True)
        )
        found[number] = MethodOnSystem(method, system, declared.get(system_of(combinations[number], names)))
    return found


def _set_by(cases: Sequence[str], column: Sequence[Any]) -> bool:
    """Whether a case has one value only of a parameter, every case."""
    return len(set(zip(cases, map(repr, column), strict=True))) == len(set(cases))
