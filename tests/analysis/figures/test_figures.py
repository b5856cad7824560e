"""Figures: the same bytes every time, nothing silently left out, hostile names harmless."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from analysis.data.frame import Series, load_frame
from analysis.data.swept import find_swept
from analysis.figures.all import draw_all
from analysis.figures.curves import interesting_series, mean_curve
from analysis.figures.drawing import FURTHER, axis_label, drawing_style, short, squeeze, themed_svg
from analysis.figures.front import with_front
from analysis.figures.heatmap import choose_axes, grid_cells
from analysis.figures.timeline import running_at_once
from analysis.findings.findings import find_findings
from analysis.findings.flow import find_flow, say_flow
from analysis.findings.selection import choose_shown
from analysis.words import plain
from tests.analysis.made_experiments import (
    Experiment,
    add_curve,
    make_attempt,
    make_finished,
    make_judged,
    make_spec,
    make_task,
    make_verdict,
)


def _draw(experiment: Experiment, folder: Path, further: Sequence[str] = ()) -> dict[str, str]:
    """Draw everything; return each SVG file's text by figure name."""
    folder.mkdir()
    frame = load_frame(experiment.write())
    names = [one.name for one in draw_all(frame, find_findings(frame), folder, further)]
    return {name: (folder / f"{name}.svg").read_text(encoding="utf-8") for name in names}


def test_same_results_give_the_same_bytes(realistic: Experiment, tmp_path: Path) -> None:
    """Drawing twice gives identical SVG, PNG and PDF files, whatever the user's own matplotlib settings are."""
    _draw(realistic, tmp_path / "one", FURTHER)
    with mpl.rc_context({"axes.facecolor": "pink", "svg.fonttype": "path", "font.size": 30}):
        _draw(realistic, tmp_path / "two", FURTHER)
    first, second = (sorted((tmp_path / name).iterdir()) for name in ("one", "two"))

    assert [path.name for path in first] == [path.name for path in second]
    assert len(first) == 3 * 10
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(first, second, strict=True))


def test_failed_runs_are_in_the_interval_figure(realistic: Experiment, tmp_path: Path) -> None:
    """Each configuration shows its n, and beside it how many failed of what, or are not finished, or altered."""
    svg = _draw(realistic, tmp_path / "out")["intervals"]

    for words in ("n=3", "n=2", "× 1 oom_gpu", "× 1 divergence, □ 1 altered", "… 1 not finished"):
        assert words in svg


def test_failed_curves_end_in_a_cross(realistic: Experiment, tmp_path: Path) -> None:
    """The curve figure says how many failed runs it draws and that they are in no mean."""
    folder = tmp_path / "out"
    folder.mkdir()
    frame = load_frame(realistic.write())
    curve = next(one for one in draw_all(frame, find_findings(frame), folder, ()) if one.name.startswith("curve-"))

    assert "failed runs (2), not in any mean" in curve.caption
    assert "not finished (1)" in curve.caption
    assert "n=2, × 1 failed" in curve.svg


def test_axes_are_labelled(realistic: Experiment, tmp_path: Path) -> None:
    """Metric with direction, step, and unit where there is one."""
    drawn = _draw(realistic, tmp_path / "out")

    assert "final_error (lower is better)" in drawn["intervals"]
    assert "difference from the baseline [%]" in drawn["intervals"]
    assert ">step<" in drawn["curve-1-train-loss"]
    assert "GPU hours used [h]" in drawn["resources"]
    assert axis_label("training_time", "min") == "training_time [s] (lower is better)"


def test_cut_axes_say_so(tmp_path: Path) -> None:
    """Values far from zero with little spread get a cut axis and the words for it; others start at zero."""
    tasks = [make_task({"rank": rank}, seed, f"R{rank}_{seed}") for rank in (1, 2) for seed in (1, 2, 3)]
    experiment = Experiment(tmp_path / "runs", tasks, make_spec("cut", baseline={"rank": 1}))
    experiment.judged = [
        make_finished(experiment, task, {"final_error": 3.28 + 0.001 * task["seed"]}) for task in tasks
    ]
    assert "the axis does not start at 0" in _draw(experiment, tmp_path / "cut")["intervals"]

    for task in experiment.judged:
        task["summary"]["final_error"] = float(task["seed"])
    assert "does not start" not in _draw(experiment, tmp_path / "whole")["intervals"]


