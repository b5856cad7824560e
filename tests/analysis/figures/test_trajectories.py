"""Trajectories: whose are drawn, on one scale, and that no file a program leaves can break a report."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes

from analysis.data.frame import ExperimentFrame, load_frame
from analysis.data.trajectories import MAX_BYTES, NAME, Trajectories, UnfitError, read_trajectories
from analysis.figures.trajectories import draw_trajectories
from analysis.findings.findings import find_findings
from analysis.findings.trajectories import ShownConfiguration, find_trajectories
from analysis.page.pages import build_document
from analysis.page.rendering import render_markdown
from tests.analysis.made_experiments import Experiment, make_arms

VALUES = {0: {1: 0.3, 2: 0.1, 3: 0.2, 4: 0.4}, 1: {1: 0.9, 2: 0.8, 3: float("nan"), 4: 0.7}}


def content(policy: float = 1.0, reference: float = 2.0) -> dict[str, Any]:
    """Two starts, two quantities; the second is held."""
    lines = [[[start * size, 0.5, size], [size, -size]] for start, size in ((1, policy), (2, policy))]
    against = [[[start, 0.0, 0.0], [reference, -reference]] for start in (1, 2)]
    return {
        "schema": 1, "kind": "trajectories", "title": "a $title & <b>", "axis": "time [s]", "at": [0, 0.1, 0.2],
        "quantities": ["x [m]", "u"],
        "curves": [{"name": "policy", "lines": lines}, {"name": "ideal", "lines": against}],
    }  # fmt: skip


@pytest.fixture
def arms(tmp_path: Path) -> Experiment:
    """Two configurations of four seeds, one of which diverged."""
    experiment = make_arms(tmp_path / "runs", [VALUES[0], VALUES[1]])
    experiment.write()
    return experiment


def leave(experiment: Experiment, run: str, what: Any) -> Path:
    """Put a file where the first attempt of a run leaves it."""
    path = experiment.layout.task(run).attempt(1).home / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(what if isinstance(what, str) else json.dumps(what), encoding="utf-8")
    return path


def found(experiment: Experiment) -> tuple[ExperimentFrame, tuple[ShownConfiguration, ...]]:
    """Load it and choose."""
    frame = load_frame(experiment.layout)
    return frame, find_trajectories(frame, find_findings(frame))


def test_the_best_and_the_median_run_are_drawn_with_their_n(arms: Experiment, tmp_path: Path) -> None:
    """By the primary metric; a diverged run is neither, and n is the number of runs in the mean."""
    for arm, runs in VALUES.items():
        for seed in runs:
            leave(arms, f"A{arm}_S{seed}", content())
    _, shown = found(arms)
    drawings = draw_trajectories(shown, tmp_path)

    assert [[run.name for run in one.runs] for one in shown] == [["A0_S2", "A0_S1"], ["A1_S4", "A1_S2"]]
    assert [re.findall(r"n=\d", one.caption) for one in drawings] == [["n=4"], ["n=3"]]
    for words in ("best of 4: seed 2", "median: seed 1", "x [m]", "time [s]", "policy", "ideal"):
        assert words in drawings[0].svg


def test_all_figures_have_the_scale_of_what_is_held_against(
    arms: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy that leaves for 1e9 is cut and named; it does not flatten the others."""
    for name, policy in (("A0_S2", 1.0), ("A0_S1", 1e9), ("A1_S4", 0.1), ("A1_S2", 1.0)):
        leave(arms, name, content(policy, reference=4.0 if name == "A0_S2" else 1.0))
    ends: list[tuple[Any, ...]] = []
    keep = Axes.set_ylim
    monkeypatch.setattr(Axes, "set_ylim", lambda self, *to, **more: (ends.append(to), keep(self, *to, **more)))
    drawings = draw_trajectories(found(arms)[1], tmp_path)

    own = {one for one in ends if len(one) == 2} - {(0.0, 1.0)}  # that one is matplotlib's
    assert own == {(-1.0, 3.0), (-8.0, 8.0)}  # of 0 to 2, and of −4 to 4
    assert "Cut off where they leave it: policy." in drawings[0].caption
    assert "cut" not in drawings[1].caption


def test_without_files_there_is_no_section(arms: Experiment) -> None:
    """Nothing is said of trajectories where no program left any."""
    frame, shown = found(arms)
    document = build_document(frame, find_findings(frame), (), (), "")

    assert shown == ()
    assert "trajectories" not in [one.anchor for one in document.sections]


def test_a_file_that_does_not_fit_is_named_with_its_reason(arms: Experiment, tmp_path: Path) -> None:
    """The others are drawn all the same."""
    leave(arms, "A0_S2", content())
    leave(arms, "A0_S1", {**content(), "at": [0, 0, 1]})
    frame, shown = found(arms)
    drawings = draw_trajectories(shown, tmp_path)
    page = render_markdown(build_document(frame, find_findings(frame), drawings, (), ""))

    assert len(drawings) == 1
    assert re.search(r"A0\\?_S1: \\?`at\\?` must be 2 to 1000 numbers", page)
    assert "left no trajectories" in page


def _without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda one: one.pop(key)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_without("kind"), "kind"),
        (_without("at"), "at: must be a list of numbers"),
        (_without("quantities"), "quantities"),
        (_without("curves"), "curves"),
        (lambda one: one.update(at=[0, float("nan"), 1]), "larger than the previous one"),
        (lambda one: one.update(curves=one["curves"] * 3), "1 to 4"),
        (lambda one: one["curves"][0].pop("name"), "no name"),
        (lambda one: one["curves"][0]["lines"].pop(), "different numbers of lines"),
        (lambda one: one["curves"][0]["lines"][0].pop(), "2 quantities"),
        (lambda one: one["curves"][0]["lines"][0][0].append(1), "3 values"),
        (lambda one: one["curves"][0]["lines"][0][0].__setitem__(0, "1"), "numbers"),
        (lambda one: one["curves"][0]["lines"][0][0].__setitem__(0, True), "numbers"),
        (lambda one: one.update(title="x" * MAX_BYTES), "MiB"),
    ],
)
def test_each_fault_is_said(tmp_path: Path, damage: Callable[[dict[str, Any]], object], said: str) -> None:
    """Each part of the format is held to."""
    one = content()
    damage(one)
    path = tmp_path / NAME
    path.write_text(json.dumps(one), encoding="utf-8")

    with pytest.raises(UnfitError, match=re.escape(said)):
        read_trajectories(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(place=st.sampled_from(("title", "axis", "at", "quantities", "curves", "lines", "line", "value")), value=JSON)
def test_whatever_stands_there_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, place: str, value: Any
) -> None:
    """Any JSON in any place gives trajectories of equal shapes, or one reason."""
    one: Any = content()
    spots = {"lines": (one["curves"][0], "lines"), "line": (one["curves"][0]["lines"], 0)}
    spots["value"] = (one["curves"][0]["lines"][0][0], 0)
    where, key = spots.get(place, (one, place))
    where[key] = value
    path = tmp_path_factory.getbasetemp() / NAME
    path.write_text(json.dumps(one), encoding="utf-8")
    try:
        read = read_trajectories(path)
    except UnfitError:
        return
    assert isinstance(read, Trajectories)
    assert np.all(np.isfinite(read.at))
    for curve in read.curves:
        for line in curve.lines:
            assert len(line) == len(read.quantities)
            assert {len(read.at) - len(series) for series in line} <= {0, 1}
