"""What the results say: counts that add up, estimates, comparisons, resources, limits. Frames in, records out.

No file is read and nothing is drawn here; every number of the report comes from these records.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.cautions import Cautions, find_cautions, say_cautions, say_mixed
from analysis.comparisons import AnalysisPlan, Comparison, Sample, is_better
from analysis.estimates import Estimate, Interval, estimate
from analysis.frame import ExperimentFrame, show_value
from analysis.importance import Importance
from analysis.inference import (
    account_for_looks,
    analysis_plan,
    bootstrap_intervals,
    chance,
    find_importance,
    find_selection,
    find_systems,
    judge_all,
    runs_by_configuration,
)
from analysis.lineage import Course, Fate
from analysis.missing import Robustness
from analysis.optimism import Selection
from analysis.registration import Registration, Standing, read_registration
from analysis.sequential import TwoLooks
from analysis.systems import OverSystems
from analysis.verdicts import Judgement
from hpc.core.resources import parse_time
from hpc.core.spec import Metric

if TYPE_CHECKING:
    from analysis.answer import CriterionAnswer

Floats = npt.NDArray[np.float64]
HOUR = 3600.0


@dataclass(frozen=True)
class RunCounts:
    """What happened to every run. The first five numbers add up to `planned`; the others are told apart from them.

    Attributes:
        planned: Tasks of the manifest.
        finished: Tasks that gave their result.
        failed: Failure class → tasks whose last word is that class, most frequent first.
        running: Tasks being executed when the results were collected.
        pending: Tasks handed to the scheduler and not started.
        never_started: Tasks nobody has submitted.
        several: Tasks with more than one attempt → how many, by what came of them (see `lineage.Course`).
        attempts: What came of each attempt of all tasks (see `lineage.Fate`) → how many.
        altered: Tasks whose last attempt is no longer what was asked; shown, kept out of means and comparisons.
        without_value: Finished, unaltered tasks without a finite primary metric.
    """

    planned: int
    finished: int
    failed: Mapping[str, int]
    running: int
    pending: int
    never_started: int
    several: Mapping[str, int]
    attempts: Mapping[str, int]
    altered: int
    without_value: int

    @property
    def failed_total(self) -> int:
        """Tasks that failed for whatever reason."""
        return sum(self.failed.values())

    @property
    def sum_text(self) -> str:
        """The sum, written out: ``18 = 12 finished + 4 failed (3 oom_gpu, 1 divergence) + …``."""
        parts = [(self.finished, "finished"), (self.failed_total, "failed" + _by_class(self.failed))]
        parts += [(self.running, "running"), (self.pending, "pending"), (self.never_started, "never started")]
        return f"{self.planned} planned = " + " + ".join(f"{count} {word}" for count, word in parts)

    @property
    def healed(self) -> int:
        """Tasks that finished although an attempt of theirs had failed."""
        return self.several.get(Course.HEALED, 0)

    @property
    def continued(self) -> int:
        """Tasks that finished in several attempts, each going on where the one before was taken away."""
        return self.several.get(Course.CONTINUED, 0)

    @property
    def retried(self) -> int:
        """Tasks with more than one attempt, whatever came of them."""
        return sum(self.several.values())

    @property
    def several_text(self) -> str:
        """The sum of those with several attempts: ``4 = 3 healed + 1 continued + …``."""
        words = {
            Course.HEALED: "healed (an attempt failed, a later one finished)",
            Course.CONTINUED: "merely continued",
            Course.REPEATED: "run again after a success",
            Course.FAILED: "failed all the same",
            Course.OPEN: "not finished yet",
        }
        return _sum_text(self.retried, {words[Course(name)]: count for name, count in self.several.items()})

    @property
    def attempts_text(self) -> str:
        """The sum of the attempts: ``24 = 14 successful + 2 continued by a later attempt + …``."""
        words = {
            Fate.SUCCESS: "successful",
            Fate.CONTINUED: "continued by a later attempt",
            Fate.FAILED: "failed",
            Fate.OPEN: "open",
        }
        total = sum(self.attempts.values())
        return _sum_text(total, {words[Fate(name)]: count for name, count in self.attempts.items()})


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
        cautions: What is to be said of runs that are in the mean → runs: ``other code``, ``with warnings``.
        estimate: Mean, std, n and interval over its usable runs.
        secondary: Metric → estimate, for the other declared metrics.
        is_baseline: Whether others are compared with it.
        comparison: Against its baseline; None for a baseline, or where none is declared.
        baseline: Number of the configuration it was compared with; None also where a stored baseline was.
        bootstrap: BCa bootstrap interval of the mean; None with fewer than 10 values.
        judgement: Both verdicts side by side; None where there is no comparison.
        robustness: How the comparison reads with what is missing from it; None where nothing is.
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
        """What is in the mean and has to be known of it: ``1 of 3 other code; 2 of 3 with warnings``."""
        return "; ".join(f"{count} of {self.estimate.n} {name}" for name, count in self.cautions.items())


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
    """

    result: ConfigurationResult
    of: int
    complete: bool
    rival: ConfigurationResult | None
    selection: Selection | None = None


