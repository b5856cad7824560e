"""What is installed is what was tested: locks agree with pins, and torch is never taken from two indexes at once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.parts import REPOSITORY, SCRIPTS, copy_repository, load

LOCKS = {"login": "report", "demo": "report", "all": "train,report,dev,docs-site"}
PYTHON = """#!/bin/bash
# The interpreter of a pretended .venv: what pip is asked for is written down, with the content of its files.
[ "$1 $2" = "-m pip" ] || exec {python} "$@"
shift 2
words=()
for word in "$@"; do
  case $word in /dev/fd/*) words+=("<$(tr '\\n' ';' < "$word")>") ;; *) words+=("$word") ;; esac
done
echo "${{words[*]}}" >> {log}
"""


def versions(lock: str) -> dict[str, str]:
    """Package → version, each line checked."""
    bill = load(SCRIPTS / "sbom.py").bill(REPOSITORY / f"locks/{lock}.txt")
    return {each["name"]: each["version"] for each in bill["components"]}


def plain(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_the_versions_that_are_pinned_and_all_we_ask_for(lock: str) -> None:
    """Run scripts/lock after a change of constraints.txt or pyproject.toml."""
    requirements = pytest.importorskip("packaging.requirements")
    found = versions(lock)
    pins = dict(line.split("==") for line in (REPOSITORY / "constraints.txt").read_text().split() if "==" in line)
    pinned = {plain(name): version for name, version in pins.items()}
    assert {n: v for n, v in found.items() if pinned.get(n, v).partition("+")[0] != v.partition("+")[0]} == {}

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra in LOCKS[lock].split(","):
        wanted += project["optional-dependencies"][extra]
    for text in wanted:
        asked = requirements.Requirement(text)
        if asked.marker is None or asked.marker.evaluate({"python_version": "3.11", "platform_machine": "x86_64"}):
            assert asked.specifier.contains(found[plain(asked.name)]), text
    assert ("torch" in found) == (lock != "login")


def test_the_bill_of_materials_names_every_archive() -> None:
    """One component a line of the lock, each with its SHA-256; a line without one is an error."""
    sbom = load(SCRIPTS / "sbom.py")
    bill = json.loads(json.dumps(sbom.bill(REPOSITORY / "locks/all.txt")))
    lines = [line for line in (REPOSITORY / "locks/all.txt").read_text().splitlines() if "==" in line]
    assert (bill["bomFormat"], len(bill["components"])) == ("CycloneDX", len(lines))
    assert all(len(each["hashes"][0]["content"]) == 64 for each in bill["components"])
    assert any(each.get("licenses") for each in bill["components"])
    with pytest.raises(ValueError, match="no line of a lock"):
        sbom.components("torch==2.0\n")


def pip_calls(folder: Path, extras: str, **variables: str) -> list[str]:
    """What `scripts/setup` asks pip for."""
    root = copy_repository(folder)
    (root / "locks").mkdir()
    for name in LOCKS:
        packages = ("torch==1", "deepspeed==2", "numpy==3")
        (root / f"locks/{name}.txt").write_text("".join(f"{each} --hash=sha256:{'a' * 64}\n" for each in packages))
    log, python = folder / "calls", root / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON.format(python=sys.executable, log=log))
    python.chmod(0o755)
    environment = {**os.environ, **variables}
    done = subprocess.run(
        [root / "scripts/setup", extras], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [line for line in log.read_text().splitlines() if " install " in line]


@pytest.mark.skipif(sys.version_info[:2] != (3, 11) or os.uname().machine != "x86_64", reason="no lock fits")
@pytest.mark.parametrize("index", ["", "file:///torch"])
def test_a_fitting_lock_is_installed_by_hashes_alone(tmp_path: Path, index: str) -> None:
    """Nothing is resolved beside it; ourselves without dependencies."""
    calls = pip_calls(tmp_path, "report", TORCH_INDEX_URL=index)
    locked = [call for call in calls if "--require-hashes" in call]
    assert len(locked) == (2 if index else 1)
    assert "deepspeed" not in "".join(locked)
    assert all("--no-deps" in call for call in calls)
    assert calls[-1].endswith("--no-build-isolation --editable .")


@pytest.mark.parametrize("extras", ["demo,report", "report"])
def test_torch_is_never_taken_from_two_indexes_at_once(tmp_path: Path, extras: str) -> None:
    """A named index serves torch alone, without what it depends on; no index is ever an extra one."""
    calls = pip_calls(tmp_path, extras, TORCH_INDEX_URL="file:///torch", HASHES="no")
    assert not any("extra-index" in call or "require-hashes" in call for call in calls)
    named = [call for call in calls if "file:///torch" in call]
    assert len(named) == ("demo" in extras)
    assert all(re.search(r"--index-url file:///torch --no-deps torch==\S+$", call) for call in named)


def test_no_script_adds_an_index() -> None:
    """Whatever else installs: scripts, recipes, the Makefile."""
    files = [*SCRIPTS.rglob("*"), *(REPOSITORY / "containers").glob("*"), REPOSITORY / "Makefile"]
    text = {path.name: path.read_text(errors="replace") for path in files if path.is_file()}
    assert [name for name, content in text.items() if "extra-index-url" in content.lower()] == []
