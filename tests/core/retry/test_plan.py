"""The retry plan: what is changed for each class, what is declined, and the laws that hold for every plan."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.experiment.spec import Divergence, RetryPolicy
from hpc.core.failures.evidence import FailureClass, Verdict
from hpc.core.retry.actions import ACTIONS, default_action
from hpc.core.retry.amounts import smaller_micro_batch
from hpc.core.retry.counting import blameless
from hpc.core.retry.learned import NOTHING_KNOWN, Known, Observation, learn
from hpc.core.retry.plan import plan_retries
from hpc.core.retry.records import ON_REQUEST, AttemptFacts, Declined, FailedTask, Limits, Retry, Situation

F = FailureClass
LIMITS = Limits(max_memory_mib=16384, max_time_s=7200)


def attempt(number: int, category: FailureClass, cause: str = "", **known: object) -> AttemptFacts:
    values = {"memory_mib": 4096, "time_s": 3600, "micro_batch": 16, "accumulation": 4, **known}
    return AttemptFacts(number, Verdict(category, "rule", cause=cause, suggestion="mend it"), **values)  # type: ignore[arg-type]


def task(*attempts: AttemptFacts, **known: object) -> FailedTask:
    values = {"global_batch": 64, "processes": 1, "parameters": {"learning_rate": 0.01}, **known}
    return FailedTask("t1", "S42", attempts, **values)  # type: ignore[arg-type]


def decide(
    failed: FailedTask, policy: RetryPolicy | None = None, limits: Limits = LIMITS, **known: object
) -> Retry | Declined:
    plan = plan_retries([failed], Situation(policy or RetryPolicy(), limits, **known))  # type: ignore[arg-type]
    assert len(plan.retry) + len(plan.declined) == 1
    return (plan.retry or plan.declined)[0]


def retried(failed: FailedTask, policy: RetryPolicy | None = None, limits: Limits = LIMITS, **known: object) -> Retry:
    decision = decide(failed, policy, limits, **known)
    assert isinstance(decision, Retry), decision
    return decision


def declined(
    failed: FailedTask, policy: RetryPolicy | None = None, limits: Limits = LIMITS, **known: object
) -> Declined:
    decision = decide(failed, policy, limits, **known)
    assert isinstance(decision, Declined), decision
    assert decision.reason
    assert decision.next_step
    return decision


def test_device_oom_halves_the_micro_batch_and_keeps_the_global_batch() -> None:
    """Out of device memory: micro-batch ÷2, accumulation ×2, nothing else, not altered."""
    again = retried(task(attempt(1, F.OOM_GPU)))
    assert (again.attempt, again.micro_batch, again.accumulation) == (2, 8, 8)
    assert (again.memory_mib, again.time_s, again.altered) == (4096, 3600, False)
    assert again.changes[0] == "micro_batch 16 → 8: out of memory"
    assert "global batch stays 64" in again.reason


def test_device_oom_never_touches_memory_and_host_oom_never_the_batch() -> None:
    """The two levers are never exchanged."""
    assert retried(task(attempt(1, F.OOM_GPU))).memory_mib == 4096
    host = retried(task(attempt(1, F.OOM_HOST)))
    assert (host.memory_mib, host.micro_batch, host.accumulation) == (6144, 16, 4)


def test_device_oom_beside_others_is_first_tried_alone() -> None:
    """A neighbour may have filled the device: alone with the same micro-batch, then smaller, and alone from then on."""
    shared = attempt(1, F.OOM_GPU, packed=4)
    again = retried(task(shared))
    assert (again.alone, again.micro_batch, again.accumulation) == (True, 16, 4)
    assert again.changes[0].startswith("alone: up to 4 tasks shared its device")
    by_itself = retried(task(shared, attempt(2, F.OOM_GPU)))
    assert (by_itself.alone, by_itself.micro_batch) == (True, 8)
    assert retried(task(shared, attempt(2, F.PREEMPTED))).alone
    assert retried(task(shared, global_batch=None)).alone  # also where no batch may be halved


@pytest.mark.parametrize("packed", [0, 1, 4])
def test_other_failures_of_a_pack_are_packed_again(packed: int) -> None:
    """Only what shares a device is told apart; a retry says which class it heals, so that those share an element."""
    again = retried(task(attempt(1, F.PREEMPTED, packed=packed)))
    assert (again.alone, again.category) == (False, "preempted")


@pytest.mark.parametrize(
    ("micro", "whole", "processes", "least", "expected"),
    [
        (16, 64, 1, 1, (8, 8)),
        (16, 64, 2, 1, (8, 4)),
        (12, 36, 1, 1, (6, 6)),
        (10, 40, 1, 1, (5, 8)),
        (9, 36, 1, 1, (4, 9)),
        (7, 49, 1, 1, (1, 49)),
        (2, 8, 1, 1, (1, 8)),
        (1, 8, 1, 1, None),
        (4, 8, 1, 4, None),
        (6, 18, 1, 2, (3, 6)),
        (5, 25, 1, 2, (2, 12)),
    ],
)
def test_smaller_micro_batch(
    micro: int, whole: int, processes: int, least: int, expected: tuple[int, int] | None
) -> None:
    """The largest fitting size up to half is taken; where none divides, the nearest; at the smallest, none."""
    assert smaller_micro_batch(micro, whole, processes, least) == expected


def test_batch_that_does_not_divide_is_altered_and_says_so() -> None:
    """Where no smaller micro-batch keeps the global batch, the nearest is taken and the run is marked altered."""
    failed = task(attempt(1, F.OOM_GPU, micro_batch=5, accumulation=5), global_batch=25)
    again = retried(failed, RetryPolicy(min_micro=2))
    assert (again.micro_batch, again.accumulation, again.altered) == (2, 12, True)
    assert "25 → 24, the nearest" in again.reason


def seen(fits: int | None = None, fails: int | None = None, shape: str = "s") -> Known:
    both = [(fits, True, "S1/attempt-2"), (fails, False, "S2/attempt-1")]
    return learn(NOTHING_KNOWN, [Observation(shape, {}, micro, ok, where) for micro, ok, where in both if micro])


def test_device_oom_goes_straight_to_what_is_known_to_fit() -> None:
    """Not half by half through what others have shown to fail; the evidence stands in the change."""
    failed = task(attempt(1, F.OOM_GPU), shape="s")
    again = retried(failed, learned=seen(fits=2, fails=8))
    assert (again.micro_batch, again.accumulation, again.altered) == (2, 32, False)
    assert "8 ran out of memory in S2/attempt-1, 2 fits (S1/attempt-2)" in again.changes[0]
    assert retried(failed, learned=seen(fails=8)).micro_batch == 4
    assert retried(failed, learned=seen(fits=8)).micro_batch == 8
    assert retried(failed, learned=seen(fits=2, fails=8, shape="another")).micro_batch == 8
    assert retried(failed, learned=seen(fits=16)).micro_batch == 8, "what fitted once and failed now does not fit"


def test_learned_values_never_alter_where_an_exact_one_exists() -> None:
    """A micro-batch known to fit that does not divide the global batch gives way to the next smaller that does."""
    again = retried(task(attempt(1, F.OOM_GPU), shape="s"), learned=seen(fits=7))
    assert (again.micro_batch, again.accumulation, again.altered) == (4, 16, False)


def test_device_oom_declined_without_batch_and_at_the_smallest() -> None:
    """Nothing is halved that was not declared, nor below min_micro."""
    undeclared = task(attempt(1, F.OOM_GPU, micro_batch=None, accumulation=None), global_batch=None)
    assert "declare batch" in declined(undeclared).next_step
    assert "min_micro is 16" in declined(task(attempt(1, F.OOM_GPU)), RetryPolicy(min_micro=16)).reason


def test_host_oom_stops_at_the_profiles_limit() -> None:
    """Memory grows up to what the profile grants and is declined there."""
    assert retried(task(attempt(1, F.OOM_HOST, memory_mib=12000))).memory_mib == 16384
    assert "16G" in declined(task(attempt(1, F.OOM_HOST, memory_mib=16384))).reason
    assert retried(task(attempt(1, F.OOM_SHM, memory_mib=50000)), limits=Limits()).memory_mib == 75000


def test_host_memory_follows_what_was_measured() -> None:
    """The peak and a margin where that is more than the factor gives; a peak far below the limit is named as such."""
    assert retried(task(attempt(1, F.OOM_HOST, peak_memory_mib=8000.0))).memory_mib == 9600
    again = retried(task(attempt(1, F.OOM_HOST, peak_memory_mib=1000.5)))
    assert again.memory_mib == 6144
    assert "the measured peak of 1001M lies far below the limit" in again.reason
    assert retried(task(attempt(1, F.OOM_HOST, peak_memory_mib=14000.0))).memory_mib == 16384
    assert retried(task(attempt(1, F.OOM_SHM, peak_memory_mib=100.0))).changes == (
        "memory 4G → 6G: out of host memory",
    )


def working(**known: object) -> AttemptFacts:
    """An attempt that reached step 900 at one step in two seconds after a minute of start-up, and its time limit."""
    return attempt(1, F.TIMEOUT, **{"last_step": 900, "steps_per_second": 0.5, "startup_s": 60.0, **known})


def test_time_follows_throughput_and_the_steps_that_are_left() -> None:
    """From the checkpoint's step at the measured rate with a margin; never less than there was nor over the limit."""
    known = {"checkpoints": ("step-00000800",)}
    again = retried(task(working(), total_steps=2400, **known))
    assert again.time_s == 3900  # 60 s + 1600 steps × 2 s × 1.2 = 3900 s
    assert "1600 of 2400 steps left at 0.5 steps/s need 01:05:00" in again.reason
    assert retried(task(working(), total_steps=1000, **known)).time_s == 3600
    assert retried(task(working(), total_steps=100_000, **known)).time_s == 7200
    assert retried(task(working(), **known)).time_s == 7200, "without the number of steps: the factor"
    assert retried(task(working(), total_steps=2400, checkpoints=("last",))).time_s == 3660, "from the last step"