@dataclass(frozen=True)
class Healed:
    """A task that finished after a failed attempt.

    Attributes:
        row: Row of the task.
        run_name: Its name.
        classes: Failure class of each failed attempt, in order.
        how: What was changed: ``micro-batch 16 → 8, accumulation 4 → 8, global batch stays 64``.
        altered: Whether it is no longer the run that was asked for.
    """

    row: int
    run_name: str
    classes: tuple[str, ...]
    how: str
    altered: bool


@dataclass(frozen=True)
class ContinuedAttempt:
    """An attempt that was taken away and that a later one took up: part of the result, not a failure.

    Attributes:
        row: Row of the task.
        run_name: Name of the task.
        attempt: Attempt number, from 1.
        ended_as: Why it ended: ``timeout (checkpointed)``, ``preempted``.
        continued_in: Number of the attempt that started from its checkpoint.
        has_result: Whether the task has finished since; until then its hours are open.
        elapsed_s: Seconds it ran; None when not recorded.
        directory: Folder below the experiment's.
    """

    row: int
    run_name: str
    attempt: int
    ended_as: str
    continued_in: int
    has_result: bool
    elapsed_s: float | None
    directory: str


@dataclass(frozen=True)
class FailedAttempt:
    """One attempt that gave no result, why we say so, and what was done.

    Attributes:
        row: Row of the task.
        run_name: Name of the task.
        attempt: Attempt number, from 1.
        category: Failure class; `cause` is the sub-cause, may be empty.
        cause: Sub-cause.
        rule: Rule that decided.
        evidence: The most telling line.
        where: Where it stands: ``stderr:41``.
        summary: One sentence.
        action: What was done, and why.
        directory: Folder below the experiment's.
    """

    row: int
    run_name: str
    attempt: int
    category: str
    cause: str
    rule: str
    evidence: str
    where: str
    summary: str
    action: str
    directory: str


@dataclass(frozen=True)
class Spending:
    """Attempts of one kind and what they used.

    Attributes:
        category: Verdict; ``continued (preempted)`` where a later attempt took it up; ``open`` where it has not ended,
            or the one that took it up has not.
        fate: What came of them (see `lineage.Fate`).
        attempts: How many.
        gpu_hours: GPU hours used.
        cpu_hours: Core hours used: elapsed time × cores asked for.
    """

    category: str
    fate: str
    attempts: int
    gpu_hours: float
    cpu_hours: float


@dataclass(frozen=True)
class ResourceUse:
    """What the experiment cost.

    Attributes:
        by_verdict: Use by verdict of the attempt; adds up to the totals.
        forecast_h: GPU hours, or core hours where no GPU was asked for, that `hpc.plan` announced at most: every task
            its whole time limit.
        gpu_hours_asked: GPUs × nodes × time limit, over all attempts; 0 when no GPU was asked for.
        has_gpu: Whether any attempt had one.
        mean_run_s: Mean wall time of a finished task in seconds, the attempts it continued included; None without any.
        runs_timed: Tasks behind `mean_run_s`.
        peak_memory_mib: Highest host memory of any attempt; None when it was never measured.
        peak_gpu_memory_mib: The same on the GPU.
        memory_asked_mib: Host memory asked for by that attempt.
    """

    by_verdict: tuple[Spending, ...]
    forecast_h: float
    gpu_hours_asked: float
    has_gpu: bool
    mean_run_s: float | None
    runs_timed: int
    peak_memory_mib: float | None
    peak_gpu_memory_mib: float | None
    memory_asked_mib: float | None

    @property
    def gpu_hours(self) -> float:
        return sum(one.gpu_hours for one in self.by_verdict)

    @property
    def cpu_hours(self) -> float:
        return sum(one.cpu_hours for one in self.by_verdict)

    @property
    def failed(self) -> tuple[Spending, ...]:
        """What went into attempts that gave no result."""
        return tuple(one for one in self.by_verdict if one.fate == Fate.FAILED)


@dataclass(frozen=True)
class Findings:
    """Everything the report states.

    Attributes:
        counts: What happened to every run.
        primary: The metric the verdict is about; None when none is declared.
        secondary: The other declared metrics.
        results: One per configuration, in manifest order.
        best: The best configuration; None when no run gave a value.
        healed: Tasks that finished after a failure.
        continued: Every attempt that was taken away and taken up by a later one.
        failures: Every attempt that gave no result.
        cautions: What is to be known of values that are in the means.
        resources: What it cost.
        verdict: The first verdict, sentences in plain words.
        limitations: What the reader has to keep in mind, sentences from facts.
        plan: How comparisons are judged: error rate, correction, coverage, margin.
        looks: The account of the second look at the seeds; None where their number was fixed.
        importance: What the swept parameters do to the primary metric; None where nothing was swept or too few runs are
            there.
        over_systems: Methods over systems; None where the baseline stands for one configuration.
        stored_baseline: Name of the experiment whose stored runs are the baseline; empty where it is in the sweep.
        registration: What was sealed before the runs, and what was done otherwise.
        answer: The criterion of success and its answer; None where the brief has none, or nobody has answered it yet.
    """

    counts: RunCounts
    primary: Metric | None
    secondary: tuple[Metric, ...]
    results: tuple[ConfigurationResult, ...]
    best: Best | None
    healed: tuple[Healed, ...]
    continued: tuple[ContinuedAttempt, ...]
    failures: tuple[FailedAttempt, ...]
    cautions: Cautions
    resources: ResourceUse
    verdict: tuple[str, ...]
    limitations: tuple[str, ...]
    plan: AnalysisPlan
    looks: TwoLooks | None
    importance: Importance | None
    over_systems: OverSystems | None
    stored_baseline: str
    registration: Registration
    answer: "CriterionAnswer | None" = None

    @property
    def compared(self) -> tuple[ConfigurationResult, ...]:
        """The configurations that have a baseline."""
        return tuple(one for one in self.results if one.comparison is not None)


