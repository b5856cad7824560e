"""What takes a minute and depends on files alone, made by the first process that asks and read by all others."""

import contextlib
import hashlib
import importlib.metadata
import os
import pickle
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from hpc.adapters.locks import lock
from tests.corpus.cases import HERE

REPO = HERE.parents[1]
REMEMBERED = REPO / "build/corpus"
LONGEST_S = 1800.0
"""As long another process may be at it, on however slow a machine."""
T = TypeVar("T")


def digest_of_all() -> str:
    """What an answer follows from: all our code, not the rules alone, the cases with their logs, and the engines."""
    code = [*(REPO / "hpc").rglob("*.py"), *HERE.glob("*.py")]
    return digest_of([*code, *HERE.glob("*.jsonl"), *(HERE / "logs").rglob("*")])


def digest_of(paths: Iterable[Path]) -> str:
    """Of names and contents, and of who reads them."""
    found = hashlib.sha256(f"{sys.version} {_version('google-re2')}".encode())
    for path in sorted(each for each in paths if each.is_file()):
        content = path.read_bytes()
        found.update(f"\0{path}\0{len(content)}\0".encode(errors="surrogateescape") + content)
    return found.hexdigest()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def remembered(folder: Path, key: str, make: Callable[[], T]) -> T:
    """Return what was made for this key; one process makes it, whoever asks meanwhile waits. What is damaged is no
    answer: it is made again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key}.pickle"
    with lock(folder / "lock", timeout_s=LONGEST_S):
        with contextlib.suppress(OSError, ValueError, EOFError, pickle.UnpicklingError):
            seal, content = path.read_bytes().split(b"\n", 1)
            if seal == _seal(content):
                made: T = pickle.loads(content)  # noqa: S301  a file of our own, sealed
                return made
        made = make()
        content = pickle.dumps(made)
        for old in folder.glob("*.pickle*"):
            old.unlink()
        beside = path.with_suffix(".pickle.part")
        beside.write_bytes(_seal(content) + b"\n" + content)
        os.replace(beside, path)
        return made


def _seal(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
