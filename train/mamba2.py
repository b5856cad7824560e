"""The Mamba-2 block (Dao & Gu 2024, arXiv 2405.21060) with one head, in plain PyTorch: what arXiv 2509.17514 studies.

Against the first Mamba: the convolution runs over what leads into the state and out of it, too, one scalar decays all
of the state, and a gated normalisation stands before the output. Parameters have the names and shapes of transformers'
``Mamba2Mixer`` with ``num_heads=1, n_groups=1``, so that weights of either fit the other.
"""

import math

import torch
from torch import Tensor, nn

from train.mamba import CONVOLUTION, add_up, convolve, drawn_step_sizes

_DECAYS = (1.0, 16.0)
"""Range that the decay begins in, as the authors draw it."""


class Mamba2Mixer(nn.Module):
    """Mixes along the sequence: (batch, time, width) → (batch, time, width), causal.

    Takes memory by time × time for each sequence, which is less than the states are where sequences are short.

    Args:
        width: Of the model.
        states: Of the state space, a channel.
        expand: Inner width over width.
        ones: Whether the convolution only adds up: all its weights are 1, its bias 0, and neither is trained.
        bypass: Whether the convolution's input goes into the state space beside its output.
    """

    def __init__(
        self, width: int, states: int = 128, expand: int = 2, *, ones: bool = False, bypass: bool = False
    ) -> None:
        super().__init__()
        inner = expand * width
        self.bypass = bypass
        self.parts = [inner, states, states]
        mixed = sum(self.parts)
        self.in_proj = nn.Linear(width, inner + mixed + 1, bias=False)
        self.conv1d = nn.Conv1d(mixed, mixed, CONVOLUTION, groups=mixed)
        self.dt_bias = nn.Parameter(drawn_step_sizes(torch.empty(1)))
        self.A_log = nn.Parameter(torch.empty(1).uniform_(*_DECAYS).log())
        self.D = nn.Parameter(torch.ones(1))
        self.norm = nn.RMSNorm(inner, eps=1e-5)
        self.out_proj = nn.Linear(inner, width, bias=False)
        if ones:
            add_up(self.conv1d)

    def forward(self, hidden: Tensor) -> Tensor:
        """Mix; shapes (batch, time, width)."""
        gate, inputs, step = self.in_proj(hidden).split([self.parts[0], sum(self.parts), 1], dim=-1)
        seen = nn.functional.silu(convolve(self.conv1d, inputs))
        if self.bypass:
            seen = seen + inputs
        values, into, out_of = seen.split(self.parts, dim=-1)
        step = nn.functional.softplus(step[..., 0] + self.dt_bias)
        read = state_space(values, into, out_of, step, -self.A_log.float().exp()) + self.D * values
        mixed: Tensor = self.out_proj(self.norm(read * nn.functional.silu(gate)))
        return mixed


def state_space(values: Tensor, into: Tensor, out_of: Tensor, step: Tensor, rate: Tensor) -> Tensor:
    """Read ``out_of[t] · h[t]``, ``h[t] = exp(rate · step[t]) · h[t−1] + step[t] · into[t] ⊗ values[t]``, h[−1] = 0.

    Computed as attention is (section 3 of the paper): what t reads of s is out_of[t] · into[s], faded by all steps
    between them. Only exponentials of negative numbers are taken, so that a strong decay overflows nowhere.

    Args:
        values: Shape (batch, time, inner).
        into: Shape (batch, time, states).
        out_of: Shape (batch, time, states).
        step: Above 0, shape (batch, time).
        rate: Below 0, shape (1,).

    Returns:
        Shape (batch, time, inner).
    """
    faded = (step * rate).cumsum(dim=1)
    between = faded[:, :, None] - faded[:, None, :]
    later = torch.ones(between.shape[1:], dtype=torch.bool, device=between.device).triu(1)
    weights = out_of @ into.mT * between.masked_fill(later, -math.inf).exp() * step[:, None, :]
    return weights @ values
