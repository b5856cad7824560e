"""This machine's own queue: the arrays that were submitted to it, and how far each of their elements is.

It lives in the run folder like everything else: a receipt with the job ``local`` puts an array into it, a claimed
attempt takes an element out. `hpc.local.runner` works it off (`hpc.local.working`), detached from any terminal; the
commands only look.
"""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path

from hpc.adapters import proc
from hpc.adapters.collected_file import finished_runs
from hpc.adapters.files import make_folder, read_record, readable_record
from hpc.adapters.ledger import read_json_lines
from hpc.adapters.local import count_gpus
from hpc.adapters.locks import lock
from hpc.adapters.manifest_store import list_submissions, load_index
from hpc.adapters.withdrawn import read_withdrawn
from hpc.core.errors import EXIT_DONE, InputError, TemporaryError
from hpc.core.immutable import immutable
from hpc.core.layout import AttemptLayout, RunLayout, SubmissionLayout
from hpc.core.records.exit import ExitRecord
from hpc.core.records.probe import ProbeEnd, ProbeIndex, ProbeTask
from hpc.core.records.submitted import LOCAL, Asked
from hpc.core.records.task import TaskRecord
from hpc.submissions.held_runs import why_held
from hpc.submissions.holds import held
from hpc.submissions.on_disk import received_job
from hpc.workspace import own_command, own_environment

START_UP_S = 5.0
"""How long a runner may take from its start to holding the queue, where nobody knows whether it lives."""
SETTLE_S = 60.0
"""After this long an element that was to start again has not, and will not."""
POLL_S = 0.2
_TAIL = 65536
_SHARE = 20
"""A look may take a twentieth of the time: where it is dear, because there is much to look at, the next comes later."""


@immutable
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


class Pace:
    """Says when to look again, so that looking takes a twentieth of the time, whatever there is to look at."""

    def __init__(self) -> None:
        self._due = time.monotonic()

    @property
    def is_due(self) -> bool:
        return self.rest_s <= 0

    @property
    def rest_s(self) -> float:
        """Seconds until the next look."""
        return max(0.0, self._due - time.monotonic())

    @contextlib.contextmanager
    def look(self) -> Iterator[None]:
        """Measure a look."""
        began = time.monotonic()
        yield
        ended = time.monotonic()
        self._due = ended + max(POLL_S, _SHARE * (ended - began))


def list_elements(layout: RunLayout) -> Iterator[QueuedElement]:
    """List every element that was ever handed to this machine: probes, then tasks, the oldest submission first.

    Not those whose task was set aside: their folder is another's now.
    """
    for _, elements in list_probes(layout):
        yield from elements
    for submission, waits_for in list_arrays(layout):
        aside = read_withdrawn(submission).set_aside
        yield from (each for each in elements_of(layout, submission, waits_for) if each.run_name not in aside)


def list_arrays(layout: RunLayout) -> Iterator[tuple[SubmissionLayout, int]]:
    """List the arrays that were handed to this machine, the oldest first, each with the submission it waits for."""
    for submission in list_submissions(layout):
        receipt = readable_record(submission.receipt, Asked)
        if receipt and receipt.job == LOCAL:
            yield submission, receipt.waits_for


def list_probes(layout: RunLayout) -> Iterator[tuple[SubmissionLayout, tuple[QueuedElement, ...]]]:
    """List the probes that were handed to this machine, the oldest first, each with its elements."""
    for receipt in sorted(layout.probes.glob("*/receipt.json")):
        probe = SubmissionLayout(receipt.parent)
        if received_job(probe) == LOCAL:
            yield probe, _probes_of(probe)


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
def elements_of(layout: RunLayout, submission: SubmissionLayout, waits_for: int) -> tuple[QueuedElement, ...]:
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


def cancelled(layout: RunLayout) -> frozenset[tuple[Path, str]]:
    """Script and run name of each element that somebody cancelled: if it has not begun, it never will."""
    folders = (*(probe for probe, _ in list_probes(layout)), *list_submissions(layout))
    return frozenset((each.script, run_name) for each in folders for run_name in read_withdrawn(each).cancelled)


