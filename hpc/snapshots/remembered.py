"""What earlier looks read of attempts, so that the next look costs what changed: ``.remembered.jsonl``.

A record does not change once it is written, so what `status` needs of ten thousand of them is kept in one file. Whether
what has no end yet still runs is asked each time.
Of a record it is believed as long as the file has the same inode, size and times; everything else is read. So a memory
that is damaged, older than the runs, of another experiment or another version of ours costs time and says nothing
false, and it may be deleted.

So are the ends nobody has collected that were found a success by logs and metrics: as long as every file beside them is
as it was, and the rules are. Of a failure the cause may pass (a file system's error), so it is looked at again.

A file that changed less than `SETTLED_S` before it was read is not remembered: it could change once more within the
resolution of its times.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from hpc.adapters.collected_file import Entry, is_entry, read_aside, read_entries, that_count
from hpc.adapters.files import open_regular, read_regular, write_bytes
from hpc.adapters.verdict_lines import digest_told, read_head, read_lines
from hpc.core import records
from hpc.core.errors import EXIT_DONE, InputError
from hpc.core.immutable import fields_of
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.records.index import Code, Used
from hpc.core.records.record import record_from
from hpc.core.records.submitted import LOCAL
from hpc.core.slurm.executions import JobRow
from hpc.core.slurm.states import SlurmState
from hpc.snapshots.listing import Listing, Stamp, is_settled, list_files, stamp_of
from hpc.submissions.on_disk import list_attempts

SCHEMA = 5
SETTLED_S = 2.0
"""Seconds after which a file that changes again has other times: more than any file system rounds them by."""
LEAST = 20
"""So many new attempts are worth writing the file again; fewer are read again."""
MOST_BYTES = 256 << 20
"""A larger file is not read; that of 100,000 runs takes a tenth."""
BRIEF = 10
"""So many tasks of a collection cost what reading the record of an attempt does."""
_OF_TASK = ("task_id", "run_name", "outcome", "altered", "kept", "summary", "check", "check_said", "check_text")
_OF_ATTEMPT = ("attempt", "started", "ended", "manifest_sha")
JUDGED = 25
"""What looking at logs and metrics of an end costs, in records that are read."""
_RULES = ("core/failures", "core/records", "core/slurm", "adapters", "snapshots", "rounds")
"""Folders of `hpc` that say what a success is."""
_READERS = ("task", "exit", "index", "record")
"""Modules of `hpc.core.records` that say what a record is: what others of them read is not believed."""


class Began(Protocol):
    """What of ``task.json`` (`TaskRecord`) tells where an attempt stands."""

    @property
    def task_id(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def submission(self) -> int: ...
    @property
    def job(self) -> str: ...
    @property
    def restart_count(self) -> int: ...
    @property
    def scheduler(self) -> str: ...
    @property
    def started(self) -> float: ...
    @property
    def code(self) -> Code: ...
    @property
    def altered(self) -> bool: ...
    @property
    def manifest_sha(self) -> str: ...
    @property
    def uses(self) -> tuple[Used, ...]: ...
    @property
    def packed(self) -> int: ...
    @property
    def cluster(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def pid(self) -> str: ...
    @property
    def pid_namespace(self) -> str: ...


class Ended(Protocol):
    """What of ``exit.json`` (`ExitRecord`) tells how an attempt counts."""

    @property
    def exit_code(self) -> int | None: ...
    @property
    def ended(self) -> float: ...
    @property
    def starts_again(self) -> bool: ...
    @property
    def gpu_seconds(self) -> float: ...
    @property
    def signals_received(self) -> tuple[str, ...]: ...
    @property
    def is_done(self) -> bool: ...
    @property
    def elapsed_s(self) -> float: ...


class Start(NamedTuple):
    """A `Began` out of memory; the fields are those of `TaskRecord`. Of what has ended, nobody asks for its process."""

    task_id: str
    attempt: int
    submission: int
    job: str
    restart_count: int
    scheduler: str
    started: float
    code: Code
    altered: bool
    manifest_sha: str
    uses: tuple[Used, ...]
    packed: int
    cluster: str
    host: str = ""
    pid: str = ""
    pid_namespace: str = ""


_OF_ROW = tuple(name for name, _ in fields_of(JobRow))
_STATES = {each.value: each for each in SlurmState}
_PROCESS = ("host", "pid", "pid_namespace")


class End(NamedTuple):
    """An `Ended` out of memory; the fields are those of `ExitRecord`."""

    exit_code: int | None
    started: float
    ended: float
    starts_again: bool
    gpu_seconds: float
    signals_received: tuple[str, ...]

    @property
    def is_done(self) -> bool:
        """As `ExitRecord.is_done`."""
        return self.exit_code == EXIT_DONE

    @property
    def elapsed_s(self) -> float:
        """As `ExitRecord.elapsed_s`."""
        return self.ended - self.started


def in_brief(began: Began, ended: Ended | None) -> tuple[Start, End | None]:
    """What a look needs of two records; of ten thousand runs, the records take ten times as much memory."""
    told = (name for name in Start._fields if ended is None or name not in _PROCESS)
    start = Start(*(getattr(began, name) for name in told))
    return start, End(*(getattr(ended, name) for name in End._fields)) if ended else None


class Known(NamedTuple):
    """An attempt whose end is on record, or that Slurm started and there is none of.

    Attributes:
        row: What Slurm said of it, where that was kept.
    """

    began: Began
    ended: Ended | None
    row: JobRow | None


class _RecordStamps:
    """Asks for the stamps of an attempt's records one by one."""

    def __init__(self, home: str) -> None:
        self._home = home

    def get(self, name: str) -> Stamp:
        """The stamp of one."""
        return stamp_of(f"{self._home}/{name}")


