"""Whether a finished run is accepted: the answer of a declared check. It marks a run, and takes none away. Pure."""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol

from hpc.core.experiment.expression import CONSTANTS, parse_expression
from hpc.core.experiment.spec import Check
from hpc.core.immutable import immutable


class Accepted(StrEnum):
    """What a check says of a finished run."""

    PASSED = "passed"
    FAILED = "failed"
    UNCHECKED = "not checked"


@immutable
class CheckAnswer:
    """The answer for one run.

    Attributes:
        state: What it says; None for a run that has not finished.
        said: The values it looked at, or why there is no answer.
    """

    state: Accepted | None = None
    said: str = ""


NOT_FINISHED = CheckAnswer()


class Ran(Protocol):
    """What of a `CheckRecord` is looked at."""

    @property
    def command(self) -> str: ...
    @property
    def exit_code(self) -> int | None: ...
    @property
    def no_answer(self) -> str: ...


def by_expression(check: Check, metrics: Mapping[str, float | None], arguments: Mapping[str, Any]) -> CheckAnswer:
    """Judge a run by its final values.

    A value that is missing leaves it unchecked; one that is no finite number fails it, whatever the condition would
    make of it: ``not (loss > 1)`` is true of nan.

    Args:
        check: An expression.
        metrics: Final metric → value; null and nan are values that are not finite.
        arguments: Parameters, fixed arguments and seed.
    """
    rule = parse_expression(check.expression, [*metrics, *arguments, *_names(check)])
    values = {name: metrics[name] if name in metrics else arguments.get(name) for name in rule.names}
    if missing := [name for name in rule.names if name not in metrics and name not in arguments]:
        return CheckAnswer(Accepted.UNCHECKED, f"{', '.join(missing)} has no value")
    shown = ", ".join(f"{name} = {_shown(value)}" for name, value in values.items())
    if any(name in metrics and not _is_finite(metrics[name]) for name in rule.names):
        return CheckAnswer(Accepted.FAILED, f"{shown}: not a finite number")
    try:
        return CheckAnswer(Accepted.PASSED if rule.holds(values) else Accepted.FAILED, shown)
    except ValueError as error:
        return CheckAnswer(Accepted.UNCHECKED, f"{shown}: {error}")


def _names(check: Check) -> tuple[str, ...]:
    """Every word of the expression: planning has checked them, and a run may lack one."""
    words = "".join(c if c.isalnum() or c == "_" else " " for c in check.expression).split()
    return tuple(word for word in dict.fromkeys(words) if word not in CONSTANTS)


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "nan" if value is None else str(value)


def by_command(check: Check, ran: Ran | None) -> CheckAnswer:
    """Judge a run by what its check ended with.

    Args:
        check: A command.
        ran: What is on record of it; None where there is nothing.
    """
    if ran is None:
        return CheckAnswer(
            Accepted.UNCHECKED, "no answer recorded: the check did not finish, or was declared after the run"
        )
    if ran.command != check.command:
        return CheckAnswer(Accepted.UNCHECKED, f"another check ran: {ran.command}")
    if ran.no_answer:
        return CheckAnswer(Accepted.UNCHECKED, ran.no_answer)
    return CheckAnswer(Accepted.FAILED if ran.exit_code else Accepted.PASSED, f"exit code {ran.exit_code}")
