"""Going on after an out-of-memory error inside a step: every process halves its micro-batch, and the step is repeated.

The forward and backward passes of a step run without a word between the processes. One that ran out of memory has then
entered no exchange that another waits in. Once its passes are over, well or not, every process comes to the same two
exchanges: whether all passes fitted, and only if so the gradients. Both use memory that was allocated before the first
step. DistributedDataParallel cannot be told to do so (it exchanges buffers in a forward pass and gradients in the
last backward pass), so the policy is not wrapped in it here; DeepSpeed exchanges while it computes and is refused.
"""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hpc.core.errors import InputError
from hpc.core.retry.learned import largest_exact
from train.checkpoint import random_state, restore_random_state
from train.learner import Learner
from train.loop import Samples
from train.schedule import Schedule
from train.trained import trained_parameters

_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED", "bad_alloc")
_LONGEST_LINE = 300


@dataclass(frozen=True)
class Adjustment:
    """One change of the micro-batch.

    Attributes:
        step: Optimiser step that did not fit, and was then taken with the new division.
        process: Rank that ran out of memory, the first of several.
        old_micro_batch, new_micro_batch: Samples per process and forward pass, before and after.
        old_accumulation, new_accumulation: Forward passes per process and optimiser step, before and after.
        error: First line of the error.
        time: Unix time in seconds.
    """

    step: int
    process: int
    old_micro_batch: int
    new_micro_batch: int
    old_accumulation: int
    new_accumulation: int
    error: str
    time: float

    def __str__(self) -> str:
        return (
            f"Step {self.step:05d} | process {self.process} out of memory ({self.error}); recovered: micro_batch "
            f"{self.old_micro_batch} -> {self.new_micro_batch}, accumulation {self.old_accumulation} -> "
            f"{self.new_accumulation}, the step is repeated"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator refused: that of the device, of one of its libraries, or the CPU's."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def divide_further(schedule: Schedule, least: int) -> Schedule | None:
    """Halve the micro-batch and double the accumulation; the samples of every step stay the same.

    An odd micro-batch becomes the largest one up to its half that keeps the global batch exactly.

    Returns:
        The schedule with the smaller micro-batch; None where none is left that has at least `least` samples.
    """
    micro = largest_exact(schedule.micro_batch // 2, schedule.global_batch, schedule.processes, least)
    if micro is None:
        return None
    accumulation = schedule.global_batch // (micro * schedule.processes)
    return replace(schedule, micro_batch=micro, accumulation=accumulation)


def check_possible(accelerator: Any, fsdp: str = "") -> None:
    """Raise InputError where processes exchange something in the middle of a step."""
    is_zero = accelerator.distributed_type.value == "DEEPSPEED"
    if is_zero or fsdp:
        raise InputError(
            f"argument --oom_in_process: not together with {'DeepSpeed' if is_zero else 'FSDP'}, whose processes "
            "exchange gradients (and stage 3 or FSDP parameters) while they compute: one that fails leaves the others "
            "waiting. "
            "Leave it out: collect --retry-failed starts such a task again with half the micro-batch"
        )


class Shrinking:
    """Computes the gradients of a step, with a smaller micro-batch on all processes when it does not fit on one."""

    def __init__(self, learner: Learner, least: int, report: Callable[[Adjustment], None]) -> None:
        """Allocate what the exchanges need, and meet once: a backend takes memory of its own for its first exchange.

        Args:
            learner: Its policy is not wrapped (`build_learner`).
            least: Smallest micro-batch; an error with it is raised as it is.
            report: Called on every process with each change.
        """
        self._learner = learner
        self._least = least
        self._report = report
        self._processes = learner.accelerator.num_processes
        parameters = list(trained_parameters(learner.module).values())
        self._gradients = torch.zeros(sum(each.numel() for each in parameters), device=learner.device)
        parts = self._gradients.split([each.numel() for each in parameters])
        self._views = [(each, part.view_as(each)) for each, part in zip(parameters, parts, strict=True)]
        self._failed = torch.zeros((), device=learner.device)
        self._add_up(self._failed)

    def __call__(self, learner: Learner, training: Samples, schedule: Schedule, step: int) -> tuple[Tensor, Schedule]:
        """Leave the step's gradients, averaged over all processes; return this process's loss and the schedule in use.

        Raises:
            Exception: Whatever the model raises; an out-of-memory error only when the micro-batch may shrink no more.
        """
        began_with = random_state()
        while True:
            smaller = divide_further(schedule, self._least)
            loss, error = self._try(learner, training, schedule, step, may_fail=smaller is not None)
            self._failed.fill_(bool(error))
            self._add_up(self._failed)
            if not self._failed.item():
                self._add_up(self._gradients)
                self._gradients /= self._processes
                return loss, schedule
            assert smaller is not None  # noqa: S101 the same on every process, and without it nobody reports a failure
            self._report(self._adjustment(step, schedule, smaller, error))
            schedule = smaller
            restore_random_state(began_with)  # dropout as if the step had not been tried before

    def _try(
        self, learner: Learner, training: Samples, schedule: Schedule, step: int, *, may_fail: bool
    ) -> tuple[Tensor, str]:
        """Run the passes of one step; return the loss, and the first line of an out-of-memory error."""
        try:
            return self._passes(learner, training, schedule, step), ""
        except Exception as failure:
            if not may_fail or not is_out_of_memory(failure):
                raise
            error = (str(failure).strip() or type(failure).__name__).splitlines()[0][:_LONGEST_LINE]
        # Only here is the error gone, and with it the frames that held on to the activations.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return self._failed, error

    def _passes(self, learner: Learner, training: Samples, schedule: Schedule, step: int) -> Tensor:
        self._gradients.zero_()
        for parameter, view in self._views:
            parameter.grad = view  # backward adds into it
        total = torch.zeros((), device=learner.device)
        for micro in range(schedule.accumulation):
            rows = torch.from_numpy(schedule.rows(step, micro, learner.accelerator.process_index)).to(learner.device)
            loss = training.loss(learner, rows) / schedule.accumulation
            loss.backward()
            total += loss.detach()
        return total

    def _adjustment(self, step: int, old: Schedule, new: Schedule, error: str) -> Adjustment:
        """Tell every process what happened to the first that failed."""
        from accelerate.utils import gather_object

        errors = gather_object([error])
        process = next(rank for rank, text in enumerate(errors) if text)
        return Adjustment(
            step=step,
            process=process,
            old_micro_batch=old.micro_batch,
            new_micro_batch=new.micro_batch,
            old_accumulation=old.accumulation,
            new_accumulation=new.accumulation,
            error=errors[process],
            time=time.time(),
        )

    def _add_up(self, tensor: Tensor) -> None:
        """Sum a tensor over all processes, in place: `Accelerator.reduce` would copy it."""
        if self._processes > 1:
            torch.distributed.all_reduce(tensor)
