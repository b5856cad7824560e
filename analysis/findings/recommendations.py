"""What to do next: rules over the findings, each with the facts that made it speak; without facts nothing is said.

A rule is a function from what is known to any number of recommendations; `RULES` lists them in the order of the report.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.data.comparable import Comparable, comparable_values
from analysis.data.frame import ExperimentFrame, Floats
from analysis.data.lineage import Fate
from analysis.data.swept import Swept, find_swept
from analysis.findings.configurations import SAME
from analysis.findings.findings import Findings
from analysis.statistics.estimates import estimate
from analysis.words import share_text, show_duration, show_number
from hpc.core.words import amount, counted

_MEMORY = ("oom_gpu", "oom_host", "oom_shm")
_FOR_PEOPLE = ("code_bug", "config", "data", "environment", "container", "storage")
"""Classes that no retry mends."""
_SEEDS_WORTH_ASKING = 20
_WASTE = 0.25
"""Share of all hours from which on what failed is worth a word."""
_IDLE = 0.3
"""Share of what was asked for below which it was too much."""


@dataclass(frozen=True)
class Recommendation:
    """Something to do.

    Attributes:
        rule: Name of the rule that spoke.
        action: What to do, one sentence without its full stop.
        evidence: The facts, with their numbers.
    """

    rule: str
    action: str
    evidence: str


@dataclass(frozen=True, eq=False)
class Known:
    """What the rules look at.

    Attributes:
        frame: The experiment.
        findings: What is known of it.
        swept: What was varied.
        values: Primary metric of each run, array of shape (tasks,); NaN where it may not be used. Comparable between
            systems, where there are some.
        unit: What was made of the metric for that; empty where it is as measured.
    """

    frame: ExperimentFrame
    findings: Findings
    swept: tuple[Swept, ...]
    values: Floats
    unit: str = ""


def recommend(frame: ExperimentFrame, findings: Findings) -> tuple[Recommendation, ...]:
    """Ask every rule; what it says is in the rules' order."""
    primary = findings.primary
    found = comparable_values(frame, primary) if primary else Comparable(np.full(len(frame.tasks), np.nan), "", ())
    known = Known(frame, findings, find_swept(frame), found.values, found.unit)
    return tuple(one for rule in RULES for one in rule(known))


def fix_first(known: Known) -> Iterator[Recommendation]:
    """What only people can mend: the most frequent failure, by class and rule, with its line; not what is mended."""
    is_failed = (known.frame.tasks["outcome"] != "finished").to_numpy()
    mine = [one for one in known.findings.failures if one.category in _FOR_PEOPLE and is_failed[one.row]]
    for (category, rule), count in Counter((one.category, one.rule) for one in mine).most_common(3):
        first = next(one for one in mine if (one.category, one.rule) == (category, rule))
        runs = len({one.row for one in mine if (one.category, one.rule) == (category, rule)})
        yield Recommendation(
            "fix_first",
            f"Fix this before running anything again: {first.evidence or first.summary}",
            f"{counted(count, 'attempt')} of {counted(runs, 'run')} ended as {category} ({rule}), {first.run_name} "
            f"first ({first.where or 'no log line'}); no retry will fix it",
        )


def start_again(known: Known) -> Iterator[Recommendation]:
    """Failed runs whose cause can be removed."""
    action = known.frame.tasks["action"]
    count = int(((known.frame.tasks["outcome"] == "failed") & (action == "retry")).sum())
    command = f"python -m hpc.collect {known.frame.layout.experiment} --retry-failed"
    if count:
        yield Recommendation(
            "start_again",
            f"Start {counted(count, 'failed run')} again: {command}",
            "the collector found a change that removes the cause without changing the question",
        )


def never_worked(known: Known) -> Iterator[Recommendation]:
    """Values of a parameter with which no run finished, though it did with others."""
    tasks = known.frame.tasks
    outcome, failure = tasks["outcome"].to_numpy(), tasks["failure_class"].to_numpy()
    for one in known.swept:
        for code, label in enumerate(one.labels):
            mine, others = one.codes == code, one.codes != code
            lost = mine & (outcome == "failed")
            if not lost.any() or (outcome[mine] == "finished").any() or not (outcome[others] == "finished").any():
                continue
            classes = Counter(failure[lost].tolist())
            (worst, count), total = classes.most_common(1)[0], int(mine.sum())
            of_memory = worst in _MEMORY
            yield Recommendation(
                "never_worked",
                f"Leave out {one.name}={label}, or give it {'more memory' if of_memory else 'other settings'}",
                f"{one.name}={label} never {'fit' if of_memory else 'worked'}: {count} of {counted(total, 'run')} "
                + ("ran out of memory" if of_memory else f"ended as {worst}")
                + f" ({worst}), none finished; with other values {int((outcome[others] == 'finished').sum())} did",
            )


