"""A script typed by hand: `sbatch array.sbatch` with nothing of ours beside it, in an image, without, and locally."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.cluster.conftest import Project

PROGRAM = """
import os, sys
learning_rate, seed = float(sys.argv[1]), int(sys.argv[2])
print("warming up, loss: nothing yet", flush=True)
for step in range(1, 6):
    print(f"Step {step} | val_loss: {learning_rate * seed / step:.6f}", flush=True)
print("done")
"""

EXPERIMENT = """
name: {name}
type: comparison
program:
  command: "python3 says.py {{learning_rate}} {{seed}}"
sweep:
  grid: {{learning_rate: [0.1, 0.2]}}
  seeds: [1, 2]
metrics:
  primary: {{name: val_loss, goal: min}}
  source: {{stdout: 'Step (?P<step>\\d+) \\| val_loss: (?P<val_loss>\\S+)'}}
run_name: "LR{{learning_rate}}_S{{seed}}"
resources: {{cpus: 1, mem: 200MB, time: "0:05:00"}}
container: {{{container}}}
"""

FINAL = {"LR0.1_S1": 0.02, "LR0.1_S2": 0.04, "LR0.2_S1": 0.04, "LR0.2_S2": 0.08}


def prepare(project: Project, name: str, container: str, profile: str = "") -> None:
    """Write program and experiment, and what is to be added to the profile."""
    (project.folder / "says.py").write_text(PROGRAM)
    project.write_experiment(name, EXPERIMENT.format(name=name, container=container))
    if profile:
        site = project.folder / "manifests/clusters/lab.yaml"
        site.write_text(site.read_text() + profile)


def check_results(project: Project, name: str) -> None:
    """Each run has its last match as its value, every step as its series, and one attempt."""
    tasks = project.verdicts(name)
    assert {run: task["summary"]["val_loss"] for run, task in tasks.items()} == FINAL
    assert {len(task["attempts"]) for task in tasks.values()} == {1}
    with h5py.File(project.runs / name / "collected/results.h5") as file:
        runs = [text.decode() for text in file["tasks/run_name"][()]]
        assert dict(zip(runs, file["summary/val_loss"][()], strict=True)) == FINAL
        steps = file["series/val_loss/step"][()]
        np.testing.assert_array_equal(steps.reshape(4, 5), np.tile(np.arange(1, 6), (4, 1)))


def sbatch(project: Project, script: Path) -> str:
    """What a user types, from the project folder."""
    return project.lab.run(["sbatch", "--parsable", str(script)]).strip()


@pytest.mark.cluster
def test_a_script_typed_twice_runs_nothing_twice_and_needs_nothing_of_ours(project: Project) -> None:
    """Plain sbatch in an image: collect sees it, the second submission claims nothing, submit has nothing to do."""
    prepare(project, "plain", "image: minimal")
    plan = project.json("plan", "plain")
    assert plan["scripts"] == [str(project.folder / "manifests/rendered/plain/array.sbatch")]
    script = Path(plan["scripts"][0])

    first, second = sbatch(project, script), sbatch(project, script)
    submitted_again = project.hpc("submit", "plain", expect=3)
    assert submitted_again == ""
    project.lab.wait_idle(job_name="plain")

    answer = project.json("collect", "plain", expect=0)
    assert answer["outcomes"] == {"planned": 0, "pending": 0, "running": 0, "finished": 4, "failed": 0}
    check_results(project, "plain")
    jobs = {task["attempts"][0]["job"].split("_")[0] for task in project.verdicts("plain").values()}
    assert jobs <= {first, second}

    def states() -> list[str]:
        return project.lab.run(["sacct", "-X", "-n", "-P", "-j", f"{first},{second}", "-o", "State,ExitCode"]).split()

    project.lab.wait_until(lambda: states() == ["COMPLETED|0:0"] * 8, 30, "accounting of both jobs")
    taken = [log.read_text() for log in (project.runs / "plain/submissions/001/logs").iterdir()]
    assert len(taken) == 8
    assert sum("nothing to do" in text for text in taken) == 4

    assert project.hpc("submit", "plain", expect=3) == ""
    assert not project.lab.run(["squeue", "-h", "--name=plain"]).strip()
    task = json.loads((project.runs / "plain/tasks/LR0.1_S1/attempt-1/task.json").read_text())
    assert task["image"]["path"].endswith(".sif")


@pytest.mark.cluster
def test_a_sweep_above_the_array_limit_becomes_several_arrays(project: Project) -> None:
    """Four tasks at a limit of three are two arrays, throttled; one by hand, the other by submit, none twice."""
    prepare(project, "chunks", "")
    site = project.folder / "manifests/clusters/lab.yaml"
    site.write_text(
        site.read_text()
        .replace("max_array_size: 1000", "max_array_size: 3")
        .replace("max_parallel: 5", "max_parallel: 2")
    )
    plan = project.json("plan", "chunks")
    assert [array["tasks"] for array in plan["arrays"]] == [3, 1]
    assert [Path(script).name for script in plan["scripts"]] == ["array.sbatch", "array-2.sbatch"]
    assert "#SBATCH --array=0-2%2\n" in Path(plan["scripts"][0]).read_text()
    assert "#SBATCH --array=0-0%2\n" in Path(plan["scripts"][1]).read_text()

    by_hand = sbatch(project, Path(plan["scripts"][0]))
    answer = project.json("submit", "chunks", expect=0)
    assert answer["tasks"] == 1
    assert list(answer["jobs"]) == ["2"]
    assert by_hand not in answer["jobs"].values()
    project.lab.wait_idle(job_name="chunks")
    assert project.json("collect", "chunks", expect=0)["outcomes"]["finished"] == 4
    check_results(project, "chunks")


@pytest.mark.cluster
def test_the_same_sweep_on_this_machine_gives_the_same_values(project: Project) -> None:
    """The local backend runs the same script in the same image, and what is left afterwards reads the same."""
    prepare(project, "here", "image: minimal")
    project.hpc("plan", "here")
    project.hpc("submit", "here", "--backend", "local", "--max-parallel", "2")
    assert project.json("collect", "here", expect=0)["outcomes"]["finished"] == 4
    check_results(project, "here")
    task = json.loads((project.runs / "here/tasks/LR0.1_S1/attempt-1/task.json").read_text())
    assert task["image"]["path"].endswith(".sif")
    assert task["job"].startswith("local-")
    assert project.hpc("submit", "here", "--backend", "local", expect=3) == ""
