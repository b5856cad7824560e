"""This machine's own queue: the arrays that were submitted to it, started so many at once, followed until they end.

It lives in the run folder like everything else: a receipt with the job ``local`` puts an array into it, a claimed
attempt takes an element out. `hpc.local.runner` works it off, detached from any terminal; the commands only look.
"""

import os
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hpc.adapters import proc
from hpc.adapters.collected_file import finished_runs
from hpc.adapters.files import lock, make_folder, open_regular, read_record, readable_record
from hpc.adapters.local import LocalExecutor, count_gpus
from hpc.adapters.manifest_store import list_submissions, load_index
from hpc.adapters.withdrawn import read_withdrawn
from hpc.console import note, say
from hpc.core.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, InputError, TemporaryError
from hpc.core.launch.sanity import rungs_in
from hpc.core.layout import AttemptLayout, RunLayout, SubmissionLayout
from hpc.core.records.exit import ExitRecord
from hpc.core.records.probe import ProbeEnd, ProbeIndex, ProbeTask
from hpc.core.records.task import TaskRecord
from hpc.core.words import counted
from hpc.local.element import run_element
from hpc.submissions.held_runs import why_held
from hpc.submissions.holds import describe_hold, held
from hpc.submissions.on_disk import asked_of, received_job
from hpc.submissions.receipts import LOCAL
from hpc.workspace import own_command, own_environment

POLL_S = 0.2
START_UP_S = 5.0
"""How long a runner may take from its start to holding the queue."""
_MOST_SAID = 1 << 20
"""Bytes of a ladder's log in which rungs are looked for."""
SETTLE_S = 60.0
"""After this long an element that was to start again has not, and will not."""


@dataclass(frozen=True)
class QueuedElement:
    """One array element of the queue.

    Attributes:
        script: The array script.
        position: Its array index.
        log: Where the wrapper prints.
        run_name: The task's.
        attempt: The attempt it is to claim.
        gpus: GPUs it asks for.
        measures: Whether it is a probe (`hpc.node.probe`): nothing else is started beside it.
        submission: Number of the submission it belongs to; 0 for a probe.
        waits_for: Number of the submission that has to succeed before it starts; 0: none.
        has_check: Whether a command checks it when its program has finished.
        has_ladder: Whether a ladder of checks is climbed before its program begins.
    """

    script: Path
    position: int
    log: Path
    run_name: str
    attempt: AttemptLayout
    gpus: int
    measures: bool = False
    submission: int = 0
    waits_for: int = 0
    has_check: bool = False
    has_ladder: bool = False

    @property
    def label(self) -> str:
        """What it is called."""
        return f"probe of {self.run_name}" if self.measures else self.run_name


def list_elements(layout: RunLayout) -> Iterator[QueuedElement]:
    """List every element that was ever handed to this machine: probes, then tasks, the oldest submission first.

    Not those whose task was set aside: their folder is another's now.
    """
    yield from _list_probes(layout)
    for submission in list_submissions(layout):
        if received_job(submission) != LOCAL or (receipt := asked_of(submission)) is None:
            continue
        aside = read_withdrawn(submission).set_aside
        yield from (each for each in _elements_of(layout, submission, receipt.waits_for) if each.run_name not in aside)


def _list_probes(layout: RunLayout) -> Iterator[QueuedElement]:
    for probe in _probe_folders(layout):
        yield from _probes_of(probe)


def _probe_folders(layout: RunLayout) -> list[SubmissionLayout]:
    """Every probe that was ever handed to this machine, the oldest first."""
    found = (SubmissionLayout(receipt.parent) for receipt in sorted(layout.probes.glob("*/receipt.json")))
    return [probe for probe in found if received_job(probe) == LOCAL]


@cache
def _probes_of(probe: SubmissionLayout) -> tuple[QueuedElement, ...]:
    index = read_record(probe.index, ProbeIndex)
    return tuple(
        QueuedElement(
            probe.script,
            position,
            probe.logs / f"local_{position}.log",
            entry.run_name,
            AttemptLayout(probe.tries / entry.run_name),
            index.resources.gpus,
            measures=True,
        )
        for position, entry in enumerate(index.entries)
    )


