"""One campaign in the model: what each task has in store, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.simulation.cluster import Element, Size
from benchmarks.simulation.policies import FIRST, LONGEST_S, MEMORY_MIB, MICRO, Failure, Given
from benchmarks.simulation.traces import HOUR, Cause, Kind, Trace
from hpc.core.failures.evidence import FailureClass

SHORTEST_S = 10.0


@dataclass(frozen=True)
class Tasks:
    """What lies in store for each task.

    Attributes:
        work_s: Seconds it needs.
        fixed: Number of the cause that strikes every attempt, or every one without the right change, or, where it
            passes, the first one; -1: none.
        where: Between 0 and 1: where in the task that strikes, and how much of a change it needs.
        causes: All causes.
        passing: Chance of an attempt to be struck by something that passes.
        edges: Of the passing causes: numbers, and cumulated chances.
    """

    work_s: np.ndarray
    fixed: np.ndarray
    where: np.ndarray
    causes: tuple[Cause, ...]
    passing: float
    edges: tuple[tuple[int, ...], np.ndarray]

    def __len__(self) -> int:
        """How many tasks."""
        return len(self.work_s)


def drawn(trace: Trace, count: int, chance: np.random.Generator, failing: float | None = None) -> Tasks:
    """Draw tasks like the jobs of a trace.

    Args:
        failing: Share that fails instead of the trace's own.
    """
    causes = trace.causes
    share = trace.failing if failing is None else failing
    weights = np.array([cause.weight for cause in causes])
    weights = share * weights / weights.sum()
    passes = np.array([cause.kind is Kind.PASSES for cause in causes])
    stays = np.flatnonzero(~passes)
    edges = np.cumsum(weights[stays])
    fate = chance.random(count)
    place = np.searchsorted(edges, fate) if len(edges) else np.zeros(count, int)
    fixed = np.where(place < len(stays), np.append(stays, -1)[np.minimum(place, len(stays))], -1)
    work_s = np.clip(chance.lognormal(np.log(trace.median_s), trace.sigma, count), SHORTEST_S, LONGEST_S)
    return Tasks(work_s, fixed, chance.random(count), causes, float(weights[passes].sum()), passing_edges(causes))


def passing_edges(causes: Sequence[Cause]) -> tuple[tuple[int, ...], np.ndarray]:
    """Numbers of the causes that pass, and their chances, cumulated."""
    numbers = tuple(number for number, cause in enumerate(causes) if cause.kind is Kind.PASSES)
    weights = np.array([causes[number].weight for number in numbers], float)
    return numbers, np.cumsum(weights / weights.sum()) if numbers else weights


@dataclass
class Tally:
    """What became of the tasks.

    Attributes:
        finished, wrong: Tasks with their result, and failures that were taken for one.
        healable: Tasks that the right answers would have brought to their result.
        useful_s: Seconds of work that is in results, times the places of a task.
        vain, vain_s: Attempts after the first of tasks that no retry helps, and their seconds times places.
        refused: Failed tasks that were given up although a retry would have helped.
        attempts: All of them.
    """

    finished: int = 0
    wrong: int = 0
    healable: int = 0
    useful_s: float = 0.0
    vain: int = 0
    vain_s: float = 0.0
    refused: int = 0
    attempts: int = 0


@dataclass(frozen=True)
class Habits:
    """How tasks behave.

    Attributes:
        startup_s: Seconds from an attempt's start to its first step.
        checkpoint_s: Seconds of work between two checkpoints, from which every policy's next attempt goes on.
    """

    startup_s: float = 30.0
    checkpoint_s: float = HOUR


@dataclass
class Campaign:
    """The tasks of one experiment while they run.

    Attributes:
        new: Ended since the loop last looked, oldest first: task and attempt, and the failure where there was one.
    """

    tasks: Tasks
    habits: Habits
    size: Size
    chance: np.random.Generator
    tally: Tally = field(default_factory=Tally)
    new: list[tuple[int, Failure | None]] = field(default_factory=list)
    given: dict[int, Given] = field(default_factory=dict)
    saved_s: dict[int, float] = field(default_factory=dict)
    _fates: dict[Element, tuple[Cause | None, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Count what could come to a result."""
        lasting = [number for number, cause in enumerate(self.tasks.causes) if cause.kind is Kind.LASTS]
        self.tally.healable = int(np.count_nonzero(~np.isin(self.tasks.fixed, lasting)))

    def run(self, element: Element) -> float:
        """Let an attempt begin: decide what it comes to, and say after how many seconds."""
        task = element.task
        left = float(self.tasks.work_s[task]) - self.saved_s.get(task, 0.0)
        cause, after = self._strike(task, element.attempt, left)
        self._fates[element] = (cause, after)
        self.tally.attempts += 1
        return self.habits.startup_s + after

    def is_healable(self, task: int) -> bool:
        """Whether an attempt can bring it to its result."""
        number = int(self.tasks.fixed[task])
        return number < 0 or self.tasks.causes[number].kind is not Kind.LASTS

    def _strike(self, task: int, attempt: int, left: float) -> tuple[Cause | None, float]:
        """What ends an attempt with so much work left, and after how much of it; no cause: its result."""
        number, chance = int(self.tasks.fixed[task]), self.chance
        where = float(self.tasks.where[task])
        if number < 0 or self._is_over(task, attempt, number):
            if not self.tasks.passing or chance.random() >= self.tasks.passing:
                return None, left
            numbers, edges = self.tasks.edges
            number = numbers[min(len(numbers) - 1, int(np.searchsorted(edges, chance.random())))]
            where = chance.random()
        cause = self.tasks.causes[number]
        if cause.mean_s:
            return cause, min(left, chance.exponential(cause.mean_s))
        work = float(self.tasks.work_s[task])
        return cause, min(left, max(0.0, where * cause.share * work - (work - left)))

    def _is_over(self, task: int, attempt: int, number: int) -> bool:
        """Whether a cause strikes no more: a cure takes up to 2.25 times the memory, or a quarter of the batch."""
        cause, given = self.tasks.causes[number], self.given.get(task, FIRST)
        need = float(self.tasks.where[task])
        if cause.kind is not Kind.MENDED:
            return cause.kind is Kind.PASSES and attempt > 1
        if cause.category is FailureClass.OOM_GPU:
            return given.micro <= MICRO // (2 if need < 0.5 else 4)
        return given.memory_mib >= MEMORY_MIB * (1 + 1.25 * need)

    def over(self, element: Element, taken_s: float, node: str, is_fault: bool) -> None:
        """An attempt has ended; the cluster tells."""
        task = element.task
        cause, after = self._fates.pop(element)
        if element.attempt > 1 and not self.is_healable(task):
            self.tally.vain += 1
            self.tally.vain_s += taken_s * self.size.nodes_per_task
        if not is_fault and cause is None:
            self.tally.finished += 1
            self.tally.useful_s += float(self.tasks.work_s[task]) * self.size.nodes_per_task
            self.new.append((task, None))
            return
        if is_fault:
            after = min(after, max(0.0, taken_s - self.habits.startup_s - self.size.launch_s))
        done = self.saved_s.get(task, 0.0) + after
        saved = done // self.habits.checkpoint_s * self.habits.checkpoint_s
        if saved:
            self.saved_s[task] = saved
        category = FailureClass.NODE_FAILURE if is_fault or cause is None else cause.category
        work, now = float(self.tasks.work_s[task]), 0.0
        given = self.given.get(task, FIRST)
        failure = Failure(task, element.attempt, category, given, done / work, saved / work, node, now)
        self.new.append((task, failure))
