"""What `why` says would be done about one task: the plan of `collect`, with its numbers."""

import json
from pathlib import Path

import pytest

from tests.local_projects import EXPERIMENT, LocalProject, copy_project, make_project

NEEDY = EXPERIMENT.replace("{seed}", "{micro_batch_size}").replace(
    "resources:", "batch: {global: 16, micro: 8, parameter: micro_batch_size}\nretry: {max_attempts: 3}\nresources:"
)
PROGRAM = """
import sys
if sys.argv[1] == "2":
    raise TypeError("a fault of the program")
if int(sys.argv[2]) > 4:
    raise MemoryError("too large")
print(f"loss: {float(sys.argv[1]) / 2}")
"""


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """A project whose first task ran out of memory and whose second has a fault."""
    project = make_project(tmp_path_factory.mktemp("deciding") / "project", NEEDY, PROGRAM)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", expect=1)
    return project


@pytest.fixture
def project(failed: LocalProject, tmp_path: Path) -> LocalProject:
    """A copy to go on with."""
    return copy_project(failed.folder, tmp_path / "project")


def test_the_planned_retry_is_named_with_its_numbers(project: LocalProject) -> None:
    """A task's `why` says what `collect --retry-failed` would change, and plans exactly that."""
    given = project.json("why", "X1")
    assert given["category"] == "oom_gpu"
    assert given["decision"]["kind"] == "retry"
    assert given["decision"]["attempt"] == 2
    planned = project.json("collect", "tiny", expect=1)["retry"]
    assert given["decision"]["changes"][:2] == planned[0]["changes"]
    assert planned[0]["changes"][0].startswith("micro_batch 8 → 4")
    assert "micro_batch 8 → 4" in project.hpc("why", "X1")


def test_a_task_that_is_not_tried_again_says_why(project: LocalProject) -> None:
    """A fault of the program is declined with its reason; `why` changes nothing in the run folder."""
    before = sorted(str(path) for path in project.runs.rglob("*"))
    given = project.json("why", "X2")
    assert (given["category"], given["decision"]["kind"], given["decision"]["attempt"]) == (
        "code_bug",
        "declined",
        None,
    )
    assert given["decision"]["reason"]
    assert sorted(str(path) for path in project.runs.rglob("*")) == before


def test_an_earlier_attempt_says_what_followed(project: LocalProject) -> None:
    """After the retry the first attempt names the second and its changes, and the task has its result."""
    project.hpc("collect", "tiny", "--retry-failed")
    first = project.json("why", str(project.attempt("X1", 1)))
    assert (first["decision"]["kind"], first["decision"]["attempt"]) == ("followed", 2)
    assert first["decision"]["changes"][0].startswith("micro_batch 8 → 4")
    assert project.json("why", "X1")["decision"]["kind"] == "finished"


def test_an_attempt_without_a_record_of_its_end_is_open(project: LocalProject) -> None:
    """Nothing is planned for an attempt that may still run."""
    attempt = project.attempt("X1")
    (attempt / "exit.json").unlink()
    record = json.loads((attempt / "task.json").read_text())
    (attempt / "task.json").write_text(json.dumps({**record, "scheduler": "slurm", "job": "1_0"}))
    assert project.json("why", str(attempt))["decision"]["kind"] == "open"


def test_assumptions_on_the_command_line_are_answered_by_the_class(project: LocalProject) -> None:
    """With --state the plan, which knows another state, is not quoted."""
    given = project.json("why", "X1", "--state", "PREEMPTED")
    assert (given["category"], given["decision"]) == ("preempted", None)
    assert given["retry"]["action"] == "resume"