@cache
def _elements_of(layout: RunLayout, submission: SubmissionLayout, waits_for: int) -> tuple[QueuedElement, ...]:
    """List the elements of one array; read once, because an index never changes and the queue is looked at often."""
    index = load_index(submission)
    gpus = index.resources.gpus
    return tuple(
        QueuedElement(
            submission.script,
            position,
            submission.logs / f"local_{position}.log",
            entry.run_name,
            layout.task(entry.run_name).attempt(entry.attempt),
            gpus,
            submission=submission.number,
            waits_for=waits_for,
            has_check=index.check is not None,
            has_ladder=index.sanity is not None,
        )
        for position, entry in enumerate(index.entries)
    )


def _cancelled(layout: RunLayout) -> frozenset[tuple[Path, str]]:
    """Script and run name of each element that somebody cancelled: if it has not begun, it never will."""
    folders = (*_probe_folders(layout), *list_submissions(layout))
    return frozenset((each.script, run_name) for each in folders for run_name in read_withdrawn(each).cancelled)


def _never_begins(element: QueuedElement, cancelled: Collection[tuple[Path, str]]) -> bool:
    return (element.script, element.run_name) in cancelled and not element.attempt.home.exists()


def _is_gone(element: QueuedElement, results: Mapping[str, int]) -> bool:
    """Whether an element has run, its run was collected as finished, and its folder is there no more."""
    is_behind = not element.measures and element.attempt.number <= results.get(element.run_name, 0)
    return is_behind and not element.attempt.home.exists()


def list_open(layout: RunLayout) -> list[QueuedElement]:
    """List the elements that have not ended for good, without those whose canary failed: they never begin."""
    _, failed = canaries(layout)
    results, cancelled = finished_runs(layout), _cancelled(layout)
    waiting = (each for each in list_elements(layout) if not _is_gone(each, results) and not _has_ended(each))
    waiting = (each for each in waiting if not _never_begins(each, cancelled))
    return [each for each in waiting if each.waits_for not in failed]


def canaries(layout: RunLayout) -> tuple[set[int], set[int]]:
    """Numbers of the submissions others wait for: those that succeeded, and those that failed."""
    elements = list(list_elements(layout))
    awaited = {each.waits_for for each in elements if each.waits_for}
    results, cancelled = finished_runs(layout), _cancelled(layout)

    def went_well(each: QueuedElement) -> bool | None:
        if _never_begins(each, cancelled):
            return False
        return _is_gone(each, results) or _ended_well(each)

    ends = {number: [went_well(each) for each in elements if each.submission == number] for number in awaited}
    succeeded = {number for number, each in ends.items() if all(each)}
    return succeeded, {number for number, each in ends.items() if False in each}


def _ended_well(element: QueuedElement) -> bool | None:
    """Whether an element ended with exit code 0; None while it has not ended."""
    if not _has_ended(element):
        return None
    _, ended = _newest(element)
    return ended is not None and ended.exit_code == EXIT_DONE


def _newest(element: QueuedElement) -> tuple[AttemptLayout, ExitRecord | ProbeEnd | None]:
    """Follow the attempts of one element, each begun after exit 85 of the one before; return the last, and its end."""
    attempt = element.attempt
    while _starts_again(ended := _end_of(element, attempt)):
        following = AttemptLayout(attempt.home.with_name(f"attempt-{attempt.number + 1}"))
        if not following.home.exists():
            break
        attempt = following
    return attempt, ended


def _has_ended(element: QueuedElement) -> bool:
    """It left its record and will not be started again, or its wrapper died on this machine without one."""
    attempt, ended = _newest(element)
    if not attempt.home.exists():
        return False
    is_checked = element.has_check and isinstance(ended, ExitRecord) and ended.is_done
    if ended is None or (is_checked and not attempt.check_json.exists()):
        owner = _owner_of(element, attempt)
        return owner is None or not proc.may_live(owner.host, owner.pid, owner.pid_namespace)
    return not _starts_again(ended) or time.time() - ended.ended > SETTLE_S


def _end_of(element: QueuedElement, attempt: AttemptLayout) -> ExitRecord | ProbeEnd | None:
    """How an attempt ended; None while it has not, or where nobody can read it: that must not stop the queue."""
    path = attempt.exit_json
    return readable_record(path, ProbeEnd) if element.measures else readable_record(path, ExitRecord)


def _owner_of(element: QueuedElement, attempt: AttemptLayout) -> TaskRecord | ProbeTask | None:
    """Who runs an attempt; None where nobody can read it."""
    path = attempt.task_json
    return readable_record(path, ProbeTask) if element.measures else readable_record(path, TaskRecord)


def _starts_again(ended: ExitRecord | ProbeEnd | None) -> bool:
    return isinstance(ended, ExitRecord) and ended.starts_again