def find(frame: ExperimentFrame, stored: Mapping[str, Sample] | None = None) -> Findings:
    """Judge one experiment.

    Args:
        frame: The experiment.
        stored: Samples of a stored baseline by metric, with which every configuration is compared; None where the
            baseline is in the sweep.
    """
    goals = frame.metric_goals
    primary, secondary = (goals[0] if goals else None), goals[1:]
    counts = count_runs(frame, primary)
    cautions = find_cautions(frame)
    judged = judge_configurations(frame, primary, secondary, cautions, stored)
    registration = read_registration(frame)
    results = judged.results
    best = choose_best(results, primary)
    if best is not None and primary is not None:
        best = replace(best, selection=_selection(frame, results, best, primary))
    return Findings(
        counts=counts,
        primary=primary,
        secondary=secondary,
        results=results,
        best=best,
        healed=find_healed(frame),
        continued=find_continued(frame),
        failures=find_failures(frame),
        cautions=cautions,
        resources=add_up_resources(frame),
        verdict=say_verdict(frame, primary, judged, best, cautions),
        limitations=say_limitations(frame, counts, judged, best, cautions, registration),
        plan=judged.plan,
        looks=judged.looks,
        importance=_importance(frame, primary, judged.plan),
        over_systems=judged.over_systems,
        stored_baseline=judged.stored_baseline,
        registration=registration,
    )


def count_runs(frame: ExperimentFrame, primary: Metric | None) -> RunCounts:
    """Count every task exactly once.

    Raises:
        AssertionError: The parts do not add up to the whole, which only a fault in this program can cause.
    """
    tasks = frame.tasks
    outcome = Counter(tasks["outcome"])
    failed = Counter(tasks.loc[tasks["outcome"] == "failed", "failure_class"])
    has_value = np.isfinite(metric_values(frame, primary.name)) if primary else np.ones(len(tasks), dtype=bool)
    counts = RunCounts(
        planned=len(frame.manifest["tasks"]),
        finished=outcome["finished"],
        failed=dict(sorted(failed.items(), key=lambda item: (-item[1], item[0]))),
        running=outcome["running"],
        pending=outcome["pending"],
        never_started=outcome["planned"],
        several=_count_words(tasks["course"], [one for one in Course if one is not Course.SINGLE]),
        attempts=_count_words(frame.attempts["fate"], list(Fate)),
        altered=int(tasks["altered"].sum()),
        without_value=int((frame.usable & ~has_value).sum()),
    )
    parts = counts.finished + counts.failed_total + counts.running + counts.pending + counts.never_started
    if parts != counts.planned:
        raise AssertionError(f"{counts.sum_text}, but that is {parts}")
    if counts.retried != int((tasks["attempts"] > 1).sum()) or sum(counts.attempts.values()) != tasks["attempts"].sum():
        raise AssertionError(f"{counts.several_text}; {counts.attempts_text}: not every attempt is in one of the parts")
    return counts


def metric_values(frame: ExperimentFrame, metric: str) -> Floats:
    """Values of a metric, array of shape (tasks,); all NaN when no run ever wrote it."""
    if metric in frame.values:
        return frame.values[metric].to_numpy(dtype=np.float64)
    return np.full(len(frame.tasks), np.nan)


def usable_values(frame: ExperimentFrame, metric: str) -> Floats:
    """Values that may enter means: array of shape (tasks,), NaN for failed, unfinished and altered runs."""
    return np.where(frame.usable, metric_values(frame, metric), np.nan)


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
    baseline_of = {} if stored else find_baselines(frame, members)
    plan = analysis_plan(frame.spec, primary)
    goal = primary.goal if primary else "min"
    values = usable_values(frame, primary.name) if primary else np.full(len(frame.tasks), np.nan)
    every_value = metric_values(frame, primary.name) if primary else values
    runs = runs_by_configuration(frame, members, values, every_value)
    kept = stored.get(primary.name) if stored and primary else None
    looks = account_for_looks(frame.spec, plan, kept, chance(frame))
    judged = judge_all(runs, baseline_of, kept, goal, plan, looks) if primary else {}
    bootstraps = bootstrap_intervals([one.values for one in runs], plan, chance(frame))
    others = {goal.name: usable_values(frame, goal.name) for goal in secondary}
    outcome, failure = frame.tasks["outcome"].to_numpy(), frame.tasks["failure_class"].to_numpy()
    altered = frame.tasks["altered"].to_numpy(dtype=bool)
    baselines = set(baseline_of.values())
    results = tuple(
        ConfigurationResult(
            number=number,
            label=frame.configurations[number],
            planned=len(rows),
            failed=dict(sorted(Counter(failure[rows][outcome[rows] == "failed"]).items())),
            unfinished=int(np.isin(outcome[rows], ("running", "pending", "planned")).sum()),
            altered=int((altered[rows] & (outcome[rows] == "finished")).sum()),
            cautions=cautions.count(int(row) for row in rows if np.isfinite(values[row])),
            estimate=estimate(values[rows], plan.confidence),
            secondary={name: estimate(array[rows], plan.confidence) for name, array in others.items()},
            is_baseline=number in baselines,
            comparison=judged[number].comparison if number in judged else None,
            baseline=baseline_of.get(number) if number in judged else None,
            bootstrap=bootstraps[number],
            judgement=judged[number].judgement if number in judged else None,
            robustness=judged[number].robustness if number in judged else None,
        )
        for number, rows in enumerate(members)
    )
    return JudgedConfigurations(
        results=results,
        plan=plan,
        looks=looks,
        over_systems=find_systems(frame, members, runs, baseline_of, goal, plan, chance(frame)) if primary else None,
        stored_baseline=str((frame.spec.get("analysis") or {}).get("baseline_from") or "a stored baseline")
        if kept
        else "",
    )


