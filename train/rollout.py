"""Closed loop: the policy controls the true system from starts it has never seen."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from train.demonstrations import Trajectories
from train.systems import Array, System

SUCCESS = 0.1
"""A trajectory that ends nearer to the origin has reached it."""
SHOWN = 3
"""Held-out starts whose trajectories a report draws."""


@dataclass(frozen=True)
class Told:
    """A system, and what a policy that knows several is told beside its state.

    Attributes:
        system: What is controlled.
        label: Added to every state, (0 or more,): one number a system, 1 for this one; empty for a specialist.
    """

    system: System
    label: tuple[float, ...] = ()

    def observe(self, states: Array) -> Array:
        """What the policy reads of states (..., state): (..., state + label)."""
        return np.concatenate([states, np.broadcast_to(self.label, (*states.shape[:-1], len(self.label)))], -1)


def roll_out(policy: Any, told: Told, starts: Array, horizon: int) -> Trajectories:
    """Control every start at once. A trajectory that blows up ends in infinity or NaN and is reported so."""
    still = np.zeros((len(starts), horizon, len(told.system.control_cost)))
    return explore(policy, told, starts, still)[0]


def explore(policy: Any, told: Told, starts: Array, noise: Array) -> tuple[Trajectories, Array]:
    """Control every start, (count, state), with noise added to every control, (count, time, control).

    Returns:
        The trajectories, and what the policy answered before the noise, (count, time, control).
    """
    device = next(policy.parameters()).device
    states, answers, cache = [starts], [], DynamicCache()
    policy.eval()
    with torch.no_grad(), np.errstate(over="ignore", invalid="ignore"):
        for time in range(noise.shape[1]):
            seen = torch.tensor(told.observe(states[-1])[:, None], dtype=torch.float32, device=device)
            answers.append(policy(seen, cache)[:, -1].double().cpu().numpy())
            states.append(told.system.step(states[-1], answers[-1] + noise[:, time]))
    means = np.stack(answers, 1)
    return Trajectories(np.stack(states, 1), means + noise), means


def judge(driven: Trajectories, optimal: Trajectories, system: System) -> dict[str, float]:
    """Final metrics of a roll-out, beside what optimal control and no control reach from the same starts.

    Returns:
        ``final_error`` (mean distance from the origin at the end), ``success_rate`` (share of trajectories that end
        within `SUCCESS` of it), ``control_cost`` (mean of ``∫ xᵀQx + uᵀRu dt``), ``optimal_final_error``,
        ``optimal_control_cost``, ``excess_cost`` (how far the cost lies above the optimum, as a fraction) and
        ``uncontrolled_cost``.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        cost, best = float(driven.cost(system).mean()), float(optimal.cost(system).mean())
        return {
            "final_error": float(driven.final_error().mean()),
            "success_rate": float((driven.final_error() < SUCCESS).mean()),
            "control_cost": cost,
            "optimal_final_error": float(optimal.final_error().mean()),
            "optimal_control_cost": best,
            "excess_cost": cost / best - 1,
            "uncontrolled_cost": float(_left_alone(optimal, system).cost(system).mean()),
        }


def _left_alone(optimal: Trajectories, system: System) -> Trajectories:
    """What the system does from the same starts without any control."""
    states, still = [optimal.states[:, 0]], np.zeros_like(optimal.controls)
    for time in range(still.shape[1]):
        states.append(system.step(states[-1], still[:, time]))
    return Trajectories(np.stack(states, 1), still)


def show(driven: Trajectories, optimal: Trajectories, system: System) -> dict[str, Any]:
    """The content of ``trajectories.json``: what the policy, optimal control and no control do from the same starts.

    Numbers have six digits; one that is not finite is None.
    """
    drawn = {"policy": driven, "optimal control": optimal, "no control": _left_alone(optimal, system)}
    times = np.arange(driven.states.shape[1]) * system.dt
    return {
        "schema": 1,
        "kind": "trajectories",
        "title": f"{system.name} from {len(driven.states)} held-out starts",
        "axis": "time [s]",
        "at": [float(f"{time:.6g}") for time in times],
        "quantities": list(system.quantities),
        "curves": [{"name": name, "lines": _lines(paths)} for name, paths in drawn.items()],
    }


def _lines(paths: Trajectories) -> list[list[list[float | None]]]:
    """Values by start, quantity and time; a control is held behind its time, so that it has one time fewer."""
    return [
        [[float(f"{value:.6g}") if np.isfinite(value) else None for value in series] for series in (*states.T, *held.T)]
        for states, held in zip(paths.states, paths.controls, strict=True)
    ]
