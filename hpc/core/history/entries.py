"""The log as it stands: what its events, one JSON object a line, come to. Pure.

An event is ``{"event": …, "time": ISO 8601, …}``: ``start`` ``finish`` ``note`` ``todo`` ``done``, and ``page`` for
what somebody wrote into the page by hand. They are never changed; a later one counts.
"""

import math
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import count
from typing import Any

from hpc.core.history.command import Command
from hpc.core.history.metrics import Run, is_name, number
from hpc.core.immutable import field, immutable, replace
from hpc.core.printable import one_line

SHOWN = 6
"""Parameters that stand for a run in a table."""
LONGEST_ID = 60


class State(StrEnum):
    """How far a run is."""

    RUNNING = "running"
    FINISHED = "finished"
    DIVERGED = "diverged"
    FAILED = "failed"


@immutable
class Worked:
    """A time in which a run was at work.

    Attributes:
        began, ended: Unix seconds.
        gpus, cores: Held meanwhile; None where nobody knows, as of a run that was started by hand.
    """

    began: float
    ended: float
    gpus: float | None = None
    cores: float | None = None

    @property
    def seconds(self) -> float:
        """How long."""
        return max(0.0, self.ended - self.began)

    def within(self, since: float) -> float:
        """Seconds of it after a moment."""
        return max(0.0, self.ended - max(self.began, since))


@immutable
class Entry:
    """One row of the log: a run that was started by hand, or an experiment of this toolkit.

    Attributes:
        name: Its id.
        time: When it began, ISO 8601.
        command: How to start it again.
        program: The script or module that trains.
        parameters: Name → value as typed.
        launching: The launcher and its options, and variables before the program, in words.
        goal: What it is for, Markdown.
        commit: Git commit, empty outside git; ``+`` at its end where files were changed.
        state: How far it is.
        diverged_at: Step; None where it did not diverge, or nobody knows.
        ended: ISO 8601; empty while it runs.
        results: Metric → final value, finite.
        new_best: Metrics of which it was the best when it ended.
        remark: What somebody wrote into its Notes cell.
        observations: Markdown.
        experiment: Of this toolkit; empty for a run that was started by hand.
        told: Of an experiment, where it stands; of a failed run of one, its failure class; in words.
        goals: Metric → ``min`` or ``max``, as its experiment declares it; of others the name says which is better.
        worked: When it ran, piece by piece: of a run of an experiment each attempt that is over, with its hours.
    """

    name: str
    time: str
    command: str = ""
    program: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    launching: str = ""
    goal: str = ""
    commit: str = ""
    state: State = State.RUNNING
    diverged_at: int | None = None
    ended: str = ""
    results: Mapping[str, float] = field(default_factory=dict)
    new_best: tuple[str, ...] = ()
    remark: str = ""
    observations: str = ""
    experiment: str = ""
    told: str = ""
    goals: Mapping[str, str] = field(default_factory=dict)
    worked: tuple[Worked, ...] = ()

    @property
    def took_s(self) -> float | None:
        """Seconds it ran, all pieces together; None while it runs, and where nobody noted it."""
        return None if self.state is State.RUNNING or not self.pieces else sum(each.seconds for each in self.pieces)

    @property
    def pieces(self) -> tuple[Worked, ...]:
        """When it ran; of a run that was started by hand from its start to the moment its end was noted."""
        if self.worked or self.experiment or not self.ended:
            return self.worked
        try:
            ends = [datetime.fromisoformat(text).timestamp() for text in (self.time, self.ended)]
        except ValueError:  # somebody's hand
            return ()
        return (Worked(*ends),)

    @property
    def date(self) -> str:
        """The day it began."""
        return self.time[:10]

    @property
    def run(self) -> Run:
        """As statistics see it."""
        return Run(self.name, self.program, self.parameters, self.results)

    @property
    def config(self) -> str:
        """Its parameters in short, without where it writes."""
        own = [f"{name}={value}" for name, value in self.parameters.items() if not is_name(name)]
        return ", ".join(own[:SHOWN]) + (", …" if len(own) > SHOWN else "")

    @property
    def status(self) -> str:
        """How far it is, in words."""
        if self.told:
            return self.told
        at = f" at step {self.diverged_at}" if self.diverged_at is not None else ""
        return f"{self.state}{at}"

    @property
    def notice(self) -> str:
        """What the Notes cell says by itself."""
        parts = [] if self.state is State.FINISHED or self.experiment else [self.status]
        return ", ".join([*parts, *(f"new best {name}" for name in self.new_best)])


