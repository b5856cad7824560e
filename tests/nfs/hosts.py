"""Talking to the two hosts of a laboratory: starts them, sends what they are to do, waits for answers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
LAB = HERE.parents[2] / "scripts/lab/nfs"
ANSWER_S = 120.0


class HostError(Exception):
    """What a host was told raised an error there."""


class Call:
    """Something that a host was told to do; `result` waits for it."""

    def __init__(self, host: Host, number: int) -> None:
        self._host, self.number = host, number
        self._done = threading.Event()
        self._said: dict[str, Any] = {}

    def take(self, said: dict[str, Any]) -> None:
        """Have the answer."""
        self._said = said
        self._done.set()

    def result(self, limit_s: float = ANSWER_S) -> Any:
        """What it returned.

        Raises:
            HostError: It raised an error.
            TimeoutError: It did not answer in time.
        """
        if not self._done.wait(limit_s):
            raise TimeoutError(f"host {self._host.number} has not answered in {limit_s:g} s")
        if "error" in self._said:
            raise HostError(self._said["error"])
        return self._said["value"]

    def kill(self) -> None:
        """End the process that does it, as `kill -9` does."""
        self._host.ask({"do": "kill", "of": self.number}).result()


class Host:
    """A host: a process that runs `tests.nfs.host`, however it was made a host."""

    def __init__(self, number: int, command: Sequence[str]) -> None:
        self.number = number
        self._calls: dict[int, Call] = {}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, request: dict[str, Any]) -> Call:
        """Send a request."""
        call = Call(self, len(self._calls) + 1)
        self._calls[call.number] = call
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": call.number, **request}) + "\n")
        self._process.stdin.flush()
        return call

    def start(self, name: str, *arguments: Any, user: int = 0) -> Call:
        """Begin a function of `tests.nfs.work` in a process of its own."""
        return self.ask({"do": "call", "name": name, "arguments": arguments, "user": user})

    def run(self, name: str, *arguments: Any, user: int = 0) -> Any:
        """Run a function of `tests.nfs.work` to its end."""
        return self.start(name, *arguments, user=user).result()

    def mount(self, options: str) -> None:
        """Mount the share, anew where it is mounted already."""
        self.ask({"do": "mount", "options": options}).result()

    def unmount(self) -> None:
        """Let the share go."""
        self.ask({"do": "unmount"}).result()

    def close(self) -> None:
        """Let its process end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(ANSWER_S)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            self._calls[said.pop("id")].take(said)


def on_nfs(number: int) -> Host:
    """One of the two hosts of `scripts/lab/nfs`."""
    command = f'on_host {number} "{sys.executable}" -m tests.nfs.host'
    return Host(number, ["bash", "-c", f"{_functions()}\n{command}"])


def _functions() -> str:
    """The functions of `scripts/lab/nfs` without what it starts."""
    return LAB.read_text(encoding="utf-8").removesuffix("make_server\n")


def lab(*words: str) -> None:
    """Call one of its functions, such as ``cut_off 1``.

    Raises:
        CalledProcessError: It failed.
    """
    script = f"{_functions()}\n{' '.join(words)}"
    subprocess.run(["bash", "-c", script], check=True, capture_output=True, stdin=subprocess.DEVNULL)


def both(first: Sequence[Call]) -> list[Any]:
    """Wait for several calls."""
    return [call.result() for call in first]
