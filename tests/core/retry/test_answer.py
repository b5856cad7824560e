"""What a hook answers: bounded by site and policy, every difference named, altered where what is measured changes."""

import re
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.experiment.spec import RetryPolicy
from hpc.core.failures.evidence import FailureClass, Verdict
from hpc.core.retry.answer import heed
from hpc.core.retry.plan import plan_retries
from hpc.core.retry.records import AttemptFacts, Decision, Declined, FailedTask, Limits, Retry, Situation

F = FailureClass
SITUATION = Situation(RetryPolicy(), Limits(max_memory_mib=16384, max_time_s=7200))


def task(*categories: FailureClass, **known: object) -> FailedTask:
    attempts = tuple(
        AttemptFacts(number, Verdict(category, "rule"), 4096, 3600, 16, 4, node="n1")
        for number, category in enumerate(categories, start=1)
    )
    values = {"global_batch": 64, "checkpoints": ("step-8",), "parameters": {"lr": 0.1, "rank": 8}, **known}
    return FailedTask("t1", "S42", attempts, **values)  # type: ignore[arg-type]


def planned(failed: FailedTask) -> Decision:
    plan = plan_retries([failed], SITUATION)
    return (*plan.retry, *plan.declined)[0]


def answered(answer: Any, failed: FailedTask | None = None) -> Decision:
    failed = failed or task(F.CODE_BUG)
    return heed(answer, failed, planned(failed), SITUATION)


def retried(answer: Any, failed: FailedTask | None = None) -> Retry:
    decision = answered(answer, failed)
    assert isinstance(decision, Retry), decision
    assert decision.reason.startswith("hook: ")
    return decision


def test_none_keeps_what_was_planned() -> None:
    """No answer, no change."""
    failed = task(F.OOM_GPU)
    assert answered(None, failed) == planned(failed)


def test_a_declined_task_can_be_retried_and_a_retried_one_declined() -> None:
    """Both ways, with the reason marked as the hook's."""
    again = retried({"action": "retry", "reason": "licence server was down"})
    assert (again.attempt, again.resume_from, again.altered, again.changes) == (2, "step-8", False, ())
    assert again.reason == "hook: licence server was down"
    declined = answered({"action": "decline", "reason": "known"}, task(F.PREEMPTED))
    assert isinstance(declined, Declined)
    assert declined.reason == "hook: known"


def test_a_record_is_as_good_as_a_mapping() -> None:
    """A dataclass with such attributes; those that are None are not said."""

    @dataclass
    class Answer:
        action: str
        memory: str | None = None
        time: str | None = None

    assert retried(Answer("retry", memory="8GB")).memory_mib == 8192


def test_memory_and_time_are_bounded_by_the_profile() -> None:
    """More than the site grants is cut to that, and said."""
    again = retried({"action": "retry", "memory": "64GB", "time": "8:00:00"})
    assert (again.memory_mib, again.time_s) == (16384, 7200)
    assert again.changes[0] == "memory 4G → 16G: hook, bounded by the profile (asked: 64G)"
    assert "2:00:00" in again.changes[1]


def test_its_memory_replaces_the_planned_one() -> None:
    """After a host out-of-memory only the hook's amount is in the changes."""
    again = retried({"action": "retry", "memory": "12GB"}, task(F.OOM_HOST))
    assert again.memory_mib == 12288
    assert [change for change in again.changes if change.startswith("memory")] == ["memory 4G → 12G: hook"]


def test_micro_batch_keeps_the_global_batch_or_alters() -> None:
    """What divides is comparable; what does not is the nearest, and altered."""
    exact = retried({"action": "retry", "micro_batch": 4}, task(F.OOM_GPU))
    assert (exact.micro_batch, exact.accumulation, exact.altered) == (4, 16, False)
    assert not any("→ 8" in change for change in exact.changes)
    near = retried({"action": "retry", "micro_batch": 5}, task(F.OOM_GPU))
    assert (near.micro_batch, near.accumulation, near.altered) == (5, 13, True)
    assert "→ 65, the nearest to 64" in near.changes[-1]