@immutable
class Todo:
    """A thing to try."""

    text: str
    done: bool = False


@immutable
class Log:
    """Everything that is known.

    Attributes:
        entries: By time of their start, as they were written.
        todos: Things to try.
        extras: Sections of the page that somebody wrote, Markdown.
        problems: Events that mean nothing, one sentence each.
    """

    entries: tuple[Entry, ...] = ()
    todos: tuple[Todo, ...] = ()
    extras: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def find(self, name: str) -> Entry | None:
        """The entry of an id; None where there is none."""
        return next((entry for entry in self.entries if entry.name == name), None)


Event = Mapping[str, Any]


def fold(events: Sequence[Event], planned: Sequence[Entry] = ()) -> Log:
    """What events come to.

    Starts are taken first, so that two logs that were joined line by line mean the same in any order.

    Args:
        planned: Experiments of this toolkit, which have no events but what people wrote about them.
    """
    entries: dict[str, Entry] = {}
    problems: list[str] = []
    names = _take_starts(events, entries, problems)
    for each in planned:
        name = _unused(each.name, entries)
        entries[name] = replace(each, name=name)
    page = _Page(entries, problems)
    for place, event in enumerate(events):
        page.take(event, names.get(place))
    return Log(
        tuple(sorted(entries.values(), key=lambda entry: entry.time)), tuple(page.todos), tuple(page.extras),
        tuple(problems),
    )  # fmt: skip


def _take_starts(events: Sequence[Event], entries: dict[str, Entry], problems: list[str]) -> dict[int, str]:
    """Add an entry for each start; return the name each of them got, by its place.

    A second start of an id comes from another log: it gets a name of its own. The very same event twice is one.
    """
    names: dict[int, str] = {}
    first: dict[str, Event] = {}
    for place, event in enumerate(events):
        if event.get("event") != "start":
            continue
        started = _started(event)
        if started is None:
            problems.append(f"an incomplete start of {one_line(str(event.get('id')))!r}")
        elif first.setdefault(started.name, event) is event or event != first[started.name]:
            names[place] = _unused(started.name, entries)
            entries[names[place]] = replace(started, name=names[place])
    return names


def _unused(name: str, entries: Mapping[str, Entry]) -> str:
    return name if name not in entries else next(each for n in count(2) if (each := f"{name}+{n}") not in entries)


class _Page:
    """Takes the events after the starts, one by one."""

    def __init__(self, entries: dict[str, Entry], problems: list[str]) -> None:
        self.entries, self.problems = entries, problems
        self.todos: list[Todo] = []
        self.extras: list[str] = []
        self.names: dict[str, str] = {}

    def take(self, event: Event, started: str | None) -> None:
        """Take an event.

        Args:
            started: The name its entry got, where it is a start: what follows under its id is about that one.
        """
        said, kind, text = str(event.get("id") or ""), event.get("event"), event.get("text")
        if started is not None:
            self.names[said] = started
        name = self.names.get(said, said)
        if kind in ("finish", "note") and name not in self.entries:
            self.problems.append(f"a {kind} of {one_line(name)!r}, which was never started")
        elif kind == "finish":
            self.entries[name] = _finished(self.entries[name], event)
        elif kind == "note" and isinstance(text, str):
            entry = self.entries[name]
            self.entries[name] = replace(entry, observations="\n".join(filter(None, [entry.observations, f"- {text}"])))
        elif kind == "todo" and isinstance(text, str):
            self.todos.append(Todo(text))
        elif kind == "done" and isinstance(text, str):
            self.todos = [Todo(each.text, each.done or each.text == text) for each in self.todos]
        elif kind == "page":
            self._page(event)
        elif kind != "start":
            self.problems.append(f"an event of an unknown kind, {one_line(str(kind))!r}")

    def _page(self, event: Event) -> None:
        goals, observations, remarks = (_texts(event.get(key)) for key in ("goals", "observations", "remarks"))
        for name in {*goals, *observations, *remarks} & set(self.entries):
            entry = self.entries[name]
            self.entries[name] = replace(
                entry,
                goal=goals.get(name, entry.goal),
                observations=observations.get(name, entry.observations),
                remark=remarks.get(name, entry.remark),
            )
        todos, extras = event.get("todos"), event.get("extras")
        if isinstance(todos, list):
            self.todos = [
                Todo(str(each.get("text")), each.get("done") is True) for each in todos if isinstance(each, dict)
            ]
        if isinstance(extras, list):
            self.extras = [each for each in extras if isinstance(each, str)]


