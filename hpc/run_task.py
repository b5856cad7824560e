"""Run one array element on the compute node: claim it, start it, watch it, record how it ended.

Usage, in the array script:  python -m hpc.run_task SUBMISSION/index.json "$SLURM_ARRAY_TASK_ID"
By hand, outside Slurm:      python -m hpc.run_task runs/lora_sweep/manifest.json 3     (the manifest's fourth task)

Starts thousands of times on a shared file system, so it imports the standard library only. Its exit code is the
program's (0 finished, 85 checkpointed), 0 when there was nothing to run because somebody else has the task, or 74 when
the run folder cannot be written (full disk, read-only) or was removed. An element of several tasks (`pack`) ends with 0
where all of them were run and ended well, else with 1, or 74.
"""

import gc

gc.disable()  # while it loads nothing is garbage, and looking for it would take a seventh of the time
import contextlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from hpc.adapters import proc
from hpc.adapters.files import follow_access, private_umask, read_record, write_json
from hpc.adapters.index_file import read_elements
from hpc.core.errors import EXIT_CHECKPOINTED, EXIT_DONE, EXIT_STORAGE, EXIT_USAGE, HpcError, InputError
from hpc.core.immutable import replace
from hpc.core.layout import AttemptLayout, RunLayout, SubmissionLayout, TaskLayout
from hpc.core.records.exit import ExitRecord
from hpc.core.records.index import Element, SubmissionIndex
from hpc.core.records.record import RecordError, record_from
from hpc.core.records.task import TaskRecord
from hpc.core.resources import Pack
from hpc.node.attempt import Job, Watch, claim, last_attempt, next_attempt, prepare_task_folder, tidy_up
from hpc.node.exit_record import conclude, exit_record, kernel_kills
from hpc.node.supervise import LOOK_S, execute
from hpc.node.supervision import Supervision
from hpc.node.task_record import build_task, with_learned

gc.freeze()  # what is loaded stays
gc.enable()
T = TypeVar("T")


def find_element(path: Path, position: int) -> tuple[SubmissionIndex, Element, RunLayout]:
    """Find one element by a submission's index, or a task by the manifest (in the newest submission that holds it).

    Returns:
        The index, with this element alone where it was found there (or, in a pack, with those of its array index); the
        first of them; and the run.

    Raises:
        InputError: The file is neither, is damaged, or has no such element.
    """
    content, count = read_elements(path, position)  # an array may have thousands
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind == "manifest":
        return _find_by_manifest(path, content, position)
    if kind != "submission":
        raise InputError("neither an index of a submission (submissions/NNN/index.json) nor a manifest.json", str(path))
    if isinstance(content.get("entries"), list):
        _check_position(position, count, path)
    index = _understood(content, SubmissionIndex, path)
    if len(path.parents) <= 3:
        raise InputError("lies in no run folder (ROOT/EXPERIMENT/submissions/NNN/index.json)", str(path))
    return index, index.entries[0], RunLayout(path.parents[3], path.parents[2].name)


def _understood(content: object, kind: type[T], path: Path) -> T:
    """Make a record of what was read.

    Raises:
        InputError: It is not that record; the message names the file and each field.
    """
    try:
        return record_from(kind, content)
    except RecordError as error:
        raise InputError(str(error), str(path)) from None


def _find_by_manifest(path: Path, content: object, position: int) -> tuple[SubmissionIndex, Element, RunLayout]:
    from hpc.core.records.planned import Planned  # here: only who runs a task by hand names a manifest

    tasks, layout = _understood(content, Planned, path).tasks, RunLayout(path.parents[1], path.parent.name)
    _check_position(position, len(tasks), path)
    for folder in sorted(layout.submissions.glob("[0-9]*"), reverse=True):
        index = read_record(folder / "index.json", SubmissionIndex)
        for entry in index.entries:
            if entry.task_id == tasks[position].task_id:
                return replace(index, pack=None), entry, layout
    raise InputError(f"no submission holds task {position}; plan again", str(path))


def _check_position(position: int, count: int, path: Path) -> None:
    if position >= count:
        raise InputError(f"index {position}; there are 0 to {count - 1}", str(path))