HOSTILE = '</text><script>alert(1)</script> $x^{ & "q" \x1b[31m \u202e 模型 🚀 \ud800'


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    """Markup, mathematics, control and direction characters in names give well-formed SVG without a script."""
    tasks = [
        make_task({"name": name}, seed, f"R{place}_{seed}")
        for place, name in enumerate(("a", HOSTILE[:-1]))
        for seed in (1, 2)
    ]
    spec = make_spec("hostile", baseline={"name": "a"}, metrics={"primary": {"name": HOSTILE[:-1], "goal": "min"}})
    experiment = Experiment(tmp_path / "runs", tasks, spec)
    experiment.judged = [make_finished(experiment, task, {HOSTILE[:-1]: 1.0 + task["seed"]}) for task in tasks]
    for row in range(4):
        add_curve(experiment, row, 0.5)
    drawn = _draw(experiment, tmp_path / "out")

    assert "resources" in drawn
    for svg in drawn.values():
        root = ET.fromstring(svg)  # noqa: S314 - our own file, to prove it is well-formed
        assert not [one for one in root.iter() if "script" in str(one.tag)]
        assert "\x1b" not in svg
        assert "\u202e" not in svg


@pytest.mark.parametrize(("rows", "told"), [((0, 1), "for 1 of 2 configurations and 2 runs."), ((0, 1, 2), "for 2 ")])
def test_a_metric_that_some_configurations_log_is_said_of_those(
    tmp_path: Path, rows: tuple[int, ...], told: str
) -> None:
    """What a picture shows counts the configurations that have a curve, not the empty panels beside them."""
    tasks = [make_task({"a": a}, seed, f"A{a}_{seed}") for a in (1, 2) for seed in (1, 2)]
    experiment = Experiment(tmp_path / "runs", tasks, make_spec("some", baseline={"a": 1}))
    experiment.judged = [make_finished(experiment, task, {"final_error": 1.0 + task["seed"]}) for task in tasks]
    for row in rows:
        add_curve(experiment, row, 0.5)
    frame = load_frame(experiment.write())
    folder = tmp_path / "out"
    folder.mkdir()
    drawn = draw_all(frame, find_findings(frame), folder, ())
    assert told in next(one for one in drawn if one.name.startswith("curve-")).alt


def test_plain_shows_what_cannot_be_shown() -> None:
    """Control characters become their pictures, direction overrides and lone surrogates a replacement character."""
    assert plain("a\x1b[0m\n\u202eb\ud800\u2028") == "a␛[0m␊�b��"
    assert plain("naïve 模型 🚀 ± µ") == "naïve 模型 🚀 ± µ"


def test_page_svg_has_own_ids_and_theme_colours() -> None:
    """Inlined pictures cannot collide with each other and follow the page's colours."""
    svg = (
        '<?xml version="1.0"?><!DOCTYPE svg><svg width="10pt" height="5pt" viewBox="0 0 10 5"><metadata>x</metadata>'
        '<path id="m1" style="fill: #0072b2; stroke: #1d2733"/><use xlink:href="#m1" clip-path="url(#c1)"/></svg>'
    )

    assert themed_svg(svg, "f") == (
        '<svg style="--natural: 13px" viewBox="0 0 10 5">'
        '<path id="f-m1" style="fill: var(--hue0); stroke: var(--ink)"/>'
        '<use xlink:href="#f-m1" clip-path="url(#f-c1)"/></svg>'
    )


def test_mean_curve_uses_common_steps_only() -> None:
    """Runs that logged elsewhere are interpolated, none is extrapolated, NaN points are skipped."""
    first = Series(0, np.array([0, 10, 20]), np.array([0.0, 10.0, 20.0]))
    second = Series(1, np.array([5, 15, 25]), np.array([1.0, np.nan, 3.0]))
    steps, values = mean_curve([first, second])

    assert steps.tolist() == [5, 10, 20]
    assert values.tolist() == [[5, 10, 20], [1.0, 1.5, 2.5]]


def test_mean_curve_of_nothing_is_empty() -> None:
    """No curve, or only NaN, gives no line."""
    assert mean_curve([])[1].size == 0
    assert mean_curve([Series(0, np.array([1]), np.array([np.nan]))])[1].size == 0


