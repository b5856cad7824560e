"""A stock Debian 12 has cgroup v2 only: the lab on such a machine, a Linux in one process (`scripts/lab/machine`).

What the host has does not matter: the machine brings its own kernel.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.parts import SCRIPTS, need

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]
MACHINE = SCRIPTS / "lab/machine"
JOB = f"""
export LAB=/var/tmp/lab LAB_NODES=1 LAB_CPUS=1 LAB_GPUS=1 LAB_ACCOUNTING=0 SLURM_CONF=/var/tmp/lab/etc/slurm.conf
{SCRIPTS}/lab/slurm start || {{ tail -n 20 $LAB/log/*; exit 1; }}
sbatch --wait --mem=40 -o /dev/null --wrap 'python3 -c "bytearray(200 * 2**20)"'
scontrol show job --oneliner
{SCRIPTS}/lab/slurm stop
echo "left: $(find /sys/fs/cgroup/system.slice -mindepth 1 -type d)."
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The script that starts a machine, where it can; root on Debian installs what it needs."""
    need(shutil.which("linux.uml") and shutil.which("modprobe", path="/usr/sbin:/sbin"), "user-mode-linux")
    need(shutil.which("slurmctld", path="/usr/sbin:/usr/bin"), "slurmctld: scripts/lab/install-slurm")
    need(os.geteuid() == 0, "root, for memory limits")
    return MACHINE


def run(machine: Path, folder: Path, text: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a script on a machine of its own; its output comes with a terminal's line ends."""
    script = folder / "script.sh"
    script.write_text(text, encoding="ascii")
    return subprocess.run(
        [machine, folder, script], env={**os.environ, **more}, capture_output=True, text=True, check=False, timeout=350
    )


def test_a_job_above_its_memory_is_out_of_memory_by_cgroup_v2(machine: Path, tmp_path: Path) -> None:
    """The lab finds cgroup v2, Slurm ends the job as OUT_OF_MEMORY, and stop takes every group away again."""
    done = run(machine, tmp_path, JOB, MACHINE_SECONDS="300")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "JobState=OUT_OF_MEMORY" in done.stdout
    assert "ExitCode=0:125" in done.stdout
    assert "left: ." in done.stdout


def test_a_machine_ends_as_its_script_does(machine: Path, tmp_path: Path) -> None:
    """Its exit status is the script's, what it writes into the shared folder stays, and nothing else does."""
    elsewhere = Path("/var/tmp/written-by-a-machine")
    done = run(machine, tmp_path, f"touch {tmp_path}/kept {elsewhere}; stat -fc %T /sys/fs/cgroup; exit 7")

    assert (done.returncode, done.stdout.split()) == (7, ["cgroup2fs"])
    assert (tmp_path / "kept").exists()
    assert not elsewhere.exists()