def group_rows(frame: ExperimentFrame) -> list[npt.NDArray[np.int64]]:
    """Rows of each configuration, in the manifest's order."""
    groups = frame.tasks.groupby("configuration", sort=True).indices
    return [np.asarray(groups[number], dtype=np.int64) for number in range(len(frame.configurations))]


def _selection(
    frame: ExperimentFrame, results: Sequence[ConfigurationResult], best: Best, primary: Metric
) -> Selection | None:
    """Correct the choice among those it was made from."""
    values, members = usable_values(frame, primary.name), group_rows(frame)
    candidates = [
        one.number for one in results if one.estimate.n and (one.estimate.n == one.planned or not best.complete)
    ]
    return find_selection([values[rows] for rows in members], candidates, primary.goal, chance(frame))


def _importance(frame: ExperimentFrame, primary: Metric | None, plan: AnalysisPlan) -> Importance | None:
    if primary is None:
        return None
    return find_importance(frame, primary, usable_values(frame, primary.name), plan)


def find_baselines(frame: ExperimentFrame, members: Sequence[npt.NDArray[np.int64]]) -> dict[int, int]:
    """Find which configuration each one is compared with (itself, for a baseline); empty when none is declared.

    A baseline that leaves parameters open (`{training: sft}` in a grid over systems too) stands for one configuration
    per value of those: each configuration is compared with the baseline that shares its other parameters.
    """
    declared = dict(frame.spec.get("baseline") or {})
    if not declared:
        return {}
    asked = frame.manifest["tasks"]
    tasks = [_with_case(asked[int(rows[0])]) for rows in members]
    declared = {("case" if name == "id" else name): value for name, value in declared.items()}
    matching = [
        number for number, task in enumerate(tasks) if all(task.get(name) == declared[name] for name in declared)
    ]
    if len(matching) == 1:
        return dict.fromkeys(range(len(tasks)), matching[0])
    by_rest = {_rest(tasks[number], declared): number for number in matching}
    found = {number: by_rest.get(_rest(task, declared)) for number, task in enumerate(tasks)}
    return {number: baseline for number, baseline in found.items() if baseline is not None}


def choose_best(results: Sequence[ConfigurationResult], primary: Metric | None) -> Best | None:
    """Choose the best mean among the configurations that lost no run; name a better one that did."""
    if primary is None:
        return None
    sign = 1 if primary.goal == "min" else -1
    valued = sorted(
        (one for one in results if one.estimate.mean is not None), key=lambda one: sign * (one.estimate.mean or 0.0)
    )
    if not valued:
        return None
    complete = [one for one in valued if one.estimate.n == one.planned]
    chosen = (complete or valued)[0]
    rival = valued[0] if valued[0] is not chosen else None
    return Best(chosen, of=len(valued), complete=bool(complete), rival=rival)


def find_healed(frame: ExperimentFrame) -> tuple[Healed, ...]:
    """Name each task that finished after a failed attempt, and what was changed."""
    rows = np.flatnonzero(frame.tasks["course"] == Course.HEALED)
    grouped = frame.attempts[frame.attempts["task"].isin(rows)].groupby("task", sort=True)
    return tuple(_healed(frame, int(str(row)), group) for row, group in grouped)


def find_continued(frame: ExperimentFrame) -> tuple[ContinuedAttempt, ...]:
    """List every attempt that was taken away and taken up by a later one, on the way to a result."""
    attempts = frame.attempts
    rows = attempts[(attempts["continued_in"] > 0) & attempts["fate"].isin((Fate.CONTINUED, Fate.OPEN))]
    return tuple(
        ContinuedAttempt(
            row=int(one["task"]),
            run_name=str(frame.tasks["run_name"].iloc[int(one["task"])]),
            attempt=int(one["attempt"]),
            ended_as=_class_text(one),
            continued_in=int(one["continued_in"]),
            has_result=one["fate"] == Fate.CONTINUED,
            elapsed_s=_finite(one["elapsed_s"]),
            directory=str(one["directory"] or ""),
        )
        for one in rows.to_dict("records")
    )


def find_failures(frame: ExperimentFrame) -> tuple[FailedAttempt, ...]:
    """List every attempt that gave no result, with its evidence and what was done about it."""
    attempts = frame.attempts
    rows = attempts[attempts["fate"] == Fate.FAILED]
    following = {(one["task"], one["attempt"]): one for one in attempts.to_dict("records")} if len(rows) else {}
    return tuple(_failed_attempt(frame, one, following) for one in rows.to_dict("records"))


