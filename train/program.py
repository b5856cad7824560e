"""The frame of a training program: the options they share, where a run writes, how its processes start and end.

SIGUSR1 or SIGTERM: a run saves after the current step and ends with exit code 85 ("start me again", with --resume).
PyTorch and what builds on it are imported once the arguments are read, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hpc.callbacks.stop import StopRequest
from hpc.core.errors import EXIT_FAILED, HpcError, InputError
from hpc.core.layout import complete_checkpoints
from train.by_hand import HandRecord, is_by_hand
from train.distributed import ask_launcher, end, leave, start
from train.options import above_zero, count, positive, seed, share, size, some

_NEWEST = Path("newest")
"""`--resume` without a name."""


def truth(text: str) -> bool:
    """Read true or false from the command line."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text} is neither true nor false")
    return text.lower() == "true"


def add_optimisation(
    parser: argparse.ArgumentParser, *, samples: str, epochs: float, micro_batch_size: int, learning_rate: float
) -> None:
    """Add the options of the optimiser; the global batch is micro_batch_size x gradient_accumulation_steps x processes.

    Args:
        parser: The program's.
        samples: What is learned from, in one word: ``trajectories``.
        epochs: Default; likewise the others.
    """
    add = parser.add_argument
    add("--epochs", type=above_zero, default=epochs, help=f"passes over the {samples}")
    add("--max_steps", type=count, default=0, help="optimiser steps, instead of epochs")
    add(
        "--micro_batch_size",
        type=positive,
        default=micro_batch_size,
        help=f"{samples} per process and forward pass",
    )
    add("--gradient_accumulation_steps", type=positive, default=1, help="forward passes per optimiser step")
    add("--learning_rate", type=size, default=learning_rate, help="its peak")
    add("--warmup", type=share, default=0.1, help="fraction of the steps that warm up; a cosine follows")
    add("--least_learning_rate", type=size, default=0.0, help="where the warm-up begins and the cosine ends")
    add("--weight_decay", type=size, default=0.0, help="AdamW's weight decay")
    add("--clip", type=size, default=1.0, help="largest gradient norm; 0: no clipping")
    add("--mixed_precision", choices=["no", "bf16"], help="default: ACCELERATE_MIXED_PRECISION, else no")
    add("--zero_stage", type=int, choices=[1, 2, 3], help="DeepSpeed ZeRO (default: ACCELERATE_USE_DEEPSPEED)")
    add(
        "--offload",
        choices=["optimizer", "parameters"],
        help="what DeepSpeed keeps in the host's memory (stage 3: both)",
    )
    add(
        "--fsdp",
        choices=["full", "gradients"],
        help="divide by FSDP: parameters too, or gathered until the backward pass",
    )
    add(
        "--gradient_checkpointing",
        type=truth,
        metavar="true|false",
        help="keep the input of each layer only, and compute the rest again in the backward pass",
    )
    add("--torch_compile", type=truth, metavar="true|false", help="compile the layers for training")
    add("--seed", type=seed, default=42, help="seed of the trained parts' start and of the order of the data")
    add(
        "--oom_in_process",
        type=truth,
        default=False,
        metavar="true|false",
        help="out of memory in a step: halve the micro-batch on all processes and go on (not with DeepSpeed)",
    )
    add("--min_micro_batch_size", type=positive, default=1, help="what it is halved to at most")


def add_running(parser: argparse.ArgumentParser) -> None:
    """Add the options of where a run writes and how often."""
    add = parser.add_argument
    add("--output_dir", type=Path, help="where to write (default: HPC_ATTEMPT_DIR and HPC_TASK_DIR, else ./out)")
    add(
        "--resume",
        type=Path,
        nargs="?",
        const=_NEWEST,
        metavar="CHECKPOINT",
        help="go on from it, or without a name from the newest in the output folder (default: HPC_RESUME_FROM)",
    )
    add("--checkpoint_every", type=count, default=0, help="optimiser steps between checkpoints; 0: none")
    add("--checkpoint_minutes", type=size, default=10.0, help="minutes between checkpoints; 0: none")
    add("--validate_every", type=count, default=0, help="optimiser steps between validations; 0: at the end")
    add("--record_every", type=positive, default=1, help="optimiser steps between recorded losses and gradient norms")
    add(
        "--scale",
        type=some,
        default=1.0,
        metavar="FRACTION",
        help="of the data to learn from; 0.1 before the real run",
    )
    add("--sanity", action="store_true", help="train nothing: climb the ladder of checks, exit code 1 where one fails")
    add("--print_every", type=positive, default=20, help="optimiser steps between printed lines")


