"""A feed-forward policy learns to control the double integrator from optimal demonstrations: PyTorch alone, one file.

python -m train.imitate --width 32 --seed 42

What `make demo` runs, and all that a program of your own needs: arguments, and `Attempt` for metrics and checkpoints.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hpc.callbacks.loop import Attempt
from train.demonstrations import Trajectories, demonstrate
from train.sizes import possible_sizes
from train.systems import SYSTEMS, System

EVALUATIONS = 64
"""Held-out starts of the closed-loop test."""


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    parser = argparse.ArgumentParser(prog="python -m train.imitate", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--width", type=int, default=32, help="width of the policy")
    add("--depth", type=int, default=4, help="its hidden layers")
    add("--demonstrations", type=int, default=1024, help="optimal trajectories to learn from")
    add("--horizon", type=int, default=40, help="steps of 0.1 s in a trajectory")
    add("--epochs", type=int, default=10, help="passes over the demonstrations")
    add("--learning_rate", type=float, default=3e-3, help="its peak; a cosine to zero follows")
    add("--micro_batch_size", type=int, default=1024, help="trajectories in a forward pass")
    add("--gradient_accumulation_steps", type=int, default=1, help="forward passes in an optimiser step")
    add("--seed", type=int, default=42, help="seed of the weights and of the order of the demonstrations")
    return parser


class Layer(nn.Module):
    """A residual layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Add to what came in; shapes (..., width)."""
        out: Tensor = hidden + nn.functional.gelu(self.linear(hidden))
        return out


def main(argv: list[str] | None = None) -> None:
    """Train, then drive the system from starts that training has not seen."""
    program = parser()
    args = program.parse_args(argv)
    torch.manual_seed(args.seed)
    system = SYSTEMS["double_integrator"]
    with possible_sizes(program.error):
        data = demonstrate(system, args.demonstrations, EVALUATIONS, args.horizon, seed=0)
        states, controls = tensor(data.training.states[:, :-1]), tensor(data.training.controls)
        layers = (Layer(args.width) for _ in range(args.depth))
        entry = nn.Linear(states.shape[-1], args.width)
        policy = nn.Sequential(entry, *layers, nn.Linear(args.width, controls.shape[-1]))
    optimizer = torch.optim.AdamW(policy.parameters(), lr=args.learning_rate)
    batch = min(args.micro_batch_size * args.gradient_accumulation_steps, len(states))
    steps = args.epochs * len(states) // batch
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    parts = (policy, optimizer, schedule)
    began = time.monotonic()
    with Attempt() as attempt:
        first = load(attempt.resume_from, parts) + 1 if attempt.resume_from else 1
        for step in range(first, steps + 1):
            chosen = draw(len(states), batch, args.seed, step).split(args.micro_batch_size)
            loss = sum(
                backward(policy, states[part], controls[part], args.gradient_accumulation_steps) for part in chosen
            )
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            attempt.log(step, loss=loss)
            if attempt.should_stop:
                with attempt.checkpoint(step) as folder:
                    save(folder, parts, step)
                attempt.leave(step)
        driven = drive(policy, system, data.evaluation.states[:, 0], args.horizon)
        final_error, control_cost = float(driven.final_error().mean()), float(driven.cost(system).mean())
        attempt.log(steps, final_error=final_error, control_cost=control_cost, training_time=time.monotonic() - began)
    print(f"final_error {final_error:.4g}, control_cost {control_cost:.4g}")  # noqa: T201


def tensor(values: np.ndarray) -> Tensor:
    """Convert to single precision."""
    return torch.tensor(values, dtype=torch.float32)


def draw(count: int, batch: int, seed: int, step: int) -> Tensor:
    """Choose the demonstrations of a step: by seed and step alone, so that a resumed run draws the same."""
    return torch.tensor(np.random.default_rng((seed, step)).choice(count, batch, replace=False))


def backward(policy: nn.Module, states: Tensor, controls: Tensor, parts: int) -> float:
    """Add one micro-batch's gradients; return its part of the step's loss, the mean squared error of the controls."""
    loss = nn.functional.mse_loss(policy(states), controls) / parts
    loss.backward()
    return loss.item()


def drive(policy: nn.Module, system: System, starts: np.ndarray, horizon: int) -> Trajectories:
    """Let the policy control the system from each start."""
    states, controls = [starts], []
    with torch.no_grad():
        for _ in range(horizon):
            controls.append(policy(tensor(states[-1])).double().numpy())
            states.append(system.step(states[-1], controls[-1]))
    return Trajectories(np.stack(states, 1), np.stack(controls, 1))


def save(folder: Path, parts: tuple[Any, ...], step: int) -> None:
    """Save what a resumed run needs."""
    torch.save({"step": step, "parts": [part.state_dict() for part in parts]}, folder / "state.pt")


def load(folder: Path, parts: tuple[Any, ...]) -> int:
    """Restore what `save` saved; return its step."""
    saved = torch.load(folder / "state.pt", weights_only=True)
    for part, state in zip(parts, saved["parts"], strict=True):
        part.load_state_dict(state)
    return int(saved["step"])


if __name__ == "__main__":
    main()
