"""Seeds in two looks: who gets more, and what looking twice costs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.data.frame import load_frame
from analysis.second_look import SecondLook, decide_second_look
from analysis.statistics.sequential import needs_more_seeds, simulate_two_looks
from hpc.core.errors import InputError
from tests.analysis.made_experiments import Experiment, make_finished, make_judged, make_spec, make_task

BASE = [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("values", "needed", "words"),
    [
        ([2.5, 3.5, 3.9], True, "within 2σ"),
        ([4.0, 4.0, 4.0], False, "beyond 2σ"),
        ([3.99, 3.99, 3.99], True, "within 2σ"),
        ([np.nan, 0.1, 0.2], True, "n=2 against 3"),
        ([np.nan], False, "no run gave a value"),
    ],
)
def test_within_two_sigma_of_the_baseline_more_seeds_are_needed(values: list[float], needed: bool, words: str) -> None:
    """The bound is 2σ of the baseline, 2σ itself settles, and every answer says why."""
    found = needs_more_seeds(values, BASE)

    assert found.needed == needed
    assert words in found.reason


def test_baseline_without_spread_measures_nothing() -> None:
    """One baseline run, or equal ones: no further seeds on no grounds."""
    assert not needs_more_seeds([1.0, 2.0], [1.0]).needed
    assert not needs_more_seeds([1.0, 2.0], [1.0, 1.0]).needed


def test_second_look_is_accounted_for() -> None:
    """With 3 + 2 seeds on both sides the test is wrong more often than 5 %, and at the named level exactly 5 %."""
    found = simulate_two_looks(3, 2, (3, 5), np.random.default_rng(1))
    again = simulate_two_looks(3, 2, (3, 5), np.random.default_rng(2), alpha=found.level)

    assert found.test_error > 0.053
    assert found.level < 0.05
    assert again.test_error == pytest.approx(0.05, abs=0.003)
    assert found.rule_error > 0.134  # one look of 3 against 3 runs
    assert f"{found.level:.4f}" in found.text


def test_level_is_never_raised() -> None:
    """Where the second look makes the procedure more cautious, alpha stays what it was."""
    found = simulate_two_looks(3, 2, (5, 5), np.random.default_rng(1), paired=False, repetitions=20_000)

    assert found.test_error < 0.05
    assert found.level == 0.05


def test_resembling_pairs_cost_less() -> None:
    """Where the runs of a seed resemble each other, the level for independent runs keeps the error below 5 %."""
    rng = np.random.default_rng(3)
    level = simulate_two_looks(3, 2, (3, 5), np.random.default_rng(1), repetitions=20_000).level
    shared = rng.normal(0, 2, (20_000, 5))
    ours, base = shared + rng.normal(size=shared.shape), shared + rng.normal(size=shared.shape)
    early = np.abs((ours - base)[:, :3].mean(axis=1)) >= 2 * base[:, :3].std(axis=1, ddof=1)

    def rejected(n: int) -> Any:
        from analysis.statistics.row_tests import paired_rows

        return paired_rows(ours[:, :n], base[:, :n]).p < level

    assert np.mean(np.where(early, rejected(3), rejected(5))) <= 0.052


def test_generator_is_the_only_source_of_chance() -> None:
    """The same generator gives the same account, another one another, whatever numpy's global seed."""

    def rate(seed: int, global_seed: int) -> float:
        np.random.seed(global_seed)  # noqa: NPY002  to show that it has no effect
        return simulate_two_looks(3, 2, (3, 5), np.random.default_rng(seed), repetitions=5000).test_error

    assert rate(1, 1) == rate(1, 2)
    assert rate(1, 1) != rate(2, 1)


def test_two_looks_need_two_runs() -> None:
    """A design that cannot be tested is refused."""
    with pytest.raises(ValueError, match="at least 2 runs"):
        simulate_two_looks(1, 2, (3, 5), np.random.default_rng(0))


