"""The user's own word on a failure: ``retry.hook: module:function`` may turn evidence and verdict into an action.

The function runs in the collector's process, once for each failed task, and gets three frozen records: everything
known of the last attempt (`hpc.core.evidence.Evidence`), what was concluded (`Verdict`) and what is planned (`Retry` or
`Declined`). It is given no environment and no secrets. Whatever it does wrong is said, and the plan stands.
"""

import contextlib
import importlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hpc.core.evidence import Evidence, Verdict
from hpc.core.retry_answer import heed
from hpc.core.retry_plan import Decision, FailedTask, Retry, RetryPlan, Situation

Hook = Callable[[Evidence, Verdict, Decision], Any]
LONGEST_S = 30.0
"""How long it may take for one task."""


def load_hook(name: str, folders: Sequence[Path]) -> Hook:
    """Find ``module:function``, first in these folders, then where Python looks.

    Raises:
        ImportError: There is no such module or function, or importing it failed; the message says which.
    """
    module, _, function = name.partition(":")
    with _found_first(folders), _printing_aside():
        try:
            found = getattr(importlib.import_module(module), function)
        except (Exception, SystemExit) as error:
            looked = ", ".join(map(str, folders))
            raise ImportError(f"retry.hook {name}: {type(error).__name__}: {error} (looked in {looked})") from error
    if not callable(found):
        raise ImportError(f"retry.hook {name}: {function} is no function")
    return found  # type: ignore[no-any-return]


def ask_hook(
    name: str,
    folders: Sequence[Path],
    plan: RetryPlan,
    situation: Situation,
    tasks: Sequence[tuple[FailedTask, Callable[[], Evidence]]],
) -> RetryPlan:
    """Ask about every failed task; give the plan with what it answered, and what was wrong with its answers.

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
    hook: Hook | None = None
    try:
        hook = load_hook(name, folders) if tasks else None
    except ImportError as error:
        problems.append(str(error))
    for task, evidence in tasks:
        decision = planned[task.task_id]
        if hook is not None:
            try:
                with _found_first(folders), _printing_aside(), _within(LONGEST_S):
                    decision = heed(hook(evidence(), task.last.verdict, decision), task, decision, situation)
            except (Exception, SystemExit) as error:
                problems.append(f"retry.hook {name}, {task.run_name}: {type(error).__name__}: {error}")
        decisions.append(decision)
    return RetryPlan(
        tuple(each for each in decisions if isinstance(each, Retry)),
        tuple(each for each in decisions if not isinstance(each, Retry)),
        tuple(problems),
    )


@contextlib.contextmanager
def _found_first(folders: Sequence[Path]) -> Iterator[None]:
    """Let imports look in these folders first, inside the function as well."""
    before = list(sys.path)
    sys.path[:0] = map(str, folders)
    try:
        yield
    finally:
        sys.path[:] = before


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Interrupt a function that does not come back: it runs under the experiment's lock.

    Raises:
        TimeoutError: After `seconds`, in the main thread; elsewhere there is no such alarm.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise TimeoutError(f"no answer within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _printing_aside() -> contextlib.AbstractContextManager[Any]:
    """What the function prints goes to stderr: stdout may be JSON."""
    return contextlib.redirect_stdout(sys.stderr)
