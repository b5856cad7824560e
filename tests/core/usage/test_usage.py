"""Used and requested, and where time went: laws over any history, and the sentences."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.usage.split import add_up, split_run
from hpc.core.usage.used import Used, advise, say_energy, say_split, used_by

SECONDS = st.none() | st.floats(0, 1e5)


@st.composite
def attempts(draw: st.DrawFn) -> dict[str, Any]:
    """An attempt as it was collected, of which any part may not be measured."""
    elapsed = draw(st.floats(1, 1e5))
    return {
        "elapsed_s": elapsed, "queue_s": draw(SECONDS), "startup_s": draw(st.none() | st.floats(0, elapsed)),
        "checkpoint_s": draw(st.none() | st.floats(0, elapsed / 4)),
        "rolled_back_s": draw(st.none() | st.floats(0, elapsed)),
    }  # fmt: skip


TASKS = st.fixed_dictionaries(
    {"outcome": st.sampled_from(["finished", "failed", "running"]), "attempts": st.lists(attempts(), max_size=4)}
)


@given(TASKS)
def test_what_is_not_measured_is_never_nothing(task: dict[str, Any]) -> None:
    """A part of which one attempt lacks the number is None, not 0; a ratio lies between 0 and 1."""
    split = split_run(task)
    if task["outcome"] == "running" or not task["attempts"]:
        assert split is None
        return
    assert split is not None
    for name in ("queue_s", "rolled_back_s"):
        known = [each[name] for each in task["attempts"]]
        assert (getattr(split, name) is None) == (None in known)
    assert (split.ettr is None) == (None in (split.productive_s, split.queue_s) or split.elapsed_s is None)
    assert split.ettr is None or 0 <= split.ettr <= 1


@given(st.lists(TASKS, max_size=5))
def test_the_study_adds_up_its_runs(tasks: list[dict[str, Any]]) -> None:
    """Over runs of which all was measured, the study's ratio lies between the least and the best of them."""
    splits = [split for task in tasks if (split := split_run(task))]
    whole = [each.ettr for each in splits if each.ettr is not None]
    study = add_up(splits)

    assert (study is None) == (not whole)
    if study is not None and study.ettr is not None:
        assert study.runs == len(whole)
        assert min(whole) - 1e-9 <= study.ettr <= max(whole) + 1e-9


def test_a_run_that_was_rolled_back_says_where_its_time_went() -> None:
    """Two attempts: 100 s with 30 lost after the checkpoint, then 60 s; 10 s of start-up each, 20 s queued each."""
    first = {"elapsed_s": 100.0, "queue_s": 20.0, "startup_s": 10.0, "rolled_back_s": 30.0}
    second = {"elapsed_s": 60.0, "queue_s": 20.0, "startup_s": 10.0, "rolled_back_s": 0.0}
    split = split_run({"outcome": "finished", "attempts": [first, second]})

    assert split is not None
    assert (split.productive_s, split.startup_s, split.rolled_back_s) == (110.0, 20.0, 30.0)
    assert split.ettr == pytest.approx(110 / 200)
    lost = {**first, "rolled_back_s": 100.0}
    anew = split_run({"outcome": "finished", "attempts": [lost, second]})
    assert anew is not None
    assert (anew.productive_s, anew.startup_s) == (50.0, 10.0)  # the start-up of what was lost is lost with it
    assert next(iter(say_split(add_up([split]), 2))).endswith("queue 40 s (20%); 1 of 2 not measured")
    assert list(say_split(None, 3)) == ["where the time went: not measured"]


def runs(*peaks: float, memory: int = 32768, cores: float = 1.0, longest: float = 600.0) -> list[Used]:
    """Finished runs that asked alike."""
    return [
        Used("X", "finished", 1, longest, 86400, peak, memory, cores, 8, gpus=0) for peak in peaks
    ]  # fmt: skip


def test_less_is_advised_with_the_figures_behind_it() -> None:
    """As in: 32G of memory requested, peak 6.1 GB in 36 runs: 8G would do."""
    told = list(advise(runs(*[6200.0] * 35, 6246.0)))

    assert told[0] == "32G of memory requested, peak 6.1 GB in 36 runs: 8G would be enough"
    assert told[1].startswith("time limit 1-00:00:00, longest attempt 10 min in 36 runs: 00:12:00 would be enough")
    assert told[2] == "8 cores requested, at most 1.0 busy on average in 36 runs: 2 would be enough"


@given(st.lists(st.floats(1, 60_000), min_size=1, max_size=6), st.floats(0.01, 64))
def test_no_advice_goes_below_what_any_run_used(peaks: list[float], cores: float) -> None:
    """Too few runs, or one that failed at its limit: nothing lower is named; never less than the highest × 1.2."""
    told = list(advise(runs(*peaks, cores=cores)))
    assert len(peaks) >= 3 or not told
    for line in told:
        would = line.rsplit(": ", 1)[1].split(" ")[0]
        if "of memory" in line:
            mib = int(would[:-1]) * (1024 if would.endswith("G") else 1)
            assert mib >= max(peaks) * 1.2 * 0.999
        if "cores asked" in line:
            assert int(would) >= cores
    assert not any("of memory" in line for line in advise(runs(*peaks, 32768.0)))


def test_a_task_is_what_all_of_its_attempts_used() -> None:
    """The highest peak with what was asked for it, cores by node, GPUs by time; what nobody measured stays open."""
    failed = {"elapsed_s": 50.0, "time_s": 60, "peak_memory_mib": 900.0, "memory_mib": 1024, "cpus": 4, "nodes": 2,
              "cpu_seconds": 100.0, "gpus": 1, "gpu_busy": 0.5, "gpu_energy_j": 10.0}  # fmt: skip
    again = {**failed, "elapsed_s": 150.0, "peak_memory_mib": 700.0, "memory_mib": 2048, "cpu_seconds": 300.0,
             "gpu_busy": 0.9}  # fmt: skip
    used = used_by({"run_name": "X", "outcome": "finished", "attempts": [failed, again]})

    assert (used.longest_s, used.peak_memory_mib, used.memory_mib, used.cores) == (150.0, 900.0, 1024, 1.0)
    assert used.gpu_busy == pytest.approx(0.8)
    assert used.energy_j == 20.0
    bare = used_by({"run_name": "X", "outcome": "failed", "attempts": [{"elapsed_s": None}]})
    assert (bare.cores, bare.gpu_busy, bare.energy_j, bare.memory_share, bare.time_share) == (None,) * 5


def test_co2_is_said_only_by_a_stated_factor() -> None:
    """Energy alone without one."""
    assert say_energy(7.2e6, 4, 0.0, "by Slurm") == "energy: 2.0 kWh in 4 runs (by Slurm)"
    assert say_energy(7.2e6, 4, 0.3, "by Slurm").endswith("(by Slurm), 0.60 kg CO₂ at 0.3 kg/kWh")
