"""The demonstrations are optimal, by other means than those that made them."""

import numpy as np
import pytest
from scipy.optimize import minimize

from train.demonstrations import demonstrate, linear_quadratic_regulator, solve
from train.systems import SYSTEMS, Array, System


def test_lqr_reaches_its_own_cost_to_go() -> None:
    """Over a long horizon the cost from x is xᵀPx."""
    system = SYSTEMS["double_integrator"]
    starts = np.array([[2.0, -1.0], [0.5, 0.3]])
    _, to_go = linear_quadratic_regulator(system)

    cost = solve(system, starts, horizon=400).cost(system)

    np.testing.assert_allclose(cost, np.einsum("bi,ij,bj->b", starts, to_go, starts), rtol=1e-8)


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_no_general_optimiser_finds_anything_better(name: str) -> None:
    """Direct shooting with BFGS, from no control at all, ends at the same cost and the same controls."""
    system, horizon = SYSTEMS[name], 20
    demonstrated = solve(system, np.array([[1.5, -0.8]]), horizon)
    _, to_go = linear_quadratic_regulator(system)

    def cost(plan: Array) -> float:
        return _cost_of_plan(system, demonstrated.states[:, 0], plan, to_go)

    found = minimize(cost, np.zeros(horizon), method="BFGS")

    assert cost(demonstrated.controls[0, :, 0]) <= found.fun * (1 + 1e-8)
    np.testing.assert_allclose(demonstrated.controls[0, :, 0], found.x, atol=2e-3)


def _cost_of_plan(system: System, states: Array, plan: Array, to_go: Array) -> float:
    total = 0.0
    for control in plan:
        total += system.cost(states, control[None, None]).item()
        states = system.step(states, control[None, None])
    return total + (states @ to_go @ states.T).item()


def test_trajectories_obey_the_dynamics() -> None:
    """Every state follows from the one before it and its control."""
    system = SYSTEMS["van_der_pol"]
    path = solve(system, system.draw_starts(4, (0, 0)), 15)

    np.testing.assert_allclose(path.states[:, 1:], system.step(path.states[:, :-1], path.controls), atol=1e-12)


def test_held_out_starts_are_fixed_and_never_trained_on() -> None:
    """Seeds change what is learned from, not what is judged; the three sets share no start."""
    system = SYSTEMS["double_integrator"]
    one, two = (demonstrate(system, 16, 4, 5, seed) for seed in (0, 1))

    assert np.array_equal(one.evaluation.states, two.evaluation.states)
    assert not np.array_equal(one.training.states, two.training.states)
    starts = [tuple(start) for part in (one.training, one.validation, one.evaluation) for start in part.states[:, 0]]
    assert len(set(starts)) == len(starts)
