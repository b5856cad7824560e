"""Which execution of which job belongs to which attempt: pure joins of Slurm's words with the attempts' records."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import ClassVar

from hpc.core.immutable import immutable
from hpc.core.records.record import Record
from hpc.core.slurm.states import SlurmState

MAX_ELEMENTS = 100_000
"""Most elements of one array: ours are never longer, so no answer can name more of them."""

Executions = Mapping[str, tuple["JobRow", ...]]
"""Job (``12_3``) → its executions, oldest first: one, and one more for each time Slurm put it back into the queue."""


@dataclass(frozen=True)
class JobRow:
    """One execution of one array element (or job) as Slurm tells it.

    Attributes:
        job: ``12_3``, or ``12`` for a job that is no array.
        raw_id: Slurm's own number of this element.
        state: What Slurm says.
        reason: squeue's reason; sacct has none worth reading.
        comment: As given to sbatch; empty where accounting does not keep it.
        exit_code: Exit code of the batch script; None while it runs.
        signal: Signal that ended it; 0 for none.
        submitted, started, ended: Unix seconds; None when it has not happened.
        elapsed_s: Seconds it held its nodes.
        node: Node list.
        time_limit_s: Seconds granted.
        peak_memory_mib: Largest resident memory of any step.
        steps: State of each step, by its name (``batch``, ``extern``, ``0``).
    """

    job: str
    raw_id: str
    state: SlurmState
    reason: str = ""
    comment: str = ""
    exit_code: int | None = None
    signal: int | None = None
    submitted: float | None = None
    started: float | None = None
    ended: float | None = None
    elapsed_s: float | None = None
    node: str = ""
    time_limit_s: float | None = None
    peak_memory_mib: float | None = None
    steps: Mapping[str, SlurmState] = field(default_factory=dict)


@immutable
class CancelledElements(Record):
    """``cancelled.json`` of a submission: elements somebody cancelled before they began, as Slurm told it.

    Attributes:
        elements: The attempt an element would have been, such as ``X1/attempt-2`` → Slurm's row.
    """

    kind: ClassVar[str] = "cancelled"

    elements: Mapping[str, JobRow]


_REFUSED = "launch failed requeued held"
_JOB = re.compile(r"[1-9][0-9]{0,9}(?:_[0-9]{1,7})?")
_FOLDED = re.compile(r"([1-9][0-9]{0,9})_\[([0-9:,-]+)(?:%[0-9]+)?\]")
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([0-9]{1,9}))?)?")
_MARK = re.compile(r"[0-9a-f]{16}/\d{3,}")


def is_refused_launch(reason: str) -> bool:
    """Whether Slurm itself holds a job because a node could not launch it, and no person does."""
    # squeue writes blanks where scontrol writes underscores
    return reason.replace("_", " ").lower().startswith(_REFUSED)


def was_refused(row: JobRow) -> bool:
    """Whether this may be a job that sbatch was refused: nobody got its id, and Slurm keeps it as one that failed.

    It asked for what no node has. squeue gives that reason; in accounting it ended in the second it was submitted. A
    job that was taken may end so, too, hours later: that one has a receipt.
    """
    is_at_once = row.ended is not None and row.submitted == row.started == row.ended
    has_begun = bool(row.node or row.steps)
    return row.state is SlurmState.FAILED and not has_begun and (is_at_once or row.reason == "BadConstraints")


def may_bear(comment: str, mark: str) -> bool:
    """Whether a job with our id and this comment can be the one that was given `mark` as its comment.

    Many sites drop comments and some write their own; only another mark of ours tells that an id was given again.
    """
    return comment == mark or not _MARK.fullmatch(comment)


def job_name_of(experiment: str) -> str:
    """Name an experiment's jobs: squeue and sacct read a comma as the end of one name and the beginning of another."""
    return experiment.replace(",", ".")


def join_rows(accounting: Iterable[JobRow] | None, queue: Iterable[JobRow]) -> dict[str, tuple[JobRow, ...]]:
    """Join sacct's history with squeue's present.

    sacct lags up to seconds and its early rows can be wrong; squeue forgets soon. So squeue decides about what waits or
    runs, sacct about what is over.
    """
    history: dict[str, list[JobRow]] = defaultdict(list)
    for row in accounting or ():
        history[row.job].append(row)
    for now in queue:
        rows = history[now.job]
        if not rows or (rows[-1].state.is_finished and _is_later(rows[-1], now)):
            rows.append(now)
        elif not rows[-1].state.is_finished:
            # The comment is kept: many sites do not keep it in accounting.
            rows[-1] = replace(rows[-1], state=now.state, reason=now.reason, comment=now.comment or rows[-1].comment)
        else:
            rows[-1] = replace(rows[-1], comment=now.comment or rows[-1].comment)
    return {job: tuple(rows) for job, rows in history.items()}


