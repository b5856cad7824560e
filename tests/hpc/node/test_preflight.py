"""The gate before a run: what it lets through, what it finds, and whom that is held against."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpc.node.preflight import SELF_TEST, is_of_type
from tests.local_projects import LocalProject, command_environment, make_project

SMI = """#!/bin/sh
echo "GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-1)"
echo "GPU 1: NVIDIA A100-SXM4-80GB (UUID: GPU-2)"
"""
ALL = {"gpu": "", "matmul": False, "all_reduce": False, "shm_mib": 1, "time_s": 60}


@pytest.fixture
def project(tmp_path: Path) -> LocalProject:
    made = make_project(tmp_path / "project")
    made.hpc("plan", "tiny", "--cluster", "local")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/nvidia-smi").write_text(SMI)
    (tmp_path / "bin/nvidia-smi").chmod(0o755)
    return made


def gated(project: LocalProject, resources: dict[str, Any], **asked: Any) -> dict[str, Any]:
    """Run the first element behind a gate, on a node of two A100; return its exit record."""
    index = project.runs / "tiny/submissions/001/index.json"
    content = json.loads(index.read_text())
    assert content["preflight"] is None  # nobody is asked who has not asked for it
    content = {**content, "preflight": {**ALL, **asked}, "resources": {**content["resources"], **resources}}
    index.write_text(json.dumps(content))
    path = f"{project.folder.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "hpc.run_task", str(index), "0"],
        cwd=project.folder, env=command_environment(PATH=path), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return json.loads((project.attempt("X1") / "exit.json").read_text())


def test_a_fit_node_runs_the_program_and_nothing_is_left_of_the_gate(project: LocalProject) -> None:
    ended = gated(project, {"gpus": 2}, gpu="a100")

    assert (ended["exit_code"], ended["unfit"], ended["unfit_nodes"]) == (0, "", [])
    assert not (project.attempt("X1") / "preflight.log").exists()


@pytest.mark.parametrize(
    ("resources", "asked", "unfit"),
    [
        ({"gpus": 4}, {}, "gpu: 4 requested, 2 found"),
        ({"gpus": 1}, {"gpu": "H100"}, "gpu: found NVIDIA A100-SXM4-80GB, requested H100"),
        ({}, {"shm_mib": 2**30}, "node: /dev/shm has "),
        ({"disk_mib": 2**40}, {}, "disk: "),
    ],
)
def test_an_unfit_node_is_named_and_the_program_not_started(
    project: LocalProject, resources: dict[str, Any], asked: dict[str, Any], unfit: str
) -> None:
    ended = gated(project, resources, **asked)

    attempt = project.attempt("X1")
    assert ended["unfit"].startswith(unfit)
    assert (ended["exit_code"], ended["unfit_nodes"]) == (1, [ended["host"]])
    assert ended["unfit"] in (attempt / "preflight.log").read_text()
    assert (attempt / "stdout.log").read_text() == ""
    assert "this node failed the preflight check" in (attempt / "stderr.log").read_text()


def test_it_is_the_nodes_fault_and_tried_again(project: LocalProject) -> None:
    """Its class is that of the broken part, and the next attempt leaves the node out."""
    ended = gated(project, {"gpus": 4})
    project.hpc("collect", "tiny", expect=1)

    told = project.verdicts()["X1"]
    last = told["attempts"][-1]["verdict"]
    assert (last["category"], last["cause"], last["rule"]) == ("gpu_hardware", "preflight", "preflight-gpu")
    assert f"excluded node {ended['host']}: gpu_hardware" in " ".join(project.hpc("why", "tiny/X1").split())


def test_a_gate_that_cannot_look_stops_nobody(project: LocalProject) -> None:
    """No Python in the image, say: nothing is held against the node."""
    (project.folder.parent / "bin/python3").write_text(f"#!/bin/sh\n[ $1 = - ] && exit 3\nexec {sys.executable} $@\n")
    (project.folder.parent / "bin/python3").chmod(0o755)

    assert gated(project, {"gpus": 2})["exit_code"] == 0


@pytest.mark.parametrize(
    ("name", "wanted", "is_it"),
    [
        ("NVIDIA A100-SXM4-80GB", "a100", True),
        ("NVIDIA A100-SXM4-80GB MIG 3g.20gb", "a100_3g.20gb", True),
        ("Tesla V100-SXM2-32GB", "tesla_v100", True),
        ("NVIDIA GeForce GTX 1080 Ti", "gtx1080ti", True),
        ("NVIDIA H100 80GB HBM3", "nvidia_h100_80gb_hbm3", True),
        ("NVIDIA H100 80GB HBM3", "volta", True),  # a name of the site's own proves nothing
        ("NVIDIA A100-SXM4-80GB", "h100", False),
        ("Tesla V100-SXM2-32GB", "A100", False),
    ],
)
def test_a_type_is_known_however_a_site_spells_it(name: str, wanted: str, is_it: bool) -> None:
    assert is_of_type(name, wanted) is is_it


def ranks(tmp_path: Path, here: int, world: int) -> list[str]:
    """Run the part of the self test that multiplies and adds."""
    meeting = f"file://{tmp_path / 'meeting'}"
    asked = {"ranks": {"here": here, "world": world, "first": 0, "meeting": meeting, "limit_s": 40, "multiply": True}}
    done = subprocess.run(
        [sys.executable, "-", json.dumps(asked)],
        input=SELF_TEST.read_text(),
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[str] = json.loads(done.stdout.splitlines()[-1])["ranks"]
    return found


@pytest.mark.train
def test_real_processes_multiply_and_add(tmp_path: Path) -> None:
    pytest.importorskip("torch")

    assert [each.splitlines() for each in ranks(tmp_path, 2, 2)] == [["multiplied", "sum 2.0"]] * 2
