"""The user's own word on a failure: ``retry.hook: module:function`` may turn evidence and verdict into an action.

The function is asked once for each failed task and gets three frozen records: everything known of the last attempt
(`hpc.hooks.Evidence`), what was concluded (`Verdict`) and what is planned (`Retry` or `Declined`). It is handed no
environment and no secrets. It runs in a process of its own (`hpc.rounds.hook_process`): whether it raises, exits,
hangs, is killed, closes what is open or prints without end, that is said, and the plan stands.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hpc.core.failures.evidence import Evidence, Verdict
from hpc.core.printable import printable
from hpc.core.retry.answer import heed
from hpc.core.retry.records import Decision, FailedTask, Retry, RetryPlan, Situation
from hpc.core.words import counted
from hpc.rounds.hook_process import HookSource, tell_failure, tell_source

LONGEST_S = 30.0
"""How long the function may take for one task: it runs under the experiment's lock."""
LONGEST_IMPORT_S = 60.0
LONGEST_ALL_S = 600.0
"""How long it may take for all tasks of a round."""
MAX_ENDS = 3
"""After so many processes that ended or hung it is not asked any more."""
MAX_ANSWER = 1 << 20
MAX_PRINTED = 64 << 10
"""Bytes of what it prints that are shown."""
_PIECE = 1 << 16


class HookEndedError(Exception):
    """The process of a hook ended or hung: it gives no answer any more."""


def ask_hook(
    name: str,
    folders: Sequence[Path],
    plan: RetryPlan,
    situation: Situation,
    tasks: Sequence[tuple[FailedTask, Callable[[], Evidence]]],
) -> RetryPlan:
    """Ask about every failed task; return the plan with what it answered, and what was wrong with its answers.

    Args:
        name: ``module:function``.
        folders: Where it is looked for first.
        plan: What stands without it.
        situation: Policy and limits, which bound its answers.
        tasks: Each failed task, with a way to gather its last attempt's evidence.
    """
    planned: dict[str, Decision] = {retry.task_id: retry for retry in plan.retry}
    planned |= {declined.task_id: declined for declined in plan.declined}
    problems: list[str] = []
    decisions: list[Decision] = []
    with contextlib.closing(_Hook(name, folders)) as hook:
        for task, evidence in tasks:
            decision = planned[task.task_id]
            try:
                if hook.can_be_asked():
                    answer = hook.ask(evidence(), task.last.verdict, decision)
                    decision = heed(answer, task, decision, situation)
            except ImportError as error:
                problems.append(f"retry.hook {name}: {error}")
            except Exception as error:
                problems.append(f"retry.hook {name}, {task.run_name}: {error}")
            decisions.append(decision)
    return RetryPlan(
        tuple(each for each in decisions if isinstance(each, Retry)),
        tuple(each for each in decisions if not isinstance(each, Retry)),
        (*problems, *hook.not_asked()),
    )


class _Hook:
    """A hook over all tasks of a round: in one process, in another after it ended, and not for ever."""

    def __init__(self, name: str, folders: Sequence[Path]) -> None:
        self._name, self._folders = name, folders
        self._process: HookProcess | None = None
        self._ends = 0
        self._end_s = time.monotonic() + LONGEST_ALL_S
        self._given_up = ""
        self._passed_over = 0

    def can_be_asked(self) -> bool:
        """Whether there is still hope; counts the task for which there is none."""
        if not self._given_up and time.monotonic() > self._end_s:
            self._given_up = f"the previous tasks took more than {LONGEST_ALL_S:g} s"
        self._passed_over += bool(self._given_up)
        return not self._given_up

    def ask(self, evidence: Evidence, verdict: Verdict, planned: Decision) -> Any:
        """Return the function's answer; raises as `HookProcess`."""
        try:
            if self._process is None:
                self._process = HookProcess()
                self._process.load(self._name, self._folders)
            return self._process.ask(evidence, verdict, planned)
        except ImportError:
            self._given_up = "it cannot be imported"
            raise
        except HookEndedError:
            self.close()
            self._ends += 1
            if self._ends == MAX_ENDS:
                self._given_up = f"{MAX_ENDS} of its processes gave no answer"
            raise

    def not_asked(self) -> tuple[str, ...]:
        """Say for how many tasks it was not asked any more, and why; nothing when it was for all."""
        if not self._passed_over:
            return ()
        return (
            f"retry.hook {self._name}: not asked about {counted(self._passed_over, 'more task')}: {self._given_up}",
        )

    def close(self) -> None:
        """End its process, if there is one."""
        if self._process is not None:
            self._process.close()
            self._process = None


