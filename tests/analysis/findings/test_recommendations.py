"""Recommendations: each rule speaks from its facts, with numbers, and is silent without them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from analysis.data.frame import load_frame
from analysis.findings.findings import find_findings
from analysis.findings.recommendations import Recommendation, recommend
from tests.analysis.made_experiments import (
    Experiment,
    make_attempt,
    make_finished,
    make_judged,
    make_spec,
    make_task,
    make_verdict,
)

OOM = make_verdict("oom_gpu", "CUDA out of memory", "cuda_out_of_memory")
BUG = make_verdict("code_bug", "KeyError: 'theta'", "python_traceback")
Parameters = Mapping[str, Any]


def _experiment(root: Path, value: Callable[[Parameters], float], **changed: Any) -> Experiment:
    """Batches 16, 32, 64 with three seeds; all finished, `value` gives the metric."""
    spec = make_spec("batches", sweep={"grid": {"batch": [16, 32, 64]}, "seeds": [1, 2, 3]}, **changed)
    tasks = [make_task({"batch": batch}, seed, f"B{batch}_S{seed}") for batch in (16, 32, 64) for seed in (1, 2, 3)]
    experiment = Experiment(root, tasks, spec)
    for task in tasks:
        finished = {"final_error": value(task["parameters"]) + 0.001 * task["seed"]}
        experiment.judged.append(make_finished(experiment, task, finished))
    return experiment


def _ask(experiment: Experiment) -> dict[str, Recommendation]:
    frame = load_frame(experiment.write())
    return {one.rule: one for one in recommend(frame, find_findings(frame))}


def _fail(experiment: Experiment, row: int, verdict: Mapping[str, Any], action: str = "declined") -> None:
    task = experiment.asked[row]
    attempt = make_attempt(task, 1, verdict)
    experiment.judged[row] = make_judged(task, "failed", [attempt], decision={"action": action, "reason": "because"})


def _level(parameters: Parameters) -> float:
    """Best in the middle."""
    return 1.0 + abs(parameters["batch"] - 32) / 100


def _quiet(experiment: Experiment) -> Experiment:
    """Ask for about what is used, so that no rule on resources speaks."""
    for task in experiment.judged:
        for attempt in task["attempts"]:
            attempt.update(time_s=400, memory_mib=800)
    return experiment


def test_nothing_is_said_without_a_reason(tmp_path: Path) -> None:
    """A sweep with its best value inside, without failures and with fitting limits, gives no recommendation."""
    experiment = _quiet(_experiment(tmp_path, _level, baseline={"batch": 16}))
    for row, task in enumerate(experiment.judged):
        # Pairs that all differ by the same have no t test, and further seeds would be recommended for that of signs.
        task["summary"]["final_error"] += 1e-4 * (row % 4)

    assert _ask(experiment) == {}


def test_best_value_on_the_edge_extends_the_range(tmp_path: Path) -> None:
    """The rule names parameter, direction and the means it rests on; with the best inside it is silent."""
    found = _ask(_quiet(_experiment(tmp_path / "edge", lambda one: 1.0 / one["batch"], baseline={"batch": 16})))

    assert found["beyond_the_edge"].action == "Extend the range of batch above 64"
    assert "16: 0.0645 (n=3), 32: 0.03325 (n=3), 64: 0.01763 (n=3)" in found["beyond_the_edge"].evidence


def test_an_edge_is_no_reason_without_evidence(tmp_path: Path) -> None:
    """Of three values that do the same one is best, mostly one on the edge: of 50 sweeps few ask for more range."""
    rng = np.random.default_rng(5)
    spoken = 0
    for sweep in range(50):
        experiment = _experiment(tmp_path / str(sweep), lambda _: 1.0 + float(rng.normal(0, 0.1)))
        for task in experiment.judged:
            task["summary"]["final_error"] += float(rng.normal(0, 0.1))
        spoken += "beyond_the_edge" in _ask(experiment)

    assert spoken <= 6


def test_a_value_that_never_fit_is_named_with_its_counts(tmp_path: Path) -> None:
    """Where every run of a value died of memory and others finished, the counts are told; one that finished ends it."""
    experiment = _experiment(tmp_path / "never", _level, baseline={"batch": 16})
    for row in (6, 7, 8):
        _fail(experiment, row, OOM)
    one = _ask(experiment)["never_worked"]

    assert "batch=64" in one.action
    assert one.evidence.startswith("batch=64 never fit: 3 of 3 runs ran out of memory (oom_gpu), none finished")
    experiment.judged[8] = make_finished(experiment, experiment.asked[8], {"final_error": 1.3})
    assert "never_worked" not in _ask(experiment)


def test_a_bug_comes_first_with_its_line(tmp_path: Path) -> None:
    """What no retry removes is the first recommendation, with the line, the rule and how many runs it took."""
    experiment = _experiment(tmp_path, _level, baseline={"batch": 16})
    _fail(experiment, 0, BUG)
    _fail(experiment, 4, BUG)
    found = _ask(experiment)

    assert next(iter(found)) == "fix_first"
    assert "KeyError: 'theta'" in found["fix_first"].action
    assert "2 attempts of 2 runs ended as code_bug (python_traceback), B16_S1 first (stderr:41)" in (
        found["fix_first"].evidence
    )


def test_a_bug_that_was_mended_is_not_told_to_be_mended(tmp_path: Path) -> None:
    """Its run finished later: there is nothing left to do; the others' runs are counted alone."""
    experiment = _experiment(tmp_path, _level, baseline={"batch": 16})
    _fail(experiment, 0, BUG)
    _fail(experiment, 4, BUG)
    task = experiment.asked[0]
    attempts = [make_attempt(task, 1, BUG), make_attempt(task, 2, make_verdict("success"))]
    experiment.judged[0] = make_judged(task, "finished", attempts, summary={"final_error": 1.3})

    assert "1 attempt of 1 run ended as code_bug" in _ask(experiment)["fix_first"].evidence


