"""Answers of the experiment log, in words and tables or as one JSON value."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any

from hpc.console import print_json, say
from hpc.core.errors import InputError, nearest, nearest_of_many
from hpc.core.history.ask import UNDERSTOOD, Query, understand
from hpc.core.history.compare import cell, compare, find_parameters, select, tried_values
from hpc.core.history.entries import Entry, Log, State, describe_results, goals_in
from hpc.core.history.metrics import (
    LOSS,
    SCORE,
    best_runs,
    describe_count,
    goal_of,
    leading,
    number,
    seed_spread,
)
from hpc.core.history.page import unescape, values_of
from hpc.core.history.spent import hours_since, lengths_of, since_of
from hpc.core.history.table import table_lines
from hpc.core.printable import one_line
from hpc.core.words import amount, counted, few, span
from hpc.logbook.book import Book

TOP = 5
"""Runs that `best` shows."""
QUESTION = 500
"""Characters of a question that are read."""


def tell(text: str) -> None:
    """Print one line: a name or a value in it cannot pass for a line of ours."""
    say(one_line(text))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    for line in table_lines(columns, rows):
        tell(line)


def entry_json(entry: Entry) -> dict[str, Any]:
    """An entry as programs read it."""
    return {
        "id": entry.name, "started": entry.time, "ended": entry.ended or None, "state": entry.state.value,
        "status": entry.status, "diverged_at": entry.diverged_at, "command": entry.command, "program": entry.program,
        "parameters": dict(entry.parameters), "results": dict(entry.results), "goal": entry.goal,
        "new_best": list(entry.new_best), "notes": entry.remark, "observations": entry.observations,
        "commit": entry.commit, "experiment": entry.experiment or None,
    }  # fmt: skip


def answer_list(entries: Sequence[Entry], as_json: bool, where: str) -> None:
    """The summary table.

    Args:
        where: Said after "no run", where there is none: `` is running``.
    """
    if as_json:
        print_json({"runs": [entry_json(entry) for entry in entries]})
        return
    if not entries:
        tell(f"no run{where}; to begin one: python -m hpc.history start -- COMMAND")
        return
    rows = [
        (
            entry.name,
            entry.date,
            entry.config,
            *map(unescape, values_of(entry)),
            "; ".join(filter(None, [entry.told or entry.notice, unescape(entry.remark)])),
        )
        for entry in entries
    ]
    show_table(("run", "date", "config", "loss", "score", "notes"), rows)


def answer_best(entries: Sequence[Entry], said: str, as_json: bool) -> None:
    """The best runs by a metric, of each program; without one by the leading loss and the leading score."""
    _metrics(entries, said)  # or no run of any program has it
    programs = list(dict.fromkeys(entry.program for entry in entries if entry.results))
    answers: list[dict[str, Any]] = []
    for program in programs:
        own = [entry for entry in entries if entry.program == program]
        with suppress(InputError):  # runs of this one have other results
            _answer_best_of(program if len(programs) > 1 else "", own, _metrics(own, said), answers, as_json=as_json)
    if as_json:
        print_json({"best": answers})


def _answer_best_of(
    program: str, entries: Sequence[Entry], metrics: Sequence[str], answers: list[dict[str, Any]], *, as_json: bool
) -> None:
    """The best runs of one program.

    Args:
        program: Its name where there are others, whose results do not compare with its own.
        answers: Is added to.
    """
    runs = [entry.run for entry in entries]
    for metric in metrics:
        known = goal_of(metric, goals_in(entries))
        goal = known or "min"
        ordered = best_runs(runs, metric, goal)
        spread = seed_spread(runs, metric)
        by_name = {entry.name: entry for entry in entries}
        answers.append({
            "program": entries[0].program, "metric": metric, "goal": goal,
            "seed_spread": spread.deviation if spread else None,
            "runs": [entry_json(by_name[run.name]) for run in ordered[:TOP]],
        })  # fmt: skip
        if as_json:
            continue
        first = by_name[ordered[0].name]
        way = "lower" if goal == "min" else "higher"
        value = first.results[metric]
        tied = [run.name for run in ordered if run.results[metric] == value]
        names = few(tied, 5) if len(tied) == 1 else f"shared by {few(tied, 5)}"
        of = f"{program}: " if program else ""
        tell(f"{of}best {metric} ({way} is better, {describe_count(ordered)}): {number(value)}, {names}")
        if first.command and len(tied) == 1:
            tell(f"  {first.command}")
        rows = [
            (run.name, by_name[run.name].date, by_name[run.name].config, number(run.results[metric]))
            for run in ordered[:TOP]
        ]
        if len(rows) > 1:
            show_table(("run", "date", "config", metric), rows)
            if len(tied) == 1:
                _say_margin(value, ordered[1].results[metric], str(spread) if spread else "")
        if not known:
            tell(f"(the name {metric} does not say which is better; lower is taken to be)")


def _say_margin(first: float, second: float, spread: str) -> None:
    known = f"seed spread {spread}" if spread else "no seed spread is known"
    tell(f"ahead of the second by {number(abs(first - second))}; {known}")


def _metrics(entries: Sequence[Entry], said: str) -> list[str]:
    """The metrics that a word means.

    Raises:
        InputError: No run has such a result; the message lists those there are.
    """
    known = list(dict.fromkeys(name for entry in entries for name in entry.results))
    if not known:
        raise InputError("no run has results yet; record some: python -m hpc.history finish ID loss=3.1 score=0.42")
    wanted = said.strip().lower().replace(" ", "_").replace("-", "_")
    kinds = {"": (LOSS, SCORE), "loss": (LOSS,), "score": (SCORE,)}
    exact = [name for name in known if name.lower().replace("/", "_").replace("-", "_") == wanted or name == said]
    if exact:
        return exact[:1]
    if wanted in kinds:
        leaders = [
            [name for entry in entries if (name := leading(entry.results, kind, entry.goals))] for kind in kinds[wanted]
        ]
        found = [max(dict.fromkeys(names), key=names.count) for names in leaders if names]
        if found:
            return found
    near = [name for name in known if wanted and wanted in name.lower()]
    if near:
        return near[:1]
    if not wanted:
        return known[:1]
    raise InputError(f"no run has a result '{said}'; {nearest(said, known)}")


def answer_values(entries: Sequence[Entry], said: str, as_json: bool) -> None:
    """Which values of a parameter were tried."""
    names = find_parameters(said, entries)
    found = {name: tried_values(name, entries) for name in names}
    if as_json:
        print_json({
            name: [{"value": each.value, "runs": list(each.runs), "best": dict(each.best)} for each in tried]
            for name, tried in found.items()
        })  # fmt: skip
        return
    for name, tried in found.items():
        runs = sum(len(each.runs) for each in tried)
        listed = ", ".join(each.value for each in tried)
        tell(f"{name}: {counted(len(tried), 'value')} in {counted(runs, 'run')}: {listed}")
        rows = [(each.value, str(len(each.runs)), describe_results(each.best), each.runs[-1]) for each in tried]
        show_table((name, "runs", "best", "last run"), rows)


def answer_compare(entries: Sequence[Entry], said: Sequence[str], as_json: bool) -> None:
    """Sides beside each other, and what it comes to."""
    sides = [select(each, entries) for each in said]
    if len(sides) < 2:
        raise InputError("compare needs two or more sides: python -m hpc.history compare depth=12 depth=24")
    found = compare(sides, entries)
    if as_json:
        print_json({
            "sides": [
                {
                    "label": side.label, "runs": [entry.name for entry in side.entries],
                    "values": {metric: side.values(metric) for metric in found.metrics},
                }
                for side in sides
            ],
            "differs": {name: list(values) for name, values in found.differs.items()},
            "words": list(found.words),
        })  # fmt: skip
        return
    rows = [("runs", *(str(len(side.entries)) for side in sides))]
    rows += [(metric, *(cell(side, metric) for side in sides)) for metric in found.metrics]
    show_table(("", *(side.label for side in sides)), rows)
    for words in found.words or ("no result was measured on both sides",):
        tell(words)


def answer_todo(log: Log, as_json: bool, page: InputError | None = None) -> None:
    """Things to try.

    Args:
        page: Why what stands in the page is not among them.
    """
    if as_json:
        print_json({"todo": [{"text": each.text, "done": each.done} for each in log.todos]})
        return
    for n, each in enumerate(log.todos, 1):
        tell(f"{n}. [{'x' if each.done else ' '}] {unescape(each.text)}")
    if not log.todos and page:
        tell("nothing is noted outside of the page, which cannot be read as it is")
    elif not log.todos:
        tell("the to-do list is empty; add something: python -m hpc.history todo add 'lr 3e-4 at depth 24'")


def answer_question(book: Book, question: str, as_json: bool) -> None:
    """Answer a question in plain English.

    Raises:
        InputError: No rule knows it; the message says what is understood.
    """
    query = understand(question[:QUESTION])
    if query is None:
        raise InputError(
            "this question was not understood. Examples of what is:\n  " + "\n  ".join(UNDERSTOOD) + "\n"
            "to record a run: python -m hpc.history start -- COMMAND, then python -m hpc.history finish ID loss=3.1"
        )
    log = book.read(page=query.kind in ("todo", "list"))
    if query.kind == "todo":
        answer_todo(log, as_json, book.page_problem)
        return
    runs = book.runs(log)
    _ANSWERS[query.kind](log, runs, query, as_json)


def _list(log: Log, runs: Sequence[Entry], query: Query, as_json: bool) -> None:
    state, period = (*query.words, "", "")[:2]
    found = [entry for entry in runs if entry.state == state] if state else list(log.entries)
    if period:
        since = since_of(period, datetime.now().astimezone())
        found = [entry for entry in found if datetime.fromisoformat(entry.time).timestamp() >= since]
    where = f" {'is' if state == State.RUNNING else 'has'} {state}" if state else " is in the log"
    when = {"": "", "today": " of those that began today"}.get(period, f" of those that began this {period}")
    answer_list(found, as_json, f"{where}{when}")


def _run(log: Log, runs: Sequence[Entry], query: Query, as_json: bool) -> None:
    """One run, whatever case its name was written in."""
    known = {each.name.lower(): each for each in (*log.entries, *runs)}
    found = known.get(query.words[0])
    if found is None:
        raise InputError(f"no run '{query.words[0]}'; {nearest_of_many(query.words[0], list(known))}")
    answer_list([found], as_json, "")
    if as_json:
        return
    told = (found.command, describe_results(found.results), *unescape(found.observations).splitlines())
    for each in filter(None, told):
        tell(f"  {each}")


def _with(log: Log, runs: Sequence[Entry], query: Query, as_json: bool) -> None:
    """Runs that had certain values."""
    del log
    for side in query.words:
        kept = {entry.name for entry in select(side, runs).entries}
        runs = [entry for entry in runs if entry.name in kept]
    answer_list(runs, as_json, " has all of that")


def _last(log: Log, runs: Sequence[Entry], query: Query, as_json: bool) -> None:
    del runs, query
    answer_list(log.entries[-1:], as_json, " is in the log")


def _best(log: Log, runs: Sequence[Entry], query: Query, as_json: bool) -> None:
    del log
    if any(query.words[0] in name.lower() for run in runs for name in run.results) or not _is_parameter(runs, query):
        answer_best(runs, query.words[0], as_json)
    else:  # "the best learning rate": its values, each with the best that came of it
        answer_values(runs, query.words[0], as_json)


def _is_parameter(runs: Sequence[Entry], query: Query) -> bool:
    try:
        return bool(query.words[0] and find_parameters(query.words[0], runs))
    except InputError:
        return False


def _values(log: Log, runs: Sequence[Entry], query: Query, as_json: bool) -> None:
    del log
    answer_values(runs, query.words[0], as_json)


def _compare(log: Log, runs: Sequence[Entry], query: Query, as_json: bool) -> None:
    del log
    answer_compare(runs, query.words, as_json)


def answer_lengths(runs: Sequence[Entry], which: str, as_json: bool) -> None:
    """How long runs took, program by program.

    Args:
        which: ``longest`` or ``shortest``; empty for both.
    """
    found = lengths_of(runs)
    if as_json:
        print_json({
            "lengths": [
                {"program": each.program, "runs": {run.name: run.took_s for run in each.runs}} for each in found
            ]
        })  # fmt: skip
        return
    if not found:
        tell("no run has ended yet of which it is known how long it took")
    for each in found:
        taken = each.seconds
        first, last, middle = span(taken[0]), span(taken[-1]), span(taken[len(taken) // 2])
        of = f" of {each.program}" if each.program else ""
        between = f"{first} to {last}, half of them less than {middle}" if first != last else f"about {first} each"
        told = f"took {between}, {span(sum(taken))} in all" if len(taken) > 1 else f"took {first}"
        tell(f"{counted(len(taken), 'run')}{of} {told}")
        ordered = each.runs if which == "shortest" else each.runs[::-1]
        rows = [(run.name, run.status, run.config, span(run.took_s or 0.0)) for run in ordered[:TOP]]
        show_table(("run", "state", "config", "took"), rows)
    if any(not run.experiment and run.took_s is not None for run in runs):
        tell("(of a run that was started by hand: from its start until its end was noted)")


def answer_hours(runs: Sequence[Entry], period: str, as_json: bool) -> None:
    """Hours of devices and cores that were used since a period began."""
    since = since_of(period, datetime.now().astimezone())
    found = list(hours_since(runs, since))
    gpu, core = (sum(getattr(each, kind) or 0.0 for each in found) for kind in ("gpu", "core"))
    if as_json:
        print_json({
            "since": since or None, "gpu_hours": gpu, "core_hours": core,
            "used": [asdict(each) for each in found],
        })  # fmt: skip
        return
    when = f" since {datetime.fromtimestamp(since).astimezone():%A, %Y-%m-%d}" if since else " in all"
    if not found:
        tell(f"nothing was used{when}")
        return
    used = " and ".join(
        amount(hours, unit) for hours, unit in ((gpu, "GPU h"), (core, "core h")) if hours or unit != "GPU h"
    )
    tell(f"{used}{' on no GPU' * (not gpu)}{when}, by what was collected")
    rows = [
        (each.name, str(each.runs), *("not known" if hours is None else amount(hours, "h") for hours in kinds))
        for each in found
        for kinds in [(each.gpu, each.core, each.wall)]
    ]
    show_table(("experiment", "runs", "GPU", "cores", "all runs together"), rows)
    if any(each.core is None for each in found):
        tell("(what a run that was started by hand held, nobody noted: only its time is known; it is not in the sum)")


def _lengths(log: Log, runs: Sequence[Entry], query: Query, as_json: bool) -> None:
    del log
    answer_lengths(runs, query.words[0], as_json)


def _hours(log: Log, runs: Sequence[Entry], query: Query, as_json: bool) -> None:
    del log
    answer_hours(runs, query.words[0], as_json)


_ANSWERS: Mapping[str, Any] = {
    "list": _list, "last": _last, "best": _best, "values": _values, "compare": _compare, "run": _run, "with": _with,
    "lengths": _lengths, "hours": _hours,
}  # fmt: skip
