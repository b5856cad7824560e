"""What a person does after the runs, on real Slurm: make one again, look around in one, stay within the budget."""

import json
from pathlib import Path
from typing import Any

import pytest

from hpc.adapters.ledger import read_json_lines
from tests.cluster.conftest import Project

PROGRAM = """
import os, sys, random
random.seed(int(sys.argv[2]))
with open("left.txt", "w") as file:
    file.write("what the run left")
assert sys.argv[1] != "2", "two is not allowed"
print(f"loss: {random.random():.6f}", flush=True)
"""
EXPERIMENT = """
name: again
type: comparison
program: {command: "python3 program.py {x} {seed}"}
sweep: {grid: {x: [1, 2]}, seeds: [1]}
metrics: {primary: {name: loss, goal: min}, source: {stdout: 'loss: (?P<loss>\\S+)'}}
run_name: "X{x}"
resources: {cpus: 2, mem: 300MB, time: "0:03:00"}
"""
LOOK = (
    "import os, json; print(json.dumps({'folder': os.getcwd(), 'files': os.listdir(), "
    "'cores': len(os.sched_getaffinity(0)), **os.environ}))"
)
IN_IMAGE = 'echo "image $APPTAINER_NAME"; cat left.txt; touch mine; touch "$1" || echo closed; eval "$HPC_COMMAND"'
BUDGET_H = 61 / 3600
"""Room for one time limit of a minute, and a second more."""


def digests(folder: Path) -> dict[str, float]:
    """Every file below a folder with the time of its last change."""
    return {str(path): path.stat().st_mtime for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.cluster
def test_a_run_is_made_again_and_looked_into(project: Project) -> None:
    """`reproduce --submit` starts the same run as a job and compares; `shell --srun` is a step on a node, in a copy."""
    (project.folder / "program.py").write_text(PROGRAM)
    project.write_experiment("again", EXPERIMENT)
    project.hpc("plan", "again")
    project.hpc("submit", "again")
    project.lab.wait_idle(60, "again")

    told = project.hpc("reproduce", "X1", "--submit")
    assert "again/X1, attempt 1, as again_reproduce_X1: submitted" in told
    receipt = json.loads((project.runs / "again_reproduce_X1/submissions/001/receipt.json").read_text())
    assert receipt["job"].isdecimal()
    project.lab.wait_idle(60, "again_reproduce_X1")
    answer = project.json("reproduce", "X1", expect=0)
    assert (answer["reproduced"], answer["metrics"][0]["difference"]) == (True, 0)
    limits, names = "JobID,Timelimit,ReqMem,ReqCPUS", "again,again_reproduce_X1"
    # Without a time sacct begins at midnight.
    told = project.lab.run(["sacct", "-nXP", "-S", "now-1day", f"--format={limits}", f"--name={names}"])
    asked = told.splitlines()
    assert {line.partition("|")[2] for line in asked} == {"00:03:00|300M|2"}, asked

    before = digests(project.runs / "again/tasks")
    seen: dict[str, Any] = json.loads(project.hpc("shell", "again", "X2", "--srun", "--", "python3", "-c", LOOK))
    assert seen["SLURM_JOB_ID"] not in {line.partition("_")[0] for line in asked}
    assert seen["SLURMD_NODENAME"].startswith(project.lab.environment.get("LAB_PREFIX", ""))
    given = project.lab.run(["scontrol", "--oneliner", "show", "job", seen["SLURM_JOB_ID"]])
    assert {"TimeLimit=00:03:00", "MinMemoryNode=300M", "NumCPUs=2"} <= set(given.split()), given
    assert seen["cores"] == 2
    assert {"left.txt", "program.py"} <= set(seen["files"])
    assert seen["HPC_COMMAND"] == "python3 program.py 2 1"
    assert Path(seen["folder"]).is_relative_to(project.runs / ".shell")
    repeated = project.hpc(
        "shell", "again", "X2", "--srun", "--", "sh", "-c", 'eval "$HPC_COMMAND" 2>&1; exit 7', expect=7
    )
    assert "AssertionError: two is not allowed" in repeated
    assert digests(project.runs / "again/tasks") == before


@pytest.mark.cluster
def test_a_shell_on_a_node_is_in_the_image(project: Project) -> None:
    """A step with the task's image, in a copy that can be written; the run's own folder cannot."""
    (project.folder / "program.sh").write_text("echo from the run > left.txt; echo loss: $1; exit 3\n")
    text = EXPERIMENT.replace("name: again", "name: boxed").replace("python3 program.py", "sh program.sh")
    project.write_experiment("boxed", f"{text.replace('[1, 2]', '[1]')}container: {{image: minimal}}\n")
    project.hpc("plan", "boxed")
    project.hpc("submit", "boxed")
    project.lab.wait_idle(60, "boxed")

    work = project.runs / "boxed/tasks/X1/attempt-1/work"
    command = ("sh", "-c", IN_IMAGE, "sh", str(work / "theirs"))
    told = project.hpc("shell", "boxed", "X1", "--srun", "--", *command, expect=3).splitlines()
    assert told[0].removeprefix("image ").strip()
    assert told[1:] == ["from the run", "closed", "loss: 1"]
    assert [each.name for each in work.iterdir() if each.name in ("mine", "theirs")] == []


@pytest.mark.cluster
def test_a_budget_stops_a_study_that_nobody_looks_after(project: Project) -> None:
    """The first task fits; once it has run, another's limit would exceed the budget: held, nothing more starts."""
    profile = project.folder / "manifests/clusters/lab.yaml"
    profile.write_text(profile.read_text() + "follow: {every: '0:00:03', time: '0:05:00', mem: 1GB}\n")
    (project.folder / "program.py").write_text(f"{PROGRAM}import time; time.sleep(2)\n")  # no two fit
    text = EXPERIMENT.replace("name: again", "name: frugal").replace("x: [1, 2]", "x: [1, 3, 4]")
    text = text.replace('cpus: 2, mem: 300MB, time: "0:03:00"', 'cpus: 1, mem: 300MB, time: "0:01:00"')
    project.write_experiment("frugal", f"{text}budget: {{core_hours: {BUDGET_H:.6f}}}\n")
    project.hpc("plan", "frugal")
    project.hpc("submit", "frugal", "--follow")
    held = project.runs / "frugal/hold.json"
    project.lab.wait_until(held.exists, 60, "a hold")
    assert "budget" in json.loads(held.read_text())["reason"]

    ledger = project.runs / "frugal/follow.jsonl"
    project.lab.wait_until(
        lambda: any(line["event"] in ("ended", "held") for line in read_json_lines(ledger)), 60, "the end"
    )
    counts = project.json("status", "frugal")["outcomes"]
    assert (counts["finished"], counts["planned"]) == (1, 2)
    refused = project.hpc("submit", "frugal", expect=(1, 2, 75))
    assert project.lab.run(["squeue", "-h", "--name=frugal"]) == "", refused
