"""Files that survive a crash, folders that exactly one gets, locks that no dead process keeps."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc.adapters import files
from hpc.core.errors import InputError, TemporaryError

HOLD = """
import sys, time
from pathlib import Path
from hpc.adapters import files
if sys.argv[2] == "lease":
    import errno, fcntl
    def refuse(descriptor, operation): raise OSError(errno.ENOSYS, "no flock here")
    fcntl.flock = refuse
files.LEASE_S = 1.5
with files.lock(Path(sys.argv[1]), timeout_s=5):
    print("held", flush=True)
    time.sleep(60)
"""


def test_text_is_replaced_as_a_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """The new text is there, with the wanted mode, and no temporary file."""
    target = tmp_path / "new" / "folder" / "a.txt"
    files.write_text(target, "one")
    files.write_text(target, "zwei ü", mode=0o640)

    assert target.read_text(encoding="utf-8") == "zwei ü"
    assert target.stat().st_mode & 0o777 == 0o640
    assert list(target.parent.iterdir()) == [target]


def test_text_is_whole_whenever_its_writer_is_killed(tmp_path: Path) -> None:
    """kill -9 at any moment: a reader finds one of the versions, complete."""
    target = tmp_path / "a.txt"
    files.write_text(target, "0" * 50_000)
    write_for_ever = (
        "import sys, itertools; from pathlib import Path; from hpc.adapters import files\n"
        "print('ready', flush=True)\n"
        "for n in itertools.cycle('123456789'): files.write_text(Path(sys.argv[1]), n * 50_000)\n"
    )
    for round_number in range(12):
        with _started(write_for_ever, target) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            time.sleep(0.0037 * round_number)
            writer.kill()
        content = target.read_text(encoding="utf-8")

        assert len(content) == 50_000
        assert len(set(content)) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    mounted = os.geteuid() == 0 and (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", mount], capture_output=True, check=False
        ).returncode
        == 0
    )
    if not mounted:
        pytest.skip("mounting a small file system needs root")
    yield mount
    subprocess.run(["umount", mount], check=True)


def test_a_full_disk_keeps_the_old_file(small_disk: Path) -> None:
    """No space: the error says so, the old text stays, the temporary is gone."""
    target = small_disk / "a.txt"
    files.write_text(target, "old")

    with pytest.raises(OSError, match="No space left") as failure:
        files.write_text(target, "x" * 1_000_000)

    assert failure.value.errno == errno.ENOSPC
    assert target.read_text(encoding="utf-8") == "old"
    assert list(small_disk.iterdir()) == [target]


def test_json_comes_back_the_same(tmp_path: Path) -> None:
    """Unicode, and file names that are no UTF-8, survive."""
    value = {"name": "Größe ✓", "raw": os.fsdecode(b"a\xff"), "list": [1, None, 0.5, True]}
    files.write_json(tmp_path / "a.json", value)

    assert files.read_json(tmp_path / "a.json") == value
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [-float("inf")]}])
def test_json_refuses_what_is_not_json(tmp_path: Path, value: object) -> None:
    """NaN and infinity raise, and nothing is written."""
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a.json", value)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe", b"[" * 100_000])
def test_broken_json_is_named(tmp_path: Path, content: bytes) -> None:
    """Whatever is wrong with it, the message names the file."""
    path = tmp_path / "broken.json"
    path.write_bytes(content)

    with pytest.raises(InputError, match=r"broken\.json.*not valid JSON"):
        files.read_json(path)


def test_absent_json_is_not_broken_json(tmp_path: Path) -> None:
    """Absent: an error of its own, or None on request."""
    with pytest.raises(FileNotFoundError):
        files.read_json(tmp_path / "a.json")

    assert files.read_json_or_none(tmp_path / "a.json") is None


def test_exactly_one_of_twenty_gets_the_folder(tmp_path: Path) -> None:
    """Twenty processes publish at the same moment: one wins, the others keep what they prepared."""
    gate = tmp_path / "gate"
    publish = (
        "import sys, time; from pathlib import Path; from hpc.adapters import files\n"
        "gate, prepared, target = map(Path, sys.argv[1:])\n"
        "prepared.mkdir(); (prepared / 'who').write_text(prepared.name)\n"
        "print('ready', flush=True)\n"
        "while not gate.exists(): time.sleep(0.001)\n"
        "print(files.publish_folder(prepared, target))\n"
    )
    racers = [_started(publish, gate, tmp_path / f"p{n}", tmp_path / "target") for n in range(20)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    gate.touch()
    won = [racer.communicate()[0].strip() == "True" for racer in racers]

    assert won.count(True) == 1
    assert (tmp_path / "target" / "who").read_text() == f"p{won.index(True)}"
    assert len(list(tmp_path.glob("p*"))) == 19


def test_the_end_of_a_ledger_is_read_without_the_rest(tmp_path: Path) -> None:
    """Of a ledger of weeks only the last lines are looked at; the one that is cut in two is left out."""
    for number in range(100):
        files.append_json_line(tmp_path / "ledger", {"number": number})
    assert files.read_json_lines(tmp_path / "ledger", 35) == [{"number": 98}, {"number": 99}]
    assert len(files.read_json_lines(tmp_path / "ledger", 1 << 20)) == 100
    assert files.read_json_lines(tmp_path / "absent", 35) == []


def test_publishing_what_does_not_exist_is_an_error(tmp_path: Path) -> None:
    """A missing folder is never mistaken for a race that was lost."""
    (tmp_path / "target").mkdir()
    with pytest.raises(FileNotFoundError):
        files.publish_folder(tmp_path / "absent", tmp_path / "target")


@pytest.mark.parametrize("kind", ["flock", "lease"])
def test_a_living_holder_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Who waits in vain is told which file, how long, and that it may work later."""
    _prepare(monkeypatch, kind)
    with _started(HOLD, tmp_path / "lock", kind) as holder:
        _wait_until_held(holder)
        with pytest.raises(TemporaryError, match=r"lock is held by another process; waited \d"), _lock(tmp_path, 0.2):
            pytest.fail("two held it")
        holder.kill()


