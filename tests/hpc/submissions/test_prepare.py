"""Intent, sbatch, receipt: what each answer of Slurm leaves; pretended clients where a real one cannot be provoked."""

import json
import os
import stat
import time
from pathlib import Path

import pytest

from tests.local_projects import LocalProject, make_project

IMPATIENT = """
import runpy, sys
from hpc.adapters import slurm_client as client
client.PATIENCE_S, client.PING_S, client.QUICK_S = client.PATIENCE_S / 10, client.PING_S / 10, client.QUICK_S / 10
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
BOUND_S = 15 / 10 + 8
"""A tenth of the stated bound for a daemon that hangs, and what a Python takes to start on a busy machine."""


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


UNCLEAR = [
    "echo 'sbatch: error: Batch job submission failed: Unexpected message received' >&2; exit 1",
    "echo 'sbatch: error: Batch job submission failed: Resource temporarily unavailable' >&2; exit 1",
    "printf '\\377\\n../../x\\n9_[0-5000000]\\n'",
]


@pytest.mark.parametrize("answer", UNCLEAR)
def test_an_unclear_answer_keeps_the_intent_and_sends_no_array_twice(project, answer):
    """Slurm took the job and its answer was lost on the way: 75, and the next call finds it, and sends no other."""
    client(project, "sbatch", answer)
    project.hpc("submit", "tiny", expect=75)
    assert left(project) == {"intent.json"}
    script = (project.runs / "tiny/submissions/001/array.sbatch").read_text()
    comment = script.split("--comment=")[1].split()[0]
    client(project, "squeue", f"printf '\\377\\n'; echo '9_[0-5000000]|9|PENDING|None||{comment}'; "
                              f"echo '9_0|10|RUNNING|None|n1|{comment}'")  # fmt: skip
    client(project, "sbatch", "echo 10")
    tried = len(calls(project, "sbatch"))
    assert project.json("submit", "tiny")["jobs"] == {"1": "9"}
    assert len(calls(project, "sbatch")) == tried


def while_accounting_hangs(project: LocalProject, verb: str, expect: int) -> str:
    """Run a command while everything that asks slurmdbd hangs, with a tenth of our patience; return what it says."""
    client(project, "sacct", "exec sleep 600")
    client(project, "sacctmgr", "exec sleep 600")
    began = time.monotonic()
    done = project.call("-c", IMPATIENT, f"hpc.{verb}", "tiny")
    assert time.monotonic() - began < BOUND_S
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_first_submission_needs_no_accounting(project):
    """slurmdbd hangs: what was never submitted is submitted all the same, once, within the stated bound."""
    client(project, "sbatch", "echo 7")
    assert "job 7" in while_accounting_hangs(project, "submit", expect=0)
    assert left(project) == {"intent.json", "receipt.json"}


def test_a_hung_accounting_is_an_outage(project):
    """slurmdbd hangs while a job runs: status shows folder and queue, submit says 75; soon, and without harm."""
    client(project, "sbatch", "echo 7")
    project.hpc("submit", "tiny")
    comment = (project.runs / "tiny/submissions/001/array.sbatch").read_text().split("--comment=")[1].split()[0]
    client(project, "squeue", f"echo '7_0|8|PENDING|Priority||{comment}'")
    tried = len(calls(project, "sbatch"))
    told = while_accounting_hangs(project, "status", expect=75)
    assert "2 pending" in told
    assert "higher priority" in told
    assert "sacct did not answer" in told
    assert "sacct did not answer" in while_accounting_hangs(project, "submit", expect=75)
    assert len(calls(project, "sbatch")) == tried


def test_one_question_each_whatever_the_size(project):
    """status asks sacct once and squeue once."""
    before = [len(calls(project, name)) for name in ("sacct", "squeue")]
    project.hpc("status", "tiny")
    assert [len(calls(project, name)) for name in ("sacct", "squeue")] == [count + 1 for count in before]
    assert "--duplicates" in calls(project, "sacct")[-1]
    assert "--array" in calls(project, "squeue")[-1]
