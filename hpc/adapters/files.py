"""Files that survive a crash: whole or absent, never half; owned by one writer; locked where two could meet.

Standard library only, because the wrapper on the compute node imports it (`filelock` is loaded where a lock is taken).
"""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpc.core.errors import InputError, TemporaryError


def write_text(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file as a whole: temporary file beside it, fsync, rename. Missing folders are made.

    Raises:
        OSError: The disk is full or the folder not writable; the old file is untouched and no temporary is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; file systems that cannot sync a folder do so by themselves or not at all."""
    descriptor = os.open(folder, os.O_RDONLY)
    with contextlib.suppress(OSError):
        os.fsync(descriptor)
    os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file as a whole. NaN and infinity are refused: they are not JSON."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: There is none.
        InputError: It is not JSON; the message names the file and the place.
    """
    text = path.read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"not valid JSON ({error}); it was cut or edited: restore it, or remove it", str(path)) from None


def read_json_or_none(path: Path) -> Any:
    """Read a JSON file; None where there is none."""
    try:
        return read_json(path)
    except FileNotFoundError:
        return None


def publish_folder(prepared: Path, target: Path) -> bool:
    """Give a prepared, non-empty folder its final name; False when somebody else was first (nothing is changed).

    Renaming onto a non-empty folder fails on every file system, so exactly one of any number of callers succeeds.
    """
    try:
        os.rename(prepared, target)
    except OSError:
        if target.exists():
            return False
        raise
    _sync_folder(target.parent)
    return True


@contextlib.contextmanager
def lock(path: Path, timeout_s: float = 60.0) -> Iterator[None]:
    """Hold an exclusive lock that no dead process keeps, here or on another host.

    `flock` where the file system has it: the kernel frees it with its holder. Elsewhere a lease file with a heartbeat,
    which others take over once the heartbeat stops.

    Raises:
        TemporaryError: Somebody else held it for `timeout_s` seconds.
    """
    import filelock

    path.parent.mkdir(parents=True, exist_ok=True)
    held: filelock.BaseFileLock
    try:
        held = filelock.FileLock(path, timeout=timeout_s, fallback_to_soft=False, mode=0o600)
        held.acquire()
    except NotImplementedError:
        held = filelock.SoftFileLease(path.with_name(path.name + ".lease"), timeout=timeout_s)
        held.acquire()
    except filelock.Timeout:
        raise TemporaryError(f"{path} is held by another process; waited {timeout_s:g} s. Try again later") from None
    try:
        yield
    finally:
        held.release()
