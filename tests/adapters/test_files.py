"""Files that survive a crash, folders that exactly one gets, locks that no dead process keeps."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpc.adapters import files, ledger, locks
from hpc.core.errors import InputError, TemporaryError
from tests import disks

HOLD = """
import sys, time
from pathlib import Path
from hpc.adapters import locks
if sys.argv[2] == "lease":
    import errno, fcntl
    def refuse(descriptor, operation): raise OSError(errno.ENOSYS, "no flock here")
    fcntl.flock = refuse
locks.LEASE_S = 1.5
with locks.lock(Path(sys.argv[1]), timeout_s=5):
    print("held", flush=True)
    time.sleep(60)
"""


def test_text_is_replaced_as_a_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """The new text is there, for the owner whatever mode was wished, and no temporary file."""
    target = tmp_path / "new" / "folder" / "a.txt"
    files.write_text(target, "one")
    files.write_text(target, "zwei ü", mode=0o640)

    assert target.read_text(encoding="utf-8") == "zwei ü"
    assert target.stat().st_mode & 0o777 == 0o600
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
    with disks.small_disk(tmp_path / "small", "256k") as place:
        yield place


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


def _place(kind: str, path: Path) -> None:
    """Put something that is no readable regular file at a path."""
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "does not exist":
        path.symlink_to("gone")
    else:
        path.symlink_to(path.name)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("read", [files.read_json, files.read_json_or_none, ledger.read_json_lines])
@pytest.mark.parametrize(
    "kind", ["a named pipe", "a folder", "a socket", "a device", "does not exist", "leads back to itself"]
)
def test_what_is_no_file_is_named_and_its_remedy_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, read: Callable[[Path], object]
) -> None:
    """No reader waits for a pipe or reads a device for ever; the command the message ends with makes room."""
    monkeypatch.chdir(tmp_path)  # the address of a socket is short
    path = Path("it's here.json")
    _place(kind, path)

    with pytest.raises(InputError, match=rf"it's here\.json: is .*{kind}") as refused:
        read(path)

    subprocess.run(["sh", "-c", str(refused.value).partition("move it away: ")[2]], check=True)
    assert files.read_json_or_none(path) is None


def test_a_link_to_a_file_is_read(tmp_path: Path) -> None:
    """Somebody's folder on another disk, linked into place, is no fault."""
    files.write_json(tmp_path / "there.json", [1])
    (tmp_path / "here.json").symlink_to("there.json")

    assert files.read_json(tmp_path / "here.json") == [1]


def test_more_than_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is on bytes that were read, so that a file of no size (as in /proc) is read, and bounded, too."""
    path = tmp_path / "large.json"
    path.write_bytes(b" " * 10_000 + b"1")

    assert files.read_regular(path, 10_001) == path.read_bytes()
    for most in (0, 1, 9_999, 10_000):
        with pytest.raises(InputError, match=rf"large\.json: is larger than the {most:,} bytes"):
            files.read_regular(path, most)
    assert files.read_regular(Path("/proc/self/comm"), 100)
    monkeypatch.setattr(files, "MOST_JSON_BYTES", 10_000)
    with pytest.raises(InputError, match="is larger than the 10,000 bytes that are read"):
        files.read_json(path)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be two people")
@pytest.mark.parametrize("closed", ["folder/inner/a.json", "folder", "folder/inner"])
def test_what_we_may_not_read_is_ours_to_open(closed: str) -> None:
    """A file or a folder above it that bars its owner: the message's `chmod` opens it; a stranger is sent to them."""
    with tempfile.TemporaryDirectory(dir="/tmp") as home:
        path, barred = Path(home, "folder/inner/a.json"), Path(home, closed)
        files.write_json(path, [1])
        for each in [Path(home), *Path(home).rglob("*")]:
            os.chown(each, 4711, 4711)
            each.chmod(0o755 if each.is_dir() else 0o644)
        barred.chmod(0)

        assert f"{barred} belongs to user 4711: ask them for access" in _said_to(4712, path)
        remedy = _said_to(4711, path).partition("give yourself access: ")[2]
        subprocess.run(["sh", "-c", remedy], check=True, user=4711)
        assert files.read_json(path) == [1]
        assert _said_to(4711, path) == ""


