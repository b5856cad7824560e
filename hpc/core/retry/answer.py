"""What a user's own function answers about a failure, checked and turned into a decision. Pure.

The answer may do what the plan may do, and nothing more: within what the site grants, within `max_attempts`, with
every difference named, and *altered* as soon as a parameter or the global batch changes.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hpc.core.errors import nearest
from hpc.core.resources import parse_memory, parse_time, render_memory, render_time
from hpc.core.retry.counting import CEILING_FACTOR, attempts_spent
from hpc.core.retry.next_attempt import again
from hpc.core.retry.records import Decision, Declined, FailedTask, Retry, Situation

MARK = "hook"
"""Begins the reason of everything a hook decided."""
MAX_REASON = 300
MAX_VALUE = 1000


def heed(answer: Any, task: FailedTask, planned: Decision, situation: Situation) -> Decision:
    """Turn the answer about one failed task into a decision.

    Args:
        answer: None keeps what was planned; else a mapping, or a record with such attributes: ``action`` (``retry`` or
            ``decline``), ``reason``, and for a retry ``memory``, ``time``, ``micro_batch``, ``parameters``,
            ``exclude_nodes``, ``resume``.
        task: With all its attempts.
        planned: What stands without a hook.
        situation: Policy and limits.

    Raises:
        ValueError: The answer is none of these; the message says what is wrong and what is valid.
    """
    if answer is None:
        return planned
    said = _as_mapping(answer)
    action = said.get("action")
    if action not in _KEYS:
        raise ValueError(f"action is {action!r}; valid: {', '.join(_KEYS)} (or None to keep the plan)")
    for key in said:
        if key not in _KEYS[action]:
            raise ValueError(f"{key!r} means nothing with {action}; {nearest(str(key), _KEYS[action])}")
    reason = _text(said.get("reason", ""))
    if action == "decline":
        told = f"{MARK}: {reason or 'not to be retried'}"
        return Declined(task.task_id, task.run_name, task.last.category, told, "see the function named by retry.hook")
    spent = attempts_spent(task, situation.policy) or _too_many(task, situation)
    if spent and isinstance(planned, Declined):
        return spent
    return _retry(said, reason, task, planned, situation)


def _as_mapping(answer: Any) -> Mapping[str, Any]:
    if isinstance(answer, Mapping):
        return answer
    if hasattr(answer, "action") and hasattr(answer, "__dict__"):
        return {key: value for key, value in vars(answer).items() if value is not None}
    raise ValueError(
        f"the answer is {answer!r:.80}; return None or {{'action': 'retry', …}} or {{'action': 'decline'}}"
    )


def _too_many(task: FailedTask, situation: Situation) -> Declined | None:
    """Decline what a hook would repeat for ever: attempts that count for no budget of the plan count here."""
    most = CEILING_FACTOR * situation.policy.max_attempts
    if len(task.attempts) < most:
        return None
    reason = f"{len(task.attempts)} attempts, and a hook may lead to {most} at most"
    return Declined(task.task_id, task.run_name, task.last.category, reason, "raise retry.max_attempts if that helps")


def _retry(said: Mapping[str, Any], reason: str, task: FailedTask, planned: Decision, situation: Situation) -> Retry:
    base = planned if isinstance(planned, Retry) else again(task, situation, "", ())
    for key, change in _CHANGES.items():
        if key in said:
            base = change(said[key], base, task, situation)
    if "parameters" in said and "resume" not in said:
        base = replace(base, resume=False, resume_from="")  # what was done so far was done with the old values
    return replace(base, reason=f"{MARK}: {reason or ', '.join(base.changes) or 'repeated unchanged'}")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"reason is {value!r:.80}; it must be text")
    return " ".join(value.split())[:MAX_REASON]


# ── one function a key ───────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Amount:
    """A limit that may be asked for, bounded by what the site grants."""

    field: str
    most: str
    parse: Callable[[str | int], int]
    render: Callable[[int], str]

    def __call__(self, value: Any, base: Retry, task: FailedTask, situation: Situation) -> Retry:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(f"{value!r:.80} is not text or a number")
        asked, most = self.parse(value), getattr(situation.limits, self.most)
        given = min(asked, most) if most else asked
        had = getattr(task.last, self.field)
        bound = f", bounded by the profile (asked: {self.render(asked)})" if given < asked else ""
        change = f"{self.field.split('_')[0]} {self.render(had)} → {self.render(given)}: {MARK}{bound}"
        kept = tuple(each for each in base.changes if not each.startswith(f"{self.field.split('_')[0]} "))
        return replace(base, **{self.field: given}, changes=(*kept, change))  # type: ignore[arg-type]  # a field of it


def _micro_batch(value: Any, base: Retry, task: FailedTask, situation: Situation) -> Retry:
    least = situation.policy.min_micro
    if task.global_batch is None:
        raise ValueError("micro_batch: the experiment declares no batch")
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= task.global_batch:
        raise ValueError(f"micro_batch is {value!r:.80}; it must be a whole number from {least} to {task.global_batch}")
    accumulation = max(1, round(task.global_batch / (value * task.processes)))
    reached = value * accumulation * task.processes
    kept = tuple(each for each in base.changes if not each.startswith(("micro_batch ", "accumulation ")))
    same = "stays" if reached == task.global_batch else f"→ {reached}, the nearest to"
    changes = (
        f"micro_batch {task.last.micro_batch} → {value}: {MARK}",
        f"accumulation {task.last.accumulation} → {accumulation}: global batch {same} {task.global_batch}",
    )
    altered = task.altered or base.altered or reached != task.global_batch
    return replace(base, micro_batch=value, accumulation=accumulation, altered=altered, changes=(*kept, *changes))


def _parameters(value: Any, base: Retry, task: FailedTask, _: Situation) -> Retry:
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"parameters is {value!r:.80}; it must map names to new values")
    old = {**task.parameters, **base.parameter_overrides}
    for name, new in value.items():
        if name not in task.parameters:
            raise ValueError(f"parameters: the task has no {name!r}; {nearest(str(name), tuple(task.parameters))}")
        if not _is_value(new):
            raise ValueError(f"parameters: {name} is {new!r:.80}; it must be one line, a finite number, a bool or None")
    changes = tuple(f"{name} {old[name]} → {new}: {MARK}" for name, new in value.items())
    return replace(
        base,
        parameter_overrides={**base.parameter_overrides, **value},
        altered=True,
        changes=(*base.changes, *changes),
    )


def _is_value(new: Any) -> bool:
    """Whether a parameter can hold it: as in the experiment file, and as JSON and a command line can carry it."""
    if isinstance(new, str):
        return len(new) <= MAX_VALUE and new.isprintable()
    return new is None or (isinstance(new, int | float) and math.isfinite(new))


def _nodes(value: Any, base: Retry, _: FailedTask, __: Situation) -> Retry:
    if not isinstance(value, list | tuple) or not all(isinstance(node, str) and _is_node(node) for node in value):
        raise ValueError(f"exclude_nodes is {value!r:.80}; it must be a list of node names")
    excluded = tuple(dict.fromkeys((*base.exclude_nodes, *value)))
    return replace(base, exclude_nodes=excluded, changes=(*base.changes, f"excluded {', '.join(value)}: {MARK}"))


def _is_node(name: str) -> bool:
    return bool(name) and all(char.isalnum() or char in "-._" for char in name)


def _resume(value: Any, base: Retry, task: FailedTask, _: Situation) -> Retry:
    if not isinstance(value, bool):
        raise ValueError(f"resume is {value!r:.80}; it must be True or False")
    if value and not task.checkpoints:
        raise ValueError("resume: there is no checkpoint to resume from")
    return replace(base, resume=value, resume_from=(base.resume_from or task.checkpoints[-1]) if value else "")


_CHANGES: dict[str, Callable[[Any, Retry, FailedTask, Situation], Retry]] = {
    "memory": _Amount("memory_mib", "max_memory_mib", parse_memory, render_memory),
    "time": _Amount("time_s", "max_time_s", parse_time, render_time),
    "micro_batch": _micro_batch,
    "parameters": _parameters,
    "exclude_nodes": _nodes,
    "resume": _resume,
}
_KEYS: dict[str, tuple[str, ...]] = {
    "retry": ("action", "reason", *_CHANGES),
    "decline": ("action", "reason"),
}
