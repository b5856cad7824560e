"""The model with everything that trains it, the same to the loop whether plain, DDP or inside DeepSpeed."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from train.layers import compile_layers, layers_of, recompute_layers
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

    def parameters(self) -> dict[str, Any]:
        """What is trained, by name; FSDP's parts, which a forward pass without a backward one may leave gathered."""
        for part in self._divided:
            part.reshard()
        return trained_parameters(self.module) if self._divided else self._undivided

    @cached_property
    def _divided(self) -> tuple[Any, ...]:
        """The parts that FSDP divided, which exchange their parameters for others as they are gathered."""
        return tuple(part for part in self.module.modules() if hasattr(part, "reshard"))

    @cached_property
    def _undivided(self) -> dict[str, Any]:
        """What is trained where nothing is divided: found once, a step asks for it, too."""
        return trained_parameters(self.module)

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
    fsdp: str = "",
    gradient_checkpointing: bool = False,
    torch_compile: bool = False,
) -> Learner:
    """Prepare a policy for training; `values` of a checkpoint go in before it is copied and divided.

    Args:
        wrapped: Whether DistributedDataParallel exchanges the gradients; else somebody else does (`train.memory`).
        fsdp: ``full`` or ``gradients``: FSDP divides the model instead; empty for not.
        gradient_checkpointing: Whether layers are computed again in the backward pass.
        torch_compile: Whether layers are compiled for training.
    """
    if values is not None:
        load_trained(module, values)
    if torch_compile:
        compile_layers(module)
    if gradient_checkpointing:
        recompute_layers(module)
    if fsdp:
        return _sharded(accelerator, module, weight_decay, fsdp)
    optimizer = torch.optim.AdamW(trained_parameters(module).values(), lr=0.0, weight_decay=weight_decay)
    if wrapped:
        return Learner(accelerator, module, *accelerator.prepare(module, optimizer))
    bare = accelerator.prepare_model(module, evaluation_mode=True)  # on its device, in its precision, and no more
    return Learner(accelerator, module, bare, accelerator.prepare_optimizer(optimizer))


def _sharded(accelerator: Any, module: torch.nn.Module, weight_decay: float, fsdp: str) -> Learner:
    """Divide the model among the processes, a layer at a time, then its optimiser with it.

    By PyTorch itself: Accelerate would do it on GPUs alone, and on CPUs train something else without a word.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    policy = accelerator.prepare_model(module, evaluation_mode=True)  # on its device, in its precision, and no more
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    for part in (*layers_of(module), module):
        fully_shard(part, mesh=mesh, reshard_after_forward=fsdp == "full")
    optimizer = torch.optim.AdamW(trained_parameters(module).values(), lr=0.0, weight_decay=weight_decay)
    return Learner(accelerator, module, policy, accelerator.prepare_optimizer(optimizer))
