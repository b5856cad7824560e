"""The model of docs/scale.md: its laws, its sources, and that the page says what it says today."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.simulation import check, page, study
from benchmarks.simulation.campaign import Habits, Tasks, drawn, passing_edges
from benchmarks.simulation.cluster import Size
from benchmarks.simulation.costs import Costs
from benchmarks.simulation.loop import Result, Site, simulate
from benchmarks.simulation.policies import FIRST, Answerer, Blind, Failure, NoRetry, Ours
from benchmarks.simulation.traces import (
    ACME,
    PHILLY,
    REPAIR_H,
    TRACES,
    TRIALS,
    Cause,
    Kind,
    only_passing,
)
from hpc.core.failures.evidence import FailureClass
from hpc.core.retry.actions import default_action
from hpc.core.retry.counting import TAKEN_AWAY_BUDGET

F = FailureClass
FREE = Costs(0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 5, 5)
PLACE = Site(Size(nodes=2, slots=4), max_jobs=100)


def tasks_with(cause: Cause | None, count: int = 8, work_s: float = 100.0) -> Tasks:
    """Tasks that one cause strikes, or none."""
    causes = (cause,) if cause else ()
    fixed = np.full(count, 0 if cause else -1)
    return Tasks(np.full(count, work_s), fixed, np.full(count, 0.5), causes, 0.0, passing_edges(causes))


def play(cause: Cause | None, name: str = Ours.name, site: Site = PLACE, **how: object) -> Result:
    """A campaign of eight tasks in which every verdict is right and looking costs nothing."""
    return simulate(tasks_with(cause), site, study.policy(name, 0), FREE, 0, Habits(startup_s=0.0, **how))  # type: ignore[arg-type]


def test_the_page_says_what_the_model_says() -> None:
    """The small campaign gives the page's own figures again: same seed, same policy, same costs."""
    assert page.small_table() in page.PAGE.read_text(encoding="utf-8"), "run python -m benchmarks.simulation --page"


def test_a_calm_campaign_takes_what_its_tasks_take() -> None:
    """Sixteen tasks on eight places: two turns, no attempt more, nothing lost."""
    found = simulate(tasks_with(None, 16), PLACE, study.policy(Ours.name, 0), FREE, 0, Habits(startup_s=0.0))
    assert (found.last_end_s, found.tally.attempts, found.goodput, found.finished) == (200.0, 16, 1.0, 1.0)


@pytest.mark.parametrize(
    ("cause", "attempts"),
    [
        (Cause("bug", F.CODE_BUG, Kind.LASTS, 1), {NoRetry.name: 8, Blind.name: 32, Ours.name: 8}),
        (Cause("gpu", F.OOM_GPU, Kind.MENDED, 1), {NoRetry.name: 8, Blind.name: 32, Ours.name: 24}),
        (Cause("net", F.COMMUNICATION, Kind.PASSES, 1), {NoRetry.name: 8, Blind.name: 16, Ours.name: 16}),
        (Cause("full", F.STORAGE, Kind.PASSES, 1), {NoRetry.name: 8, Blind.name: 16, Ours.name: 8}),
    ],
)
def test_each_policy_answers_as_it_is_defined(cause: Cause, attempts: dict[str, int]) -> None:
    """A bug costs blind retry three attempts more and us none; memory is mended by us alone; what passes by either."""
    found = {name: play(cause, name) for name in study.NAMES}
    assert {name: each.tally.attempts for name, each in found.items()} == attempts
    finished = {name for name, each in found.items() if each.tally.finished}
    assert (
        finished
        == {
            Kind.LASTS: set(),
            Kind.MENDED: {Ours.name},
            Kind.PASSES: {Blind.name} if cause.category is F.STORAGE else {Blind.name, Ours.name},
        }[cause.kind]
    )


def test_ours_is_the_products_own_plan() -> None:
    """The loop keeps the product's budgets: a task that always loses its connection is given up after as many."""
    policy = Ours(Answerer(None, np.random.default_rng(0)))
    failure = Failure(0, 1, F.COMMUNICATION, FIRST, 0.0, 0.0, "n1", 0.0)
    given = [policy.decide(replace(failure, attempt=attempt)) for attempt in range(1, 9)]
    assert given.index(None) == TAKEN_AWAY_BUDGET[F.COMMUNICATION] - 1
    assert default_action(F.CODE_BUG)
    assert Ours(Answerer(None, np.random.default_rng(0))).decide(replace(failure, category=F.CODE_BUG)) is None


