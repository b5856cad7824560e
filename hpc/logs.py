"""Show what a task printed, follow it while it runs, or look for a pattern in the logs of all runs.

    python -m hpc.logs lora_sweep R8_S42 --follow
    python -m hpc.logs lora_sweep --grep 'out of memory|Traceback'

Nothing is written, and memory does not grow with the logs.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence

import click

from hpc.adapters.collected_file import read_entries
from hpc.adapters.log_lines import FoundLine, LogReader, search_log, size_of, start_of_tail
from hpc.console import json_option, name_argument, note, print_json, say, show_bytes, speaks_plainly, task_argument
from hpc.core.errors import EXIT_DONE, EXIT_FAILED, InputError, NothingToDo, Problem
from hpc.core.experiment.spec import Task
from hpc.core.failures.outcomes import Outcome
from hpc.core.immutable import immutable, replace
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.log_search import Search, parse_search
from hpc.core.words import counted
from hpc.housekeeping.named import find_attempt, find_run, newest_run
from hpc.housekeeping.printed import STREAMS, Follower, Printed, place_of, printed_of, with_pauses, wrapper_logs
from hpc.rounds.cancelling import all_tasks
from hpc.rounds.outcomes_now import find_outcomes
from hpc.snapshots.snapshot import take_snapshot
from hpc.snapshots.states import TaskState
from hpc.submissions.on_disk import list_attempts, list_runs
from hpc.unattended.stopping import goes_on
from hpc.workspace import Workspace

JSON_LINES = 1000
"""Lines of a log, and matches, that ``--json`` gives where nobody says how many."""


@immutable
class Wanted:
    """Which logs are wanted; `main`'s options say what each means."""

    attempt: int | None = None
    rank: int | None = None
    streams: Sequence[str] = STREAMS
    tail: int | None = None

    def of(self, attempt: AttemptLayout) -> list[Printed]:
        """Those of one attempt.

        Raises:
            InputError: It has no such rank.
        """
        place = None if self.rank is None else place_of(attempt, self.rank)
        return printed_of(attempt, self.streams, place)


@click.command(epilog="Example: python -m hpc.logs lora_sweep R8_S42 --follow")
@name_argument
@task_argument
@click.option("-f", "--follow", "follows", is_flag=True, help="Show new output until the task has ended.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Attempt N instead of the newest.")
@click.option("--rank", type=click.IntRange(min=0), metavar="R", help="Only the log of this rank, or of its node.")
@click.option("--stdout", "only", flag_value="stdout", help="Only standard output.")
@click.option("--stderr", "only", flag_value="stderr", help="Only standard error.")
@click.option("--grep", metavar="PATTERN", help="Matching lines of all attempts of TASK, or of all runs.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines of each log.")
@json_option
@speaks_plainly
def main(
    name: str | None,
    run: str | None,
    follows: bool,
    attempt: int | None,
    rank: int | None,
    only: str | None,
    grep: str | None,
    tail: int | None,
    as_json: bool,
) -> int:
    """Show what a TASK of experiment NAME printed (default: the newest that runs, else the newest that failed)."""
    if problems := list(_contradictions(follows=follows, grep=grep, as_json=as_json)):
        raise InputError(problems)
    wanted = Wanted(attempt, rank, (only,) if only else STREAMS, tail)
    layout, run = Workspace.current().layout_and_run(name, run)
    if grep is not None:
        return show_matches(layout, run, parse_search(grep), wanted, as_json=as_json)
    task, which = (find_run(layout, run), "") if run else newest_run(layout)
    if which:
        note(f"{layout.experiment}: {which}")
    if follows:
        return follow(layout, task, wanted)
    return show(layout, task, wanted, as_json=as_json)


def _contradictions(*, follows: bool, grep: str | None, as_json: bool) -> Iterator[Problem]:
    if follows and grep is not None:
        yield Problem("--grep searches what was printed, --follow waits for more: use only one of them")
    if follows and as_json:
        yield Problem("--json prints one value: leave out --follow")