@pytest.mark.parametrize("limit", [3, 6])
def test_many_configurations_keep_baseline_best_and_worst(tmp_path: Path, limit: int) -> None:
    """Where not all fit, the baseline, the best and the worst are among those shown."""
    tasks = [make_task({"rank": rank}, 1, f"R{rank}") for rank in range(40)]
    experiment = Experiment(tmp_path / "runs", tasks, make_spec("many", baseline={"rank": 20}))
    experiment.judged = [
        make_finished(experiment, task, {"final_error": 1.0 + (task["parameters"]["rank"] * 7) % 40}) for task in tasks
    ]
    findings = find_findings(load_frame(experiment.write()))
    shown = choose_shown(findings, limit)
    means = [one.estimate.mean for one in shown]

    assert len(shown) == limit
    assert any(one.is_baseline for one in shown)
    assert {1.0, 40.0} <= set(means)


def test_declared_metrics_come_before_other_losses(realistic: Experiment) -> None:
    """The primary metric's curve is first when it has one; losses follow."""
    for name in ("final_error", "val_loss", "learning_rate"):
        realistic.series[name] = [(0, 1, step, 1.0, 0.0) for step in (1, 2)]

    assert interesting_series(load_frame(realistic.write())) == ("final_error", "train/loss", "val_loss")


def _phase(root: Path) -> Experiment:
    """Layers × gamma × two kinds of network; deep networks with a large gamma ran out of memory, half of one more."""
    grid = [
        (layers, gamma, kind, seed) for layers in (2, 3, 4) for gamma in (0.5, 0.7) for kind in "ab" for seed in (1, 2)
    ]
    tasks = [
        make_task({"layers": layers, "gamma": gamma, "kind": kind}, seed, f"L{layers}_G{gamma}_{kind}_S{seed}")
        for layers, gamma, kind, seed in grid
    ]
    experiment = Experiment(root, tasks, make_spec("phase", baseline={"layers": 2, "gamma": 0.5, "kind": "a"}))
    for row, (task, (layers, gamma, _, seed)) in enumerate(zip(tasks, grid, strict=True)):
        if layers == 4 and (gamma == 0.7 or seed == 1):
            attempt = make_attempt(task, 1, make_verdict("oom_gpu", "CUDA out of memory"))
            experiment.judged.append(make_judged(task, "failed", [attempt]))
        else:
            experiment.judged.append(make_finished(experiment, task, {"final_error": layers * gamma + 0.01 * row}))
    return experiment


def test_phase_diagram_hatches_what_failed_and_counts_every_cell(tmp_path: Path) -> None:
    """A panel per kind on one scale; cells without a value are hatched and say how many failed, each cell has its n."""
    svg = _draw(_phase(tmp_path / "runs"), tmp_path / "out")["heatmap-1"]
    titles = re.findall(r"<title>(.*?)</title>", svg)

    assert svg.count("× 2 of 2") == 2
    assert svg.count("n=1 ×1") == 2
    assert svg.count(">n=2<") == 8
    assert len(titles) == 12
    assert "layers=4, gamma=0.7: n=0 of 2; failed: 2 oom_gpu" in titles
    assert "url(#" in svg[svg.index('id="cell-0-2-1"') :][:600]  # the hatch
    assert "final_error (lower is better)" in svg


def test_a_phase_diagram_shows_its_map_first(tmp_path: Path) -> None:
    """Also where its baseline leaves a parameter open, whose values then count as systems."""
    experiment = _phase(tmp_path / "runs")
    experiment.spec = make_spec("phase", type="phase_diagram", baseline={"gamma": 0.5})
    frame = load_frame(experiment.write())
    findings = find_findings(frame)
    with drawing_style(()):
        (front,) = with_front(frame, findings, tmp_path, ())
        over_systems = replace(front, name="profiles", topic="systems")
        first, *others = with_front(frame, findings, tmp_path, (over_systems,))

    assert (first.name, first.topic) == ("front", "front")
    assert "layers=4, gamma=0.7: n=0 of 2; failed: 2 oom_gpu" in (tmp_path / "front.svg").read_text(encoding="utf-8")
    assert others == [over_systems]


def test_three_parameters_have_parallel_axes_with_a_place_for_failures(tmp_path: Path) -> None:
    """From three parameters on all configurations are lines; those without a value end at a place that says so."""
    drawn = _draw(_phase(tmp_path / "runs"), tmp_path / "out")

    assert "× no value (2)" in drawn["parallel"]
    assert {"effects", "importance"} <= set(drawn)
    for name in ("layers", "gamma", "kind"):
        assert name in drawn["parallel"]