def refuse_sizes(why: str) -> NoReturn:
    """Raise InputError for sizes that this machine cannot hold."""
    raise InputError(why)


def check_heads(width: int, heads: int, multiple: int = 1) -> None:
    """Attention divides the width among its heads.

    Args:
        multiple: What the width of a head is a multiple of: 2 where positions are rotations.

    Raises:
        InputError: It cannot.
    """
    if width % (heads * multiple):
        needed = f"; --d_model has to be a multiple of {heads * multiple}"
        raise InputError(f"{heads} heads do not divide a width of {width}{needed}", "--heads")


@dataclass(frozen=True)
class Places:
    """Where this run writes.

    Attributes:
        attempt: Folder of metrics.h5, checkpoints/ and outcome.json.
        task: Folder of model.pt.
        resume: Checkpoint to go on from; None to begin.
    """

    attempt: Path
    task: Path
    resume: Path | None

    @classmethod
    def of(cls, args: argparse.Namespace) -> Places:
        """Take them from the arguments, else from the launcher, else ``./out``."""
        attempt = args.output_dir or Path(os.environ.get("HPC_ATTEMPT_DIR") or "out")
        task = args.output_dir or Path(os.environ.get("HPC_TASK_DIR") or attempt)
        resume = args.resume or os.environ.get("HPC_RESUME_FROM")
        if resume == _NEWEST:
            resume = _newest(attempt / "checkpoints")
        return cls(attempt, task, Path(resume) if resume else None)


def _newest(checkpoints: Path) -> Path | None:
    """The newest complete checkpoint in a folder; None where there is none: it was ended before its first."""
    complete = complete_checkpoints(path.name for path in checkpoints.glob("*"))
    return checkpoints / complete[-1] if complete else None


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes:
        code: Exit code, 0 or 85.
        step: Last optimiser step.
        reason: Why, in words.
        data_hash: Digest of the data it learned from and was measured by; None where it knows none.
    """

    code: int
    step: int
    reason: str
    data_hash: str | None = None

    @property
    def told(self) -> dict[str, object]:
        """All but the code, as plain values; without a digest that is not known."""
        known = {"data_hash": self.data_hash} if self.data_hash else {}
        return {"step": self.step, "reason": self.reason, **known}


def run_to_end(args: argparse.Namespace, run: Callable[[StopRequest, Any], Ending]) -> NoReturn:
    """Start the processes, run, record how it ended, and leave.

    Args:
        args: Those of `add_optimisation` and `add_running`, with the program's own.
        run: The whole run; takes the request to stop and the ``accelerate.Accelerator``. Every process calls it.
    """
    ask_launcher(args)
    stop = StopRequest()
    stop.listen()  # before PyTorch is imported, which takes seconds
    places = Places.of(args)
    try:
        by_hand = HandRecord.begin(places.attempt, vars(args), resumes=bool(places.resume)) if is_by_hand() else None
    except OSError as error:
        sys.exit(_say(InputError(f"nothing can be written to {places.attempt}: {error}", "--output_dir")))

    from torch.distributed.elastic.multiprocessing.errors import record

    @record  # tells torchrun the true cause, when it asks for it
    def everything() -> tuple[Any, Ending]:
        accelerator = start(
            mixed_precision=args.mixed_precision,
            zero_stage=args.zero_stage,
            offload=args.offload,
            fsdp=args.fsdp,
            torch_compile=args.torch_compile,
            accumulation=args.gradient_accumulation_steps,
            micro_batch=args.micro_batch_size,
            clip=args.clip,
        )
        return accelerator, run(stop, accelerator)

    try:
        done = everything()
        assert done is not None  # noqa: S101 `record` gives None after a SystemExit(0), which nothing in there raises
        accelerator, ending = done
    except BaseException as error:  # whatever it was: say it, and do not let gloo's threads abort over it
        code = _say(error)
        if by_hand:
            by_hand.finish(code, reason=f"{type(error).__name__}: {error}")
        end(code)
    if by_hand:
        by_hand.finish(ending.code, **ending.told)
    leave(accelerator, places.attempt / "outcome.json", ending.code, **ending.told)


def _say(error: BaseException) -> int:
    """Print what went wrong, and give the exit code for it."""
    if isinstance(error, HpcError):
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201 the message is meant for people as it stands
        return error.exit_code
    traceback.print_exception(error)
    return EXIT_FAILED