def _is_later(last: JobRow, now: JobRow) -> bool:
    """Whether squeue tells of a later execution than the one that is over to sacct.

    COMPLETING is that one's own end. What was cancelled while it waited to begin again comes to sacct seconds later.
    """
    if now.state is SlurmState.CANCELLED:
        return last.state is not SlurmState.CANCELLED
    return not now.state.is_finished and now.state is not SlurmState.COMPLETING


def is_job(text: object) -> bool:
    """Whether something is the id of a job (``12``) or of an element (``12_3``), and so may name a file or a job."""
    return isinstance(text, str) and bool(_JOB.fullmatch(text))


def expand_elements(job: str) -> list[str]:
    """Name the elements of an array that sacct keeps as one row: ``12_[0-2,7%4]`` is 12_0, 12_1, 12_2 and 12_7.

    A job that is no array is itself. Positions from `MAX_ELEMENTS` on are left out, and what is no job names none.
    """
    folded = _FOLDED.fullmatch(job)
    if not folded:
        return [job] if is_job(job) else []
    array, positions = folded.groups()
    found = chain.from_iterable(_positions(part) for part in positions.split(","))
    return [f"{array}_{position}" for position in islice(found, MAX_ELEMENTS)]


def _positions(part: str) -> range:
    """The positions of ``7``, ``0-6`` or ``0-6:2``; none where it is nothing of these."""
    match = _RANGE.fullmatch(part)
    if not match:
        return range(0)
    first, last, step = match.groups()
    return range(int(first), min(int(last or first) + 1, MAX_ELEMENTS), int(step or 1) or 1)


def fold_elements(jobs: Iterable[str]) -> list[str]:
    """Name jobs in as few words as Slurm's commands take: 12_0, 12_1, 12_2 and 7 are ``7`` and ``12_[0-2]``."""
    positions: dict[str, set[int]] = {}
    for job in jobs:
        array, _, position = job.partition("_")
        found = positions.setdefault(array, set())
        if position:
            found.add(int(position))
    return [
        f"{array}_[{_render_ranges(found)}]" if found else array
        for array, found in sorted(positions.items(), key=lambda item: (len(item[0]), item[0]))
    ]


def _render_ranges(numbers: Iterable[int]) -> str:
    """Write 0, 1, 2 and 7 as ``0-2,7``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ",".join("-".join(map(str, run)) for run in runs)


def of_submission(executions: Executions, comment: str) -> list[str]:
    """Array job ids that carry a submission's comment, as ``12``; job ids are given again, comments are not.

    Those that sbatch was refused are left out.
    """
    bearing = (job for job, rows in executions.items() if any(_is_taken(row, comment) for row in rows))
    return sorted({job.split("_")[0] for job in bearing})


def _is_taken(row: JobRow, comment: str) -> bool:
    return row.comment == comment and not was_refused(row)


def share_of(row: JobRow, started: float) -> JobRow:
    """What a row says of one of the tasks that shared its element: not what they used together, nor its exit code.

    Args:
        started: Unix time at which that task began.
    """
    elapsed_s = max(0.0, row.ended - started) if row.ended else None
    return replace(
        row, started=started, elapsed_s=elapsed_s, exit_code=None, time_limit_s=None, peak_memory_mib=None, steps={}
    )


def execution_of(rows: Sequence[JobRow], restart_count: int, *, is_newest: bool) -> JobRow | None:
    """Pick the execution an attempt ran in: the n-th restart is the n-th row after the first.

    Args:
        rows: Executions of its job, oldest first.
        restart_count: How often Slurm had put the element back when the attempt began.
        is_newest: Whether no later attempt ran in the same job. Without accounting only one row of a job is known,
            and it is the newest execution's; where accounting lags, the one that it tells is the first's.
    """
    if restart_count < len(rows) and (is_newest or len(rows) > 1 or rows[0].submitted is not None):
        return rows[restart_count]
    return rows[-1] if len(rows) == 1 and is_newest else None
