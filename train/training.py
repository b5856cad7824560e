"""What every workload does alike around its own data and model: take up a checkpoint, learn to the end, sum up.

The workload brings samples (`train.loop.Samples`), a model, what to measure on the way, and what to say at the end.
"""

import argparse
import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from hpc.adapters.files import write_json
from hpc.adapters.tracking import NullTracker, Tracker
from hpc.callbacks.stop import StopRequest
from hpc.core.errors import EXIT_CHECKPOINTED, EXIT_DONE, InputError
from train.checkpoint import (
    Progress,
    gather_parameters,
    load_checkpoint,
    load_random_state,
    restore_optimizer,
    save_checkpoint,
)
from train.learner import Learner, build_learner
from train.loop import Checkpointed, LoopConfig, Samples, accumulate, fit
from train.memory import Adjustment, Shrinking, check_possible
from train.program import Ending, Places
from train.recorder import RunRecorder, record_adjustments
from train.sanity import Expected, climb
from train.schedule import Schedule, plan_schedule

Values = Mapping[str, torch.Tensor]
"""Trained values in full precision, by name."""
Measure = Callable[[Learner, Schedule], Mapping[str, float]]
"""Measures on what is not learned from; all processes call it together."""


@dataclass(frozen=True)
class Stage:
    """One way of learning; the next stage goes on with the model as this one leaves it.

    Attributes:
        training: What is learned from, on the training device.
        schedule: Its steps, counted on from the stages before.
        begin: Takes the trained values as they were before its first step; called by every process, and again when a
            run is resumed within the stage. None where nobody asks: checkpoints are smaller.
    """

    training: Samples
    schedule: Schedule
    begin: Callable[[Values], object] | None = None


@dataclass(frozen=True)
class Workload:
    """What is trained, and on what.

    Attributes:
        args: Those of `add_optimisation` and `add_running`, with the program's own.
        identity: What a checkpoint has to have been made with: data and model.
        model: To be trained; the same values on every process.
        stages: How it learns, one after another.
        validate: Measures on the way, every ``--validate_every`` steps and at the end.
        judge: Measures the trained model, besides.
        save: Writes the trained values, in full precision, by name; only the first process calls it.
        expect: What is known of it before anything is trained, for ``--sanity``.
        data_hash: Digest of the data it learns from and is measured by; None where nobody took one.
    """

    args: argparse.Namespace
    identity: dict[str, Any]
    model: torch.nn.Module
    stages: Sequence[Stage]
    validate: Measure
    judge: Measure
    save: Callable[[dict[str, torch.Tensor]], object]
    expect: Callable[[], Expected]
    data_hash: str | None = None


def schedule_of(args: argparse.Namespace, samples: int, accelerator: Any) -> Schedule:
    """Plan the steps.

    Raises:
        InputError: These processes cannot do what is asked.
    """
    if args.oom_in_process:
        check_possible(accelerator, args.fsdp or "")
    return plan_schedule(args, samples, accelerator.num_processes)


def train(workload: Workload, stop: StopRequest, accelerator: Any) -> Ending:
    """Train to the end, or to a checkpoint on request; every process runs it.

    Raises:
        HpcError: It diverged, its checkpoint cannot be loaded, or a rung of ``--sanity`` broke.
    """
    if workload.args.sanity:
        return _climb(workload, accelerator)
    args, places = workload.args, Places.of(workload.args)
    identity = {**workload.identity, "global_batch": workload.stages[0].schedule.global_batch}
    learner, progress, began_with = _take_up(workload, identity, accelerator)
    recorder = _recorder(args, learner)
    adjustments: list[Adjustment] = []

    def adjusted(adjustment: Adjustment) -> None:
        adjustments.append(adjustment)
        if learner.is_main:
            record_adjustments(places.attempt / "adjustments.json", adjustments)

    def save(progress: Progress) -> None:
        save_checkpoint(places.attempt / "checkpoints", learner, progress, identity, began_with)

    try:
        with recorder:
            for stage in workload.stages:
                schedule = stage.schedule
                if progress.step >= schedule.steps and stage is not workload.stages[-1]:
                    continue
                progress, began_with = _begin(stage, learner, progress, began_with)
                progress, schedule = fit(
                    learner,
                    stage.training,
                    schedule=schedule,
                    config=_loop(args),
                    recorder=recorder,
                    stop=stop,
                    progress=progress,
                    save=save,
                    accumulate=Shrinking(learner, args.min_micro_batch_size, adjusted)
                    if args.oom_in_process
                    else accumulate,
                    validate=lambda schedule: {**workload.validate(learner, schedule), **_memory(learner.device)},
                )
            trained = gather_parameters(learner)
            if learner.is_main:
                workload.save(trained)
            division = {"micro_batch": schedule.micro_batch, "oom_adjustments": len(adjustments)}
            recorder.summary(
                **_judge(workload, learner, schedule),
                **_pace(progress, stage.training.tokens),
                **(division if args.oom_in_process else {}),
            )
    except Checkpointed as left:
        return Ending(EXIT_CHECKPOINTED, left.step, str(left), workload.data_hash)
    return Ending(EXIT_DONE, progress.step, "finished", workload.data_hash)