def _experiment(root: Path, baseline_seeds: tuple[int, ...] = (42, 137, 256)) -> Experiment:
    """Rank 8 is the baseline (1, 2, 3); rank 16 lies within 2σ, rank 32 beyond, rank 64 is still running."""
    spec = make_spec(
        "looks",
        sweep={"grid": {"rank": [8, 16, 32, 64]}, "seeds": [42, 137, 256], "further_seeds": [512, 1024]},
        baseline={"rank": 8},
    )
    seeds = {8: baseline_seeds, **dict.fromkeys((16, 32, 64), (42, 137, 256))}
    tasks = [make_task({"rank": rank}, seed, f"R{rank}_S{seed}") for rank, those in seeds.items() for seed in those]
    experiment = Experiment(root, tasks, spec)
    level = {8: 0.0, 16: 0.5, 32: 5.0, 64: 0.0}
    for number, task in enumerate(tasks):
        rank = task["parameters"]["rank"]
        experiment.judged.append(
            make_judged(task, "planned", []) if rank == 64
            else make_finished(experiment, task, {"final_error": 1.0 + number % 3 + level[rank]})
        )  # fmt: skip
    return experiment


def _decide(experiment: Experiment) -> SecondLook:
    return decide_second_look(load_frame(experiment.write()))


def test_exactly_the_unsettled_get_the_further_seeds(tmp_path: Path) -> None:
    """Rank 16 and the baseline, which lacks them, get both seeds; the settled and the open get none; each says why."""
    found = {one.parameters["rank"]: one for one in _decide(_experiment(tmp_path)).extensions}

    assert {rank: one.seeds for rank, one in found.items()} == {8: (512, 1024), 16: (512, 1024), 32: (), 64: ()}
    assert "baseline of" in found[8].reason
    assert "beyond 2σ" in found[32].reason
    assert "3 of its runs have not ended" in found[64].reason


def test_baseline_that_has_the_seeds_gets_none(tmp_path: Path) -> None:
    """A baseline run with all five seeds, as the protocol has it, is left alone."""
    found = _decide(_experiment(tmp_path, (42, 137, 256, 512, 1024)))

    assert [one.parameters["rank"] for one in found.extensions if one.seeds] == [16]


def test_open_baseline_is_waited_for(tmp_path: Path) -> None:
    """While a run of the baseline is open nobody gets seeds: what they are measured by may still change."""
    experiment = _experiment(tmp_path)
    experiment.judged[0].update(outcome="running", summary={})
    found = {one.parameters["rank"]: one for one in _decide(experiment).extensions}

    assert not any(one.seeds for one in found.values())
    assert "1 run of its baseline" in found[16].reason


def test_there_is_no_third_look(tmp_path: Path) -> None:
    """A configuration that has any of the further seeds is not asked about again."""
    experiment = _experiment(tmp_path, (42, 137, 256, 512, 1024))
    for seed in (512, 1024):
        task = make_task({"rank": 16}, seed, f"R16_S{seed}")
        experiment.asked.append(task)
        experiment.judged.append(make_finished(experiment, task, {"final_error": 2.0}))
    found = {one.parameters["rank"]: one for one in _decide(experiment).extensions}

    assert found[16].seeds == ()
    assert "second look has been taken" in found[16].reason


def test_stored_baseline_is_compared_with_instead(tmp_path: Path) -> None:
    """With stored values every configuration of the sweep is asked about, and no baseline gets seeds."""
    frame = load_frame(_experiment(tmp_path).write())
    found = {one.parameters["rank"]: one.seeds for one in decide_second_look(frame, [2.0, 2.1, 1.9]).extensions}

    assert found == {8: (512, 1024), 16: (), 32: (), 64: ()}


def test_what_is_not_declared_is_named(tmp_path: Path) -> None:
    """Without further seeds or without a baseline the answer is what to write."""
    experiment = _experiment(tmp_path)
    experiment.spec["sweep"]["further_seeds"] = []
    with pytest.raises(InputError, match=r"sweep\.further_seeds is not declared"):
        _decide(experiment)
    experiment.spec["sweep"]["further_seeds"] = [512]
    experiment.spec["baseline"] = None
    with pytest.raises(InputError, match="nothing to compare with"):
        _decide(experiment)


def test_command_prints_json(tmp_path: Path) -> None:
    """`python -m analysis.second_look` prints one JSON value that a planner can read."""
    experiment = _experiment(tmp_path / "runs")
    experiment.write()
    argv = [sys.executable, "-m", "analysis.second_look", "looks", "--root", str(tmp_path / "runs")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    told = json.loads(done.stdout)

    assert (told["schema"], told["kind"], told["further"]) == (1, "follow_up", [512, 1024])
    assert [one["seeds"] for one in told["extensions"]] == [[512, 1024], [512, 1024], [], []]
