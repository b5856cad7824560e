"""Where everything is required, nothing may be left out quietly."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WHOLE_FILE = "import pytest\npytest.importorskip('no_such_module')\ndef test_one(): pass\n"
ONE_TEST = "import pytest\ndef test_one(): pytest.skip('not here')\ndef test_two(): pass\n"


def test_a_gpu_is_never_required(tmp_path: Path) -> None:
    """No setup brings one: its tests are named and left out, and counted by `make gpu-check` where there is one."""
    shutil.copy(Path(__file__).parent / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = gpu: of one\n    far: no matter")
    (tmp_path / "test_it.py").write_text(ONE_TEST.replace("def test_one", "@pytest.mark.gpu\ndef test_one"))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-ra",
        "--rootdir",
        ".",
    ]
    environment = {**os.environ, "HPC_REQUIRE_CLUSTER": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 1 skipped" in done.stdout
    assert "not here" in done.stdout


@pytest.mark.parametrize("text", [WHOLE_FILE, ONE_TEST])
@pytest.mark.parametrize("required", [True, False])
def test_a_skip_fails_where_everything_is_required(tmp_path: Path, text: str, required: bool) -> None:
    """Of a test and of a whole file alike; elsewhere a skip is a skip."""
    shutil.copy(Path(__file__).parent / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(text)
    (tmp_path / "test_other.py").write_text("def test_three(): pass\n")
    environment = {**os.environ, "HPC_REQUIRE_CLUSTER": "1" if required else "0"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", "."]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode == 0) is not required, done.stdout + done.stderr


def test_files_that_wait_stand_among_those_that_compute_and_quick_ones_come_last(tmp_path: Path) -> None:
    """A long file at the end would keep one process busy and leave the others without work."""
    shutil.copy(Path(__file__).parent / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow: takes long\n    far: no matter")
    (tmp_path / "cluster").mkdir()
    files = ["cluster/test_a.py", "cluster/test_storm.py", "test_quick.py", *(f"test_s{i}.py" for i in range(5))]
    for file in files:
        (tmp_path / file).write_text("def test_long(): pass\ndef test_short(): pass\n")
    (tmp_path / "slow.txt").write_text("".join(f"test_s{i}.py::test_long\n" for i in range(5)))
    command = "-m pytest -v -p no:cacheprovider -n 1 --dist loadfile --no-loadscope-reorder --rootdir ."
    done = subprocess.run(
        [sys.executable, *command.split()], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    ended = [line.split("PASSED ")[1].split("::")[0] for line in done.stdout.splitlines() if "PASSED" in line]
    assert len(ended) == 2 * len(files)
    assert list(dict.fromkeys(ended)) == [
        "cluster/test_storm.py", "test_s0.py", "test_s1.py", "test_s2.py", "test_s3.py", "cluster/test_a.py",
        "test_s4.py", "test_quick.py",
    ]  # fmt: skip
