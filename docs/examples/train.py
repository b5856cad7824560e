"""A multilayer perceptron learns a noisy teacher, in numpy: what the examples run, small enough for any machine.

python train.py --layers 3 --width 32 --gamma 0.5 --learning_rate 0.05 --seed 42

Weights start as N(0, (1/width^gamma)²). Prints ``step 10 | loss: … | val_loss: …``; a loss that is no longer finite
ends it.
"""

import argparse
import sys
from itertools import pairwise

import numpy as np


def main() -> int:
    """Train and print."""
    add = (parser := argparse.ArgumentParser()).add_argument
    add("--layers", type=int, default=3)
    add("--width", type=int, default=32)
    add("--gamma", type=float, default=0.5)
    add("--learning_rate", type=float, default=0.05)
    add("--momentum", type=float, default=0.9)
    add("--normalise", choices=["yes", "no"], default="yes")
    add("--samples", type=int, default=512)
    add("--steps", type=int, default=300)
    add("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    inputs, targets = teacher(np.random.default_rng(7), asked.samples)
    if asked.normalise == "no":
        inputs = 3.0 * inputs + 2.0
    sizes = [inputs.shape[1], *[asked.width] * (asked.layers - 1), 1]
    weights = [rng.normal(0.0, 1.0 / max(a, b) ** asked.gamma, (a, b)) for a, b in pairwise(sizes)]
    speeds = [np.zeros_like(one) for one in weights]
    held = len(inputs) // 4
    for step in range(1, asked.steps + 1):
        rows = rng.integers(held, len(inputs), 64)
        loss, slopes = backward(weights, inputs[rows], targets[rows])
        if not np.isfinite(loss):
            print(f"loss is nan at step {step}", flush=True)
            raise FloatingPointError(f"loss is nan at step {step}")
        for weight, speed, slope in zip(weights, speeds, slopes, strict=True):
            np.subtract(asked.momentum * speed, asked.learning_rate * slope, out=speed)
            np.add(weight, speed, out=weight)
        if step % 10 == 0:
            val_loss = float(np.mean((forward(weights, inputs[:held])[-1] - targets[:held]) ** 2))
            print(f"step {step} | loss: {loss:.6f} | val_loss: {val_loss:.6f}", flush=True)
    return 0


def teacher(rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Eight inputs, one noisy target of mean square 1."""
    inputs = rng.normal(size=(samples, 8))
    targets = np.tanh(inputs @ rng.normal(size=(8, 4))) @ rng.normal(size=(4, 1)) + 0.1 * rng.normal(size=(samples, 1))
    return inputs, (targets - targets.mean()) / targets.std()


def forward(weights: list[np.ndarray], inputs: np.ndarray) -> list[np.ndarray]:
    """Outputs of each layer, the inputs first; ReLU between the layers."""
    states = [inputs]
    with np.errstate(over="ignore", invalid="ignore"):
        for place, weight in enumerate(weights):
            state = states[-1] @ weight
            states.append(np.maximum(state, 0.0) if place < len(weights) - 1 else state)
    return states


def backward(weights: list[np.ndarray], inputs: np.ndarray, targets: np.ndarray) -> tuple[float, list[np.ndarray]]:
    """Mean squared error and its slopes."""
    states = forward(weights, inputs)
    with np.errstate(over="ignore", invalid="ignore"):
        error = states[-1] - targets
        slope, slopes = 2.0 * error / len(inputs), []
        for place in reversed(range(len(weights))):
            slopes.append(states[place].T @ slope)
            slope = (slope @ weights[place].T) * (states[place] > 0)
        return float(np.mean(error**2)), slopes[::-1]


if __name__ == "__main__":
    sys.exit(main())
