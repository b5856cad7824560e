"""Records as rooms exchange them, with every required field filled in: tests change what they are about."""

from typing import Any

from hpc.core.experiment.program import Launch, Program
from hpc.core.records.exit import ExitRecord
from hpc.core.records.index import Code, Element, SubmissionIndex
from hpc.core.records.task import TaskRecord
from hpc.core.resources import Resources


def task_record(**changes: Any) -> TaskRecord:
    """One attempt of a task X1."""
    made = {
        "task_id": "000000000001", "run_name": "X1", "attempt": 1, "submission": 1, "job": "7_1",
        "restart_count": 0, "scheduler": "slurm", "started": 100.0, "resources": Resources(),
        "code": Code("/code", "cd" * 32),
    }  # fmt: skip
    return TaskRecord(**{**made, **changes})


def exit_record(**changes: Any) -> ExitRecord:
    """An end with exit code 0 after 60 seconds."""
    return ExitRecord(**{"exit_code": 0, "started": 100.0, "ended": 160.0, **changes})


def submission_index(**changes: Any) -> SubmissionIndex:
    """An array of one element, that of `task_record`."""
    element = Element("000000000001", "X1", {"x": 1}, 42, 1)
    made = {
        "experiment": "e", "manifest_sha": "ab" * 32, "submission": 1, "created": 50.0, "scheduler": "slurm",
        "program": Program(command="true"), "launch": Launch(), "resources": Resources(),
        "code": Code("/code", "cd" * 32), "entries": (element,),
    }  # fmt: skip
    return SubmissionIndex(**{**made, **changes})