def test_every_attempt_ends_once_however_nodes_fail() -> None:
    """With faults each minute, no place is lost or doubled: time in places adds up, and every task has one end."""
    site = replace(PLACE, size=replace(PLACE.size, faults_per_node_day=400.0))
    tasks = drawn(PHILLY, 100, np.random.default_rng(1))
    found = simulate(
        replace(tasks, work_s=np.minimum(tasks.work_s, 3600.0)), site, study.policy(Blind.name, 0), FREE, 1
    )
    tally = found.tally
    assert found.lost > 10
    assert tally.useful_s <= found.busy_s <= found.makespan_s * 8
    assert tally.finished <= tally.healable <= 100
    assert tally.attempts <= 4 * 100


def test_one_more_call_for_each_array_and_no_element_beyond_the_limit() -> None:
    """The site's limit holds at any moment, and arrays are full."""
    site = replace(PLACE, max_jobs=10, max_array_size=5)
    found = simulate(tasks_with(None, 100), site, study.policy(Ours.name, 0), FREE, 0)
    assert found.controller.arrays == 20
    assert found.most == 10
    assert found.tally.finished == 100


def test_wide_tasks_take_whole_nodes_and_a_fault_takes_the_whole_task() -> None:
    """Two tasks of two nodes on four; goodput counts nodes."""
    site = Site(Size(nodes=4, slots=1, nodes_per_task=2), max_jobs=100)
    found = simulate(tasks_with(None, 2), site, study.policy(NoRetry.name, 0), FREE, 0, Habits(startup_s=0.0))
    assert (found.last_end_s, found.busy_s, found.goodput) == (100.0, 400.0, 1.0)


def test_drawn_tasks_fail_as_often_as_the_trace() -> None:
    """Shares by cause, and the median of the run times, are the trace's own."""
    for trace in TRACES:
        tasks = drawn(trace, 200_000, np.random.default_rng(3))
        stays = np.count_nonzero(tasks.fixed >= 0) / len(tasks)
        assert stays + tasks.passing == pytest.approx(trace.failing, abs=0.005)
        assert np.median(tasks.work_s) == pytest.approx(trace.median_s, rel=0.02)
    assert {cause.kind for cause in only_passing(ACME).causes} == {Kind.PASSES}


def test_figures_of_the_papers_add_up() -> None:
    """What was copied sums to what the papers say: Philly's trials, Acme's infrastructure, the repairs' mean."""
    left_out = {"CUDA ver. mismatch": 49, "GPU ECC error": 10, "Output node error": 3, "Cannot load libs": 1}
    assert sum(cause.weight for cause in PHILLY.causes) + sum(left_out.values()) == TRIALS
    assert sum(cause.weight for cause in ACME.causes) == 281 + 404 + 1890 - (54 + 21 + 16 + 12)
    assert np.mean(REPAIR_H) == pytest.approx(132.8, rel=0.05)


def test_errors_of_the_classifier_are_scaled_and_nothing_else() -> None:
    """Twice as many errors, the same number of answers; none of them is right more often than before."""
    answers = {"code_bug": {"code_bug exception": 90, "unknown": 10}, "data": {"data missing": 5}}
    twice = study.with_errors(answers, 2.0)
    assert twice["code_bug"] == pytest.approx({"code_bug exception": 80, "unknown": 20})
    assert twice["data"] == {"data missing": 5}


def test_the_check_would_notice() -> None:
    """A model that loses a result, or takes half as long again, is off."""
    kept = check.kept()
    real, said, machine = (
        kind(**kept[name])
        for kind, name in ((check.Sweep, "measured"), (check.Sweep, "modelled"), (check.Machine, "machine"))
    )
    assert not check.off(real, said, machine)
    assert set(check.off(real, replace(said, finished=said.finished - 1), machine)) == {"finished"}
    assert set(check.off(real, replace(said, makespan_s=1.6 * real.makespan_s), machine)) == {"makespan_s"}
    assert set(check.off(real, replace(said, calls=2 * real.calls, rounds=real.rounds + 2), machine)) == {
        "calls",
        "rounds",
    }


def test_the_command_plays_a_small_campaign() -> None:
    """Without an option it prints a table and writes nothing."""
    before = page.PAGE.read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.simulation"], cwd=page.PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == page.small_table().strip()
    assert page.PAGE.read_bytes() == before
    assert json.loads(page.RESULTS.read_text())["large"]
