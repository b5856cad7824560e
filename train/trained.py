"""The part of a model that is trained: all that a checkpoint or ``model.pt`` holds of it."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """What is trained, by name, always in the same order."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def load_trained(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Overwrite what is trained.

    Raises:
        ValueError: Names or shapes are not those of this model.
    """
    parameters = trained_parameters(model)
    here = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    there = {name: tuple(value.shape) for name, value in values.items()}
    if here != there:
        differing = sorted(name for name, _ in here.items() ^ there.items())
        raise ValueError(f"it was saved from another model; {len(differing)} parameters differ, such as {differing[0]}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(values[name])


def whole(value: Tensor) -> Tensor:
    """A value as it is undivided; all processes call it together where FSDP has divided it."""
    gathered: Tensor = value.full_tensor() if hasattr(value, "full_tensor") else value
    return gathered
