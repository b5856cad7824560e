"""A site with a submit limit, on real Slurm: fed what it takes; held and released without touching others' holds."""

import getpass
import sys

import pytest

from tests.cluster.conftest import REPO, Project

EXPERIMENT = """
name: fed
type: comparison
program:
  command: "python3 says.py {x}"
sweep:
  grid: {x: [1, 2, 3, 4, 5, 6]}
  seeds: [1]
metrics:
  primary: {name: loss, goal: min}
  source: {stdout: 'loss: (?P<loss>\\S+)'}
run_name: "X{x}"
resources: {cpus: 1, mem: 100MB, time: "0:05:00"}
"""


def queue(project: Project) -> dict[str, str]:
    """Elements that wait or run → Slurm's reason."""
    lines = project.lab.run(["squeue", "-h", "--array", "--name=fed", "-o", "%i %r"]).splitlines()
    return dict(line.split(" ", 1) for line in lines)


@pytest.fixture
def few(project: Project) -> Project:
    """A QOS that takes four jobs of a user at a time, one of which runs."""
    for words in (["add", "qos", "few"], ["modify", "user", getpass.getuser(), "set", "qos+=few"]):
        project.lab.run(["sacctmgr", "-i", *words], check=False)  # as an earlier test may have done
    project.lab.run(["sacctmgr", "-i", "modify", "qos", "few", "set", "MaxSubmitJobsPerUser=4"])
    site = project.folder / "manifests/clusters/lab.yaml"
    site.write_text(site.read_text().replace("max_parallel: 5", "max_parallel: 1\nqos: few"))
    (project.folder / "says.py").write_text("import time\ntime.sleep(1.5)\nprint('loss: 1')\n")
    project.write_experiment("fed", EXPERIMENT)
    project.hpc("plan", "fed")
    return project


HOLD = """
import sys
from pathlib import Path
from hpc.core.failures.breaker import Trip
from hpc.core.layout import RunLayout
from hpc.submissions.holds import hold
why = Trip(reason="three alike", fingerprint="f", evidence="", tasks=())
print(*hold(RunLayout(Path(sys.argv[1]), "fed"), why).jobs)
"""


@pytest.mark.cluster
def test_fed_held_released_and_finished(few: Project) -> None:
    """Four of six go; held beside somebody's own hold and released without it; in the end all six ran, each once."""
    answer = few.json("submit", "fed", expect=0)
    assert (answer["tasks"], answer["waiting"]) == (4, 2)
    assert answer["limit"] == "MaxSubmitJobsPerUser of QOS few is 4, 0 in the queue"
    (job,) = answer["jobs"].values()
    few.hpc("submit", "fed", expect=75)
    few.lab.run(["scontrol", "uhold", f"{job}_3"])

    held = few.lab.run(["env", f"PYTHONPATH={REPO}", sys.executable, "-c", HOLD, str(few.runs)])
    waiting = {element: reason for element, reason in queue(few).items() if reason != "None"}
    assert set(waiting.values()) == {"JobHeldUser"}
    assert f"{job}_3" in waiting
    assert f"{job}_3" not in held
    assert f"{job}_[" in held
    few.hpc("submit", "fed", expect=1)

    few.hpc("submit", "fed", "--release", expect=(0, 1, 75))  # 75: those that were released still fill the queue
    few.lab.wait_until(lambda: list(queue(few)) == [f"{job}_3"], 30, "all but what somebody else holds")
    assert queue(few) == {f"{job}_3": "JobHeldUser"}
    few.lab.run(["scontrol", "release", f"{job}_3"])
    left = few.json("status", "fed", expect=0)["outcomes"]["planned"]  # --release submitted what fitted then
    few.hpc("submit", "fed", expect=0 if left else 3)
    few.lab.wait_idle(60, "fed")
    assert few.json("collect", "fed", expect=0)["outcomes"]["finished"] == 6
    assert {len(task["attempts"]) for task in few.verdicts("fed").values()} == {1}


@pytest.mark.cluster
def test_a_failed_canary_costs_one_task_and_the_rest_runs_once_mended(few: Project) -> None:
    """Slurm cancels what waited for it; nothing of that counts as an attempt, and submit runs all of it afterwards."""
    (few.folder / "says.py").write_text(
        f"import pathlib, sys\nprint('loss: 1')\nsys.exit(0 if pathlib.Path('{few.folder}/mended').exists() else 3)\n"
    )
    site = few.folder / "manifests/clusters/lab.yaml"
    site.write_text(site.read_text().replace("max_parallel: 1\nqos: few", "max_parallel: 5"))
    few.hpc("plan", "fed")
    answer = few.json("submit", "fed", "--canary", expect=0)
    assert (answer["tasks"], len(answer["jobs"])) == (6, 2)
    few.lab.wait_until(lambda: not queue(few), 60, "Slurm to cancel what waits for a failed job")
    outcomes = few.json("collect", "fed", expect=1)["outcomes"]
    assert (outcomes["failed"], outcomes["planned"]) == (1, 5)

    (few.folder / "mended").touch()
    assert few.json("submit", "fed", "--canary", expect=0)["tasks"] == 5
    few.lab.wait_idle(60, "fed")
    assert few.json("collect", "fed", expect=1)["outcomes"]["finished"] == 5
    assert {len(task["attempts"]) for task in few.verdicts("fed").values()} == {1}