def add_up_resources(frame: ExperimentFrame) -> ResourceUse:
    """Add up what all attempts used: for results, in attempts the results continued, in failed and in open ones."""
    resources = frame.spec.get("resources") or {}
    attempts = frame.attempts
    nodes = attempts["nodes"].fillna(float(resources.get("nodes") or 1))
    cores = float(resources.get("cpus") or 1) * nodes
    used = pd.DataFrame(
        {
            "category": [
                _spent_on(fate, name) for fate, name in zip(attempts["fate"], attempts["category"], strict=True)
            ],
            "fate": attempts["fate"],
            "gpu": attempts["gpu_seconds"].fillna(0.0) / HOUR,
            "cpu": attempts["elapsed_s"].fillna(0.0) * cores / HOUR,
        }
    )
    spent = [
        Spending(
            str(group["category"].iloc[0]), str(fate), len(group), float(group["gpu"].sum()), float(group["cpu"].sum())
        )
        for (fate, _), group in used.groupby(["fate", "category"])
    ]
    order = {fate.value: place for place, fate in enumerate(Fate)}
    run_s = _run_times(frame)
    memory = attempts["peak_memory_mib"]
    highest = int(memory.argmax()) if memory.notna().any() else None
    return ResourceUse(
        by_verdict=tuple(sorted(spent, key=lambda one: (order[one.fate], -one.attempts, one.category))),
        forecast_h=_forecast_h(resources, len(frame.tasks)),
        gpu_hours_asked=float((attempts["gpus"].fillna(0.0) * nodes * attempts["time_s"].fillna(0.0)).sum() / HOUR),
        has_gpu=bool((attempts["gpus"].fillna(0.0) > 0).any()),
        mean_run_s=float(run_s.mean()) if len(run_s) else None,
        runs_timed=len(run_s),
        peak_memory_mib=None if highest is None else float(memory.iloc[highest]),
        peak_gpu_memory_mib=_maximum(attempts["peak_gpu_memory_mib"]),
        memory_asked_mib=None if highest is None else _finite(attempts["memory_mib"].iloc[highest]),
    )


def _forecast_h(resources: Mapping[str, Any], tasks: int) -> float:
    units = int(resources.get("gpus") or 0) or int(resources.get("cpus") or 1)
    limit_s = parse_time(resources["time"]) if resources.get("time") else HOUR
    return float(tasks * int(resources.get("nodes") or 1) * units * limit_s / HOUR)


def say_verdict(
    frame: ExperimentFrame,
    primary: Metric | None,
    judged: JudgedConfigurations,
    best: Best | None,
    cautions: Cautions,
) -> tuple[str, ...]:
    """Say in plain words what the primary metric shows, every statement with its n."""
    if primary is None:
        return ("No primary metric is declared, so there is nothing to judge.",)
    valued = [one for one in judged.results if one.estimate.n]
    if not valued:
        return (f"No run has given a value of {primary.name} yet: there is nothing to judge (n=0).",)
    compared = [one for one in judged.results if one.comparison is not None]
    if not compared:
        reason = "No baseline is declared" if not frame.spec.get("baseline") else "Nothing but the baseline was run"
        untested = f"{reason}: the means below stand side by side and nothing was tested."
        return tuple(text for text in (untested, say_mixed(cautions), *_say_best(best, primary)) if text)
    said = (
        _say_headline(compared, primary),
        say_mixed(cautions),
        _say_tested(compared, primary, judged),
        _say_rule(compared),
        *(_say_notable(one, primary, judged) for one in _notable(compared)),
        _say_hanging(compared),
        *_say_best(best, primary),
    )
    return tuple(text for text in said if text)


def say_limitations(
    frame: ExperimentFrame,
    counts: RunCounts,
    judged: JudgedConfigurations,
    best: Best | None,
    cautions: Cautions,
    registration: Registration,
) -> tuple[str, ...]:
    """List what the reader has to keep in mind; each sentence follows from a fact of this experiment."""
    results = judged.results
    said = [_limit_open(counts), _limit_failed(counts, results), _limit_small(results), _limit_altered(counts)]
    if counts.without_value:
        said.append(
            f"{counts.without_value} finished runs gave no finite value of the primary metric; they count as missing."
        )
    said += say_cautions(frame, cautions, [(one.number, one.baseline) for one in results if one.baseline is not None])
    said += [_limit_rule(results), _limit_margin(judged), judged.looks.text if judged.looks else ""]
    said.append(_limit_best(best))
    said.append(registration.headline if registration.standing is Standing.EXPLORATORY else "")
    if ((frame.manifest.get("provenance") or {}).get("git") or {}).get("dirty"):
        said.append(
            "The code had uncommitted changes when the experiment was planned: the commit alone does not reproduce it."
        )
    return tuple(text for text in said if text)


def list_counts(counts: Mapping[str, int]) -> str:
    """Write ``3 oom_gpu, 1 divergence``."""
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _sum_text(total: int, parts: Mapping[str, int]) -> str:
    """Write ``5 = 3 healed + 2 failed``; parts of nothing are left out."""
    return f"{total} = " + " + ".join(f"{count} {word}" for word, count in parts.items() if count) if total else "none"