def test_more_time_than_the_site_has_needs_a_checkpoint() -> None:
    """All the work in one piece is declined where the site's limit is shorter; with a checkpoint it goes in pieces."""
    told = declined(task(working(), total_steps=10_000))
    assert "2:00:00 is the longest time limit and there is no checkpoint" in told.reason
    assert "10000 of 10000 steps left" in told.reason
    assert retried(task(working(), total_steps=2400)).time_s == 5820  # all 2400 steps anew


def test_timeout_resumes_with_more_time_up_to_the_limit() -> None:
    """A timeout goes on from its newest checkpoint with more time, within the site's limit."""
    again = retried(task(attempt(1, F.TIMEOUT), checkpoints=("step-1", "step-2")))
    assert (again.resume, again.resume_from, again.time_s) == (True, "step-2", 7200)
    at_limit = retried(task(attempt(1, F.TIMEOUT, time_s=7200), checkpoints=("step-2",)))
    assert (at_limit.time_s, at_limit.resume) == (7200, True)


def test_timeout_declined_at_the_limit_without_checkpoint_or_without_progress() -> None:
    """More of the same is not tried: no checkpoint at the longest limit, or nothing gained by the second attempt."""
    assert "no checkpoint" in declined(task(attempt(1, F.TIMEOUT, time_s=7200))).reason
    stuck = task(attempt(1, F.TIMEOUT, last_step=50), attempt(2, F.TIMEOUT, last_step=50), checkpoints=("step-50",))
    assert "no further" in declined(stuck).reason
    moving = task(attempt(1, F.TIMEOUT, last_step=50), attempt(2, F.TIMEOUT, last_step=90), checkpoints=("step-90",))
    assert retried(moving).resume_from == "step-90"


