"""Findings: counts that add up, the right baseline, honest choices, limits from facts."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.data.frame import load_frame
from analysis.data.lineage import Fate
from analysis.data.values import find_baselines
from analysis.findings.findings import Findings, find_findings
from analysis.findings.recommendations import recommend
from analysis.page.results import best_text
from analysis.statistics.estimates import estimate
from tests.analysis.made_experiments import (
    Experiment,
    make_attempt,
    make_finished,
    make_judged,
    make_spec,
    make_task,
    make_verdict,
)


@pytest.fixture
def found(realistic: Experiment) -> Findings:
    """The realistic experiment's findings."""
    return find_findings(load_frame(realistic.write()))


def test_counts_add_up_and_are_written_out(found: Findings) -> None:
    """Every planned run is in exactly one of the parts, and the sum is shown."""
    assert found.counts.sum_text == (
        "18 planned = 13 finished + 3 failed (1 code_bug, 1 divergence, 1 oom_gpu) + 1 running + 0 pending "
        "+ 1 never started"
    )
    assert (found.counts.retried, found.counts.healed, found.counts.altered) == (4, 3, 1)


def test_configurations_account_for_every_run(found: Findings) -> None:
    """n, failed, unfinished and altered of all configurations add up to the tasks planned."""
    total = sum(one.estimate.n + one.failed_total + one.unfinished + one.altered for one in found.results)

    assert total == found.counts.planned


def test_altered_runs_are_in_no_mean(realistic: Experiment, found: Findings) -> None:
    """The altered run's number is in neither estimate nor comparison."""
    altered = realistic.judged[4]["summary"]["final_error"]
    clean = realistic.judged[3]["summary"]["final_error"]

    assert found.results[1].estimate.mean == clean != altered
    assert found.results[1].altered == 1


def test_means_are_those_of_the_runs(realistic: Experiment, found: Findings) -> None:
    """A configuration's estimate is the estimate of its three values."""
    values = [realistic.judged[row]["summary"]["final_error"] for row in (6, 7, 8)]

    assert found.results[2].estimate == estimate(values)


def test_healed_oom_says_what_changed(found: Findings) -> None:
    """The healed out-of-memory run names micro-batch, accumulation and that the global batch stayed."""
    healed = {one.run_name: one for one in found.healed}["R16_LR0.0001_S137"]

    assert healed.classes == ("oom_gpu",)
    assert healed.how == "micro-batch 16 → 8, accumulation 4 → 8, global batch stays 64"
    assert not healed.altered


def _taken_up(experiment: Experiment, row: int, *ended: tuple[str, str], outcome: str = "finished") -> None:
    """Write an attempt of a task per (category, cause), each resumed from the last, and one more that succeeds."""
    task = experiment.judged[row]
    verdicts = [make_verdict(category, "", cause=cause) for category, cause in ended]
    last = {"finished": make_verdict("success"), "failed": make_verdict("code_bug", "KeyError")}.get(outcome)
    task["attempts"] = [
        make_attempt(task, number, verdict, resumed_from_attempt=number - 1 or None)
        for number, verdict in enumerate([*verdicts, last], start=1)
    ]
    task.update(outcome=outcome, failure_class="code_bug" if outcome == "failed" else None)


SLICE, PREEMPTED, NODE = ("timeout", "checkpointed"), ("preempted", ""), ("node_failure", "node_down")


def test_continued_attempts_are_neither_failed_nor_healed_nor_waste(realistic: Experiment, found: Findings) -> None:
    """Planned slices, preemption and a lost node that the result went on from are told apart; their hours are used."""
    _taken_up(realistic, 6, SLICE, SLICE, PREEMPTED, NODE)
    now = find_findings(load_frame(realistic.write()))
    told = [(one.attempt, one.ended_as, one.continued_in, one.has_result) for one in now.continued]

    assert (now.failures, now.healed) == (found.failures, found.healed)
    assert told == [
        (1, "timeout (checkpointed)", 2, True),
        (2, "timeout (checkpointed)", 3, True),
        (3, "preempted", 4, True),
        (4, "node_failure (node_down)", 5, True),
    ]
    used = [one for one in now.resources.by_verdict if one.fate == Fate.CONTINUED]
    added = sum(one["gpu_seconds"] for one in realistic.judged[6]["attempts"][:4]) / 3600
    assert [one.category for one in used] == [
        "continued (timeout)",
        "continued (node_failure)",
        "continued (preempted)",
    ]
    assert sum(one.gpu_hours for one in used) == pytest.approx(added)
    assert now.resources.failed == found.resources.failed
    assert (now.counts.retried, now.counts.healed, now.counts.continued) == (5, 3, 1)


