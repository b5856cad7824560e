"""Three ways to answer failures: leave them, submit them again as they are, and ours, by our own code.

`Ours` does not imitate the product: `hpc.core.retry.plan.plan_retries` decides. What it is told of a failure is what
the classifier answered to one of the same class that no rule was written against, errors included.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpc.core.experiment.spec import RetryPolicy
from hpc.core.failures.evidence import FailureClass, Verdict
from hpc.core.retry.plan import plan_retries
from hpc.core.retry.records import AttemptFacts, FailedTask, Limits, Retry, Situation

STEPS = 1000
"""Steps of a task, in which its progress is told."""
MEMORY_MIB, MICRO, GLOBAL = 16_384, 32, 64
"""What the first attempt of each task is given: host memory, micro-batch, global batch."""
TIME_S = 86_400
"""Time limit a task is given first; the site grants a week (`LONGEST_S`)."""
LONGEST_S = 7 * 86_400
"""RSC-1's jobs live seven days at most (arXiv 2410.21680)."""


@dataclass(frozen=True)
class Given:
    """What an attempt may use.

    Attributes:
        memory_mib, micro: Host memory and micro-batch.
        excluded: Nodes it keeps away from.
        time_s: Its limit.
    """

    memory_mib: int = MEMORY_MIB
    micro: int = MICRO
    excluded: tuple[str, ...] = ()
    time_s: int = TIME_S


FIRST = Given()


@dataclass(frozen=True)
class Failure:
    """An attempt that did not give its result.

    Attributes:
        task, attempt: Numbers.
        category: What it died of, in truth.
        given: What it had.
        progress: Share of the task that is done.
        saved: Share that the next attempt can start from.
        node: Where.
        ended: When.
    """

    task: int
    attempt: int
    category: FailureClass
    given: Given
    progress: float
    saved: float
    node: str
    ended: float


class Policy(ABC):
    """Decides what becomes of a failed attempt."""

    name: str

    @abstractmethod
    def is_taken_for_result(self, failure: Failure) -> bool:
        """Whether the failure would pass as a result."""

    @abstractmethod
    def decide(self, failure: Failure) -> Given | None:
        """What the next attempt gets; None where there is none."""


Answers = Mapping[str, Mapping[str, float]]
"""Class of a failure → what is said of such failures, and how often."""


class Answerer:
    """Says of a failure what was said of one of its class; of one task and cause always the same, as its logs are."""

    def __init__(self, answers: Answers | None, chance: np.random.Generator) -> None:
        """Begin with nothing said.

        Args:
            answers: None: always the class itself.
        """
        self._answers, self._chance = answers or {}, chance
        self._tables: dict[str, tuple[list[str], Any]] = {}
        self._said: dict[tuple[int, FailureClass], Verdict] = {}

    def verdict(self, failure: Failure) -> Verdict:
        """What is said of it."""
        key = (failure.task, failure.category)
        if key not in self._said:
            self._said[key] = self._answer(failure.category)
        return self._said[key]

    def _answer(self, category: FailureClass) -> Verdict:
        counts = self._answers.get(category.value)
        if not counts:
            return Verdict(category, "simulated")
        if category.value not in self._tables:
            edges = np.cumsum(list(counts.values()))
            self._tables[category.value] = (list(counts), edges / edges[-1])
        names, edges = self._tables[category.value]
        said, _, cause = names[min(len(names) - 1, int(np.searchsorted(edges, self._chance.random())))].partition(" ")
        return Verdict(FailureClass(said), "simulated", cause=cause)


class NoRetry(Policy):
    """Every failure stays."""

    name = "no retry"

    def __init__(self, states: Answerer) -> None:
        """Remember who tells a failure from a result.

        Args:
            states: Says what Slurm's state and the exit code say.
        """
        self._states = states

    def is_taken_for_result(self, failure: Failure) -> bool:
        """Whether it ended with 0."""
        return self._states.verdict(failure).category is FailureClass.SUCCESS

    def decide(self, failure: Failure) -> Given | None:
        """Nothing."""
        del failure
        return None


class Blind(NoRetry):
    """Everything again as it was, so many times."""

    name = "blind retry"
    times = 3
    """Attempts after the first."""

    def decide(self, failure: Failure) -> Given | None:
        """The same, unless that was often enough."""
        return failure.given if failure.attempt <= self.times else None


class Ours(Policy):
    """The product's own plan, told what the classifier says."""

    name = "this loop"

    def __init__(self, classifier: Answerer) -> None:
        """Begin with no history.

        Args:
            classifier: Says what the classifier says.
        """
        self._classifier = classifier
        self._history: dict[int, tuple[AttemptFacts, ...]] = {}
        self._situation = Situation(RetryPolicy(breaker=None), Limits(max_memory_mib=512 * 1024, max_time_s=LONGEST_S))

    def is_taken_for_result(self, failure: Failure) -> bool:
        """Whether the classifier calls it a success."""
        return self._classifier.verdict(failure).category is FailureClass.SUCCESS

    def decide(self, failure: Failure) -> Given | None:
        """Ask `plan_retries`."""
        given = failure.given
        facts = AttemptFacts(
            number=failure.attempt,
            verdict=self._classifier.verdict(failure),
            memory_mib=given.memory_mib,
            time_s=given.time_s,
            micro_batch=given.micro,
            accumulation=GLOBAL // given.micro,
            last_step=int(STEPS * failure.progress),
            node=failure.node,
            ended=failure.ended,
            cluster="model",
        )
        attempts = (*self._history.get(failure.task, ()), facts)
        self._history[failure.task] = attempts
        saved = int(STEPS * failure.saved)
        name = f"T{failure.task}"
        task = FailedTask(
            name, name, attempts, GLOBAL, checkpoints=(f"step-{saved:08d}",) if saved else (), total_steps=STEPS
        )
        plan = plan_retries([task], replace(self._situation, now=failure.ended, cluster="model"))
        return given_by(plan.retry[0]) if plan.retry else None


def given_by(retry: Retry) -> Given:
    """What a retry may use."""
    return Given(retry.memory_mib, retry.micro_batch or MICRO, retry.exclude_nodes, retry.time_s)