def test_hang_gets_no_more_time() -> None:
    """A silent hang is resumed with the time it had: more would be waited away."""
    assert retried(task(attempt(1, F.TIMEOUT, "hang"), checkpoints=("step-1",))).time_s == 3600


def test_checkpointed_goes_on_for_as_long_as_it_gains_steps() -> None:
    """A task cut into many pieces by its time limit never runs out of attempts while it moves."""
    attempts = [attempt(n, F.TIMEOUT, "checkpointed", last_step=10 * n) for n in range(1, 40)]
    again = retried(task(*attempts, checkpoints=("step-390",)))
    assert (again.attempt, again.time_s, again.resume) == (40, 3600, True)
    idle = [attempt(n, F.TIMEOUT, "checkpointed", last_step=10) for n in range(1, 5)]
    assert "without progress" in declined(task(*idle, checkpoints=("step-10",))).reason


@pytest.mark.parametrize("category", [F.PREEMPTED, F.NODE_FAILURE, F.GPU_HARDWARE, F.COMMUNICATION])
def test_taken_away_never_eats_another_budget(category: FailureClass) -> None:
    """After interruptions an out-of-memory task still has all its attempts, with time and memory unchanged."""
    lost = [attempt(n, category, last_step=n) for n in range(1, 7)]
    assert isinstance(decide(task(*lost, checkpoints=("s",))), Retry)
    again = retried(task(*lost, attempt(7, F.OOM_GPU), checkpoints=("s",)))
    assert (again.micro_batch, again.time_s, again.memory_mib) == (8, 3600, 4096)


