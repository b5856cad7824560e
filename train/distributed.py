"""Start and end of the processes of one run: one or many, on CPU or GPU, plain, DDP or DeepSpeed ZeRO 1-3.

Everything comes from the launcher's environment; nothing is needed to run by hand.
"""

import os
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


def zero_stage_asked(argument: int | None) -> int | None:
    """ZeRO stage by argument, else by the launcher's environment; None for plain training."""
    if argument is not None:
        return argument
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() not in ("true", "1", "yes"):
        return None
    return int(os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2"))


def start(
    *, mixed_precision: str | None, zero_stage: int | None, accumulation: int, micro_batch: int, clip: float
) -> Any:
    """Join the other processes.

    Returns:
        The ``accelerate.Accelerator``.

    Raises:
        InputError: A precision or a ZeRO stage that is not supported.
        LaunchError: Fewer processes, or another kind of training, than the launcher announced.
    """
    import torch
    from accelerate import Accelerator

    precision = mixed_precision or os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision not in ("no", "bf16"):
        # fp16 scales the loss until gradients overflow, on purpose: a divergence could not be told from its search
        raise InputError(f"mixed precision {precision!r} is not supported; valid: bf16, no")
    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("true", "1", "yes") or not torch.cuda.is_available()
    if not on_cpu:
        _make_deterministic()
    stage = zero_stage_asked(zero_stage)
    if stage == 0:
        # It gives no gradient norm, and in bf16 its optimiser counts a step before the first one.
        raise InputError("ZeRO stage 0 divides nothing and is not supported; leave out --zero_stage: DDP does the same")
    options: dict[str, Any] = {"cpu": on_cpu} if stage is None else _deepspeed(stage, on_cpu, micro_batch, clip)
    accelerator = Accelerator(mixed_precision=precision, gradient_accumulation_steps=accumulation, **options)
    _check(accelerator, stage)
    return accelerator


def _make_deterministic() -> None:
    """Resuming bit by bit needs kernels that add in a fixed order."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)


def _deepspeed(stage: int, on_cpu: bool, micro_batch: int, clip: float) -> dict[str, Any]:
    """Options that make Accelerate use DeepSpeed; it would ignore the plugin silently with ``cpu=True``."""
    from accelerate.utils import DeepSpeedPlugin, InitProcessGroupKwargs

    single = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    if "RANK" not in os.environ:  # without a launcher: a group of one
        os.environ.update(single | {"MASTER_PORT": str(_free_port())})
    if on_cpu:
        os.environ["DS_ACCELERATOR"] = "cpu"
        os.environ.pop("ACCELERATE_USE_CPU", None)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.distributed")  # its calls are a bit old
    plugin = DeepSpeedPlugin(zero_stage=stage, zero3_init_flag=False)
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
    """Launchers have started one process where two were asked for, and trained twice, without a word."""
    asked = int(os.environ.get("WORLD_SIZE", "1"))
    kind = accelerator.distributed_type.value
    valid = {"DEEPSPEED"} if stage is not None else {"NO"} if asked == 1 else {"MULTI_CPU", "MULTI_GPU"}
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
