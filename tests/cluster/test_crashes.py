"""Kill -9 at every moment that matters, on real Slurm: the next command goes on; nothing is lost or doubled."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hpc.core.errors import InputError
from hpc.metrics import read
from tests.cluster.conftest import REPO, Project
from tests.local_projects import family

FAKES = REPO / "tests/fakes"

HEALS = """
import sys
part, micro_batch = int(sys.argv[1]), int(sys.argv[2])
if part < 3 and micro_batch > 4:
    bytearray(1 << 60)  # the allocator's own error
print(f"loss: {part}")
"""

EXPERIMENT = """
name: {name}
type: comparison
program:
  command: "{program}"
sweep:
  grid: {{part: [{parts}]}}
  seeds: [1]
metrics:
  primary: {{name: loss, goal: min}}
  {source}
run_name: "P{{part}}"
resources: {{cpus: 1, mem: 200MB, time: "0:10:00"}}
batch: {{global: 8, micro: 8}}
container: {{{container}}}
"""
STDOUT = "source: {stdout: 'loss: (?P<loss>\\S+)'}"


def plan(
    project: Project, name: str, program: str, text: str, parts: int = 4, source: str = STDOUT, container: str = ""
) -> None:
    """Write a program and its experiment, and plan."""
    file = f"{name}.py"
    (project.folder / file).write_text(text)
    listed = ", ".join(map(str, range(1, parts + 1)))
    project.write_experiment(
        name,
        EXPERIMENT.format(
            name=name, program=program.format(file=file), parts=listed, source=source, container=container
        ),
    )
    project.hpc("plan", name)


HEALS_LINE = "python3 {file} {{part}} {{micro_batch_size}} {{gradient_accumulation_steps}}"


def call(project: Project, *command: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a command line in the project, whatever it ends with."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=project.folder,
        env={**project.lab.environment, "PYTHONPATH": str(REPO), **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def call_with_deadly_sbatch(project: Project, moment: str, *command: str) -> None:
    """Run a command that is killed by the sbatch it calls."""
    path = f"{FAKES / 'bin'}:{project.lab.environment['PATH']}"
    done = call(project, "-m", *command, PATH=path, KILL_CALLER=moment)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


def kill_everywhere(project: Project, *command: str) -> int:
    """Run a command, killed before its 1st, 2nd, … act, until one run lives to its end; return how many were killed."""
    for moment in range(1, 100):
        done = call(project, str(FAKES / "killed.py"), str(moment), *command)
        if done.returncode != -signal.SIGKILL:
            assert done.returncode in (0, 1, 3), done.stdout + done.stderr
            assert "Traceback" not in done.stderr, done.stderr
            return moment - 1
    raise AssertionError("never done")


def jobs_of(project: Project, name: str) -> list[str]:
    """Every array Slurm was ever given under a name."""
    rows = project.lab.run(["sacct", "-X", "-n", "-P", "--name", name, "-S", "now-1hour", "-o", "JobID"]).split()
    rows += project.lab.run(["squeue", "-h", "-r", "--states=all", "--name", name, "-o", "%i"]).split()
    return sorted({row.split("_")[0] for row in rows})


def check_all_healed(project: Project, name: str) -> None:
    """Parts 1 and 2 needed exactly two attempts, the others exactly one, and every number is there."""
    tasks = project.verdicts(name)
    assert {run: [each["verdict"]["category"] for each in task["attempts"]] for run, task in tasks.items()} == {
        "P1": ["oom_gpu", "success"],
        "P2": ["oom_gpu", "success"],
        "P3": ["success"],
        "P4": ["success"],
    }
    assert {run: task["summary"]["loss"] for run, task in tasks.items()} == {f"P{part}": part for part in range(1, 5)}
    assert {task["attempts"][-1]["micro_batch"] for run, task in tasks.items() if run in ("P1", "P2")} == {4}


@pytest.mark.cluster
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_sbatch(project: Project, moment: str) -> None:
    """Submit, and later the collector, die right before or after Slurm takes the job: adopted or repeated, once."""
    name = f"{moment}_sbatch"
    plan(project, name, HEALS_LINE, HEALS)
    call_with_deadly_sbatch(project, moment, "hpc.submit", name)
    assert len(jobs_of(project, name)) == (moment == "after")

    answer = project.json("submit", name, expect=0)
    assert list(answer["jobs"]) == ["1"]
    assert jobs_of(project, name) == [answer["jobs"]["1"]]
    receipt = json.loads((project.runs / name / "submissions/001/receipt.json").read_text())
    assert receipt["adopted"] is (moment == "after")
    assert project.hpc("submit", name, expect=3) == ""
    project.lab.wait_idle(60, name)

    call_with_deadly_sbatch(project, moment, "hpc.collect", name, "--retry-failed")
    project.collect_until_done(name)
    assert len(jobs_of(project, name)) == 2
    check_all_healed(project, name)


@pytest.mark.cluster
def test_killed_at_any_moment(project: Project) -> None:
    """Submit and then the collector die before every rename and every program they start: one array each in the end."""
    plan(project, "moments", HEALS_LINE, HEALS)
    assert kill_everywhere(project, "hpc.submit", "moments") >= 3
    assert len(jobs_of(project, "moments")) == 1
    project.lab.wait_idle(60, "moments")
    assert kill_everywhere(project, "hpc.collect", "moments", "--retry-failed") >= 8
    project.collect_until_done("moments")
    assert len(jobs_of(project, "moments")) == 2
    check_all_healed(project, "moments")


@pytest.mark.cluster
def test_two_collectors_at_once_submit_one_retry_of_each(project: Project) -> None:
    """Both see the same failures; one submits, the other finds it done; their files stay whole."""
    plan(project, "twins", HEALS_LINE, HEALS)
    project.hpc("submit", "twins")
    project.lab.wait_idle(60, "twins")
    command = [sys.executable, "-m", "hpc.collect", "twins", "--retry-failed", "--json"]
    environment = {**project.lab.environment, "PYTHONPATH": str(REPO)}
    both = [
        subprocess.Popen(command, cwd=project.folder, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [json.loads(each.communicate(timeout=120)[0]) for each in both]
    assert [each.returncode for each in both].count(0) <= 1
    assert sum(len(answer["jobs"]) for answer in answers) == 1
    project.collect_until_done("twins")
    assert len(jobs_of(project, "twins")) == 2
    check_all_healed(project, "twins")


# ── what runs on the node ────────────────────────────────────────────────────────────────────────────────────────────

WRITES = """
import sys, time
from hpc.metrics import MetricsWriter
with MetricsWriter() as metrics:
    for step in range(1, 31):
        metrics.log(step, loss=1 / step)
        time.sleep(0.02 if sys.argv[1] != "1" else 0.25)
    metrics.summary(loss=1.0)
