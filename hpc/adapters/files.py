"""Files that survive a crash: whole or absent, never half; read without waiting, and refused with what to do.

Standard library only, because the wrapper on the compute node imports it, at each start. What is added to line by line
is in `ledger`, what only one may hold at a time in `locks`.
"""

import contextlib
import errno
import json
import os
import pwd
import shlex
import stat
import time
from collections.abc import Iterable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeVar

from hpc.core.errors import InputError, Problem
from hpc.core.records.record import RecordError, record_from

R = TypeVar("R")
MOST_JSON_BYTES = 256 << 20
"""The largest file that is parsed as JSON; the index of 100,000 tasks takes a third of it."""
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFDIR: "a folder",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_PAGE = 4096
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
_OUTDATED = (errno.ENOENT, errno.ESTALE)
"""What NFS may say of a name that another host has just made or replaced."""
_STALE_READS = 20
_PACKED = "packed.zip"
"""What the small files of an attempt that is over may be packed into, in its folder (`hpc.adapters.packed`)."""
GROUP_READS = 0o750
"""Mode of a run's folders where the profile says ``group_access: read``; the folder an experiment lives in says so for
all that is made in it. Everywhere else nobody but the owner reads or writes, whatever umask, setgid and ACLs say."""


def make_folder(folder: Path, mode: int | None = None, *, parents: bool = True) -> None:
    """Make a folder and its missing parents for nobody but the owner, and for the group to read where `folder` says so.

    One that exists is left as it is.

    Args:
        mode: 0o700 or `GROUP_READS`; None takes after the folder above.
        parents: Make missing folders above; without, one that somebody removed stays so.

    Raises:
        FileNotFoundError: The folder above is not there, and is not to be made.
        OSError: It cannot be made.
    """
    if folder.is_dir():
        return
    if parents:
        make_folder(folder.parent, mode)
    wanted = mode or (GROUP_READS if group_reads(folder.parent) else 0o700)
    try:
        if wanted == 0o700:
            folder.mkdir(0o700)
            _set_mode(folder, wanted)
        else:
            _make_open(folder, wanted)
    except FileExistsError:
        refresh(folder.parent)  # else what another host has just made is no folder for a while
        if os.path.lexists(folder) and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(folder)) from None


