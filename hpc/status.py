"""Where an experiment stands: counts, progress, health of what runs, GPU hours, why tasks wait.

    python -m hpc.status lora_sweep
    python -m hpc.status lora_sweep --watch
    python -m hpc.status lora_sweep --tasks failed,running

Reads claims and exit records, asks Slurm once, and looks into the metrics of what runs. Outcomes are those that
hpc.collect would give: what that has seen is taken from it, what ended since is looked at. Nothing is written but what
was read of attempts that are over (`hpc.snapshots.remembered`), so that the next look reads only what changed.
"""

import contextlib
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import click

if __name__ == "__main__":  # as in hpc.cli: modules stay, and looking for garbage among them takes a fifth of a look
    gc.disable()

from hpc.console import (
    is_colourful,
    json_option,
    name_argument,
    note,
    print_json,
    print_table,
    say,
    say_styled,
    speaks_plainly,
)
from hpc.core.errors import EXIT_DONE, EXIT_TEMPORARY, InputError, TemporaryError
from hpc.core.failures.outcomes import Outcome, render_counts
from hpc.core.layout import RunLayout
from hpc.core.picture import Line
from hpc.rounds.outcomes_now import OutcomesNow, find_outcomes
from hpc.snapshots.remembered import Memory
from hpc.snapshots.snapshot import take_snapshot
from hpc.snapshots.states import Snapshot
from hpc.snapshots.untouched import take_brief_snapshot
from hpc.standing.counting import count
from hpc.standing.lines import draw, render
from hpc.standing.numbers import Standing
from hpc.workspace import Workspace

if TYPE_CHECKING:
    from hpc.standing.tasks import TaskRow

SHORTEST_S = 2.0
WATCH_S = 10.0


@click.command(epilog="Example: python -m hpc.status lora_sweep --watch 30")
@name_argument
@click.option(
    "--watch", is_flag=False, flag_value=str(WATCH_S), metavar="[SECONDS]", help="Refresh until nothing is left to run."
)
@click.option(
    "--tasks",
    "which",
    is_flag=False,
    flag_value="",
    metavar="[OUTCOME,…]",
    help="One row per task, of all outcomes or the named ones: planned, pending, running, finished, failed.",
)
@json_option
@speaks_plainly
def main(name: str | None, watch: str | None, which: str | None, as_json: bool) -> int:
    """Show where experiment NAME (default: the one planned last) stands."""
    name, every_s = read_watch(name, watch)
    name, wanted = read_tasks(name, which)
    workspace = Workspace.current()
    layout = workspace.layout(name, acts=False)
    if said := workspace.other_project(layout):
        note(f"warning: {said}")
    if every_s is not None:
        if as_json:
            raise InputError("--json prints one value: leave out --watch")
        if wanted is not None:
            raise InputError("--tasks prints one table: leave out --watch")
        return keep_watching(layout, every_s, writes=workspace.may_write(layout))
    snapshot, standing, seen = _look(layout, writes=workspace.may_write(layout), brief=wanted is None)
    rows = None if wanted is None else _rows(snapshot, seen, standing, wanted)
    if as_json:
        runs = {} if rows is None else {"runs": [asdict(row) for row in rows]}
        print_json(
            {"experiment": layout.experiment, "tasks": sum(standing.outcomes.values()), **asdict(standing), **runs}
        )
    elif rows is not None:
        show_tasks(rows, f"{layout.experiment}: {render_counts(standing.outcomes)}")
    elif is_colourful():
        from shutil import get_terminal_size

        for line in draw(snapshot, standing, get_terminal_size().columns):
            say_styled(line)
    else:
        for told in render(snapshot, standing):
            say(told)
    if snapshot.slurm_problem:
        note(_doubt(snapshot))
        return EXIT_TEMPORARY
    return EXIT_DONE


def _rows(snapshot: Snapshot, seen: OutcomesNow, standing: Standing, wanted: Sequence[Outcome]) -> "list[TaskRow]":
    from hpc.standing.tasks import list_tasks

    return list(list_tasks(snapshot, seen.outcomes, standing.at_work, wanted))


def look(layout: RunLayout, *, writes: bool) -> tuple[Snapshot, Standing]:
    """Look at an experiment, and at no record of an attempt that is over twice.

    Args:
        writes: Keep what was read for the next look: not with runs of somebody else.
    """
    snapshot, standing, _ = _look(layout, writes=writes, brief=True)
    return snapshot, standing


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Let garbage lie: what a look reads is needed until its end, and a look is short."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_uncollected()
def _look(layout: RunLayout, *, writes: bool, brief: bool) -> tuple[Snapshot, Standing, OutcomesNow]:
    """Look.

    Args:
        brief: Tasks to which nothing has happened are wanted as numbers alone.
    """
    memory = Memory(layout)
    if brief:
        snapshot = take_brief_snapshot(layout, memory)
    else:
        snapshot = take_snapshot(layout, require_slurm=False, memory=memory)
    seen = find_outcomes(snapshot, memory)
    standing = stand(snapshot, memory, seen)
    if writes:
        memory.save()
    return snapshot, standing, seen


def read_tasks(name: str | None, which: str | None) -> tuple[str | None, tuple[Outcome, ...] | None]:
    """Tell ``--tasks failed`` from ``--tasks NAME``: name, and the outcomes that are shown (None: no rows).

    Raises:
        InputError: A word is no outcome.
    """
    if which is None:
        return name, None
    from hpc.standing.tasks import read_outcomes

    try:
        return name, read_outcomes(which)
    except InputError:
        if name is not None or "," in which or nearest_outcome(which):
            raise
        return which, read_outcomes("")


