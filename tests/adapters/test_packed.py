"""Packed files of an attempt: whatever happens on the way, each is read as it was, from wherever it is."""

import errno
import os
import signal
import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpc.adapters import packing
from hpc.adapters.files import open_regular, read_json
from hpc.adapters.log_lines import LogReader, size_of, start_of_tail
from hpc.adapters.logs import read_program_logs
from hpc.adapters.packed import MOST_BYTES, PACKED, has_file, names_in
from hpc.adapters.packing import is_loose, pack
from hpc.core.errors import InputError
from hpc.core.layout import AttemptLayout

SMALL = {
    "stdout.log": b"step 1 loss 0.5\n" * 500,
    "stderr.log": b"",
    "stdout.rank3.log": b"\xff\0 no text\r\n",
    "stderr.node1.log": b"a line without an end",
    "outcome.json": b'{"code": 0}',
    "scheduler.json": b"{}",
    "summary.json": b'{"complete": true}',
    "system.jsonl": b"{}\n{}\n",
}
STAYS = {"task.json": b"{}", "exit.json": b"{}", "metrics.h5": b"\x89HDF", "model.pt": b"0" * 100, "my.log": b"mine"}
WHEN = 1_790_000_001.25


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An attempt that is over."""
    home = tmp_path / "attempt-1"
    home.mkdir()
    for name, content in {**SMALL, **STAYS}.items():
        (home / name).write_bytes(content)
        os.utime(home / name, (WHEN, WHEN))
    return home


def read(path: Path) -> bytes:
    """Read a file as every reader of ours does."""
    with open_regular(path) as file:
        assert stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        return file.read()


def everything(folder: Path) -> dict[str, bytes]:
    """All files of an attempt by name, packed or not, but for what packing itself makes."""
    return {name: read(folder / name) for name in names_in(folder) if PACKED not in name}


def test_packed_files_are_read_by_their_names(folder: Path) -> None:
    """One archive in the place of eight files; content, size and time are as they were, for us and for unzip."""
    before = len([*folder.iterdir()])
    logs = read_program_logs(AttemptLayout(folder))
    assert is_loose(folder)
    assert pack(folder) == len(SMALL) - 1 == before - len([*folder.iterdir()])
    assert everything(folder) == SMALL | STAYS
    assert {each.name for each in folder.iterdir()} == {*STAYS, PACKED}
    with open_regular(folder / "stdout.log") as file:
        found = os.fstat(file.fileno())
        assert (found.st_size, found.st_mtime) == (len(SMALL["stdout.log"]), int(WHEN))
        file.seek(-5, os.SEEK_END)
        assert file.read() == b" 0.5\n"
    assert read_json(folder / "summary.json") == {"complete": True}
    assert read_program_logs(AttemptLayout(folder)) == logs
    reader = LogReader(folder / "stdout.log", start_of_tail(folder / "stdout.log", 2))
    assert (reader.read(), reader.read(), reader.said) == (b"step 1 loss 0.5\n" * 2, b"", "")
    reader.close()
    assert LogReader(folder / "stderr.node2.log").read() == b""
    assert (size_of(folder / "stdout.log"), size_of(folder / "stderr.node2.log")) == (len(SMALL["stdout.log"]), 0)
    assert has_file(folder / "scheduler.json")
    assert not has_file(folder / "watch.json")
    with pytest.raises(FileNotFoundError):
        open_regular(folder / "watch.json")
    with zipfile.ZipFile(folder / PACKED) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == SMALL
    assert stat.S_IMODE((folder / PACKED).stat().st_mode) == 0o600
    assert not is_loose(folder)
    assert pack(folder) == 0


def test_what_comes_later_is_packed_too_and_what_lies_beside_counts(folder: Path) -> None:
    """A file under its own name is read before the archive, and takes the place of what is packed."""
    pack(folder)
    (folder / "stdout.log").write_bytes(b"printed again\n")
    (folder / "check.log").write_bytes(b"passed\n")
    expected = SMALL | STAYS | {"stdout.log": b"printed again\n", "check.log": b"passed\n"}
    assert everything(folder) == expected
    assert pack(folder) == 2
    assert everything(folder) == expected
    for name, content in SMALL.items():  # unpacked by hand
        (folder / name).write_bytes(content)
    assert everything(folder) == expected | SMALL


def test_a_kill_at_any_moment_loses_nothing(folder: Path) -> None:
    """Before each opening, renaming and removing: every file is read as it was, and packing again comes to an end."""
    (folder / "check.log").write_bytes(b"passed\n")
    expected = everything(folder)
    moment = 0
    while True:
        moment += 1
        child = os.fork()
        if not child:
            _die_at(moment, lambda: pack(folder))
        _, status = os.waitpid(child, 0)
        assert everything(folder) == expected, moment
        if os.WIFEXITED(status):
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
    assert moment > 10
    assert os.WEXITSTATUS(status) == 0
    pack(folder)
    assert {each.name for each in folder.iterdir()} == {*STAYS, PACKED}


def _die_at(moment: int, act: Callable[[], object]) -> None:
    """In a child: act, and be killed right before the n-th thing that touches the file system."""
    left = iter(range(1, moment))

    def count(event: str, _: tuple[Any, ...]) -> None:
        if event in ("open", "os.rename", "os.remove", "os.listdir") and next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    try:
        act()
    except BaseException:
        os._exit(1)
    os._exit(0)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_every_file(folder: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """The archive is not written: nothing is removed, and nothing half stays."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        with pytest.raises(OSError, match="No space"):
            pack(folder)
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == SMALL | STAYS


