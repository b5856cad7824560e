"""What a plan says of the differences its design can find: in the metric's unit where that is known, else in σ."""

import json
from pathlib import Path
from typing import Any

import pytest

from hpc.core.experiment.grid import expand
from hpc.core.layout import RunLayout
from hpc.core.question.detectable import Design
from hpc.experiments.detecting import CanFind, describe_detectable, find_detectable
from hpc.experiments.schema import load_experiment

TEXT = """
name: ranks
type: hyperparameter_sweep
program: {command: "python3 program.py {rank} {seed}"}
sweep: {grid: {rank: [4, 8, 16, 32]}, seeds: SEEDS}
BASELINE
metrics: {primary: {name: loss, goal: min}, source: {stdout: 'loss: (?P<loss>\\\\S+)'}}
run_name: "R{rank}_S{seed}"
resources: {cpus: 1, mem: 500MB, time: "0:10:00"}
"""


def found(folder: Path, baseline: str, seeds: str = "[1, 2, 3]") -> CanFind | None:
    file = folder / "ranks.yaml"
    file.write_text(TEXT.replace("SEEDS", seeds).replace("BASELINE", baseline))
    spec = load_experiment(file)
    return find_detectable(RunLayout(folder / "runs", "ranks"), spec, expand(spec))


def said(folder: Path, baseline: str, seeds: str = "[1, 2, 3]") -> str:
    return "\n".join(describe_detectable(found(folder, baseline, seeds), "loss"))


def test_without_a_spread_it_is_said_in_sigmas(tmp_path: Path) -> None:
    """Three short lines: the size, what a seed more and a configuration fewer buy, and what to declare."""
    text = said(tmp_path, "baseline: {rank: 8}")
    sizes = (Design(3, 3, 3, 3).smallest, Design(3, 4, 4, 3).smallest, Design(2, 3, 3, 2).smallest)

    assert [len(line) <= 100 for line in text.splitlines()] == [True] * 3
    assert all(f"{one:.2g} σ" in text for one in sizes)
    assert "3 seeds of 3 configurations" in text
    assert "declare analysis.sigma" in text


def test_a_declared_spread_gives_the_unit(tmp_path: Path) -> None:
    """`analysis.sigma` brings it to the metric's unit, in words and in JSON."""
    told = found(tmp_path, "baseline: {rank: 8}\nanalysis: {sigma: 0.02}")
    assert told is not None
    first, second, third = describe_detectable(told, "loss")

    assert f"a difference of {0.02 * told.smallest:.3g} in loss" in first
    assert third == "  σ = 0.02 (analysis.sigma)"
    assert f"one more seed: {0.02 * told.one_seed_more:.3g}" in second
    assert told.to_json()["units"]["smallest"] == pytest.approx(0.02 * told.smallest)


@pytest.mark.parametrize("kept", ["stored", "collected", "nothing"])
def test_a_stored_baseline_tells_its_spread(tmp_path: Path, kept: str) -> None:
    """From the store, else from the collected runs of the experiment; its runs count, and its mean gives a percent."""
    values = [1.0, 1.1, 0.9, 1.05, 0.95]
    layout = RunLayout(tmp_path / "runs", "variance")
    kinds: dict[str, tuple[Path, Any]] = {
        "stored": (layout.stored_baseline("variance"), {"metrics": {"loss": [*values, None]}}),
        "collected": (layout.verdicts, {"tasks": [{"summary": {"loss": one}} for one in values]}),
    }
    if kept in kinds:
        path, content = kinds[kept]
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    told = found(tmp_path, "analysis: {baseline_from: variance}")
    assert told is not None

    text = "\n".join(describe_detectable(told, "loss"))
    if kept == "nothing":
        assert "declare analysis.sigma" in text
        return
    assert told.design == Design(4, 3, 5, 4)
    assert "σ = 0.0791, mean 1 (5 runs of variance)" in text
    assert " %)" in text


def test_what_is_not_compared_or_tested_says_so(tmp_path: Path) -> None:
    """Without a baseline nothing; with one seed, that nothing is tested."""
    assert said(tmp_path, "") == ""
    assert "nothing" in said(tmp_path, "baseline: {rank: 8}", "[1]")