# ── one task ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _say_who_shares(shared: Sequence[str]) -> None:
    """Say that other ranks print into a log that is shown."""
    if shared:
        what = "one log" if len(shared) > 1 else f"{shared[0]}.log"
        note(f"the ranks of a node share {what}; to keep them apart from the next plan on: launch: {{rank_logs: true}}")


def show(layout: RunLayout, task: Task, wanted: Wanted, *, as_json: bool) -> int:
    """Show the logs of one attempt."""
    logs = logs_there(layout, task, wanted)
    if as_json:
        tail = JSON_LINES if wanted.tail is None else wanted.tail
        print_json({
            "experiment": layout.experiment, "run": task.run_name, "attempt": logs[0].attempt,
            "logs": [_log_as_json(each, tail) for each in logs],
        })  # fmt: skip
        return EXIT_DONE
    if wanted.rank is not None:
        _say_who_shares(place_of(layout.task(task.run_name).attempt(logs[0].attempt), wanted.rank).shared)
    for each in logs:
        if len(logs) > 1:
            say(f"==> {each.label} <==")
        ends_well = True
        for data in _read(each, wanted.tail):
            show_bytes(data)
            ends_well = data.endswith(b"\n")
        if len(logs) > 1 and not ends_well:
            say()
    return EXIT_DONE


def logs_there(layout: RunLayout, task: Task, wanted: Wanted) -> list[Printed]:
    """The logs of the attempt that is meant.

    Raises:
        InputError: There is no such attempt or rank.
        NothingToDo: It has printed nothing.
    """
    number = find_attempt(layout, task, wanted.attempt)
    if not number and (logs := wrapper_logs(layout, task.run_name)):
        note(f"{task.run_name}: no attempt has begun; its job printed this")
        return logs
    if not number:
        raise NothingToDo(
            f"{task.run_name} has not begun; see python -m hpc.status {layout.experiment}, "
            f"or wait for it: python -m hpc.logs {layout.experiment} {task.run_name} --follow"
        )
    attempt = layout.task(task.run_name).attempt(number)
    if logs := wanted.of(attempt):
        return logs
    raise NothingToDo(
        f"{task.run_name} attempt {number} left no such log; what is known about it: python -m hpc.why {task.run_name}"
    )


def _read(log: Printed, tail: int | None) -> Iterator[bytes]:
    """A log as it is now, from its beginning or its last lines."""
    reader = LogReader(log.path, 0 if tail is None else start_of_tail(log.path, tail))
    left = max(0, size_of(log.path) - reader.offset)  # it may grow faster than it is read
    while left > 0 and (data := reader.read()):
        yield data[:left]
        left -= len(data)
    reader.close()


def _log_as_json(log: Printed, tail: int) -> dict[str, object]:
    start = start_of_tail(log.path, tail)
    data = b"".join(_read(log, tail))
    return {
        "stream": log.stream,
        "node": log.node,
        "rank": log.rank,
        "path": str(log.path),
        "bytes": size_of(log.path),
        "from_byte": start,
        "lines": data.decode("utf-8", "replace").removesuffix("\n").split("\n") if data else [],
    }


def follow(layout: RunLayout, task: Task, wanted: Wanted) -> int:
    """Show what a task prints until it is over; return 0 where it finished, else 1."""

    def is_over(state: TaskState) -> bool:
        return state.succeeded or not state.attempts or not goes_on(layout) or is_left_alone(layout, state)

    if wanted.attempt is not None:
        find_attempt(layout, task, wanted.attempt)
    follower = Follower(layout, task, wanted.of, is_over, only=wanted.attempt, tail=wanted.tail)
    shown: Printed | None = None
    for piece in with_pauses(follower.pieces()):
        if shown != piece.source:
            say(f"==> {piece.source.label} <==")
            shown = piece.source
        if piece.said:
            note(f"{piece.source.path} {piece.said}")
        show_bytes(piece.data)
    return say_end(layout, task)


