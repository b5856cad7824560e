"""Every shell script of `containers/` is sound by shellcheck, and every program says how it is used."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.containers.container_parts import CONTAINERS, need

SCRIPTS = sorted(
    path for path in CONTAINERS.rglob("*") if path.is_file() and path.read_bytes()[:9] in (b"#!/bin/ba", b"#!/bin/sh")
)


def test_scripts_are_found() -> None:
    """The search for scripts finds those everybody calls."""
    assert {"build.sh", "wheels.sh", "slurm", "install-slurm", "install-apptainer"} <= {path.name for path in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck(script: Path) -> None:
    """Shellcheck has nothing to say, and the script can be executed."""
    need(shutil.which("shellcheck"), "shellcheck")

    found = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)

    assert found.stdout == ""
    assert script.stat().st_mode & 0o111


@pytest.mark.parametrize("script", ["build.sh", "wheels.sh", "lab/slurm"])
def test_usage(repository: Path, script: str) -> None:
    """Called with nothing, a script says what it takes, does nothing and exits 2."""
    before = sorted(repository.rglob("*"))
    found = subprocess.run(
        [repository / "containers" / script], capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"}
    )

    assert found.returncode == 2, found.stderr
    assert Path(script).name in found.stderr
    assert sorted(repository.rglob("*")) == before


def test_no_root_needed_to_be_told(repository: Path) -> None:
    """The lab names the missing programs and where they come from, instead of failing half way."""
    programs = repository / "programs"
    programs.mkdir()
    for name in (
        "bash",
        "basename",
        "cat",
        "dirname",
        "flock",
        "grep",
        "hostname",
        "id",
        "mkdir",
        "realpath",
        "readlink",
    ):
        (programs / name).symlink_to(shutil.which(name) or "/nonexistent")
    script = (repository / "containers/lab/slurm").read_text(encoding="utf-8")
    script = script.replace("export PATH=$PATH:/usr/sbin:/sbin", "")  # where the real ones are
    (repository / "containers/lab/slurm").write_text(script, encoding="utf-8")

    found = subprocess.run(
        [repository / "containers/lab/slurm", "start"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(programs)},
    )

    assert found.returncode == 1
    assert "missing: munged slurmctld slurmd" in found.stderr
    assert "install-slurm" in found.stderr