def _count_words(column: "pd.Series[Any]", words: Sequence[str]) -> dict[str, int]:
    """Count each word in a column, in the words' order; those that never come are left out."""
    counted = Counter(column)
    return {str(word): counted[word] for word in words if counted[word]}


def _class_text(attempt: Mapping[Any, Any]) -> str:
    """Write ``timeout (checkpointed)`` or ``preempted``."""
    return str(attempt["category"]) + (f" ({attempt['cause']})" if attempt["cause"] else "")


def _spent_on(fate: str, category: str) -> str:
    """Name what an attempt's hours went into."""
    return {Fate.OPEN: "open", Fate.CONTINUED: f"continued ({category})"}.get(Fate(fate), category)


def _run_times(frame: ExperimentFrame) -> Floats:
    """Wall time of each finished task in seconds: its last attempt and those it continued."""
    attempts = frame.attempts
    finished = (frame.tasks["outcome"] == "finished").to_numpy()[attempts["task"].to_numpy()]
    mine = attempts[finished & attempts["stands_behind"] & attempts["fate"].isin((Fate.SUCCESS, Fate.CONTINUED))]
    sums: Floats = mine.groupby("task")["elapsed_s"].sum(min_count=1).dropna().to_numpy(dtype=np.float64)
    return sums


def _by_class(failed: Mapping[str, int]) -> str:
    return f" ({list_counts(failed)})" if failed else ""


def _with_case(task: Mapping[str, Any]) -> dict[str, Any]:
    return {**task["parameters"], "case": task.get("case")}


def _rest(task: Mapping[str, Any], declared: Mapping[str, Any]) -> str:
    """What a configuration is beside the parameters the baseline fixes, as a key."""
    return repr(sorted((name, show_value(value)) for name, value in task.items() if name not in declared))


def _healed(frame: ExperimentFrame, row: int, attempts: pd.DataFrame) -> Healed:
    records = attempts.to_dict("records")
    steps = [
        f"attempt {after['attempt']} continued" if before["fate"] == Fate.CONTINUED else _change_text(before, after)
        for before, after in pairwise(records)
    ]
    task = frame.tasks.iloc[row]
    return Healed(
        row=row,
        run_name=str(task["run_name"]),
        classes=tuple(str(one["category"]) for one in records if one["fate"] == Fate.FAILED),
        how="; then ".join(steps),
        altered=bool(task["altered"]),
    )


