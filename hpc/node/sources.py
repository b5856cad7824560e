"""What an attempt starts from, looked up when it starts: the finished runs of other experiments, and whether they are
still what they were. Standard library only: the wrapper on the compute node imports it.
"""

from collections.abc import Iterator
from pathlib import Path

from hpc.adapters.files import readable_record
from hpc.adapters.finished_run import NotFinishedError, find_finished
from hpc.core.layout import RunLayout, TaskLayout, attempt_number
from hpc.core.records.index import Source, Used
from hpc.core.records.task import TaskRecord


def look_up(
    sources: tuple[Source, ...], layout: RunLayout, task: TaskLayout, resume_from: str
) -> tuple[tuple[Used, ...], tuple[str, ...]]:
    """Find the runs an attempt starts from.

    Args:
        resume_from: The checkpoint it goes on from: what that was made with must be there unchanged.

    Returns:
        What was found, and why the program may not be started; none where it may.
    """
    found, objections = list[Used](), list[str]()
    for source in sources:
        name = f"{source.experiment}/{source.run_name}"
        try:
            used = find_finished(layout.root, source)
        except NotFinishedError as error:
            objections.append(f"it needs the run {name}, which {error}")
            continue
        found.append(used)
        if source.digest and used.digest != source.digest:
            objections.append(f"the run {name} has changed since this task was submitted")
        objections += _changed_since(used, task, resume_from)
    return tuple(found), tuple(objections)


def _changed_since(used: Used, task: TaskLayout, resume_from: str) -> Iterator[str]:
    """Say that the checkpoint it goes on from was made with something else."""
    numbers = [attempt_number(part) for part in Path(resume_from).parts] if resume_from else []
    if not (number := next(filter(None, reversed(numbers)), None)):
        return
    record = readable_record(task.attempt(number).task_json, TaskRecord)
    for before in record.uses if record else ():
        is_same = (before.experiment, before.run_name) == (used.experiment, used.run_name)
        if is_same and before.digest != used.digest:
            yield (
                f"the run {used.experiment}/{used.run_name} is not what attempt {number}, from whose checkpoint it "
                "would go on, was made with"
            )