"""
SPEAKS = """
import subprocess, sys, time
child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
for step in range(1, 31):
    print(f"loss: {1 / step}", flush=True)
    time.sleep(0.02 if sys.argv[1] != "1" else 0.25)
child.kill()
"""


def has_steps(attempt: Path) -> bool:
    """Whether a first flush of metrics can be read."""
    try:
        return len(read(attempt / "metrics.h5")["loss"].step) > 0
    except (OSError, InputError, KeyError):
        return False


def read_task(attempt: Path) -> dict[str, Any]:
    task: dict[str, Any] = json.loads((attempt / "task.json").read_text())
    return task


@pytest.mark.cluster
@pytest.mark.parametrize("victim", ["program", "wrapper"])
def test_killed_while_it_writes_metrics(project: Project, victim: str) -> None:
    """The training program, or its wrapper, dies in the middle: what was measured is kept, it is tried once more."""
    name = f"killed_{victim}"
    plan(
        project,
        name,
        "python {file} {{part}} --no {{micro_batch_size}} {{gradient_accumulation_steps}}",
        WRITES,
        2,
        source="",
    )
    project.hpc("submit", name)
    attempt = project.runs / name / "tasks/P1/attempt-1"
    project.lab.wait_until(lambda: has_steps(attempt), 60, "training")
    task = read_task(attempt)
    members = family(attempt)
    assert members
    os.kill(int(task["pid"].split("/")[1]) if victim == "wrapper" else members[0], signal.SIGKILL)
    project.lab.wait_idle(60, name)
    assert not family(attempt)
    assert (attempt / "exit.json").exists() is (victim == "program")

    answer = project.collect_until_done(name)
    assert answer["outcomes"]["finished"] == 2
    tasks = project.verdicts(name)
    assert Counter(len(each["attempts"]) for each in tasks.values()) == {1: 1, 2: 1}
    with h5py.File(project.runs / name / "collected/results.h5") as file:
        series = file["series/loss"]
        row = next(i for i, run in enumerate(file["tasks/run_name"][()]) if run == b"P1")
        first = series["step"][()][(series["task"][()] == row) & (series["attempt"][()] == 1)]
        second = series["step"][()][(series["task"][()] == row) & (series["attempt"][()] == 2)]
    np.testing.assert_array_equal(first, np.arange(1, len(first) + 1))
    assert 1 <= len(first) < 30
    np.testing.assert_array_equal(second, np.arange(1, 31))


@pytest.mark.cluster
def test_a_killed_wrapper_takes_its_container_along(project: Project) -> None:
    """In an image, too, nothing survives the wrapper: no process, no half record; the task is tried once more."""
    plan(
        project,
        "gone",
        "python3 {file} {{part}} --no {{micro_batch_size}} {{gradient_accumulation_steps}}",
        SPEAKS,
        2,
        container="image: minimal",
    )
    project.hpc("submit", "gone")
    attempt = project.runs / "gone/tasks/P1/attempt-1"
    project.lab.wait_until(lambda: len(family(attempt)) >= 2, 60, "a family in the container")
    task = read_task(attempt)
    os.kill(int(task["pid"].split("/")[1]), signal.SIGKILL)
    project.lab.wait_until(lambda: not family(attempt), 10, "the end of its processes")
    answer = project.collect_until_done("gone")
    assert answer["outcomes"]["finished"] == 2
    assert len(project.verdicts("gone")["P1"]["attempts"]) == 2


@pytest.mark.cluster
def test_commands_say_so_while_the_controller_is_dead_and_go_on_afterwards(project: Project) -> None:
    """slurmctld killed: exit 75 and a sentence, nothing written that would mislead; afterwards all goes on."""
    plan(project, "headless", HEALS_LINE, HEALS)
    plan(project, "waiting", HEALS_LINE, HEALS)
    project.hpc("submit", "headless")
    project.lab.wait_idle(60, "headless")
    time.sleep(6)  # slurmctld saves what it knows every 5 s
    project.lab.control("ctld-kill")
    try:
        commands = (["submit", "waiting"], ["collect", "headless", "--retry-failed"], ["status", "headless"])
        with ThreadPoolExecutor() as pool:  # each waits for Slurm's own 20 s
            answers = list(pool.map(lambda command: call(project, "-m", f"hpc.{command[0]}", *command[1:]), commands))
        for done in answers:
            assert done.returncode == 75, (done.args, done.stdout, done.stderr)
            assert "Traceback" not in done.stderr
            assert "squeue" in done.stderr
            assert "try again" in done.stderr
        assert "finished" in answers[2].stdout  # what the run folder tells is shown
        assert not (project.runs / "waiting/submissions/001/intent.json").exists()
        assert not (project.runs / "headless/collected").exists()
    finally:
        project.lab.control("ctld-start")
    project.hpc("submit", "waiting")
    project.collect_until_done("headless")
    project.collect_until_done("waiting")
    for name in ("headless", "waiting"):
        check_all_healed(project, name)
        assert len(jobs_of(project, name)) == 2