def test_taken_away_ends_after_its_own_budget_without_progress() -> None:
    """Ten preemptions without a step gained are the end; steps gained start the count anew."""
    idle = [attempt(n, F.PREEMPTED, last_step=0) for n in range(1, 11)]
    assert "10 times in a row" in declined(task(*idle)).reason
    moving = [attempt(n, F.PREEMPTED, last_step=n) for n in range(1, 31)]
    assert isinstance(decide(task(*moving)), Retry)


def test_bad_nodes_are_excluded_from_then_on() -> None:
    """A node that failed or has a broken GPU is left out, also by later retries for other reasons."""
    first = attempt(1, F.GPU_HARDWARE, node="n3")
    assert retried(task(first)).exclude_nodes == ("n3",)
    assert retried(task(first, attempt(2, F.OOM_GPU, node="n4"))).exclude_nodes == ("n3",)
    assert retried(task(attempt(1, F.PREEMPTED, node="n1"))).exclude_nodes == ()


def test_nodes_are_mended_after_a_while() -> None:
    """A bad node is avoided for the declared hours after its failure; the latest ones count, and so many at most."""
    lost = [attempt(n, F.NODE_FAILURE, node=f"n{n}", ended=n * 3600.0, last_step=n) for n in range(1, 6)]
    assert retried(task(*lost)).exclude_nodes == ("n3", "n4", "n5")
    policy = RetryPolicy(exclude_hours=2, exclude_at_most=9)
    assert retried(task(*lost), policy, now=5.5 * 3600).exclude_nodes == ("n4", "n5")
    assert retried(task(*lost), policy, now=100 * 3600).exclude_nodes == ()
    assert retried(task(*lost), RetryPolicy(exclude_at_most=0)).exclude_nodes == ()


@pytest.mark.parametrize(
    ("ran_on", "now_on", "excluded"),
    [
        ("alps", "alps", ("n1",)),
        ("alps", "jura", ()),
        ("local", "jura", ()),
        ("", "jura", ("n1",)),
        ("alps", "", ("n1",)),
    ],
)
def test_a_node_of_another_cluster_is_another_node(ran_on: str, now_on: str, excluded: tuple[str, ...]) -> None:
    """sbatch refuses a node it does not know, and n1 of one cluster says nothing of n1 of another."""
    again = retried(task(attempt(1, F.NODE_FAILURE, node="n1", cluster=ran_on)), cluster=now_on)
    assert again.exclude_nodes == excluded
    assert bool(again.changes) == bool(excluded)


def test_speed_measured_on_another_cluster_sets_no_time_limit() -> None:
    """What is left is reckoned from the speed of the same machines only."""
    measured = attempt(1, F.TIMEOUT, last_step=100, steps_per_second=0.01, cluster="alps")
    failed = task(measured, total_steps=2000, checkpoints=("step-100",))
    there, here = (retried(failed, limits=Limits(), cluster=name).time_s for name in ("alps", "jura"))
    assert there > here == 2 * 3600


def test_full_storage_waits_for_a_person_and_then_goes_on() -> None:
    """Declined until the experiment is released, then resumed; when it fails again without a step gained, declined."""
    full = attempt(1, F.STORAGE, "full", last_step=5, ended=100.0)
    told = declined(task(full, checkpoints=("s",)))
    assert "--release" in told.next_step
    assert "--release" in declined(task(full), released=99.0).next_step, "it failed again after the release"
    released = {"released": 101.0}
    again = retried(task(full, checkpoints=("s",)), **released)
    assert (again.resume_from, again.time_s, again.altered) == ("s", 3600, False)
    twice = task(full, attempt(2, F.STORAGE, "full", last_step=5, ended=100.5))
    assert "again after the experiment was released" in declined(twice, **released).reason
    denied = attempt(1, F.STORAGE, "permission")
    assert "--release" not in declined(task(denied), **released).next_step
    assert "--release" not in declined(task(full), RetryPolicy(breaker=None), **released).next_step