def _make_open(folder: Path, mode: int) -> None:
    """Make a folder that has its mode as soon as it has its name: what starts at once meets in it and takes after it.

    Raises:
        FileExistsError: Something of that name, but an empty folder, is there.
        OSError: It cannot be made.
    """
    prepared = temporary_name(folder)
    prepared.mkdir(0o700)
    try:
        _set_mode(prepared, mode)
        prepared.rename(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            prepared.rmdir()
        if error.errno in _TAKEN:
            raise FileExistsError(errno.EEXIST, "exists", str(folder)) from None
        raise


def group_reads(folder: Path) -> bool:
    """Whether the group may read what is in a folder of a run, by the folder's own mode."""
    return stat.S_IMODE(folder.stat().st_mode) & 0o777 == GROUP_READS


def mode_in(folder: Path, mode: int = 0o600) -> int:
    """The mode of a file of ours in a folder: the owner's part, and the group reads where it reads the folder."""
    return for_group(mode) if group_reads(folder) else mode


def for_group(mode: int) -> int:
    """Let the group read, and start, what the owner may."""
    return mode | (mode & 0o500) >> 3


def share(home: Path, mode: int) -> None:
    """Set the mode of the run in a folder (0o700 or `GROUP_READS`), the folder itself last; nothing where it has it.

    Links are left alone, and so is what belongs to somebody else.
    """
    if stat.S_IMODE(home.stat().st_mode) & 0o777 == mode:
        return
    for parent, folders, names in os.walk(home):
        for path in (Path(parent, name) for name in (*folders, *names)):
            found = path.lstat()
            owner = stat.S_IMODE(found.st_mode) & 0o700
            if not stat.S_ISLNK(found.st_mode) and found.st_uid == os.geteuid():
                _set_mode(path, for_group(owner) if mode == GROUP_READS else owner)
    _set_mode(home, mode)


def _set_mode(path: Path, mode: int) -> None:
    """Set the permissions and keep the setgid bit, by which a project's folders hand on their group."""
    found = stat.S_IMODE(path.stat().st_mode)
    wanted = mode | found & stat.S_ISGID
    if found != wanted:
        path.chmod(wanted)


def set_mode_of(descriptor: int, mode: int) -> None:
    """Set the mode of an open file, where it is another: a umask, or an ACL of the folder, may have changed it."""
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
        os.fchmod(descriptor, mode)


@contextlib.contextmanager
def private_umask() -> Iterator[None]:
    """Let nobody but the owner read what this process and its children create without a mode; then as it was."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def follow_access(home: Path) -> None:
    """Set the umask by the folder of a run: what programs and libraries create there is as private as the run."""
    os.umask(0o027 if group_reads(home) else 0o077)


class Lasting(IntEnum):
    """What of a file that was written has to outlive a machine that stops in the next half minute."""

    NOTHING = 0
    """It can be made anew from what lasts, or is of use only to processes of this machine."""
    CONTENT = 1
    """Where its name is found it is whole; until the folder is synced it may be missing, or the old one be there."""
    NAME = 2
    """It is there, and whole."""


def write_text(
    path: Path, text: str, mode: int = 0o600, *, parents: bool = True, lasting: Lasting = Lasting.NAME
) -> None:
    """Replace a file as a whole: temporary file beside it, fsync, rename.

    Args:
        parents: Make missing folders; without, a folder that somebody removed stays so.
        lasting: What is synced to the disk. Whoever reads meanwhile finds it whole in any case.

    Where the group reads the folder, it reads the file.

    Raises:
        FileNotFoundError: Its folder is not there, and is not to be made.
        OSError: The disk is full or the folder not writable; the old file is untouched and no temporary is left.
    """
    write_bytes(path, text.encode("utf-8"), mode, parents=parents, lasting=lasting)


def write_bytes(
    path: Path, data: bytes, mode: int = 0o600, *, parents: bool = True, lasting: Lasting = Lasting.NAME
) -> None:
    """Replace a file as a whole, as `write_text` does."""
    write_pieces(path, (data,), mode, parents=parents, lasting=lasting)


def write_pieces(
    path: Path, pieces: Iterable[bytes], mode: int = 0o600, *, parents: bool = True, lasting: Lasting = Lasting.NAME
) -> None:
    """Replace a file as a whole by pieces that are never held together, as `write_text` does."""
    if parents:
        make_folder(path.parent)
    temporary = temporary_name(path)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode & 0o700)
        with os.fdopen(descriptor, "wb") as file:
            set_mode_of(descriptor, mode_in(path.parent, mode & 0o700))
            file.writelines(pieces)
            file.flush()
            if lasting >= Lasting.CONTENT:
                os.fsync(file.fileno())
            own = os.fstat(file.fileno()).st_ino
        try:
            os.replace(temporary, path)
        except FileNotFoundError:
            if _inode(path) != own:  # else a file server that restarted was asked twice, and had done it
                raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if lasting >= Lasting.NAME:
        sync_folder(path.parent)


@contextlib.contextmanager
def open_new(path: Path) -> Iterator[BinaryIO]:
    """Open a new file of ours for what is not to be held as a whole; durable when the block ends.

    Raises:
        OSError: The disk is full, or something of that name is there.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode_in(path.parent))
    with os.fdopen(descriptor, "wb") as file:
        yield file
        file.flush()
        os.fsync(descriptor)


def _inode(path: Path) -> int | None:
    """Number of what has a name; None where there is nothing."""
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return None


def temporary_name(path: Path) -> Path:
    """A name beside a path that nobody else uses, for what is renamed to it once it is whole."""
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")  # `secrets` would load four modules for that


