"""Closed loop: the policy controls the true system from starts it has never seen."""

from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from train.demonstrations import Trajectories
from train.systems import Array, System


def roll_out(policy: Any, system: System, starts: Array, horizon: int) -> Trajectories:
    """Control every start at once. A trajectory that blows up ends in infinity or NaN and is reported so."""
    device = next(policy.parameters()).device
    states, controls, cache = [starts], [], DynamicCache()
    policy.eval()
    with torch.no_grad(), np.errstate(over="ignore", invalid="ignore"):
        for _ in range(horizon):
            seen = torch.tensor(states[-1][:, None], dtype=torch.float32, device=device)
            controls.append(policy(seen, cache)[:, -1].double().cpu().numpy())
            states.append(system.step(states[-1], controls[-1]))
    return Trajectories(np.stack(states, 1), np.stack(controls, 1))


def judge(driven: Trajectories, optimal: Trajectories, system: System) -> dict[str, float]:
    """Final metrics of a roll-out, beside what optimal control reaches from the same starts.

    Returns:
        ``final_error`` (mean distance from the origin at the end), ``control_cost`` (mean of ``∫ xᵀQx + uᵀRu dt``),
        ``optimal_final_error``, ``optimal_control_cost``, and ``excess_cost`` (how far the cost lies above the optimum,
        as a fraction).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        cost, best = float(driven.cost(system).mean()), float(optimal.cost(system).mean())
        return {
            "final_error": float(driven.final_error().mean()),
            "control_cost": cost,
            "optimal_final_error": float(optimal.final_error().mean()),
            "optimal_control_cost": best,
            "excess_cost": cost / best - 1,
        }
