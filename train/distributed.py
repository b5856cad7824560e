"""Start and end of the processes of one run: one or many, on CPU or GPU, plain, DDP, FSDP or DeepSpeed ZeRO 1-3.

Everything comes from the launcher's environment; nothing is needed to run by hand.
"""

import argparse
import os
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

from hpc.adapters.files import write_json
from hpc.core.errors import HpcError, InputError

NO_CLIPPING = (
    1e9  # DeepSpeed's 0 means its default of 1.0 and skips the gradient norm; a bound never reached does neither
)


class LaunchError(HpcError):
    """The processes that started are not those that were asked for."""


def ask_launcher(args: argparse.Namespace) -> None:
    """Fill in what the command line leaves open by the launcher's environment, and take that out of Accelerate's sight.

    What we do ourselves it would do a second time, otherwise, or not at all without a word.
    """
    if args.zero_stage is None and _is_true("ACCELERATE_USE_DEEPSPEED"):
        args.zero_stage = int(os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2"))
    if args.offload is None:
        args.offload = _offload_asked()
    if args.fsdp is None and _is_true("ACCELERATE_USE_FSDP"):
        args.fsdp = "full" if _is_true("FSDP_RESHARD_AFTER_FORWARD", "true") else "gradients"
    if args.gradient_checkpointing is None:
        args.gradient_checkpointing = _is_true("HPC_GRADIENT_CHECKPOINTING")
    if args.torch_compile is None:
        args.torch_compile = os.environ.get("ACCELERATE_DYNAMO_BACKEND", "no").lower() != "no"
    for name in ("ACCELERATE_USE_FSDP", "ACCELERATE_DYNAMO_BACKEND", "ACCELERATE_DEEPSPEED_CONFIG_FILE"):
        os.environ.pop(name, None)


def _is_true(variable: str, default: str = "false") -> bool:
    return os.environ.get(variable, default).lower() in ("true", "1", "yes")


def _offload_asked() -> str | None:
    """What the launcher's environment wants DeepSpeed to keep in the host's memory."""
    if os.environ.get("ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE", "none") == "cpu":
        return "parameters"
    return "optimizer" if os.environ.get("ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE", "none") == "cpu" else None


def start(
    *,
    mixed_precision: str | None,
    zero_stage: int | None,
    accumulation: int,
    micro_batch: int,
    clip: float,
    offload: str | None = None,
    fsdp: str | None = None,
    torch_compile: bool | None = None,
) -> Any:
    """Join the other processes.

    Returns:
        The ``accelerate.Accelerator``.

    Raises:
        InputError: A precision or a ZeRO stage that is not supported, or options that do not go together.
        LaunchError: Fewer processes, or another kind of training, than the launcher announced.
    """
    import torch
    from accelerate import Accelerator

    precision = mixed_precision or os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision not in ("no", "bf16"):
        # fp16 scales the loss until gradients overflow, on purpose: a divergence could not be told from its search
        raise InputError(f"mixed precision {precision!r} is not supported; valid: bf16, no")
    on_cpu = _is_true("ACCELERATE_USE_CPU") or not torch.cuda.is_available()
    if not on_cpu:
        _make_deterministic()
    _refuse(zero_stage, offload or "", fsdp or "")
    if torch_compile:
        _refuse_compiling(zero_stage, on_cpu=on_cpu)
    options: dict[str, Any] = {"cpu": on_cpu}
    if zero_stage is not None:
        options = _deepspeed(zero_stage, offload or "", on_cpu, micro_batch, clip)
    accelerator = Accelerator(mixed_precision=precision, gradient_accumulation_steps=accumulation, **options)
    _check(accelerator, zero_stage)
    return accelerator


def _refuse(stage: int | None, offload: str, fsdp: str) -> None:
    """Say what does not go together; `hpc.core.launch.possible` says the same when an experiment is planned."""
    if stage == 0:
        # It gives no gradient norm, and in bf16 its optimiser counts a step before the first one.
        raise InputError("ZeRO stage 0 divides nothing and is not supported; leave out --zero_stage: DDP does the same")
    if fsdp and stage is not None:
        raise InputError("divides what --zero_stage divides; keep one of the two", "--fsdp")
    if fsdp and int(os.environ.get("WORLD_SIZE", "1")) == 1:
        raise InputError("divides a model among processes, and this is one; start several, or leave it out", "--fsdp")
    if offload and stage is None:
        raise InputError("is DeepSpeed's; add --zero_stage 2, or leave it out", "--offload")
    if offload == "parameters" and stage != 3:
        raise InputError(
            f"ZeRO stage {stage} divides no parameters; --zero_stage 3, or --offload optimizer", "--offload"
        )


def _refuse_compiling(stage: int | None, *, on_cpu: bool) -> None:
    """Compiling needs a compiler; without one the first step would fail, after everything was prepared."""
    if stage == 3:
        raise InputError("not with ZeRO stage 3, whose gathering is no part of a compiled model", "--torch_compile")
    compilers = [os.environ.get("CXX") or "g++", "clang++"] if on_cpu else [os.environ.get("CC") or "gcc", "clang"]
    if not any(map(shutil.which, compilers)):
        raise InputError(f"needs a compiler, and neither {' nor '.join(compilers)} is here", "--torch_compile")


def _make_deterministic() -> None:
    """Resuming bit by bit needs kernels that add in a fixed order."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)


def _deepspeed(stage: int, offload: str, on_cpu: bool, micro_batch: int, clip: float) -> dict[str, Any]:
    """Options that make Accelerate use DeepSpeed; it would ignore the plugin silently with ``cpu=True``."""
    from accelerate.utils import DeepSpeedPlugin, InitProcessGroupKwargs

    single = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    if "RANK" not in os.environ:  # without a launcher: a group of one
        os.environ.update(single | {"MASTER_PORT": str(_free_port())})
    if on_cpu:
        os.environ["DS_ACCELERATOR"] = "cpu"
        os.environ.pop("ACCELERATE_USE_CPU", None)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.distributed")  # its calls are a bit old
    plugin = DeepSpeedPlugin(
        zero_stage=stage,
        zero3_init_flag=False,
        offload_optimizer_device="cpu" if offload else "none",
        offload_param_device="cpu" if offload == "parameters" else "none",
    )
    plugin.deepspeed_config["zero_force_ds_cpu_optimizer"] = False  # the optimiser stays AdamW, and so do its numbers
    plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = micro_batch
    plugin.deepspeed_config["gradient_clipping"] = clip or NO_CLIPPING
    backend = [InitProcessGroupKwargs(backend="gloo")] if on_cpu else []
    return {"cpu": False, "deepspeed_plugin": plugin, "kwargs_handlers": backend}


def _free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _check(accelerator: Any, stage: int | None) -> None:
    """Launchers have started one process where two were asked for, and trained twice, without a message."""
    asked = int(os.environ.get("WORLD_SIZE", "1"))
    kind = accelerator.distributed_type.value
    alone, several = {"NO"}, {"MULTI_CPU", "MULTI_GPU"}
    one = alone | several if "RANK" in os.environ else alone  # a launcher forms a group of one, too
    valid = {"DEEPSPEED"} if stage is not None else one if asked == 1 else several
    if accelerator.num_processes != asked or kind not in valid:
        raise LaunchError(
            f"{asked} processes with {'/'.join(sorted(valid))} were asked for, {accelerator.num_processes} with {kind} "
            "started; start with torchrun (accelerate launch --cpu starts one process only)"
        )


def leave(accelerator: Any, outcome: Path, code: int, **told: object) -> NoReturn:
    """Record the outcome as the last act, then end this process without running the interpreter's exit.

    Gloo's threads abort one in five finished runs ("terminate called without an active exception", exit code 1) when
    the interpreter takes the process apart under them. Everything that matters is on disk by now, so it is skipped. The
    record comes before the other processes leave: a launcher kills the rest as soon as one ends with a code above 0.
    """
    if accelerator.is_main_process:
        write_json(outcome, {"code": code, **told})
    accelerator.wait_for_everyone()
    accelerator.free_memory()
    end(code)


def end(code: int) -> NoReturn:
    """Leave at once: flush, drop the process group, no interpreter exit."""
    import torch.distributed

    if code in (0, 85) and torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
