"""The experiment log: what was tried, with which settings, and what came of it.

    python -m hpc.history start --goal 'is 24 deep enough?' -- torchrun -m scripts.base_train -- --depth=24
    python -m hpc.history finish base_train-1 val_loss=3.1 score=0.42
    python -m hpc.history ask 'what learning rates have I tried?'

``history.jsonl`` in the folder of all runs is the source: one event a line, never changed. ``experiments.md`` beside it
is written from that, and what people write into it is kept.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from hpc import completing
from hpc.console import as_typed, dry_run_option, json_option, note, print_json, speaks_plainly
from hpc.core.errors import EXIT_DONE, InputError, NothingToDo, nearest_of_many
from hpc.core.history.command import parse_command
from hpc.core.history.compare import select
from hpc.core.history.entries import Entry, Log, State, describe_results, fold, goals_in, make_id, start_event
from hpc.core.history.metrics import Standing, goal_of, seed_of, settings_of, stand
from hpc.core.history.page import escape
from hpc.core.words import few
from hpc.logbook.answers import (
    answer_best,
    answer_compare,
    answer_list,
    answer_question,
    answer_todo,
    answer_values,
    entry_json,
    tell,
)
from hpc.logbook.book import Book, time_now
from hpc.workspace import Workspace

Event = dict[str, Any]


@click.group(
    invoke_without_command=True,
    epilog="Example: python -m hpc.history start -- python train.py --lr 1e-3 --depth 12",
)
@json_option
@click.pass_context
def main(ctx: click.Context, as_json: bool) -> None:
    """Keep the experiment log: record runs, ask what was tried.

    Without a subcommand it lists the log. A run is recorded by its own command line, whatever program it starts; the
    toolkit's experiments are in the log by themselves. The log is kept below the root (HPC_ROOT, default ./runs):
    experiments.md is the page to read and edit, history.jsonl its source.
    """
    ctx.obj = as_json
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_runs, sides=(), as_json=as_json)


def _book() -> Book:
    return Book(Workspace.current())


def _speaks_json(as_json: bool) -> bool:
    """Whether ``--json`` was given, before the subcommand or after it."""
    return as_json or bool(click.get_current_context().obj)


# ── recording ────────────────────────────────────────────────────────────────────────────────────────────────────


@main.command(
    context_settings={"allow_interspersed_args": False},
    epilog="Example: python -m hpc.history start -- python train.py --lr 1e-3",
)
@click.option("--goal", default="", metavar="TEXT", help="What the run should show.")
@click.option("--name", default="", metavar="ID", help="Id of the run. Default: its name in the command, or a number.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
@dry_run_option
@json_option
@speaks_plainly
def start(goal: str, name: str, command: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Record that a training run begins; this starts nothing."""
    book, parsed = _book(), parse_command(command)
    is_first = not book.files.page.exists()
    made: Event = {}

    def make(log: Log) -> Event:
        taken = [entry.name for entry in log.entries]
        if name and make_id(name, parsed, taken) != name:
            raise InputError(_bad_id(name, taken))
        made.update(start_event(make_id(name, parsed, taken), time_now(), parsed, escape(goal), *_git(book)))
        return made

    log = _keep(book, make, dry_run)
    entry = _entry(log, made["id"])
    same = [
        each.name for each in book.runs(log)
        if each.name != entry.name and each.program == entry.program
        and seed_of(each.run) == seed_of(entry.run) and settings_of(each.run) == settings_of(entry.run)
    ]  # fmt: skip
    if _speaks_json(as_json):
        print_json({**entry_json(entry), "same_settings": same, "recorded": not dry_run})
        return EXIT_DONE
    tell(f"{entry.name}: {'would be recorded' if dry_run else 'recorded'}, program {entry.program}, {entry.time}")
    for key, value in entry.parameters.items():
        tell(f"  {key} = {value}")
    if entry.launching:
        tell(f"  started with {entry.launching}")
    if entry.commit:
        tell(f"  commit {entry.commit[:12]}{', with files changed since' * entry.commit.endswith('+')}")
    if same:
        tell(f"the same settings were run before: {few(same)}")
    if is_first and not dry_run:
        tell(f"the log, to read and to edit: {as_typed(book.files.page)}")
    tell(f"when it ends: python -m hpc.history finish {entry.name} loss=VALUE score=VALUE")
    return EXIT_DONE


