"""What each class of failure leads to while its budget lasts, in words: the one table that planning and `why` share."""

from hpc.core.failures.evidence import FailureClass, Verdict
from hpc.core.immutable import immutable, replace

F = FailureClass


@immutable
class Action:
    """What a class leads to unless a budget is spent.

    Attributes:
        action: ``lower_micro_batch``, ``raise_memory``, ``resume``, ``resume_with_more_time``, ``earlier_checkpoint``,
            ``repeat_once`` or ``none``.
        changes: What the next attempt has that this one had not, one sentence.
        reason: Why that, or why nothing, one sentence.
    """

    action: str
    changes: str
    reason: str


_RESUME = Action(
    "resume", "resumes from its last checkpoint; does not count against max_attempts", "the task was not at fault"
)
_MEND = Action("none", "", "a blind retry would fail the same way")
ACTIONS: dict[FailureClass, Action] = {
    F.OOM_GPU: Action(
        "lower_micro_batch",
        "micro-batch ÷2 and accumulation ×2, or the largest known to fit: same global batch, same optimiser steps",
        "less memory is needed at a time, and the result stays comparable",
    ),
    F.OOM_HOST: Action(
        "raise_memory",
        "host memory × oom_host.factor, or the measured peak and a margin, up to the profile's limit",
        "the job needs more",
    ),
    F.OOM_SHM: Action("raise_memory", "host memory × oom_host.factor: /dev/shm is a share of it", "the job needs more"),
    F.TIMEOUT: Action(
        "resume_with_more_time",
        "resumes from its checkpoint with the time the remaining steps need at the measured throughput, else "
        "time × timeout.factor, up to the profile's limit",
        "it was still working",
    ),
    F.PREEMPTED: _RESUME,
    F.NODE_FAILURE: replace(_RESUME, changes=_RESUME.changes + "; the node is excluded for a while"),
    F.GPU_HARDWARE: replace(_RESUME, changes=_RESUME.changes + "; the node is excluded for a while"),
    F.COMMUNICATION: _RESUME,
    F.DIVERGENCE: Action(
        "none", "", "a diverged run is a result; only what retry.divergence declares repeats it, once and altered"
    ),
    F.NOT_CONVERGED: Action("none", "", "a run that learned nothing is a result"),
    F.CHECKPOINT: Action("earlier_checkpoint", "goes back to the previous checkpoint, once", "that one may be intact"),
    F.UNKNOWN: Action("repeat_once", "repeated unchanged, once", "no known reason against it"),
    F.CANCELLED: Action("none", "", "somebody stopped it on purpose"),
    F.STORAGE: replace(_MEND, reason="other tasks would fail too: full or broken storage holds the experiment"),
    F.CONTAINER: _MEND,
    F.ENVIRONMENT: _MEND,
    F.DATA: _MEND,
    F.CONFIG: _MEND,
    F.CODE_BUG: _MEND,
}
PASSING: dict[tuple[FailureClass, str], Action] = {
    (F.ENVIRONMENT, "licence"): Action("repeat_once", "repeated unchanged, once", "a licence may have come free"),
    (F.ENVIRONMENT, "compile_cache"): Action(
        "repeat_once", "repeated unchanged, once", "two processes wrote one compile cache, which seldom happens twice"
    ),
}
"""Class and sub-cause of what passes by itself, in classes that are otherwise not repeated."""
MENDED_FIRST = frozenset(category for category, action in ACTIONS.items() if action is _MEND)
"""Classes of which nothing is repeated before somebody has mended the cause and says so."""


def default_action(category: FailureClass) -> Action | None:
    """What happens to a task of this class while its budget lasts; None for a success."""
    return ACTIONS.get(category)


def action_of(verdict: Verdict) -> Action | None:
    """What happens after this verdict while the task's budget lasts; None for a success."""
    return PASSING.get((verdict.category, verdict.cause)) or default_action(verdict.category)
