"""The model with everything that trains it, the same to the loop whether plain, DDP or inside DeepSpeed."""

from dataclasses import dataclass
from typing import Any

import torch

from train.trained import load_trained, trained_parameters


@dataclass(frozen=True)
class Learner:
    """What takes optimiser steps.

    Attributes:
        accelerator: The ``accelerate.Accelerator``: precision, processes, accumulation.
        module: The model itself; its parameters have their names here.
        policy: What to call: the model as Accelerate wrapped it.
        optimizer: AdamW as Accelerate wrapped it.
    """

    accelerator: Any
    module: Any
    policy: Any
    optimizer: Any

    @property
    def device(self) -> torch.device:
        device: torch.device = self.accelerator.device
        return device

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that records and writes."""
        return bool(self.accelerator.is_main_process)

    @property
    def zero_optimizer(self) -> Any:
        """DeepSpeed's optimiser, inside which the values live; None where they are plain parameters."""
        return self.policy.optimizer if self.accelerator.distributed_type.value == "DEEPSPEED" else None


def build_learner(
    accelerator: Any,
    module: torch.nn.Module,
    weight_decay: float,
    values: dict[str, torch.Tensor] | None,
    *,
    wrapped: bool = True,
) -> Learner:
    """Prepare a policy for training; `values` of a checkpoint go in before DeepSpeed copies and divides them.

    Args:
        wrapped: Whether DistributedDataParallel exchanges the gradients; else somebody else does (`train.memory`).
    """
    if values is not None:
        load_trained(module, values)
    optimizer = torch.optim.AdamW(trained_parameters(module).values(), lr=0.0, weight_decay=weight_decay)
    if wrapped:
        return Learner(accelerator, module, *accelerator.prepare(module, optimizer))
    bare = accelerator.prepare_model(module, evaluation_mode=True)  # on its device, in its precision, and no more
    return Learner(accelerator, module, bare, accelerator.prepare_optimizer(optimizer))