def test_attempts_and_runs_with_several_add_up_visibly(realistic: Experiment) -> None:
    """The sums over attempts and over runs with several attempts are written out, each part named."""
    _taken_up(realistic, 6, SLICE)
    _taken_up(realistic, 7, PREEMPTED, outcome="running")
    _taken_up(realistic, 8, NODE, outcome="failed")
    counts = find_findings(load_frame(realistic.write())).counts

    assert counts.several_text == (
        "7 = 3 healed (an attempt failed, a later one finished) + 1 merely continued + 2 failed nevertheless "
        "+ 1 not finished yet"
    )
    assert counts.attempts_text == "26 = 11 successful + 1 continued by a later attempt + 11 failed + 3 open"


def test_hours_of_a_continued_run_are_open_until_it_finishes_and_lost_when_it_fails(realistic: Experiment) -> None:
    """The same preempted attempt counts as used, as open, or as lost by what the run came to."""
    for outcome, fate in (("finished", Fate.CONTINUED), ("running", Fate.OPEN), ("failed", Fate.FAILED)):
        _taken_up(realistic, 6, PREEMPTED, outcome=outcome)
        frame = load_frame(realistic.write())

        assert frame.attempts.loc[frame.attempts["task"] == 6, "fate"].iloc[0] == fate
        assert len(find_findings(frame).continued) == (outcome != "failed")


def test_run_that_failed_and_was_continued_says_both(realistic: Experiment) -> None:
    """A slice, then an error, then a retry: healed of the error alone, and the slice is no failure of it."""
    _taken_up(realistic, 6, SLICE, ("communication", "nccl"))
    healed = {one.row: one for one in find_findings(load_frame(realistic.write())).healed}[6]

    assert healed.classes == ("communication",)
    assert healed.how == "attempt 2 continued; then resumed from attempt 2, nothing changed"


def test_preempted_run_that_began_anew_is_healed(realistic: Experiment) -> None:
    """Nothing was continued where the retry did not start from the attempt's checkpoint: its hours were lost."""
    _taken_up(realistic, 6, PREEMPTED)
    realistic.judged[6]["attempts"][1]["resumed_from_attempt"] = None
    now = find_findings(load_frame(realistic.write()))

    assert 6 in {one.row for one in now.healed}
    assert "preempted" in {one.category for one in now.resources.failed}


def test_mean_time_of_a_run_counts_what_it_continued(realistic: Experiment, found: Findings) -> None:
    """A run of two slices took the time of both."""
    before = found.resources
    assert before.mean_run_s is not None
    alone = realistic.judged[6]["attempts"][0]["elapsed_s"]
    _taken_up(realistic, 6, SLICE)
    both = sum(one["elapsed_s"] for one in realistic.judged[6]["attempts"])
    now = find_findings(load_frame(realistic.write())).resources

    assert now.runs_timed == before.runs_timed == 13
    assert now.mean_run_s == pytest.approx(before.mean_run_s + (both - alone) / 13)


def test_every_failed_attempt_is_listed_with_action(found: Findings) -> None:
    """Nine attempts gave no result; each has a class, evidence and what was done, the last one why nothing more."""
    assert len(found.failures) == 9
    assert all(one.category and one.evidence and one.action for one in found.failures)
    last = [one for one in found.failures if one.run_name == "R16_LR0.0002_S137"][-1]
    assert (last.attempt, last.action) == (4, "not retried: 4 of 4 attempts are used")


def test_hours_add_up(realistic: Experiment, found: Findings) -> None:
    """GPU hours by verdict are the sum over all attempts; hours asked are GPUs × time limit."""
    attempts = [attempt for task in realistic.judged for attempt in task["attempts"]]

    assert found.resources.gpu_hours == pytest.approx(sum(one["gpu_seconds"] for one in attempts) / 3600)
    assert found.resources.gpu_hours_asked == pytest.approx(sum(one["gpus"] * one["time_s"] for one in attempts) / 3600)
    assert found.resources.cpu_hours == pytest.approx(4 * sum(one["elapsed_s"] for one in attempts) / 3600)
    assert sum(one.attempts for one in found.resources.by_verdict) == len(attempts)


def test_best_prefers_configurations_that_lost_no_run(found: Findings) -> None:
    """The best mean of a configuration that lost runs is named as a rival, not chosen."""
    assert found.best is not None
    assert found.best.result.label == "lora_rank=16, learning_rate=0.0001"
    assert found.best.rival is not None
    assert found.best.rival.label == "lora_rank=16, learning_rate=0.0002"
    assert any("tends to be too good" in text for text in found.verdict)