def test_what_is_written_meanwhile_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changed after it was read is not removed."""
    rename = os.replace

    def replaced(*given: Any) -> None:
        rename(*given)
        with (folder / "stdout.log").open("ab") as file:
            file.write(b"late\n")

    monkeypatch.setattr(os, "replace", replaced)
    pack(folder)
    assert (folder / "stdout.log").read_bytes() == SMALL["stdout.log"] + b"late\n"
    assert everything(folder) == SMALL | STAYS | {"stdout.log": SMALL["stdout.log"] + b"late\n"}


def test_an_archive_that_does_not_read_as_written_gets_no_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written is read back and compared before any file goes."""
    monkeypatch.setattr(packing.zipfile.ZipFile, "read", lambda *_: b"something else")
    with pytest.raises(OSError, match="does not read as it was written"):
        pack(folder)
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == SMALL | STAYS


def test_only_plain_files_of_ours_are_packed(folder: Path, tmp_path: Path) -> None:
    """Links, pipes, folders, second names and what is large stay as they are."""
    (tmp_path / "elsewhere").write_bytes(b"not mine")
    (folder / "stderr.rank1.log").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / "stderr.rank2.log")
    (folder / "check.log").mkdir()
    os.link(tmp_path / "elsewhere", folder / "sanity.log")
    os.truncate(folder / "system.jsonl", MOST_BYTES + 1)
    pack(folder)
    assert (folder / "stderr.rank1.log").is_symlink()
    assert (folder / "stderr.rank2.log").is_fifo()
    assert (folder / "check.log").is_dir()
    assert (folder / "sanity.log").read_bytes() == b"not mine"
    assert (folder / "system.jsonl").stat().st_size == MOST_BYTES + 1


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in range(60, 200):  # the first files' compressed content
        content[place] ^= 0xFF
    path.write_bytes(bytes(content))


def _swell(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("outcome.json", bytes(MOST_BYTES + 1))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [_cut, _flip, _swell, _pipe, _folder])
def test_an_archive_that_is_damaged_is_said_to_be(folder: Path, damage: Callable[[Path], None]) -> None:
    """With its name and the way on, and without waiting; packing leaves it alone, and what lies beside it."""
    pack(folder)
    damage(folder / PACKED)
    with pytest.raises(InputError, match=r"packed\.zip.*\n?.*mv "):
        open_regular(folder / "outcome.json")
    (folder / "check.log").write_bytes(b"passed\n")
    with pytest.raises(InputError):
        pack(folder)
    assert read(folder / "check.log") == b"passed\n"
    assert (folder / "check.log").exists()
