"""`hpc doctor` on the real Slurm: nothing blocks, nodes look for themselves, and sbatch takes a written profile."""

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import Project

EXPERIMENT = """
name: small
type: comparison
program: {{command: "python3 program.py {{seed}}"}}
sweep: {{seeds: [1, 2]}}
metrics: {{primary: {{name: loss}}, source: {{stdout: 'loss (?P<loss>\\S+)'}}}}
resources: {{cpus: 1, gpus: {gpus}, mem: 300MB, time: "0:05:00"}}
container: {{image: train-cpu}}
"""


def by_name(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Check → all that is said of it."""
    return {check["name"]: check for check in answer["checks"]}


@pytest.mark.cluster
def test_nothing_blocks_and_nodes_look_for_themselves(project: Project) -> None:
    """A real controller, data base, image, two nodes and their locks; what is asked for beyond a node blocks."""
    (project.folder / "program.py").write_text("import torch\nprint('loss 1')\n")
    project.write_experiment("small", EXPERIMENT.format(gpus=0))
    answer = project.json("doctor", "small", "--cluster", "lab", expect=0)
    found = by_name(answer)
    of_node = [each["found"] for each in answer["checks"] if each["name"] == "all-reduce"]
    assert sorted(text.split(":")[0] for text in of_node)[1].startswith("in image train-cpu of ")
    assert answer["counts"]["blocking"] == 0
    assert found["accounting"]["found"] == "accounting_storage/slurmdbd"
    assert found["gpus"]["found"] == "a node has 4 x without a type"
    assert "between two nodes" in found["node locks"]["found"]
    assert found["node container"]["severity"] == "ok"
    assert re.match(r"in image train-cpu(?: of \w+)?: Python 3\.", found["imports"]["found"])
    assert "add up" in found["all-reduce"]["found"]
    assert not list(project.folder.glob(".hpc-doctor-*"))
    (project.folder / "program.py").write_text("print('loss 1')\n")
    project.write_experiment("small", EXPERIMENT.format(gpus=5))
    blocked = project.json("doctor", "small", "--cluster", "lab", expect=1)["checks"]
    wrong = {check["name"]: check["found"] for check in blocked if check["severity"] == "blocking"}
    assert sorted(wrong) == ["gpus", "gpus seen"]  # the lab's GPUs are pretended: its nodes show none
    assert wrong["gpus seen"].startswith("in image train-cpu of ")


@pytest.mark.cluster
def test_a_written_profile_is_taken(project: Project) -> None:
    """What `--write-profile` makes of the lab plans an experiment whose script sbatch has no objection to."""
    project.hpc("doctor", "--write-profile", "made")
    (project.folder / "program.py").write_text("print('loss 1')\n")
    project.write_experiment("small", EXPERIMENT.format(gpus=1).replace("container: {image: train-cpu}", ""))
    plan = project.json("plan", "small", "--cluster", "made", expect=0)
    assert plan["objections"] == []
    text = (project.folder / "manifests/clusters/made.yaml").read_text()
    assert "partition: main" in text
    assert "low: 4 nodes" in text


@pytest.mark.cluster
def test_a_stopped_controller_hangs_nothing(project: Project) -> None:
    """slurmctld stopped in its tracks: exit code 75, with all that does not need it."""
    controller = int(Path(project.lab.environment["LAB"], "run/slurmctld.pid").read_text())
    os.kill(controller, signal.SIGSTOP)
    try:
        answer = json.loads(project.hpc("doctor", "--cluster", "lab", "--json", expect=75))
    finally:
        os.kill(controller, signal.SIGCONT)
    found = by_name(answer)
    assert (found["controller"]["severity"], found["controller"]["temporary"]) == ("blocking", True)
    assert {"python", "writable", "flock", "apptainer"} <= set(found)