def run(index_path: Path, position: int) -> int:
    """Run one element; return the exit code.

    Raises:
        HpcError: What was frozen cannot be used.
        OSError: The run folder cannot be written.
    """
    index, entry, layout = find_element(index_path.absolute(), position)
    follow_access(layout.home)
    job = Job.from_environment(os.environ)
    return _run_pack(index, index.pack, layout, job) if index.pack else run_one(index, entry, layout, job)


def _run_pack(index: SubmissionIndex, pack: Pack, layout: RunLayout, job: Job) -> int:
    """Run the tasks that share this element, each as `run_one` runs it; return the exit code."""
    from hpc.node.pack import Clock, Packed, warm_up, with_own_cores  # here: most elements have one task

    warm_up(index)
    with_own_cores(os.environ, index.resources.cpus)
    print(f"hpc: a pack of {len(index.entries)}, {pack.at_once} at once, job {job.name}", flush=True)

    def begin(entry: Element, place: int, again: bool) -> int:
        return _said(lambda: run_one(index, entry, layout, replace(job, place=place), again=again))

    element = Packed(layout, index.entries, pack, job, begin)
    element.run(Clock(index.resources, pack, os.environ))
    element.say_left()
    if element.wants_more:
        from hpc.node.restart import put_back

        put_back(job)
    return element.code


def run_one(index: SubmissionIndex, entry: Element, layout: RunLayout, job: Job, *, again: bool = False) -> int:
    """Run one task; return the exit code.

    Args:
        again: As `next_attempt`.

    Raises:
        HpcError: What was frozen cannot be used.
        OSError: The run folder cannot be written.
    """
    submission = layout.submission(index.submission)
    if _is_withdrawn(submission, entry.run_name):
        print(f"hpc: {entry.run_name} was cancelled or set aside; nothing to do", flush=True)
        return EXIT_DONE
    task = layout.task(entry.run_name)
    number = next_attempt(task, entry, index.submission, job, again=again)
    if number is None:
        print(f"hpc: {entry.run_name} is already taken (attempt {last_attempt(task)}); nothing to do", flush=True)
        return EXIT_DONE
    record = build_task(index, with_learned(index, entry, layout, job.cluster), task, number, job)
    if not claim(task, number, record):
        print(f"hpc: {entry.run_name} attempt {number} was claimed by another execution; nothing to do", flush=True)
        return EXIT_DONE
    print(f"hpc: {entry.run_name} attempt {number}, job {job.name} on {proc.this_host()}", flush=True)
    attempt = task.attempt(number)
    prepare_task_folder(task, attempt, record)
    watch = Watch(task, attempt)
    kills_before = kernel_kills() if record.packed else 0
    is_withdrawn = Withdrawal(submission, entry.run_name) if record.packed else _never
    result = _climb(record, attempt, watch) or execute(record, attempt, watch, is_withdrawn)
    if not watch.is_ours():
        print(f"hpc: {attempt.home} was removed while the program ran; its end is recorded nowhere", flush=True)
        return EXIT_STORAGE
    if result.unfit_nodes and job.slurm:
        _leave_out(result.unfit_nodes, job)
    if result.hang and _is_resumed(layout, task, attempt, record, result, job):
        tidy_up(record, attempt)
        conclude(task, attempt, replace(exit_record(record, result, attempt, kills_before), starts_again=True))
        return run_one(index, entry, layout, job, again=True)
    if record.check is None:
        tidy_up(record, attempt)
        return finish(task, attempt, record, result, job, kills_before)
    code = finish(task, attempt, record, result, job, kills_before)
    if code == EXIT_DONE and result.loss is None:  # the end is on record: whatever the check does, the run has finished
        from hpc.node.check import run_check

        run_check(record, attempt)
    tidy_up(record, attempt)
    return code


def _climb(record: TaskRecord, attempt: AttemptLayout, watch: Watch) -> Supervision | None:
    """Climb the ladder of checks before a canary; None where it held, or there is none to climb."""
    if record.sanity is None or record.obstacle:
        return None
    from hpc.node.sanity import climb  # here: only a canary has one

    return climb(record, attempt, watch)


