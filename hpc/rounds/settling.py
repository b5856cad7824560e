"""Judging run after run without holding what was read: of a finished run, only what is asked of it later stays.

Its curves and its line of ``verdicts.json`` are put down; of a run that was settled before, nothing is read. Where many
are new, processes read them side by side (`hpc.rounds.side_by_side`).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from hpc.adapters.collected_file import Entry, read_entries
from hpc.adapters.progress import through
from hpc.adapters.spool import Spool
from hpc.core.failures.evidence import Verdict
from hpc.core.failures.outcomes import Outcome
from hpc.core.retry.learned import Observation
from hpc.rounds.judge import JudgedTask
from hpc.rounds.planned import read_planned
from hpc.rounds.reading import Read, Reader, Said
from hpc.rounds.settled_failures import keep_failure, recall_failure
from hpc.snapshots.brief import FAILED, FINISHED, NOTHING, Brief, brief_of
from hpc.snapshots.remembered import Memory, in_short
from hpc.snapshots.settled import Settled, SettledRuns, Written
from hpc.snapshots.states import Snapshot, TaskState

if TYPE_CHECKING:
    from hpc.adapters.curves import Curves
    from hpc.rounds.side_by_side import Asked


Wrote = tuple[Sequence[str], str, str, str, "array[int]"]
"""The attributes of `Written` but the first."""


class Settling:
    """One collection's judging of all runs.

    Attributes:
        lines: Lines of ``verdicts.json`` of the runs that were settled now.
        frozen: What was planned.
    """

    def __init__(
        self, snapshot: Snapshot, memory: Memory, *, include_running: bool, settles: bool, writes: bool
    ) -> None:
        """Begin.

        Args:
            memory: What was settled before, and takes in what is now.
            include_running: Read the metrics of what runs, too.
            settles: Without, every run is read, and all that is concluded of it stays.
            writes: Whether anybody will ask for what is put down.
        """
        self._layout = snapshot.layout
        self.frozen = read_planned(snapshot.manifest, memory)
        spec = self.frozen.spec
        # What a run showed of micro-batches is learned when it is read; should that be gone, all are read again.
        learned = spec.batch is None or self._layout.learned.exists()
        self._known = SettledRuns(snapshot, memory if learned else None) if settles else None
        self._reader = Reader(
            snapshot.layout, spec, snapshot.manifest["spec"], self._known is not None, include_running, writes
        )
        self._primary = spec.metrics.primary.name
        self.lines = Spool(snapshot.layout.home)
        self._memory = memory
        self._sources: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._observed: dict[int, tuple[Observation, ...]] = {}
        self._recalled: dict[int, JudgedTask] = {}

    def judge(self, states: Sequence[TaskState]) -> list[JudgedTask]:
        """Judge all runs, in the manifest's order."""
        lines = self._known.lines_of_failed() if self._known else iter(())
        known = {row: found for row, state in enumerate(states) if (found := self._find(row, state, next(lines, b"")))}
        new = [(row, state) for row, state in enumerate(states) if row not in known]
        judged = known | dict(through("judging runs", self._judge_new(new), len(new)))
        return [task for _, task in sorted(judged.items())]

    @cached_property
    def curves(self) -> Curves:
        """Those of the attempts that were read."""
        from hpc.adapters.curves import Curves  # here (numpy, h5py): where nothing is new, there are none

        return Curves(self._layout.home)

    @property
    def observed(self) -> list[Observation]:
        """What the attempts that were read showed of micro-batches."""
        return [each for row in sorted(self._observed) for each in self._observed[row]]

    def _find(self, row: int, state: TaskState, line: bytes) -> JudgedTask | None:
        """A run that was settled before; None for one that has to be judged.

        Args:
            line: Its line of ``verdicts.json`` before, where that is needed.
        """
        if self._known is None:
            return None
        if settled := self._known.find(row, state):
            return JudgedTask(state, (), Outcome.FINISHED, settled=settled)
        told = self._known.find_failed(state) if line else None
        if not told or not (failed := recall_failure(state, told, line)):
            return None
        self._known.take(row)
        self._recalled[row] = failed
        return failed

    def _judge_new(self, new: Sequence[Asked]) -> Iterator[tuple[int, JudgedTask]]:
        """Judge what was not settled before: side by side what can be, the rest here."""
        if not new:
            return
        from hpc.rounds import side_by_side  # here (numpy): where nothing is new, nothing is read

        if self._known:
            for _, state in new:
                self._known.name(state)
        left = dict(new)
        if processes := side_by_side.processes_for(len(new)):
            with closing(side_by_side.read_side_by_side(self._reader, new, processes)) as found:
                for row, read in found:
                    yield row, self._take(row, left.pop(row), read)
        for row, state in left.items():
            yield row, self._take(row, state, self._reader.read(state))

    def _take(self, row: int, state: TaskState, read: Read) -> JudgedTask:
        """Put down what is only asked for when everything is written."""
        for number, packed in read.curves.items():
            self.curves.put(row, number, packed)
        if read.observed:
            self._observed[row] = read.observed
        if self._known and not read.stands:
            self._known.unname(state.task.run_name)
        found = read.found
        if isinstance(found, Said):
            return JudgedTask(state, (), Outcome.FINISHED, settled=self._settled(state, found))
        if found.kept:
            return replace(found, kept=replace(found.kept, entry=self._whole_entries[state.task.task_id]))
        return found

    def _settled(self, state: TaskState, said: Said) -> Settled:
        place = (self.lines.put(said.line), len(said.line))
        evidence = self._known.evidence_of(state.task.run_name) if self._known else ""
        kind = FINISHED if evidence else NOTHING
        brief = brief_of(said.entry, self._primary, evidence, kind, said.last_step)
        return Settled(self._memory.put_down(brief), place, self._sources.setdefault(said.source, said.source))

    def line(self, settled: Settled) -> bytes:
        """The line of a run that was settled now; empty for one that was before."""
        return self.lines.get(*settled.line) if settled.line else b""

    def lines_before(self) -> Iterator[bytes]:
        """The lines of the collection before, in the manifest's order; none where nothing of it stands."""
        return self._known.lines() if self._known else iter(())

    def rows_before(self, tasks: Sequence[JudgedTask], columns: str) -> Iterator[bytes]:
        """The rows of ``tasks.csv`` as they stand, of the tasks that were settled before; of others nothing.

        Args:
            columns: Digest of what is in each column now.
        """
        rows = self._known.rows(columns) if self._known else iter(())
        for task in tasks:
            row = next(rows, b"")
            yield row if self.was_settled(task) else b""

    def was_settled(self, task: JudgedTask) -> bool:
        """Whether a finished run was settled by the collection before."""
        return task.settled is not None and task.settled.line is None

    @property
    def has_noted(self) -> bool:
        """Whether the ledger is as the collection before left it, with all that was settled then."""
        return self._known is not None and self._known.has_noted

    def stands(self, tasks: Sequence[JudgedTask], notes: Sequence[str], plan: str) -> bool:
        """Whether the collection before said all that is to be said; as `SettledRuns.stands`."""
        is_same = all(_verdicts(tasks[row]) == _verdicts(before) for row, before in self._recalled.items())
        return is_same and self._known is not None and self._known.stands(len(tasks), notes, plan)

    def keep(self, tasks: Sequence[JudgedTask], entries: Sequence[Entry], written: Wrote, *, settles: bool) -> None:
        """Keep for the next collection what this one settled.

        Args:
            tasks: What was judged.
            entries: What was written of each; of those that are settled, in short.
            written: What was written besides.
            settles: Without, every run is to be read by the next collection.
        """
        if self._known:
            pairs = zip(tasks, entries, strict=True)
            briefs = (self._brief(task, entry, settles=settles) for task, entry in pairs)
            self._known.keep(Written(briefs, *written))

    def _brief(self, task: JudgedTask, entry: Entry, *, settles: bool) -> Brief:
        """What is kept of a task."""
        if task.settled:
            return task.settled.brief if settles else task.settled.brief.unsettled()
        short = in_short(entry) if "decision" in entry else entry
        evidence = self._known.evidence_of(task.state.task.run_name) if self._known and settles else ""
        failed = keep_failure(task) if evidence else None
        if failed is None:
            return brief_of(short, self._primary)
        return brief_of(short, self._primary, evidence, FAILED, failed)

    def close(self) -> None:
        """Let go of all that was put down."""
        if "curves" in vars(self):
            self.curves.close()
        self.lines.close()
        if self._known:
            self._known.close()

    def take_over(self) -> None:
        """Take the curves of the runs that were settled before from where they stand."""
        if self._known:
            self._known.hand_over(self.curves)

    @cached_property
    def _whole_entries(self) -> Mapping[str, Entry]:
        """The collection before, for runs of which something is kept."""
        return read_entries(self._layout)


def _verdicts(task: JudgedTask) -> list[Verdict | None]:
    return [each.verdict for each in task.attempts]
