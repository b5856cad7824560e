"""This machine's own queue: the arrays that were submitted to it, started so many at once, followed until they end.

It lives in the run folder like everything else: a receipt with the job ``local`` puts an array into it, a claimed
attempt takes an element out. `hpc.local_runner` works it off, detached from any terminal; the commands only look.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hpc.adapters import proc
from hpc.adapters.files import lock, read_json, read_json_or_none
from hpc.adapters.local import LocalExecutor, count_gpus
from hpc.adapters.manifest_store import list_submissions, load_index
from hpc.console import note, say
from hpc.core.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, InputError, TemporaryError
from hpc.core.layout import AttemptLayout, RunLayout, SubmissionLayout
from hpc.holding import describe_hold, held
from hpc.local_element import run_element

POLL_S = 0.2
START_UP_S = 5.0
"""How long a runner may take from its start to holding the queue."""
SETTLE_S = 60.0
"""After this long an element that was to start again has not, and will not."""


@dataclass(frozen=True)
class Element:
    """One array element of the queue.

    Attributes:
        script: The array script.
        position: Its array index.
        log: Where the wrapper prints.
        run_name: The task's.
        attempt: The attempt it is to claim.
        gpus: GPUs it asks for.
        measures: Whether it is a probe (`hpc.probe_task`): nothing else is started beside it.
        submission: Number of the submission it belongs to; 0 for a probe.
        waits_for: Number of the submission that has to succeed before it starts; 0: none.
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


def list_elements(layout: RunLayout) -> Iterator[Element]:
    """List every element that was ever handed to this machine: probes, then tasks, the oldest submission first."""
    yield from _list_probes(layout)
    for submission in list_submissions(layout):
        receipt = read_json_or_none(submission.receipt) or {}
        if receipt.get("job") != "local":
            continue
        yield from _elements_of(layout, submission, receipt.get("waits_for", 0))


def _list_probes(layout: RunLayout) -> Iterator[Element]:
    for receipt in sorted(layout.probes.glob("*/receipt.json")):
        if (read_json_or_none(receipt) or {}).get("job") == "local":
            yield from _probes_of(SubmissionLayout(receipt.parent))


@cache
def _probes_of(probe: SubmissionLayout) -> tuple[Element, ...]:
    index = read_json(probe.index)
    return tuple(
        Element(
            probe.script,
            position,
            probe.logs / f"local_{position}.log",
            f"probe of {entry['run_name']}",
            AttemptLayout(probe.tries / entry["run_name"]),
            index["resources"]["gpus"],
            measures=True,
        )
        for position, entry in enumerate(index["entries"])
    )


@cache
def _elements_of(layout: RunLayout, submission: SubmissionLayout, waits_for: int) -> tuple[Element, ...]:
    """List the elements of one array; read once, because an index never changes and the queue is looked at often."""
    index = load_index(submission)
    gpus = index["resources"]["gpus"]
    return tuple(
        Element(
            submission.script,
            position,
            submission.logs / f"local_{position}.log",
            entry["run_name"],
            layout.task(entry["run_name"]).attempt(entry["attempt"]),
            gpus,
            submission=submission.number,
            waits_for=waits_for,
        )
        for position, entry in enumerate(index["entries"])
    )


def list_open(layout: RunLayout) -> list[Element]:
    """List the elements that have not ended for good, without those whose canary failed: they never begin."""
    _, failed = canaries(layout)
    return [each for each in list_elements(layout) if not _has_ended(each) and each.waits_for not in failed]


def canaries(layout: RunLayout) -> tuple[set[int], set[int]]:
    """Numbers of the submissions others wait for: those that succeeded, and those that failed."""
    elements = list(list_elements(layout))
    awaited = {each.waits_for for each in elements if each.waits_for}
    ends = {number: [_ended_well(each) for each in elements if each.submission == number] for number in awaited}
    succeeded = {number for number, each in ends.items() if all(each)}
    return succeeded, {number for number, each in ends.items() if False in each}


def _ended_well(element: Element) -> bool | None:
    """Whether an element ended with exit code 0; None while it has not ended."""
    if not _has_ended(element):
        return None
    return bool((read_json_or_none(_last_attempt(element).exit_json) or {}).get("exit_code") == EXIT_DONE)


def _last_attempt(element: Element) -> AttemptLayout:
    """Follow the attempts of one element: after exit 85 its next begins where the one before left off."""
    attempt = element.attempt
    while (read_json_or_none(attempt.exit_json) or {}).get("starts_again"):
        following = AttemptLayout(attempt.home.with_name(f"attempt-{attempt.number + 1}"))
        if not following.home.exists():
            break
        attempt = following
    return attempt


