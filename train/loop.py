"""Gradient descent: from the first optimiser step to the last, or to a checkpoint on request.

Everything is counted in optimiser steps. Learning rate and samples are functions of the step (`train.schedule`), so
there is no scheduler object to prepare: a prepared one steps once per process.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from hpc.adapters.tracking import Tracker
from hpc.callbacks.stop import StopRequest
from hpc.core.errors import HpcError
from train.checkpoint import Progress
from train.distributed import NO_CLIPPING
from train.learner import Learner
from train.schedule import Schedule
from train.trained import whole


class DivergenceError(HpcError):
    """The loss or the gradient is no longer finite; every further step would be wasted."""


class Checkpointed(HpcError):  # noqa: N818 not an error: the run leaves early and wants to be started again
    """The run was asked to stop and has saved everything it needs to go on."""

    exit_code = 85

    def __init__(self, step: int, reason: str) -> None:
        super().__init__(f"checkpointed: {reason}")
        self.step = step


@dataclass(frozen=True)
class LoopConfig:
    """How the loop runs, beside its schedule.

    Attributes:
        clip: Largest gradient norm; 0 for no clipping.
        checkpoint_every: Optimiser steps between checkpoints; 0 for none.
        checkpoint_minutes: Minutes between checkpoints; 0 for none.
        validate_every: Optimiser steps between validations; 0 for one at the end.
        record_micro_batch: Whether the micro-batch is a series of the metrics, because it may change.
    """

    clip: float
    checkpoint_every: int
    checkpoint_minutes: float
    validate_every: int
    record_micro_batch: bool = False


class Samples(Protocol):
    """What is learned from, on the training device."""

    loss_name: str = "loss"

    @property
    def tokens(self) -> int:
        """Tokens in one sample."""

    def loss(self, learner: Learner, rows: Tensor | slice) -> Tensor:
        """Mean loss over the given rows, a scalar that gradients flow through."""

    def measured(self, learner: Learner) -> Mapping[str, float]:  # noqa: ARG002 of data there is nothing to measure
        """What the last step measured besides its loss, by name; all processes call it together."""
        return {}


class DataSet(Samples, Protocol):
    """Samples that can be counted."""

    def __len__(self) -> int: ...


Accumulate = Callable[[Learner, Samples, Schedule, int], tuple[Tensor, Schedule]]
"""Leaves the gradients of a step; gives this process's loss, and the schedule it was divided by."""


def fit(
    learner: Learner,
    training: Samples,
    *,
    schedule: Schedule,
    config: LoopConfig,
    recorder: Tracker,
    stop: StopRequest,
    progress: Progress,
    save: Callable[[Progress], object],
    accumulate: Accumulate,
    validate: Callable[[Schedule], Mapping[str, float]],
) -> tuple[Progress, Schedule]:
    """Train from `progress` to the end of the schedule.

    Args:
        learner: What takes the steps.
        training: What it learns from.
        schedule: Learning rate and samples of each step.
        config: How the loop runs.
        recorder: Takes what each step measured.
        stop: Whether a signal asked to stop.
        progress: How far it has come.
        save: Writes a checkpoint.
        accumulate: Leaves the gradients of a step.
        validate: Measures on what is not learned from, by name; all processes call it together.

    Returns:
        How far it came, and the schedule in use at last.

    Raises:
        DivergenceError: The loss or the gradient norm is not finite, on any process; all of them raise it.
        Checkpointed: A signal asked any process to stop; the checkpoint is on disk.
    """
    learner.policy.train()
    last_saved = time.monotonic()
    for step in range(progress.step + 1, schedule.steps + 1):
        began = time.perf_counter()
        learning_rate = _set_learning_rate(learner, schedule.learning_rate_at(step))
        local_loss, schedule = accumulate(learner, training, schedule, step)
        gradient_norm = _clip(learner, config.clip)
        time_to_save = 0 < config.checkpoint_minutes <= (time.monotonic() - last_saved) / 60
        loss, stop_asked, save_due = _agree(learner, local_loss, bool(stop.name), time_to_save)
        measured = {training.loss_name: loss, "grad_norm": gradient_norm, "lr": learning_rate}
        measured |= training.measured(learner)
        measured |= _division_and_pace(config, schedule, training, time.perf_counter() - began)
        if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
            recorder.log(step, **measured)
            raise _diverged(step, loss, gradient_norm, learning_rate)

        _update(learner)
        finished = step == schedule.steps
        if finished or _is_due(step, config.validate_every):
            measured |= validate(schedule)
        recorder.log(step, **measured)
        progress = _advanced(progress, step, schedule, time.perf_counter() - began)
        done = step - schedule.before
        whole = done % schedule.together == 0
        stopping = stop_asked and whole and not finished
        if stopping or (whole and (save_due or _is_due(step, config.checkpoint_every, schedule.together))):
            save(progress)
            last_saved = time.monotonic()
        if stopping:
            raise Checkpointed(step, stop.name or "another process was asked to stop")
    return progress, schedule


