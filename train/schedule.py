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
        steps: Optimiser steps in all.
        micro_batch: Samples per process and forward pass.
        accumulation: Forward passes per process and optimiser step.
        processes: Number of processes.
        learning_rate: Its peak.
        warmup_steps: Steps of linear growth to the peak; a half cosine down to the least follows.
        seed: Seed of the order of the samples.
        least_learning_rate: Where the growth begins and the cosine ends.
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

    @property
    def global_batch(self) -> int:
        """Samples per optimiser step, whatever their division."""
        return self.micro_batch * self.accumulation * self.processes

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of the given step, from 1: linear warm-up, then ``½ (1 + cos πt)`` down to the least."""
        span = self.learning_rate - self.least_learning_rate
        if step <= self.warmup_steps:
            return self.least_learning_rate + span * step / self.warmup_steps
        done = (step - self.warmup_steps) / max(self.steps + 1 - self.warmup_steps, 1)
        return self.least_learning_rate + span * 0.5 * (1 + math.cos(math.pi * done))

    def rows(self, step: int, micro: int, rank: int) -> NDArray[np.int64]:
        """Rows of the data set for one forward pass of one process."""
        first = (step - 1) * self.global_batch + (micro * self.processes + rank) * self.micro_batch
        return rows_at(self.seed, first, self.micro_batch, self.samples)


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