def sync_folder(folder: Path) -> None:
    """Make a rename durable; file systems that cannot sync a folder do so by themselves or not at all."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, value: Any, *, parents: bool = True, lasting: Lasting = Lasting.NAME) -> None:
    """Replace a JSON file as a whole, as `write_text`. NaN and infinity are refused: they are not JSON."""
    text = json_text(value)
    # A file name that is no UTF-8 reaches us with lone surrogates: \udcXX is valid JSON and comes back the same.
    write_text(path, text.encode("utf-8", "backslashreplace").decode("utf-8"), parents=parents, lasting=lasting)


_LONG = 100
"""A longer list has a line an item, whatever is in it: the encoder that indents takes ten times as long."""


def json_text(value: Any) -> str:
    """Write JSON for people too: indented, and a long list of the outermost object with a line an item."""
    return _indented(value) + "\n"


def _indented(value: Any) -> str:
    if not isinstance(value, dict) or not any(isinstance(each, list) and len(each) > _LONG for each in value.values()):
        return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    members = (f" {json.dumps(str(name), ensure_ascii=False)}: {_member_text(each)}" for name, each in value.items())
    return "{\n" + ",\n".join(members) + "\n}"


def _member_text(value: Any) -> str:
    if not isinstance(value, list) or len(value) <= _LONG:
        return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).replace("\n", "\n ")
    items = (json.dumps(item, ensure_ascii=False, allow_nan=False) for item in value)
    return "[\n  " + ",\n  ".join(items) + "\n ]"


def open_log(path: Path) -> IO[bytes]:
    """Open a log to append to, unbuffered; made where there is none.

    Raises:
        OSError: It cannot be made, or something else has its name (opening a named pipe would wait for a reader).
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ENXIO, "is a named pipe", str(path))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        set_mode_of(descriptor, mode_in(path.parent))
    return os.fdopen(descriptor, "ab", buffering=0)


def refresh(folder: Path) -> None:
    """Have a network file system ask its server what is in a folder; else a name that is new is absent for a minute.

    NFS keeps in mind that there was no such name; opening the folder makes it look whether the folder has changed.
    """
    with contextlib.suppress(OSError):
        os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


def is_there(path: Path) -> bool:
    """Whether there is something of a name, by the file server's word: ask it where absence decides something.

    Raises:
        OSError: The file system has an error.
    """
    if path.exists():
        return True
    refresh(path.parent)
    return path.exists()


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file, or a link to one, for reading. It never waits: nothing else is opened for long.

    What is absent is absent by the file server's word (`refresh`). A file that was packed (`hpc.adapters.packed`) is
    opened as it was, without a name.

    Raises:
        FileNotFoundError: There is nothing of that name.
        InputError: There is something else (a named pipe, a folder, a link to nothing), or we may not read it.
        OSError: The file system has an error.
    """
    # Without O_NONBLOCK, opening a named pipe waits for somebody who writes into it.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        try:
            descriptor = os.open(path, flags)
        except OSError as error:
            if error.errno not in _OUTDATED:
                raise
            refresh(path.parent)
            descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ENOENT and (packed := _open_packed(path)):
            return packed
        raise _not_opened(path, error) from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise _no_regular_file(path, mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _open_packed(path: Path) -> BinaryIO | None:
    """Open a file that is not there under its name, where it was packed."""
    if path.name == _PACKED or not os.path.lexists(path.parent / _PACKED) or path.is_symlink():
        return None
    from hpc.adapters.packed import open_packed

    return open_packed(path)


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Read a regular file whole.

    Args:
        path: The file, or a link to it.
        most_bytes: A larger file is refused.

    Raises:
        FileNotFoundError: There is nothing of that name.
        InputError: As `open_regular`, or it is larger.
        OSError: The file system has an error.
    """
    for attempt in range(1, _STALE_READS + 1):
        try:
            with open_regular(path) as file:
                expected = min(os.fstat(file.fileno()).st_size, most_bytes)
                content = file.read(max(expected, _PAGE) + 1)  # /proc says 0; what grows is read as far as it was
            break
        except OSError as error:  # replaced by another host while it was read: the new one is there
            if error.errno != errno.ESTALE or attempt == _STALE_READS:
                raise
            refresh(path.parent)  # else the old one is opened again, for a minute
            time.sleep(0.01)
    if len(content) > most_bytes:
        raise _unusable(path, f"is larger than the {most_bytes:,} bytes that are read")
    return content


