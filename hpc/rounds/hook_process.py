"""The process in which a user's hook runs: nothing it does here reaches the collector but its answers.

`hpc.rounds.hooks` starts it with a socket, sends a JSON line for each request and reads one: ``{"answer": …}`` or
``{"problem": "KeyError: 'oh'"}``. The first request says where to look for which function. Neither side says anything
that would be run.
"""

import importlib
import json
import socket
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, BinaryIO

from hpc.core.failures.evidence import Evidence, Verdict
from hpc.core.immutable import immutable, replace
from hpc.core.records.record import as_json, record_from
from hpc.core.retry.records import Decision, Declined, Retry

FORMER_NAMES = {
    "hpc.core.evidence": "hpc.core.failures.evidence",
    "hpc.core.retry_plan": "hpc.core.retry.records",
}
"""Modules that hooks were told to import before there was `hpc.hooks`, and where their records are now."""


@immutable
class HookSource:
    """Which function to ask, and where Python looks for it first, inside the function as well."""

    name: str
    path: tuple[str, ...]


def tell_source(source: HookSource) -> bytes:
    """The line that says which function is asked."""
    return _line(as_json(source))


def tell_failure(evidence: Evidence, verdict: Verdict, planned: Decision) -> bytes:
    """The line that asks about a task."""
    curves = {name: list(values) for name, values in evidence.series.items()}  # no record has numbers that are none
    return _line({
        "evidence": as_json(replace(evidence, series={})),
        "series": curves,
        "verdict": as_json(verdict),
        "retry" if isinstance(planned, Retry) else "declined": as_json(planned),
    })  # fmt: skip


def failure_from(told: Mapping[str, Any]) -> tuple[Evidence, Verdict, Decision]:
    """What `tell_failure` asked about.

    Raises:
        RecordError: It is something else.
    """
    curves = {name: tuple(values) for name, values in told["series"].items()}
    evidence = replace(record_from(Evidence, told["evidence"]), series=curves)
    planned: Decision
    planned = record_from(Retry, told["retry"]) if "retry" in told else record_from(Declined, told["declined"])
    return evidence, record_from(Verdict, told["verdict"]), planned


def _line(content: Any) -> bytes:
    return json.dumps(content).encode() + b"\n"


def find_function(source: HookSource) -> Callable[..., Any]:
    """Import ``module:function``.

    Raises:
        ImportError: There is no such module or function, or it is not a function.
    """
    sys.path[:0] = source.path
    module, _, function = source.name.partition(":")
    found = getattr(importlib.import_module(module), function)
    if not callable(found):
        raise ImportError(f"{function} is not a function")
    return found  # type: ignore[no-any-return]


def answer_to_former_names() -> None:
    """Let hooks go on importing the modules they were told of before."""
    for former, present in FORMER_NAMES.items():
        module = importlib.import_module(present)
        package, _, last = former.rpartition(".")
        sys.modules[former] = module
        setattr(importlib.import_module(package), last, module)


def told(call: Callable[[], Any]) -> bytes:
    """Call, and put into a line what came of it: the answer, or what was wrong."""
    try:
        line = json.dumps({"answer": call()}, default=_plain)
    except BaseException as error:  # SystemExit and KeyboardInterrupt, too
        line = json.dumps({"problem": f"{type(error).__name__}: {error}"})
    return line.encode() + b"\n"


def _plain(value: Any) -> Any:
    """Turn what JSON does not know into what it knows: mappings, NumPy's numbers, records with an action."""
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "item"):
        return value.item()
    if hasattr(value, "action") and hasattr(value, "__dict__"):
        return {name: each for name, each in vars(value).items() if each is not None}
    raise TypeError(f"{value!r:.80} in the answer is not text, a number, a list or a mapping")


def main() -> None:
    """Serve requests until the collector closes its end."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    requests = connection.makefile("rb")
    answer_to_former_names()
    functions: list[Callable[..., Any]] = []
    connection.sendall(told(lambda: functions.append(find_function(record_from(HookSource, _next(requests))))))
    while functions:
        try:
            arguments = _next(requests)
        except EOFError:
            return
        connection.sendall(told(partial(functions[0], *failure_from(arguments))))


def _next(requests: BinaryIO) -> Any:
    """The next request.

    Raises:
        EOFError: The collector is gone, or ended in the middle of it.
    """
    line = requests.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    return json.loads(line)