@pytest.mark.parametrize("kind", ["flock", "lease"])
def test_a_dead_holder_here_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """kill -9 of the holder: the next gets the lock at once, not after a lease has run out."""
    _prepare(monkeypatch, kind)
    with _started(HOLD, tmp_path / "lock", kind) as holder:
        _wait_until_held(holder)
        holder.kill()
    started = time.monotonic()
    with _lock(tmp_path, 5):
        assert time.monotonic() - started < 1.0


def test_without_filelock_the_same_lock_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compute node's bare Python waits for who has `filelock`, gets the lock after it, and keeps it from others."""
    monkeypatch.setitem(sys.modules, "filelock", None)
    with _started(HOLD, tmp_path / "lock", "flock") as holder:
        _wait_until_held(holder)
        with pytest.raises(TemporaryError, match=r"lock is held by another process; waited \d"), _lock(tmp_path, 0.2):
            pytest.fail("two held it")
        holder.kill()
    with _lock(tmp_path, 5):
        monkeypatch.undo()
        with pytest.raises(TemporaryError), _lock(tmp_path, 0.2):
            pytest.fail("two held it")
    with _lock(tmp_path, 0.2):
        pass


def test_a_silent_holder_on_another_host_is_superseded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease of a host that is gone blocks for one lease duration, even for a caller who wanted to wait for less."""
    _prepare(monkeypatch, "lease")
    with _lock(tmp_path, 1):
        marker = (tmp_path / "lock.lease").read_text()
    here = next(line for line in marker.splitlines() if line.startswith("host="))
    (tmp_path / "lock.lease").write_text(marker.replace(here, "host=node-that-burnt"))

    started = time.monotonic()
    with _lock(tmp_path, 0.1):
        assert files.LEASE_S <= time.monotonic() - started < 2 * files.LEASE_S


def test_a_living_holder_on_another_host_keeps_its_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the heartbeat goes on nobody takes over, however long they wait."""
    _prepare(monkeypatch, "lease")
    foreign = HOLD.replace("import sys, time", "import socket, sys, time\nsocket.gethostname = lambda: 'another-node'")
    with _started(foreign, tmp_path / "lock", "lease") as holder:
        _wait_until_held(holder)
        assert "host=another-node" in (tmp_path / "lock.lease").read_text()
        with pytest.raises(TemporaryError), _lock(tmp_path, 4 * files.LEASE_S):
            pytest.fail("taken from a living holder")
        holder.kill()


@pytest.mark.parametrize("kind", ["flock", "lease"])
def test_a_lock_is_free_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """An exception inside releases it."""
    _prepare(monkeypatch, kind)
    with pytest.raises(ZeroDivisionError), _lock(tmp_path, 1):
        raise ZeroDivisionError
    with _lock(tmp_path, 0.1):
        pass


def test_other_errors_of_the_file_system_are_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only `no locks here` leads to a lease; anything else is raised."""

    def fail(descriptor: int, operation: int) -> None:
        raise OSError(errno.EIO, "the disk is on fire")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="on fire"), _lock(tmp_path, 1):
        pytest.fail("locked without a lock")


def _lock(folder: Path, timeout_s: float):  # type: ignore[no-untyped-def]  # a context manager, as files.lock
    return files.lock(folder / "lock", timeout_s)


def _prepare(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A file system without flock is what this machine lacks: the system call is refused as Lustre and NFS do."""
    monkeypatch.setattr(files, "LEASE_S", 1.5)
    if kind == "lease":

        def refuse(descriptor: int, operation: int) -> None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

        monkeypatch.setattr(fcntl, "flock", refuse)


def _started(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )


def _wait_until_held(holder: subprocess.Popen[str]) -> None:
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert holder.poll() is None or holder.returncode == -signal.SIGKILL