class HookProcess:
    """One process with a hook in it, at the other end of a socket."""

    def __init__(self) -> None:
        self._connection, theirs = socket.socketpair()
        self._printed, output = os.pipe()
        self._shown = 0
        self._received = b""
        self._connection.setblocking(False)
        os.set_blocking(self._printed, False)
        program = f"import sys; sys.path[:] = {sys.path!r}; from hpc.rounds.hook_process import main; main()"
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        finally:
            theirs.close()
            os.close(output)

    def load(self, name: str, folders: Sequence[Path]) -> None:
        """Have it import ``module:function``.

        Raises:
            HookEndedError: It ended or hung over it.
            ImportError: There is no such module or function, or importing it failed; the message says which.
        """
        told = self._exchange(tell_source(HookSource(name, tuple(map(str, folders)))), LONGEST_IMPORT_S)
        if "problem" in told:
            raise ImportError(f"{told['problem']} (looked in {', '.join(map(str, folders))})")

    def ask(self, evidence: Evidence, verdict: Verdict, planned: Decision) -> Any:
        """Return the function's answer, as JSON holds it.

        Raises:
            HookEndedError: The process ended, or did not answer in time.
            ValueError: The function raised; the message says what.
        """
        told = self._exchange(tell_failure(evidence, verdict, planned), LONGEST_S)
        if "problem" in told:
            raise ValueError(told["problem"])
        return told["answer"]

    def close(self) -> None:
        """End the process and what it started, whatever they are doing, and show the rest of what they printed."""
        self._connection.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self._show_printed()
        os.close(self._printed)

    def _exchange(self, request: bytes, longest_s: float) -> dict[str, Any]:
        """Send a request and wait for the line that answers it; what is printed meanwhile is shown."""
        end = time.monotonic() + longest_s
        to_send = request
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
            selector.register(self._printed, selectors.EVENT_READ)
            while b"\n" not in self._received:
                if time.monotonic() > end:
                    raise HookEndedError(f"no answer within {longest_s:g} s")
                for key, events in selector.select(max(0.0, end - time.monotonic())):
                    if key.fd == self._printed:
                        if not self._show_printed():
                            selector.unregister(self._printed)
                    elif events & selectors.EVENT_READ:
                        self._receive()
                    else:
                        to_send = to_send[self._send(to_send[:_PIECE]) :]
                        if not to_send:
                            selector.modify(self._connection, selectors.EVENT_READ)
        line, _, self._received = self._received.partition(b"\n")
        return _read_answer(line)

    def _send(self, content: bytes) -> int:
        try:
            return self._connection.send(content)
        except ConnectionError:
            raise HookEndedError(self._how_it_ended()) from None

    def _receive(self) -> None:
        try:
            content = self._connection.recv(_PIECE)
        except ConnectionError:
            content = b""
        if not content:
            raise HookEndedError(self._how_it_ended())
        self._received += content
        if len(self._received) > MAX_ANSWER:
            raise HookEndedError(f"the answer is longer than {MAX_ANSWER} bytes")

    def _how_it_ended(self) -> str:
        """Say what became of a process that closed its end. It is not reaped yet: its number still names its group."""
        end = time.monotonic() + 1.0
        while (found := os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)) is None:
            if time.monotonic() > end:
                return "it closed its connection to the collector"
            time.sleep(0.01)
        if found.si_code == os.CLD_EXITED:
            return f"its process ended with exit code {found.si_status} and without an answer"
        return f"its process was ended by signal {found.si_status}"

    def _show_printed(self) -> bool:
        """Pass on to stderr what was printed since, as far as it is not too much; False once nothing more can come."""
        try:
            content = os.read(self._printed, _PIECE)
        except BlockingIOError:
            return True
        shown = content[: max(0, MAX_PRINTED - self._shown)]
        self._shown += len(content)
        sys.stderr.write(printable(shown.decode(errors="replace")))
        if shown and self._shown > MAX_PRINTED:
            sys.stderr.write("\n… further output of the retry hook is left out\n")
        return bool(content)


def _read_answer(line: bytes) -> dict[str, Any]:
    """Read a line of the process; a function that found the socket may have written anything into it."""
    try:
        told = json.loads(line)
    except ValueError:
        told = None
    if not isinstance(told, dict) or not told.keys() & {"answer", "problem"}:
        raise HookEndedError("its process wrote something other than an answer")
    return told
