"""Thirteen strangers' repositories, each of which once gave wrong numbers or a dead end, with the installed wheel.

``data/strangers.sh`` was written by those it happened to, and prints for each what happens.
"""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.test_wheel import build, copy_of_the_sources

SCRIPT = Path(__file__).parent / "data/strangers.sh"
EXPECTED = {
    "R1": ['1 "loss": 1.0;', '1 "loss": 2.0;', '1 "loss": 3.0;', '1 "loss": 4.0;'],
    "R2": ["repo a: baseline: 2 tasks, 2 to submit", "repo b: \n"],  # refused: nothing planned, nothing adopted
    "R3": ["plan.out:1", "submit.out:1"],
    "R4": ["the task ran: planned"],
    "R5": ["OMP 2\n"],
    "R6": ["as a task: \n"],  # nothing on stderr
    "R7": ["S1: ended with exit code 0", "1 task = 1 finished", "0 failed"],
    "R8": ["as a task: True True"],
    "R9": [],
    "R10": [],
    "R11": ["r11/report; exit 0; exists: yes"],
    "R12": ["each task: 1 process on 1 node", "started, RANK None"],
    "R13": ["{'HF_HOME': '/scratch/hf', 'OMP_NUM_THREADS': '8', 'NCCL_DEBUG': 'INFO'}"],
}
"""What each has to print."""


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Number of the trial → what it printed, with the wheel in an environment of its own."""
    folder = tmp_path_factory.mktemp("strangers")
    wheel = build(copy_of_the_sources(folder / "sources"), folder / "wheel")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env/bin/python"
    (site,) = folder.glob("env/lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--force-reinstall", str(wheel)], check=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HPC_", "PYTHON", "SLURM_"))}
    kept.pop("OMP_NUM_THREADS", None)
    done = subprocess.run(
        ["bash", str(SCRIPT), str(folder / "work")],
        env={**kept, "HPC": str(python)}, cwd=folder, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr
    return {part.split()[0]: part for part in ("\n" + done.stdout).split("\nR")[1:] for part in [f"R{part}\n"]}


@pytest.mark.parametrize("trial", EXPECTED)
def test_a_stranger_gets_what_a_run_by_hand_gives(printed: dict[str, str], trial: str) -> None:
    """The right numbers, or a word that they are not."""
    assert [text for text in EXPECTED[trial] if text not in printed[trial]] == [], printed[trial]


def test_copies_of_the_code_do_not_grow(printed: dict[str, str]) -> None:
    """R9: planning five times takes no more room than once."""
    sizes = printed["R9"].splitlines()[-1].split()
    assert len(sizes) == 5
    assert len(set(sizes)) == 1


def test_what_is_linked_is_said(printed: dict[str, str]) -> None:
    """R8: the link that leaves the project, beside that no question was written down."""
    assert "notes of plan: 2" in printed["R8"]


def test_further_seeds_are_no_other_code(printed: dict[str, str]) -> None:
    """R10: no caution in the report."""
    assert "Caution" not in printed["R10"]
