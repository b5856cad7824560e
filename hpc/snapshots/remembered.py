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
import re
import tempfile
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from hpc.adapters.collected_file import Entry, is_entry, read_aside, read_entries, that_count
from hpc.adapters.files import open_regular, write_pieces
from hpc.adapters.keyed_lines import KeyedLines
from hpc.adapters.own_disk import is_own_disk
from hpc.adapters.spool import Spool
from hpc.adapters.verdict_lines import digest_told, read_head, read_lines
from hpc.core import records
from hpc.core.errors import EXIT_DONE, InputError
from hpc.core.immutable import fields_of
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.records.index import Code, Used
from hpc.core.records.record import record_from
from hpc.core.records.submitted import LOCAL
from hpc.core.slurm.executions import JobRow, is_job
from hpc.core.slurm.states import SlurmState
from hpc.snapshots.brief import FINISHED, Brief, LateEntry, PutDown, as_json, brief_of
from hpc.snapshots.glance import Result, are_as_told, result_in
from hpc.snapshots.listing import Listing, Stamp, is_settled, list_files, look_again, pack, stamp_of
from hpc.submissions.on_disk import list_attempts

SCHEMA = 6
SETTLED_S = 2.0
"""Seconds after which a file that changes again has other times: more than any file system rounds them by."""
LEAST = 20
"""So many new attempts are worth writing the file again; fewer are read again."""
MOST_BYTES = 256 << 20
"""A larger file is not read; that of 100,000 runs takes a tenth."""
BRIEF = 10
"""So many tasks of a collection cost what reading the record of an attempt does."""
_SAFE = re.compile(r"[A-Za-z0-9._=+,@-]+")
_TASK_ID = re.compile(r"[0-9a-f]{12}")
_FIELDS = 11
"""Of the line of a run: name, key, names of its files, attempt, submission, job, `_TIMES` times, what is known."""
_TIMES = 4
_DIGEST_BYTES, _PLACE_BYTES = 32, 4
_LOOK_BYTES = _DIGEST_BYTES + _PLACE_BYTES
_AHEAD_BYTES = 1 << 16
_BETWEEN = b"\n"
"""Between the lines of runs and those of tasks."""
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


class Times(NamedTuple):
    """When a run of one attempt that ended well was what, Unix time, and what it used."""

    started: float
    began: float
    ended: float
    gpu_seconds: float

    @property
    def elapsed_s(self) -> float:
        """As `ExitRecord.elapsed_s`."""
        return self.ended - self.began

    @property
    def exit_code(self) -> int:
        """As `ExitRecord.exit_code`."""
        return EXIT_DONE

    @property
    def is_done(self) -> bool:
        """As `ExitRecord.is_done`."""
        return True


class Still(NamedTuple):
    """A run of one attempt that ended well, of which no record is held.

    Attributes:
        number: Of the attempt.
        submission: That authorised it.
        job: It ran in.
        times: Their place (`Memory.times`).
        brief: What the newest collection kept of it, where that counts.
        result: What that line says, where a mere look has asked.
    """

    number: int
    submission: int
    job: str
    times: int
    brief: Brief | None
    result: Result | None = None


class _Current:
    """The run that is looked at.

    Attributes:
        run_name: Its name.
        before: What earlier looks kept, as `after`; None for nothing.
        after: What will be known of it: stamp of its folder, numbers of its attempts, and each of these.
        listing: What is in the folder of the attempt that was asked for last.
    """

    def __init__(self, run_name: str, before: Any, after: list[Any]) -> None:
        self.run_name, self.before, self.after = run_name, before, after
        self.listing: Listing | None = None

    def told(self, number: int) -> Any:
        """What earlier looks kept of an attempt; None for nothing."""
        for each in self.before[2] if self.before is not None else ():
            if each[0] == number:
                return each
        return None


