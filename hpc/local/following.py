"""Following this machine's own queue from a terminal, until its elements have ended."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hpc.adapters.files import open_regular
from hpc.adapters.proc import lives
from hpc.adapters.progress import is_shown, working
from hpc.console import note, say
from hpc.core.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, InputError
from hpc.core.launch.sanity import rungs_in
from hpc.core.layout import RunLayout
from hpc.core.records.exit import ExitRecord
from hpc.core.records.probe import ProbeEnd
from hpc.core.words import counted
from hpc.local.queue import (
    START_UP_S,
    Pace,
    QueuedElement,
    canaries,
    cancelled,
    has_ended,
    is_at_work,
    list_open,
    newest,
)
from hpc.submissions.held_runs import why_held
from hpc.submissions.holds import describe_hold, held
from hpc.submissions.on_disk import list_runs

_MOST_SAID = 1 << 20
"""Bytes of a ladder's log in which rungs are looked for."""


def follow(layout: RunLayout, runner: str = "", tell: Callable[[str], None] = say) -> int:
    """Wait until this machine's queue is empty: a line that counts on a terminal, one a task elsewhere.

    Args:
        runner: The process just started to work it off (`start_detached`): it is waited for however long it starts.
        tell: Prints the next command; `note` where stdout is for one JSON value.

    Returns:
        The exit code.
    """
    waiting = list_open(layout)
    ladders = _Ladders(waiting)
    failed = 0
    try:
        with working(f"running {layout.experiment}", len(waiting)) as step:
            for element in _as_they_end(layout, waiting, ladders.tell, runner):
                failed += _say_how_it_ended(element, silent=is_shown())
                step()
    except KeyboardInterrupt:
        note(
            f"the tasks continue without this terminal; see python -m hpc.status {layout.experiment}; "
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
            f"started; once fixed: {_after_mending(layout, broken)}"
        )
    tell(f"next: python -m hpc.collect {layout.experiment}{' --retry-failed' if failed else ''}")
    return EXIT_FAILED if failed else EXIT_DONE


def _after_mending(layout: RunLayout, broken: str) -> str:
    """The command that sends the rest; what is mended in files has to be planned again first."""
    submit = f"python -m hpc.submit {layout.experiment}"
    return f"python -m hpc.plan {layout.experiment} && {submit} --canary" if broken else submit


def _broken_rung(element: QueuedElement) -> str:
    """Why the ladder before an element broke; empty where it held, or has none."""
    ended = newest(element)[1] if element.has_ladder else None
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
    layout: RunLayout, elements: Sequence[QueuedElement], tell: Callable[[], None], runner: str
) -> Iterator[QueuedElement]:
    """Yield elements as they end; those left when no runner is at work any more end without a record.

    Of a held experiment those that have not begun are left out, and those whose canary failed.

    Args:
        tell: Called at each look, before what has ended is given.
        runner: The process just started, as in `follow`.
    """
    waiting, begun, pace = list(elements), list[QueuedElement](), Pace()
    last_seen = time.monotonic()
    while waiting or begun:
        with pace.look():
            if is_at_work(layout) or (runner and lives(runner)):
                last_seen = time.monotonic()
            abandoned = time.monotonic() - last_seen > START_UP_S
            waiting = _still_to_come(layout, waiting)
            new, waiting = _split(waiting, _has_begun(layout))
            ended, begun = _split([*begun, *new], has_ended)
            if abandoned:
                ended, waiting, begun = [*ended, *begun, *waiting], [], []
        tell()  # after that look: an end comes behind all that was said before it
        yield from ended
        time.sleep(pace.rest_s)


def _still_to_come(layout: RunLayout, waiting: list[QueuedElement]) -> list[QueuedElement]:
    """Leave out what has not begun and does not for now, or never will."""
    stopped, (_, failed), withdrawn = held(layout), canaries(layout), cancelled(layout)
    why = why_held(layout)

    def stays_away(each: QueuedElement) -> bool:
        return bool(stopped or each.waits_for in failed or (each.script, each.run_name) in withdrawn) or bool(
            why(each.run_name)
        )

    return [each for each in waiting if not stays_away(each) or each.attempt.home.exists()]


def _has_begun(layout: RunLayout) -> Callable[[QueuedElement], bool]:
    """Say of elements whether they have begun; of most that have not, one listing of the tasks' folders tells it."""
    runs = set(list_runs(layout))
    return lambda each: (each.measures or each.run_name in runs) and each.attempt.home.exists()


def _split(
    elements: Sequence[QueuedElement], is_one: Callable[[QueuedElement], bool]
) -> tuple[list[QueuedElement], list[QueuedElement]]:
    """Tell those that are from those that are not, in one pass."""
    those, others = list[QueuedElement](), list[QueuedElement]()
    for each in elements:
        (those if is_one(each) else others).append(each)
    return those, others


def _say_how_it_ended(element: QueuedElement, *, silent: bool) -> bool:
    """Print one element's end by its exit code, which a collection judges; True when it failed.

    A probe that measured nothing spoils no result.
    """
    _, ended = newest(element)
    if element.measures:
        said = (
            ended.said if isinstance(ended, ProbeEnd) else "left no record; the tasks start with what is known so far"
        )
        note(f"{element.label}: {said}")
        return False
    failed = ended is None or ended.exit_code != EXIT_DONE
    if not silent:
        how = _broken_rung(element) or (f"exit {ended.exit_code}" if ended else "left no record")
        note(f"{element.run_name}: {f'failed ({how})' if failed else 'ended with exit code 0'}")
    return failed