def micro_batch(known: Known) -> Iterator[Recommendation]:
    """Healed runs that all had to halve the same micro-batch: the next ones may begin there."""
    attempts = known.frame.attempts
    healed = {one.row for one in known.findings.healed if not one.altered and set(one.classes) <= {"oom_gpu"}}
    mine = attempts[attempts["task"].isin(healed)].dropna(subset=["micro_batch"])
    steps: Counter[tuple[int, int]] = Counter()
    for _, group in mine.groupby("task", sort=True):
        first, last = int(group["micro_batch"].iloc[0]), int(group["micro_batch"].iloc[-1])
        if last < first:
            steps[first, last] += 1
    for (first, last), count in sorted(steps.items()):
        if count >= 2:
            yield Recommendation(
                "micro_batch",
                f"Start with a micro-batch of {last} where {first} did not fit",
                f"{counted(count, 'run')} ran out of memory with {first} and finished with {last} at the same "
                "global batch",
            )


def beyond_the_edge(known: Known) -> Iterator[Recommendation]:
    """The best value of a numeric parameter is the first or last one tried, and better than others beyond chance."""
    primary = known.findings.primary
    if primary is None or not known.findings.bests:
        return
    sign = -1 if primary.goal == "max" else 1
    metric = f"{primary.name} ({known.unit})" if known.unit else primary.name
    for one in known.swept:
        if not one.is_numeric or len(one.values) < 3:
            continue
        found = [estimate(known.values[one.codes == code]) for code in range(len(one.values))]
        means = np.array([np.nan if each.mean is None else sign * each.mean for each in found])
        if not np.isfinite(means).all():
            continue
        place = int(np.argmin(means))
        # With systems there is no best configuration of all, and what they have in common decides.
        if place not in (0, len(means) - 1) or (known.findings.best and _code_of_best(known, one) != place):
            continue
        if math.isclose(means[place], means[1 if place == 0 else -2], rel_tol=SAME):
            continue
        p = _p_of_edge(known, one.name, is_last=place > 0)
        if p is None or p >= known.findings.plan.alpha:
            continue
        end = one.labels[place]
        way = zip(one.labels, found, strict=True)
        course = ", ".join(f"{label}: {show_number(each.mean)} (n={each.n})" for label, each in way)
        yield Recommendation(
            "beyond_the_edge",
            f"Extend the range of {one.name} {'above' if place else 'below'} {end}",
            f"the best value is at the edge of the tried range; {metric} by {one.name}: {course}; "
            f"p = {p:.2g} against the other values",
        )


def _p_of_edge(known: Known, name: str, *, is_last: bool) -> float | None:
    """Chance to see the value on that edge so much better than the others by luck alone, any parameter's at that.

    None where it is not known: too few runs, or another value is the best with the other parameters held equal.
    """
    found = known.findings.importance
    effects = found.parameters if found else ()
    mine = (one for one in effects if one.name == name and one.on_edge and (one.best > 0) == is_last)
    p = next((one.p_best for one in mine), None)
    return None if p is None else min(1.0, p * len(effects))


def more_runs_of_baseline(known: Known) -> Iterator[Recommendation]:
    """A baseline of fewer than three values spoils every comparison at once."""
    resting_on = Counter(one.baseline for one in known.findings.compared)
    for one in known.findings.results:
        compared = resting_on[one.number]
        resting = f"{counted(compared, 'comparison')} {'rests' if compared == 1 else 'rest'} on it"
        if one.is_baseline and compared and one.estimate.n < 3:
            yield Recommendation(
                "more_runs_of_baseline",
                f"Give the baseline {one.label} at least 3 values, preferably 5",
                f"it has {one.estimate.n} of {one.planned}"
                + (f" ({one.missing_text})" if one.missing_text else "")
                + f", and {resting}",
            )