def _bad_id(name: str, taken: list[str]) -> str:
    if name in taken:
        return f"there is a run '{name}' already; choose another --name"
    return (
        f"'{name}' is not a valid id; start with a letter or digit, then letters, digits and . _ - + = @, at most 60 "
        "in all"
    )


def _git(book: Book) -> tuple[str, bool]:
    """Commit, and whether files were changed since."""
    from hpc.adapters.git import read_git_state

    state = read_git_state(book.workspace.project)
    return (state.commit, state.dirty) if state else ("", False)


@main.command(epilog="Example: python -m hpc.history finish base_train-1 loss=3.1")
@click.argument("words", nargs=-1, metavar="[ID] [NAME=NUMBER]…", shell_complete=completing.logged)
@click.option("--log", "log_file", metavar="FILE", help="Read the last 'name: value' of losses, scores and costs.")
@click.option("--metrics", metavar="FILE", help="Read the final values of a metrics.h5.")
@click.option(
    "--diverged-at", type=click.IntRange(min=0), metavar="STEP", help="Record that it diverged, and at which step."
)
@click.option("--failed", is_flag=True, help="Record that it failed.")
@dry_run_option
@json_option
@speaks_plainly
def finish(
    words: tuple[str, ...], log_file: str | None, metrics: str | None, diverged_at: int | None, failed: bool,
    dry_run: bool, as_json: bool,
) -> int:  # fmt: skip
    """Record the result of a run and compare it with earlier ones."""
    from hpc.logbook.outcome import read_outcome

    named = bool(words) and "=" not in words[0]
    found = read_outcome(words[1:] if named else words, log_file, metrics)
    diverged = diverged_at is not None or bool(found.lost)
    if not found.results and not diverged and not failed:
        whose = _entry(_book().read(), words[0]).name if named else "ID"  # an unknown run is said first
        raise InputError(
            f"no result given; write it: python -m hpc.history finish {shlex.quote(whose)} loss=3.1; "
            "or give --log FILE, --metrics FILE, --diverged-at STEP or --failed"
        )
    book, made, standings, goals = _book(), Event(), list[Standing](), dict[str, str]()

    def make(log: Log) -> Event:
        entry = _entry(log, words[0]) if named else _only_running(log)
        state = State.DIVERGED if diverged else State.FAILED if failed else State.FINISHED
        event = {
            "event": "finish", "id": entry.name, "time": time_now(), "state": state.value, "results": found.results,
            "diverged_at": diverged_at if diverged_at is not None else found.step,
        }  # fmt: skip
        own = _after(entry, event)
        ended = [each for each in book.runs(log) if each.name != entry.name and each.state is State.FINISHED]
        earlier = [each.run for each in ended]
        goals.update(goals_in(each for each in ended if each.program == entry.program))
        if state is State.FINISHED:
            standings.extend(each for metric in own.results if (each := stand(own.run, earlier, metric, goals)))
        made.update(event, new_best=[each.metric for each in standings if each.is_best and not each.only_seed])
        if entry.ended:
            before = describe_results(entry.results) or entry.status
            note(f"note: {entry.name} had already ended ({before}); this result replaces it")
        return made

    log = _keep(book, make, dry_run)
    entry = _entry(log, made["id"])
    for sentence in found.notes:
        note(f"note: {sentence}")
    if _speaks_json(as_json):
        beside = [_standing_json(each) for each in standings]
        print_json({**entry_json(entry), "beside": beside, "recorded": not dry_run})
        return EXIT_DONE
    _tell_end(entry, found.lost, standings, goals)
    return EXIT_DONE


