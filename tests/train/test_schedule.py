"""Learning rate and samples are functions of the step."""

import dataclasses
import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from train.loop import validation_loss
from train.schedule import Schedule, rows_at

PLAN = Schedule(
    samples=40, steps=30, micro_batch=8, accumulation=1, processes=1, learning_rate=0.1, warmup_steps=3, seed=5
)


def _rows_of_step(plan: Schedule, step: int) -> list[int]:
    parts = [plan.rows(step, micro, rank) for micro in range(plan.accumulation) for rank in range(plan.processes)]
    return np.concatenate(parts).tolist()


@pytest.mark.parametrize(("micro", "accumulation", "processes"), [(4, 1, 2), (4, 2, 1), (2, 2, 2), (1, 8, 1)])
def test_division_of_the_batch_changes_no_sample(micro: int, accumulation: int, processes: int) -> None:
    """Processes, micro-batches and accumulation divide the same samples of the same step, none twice."""
    divided = dataclasses.replace(PLAN, micro_batch=micro, accumulation=accumulation, processes=processes)

    assert [_rows_of_step(divided, step) for step in (1, 7, 30)] == [_rows_of_step(PLAN, step) for step in (1, 7, 30)]


@given(
    samples=st.integers(1, 97),
    micro=st.integers(1, 7),
    accumulation=st.integers(1, 4),
    processes=st.integers(1, 5),
    seed=st.integers(0, 9),
)
def test_uneven_batches_lose_and_repeat_nothing(
    samples: int, micro: int, accumulation: int, processes: int, seed: int
) -> None:
    """However badly the data divide: steps are those of one process, and each pass takes each sample exactly once."""
    divided = Schedule(samples, 60, micro, accumulation, processes, 0.1, 3, seed)
    whole = dataclasses.replace(divided, micro_batch=divided.global_batch, accumulation=1, processes=1)
    steps = range(1, -(-2 * samples // divided.global_batch) + 1)
    seen = [row for step in steps for row in _rows_of_step(divided, step)]

    assert seen == [row for step in steps for row in _rows_of_step(whole, step)]
    assert sorted(seen[:samples]) == sorted(seen[samples : 2 * samples]) == list(range(samples))


@given(count=st.integers(1, 40), micro=st.integers(1, 50))
def test_validation_takes_each_sample_once(count: int, micro: int) -> None:
    """The last, smaller part counts by its samples: the mean over all, whatever the division, on every process."""
    asked: list[int] = []

    class Numbers:
        def __len__(self) -> int:
            return count

        def loss(self, _: object, rows: slice) -> torch.Tensor:
            asked.extend(range(rows.start, rows.stop))
            return torch.arange(rows.start, rows.stop, dtype=torch.float64).mean()

    learner: Any = SimpleNamespace(policy=torch.nn.Identity())
    samples: Any = Numbers()
    found = validation_loss(learner, samples, micro)

    assert asked == list(range(count))
    assert found == pytest.approx((count - 1) / 2)


def test_each_epoch_sees_each_sample_once_in_a_new_order() -> None:
    """Positions 0…n−1 are one permutation, n…2n−1 another."""
    first, second = (rows_at(5, start, 40, 40).tolist() for start in (0, 40))

    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second


def test_the_seed_orders_the_data() -> None:
    """Another seed, another order; the same seed, the same, whatever NumPy's global generator is at."""
    np.random.seed(0)  # noqa: NPY002 the global generator is what must not matter

    assert rows_at(5, 0, 40, 40).tolist() == rows_at(5, 0, 40, 40).tolist()
    assert rows_at(5, 0, 40, 40).tolist() != rows_at(6, 0, 40, 40).tolist()


def test_learning_rate_warms_up_and_falls_to_nearly_nothing() -> None:
    """It grows in equal parts to its peak at the last step of the warm-up, then only falls."""
    rates = [PLAN.learning_rate_at(step) for step in range(1, 31)]

    np.testing.assert_allclose(rates[:3], [0.1 / 3, 0.2 / 3, 0.1])
    assert all(before > after > 0 for before, after in itertools.pairwise(rates[2:]))
    assert rates[-1] < 0.001


def test_a_least_learning_rate_bounds_both_ends() -> None:
    """The warm-up begins at it, the cosine ends near it, and the peak stays."""
    bounded = dataclasses.replace(PLAN, least_learning_rate=0.04)
    rates = [bounded.learning_rate_at(step) for step in range(1, 31)]

    np.testing.assert_allclose(rates[:3], [0.06, 0.08, 0.1])
    assert all(before > after > 0.04 for before, after in itertools.pairwise(rates[2:]))
    assert rates[-1] < 0.041