def _leave_out(nodes: Sequence[str], job: Job) -> None:
    """Keep what still waits of this array away from nodes that are not fit, or they would take it in one by one."""
    from hpc.adapters import slurm  # here: hardly any node is unfit, and it brings a dozen modules

    try:
        slurm.leave_out(job.name.partition("_")[0], nodes)
        print(f"hpc: what waits of job {job.name} is kept away from {', '.join(nodes)}", flush=True)
    except HpcError as error:
        print(f"hpc: cannot keep what waits away from {', '.join(nodes)}: {error}", flush=True)


def _is_resumed(
    layout: RunLayout, task: TaskLayout, attempt: AttemptLayout, record: TaskRecord, result: Supervision, job: Job
) -> bool:
    """Whether a run that the watch ended goes on here and now; says why not, where it was asked for."""
    from hpc.node.resuming import obstacle_to_resuming  # here: hardly any run hangs

    obstacle = obstacle_to_resuming(layout, task, attempt, record, result, job, os.environ)
    if obstacle and record.watch and record.watch.act == "resume":
        print(f"hpc: attempt {attempt.number} does not go on in this allocation: {obstacle}", flush=True)
    return not obstacle


def _is_withdrawn(submission: SubmissionLayout, run_name: str) -> bool:
    """Whether somebody cancelled this element, or set its task aside; mostly there is no such file."""
    if not submission.withdrawn.exists():
        return False
    from hpc.adapters.withdrawn import read_withdrawn

    return run_name in read_withdrawn(submission)


class Withdrawal:
    """Looks whether somebody has cancelled a task of a pack since it began: its job goes on with the others."""

    def __init__(self, submission: SubmissionLayout, run_name: str) -> None:
        self._submission = submission
        self._run_name = run_name
        self._next_look = time.monotonic() + LOOK_S

    def __call__(self) -> bool:
        """Look again after some seconds."""
        if time.monotonic() < self._next_look:
            return False
        self._next_look += LOOK_S
        return _is_withdrawn(self._submission, self._run_name)


def _never() -> bool:
    return False


def finish(
    task: TaskLayout,
    attempt: AttemptLayout,
    record: TaskRecord,
    result: Supervision,
    job: Job,
    kills_before: int = 0,
) -> int:
    """Record how an attempt ended, and have it started again where that was asked for; return the exit code.

    Args:
        kills_before: As `exit_record`.
    """
    ended = exit_record(record, result, attempt, kills_before)
    if ended.fenced:
        write_json(
            attempt.exit_json, ended.to_json(), parents=False
        )  # the task's own files belong to the newer attempt
        return EXIT_DONE
    code = ended.exit_code if ended.exit_code is not None else 128 + (ended.signal or 0)
    if code != EXIT_CHECKPOINTED:
        return _end(task, attempt, record, ended, code)
    from hpc.node.restart import find_stall, obstacle_to_restart, start_again  # here: most attempts end without

    stall = find_stall(task, attempt, record, ended)
    obstacle = stall or obstacle_to_restart(task, attempt, record, ended)
    _end(task, attempt, record, replace(ended, starts_again=not obstacle, stalled=stall), code)
    return start_again(attempt, job, obstacle, is_packed=bool(record.packed))


def _end(task: TaskLayout, attempt: AttemptLayout, record: TaskRecord, ended: ExitRecord, code: int) -> int:
    conclude(task, attempt, ended)
    print(f"hpc: {record.run_name} attempt {attempt.number} ended with {code}", flush=True)
    return code


def main(arguments: Sequence[str]) -> int:
    """Read the command line; say in a sentence what is wrong with it."""
    if list(arguments) in (["--help"], ["-h"]):
        print(__doc__)
        return EXIT_DONE
    if len(arguments) != 2 or not arguments[1].isdecimal():
        print(__doc__, file=sys.stderr)
        return EXIT_USAGE
    return _said(lambda: run(Path(arguments[0]), int(arguments[1])))


def _said(act: Callable[[], int]) -> int:
    """Do something, and say in a sentence why it cannot be done; return the exit code."""
    try:
        with private_umask():
            return act()
    except (HpcError, OSError) as error:
        with contextlib.suppress(OSError):  # the log may lie on the same full disk: the exit code has to say it
            print(f"hpc: {error}", file=sys.stderr, flush=True)
        return error.exit_code if isinstance(error, HpcError) else EXIT_STORAGE


def leave(code: int) -> None:
    """End this process at once: taking apart what was loaded would take longer than claiming the task did."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # the log may lie on a full disk: the exit code has to say it
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
