"""Everything a run needs to go on as if it had never stopped; whole or absent on disk.

A checkpoint is a folder ``step-00000120`` with ``state.pt`` (trained values, both Adam moments, progress) and one
``rng-<rank>.pt`` per process. Values are gathered in full precision under their parameters' names, whatever ZeRO stage
or number of processes made them, so that any other may go on from them. The schedule and the order of the samples are
functions of the step and need no state; NumPy's and Python's global generators are not used.
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hpc.adapters.files import make_folder
from hpc.core.errors import HpcError
from hpc.core.layout import complete_checkpoints
from train.durable import sync_folder, write_tensors
from train.learner import Learner
from train.trained import whole

Moments = dict[str, dict[str, Tensor]]
_MOMENTS = ("exp_avg", "exp_avg_sq")
_KEPT = 2


class CheckpointError(HpcError):
    """A checkpoint cannot be loaded, or belongs to another run."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        step: Optimiser steps done.
        samples: Samples seen by all processes together: the position in the data.
        training_time_s: Seconds spent training, over all attempts.
        moments_since: Optimiser step after which Adam's moments began anew.
    """

    step: int = 0
    samples: int = 0
    training_time_s: float = 0.0
    moments_since: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint read back.

    Attributes:
        path: Its folder.
        progress: How far the run was.
        identity: The arguments that make the data and the model what they are.
        parameters: Trained values by name, float32.
        moments: Adam's ``exp_avg`` and ``exp_avg_sq``, each by parameter name.
        began_with: Trained values before the first step of a later stage; empty where no stage asks for them.
    """

    path: Path
    progress: Progress
    identity: dict[str, Any]
    parameters: dict[str, Tensor]
    moments: Moments
    began_with: dict[str, Tensor]


def save_checkpoint(
    home: Path,
    learner: Learner,
    progress: Progress,
    identity: dict[str, Any],
    began_with: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write a checkpoint, all processes together, and remove all but the newest two.

    Raises:
        OSError: It could not be written; older checkpoints are untouched.
    """
    target = home / f"step-{progress.step:08d}"
    partial = home / f"{target.name}.tmp"
    if learner.is_main:
        shutil.rmtree(partial, ignore_errors=True)
        make_folder(partial)
    learner.accelerator.wait_for_everyone()
    parameters, moments = gather_parameters(learner), _gather_moments(learner)
    if learner.is_main:
        state = {"progress": asdict(progress), "identity": identity, "parameters": parameters, "moments": moments}
        state |= {"began_with": dict(began_with)} if began_with else {}
        write_tensors(partial / "state.pt", state)
    write_tensors(partial / f"rng-{learner.accelerator.process_index}.pt", random_state())
    learner.accelerator.wait_for_everyone()
    if learner.is_main:
        _publish(partial, target)
        for old in _complete(home)[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
    learner.accelerator.wait_for_everyone()
    return target


def load_checkpoint(path: Path, identity: dict[str, Any]) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: It is missing, damaged, or from a run with other data or another model.
    """
    try:
        state = torch.load(path / "state.pt", map_location="cpu", weights_only=True)
        found = Checkpoint(
            path,
            Progress(**state["progress"]),
            state["identity"],
            state["parameters"],
            state["moments"],
            state.get("began_with", {}),
        )
    except Exception as error:  # torch raises whatever its readers stumble over: EOFError, KeyError, RuntimeError, …
        others = [other.name for other in _complete(path.parent) if other != path]
        advice = f"resume from {others[-1]} instead" if others else "start again without it"
        raise CheckpointError(
            f"checkpoint {path} cannot be loaded ({type(error).__name__}: {error}); {advice}"
        ) from error
    differing = sorted(key for key, value in identity.items() if found.identity.get(key) != value)
    if differing:
        shown = ", ".join(f"{key} {found.identity.get(key)!r} there, {identity[key]!r} here" for key in differing)
        raise CheckpointError(f"checkpoint {path} belongs to another run: {shown}")
    return found


def gather_parameters(learner: Learner) -> dict[str, Tensor]:
    """Trained values in full precision, by name; all processes call it together."""
    parameters = learner.parameters()
    if learner.zero_optimizer is None:
        return {name: whole(parameter.detach()).float().cpu().clone() for name, parameter in parameters.items()}
    from deepspeed.utils import safe_get_full_fp32_param

    return {name: safe_get_full_fp32_param(parameter).cpu().clone() for name, parameter in parameters.items()}


def _gather_moments(learner: Learner) -> Moments:
    return {key: _gather_moment(learner, key) for key in _MOMENTS}


def _gather_moment(learner: Learner, key: str) -> dict[str, Tensor]:
    parameters = learner.parameters()
    if learner.zero_optimizer is None:
        state = learner.optimizer.state
        return {name: whole(state[parameter][key]).cpu().clone() for name, parameter in parameters.items()}
    from deepspeed.utils import safe_get_full_optimizer_state as gather

    return {name: gather(parameter, key).cpu().clone() for name, parameter in parameters.items()}


def restore_optimizer(learner: Learner, checkpoint: Checkpoint) -> None:
    """Restore the moments that a fresh optimiser had; `build_learner` has put the parameters in already."""
    parameters = learner.parameters()
    progress = checkpoint.progress
    steps = torch.tensor(float(progress.step - progress.moments_since))
    if learner.zero_optimizer is not None:
        _restore_zero(learner.zero_optimizer, parameters, steps, checkpoint)
        return
    for name, parameter in parameters.items():
        moments = {key: _placed_as(parameter, checkpoint.moments[key][name]) for key in _MOMENTS}
        learner.optimizer.state[parameter] = {"step": steps.clone(), **moments}


def _placed_as(parameter: Any, value: Tensor) -> Tensor:
    """Put a value where a parameter is; divided as FSDP has divided it."""
    value = value.to(parameter.device)
    if not hasattr(parameter, "full_tensor"):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value, parameter.device_mesh, parameter.placements)


