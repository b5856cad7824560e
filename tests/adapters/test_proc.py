"""Who descends from whom, who trains, and that nobody is left: on real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from hpc.adapters import proc
from tests.local_projects import wait_until

TREE = """
import os, subprocess, sys, time
def start(rank, *more):
    line = f"import subprocess,time; {more[0] if more else ''} time.sleep(100)"
    given = {} if rank is None else {"LOCAL_RANK": str(rank)}
    return subprocess.Popen([sys.executable, "-c", line], env={**os.environ, **given})
start(0, "c=subprocess.Popen(['sleep','100']);")
start(1)
start(None)
time.sleep(100)
"""


@pytest.fixture
def tree() -> Iterator[subprocess.Popen]:
    environment = {name: value for name, value in os.environ.items() if name != "LOCAL_RANK"}
    root = subprocess.Popen([sys.executable, "-c", TREE], env=environment)
    wait_until(lambda: len(proc.descendants(root.pid)) == 4, 20, "the tree")
    yield root
    for pid in [*proc.descendants(root.pid), root.pid]:
        os.kill(pid, signal.SIGKILL)
    root.wait()


def test_ranks_are_told_from_launcher_and_loader(tree):
    """Those with a LOCAL_RANK train; what they start inherits it and does not; the launcher is none."""
    wait_until(lambda: all("LOCAL_RANK" in proc.environment_of(pid) for pid in proc.find_ranks(tree.pid)), 5, "ranks")
    ranks = proc.find_ranks(tree.pid)
    assert sorted(proc.environment_of(pid)["LOCAL_RANK"] for pid in ranks) == ["0", "1"]
    assert {proc._parent(pid) for pid in ranks} == {tree.pid}


def test_a_program_behind_shells_is_its_own_rank():
    """`bash -c` around a program only waits; the signal belongs to the program."""
    shell = subprocess.Popen(["bash", "-c", "sleep 100; true"])
    try:
        wait_until(lambda: len(proc.descendants(shell.pid)) == 1, 10, "the program")
        assert proc.find_ranks(shell.pid) == proc.descendants(shell.pid)
    finally:
        for pid in [*proc.descendants(shell.pid), shell.pid]:
            os.kill(pid, signal.SIGKILL)
        shell.wait()


def test_the_end_reaches_deaf_daemons_too():
    """A double-forked child that ignores SIGTERM is adopted, waited for, killed; the polite one is not counted."""
    line = (
        "import subprocess, sys, time; from hpc.adapters import proc; proc.adopt_orphans();"
        "subprocess.run(['sh', '-c', \"(trap '' TERM; sleep 100; sleep 100) & sleep 100 &\"]); time.sleep(0.5);"
        "print(len(proc.descendants(__import__('os').getpid())), proc.end_descendants(0.5),"
        " proc.descendants(__import__('os').getpid()))"
    )
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True, timeout=30)
    before, killed, left = done.stdout.split(maxsplit=2)
    assert int(before) == 3
    assert 1 <= int(killed) <= 2
    assert left.strip() == "[]"


def test_a_child_dies_with_its_parent_and_keeps_to_its_memory():
    """SIGKILL of the parent ends the child; above its limit it meets its allocator's error."""
    line = (
        "import subprocess; from hpc.adapters import proc;"
        "c = subprocess.Popen(['sleep', '100'], preexec_fn=lambda: proc.prepare_child(None));"
        "print(c.pid, flush=True); c.wait()"
    )
    parent = subprocess.Popen([sys.executable, "-c", line], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    name = proc.identity(child)
    assert proc.lives(name)
    parent.kill()
    parent.communicate()
    wait_until(lambda: not proc.lives(name), 5, "the child's end")
    done = subprocess.run(
        [sys.executable, "-c", "bytearray(1 << 30)"],
        preexec_fn=lambda: proc.prepare_child(256),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "MemoryError" in done.stderr


def test_an_identity_is_one_process():
    """The same number later is another process: the name holds boot and start time; a zombie has none."""
    own = proc.identity(os.getpid())
    assert proc.lives(own)
    boot, pid, start = own.split("/")
    assert not proc.lives(f"{boot}/{pid}/{int(start) + 1}")
    assert not proc.lives(f"other/{pid}/{start}")
    child = subprocess.Popen(["true"])
    name = proc.identity(child.pid)
    time.sleep(0.3)
    assert proc.identity(child.pid) == ""  # dead and not reaped
    child.wait()
    assert name == "" or not proc.lives(name)


def dead_identity() -> str:
    """The name of a process of ours that has ended."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = proc.identity(child.pid)
    child.communicate()
    return name


ELSEWHERE = "12345678-0000-4000-8000-000000000000/77/99"


@pytest.mark.parametrize(
    ("host", "pid", "namespace", "may_live"),
    [
        ("here", "living", "ours", True),
        ("here", "dead", "ours", False),
        ("renamed", "living", "ours", True),
        ("renamed", "dead", "ours", False),
        ("renamed", "dead", "another", True),
        ("renamed", "dead", "", True),
        ("here", "dead", "", False),
        ("here", "elsewhere", "ours", False),
        ("renamed", "elsewhere", "ours", True),
        ("here", "", "", False),
    ],
)
def test_a_process_is_known_by_its_machines_start_not_by_its_name(
    host: str, pid: str, namespace: str, may_live: bool
) -> None:
    """A renamed machine knows its dead; another machine's, another container's and old records' are left alone."""
    names = {"living": proc.identity(os.getpid()), "dead": dead_identity(), "elsewhere": ELSEWHERE}
    known_as = proc.this_host() if host == "here" else "another-name"
    numbered_in = {"ours": proc.pid_namespace(), "another": "pid:[1]", "": ""}[namespace]
    assert proc.may_live(known_as, names.get(pid, ""), numbered_in) == may_live


def test_who_listens_to_a_signal():
    """A handler, or the signal blocked for sigwait, as srun has it; a program that does neither would die of it."""
    listens = {
        "signal.signal(signal.SIGUSR1, lambda *_: None)": True,
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])": True,
        "pass": False,
    }
    for line, expected in listens.items():
        code = f"import signal; {line}; print(flush=True); input()"
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            assert proc.catches(process.pid, signal.SIGUSR1) is expected, line
            process.stdin.close()


def test_both_ways_to_find_children_agree(tree, monkeypatch):
    """Where the kernel lists no children, all processes of the node are looked through: same answer, parents first."""
    listed = proc.descendants(tree.pid)
    monkeypatch.setattr(proc, "_LISTS_CHILDREN", False)
    assert set(proc.descendants(tree.pid)) == set(listed)
    assert len(listed) == 4


@pytest.mark.skipif(not proc._LISTS_CHILDREN, reason="this kernel does not list children")
def test_a_busy_node_costs_nothing(monkeypatch):
    """Whoever has no children reads one small file, however many processes there are."""
    read = []
    true_read = proc._read
    monkeypatch.setattr(proc, "_read", lambda path: (read.append(path), true_read(path))[1])
    monkeypatch.setattr(os, "scandir", lambda _: pytest.fail("all of /proc was listed"))
    alone = subprocess.Popen(["sleep", "100"])
    try:
        assert proc.descendants(alone.pid) == []
        assert len(read) == 1
    finally:
        alone.kill()
        alone.wait()
