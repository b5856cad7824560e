"""Runs that were collected before and on which nothing has changed since: their verdicts are final.

A verdict is made of the files of a run's attempts, of Slurm's word on them, and by our rules. Where all of it is as it
was, it is not given anew: the line in ``verdicts.json``, the curves in ``results.h5`` and what else is asked of a
finished run stand. Of a failed one its verdicts and curves stand, and what is decided about it is decided anew
(`hpc.rounds.settled_failures`). What is not known for sure to be the same is read, so a memory that is damaged costs
time and says nothing false.

A run is not settled as long as something else than its own files may change what is said of it: one that started from
runs of other experiments, one of which something was kept.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from hpc.adapters.collected_file import Entry
from hpc.adapters.files import open_regular
from hpc.adapters.verdict_lines import digest_told, read_lines
from hpc.core.errors import InputError, TemporaryError
from hpc.core.layout import RunLayout
from hpc.core.slurm.executions import is_job
from hpc.snapshots.brief import FAILED, FINISHED, Brief
from hpc.snapshots.listing import Listing, Stamp, is_settled, list_below, list_files, stamp_of, stamp_on
from hpc.snapshots.remembered import Memory, rules_digest
from hpc.snapshots.states import AttemptState, Progress, Snapshot, TaskState

if TYPE_CHECKING:
    from hpc.adapters.curves import Curves


_NOT_LISTED: Mapping[tuple[str, int], Listing] = {}


@dataclass(frozen=True, slots=True)
class Settled:
    """What is asked of a finished run once its verdict is given.

    Attributes:
        brief: The task of ``verdicts.json`` in short (`hpc.snapshots.remembered.in_short`), and its last step.
        line: Its line: a place and a size in what was put down by this collection; None where the file before has it.
        source: Of its last attempt, where the metrics were read; empty where nobody needs to know any more.
    """

    brief: Brief
    line: tuple[int, int] | None = None
    source: tuple[str, ...] = ()

    @property
    def entry(self) -> Entry:
        """The task of ``verdicts.json`` in short, parsed whenever somebody looks at it."""
        return self.brief.entry

    @property
    def last_step(self) -> int | None:
        """Highest step of its last attempt; None where it logged none."""
        return self.brief.last_step


@dataclass(frozen=True)
class Written:
    """What a collection wrote.

    Attributes:
        briefs: Of every task.
        notes: What a person should know.
        plan: Digest of what was decided about failed runs.
        digest: Hash of the verdicts.
        columns: Digest of what is in each column of ``tasks.csv``.
        sizes: Bytes of each row of it below the header.
    """

    briefs: Iterable[Brief]
    notes: Sequence[str]
    plan: str
    digest: str
    columns: str
    sizes: array[int]


class SettledRuns:
    """The settled runs of an experiment: those of the collection before, and those of this one."""

    def __init__(self, snapshot: Snapshot, memory: Memory | None) -> None:
        """Open what the collection before left; nothing counts where its files are not as it left them.

        Args:
            memory: None: nothing is believed, and nothing kept.
        """
        self._layout, self._memory = snapshot.layout, memory
        self._head = {"manifest_sha": snapshot.manifest["sha256"], "rules": rules_digest()}
        self._entries: Mapping[str, Entry] = {}
        self._failed = 0
        self._found: list[int] = []
        self._evidence: dict[str, str] = {}
        self._files = _Files()
        self.names = EvidenceNames(snapshot.layout, memory.settled_before) if memory else None
        told = memory.settled if memory else {}
        if memory and self._head["rules"] and told.get("head") == self._head:
            self._files = open_files(snapshot.layout)
            if self._files.stamps and self._files.stamps == told.get("files"):
                self._entries, self._failed = memory.read_entries(), told.get("failed", 0)

    def find(self, row: int, state: TaskState) -> Settled | None:
        """Return what was settled of a finished run; None for one that has to be judged.

        Args:
            row: Its place in the manifest.
        """
        brief = self._brief(state)
        if brief is None or brief.kind != FINISHED:
            return None
        self.take(row)
        return Settled(brief)

    def find_failed(self, state: TaskState) -> Any:
        """Return what was kept of the verdicts on a failed run; None for one that has to be judged.

        Who makes use of it says so by `take`.
        """
        brief = self._brief(state)
        return brief.told if brief is not None and brief.kind == FAILED else None

    def name(self, state: TaskState) -> None:
        """Name the evidence on a run that will be judged, before anything of it is read."""
        if self._memory is None or self.names is None or state.task.run_name in self._evidence:
            return
        listings, run = self._memory.listings, state.task.run_name
        self._evidence[run] = self.names.of(state, listings)
        self._memory.name_evidence(run, self._evidence[run])
        for number in [state.late.number] if state.late else [each.number for each in state.attempts]:
            listings.pop((run, number), None)

    def _brief(self, state: TaskState) -> Brief | None:
        """What the collection before kept of a run, where that stands."""
        if self._memory is None or state.task.task_id not in self._entries:
            return None
        if state.late and state.late.brief:
            return state.late.brief
        brief = self._memory.brief(state.task.task_id)
        if brief is None or not brief.evidence:
            return None
        self.name(state)
        return brief if self._evidence[state.task.run_name].encode() == brief.evidence else None

    def take(self, row: int) -> None:
        """Let what the files before hold of a run be taken over.

        Args:
            row: Its place in the manifest.
        """
        self._found.append(row)

    def unname(self, run_name: str) -> None:
        """Take in that the evidence on a run may change yet."""
        self._evidence[run_name] = ""

    def evidence_of(self, run_name: str) -> str:
        """What names the evidence on a run that was judged; empty where it may change yet."""
        return self._evidence.get(run_name, "")

    def close(self) -> None:
        """Close the files of the collection before."""
        self._files.close()

    def lines(self) -> Iterator[bytes]:
        """The lines of the verdicts before, in the manifest's order; none where no run is settled."""
        return read_lines(self._files.verdicts) if self._found and self._files.verdicts else iter(())

    def lines_of_failed(self) -> Iterator[bytes]:
        """As `lines`, before any run was found; none where of no failed run anything was kept."""
        return read_lines(self._files.verdicts) if self._failed and self._files.verdicts else iter(())

    def rows(self, columns: str) -> Iterator[bytes]:
        """The rows of ``tasks.csv`` before, in the manifest's order; none where it has other columns, or was touched.

        Args:
            columns: Digest of what is in each column now.
        """
        told, file = self._memory.settled if self._memory else {}, self._files.table
        if not self._found or file is None or told.get("columns") != columns:
            return
        if stamp_on(file.fileno()) != told["beside"][0]:
            return
        file.seek(-sum(told["sizes"]), os.SEEK_END)
        for size in told["sizes"]:
            yield file.read(size)

    @property
    def has_noted(self) -> bool:
        """Whether the ledger is as the collection before left it, which noted every run that was settled then."""
        told = self._memory.settled if self._memory else {}
        stamp = stamp_of(str(self._layout.ledger))
        return bool(self._found and stamp) and told["beside"][2] == stamp

    def hand_over(self, curves: Curves) -> None:
        """Hand the curves of the runs that were found on to the results that are written now.

        Raises:
            TemporaryError: They are there no more; the next collection reads the runs.
        """
        if not self._found or self._files.results is None:
            return
        from hpc.adapters.curves import find_earlier  # here: where nothing is new, nothing is written

        try:
            curves.take_over(find_earlier(self._files.results), self._found)
        except InputError as error:
            self._layout.remembered.unlink(missing_ok=True)
            raise TemporaryError(f"{self._layout.results}: {error}; every run is read by the next collection") from None

    def stands(self, tasks: int, notes: Sequence[str], plan: str) -> bool:
        """Whether the files of the collection before say all that is to be said: every run was settled by it.

        Args:
            tasks: How many there are.
            notes: What a person should know.
            plan: Digest of what is decided about failed runs.
        """
        told = self._memory.settled if self._memory else {}
        said = (told.get("notes"), told.get("plan"), told.get("beside"))
        return len(self._found) == tasks > 0 and said == (list(notes), plan, _beside(self._layout))

    def keep(self, written: Written) -> None:
        """Keep for the next collection what this one settled."""
        if self._memory is None:
            return
        with suppress(InputError, OSError), closing(open_files(self._layout)) as files:
            if files.stamps and files.verdicts and digest_told(files.verdicts) == written.digest:  # nobody else's
                briefs = list(written.briefs)
                told = {
                    "head": self._head, "files": files.stamps, "failed": sum(each.kind == FAILED for each in briefs),
                    "notes": list(written.notes), "plan": written.plan, "beside": _beside(self._layout),
                    "columns": written.columns, "sizes": written.sizes.tolist(),
                }  # fmt: skip
                self._memory.note_collected(briefs, told, files.stamps[0])


