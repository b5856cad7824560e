"""Container images on disk: where one is, and the SHA-256 that names it."""

import hashlib
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

from hpc.adapters.progress import working
from hpc.core.errors import InputError
from hpc.core.immutable import immutable
from hpc.core.progress import BYTES

BASE = "docker://pytorch/pytorch:2.13.0-cuda13.0-cudnn9-devel"
"""An image with PyTorch and CUDA from a public registry, to begin with; containers/train.def builds on the same."""


@immutable
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


_BLOCK = 1 << 20
_ELSEWHERE = re.compile(r"(?P<kind>[a-z][a-z0-9+.-]*):(?P<path>.+)")
"""A reference to a registry, an archive or a daemon, as apptainer reads them."""


def find_image(name: str, folder: Path, clone: Path | None = None, apptainer: str = "apptainer") -> ImageFile:
    """Find ``train`` as ``<folder>/train.sif``, or take a path as it stands.

    Args:
        name: As the experiment names it.
        folder: Where the site keeps its images.
        clone: Our own clone, where the command is used in one; it builds images of its own.
        apptainer: The command that fetches images, for messages.

    Raises:
        InputError: There is no such image; the message says how to come by it.
    """
    path = locate_image(name, folder, clone, apptainer)
    return ImageFile(name, path, "" if path.is_dir() else _sha256(path))


def locate_image(name: str, folder: Path, clone: Path | None = None, apptainer: str = "apptainer") -> Path:
    """Find where an image is, as `find_image` does, without reading it.

    Raises:
        InputError: As there.
    """
    if found := _ELSEWHERE.fullmatch(name):
        raise InputError(_fetched_first(name, found["path"], folder, apptainer))
    path = Path(name) if "/" in name or name.endswith(".sif") else folder / f"{name}.sif"
    path = path.absolute()
    if not path.exists():
        known = sorted(each.stem for each in folder.glob("*.sif"))
        there = f"there is {', '.join(known)}" if known else f"{folder} holds none"
        raise InputError(f"no image {path}; {there}. {_how_to_come_by(path, clone)}")
    return path


VERIFY_S = 120.0
"""An image of 10 GB is read once."""


def verify_image(path: Path, signed_by: str, apptainer: str) -> None:
    """Have Apptainer check an image's signature, without any network.

    Args:
        path: The image.
        signed_by: PEM file of a public key, or ``keyring``.
        apptainer: The command.

    Raises:
        InputError: It is not signed so, or that cannot be found out.
    """
    if path.is_dir():
        raise InputError("is a folder and cannot be signed: build a .sif (images_signed_by of the profile)", str(path))
    whose = ["--local"] if signed_by == "keyring" else ["--key", signed_by]
    command = [apptainer, "verify", *whose, str(path)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
            timeout=VERIFY_S,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"its signature could not be checked ({error}): {shlex.join(command)}", str(path)) from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise InputError(
            f"is not signed by {signed_by}, as the profile asks (images_signed_by): {said[-1]}. "
            f"To see more: {shlex.join(command)}",
            str(path),
        )


def find_squashfs(name: str, folder: Path) -> ImageFile:
    """Find ``train`` as ``<folder>/train.sqsh``, take a path as it stands, or a registry's reference for enroot.

    Raises:
        InputError: There is no such file; the message says how to come by it.
    """
    path = locate_squashfs(name, folder)
    return ImageFile(name, path, _sha256(path) if path.is_absolute() else "")


def locate_squashfs(name: str, folder: Path) -> Path:
    """Find where an image of pyxis is, as `find_squashfs` does, without reading it; a reference is no absolute path.

    Raises:
        InputError: As there.
    """
    if reference := _enroot_reference(name):
        return Path(reference)
    path = Path(name) if "/" in name or name.endswith(".sqsh") else folder / f"{name}.sqsh"
    path = path.absolute()
    if not path.is_file():
        known = sorted(each.stem for each in folder.glob("*.sqsh"))
        there = f"there is {', '.join(known)}" if known else f"{folder} holds none"
        make = f"mkdir -p {shlex.quote(str(path.parent))} && enroot import -o {shlex.quote(str(path))} {BASE}"
        raise InputError(f"no image {path}; {there}. Make a file of one on a node with enroot: {make}")
    if set(str(path)) & set(",:#"):
        raise InputError(f"{path}: pyxis gives a comma, colon or # a meaning of its own; move the image")
    return path