def test_declared_changes_after_a_divergence_are_made_together_and_once() -> None:
    """Rate, parameters and precision at once, from the beginning, altered; no other seed, no second time."""
    policy = RetryPolicy(divergence=Divergence(0.1, {"clip": 0.5}, "no"))
    diverged = task(attempt(1, F.DIVERGENCE), checkpoints=("step-5",), parameters={"lr": 1e-2, "rank": 8})
    again = retried(diverged, policy)
    assert again.parameter_overrides == {"lr": pytest.approx(1e-3), "clip": 0.5}
    assert (again.mixed_precision, again.altered, again.resume) == ("no", True, False)
    assert again.changes == (
        "clip unset → 0.5: diverged",
        "lr 0.01 → 0.001: diverged",
        "mixed_precision → no: diverged",
    )
    later = task(attempt(1, F.DIVERGENCE), attempt(2, F.PREEMPTED), altered=True, mixed_precision="no")
    assert retried(later, policy).mixed_precision == "no"
    assert "again" in declined(task(attempt(1, F.DIVERGENCE), attempt(2, F.DIVERGENCE)), policy).reason


def test_divergence_is_a_result_unless_the_policy_says_otherwise() -> None:
    """Reported by default; on demand repeated once, from the beginning, at half the rate, marked altered."""
    diverged = task(attempt(1, F.DIVERGENCE), checkpoints=("step-5",))
    assert "a result" in declined(diverged).reason
    lower = RetryPolicy(divergence=Divergence(0.5))
    again = retried(diverged, lower)
    assert again.parameter_overrides == {"learning_rate": 0.005}
    assert (again.altered, again.resume) == (True, False)
    assert "again" in declined(task(attempt(1, F.DIVERGENCE), attempt(2, F.DIVERGENCE)), lower).reason
    assert "no parameter" in declined(task(attempt(1, F.DIVERGENCE), parameters={"rank": 8}), lower).reason


@pytest.mark.parametrize(
    "category",
    [F.CANCELLED, F.NOT_CONVERGED, F.STORAGE, F.CONTAINER, F.ENVIRONMENT, F.DATA, F.CONFIG, F.CODE_BUG],
)
def test_never_retried(category: FailureClass) -> None:
    """Bugs, configuration, surroundings, results and what a person cancelled are never repeated."""
    assert declined(task(attempt(1, category))).category is category


def test_checkpoint_falls_back_to_the_previous_one_once() -> None:
    """The checkpoint before the bad one is tried, once; with none before it, the beginning."""
    bad = attempt(2, F.CHECKPOINT, resumed_from="step-20")
    again = retried(task(attempt(1, F.PREEMPTED), bad, checkpoints=("step-10", "step-20")))
    assert (again.resume, again.resume_from) == (True, "step-10")
    fresh = retried(task(attempt(1, F.CHECKPOINT, resumed_from="step-20"), checkpoints=("step-20",)))
    assert (fresh.resume, fresh.resume_from) == (False, "")
    assert "two checkpoints" in declined(task(attempt(1, F.CHECKPOINT), bad, checkpoints=("step-10",))).reason
    assert "not from this task" in declined(task(attempt(1, F.CHECKPOINT))).reason


def test_unknown_is_repeated_once() -> None:
    """What nobody can explain gets one more chance and no second."""
    assert retried(task(attempt(1, F.UNKNOWN))).micro_batch == 16
    assert "failed twice" in declined(task(attempt(1, F.UNKNOWN), attempt(2, F.UNKNOWN))).reason


@pytest.mark.parametrize("cause", ["licence", "compile_cache"])
def test_what_passes_by_itself_is_repeated_once(cause: str) -> None:
    """A licence may come free and a torn cache is written anew; nothing else of the surroundings is repeated."""
    assert retried(task(attempt(1, F.ENVIRONMENT, cause))).attempt == 2
    declined(task(attempt(1, F.ENVIRONMENT, cause), attempt(2, F.ENVIRONMENT, cause)))
    declined(task(attempt(1, F.ENVIRONMENT, "library")))


