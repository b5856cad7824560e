"""Sample efficiency over systems: the same numbers as over systems at the end, and nothing where there is no range."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from analysis.data.frame import load_frame
from analysis.figures.drawing import drawing_style
from analysis.figures.efficiency import draw_efficiency, score_curves
from analysis.findings.findings import find_findings
from tests.analysis.made_experiments import Experiment, make_finished, make_spec, make_task

SYSTEMS, METHODS, SEEDS = {"pendulum": 1.0, "cartpole": 100.0}, {"sft": 1.0, "grpo": 0.5}, (1, 2, 3)


def _make(folder: Path, *, ranges: bool = True, without: str = "") -> Experiment:
    """Two methods on two systems, the range of each ten times its level; errors fall with the step to the last one."""
    points = list(product(SYSTEMS, METHODS, SEEDS))
    tasks = [make_task({"system": s, "training": m}, seed, f"{s}_{m}_{seed}") for s, m, seed in points]
    limits = {"range": {name: [0.0, 10 * level] for name, level in SYSTEMS.items()}} if ranges else {}
    spec = make_spec(
        "cross",
        sweep={"grid": {"system": list(SYSTEMS), "training": list(METHODS)}, "seeds": list(SEEDS)},
        baseline={"training": "sft"},
        metrics={"primary": {"name": "final_error", "goal": "min", **limits}},
    )
    experiment = Experiment(folder, tasks, spec)
    for row, (task, (system, method, seed)) in enumerate(zip(tasks, points, strict=True)):
        last = SYSTEMS[system] * METHODS[method] * (1 + 0.1 * seed)
        experiment.judged.append(make_finished(experiment, task, {"final_error": last}))
        if f"{system}_{method}" != without:
            curve = experiment.series.setdefault("final_error", [])
            curve += [(row, 1, step, last * 40 / step, float(step)) for step in (10, 20, 40)]
    return experiment


def test_last_step_is_the_score_over_systems(tmp_path: Path) -> None:
    """Where the curve ends at the results, value and band are those of the table; before, the errors are larger."""
    frame = load_frame(_make(tmp_path).write())
    found = find_findings(frame)
    assert found.over_systems is not None
    assert found.primary is not None
    curves = score_curves(frame, found.over_systems, found.primary)

    assert len(curves) == 2
    for one in found.over_systems.methods:
        steps, scores = curves[one.method]
        assert steps.tolist() == [10, 20, 40]
        assert one.score_iqm is not None
        assert (scores[-1].value, scores[-1].low, scores[-1].high) == pytest.approx(
            (one.score_iqm.value, one.score_iqm.low, one.score_iqm.high)
        )
        assert [score.value for score in scores] == pytest.approx(scores[-1].value * np.array([4, 2, 1]))


def test_drawn_with_names_and_only_with_ranges_and_curves(tmp_path: Path) -> None:
    """The picture names baseline and systems; a method without a curve on a system is left out and counted."""
    drawn = {}
    for name, made in {
        "whole": _make(tmp_path / "a"),
        "hole": _make(tmp_path / "b", without="cartpole_grpo"),
        "no range": _make(tmp_path / "c", ranges=False),
    }.items():
        frame = load_frame(made.write())
        with drawing_style(()):
            drawn[name] = draw_efficiency(frame, find_findings(frame), tmp_path)

    (whole,), (hole,) = drawn["whole"], drawn["hole"]
    assert "2 systems (system=pendulum, system=cartpole)" in whole.caption
    assert "training=sft (baseline)" in whole.svg
    assert "methods are shown" not in whole.caption
    assert "1 of 2 methods are shown" in hole.caption
    assert drawn["no range"] == []