class Memory:
    """What is remembered of an experiment's attempts, and what one look at them adds.

    The look asks `list_attempts` of each task, `recall` of each attempt, and where that knows nothing it reads the
    records and may `note` them. `save` keeps what was recalled and noted, and forgets the rest.
    """

    def __init__(self, layout: RunLayout, *, lists: bool = False) -> None:
        """Read what earlier looks left; nothing where there is none that can be believed.

        Args:
            lists: Whether the folder of each attempt is listed as a whole: whoever will ask for all of its files anyway
                finds them in `listings`.
        """
        self._layout = layout
        self._lists = lists
        self.listings: dict[tuple[str, int], Listing] = {}
        """What this look found in the folders of attempts that are known."""
        self._tasks = str(layout.tasks)  # ten thousand paths are put together: as texts, they take a tenth of the time
        self._taken = time.time()
        body = _read(layout)
        self._before: Mapping[str, Any] = body.get("tasks", {})
        self._origins: list[tuple[str, str, Code]] = [
            (scheduler, manifest_sha, Code(path, sha256, tuple(roots)))
            for scheduler, manifest_sha, path, sha256, roots in body.get("origins", ())
        ]
        self._collected: tuple[Stamp, Mapping[str, Entry]] = tuple(body.get("collected", (None, {})))
        self._known_successes: Mapping[str, str] = body.get("successes", {})
        self._values_before: Mapping[str, Any] = body.get("values", {})
        self._values: dict[str, Any] = {}
        self._whole_before: frozenset[str] = frozenset(body.get("whole", ()))
        self._whole: dict[str, None] = {}
        self.planned: Mapping[str, Any] = body.get("planned", {})
        """What was planned, as a collection read it (`hpc.rounds.planned`); whoever else looks hands it on."""
        self.settled: Mapping[str, Any] = body.get("settled", {})
        """What a collection keeps of finished runs (`hpc.snapshots.settled`); whoever else looks hands it on."""
        self._after: dict[str, Any] = {}
        self._successes: dict[str, str] = {}
        self._unknown: dict[tuple[str, int], list[Stamp]] = {}
        self._added = 0

    def list_attempts(self, run_name: str) -> list[int]:
        """Numbers of the attempts of a task that were claimed, in order.

        Raises:
            OSError: Its folder cannot be listed.
        """
        told = self._before.get(run_name)
        stamp = stamp_of(f"{self._tasks}/{run_name}")
        if told is not None and stamp and stamp == told[0]:
            numbers = told[1]
        else:
            numbers = list_attempts(self._layout, run_name)
            stamp = stamp if self.is_settled(stamp) else []
            self._added += bool(stamp)
        self._after[run_name] = [stamp, numbers, []]
        return list(numbers)

    def recall(self, run_name: str, number: int) -> Known | None:
        """Return what is known of an attempt; None where its records have to be read."""
        told = self._told(run_name, number)
        home = f"{self._tasks}/{run_name}/attempt-{number}"
        listing, records = self._list(home) if told is not None else (None, _RecordStamps(home))
        stamps = [records.get("task.json"), records.get("exit.json"), None]
        if told is None or self._origins[told[2]][0] != LOCAL:  # this machine's own queue keeps nothing there
            stamps[2] = records.get("scheduler.json")
        if told is None or told[1] != stamps:
            self._unknown[run_name, number] = stamps
            return None
        if listing:
            self.listings[run_name, number] = listing
        self._after[run_name][2].append(told)
        _, _, origin, told_start, end, row = told
        task_id, submission, job, restarts, started, altered, uses, packed, cluster, *process = told_start
        scheduler, manifest_sha, code = self._origins[origin]
        used = tuple(record_from(Used, each) for each in uses) if uses else ()
        began = Start(
            task_id, number, submission, job, restarts, scheduler, started, code, altered, manifest_sha, used, packed,
            cluster, *process,
        )  # fmt: skip
        ended = End(*(*end[:-1], tuple(end[-1]))) if end else None  # JSON has lists
        return Known(began, ended, _row(row) if row else None)

    def _told(self, run_name: str, number: int) -> Any:
        """What earlier looks kept of an attempt; None for nothing."""
        told = self._before.get(run_name)
        for each in told[2] if told is not None else ():
            if each[0] == number:
                return each
        return None

    def _list(self, home: str) -> tuple[Listing | None, Mapping[str, Stamp] | _RecordStamps]:
        """List an attempt's folder, where that is asked for and can be done; and the stamps of its records."""
        with contextlib.suppress(OSError):
            if self._lists:
                return list_files(home)
        return None, _RecordStamps(home)

    def note(self, run_name: str, number: int, known: Known) -> None:
        """Take in what was read of an attempt after `recall` did not know it, unless its files changed just now."""
        stamps = self._unknown[run_name, number]
        began, ended = known.began, known.ended
        if began.scheduler == LOCAL:
            stamps[2] = None
        task, *others = stamps
        is_settled = self.is_settled(task) and all(each is None or self.is_settled(each) for each in others)
        if not is_settled or began.attempt != number or (ended is None) != (stamps[1] is None):
            return
        origin = (began.scheduler, began.manifest_sha, began.code)
        if origin not in self._origins:
            self._origins.append(origin)
        uses = [each.to_json() for each in began.uses]
        process = [] if ended else [getattr(began, name) for name in _PROCESS]
        self._after[run_name][2].append([
            number, stamps, self._origins.index(origin),
            [began.task_id, began.submission, began.job, began.restart_count, began.started, began.altered, uses,
             began.packed, began.cluster, *process],
            [getattr(ended, name) for name in End._fields] if ended else None,
            [getattr(known.row, name) for name in _OF_ROW] if known.row else None,
        ])  # fmt: skip
        self._added += 1

    def read_entries(self) -> Mapping[str, Entry]:
        """What the newest collection says of each task, as `hpc.adapters.collected_file.read_entries`, in short."""
        stamp = stamp_of(str(self._layout.verdicts))
        if not stamp:
            self._collected = (None, {})
            return read_entries(self._layout)
        if stamp != self._collected[0]:
            entries = _entries_in_short(self._layout)
            # Without what was set aside, or where a file system's error left nothing, it is not all there is.
            is_all = self.is_settled(stamp) and bool(entries) and not read_aside(self._layout)
            self._collected = (stamp, entries) if is_all else (None, {})
            self._added += len(self._collected[1]) // BRIEF
            return entries
        return that_count(self._layout, self._collected[1], stamp[2] / 1e9)

    def is_whole(self, digest: str) -> bool:
        """Whether a manifest or index with this SHA-256 was read as a whole before, and found right."""
        if digest in self._whole_before:
            self._whole[digest] = None
        return digest in self._whole

    def note_whole(self, digest: str, tasks: int) -> None:
        """Take in that a manifest or index with so many tasks is right."""
        self._whole[digest] = None
        self._added += -(-tasks // BRIEF)

    def evidence(self, attempt: AttemptLayout, *, submission: int, job: str, row: JobRow | None) -> str:
        """Name all that a verdict on an attempt is given by; empty where part of it changed just now or is not seen.

        Args:
            submission, job: Which log of Slurm's is its own.
            row: What Slurm says of it.
        """
        log = stamp_of(str(self._layout.submission(submission).element_log(job)))
        if not rules_digest() or not (log is None or self.is_settled(log)):
            return ""
        lines = [rules_digest(), repr((attempt.number, job, row, log))]
        try:
            with os.scandir(attempt.home) as entries:
                for entry in sorted(entries, key=lambda each: each.name):
                    stamp = None if entry.is_dir() else stamp_of(entry.path)
                    if stamp is not None and not self.is_settled(stamp):
                        return ""
                    lines.append(f"{entry.name}\0{stamp}")
        except OSError:
            return ""
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def is_success(self, run_name: str, evidence: str) -> bool:
        """Whether this evidence on the last attempt of a run was found a success."""
        if not evidence or self._known_successes.get(run_name) != evidence:
            return False
        self._successes[run_name] = evidence
        return True

    def note_success(self, run_name: str, evidence: str) -> None:
        """Take in that this evidence, which was named before it was looked at, is a success."""
        if evidence:
            self._successes[run_name] = evidence
            self._added += JUDGED

    def value(self, run_name: str, metric: str, read: Callable[[], object]) -> object:
        """A final value of a finished run in its small file: what is remembered, or what `read` finds there."""
        stamp = stamp_of(f"{self._tasks}/{run_name}/metrics.json")
        told = self._values_before.get(run_name)
        if told is None or not stamp or told[0] != stamp or told[1] != metric:
            value = read()
            if not self.is_settled(stamp) or type(value) not in (int, float):
                return value
            told = [stamp, metric, value]
            self._added += 1
        self._values[run_name] = told
        return told[2]

    def note_collected(self, entries: Mapping[str, Entry], settled: Mapping[str, Any], when: Stamp) -> None:
        """Take in what was collected just now.

        Args:
            entries: As `in_short`, by task.
            settled: As `settled`.
            when: Stamp of the file that says so.
        """
        self._collected, self.settled = (when, entries), settled
        self._added += max(LEAST, len(self._after))

    def is_settled(self, stamp: Stamp) -> bool:
        """Whether a file is there and has not changed for a while."""
        return is_settled(stamp, self.settled_before)

    @property
    def settled_before(self) -> float:
        """Unix time: what changed later may change once more and look the same."""
        return self._taken - SETTLED_S

    def save(self) -> None:
        """Keep it for the next look, where that saves reading; a disk that is full or not ours to write is no error."""
        if self._added < max(LEAST, len(self._after) // LEAST):
            return
        tasks = {name: told for name, told in self._after.items() if told[2]}
        origins = [[*origin, code.path, code.sha256, code.roots] for *origin, code in self._origins]
        body = {
            "origins": origins, "tasks": tasks, "successes": self._successes, "collected": self._collected,
            "planned": self.planned, "settled": self.settled, "whole": list(self._whole),
            "values": self._values,
        }  # fmt: skip
        text = json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode()
        with contextlib.suppress(OSError):
            write_bytes(self._layout.remembered, _head(self._layout, text) + text + b"\n", parents=False)


def _row(told: Sequence[Any]) -> JobRow:
    """A row as it was kept here, by this version: what each field is, was checked when it was read."""
    values = [*told]
    values[2], values[-1] = _STATES[told[2]], {name: _STATES[state] for name, state in told[-1].items()}
    return JobRow(*values)


def in_short(entry: Entry) -> Entry:
    """A task of a collection without what says nothing about where it stands; a tenth of it is left."""
    kept = {name: entry[name] for name in _OF_TASK if name in entry}
    return {**kept, "attempts": [_attempt_in_short(each) for each in entry["attempts"]]}


def _entries_in_short(layout: RunLayout) -> Mapping[str, Entry]:
    """The newest collection as `read_entries` has it, in short: read task by task, which holds a tenth of it."""
    with contextlib.suppress(InputError, OSError, ValueError), open_regular(layout.verdicts) as file:
        if digest_told(file) and read_head(layout.verdicts):
            entries = (each for each in map(json.loads, read_lines(file)) if is_entry(each))
            found = {each["task_id"]: in_short(each) for each in entries}
            return that_count(layout, found, os.fstat(file.fileno()).st_mtime)
    return {task_id: in_short(entry) for task_id, entry in read_entries(layout).items()}


def _attempt_in_short(told: Entry) -> Entry:
    verdict = told.get("verdict")
    kept = {name: told[name] for name in _OF_ATTEMPT if name in told}
    return {**kept, "verdict": {"category": verdict.get("category"), "evidence": []} if verdict else None}


def _read(layout: RunLayout) -> Mapping[str, Any]:
    """What earlier looks left, as it was written by this version for this experiment; empty for anything else."""
    try:
        raw = read_regular(layout.remembered, MOST_BYTES)
        begins = raw.index(b"\n") + 1
        head = _head(layout, memoryview(raw)[begins:-1])
        return dict(json.loads(raw[begins:])) if raw.startswith(head) else {}
    except (InputError, OSError, ValueError):
        return {}


def _head(layout: RunLayout, body: bytes | memoryview) -> bytes:
    """The line that tells that all of a memory is there, whose it is and who wrote it."""
    told = {
        "kind": "remembered", "schema": SCHEMA, "experiment": layout.experiment, "readers": _readers_digest(),
        "row": _OF_ROW, "sha256": hashlib.sha256(body).hexdigest(),
    }  # fmt: skip
    return json.dumps(told, ensure_ascii=True).encode() + b"\n"


@cache
def _readers_digest() -> str:
    """Name the code that reads records: what other code took for one is not believed.

    Raises:
        OSError: It cannot be read (in an archive).
    """
    folder = Path(records.__file__).parent
    return hashlib.sha256(b"".join((folder / f"{name}.py").read_bytes() for name in _READERS)).hexdigest()


@cache
def rules_digest() -> str:
    """Name the code that tells a success: what other code took for one is not believed; empty where it has no files."""
    return rooms_digest(_RULES)


def rooms_digest(rooms: Sequence[str]) -> str:
    """Name the code of some rooms of `hpc`; empty where it has no files."""
    files = rule_files(rooms)
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest() if files else ""


def rule_files(rooms: Sequence[str] = _RULES) -> list[Path]:
    """All code of some rooms of `hpc`, those that tell a success, whatever they are divided into."""
    folder = Path(records.__file__).parents[2]
    return sorted(path for part in rooms for path in (folder / part).rglob("*.py"))