def test_every_sentence_about_a_configuration_has_its_n(found: Findings) -> None:
    """No mean is spoken of without the number of runs behind it."""
    labels = [one.label for one in found.results]

    for text in found.verdict:
        assert "n=" in text or not any(label in text for label in labels)


def test_limitations_follow_from_facts(realistic: Experiment, found: Findings) -> None:
    """Failures, open runs, few runs, altered runs and uncommitted code are each said when they are there."""
    realistic.judged[0]["attempts"][0]["unreadable"] = "exit.json is empty"
    said = " ".join(find_findings(load_frame(realistic.write())).limitations)
    assert "The records of 1 attempt cannot be read" in said
    assert f"{realistic.judged[0]['run_name']} attempt 1 (exit.json is empty)" in said
    said = " ".join(found.limitations)
    for words in (
        "2 of 18 runs had not ended",
        "3 of 18 runs failed",
        "Few runs: n = 1 to 3",
        "1 run was altered",
        "uncommitted",
    ):
        assert words in said

    realistic.provenance["git"] = {"commit": "a" * 40, "dirty": False}
    realistic.spec["brief"] = {}
    for row, task in enumerate(realistic.asked):
        realistic.judged[row] = make_finished(realistic, task, {"final_error": 1 + 0.01 * row})
    said = " ".join(find_findings(load_frame(realistic.write())).limitations)
    for words in ("had not ended", "runs failed", "altered", "uncommitted"):
        assert words not in said
    assert "Exploratory" in said


def _grid(tmp_path: Path, baseline: dict[str, Any] | None, seeds: int = 5) -> Experiment:
    """Two systems × three trainings; `sft_grpo` is better by far, `scratch` worse, on each system's own level."""
    points = product(("pendulum", "van_der_pol"), ("sft", "sft_grpo", "scratch"), range(seeds))
    tasks = [make_task({"system": s, "training": t}, seed, f"{s}_{t}_{seed}") for s, t, seed in points]
    spec = make_spec("cross", sweep={"grid": {"system": [], "training": []}}, baseline=baseline)
    experiment = Experiment(tmp_path, tasks, spec)
    rng = np.random.default_rng(11)
    shift = {"sft": 0.0, "sft_grpo": -2.0, "scratch": 2.0}
    for task in tasks:
        level = 10.0 if task["parameters"]["system"] == "pendulum" else 100.0
        value = level + shift[task["parameters"]["training"]] + 0.1 * rng.standard_normal()
        experiment.judged.append(make_finished(experiment, task, {"final_error": value}))
    return experiment


def test_partial_baseline_is_matched_by_the_other_parameters(tmp_path: Path) -> None:
    """`{training: sft}` compares each training with sft on the same system, never across systems."""
    found = find_findings(load_frame(_grid(tmp_path, {"training": "sft"}).write()))
    pairs = {one.label: found.results[one.baseline].label for one in found.results if one.baseline is not None}

    assert pairs == {
        f"system={system}, training={training}": f"system={system}, training=sft"
        for system in ("pendulum", "van_der_pol") for training in ("sft_grpo", "scratch")
    }  # fmt: skip
    verdicts = [one.comparison.tested_verdict for one in found.compared if one.comparison]
    assert verdicts == ["better", "worse", "better", "worse"]
    assert found.verdict[0].startswith("Over 2 systems training=sft_grpo (geometric mean ratio 0.88")
    assert any("Better than the baseline on final_error" in text for text in found.verdict)


def test_goal_max_turns_the_verdict_around(tmp_path: Path) -> None:
    """With a goal of max the higher mean is better, wins, and is the best configuration."""
    experiment = _grid(tmp_path, {"training": "sft", "system": "pendulum"})
    experiment.spec["metrics"] = {"primary": {"name": "final_error", "goal": "max"}}
    found = find_findings(load_frame(experiment.write()))

    assert found.best is not None
    assert found.best.result.label == "system=van_der_pol, training=scratch"
    worse = found.results[1].comparison
    assert worse is not None
    assert (worse.tested_verdict, worse.rule_verdict) == ("worse", "LOSER")


def test_without_baseline_nothing_is_compared(tmp_path: Path) -> None:
    """No baseline declared: means side by side, no test, and the report says so."""
    found = find_findings(load_frame(_grid(tmp_path, None).write()))

    assert found.compared == ()
    assert "No baseline is declared" in found.verdict[0]