class EvidenceNames:
    """Names all that the verdicts on a run are given by."""

    def __init__(self, layout: RunLayout, settled_before: float) -> None:
        """Begin.

        Args:
            settled_before: What changed later (Unix time) may change once more and look the same.
        """
        self._layout, self.settled_before = layout, settled_before
        self._submissions: dict[int, str] = {}

    def of(self, state: TaskState, listings: Mapping[tuple[str, int], Listing] = _NOT_LISTED) -> str:
        """The digest of it; empty where it may change yet.

        Args:
            listings: Run and attempt → what is in its folder, where that was looked at just now.
        """
        attempts = tuple(state.attempts)
        if not attempts or state.kept is not None or not all(_is_final(each) for each in attempts):
            return ""
        run, with_checkpoints = state.task.run_name, len(attempts) > 1
        named = [
            self._of_attempt(each, listings.get((run, each.number)), with_checkpoints=with_checkpoints)
            for each in attempts
        ]
        if not all(named):
            return ""
        return hashlib.sha256("\n".join(named).encode("utf-8", "surrogateescape")).hexdigest()[:32]

    def _of_attempt(self, attempt: AttemptState, listing: Listing | None, *, with_checkpoints: bool) -> str:
        """All of one attempt, as text; empty where it may change yet, or cannot be looked at."""
        log = None
        if is_job(attempt.job):
            log = stamp_of(str(self._layout.submission(attempt.submission).element_log(attempt.job)))
        try:
            digest, newest, *_ = listing or list_files(str(attempt.layout.home))[0]
            saved, saved_at = list_below(str(attempt.layout.checkpoints)) if with_checkpoints else ([], 0)
        except OSError:
            return ""
        is_over = max(newest, saved_at) / 1e9 <= self.settled_before
        if not is_over or not (log is None or is_settled(log, self.settled_before)):
            return ""
        made = self._of_submission(attempt.submission)
        return f"{attempt.number} {made} {attempt.row} {log} {digest.hex()} {saved}"

    def _of_submission(self, number: int) -> str:
        """When it was made, by the files that say so."""
        if number not in self._submissions:
            files = self._layout.submission(number)
            self._submissions[number] = repr((stamp_of(str(files.receipt)), stamp_of(str(files.intent))))
        return self._submissions[number]