def _not_opened(path: Path, error: OSError) -> Exception:
    """What a failed `open` means to a person; the error itself where it is the file system's own."""
    if error.errno == errno.ENOENT and path.is_symlink():
        return _unusable(path, f"is a link to {path.readlink()}, which does not exist")
    if error.errno == errno.ELOOP:
        return _unusable(path, "is a link that leads back to itself")
    if error.errno == errno.ENXIO:  # sockets cannot be opened at all
        return _no_regular_file(path, path.stat().st_mode)
    if error.errno in (errno.EACCES, errno.EPERM):
        return _unusable(path, "is not readable for you", _ask_for_access(path))
    return error


def _no_regular_file(path: Path, mode: int) -> InputError:
    return _unusable(path, f"is not a regular file ({_KINDS.get(stat.S_IFMT(mode), 'of an unknown kind')})")


def _unusable(path: Path, problem: str, remedy: str = "") -> InputError:
    return InputError((Problem(problem, remedy=remedy or f"move it away: {move_away(path)}"),), str(path))


def move_away(path: Path) -> str:
    """A command that takes a file or folder out of the way and loses nothing; its new name is no name of ours."""
    return shlex.join(["mv", str(path), f"{path}.unusable"])


def _ask_for_access(path: Path) -> str:
    """How to get at a file: by `chmod` where it is ours, else by asking its owner."""
    barred = _barred(path)
    owner = barred.lstat().st_uid
    if owner == os.geteuid():
        return f"give yourself access: chmod u+{'rx' if barred.is_dir() else 'r'} {shlex.quote(str(barred))}"
    return f"{barred} belongs to {_name_of(owner)}: ask them for access"


def _barred(path: Path) -> Path:
    """The file, or the outermost folder above it that does not let us in."""
    closed = (folder for folder in reversed(path.absolute().parents) if not os.access(folder, os.X_OK))
    return next(closed, path)


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def read_json(path: Path) -> Any:
    """Read a JSON file of at most `MOST_JSON_BYTES`.

    Raises:
        FileNotFoundError: There is none.
        InputError: It is not JSON, not UTF-8, too large, no regular file, or not ours to read; the message names the
            file, the place and what to do.
        OSError: The file system has an error.
    """
    content = read_regular(path, MOST_JSON_BYTES)
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        remedy = f"restore it from a copy, or move it away: {move_away(path)}"
        raise _unusable(path, f"not valid JSON ({error}); it was cut or edited", remedy) from None


def read_json_or_none(path: Path) -> Any:
    """Read a JSON file; None where there is none."""
    try:
        return read_json(path)
    except FileNotFoundError:
        return None


def read_record(path: Path, kind: type[R]) -> R:
    """Read a record.

    Raises:
        FileNotFoundError: There is none.
        InputError: It is not JSON, not that record, or cannot be read; the message names the file and each field.
    """
    try:
        return record_from(kind, read_json(path))
    except RecordError as error:
        raise InputError(str(error), str(path)) from None
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror or error})") from None


def read_record_or_none(path: Path, kind: type[R]) -> R | None:
    """Read a record; None where there is none."""
    try:
        return read_record(path, kind)
    except FileNotFoundError:
        return None


def readable_record(path: Path, kind: type[R]) -> R | None:
    """Read a record; None where there is none, or one that nobody can read."""
    try:
        return read_record_or_none(path, kind)
    except InputError:
        return None


def publish_folder(prepared: Path, target: Path) -> bool:
    """Rename a prepared, non-empty folder to its final name; False when somebody else was first (nothing is changed).

    Renaming onto a non-empty folder fails on every file system, so exactly one of any number of callers succeeds.
    """
    own = prepared.stat().st_ino
    try:
        prepared.rename(target)
    except OSError as error:
        refresh(target.parent)
        if _inode(target) == own:  # a file server that restarted was asked twice, and had done it
            pass
        elif error.errno in _TAKEN and target.exists():
            return False
        else:
            raise
    sync_folder(target.parent)
    return True
