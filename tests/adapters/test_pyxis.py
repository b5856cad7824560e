"""pyxis's command line, and the images it is given. There is no pyxis here: this is what would be called."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hpc.adapters import proc
from hpc.adapters.images import find_squashfs, is_reference
from hpc.adapters.pyxis import Image, mount_problem, passed_names, srun_argv
from hpc.core.errors import InputError

IMAGE = Image("/images/train.sqsh", ("/data:/data:ro", "/scratch"), (("/runs/code", True), ("/runs/t", False)))


def test_the_whole_line():
    """One task on this node with all that the job has of it; variables by name, mounts, the program as it stands."""
    names = passed_names({"HPC_TASK_ID": "1", "SLURM_X": "2"}, {"HOME": "/root", "PATH": "/bin", "SECRET": "s"})
    assert srun_argv(IMAGE, ("python", "-c", "$(x)"), working_folder="/runs/t/w", cpus=8, node="n1", passed=names) == (
        shutil.which("srun") or "srun",
        "--nodes=1", "--ntasks=1", "--cpus-per-task=8", "--overlap", "--mem=0", "--cpu-bind=none", "--mpi=none",
        "--nodelist=n1", "--export=HOME,HPC_TASK_ID,PATH", "--container-image=/images/train.sqsh",
        "--container-mounts=/runs/code:/runs/code:ro,/runs/t:/runs/t,/data:/data:ro,/scratch:/scratch",
        "--container-workdir=/runs/t/w", "--container-env=HPC_TASK_ID",
        "--no-container-mount-home", "--no-container-remap-root", "--no-container-entrypoint",
        "python", "-c", "$(x)",
    )  # fmt: skip


def test_a_path_that_would_be_split_is_said():
    """pyxis knows no quoting."""
    assert "comma" in mount_problem("/runs/a,b")
    assert mount_problem("/runs/a b") == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nvcr.io/nvidia/pytorch:24.05-py3", "nvcr.io#nvidia/pytorch:24.05-py3"),
        ("docker://nvcr.io/nvidia/pytorch:24.05-py3", "nvcr.io#nvidia/pytorch:24.05-py3"),
        ("localhost:5000/a/b:1", "localhost:5000#a/b:1"),
        ("nvcr.io#nvidia/pytorch:24.05-py3", "nvcr.io#nvidia/pytorch:24.05-py3"),
        ("ubuntu:24.04", "ubuntu:24.04"),
        ("docker://ubuntu", "ubuntu"),
        ("pytorch/pytorch:2.5.0", "pytorch/pytorch:2.5.0"),
    ],
)
def test_references_are_written_as_enroot_reads_them(name, expected):
    """The registry apart from the image; each task fetches it."""
    found = find_squashfs(name, Path("/nowhere"))
    assert (str(found.path), found.sha256, is_reference(found)) == (expected, "", True)


def test_files_are_found_and_missing_ones_are_said(tmp_path):
    """`train` is train.sqsh in the site's folder; the message has the line that makes one."""
    (tmp_path / "train.sqsh").write_bytes(b"hsqs")
    for name in ("train", str(tmp_path / "train.sqsh")):
        found = find_squashfs(name, tmp_path)
        assert (found.path, len(found.sha256), is_reference(found)) == (tmp_path / "train.sqsh", 64, False)
    with pytest.raises(InputError, match=r"gone\.sqsh; there is train\..*enroot import -o"):
        find_squashfs("gone", tmp_path)
    (tmp_path / "a,b.sqsh").write_bytes(b"hsqs")
    with pytest.raises(InputError, match="move the image"):
        find_squashfs(str(tmp_path / "a,b.sqsh"), tmp_path)


def test_processes_of_a_step_are_found_by_their_variable(tmp_path):
    """Those that are no descendants of ours, and of these the topmost: a step's are children of slurmstepd."""
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)  # orphans are not ours here, whatever other tests of this process asked for
    code = f"""
import os, subprocess, sys
os.environ["HPC_ATTEMPT_DIR"] = {str(tmp_path)!r}
quiet = {{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}}
child = subprocess.Popen(["sh", "-c", "sleep 30 & wait"], start_new_session=True, **quiet)
print(child.pid)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pid = int(done.stdout)
    try:
        assert proc.find_marked({"HPC_ATTEMPT_DIR": str(tmp_path)}) == [pid]
        assert proc.find_marked({"HPC_ATTEMPT_DIR": str(tmp_path), "SLURMD_NODENAME": "another"}) == []
    finally:
        os.killpg(pid, 9)
