"""Looking at things that may hang: each subject in a process of its own, which is left behind when it does not answer.

A subject is a generator. Before each thing it looks at it says so (`Begin`), then gives the `Check`. The child sends
both as lines; the parent waits for the next line no longer than the thing at hand may take. A process that a dead file
server keeps in the kernel cannot even be killed: it is told to end, and nobody waits for it.
"""

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import NoReturn

from hpc.core.checkup.check import Check, Severity, failed, unanswered
from hpc.core.immutable import field, immutable, mutable

LIMIT_S = 10.0
GRACE_S = 2.0
"""To clean up, before a subject that is given up is killed."""


@immutable
class Begin:
    """What is looked at next, and how long that may take."""

    name: str
    limit_s: float = LIMIT_S


Subject = Callable[[], Iterator["Begin | Check"]]


@mutable
class _Child:
    """One subject under way."""

    pid: int
    pipe: int
    begun: Begin
    since: float = field(default_factory=time.monotonic)
    text: bytes = b""
    is_answered: bool = False

    @property
    def end(self) -> float:
        return self.since + self.begun.limit_s


def look(subjects: Mapping[str, Subject], tell: Callable[[str], None] = lambda _: None) -> Iterator[Check]:
    """Look at all subjects side by side; yield each check as it comes.

    Args:
        subjects: Name of the first check → subject.
        tell: Is told what is being looked at, whenever that changes.
    """
    children = [_start(Begin(name), subject) for name, subject in subjects.items()]
    try:
        while children:
            tell(", ".join(dict.fromkeys(child.begun.name for child in children)))
            ready = _wait(children)
            for child in list(children):
                if child.pipe in ready:
                    chunk = os.read(child.pipe, 1 << 16)
                    yield from _received(child, chunk)
                    if not chunk:
                        children.remove(_ended(child))
                        if not child.is_answered:
                            yield failed(child.begun.name, "what looked at it died")
                elif time.monotonic() >= child.end:
                    yield unanswered(child.begun.name, child.begun.limit_s)
                    children.remove(_ended(child, kills=True))
    finally:
        for child in children:
            _ended(child, kills=True)


def answers(question: Callable[[], object], limit_s: float = 5.0) -> bool:
    """Whether something comes back at all, be it with an error."""

    def subject() -> Iterator[Begin | Check]:
        yield Begin("writable", limit_s)
        with contextlib.suppress(Exception):  # whatever it says, it came back
            question()
        yield Check("writable", "came back")

    return all(check.severity is Severity.OK for check in look({"writable": subject}))


def _start(begun: Begin, subject: Subject) -> _Child:
    """Start a subject in a process group of its own."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return _Child(pid, reader, begun)
    code = 1
    try:
        os.setpgid(0, 0)
        os.close(reader)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to pass on
        signal.signal(signal.SIGTERM, _leave)
        _play(subject, writer)
        code = 0
    finally:
        os._exit(code)


def _leave(*_: object) -> NoReturn:
    """Go by way of every `finally`: folders are removed, the tiny job is cancelled."""
    raise SystemExit


def _play(subject: Subject, writer: int) -> None:
    """Send what a subject says; what it falls over is said in a check."""
    name = ""
    try:
        for said in subject():
            name = said.name
            kind = "begin" if isinstance(said, Begin) else "check"
            _send(writer, {kind: asdict(said)})
        _send(writer, {"end": True})
    except Exception as error:  # whatever it is: the others are to be heard
        if name:
            _send(writer, {"check": asdict(failed(name, f"{type(error).__name__}: {error}"))})


def _send(writer: int, message: object) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(writer, data) :]


def _wait(children: list[_Child]) -> set[int]:
    """Wait until one says something, or the time of one is over."""
    left = max(0.0, min(child.end for child in children) - time.monotonic())
    return set(select.select([child.pipe for child in children], [], [], left)[0])


def _received(child: _Child, chunk: bytes) -> Iterator[Check]:
    *lines, child.text = (child.text + chunk).split(b"\n")
    for line in lines:
        message = json.loads(line)
        if "end" in message:
            child.is_answered = True
        elif "begin" in message:
            child.begun, child.since, child.is_answered = Begin(**message["begin"]), time.monotonic(), False
        else:
            child.since, child.is_answered, found = time.monotonic(), True, message["check"]
            yield Check(**{**found, "severity": Severity(found["severity"])})


def _ended(child: _Child, *, kills: bool = False) -> _Child:
    """Close what belongs to a child; one that is kept in the kernel is left to its fate."""
    if kills:
        _send_signal(os.kill, child.pid, signal.SIGTERM)
        if not _is_gone(child.pid, GRACE_S):
            _send_signal(os.kill, child.pid, signal.SIGKILL)
        _send_signal(os.killpg, child.pid, signal.SIGKILL)  # what it started, too
    os.close(child.pipe)
    _is_gone(child.pid, 1)
    return child


def _send_signal(send: Callable[[int, int], None], pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        send(pid, number)


def _is_gone(pid: int, wait_s: float) -> bool:
    """Wait for a child's end; return whether it came."""
    end = time.monotonic() + wait_s
    try:
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
    except ChildProcessError:  # it was waited for before
        pass
    return True