class Memory:
    """What is remembered of an experiment's attempts, and what one look at them adds.

    The look begins with `begin`, asks `still` or `list_attempts` of each task, `recall` of each attempt, and where that
    knows nothing it reads the records and may `note` them. `save` keeps what was recalled and noted, and forgets the
    rest.

    What is kept of a run is a line that is parsed when it is asked for, and copied as it stands where nothing changed.
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
        """What this look found in the folders of attempts, in short."""
        self._tasks = str(layout.tasks)  # ten thousand paths are put together: as texts, they take a tenth of the time
        self._taken = time.time()
        self._spools = _spools(layout)
        body, self._before, self._briefs = _read(layout, self._spools)
        self._new_briefs = KeyedLines(self._spools.briefs)
        self._origins: list[tuple[str, str, Code]] = [
            (scheduler, manifest_sha, Code(path, sha256, tuple(roots)))
            for scheduler, manifest_sha, path, sha256, roots in body.get("origins", ())
        ]
        self._schedulers = [scheduler for scheduler, *_ in self._origins]
        self._collected: Stamp = body.get("collected")
        self._judged_before: Mapping[str, tuple[str, bool]] = body.get("judged", {})
        self._values_before: Mapping[str, Any] = body.get("values", {})
        self._values: dict[str, Any] = {}
        self._whole_before: Mapping[str, int | None] = body.get("whole", {})
        self._whole: dict[str, int | None] = {}
        self.planned: Mapping[str, Any] = body.get("planned", {})
        """What was planned, as a collection read it (`hpc.rounds.planned`); whoever else looks hands it on."""
        self.settled: Mapping[str, Any] = body.get("settled", {})
        """What a collection keeps of finished runs (`hpc.snapshots.settled`); whoever else looks hands it on."""
        self._names: list[tuple[str, ...]] = [tuple(each) for each in body.get("names", ())]
        self._times = array("d")
        self._asks_singly = is_own_disk(str(layout.home)) if lists and self._before else False
        self._made: dict[int, bytes] = {}
        self._judged: dict[str, tuple[str, bool]] = {}
        self._added = 0
        self.begin()

    def begin(self) -> None:
        """Begin to look at all runs: what a look before this one added is left out, so each run is told of once."""
        self._after = KeyedLines(self._spools.runs)
        self._newest = ""
        """The run of which a line was put down last."""
        self._looks: dict[str, bytes] = {}
        """Run → digest of the stamps of its files, place of their names, and what names the evidence."""
        self._current: _Current | None = None
        self._unknown: dict[tuple[str, int], list[Stamp]] = {}

    # ── runs on which nothing has changed ────────────────────────────────────────────────────────────────────────

    def still(self, run_name: str, task_id: str) -> Still | None:
        """A run of one attempt that ended well and was collected, where all files that say something are as they were.

        Returns:
            None for every other run: what is there has to be listed.
        """
        self._put_down()  # a run that was listed after all comes before this one
        before = self._before.find(run_name.encode("utf-8", "replace"))
        kept = self._briefs.find(task_id.encode()) if before is not None else None
        if before is None or kept is None:
            return None
        (place, line), brief = before, Brief(kept[1])
        _, key, files, number, submission, job, *times, told = line.split(b"\t", _FIELDS - 1)
        if not number:
            return None
        result = None if self._lists else result_in(brief.told_entry)
        late = PutDown(self._briefs, kept[0])
        found = Still(int(number), int(submission), job.decode(), len(self._times), late, result)
        if self._lists:
            look = self._look_again(run_name, found, self._names[int(files)]) if key else b""
            is_so = bool(look) and key == _key(look, brief, line.split(b"\t", 2)[2])
        else:
            is_so = self._is_result(run_name, task_id, found, told, times)
        if not is_so:
            return None
        self._keep(run_name, place)
        self._take_times(times)
        return found

    def _keep(self, run_name: str, line: int | bytes) -> None:
        """Take in what is known of a run.

        Args:
            line: It, or the number of that of before.
        """
        if self._newest == run_name:  # it was looked at a second time, with more care
            self._after.drop_last()
        self._newest = run_name
        if isinstance(line, int):
            self._after.keep(self._before, line)
        else:
            self._after.put(line)

    def _is_result(self, run_name: str, task_id: str, told: Still, known: bytes, times: Sequence[bytes]) -> bool:
        """Whether the collection has a run as finished by the very end whose record is there: what a mere look asks."""
        result = told.result
        if result is None or result[1:] != (told.number, float(times[0]), float(times[2])):
            return False
        return are_as_told(known, f"{self._tasks}/{run_name}", told.number, task_id, self._schedulers)

    def _look_again(self, run_name: str, told: Still, names: Sequence[str]) -> bytes:
        """The stamps of all that a verdict on a run of one attempt is given by; empty where some cannot be told."""
        home = f"{self._tasks}/{run_name}"
        try:
            folder = os.stat(home)  # noqa: PTH116
        except OSError:
            return b""
        files = look_again(f"{home}/attempt-{told.number}", names, lists=not self._asks_singly)
        run = pack((folder.st_ino, folder.st_size, folder.st_mtime_ns, folder.st_ctime_ns))
        beside = self._beside(told.submission, told.job)
        return hashlib.sha256(run + files + beside).digest() if run and files else b""

    def _beside(self, submission: int, job: str) -> bytes:
        """The stamps of what else says something of an attempt: of its submission, and of its log of Slurm's."""
        if submission not in self._made:
            files = self._layout.submission(submission)
            self._made[submission] = repr((stamp_of(str(files.receipt)), stamp_of(str(files.intent)))).encode()
        if not is_job(job):
            return self._made[submission]
        log = self._layout.submission(submission).element_log(job)
        return self._made[submission] + repr(stamp_of(str(log))).encode()

    def _take_times(self, times: Iterable[Any]) -> int:
        self._times.extend(map(float, times))
        return len(self._times) - _TIMES

    def times(self, place: int) -> Times:
        """The times of a run that `still` or `late` told of."""
        return Times(*self._times[place : place + _TIMES])

    def late(self, run_name: str, number: int) -> Still | None:
        """A run of one attempt that ended well, whose records need not be held: they are told again when asked for.

        Returns:
            None for every other run, and where no collection looks: who looks at each once or twice holds them.
        """
        current = self._current
        if not self._lists or current is None or current.run_name != run_name:
            return None
        found = _of_one(current.after, self._origins)
        self._put_down()
        if found is None or found[0] != number or run_name != self._newest:
            return None
        _, submission, job, *times = found
        return Still(number, submission, job, self._take_times(times), None)

    def known(self, run_name: str, number: int) -> Known:
        """What is known of an attempt that `still` or `late` told of."""
        line = self._after.get(run_name.encode())
        if line is None:
            raise AssertionError("it was told of")
        told = json.loads(line.rpartition(b"\t")[2])
        return self._known(next(each for each in told[2] if each[0] == number), number)

    # ── what is known of attempts ────────────────────────────────────────────────────────────────────────────────

    def list_attempts(self, run_name: str) -> list[int]:
        """Numbers of the attempts of a task that were claimed, in order.

        Raises:
            OSError: Its folder cannot be listed.
        """
        self._put_down()
        line = self._before.get(run_name.encode("utf-8", "replace"))
        told = json.loads(line.rpartition(b"\t")[2]) if line else None
        stamp = stamp_of(f"{self._tasks}/{run_name}")
        if told is not None and stamp and stamp == told[0]:
            numbers = told[1]
        else:
            numbers = list_attempts(self._layout, run_name)
            stamp = stamp if self.is_settled(stamp) else []
            self._added += bool(stamp)
        self._current = _Current(run_name, told, [stamp, numbers, []])
        return list(numbers)

    def recall(self, run_name: str, number: int) -> Known | None:
        """Return what is known of an attempt; None where its records have to be read."""
        current = self._of(run_name)
        told = current.told(number)
        home = f"{self._tasks}/{run_name}/attempt-{number}"
        listing, records = self._list(home) if told is not None or self._lists else (None, _RecordStamps(home))
        stamps = [records.get("task.json"), records.get("exit.json"), None]
        if told is None or self._origins[told[2]][0] != LOCAL:  # this machine's own queue keeps nothing there
            stamps[2] = records.get("scheduler.json")
        if listing:
            self.listings[run_name, number] = listing.in_short
            current.listing = listing
        if told is None or told[1] != stamps:
            self._unknown[run_name, number] = stamps
            return None
        current.after[2].append(told)
        return self._known(told, number)

    def _known(self, told: Any, number: int) -> Known:
        """An attempt as it was kept."""
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

    def _of(self, run_name: str) -> _Current:
        """What is known of the run that is looked at."""
        if self._current is None or self._current.run_name != run_name:
            raise AssertionError("its attempts are listed first")
        return self._current

    def _list(self, home: str) -> tuple[Listing | None, Mapping[str, Stamp] | _RecordStamps]:
        """List an attempt's folder, where that is asked for and can be done; and the stamps of its records."""
        with contextlib.suppress(OSError):
            if self._lists:
                return list_files(home)
        return None, _RecordStamps(home)

    def note(self, run_name: str, number: int, known: Known) -> None:
        """Take in what was read of an attempt after `recall` did not know it, unless its files changed just now."""
        stamps = self._unknown.pop((run_name, number))
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
        self._of(run_name).after[2].append([
            number, stamps, self._origins.index(origin),
            [began.task_id, began.submission, began.job, began.restart_count, began.started, began.altered, uses,
             began.packed, began.cluster, *process],
            [getattr(ended, name) for name in End._fields] if ended else None,
            [getattr(known.row, name) for name in _OF_ROW] if known.row else None,
        ])  # fmt: skip
        self._added += 1

    def _put_down(self) -> None:
        """Put down what is known of the run that was looked at, as a line; and what its files were."""
        current, self._current = self._current, None
        if current is None or not current.after[2] or not _SAFE.fullmatch(current.run_name):
            return
        before = self._before.find(current.run_name.encode())
        stamp, numbers, _ = current.after
        listing, found = current.listing, _of_one(current.after, self._origins)
        if before is None or current.before != current.after:
            fields = (current.run_name.encode(), b"", _fields(found), as_json(current.after))
            self._keep(current.run_name, b"\t".join(fields))
        else:
            self._keep(current.run_name, before[0])
        if found is None or listing is None or not listing.look or not stamp or numbers != [found[0]]:
            return
        _, submission, job, *_ = found
        run, beside = pack(stamp), self._beside(submission, job)
        is_settled = max(listing.newest, listing.touched) / 1e9 <= self.settled_before
        if is_settled and run and listing.names:
            if listing.names not in self._names:
                self._names.append(listing.names)
            look = hashlib.sha256(run + listing.look + beside).digest()
            self._looks[current.run_name] = look + self._names.index(listing.names).to_bytes(_PLACE_BYTES)

    def name_evidence(self, run_name: str, evidence: str) -> None:
        """Take in what names the evidence on a run, made of what `listings` has of it."""
        if look := self._looks.get(run_name):
            self._looks[run_name] = look[:_LOOK_BYTES] + evidence.encode()

    # ── what was collected ───────────────────────────────────────────────────────────────────────────────────────

    def brief(self, task_id: str) -> Brief | None:
        """What the newest collection kept of a task; None for nothing, or where nobody looked for it yet."""
        found = self._briefs.find(task_id.encode())
        return PutDown(self._briefs, found[0]) if found else None

    def put_down(self, brief: Brief) -> Brief:
        """What is to be kept of a task, so that memory need not hold it."""
        return PutDown(self._new_briefs, self._new_briefs.put(brief.line))

    def read_entries(self) -> Mapping[str, Entry]:
        """What the newest collection says of each task, as `hpc.adapters.collected_file.read_entries`, in short."""
        stamp = stamp_of(str(self._layout.verdicts))
        if not stamp:
            self._collected, self._briefs = None, KeyedLines(self._spools.briefs)
            return read_entries(self._layout)
        if stamp != self._collected:
            self._collected, self._briefs = None, KeyedLines(self._spools.briefs)
            briefs = _briefs_of(self._layout, KeyedLines(self._spools.briefs))
            if briefs is None:
                return {task_id: in_short(entry) for task_id, entry in read_entries(self._layout).items()}
            # Without what was set aside, or where a file system's error left nothing, it is not all there is.
            if self.is_settled(stamp) and briefs and not read_aside(self._layout):
                self._collected, self._briefs = stamp, briefs
                self._added += len(briefs) // BRIEF
            return that_count(self._layout, LateEntries(briefs), stamp[2] / 1e9)
        return that_count(self._layout, LateEntries(self._briefs), stamp[2] / 1e9)

    def is_whole(self, digest: str) -> bool:
        """Whether a manifest or index with this SHA-256 was read as a whole before, and found right."""
        if digest in self._whole_before:
            self._whole[digest] = self._whole_before[digest]
        return digest in self._whole

    def only_attempt(self, digest: str) -> int | None:
        """The attempt that every entry of an index authorises; None where they differ, or nobody told."""
        return self._whole.get(digest)

    def note_whole(self, digest: str, tasks: int, attempt: int | None = None) -> None:
        """Take in that a manifest or index with so many tasks is right.

        Args:
            attempt: As `only_attempt`.
        """
        self._whole[digest] = attempt
        self._added += tasks // BRIEF

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

    def is_success(self, run_name: str, evidence: str) -> bool | None:
        """Whether this evidence on the last attempt of a run was found a success; None where it was not looked at."""
        known = self._judged_before.get(run_name)
        if not evidence or known is None or known[0] != evidence:
            return None
        self._judged[run_name] = known
        return known[1]

    def note_judged(self, run_name: str, evidence: str, *, is_success: bool) -> None:
        """Take in whether this evidence, which was named before it was looked at, is a success."""
        if evidence:
            self._judged[run_name] = (evidence, is_success)
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

    def note_collected(self, briefs: Iterable[Brief], settled: Mapping[str, Any], when: Stamp) -> None:
        """Take in what was collected just now.

        Args:
            briefs: Of every task.
            settled: As `settled`.
            when: Stamp of the file that says so.
        """
        self._briefs = KeyedLines(self._spools.briefs)
        for each in briefs:
            if isinstance(each, PutDown):
                self._briefs.keep(each.lines, each.number)
            else:
                self._briefs.put(each.line)
        self._collected, self.settled = when, settled
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
        self._put_down()
        lines = KeyedLines(self._spools.runs) if self._looks else self._after
        if self._looks:
            for number, line in enumerate(self._after):
                keyed = self._keyed(line.partition(b"\t")[0].decode(), line)
                lines.keep(self._after, number) if keyed is line else lines.put(keyed)
        if self._added < max(LEAST, len(self._after) // LEAST):
            return
        origins = [[*origin, code.path, code.sha256, code.roots] for *origin, code in self._origins]
        body = {
            "origins": origins, "judged": self._judged, "collected": self._collected, "names": self._names,
            "planned": self.planned, "settled": self.settled, "whole": self._whole, "values": self._values,
        }  # fmt: skip
        digest = hashlib.sha256()
        for piece in _pieces(as_json(body), lines, self._briefs):
            digest.update(piece)
        pieces = (_head(self._layout, digest.hexdigest()), b"\n", *_pieces(as_json(body), lines, self._briefs))
        with contextlib.suppress(OSError):
            write_pieces(self._layout.remembered, pieces, parents=False)

    def _keyed(self, run_name: str, line: bytes) -> bytes:
        """The line of a run with what lets the next collection see at a glance that nothing has changed."""
        told = line.rpartition(b"\t")[2]
        told_look = self._looks.get(run_name, b"")
        look, names, evidence = told_look[:_DIGEST_BYTES], told_look[_DIGEST_BYTES:_LOOK_BYTES], told_look[_LOOK_BYTES:]
        if not evidence:
            return line
        after = json.loads(told)
        found = _of_one(after, self._origins)
        kept = self._briefs.get(after[2][0][3][0].encode()) if found else None
        if found is None or kept is None or not _is_of_one(brief := Brief(kept), evidence, found[0]):
            return line
        rest = b"\t".join((_fields(found, int.from_bytes(names)), told))
        keyed = b"\t".join((run_name.encode(), _key(look, brief, rest), rest))
        self._added += keyed != self._before.get(run_name.encode())
        return keyed


def _fields(found: tuple[Any, ...] | None, names: int = 0) -> bytes:
    """The fields of a line between key and told: what `_of_one` found; empty where it found nothing."""
    if found is None:
        return b"\t" * (_FIELDS - 4)
    number, submission, job, *times = found
    return "\t".join((str(names), str(number), str(submission), job, *(repr(float(each)) for each in times))).encode()


def _of_one(told: Any, origins: Sequence[tuple[str, str, Code]]) -> tuple[Any, ...] | None:
    """Number, submission, job and times of a run of one attempt that ended well and of which all is known.

    Returns:
        None for every other run, and for one that started from others.
    """
    _, numbers, attempts = told
    if len(attempts) != 1:
        return None
    number, _, origin, (_, submission, job, _, started, _, uses, *_), end, row = attempts[0]
    is_known = end is not None and end[0] == EXIT_DONE and (origins[origin][0] == LOCAL or row is not None)
    if not is_known or uses or numbers != [number] or not _SAFE.fullmatch(job):
        return None
    return number, submission, job, started, end[1], end[2], end[4]


def _is_of_one(brief: Brief, evidence: bytes, number: int) -> bool:
    """Whether this is a finished run of this one attempt, by this evidence."""
    if brief.kind != FINISHED or brief.evidence != evidence:
        return False
    return [each["attempt"] for each in brief.entry["attempts"]] == [number]


def _key(look: bytes, brief: Brief, rest: bytes) -> bytes:
    """Name the stamps of a run, the evidence by which it was judged, and what is kept of it."""
    return hashlib.sha256(b"".join((look, brief.key, brief.evidence, rest))).hexdigest()[:32].encode()


class LateEntries(Mapping[str, Entry]):
    """The newest collection in short, each task parsed when somebody asks for it."""

    def __init__(self, briefs: KeyedLines) -> None:
        self._briefs = briefs

    def late(self, task_id: str, brief: Brief) -> LateEntry | None:
        """A task that need not be parsed, where it stands here as it is kept there; else None."""
        if isinstance(brief, PutDown) and brief.lines is self._briefs:
            return LateEntry(brief)
        line = self._briefs.get(task_id.encode())
        return LateEntry(brief) if line == brief.line else None

    def held(self, task_id: str) -> LateEntry | None:
        """A task as it may be held, parsed whenever somebody looks at it; None where there is none."""
        found = self._briefs.find(task_id.encode())
        return LateEntry(PutDown(self._briefs, found[0])) if found else None

    def __contains__(self, task_id: object) -> bool:
        return isinstance(task_id, str) and task_id.encode() in self._briefs

    def __getitem__(self, task_id: str) -> Entry:
        if (line := self._briefs.get(task_id.encode())) is None:
            raise KeyError(task_id)
        return LateEntry(Brief(line)).whole()

    def __iter__(self) -> Iterator[str]:
        return (Brief(line).key.decode() for line in self._briefs)

    def __len__(self) -> int:
        return len(self._briefs)


def _row(told: Sequence[Any]) -> JobRow:
    """A row as it was kept here, by this version: what each field is, was checked when it was read."""
    values = [*told]
    values[2], values[-1] = _STATES[told[2]], {name: _STATES[state] for name, state in told[-1].items()}
    return JobRow(*values)


def in_short(entry: Entry) -> Entry:
    """A task of a collection without what says nothing about where it stands; a tenth of it is left."""
    kept = {name: entry[name] for name in _OF_TASK if name in entry}
    return {**kept, "attempts": [_attempt_in_short(each) for each in entry["attempts"]]}


def _briefs_of(layout: RunLayout, briefs: KeyedLines) -> KeyedLines | None:
    """The newest collection as `read_entries` has it, in short: read task by task, never held as a whole.

    Args:
        briefs: None yet; where they are put down.

    Returns:
        None where the file is not as a collection writes it.
    """
    with contextlib.suppress(InputError, OSError, ValueError), open_regular(layout.verdicts) as file:
        if not digest_told(file) or not read_head(layout.verdicts):
            return None
        for entry in filter(is_entry, map(json.loads, read_lines(file))):
            if not _TASK_ID.fullmatch(entry["task_id"]):
                return None
            briefs.put(brief_of(in_short(entry), "").line)
        return briefs if briefs.is_unique else None
    return None


def _attempt_in_short(told: Entry) -> Entry:
    verdict = told.get("verdict")
    kept = {name: told[name] for name in _OF_ATTEMPT if name in told}
    return {**kept, "verdict": {"category": verdict.get("category"), "evidence": []} if verdict else None}


class _Spools(NamedTuple):
    """Where lines are put down that memory need not hold: read in order, those of runs and of tasks take turns."""

    runs: Spool
    briefs: Spool


def _spools(layout: RunLayout) -> _Spools:
    """Two empty ones; whoever only looks at the runs of others puts down elsewhere what there is no room for."""
    is_mine = os.access(layout.home, os.W_OK)
    folder = layout.home if is_mine else Path(tempfile.gettempdir())
    return _Spools(*(Spool(folder, ahead=_AHEAD_BYTES, must_fit=False) for _ in _Spools._fields))


def _read(layout: RunLayout, spools: _Spools) -> tuple[Mapping[str, Any], KeyedLines, KeyedLines]:
    """What earlier looks left, as it was written by this version for this experiment; empty for anything else.

    Returns:
        What is of no run; run name → what is known of its attempts; task → what was collected.
    """
    digest, runs, briefs = hashlib.sha256(), KeyedLines(spools.runs), KeyedLines(spools.briefs)
    nothing: Mapping[str, Any] = {}
    none = nothing, KeyedLines(spools.runs), KeyedLines(spools.briefs)
    try:
        with open_regular(layout.remembered) as file:
            if os.fstat(file.fileno()).st_size > MOST_BYTES:
                return none
            head, body, found = file.readline(), file.readline(), runs
            digest.update(body)
            for line in file:
                digest.update(line)
                if line == _BETWEEN:
                    found = briefs
                else:
                    found.put(line.rstrip(b"\n"))
        if head.rstrip(b"\n") != _head(layout, digest.hexdigest()):
            return none
        return dict(json.loads(body)), runs, briefs
    except (InputError, OSError, ValueError):
        return none


def _pieces(body: bytes, lines: KeyedLines, briefs: KeyedLines) -> Iterator[bytes]:
    """All but the head of a memory."""
    yield body + b"\n"
    for line in lines:
        yield line + b"\n"
    yield _BETWEEN
    for line in briefs:
        yield line + b"\n"


def _head(layout: RunLayout, digest: str) -> bytes:
    """What tells that all of a memory is there, whose it is and who wrote it."""
    told = {
        "kind": "remembered", "schema": SCHEMA, "experiment": layout.experiment, "readers": _readers_digest(),
        "row": _OF_ROW, "sha256": digest,
    }  # fmt: skip
    return json.dumps(told, ensure_ascii=True).encode()


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
