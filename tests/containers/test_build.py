"""`containers/build.sh` with a stand-in for Apptainer: once, whole or not at all, and recorded.

The stand-in is there because a real build takes a minute and cannot be made to fail or to wait at a chosen moment;
the images that the cluster tests run in are built by the real one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

STAND_IN = """#!/bin/bash
case $1 in
  --version) echo "apptainer version 1.4.5" ;;
  build)
    echo "$*" >> "$CALLS"
    image=${@: -2:1}
    echo half > "$image"
    while [ -e "$HOLD" ]; do sleep 0.05; done
    [ ! -e "$BROKEN" ] || { echo "FATAL: no space left"; exit 255; }
    echo whole > "$image" ;;
  --quiet) echo "python3=3.11.2-1+b1" ;;
esac
"""


class Site:
    """A copy of the recipes with a stand-in Apptainer that can be held up or broken."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.images = root / "images"
        self.script = root / "containers/build.sh"
        self.definition = root / "containers/minimal.def"
        self.work = root / ".lab/build-minimal"
        self.calls, self.hold, self.broken = folder / "calls", folder / "hold", folder / "broken"
        apptainer = folder / "apptainer"
        apptainer.write_text(STAND_IN, encoding="ascii")
        apptainer.chmod(0o755)
        self.environment = os.environ | {
            "APPTAINER": str(apptainer),
            "PYTHON": sys.executable,
            "DEBIAN_MIRROR": "file:///mirror",
            "CALLS": str(self.calls),
            "HOLD": str(self.hold),
            "BROKEN": str(self.broken),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a build in a session of its own, as a terminal's job is in a group of its own."""
        return subprocess.Popen(
            [self.script, "minimal", *arguments],
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def build(self, *arguments: str) -> tuple[int, str]:
        """A whole build: its exit status and what it said."""
        running = self.start(*arguments)
        said, _ = running.communicate(timeout=30)
        return running.returncode, said

    def count(self) -> int:
        """How often Apptainer was asked to build."""
        return len(self.calls.read_text(encoding="utf-8").splitlines()) if self.calls.exists() else 0

    def wait_for_partial(self) -> Path:
        """The half written image of a build that is held up."""
        partial = self.images / ".minimal.sif.partial"
        end = time.monotonic() + 20
        while not partial.exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        return partial


@pytest.fixture
def site(repository: Path, tmp_path: Path) -> Site:
    """A place to build in."""
    return Site(repository, tmp_path)


def test_built_once(site: Site) -> None:
    """The image is built and recorded; again only when its definition changes, its file is lost, or by force."""
    assert site.build()[0] == 0
    assert (site.images / "minimal.sif").read_text(encoding="ascii") == "whole\n"
    table = tomllib.loads((site.images / "images.lock.toml").read_text(encoding="utf-8"))["minimal"]
    assert table["apptainer"] == "1.4.5"
    assert table["packages"] == ["python3=3.11.2-1+b1"]

    code, said = site.build()
    assert (code, site.count()) == (0, 1)
    assert "up to date" in said

    with site.definition.open("a", encoding="ascii") as file:
        file.write("# changed\n")
    assert (site.build()[0], site.count()) == (0, 2)
    (site.images / "minimal.sif").unlink()
    assert (site.build()[0], site.count()) == (0, 3)
    assert (site.build("--force")[0], site.count()) == (0, 4)
    assert not site.work.exists()


def test_two_at_once_build_once(site: Site) -> None:
    """The second of two builds waits for the first and takes its result."""
    site.hold.touch()
    first = site.start()
    site.wait_for_partial()
    second = site.start()
    assert second.stdout is not None
    assert "waiting for the build" in second.stdout.readline()
    site.hold.unlink()

    first.communicate(timeout=30)
    assert first.returncode == 0
    said, _ = second.communicate(timeout=30)
    assert second.returncode == 0
    assert "up to date" in said
    assert site.count() == 1


def test_killed_build_leaves_no_image(site: Site) -> None:
    """After kill -9 of a build there is nothing that looks like an image, and the next build succeeds."""
    site.hold.touch()
    running = site.start()
    partial = site.wait_for_partial()
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate(timeout=30)

    assert not (site.images / "minimal.sif").exists()
    assert not (site.images / "images.lock.toml").exists()

    site.hold.unlink()
    assert site.build()[0] == 0
    assert (site.images / "minimal.sif").exists()
    assert not partial.exists()
    assert not site.work.exists()


def test_failed_build_keeps_the_old_image(site: Site) -> None:
    """A build that fails shows why, exits 1 and leaves the image and its record as they were."""
    site.build()
    recorded = (site.images / "images.lock.toml").read_bytes()
    site.broken.touch()

    code, said = site.build("--force")

    assert code == 1
    assert "FATAL: no space left" in said
    assert "minimal.build.log" in said
    assert (site.images / "minimal.sif").read_text(encoding="ascii") == "whole\n"
    assert (site.images / "images.lock.toml").read_bytes() == recorded


def test_password_of_a_mirror_is_not_built_in(site: Site) -> None:
    """A mirror's address with a password in it is refused: Apptainer would keep it in the image."""
    site.environment["DEBIAN_MIRROR"] = "file://me:secret@mirror/debian"

    code, said = site.build()

    assert code == 1
    assert "password" in said
    assert site.count() == 0


def test_no_apptainer(site: Site) -> None:
    """Without Apptainer the message says where one comes from."""
    site.environment["APPTAINER"] = "/nonexistent/apptainer"

    code, said = site.build()

    assert code == 1
    assert "install-apptainer" in said
