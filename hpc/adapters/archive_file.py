"""One compressed tar, written and read as a stream: bounded memory, never half a file, nothing outside its folder.

``.tar.gz`` is Python's own; ``.tar.zst`` goes through the program ``zstd``.
"""

import contextlib
import gzip
import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, cast

from hpc.adapters.files import make_folder, open_regular, sync_folder, temporary_name
from hpc.core.errors import HpcError, InputError
from hpc.core.immutable import immutable

SUFFIXES = (".tar.gz", ".tgz", ".tar.zst")
BLOCK = 1 << 20
MOST_HEADER = 1 << 20
"""Bytes of an extended header, such as a long name; more is no archive of ours."""
MOST_PADDING = 4 << 20
"""Bytes that may follow the last member."""
MOST_MEMBERS = 20_000_000
MOST_RATIO = 2000
"""Bytes that may come of one of a compressed file; text of logs comes to a hundred."""
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
Progress = Callable[[int], object]


class ArchiveError(HpcError):
    """An archive cannot be believed, or what was to be archived changed meanwhile."""


class ArchiveWriter:
    """Writes a tar whose bytes depend on names, contents, times and the owner's permissions alone."""

    def __init__(self, stream: IO[bytes], top: str, progress: Progress) -> None:
        """Write below the folder `top`."""
        self._tar = tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, bufsize=BLOCK)  # noqa: SIM115  closed by `close`
        self._top, self._progress = top, progress

    def add(self, name: str, path: Path) -> str:
        """Add a folder, a link or a file; return the digest of a file, empty for others.

        Raises:
            ArchiveError: The file became shorter while it was read.
            OSError: It is gone, or the disk is full.
        """
        found = path.lstat()
        info = self._info(name, found.st_mode, found.st_mtime)
        if stat.S_ISDIR(found.st_mode):
            info.type = tarfile.DIRTYPE
            self._tar.addfile(info)
            return ""
        if stat.S_ISLNK(found.st_mode):
            info.type, info.linkname, info.mtime = tarfile.SYMTYPE, os.readlink(path), 0  # noqa: PTH115  text
            self._tar.addfile(info)
            return ""
        with open_regular(path) as file:
            opened = os.fstat(file.fileno())
            info.size, info.mtime = opened.st_size, int(opened.st_mtime)
            reader = _Reader(file, info.size, self._progress)
            try:
                self._tar.addfile(info, cast("IO[bytes]", reader))
            except OSError as error:
                if error.errno is None:  # tarfile's own: unexpected end of data
                    raise ArchiveError(f"{path} shrank while it was being archived; try again") from None
                raise
            return reader.digest.hexdigest()

    def add_text(self, name: str, text: str, when: float) -> None:
        """Add a file of ours."""
        data = text.encode("utf-8", "surrogateescape")
        info = self._info(name, 0o600, when)
        info.size = len(data)
        self._tar.addfile(info, io.BytesIO(data))

    def close(self) -> None:
        """End it."""
        self._tar.close()

    def abandon(self) -> None:
        """Write nothing more: tarfile would end it when it is thrown away, into a file that is closed by then."""
        cast("Any", self._tar).closed = True
        cast("Any", self._tar.fileobj).closed = True

    def _info(self, name: str, mode: int, when: float) -> tarfile.TarInfo:
        info = tarfile.TarInfo(f"{self._top}/{name}" if name else self._top)
        info.mode, info.mtime = stat.S_IMODE(mode) & 0o700, int(when)
        return info


class _Reader:
    """A file of a known size that is hashed as it is read."""

    def __init__(self, file: BinaryIO, size: int, progress: Progress) -> None:
        self._file, self._left, self._progress = file, size, progress
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(self._left, size if size >= 0 else self._left))
        self._left -= len(data)
        self.digest.update(data)
        self._progress(len(data))
        return data


@contextlib.contextmanager
def writing(path: Path, top: str, progress: Progress = lambda _: None) -> Iterator[ArchiveWriter]:
    """Write an archive; it has its name once it is whole and on disk, and there is nothing where it fails.

    Raises:
        InputError: Its name says no format that can be written here.
        OSError: The disk is full.
    """
    check_suffix(path)
    temporary = temporary_name(path)
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with _compressing(file, is_zstd=path.name.endswith(".zst")) as stream:
                writer = ArchiveWriter(stream, top, progress)
                try:
                    yield writer
                    writer.close()
                except BaseException:
                    writer.abandon()
                    raise
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def check_suffix(path: Path) -> None:
    """Raise InputError for a name of which no archive can be made here."""
    if not path.name.endswith(SUFFIXES):
        raise InputError(f"{path.name}: an archive ends with .tar.gz or .tar.zst")
    if path.name.endswith(".zst") and shutil.which("zstd") is None:
        raise InputError(f"{path.name}: the program zstd is not installed; install it, or write .tar.gz")