def test_general_ceiling() -> None:
    """Failures that count end at max_attempts, whatever their mix."""
    mixed = task(attempt(1, F.OOM_GPU), attempt(2, F.OOM_HOST), attempt(3, F.TIMEOUT), attempt(4, F.OOM_GPU))
    assert "max_attempts is 4" in declined(mixed).reason
    assert isinstance(decide(mixed, RetryPolicy(max_attempts=5)), Retry)


def test_steps_gained_start_the_count_anew() -> None:
    """An attempt that came further than all before it has its budget again, five times over at most."""
    gaining = [attempt(n, F.OOM_HOST, last_step=10 * n) for n in range(1, 7)]
    assert isinstance(decide(task(*gaining)), Retry)
    stuck = [*gaining, *(attempt(n, F.OOM_HOST, last_step=60) for n in range(7, 10))]
    assert "4 attempts failed without progress" in declined(task(*stuck)).reason
    endless = [attempt(n, F.OOM_HOST, last_step=n) for n in range(1, 21)]
    assert "20 attempts failed, each after a few more steps" in declined(task(*endless)).reason


def test_progress_is_compared_over_interruptions() -> None:
    """Two timeouts at the same step are no progress, whatever was taken away in between."""
    between = [attempt(1, F.TIMEOUT, last_step=50), attempt(2, F.PREEMPTED, last_step=30)]
    stuck = task(*between, attempt(3, F.TIMEOUT, last_step=50), checkpoints=("step-50",))
    assert "no further" in declined(stuck).reason


def test_altered_stays_altered() -> None:
    """A run once altered does not become comparable again by a harmless retry."""
    again = retried(task(attempt(1, F.PREEMPTED), altered=True, overrides={"learning_rate": 0.005}))
    assert again.altered
    assert again.parameter_overrides == {"learning_rate": 0.005}


@pytest.mark.parametrize("category", [each for each in F if each is not F.SUCCESS])
def test_what_somebody_cancelled_is_left_alone_whatever_its_class(category: FailureClass) -> None:
    """No class, no budget, no release of held storage overrules a person; `--again cancelled` takes the word back."""
    policy = RetryPolicy(divergence=Divergence(lower_learning_rate=0.5))
    known = {"policy": policy, "released": 2.0, "now": 3.0}
    last = attempt(1, category, ended=1.0, last_step=5)
    failed = task(replace(last, cancelled=True), checkpoints=("step-5",))
    assert declined(failed, **known).category is category
    if category is F.CANCELLED:
        assert retried(failed, again={F.CANCELLED}, **known).attempt == 2
    else:
        assert decide(failed, again={F.CANCELLED}, **known) == decide(task(last, checkpoints=("step-5",)), **known)


def test_every_class_but_success_has_an_action() -> None:
    """`why` can say for each class what a retry would change."""
    assert set(ACTIONS) == set(F) - {F.SUCCESS}
    assert default_action(F.SUCCESS) is None
    assert all(action.reason and (action.changes or action.action == "none") for action in ACTIONS.values())


CAUSES = st.sampled_from(["", "hang", "checkpointed", "cgroup"])
ATTEMPTS = st.lists(
    st.tuples(st.sampled_from(list(F)), CAUSES, st.one_of(st.none(), st.integers(0, 100)), st.integers(1, 64)),
    min_size=1,
    max_size=8,
)


@given(
    histories=st.lists(ATTEMPTS, max_size=6),
    whole=st.one_of(st.none(), st.integers(1, 256)),
    processes=st.integers(1, 8),
    policy=st.builds(
        RetryPolicy,
        max_attempts=st.integers(1, 6),
        min_micro=st.integers(1, 8),
        divergence=st.sampled_from([None, Divergence(0.5)]),
    ),
    names=st.lists(st.sampled_from(["step-1", "step-2", "step-3"]), unique=True),
)
def test_each_failed_task_is_decided_once(histories, whole, processes, policy, names) -> None:  # type: ignore[no-untyped-def]  # hypothesis fills them
    """|retry| + |declined| = |failed|; a retry keeps the global batch or is altered, and stays within the limits."""
    failed = [
        FailedTask(
            f"t{i}", f"S{i}",
            tuple(
                attempt(n, category, cause, last_step=step, micro_batch=micro, accumulation=2)
                for n, (category, cause, step, micro) in enumerate(history, start=1)
            ),
            whole, processes, tuple(sorted(names)), {"lr": 0.1},
        )
        for i, history in enumerate(histories)
    ]  # fmt: skip
    plan = plan_retries(failed, Situation(policy, LIMITS))
    assert sorted(d.task_id for d in (*plan.retry, *plan.declined)) == [t.task_id for t in failed]
    assert all(d.reason and d.next_step for d in plan.declined)
    by_id = {t.task_id: t for t in failed}
    for again in plan.retry:
        last = by_id[again.task_id].last
        assert again.reason
        assert again.attempt == last.number + 1
        assert again.memory_mib <= LIMITS.max_memory_mib
        assert again.time_s <= LIMITS.max_time_s
        assert again.resume == bool(again.resume_from)
        if last.category is F.OOM_GPU:
            assert again.micro_batch
            assert again.accumulation
            assert again.micro_batch < last.micro_batch
            assert again.altered or again.micro_batch * again.accumulation * processes == whole
        if blameless(last.verdict):
            assert (again.memory_mib, again.time_s) == (last.memory_mib, last.time_s)
            assert again.micro_batch == last.micro_batch