def _recorder(args: argparse.Namespace, learner: Learner) -> Tracker:
    """What takes the measurements: of the main process, since all processes measure the same."""
    if not learner.is_main:
        return NullTracker()
    return RunRecorder(Places.of(args).attempt, vars(args), args.record_every, args.print_every)


def _judge(workload: Workload, learner: Learner, schedule: Schedule) -> dict[str, float]:
    """What is measured of the trained model, by all processes together, and the memory it took."""
    judged = {**workload.validate(learner, schedule), **workload.judge(learner, schedule)}
    return {**judged, **_memory(learner.device)}


def _climb(workload: Workload, accelerator: Any) -> Ending:
    """Climb the ladder of checks instead of training."""
    if accelerator.num_processes > 1:
        raise InputError(f"takes one process, not {accelerator.num_processes}", "--sanity")
    if workload.args.resume:
        raise InputError("looks at the model before it is trained; leave out --resume", "--sanity")
    torch.manual_seed(workload.args.seed)
    learner = build_learner(accelerator, workload.model, 0.0, None, wrapped=False)
    climb(learner, workload.expect(), Places.of(workload.args).attempt / "sanity.json")
    return Ending(EXIT_DONE, 0, "all rungs of the ladder hold", workload.data_hash)


def _loop(args: argparse.Namespace) -> LoopConfig:
    return LoopConfig(
        args.clip, args.checkpoint_every, args.checkpoint_minutes, args.validate_every, args.oom_in_process
    )


def _begin(stage: Stage, learner: Learner, progress: Progress, began_with: Values) -> tuple[Progress, Values]:
    """Let a stage know the trained values it begins with; return them, and where the run stands."""
    if progress.step == stage.schedule.before > 0:
        learner.optimizer.state.clear()  # moments of another loss would make its first steps too long
        progress = replace(progress, moments_since=progress.step)
    if stage.begin is None:
        return progress, {}
    if progress.step == stage.schedule.before:
        began_with = gather_parameters(learner)
    stage.begin(began_with)
    return progress, began_with


def _take_up(workload: Workload, identity: dict[str, Any], accelerator: Any) -> tuple[Learner, Progress, Values]:
    """Prepare the model for training, with what a checkpoint holds where there is one.

    Returns:
        The learner, how far it had come, and the trained values its stage began with.
    """
    args, places = workload.args, Places.of(workload.args)
    torch.manual_seed(args.seed + accelerator.process_index)  # dropout: every process its own, from here on
    checkpoint = load_checkpoint(places.resume, identity) if places.resume else None
    values = checkpoint.parameters if checkpoint else None
    learner = build_learner(
        accelerator,
        workload.model,
        args.weight_decay,
        values,
        wrapped=not args.oom_in_process,
        fsdp=args.fsdp or "",
        gradient_checkpointing=bool(args.gradient_checkpointing),
        torch_compile=bool(args.torch_compile),
    )
    if learner.is_main and learner.zero_optimizer is not None:
        # Accelerate's infinity, by which DeepSpeed prints nothing, is no JSON.
        used = {name: value for name, value in accelerator.deepspeed_config.items() if name != "steps_per_print"}
        write_json(places.attempt / "deepspeed.json", used)
    if checkpoint is None:
        return learner, Progress(), {}
    restore_optimizer(learner, checkpoint)
    load_random_state(learner, checkpoint)
    return learner, checkpoint.progress, checkpoint.began_with


def _pace(progress: Progress, tokens: int) -> dict[str, float]:
    """How long it trained, and how fast."""
    return {
        "training_time": progress.training_time_s,
        "samples_per_second": progress.samples / progress.training_time_s,
        "tokens_per_second": progress.samples * tokens / progress.training_time_s,
    }


def _memory(device: torch.device) -> dict[str, float]:
    """Most memory that this process has held so far, in MiB: the host's, and its GPU's where it has one."""
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    gpu = {"peak_gpu_memory_mib": torch.cuda.max_memory_allocated(device) / 2**20} if device.type == "cuda" else {}
    return {"peak_memory_mib": host, **gpu}
