"""Measure on the compute node which micro-batch fits: start one task of a shape, stop it as soon as it trains.

Usage, in the script of a probe:  python -m hpc.node.probe PROBE/index.json "$SLURM_ARRAY_TASK_ID"

The same start as `hpc.run_task`'s, with the same arguments, but in a folder of the probe: nothing of it is an attempt
of the task or a result. Two logged optimiser steps, or exit code 0, mean that the micro-batch fits: by then the
optimiser's state exists beside the activations. Out of memory on the training device halves it at the same global
batch. What was found goes into ``learned.json`` after every try. Standard library at import (h5py to read metrics).
"""

import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hpc.adapters import proc
from hpc.adapters.files import follow_access, private_umask, publish_folder, read_record, write_json
from hpc.adapters.learned_file import adjustments, remember
from hpc.adapters.logs import read_program_logs
from hpc.adapters.withdrawn import read_withdrawn
from hpc.core.errors import EXIT_DONE, EXIT_FAILED, EXIT_USAGE, HpcError, InputError
from hpc.core.experiment.processes import processes_of
from hpc.core.failures.classify import classify
from hpc.core.failures.evidence import Evidence, FailureClass, Verdict
from hpc.core.layout import AttemptLayout, RunLayout, SubmissionLayout, TaskLayout
from hpc.core.records.exit import ExitRecord
from hpc.core.records.index import Element, SubmissionIndex
from hpc.core.records.probe import ProbeEnd, ProbeIndex, ProbeTask, Result, Try
from hpc.core.records.task import TaskRecord
from hpc.core.retry.learned import Observation, largest_exact, shape_of_element, shape_parameters
from hpc.node.attempt import Job, claim, last_attempt, tidy_up
from hpc.node.exit_record import exit_record
from hpc.node.supervise import execute
from hpc.node.task_record import build_task, with_learned

ENOUGH_STEPS = 2
"""The first step allocates the optimiser's state, the second needs it beside the activations: the peak."""
LOOK_S = 1.0
"""Between two looks at the metrics."""
NEARLY_OVER = ("USR1", "TERM", "INT")
"""Signals after which no further try is begun."""


class Trained:
    """Says whether a program has logged enough optimiser steps; looks once a second."""

    def __init__(self, attempt: AttemptLayout) -> None:
        self._attempt = attempt
        self._next_look = time.monotonic() + LOOK_S
        self.told = False
        """Whether it has been enough."""

    def __call__(self) -> bool:
        """Look, if it is time; True only once, because the program is then told to end."""
        if self.told or time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + LOOK_S
        self.told = steps_logged(self._attempt) >= ENOUGH_STEPS
        return self.told


def steps_logged(attempt: AttemptLayout) -> int:
    """Count the optimiser steps in an attempt's metrics; 0 while there are none, or they cannot be read."""
    try:
        from hpc.adapters.metrics_read import read_contents

        series = read_contents(attempt.metrics).series
    except (ImportError, InputError, OSError, KeyError):  # no h5py on this node; not there yet, or being made
        return 0
    return max((len(set(each.step.tolist())) for each in series.values()), default=0)


def measure(index: SubmissionIndex, entry: Element, home: TaskLayout, layout: RunLayout) -> list[Try]:
    """Try smaller and smaller micro-batches until one fits, none is left, or the time is over."""
    limit_s, began = index.resources.time_s, time.monotonic()
    micro, tries = entry.micro_batch or 0, list[Try]()
    while True:
        left_s = limit_s - (time.monotonic() - began)
        done = _try(index, _divided(index, entry, micro), home, left_s)
        tries.append(done)
        remember(layout, _observed(index, entry, home.attempt(done.attempt), done))
        smaller = largest_exact(
            micro // 2, entry.global_batch or 0, _world_size(index), index.batch.min_micro if index.batch else 1
        )
        if done.result is not Result.OUT_OF_MEMORY or smaller is None:
            return tries
        micro = smaller