def never_begins(element: QueuedElement, cancelled: Collection[tuple[Path, str]]) -> bool:
    """Whether an element was cancelled before it began."""
    return (element.script, element.run_name) in cancelled and not element.attempt.home.exists()


def is_gone(element: QueuedElement, results: Mapping[str, int]) -> bool:
    """Whether an element has run, its run was collected as finished, and its folder is there no more."""
    is_behind = not element.measures and element.attempt.number <= results.get(element.run_name, 0)
    return is_behind and not element.attempt.home.exists()


def list_open(layout: RunLayout) -> list[QueuedElement]:
    """List the elements that have not ended for good, without those whose canary failed: they never begin."""
    _, failed = canaries(layout)
    results, withdrawn = finished_runs(layout), cancelled(layout)
    waiting = (each for each in list_elements(layout) if not is_gone(each, results) and not has_ended(each))
    waiting = (each for each in waiting if not never_begins(each, withdrawn))
    return [each for each in waiting if each.waits_for not in failed]


def canaries(layout: RunLayout) -> tuple[set[int], set[int]]:
    """Numbers of the submissions others wait for: those that succeeded, and those that failed."""
    awaited = {waits_for for _, waits_for in list_arrays(layout) if waits_for}
    if not awaited:  # most have none, and this is asked at every look
        return set(), set()
    elements = [each for each in list_elements(layout) if each.submission in awaited]
    results, withdrawn = finished_runs(layout), cancelled(layout)

    def went_well(each: QueuedElement) -> bool | None:
        if never_begins(each, withdrawn):
            return False
        return is_gone(each, results) or _ended_well(each)

    ends = {number: [went_well(each) for each in elements if each.submission == number] for number in awaited}
    succeeded = {number for number, each in ends.items() if all(each)}
    return succeeded, {number for number, each in ends.items() if False in each}


def _ended_well(element: QueuedElement) -> bool | None:
    """Whether an element ended with exit code 0; None while it has not ended."""
    if not has_ended(element):
        return None
    _, ended = newest(element)
    return ended is not None and ended.exit_code == EXIT_DONE


def newest(element: QueuedElement) -> tuple[AttemptLayout, ExitRecord | ProbeEnd | None]:
    """Follow the attempts of one element, each begun after exit 85 of the one before; return the last, and its end."""
    attempt = element.attempt
    while _starts_again(ended := _end_of(element, attempt)):
        following = AttemptLayout(attempt.home.with_name(f"attempt-{attempt.number + 1}"))
        if not following.home.exists():
            break
        attempt = following
    return attempt, ended


def has_ended(element: QueuedElement) -> bool:
    """It left its record and will not be started again, or its wrapper died on this machine without one."""
    attempt, ended = newest(element)
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


def is_starting(layout: RunLayout) -> bool:
    """Whether the runner started last lives on this machine: on a busy one it takes long until it holds the queue."""
    try:
        started = [each["runner"] for each in read_json_lines(_runner_log(layout), _TAIL) if "runner" in each]
        return bool(started) and started[-1]["host"] == proc.this_host() and proc.may_live(**started[-1])
    except (InputError, OSError, KeyError, TypeError):  # no log of ours
        return False


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
        return time.time() - _runner_log(layout).stat().st_mtime < START_UP_S or is_starting(layout)
    except FileNotFoundError:
        return True


def _runner_log(layout: RunLayout) -> Path:
    """What runners print, and who each is, a line of JSON; touched when one is started."""
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


def start_detached(layout: RunLayout, max_parallel: int) -> str:
    """Start a runner that outlives this process and its terminal; one that is at work already goes on instead.

    Returns:
        The process, as `hpc.adapters.proc.lives` takes it.
    """
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
            cwd=layout.home,
            env=own_environment(),
        )
        own = {"host": proc.this_host(), "name": proc.identity(runner.pid), "namespace": proc.pid_namespace()}
        with contextlib.suppress(OSError):  # a full disk: then its age is what is known of it
            os.write(file.fileno(), (json.dumps({"runner": own}) + "\n").encode())
    runner.returncode = 0  # it is meant to outlive this object, which would warn that it still runs
    return proc.identity(runner.pid)
