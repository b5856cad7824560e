"""`containers/image_record.py`: what images.lock.toml promises."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.parts import CONTAINERS, load

record = load(CONTAINERS / "image_record.py")
PROGRAM = CONTAINERS / "image_record.py"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with one image in it."""
    (tmp_path / "tiny.sif").write_bytes(b"SIF" * 1000)
    return tmp_path


def add(images: Path, name: str, packages: str = "numpy==2.4.6\n") -> None:
    """Record an image the way build.sh does."""
    subprocess.run(
        [sys.executable, PROGRAM, "add", images, name, f"digest of {name}", "1.4.5"],
        input=packages,
        text=True,
        check=True,
    )


def test_record_describes_the_file(images: Path) -> None:
    """The table holds the checksum and the size of the bytes that lie there, and the packages in order."""
    add(images, "tiny", 'a=1:2~3\nb"\\=4\nünï==5\n')

    table = tomllib.loads((images / "images.lock.toml").read_text(encoding="utf-8"))["tiny"]

    assert table.pop("built").endswith("Z")
    assert table.pop("mtime_ns") == (images / "tiny.sif").stat().st_mtime_ns
    assert table == {
        "sha256": hashlib.sha256(b"SIF" * 1000).hexdigest(),
        "size": 3000,
        "definition_sha256": "digest of tiny",
        "apptainer": "1.4.5",
        "packages": ["a=1:2~3", 'b"\\=4', "ünï==5"],
    }


def test_current_only_as_recorded(images: Path) -> None:
    """An image is current when it is there, recorded, of this definition and of the recorded size."""
    assert not record.is_current(images, "tiny", "digest of tiny")

    add(images, "tiny")

    assert record.is_current(images, "tiny", "digest of tiny")
    assert not record.is_current(images, "tiny", "another digest")
    assert not record.is_current(images, "other", "digest of tiny")
    (images / "tiny.sif").write_bytes(b"SIF")
    assert not record.is_current(images, "tiny", "digest of tiny")
    (images / "tiny.sif").unlink()
    assert not record.is_current(images, "tiny", "digest of tiny")


def test_images_recorded_at_once_are_all_kept(images: Path) -> None:
    """Builds of different images that end together do not lose each other's table."""
    names = [f"image {n}" for n in range(8)]
    for name in names:
        (images / f"{name}.sif").write_text(name, encoding="utf-8")

    running = [
        subprocess.Popen(
            [sys.executable, PROGRAM, "add", images, name, "digest", "1.4.5"], stdin=subprocess.PIPE, text=True
        )
        for name in names
    ]
    for each in running:
        each.communicate("")

    assert sorted(record.load_records(images)) == names
