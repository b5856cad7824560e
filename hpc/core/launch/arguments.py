"""What a program is given: its arguments by name, and its command line with the places of its run.

The wrapper on the node and the rehearsal of a plan ask here, so that what is shown is what runs.
"""

from collections.abc import Sequence
from typing import Any

from hpc.core.experiment.placeholders import RUN
from hpc.core.launch.program import CONFIG, command_argv, program_argv
from hpc.core.layout import TaskLayout
from hpc.core.records.index import Element, SubmissionIndex, Used


def arguments_of(index: SubmissionIndex, entry: Element) -> dict[str, Any]:
    """Return the program's arguments by name; what a retry overrides wins, then the batch sizes of this attempt."""
    arguments = {**index.program.args, **entry.parameters, "seed": entry.seed, **entry.overrides}
    if index.batch:
        arguments[index.batch.parameter] = entry.micro_batch
        arguments[index.batch.accumulation_parameter] = entry.accumulation
    return arguments


def task_argv(
    index: SubmissionIndex,
    entry: Element,
    task: TaskLayout,
    number: int,
    resume_from: str = "",
    uses: Sequence[Used] = (),
) -> tuple[str, ...]:
    """Return the program's argument list; a command may also name places of this run, and of runs it starts from.

    Args:
        number: Of the attempt.
        resume_from: Path of the checkpoint it goes on from; empty for a start from nothing.
        uses: The runs it starts from; one that is not there stands as it was written, ``{run:train}``.
    """
    if index.program.command is None:
        return program_argv(index.program, arguments_of(index, entry))
    return program_argv(index.program, _values(index, entry, task, number, resume_from) | _runs(entry, uses))


def _runs(entry: Element, uses: Sequence[Used]) -> dict[str, Any]:
    """What ``{run:train}`` stands for; nothing where the task starts from no run."""
    if not entry.sources:
        return {}
    found = {used.experiment: used.path for used in uses}
    return {RUN: {each.experiment: f"{{{RUN}:{each.experiment}}}" for each in entry.sources} | found}


def task_files(
    index: SubmissionIndex,
    entry: Element,
    task: TaskLayout,
    number: int,
    resume_from: str,
    uses: Sequence[Used] = (),
) -> dict[str, str]:
    """Return the files that are written into the working folder: path in it → text."""
    config = index.program.config
    if config is None:
        return {}
    from hpc.core.launch.config_file import written  # here: most programs have none

    return {config.file: written(config, _values(index, entry, task, number, resume_from) | _runs(entry, uses))}


def check_argv(index: SubmissionIndex, entry: Element, task: TaskLayout, number: int) -> tuple[str, ...]:
    """Return the argument list of the acceptance check; empty where there is none to run."""
    if index.check is None:
        return ()
    return command_argv(
        index.check.command, _values(index, entry, task, number), index.program.booleans, index.program.optional
    )


def sanity_argv(
    index: SubmissionIndex, entry: Element, task: TaskLayout, number: int, argv: Sequence[str]
) -> tuple[str, ...]:
    """Return the argument list of the ladder before a canary: the program's own, and its words; empty where none is.

    Args:
        argv: The program's own.
    """
    if index.sanity is None:
        return ()
    values = _values(index, entry, task, number)
    return (*argv, *command_argv(index.sanity.words, values, index.program.booleans, index.program.optional))


def _values(
    index: SubmissionIndex, entry: Element, task: TaskLayout, number: int, resume_from: str = ""
) -> dict[str, Any]:
    """What a command's placeholders stand for."""
    attempt, config = task.attempt(number), index.program.config
    return {
        **({CONFIG: str(attempt.work / config.file)} if config else {}),
        **arguments_of(index, entry),
        "run_name": entry.run_name,
        "experiment": index.experiment,
        "task_id": entry.task_id,
        "out_dir": str(task.home),
        "task_dir": str(task.home),
        "attempt_dir": str(attempt.home),
        "task_json": str(attempt.task_json),
        "case": entry.case or "",
        "id": entry.case or "",
        "resume_from": resume_from,
    }