def _standing_json(standing: Standing) -> dict[str, Any]:
    """How a result stands beside earlier ones, as JSON."""
    return {
        "metric": standing.metric, "value": standing.value, "goal": standing.goal, "new_best": standing.is_best,
        "best_before": {"id": standing.best[0], "value": standing.best[1]} if standing.best else None,
        "margin": standing.margin, "seed_spread": standing.spread.deviation if standing.spread else None,
    }  # fmt: skip


def _tell_end(entry: Entry, lost: Sequence[str], standings: Sequence[Standing], goals: Mapping[str, str]) -> None:
    """Say how it ended and how its results stand beside earlier ones."""
    tell(f"{entry.name}: {entry.status}{', ' * bool(entry.results)}{describe_results(entry.results)}")
    if lost:
        tell(f"no number at the end: {few(lost)}")
    for each in standings:
        tell(str(each))
    unknown = [name for name in entry.results if not goal_of(name, goals)]
    if unknown and entry.state is State.FINISHED:
        tell(f"recorded but not compared, because the name does not say which way is better: {few(unknown)}")


def _after(entry: Entry, event: Mapping[str, Any]) -> Entry:
    """An entry after its end was recorded."""
    began = {
        "event": "start", "id": entry.name, "time": entry.time, "command": entry.command, "program": entry.program,
        "parameters": dict(entry.parameters),
    }  # fmt: skip
    return fold([began, event]).entries[0]


def _entry(log: Log, name: str) -> Entry:
    found = log.find(name)
    if found is None or found.experiment:
        names = [entry.name for entry in log.entries if not entry.experiment]
        what = f"'{name}' is a planned experiment, which is recorded automatically" if found else f"no run '{name}'"
        raise InputError(f"{what}; {nearest_of_many(name, names) if names else 'the log has none yet'}")
    return found


def _only_running(log: Log) -> Entry:
    running = [entry for entry in log.entries if entry.state is State.RUNNING and not entry.experiment]
    if len(running) != 1:
        which = few([entry.name for entry in running]) if running else "no run is recorded as running"
        raise InputError(f"which run? {which}; write: python -m hpc.history finish ID loss=3.1")
    return running[0]


