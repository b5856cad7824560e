"""What a file system really does: small experiments in a folder of their own. Each says what went wrong, or nothing.

Standard library only: compute nodes run it, too. Nothing here waits for anybody; a mount that hangs is the caller's to
bound (`hpc.checkup.bounded`).
"""

import contextlib
import errno
import fcntl
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hpc.core.checkup.storage import Mount, Quota, mount_of, parse_mounts, parse_quotas

PREFIX = ".hpc-doctor-"
QUOTA_S = 5.0
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
GOT, REFUSED, BROKEN = 0, 1, 2
"""What a second process says of a lock."""


@contextlib.contextmanager
def folder_in(home: Path) -> Iterator[Path]:
    """Make a hidden folder of our own, and remove it with all that is in it.

    Raises:
        OSError: It cannot be made.
    """
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=home))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    return next(each for each in (path, *path.parents) if each.is_dir())


def mount_at(folder: Path) -> Mount | None:
    """Where a folder is mounted from; None where the kernel does not say."""
    try:
        text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    return mount_of(os.path.realpath(folder), parse_mounts(text))


def said(error: OSError) -> str:
    """What the system answered, without the path."""
    return f"{error.strerror or error} ({errno.errorcode.get(error.errno or 0, 'no number')})"


def try_write(folder: Path) -> str:
    """Write, sync and read a file."""
    path = folder / "written"
    try:
        with path.open("wb") as file:
            file.write(b"x" * 8192)
            file.flush()
            os.fsync(file.fileno())
        return "" if path.read_bytes() == b"x" * 8192 else "reading returns something else than was written"
    except OSError as error:
        return said(error)


def try_rename(folder: Path) -> str:
    """Replace a file by renaming over it, and publish a folder that may be published once."""
    try:
        (folder / "old").write_text("old", encoding="utf-8")
        (folder / "new").write_text("new", encoding="utf-8")
        os.replace(folder / "new", folder / "old")
        if (folder / "old").read_text(encoding="utf-8") != "new" or (folder / "new").exists():
            return "a replaced file still shows its old content"
        for name in ("a", "b"):
            (folder / name).mkdir()
            (folder / name / "file").touch()
        try:
            (folder / "a").rename(folder / "b")
        except OSError as error:
            return "" if error.errno in (errno.ENOTEMPTY, errno.EEXIST) else said(error)
    except OSError as error:
        return said(error)
    return "a folder was renamed onto one that is not empty"


def try_exclusive(folder: Path) -> str:
    """Make a name that may be made once."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    try:
        os.close(os.open(folder / "once", flags, 0o600))
        os.close(os.open(folder / "once", flags, 0o600))
    except FileExistsError:
        return ""
    except OSError as error:
        return said(error)
    return "the same name was made twice"


def try_hard_link(folder: Path) -> str:
    """Link a file to a second name."""
    try:
        (folder / "first").write_text("x", encoding="utf-8")
        os.link(folder / "first", folder / "second")
        return "" if (folder / "second").stat().st_nlink == 2 else "the second name is a copy"
    except OSError as error:
        return said(error)


Locker = Callable[[int, int], None]


def _flock(descriptor: int, operation: int) -> None:
    fcntl.flock(descriptor, operation)


def _lockf(descriptor: int, operation: int) -> None:
    fcntl.lockf(descriptor, operation)


def try_flock(folder: Path) -> str:
    """Keep another process out by `flock`; ``none: …`` where there are no locks."""
    return _try_lock(folder / "flock", _flock)


def try_fcntl(folder: Path) -> str:
    """Keep another process out by `fcntl`; ``none: …`` where there are no locks."""
    return _try_lock(folder / "fcntl", _lockf)


def _try_lock(path: Path, take: Locker) -> str:
    descriptor = -1
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        take(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if (answer := _ask_another(path, take)) != REFUSED:
            return "does not exclude: a second process got it too" if answer == GOT else "a second process met an error"
        take(descriptor, fcntl.LOCK_UN)
        return "" if _ask_another(path, take) == GOT else "stays locked after it was released"
    except OSError as error:
        return f"none: {said(error)}" if error.errno in _NO_LOCKS else said(error)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _ask_another(path: Path, take: Locker) -> int:
    """Let a child try a lock; return what it met."""
    child = os.fork()
    if child == 0:
        os._exit(try_lock_now(path, take))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def try_lock_now(path: Path, take: Locker = _flock) -> int:
    """Try a lock that somebody may hold, and let it go at once."""
    try:
        descriptor = os.open(path, os.O_RDWR)
        take(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return REFUSED
    except OSError:
        return BROKEN
    return GOT


@contextlib.contextmanager
def held(path: Path) -> Iterator[str]:
    """Hold a file by `flock` and `fcntl`; return what went wrong."""
    descriptor, problem = -1, ""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        _flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        problem = said(error)
    try:
        yield problem
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def measure_skew(folder: Path) -> float:
    """Seconds by which the file system's clock is ahead of this one; a coarse time stamp counts for its next second.

    Raises:
        OSError: The file cannot be made.
    """
    path = folder / "time"
    before = time.time()
    path.touch()
    after = time.time()
    found = path.stat().st_mtime
    if before - 1 <= found <= after:
        return 0.0
    return found - after if found > after else found - before


def try_names(folder: Path) -> str:
    """Make files with long and unusual names."""
    for name in ("n" * 255, "L2_G0.5_S42=,+@", "später"):
        try:
            (folder / name).touch()
            if name not in {each.name for each in folder.iterdir()}:
                return f"a file was made as '{name[:20]}' and has another name"
        except OSError as error:
            return f"'{name[:20]}{'…' if len(name) > 20 else ''}' ({len(name)} characters): {said(error)}"
    return ""


def folds_case(folder: Path) -> bool:
    """Whether ``Case`` and ``case`` are one file."""
    (folder / "Case").touch()
    return (folder / "case").exists()


def free_mib(folder: Path) -> int:
    """Room that an ordinary user may take, in MiB."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize >> 20


def free_files(folder: Path) -> int | None:
    """How many more files there may be; None where the file system does not count them."""
    found = os.statvfs(folder)
    return found.f_favail if found.f_files else None


def read_quotas(mount: Mount | None) -> list[Quota]:
    """Ask ``quota``, and ``lfs quota`` on Lustre, where they are; nothing where they do not answer."""
    commands = [["quota", "-w", "-p"]]
    if mount and mount.kind == "lustre":
        user = pwd.getpwuid(os.geteuid()).pw_name
        commands = [["lfs", "quota", "-q", "-u", user, mount.point], *commands]
    found: list[Quota] = []
    for command in commands:
        found += parse_quotas(printed_by(command, QUOTA_S))
    return found


def printed_by(command: Sequence[str], limit_s: float) -> str:
    """What a command prints, whatever it ends with; empty where it is not there or takes too long."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s, check=False,
            errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
