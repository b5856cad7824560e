"""Several seeds of `train.symmetry` trained as one stacked model, beside one after another.

Run: ``python -m benchmarks.stacking [--quick] [--json]``. The floor is what separate runs do in a step: forward pass,
backward pass, clipping and AdamW, a seed at a time. Stacked, ``torch.func`` has all seeds share each operation: their
weights are one tensor, and clipping stays a seed's own. Both train from the same start on the same batches, one thread,
no GPU; they take turns step by step, and the ratio is the median over the steps, the cost of all seeds together.

Beside the cost stands how far a seed's losses lie from those it has alone, over all steps: rounding only.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import product

os.environ |= {"OMP_NUM_THREADS": "1"}

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.measuring import answer, options_of
from train.sequence_models import VARIANTS, build
from train.symmetry_data import draw

LEARNING_RATE, CLIP, WARMED = 1e-3, 1.0, 2


def separate(models: list[nn.Module]) -> Callable[[Tensor, Tensor], Tensor]:
    """A step of each model by itself; takes batches (models, batch, time) and answers, returns the losses."""
    trained = [[each for each in model.parameters() if each.requires_grad] for model in models]
    optimizers = [torch.optim.AdamW(each, lr=LEARNING_RATE) for each in trained]

    def step(tokens: Tensor, answers: Tensor) -> Tensor:
        losses = []
        for model, values, optimizer, given, right in zip(models, trained, optimizers, tokens, answers, strict=True):
            loss = nn.functional.cross_entropy(model(given), right)
            loss.backward()
            nn.utils.clip_grad_norm_(values, CLIP)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.detach())
        return torch.stack(losses)

    return step


def stacked(models: list[nn.Module]) -> Callable[[Tensor, Tensor], Tensor]:
    """A step of all models at once."""
    kept = dict(models[0].named_parameters())
    values = {
        name: value.detach().requires_grad_(kept[name].requires_grad)
        for name, value in stack_module_state(models)[0].items()
    }
    trained = [value for value in values.values() if value.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE)

    def one(values: Mapping[str, Tensor], given: Tensor, right: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(models[0], dict(values), (given,)), right)

    def step(tokens: Tensor, answers: Tensor) -> Tensor:
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels take no stack
            losses = torch.vmap(one)(values, tokens, answers)
        losses.sum().backward()
        norms = torch.stack([value.grad.flatten(1).norm(dim=1) for value in trained]).norm(dim=0)
        scale = (CLIP / (norms + 1e-6)).clamp(max=1)
        for value in trained:
            value.grad.mul_(scale.view(-1, *[1] * (value.dim() - 1)))
        optimizer.step()
        optimizer.zero_grad()
        return losses.detach()

    return step


@dataclass(frozen=True)
class Gain:
    """One setting: processor milliseconds a step of all seeds, ratio to the floor, and distance of the losses."""

    name: str
    cpu_ms: float
    ratio: float
    apart: float | None


def measure(model: str, seeds: int, batch: int, states: int, steps: int) -> tuple[Gain, Gain]:
    """Train both ways in turns; the floor's row, and the stack's."""
    data = draw("composite", 4096, 8, 2, 100, 0)
    sizes = {"vocabulary": data.vocabulary, "answers": data.answers, "length": data.training.tokens.shape[1]}

    def fresh() -> list[nn.Module]:
        return [build(VARIANTS[model], 1.0, seed, layers=2, width=32, states=states, **sizes) for seed in range(seeds)]

    ways, times, losses = (separate(fresh()), stacked(fresh())), np.zeros((steps, 2)), np.zeros((steps, 2, seeds))
    chance = np.random.default_rng(0)
    for number in range(steps):
        rows = chance.integers(len(data.training.tokens), size=(seeds, batch))
        given, right = (torch.from_numpy(each[rows]) for each in (data.training.tokens, data.training.answers))
        for way, step in enumerate(ways):
            began = time.process_time()
            losses[number, way] = step(given, right).numpy()
            times[number, way] = time.process_time() - began
    counted = times[min(WARMED, steps - 1) :]
    apart = float((np.abs(losses[:, 1] - losses[:, 0]) / losses[:, 0]).max())
    what = f"{model}, {seeds} seeds, batch {batch}, {states} states"
    alone, together = 1e3 * np.median(counted, axis=0)
    ratio = float(np.median(counted[:, 1] / counted[:, 0]))
    return Gain(f"{what}: one by one (floor)", alone, 1.0, None), Gain(f"{what}: **stacked**", together, ratio, apart)


def table(results: list[Gain], steps: int) -> str:
    """Render as Markdown."""
    head = f"| a step of all seeds, 2 layers of width 32 | CPU ms | × floor | losses apart over {steps} steps |\n"
    apart = ["" if each.apart is None else f"{each.apart:.0e}" for each in results]
    rows = [
        f"| {each.name} | {each.cpu_ms:.1f} | {each.ratio:.2f} | {far} |\n"
        for each, far in zip(results, apart, strict=True)
    ]
    return head + "|---|---:|---:|---:|\n" + "".join(rows)


def main() -> None:
    """Run from the command line."""
    options = options_of(__doc__)
    torch.set_num_threads(1)
    steps = 4 if options.quick else 100
    settings = [*product(("mamba_standard", "transformer"), (3, 8), ((32, 16), (128, 16)))]
    settings += [("mamba_standard", 3, (32, 128)), ("mamba_standard", 8, (32, 128))]
    results = [
        each
        for model, seeds, (batch, states) in (settings[:2] if options.quick else settings)
        for each in measure(model, seeds, batch, states, steps)
    ]
    answer(table(results, steps), {each.name: asdict(each) for each in results}, as_json=options.json)


if __name__ == "__main__":
    main()