def more_seeds(known: Known) -> Iterator[Recommendation]:
    """Comparisons that a few further seeds would settle, the fewest first."""
    primary = known.findings.primary
    near = [
        (one.judgement.tested.further_seeds, one) for one in known.findings.compared
        if one.judgement and one.judgement.tested.further_seeds is not None
        and one.judgement.tested.further_seeds <= _SEEDS_WORTH_ASKING
    ]  # fmt: skip
    for seeds, one in sorted(near, key=lambda pair: (pair[0], pair[1].number))[:3]:
        if primary is None or one.judgement is None or one.comparison is None:
            continue
        base = "the stored baseline" if one.baseline is None else known.findings.results[one.baseline].label
        yield Recommendation(
            "more_seeds",
            f"{seeds} more {'seed' if seeds == 1 else 'seeds'} on both sides would settle {one.label} against {base}",
            f"{primary.name}: {one.judgement.tested.rationale}",
        )


def altered_runs(known: Known) -> Iterator[Recommendation]:
    """Runs that only finished with other settings ask for a configuration of their own."""
    mine = [one for one in known.findings.healed if one.altered]
    if mine:
        yield Recommendation(
            "altered_runs",
            "Plan the settings of the altered runs as a configuration of their own, with all seeds",
            f"{counted(len(mine), 'run')} finished only with other settings than asked for ({mine[0].run_name}: "
            f"{mine[0].how}) and entered no mean",
        )


def time_limit(known: Known) -> Iterator[Recommendation]:
    """A limit that runs hit, or one far above what any of them needs."""
    attempts = known.frame.attempts
    hit = int(((attempts["category"] == "timeout") & (attempts["fate"] == Fate.FAILED)).sum())
    if hit:
        yield Recommendation(
            "time_limit",
            "Ask for more time, or write checkpoints so that a later attempt can resume",
            f"{counted(hit, 'attempt')} ended at the time limit without being continued",
        )
        return
    done = attempts[(attempts["fate"] == Fate.SUCCESS) & attempts["time_s"].notna() & attempts["elapsed_s"].notna()]
    if len(done) < 3:
        return
    longest, limit = float(done["elapsed_s"].max()), float(done["time_s"].max())
    if longest < _IDLE * limit and limit - longest > 600:
        yield Recommendation(
            "time_limit",
            f"Ask for less time: {show_duration(2 * longest)} is twice what the longest run took",
            f"the longest of {counted(len(done), 'finished attempt')} took {show_duration(longest)} of "
            f"{show_duration(limit)}; "
            "short jobs start earlier",
        )


def memory_asked(known: Known) -> Iterator[Recommendation]:
    """Far more host memory asked for than any attempt used."""
    attempts = known.frame.attempts.dropna(subset=["memory_mib", "peak_memory_mib"])
    done = attempts[attempts["fate"] == Fate.SUCCESS]
    if len(done) < 3:
        return
    peak, asked = float(attempts["peak_memory_mib"].max()), float(attempts["memory_mib"].max())
    if peak < _IDLE * asked and asked - peak > 1024:
        yield Recommendation(
            "memory_asked",
            f"Ask for less memory: {1.5 * peak:.0f} MiB is 1.5 times the most that any attempt used",
            f"none of {counted(len(attempts), 'attempt')} used more than {peak:.0f} of {asked:.0f} MiB",
        )


def waste(known: Known) -> Iterator[Recommendation]:
    """One class of failures that took a good part of all hours."""
    use = known.findings.resources
    total = use.gpu_hours if use.has_gpu else use.cpu_hours
    hours = {one.category: one.gpu_hours if use.has_gpu else one.cpu_hours for one in use.failed}
    if not total or not hours:
        return
    worst, unit = max(hours, key=lambda name: (hours[name], name)), "GPU h" if use.has_gpu else "core h"
    if hours[worst] >= _WASTE * total:
        yield Recommendation(
            "waste",
            f"Test one run before the next sweep: failures of class {worst} cost the most",
            f"{amount(hours[worst], unit)} of {amount(total, unit)} ({share_text(hours[worst], total)}) went into them",
        )


RULES: tuple[Callable[[Known], Iterator[Recommendation]], ...] = (
    fix_first,
    start_again,
    never_worked,
    micro_batch,
    beyond_the_edge,
    more_runs_of_baseline,
    more_seeds,
    altered_runs,
    time_limit,
    memory_asked,
    waste,
)
"""Every rule, the most pressing first."""


def _code_of_best(known: Known, one: Swept) -> int:
    """Place of the best configuration's value; -1 without one."""
    best = known.findings.best
    rows: npt.NDArray[np.int64] = np.flatnonzero(
        known.frame.tasks["configuration"].to_numpy() == (best.result.number if best else -1)
    )
    return int(one.codes[rows[0]]) if len(rows) else -1
