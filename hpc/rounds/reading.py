"""Reading and judging one run: all that is said of it, from its own files. What many processes do side by side.

Nothing is written and nothing remembered here, so that a run may be read anywhere and twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from hpc.adapters.collected_file import Entry
from hpc.adapters.verdict_lines import line_of
from hpc.core.experiment.spec import ExperimentSpec
from hpc.core.failures.outcomes import Outcome
from hpc.core.layout import RunLayout
from hpc.core.retry.learned import Observation, shape_parameters
from hpc.rounds.checked import answer_for
from hpc.rounds.judge import JudgedTask, final_values, judge_task
from hpc.snapshots.measured import observations_of
from hpc.snapshots.remembered import in_short
from hpc.snapshots.states import TaskState

if TYPE_CHECKING:
    from hpc.adapters.curves import Packed


@dataclass(frozen=True)
class Said:
    """What is said of a finished run once and for all.

    Attributes:
        entry: Its task of ``verdicts.json`` in short.
        line: The same in full, as a line.
        last_step: Highest step of its last attempt; None where it logged none.
        source: Where the metrics of its last attempt were read.
    """

    entry: Entry
    line: bytes
    last_step: int | None
    source: tuple[str, ...]


@dataclass(frozen=True)
class Read:
    """A run, read.

    Attributes:
        found: With its verdicts; or, of a finished run, all that will be asked of it.
        stands: Whether the verdicts stand for as long as the files do.
        curves: Attempt → metric → curve; none where nobody wants them.
        observed: What its attempts showed of micro-batches.
    """

    found: JudgedTask | Said
    stands: bool
    curves: Mapping[int, Mapping[str, Packed]]
    observed: tuple[Observation, ...]


@dataclass(frozen=True)
class Reader:
    """What reads runs of an experiment.

    Attributes:
        layout: Where they are.
        spec: What was planned.
        told: Of the manifest, `spec` as it stands there.
        settles: Whether of a finished run no more is to be held than what is said of it.
        include_running: Read the metrics of what runs, too.
        wants_curves: Whether anybody will ask for them.
    """

    layout: RunLayout
    spec: ExperimentSpec
    told: Mapping[str, Any]
    settles: bool
    include_running: bool
    wants_curves: bool

    def read(self, state: TaskState) -> Read:
        """Read a run and judge it."""
        from hpc.adapters.curves import pack  # here: where nothing is new, nothing is read

        task = judge_task(self.layout, _fresh(state), include_running=self.include_running)
        curves = {
            each.state.number: pack(each.results.series)
            for each in task.attempts if self.wants_curves and each.results.series
        }  # fmt: skip
        said = self._said(task)
        is_told = all(each.state.end is not None for each in task.attempts)  # not a success whose end nobody wrote down
        return Read(said or _lean(task), is_told or not said, curves, tuple(self._observed(task)))

    def _observed(self, task: JudgedTask) -> Iterator[Observation]:
        if self.spec.batch is None:
            return
        parameters = shape_parameters({**self.spec.program.args, **task.state.task.parameters}, self.spec.batch.shape)
        for each in task.attempts:
            yield from observations_of(each.state.layout, each.state.record, each.verdict, each.results, parameters)

    def _said(self, task: JudgedTask) -> Said | None:
        """What is said of a finished run; None for any other, and where not all of it can be said so."""
        if not self.settles or task.kept or task.outcome is not Outcome.FINISHED or not task.attempts:
            return None
        record, results, values = task.attempts[-1].state.record, task.attempts[-1].results, final_values(task)
        is_whole = all(isfinite(value) for value in values.values()) and all(
            len(series.step) for each in task.attempts for series in each.results.series.values()
        )
        if record is None or not is_whole:
            return None
        from hpc.rounds.describe import describe_task

        entry: dict[str, Any] = describe_task(self.layout, task, values, None)
        entry |= answer_for(task, self.spec.check, {"spec": self.told})
        return Said(in_short(entry), line_of(entry), results.measures.last_step, tuple(record.metrics_source))


def _lean(task: JudgedTask) -> JudgedTask:
    """The same without the curves, which are put down elsewhere; of one of which something is kept, with them."""
    if task.kept is not None:
        return task
    lean = (replace(each, results=each.results.without_curves(each.state.layout)) for each in task.attempts)
    return replace(task, attempts=tuple(lean))


def _fresh(state: TaskState) -> TaskState:
    """The same state without records that were read of it, so that what is read of this one goes with it."""
    return replace(state, attempts=tuple(replace(attempt) for attempt in state.attempts))
