"""Read-only copies of code, named by their content, so that an edit never reaches a task that is already queued.

Standard library only: the wrapper on the compute node verifies the copy it makes for each attempt (`hpc.node.workdir`).
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from hpc.adapters.files import make_folder, mode_in, move_away, publish_folder, temporary_name
from hpc.core.errors import InputError
from hpc.core.identity import hexdigest, sha256
from hpc.core.immutable import immutable

MAX_BYTES = 256 * 1024 * 1024
_UNCHECKED_HASH = (1).to_bytes(4, "little")


@immutable
class LinkTo:
    """A symbolic link of the copy, by the text it holds."""

    target: str


Files = Mapping[str, Path | LinkTo]
"""Name inside a copy → the file to copy, or the link to make."""


def code_digest(files: Files) -> str:
    """SHA-256 over names and contents; also refuses what is too large to copy for every change.

    Raises:
        InputError: The files hold more than `MAX_BYTES`.
    """
    sizes = {name: source.stat().st_size for name, source in files.items() if isinstance(source, Path)}
    if (total := sum(sizes.values())) > MAX_BYTES:
        largest = max(sizes, key=sizes.__getitem__)
        raise InputError(
            f"the code to freeze holds {total >> 20} MiB, more than {MAX_BYTES >> 20}; the largest file is {largest}. "
            f"Data is not code; to link it where the program runs, write  program: {{inputs: [{largest}]}}"
        )
    return digest_of(_line(name, source) for name, source in sorted(files.items()))


def digest_of(lines: Iterable[str]) -> str:
    """The digest of a copy, from the lines of its files in the order of their names."""
    digest = sha256()
    for line in lines:
        digest.update(line.encode("utf-8", "surrogateescape"))
    return str(digest.hexdigest())


def _line(name: str, source: Path | LinkTo, executable: int = 0o111) -> str:
    if isinstance(source, LinkTo):
        return link_line(name, source.target)
    return file_line(name, may_start(source), source.read_bytes(), executable)


def link_line(name: str, target: str) -> str:
    """What a link adds to the digest."""
    return f"{name}\0link\0{target}\n"


def file_line(name: str, starts: bool, content: bytes, executable: int = 0o111) -> str:
    """What a file adds to the digest: its name, whether it may be started, and the digest of its content."""
    return f"{name}\0{executable if starts else 0:o}\0{hexdigest(content)}\n"


def may_start(path: Path) -> bool:
    """Whether a file is meant to be started."""
    return bool(path.stat().st_mode & 0o111)


def check_code(target: Path, sha256: str) -> None:
    """Raise InputError where a copy of the code is not what was frozen: changed, added to or taken from.

    A copy that is gone is not judged here.
    """
    if not target.is_dir():
        return
    found = dict(walk(target))
    # Earlier versions took the bits of the original file into the digest: by umask 022, 027, or 077.
    variants = ({name: _line(name, each, bits) for name, each in found.items()} for bits in (0o111, 0o110, 0o100))
    if not any(digest_of(line for _, line in sorted(lines.items())) == sha256 for lines in variants):
        raise changed(target)


def differing(files: Files, copy: Path) -> list[str]:
    """Names of the files in which code and a copy differ, those that only one of them has included."""
    ours, theirs = ({name: _line(name, source) for name, source in each} for each in (files.items(), walk(copy)))
    return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))


def changed(target: Path) -> InputError:
    """What is said of a copy that is not what was frozen."""
    return InputError(
        "the copy of the code differs from the plan (files changed, added or removed), so it is not run. Plan again: "
        f"{move_away(target)} && python -m hpc.plan {target.parents[1].name}",
        str(target),
    )


def walk(target: Path) -> Iterator[tuple[str, Path | LinkTo]]:
    """List what a copy holds.

    Bytecode that Python left there is passed over where nobody but the owner may have put it there.

    Raises:
        InputError: A special file lies in it.
        OSError: It is not there.
    """
    top = os.fspath(target)
    for entry in _entries(top):
        name = entry.path[len(top) + 1 :]
        if entry.is_symlink():
            yield name, LinkTo(str(Path(entry.path).readlink()))
        elif not entry.is_file():
            raise InputError("the copy of the code contains a special file; move it away", entry.path)
        elif not _is_bytecode(entry.path):
            yield name, Path(entry.path)


def _entries(folder: str) -> Iterator["os.DirEntry[str]"]:
    """All that is no folder, below one; without a call for each entry."""
    with os.scandir(folder) as found:
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(entry.path)
            else:
                yield entry


def _is_bytecode(path: str) -> bool:
    parent = os.path.dirname(path)  # noqa: PTH120  thousands of names
    return parent.endswith("/__pycache__") and not os.stat(parent).st_mode & 0o022  # noqa: PTH116  likewise


def freeze_code(files: Files, target: Path, compiled: Iterable[str] = ()) -> None:
    """Copy files into a folder named by `code_digest`, unless it is there already; nobody may write in it.

    Args:
        target: The copy's folder; complete from the moment it exists.
        compiled: Names of modules to keep bytecode of: nobody can write it later, and each start would compile them.
    """
    if target.is_dir():
        check_code(target, code_digest(files))
        return
    make_folder(target.parent)
    prepared = temporary_name(target)
    try:
        make_folder(prepared)  # also of a project without a file
        for folder in {name.rpartition("/")[0] for name in files}:
            make_folder(prepared / folder)
        readers = mode_in(prepared, 0o500) & 0o077
        for name, source in files.items():
            _freeze(source, f"{prepared}/{name}", readers)
        for name in compiled:
            _leave_bytecode(files[name], prepared / name, target / name)
        close_folders(prepared)
        publish_folder(prepared, target)
    finally:
        if prepared.exists():
            remove_closed(prepared)


def _freeze(source: Path | LinkTo, copy: str, readers: int) -> None:
    """Copy a file into a folder that is there; `readers`: what others than the owner may do with one that starts.

    With as few calls as can be: hundreds of files on a shared file system.
    """
    if isinstance(source, LinkTo):
        Path(copy).symlink_to(source.target)
        return
    with source.open("rb", buffering=0) as file:
        content, starts = file.readall(), os.fstat(file.fileno()).st_mode & 0o111
    mode = 0o500 | readers if starts else 0o400 | readers & 0o044
    with os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb", buffering=1 << 16) as file:
        file.write(content)
        if readers:  # which the mask of who plans may have taken
            os.fchmod(file.fileno(), mode)


def _leave_bytecode(source: Path | LinkTo, copy: Path, final: Path) -> None:
    """Leave bytecode beside a module, as this Python would; another one passes over it and compiles as before.

    Python takes it without a look at the module's time, which a copy of the run may have lost: nobody edits a frozen
    copy, or it is refused. Its form is that of PEP 552.
    """
    import marshal  # here, as below: the wrapper on the compute node freezes nothing
    from importlib.util import MAGIC_NUMBER, source_hash

    content, folder = copy.read_bytes(), copy.parent / "__pycache__"
    make_folder(folder)
    code = _kept_code(source, len(content)) or marshal.dumps(compile(content, final, "exec", dont_inherit=True))
    bytecode = folder / f"{copy.stem}.{sys.implementation.cache_tag}.pyc"
    bytecode.write_bytes(MAGIC_NUMBER + _UNCHECKED_HASH + source_hash(content) + code)
    bytecode.chmod(mode_in(folder, 0o400))


def _kept_code(source: Path | LinkTo, size: int) -> bytes | None:
    """What this Python compiled of a module when it was imported, while time and size are those of now: its own rule.

    The path in it is where the module was; Python puts the place it loads from instead.
    """
    from importlib.util import MAGIC_NUMBER, cache_from_source

    if not isinstance(source, Path):
        return None
    try:
        kept = Path(cache_from_source(source, optimization="")).read_bytes()
        modified = int(source.stat().st_mtime)
    except OSError:
        return None
    stamp = b"".join((number & 0xFFFFFFFF).to_bytes(4, "little") for number in (0, modified, size))
    return kept[16:] if kept[:16] == MAGIC_NUMBER + stamp else None


def close_folders(folder: Path) -> None:
    """Take the right to write from a folder and all below it, also from the owner."""
    for parent, _, _ in os.walk(folder, topdown=False):
        Path(parent).chmod(Path(parent).stat().st_mode & ~0o222)


def remove_closed(folder: Path) -> None:
    """Remove a folder that `close_folders` closed."""
    import shutil

    for parent, _, _ in os.walk(folder):
        Path(parent).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
