"""The process in which a user's hook runs: nothing it does here reaches the collector but its answers.

`hpc.rounds.hooks` starts it with a socket, sends pickled requests and reads one JSON line for each: ``{"answer": …}``
or ``{"problem": "KeyError: 'oh'"}``. The first request says where to look for which function.
"""

import importlib
import json
import pickle
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

FORMER_NAMES = {
    "hpc.core.evidence": "hpc.core.failures.evidence",
    "hpc.core.retry_plan": "hpc.core.retry.records",
}
"""Modules that hooks were told to import before there was `hpc.hooks`, and where their records are now."""


@dataclass(frozen=True)
class HookSource:
    """Which function to ask, and where Python looks for it first, inside the function as well."""

    name: str
    path: tuple[str, ...]


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
    connection.sendall(told(lambda: functions.append(find_function(_next(requests)))))
    while functions:
        try:
            arguments = _next(requests)
        except EOFError:
            return
        connection.sendall(told(partial(functions[0], *arguments)))


def _next(requests: BinaryIO) -> Any:
    return pickle.load(requests)  # noqa: S301  the collector wrote it, a moment ago
