"""Dynamics and costs."""

import numpy as np
import pytest

from train.systems import SYSTEMS


def test_double_integrator_is_exact() -> None:
    """Constant acceleration gives x + v·dt + u·dt²/2 and v + u·dt."""
    system = SYSTEMS["double_integrator"]

    after = system.step(np.array([[1.0, 2.0]]), np.array([[3.0]]))

    np.testing.assert_allclose(after, [[1 + 2 * 0.1 + 3 * 0.005, 2 + 3 * 0.1]], rtol=1e-14)


def test_van_der_pol_settles_on_its_limit_cycle() -> None:
    """Uncontrolled, it leaves the origin and swings with the known amplitude of 2.009."""
    system, states, largest = SYSTEMS["van_der_pol"], np.array([[0.01, 0.0]]), 0.0
    for step in range(600):
        states = system.step(states, np.zeros((1, 1)))
        largest = max(largest, abs(states[0, 0])) if step > 300 else 0.0

    assert largest == pytest.approx(2.0086, abs=0.01)


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_linearisation_predicts_small_moves(name: str) -> None:
    """A and B give the next state of a slightly different start and control up to second order."""
    system = SYSTEMS[name]
    states, controls = np.array([[0.7, -1.2]]), np.array([[0.4]])
    a, b = system.linearise(states, controls)

    moved = system.step(states + np.array([1e-4, -2e-4]), controls + 3e-4)

    predicted = system.step(states, controls)[0] + a[0] @ [1e-4, -2e-4] + b[0] @ [3e-4]
    np.testing.assert_allclose(moved[0], predicted, atol=1e-7)


def test_starts_depend_on_their_seed_alone() -> None:
    """Equal seeds give equal starts, other seeds others, and NumPy's global generator has no say."""
    system = SYSTEMS["van_der_pol"]
    np.random.seed(1)  # noqa: NPY002 the global generator is what must not matter
    first = system.draw_starts(5, (3, 0))
    np.random.seed(2)  # noqa: NPY002

    assert np.array_equal(first, system.draw_starts(5, (3, 0)))
    assert not np.array_equal(first, system.draw_starts(5, (4, 0)))
