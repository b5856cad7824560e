"""Intent, sbatch, receipt: what each answer of Slurm leaves; pretended clients where a real one cannot be provoked."""

import json
import os
import stat
from pathlib import Path

import pytest

from tests.local_projects import LocalProject, make_project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalProject:
    """A project planned for a Slurm whose clients answer as the test says."""
    made = make_project(tmp_path / "project")
    monkeypatch.setenv("PATH", f"{made.folder / 'bin'}:{os.environ['PATH']}")
    (made.folder / "bin").mkdir()
    for name in ("squeue", "sacct"):
        client(made, name, "exit 0")
    client(made, "sbatch", "exit 0")
    made.hpc("plan", "tiny", "--cluster", "slurm")
    return made


def client(project: LocalProject, name: str, script: str) -> None:
    """Pretend a Slurm client that also counts its calls."""
    path = project.folder / "bin" / name
    path.write_text(f'#!/bin/sh\necho "$@" >> {project.folder}/{name}.calls\n{script}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def calls(project: LocalProject, name: str) -> list[str]:
    log = project.folder / f"{name}.calls"
    lines = log.read_text().splitlines() if log.exists() else []
    return [line for line in lines if "--test-only" not in line]


def left(project: LocalProject) -> set[str]:
    folder = project.runs / "tiny/submissions/001"
    return {name for name in ("intent.json", "receipt.json") if (folder / name).exists()}


def test_a_refusal_takes_the_intent_back(project):
    """sbatch says no: exit 1 with Slurm's words, no intent; once the cause is gone the same command submits."""
    client(project, "sbatch", "echo 'sbatch: error: invalid account or qos' >&2; exit 1")
    assert "invalid account or qos" in project.hpc("submit", "tiny", expect=1)
    assert left(project) == set()
    client(project, "sbatch", "echo 7")
    assert project.json("submit", "tiny")["jobs"] == {"1": "7"}
    assert left(project) == {"intent.json", "receipt.json"}


def test_no_answer_keeps_the_intent_and_is_looked_for(project):
    """sbatch could not reach its daemon, which may have taken the job: 75; the next call finds it by its comment."""
    client(project, "sbatch", "echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1")
    assert "try again" in project.hpc("submit", "tiny", expect=75)
    assert left(project) == {"intent.json"}
    script = (project.runs / "tiny/submissions/001/array.sbatch").read_text()
    comment = script.split("--comment=")[1].split()[0]
    client(project, "squeue", f"echo '9_0|10|RUNNING|None|n1|{comment}'")
    tried = len(calls(project, "sbatch"))
    assert project.json("submit", "tiny")["jobs"] == {"1": "9"}
    assert len(calls(project, "sbatch")) == tried
    receipt = json.loads((project.runs / "tiny/submissions/001/receipt.json").read_text())
    assert receipt["adopted"] is True


def test_a_job_that_slurm_forgot_is_known_by_what_its_tasks_left(project):
    """No queue, no accounting, but a claimed attempt: its job is adopted, and nothing is submitted again."""
    client(project, "sbatch", "echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1")
    project.hpc("submit", "tiny", expect=75)
    intent = project.runs / "tiny/submissions/001/intent.json"
    intent.write_text(intent.read_text().replace('"time": ', '"time": 0, "was": '))  # long ago
    index = project.runs / "tiny/submissions/001/index.json"
    done = project.call(
        "-m", "hpc.run_task", str(index), "0", SLURM_JOB_ID="12", SLURM_ARRAY_JOB_ID="11", SLURM_ARRAY_TASK_ID="0"
    )
    assert done.returncode == 0, done.stderr
    tried = len(calls(project, "sbatch"))
    assert project.json("submit", "tiny")["jobs"] == {"1": "11"}
    assert len(calls(project, "sbatch")) == tried


def test_one_question_each_whatever_the_size(project):
    """status asks sacct once and squeue once."""
    before = [len(calls(project, name)) for name in ("sacct", "squeue")]
    project.hpc("status", "tiny")
    assert [len(calls(project, name)) for name in ("sacct", "squeue")] == [count + 1 for count in before]
    assert "--duplicates" in calls(project, "sacct")[-1]
    assert "--array" in calls(project, "squeue")[-1]