TAKEN_AWAY = [F.PREEMPTED, F.NODE_FAILURE, F.COMMUNICATION, F.GPU_HARDWARE]
COUNTED = st.lists(
    st.tuples(
        st.sampled_from([F.OOM_GPU, F.OOM_HOST, F.TIMEOUT, F.UNKNOWN, F.CHECKPOINT]),
        st.one_of(st.none(), st.integers(0, 100)),
    ),
    min_size=1,
    max_size=6,
)


@given(COUNTED, st.lists(st.tuples(st.integers(0, 6), st.sampled_from(TAKEN_AWAY)), max_size=6))
def test_what_is_taken_away_changes_no_other_budget(
    history: list[tuple[FailureClass, int | None]], lost: list[tuple[int, FailureClass]]
) -> None:
    """Interruptions anywhere in a history leave the decision as it was: same class of answer, same values."""
    with_lost: list[tuple[FailureClass, int | None]] = list(history)
    for place, category in lost:
        with_lost.insert(min(place, len(with_lost) - 1), (category, None))  # before the last: that one is decided on
    plain, interrupted = (
        decide(task(*(attempt(n, category, last_step=step) for n, (category, step) in enumerate(attempts, start=1))))
        for attempts in (history, with_lost)
    )
    assert type(plain) is type(interrupted)
    if isinstance(plain, Retry) and isinstance(interrupted, Retry):
        same = ("memory_mib", "time_s", "micro_batch", "accumulation", "parameter_overrides", "altered", "reason")
        assert [getattr(plain, name) for name in same] == [getattr(interrupted, name) for name in same]
    if isinstance(plain, Declined) and isinstance(interrupted, Declined):
        assert plain.reason == interrupted.reason


@given(
    ATTEMPTS,
    st.sampled_from([F.CODE_BUG, F.CONFIG, F.ENVIRONMENT, F.CONTAINER, F.DATA, F.CANCELLED, F.NOT_CONVERGED]),
    st.booleans(),
)
def test_no_bug_is_ever_retried(history, category, known) -> None:  # type: ignore[no-untyped-def]  # hypothesis fills them
    """Whatever came before, whatever was learned or released: a bug is left to a person."""
    attempts = [attempt(n, each, cause, last_step=step) for n, (each, cause, step, _) in enumerate(history, start=1)]
    last = attempt(len(attempts) + 1, category)
    more = {"learned": seen(fits=2, fails=8), "released": 1e12} if known else {}
    declined(task(*attempts, last, shape="s", checkpoints=("step-1",)), RetryPolicy(max_attempts=100), **more)


@given(
    st.integers(1, 512), st.integers(1, 64), st.integers(1, 8), st.integers(1, 8), st.integers(1, 600), st.booleans()
)
def test_what_was_learned_keeps_the_global_batch(  # type: ignore[no-untyped-def]  # hypothesis fills them
    micro, accumulation, processes, least, other, fits
) -> None:
    """After any lesson: smaller than before, at least the minimum, and the same global batch or altered."""
    whole = micro * accumulation * processes
    failed = task(
        attempt(1, F.OOM_GPU, micro_batch=micro, accumulation=accumulation),
        global_batch=whole, processes=processes, shape="s",
    )  # fmt: skip
    decision = decide(failed, RetryPolicy(min_micro=least), learned=seen(fits=other) if fits else seen(fails=other))
    if isinstance(decision, Retry):
        assert decision.micro_batch
        assert decision.accumulation
        assert least <= decision.micro_batch < micro
        assert decision.altered == (decision.micro_batch * decision.accumulation * processes != whole)