def test_case_as_baseline(tmp_path: Path) -> None:
    """`baseline: {id: std}` names a case."""
    spec = make_spec("cases", sweep={"cases": [{"id": "std"}, {"id": "ones"}]}, baseline={"id": "std"})
    tasks = [make_task({"conv": case}, seed, f"{case}{seed}", case) for case in ("std", "ones") for seed in (1, 2)]
    experiment = Experiment(tmp_path, tasks, spec)
    experiment.judged = [make_finished(experiment, task, {"final_error": 1.0 + task["seed"]}) for task in tasks]
    frame = load_frame(experiment.write())

    assert find_baselines(frame) == {0: 0, 1: 0}


def test_nothing_ran_yet(tmp_path: Path) -> None:
    """An experiment of which nothing was started has counts, no best, no verdict and no crash."""
    tasks = [make_task({"rank": rank}, 1, f"R{rank}") for rank in (1, 2)]
    experiment = Experiment(tmp_path, tasks, make_spec("fresh", baseline={"rank": 1}))
    experiment.judged = [make_judged(task, "planned", []) for task in tasks]
    found = find_findings(load_frame(experiment.write()))

    assert found.counts.never_started == found.counts.planned == 2
    assert found.best is None
    assert "n=0" in found.verdict[0]


def test_finished_without_the_metric_is_counted(tmp_path: Path) -> None:
    """A finished run that never wrote the primary metric is missing by name, not zero."""
    tasks = [make_task({"rank": 1}, seed, f"S{seed}") for seed in (1, 2)]
    experiment = Experiment(tmp_path, tasks, make_spec("partial", baseline=None))
    experiment.judged = [
        make_finished(experiment, tasks[0], {"final_error": 1.0}),
        make_judged(tasks[1], "finished", [make_attempt(tasks[1], 1, make_verdict("success"))]),
    ]
    found = find_findings(load_frame(experiment.write()))

    assert found.counts.without_value == 1
    assert (found.results[0].estimate.n, found.results[0].estimate.mean) == (1, 1.0)
    assert any("1 finished run gave no usable value" in text for text in found.limitations)


def test_runs_without_gpu_count_core_hours(realistic: Experiment) -> None:
    """On the CPU there are no GPU hours, and core hours are elapsed time × cores."""
    for task in realistic.judged:
        for attempt in task["attempts"]:
            attempt.update(gpus=0, gpu_seconds=0.0)
    found = find_findings(load_frame(realistic.write())).resources

    assert (found.has_gpu, found.gpu_hours, found.gpu_hours_asked) == (False, 0.0, 0.0)
    assert found.cpu_hours > 0


@pytest.mark.parametrize("goal", ["min", "max"])
@pytest.mark.parametrize("equal", [1, 2, 3])
def test_no_configuration_is_called_the_best_of_equal_ones(tmp_path: Path, goal: str, equal: int) -> None:
    """Equal means, but for rounding: nobody has the lowest, no range is extended, all that tie are named."""
    tasks = [make_task({"rate": rate}, seed, f"R{rate}_S{seed}") for rate, seed in product((1, 2, 3), range(3))]
    metrics = {"primary": {"name": "final_error", "goal": goal}}
    sweep = {"grid": {"rate": [1, 2, 3]}, "seeds": [0, 1, 2]}
    experiment = Experiment(tmp_path, tasks, make_spec(metrics=metrics, sweep=sweep, baseline={"rate": 1}))
    for row, task in enumerate(tasks):
        worse = (1 if goal == "min" else -1) * (row // 3 >= equal)
        values = ([0.1, 0.2, 0.3], [0.3, 0.1, 0.2], [0.2, 0.3, 0.1])[row // 3]
        experiment.judged.append(make_finished(experiment, task, {"final_error": values[row % 3] + worse}))
    frame = load_frame(experiment.write())
    found = find_findings(frame)
    said, edges = " ".join(found.verdict), [each.rule for each in recommend(frame, found)]
    assert found.best is not None
    assert (f"has the {'lowest' if goal == 'min' else 'highest'} mean" in said) is (equal == 1)
    assert ("there is no single best" in said) is (equal > 1)
    assert {1: "", 2: "rate=2", 3: "all others"}[equal] == found.best.ties_text
    assert ("It shares the best mean of 3 configurations with" in best_text(found)) is (equal > 1)
    assert ("best of" in f"{best_text(found)} {found.limitations}") is (equal == 1)
    assert ("beyond_the_edge" in edges) is (equal == 1)
