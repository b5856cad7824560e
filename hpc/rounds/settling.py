"""Judging run after run without holding what was read: of a finished run, only what is asked of it later stays.

Its curves and its line of ``verdicts.json`` are put down; of a run that was settled before, nothing is read.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import isfinite
from typing import Any

from hpc.adapters.collected_file import Entry, read_entries
from hpc.adapters.curves import Curves
from hpc.adapters.spool import Spool
from hpc.adapters.verdict_lines import line_of
from hpc.core.failures.outcomes import Outcome
from hpc.core.retry.learned import Observation, shape_parameters
from hpc.experiments.freezing import frozen_of
from hpc.rounds.checked import answer_for
from hpc.rounds.describe import describe_task
from hpc.rounds.judge import JudgedTask, judge_task
from hpc.rounds.tables import final_values
from hpc.snapshots.measured import observations_of
from hpc.snapshots.remembered import Memory, in_short
from hpc.snapshots.settled import Settled, SettledRuns
from hpc.snapshots.snapshot import Snapshot, TaskState


class Settling:
    """One collection's judging of all runs.

    Attributes:
        curves: Those of the attempts that were read.
        lines: Lines of ``verdicts.json`` of the runs that were settled now.
        frozen: What was planned.
        observed: What the attempts that were read showed of micro-batches.
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
        self._layout, self._manifest = snapshot.layout, snapshot.manifest
        self.frozen = frozen_of(snapshot.manifest)
        self._spec = self.frozen.spec
        # What a run showed of micro-batches is learned when it is read; should that be gone, all are read again.
        learned = self._spec.batch is None or self._layout.learned.exists()
        self._known = SettledRuns(snapshot, memory if learned else None) if settles else None
        self._include_running, self._writes = include_running, writes
        self.curves = Curves(snapshot.layout.home)
        self.lines = Spool(snapshot.layout.home)
        self.observed: list[Observation] = []

    def judge(self, row: int, state: TaskState) -> JudgedTask:
        """Judge a run.

        Args:
            row: Its place in the manifest.
        """
        if self._known and (settled := self._known.find(row, state)):
            return JudgedTask(state, (), Outcome.FINISHED, settled=settled)
        task = judge_task(self._layout, _fresh(state), include_running=self._include_running)
        self._observe(task)
        for attempt in task.attempts if self._writes else ():
            self.curves.add(row, attempt.state.number, attempt.results.series)
        if task.kept:
            return replace(task, kept=replace(task.kept, entry=self._whole_entries[state.task.task_id]))
        settled = self._settle(task)
        return replace(
            task,
            state=state if settled else task.state,
            attempts=() if settled else tuple(
                replace(each, results=each.results.without_curves(each.state.layout)) for each in task.attempts
            ),
            settled=settled,
        )  # fmt: skip

    def line(self, settled: Settled) -> bytes:
        """The line of a run that was settled now; empty for one that was before."""
        return self.lines.get(*settled.line) if settled.line else b""

    def lines_before(self) -> Iterator[bytes]:
        """The lines of the collection before, in the manifest's order; none where nothing of it stands."""
        return self._known.lines() if self._known else iter(())

    def stands(self, tasks: Sequence[JudgedTask], notes: Sequence[str]) -> bool:
        """Whether the collection before said all that is to be said; as `SettledRuns.stands`."""
        return self._known is not None and self._known.stands(len(tasks), notes)

    def keep(self, tasks: Iterable[JudgedTask], entries: Iterable[Entry], notes: Sequence[str], digest: str) -> None:
        """Keep for the next collection what this one settled.

        Args:
            entries: Every task as it was written, those that are settled in short.
            notes: As they were written.
            digest: Hash of the verdicts that were written.
        """
        if self._known:
            settled = {each.state.task.run_name: each.settled for each in tasks if each.settled}
            in_brief = [each if "decision" not in each else in_short(each) for each in entries]
            self._known.keep(settled, in_brief, notes, digest)

    def close(self) -> None:
        """Let go of all that was put down."""
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

    def _observe(self, task: JudgedTask) -> None:
        spec = self._spec
        if spec.batch is None:
            return
        parameters = shape_parameters({**spec.program.args, **task.state.task.parameters}, spec.batch.shape)
        for each in task.attempts:
            self.observed += observations_of(
                each.state.layout, each.state.record, each.verdict, each.results, parameters
            )

    def _settle(self, task: JudgedTask) -> Settled | None:
        """Put down what is said of a finished run; None for any other, and where not all of it can be said so."""
        if self._known is None or task.outcome is not Outcome.FINISHED or not task.attempts:
            return None
        record, results, values = task.attempts[-1].state.record, task.attempts[-1].results, final_values(task)
        is_whole = all(isfinite(value) for value in values.values()) and all(
            len(series.step) for each in task.attempts for series in each.results.series.values()
        )
        if record is None or not is_whole:
            return None
        entry: dict[str, Any] = describe_task(self._layout, task, values, None)
        entry |= answer_for(task, self._spec.check, self._manifest)
        line = line_of(entry)
        place = (self.lines.put(line), len(line))
        return Settled(in_short(entry), results.measures.last_step, place, tuple(record.metrics_source))


def _fresh(state: TaskState) -> TaskState:
    """The same state without records that were read of it, so that what is read of this one goes with it."""
    return replace(state, attempts=tuple(replace(attempt) for attempt in state.attempts))
