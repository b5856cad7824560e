"""Cases on standard input, one JSON object a line, answered one a line: a wrong one in its place, and the rest too."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hpc.core.errors import InputError, describe_os_error
from hpc.core.failures.diagnosis import diagnose
from hpc.core.failures.evidence import FailureClass, Verdict
from hpc.explaining.explained import Answer, Explained, answer, explain
from hpc.explaining.given import evidence_of_log

KEYS: dict[str, tuple[type, ...]] = {"log": (str,), "slurm_state": (str,), "exit_code": (str, int)}
"""What is read of a case beside its metrics, and of which kind."""


def explain_case(case: Mapping[str, Any]) -> Answer:
    """Answer one case with ``log, slurm_state, exit_code, metrics``, each of which may be missing.

    Raises:
        InputError: One of them is of another kind or cannot be read, or there is no such log.
        OSError: The log cannot be read.
    """
    wrong = [key for key, kind in KEYS.items() if case.get(key) is not None and not _is(case[key], kind)]
    if wrong:
        raise InputError(f"{', '.join(wrong)}: a case has log and slurm_state as text, exit_code as text or a number")
    log = case.get("log")
    path = Path(log) if log else None
    evidence = evidence_of_log(path, case.get("slurm_state"), case.get("exit_code"), case.get("metrics"))
    return answer(explain(str(case.get("id") or log or ""), evidence, has_log=path is not None))


def _is(value: Any, kind: tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def explain_lines(lines: Iterable[bytes]) -> Iterable[Answer]:
    """Answer each JSON line in order; one that cannot be read is answered with `error` and class unknown."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        case: Any = None
        try:
            case = json.loads(line)
            if not isinstance(case, dict):
                raise InputError("a case is a JSON object with log, slurm_state, exit_code and metrics")
            yield explain_case(case)
        except (InputError, OSError, ValueError, RecursionError) as error:
            # ValueError: no JSON, no UTF-8, a number of 5,000 digits, a path with a zero byte; RecursionError: [[[[…
            text = f"line {number}: {describe_os_error(error) if isinstance(error, OSError) else error}"
            name = case.get("id") or case.get("log") or "" if isinstance(case, dict) else ""
            yield {**answer(_unreadable(str(name), text)), "error": text}


def _unreadable(target: str, text: str) -> Explained:
    verdict = Verdict(FailureClass.UNKNOWN, "unreadable-case", summary=text)
    return Explained(target, verdict, (), diagnose(verdict.category))