def is_reference(image: ImageFile) -> bool:
    """Whether an image lies in a registry, so that every task fetches it."""
    return not image.path.is_absolute()


def _enroot_reference(name: str) -> str:
    """A registry's image as enroot writes it, ``registry#image:tag``; empty for names and paths of files."""
    text = name.removeprefix("docker://")
    if name.startswith(("/", ".", "~")) or name.endswith(".sqsh") or (text == name and not set(name) & set(":#")):
        return ""
    registry, slash, rest = text.partition("/")
    is_host = "#" not in text and slash and set(registry) & set(".:")
    return f"{registry}#{rest}" if is_host else text


def _how_to_come_by(path: Path, clone: Path | None) -> str:
    """The lines that build an image, and the way to do without."""
    if clone and (clone / "containers" / f"{path.stem}.def").is_file():
        return f"Build it: make image IMAGE={path.stem}"
    return (
        f"An image is any Apptainer file with what your program needs: apptainer build {shlex.quote(str(path))} "
        f"{BASE}. Or run without one: --set container.image=null"
    )


def _fetched_first(name: str, path: str, folder: Path, apptainer: str) -> str:
    """Say how to make a file of an image that lies elsewhere."""
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", path.strip("/").rsplit("/", 1)[-1])
    stem = stem.removesuffix(".tar").removesuffix(".sif") or "image"
    verb = "pull" if "://" in name else "build"
    line = shlex.join([apptainer, verb, str(folder / f"{stem}.sif"), name])
    return (
        f"image {name}: every task would fetch it again, and might get a different one. Save it as a file once: "
        f"mkdir -p {shlex.quote(str(folder))} && {line}, and write `image: {stem}`"
    )


def _pinned(path: Path, sha256: str) -> Path:
    return path.parent / "by-digest" / f"{sha256[:16]}{'.sqsh' if path.suffix == '.sqsh' else '.sif'}"


def name_of_pin(path: Path, sha256: str) -> Path:
    """The name `pin_image` would give, as far as can be told without trying; nothing is made."""
    pinned = _pinned(path, sha256)
    folder = pinned.parent if pinned.parent.exists() else path.parent
    return pinned if sha256 and (pinned.exists() or os.access(folder, os.W_OK)) else path


def pin_image(path: Path, sha256: str) -> Path:
    """Name an image after its content, so that a later build does not change what queued tasks run.

    A second link to the same file, not a copy. A sandbox folder, and an image in a folder that takes no links
    (read-only, another owner's), stays under its own name.
    """
    pinned = _pinned(path, sha256)
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
    digest = hashlib.sha256()
    with path.open("rb") as file, working(f"hashing {path.name}", path.stat().st_size, BYTES) as step:
        while block := file.read(_BLOCK):
            digest.update(block)
            step(len(block))
    return digest.hexdigest()


def build_record(path: Path) -> tuple[str, bool]:
    """The digest that an image's build recorded, and whether the file is as large and as old as it was then.

    An empty digest where nothing is recorded.
    """
    try:
        record = _record_of(path)
    except (OSError, ValueError):
        return "", False
    return str(record.get("sha256") or ""), _recorded(path) is not None


def _recorded(path: Path) -> str | None:
    if not _lock_beside(path).is_file():
        return None
    record = _record_of(path)
    found = path.stat()
    same = record.get("size") == found.st_size and record.get("mtime_ns") == found.st_mtime_ns
    return str(record["sha256"]) if same else None


def _lock_beside(path: Path) -> Path:
    return path.parent / "images.lock.toml"


def _record_of(path: Path) -> dict[str, Any]:
    """What the build recorded of an image; empty for nothing.

    Raises:
        OSError: The record cannot be read.
        ValueError: It is no TOML.
    """
    import tomllib  # few commands look at an image

    record: dict[str, Any] = tomllib.loads(_lock_beside(path).read_text(encoding="utf-8")).get(path.stem, {})
    return record
