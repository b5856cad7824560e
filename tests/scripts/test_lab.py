"""`scripts/lab/slurm` on real daemons: a lab of its own beside whichever runs, started, broken, stopped, gone."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts import SCRIPTS, need

pytestmark = pytest.mark.cluster
SCRIPT = SCRIPTS / "lab/slurm"


class Lab:
    """One lab with a folder, ports and node names of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "LAB": str(folder),
            "LAB_PORT": "18400",
            "LAB_PREFIX": "labtest",
            "LAB_NODES": "2",
            "SLURM_CONF": str(folder / "etc/slurm.conf"),
        }

    def __call__(self, *arguments: str, expect: int = 0) -> str:
        """Run the script; returns what it said."""
        found = subprocess.run(
            [SCRIPT, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert found.returncode == expect, found.stdout + found.stderr
        return found.stdout + found.stderr

    def slurm(self, *command: str) -> str:
        """Run a Slurm client against this lab."""
        found = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True, timeout=60)
        return found.stdout.strip()

    def processes(self) -> list[str]:
        """Command lines of whatever has this lab's folder in its environment or arguments; zombies have neither."""
        marks = [f"SLURM_CONF={self.folder}/".encode(), f"{self.folder}/log".encode()]
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command, environment = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
            except OSError:
                continue  # it ended while we looked
            if folder.name != str(os.getpid()) and any(mark in command + b"\0" + environment for mark in marks):
                found.append(command.replace(b"\0", b" ").decode(errors="replace"))
        return found

    def wait_for(self, expected: str, *command: str) -> None:
        """Ask again until the answer is there."""
        end = time.monotonic() + 40
        while (answer := self.slurm(*command)) != expected:
            assert time.monotonic() < end, answer
            time.sleep(0.2)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A running lab of two nodes, in a folder that every user may enter: munge insists, and pytest's are private."""
    need(shutil.which("slurmctld", path="/usr/sbin:/usr/bin"), "slurmctld: scripts/lab/install-slurm")
    need(os.geteuid() == 0, "root, for memory limits")
    with tempfile.TemporaryDirectory(prefix="lab-") as folder:
        Path(folder).chmod(0o755)
        running = Lab(Path(folder) / "slurm")
        running("start")
        yield running
        running("clean")


def test_start_again_is_harmless(lab: Lab) -> None:
    """A second start says that the lab runs, and succeeds."""
    assert "already running" in lab("start")


def test_environment_leads_to_this_lab(lab: Lab) -> None:
    """What `env` prints is all a shell needs to use the lab's Slurm."""
    lines = lab("env")
    nodes = subprocess.run(
        ["bash", "-c", f"{lines}\nsinfo -h -p main -o %N"], capture_output=True, text=True, check=True, timeout=30
    )

    assert nodes.stdout.strip() == "labtest[1-2]"


def test_memory_limit_and_gpus(lab: Lab) -> None:
    """A job above its memory ends as OUT_OF_MEMORY in the accounting; a job that asked for GPUs is told which."""
    script = "python3 -c 'x = bytearray(300 * 2**20)'"
    job = lab.slurm("sbatch", "--parsable", "--mem=40", "-o", "/dev/null", "--wrap", script)

    lab.wait_for("OUT_OF_MEMORY", "sacct", "-X", "-n", "-P", "-j", job, "-o", "state")
    assert "CUDA_VISIBLE_DEVICES=0,1" in lab.slurm("srun", "-n1", "--gpus=2", "env")


def test_node_dies_and_comes_back(lab: Lab) -> None:
    """A hung node's job lives on, a dead node's does not; start repairs both, and an unknown node is named."""
    marker = lab.folder / "alive"
    script = f"while sleep 0.1; do touch {marker}; done"
    lab.slurm("sbatch", "--no-requeue", "-w", "labtest2", "-o", "/dev/null", "--wrap", script)
    lab.wait_for("R", "squeue", "-h", "-o", "%t")

    lab("node-kill", "labtest2")
    marker.unlink(missing_ok=True)
    time.sleep(1)
    assert marker.exists()

    lab("start")
    lab("node-kill", "labtest2", "hard")
    marker.unlink()
    time.sleep(1)
    assert not marker.exists()

    lab("node-start", "labtest2")
    lab.slurm("scancel", "--state=RUNNING")
    lab.wait_for("", "squeue", "-h")
    lab.wait_for("idle\nidle", "sinfo", "-h", "-N", "-p", "main", "-o", "%T")
    assert "labtest1 labtest2" in lab("node-kill", "n77", expect=1)


def test_controller_dies_and_comes_back(lab: Lab) -> None:
    """After kill -9 of the controller the lab answers again, with the jobs it had saved."""
    job = lab.slurm("sbatch", "--parsable", "-W", "-o", "/dev/null", "--wrap", "true")
    time.sleep(6)  # it saves every five seconds

    lab("ctld-kill")
    lab("ctld-start")

    assert lab.slurm("squeue", "-h", "-t", "all", "-j", job, "-o", "%T") == "COMPLETED"


def test_ports_of_another_lab_are_refused(lab: Lab, tmp_path: Path) -> None:
    """A second lab on the same ports starts nothing and says which setting to change."""
    other = Lab(tmp_path / "other")

    assert "set LAB_PORT" in other("start", expect=1).replace("Set", "set")

    assert other.processes() == []
    assert "already running" in lab("start")


def test_stop_ends_everything_it_started(lab: Lab) -> None:
    """After stop no daemon and no job of the lab is left, nor what left its job's process group; twice is fine."""
    lab.slurm("sbatch", "-o", "/dev/null", "--wrap", "setsid sleep 600 & sleep 600")
    lab.wait_for("R", "squeue", "-h", "-o", "%t")
    assert len(lab.processes()) > 6

    lab("stop")

    assert lab.processes() == []
    assert list(Path("/sys/fs/cgroup").glob("*/slurm_labtest*")) == []
    lab("stop")