def nearest_outcome(word: str) -> bool:
    """Whether a word is one letter or two from an outcome's: mistyped, rather than the name of an experiment."""
    from difflib import get_close_matches

    return bool(get_close_matches(word, [each.value for each in Outcome], cutoff=0.8))


def show_tasks(rows: "Sequence[TaskRow]", title: str) -> None:
    """Print one row a task."""
    metric = rows[0].metric if rows else ""
    cells = [
        (row.run_name, row.outcome, row.failure_class or "–", row.attempt or "–", row.job or "–",
         "–" if row.step is None else row.step, "–" if row.value is None else f"{row.value:.6g}", _took(row.time_s))
        for row in rows
    ]  # fmt: skip
    columns = ("run", "outcome", "class", "attempt", "job", "step", metric or "metric", "time")
    print_table(title, columns, cells, right=(3, 5, 6, 7))


def _took(seconds: float | None) -> str:
    """A length of time as a table has it: ``1:02:03``."""
    if seconds is None:
        return "–"
    minutes, whole = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{whole:02d}"


def read_watch(name: str | None, watch: str | None) -> tuple[str | None, float | None]:
    """Tell ``--watch 30`` from ``--watch NAME``: name, and seconds between two looks (None: look once).

    Raises:
        InputError: The value is neither.
    """
    if watch is None:
        return name, None
    try:
        return name, max(SHORTEST_S, float(watch))
    except ValueError:
        if name is not None:
            raise InputError(f"--watch {watch} is not a number of seconds; write for example --watch 30") from None
        return watch, WATCH_S


def _doubt(snapshot: Snapshot) -> str:
    return f"warning: {snapshot.slurm_problem}; this view comes from the run folder and from what did answer"


# ── again and again ──────────────────────────────────────────────────────────────────────────────────────────────


def keep_watching(layout: RunLayout, every_s: float, *, writes: bool) -> int:
    """Show the standing again and again until nothing runs or waits: in place on a terminal, else block after block."""
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        from hpc.standing.screen import Screen

        with Screen() as screen:
            for picture in pictures(layout, every_s, screen.wait, writes=writes):
                screen.show(picture)
    else:
        _show_blocks(_looks(layout, every_s, writes=writes))
    return EXIT_DONE


def _looks(layout: RunLayout, every_s: float, *, writes: bool) -> Iterator[list[str]]:
    """What is to be shown, at each look."""
    while True:
        snapshot, standing = look(layout, writes=writes)
        lines = [f"{_clock(snapshot.taken)}  {layout.experiment}"]
        lines += render(snapshot, standing) + ([_doubt(snapshot)] if snapshot.slurm_problem else [])
        yield lines
        if standing.is_over and not snapshot.slurm_problem:
            return
        time.sleep(every_s)


def _show_blocks(looks: Iterator[list[str]]) -> None:
    for lines in looks:
        say("\n".join(lines) + "\n")
        sys.stdout.flush()


def pictures(
    layout: RunLayout, every_s: float, wait: Callable[[float], None], *, writes: bool
) -> Iterator[Callable[[int], list[Line]]]:
    """The same for a screen. While nobody answers, the last picture stays, and since when that is so stands above it.

    Args:
        wait: Called between two looks with `every_s`.

    Raises:
        InputError: The run folder was removed meanwhile.
    """
    last: tuple[Snapshot, Standing] | None = None
    since: float | None = None
    while True:
        who = "Slurm has not answered"
        try:
            snapshot, standing = look(layout, writes=writes)
            problem = snapshot.slurm_problem
        except TemporaryError as error:
            who, problem = "it could not be looked at", str(error)
        except (InputError, OSError):
            if layout.home.exists():
                raise
            raise InputError(f"{layout.home} was removed while it was being watched") from None
        else:
            last = last if problem and last else (snapshot, standing)
        now = time.time()
        since = (since or now) if problem else None
        said = f"{who} since {_clock(since)}: {problem}" if since else ""
        yield partial(_picture, layout.experiment, every_s, now, last, said)
        if not problem and standing.is_over:
            return
        wait(every_s)


def _picture(
    name: str, every_s: float, now: float, last: tuple[Snapshot, Standing] | None, problem: str, width: int
) -> list[Line]:
    """What stands on the screen.

    Args:
        now: Unix time of the look.
        last: What is shown; None where nothing was seen yet.
        problem: Why that is not how it stands now; empty where it is.
    """
    head = f"{name}  {_clock(now)}, again every {every_s:g} s until nothing is left; Ctrl-C ends"
    lines: list[Line] = [[(head, "dim")]]
    if problem:
        lines.append([(problem + (f"; below: what was known at {_clock(last[0].taken)}" if last else ""), "red")])
    if last is None:
        return lines
    drawn = draw(*last, width) if is_colourful() else [[(line, "")] for line in render(*last)]
    return lines + drawn


def _clock(when: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(when))


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def stand(snapshot: Snapshot, memory: Memory | None = None, seen: OutcomesNow | None = None) -> Standing:
    """Count, and look at what runs.

    Args:
        memory: As `find_outcomes`.
        seen: The outcomes, where they are known already.
    """
    return count(snapshot, seen or find_outcomes(snapshot, memory), *_following(snapshot.layout), memory)


def _following(layout: RunLayout) -> tuple[list[str], bool]:
    """What the unattended loop has to say, and whether it goes on."""
    if not layout.follow_state.exists():
        return [], False
    from hpc.core.slurm.successors import Course
    from hpc.unattended.describe import describe
    from hpc.unattended.state import read_state

    try:
        state = read_state(layout)
        return describe(layout), state is not None and state.course is Course.GOES_ON
    except InputError as error:
        return [f"how it is followed is not known: {error}"], False


if __name__ == "__main__":
    main()
