"""Every configuration on the primary metric: its estimate, its comparison with its baseline, and the best of them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.data.comparable import systems_of
from analysis.data.frame import ExperimentFrame, Floats, Ints
from analysis.data.values import (
    find_baselines,
    find_changed_beside,
    find_uncompared,
    group_rows,
    metric_values,
    usable_values,
)
from analysis.findings.cautions import Cautions
from analysis.findings.inference import (
    account_for_looks,
    analysis_plan,
    bootstrap_intervals,
    chance,
    compare_beside,
    compare_with_baselines,
    find_selection,
    find_systems,
    runs_by_configuration,
)
from analysis.statistics.comparisons import AnalysisPlan, Comparison
from analysis.statistics.estimates import Estimate, Interval, estimate
from analysis.statistics.missing import Robustness
from analysis.statistics.optimism import Selection
from analysis.statistics.samples import Sample
from analysis.statistics.sequential import TwoLooks
from analysis.statistics.systems import OverSystems
from analysis.statistics.verdicts import Judgement
from analysis.words import list_counts, list_words
from hpc.core.experiment.spec import Metric


@dataclass(frozen=True)
class ConfigurationResult:
    """One configuration on the primary metric.

    Attributes:
        number: Its number in the frame.
        label: Its name for people.
        planned: Its tasks.
        failed: Failure class → tasks.
        unfinished: Tasks running, pending or never started.
        altered: Tasks kept out because they are not what was asked.
        cautions: What is to be said of runs that are in the mean → runs: ``from other code``, ``with warnings``.
        estimate: Mean, std, n and interval over its usable runs.
        secondary: Metric → estimate, for the other declared metrics.
        secondary_comparisons: Metric → comparison with its baseline, adjusted over the configurations on that metric
            alone; exploratory.
        is_baseline: Whether others are compared with it.
        comparison: Against its baseline; None for a baseline, or where none is declared.
        baseline: Number of the configuration it was compared with; None also where a stored baseline was.
        bootstrap: BCa bootstrap interval of the mean; None with fewer than 10 values.
        judgement: Both verdicts side by side; None where there is no comparison.
        robustness: How the comparison reads with what is missing from it; None where nothing is.
        not_compared: Why it is compared with none although a baseline is declared; empty where it is.
        changed_beside: Parameters in which it differs from its baseline although the baseline leaves them open.
        system: What it was measured on, where raw values do not compare between systems; empty where they do.
    """

    number: int
    label: str
    planned: int
    failed: Mapping[str, int]
    unfinished: int
    altered: int
    cautions: Mapping[str, int]
    estimate: Estimate
    secondary: Mapping[str, Estimate]
    is_baseline: bool
    comparison: Comparison | None
    baseline: int | None
    bootstrap: Interval | None = None
    judgement: Judgement | None = None
    robustness: Robustness | None = None
    secondary_comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    not_compared: str = ""
    changed_beside: tuple[str, ...] = ()
    system: str = ""

    @property
    def failed_total(self) -> int:
        return sum(self.failed.values())

    @property
    def missing_text(self) -> str:
        """What is not in the mean, in words: ``1 of 3 failed: 1 divergence; 1 altered``; empty when nothing is."""
        parts = []
        if self.failed:
            parts.append(f"{self.failed_total} of {self.planned} failed: {list_counts(self.failed)}")
        if self.unfinished:
            parts.append(f"{self.unfinished} of {self.planned} not finished")
        if self.altered:
            parts.append(f"{self.altered} of {self.planned} altered")
        return "; ".join(parts)

    @property
    def caution_text(self) -> str:
        """What is in the mean and has to be known of it: ``1 of 3 from other code; 2 of 3 with warnings``."""
        return "; ".join(f"{count} of {self.estimate.n} {name}" for name, count in self.cautions.items())


SAME = 1e-12
"""Relative difference up to which two means are one number, summed in another order."""


@dataclass(frozen=True)
class Best:
    """The configuration with the best mean.

    Attributes:
        result: The configuration chosen among those all of whose runs gave a value (among all, if there is none such).
        of: Configurations it was chosen from.
        complete: Whether all its runs gave a value.
        rival: A configuration with a still better mean that lost runs; None when there is none.
        selection: The same choice corrected for having been selected, and how firm ranks are; its places are numbers of
            configurations. None where it was chosen from one.
        ties: Configurations of the same standing with the very same mean: nothing but their order puts it first.
        system: The system within which it was chosen; empty where raw values compare throughout.
    """

    result: ConfigurationResult
    of: int
    complete: bool
    rival: ConfigurationResult | None
    selection: Selection | None = None
    ties: tuple[ConfigurationResult, ...] = ()
    system: str = ""

    @property
    def ties_text(self) -> str:
        """Who has the same mean: ``lr=0.1 and lr=0.3``, ``all others``; empty where nobody has."""
        labels = [one.label for one in self.ties]
        return "all others" if len(labels) == self.of - 1 > 1 else list_words(labels) if labels else ""


@dataclass(frozen=True)
class JudgedConfigurations:
    """All configurations on the primary metric, and how they were judged; attributes as in `Findings`."""

    results: tuple[ConfigurationResult, ...]
    plan: AnalysisPlan
    looks: TwoLooks | None
    over_systems: OverSystems | None
    stored_baseline: str


def judge_configurations(
    frame: ExperimentFrame,
    primary: Metric | None,
    secondary: Sequence[Metric],
    cautions: Cautions,
    stored: Mapping[str, Sample] | None = None,
) -> JudgedConfigurations:
    """Estimate every configuration and compare it with its baseline."""
    members = group_rows(frame)
    baseline_of = {} if stored else find_baselines(frame)
    not_compared, beside = ({}, {}) if stored else (find_uncompared(frame), find_changed_beside(frame))
    plan = analysis_plan(frame.spec, primary)
    goal = primary.goal if primary else "min"
    values = usable_values(frame, primary.name) if primary else np.full(len(frame.tasks), np.nan)
    every_value = metric_values(frame, primary.name) if primary else values
    runs = runs_by_configuration(frame, members, values, every_value)
    kept = stored.get(primary.name) if stored and primary else None
    sizes = Counter(base for number, base in baseline_of.items() if number != base)
    arms = len(runs) if kept else max(sizes.values(), default=1)
    looks = account_for_looks(frame.spec, plan, kept, chance(frame), arms)
    judged = compare_with_baselines(runs, baseline_of, kept, goal, plan, looks) if primary else {}
    bootstraps = bootstrap_intervals([one.values for one in runs], plan, chance(frame))
    others = {goal.name: usable_values(frame, goal.name) for goal in secondary}
    on_others = _compare_on_others(frame, secondary, others, members, baseline_of, stored or {}, plan)
    endings = count_endings(frame, members)
    baselines, systems = set(baseline_of.values()), systems_of(frame)
    results = tuple(
        ConfigurationResult(
            number=number,
            label=frame.configurations[number],
            planned=len(rows),
            failed=endings[number].failed,
            unfinished=endings[number].unfinished,
            altered=endings[number].altered,
            cautions=cautions.count(int(row) for row in rows if np.isfinite(values[row])),
            estimate=estimate(values[rows], plan.confidence),
            secondary={name: estimate(array[rows], plan.confidence) for name, array in others.items()},
            secondary_comparisons={name: found[number] for name, found in on_others.items() if number in found},
            is_baseline=number in baselines,
            comparison=judged[number].comparison if number in judged else None,
            baseline=baseline_of.get(number) if number in judged else None,
            bootstrap=bootstraps[number],
            judgement=judged[number].judgement if number in judged else None,
            robustness=judged[number].robustness if number in judged else None,
            not_compared=not_compared.get(number, ""),
            changed_beside=beside.get(number, ()) if number in judged else (),
            system=systems[number],
        )
        for number, rows in enumerate(members)
    )
    return JudgedConfigurations(
        results=results,
        plan=plan,
        looks=looks,
        over_systems=find_systems(frame, runs, baseline_of, primary, plan, looks) if primary else None,
        stored_baseline=str((frame.spec.get("analysis") or {}).get("baseline_from") or "a stored baseline")
        if kept
        else "",
    )


def _compare_on_others(
    frame: ExperimentFrame,
    secondary: Sequence[Metric],
    values: Mapping[str, Floats],
    members: Sequence[Ints],
    baseline_of: Mapping[int, int],
    stored: Mapping[str, Sample],
    plan: AnalysisPlan,
) -> dict[str, dict[int, Comparison]]:
    """Secondary metric → comparison of each configuration with its baseline on it."""
    seeds = frame.tasks["seed"].to_numpy()
    return {
        goal.name: compare_beside(
            [Sample(values[goal.name][rows], seeds[rows]) for rows in members],
            baseline_of,
            stored.get(goal.name),
            goal.goal,
            plan,
        )
        for goal in secondary
    }


@dataclass(frozen=True)
class Endings:
    """How the runs of a configuration ended that are not in its mean; attributes as in `ConfigurationResult`."""

    failed: dict[str, int]
    unfinished: int
    altered: int


def count_endings(frame: ExperimentFrame, members: Sequence[Ints]) -> list[Endings]:
    """Count them for every configuration, given the rows of its runs."""
    outcome, failure = frame.tasks["outcome"].to_numpy(), frame.tasks["failure_class"].to_numpy()
    altered = frame.tasks["altered"].to_numpy(dtype=bool)
    return [
        Endings(
            failed=dict(sorted(Counter(failure[rows][outcome[rows] == "failed"]).items())),
            unfinished=int(np.isin(outcome[rows], ("running", "pending", "planned")).sum()),
            altered=int((altered[rows] & (outcome[rows] == "finished")).sum()),
        )
        for rows in members
    ]


def choose_bests(results: Sequence[ConfigurationResult], primary: Metric | None) -> tuple[Best, ...]:
    """Choose the best configuration of each system; of all where raw values compare throughout."""
    if primary is None:
        return ()
    systems = dict.fromkeys(one.system for one in results)
    found = (choose_best([one for one in results if one.system == system], primary) for system in systems)
    return tuple(one for one in found if one is not None)


def choose_best(results: Sequence[ConfigurationResult], primary: Metric) -> Best | None:
    """Choose the best mean among the configurations that lost no run; name a better one that did."""
    sign = 1 if primary.goal == "min" else -1
    valued = sorted(
        (one for one in results if one.estimate.mean is not None), key=lambda one: sign * (one.estimate.mean or 0.0)
    )
    if not valued:
        return None
    complete = [one for one in valued if one.estimate.n == one.planned]
    chosen, *others = complete or valued
    rival = valued[0] if not _is_tie(valued[0], chosen) else None
    ties = tuple(one for one in others if _is_tie(one, chosen))
    return Best(chosen, len(valued), bool(complete), rival, ties=ties, system=chosen.system)


def _is_tie(one: ConfigurationResult, other: ConfigurationResult) -> bool:
    """Whether two means are the same number, but for the rounding of sums."""
    return math.isclose(one.estimate.mean or 0.0, other.estimate.mean or 0.0, rel_tol=SAME)


def find_best_selection(
    frame: ExperimentFrame, results: Sequence[ConfigurationResult], best: Best, primary: Metric
) -> Selection | None:
    """Correct the choice among those it was made from."""
    values, members = usable_values(frame, primary.name), group_rows(frame)
    candidates = [
        one.number
        for one in results
        if one.system == best.system and one.estimate.n and (one.estimate.n == one.planned or not best.complete)
    ]
    level = best.result.estimate.level
    return find_selection([values[rows] for rows in members], candidates, primary.goal, chance(frame), level)
