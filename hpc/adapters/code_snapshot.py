"""A read-only copy of the code, named by its content, so that an edit never reaches a task that is already queued."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from hpc.adapters.files import publish_folder
from hpc.core.errors import InputError

MAX_BYTES = 256 * 1024 * 1024
_SOURCE_SUFFIXES = frozenset({".py", ".yaml", ".yml", ".json", ".toml", ".txt", ".cfg", ".sh", ".j2", ".csv"})
_NEVER = frozenset({".git", "__pycache__", ".venv", "venv", "node_modules", "runs", "wandb", "images", ".lab"})


def find_source_files(folder: Path) -> list[Path]:
    """List source files below a folder that is in no git repository, by suffix, relative to it."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _NEVER and not name.startswith("."))
        found += [
            Path(parent, name).relative_to(folder) for name in sorted(names) if Path(name).suffix in _SOURCE_SUFFIXES
        ]
    return found


def code_digest(files: Mapping[str, Path]) -> str:
    """SHA-256 over names and contents; also refuses what is too large to copy for every change.

    Raises:
        InputError: The files hold more than `MAX_BYTES`.
    """
    total = sum(path.stat().st_size for path in files.values())
    if total > MAX_BYTES:
        largest = max(files, key=lambda name: files[name].stat().st_size)
        raise InputError(
            f"the code to freeze holds {total >> 20} MiB, more than {MAX_BYTES >> 20}; the largest file is {largest}. "
            "Data does not belong to the code: add it to .gitignore and bind it (container.binds) or name its path"
        )
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{name}\0{path.stat().st_mode & 0o111:o}\0{content}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def freeze_code(files: Mapping[str, Path], target: Path) -> None:
    """Copy files into a folder named by `code_digest`, unless it is there already.

    Args:
        files: Name inside the snapshot → file to copy.
        target: The snapshot's folder; complete from the moment it exists.
    """
    if target.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    prepared = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        for name, path in files.items():
            copy = prepared / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            copy.chmod(0o500 if path.stat().st_mode & 0o111 else 0o400)
        publish_folder(prepared, target)
    finally:
        shutil.rmtree(prepared, ignore_errors=True)
