"""Cancelling what waits or runs of an experiment, in Slurm and in this machine's own queue.

Written down first (``withdrawn.json`` of each submission), then done: who dies in between leaves elements that nobody
starts any more, and the same command goes on with the rest. What is cancelled is judged as a person's last word.
The caller holds the experiment's lock.
"""

import signal
import time
from collections.abc import Collection, Sequence

from hpc.adapters import proc, slurm
from hpc.adapters.manifest_store import load_manifest, readable_indices, task_from_json
from hpc.adapters.withdrawn import read_withdrawn, withdraw
from hpc.core.errors import InputError, Problem, nearest_of_many
from hpc.core.experiment.spec import Task
from hpc.core.immutable import immutable
from hpc.core.layout import RunLayout
from hpc.core.slurm.executions import fold_elements, is_job
from hpc.snapshots.snapshot import look_at
from hpc.snapshots.states import AttemptState, Progress
from hpc.submissions.on_disk import received_job

PATIENCE_S = 40.0
"""How long a task of this machine may take to end after it was asked to: its wrapper gives it 20 seconds itself."""
LOOK_S = 0.3
AGAIN_S = 1.0
"""After this long it is looked again for what was just starting when it was withdrawn."""


@immutable
class Live:
    """Something that waits or runs.

    Attributes:
        run_name: The task's.
        attempt: What is known of it.
    """

    run_name: str
    attempt: AttemptState

    @property
    def is_on_slurm(self) -> bool:
        """Whether Slurm has it."""
        return is_job(self.attempt.job)

    @property
    def is_waiting(self) -> bool:
        """Whether it has not begun."""
        return self.attempt.progress is Progress.WAITING


def all_tasks(layout: RunLayout) -> dict[str, Task]:
    """Every task by its id: of the plan, and of earlier plans that were submitted and not set aside."""
    found = {each["task_id"]: task_from_json(each) for each in load_manifest(layout)["tasks"]}
    for submission, index in readable_indices(layout):
        aside = read_withdrawn(submission).set_aside
        for entry in index.entries:
            if entry.run_name not in aside:
                task = Task(entry.task_id, entry.run_name, entry.parameters, entry.seed, entry.case)
                found.setdefault(entry.task_id, task)
    return found


def choose(layout: RunLayout, names: Collection[str]) -> list[Task]:
    """The tasks of these run names; all when none is given.

    Raises:
        InputError: A name is no run of the experiment; all of them at once.
    """
    tasks = list(all_tasks(layout).values())
    known = sorted({task.run_name for task in tasks})
    if wrong := [name for name in names if name not in known]:
        raise InputError(
            [Problem(f"no run {name}; {nearest_of_many(name, known)}") for name in wrong], layout.experiment
        )
    return [task for task in tasks if not names or task.run_name in names]


def find_live(layout: RunLayout, tasks: Sequence[Task]) -> list[Live]:
    """List what waits or runs of these tasks.

    Raises:
        TemporaryError: Slurm is needed and did not answer.
    """
    states = look_at(layout, tasks).tasks
    live = [(state.task.run_name, each) for state in states for each in state.attempts]
    return [Live(name, each) for name, each in live if each.progress is not Progress.OVER]


def cancel(layout: RunLayout, tasks: Sequence[Task], live: Sequence[Live]) -> list[Live]:
    """Cancel what lives of these tasks, wait for what this machine runs, and give what could not be ended.

    Raises:
        TemporaryError: Slurm did not answer; nothing of it starts any more, and the same call goes on.
    """
    end, left = time.monotonic() + PATIENCE_S, list(live)
    while left:
        _withdraw(layout, left)
        slurm.cancel_jobs(fold_elements(sorted(_jobs_to_end(layout, left))))
        here = [each for each in left if not each.is_on_slurm]
        _end_here(here, forcibly=time.monotonic() > end)
        _wait(here, end)
        time.sleep(AGAIN_S if here else 0.0)
        left = [each for each in find_live(layout, tasks) if not each.is_on_slurm] if here else []
        if left and (time.monotonic() > end + PATIENCE_S or not any(_is_here(each.attempt) for each in left)):
            return left
    return []


def _jobs_to_end(layout: RunLayout, live: Sequence[Live]) -> set[str]:
    """Jobs that Slurm is to end: not those in which others run or wait, too, that nobody cancelled.

    A task that shares such a job ends by what was written down: its wrapper looks there every few seconds.
    """
    jobs = {each.attempt.job for each in live if each.is_on_slurm}
    shared = {each.attempt.job for each in live if each.attempt.is_packed}
    if not shared:
        return jobs
    names = {each.run_name for each in live}
    others = find_live(layout, list(all_tasks(layout).values()))
    return jobs - shared.intersection(each.attempt.job for each in others if each.run_name not in names)


def _withdraw(layout: RunLayout, live: Sequence[Live]) -> None:
    for number in sorted({each.attempt.submission for each in live} - {0}):
        names = [each.run_name for each in live if each.attempt.submission == number]
        withdraw(layout.submission(number), cancelled=names)


def _is_here(attempt: AttemptState) -> bool:
    """Whether this machine runs an attempt, by a process that we can see."""
    record = attempt.record
    is_local = record is not None and record.scheduler == "local"
    return is_local and record is not None and bool(record.pid) and proc.lives(record.pid)


def _end_here(live: Sequence[Live], *, forcibly: bool) -> None:
    """Ask the wrappers of this machine to end their tasks, which they do as at a time limit; or kill all of them."""
    for each in live:
        record = each.attempt.record
        if record is not None and _is_here(each.attempt):
            pid = int(record.pid.split("/")[1])
            below = proc.descendants(pid) if forcibly else []
            proc.send_signal([*below, pid], signal.SIGKILL if forcibly else signal.SIGTERM)


def _wait(live: Sequence[Live], end: float) -> None:
    while any(_is_here(each.attempt) for each in live) and time.monotonic() < end:
        time.sleep(LOOK_S)


def probe_jobs(layout: RunLayout) -> list[str]:
    """Slurm jobs of probes that wait or run.

    Raises:
        TemporaryError: Slurm did not answer.
    """
    folders = [layout.probe(int(path.name)) for path in layout.probes.glob("[0-9]*") if path.name.isdecimal()]
    ours = {job for folder in folders if is_job(job := received_job(folder))}
    if not ours:
        return []
    rows = slurm.query_queue(layout.experiment)
    return sorted({row.job.split("_")[0] for row in rows if not row.state.is_finished} & ours)
