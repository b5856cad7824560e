"""Run commands in forks of one process that has imported everything, and kill them where a test says.

    python tests/fakes/forks.py        reads a JSON request a line from stdin, answers the exit codes as a JSON line

A request: `folder` to work in, `module` and `arguments` to run, `copies` at once, `kill_at` (the n-th act) or null,
`fill_at` (the n-th write, before which the disk of `folder` becomes full) or null, `patience_s` of a follower.
Every second copy runs in a network namespace of its own where that is allowed, as if on another host.
An act is what others can see of a process: a file that gets its name, a line that is appended, a program that starts.
A write is whatever may need room in `folder`: a file that is opened to be written, or a new folder.
"""

import contextlib
import ctypes
import importlib
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hpc.follow
import hpc.submissions.prepare
import hpc.submit
import hpc.unattended.endure
from tests.zygote import import_all

import_all()
hpc.submissions.prepare.ADOPTION_GRACE_S = 0.2  # the pretended Slurm shows a job at once
sys.modules["analysis"] = None  # type: ignore[assignment]  # the report is not what is tested here

CLONE_NEWNET = 0x40000000
PAGE = 4096
QUESTIONS = ("sacct", "squeue", "sacctmgr", "scontrol")


def is_act(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether others can see what a process is about to do."""
    if event == "subprocess.Popen":
        return arguments[0] not in QUESTIONS
    return event == "os.rename" or (event == "open" and bool(arguments[2] & os.O_APPEND))


def kill_at(number: int) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that kills this process right before its n-th act."""
    acts = iter(range(1, number))

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        if is_act(event, arguments) and next(acts, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    return count


def is_write(event: str, arguments: tuple[Any, ...], folder: str) -> bool:
    """Whether a process is about to do what may need room on the disk of `folder`."""
    if event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        return isinstance(arguments[0], str) and str(Path(arguments[0]).absolute()).startswith(folder)
    return event == "os.mkdir"


def fill_at(number: int, folder: str) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that leaves no room on the disk of `folder` right before this process's n-th write."""
    writes = iter(range(1, number))
    filling: list[bool] = []

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        if not filling and is_write(event, arguments, folder) and next(writes, None) is None:
            filling.append(True)
            fill(Path(folder))

    return count


def fill(folder: Path) -> None:
    """Leave no room: no page of a new file, nor the rest of the last page of one that lines are appended to."""
    for path in [*folder.glob("*.log"), *folder.glob("runs/*/*.jsonl")]:
        with path.open("ab") as file:
            file.write(b" " * (-path.stat().st_size % PAGE))
    with contextlib.suppress(OSError), (folder / "filler").open("ab", buffering=0) as file:
        while True:
            file.write(bytes(PAGE))


def run(request: dict[str, Any]) -> None:
    """Run the command in this process, which is a fork; never returns."""
    os.chdir(request["folder"])
    log = Path("forks.log").open("a")  # noqa: SIM115  lives as long as the process
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), write_through=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), write_through=True)
    hpc.unattended.endure.PATIENCE_S = request["patience_s"]
    if request["fill_at"]:
        sys.addaudithook(fill_at(request["fill_at"], request["folder"]))
    if request["kill_at"]:
        sys.addaudithook(kill_at(request["kill_at"]))
    try:
        importlib.import_module(request["module"]).main(request["arguments"])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    os._exit(code)


for line in sys.stdin:
    asked = json.loads(line)
    children = []
    for copy in range(asked["copies"]):
        child = os.fork()
        if not child:
            if copy % 2:
                ctypes.CDLL(None).unshare(CLONE_NEWNET)
            run(asked)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.stdout.write(json.dumps(codes) + "\n")
    sys.stdout.flush()