@contextlib.contextmanager
def _compressing(file: IO[bytes], *, is_zstd: bool) -> Iterator[IO[bytes]]:
    if not is_zstd:
        with gzip.GzipFile("", "wb", 6, file, mtime=0) as stream:  # no name and no time: the same bytes again
            yield cast("IO[bytes]", stream)
        return
    command = ["zstd", "-q", "-c", "-6", "-T1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.PIPE) as process:
        if process.stdin is None or process.stderr is None:
            raise AssertionError("pipes were asked for")
        try:
            yield process.stdin
            process.stdin.close()
        except BrokenPipeError:  # it says why itself
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        except BaseException:
            process.kill()
            raise
        said = process.stderr.read().decode("utf-8", "replace").strip()
        if process.wait():
            raise OSError(f"zstd could not write it: {said or process.returncode}")


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────


@immutable
class Unpacked:
    """What came out of an archive.

    Attributes:
        top: Its only folder.
        digests: Path below it → SHA-256 of each file.
    """

    top: str
    digests: dict[str, str]


def unpack(path: Path, folder: Path, progress: Progress = lambda _: None) -> Unpacked:
    """Unpack an archive into an empty folder: files, folders, and links that stay within; nothing else, and not more
    than there is room for.

    Raises:
        ArchiveError: It is none, is damaged, or holds what no archive of ours does.
        InputError: It cannot be read here.
        OSError: The disk is full.
    """
    room = shutil.disk_usage(folder).free
    most = min(room, path.stat().st_size * MOST_RATIO + (64 << 20))
    digests: dict[str, str] = {}
    links: list[tuple[Path, str]] = []
    folders: list[tuple[Path, tarfile.TarInfo]] = []
    top, count = "", 0
    try:
        with _decompressing(path) as stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=_Bounded) as tar:
            for info in tar:
                count += 1
                most -= info.size if info.isreg() else 0
                if most < 0 or count > MOST_MEMBERS:
                    raise ArchiveError(
                        f"{path} would unpack to more than there is room for, or than a file of its size can hold"
                    )
                place = _place_of(info, path)
                top = top or place.parts[0]
                if place.parts[0] != top:
                    raise ArchiveError(f"{path} holds {place.parts[0]!r} beside {top!r}: hpc archive did not make it")
                target = folder.joinpath(*place.parts)
                if info.isdir():
                    make_folder(target, 0o700)
                    folders.append((target, info))
                elif info.issym():
                    links.append((target, info.linkname))
                else:
                    digests["/".join(place.parts[1:])] = _write(tar, info, target, progress)
            for _ in range(MOST_PADDING // BLOCK):  # to the end, where a checksum stands
                if not stream.read(BLOCK):
                    break
            else:
                raise ArchiveError(f"{path} has data after its end: hpc archive did not make it")
    except (tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
        raise ArchiveError(f"{path} is damaged or not an archive ({error})") from None
    for target, linkname in links:  # last, so that nothing was written through one
        target.symlink_to(linkname)
    for target, info in reversed(folders):
        os.utime(target, (info.mtime, info.mtime))
        target.chmod((info.mode & 0o700) | 0o500)
    return Unpacked(top, digests)


class _Bounded(tarfile.TarInfo):
    """A header whose extensions are read into memory only where they are small."""

    def _proc_member(self, tar: tarfile.TarFile) -> Any:
        """Called for each header before what belongs to it is read."""
        is_member = self.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE)
        if not is_member and self.size > MOST_HEADER:
            raise ArchiveError(f"a header of {self.size:,} bytes: no archive of hpc archive")
        return super()._proc_member(tar)  # type: ignore[misc]


def _place_of(info: tarfile.TarInfo, path: Path) -> PurePosixPath:
    """Where a member goes.

    Raises:
        ArchiveError: It leads out of the folder, or is no file, folder or link.
    """
    place = PurePosixPath(info.name)
    parts = place.parts
    if place.is_absolute() or not parts or {"..", "."} & set(info.name.split("/")):
        raise ArchiveError(f"{path} holds {info.name!r}, which points outside it")
    if info.issym() and not stays_within(parts, info.linkname):
        raise ArchiveError(f"{path} holds the link {info.name!r} to {info.linkname!r}, which points outside it")
    if info.issparse() or not (info.isreg() or info.isdir() or info.issym()):
        raise ArchiveError(f"{path} holds {info.name!r}, which is not a file, folder or symbolic link")
    return place


def stays_within(parts: tuple[str, ...], linkname: str) -> bool:
    """Whether a link at a place leads to something below the first part of that place."""
    if linkname.startswith("/") or not linkname:
        return False
    depth = len(parts) - 2
    for part in linkname.split("/"):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        if depth < 0:
            return False
    return True


def _write(tar: tarfile.TarFile, info: tarfile.TarInfo, target: Path, progress: Progress) -> str:
    source, digest = tar.extractfile(info), hashlib.sha256()
    if source is None:
        raise ArchiveError(f"{info.name!r} has no content")
    make_folder(target.parent, 0o700)
    mode = (info.mode & 0o700) | 0o400
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as file:
        while data := source.read(BLOCK):
            digest.update(data)
            file.write(data)
            progress(len(data))
    os.utime(target, (info.mtime, info.mtime))
    return digest.hexdigest()


@contextlib.contextmanager
def _decompressing(path: Path) -> Iterator[IO[bytes]]:
    with open_regular(path) as file:
        magic = file.read(4)
        file.seek(0)
        if magic.startswith(_GZIP):
            with gzip.GzipFile(fileobj=file, mode="rb") as stream:
                yield cast("IO[bytes]", stream)
            return
        if magic != _ZSTD:
            raise ArchiveError(f"{path} is no .tar.gz and no .tar.zst")
        if shutil.which("zstd") is None:
            raise InputError(f"{path}: the program zstd is not installed; install it, or unpack it elsewhere")
        os.lseek(file.fileno(), 0, os.SEEK_SET)  # it reads on from where the descriptor stands
        command = ["zstd", "-q", "-d", "-c", "--memory=256MB"]
        with subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            if process.stdout is None or process.stderr is None:
                raise AssertionError("pipes were asked for")
            try:
                yield process.stdout
            except BaseException:
                process.kill()
                raise
            said = process.stderr.read().decode("utf-8", "replace").strip()
            if process.wait():
                raise ArchiveError(f"{path} is damaged ({said or process.returncode})")
