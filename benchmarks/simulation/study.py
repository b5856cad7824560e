"""What the model is asked: a million tasks, how it grows, how policies compare, what errors of the classifier cost."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.simulation.campaign import drawn
from benchmarks.simulation.cluster import Size
from benchmarks.simulation.costs import Costs, measured, our_costs
from benchmarks.simulation.loop import Result, Site, simulate
from benchmarks.simulation.policies import Answerer, Answers, Blind, NoRetry, Ours, Policy
from benchmarks.simulation.traces import ACME, DAY, HOUR, PHILLY, TRACES, Trace, only_passing

NAMES = (NoRetry.name, Blind.name, Ours.name)
SEEDS = range(5)
T_QUANTILE = 2.776
"""Student's t, 97.5 %, four degrees of freedom: five seeds."""
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4)
WIDTHS = (1, 4, 16, 64, 128)
MANY, GPUS = 1_000_000, 10_000
TASKS_A_GPU = MANY // GPUS
FEW = 4_000
"""Tasks of the comparisons, on a fortieth of the GPUs: goodput does not hang on the size, as the growth shows."""


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its 95 % interval.

    Attributes:
        mean: Of the seeds.
        half: Half of the interval's width.
    """

    mean: float
    half: float


def over_seeds(values: Sequence[float]) -> Interval:
    """Mean and interval of one value a seed."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return Interval(statistics.fmean(values), T_QUANTILE * error)


def policy(name: str, seed: int, answers: Answers | None = None, states: Answers | None = None) -> Policy:
    """A policy by its name, with a history of its own.

    Args:
        answers, states: What the classifier says of failures, and what their states say; None: what is true.
    """
    says = Answerer(answers if name == Ours.name else states, np.random.default_rng([seed, 3]))
    return {each.name: each for each in (NoRetry, Blind, Ours)}[name](says)


def site(tasks: int, trace: Trace) -> Site:
    """A cluster with as many GPUs for each task as 10,000 are for a million; twice as many elements may be queued."""
    nodes = max(1, round(tasks / TASKS_A_GPU / 8))
    return Site(Size(nodes, faults_per_node_day=trace.faults_per_node_day), max_jobs=max(200, 2 * 8 * nodes))


def play(
    trace: Trace,
    name: str,
    tasks: int,
    seed: int,
    *,
    failing: float | None = None,
    errors: float = 1.0,
    costs: Costs | None = None,
) -> Result:
    """One campaign.

    Args:
        failing: Share of attempts that fails instead of the trace's own.
        errors: The classifier's errors as measured, times this; 0: it is always right.
        costs: Others than this version's.
    """
    chance = np.random.default_rng([seed, 0])
    answers = with_errors(measured()["verdicts"], errors) if errors else None
    chosen = policy(name, seed, answers, measured()["states"])
    return simulate(drawn(trace, tasks, chance, failing), site(tasks, trace), chosen, costs or our_costs(), seed)


def with_errors(answers: Answers, times: float) -> dict[str, dict[str, float]]:
    """The classifier's answers with so many times as many of them wrong."""
    found = {}
    for label, counts in answers.items():
        right = sum(count for said, count in counts.items() if said.split()[0] == label)
        wrong = sum(counts.values()) - right
        more = min(times, (right + wrong) / wrong) if wrong else 1.0
        less = (right + wrong - more * wrong) / right if right else 0.0
        found[label] = {said: n * (less if said.split()[0] == label else more) for said, n in counts.items()}
    return found


def figures(result: Result) -> dict[str, float]:
    """The numbers of a campaign that the page shows."""
    tally, span_s = result.tally, result.makespan_s
    return {
        "tasks": result.tasks,
        "finished": result.finished,
        "goodput": result.goodput,
        "attempts": tally.attempts,
        "vain": tally.vain,
        "vain_h": tally.vain_s / HOUR,
        "refused": tally.refused,
        "wrong": tally.wrong,
        "days": span_s / DAY,
        "calls": result.controller.calls.mean(span_s),
        "calls_peak": result.controller.calls.peak,
        "arrays": result.controller.arrays,
        "metadata": result.metadata.mean(span_s) / 60,
        "metadata_peak": result.metadata.peak / 60,
        "rounds": result.rounds,
        "longest_s": result.longest_s,
        "collector_share": result.collector_s / span_s,
        "lost": result.lost,
    }


def large(trace: Trace, sizes: Iterable[int] = (1_000, 10_000, 100_000, MANY)) -> list[dict[str, Any]]:
    """The loop at growing sizes."""
    return [{"trace": trace.name, **figures(play(trace, Ours.name, tasks, 0))} for tasks in sizes]


def were_failures_judged_anew(trace: Trace, tasks: int = MANY) -> list[dict[str, Any]]:
    """The largest campaign again, as if each collection read every run once more that has failed for good."""
    costs = our_costs()
    costs = replace(costs, failed_s=costs.new_s, failed_metadata=costs.new_metadata)
    return [{"trace": trace.name, **figures(play(trace, Ours.name, tasks, 0, costs=costs))}]


def compared(traces: Sequence[Trace] = (ACME, PHILLY), shares: Sequence[float] = SHARES) -> list[dict[str, Any]]:
    """The three policies over the share of attempts that fail: finished, and goodput."""
    return [
        {"trace": trace.name, "policy": name, "failing": share, **_seeds(trace, name, failing=share)}
        for trace in traces
        for share in shares
        for name in NAMES
    ]


def at_their_own() -> list[dict[str, Any]]:
    """The three policies with the failures that each trace has, and with as many that all pass by themselves."""
    passing = [replace(only_passing(trace), name=f"{trace.name}, all pass") for trace in TRACES]
    return [
        {"trace": trace.name, "policy": name, **_seeds(trace, name)} for trace in (*TRACES, *passing) for name in NAMES
    ]


def mistaken() -> list[dict[str, Any]]:
    """The loop with a classifier that is always right, as measured, and wrong twice as often."""
    return [
        {"trace": trace.name, "errors": times, **_seeds(trace, Ours.name, errors=times)}
        for trace in TRACES
        for times in (0.0, 1.0, 2.0)
    ]


COMPARED = ("finished", "goodput", "attempts", "vain", "vain_h", "refused", "wrong")


def _seeds(trace: Trace, name: str, **how: float) -> dict[str, Any]:
    """A campaign with each seed: what policies are compared by, with intervals."""
    found = [figures(play(trace, name, FEW, seed, **how)) for seed in SEEDS]
    return {key: vars(over_seeds([each[key] for each in found])) for key in COMPARED}


def widths(sizes: Sequence[int] = WIDTHS, hours: float = 24.0) -> list[dict[str, Any]]:
    """Tasks of whole nodes and a day each, which only faults of nodes strike."""
    calm = replace(PHILLY, median_s=hours * HOUR, mean_s=hours * HOUR * 1.001, failing=0.0)
    rows = []
    for nodes in sizes:
        size = Size(1_250, 1, nodes, calm.faults_per_node_day)
        where, count = Site(size, max_jobs=20_000), 4 * (1_250 // nodes)
        for name in NAMES:
            found = [
                simulate(
                    drawn(calm, count, np.random.default_rng([seed, 0])), where, policy(name, seed), our_costs(), seed
                )
                for seed in SEEDS
            ]
            goodput, finished = [each.goodput for each in found], [each.finished for each in found]
            rows.append(
                {
                    "gpus": 8 * nodes,
                    "policy": name,
                    "goodput": vars(over_seeds(goodput)),
                    "finished": vars(over_seeds(finished)),
                }
            )
    return rows
