"""Which runs a side of a comparison means."""

import pytest

from hpc.core.errors import InputError
from hpc.core.history.compare import select
from hpc.core.history.entries import Entry

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