def test_failed_runs_that_can_be_healed_are_counted(tmp_path: Path) -> None:
    """The command is named with the number of runs the collector would start again."""
    experiment = _experiment(tmp_path, _level, baseline={"batch": 16})
    _fail(experiment, 4, OOM, action="retry")

    assert _ask(experiment)["start_again"].action == (
        "Start 1 failed run again: python -m hpc.collect batches --retry-failed"
    )


def test_healed_micro_batches_are_where_to_begin(tmp_path: Path) -> None:
    """Two runs halved from 16 to 8 are a reason to begin with 8; one is chance."""
    experiment = _experiment(tmp_path, _level, baseline={"batch": 16})
    for row in (6, 7):
        task = experiment.judged[row]
        task["attempts"] = [make_attempt(task, 1, OOM), make_attempt(task, 2, make_verdict("success"), micro=8)]
    found = _ask(experiment)

    assert found["micro_batch"].action == "Start with a micro-batch of 8 where 16 did not fit"
    experiment.judged[7] = make_finished(experiment, experiment.asked[7], {"final_error": 1.3})
    assert "micro_batch" not in _ask(experiment)


def test_limits_far_from_use_are_named(tmp_path: Path) -> None:
    """An hour asked for runs of minutes, and memory nobody used, are said with the numbers; a limit hit as well."""
    experiment = _experiment(tmp_path, _level, baseline={"batch": 16})
    found = _ask(experiment)

    assert "5 min 40 s of 1 h 0 min" in found["time_limit"].evidence
    assert "710 of 4096 MiB" in found["memory_asked"].evidence
    _fail(experiment, 3, make_verdict("timeout", "DUE TO TIME LIMIT", "slurm_timeout"))
    assert _ask(experiment)["time_limit"].evidence.startswith("1 attempt ended at the time limit")


def test_a_thin_baseline_is_worth_more_runs(tmp_path: Path) -> None:
    """A baseline that lost runs is named with what is missing and how much rests on it."""
    experiment = _experiment(tmp_path, _level, baseline={"batch": 16})
    _fail(experiment, 0, OOM)

    assert _ask(experiment)["more_runs_of_baseline"].evidence == (
        "it has 2 of 3 (1 of 3 failed: 1 oom_gpu), and 2 comparisons rest on it"
    )


def test_only_what_rests_on_a_thin_baseline_is_counted(tmp_path: Path) -> None:
    """With a baseline on each of two systems, comparisons with the other one do not rest on the thin one."""
    spec = make_spec(
        "two", sweep={"grid": {"system": ["A", "B"], "batch": [16, 32]}, "seeds": [1, 2, 3]}, baseline={"batch": 16}
    )
    grid = [(system, batch, seed) for system in "AB" for batch in (16, 32) for seed in (1, 2, 3)]
    tasks = [make_task({"system": s, "batch": batch}, seed, f"{s}{batch}_{seed}") for s, batch, seed in grid]
    experiment = Experiment(tmp_path, tasks, spec)
    rng = np.random.default_rng(0)
    experiment.judged = [make_finished(experiment, one, {"final_error": float(rng.normal(1, 0.1))}) for one in tasks]
    _fail(experiment, 0, OOM)

    evidence = _ask(experiment)["more_runs_of_baseline"].evidence
    assert evidence.endswith("and 1 comparison rests on it")


def test_waste_names_the_dearest_class(tmp_path: Path) -> None:
    """A class that took more than a quarter of all hours is named with its share."""
    experiment = _quiet(_experiment(tmp_path, _level, baseline={"batch": 16}))
    for row in (3, 4, 5):
        _fail(experiment, row, OOM)

    assert _ask(experiment)["waste"].evidence == "0.28 GPU h of 0.85 GPU h (33 %) went into them"