@main.command("note", epilog="Example: python -m hpc.history note base_train-1 'flat after step 3000'")
@click.argument("name", metavar="ID", shell_complete=completing.logged)
@click.argument("text", nargs=-1, required=True)
@dry_run_option
@json_option
@speaks_plainly
def add_note(name: str, text: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Add an observation to a run."""

    def make(log: Log) -> Event:
        if log.find(name) is None:
            _entry(log, name)
        return {"event": "note", "id": name, "time": time_now(), "text": _text(text)}

    book = _book()
    log = _keep(book, make, dry_run)
    entry = log.find(name)
    assert entry is not None  # noqa: S101  `make` has refused others
    if _speaks_json(as_json):
        print_json({**entry_json(entry), "recorded": not dry_run})
    else:
        place = book.files.events if book.page_problem else book.files.page
        tell(f"{name}: {'would be' if dry_run else 'is'} noted in {place}")
    return EXIT_DONE


def _text(words: tuple[str, ...]) -> str:
    """Words as one line of Markdown.

    Raises:
        InputError: There is nothing in them.
    """
    if not (text := escape(" ".join(words))):
        raise InputError("the text is empty")
    return text


@main.command(epilog="Example: python -m hpc.history todo add 'lr 3e-4 at depth 24'")
@click.argument("words", nargs=-1, metavar="[add TEXT | done NUMBER]")
@dry_run_option
@json_option
@speaks_plainly
def todo(words: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """List the things to try; add one or tick one off."""
    book = _book()

    def make(log: Log) -> Event:
        if words[0] == "add" and len(words) > 1:
            return {"event": "todo", "time": time_now(), "text": _text(words[1:])}
        if words[0] == "done" and len(words) == 2 and words[1].isdecimal() and 0 < int(words[1]) <= len(log.todos):
            return {"event": "done", "time": time_now(), "text": log.todos[int(words[1]) - 1].text}
        which = f"1 to {len(log.todos)}" if log.todos else "nothing is noted yet"
        raise InputError(f"write 'todo', 'todo add TEXT' or 'todo done NUMBER' ({which})")

    log = _keep(book, make, dry_run) if words else book.read(page=True)
    answer_todo(log, _speaks_json(as_json), book.page_problem)
    return EXIT_DONE


@main.command(epilog="Example: python -m hpc.history render")
@dry_run_option
@json_option
@speaks_plainly
def render(dry_run: bool, as_json: bool) -> int:
    """Rewrite experiments.md, keeping what people wrote into it."""
    book = _book()
    if not book.files.events.exists() and not book.planned.experiments:
        raise NothingToDo("the log is empty; to begin a run: python -m hpc.history start -- COMMAND")
    log = book.read(page=True) if dry_run else book.record(lambda _log: None)
    if _speaks_json(as_json):
        print_json({"page": str(book.files.page), "runs": len(log.entries), "written": not dry_run})
    else:
        tell(f"{'would write' if dry_run else 'wrote'} {book.files.page}")
    return EXIT_DONE


def _keep(book: Book, make: Callable[[Log], Event], dry_run: bool) -> Log:
    """Record an event; with ``--dry-run`` only say what the log would be."""
    if not dry_run:
        return book.record(make)
    log = book.read(page=True)
    return book.with_event(make(log))


# ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────


@main.command("list", epilog="Example: python -m hpc.history list depth=12")
@click.argument("sides", nargs=-1, metavar="[PARAMETER=VALUE]…")
@json_option
@speaks_plainly
def list_runs(sides: tuple[str, ...], as_json: bool) -> int:
    """List the log, or the runs with certain values."""
    book = _book()
    log = book.read(page=True)
    found = list(log.entries)
    if sides:
        found = book.runs(log)
        for side in sides:
            kept = {entry.name for entry in select(side, book.runs(log)).entries}
            found = [entry for entry in found if entry.name in kept]
    answer_list(found, _speaks_json(as_json), " has all of that" if sides else " is in the log")
    return EXIT_DONE


@main.command(epilog="Example: python -m hpc.history best val_loss")
@click.argument("metric", default="")
@json_option
@speaks_plainly
def best(metric: str, as_json: bool) -> int:
    """Show the best runs of each program by a metric: low losses, high scores."""
    book = _book()
    answer_best(book.runs(book.read()), metric, _speaks_json(as_json))
    return EXIT_DONE


@main.command(epilog="Example: python -m hpc.history values lr")
@click.argument("parameter", required=False, shell_complete=completing.logged_parameters)
@json_option
@speaks_plainly
def values(parameter: str | None, as_json: bool) -> int:
    """Show which values of a parameter were tried."""
    book = _book()
    runs = book.runs(book.read())
    if parameter is None:
        tried = list(dict.fromkeys(name for each in runs for name in each.parameters))
        named = f"; tried so far: {few(tried, 10)}" if tried else ""
        raise InputError(f"name a parameter: python -m hpc.history values {tried[0] if tried else 'lr'}{named}")
    answer_values(runs, parameter, _speaks_json(as_json))
    return EXIT_DONE


@main.command("compare", epilog="Example: python -m hpc.history compare depth=12 depth=24")
@click.argument("sides", nargs=-1, required=True, metavar="PARAMETER=VALUE|ID…", shell_complete=completing.logged)
@json_option
@speaks_plainly
def compare_sides(sides: tuple[str, ...], as_json: bool) -> int:
    """Compare values of a parameter, or runs."""
    book = _book()
    answer_compare(book.runs(book.read()), sides, _speaks_json(as_json))
    return EXIT_DONE


@main.command(epilog="Example: python -m hpc.history ask 'what learning rates have I tried?'")
@click.argument("question", nargs=-1, required=True)
@json_option
@speaks_plainly
def ask(question: tuple[str, ...], as_json: bool) -> int:
    """Ask in plain English."""
    answer_question(_book(), " ".join(question), _speaks_json(as_json))
    return EXIT_DONE


if __name__ == "__main__":
    main()
