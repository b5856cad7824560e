"""The record of the images built on this machine, `images/images.lock.toml`: read by eye, written by build.sh.

    image_record.py current IMAGES NAME DEFINITION_SHA256
    image_record.py add IMAGES NAME DEFINITION_SHA256 APPTAINER < packages

One table per image: sha256, size (bytes) and mtime_ns of NAME.sif, built (UTC), definition_sha256 (of everything the
build read from this repository), apptainer (version) and packages (those inside). It lies beside the images and not in
git, because no two builds of the same definition give the same bytes. `current` answers by its exit status, 0 or 1.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

LOCK_FILE = "images.lock.toml"
Record = dict[str, str | int | list[str]]


def load_records(images: Path) -> dict[str, Record]:
    """Every image's table; empty when nothing has been recorded yet."""
    path = images / LOCK_FILE
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def is_current(images: Path, name: str, definition: str) -> bool:
    """Whether NAME.sif is there as it was recorded, built from this definition."""
    record, image = load_records(images).get(name), images / f"{name}.sif"
    if record is None or not image.exists():
        return False
    return record["definition_sha256"] == definition and record["size"] == image.stat().st_size


def render(records: dict[str, Record]) -> str:
    """TOML text; JSON writes strings, numbers and lists of strings the same way."""
    lines = ["# Written by containers/build.sh: what the images beside this file are."]
    for name, record in sorted(records.items()):
        lines += ["", f"[{json.dumps(name)}]"]
        lines += [f"{key} = {json.dumps(value, indent=4, ensure_ascii=False)}" for key, value in record.items()]
    return "\n".join(lines) + "\n"


def write_atomically(path: Path, text: str) -> None:
    """Replace the file: a reader sees the old text or the new."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def describe(image: Path, definition: str, apptainer: str, packages: list[str]) -> Record:
    """The table of one image."""
    with image.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "sha256": sha256,
        "size": image.stat().st_size,
        "mtime_ns": image.stat().st_mtime_ns,
        "built": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "definition_sha256": definition,
        "apptainer": apptainer,
        "packages": packages,
    }


def add(images: Path, name: str, record: Record) -> None:
    """Write the table of one image; two images may be built at the same time."""
    with (images / ".record.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        write_atomically(images / LOCK_FILE, render({**load_records(images), name: record}))


def main(arguments: list[str]) -> int:
    """See the head of this file."""
    match arguments:
        case ["current", images, name, definition]:
            return 0 if is_current(Path(images), name, definition) else 1
        case ["add", images, name, definition, apptainer]:
            record = describe(Path(images) / f"{name}.sif", definition, apptainer, sys.stdin.read().split())
            add(Path(images), name, record)
            return 0
        case _:
            print(__doc__, file=sys.stderr)  # noqa: T201 - usage of a command line program
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