def _restore_zero(zero: Any, parameters: dict[str, Any], steps: Tensor, checkpoint: Checkpoint) -> None:
    """ZeRO keeps flat partitions: create Adam's state for them, then fill it parameter by parameter."""
    for flat in _flat_partitions(zero):
        zero.optimizer.state[flat] = {"step": steps.clone(), **{key: torch.zeros_like(flat) for key in _MOMENTS}}
    link = getattr(zero, "_lazy_init_hp_params_optimizer_state", None)
    if link:  # stages 0-2 tie parameters to the optimiser's state in their first step; here it exists before
        link()
    for name, parameter in parameters.items():
        # Below full precision the partitions were copied from rounded values: put the exact ones in.
        _set_zero(parameter, checkpoint.parameters[name])
        for key in _MOMENTS:
            _set_zero(parameter, checkpoint.moments[key][name], key)


def _set_zero(parameter: Any, value: Tensor, *key: str) -> None:
    """Put a full value, or one of its moments, into the partitions of all processes."""
    from deepspeed import utils

    value = value.to(parameter.device)
    if not hasattr(parameter, "ds_id"):  # stages 0-2
        (utils.safe_set_full_optimizer_state if key else utils.safe_set_full_fp32_param)(parameter, value, *key)
        return
    # Stage 3 can only set a whole parameter when it divides evenly; its own part can always be set.
    size = parameter.ds_tensor.numel()
    rank = torch.distributed.get_rank()
    part = value.flatten()[rank * size : (rank + 1) * size]
    part = torch.nn.functional.pad(part, (0, size - part.numel()))
    (utils.safe_set_local_optimizer_state if key else utils.safe_set_local_fp32_param)(parameter, part, *key)


def _flat_partitions(zero: Any) -> list[Tensor]:
    """Full-precision partitions that this process updates: stage 3 names them otherwise than the stages below."""
    if hasattr(zero, "fp32_partitioned_groups_flat"):
        return list(zero.fp32_partitioned_groups_flat)
    return [flat for group in zero.optimizer.param_groups for flat in group["params"]]


def load_random_state(learner: Learner, checkpoint: Checkpoint) -> None:
    """Continue this process's random numbers; a process that did not exist then keeps those of its own seed."""
    path = checkpoint.path / f"rng-{learner.accelerator.process_index}.pt"
    if path.exists():
        restore_random_state(torch.load(path, weights_only=True))


def restore_random_state(state: dict[str, Tensor]) -> None:
    """Continue the random numbers of this process from an earlier `random_state`."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def random_state() -> dict[str, Tensor]:
    """State of PyTorch's generators in this process, by device."""
    state = {"cpu": torch.get_rng_state()}
    return state | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {})


def _complete(home: Path) -> list[Path]:
    """Complete checkpoints, oldest first; entries of another name are somebody else's."""
    return [home / name for name in complete_checkpoints(path.name for path in home.glob("step-*"))]


def _publish(partial: Path, target: Path) -> None:
    sync_folder(partial)
    shutil.rmtree(target, ignore_errors=True)  # the same step, saved again after a resume by hand
    partial.rename(target)
    sync_folder(target.parent)