def run_queue(layout: RunLayout, max_parallel: int) -> None:
    """Start elements until all have ended. The queue is read again each time: more may have been submitted."""
    executor = LocalExecutor(layout.home / ".local")
    free_gpus = list(range(count_gpus()))
    running: dict[QueuedElement, tuple[Any, list[int]]] = {}
    started: set[QueuedElement] = set()
    left_over = [each for each in list_open(layout) if each.attempt.home.exists()]  # by a runner that was killed
    while True:
        for element in [each for each, (job, _) in running.items() if job.done()]:
            free_gpus += running.pop(element)[1]
        left_over = [each for each in left_over if not _has_ended(each)]
        new = (each for each in list_elements(layout) if each not in started and not each.attempt.home.exists())
        results, cancelled = finished_runs(layout), _cancelled(layout)
        waiting = [each for each in new if not _is_gone(each, results) and not _never_begins(each, cancelled)]
        succeeded = canaries(layout)[0] | {0}
        waiting = [each for each in waiting if each.waits_for in succeeded]
        if held(layout):  # what runs goes on; a release starts another runner
            waiting = []
        why = why_held(layout)
        waiting = [each for each in waiting if not why(each.run_name)]
        if not waiting and not running and not left_over:
            return
        if any(each.measures for each in (*waiting, *running, *left_over)):
            waiting = [each for each in waiting if each.measures]
        for element in waiting[: max(0, max_parallel - len(running) - len(left_over))]:
            # Nobody remembers which GPUs the left-over ones hold.
            if element.gpus > len(free_gpus) or (element.gpus and any(each.gpus for each in left_over)):
                break
            gpus, free_gpus = free_gpus[: element.gpus], free_gpus[element.gpus :]
            job = executor.start(tuple(gpus), run_element, str(element.script), element.position, str(element.log))
            running[element] = (job, gpus)
            started.add(element)
        time.sleep(POLL_S)


def lock_path(layout: RunLayout) -> Path:
    """Held by the runner that is at work."""
    return layout.home / ".local.lock"


def is_at_work(layout: RunLayout) -> bool:
    """Whether a runner holds the queue of this experiment."""
    try:
        with lock(lock_path(layout), timeout_s=0):
            return False
    except (TemporaryError, PermissionError):  # who may not lock it takes the owner's word
        return True


def list_abandoned(layout: RunLayout) -> list[QueuedElement]:
    """List the elements that wait although no runner is at work: it was killed, or the machine was started again."""
    if _was_just_started(layout) or held(layout):
        return []
    try:
        if is_at_work(layout):
            return []
        why = why_held(layout)
        return [each for each in list_open(layout) if not each.attempt.home.exists() and not why(each.run_name)]
    except PermissionError:  # somebody else's run: whether its queue is worked off is not ours to see
        return []


def _was_just_started(layout: RunLayout) -> bool:
    """Whether a runner may not hold the queue yet; also where there never was one."""
    try:
        return time.time() - _runner_log(layout).stat().st_mtime < START_UP_S
    except FileNotFoundError:
        return True


def _runner_log(layout: RunLayout) -> Path:
    """What the runner prints; touched when one is started."""
    return layout.home / ".local" / "runner.log"