def _world_size(index: SubmissionIndex) -> int:
    return processes_of(index.program, index.launch, index.resources).total


def _divided(index: SubmissionIndex, entry: Element, micro: int) -> Element:
    """The element with another micro-batch, and the accumulation that keeps the global batch."""
    if micro == entry.micro_batch:
        return entry
    accumulation = (entry.global_batch or 0) // (micro * _world_size(index))
    return replace(entry, micro_batch=micro, accumulation=accumulation)


def _try(index: SubmissionIndex, entry: Element, home: TaskLayout, left_s: float) -> Try:
    number, began = last_attempt(home) + 1, time.monotonic()
    bounded = replace(index, resources=replace(index.resources, time_s=int(left_s)))
    record = build_task(bounded, replace(entry, attempt=number, resume=False), home, number, _job())
    attempt = home.attempt(number)
    if not claim(home, number, record):
        raise HpcError(f"{attempt.home} was claimed by another execution of this probe")
    trained = Trained(attempt)
    ended = exit_record(record, execute(record, attempt, is_enough=trained), attempt)
    tidy_up(record, attempt)
    write_json(attempt.exit_json, ended.to_json())
    # Of a large model one checkpoint fills a quota, and nobody resumes here.
    shutil.rmtree(attempt.checkpoints, ignore_errors=True)
    result, said = judge(record, ended, attempt, stopped=trained.told)
    return Try(
        number,
        record.micro_batch or 0,
        record.accumulation or 0,
        result,
        round(time.monotonic() - began, 1),
        micro_in_use(attempt, record.micro_batch or 0) if result is Result.FITS else None,
        said,
    )


def _job() -> Job:
    return Job.from_environment(os.environ)


def judge(record: TaskRecord, ended: ExitRecord, attempt: AttemptLayout, *, stopped: bool) -> tuple[Result, str]:
    """Say what a try showed, and why when it did not fit; `stopped` after it had trained for long enough."""
    if stopped or ended.exit_code == EXIT_DONE:
        return Result.FITS, ""
    verdict = verdict_of(record, ended, attempt)
    if verdict.category is FailureClass.OOM_GPU:
        return Result.OUT_OF_MEMORY, _said(verdict)
    if steps_logged(attempt) >= ENOUGH_STEPS:  # it failed over something else, and later
        return Result.FITS, ""
    if ended.timed_out or set(ended.signals_received) & set(NEARLY_OVER):
        return Result.NO_TIME, f"fewer than {ENOUGH_STEPS} steps were logged when the time was up"
    return Result.FAILED, _said(verdict)


def _said(verdict: Verdict) -> str:
    line = verdict.evidence[0].text.strip() if verdict.evidence else verdict.summary
    return f"{verdict.category}: {line}"


def verdict_of(record: TaskRecord, ended: ExitRecord, attempt: AttemptLayout) -> Verdict:
    """Classify a try by its exit record and its logs."""
    return classify(
        Evidence(
            exit_code=ended.exit_code,
            exit_signal=ended.signal,
            signals_received=ended.signals_received,
            program_outcome=ended.program_outcome,
            log=read_program_logs(attempt),
            expects_metrics=True,
            gpus=record.gpus,
            peak_memory_mib=ended.peak_memory_mib,
            memory_limit_mib=ended.memory_limit_mib or record.resources.memory_mib,
            oom_kill_count=ended.oom_kill_count,
            exit_recorded=True,
            in_container=record.image is not None,
        )
    )


def micro_in_use(attempt: AttemptLayout, micro: int) -> int:
    """Micro-batch at the end of a try: a program may lower its own and go on, and say so in ``adjustments.json``."""
    changes = adjustments(attempt)
    return int(changes[-1]["new_micro_batch"]) if changes else micro


