"""Real Slurm whose accounting hangs, and a person who cancels what Slurm has put back into the queue."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.conftest import Lab, Project

EXPERIMENT = """
name: {name}
type: comparison
program:
  command: "python3 sleeps.py {{x}}"
sweep:
  grid: {{x: [1, 2]}}
  seeds: [1]
metrics:
  primary: {{name: loss, goal: min}}
  source: {{stdout: 'loss: (?P<loss>\\S+)'}}
run_name: "X{{x}}"
resources: {{cpus: 1, mem: 100MB, time: "0:05:00"}}
"""
BOUND_S = 15 + 10
"""The stated bound of docs/site-limits.md, and what a Python takes to start on a busy machine."""


@contextmanager
def stopped(lab: Lab, daemon: str) -> Iterator[None]:
    """Stop a daemon so that it hangs: it accepts connections and answers nothing."""
    pid = int((Path(lab.environment["LAB"]) / f"run/{daemon}.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def planned(project: Project, name: str) -> None:
    (project.folder / "sleeps.py").write_text("import time\nprint('loss: 1', flush=True)\ntime.sleep(120)\n")
    project.write_experiment(name, EXPERIMENT.format(name=name))
    project.hpc("plan", name)


@pytest.mark.cluster
def test_accounting_that_hangs_is_an_outage_and_stops_no_first_submission(project: Project) -> None:
    """SIGSTOP of slurmdbd: submitted within the bound; then status shows folder and queue with 75, collect says 75."""
    planned(project, "outage")
    with stopped(project.lab, "slurmdbd"):
        took = []
        for verb, expect in (("submit", 0), ("status", 75), ("collect", 75), ("submit", 75)):
            began = time.monotonic()
            told = project.hpc(verb, "outage", expect=expect)
            took.append(time.monotonic() - began)
            if verb == "status":
                assert "2 tasks = " in told
                assert "planned" not in told
    assert max(took) < BOUND_S, took
    project.lab.wait_until(lambda: project.json("status", "outage")["outcomes"]["running"] == 2, 60, "both to run")
    project.lab.run(["scancel", "--name=outage"])
    project.lab.wait_idle(60, "outage")


@pytest.mark.cluster
def test_scancel_after_a_requeue_is_the_last_word(project: Project) -> None:
    """Both elements ran and were requeued; the array is cancelled while it waits: collector and follower let it be."""
    planned(project, "recalled")
    job = project.json("submit", "recalled", expect=0)["jobs"]["1"]
    first = [project.runs / f"recalled/tasks/X{x}/attempt-1/task.json" for x in (1, 2)]
    project.lab.wait_until(lambda: all(path.exists() for path in first), 60, "both to begin")
    project.lab.run(["scontrol", "requeue", job])
    state = ["squeue", "-h", "--array", "--name=recalled", "-o", "%T"]
    project.lab.wait_until(lambda: project.lab.run(state).split() == ["PENDING"] * 2, 60, "both to wait again")
    project.lab.run(["scancel", job])
    project.lab.wait_idle(60, "recalled")
    for _ in range(2):  # at once, before sacct knows, and when it does
        answer = project.json("collect", "recalled", "--retry-failed", expect=1)
        assert (answer["jobs"], answer["failures"]) == ({}, {"cancelled": 2})
        time.sleep(3)
    followed = project.json("follow", "recalled", expect=1)
    assert (followed["course"], followed["jobs"]) == ("ended", {})
    assert len(list((project.runs / "recalled/submissions").iterdir())) == 1