def test_cells_add_up_to_the_plan(tmp_path: Path) -> None:
    """Every planned run is in exactly one cell, as a value, a failure or unfinished."""
    frame = load_frame(_phase(tmp_path / "runs").write())
    axes = choose_axes(find_swept(frame))
    assert axes is not None
    cells = grid_cells(frame, "final_error", axes, np.arange(len(frame.tasks)))

    assert [axis.name for axis in axes] == ["layers", "gamma"]
    assert sum(cell.planned for cell in cells) == 24
    assert all(cell.n + sum(cell.failed.values()) + cell.unfinished == cell.planned for cell in cells)


def test_flow_adds_up_at_each_step(realistic: Experiment, tmp_path: Path) -> None:
    """Planned to analysed: each number is what is left plus what left, and the picture has all of them."""
    findings = find_findings(load_frame(realistic.write()))
    stages = find_flow(findings)

    assert [stage.count for stage in stages] == [18, 17, 16, 13, 12, 12]
    assert (
        say_flow(stages)[2] == "16 ended = 13 finished + 1 failed: code_bug + 1 failed: divergence + 1 failed: oom_gpu"
    )
    svg = _draw(realistic, tmp_path / "out")["flow"]
    for words in ("18 planned", "1 never submitted", "× 1 failed: oom_gpu", "12 analysed"):
        assert words in svg


def test_timeline_shows_every_attempt(realistic: Experiment, tmp_path: Path) -> None:
    """One bar per attempt, told apart by what came of it, and runs without one are counted."""
    folder = tmp_path / "out"
    folder.mkdir()
    frame = load_frame(realistic.write())
    timeline = next(one for one in draw_all(frame, find_findings(frame), folder, ()) if one.name == "timeline")

    assert timeline.svg.count("<title>") == len(frame.attempts)
    assert "R16_LR0.0002_S137, attempt 4: oom_gpu" in timeline.svg
    assert timeline.caption.endswith("1 run without an attempt.")
    assert "9 failed" in timeline.alt


def test_crowds_are_counted_not_drawn_one_by_one() -> None:
    """The number running at once is the exact mean over each span: one over all of it, another over half of it."""
    edges = np.array([0.0, 10.0, 20.0])

    assert running_at_once(np.array([0.0, 5.0]), np.array([20.0, 5.0]), edges).tolist() == [1.5, 1.0]


def test_what_a_case_fixes_is_no_parameter_of_its_own(tmp_path: Path) -> None:
    """Width and depth that follow from the case are not varied beside it; the learning rate is."""
    tasks = [
        make_task({"width": width, "rate": rate}, 1, f"{case}_{rate}", case)
        for case, width in (("small", 8), ("wide", 64)) for rate in (0.1, 0.2)
    ]  # fmt: skip
    experiment = Experiment(tmp_path, tasks, make_spec("cases", baseline={}))
    experiment.judged = [make_finished(experiment, task, {"final_error": 1.0}) for task in tasks]

    assert [one.name for one in find_swept(load_frame(experiment.write()))] == ["case", "rate"]


def test_long_names_are_cut_and_not_lost() -> None:
    """A name that fits stays, a long one ends in an ellipsis, also where it has no space to be cut at."""
    assert short("no_normalisation", 18) == "no_normalisation"
    assert short("R16_LR0.0002_S137_with_everything", 12) == "R16_LR0.000…"
    assert short("one two three four", 10) == "one two…"


@pytest.mark.parametrize(
    ("label", "width", "expected"),
    [
        ("lora_rank=16, learning_rate=0.0002", 40, "lora_rank=16, learning_rate=0.0002"),
        ("lora_rank=16, learning_rate=0.0002", 28, "lora_ra…=16, learnin…=0.0002"),
        ("no_normalisation_at_all", 12, "no_normalis…"),
        ("a=1, b=some/very/long/path", 12, "a=1, b=some…"),
    ],
)
def test_a_squeezed_name_keeps_its_values(label: str, width: int, expected: str) -> None:
    """What tells configurations apart stays: names of parameters are cut before their values are."""
    assert squeeze(label, width) == expected
    assert len(squeeze(label, width)) <= width
