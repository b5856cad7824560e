"""Container images on disk: where one is, and the SHA-256 that names it."""

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

from hpc.core.errors import InputError


@dataclass(frozen=True)
class ImageFile:
    """An image that exists.

    Attributes:
        name: As the experiment names it.
        path: SIF file or sandbox folder, absolute.
        sha256: Of the file; empty for a sandbox folder, which has no such thing.
    """

    name: str
    path: Path
    sha256: str


def find_image(name: str, folder: Path) -> ImageFile:
    """Find ``train`` as ``<folder>/train.sif``, or take a path as it stands.

    Raises:
        InputError: There is no such image; the message says how to build it.
    """
    path = Path(name) if "/" in name or name.endswith(".sif") else folder / f"{name}.sif"
    path = path.absolute()
    if not path.exists():
        known = sorted(each.stem for each in folder.glob("*.sif"))
        there = f"there is {', '.join(known)}" if known else f"{folder} holds none"
        raise InputError(f"no image {path}; {there}. Build it: make image IMAGE={Path(name).stem}")
    return ImageFile(name, path, "" if path.is_dir() else _sha256(path))


def pin_image(path: Path, sha256: str) -> Path:
    """Give an image a name of its content, so that a later build does not change what queued tasks run.

    A second link to the same file, not a copy. A sandbox folder, and an image in a folder that takes no links
    (read-only, another owner's), stays under its own name.
    """
    pinned = path.parent / "by-digest" / f"{sha256[:16]}.sif"
    if not sha256:
        return path
    try:
        pinned.parent.mkdir(exist_ok=True)
        pinned.hardlink_to(path)
    except FileExistsError:
        return pinned
    except OSError:
        return path
    return pinned


def _sha256(path: Path) -> str:
    """Take the digest the build recorded when size and age still fit; hashing 10 GB takes half a minute."""
    record = _recorded(path)
    if record is not None:
        return record
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recorded(path: Path) -> str | None:
    lock = path.parent / "images.lock.toml"
    if not lock.is_file():
        return None
    record = tomllib.loads(lock.read_text(encoding="utf-8")).get(path.stem, {})
    found = path.stat()
    same = record.get("size") == found.st_size and record.get("mtime_ns") == found.st_mtime_ns
    return str(record["sha256"]) if same else None
