"""What an attempt showed of micro-batches and of speed, from its records and metrics."""

from collections.abc import Iterator, Mapping
from typing import Any

from hpc.adapters.learned_file import adjustments
from hpc.core.failures.evidence import FailureClass, Verdict
from hpc.core.layout import AttemptLayout
from hpc.core.records.task import TaskRecord
from hpc.core.retry.learned import Observation
from hpc.snapshots.evidence import Results

FIT_STEPS = 20
"""Optimiser steps after which a micro-batch is known to fit although the attempt did not finish."""
RAN_THROUGH = (FailureClass.SUCCESS, FailureClass.NOT_CONVERGED)

STEPS_ARGUMENTS = ("max_steps", "total_steps", "num_steps", "n_steps", "train_steps", "max_iters")
"""Arguments by which programs are told how many optimiser steps there are; 0 or less means that they are not."""


def observations_of(
    attempt: AttemptLayout,
    record: TaskRecord | None,
    verdict: Verdict | None,
    results: Results,
    parameters: Mapping[str, Any],
) -> Iterator[Observation]:
    """What one attempt showed of micro-batches: the one it ran out of memory with, the one it ran with.

    Args:
        attempt: Its folder.
        record: ``task.json``; without it, or without a shape in it, it shows nothing.
        verdict: None while it runs.
        results: Its metrics.
        parameters: Those that matter for memory, for people who read the file.
    """
    if record is None or not record.shape or not record.micro_batch:
        return
    shape, micro = record.shape, record.micro_batch
    where = f"{record.run_name}/attempt-{record.attempt}"
    since, shared = None, record.packed > 1  # whose memory it was that filled a shared device, nobody knows
    for change in adjustments(attempt):
        if not shared:
            yield Observation(shape, parameters, change["old_micro_batch"], fits=False, where=where)
        micro, since = change["new_micro_batch"], change["step"]
    category = verdict.category if verdict else None
    if category is FailureClass.OOM_GPU:
        if not shared:
            yield Observation(shape, parameters, micro, fits=False, where=where)
    elif category in RAN_THROUGH or _steps_taken(results, since) >= FIT_STEPS:
        yield Observation(shape, parameters, micro, fits=True, where=where)


def _steps_taken(results: Results, since: int | None) -> int:
    """Optimiser steps between the first and the last metric, or since a step."""
    first, last = results.measures[:2]
    if first is None or last is None:
        return 0
    return last - (first if since is None else since)


def throughput(results: Results, started: float | None) -> tuple[float | None, float]:
    """Optimiser steps per second and seconds of start-up of an attempt, by the metric that spans most steps.

    Args:
        results: Its metrics.
        started: Unix time of its start; None when not known.

    Returns:
        None for the rate where fewer than two different steps or times were logged; 0 for a start-up not known.
    """
    found = results.measures
    if found.first_step is None:
        return None, 0.0
    startup_s = max(0.0, found.began - started) if started else 0.0
    return (found.steps / found.seconds if found.steps and found.seconds > 0 else None), startup_s


def declared_steps(arguments: Mapping[str, Any]) -> int | None:
    """Optimiser steps a program was told to take, by the usual names of that argument; None where it was not."""
    found = (arguments.get(name) for name in STEPS_ARGUMENTS)
    return next(
        (value for value in found if isinstance(value, int) and not isinstance(value, bool) and value > 0), None
    )
