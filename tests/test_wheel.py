"""What a wheel holds, and that the commands run from it: packages are found by their folders, never listed by hand."""

import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from hpc.cli import COMMANDS
from tests.local_projects import wait_until

ROOT = Path(__file__).parents[1]
PACKAGES = ("hpc", "train", "analysis")
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


def run(command: list[str], folder: Path, **more: str) -> str:
    """Run a command as a user without our PYTHONPATH would; return what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HPC_", "PYTHON", "PIP_"))}
    done = subprocess.run(
        command, cwd=folder, env={**kept, **more}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def copy_of_the_sources(folder: Path) -> Path:
    """Copy what a wheel is built from: building writes beside its sources, and the clone stays clean."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def build(sources: Path, target: Path) -> Path:
    """Build the wheel without any network; needs the setuptools of this environment."""
    run([*PIP, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(target), "."], sources)
    (wheel,) = target.glob("*.whl")
    return wheel


def content(wheel: Path) -> set[str]:
    """The files of a wheel, its own records left out."""
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def files_below(sources: Path) -> set[str]:
    """The files of the packages' folders, as a wheel names them."""
    found = (path for package in PACKAGES for path in (sources / package).rglob("*") if path.is_file())
    return {path.relative_to(sources).as_posix() for path in found}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources with a folder beside them that only sounds like ours."""
    folder = copy_of_the_sources(tmp_path_factory.mktemp("sources"))
    (folder / "hpc_notes").mkdir()
    (folder / "hpc_notes/__init__.py").touch()
    return folder


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    return build(sources, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked into a folder of its own, outside the clone."""
    target = tmp_path_factory.mktemp("installed")
    run([*PIP, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)], target)
    return target


def test_the_wheel_holds_the_tree_and_nothing_else(sources: Path, wheel: Path) -> None:
    """Every module, template and py.typed of the packages is in it; a folder without `__init__.py` is noticed."""
    assert content(wheel) == files_below(sources)


def test_a_library_user_gets_our_types(wheel: Path) -> None:
    """The packages that mypy holds to `strict` say so to whoever imports them."""
    assert {"hpc/py.typed", "analysis/py.typed"} <= content(wheel)


@pytest.mark.parametrize("verb", [None, *COMMANDS])
def test_a_command_runs_from_the_wheel(installed: Path, tmp_path: Path, verb: str | None) -> None:
    """`hpc --help` and each `hpc VERB --help` answer in a folder that knows no clone."""
    words = [verb] if verb else []

    assert "Usage: hpc" in run([str(installed / "bin/hpc"), *words, "--help"], tmp_path, PYTHONPATH=str(installed))


def test_planning_from_the_wheel_finds_its_template(installed: Path, tmp_path: Path) -> None:
    """A plan with Slurm scripts is made by the installed copy alone."""
    experiments = tmp_path / "manifests/experiments"
    experiments.mkdir(parents=True)  # no profile: local is built in
    shutil.copy(ROOT / "manifests/experiments/demo.yaml", experiments)
    program = (
        "import sys, hpc.cli\n"
        "assert hpc.cli.__file__.startswith(sys.argv.pop(1))\n"
        "sys.exit(hpc.cli.main(prog_name='hpc'))"
    )
    plan = ["plan", "demo", "--cluster", "local"]
    run([sys.executable, "-P", "-c", program, str(installed), *plan], tmp_path, PYTHONPATH=str(installed))

    assert list((tmp_path / "runs/demo").rglob("array.sbatch"))


def test_three_commands_lead_a_stranger_to_a_report(installed: Path, tmp_path: Path) -> None:
    """A foreign train.py in an empty repository: init, plan, submit --follow; within two minutes there is a report."""
    repository = tmp_path / "theirs"
    run(["git", "init", "--quiet", str(repository)], tmp_path)
    shutil.copy(ROOT / "tests/data/programs/like_mnist.py", repository / "train.py")
    began = time.monotonic()
    for words in (["init", "--yes"], ["plan", "first_sweep"], ["submit", "first_sweep", "--follow"]):
        run(
            [str(installed / "bin/hpc"), *words], repository, PYTHONPATH=str(installed), HPC_CLUSTER="local"
        )  # this machine's own queue, also where the tests' Slurm is installed
    report = repository / "runs/first_sweep/report/report.md"
    wait_until(report.exists, 120 - (time.monotonic() - began), "a report")

    text = report.read_text()
    assert "9 planned = 9 finished" in text
    assert "test_loss" in text