def test_changed_parameters_alter_and_begin_anew() -> None:
    """Another value is another run: altered, from the beginning unless the hook says otherwise."""
    again = retried({"action": "retry", "parameters": {"lr": 0.01}})
    assert (again.parameter_overrides, again.altered, again.resume) == ({"lr": 0.01}, True, False)
    assert again.changes == ("lr 0.1 → 0.01: hook",)
    assert retried({"action": "retry", "parameters": {"lr": 0.01}, "resume": True}).resume_from == "step-8"


def test_nodes_and_a_new_beginning() -> None:
    """Nodes are added to those avoided already; resume: False starts from the beginning."""
    again = retried({"action": "retry", "exclude_nodes": ["n7"], "resume": False}, task(F.NODE_FAILURE))
    assert (again.exclude_nodes, again.resume, again.resume_from) == (("n1", "n7"), False, "")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (True, "the answer is True"),
        ("retry", "return None or"),
        ({}, "valid: retry, decline"),
        ({"action": "restart"}, "'restart'; valid: retry, decline"),
        ({"action": "retry", "mem": "8GB"}, "did you mean 'memory'"),
        ({"action": "decline", "memory": "8GB"}, "means nothing with decline"),
        ({"action": "retry", "reason": 3}, "it must be text"),
        ({"action": "retry", "memory": "lots"}, "not an amount of memory"),
        ({"action": "retry", "memory": True}, "not text or a number"),
        ({"action": "retry", "time": None}, "not text or a number"),
        ({"action": "retry", "micro_batch": 0}, "from 1 to 64"),
        ({"action": "retry", "micro_batch": 65}, "from 1 to 64"),
        ({"action": "retry", "parameters": {"seed": 1}}, "no 'seed'"),
        ({"action": "retry", "parameters": {"lr": float("nan")}}, "finite"),
        ({"action": "retry", "parameters": {"lr": "a\nb"}}, "one line"),
        ({"action": "retry", "parameters": {"lr": [1]}}, "one line"),
        ({"action": "retry", "parameters": {}}, "must map"),
        ({"action": "retry", "exclude_nodes": "n1"}, "list of node names"),
        ({"action": "retry", "exclude_nodes": ["n1;rm"]}, "list of node names"),
        ({"action": "retry", "resume": "yes"}, "True or False"),
    ],
)
def test_nonsense_is_refused_with_what_is_valid(answer: Any, told: str) -> None:
    """Every wrong answer gets a sentence; none becomes a decision."""
    with pytest.raises(ValueError, match=re.escape(told)):
        answered(answer)


def test_attempts_stay_bounded() -> None:
    """A hook cannot repeat for ever: neither past max_attempts, nor what counts for no budget."""
    spent = answered({"action": "retry"}, task(*[F.CODE_BUG] * 4))
    assert isinstance(spent, Declined)
    assert "max_attempts is 4" in spent.reason
    lost = answered({"action": "retry"}, task(*[F.PREEMPTED] * 20))
    assert isinstance(lost, Declined)
    assert "20 attempts" in lost.reason


@given(
    st.sampled_from(sorted(set(F) - {F.SUCCESS})),
    st.fixed_dictionaries(
        {"action": st.sampled_from(["retry", "decline", "what"])},
        optional={
            "memory": st.one_of(st.text(max_size=5), st.integers(), st.just("1T")),
            "time": st.one_of(st.text(max_size=5), st.integers()),
            "micro_batch": st.integers(-1, 70),
            "parameters": st.dictionaries(st.sampled_from(["lr", "rank", "seed"]), st.floats() | st.text(max_size=3)),
            "resume": st.booleans(),
            "exclude_nodes": st.lists(st.text(max_size=3), max_size=2),
        },
    ),
)
def test_whatever_is_answered_stays_within_the_limits(category: FailureClass, answer: dict) -> None:
    """A ValueError, or a decision that keeps the site's limits and says altered where it has to."""
    failed = task(category)
    try:
        decision = answered(answer, failed)
    except ValueError:
        return
    if isinstance(decision, Retry):
        assert 0 < decision.memory_mib <= 16384
        assert 0 < decision.time_s <= 7200
        assert decision.micro_batch
        assert decision.accumulation
        assert decision.altered or decision.micro_batch * decision.accumulation == 64
        assert decision.altered or not decision.parameter_overrides
        assert decision.resume == bool(decision.resume_from)
