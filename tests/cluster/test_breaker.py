"""One bug in the first three tasks of an array, on real Slurm: the rest is held, released by one command, and no bug
is tried again."""

import pytest

from tests.cluster.conftest import Project

EXPERIMENT = """
name: alike
type: comparison
program:
  command: "python3 fails.py {x}"
sweep:
  grid: {x: [1, 2, 3, 4, 5]}
  seeds: [1]
metrics:
  primary: {name: loss, goal: min}
  source: {stdout: 'loss: (?P<loss>\\S+)'}
run_name: "X{x}"
resources: {cpus: 1, mem: 100MB, time: "0:05:00"}
"""

FAILS = """
import sys, time
x = int(sys.argv[1])
if x <= 3:
    raise TypeError(f"row {x} is no number")
time.sleep(5)
print("loss: 1")
"""


@pytest.mark.cluster
def test_one_bug_holds_the_rest_and_a_release_lets_it_go(project: Project) -> None:
    """Three alike: what waits gets JobHeldUser, nothing is submitted; released, it finishes and the bugs stay bugs."""
    site = project.folder / "manifests/clusters/lab.yaml"
    site.write_text(site.read_text().replace("max_parallel: 5", "max_parallel: 1"))
    (project.folder / "fails.py").write_text(FAILS)
    project.write_experiment("alike", EXPERIMENT)
    project.hpc("plan", "alike")
    project.hpc("submit", "alike")
    ended = project.runs / "alike/tasks"
    project.lab.wait_until(lambda: len(list(ended.glob("X[123]/attempt-1/exit.json"))) == 3, 60, "three failures")

    def waiting() -> list[str]:
        lines = project.lab.run(["squeue", "-h", "--array", "--name=alike", "-t", "PD", "-o", "%r"])
        return lines.splitlines()

    project.lab.wait_until(
        lambda: project.json("collect", "alike", "--retry-failed")["held"], 30, "Slurm has told of three failures"
    )
    assert set(waiting()) == {"JobHeldUser"}
    answer = project.json("collect", "alike", "--retry-failed")
    assert answer["jobs"] == {}
    assert "3 of the first 3 tasks that ended (of 5) failed in the same way: code_bug" in answer["held"]

    project.hpc("submit", "alike", "--release", expect=None)
    project.lab.wait_idle(90, "alike")
    answer = project.json("collect", "alike", "--retry-failed")
    assert answer["held"] is None
    assert answer["jobs"] == {}
    assert (answer["outcomes"]["finished"], answer["outcomes"]["failed"]) == (2, 3)
    assert {len(task["attempts"]) for task in project.verdicts("alike").values()} == {1}
