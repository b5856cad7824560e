"""The layers of a model: what is computed again, compiled or divided as one piece. Their names stay as they are."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

Forward = Callable[..., Any]


def layers_of(module: nn.Module) -> list[nn.Module]:
    """The members of every outermost list of modules, in order: the blocks of a transformer, or of anything like it."""
    found: list[nn.Module] = []
    for child in module.children():
        found += list(child) if isinstance(child, nn.ModuleList) else layers_of(child)
    return found


def recompute_layers(module: nn.Module) -> None:
    """Keep the input of each layer only, and compute the rest again in the backward pass."""
    for layer in layers_of(module):
        layer.forward = _while_training(layer, _recomputed(layer.forward))


def compile_layers(module: nn.Module) -> None:
    """Compile each layer for training: what is only measured has other shapes, and keeps the code it has."""
    for layer in layers_of(module):
        layer.forward = _while_training(layer, torch.compile(layer.forward))


def _recomputed(forward: Forward) -> Forward:
    def again(*args: Any, **named: Any) -> Any:
        return checkpoint(forward, *args, use_reentrant=False, **named)

    return again


def _while_training(layer: nn.Module, changed: Forward) -> Forward:
    plain = layer.forward

    def forward(*args: Any, **named: Any) -> Any:
        is_training = layer.training and torch.is_grad_enabled()
        return (changed if is_training else plain)(*args, **named)

    return forward