def _change_text(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> str:
    """Say what the next attempt did differently, from the numbers; else in the retry plan's own words."""
    parts = []
    if _differ(before["micro_batch"], after["micro_batch"]):
        parts.append(f"micro-batch {before['micro_batch']} → {after['micro_batch']}")
        if _differ(before["accumulation"], after["accumulation"]):
            parts.append(f"accumulation {before['accumulation']} → {after['accumulation']}")
        same = before["global_batch"] == after["global_batch"]
        parts.append(
            f"global batch stays {after['global_batch']}" if same
            else f"global batch {before['global_batch']} → {after['global_batch']}"
        )  # fmt: skip
    if _differ(_finite(before["memory_mib"]), _finite(after["memory_mib"])):
        parts.append(f"memory {before['memory_mib']:.0f} → {after['memory_mib']:.0f} MiB")
    if _differ(_finite(before["time_s"]), _finite(after["time_s"])):
        parts.append(f"time limit {before['time_s'] / 60:.0f} → {after['time_s'] / 60:.0f} min")
    return ", ".join(parts) or str(after["changes"]) or _repeated_text(before, after)


def _repeated_text(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> str:
    """Say that nothing was changed, and where the next attempt began."""
    if before["continued_in"] == after["attempt"]:
        return f"resumed from attempt {before['attempt']}, nothing changed"
    return "started again, nothing changed"


def _differ(before: Any, after: Any) -> bool:
    return before is not None and after is not None and before != after


def _failed_attempt(
    frame: ExperimentFrame, one: Mapping[Any, Any], all_attempts: Mapping[tuple[int, int], Mapping[Any, Any]]
) -> FailedAttempt:
    row = int(one["task"])
    task = frame.tasks.iloc[row]
    later = all_attempts.get((row, int(one["attempt"]) + 1))
    if later is not None:
        action = f"attempt {later['attempt']}: {_change_text(one, later)}"
    else:
        said = {"retry": "to be retried", "declined": "not retried"}.get(str(task["action"]), "none yet")
        action = ": ".join(text for text in (said, str(task["reason"])) if text)
    where = ":".join(str(part) for part in (one["source"], one["line"]) if part)
    return FailedAttempt(
        row=row,
        run_name=str(task["run_name"]),
        attempt=int(one["attempt"]),
        category=str(one["category"]),
        cause=str(one["cause"]),
        rule=str(one["rule"]),
        evidence=str(one["text"]),
        where=where,
        summary=str(one["summary"]),
        action=action,
        directory=str(one["directory"] or ""),
    )


def _maximum(column: "pd.Series[float]") -> float | None:
    return float(column.max()) if column.notna().any() else None


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


def _word(one: ConfigurationResult) -> str:
    """The tested verdict; empty without a comparison."""
    return one.judgement.tested.word if one.judgement else ""


def _say_headline(compared: Sequence[ConfigurationResult], primary: Metric) -> str:
    """The answer in one sentence, by the test alone."""
    by_word = {word: [one for one in compared if _word(one) == word] for word in ("WINNER", "LOSER", "EQUIVALENT")}
    better = by_word["WINNER"]
    if better:
        names = ", ".join(f"{one.label} (n={one.estimate.n})" for one in better[:3])
        more = f" and {len(better) - 3} more" if len(better) > 3 else ""
        return f"Better than the baseline on {primary.name}: {names}{more}."
    sizes = _range(one.estimate.n for one in compared)
    parts = [
        f"{len(found)} of {len(compared)} {'is' if len(found) == 1 else 'are'} {said}"
        for found, said in ((by_word["LOSER"], "worse"), (by_word["EQUIVALENT"], "shown to be equivalent"))
        if found
    ]
    if parts:
        shown = f"No configuration is shown to be better than the baseline on {primary.name}"
        return f"{shown}; {', '.join(parts)} (n={sizes})."
    return f"No configuration is shown to differ from the baseline on {primary.name} (n={sizes})."


def _say_tested(compared: Sequence[ConfigurationResult], primary: Metric, judged: JudgedConfigurations) -> str:
    said = Counter(_word(one) for one in compared)
    baselines = [one for one in judged.results if one.is_baseline]
    if judged.stored_baseline:
        stored = _range(one.comparison.n_baseline for one in compared if one.comparison)
        against = f"the stored baseline {judged.stored_baseline} (n={stored})"
    elif len(baselines) == 1:
        against = f"the baseline {baselines[0].label} (n={baselines[0].estimate.n})"
    else:
        against = f"their {len(baselines)} baselines (n={_range(one.estimate.n for one in baselines)})"
    runs = _range(one.estimate.n for one in compared)
    tests = len(compared) - said["not computable"]
    kinds = sorted({one.comparison.test for one in compared if one.comparison and one.comparison.test})
    correction = {"holm": "Holm-adjusted", "bh": "adjusted after Benjamini and Hochberg"}[judged.plan.correction]
    level = judged.looks.level if judged.looks else judged.plan.alpha
    words = ("WINNER", "LOSER", "EQUIVALENT", "INCONCLUSIVE", "not computable")
    return (
        f"Tested ({primary.name}, {'lower' if primary.goal == 'min' else 'higher'} is better): of "
        f"{_count(len(compared), 'configuration')} (n={runs}) against {against}, "
        f"{', '.join(f'{said[word]} {word}' for word in words if said[word])} "
        f"({' or '.join(kinds) or 'no test'}, {correction} over {_count(tests, 'test')}, p < {level:.3g})."
    )


def _say_rule(compared: Sequence[ConfigurationResult]) -> str:
    said = Counter(one.judgement.rule.word for one in compared if one.judgement)
    chances = _false_alarms(compared)
    text = (
        f"2σ rule (a screening rule, not a test): {said['WINNER']} WINNER, {said['NEUTRAL']} NEUTRAL, {said['LOSER']} "
        f"LOSER, {said['not computable']} not computable."
    )
    if chances:
        text += (
            f" With these n it calls {_range(round(100 * chance) for chance in chances)} % of configurations that do "
            "not differ a winner or a loser."
        )
    return text


def _false_alarms(results: Sequence[ConfigurationResult]) -> list[float]:
    """Chance of a false alarm of the 2σ rule for each comparison that has one."""
    chances = [one.judgement.rule.false_alarm for one in results if one.judgement]
    return [chance for chance in chances if chance is not None]


def _notable(compared: Sequence[ConfigurationResult]) -> list[ConfigurationResult]:
    """The few comparisons a sentence is spent on: significant ones, else what the 2σ rule says, else the only ones."""
    tested = [one for one in compared if _word(one) in ("WINNER", "LOSER")]
    ruled = [one for one in compared if one.judgement and one.judgement.rule.word in ("WINNER", "LOSER")]
    few = [one for one in compared if one.comparison and one.comparison.difference is not None]
    chosen = tested or ruled or (few if len(few) <= 2 else [])
    return sorted(chosen, key=lambda one: -abs((one.comparison and one.comparison.relative_percent) or 0.0))[:2]


def _say_hanging(compared: Sequence[ConfigurationResult]) -> str:
    """Name the comparisons whose verdict another reading of what is missing would change."""
    hanging = [one for one in compared if one.robustness and one.robustness.hangs_on]
    if not hanging:
        return ""
    first = hanging[0]
    more = f" So do {len(hanging) - 1} more." if len(hanging) > 1 else ""
    told = first.robustness.text if first.robustness else ""
    return f"What is missing decides about {first.label} (n={first.estimate.n}): {told}.{more}"


def _say_notable(one: ConfigurationResult, primary: Metric, judged: JudgedConfigurations) -> str:
    """One comparison in one sentence; significance, effect size and the declared meaningful difference each named."""
    comparison, judgement = one.comparison, one.judgement
    if comparison is None or judgement is None or comparison.difference is None:
        raise ValueError(f"{one.label} was not compared")
    relative = comparison.relative_percent
    size = f"{abs(relative):.1f} %" if relative is not None else f"{abs(comparison.difference):.4g}"
    direction = "lower" if comparison.difference < 0 else "higher"
    better = "better" if is_better(comparison.difference, primary.goal) else "worse"
    against = "the stored baseline" if one.baseline is None else judged.results[one.baseline].label
    tested = (
        f"adjusted p = {comparison.p_adjusted:.3g}, {judgement.tested.word}" if comparison.p_adjusted is not None
        else "not tested"
    )  # fmt: skip
    effect = f"d = {comparison.cohens_d:.2f} ({comparison.magnitude})" if comparison.cohens_d is not None else "no d"
    text = (
        f"{one.label} (n={one.estimate.n}) is {size} {direction} than {against} "
        f"(n={comparison.n_baseline}), which is the {better} direction; {tested}; {effect}; 2σ rule: "
        f"{judgement.rule.word}."
    )
    if primary.meaningful is not None and relative is not None:
        reached = "reaches" if abs(relative) >= 100 * primary.meaningful else "stays below"
        text += f" Taken at face value its size {reached} the {100 * primary.meaningful:g} % declared as meaningful."
    if judgement.tested.further_seeds is not None:
        text += (
            f" {_count(judgement.tested.further_seeds, 'further seed')} on both sides would settle it with a chance of "
            "80 % if the difference is what it looks like."
        )
    text += f" Not in its mean: {one.missing_text}." if one.missing_text else ""
    return text + (f" In its mean: {one.caution_text}." if one.caution_text else "")


def _say_best(best: Best | None, primary: Metric) -> tuple[str, ...]:
    """Name the best configuration, as the optimistic choice it is."""
    if best is None or best.of < 2:
        return ()
    word = "lowest" if primary.goal == "min" else "highest"
    among = "" if best.rival is None else " among the configurations that lost no run"
    text = (
        f"{best.result.label} (n={best.result.estimate.n}) has the {word} mean{among}; it was selected as the best of "
        f"{best.of}, so its mean tends to be too good{_by_how_much(best.selection)}."
    )
    if best.rival is not None:
        text += (
            f" The mean of {best.rival.label} (n={best.rival.estimate.n}) is better still, but it is the mean of what "
            f"was left: {best.rival.missing_text or 'runs without a value'}."
        )
    return (text,)


def _by_how_much(selection: Selection | None) -> str:
    """What held-out runs say of the best mean, and how firmly it is first."""
    if selection is None:
        return ""
    first = selection.ranks[0]
    firm = f"it stays first in {100 * first.first:.0f} % of bootstrap samples"
    if selection.held_out is None or selection.optimism is None:
        return f"; {firm}"
    here = f"here by about {selection.optimism:.3g}" if selection.optimism > 0 else "not so here"
    return f", {here}: {selection.apparent:.4g} as it stands, {selection.held_out:.4g} on held-out runs; {firm}"


def _range(numbers: Any) -> str:
    """Write ``3`` or ``2 to 3``."""
    found = sorted(set(numbers))
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _count(number: int, noun: str) -> str:
    """Write ``1 test`` or ``3 tests``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _runs(count: int) -> str:
    """Write ``1 run was`` or ``3 runs were``."""
    return f"{count} run was" if count == 1 else f"{count} runs were"


def _limit_open(counts: RunCounts) -> str:
    missing = counts.running + counts.pending + counts.never_started
    return (
        f"{missing} of {counts.planned} runs had not ended when the results were collected: everything is provisional."
        if missing
        else ""
    )


def _limit_failed(counts: RunCounts, results: Sequence[ConfigurationResult]) -> str:
    if not counts.failed_total:
        return ""
    touched = [one for one in results if one.failed]
    text = (
        f"{counts.failed_total} of {counts.planned} runs failed ({list_counts(counts.failed)}) in {len(touched)} of "
        f"{len(results)} configurations. Means describe the runs that finished; where failing depends on the "
        "configuration they flatter it."
    )
    if "divergence" in counts.failed:
        text += " A diverged run is a result: read it as a loss of its configuration."
    return text


def _limit_small(results: Sequence[ConfigurationResult]) -> str:
    sizes = [one.estimate.n for one in results if one.estimate.n]
    if not sizes or min(sizes) >= 5:
        return ""
    return (
        f"Few runs: n = {_range(sizes)} per configuration. With n = {min(sizes)} only large effects can be found; "
        "inconclusive does not mean equal."
    )


def _limit_altered(counts: RunCounts) -> str:
    if not counts.altered:
        return ""
    return (
        f"{_runs(counts.altered)} altered while being healed: no longer what was asked, listed, and kept out of means "
        "and comparisons."
    )


def _limit_rule(results: Sequence[ConfigurationResult]) -> str:
    chances = _false_alarms(results)
    if not chances:
        return ""
    return (
        f"The 2σ rule uses the baseline's own standard deviation: if nothing differed it would still call "
        f"{_range(round(100 * chance) for chance in chances)} % of the configurations here WINNER or LOSER. It does "
        "not correct for the number of comparisons; the tested verdict does."
    )


def _limit_margin(judged: JudgedConfigurations) -> str:
    if judged.plan.margin is not None or not any(one.comparison for one in judged.results):
        return ""
    return (
        "No meaningful difference is declared (metrics.primary.meaningful): equivalence cannot be shown, and what "
        "is not told from the baseline is inconclusive."
    )


def _limit_best(best: Best | None) -> str:
    if best is None or best.of < 2:
        return ""
    text = f"The best of {best.of} configurations was chosen on the data that describe it: its mean is optimistic."
    if best.selection is None or best.selection.held_out is None:
        return f"{text} New seeds would tell by how much."
    return f"{text} Runs held out from the choice have a mean of {best.selection.held_out:.4g}."