def _has_ended(element: Element) -> bool:
    """It left its record and will not be started again, or its wrapper died on this machine without one."""
    attempt = _last_attempt(element)
    if not attempt.home.exists():
        return False
    ended = read_json_or_none(attempt.exit_json)
    if ended is None:
        return not _may_live(attempt)
    return not ended.get("starts_again") or time.time() - ended["ended"] > SETTLE_S


def _may_live(attempt: AttemptLayout) -> bool:
    record = read_json(attempt.task_json)
    return record["host"] != proc.this_host() or proc.lives(record["pid"])


def run_queue(layout: RunLayout, max_parallel: int) -> None:
    """Start elements until all have ended. The queue is read again each time: more may have been submitted."""
    executor = LocalExecutor(layout.home / ".local")
    free_gpus = list(range(count_gpus()))
    running: dict[Element, tuple[Any, list[int]]] = {}
    started: set[Element] = set()
    left_over = [each for each in list_open(layout) if each.attempt.home.exists()]  # by a runner that was killed
    while True:
        for element in [each for each, (job, _) in running.items() if job.done()]:
            free_gpus += running.pop(element)[1]
        left_over = [each for each in left_over if not _has_ended(each)]
        waiting = [each for each in list_elements(layout) if each not in started and not each.attempt.home.exists()]
        succeeded = canaries(layout)[0] | {0}
        waiting = [each for each in waiting if each.waits_for in succeeded]
        if held(layout):  # what runs goes on; a release starts another runner
            waiting = []
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
    except TemporaryError:
        return True


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
    log = layout.home / ".local" / "runner.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    path = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    with log.open("ab") as file:
        runner = subprocess.Popen(
            [sys.executable, "-m", "hpc.local_runner", str(layout.home), "--max-parallel", str(max_parallel)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        )
    runner.returncode = 0  # it is meant to outlive this object, which would warn that it still runs


def follow(layout: RunLayout) -> int:
    """Wait until this machine's queue is empty: a bar on a terminal, one line a task elsewhere; give the exit code."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    waiting = list_open(layout)
    failed = 0
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            bar = progress.add_task(layout.experiment, total=len(waiting))
            for element in _as_they_end(layout, waiting):
                failed += _say_how_it_ended(element, silent=console.is_terminal)
                progress.advance(bar)
    except KeyboardInterrupt:
        note(f"the tasks go on without this terminal; see python -m hpc.status {layout.experiment}")
        return EXIT_INTERRUPTED
    if said := describe_hold(layout):
        note(said)
    _, failed_canaries = canaries(layout)
    if kept := sum(each.waits_for in failed_canaries for each in waiting):
        note(f"the canary failed: {kept} tasks were not started; once mended: python -m hpc.submit {layout.experiment}")
    say(f"next: python -m hpc.collect {layout.experiment}{' --retry-failed' if failed else ''}")
    return EXIT_FAILED if failed else EXIT_DONE


def _as_they_end(layout: RunLayout, elements: Sequence[Element]) -> Iterator[Element]:
    """Yield elements as they end; those left when no runner is at work any more end without a record.

    Of a held experiment those that have not begun are left out, and those whose canary failed.
    """
    waiting = list(elements)
    last_seen = time.monotonic()
    while waiting:
        if is_at_work(layout):
            last_seen = time.monotonic()
        abandoned = time.monotonic() - last_seen > START_UP_S
        stopped, (_, failed) = held(layout), canaries(layout)
        waiting = [each for each in waiting if each.attempt.home.exists() or not (stopped or each.waits_for in failed)]
        for element in [each for each in waiting if abandoned or _has_ended(each)]:
            waiting.remove(element)
            yield element
        time.sleep(POLL_S)


def _say_how_it_ended(element: Element, *, silent: bool) -> bool:
    """Print one element's end; True when it failed. A probe that measured nothing spoils no result."""
    ended = read_json_or_none(_last_attempt(element).exit_json)
    if element.measures:
        note(f"{element.run_name}: {ended['said'] if ended else 'left no record; the tasks start with what is known'}")
        return False
    failed = ended is None or ended["exit_code"] != EXIT_DONE
    if not silent:
        how = "left no record" if ended is None else f"exit {ended['exit_code']}"
        note(f"{element.run_name}: {f'failed ({how})' if failed else 'finished'}")
    return failed