@pytest.mark.parametrize("category", sorted(ON_REQUEST))
def test_whoever_mended_a_cause_starts_its_runs_again(category: FailureClass) -> None:
    """On request a class is started again even when its attempts are used up; other classes are decided as ever."""
    failed = task(*(attempt(number, category) for number in range(1, 6)))
    assert retried(failed, again=[category]).attempt == 6
    other = F.CODE_BUG if category is not F.CODE_BUG else F.DATA
    assert isinstance(decide(task(attempt(1, other)), again=[category]), Declined)


def test_a_bug_is_started_again_knowingly() -> None:
    """Naming it is consent; that the code is the one that failed is said in the changes of the attempt."""
    failed = task(attempt(1, F.CODE_BUG))
    assert isinstance(decide(failed), Declined)
    assert "with the code that failed" in retried(failed, again=[F.CODE_BUG]).changes[0]
    mended = retried(replace(failed, code_changed=True), again=[F.CODE_BUG])
    assert mended.changes == ("code_bug: started again on request",)


@pytest.mark.parametrize("category", list(F))
def test_a_run_is_started_again_by_its_name(category: FailureClass) -> None:
    """Whatever it came to; what has its result begins anew, everything else goes on from its checkpoint."""
    failed = task(attempt(1, category), checkpoints=("step_1",))
    named = retried(failed, again=["S42"])
    assert (named.attempt, named.resume) == (2, category is not F.SUCCESS)
    assert isinstance(decide(failed, again=["S43"]), type(decide(failed)))


@pytest.mark.parametrize("category", sorted(set(F) - {F.SUCCESS}))
def test_a_changed_plan_reaches_every_retry(category: FailureClass) -> None:
    """Memory, time and batch that were planned since are what the next attempt gets, unless its cause needs more."""
    failed = task(
        attempt(1, category), planned_memory_mib=8192, planned_time_s=7000, planned_batch=(8, 8), checkpoints=("s",)
    )
    decision = retried(failed, again=["S42"])
    assert (decision.memory_mib, decision.time_s, decision.micro_batch) == (8192, 7000, 8)
    by_itself = decide(failed)
    if isinstance(by_itself, Retry):
        assert by_itself.memory_mib >= 8192
        assert by_itself.time_s >= 7000
        assert by_itself.micro_batch == 8


def test_an_io_error_is_tried_on_another_node_once() -> None:
    """It may be one node's mount: that one is left out. A second one in a row waits for a person."""
    again = retried(task(attempt(1, F.STORAGE, "io", node="n1", cluster="alps"), checkpoints=("s",)), cluster="alps")
    assert (again.exclude_nodes, again.resume_from) == (("n1",), "s")
    assert again.changes == ("excluded node n1: an I/O error, which may be its own",)

    twice = [attempt(number, F.STORAGE, "io", node=f"n{number}", cluster="alps") for number in (1, 2)]
    assert "--release" in declined(task(*twice), cluster="alps").next_step
    for nowhere in ({"node": "n1", "cluster": "local"}, {"node": "n[1-2]"}, {"node": ""}):
        assert "--release" in declined(task(attempt(1, F.STORAGE, "io", **nowhere))).next_step


def test_a_node_that_is_not_fit_is_left_out_and_three_are_enough() -> None:
    """The gate names the node, also one of several; the same words on three of them speak against what is asked."""
    one = attempt(1, F.NODE_FAILURE, "preflight", node="n[1-4]", unfit_nodes=("n3",))
    again = retried(task(one))
    assert (again.exclude_nodes, again.changes) == (("n3",), ("excluded node n3: node_failure",))

    three = [attempt(n, F.GPU_HARDWARE, "preflight", node=f"n{n}", unfit_nodes=(f"n{n}",)) for n in (1, 2, 3)]
    assert declined(task(*three))
    three = [attempt(n, F.NODE_FAILURE, "preflight", node=f"n{n}", unfit_nodes=(f"n{n}",)) for n in (1, 2, 3)]
    assert "3 times in a row a node failed the preflight check" in declined(task(*three)).reason