def validation_loss(learner: Learner, validation: DataSet, micro_batch: int) -> float:
    """Loss on samples that are not learned from, a micro-batch at a time; the same on every process."""
    count = len(validation)
    learner.policy.eval()
    with torch.no_grad():
        parts = [slice(first, min(first + micro_batch, count)) for first in range(0, count, micro_batch)]
        total = sum(validation.loss(learner, part).item() * (part.stop - part.start) for part in parts)
    learner.policy.train()
    return total / count


def accumulate(learner: Learner, training: Samples, schedule: Schedule, step: int) -> tuple[Tensor, Schedule]:
    """Add up the gradients of this process's share of one step; under DeepSpeed the last one also clips and updates."""
    total = torch.zeros((), device=learner.device)
    for micro in range(schedule.accumulation):
        rows = torch.from_numpy(schedule.rows(step, micro, learner.accelerator.process_index)).to(learner.device)
        with learner.accelerator.accumulate(learner.policy):
            loss = training.loss(learner, rows)
            learner.accelerator.backward(loss)
        total += loss.detach() / schedule.accumulation
    return total, schedule


def _set_learning_rate(learner: Learner, learning_rate: float) -> float:
    for group in learner.optimizer.param_groups:
        group["lr"] = learning_rate
    return learning_rate


def _update(learner: Learner) -> None:
    """Take the step that the gradients point to, and forget them."""
    learner.optimizer.step()
    learner.optimizer.zero_grad()


def _division_and_pace(config: LoopConfig, schedule: Schedule, training: Samples, seconds: float) -> dict[str, float]:
    """How much was learned from in a second of a step, and in what portions where these may change."""
    pace = {
        "samples_per_second": schedule.global_batch / seconds,
        "tokens_per_second": schedule.global_batch * training.tokens / seconds,
    }
    return {**pace, "micro_batch": schedule.micro_batch} if config.record_micro_batch else pace


def _advanced(progress: Progress, step: int, schedule: Schedule, seconds: float) -> Progress:
    """How far it came with this step, which took so long."""
    samples, training_time_s = progress.samples + schedule.global_batch, progress.training_time_s + seconds
    return Progress(step, samples, training_time_s, progress.moments_since)


def _clip(learner: Learner, clip: float) -> float:
    """Bound the gradient norm and return what it was, over all processes; DeepSpeed has bounded it and only says so."""
    norm = learner.accelerator.clip_grad_norm_(learner.parameters().values(), clip or NO_CLIPPING)
    return float(whole(norm) if isinstance(norm, Tensor) else norm)


def _is_due(step: int, every: int, together: int = 1) -> bool:
    """Whether a multiple of `every` is among the last `together` steps."""
    return every > 0 and step // every > (step - together) // every


def _agree(learner: Learner, loss: Tensor, stop: bool, time_to_save: bool) -> tuple[float, bool, bool]:
    """Mean loss over all processes, whether any was asked to stop, and whether the first one's clock says to save.

    One exchange per step, so that no process stops, saves or diverges alone while the others wait for it for ever. A
    NaN on one process makes the sum NaN on all; a sum of flags above zero is their maximum.
    """
    flags = torch.tensor([float(stop), float(time_to_save and learner.is_main)], device=loss.device)
    shared = torch.cat([loss.float().reshape(1), flags])
    total, stops, saves = learner.accelerator.reduce(shared, reduction="sum").tolist()
    return total / learner.accelerator.num_processes, stops > 0, saves > 0


def _diverged(step: int, loss: float, gradient_norm: float, learning_rate: float) -> DivergenceError:
    told = {"loss": loss, "gradient norm": gradient_norm}
    what = "loss" if not math.isfinite(loss) else "gradient norm"
    other = next(f"{name} {value:.4g}" for name, value in told.items() if name != what)
    return DivergenceError(f"{what} is {told[what]} at step {step} (learning rate {learning_rate:.3g}, {other})")