@dataclass(frozen=True)
class _Files:
    """What settled runs rely on, open: who replaces the files meanwhile changes nothing of these."""

    verdicts: BinaryIO | None = None
    results: BinaryIO | None = None
    table: BinaryIO | None = None
    stamps: Sequence[Stamp] = ()

    def close(self) -> None:
        """Close them."""
        for file in filter(None, (self.verdicts, self.results, self.table)):
            file.close()


def open_files(layout: RunLayout) -> _Files:
    """Open the verdicts and results of the newest collection; none where one of them is not there, or not ours."""
    with ExitStack() as opened:
        try:
            verdicts, results = (opened.enter_context(open_regular(path)) for path in (layout.verdicts, layout.results))
        except (InputError, OSError):
            return _Files()
        table = None
        with suppress(InputError, OSError):
            table = opened.enter_context(open_regular(layout.tasks_csv))
        opened.pop_all()
        return _Files(verdicts, results, table, [stamp_on(each.fileno()) for each in (verdicts, results)])


def _beside(layout: RunLayout) -> list[Stamp]:
    """What else a collection leaves: where one of these was touched, it is written anew."""
    return [stamp_of(str(path)) for path in (layout.tasks_csv, layout.retry_plan, layout.ledger)]


def _is_final(attempt: AttemptState) -> bool:
    began = attempt.began
    return attempt.progress is Progress.OVER and began is not None and attempt.unreadable is None and not began.uses
