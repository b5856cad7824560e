"""Optimal trajectories to learn from: LQR for the double integrator, iterative LQR for the others.

Both minimise the infinite-horizon cost of `System.cost`: the finite problem that iterative LQR solves ends with the
cost-to-go of the linearised system, so that the optimal control depends on the state alone and not on the time left.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_discrete_are

from train.systems import Array, System

_TRAINING, _VALIDATION, _EVALUATION = 0, 1, 2  # streams of the random generator: the three sets never share a start
_STEP_SIZES = 0.5 ** np.arange(8)


@dataclass(frozen=True)
class Trajectories:
    """States with shape (count, horizon + 1, state) and the controls between them, (count, horizon, control)."""

    states: Array
    controls: Array

    def cost(self, system: System) -> Array:
        """Cost of each trajectory up to its end, shape (count,)."""
        total: Array = system.cost(self.states[:, :-1], self.controls).sum(1)
        return total

    def final_error(self) -> Array:
        """Distance of each last state from the origin, shape (count,)."""
        distance: Array = np.linalg.norm(self.states[:, -1], axis=-1)
        return distance


@dataclass(frozen=True)
class Demonstrations:
    """What a run learns from and is judged by.

    Attributes:
        training: Optimal trajectories to imitate.
        validation: Optimal trajectories from other starts, for the validation loss.
        evaluation: Optimal trajectories from the held-out starts of the closed-loop test: what can be reached at best.
    """

    training: Trajectories
    validation: Trajectories
    evaluation: Trajectories


def demonstrate(system: System, count: int, evaluations: int, horizon: int, seed: int) -> Demonstrations:
    """Solve every set. The held-out starts are the same for every seed, so that runs can be compared."""
    training = solve(system, system.draw_starts(count, (seed, _TRAINING)), horizon)
    validation = solve(system, system.draw_starts(max(count // 8, 8), (seed, _VALIDATION)), horizon)
    return Demonstrations(
        training, validation, solve(system, system.draw_starts(evaluations, (0, _EVALUATION)), horizon)
    )


def solve(system: System, starts: Array, horizon: int) -> Trajectories:
    """Optimal trajectories from the given starts. Where the system is linear the first guess is the solution."""
    gain, to_go = linear_quadratic_regulator(system)
    guess = _follow(system, starts, horizon, gain)
    return guess if system.name == "double_integrator" else _iterate(system, guess, to_go)


def linear_quadratic_regulator(system: System) -> tuple[Array, Array]:
    """Gain K of the control ``u = −Kx`` and cost-to-go P of ``xᵀPx``, for the system linearised at the origin.

    ``K = (R + BᵀPB)⁻¹ BᵀPA`` with P from the discrete algebraic Riccati equation.
    """
    states, controls = np.zeros((1, len(system.state_cost))), np.zeros((1, len(system.control_cost)))
    (a,), (b,) = system.linearise(states, controls)
    q, r = np.diag(system.state_cost) * system.dt, np.diag(system.control_cost) * system.dt
    to_go = solve_discrete_are(a, b, q, r)
    return np.linalg.solve(r + b.T @ to_go @ b, b.T @ to_go @ a), to_go


def _follow(system: System, starts: Array, horizon: int, gain: Array) -> Trajectories:
    states, controls = [starts], []
    for _ in range(horizon):
        controls.append(-states[-1] @ gain.T)
        states.append(system.step(states[-1], controls[-1]))
    return Trajectories(np.stack(states, 1), np.stack(controls, 1))


def _iterate(system: System, guess: Trajectories, to_go: Array, tolerance: float = 1e-9) -> Trajectories:
    """Iterative LQR (Li and Todorov, 2004), all trajectories at once, until no cost falls by more than `tolerance`."""
    best, cost = guess, _total_cost(system, guess, to_go)
    for _ in range(200):
        corrections, gains = _backward(system, best, to_go)
        previous = cost
        best, cost = _line_search(system, best, cost, corrections=corrections, gains=gains, to_go=to_go)
        if np.max((previous - cost) / previous) < tolerance:
            break
    return best


def _total_cost(system: System, path: Trajectories, to_go: Array) -> Array:
    last = path.states[:, -1]
    rest: Array = np.einsum("bi,ij,bj->b", last, to_go, last)
    return path.cost(system) + rest


def _backward(system: System, path: Trajectories, to_go: Array) -> tuple[Array, Array]:
    """The quadratic model of the cost-to-go, from the last step to the first: corrections k and gains K per step."""
    q, r = np.diag(system.state_cost) * system.dt, np.diag(system.control_cost) * system.dt
    gradient, hessian = 2 * path.states[:, -1] @ to_go, np.broadcast_to(2 * to_go, (len(path.states), *to_go.shape))
    corrections, gains = np.empty_like(path.controls), np.empty((*path.controls.shape, to_go.shape[0]))
    for time in reversed(range(path.controls.shape[1])):
        states, controls = path.states[:, time], path.controls[:, time]
        a, b = system.linearise(states, controls)
        for_states = 2 * states @ q + np.einsum("bji,bj->bi", a, gradient)
        for_controls = 2 * controls @ r + np.einsum("bji,bj->bi", b, gradient)
        curved = b.swapaxes(1, 2) @ hessian
        by_controls, mixed = 2 * r + curved @ b, curved @ a
        corrections[:, time] = -np.linalg.solve(by_controls, for_controls[..., None])[..., 0]
        gains[:, time] = -np.linalg.solve(by_controls, mixed)
        gradient = for_states + np.einsum("bji,bj->bi", mixed, corrections[:, time])
        hessian = 2 * q + a.swapaxes(1, 2) @ hessian @ a + mixed.swapaxes(1, 2) @ gains[:, time]
    return corrections, gains


def _line_search(
    system: System, path: Trajectories, cost: Array, *, corrections: Array, gains: Array, to_go: Array
) -> tuple[Trajectories, Array]:
    """Take for each trajectory the step size that lowers its cost most; none where none lowers it."""
    for size in _STEP_SIZES:
        tried = _roll_correction(system, path, size * corrections, gains)
        tried_cost = _total_cost(system, tried, to_go)
        better = tried_cost < cost  # false for overflow: a diverged trial is no improvement
        cost = np.where(better, tried_cost, cost)
        path = Trajectories(
            np.where(better[:, None, None], tried.states, path.states),
            np.where(better[:, None, None], tried.controls, path.controls),
        )
        if better.all():
            break
    return path, cost


def _roll_correction(system: System, path: Trajectories, corrections: Array, gains: Array) -> Trajectories:
    states, controls = [path.states[:, 0]], []
    for time in range(path.controls.shape[1]):
        away = states[-1] - path.states[:, time]
        controls.append(path.controls[:, time] + corrections[:, time] + np.einsum("bij,bj->bi", gains[:, time], away))
        states.append(system.step(states[-1], controls[-1]))
    return Trajectories(np.stack(states, 1), np.stack(controls, 1))
