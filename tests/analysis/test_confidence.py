"""The declared confidence in every label: intervals are called what they are, wherever the report shows one."""

import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from analysis.data.frame import load_frame
from analysis.page.across import compare_experiments
from analysis.page.rendering import render_markdown
from analysis.report import build, build_styled
from tests.analysis.made_experiments import Experiment, make_finished, make_spec, make_task

GRID = {"rank": [4, 8], "rate": [1, 2], "system": ["A", "B"]}


def make(root: Path, confidence: float) -> Experiment:
    """Three parameters, eight configurations, a baseline on each of two systems: every figure and table is there."""
    spec = make_spec(
        sweep={"grid": GRID, "seeds": [1, 2, 3]},
        baseline={"rank": 8, "rate": 1},
        analysis={"confidence": confidence},
        metrics={"primary": {"name": "error", "goal": "min", "meaningful": "5%"}},
    )
    cases = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
    tasks = [make_task(case, seed, f"T{place}_S{seed}") for place, case in enumerate(cases) for seed in (1, 2, 3)]
    experiment = Experiment(root, tasks, spec)
    rng = np.random.default_rng(3)
    experiment.judged = [
        make_finished(experiment, task, {"error": float(1 + task["parameters"]["rank"] / 50 + rng.normal(0, 0.05))})
        for task in tasks
    ]
    return experiment


def called(text: str, level: str) -> int:
    """Times that a coverage stands in a text; chances and shares of something else have a word before or behind."""
    return len(re.findall(rf"(?<![\d.]){level} ?% (?:interval|stratified|of repetitions|confidence|CI)", text))


def test_intervals_are_called_by_the_declared_confidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 0.8 no page, figure or form says 95 %, all say 80 %; the numbers are those of 80 %."""
    monkeypatch.chdir(tmp_path)
    layout = make(tmp_path / "runs", 0.8).write()
    built = build(layout, ("html", "md"))
    texts = {
        path.name: path.read_text("utf-8") for path in built.files if path.suffix in (".html", ".md", ".csv", ".svg")
    }
    for style in ("s1", "s2", "s3"):
        (path,) = build_styled(layout, style).files
        texts[path.name] = path.read_text("utf-8")
    frame = load_frame(layout)
    texts["compare"] = render_markdown(compare_experiments(frame, frame, tmp_path / "compare"))

    assert not [name for name, text in texts.items() if "95 %" in text]
    assert called(texts["report.md"], "80") >= 8
    assert all(called(texts[name], "80") for name in ("report.html", "report_s1.md", "report_s2.md", "compare"))


def test_the_usual_confidence_is_called_so(tmp_path: Path) -> None:
    """The same report with 0.95 says 95 % as often as the other says 80 %."""
    counts = []
    for confidence, level in ((0.8, "80"), (0.95, "95")):
        built = build(make(tmp_path / level, confidence).write(), ("md",))
        counts.append(called((built.layout.report / "report.md").read_text("utf-8"), level))

    assert counts[0] == counts[1] > 0
