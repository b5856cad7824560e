"""A small GPT, and its training from the first step to the last; what `train.lm` does once its arguments are read.

Like that it imports nothing of `hpc` and reads no variable.
"""

import argparse
import math
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from train.text import IGNORED, Data, draw

UNFINISHED = 85
SAMPLE = 200
"""Tokens that the trained model writes at the end."""
KEPT = 2
"""Checkpoints."""
SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "cosine": lambda done, _cooldown: 0.5 * (1 + math.cos(math.pi * done)),
    "trapezoid": lambda done, cooldown: min(1.0, (1 - done) / cooldown),
    "constant": lambda _done, _cooldown: 1.0,
}
"""Share of the peak rate, by how much of what follows the warm-up is done and how much of it cools down."""
_LOSSES = ("val_loss", "train_loss", "floor")
# What may differ between the run that saved and the one that goes on; the text is known by its hash.
_FREE = ("text", "micro_batch_size", "output_dir", "resume", "eval_every", "checkpoint_every", "sanity")


class Block(nn.Module):
    """Attention to what came before, then a layer on each token by itself; shapes (batch, time, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Add both to what came in."""
        query, key, value = self.qkv(self.norm_1(hidden)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        hidden = hidden + self.out(mixed.transpose(1, 2).flatten(2))
        out: Tensor = hidden + self.down(nn.functional.gelu(self.up(self.norm_2(hidden))))
        return out


class GPT(nn.Module):
    """Tokens (batch, time) → scores of the token after each (batch, time, vocabulary)."""

    def __init__(self, vocabulary: int, length: int, depth: int, width: int, heads: int, *, bf16: bool = False) -> None:
        super().__init__()
        self.bf16 = bf16
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm, self.head = nn.RMSNorm(width), nn.Linear(width, vocabulary, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:  # what a block adds begins at nothing, all else small
                nn.init.normal_(weight, std=0.0 if name.endswith(("out.weight", "down.weight")) else 0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Score every token."""
        with torch.autocast(tokens.device.type, torch.bfloat16, enabled=self.bf16):
            hidden = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
            scores: Tensor = self.head(self.norm(self.blocks(hidden)))
        return scores.float()


def width_of(args: argparse.Namespace) -> int:
    """Width of the model that is asked for."""
    return int(args.width or 64 * args.depth)


def build(args: argparse.Namespace, vocabulary: int, device: torch.device) -> tuple[GPT, torch.optim.Optimizer]:
    """Draw the weights by the seed, and make their optimiser; only matrices decay."""
    torch.manual_seed(args.seed)
    width = width_of(args)
    is_bf16 = args.precision == "bf16"
    model = GPT(vocabulary, args.seq_len, args.depth, width, width // args.head_width, bf16=is_bf16).to(device)
    kinds = [[one for one in model.parameters() if (one.dim() == 2) == is_matrix] for is_matrix in (True, False)]
    groups = [{"params": kinds[0], "weight_decay": args.weight_decay}, {"params": kinds[1], "weight_decay": 0.0}]
    return model, torch.optim.AdamW(groups, betas=(0.9, 0.95))


def loss_sum(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Add up the loss over the targets that count, in nats."""
    scores = model(inputs).flatten(0, 1)
    return nn.functional.cross_entropy(scores, targets.flatten(), ignore_index=IGNORED, reduction="sum")


def learn(
    model: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Tensor, micro: int, clip: float
) -> tuple[float, float]:
    """Make one step; return the mean loss over its targets and the gradient's norm before it is clipped."""
    counted, loss = int((targets != IGNORED).sum()), 0.0
    for part, wanted in zip(inputs.split(micro), targets.split(micro), strict=True):
        part_loss = loss_sum(model, part, wanted) / counted
        part_loss.backward()
        loss += part_loss.item()
    norm = float(nn.utils.clip_grad_norm_(model.parameters(), clip or math.inf))
    optimizer.step()
    optimizer.zero_grad()
    return loss, norm


@torch.no_grad()
def validate(model: nn.Module, tokens: Tensor, length: int, batch: int) -> float:
    """Mean loss over the whole sequences of held-out tokens (count,), nats per token."""
    device, counted = next(model.parameters()).device, (len(tokens) - 1) // length * length
    inputs, targets = (
        part.long().view(-1, length).split(batch) for part in (tokens[:counted], tokens[1 : counted + 1])
    )
    sums = (loss_sum(model, part.to(device), wanted.to(device)) for part, wanted in zip(inputs, targets, strict=True))
    return sum(map(float, sums)) / counted


@torch.no_grad()
def write_on(model: nn.Module, start: int, count: int, length: int, seed: int) -> list[int]:
    """Let the model write, one token after the other, each drawn with the chance it gives it.

    It always sees `length` tokens, zeros behind those that count: other shapes would take memory of their own.
    """
    device, chance = next(model.parameters()).device, torch.Generator().manual_seed(seed)
    written = [start]
    for _ in range(count):
        seen = written[-length:]
        padded = torch.tensor([seen + [0] * (length - len(seen))], device=device)
        scores = model(padded)[0, len(seen) - 1]
        written.append(int(torch.multinomial(scores.softmax(-1).cpu(), 1, generator=chance)))
    return written[1:]


def device() -> torch.device:
    """Where is computed."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def train(
    args: argparse.Namespace, data: Data, model: GPT, optimizer: torch.optim.Optimizer, stop: Callable[[], bool]
) -> int:
    """Train to the end of the budget, or to a checkpoint on request; return the exit code.

    Raises:
        FloatingPointError: The loss or the gradient is not finite any more.
    """
    here = device()
    identity = {name: value for name, value in vars(args).items() if name not in _FREE} | {"data_hash": data.sha256}
    done, seconds = load(Path(args.resume), model, optimizer, identity) if args.resume else (0, 0.0)
    packing = {"budget": args.train_tokens, "batch": args.batch_size, "length": args.seq_len, "seed": args.seed}
    steps = math.ceil(args.train_tokens / (args.batch_size * args.seq_len))
    floor = {} if data.floor is None else {"floor": data.floor}

    def report(step: int, **values: float) -> None:
        val_loss = validate(model, data.val, args.seq_len, args.batch_size)
        tokens = min(step * args.batch_size * args.seq_len, args.train_tokens)
        pace = {"tokens_per_second": tokens / seconds} if step else {}
        say(step, val_loss=val_loss, **values, **pace, tokens=tokens, peak_memory_mib=peak_memory_mib(here), **floor)

    if not done:
        report(0)
    for step in range(done + 1, steps + 1):
        rate = learning_rate(args, step, steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        began = time.perf_counter()
        inputs, targets = (part.to(here) for part in draw(data.train, step, **packing))
        loss, norm = learn(model, optimizer, inputs, targets, args.micro_batch_size or args.batch_size, args.clip)
        seconds += time.perf_counter() - began
        if not math.isfinite(loss + norm):
            what = f"gradient norm is {norm}" if math.isfinite(loss) else f"loss is {loss}"
            raise FloatingPointError(f"{what} at step {step}")
        if step == steps or step % (args.eval_every or math.ceil(steps / 10)) == 0:
            report(step, train_loss=loss, lr=rate, grad_norm=norm)
        is_asked = stop()
        if step < steps and (is_asked or (args.checkpoint_every and step % args.checkpoint_every == 0)):
            save(args.output_dir / "checkpoints", model, optimizer, step, seconds, identity)
            if is_asked:
                return UNFINISHED
    written = write_on(model, int(data.val[0]), SAMPLE, args.seq_len, args.seed)
    print(f"sample: {data.show(written)!r}", flush=True)
    _put(args.output_dir / "model.pt", {"arguments": identity, "parameters": model.state_dict()})
    return 0


def learning_rate(args: argparse.Namespace, step: int, steps: int) -> float:
    """Learning rate of a step from 1: a linear warm-up, then the schedule, which is over after the last step."""
    warm = int(args.warmup * steps)
    if step <= warm:
        return float(args.lr * step / warm)
    return float(args.lr * SCHEDULES[args.schedule]((step - warm - 1) / (steps - warm), args.cooldown))


def say(step: int, **values: float) -> None:
    """Print a line of values; losses have four decimals, counts are whole."""
    shown = (
        f"{name}: {value:{'.4f' if name in _LOSSES else 'd' if type(value) is int else '.4g'}}"
        for name, value in values.items()
    )
    print(f"Step {step}", *shown, sep=" | ", flush=True)


def peak_memory_mib(device: torch.device) -> float:
    """Most memory so far: of the GPU, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def save(
    home: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int, seconds: float, identity: dict[str, Any]
) -> None:
    """Write ``step-00000120.pt``, whole or not at all, and remove all but the newest."""
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    _put(home / f"step-{step:08d}.pt", {**state, "step": step, "seconds": seconds, "identity": identity})
    for old in sorted(home.glob("step-*.pt"))[:-KEPT]:
        old.unlink()


def _put(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.tmp")
    torch.save(content, partial)
    partial.replace(path)


def load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, identity: dict[str, Any]) -> tuple[int, float]:
    """Take up a checkpoint; return its step and the seconds it had trained."""
    try:
        saved = torch.load(path, weights_only=True)
        known = saved["identity"]
    except Exception as error:  # torch raises whatever its reader stumbles over
        sys.exit(f"train.lm: {path} is no checkpoint that can be read: {type(error).__name__}: {error}")
    differing = [name for name, value in identity.items() if known.get(name) != value]
    if differing:
        told = ", ".join(f"{name} {known.get(name)!r} there, {identity[name]!r} here" for name in differing)
        sys.exit(f"train.lm: checkpoint {path} is of another run: {told}")
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return saved["step"], saved["seconds"]
