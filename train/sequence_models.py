"""Mamba and Transformer classifiers of sequences, in the variants that arXiv 2509.17514 compares."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from train.mamba import CONVOLUTION, MambaMixer, convolve
from train.mamba2 import Mamba2Mixer


@dataclass(frozen=True)
class Variant:
    """What a model is made of.

    Attributes:
        mixer: ``mamba`` or ``attention``.
        ones: Whether the convolution only adds up.
        bypass: Whether the convolution's input goes into the state space beside its output.
        convolution: Whether a convolution stands before the attention.
        positions: Whether a position is added to each token, unless the command line says otherwise.
    """

    mixer: str = "mamba"
    ones: bool = False
    bypass: bool = False
    convolution: bool = False
    positions: bool = False


VARIANTS = {
    "mamba_standard": Variant(),
    "mamba_ones_conv": Variant(ones=True),
    "mamba_pos_encoding": Variant(positions=True),
    "mamba_residual": Variant(bypass=True, positions=True),  # the published one has both
    "transformer": Variant("attention", positions=True),
    "transformer_with_conv": Variant("attention", convolution=True, positions=True),
}


_BLOCKS = {1: MambaMixer, 2: Mamba2Mixer}
"""Generation → block."""


class SequenceModel(nn.Module):
    """Tokens (batch, time) → scores of the answers (batch, answers), read off the last token."""

    def __init__(
        self,
        variant: Variant,
        *,
        vocabulary: int,
        answers: int,
        length: int,
        layers: int,
        width: int = 32,
        states: int = 128,
        heads: int = 4,
        positions: bool | None = None,
        mamba: int = 2,
    ) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(vocabulary, width)
        has_positions = variant.positions if positions is None else positions
        self.positions = nn.Embedding(length, width) if has_positions else None
        self.layers = nn.ModuleList(_layer(variant, width, states, heads, mamba) for _ in range(layers))
        self.norm_f = nn.RMSNorm(width, eps=1e-5)
        self.head = nn.Linear(width, answers, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Score every answer."""
        hidden = self.embeddings(tokens)
        if self.positions is not None:
            hidden = hidden + self.positions.weight[: tokens.shape[1]]
        for layer in self.layers:
            hidden = layer(hidden)
        scores: Tensor = self.head(self.norm_f(hidden[:, -1]))
        return scores


def build(variant: Variant, gamma: float, seed: int, **sizes: int | bool | None) -> SequenceModel:
    """Build a model and draw its weights.

    Args:
        variant: What it is made of.
        gamma: Every matrix W ∈ R^(d₁×d₂), d₁ its inputs, is drawn from N(0, d₁^(−2γ)): the larger, the smaller the
            weights. Positions are drawn as the tokens they are added to, which they would drown by their own few
            inputs. Convolutions, step sizes and decays of a state space begin as their authors have it.
        seed: Draws them.
        sizes: As `SequenceModel` takes them.
    """
    torch.manual_seed(seed)
    model = SequenceModel(variant, **sizes)  # type: ignore[arg-type]
    own = {id(layer.mixer.dt_proj.weight) for layer in model.layers if isinstance(layer.mixer, MambaMixer)}
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding) and id(module.weight) not in own:
            inputs = module.in_features if isinstance(module, nn.Linear) else model.embeddings.num_embeddings
            nn.init.normal_(module.weight, std=inputs**-gamma)
    return model


class Layer(nn.Module):
    """A residual layer: normalise, mix along the sequence, add; with attention, a feed-forward part follows."""

    def __init__(self, mixer: nn.Module, width: int, feed_forward: nn.Module | None = None) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width, eps=1e-5)
        self.mixer = mixer
        self.feed_forward = feed_forward

    def forward(self, hidden: Tensor) -> Tensor:
        """Add to what came in; shapes (batch, time, width)."""
        out: Tensor = hidden + self.mixer(self.norm(hidden))
        return out if self.feed_forward is None else out + self.feed_forward(out)


class Attention(nn.Module):
    """Causal self-attention, with a convolution before it where one is asked for."""

    def __init__(self, width: int, heads: int, *, convolution: bool) -> None:
        super().__init__()
        self.heads = heads
        self.conv1d = nn.Conv1d(width, width, CONVOLUTION, groups=width) if convolution else None
        self.in_proj = nn.Linear(width, 3 * width, bias=False)
        self.out_proj = nn.Linear(width, width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Attend to what came before; shapes (batch, time, width)."""
        if self.conv1d is not None:
            hidden = nn.functional.silu(convolve(self.conv1d, hidden))
        parts = self.in_proj(hidden).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (3, batch, head, …)
        query, key, value = parts
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out


def _layer(variant: Variant, width: int, states: int, heads: int, mamba: int) -> Layer:
    if variant.mixer == "mamba":
        return Layer(_BLOCKS[mamba](width, states, ones=variant.ones, bypass=variant.bypass), width)
    feed_forward = nn.Sequential(
        nn.RMSNorm(width, eps=1e-5),
        nn.Linear(width, 4 * width, bias=False),
        nn.GELU(),
        nn.Linear(4 * width, width, bias=False),
    )
    return Layer(Attention(width, heads, convolution=variant.convolution), width, feed_forward)