def _observed(index: SubmissionIndex, entry: Element, attempt: AttemptLayout, done: Try) -> list[Observation]:
    """What a try teaches about its shape."""
    arguments = {**index.program.args, **entry.parameters, **entry.overrides}
    parameters = shape_parameters(arguments, index.batch.shape if index.batch else None)
    where = f"probe {index.submission:03d} ({entry.run_name}/{attempt.home.name})"
    shrunk = done.fits is not None and done.fits < done.micro
    micros = {done.fits: True} if done.fits is not None else {}
    if done.result is Result.OUT_OF_MEMORY or shrunk:
        micros[done.micro] = False
    shape = shape_of_element(index, entry, _job().cluster)
    return [Observation(shape, parameters, micro, fits, where) for micro, fits in micros.items()]


def conclusion(tries: Sequence[Try]) -> str:
    """Say in one sentence what a probe found."""
    last = tries[-1]
    if last.fits is not None:
        return f"micro-batch {last.fits} fits" + (f", {tries[0].micro} does not" if last.fits < tries[0].micro else "")
    if last.result is Result.OUT_OF_MEMORY:
        return (
            f"not even micro-batch {last.micro} fits, and no smaller one keeps the global batch and retry's min_micro"
        )
    failed = [each.micro for each in tries if each.result is Result.OUT_OF_MEMORY]
    begin = f"with less than {failed[-1]}" if failed else "as declared"
    return f"no size was found that fits; tasks start {begin}: {last.said}"


def run(index_path: Path, position: int) -> int:
    """Probe one shape; return 0 when a micro-batch was found that fits."""
    index = read_record(index_path, ProbeIndex)
    if position >= len(index.entries):
        raise InputError(f"index {position}; this probe has 0 to {len(index.entries) - 1}", str(index_path))
    layout = RunLayout(index_path.parents[3], index_path.parents[2].name)
    follow_access(layout.home)
    if index.entries[position].run_name in read_withdrawn(SubmissionLayout(index_path.parent)).cancelled:
        print("hpc: this probe was cancelled before it began", flush=True)
        return EXIT_DONE
    entry = with_learned(index, index.entries[position], layout, _job().cluster)
    folder = SubmissionLayout(index_path.parent).tries / entry.run_name
    own = _begin(folder, entry.run_name)
    print(f"hpc: probe of {entry.run_name}, job {_job().name} on {proc.this_host()}", flush=True)
    try:
        tries = measure(index, entry, TaskLayout(folder), layout)
        said = conclusion(tries)
    except (HpcError, OSError) as error:
        tries, said = [], f"no size was found that fits: {error}"
    code = EXIT_DONE if tries and tries[-1].fits is not None else EXIT_FAILED
    ended = ProbeEnd(code, time.time(), said, shape_of_element(index, entry, _job().cluster), tuple(tries))
    write_json(own.exit_json, ended.to_json())
    print(f"hpc: probe of {entry.run_name}: {said}", flush=True)
    return code


def _begin(folder: Path, run_name: str) -> AttemptLayout:
    """Say who measures. This machine's own queue looks at a probe as at an attempt: no folder without its record."""
    record = ProbeTask(run_name, _job().name, proc.this_host(), proc.identity(os.getpid()), proc.pid_namespace())
    prepared, own = AttemptLayout(folder.with_name(f".{folder.name}.{os.getpid()}.tmp")), AttemptLayout(folder)
    write_json(prepared.task_json, record.to_json())
    if not publish_folder(prepared.home, own.home):  # Slurm started this element again
        prepared.task_json.replace(own.task_json)
        prepared.home.rmdir()
    return own


def main(arguments: Sequence[str]) -> int:
    """Read the command line; say in a sentence what is wrong with it."""
    if len(arguments) != 2 or not arguments[1].isdecimal():
        print(__doc__, file=sys.stderr)
        return EXIT_USAGE
    try:
        with private_umask():
            return run(Path(arguments[0]).absolute(), int(arguments[1]))
    except (HpcError, OSError) as error:
        print(f"hpc: {error}", file=sys.stderr, flush=True)
        return error.exit_code if isinstance(error, HpcError) else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