def _said_to(user: int, path: Path) -> str:
    """What a user is told who reads a JSON file; empty where they got it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            files.read_json(path)
        except BaseException as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as said:
        return said.read()


def test_absent_json_is_not_broken_json(tmp_path: Path) -> None:
    """Absent: an error of its own, or None on request."""
    with pytest.raises(FileNotFoundError):
        files.read_json(tmp_path / "a.json")

    assert files.read_json_or_none(tmp_path / "a.json") is None


def test_a_folder_that_another_host_has_just_made_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a mount believes that there is none, and making it says otherwise: also where asking does not help."""
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    with monkeypatch.context() as late:
        late.setattr(Path, "is_dir", lambda _: False)
        late.setattr(os.path, "lexists", lambda _: False)
        files.make_folder(tmp_path / "there", 0o700, parents=False)
    for name in ("file", "link"):
        with pytest.raises(NotADirectoryError):
            files.make_folder(tmp_path / name)


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


@pytest.mark.parametrize("items", [0, 3, 100, 101])
def test_json_is_written_for_people_and_comes_back(tmp_path: Path, items: int) -> None:
    """Indented; a long list has a line an item, so that a tool that compares lines names the item."""
    value = {
        'a "name"': "zwei\nlines",
        "nested": {"list": [1, {"x": None}], "ü": [True]},
        "long": [{"run": f"R{number}\n", "values": [number, 0.5]} for number in range(items)],
        "empty": {},
    }
    files.write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text) == value
    assert list(json.loads(text)) == list(value)
    assert text.endswith("}\n")
    assert len([line for line in text.splitlines() if '"run"' in line]) == items
    assert "\n  " in text
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "x.json", {**value, "long": [float("nan")] * items, "one": float("nan")})


def test_the_end_of_a_ledger_is_read_without_the_rest(tmp_path: Path) -> None:
    """Of a ledger of weeks only the last lines are looked at; the one that is cut in two is left out."""
    for number in range(100):
        ledger.append_json_line(tmp_path / "ledger", {"number": number})
    assert ledger.read_json_lines(tmp_path / "ledger", 35) == [{"number": 98}, {"number": 99}]
    assert len(ledger.read_json_lines(tmp_path / "ledger", 1 << 20)) == 100
    assert ledger.read_json_lines(tmp_path / "absent", 35) == []


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
        assert locks.LEASE_S <= time.monotonic() - started < 2 * locks.LEASE_S


def test_a_living_holder_on_another_host_keeps_its_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the heartbeat goes on nobody takes over, however long they wait."""
    _prepare(monkeypatch, "lease")
    foreign = HOLD.replace("import sys, time", "import os, sys, time\nos.environ['SLURMD_NODENAME'] = 'another-node'")
    with _started(foreign, tmp_path / "lock", "lease") as holder:
        _wait_until_held(holder)
        assert "host=another-node" in (tmp_path / "lock.lease").read_text()
        with pytest.raises(TemporaryError), _lock(tmp_path, 4 * locks.LEASE_S):
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


def test_a_folder_removed_while_it_is_locked_in_stays_removed(tmp_path: Path) -> None:
    """Whichever of the two is first, in 500 races: who makes no parents makes none."""
    folder = tmp_path / "attempt"
    removed = []

    def remove() -> None:
        with contextlib.suppress(OSError):  # the lock was first
            folder.rmdir()
            removed.append(folder)

    for _ in range(500):
        folder.mkdir()
        remover = threading.Thread(target=remove)
        remover.start()
        with contextlib.suppress(FileNotFoundError), locks.lock(folder / "lock", 1, parents=False):
            pass
        remover.join()
        assert folder.exists() != bool(removed)
        shutil.rmtree(folder, ignore_errors=True)
        removed.clear()


@pytest.mark.parametrize("parents", [True, False])
def test_a_lock_is_free_when_its_holder_has_let_go_of_it(tmp_path: Path, parents: bool) -> None:
    """Although a process that was forked meanwhile, such as a loader of data, still lives."""
    with locks.lock(tmp_path / "lock", 1, parents=parents):
        child = os.fork()
        if not child:
            time.sleep(30)
            os._exit(0)
    try:
        with locks.lock(tmp_path / "lock", 0.2, parents=parents):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_other_errors_of_the_file_system_are_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only `no locks here` leads to a lease; anything else is raised."""

    def fail(descriptor: int, operation: int) -> None:
        raise OSError(errno.EIO, "the disk is on fire")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="on fire"), _lock(tmp_path, 1):
        pytest.fail("locked without a lock")


