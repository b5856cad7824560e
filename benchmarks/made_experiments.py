"""Experiments for the benchmarks: planned by `hpc.plan`, and run folders as finished runs leave them.

The folders are made by the parts that make them in earnest (`hpc.node`, `hpc.metrics`); only the training is
missing. Nothing is synced to the disk, and runs with the same values share what one of them wrote as metrics.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from benchmarks.measuring import PYTHON, execute
from hpc.adapters.files import write_json
from hpc.adapters.manifest_store import list_submissions, load_index
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.records.index import Element
from hpc.core.records.task import TaskRecord
from hpc.metrics import MetricsWriter
from hpc.node.attempt import Job, claim, prepare_task_folder
from hpc.node.exit_record import conclude, exit_record
from hpc.node.supervision import Supervision
from hpc.node.task_record import build_task
from hpc.submissions.prepare import submit_to_local_queue

NAME = "bench"
_PROFILE = "scheduler: local\napptainer: '{apptainer}'\nimage_dir: '{images}'\nmax_array_size: 1000\n"
_EXPERIMENT = """\
name: bench
type: hyperparameter_sweep
brief:
  goal: What do the commands cost?
  hypothesis: Little.
  success: A table.
  if_wrong: Profile.
  stage: exploratory
program: {program}
sweep:
  grid:
    rank: [{ranks}]
    rate: [{rates}]
  seeds: [42]
baseline: {{rank: 1, rate: 1e-6}}
metrics: {{primary: {{name: final_error, goal: min}}}}
run_name: "R{{rank}}_LR{{rate}}_S{{seed}}"
resources: {{cpus: 1, mem: 1GB, time: "0:10:00", disk: 1MB}}
launch: {{kind: plain}}
container: {{image: {image}}}
"""


def write_experiment(
    folder: Path, tasks: int, *, program: str, image: str = "null", apptainer: str = "", images: str = "images"
) -> None:
    """Write an experiment of so many tasks (a square number of them is swept as a square) and its profile."""
    rows = math.isqrt(tasks)
    while tasks % rows:
        rows -= 1
    text = _EXPERIMENT.format(
        program=program,
        image=image,
        ranks=", ".join(str(rank) for rank in range(1, rows + 1)),
        rates=", ".join(f"{rate}e-6" for rate in range(1, tasks // rows + 1)),
    )
    for part, content in (
        (f"experiments/{NAME}.yaml", text),
        ("clusters/here.yaml", _PROFILE.format(apptainer=apptainer, images=images)),
    ):
        file = folder / "manifests" / part
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)


_SAID = (
    "loading data set shard {step:05d}-of-00200 from the local cache",
    "epoch {epoch} step {step}/200 train/loss {loss:.5f} lr 3.0e-04 grad_norm 0.{step:03d} 311.2 samples/s",
    "epoch {epoch} step {step}/200 train/loss {loss:.5f} memory 10.3 GB",
    "evaluating on 2000 held-out examples: val_error={loss:.4f} best={loss:.4f}",
    "saved checkpoint step_{step:06d} (0 failed writes, 12.4 MB)",
    "[rank0] all gradients finite, scaler unchanged at 65536.0",
)


def healthy_log(lines: int) -> Iterator[str]:
    """What a run that goes well prints: words as trainers say them, some of them as errors do."""
    for step in range(lines):
        yield _SAID[step % len(_SAID)].format(step=step, epoch=step // 50, loss=1 / (step + 1))


PLAN = (PYTHON, "-m", "hpc.plan", NAME, "--cluster", "here", "--json")


def planned(folder: Path) -> RunLayout:
    """Plan what was written into this folder."""
    execute(PLAN, folder=folder)
    return RunLayout(folder / "runs", NAME)


def submitted(layout: RunLayout) -> None:
    """Let every planned task wait in this machine's queue."""
    submit_to_local_queue(list_submissions(layout))


def running(layout: RunLayout, steps: int, metrics: int) -> None:
    """Write one attempt at work a planned task: of this process, by a program whose metrics file is open."""
    first: tuple[str, bytes] | None = None
    for attempt, record, _ in _begun(layout):
        if first is None:
            with MetricsWriter(attempt.metrics, flush_interval_s=3600, task_id=record.task_id) as writer:
                for step in range(steps):
                    writer.log(step, _values(step, metrics), final_error=1 / (1 + step))
                writer.flush()
                first = record.task_id, attempt.metrics.read_bytes()
            (attempt.home / "summary.json").unlink()
        attempt.metrics.write_bytes(first[1].replace(first[0].encode(), record.task_id.encode()))


def finished(layout: RunLayout, steps: int, metrics: int) -> None:
    """Write one finished attempt a planned task, as the wrapper and a program with `metrics` metrics leave it."""
    log = "".join(f"{line}\n" for line in healthy_log(steps))
    written: dict[float, tuple[str, AttemptLayout]] = {}
    for attempt, record, entry in _begun(layout):
        _write_metrics(attempt, entry, steps, metrics, written)
        attempt.stdout.write_text(log)
        attempt.stderr.touch()
        write_json(attempt.outcome, {"code": 0, "step": steps, "reason": "finished"})
        conclude(layout.task(record.run_name), attempt, exit_record(record, Supervision(exit_code=0), attempt))


def _begun(layout: RunLayout) -> Iterator[tuple[AttemptLayout, TaskRecord, Element]]:
    """Claim the first attempt of every planned task."""
    submitted(layout)
    job = Job.from_environment({"HPC_LOCAL_JOB": "local-benchmark"})
    with _without_syncing():
        for submission in list_submissions(layout):
            index = load_index(submission)
            for entry in index.entries:
                task = layout.task(entry.run_name)
                record = build_task(index, entry, task, 1, job)
                attempt = task.attempt(1)
                assert claim(task, 1, record)
                prepare_task_folder(task, attempt, record)
                yield attempt, record, entry


def _values(step: int, metrics: int) -> dict[str, float]:
    return {f"metric_{number}": math.sin(step + number) for number in range(metrics)}


def _write_metrics(
    attempt: AttemptLayout, entry: Element, steps: int, metrics: int, written: dict[float, tuple[str, AttemptLayout]]
) -> None:
    """Write the metrics of a run; those of one with the same final value are copied under its own task's name."""
    final = 1 / (1 + entry.parameters["rank"])
    if final in written:
        theirs, before = written[final]
        content = before.metrics.read_bytes()
        assert theirs.encode() in content
        attempt.metrics.write_bytes(content.replace(theirs.encode(), entry.task_id.encode()))
        (attempt.home / "summary.json").write_bytes((before.home / "summary.json").read_bytes())
        return
    with MetricsWriter(attempt.metrics, flush_interval_s=3600, task_id=entry.task_id) as writer:
        for step in range(steps):
            writer.log(step, _values(step, metrics))
        writer.summary(final_error=final)
    written[final] = (entry.task_id, attempt)


@contextmanager
def _without_syncing() -> Iterator[None]:
    """Let files be written without waiting for the disk: ten thousand runs are made in a minute."""
    with mock.patch.object(os, "fsync", return_value=None):
        yield
