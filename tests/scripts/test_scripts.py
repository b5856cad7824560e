"""Every shell script is sound by shellcheck, survives a slow writer in a pipe, and says how it is used."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.parts import CONTAINERS, REPOSITORY, SCRIPTS, need

FOUND = sorted(
    path
    for folder in (CONTAINERS, SCRIPTS, REPOSITORY / ".ci")
    for path in folder.rglob("*")
    if path.is_file() and path.read_bytes()[:9] in (b"#!/bin/ba", b"#!/bin/sh")
)
STOPS_EARLY = re.compile(
    r"(?<!\|)\|\s*(?:\w+=\S+\s+)*"
    r"(?:head\b|grep\s+(?:-\S+\s+)*-\w*[qmlL]|grep\b[^|;&]*>\s*/dev/null|(?:sed|awk)\b[^|]*?(?:(?<![A-Za-z])q\b|\bexit\b))"
)
"""A pipe into a program that may leave before its input ends (grep into /dev/null does so, too).

Under `pipefail` the writer's SIGPIPE then fails the pipe although the line was there, now and then: as
`ldconfig -p | grep -q` did.
"""


def test_scripts_are_found() -> None:
    """The search for scripts finds those everybody calls."""
    named = {path.name for path in FOUND}

    assert {"build.sh", "wheels.sh", "slurm", "install-slurm", "install-apptainer", "setup", "parts", "run"} <= named


@pytest.mark.parametrize("script", FOUND, ids=lambda path: path.name)
def test_shellcheck(script: Path) -> None:
    """Shellcheck has nothing to say, and the script can be executed."""
    need(shutil.which("shellcheck"), "shellcheck")

    found = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)

    assert found.stdout == ""
    assert script.stat().st_mode & 0o111


@pytest.mark.parametrize("script", FOUND, ids=lambda path: path.name)
def test_no_pipe_ends_before_its_writer(script: Path) -> None:
    """Nothing is piped into a reader that stops at the first hit: ask a here-string or a variable instead."""
    lines = script.read_text(encoding="utf-8").replace("|\n", "| ").splitlines()

    assert [line for line in lines if STOPS_EARLY.search(line)] == []


@pytest.mark.parametrize(
    ("line", "stops"),
    [
        ("/sbin/ldconfig -p | grep -q libseccomp || exit", True),
        ("seq 9 | head -n1", True),
        ("seq 9 | grep -x -m 1 3", True),
        ("seq 9 | LC_ALL=C grep -x 3 > /dev/null", True),
        ("seq 9 | sed 3q", True),
        ("seq 9 | awk '{print; exit}'", True),
        ('grep -q 3 <<< "$(seq 9)" || head -c 9 file', False),
        ("seq 9 | grep 3 | sed 's/3/4/'", False),
    ],
)
def test_the_search_for_such_pipes_knows_them(line: str, stops: bool) -> None:
    """Each reader that stops early is seen, and one that reads to the end is not."""
    assert bool(STOPS_EARLY.search(line)) is stops


@pytest.mark.parametrize(
    "script", ["containers/build.sh", "containers/wheels.sh", "scripts/lab/slurm", "scripts/parts"]
)
def test_usage(repository: Path, script: str) -> None:
    """Called with nothing, a script says what it takes, does nothing and exits 2."""
    before = sorted(repository.rglob("*"))
    found = subprocess.run(
        [repository / script], capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"}
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
    script = (repository / "scripts/lab/slurm").read_text(encoding="utf-8")
    script = script.replace("export PATH=$PATH:/usr/sbin:/sbin", "")  # where the real ones are
    (repository / "scripts/lab/slurm").write_text(script, encoding="utf-8")

    found = subprocess.run(
        [repository / "scripts/lab/slurm", "start"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(programs)},
    )

    assert found.returncode == 1
    assert "missing: munged slurmctld slurmd" in found.stderr
    assert "install-slurm" in found.stderr