def default_parallel() -> int:
    """Tasks that run at once when nobody says: half the cores, so that the machine stays usable."""
    return max(1, (os.cpu_count() or 2) // 2)


def check_gpus(asked: int) -> None:
    """Raise InputError when tasks ask for more GPUs than this machine has: they would wait for ever."""
    if asked > count_gpus():
        raise InputError(
            f"{asked} GPUs are asked for and this machine has {count_gpus()}; plan again with --set resources.gpus=0"
        )


def start_detached(layout: RunLayout, max_parallel: int) -> None:
    """Start a runner that outlives this process and its terminal; one that is at work already goes on instead."""
    log = _runner_log(layout)
    make_folder(log.parent)
    with log.open("ab") as file:
        os.utime(log)
        runner = subprocess.Popen(
            own_command("hpc.local.runner", str(layout.home), "--max-parallel", str(max_parallel)),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            cwd=layout.home,  # submitit starts its processes with the current folder on Python's path
            env=own_environment(),
        )
    runner.returncode = 0  # it is meant to outlive this object, which would warn that it still runs


def follow(layout: RunLayout, tell: Callable[[str], None] = say) -> int:
    """Wait until this machine's queue is empty: a bar on a terminal, one line a task elsewhere; return the exit code.

    Args:
        tell: Prints the next command; `note` where stdout is for one JSON value.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    waiting = list_open(layout)
    ladders = _Ladders(waiting)
    failed = 0
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            bar = progress.add_task(layout.experiment, total=len(waiting))
            for element in _as_they_end(layout, waiting, ladders.tell):
                failed += _say_how_it_ended(element, silent=console.is_terminal)
                progress.advance(bar)
    except KeyboardInterrupt:
        note(
            f"the tasks go on without this terminal; see python -m hpc.status {layout.experiment}; "
            f"to stop them: python -m hpc.cancel {layout.experiment}"
        )
        return EXIT_INTERRUPTED
    if said := describe_hold(layout):
        note(said)
    _, failed_canaries = canaries(layout)
    if kept := sum(each.waits_for in failed_canaries for each in waiting):
        broken = next(filter(None, map(_broken_rung, waiting)), "")
        note(
            f"the canary failed{f' ({broken})' if broken else ''}: {counted(kept, 'task was', 'tasks were')} not "
            f"started; once mended: {_after_mending(layout, broken)}"
        )
    tell(f"next: python -m hpc.collect {layout.experiment}{' --retry-failed' if failed else ''}")
    return EXIT_FAILED if failed else EXIT_DONE


def _after_mending(layout: RunLayout, broken: str) -> str:
    """The command that sends the rest; what is mended in files has to be planned again first."""
    submit = f"python -m hpc.submit {layout.experiment}"
    return f"python -m hpc.plan {layout.experiment} && {submit} --canary" if broken else submit


def _broken_rung(element: QueuedElement) -> str:
    """Why the ladder before an element broke; empty where it held, or has none."""
    ended = _newest(element)[1] if element.has_ladder else None
    return f"sanity: {ended.sanity}" if isinstance(ended, ExitRecord) and ended.sanity else ""


class _Ladders:
    """Says each rung of the ladders before canaries once, as it is climbed."""

    def __init__(self, elements: Sequence[QueuedElement]) -> None:
        self._told = {element: 0 for element in elements if element.has_ladder}

    def tell(self) -> None:
        """Say what has been climbed since."""
        for element, told in self._told.items():
            rungs = rungs_in(_whole_lines(element.attempt.sanity_log))
            for rung in rungs[told:]:
                note(f"{element.run_name}: sanity: {rung}")
            self._told[element] = len(rungs)


def _whole_lines(log: Path) -> list[str]:
    try:
        with open_regular(log) as file:
            text = file.read(_MOST_SAID).decode("utf-8", "replace")
    except (InputError, OSError):  # nothing was climbed yet, or it is no log
        return []
    return text[: text.rfind("\n") + 1].splitlines()


def _as_they_end(
    layout: RunLayout, elements: Sequence[QueuedElement], tell: Callable[[], None]
) -> Iterator[QueuedElement]:
    """Yield elements as they end; those left when no runner is at work any more end without a record.

    Of a held experiment those that have not begun are left out, and those whose canary failed.

    Args:
        tell: Called at each look, before what has ended is given.
    """
    waiting = list(elements)
    last_seen = time.monotonic()
    while waiting:
        if is_at_work(layout):
            last_seen = time.monotonic()
        abandoned = time.monotonic() - last_seen > START_UP_S
        stopped, (_, failed) = held(layout), canaries(layout)
        waiting = [each for each in waiting if each.attempt.home.exists() or not (stopped or each.waits_for in failed)]
        why = why_held(layout)
        waiting = [each for each in waiting if each.attempt.home.exists() or not why(each.run_name)]
        cancelled = _cancelled(layout)
        waiting = [each for each in waiting if not _never_begins(each, cancelled)]
        ended = [each for each in waiting if abandoned or _has_ended(each)]
        tell()  # after that look: an end comes behind all that was said before it
        for element in ended:
            waiting.remove(element)
            yield element
        time.sleep(POLL_S)


def _say_how_it_ended(element: QueuedElement, *, silent: bool) -> bool:
    """Print one element's end; True when it failed. A probe that measured nothing spoils no result."""
    _, ended = _newest(element)
    if element.measures:
        said = ended.said if isinstance(ended, ProbeEnd) else "left no record; the tasks start with what is known"
        note(f"{element.label}: {said}")
        return False
    failed = ended is None or ended.exit_code != EXIT_DONE
    if not silent:
        how = _broken_rung(element) or (f"exit {ended.exit_code}" if ended else "left no record")
        note(f"{element.run_name}: {f'failed ({how})' if failed else 'finished'}")
    return failed