def _started(event: Event) -> Entry | None:
    name, time, words = event.get("id"), event.get("time"), event.get("command")
    if not (isinstance(name, str) and is_id(name) and isinstance(time, str) and isinstance(words, str)):
        return None
    commit = str(event.get("commit") or "")
    return Entry(
        name,
        time,
        words,
        str(event.get("program") or ""),
        _texts(event.get("parameters")),
        str(event.get("launching") or ""),
        str(event.get("goal") or ""),
        commit + ("+" if commit and event.get("changed") is True else ""),
    )


def _finished(entry: Entry, event: Event) -> Entry:
    results = event.get("results")
    numbers = {
        str(name): float(value)
        for name, value in (results.items() if isinstance(results, dict) else ())
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
    step, best = event.get("diverged_at"), event.get("new_best")
    known = set(State)
    return replace(
        entry,
        state=State(event["state"]) if event.get("state") in known else State.FINISHED,
        diverged_at=step if isinstance(step, int) else None,
        ended=str(event.get("time") or ""),
        results=numbers,
        new_best=tuple(map(str, best)) if isinstance(best, list) else (),
    )


def _texts(value: object) -> dict[str, str]:
    return {str(name): str(text) for name, text in value.items()} if isinstance(value, dict) else {}


# ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────


def start_event(name: str, time: str, command: Command, goal: str, commit: str, changed: bool) -> dict[str, Any]:
    """The event of a start."""
    launched = [command.launcher, *(f"{key}={value}" for key, value in command.launching.items())]
    positional = {f"argument {n}": each for n, each in enumerate(command.positional, 1)}
    variables = [f"{key}={value}" for key, value in command.environment.items()]
    return {
        "event": "start", "id": name, "time": time, "command": command.line, "program": command.program,
        "parameters": dict(command.parameters) | positional,
        "launching": ", ".join(filter(None, [*launched, *variables])), "goal": goal, "commit": commit,
        "changed": changed,
    }  # fmt: skip


_UNUSABLE = re.compile(r"[^A-Za-z0-9._+@-]+")


def is_id(text: str) -> bool:
    """Whether a text can be an id: it stands in tables, headings and command lines as it is."""
    return bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+@/-]*", text)) and len(text) <= 2 * LONGEST_ID


def make_id(name: str, command: Command, taken: Iterable[str]) -> str:
    """An id that nobody has.

    Args:
        name: Asked for; empty takes what the command calls the run, else its program with a number.
        taken: Ids there are.
    """
    called = name or next((command.parameters[key] for key in _CALLED if command.parameters.get(key)), "")
    base = _UNUSABLE.sub("-", called).strip("-.+@_")[:LONGEST_ID]
    used = set(taken)
    if base and base not in used:
        return base
    if not base:
        stem = command.program.rsplit("/", 1)[-1].removesuffix(".py").removesuffix(".sh").rsplit(".", 1)[-1]
        base = _UNUSABLE.sub("-", stem).strip("-.+@_")[:LONGEST_ID] or "run"
    first = 1 if not called else 2
    return next(each for n in range(first, len(used) + 3) if (each := f"{base}-{n}") not in used)


_CALLED = ("run", "run_name", "name", "exp_name", "experiment_name", "job_name", "wandb_run_name", "wandb_name")


def stamp(lines: Sequence[bytes]) -> str:
    """What a page says of the log it was written from: how many lines, and a checksum of them."""
    return f"{len(lines)}-{zlib.crc32(b''.join(lines)):08x}"


def describe_results(results: Mapping[str, float]) -> str:
    """``val_loss 3.1, score 0.42``."""
    return ", ".join(f"{name} {number(value)}" for name, value in results.items())


def goals_in(entries: Iterable[Entry]) -> dict[str, str]:
    """Metric → ``min`` or ``max``, as the experiments among them declare it; of several the last planned."""
    dated = sorted((entry for entry in entries if entry.goals), key=lambda entry: entry.time)
    return {metric: goal for entry in dated for metric, goal in entry.goals.items()}
