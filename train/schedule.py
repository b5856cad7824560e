"""What each optimiser step uses: its learning rate and its samples. Pure functions of the step, so a resumed run and
any division of the global batch into processes, micro-batches and accumulation see exactly the same.
"""

import argparse
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Schedule:
    """The plan of a run, counted in optimiser steps.

    Attributes:
        samples: Size of the data set.
        steps: Optimiser step that is the last.
        micro_batch: Samples per process and forward pass.
        accumulation: Forward passes per process and optimiser step.
        processes: Number of processes.
        learning_rate: Its peak.
        warmup_steps: Steps of linear growth to the peak; a half cosine down to the least follows.
        seed: Seed of the order of the samples.
        least_learning_rate: Where the growth begins and the cosine ends.
        before: Optimiser steps of the stages before; 0 where this is the first.
    """

    samples: int
    steps: int
    micro_batch: int
    accumulation: int
    processes: int
    learning_rate: float
    warmup_steps: int
    seed: int
    least_learning_rate: float = 0.0
    before: int = 0

    @property
    def together(self) -> int:
        """Consecutive steps that learn from the same samples; no checkpoint is written between them."""
        return 1

    @property
    def global_batch(self) -> int:
        """Samples per optimiser step, whatever their division."""
        return self.micro_batch * self.accumulation * self.processes

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of the given step, from 1: linear warm-up, then ``½ (1 + cos πt)`` down to the least."""
        step, steps = step - self.before, self.steps - self.before
        span = self.learning_rate - self.least_learning_rate
        if step <= self.warmup_steps:
            return self.least_learning_rate + span * step / self.warmup_steps
        done = (step - self.warmup_steps) / max(steps + 1 - self.warmup_steps, 1)
        return self.least_learning_rate + span * 0.5 * (1 + math.cos(math.pi * done))

    def rows(self, step: int, micro: int, rank: int) -> NDArray[np.int64]:
        """Rows of the data set for one forward pass of one process."""
        return rows_at(self.seed, self._first(step - self.before - 1, micro, rank), self.micro_batch, self.samples)

    def _first(self, batch: int, micro: int, rank: int) -> int:
        """Place in the stream of samples, from 0, where a forward pass of the given global batch begins."""
        return batch * self.global_batch + (micro * self.processes + rank) * self.micro_batch


@dataclass(frozen=True)
class FreshSamples(Schedule):
    """Samples that are made when they are needed: a row is a place in their endless stream.

    Attributes:
        updates: Consecutive optimiser steps that learn from the same ones; later steps never see them again.
    """

    updates: int = 1

    @property
    def together(self) -> int:
        return self.updates

    def rows(self, step: int, micro: int, rank: int) -> NDArray[np.int64]:
        first = self._first((step - self.before - 1) // self.updates, micro, rank)
        return np.arange(first, first + self.micro_batch)

    def rows_beside(self, row: int, rank: int) -> NDArray[np.int64]:
        """All rows of one process in the global batch that holds the given row."""
        firsts = [self._first(row // self.global_batch, micro, rank) for micro in range(self.accumulation)]
        return np.concatenate([np.arange(first, first + self.micro_batch) for first in firsts])


def plan_schedule(args: argparse.Namespace, samples: int, processes: int) -> Schedule:
    """Count the optimiser steps that the command line asks for, over so many samples."""
    global_batch = args.micro_batch_size * args.gradient_accumulation_steps * processes
    steps = args.max_steps or max(1, int(args.epochs * samples / global_batch))
    return Schedule(
        samples=samples,
        steps=steps,
        micro_batch=args.micro_batch_size,
        accumulation=args.gradient_accumulation_steps,
        processes=processes,
        learning_rate=args.learning_rate,
        warmup_steps=int(args.warmup * steps),
        seed=args.seed,
        least_learning_rate=args.least_learning_rate,
    )


def rows_at(seed: int, first: int, count: int, samples: int) -> NDArray[np.int64]:
    """Rows at positions of the endless stream of samples: epoch after epoch, each in an order of its own."""
    epochs, places = np.divmod(np.arange(first, first + count), samples)
    return np.array([_order(seed, int(epoch), samples)[place] for epoch, place in zip(epochs, places, strict=True)])


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, samples: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(samples)
