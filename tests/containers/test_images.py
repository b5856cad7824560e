"""The images that `containers/build.sh` built on this machine do what they are for, in the real Apptainer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.parts import REPOSITORY, need

pytestmark = pytest.mark.cluster
HERE = Path(__file__).parent


def run_inside(image: str, *command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in an image, which sees nothing of the host but `folder` and this folder."""
    apptainer = os.environ.get("APPTAINER") or shutil.which("apptainer") or REPOSITORY / ".lab/apptainer/bin/apptainer"
    need(Path(apptainer).exists(), "Apptainer: scripts/lab/install-apptainer")
    path = REPOSITORY / f"images/{image}.sif"
    need(path.exists(), f"{path}: containers/build.sh {image}")
    flags = ["--containall", "--bind", f"{HERE}:{HERE}:ro", "--bind", f"{folder}:{folder}", "--pwd", str(folder)]
    return subprocess.run(
        [apptainer, "--quiet", "exec", *flags, path, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_minimal_knows_nothing_of_us(tmp_path: Path) -> None:
    """The tiny image has a Python and no package beside it."""
    code = "import importlib.metadata as m, sys; print(sys.version_info >= (3, 11), len(list(m.distributions())))"

    found = run_inside("minimal", "python3", "-c", code, folder=tmp_path)

    assert found.stdout == "True 0\n", found.stderr


def test_training_image_has_the_tested_versions(tmp_path: Path) -> None:
    """Inside are the versions of constraints.txt, torch for the CPU among them."""
    code = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    constraints = dict(line.split("==") for line in (REPOSITORY / "constraints.txt").read_text().splitlines())
    required = (REPOSITORY / "containers/requirements-train.txt").read_text(encoding="ascii").splitlines()
    names = [line for line in required if not line.startswith("#")]

    inside = json.loads(run_inside("train-cpu", "python", "-c", code, folder=tmp_path).stdout)

    assert len(names) > 8
    assert {name: inside[name] for name in names} == {
        name: constraints[name] + ("+cpu" if name == "torch" else "") for name in names
    }


def test_two_ranks_shard_without_compiling(tmp_path: Path) -> None:
    """Two processes reduce over gloo and take a ZeRO-2 step; DeepSpeed compiles nothing, for there is no compiler."""
    assert run_inside("train-cpu", "sh", "-c", "command -v g++ gcc cc", folder=tmp_path).stdout == ""
    launch = ["torchrun", "--standalone", "--nproc_per_node", "2", str(HERE / "sharded_step.py")]

    found = run_inside("train-cpu", "env", "OMP_NUM_THREADS=1", *launch, folder=tmp_path)

    assert found.returncode == 0, found.stderr[-3000:]
    answer = json.loads(found.stdout.splitlines()[-1])
    before, after = answer.pop("losses")
    assert answer["world"] == 2
    assert answer["kind"] == "DistributedType.DEEPSPEED"
    assert answer["sum"] == 3.0
    assert answer["sif"].endswith("train-cpu.sif")
    assert after < before
    assert list(tmp_path.iterdir()) == []
