"""The systems to be controlled: discrete dynamics, quadratic cost, and where trajectories start. NumPy, batched.

States have shape (batch, state) and controls (batch, control); one step holds the control constant for `dt` seconds.
The origin with no control is the point to reach.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_DERIVATIVE_STEP = 1e-5  # central differences: error about 1e-10 for these smooth dynamics


@dataclass(frozen=True)
class System:
    """A controlled system and what controlling it costs.

    Attributes:
        name: As given to ``--system``.
        field: Right-hand side of the differential equation: (states, controls) → derivatives of the states.
        state_cost: Diagonal of Q in the cost ``∫ xᵀQx + uᵀRu dt``.
        control_cost: Diagonal of R.
        start_range: Trajectories start uniformly within ± this, one number per state component.
        quantities: Each state component, then each control, as an axis is labelled.
        dt: Seconds per step.
    """

    name: str
    field: Callable[[Array, Array], Array]
    state_cost: tuple[float, ...]
    control_cost: tuple[float, ...]
    start_range: tuple[float, ...]
    quantities: tuple[str, ...]
    dt: float = 0.1

    def step(self, states: Array, controls: Array) -> Array:
        """Advance by one step: classical Runge-Kutta (exact for the double integrator)."""
        k1 = self.field(states, controls)
        k2 = self.field(states + self.dt / 2 * k1, controls)
        k3 = self.field(states + self.dt / 2 * k2, controls)
        k4 = self.field(states + self.dt * k3, controls)
        return states + self.dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    def linearise(self, states: Array, controls: Array) -> tuple[Array, Array]:
        """Derivatives of `step`: A with shape (batch, state, state) and B with shape (batch, state, control)."""
        by_state = [
            self.step(states + shift, controls) - self.step(states - shift, controls)
            for shift in _DERIVATIVE_STEP * np.eye(states.shape[-1])
        ]
        by_control = [
            self.step(states, controls + shift) - self.step(states, controls - shift)
            for shift in _DERIVATIVE_STEP * np.eye(controls.shape[-1])
        ]
        return np.stack(by_state, -1) / (2 * _DERIVATIVE_STEP), np.stack(by_control, -1) / (2 * _DERIVATIVE_STEP)

    def cost(self, states: Array, controls: Array) -> Array:
        """Cost of one step, ``(xᵀQx + uᵀRu)·dt``; any leading shape."""
        rate: Array = (states**2 @ np.array(self.state_cost)) + (controls**2 @ np.array(self.control_cost))
        return rate * self.dt

    def draw_starts(self, count: int, seed: tuple[int, ...]) -> Array:
        """Initial states that depend on nothing but the seed."""
        return np.random.default_rng(seed).uniform(-1, 1, (count, len(self.start_range))) * self.start_range


def _double_integrator(states: Array, controls: Array) -> Array:
    return np.stack([states[..., 1], controls[..., 0]], -1)


def _van_der_pol(states: Array, controls: Array) -> Array:
    """``x'' = (1 − x²) x' − x + u``: unstable at the origin, a limit cycle around it."""
    position, velocity = states[..., 0], states[..., 1]
    return np.stack([velocity, (1 - position**2) * velocity - position + controls[..., 0]], -1)


def _pendulum(states: Array, controls: Array) -> Array:
    """``θ'' = 9.81 sin θ + u``: a pendulum of one metre, upright at the origin, moved by a torque."""
    angle, velocity = states[..., 0], states[..., 1]
    return np.stack([velocity, 9.81 * np.sin(angle) + controls[..., 0]], -1)


SYSTEMS = {
    system.name: system
    for system in (
        System("double_integrator", _double_integrator, (1.0, 1.0), (0.1,), (2.0, 2.0), ("x", "x'", "control u")),
        System("van_der_pol", _van_der_pol, (1.0, 1.0), (0.1,), (2.0, 2.0), ("x", "x'", "control u")),
        System(
            "pendulum",
            _pendulum,
            (1.0, 1.0),
            (0.01,),
            (1.0, 1.0),
            ("angle θ [rad]", "velocity θ' [rad/s]", "control u"),
        ),
    )
}