def is_left_alone(layout: RunLayout, state: TaskState) -> bool:
    """Whether the unattended loop has decided that what failed is not started again."""
    told = read_entries(layout).get(state.task.task_id)
    if told is None or not told["attempts"] or not state.attempts:
        return False
    decision = told.get("decision")
    declined = isinstance(decision, dict) and decision.get("action") == "declined"
    return declined and told["attempts"][-1]["attempt"] == state.attempts[-1].number


def say_end(layout: RunLayout, task: Task) -> int:
    """Say how a task stands that nothing more is printed of; return the exit code."""
    snapshot = take_snapshot(layout, require_slurm=False)
    states = tuple(each for each in snapshot.tasks if each.task.task_id == task.task_id)
    outcomes = find_outcomes(replace(snapshot, tasks=states)).outcomes
    outcome = outcomes[0] if outcomes else Outcome.FAILED  # of an earlier plan
    if outcome is Outcome.FINISHED:
        note(f"{task.run_name}: finished")
        return EXIT_DONE
    ways = {
        Outcome.FAILED: f"; python -m hpc.why {task.run_name}",
        Outcome.PLANNED: f", and not submitted; to submit it: python -m hpc.submit {layout.experiment}",
    }
    note(f"{task.run_name}: {outcome}{ways.get(outcome, '')}")
    return EXIT_FAILED


# ── all of them ──────────────────────────────────────────────────────────────────────────────────────────────────


def show_matches(layout: RunLayout, run: str | None, search: Search, wanted: Wanted, *, as_json: bool) -> int:
    """Show the lines that match, with run and line number; return 0 where there is one, else 1, as grep does."""
    logs = list(_logs_of_all(layout, run, wanted))
    runs = len({each.run_name for each in logs})
    counts: Counter[str] = Counter()
    kept: list[dict[str, object]] = []
    left_out = 0
    for log in logs:
        found: Iterable[FoundLine] = search_log(log.path, search)
        if wanted.tail is not None:
            found = deque(_counting(found, counts, log.run_name), maxlen=wanted.tail)
        else:
            found = _counting(found, counts, log.run_name)
        for each in found:
            if not as_json:
                where = f"{log.run_name}/attempt-{log.attempt}/{log.path.name}:{each.line}: "
                show_bytes(where.encode() + each.text + b"\n")
            elif len(kept) < JSON_LINES:
                kept.append(_match_as_json(log, each))
            else:
                left_out += 1
    if as_json:
        print_json({
            "experiment": layout.experiment, "pattern": search.text, "runs": runs, "counts": dict(counts),
            "matches": kept, "left_out": left_out,
        })  # fmt: skip
    else:
        note(_say_counts(counts, runs, search.text))
    return EXIT_DONE if counts else EXIT_FAILED


def _logs_of_all(layout: RunLayout, run: str | None, wanted: Wanted) -> Iterator[Printed]:
    """The logs of all attempts of a run, or of all runs in the order of the plan."""
    there = set(list_runs(layout))
    tasks = [find_run(layout, run)] if run else [each for each in all_tasks(layout).values() if each.run_name in there]
    for task in tasks:
        for number in list_attempts(layout, task.run_name):
            if wanted.attempt in (None, number):
                yield from wanted.of(layout.task(task.run_name).attempt(number))


def _counting(found: Iterable[FoundLine], counts: Counter[str], run: str) -> Iterator[FoundLine]:
    for each in found:
        counts[run] += 1
        yield each


def _match_as_json(log: Printed, found: FoundLine) -> dict[str, object]:
    return {
        "run": log.run_name, "attempt": log.attempt, "stream": log.stream, "node": log.node, "rank": log.rank,
        "line": found.line, "text": found.text.decode("utf-8", "replace"),
    }  # fmt: skip


def _say_counts(counts: Counter[str], runs: int, pattern: str) -> str:
    if not counts:
        return f"no line of {counted(runs, 'run')} matches {pattern!r}"
    each = ", ".join(f"{run} {number}" for run, number in counts.most_common(20))
    more = f" and {len(counts) - 20} more" if len(counts) > 20 else ""
    return f"{counted(counts.total(), 'line')} in {len(counts)} of {counted(runs, 'run')}: {each}{more}"


if __name__ == "__main__":
    main()
