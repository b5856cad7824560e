"""Some of an experiment's tasks as an experiment of their own: those of the configurations that were sealed."""

from collections.abc import Sequence
from dataclasses import replace

from analysis.data.frame import ExperimentFrame


def added_rows(frame: ExperimentFrame) -> list[int]:
    """Rows of the configurations that the plan that counts does not name; none where all are of another program."""
    first = frame.sealed.counting
    if first is None or not frame.sealed.later:
        return []
    numbers = frame.tasks["configuration"].tolist()
    sealed = {number for number, key in zip(numbers, frame.tasks["task_id"], strict=True) if key in first.tasks}
    return [row for row, number in enumerate(numbers) if number not in sealed] if sealed else []


def sealed_part(frame: ExperimentFrame) -> ExperimentFrame:
    """The experiment without the configurations that were added after runs had begun."""
    added = set(added_rows(frame))
    return part_of(frame, [row for row in range(len(frame.tasks)) if row not in added]) if added else frame


def part_of(frame: ExperimentFrame, rows: Sequence[int]) -> ExperimentFrame:
    """Some tasks alone; curves are not among what it can be asked for.

    Args:
        rows: Rows of the tasks, in order.
    """
    place = {row: number for number, row in enumerate(rows)}
    tasks = frame.tasks.iloc[list(rows)].reset_index(drop=True)
    numbers = {old: new for new, old in enumerate(dict.fromkeys(tasks["configuration"].tolist()))}
    attempts = frame.attempts[frame.attempts["task"].isin(place)].reset_index(drop=True)
    return replace(
        frame,
        manifest={**frame.manifest, "tasks": [frame.manifest["tasks"][row] for row in rows]},
        tasks=tasks.assign(configuration=tasks["configuration"].map(numbers)),
        parameters=frame.parameters.iloc[list(rows)].reset_index(drop=True),
        values=frame.values.iloc[list(rows)].reset_index(drop=True),
        attempts=attempts.assign(task=attempts["task"].map(place)),
        ran=frame.ran.iloc[list(rows)].reset_index(drop=True),
        configurations=tuple(frame.configurations[old] for old in numbers),
        series_names=(),
    )
