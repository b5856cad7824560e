"""Files that survive a crash: whole or absent, never half; owned by one writer; locked where two could meet.

Standard library only, because the wrapper on the compute node imports it. `filelock` is loaded where a lock is taken,
and done without where it is not installed.
"""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.core.errors import InputError, TemporaryError

if TYPE_CHECKING:
    import filelock

LEASE_S = 30.0
"""Where a file system has no locks: a holder that showed no sign of life for so many seconds has lost its claim."""

_NO_FLOCK = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


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
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file as a whole. NaN and infinity are refused: they are not JSON."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    # A file name that is no UTF-8 reaches us with lone surrogates: \udcXX is valid JSON and comes back the same.
    write_text(path, text.encode("utf-8", "backslashreplace").decode("utf-8"))


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: There is none.
        InputError: It is not JSON; the message names the file and the place.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"not valid JSON ({error}); it was cut or edited: restore it, or remove it", str(path)
        ) from None


def read_json_or_none(path: Path) -> Any:
    """Read a JSON file; None where there is none."""
    try:
        return read_json(path)
    except FileNotFoundError:
        return None


def append_json_line(path: Path, value: Any) -> None:
    """Add one object to a ledger of JSON lines, in a single write that no other writer's is mixed with.

    A line that somebody died over is ended first, so that it spoils only itself.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(value, ensure_ascii=True, allow_nan=False) + "\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, (("\n" if torn else "") + line).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json_lines(path: Path, last_bytes: int | None = None) -> list[Any]:
    """Read a ledger of JSON lines, oldest first; lines that somebody died over are left out.

    Args:
        last_bytes: Read only what stands in so many bytes at the end.
    """
    try:
        with path.open("rb") as file:
            if last_bytes is not None:
                file.seek(max(0, os.fstat(file.fileno()).st_size - last_bytes))
            lines = file.read().splitlines()  # the first may be cut in two, and is then none
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def publish_folder(prepared: Path, target: Path) -> bool:
    """Give a prepared, non-empty folder its final name; False when somebody else was first (nothing is changed).

    Renaming onto a non-empty folder fails on every file system, so exactly one of any number of callers succeeds.
    """
    try:
        prepared.rename(target)
    except OSError as error:
        if error.errno in _TAKEN and target.exists():
            return False
        raise
    _sync_folder(target.parent)
    return True


@contextlib.contextmanager
def lock(path: Path, timeout_s: float = 60.0) -> Iterator[None]:
    """Hold an exclusive lock that no dead process keeps, here or on another host.

    `flock` where the file system has it: the kernel frees it with its holder. Elsewhere a lease file with a heartbeat:
    a holder known to be dead is superseded at once, one on another host when it was silent for `LEASE_S` seconds. To
    see that silence a waiter waits for at least twice that long, whatever `timeout_s` says.

    Any thread may leave the context. A lease is a hint, not a proof: a holder that was stopped for longer than
    `LEASE_S` and goes on may overlap with its successor (`docs/decisions/0005-locks-on-shared-file-systems.md`).

    Raises:
        TemporaryError: Somebody else held it for `timeout_s` seconds.
        OSError: The lock file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    held = _acquire(path, timeout_s)
    try:
        yield
    finally:
        held.release()


class _BareLock:
    """The same `flock` on the same file, for a compute node's own Python, which has no `filelock`."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        """Take it.

        Raises:
            TemporaryError: Somebody else held it for `timeout_s` seconds.
            OSError: The lock file cannot be made, or the file system has no locks.
        """
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        end = time.monotonic() + timeout_s
        try:
            while not self._is_ours():
                if time.monotonic() > end:
                    raise TemporaryError(_in_vain(path, timeout_s))
                time.sleep(0.05)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _is_ours(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Free it: closing does."""
        os.close(self._descriptor)


def _in_vain(path: Path, waited_s: float) -> str:
    return f"{path} is held by another process; waited {waited_s:.3g} s. Try again later"


def _acquire(path: Path, timeout_s: float) -> "filelock.BaseFileLock | _BareLock":
    try:
        import filelock
    except ImportError:
        return _BareLock(path, timeout_s)

    started = time.monotonic()
    held: filelock.BaseFileLock
    try:
        try:
            held = filelock.FileLock(path, timeout_s, 0o600, thread_local=False, fallback_to_soft=False)
            held.acquire()
        except OSError as error:  # filelock.Timeout is one too; it has no errno
            if error.errno not in _NO_FLOCK:
                raise
            held = filelock.SoftFileLease(
                path.with_name(path.name + ".lease"),
                lease_duration=LEASE_S,
                timeout=max(timeout_s, 2 * LEASE_S),
                thread_local=False,
            )
            held.acquire()
    except filelock.Timeout:
        waited_s = time.monotonic() - started
        raise TemporaryError(_in_vain(path, waited_s)) from None
    return held