def _lock(folder: Path, timeout_s: float):  # type: ignore[no-untyped-def]  # a context manager, as locks.lock
    return locks.lock(folder / "lock", timeout_s)


def _prepare(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A file system without flock is what this machine lacks: the system call is refused as Lustre and NFS do."""
    monkeypatch.setattr(locks, "LEASE_S", 1.5)
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


# --- what network file systems do


def _asked_twice(act):  # type: ignore[no-untyped-def]  # a rename, as os or pathlib have it
    """A server that did what it was asked, restarted before it answered, and was asked again."""

    def again(*arguments, **named):  # type: ignore[no-untyped-def]
        act(*arguments, **named)
        return act(*arguments, **named)

    return again


def test_a_rename_that_a_restarted_server_was_asked_for_twice_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time there is nothing to rename; what has the new name is ours all the same."""
    for name in ("prepared", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    monkeypatch.setattr(Path, "rename", _asked_twice(Path.rename))
    monkeypatch.setattr(os, "replace", _asked_twice(os.replace))
    assert files.publish_folder(tmp_path / "prepared", tmp_path / "final")
    assert not files.publish_folder(tmp_path / "other", tmp_path / "final")
    files.write_json(tmp_path / "x.json", 1)
    assert files.read_json(tmp_path / "x.json") == 1
    with pytest.raises(FileNotFoundError):
        files.publish_folder(tmp_path / "absent", tmp_path / "another")


def test_a_name_that_is_absent_or_stale_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that remembers no such name, or the one before it, is made to look at the folder; then it is there."""
    path, asked, said, real = tmp_path / "x.json", [], [errno.ENOENT], os.open
    files.write_json(path, 1)

    def cached(name, flags, *more, **named):  # type: ignore[no-untyped-def]
        if Path(name) == tmp_path and flags & os.O_DIRECTORY:
            asked.append(name)
        if Path(name) == path and len(asked) < 1:
            raise OSError(said[0], os.strerror(said[0]), str(name))
        return real(name, flags, *more, **named)

    monkeypatch.setattr(os, "open", cached)
    for said[0] in (errno.ENOENT, errno.ESTALE):
        asked.clear()
        assert files.read_json(path) == 1
        assert asked
    with pytest.raises(FileNotFoundError):
        files.read_json(tmp_path / "absent.json")


def test_a_file_that_is_replaced_while_it_is_read_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On NFS the old one is gone for good (ESTALE); without an end, the error is told."""
    path, stale, real = tmp_path / "x.json", [2], os.fstat
    files.write_json(path, 1)

    def gone(descriptor: int) -> os.stat_result:
        stale[0] -= 1
        if stale[0] >= 0:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", gone)
        found = files.read_json(path)
        stale[0] = 10**6
        with pytest.raises(OSError) as raised:  # noqa: PT011  its number is looked at outside
            files.read_json(path)
    assert (found, raised.value.errno) == (1, errno.ESTALE)


def test_lines_that_a_quota_refuses_leave_the_ledger_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS takes them all and says EDQUOT at fsync: nothing of them stays, and the next ones are whole."""
    path = tmp_path / "ledger.jsonl"
    ledger.append_json_line(path, {"a": 1})
    before = path.read_bytes()

    def refuse(_: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="quota"):
            ledger.append_json_lines(path, [{"a": 2}, {"a": 3}])
    assert path.read_bytes() == before
    path.write_bytes(before + b"\0" * 40)  # a hole, as a quota may leave one
    ledger.append_json_line(path, {"a": 4})
    assert ledger.read_json_lines(path) == [{"a": 1}, {"a": 4}]
