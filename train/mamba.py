"""The Mamba block (Gu & Dao 2023, arXiv 2312.00752) in plain PyTorch: a state space behind a short convolution.

Parameters have the names and shapes of transformers' ``MambaMixer``, so that weights of either fit the other.
"""

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

CONVOLUTION = 4
"""Width of the convolution."""
_SHORT = 32
"""Longest sequence that is scanned step by step."""


class MambaMixer(nn.Module):
    """Mixes along the sequence: (batch, time, width) → (batch, time, width), causal.

    Args:
        width: Of the model.
        states: Of the state space, a channel.
        expand: Inner width over width.
        ones: Whether the convolution only adds up: all its weights are 1, its bias 0, and neither is trained.
        bypass: Whether the convolution's input goes into the state space beside its output.
    """

    def __init__(
        self, width: int, states: int = 16, expand: int = 2, *, ones: bool = False, bypass: bool = False
    ) -> None:
        super().__init__()
        inner, rank = expand * width, math.ceil(width / 16)
        self.bypass = bypass
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, CONVOLUTION, groups=inner)
        self.x_proj = nn.Linear(inner, rank + 2 * states, bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, width, bias=False)
        nn.init.uniform_(self.dt_proj.weight, -(rank**-0.5), rank**-0.5)
        with torch.no_grad():
            self.dt_proj.bias.copy_(drawn_step_sizes(self.dt_proj.bias))
        if ones:
            add_up(self.conv1d)

    def forward(self, hidden: Tensor) -> Tensor:
        """Mix; shapes (batch, time, width)."""
        inputs, gate = self.in_proj(hidden).chunk(2, dim=-1)
        seen = nn.functional.silu(convolve(self.conv1d, inputs))
        if self.bypass:
            seen = seen + inputs
        mixed: Tensor = self.out_proj(self._state_space(seen) * nn.functional.silu(gate))
        return mixed

    def _state_space(self, seen: Tensor) -> Tensor:
        """Run every channel's state space, whose step size, input and output depend on what is seen."""
        states = self.A_log.shape[1]
        step, into, out_of = self.x_proj(seen).split([self.dt_proj.in_features, states, states], dim=-1)
        step = nn.functional.softplus(self.dt_proj(step))
        rate = -self.A_log.float().exp()
        if kernel := fused_scan(seen.device):
            given = (each.to(seen.dtype).mT.contiguous() for each in (seen, step))  # the kernel wants time last
            read_into = (each.to(seen.dtype).mT.contiguous() for each in (into, out_of))
            return kernel(*given, rate, *read_into, self.D.float()).mT
        step = step[..., None]  # (batch, time, inner, 1)
        state = scan(torch.exp(step * rate), step * into[:, :, None] * seen[..., None])
        read: Tensor = (state @ out_of[..., None])[..., 0] + self.D * seen
        return read


def fused_scan(device: torch.device) -> Callable[..., Tensor] | None:
    """The authors' kernel (``mamba_ssm``), where that package is installed and the model is on a GPU; else None.

    It takes inputs and step sizes (batch, channels, time), rates (channels, states), what goes into and comes out of
    the state (batch, states, time) and the direct path (channels); it returns (batch, channels, time).
    """
    return _installed_scan() if device.type == "cuda" else None


@cache
def _installed_scan() -> Callable[..., Tensor] | None:
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except ImportError:
        return None
    found: Callable[..., Tensor] = selective_scan_fn
    return found


def drawn_step_sizes(like: Tensor) -> Tensor:
    """Draw step sizes as the authors do, log-uniform from 0.001 to 0.1, and give what softplus makes them of."""
    steps = torch.empty_like(like).uniform_(math.log(1e-3), math.log(1e-1)).exp().clamp(min=1e-4)
    return steps + torch.log(-torch.expm1(-steps))


def convolve(convolution: nn.Conv1d, inputs: Tensor) -> Tensor:
    """Convolve along the sequence, seeing what came before alone; shapes (batch, time, channels).

    A tap at a time: on a CPU a third less time than the library takes for one filter a channel.
    """
    width = convolution.kernel_size[0]
    before = nn.functional.pad(inputs, (0, 0, width - 1, 0))
    assert convolution.bias is not None  # noqa: S101 all of ours have one
    convolved: Tensor = convolution.bias
    for tap in range(width):
        convolved = torch.addcmul(convolved, before[:, tap : tap + inputs.shape[1]], convolution.weight[:, 0, tap])
    return convolved


def add_up(convolution: nn.Conv1d) -> None:
    """Make a convolution add up what it sees, for good: weights 1, bias 0, neither of them trained."""
    for parameter, value in ((convolution.weight, 1.0), (convolution.bias, 0.0)):
        assert parameter is not None  # noqa: S101 the convolution has a bias
        nn.init.constant_(parameter, value)
        parameter.requires_grad_(False)


def scan(decay: Tensor, inputs: Tensor) -> Tensor:
    """Solve ``h[t] = decay[t] · h[t−1] + inputs[t]``, ``h[−1] = 0``, along the second dimension.

    Short sequences step by step, which is faster there; long ones in parallel. Nothing is divided by in either, so that
    the decay may be of any strength: the usual sum of scaled inputs overflows where it is strong.
    """
    return _step_by_step(decay, inputs) if inputs.shape[1] <= _SHORT else _doubling(decay, inputs)


def _step_by_step(decay: Tensor, inputs: Tensor) -> Tensor:
    state, found = torch.zeros_like(inputs[:, 0]), []
    for now, given in zip(decay.unbind(1), inputs.unbind(1), strict=True):
        state = now * state + given
        found.append(state)
    return torch.stack(found, dim=1)


def _doubling(decay: Tensor, inputs: Tensor) -> Tensor:
    """Double how far back each state reaches, log₂(time) times (Hillis & Steele 1986)."""
    reach = 1
    while reach < inputs.shape[1]:
        before = nn.functional.pad(inputs[:, :-reach], _behind(inputs, reach))
        inputs = inputs + decay * before
        decay = decay * nn.functional.pad(decay[:, :-reach], _behind(decay, reach))
        reach *= 2
    return inputs


def _behind(values: Tensor, count: int) -> tuple[int, ...]:
    """How `pad` puts so many zeros before the second dimension."""
    return (*(0, 0) * (values.dim() - 2), count, 0)
