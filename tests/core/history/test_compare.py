"""Which runs a side of a comparison means."""

import pytest

from hpc.core.errors import InputError
from hpc.core.history.compare import compare, select, tried_values
from hpc.core.history.entries import Entry, State
from hpc.core.history.page import best_entries
from hpc.core.immutable import replace

LOG = tuple(Entry(name, "2026-12-01") for name in ("train-1", "sweep/X1", "sweep/X2", "other/X2"))


def test_a_runs_own_name_will_do_where_one_experiment_has_it() -> None:
    """As for every other command; where several have it, they are named."""
    assert select("sweep/X1", LOG).entries == select("X1", LOG).entries == (LOG[1],)
    assert select("X1", LOG).label == "sweep/X1"
    with pytest.raises(InputError, match="a run of several experiments; give one of sweep/X2, other/X2"):
        select("X2", LOG)
    with pytest.raises(InputError, match="neither a run in the log"):
        select("1", LOG)


def test_a_value_is_one_before_a_name() -> None:
    """A run may be called as a value of its parameter is asked for: all runs with the value are meant."""
    both = tuple(Entry(name, "2026-12-01", parameters={"depth": "12"}) for name in ("a/depth=12", "b/other"))
    assert select("depth=12", both).entries == both


@pytest.mark.parametrize(("goal", "best"), [("min", "low"), ("max", "high")])
@pytest.mark.parametrize("metric", ["value", "loss", "accuracy"])
def test_what_an_experiment_declares_goes_before_what_a_name_says(metric: str, goal: str, best: str) -> None:
    """Whatever the metric is called: values, comparisons and the page take the better one by the declared goal."""
    runs = [
        Entry(f"e/{name}", "2026-12-01", program="t.py", parameters={"x": name, "seed": "1"}, state=State.FINISHED,
              results={metric: value}, experiment="e", goals={metric: goal})
        for name, value in (("low", 1.0), ("high", 2.0))
    ]  # fmt: skip
    sides = [select(f"x={name}", runs) for name in ("low", "high")]
    assert compare(sides, runs).words[0].startswith(f"{metric}: x={best} is better")
    assert [tuple(each.best) for each in tried_values("x", runs)] == [(metric,), (metric,)]
    ((_, by, entry),) = best_entries(runs)
    assert (by, entry.name) == (metric, f"e/{best}")
    same = [replace(run, parameters={"x": "one"}) for run in runs]
    assert tried_values("x", same)[0].best == {metric: 1.0 if goal == "min" else 2.0}
