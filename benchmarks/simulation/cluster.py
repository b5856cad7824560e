"""The cluster of the model: nodes that fail and are repaired, a queue in order of arrival, attempts that run.

Slurm's own scheduling is reduced to that order and to the time from a free node to the start of the next element.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import simpy

from benchmarks.simulation.traces import DAY, HOUR, REPAIR_H


@dataclass(frozen=True)
class Size:
    """How large a cluster is, and what a task of the campaign takes of it.

    Attributes:
        nodes: How many.
        slots: Tasks that fit on a node; 1 where a task takes whole nodes.
        nodes_per_task: Nodes a task takes.
        faults_per_node_day: Faults of a node that end all that runs on it.
        launch_s: Seconds from a free place until the next element has begun.
    """

    nodes: int
    slots: int = 8
    nodes_per_task: int = 1
    faults_per_node_day: float = 0.0
    launch_s: float = 0.0

    @property
    def gpus_per_task(self) -> int:
        """GPUs of a task, eight to a node."""
        return 8 * self.nodes_per_task // self.slots


@dataclass(frozen=True, eq=False, slots=True)
class Element:
    """An array element in the queue: one attempt of one task.

    Attributes:
        task: Number of the task.
        attempt: Number of the attempt, from 1.
        array: Number of the array it belongs to.
        excluded: Nodes it must not run on.
    """

    task: int
    attempt: int
    array: int
    excluded: tuple[str, ...] = ()


class Cluster:
    """Runs elements in order; tells the loop nothing but what is over, as Slurm and the file system would.

    Attributes:
        lost: Places with all that ran on them that faults have taken, so far.
        busy_s: Seconds times places that were taken, so far.
        most: Elements that waited or ran at a time, at most.
    """

    def __init__(
        self,
        env: simpy.Environment,
        size: Size,
        chance: np.random.Generator,
        run: Callable[[Element], float],
        over: Callable[[Element, float, str, bool], None],
    ) -> None:
        """Begin with every node up and nothing queued.

        Args:
            run: Seconds an element that begins now would run.
            over: Told of each end: the element, its seconds, its first node, whether a fault of a node was it.
        """
        self.env, self.size = env, size
        self._chance, self._run, self._over = chance, run, over
        self._queue: deque[Element] = deque()
        self._free = [node for _ in range(size.slots) for node in reversed(range(size.nodes))]
        self._up = [True] * size.nodes
        self._on: list[set[Element]] = [set() for _ in range(size.nodes)]
        self._running: dict[Element, tuple[float, tuple[int, ...]]] = {}
        self._idle: simpy.Event | None = None
        self.lost, self.busy_s, self.most = 0, 0.0, 0
        if size.faults_per_node_day:
            env.process(self._fail())

    @property
    def jobs(self) -> int:
        """Elements that wait or run: what counts against a limit of submitted jobs."""
        return len(self._queue) + len(self._running)

    def submit(self, elements: Iterable[Element]) -> None:
        """Take elements into the queue, and start what fits."""
        self._queue.extend(elements)
        self.most = max(self.most, self.jobs)
        self._start()

    def when_idle(self) -> simpy.Event:
        """An event that comes when nothing waits or runs."""
        self._idle = self.env.event()
        if not self.jobs:
            self._idle.succeed()
        return self._idle

    def _start(self) -> None:
        need = self.size.nodes_per_task
        while self._queue and len(self._free) >= need:
            element = self._queue.popleft()
            nodes = self._take(element)
            self._running[element] = (self.env.now, nodes)
            for node in nodes:
                self._on[node].add(element)
            end = self.env.timeout(self.size.launch_s + self._run(element), value=element)
            end.callbacks.append(self._ended)

    def _take(self, element: Element) -> tuple[int, ...]:
        """Places for an element; the last free one that it may use, where it has a choice."""
        if self.size.nodes_per_task > 1:
            taken = tuple(self._free[-self.size.nodes_per_task :])
            del self._free[-self.size.nodes_per_task :]
            return taken
        if element.excluded:
            for place in range(len(self._free) - 1, -1, -1):
                if name_of(self._free[place]) not in element.excluded:
                    return (self._free.pop(place),)
        return (self._free.pop(),)

    def _ended(self, event: simpy.Event) -> None:
        element = event.value
        if element in self._running:  # else a fault ended it before
            self._leave(element, is_fault=False)
            self._start()
            if self._idle is not None and not self.jobs:
                self._idle.succeed()
                self._idle = None

    def _leave(self, element: Element, *, is_fault: bool) -> None:
        began, nodes = self._running.pop(element)
        for node in nodes:
            self._on[node].discard(element)
            if self._up[node]:
                self._free.append(node)
        taken = self.env.now - began
        self.busy_s += taken * len(nodes)
        self._over(element, taken, name_of(nodes[0]) if len(nodes) == 1 else f"n[{nodes[0]}-]", is_fault)

    def _fail(self) -> "simpy.events.ProcessGenerator":
        """Faults come to all nodes alike and independently; one that is down already is not struck again."""
        between_s = DAY / (self.size.faults_per_node_day * self.size.nodes)
        while True:
            yield self.env.timeout(self._chance.exponential(between_s))
            node = int(self._chance.integers(self.size.nodes))
            if not self._up[node]:
                continue
            self._up[node] = False
            self._free = [place for place in self._free if place != node]
            for element in sorted(self._on[node], key=lambda each: each.task):
                self.lost += 1
                self._leave(element, is_fault=True)
            repaired = self.env.timeout(HOUR * REPAIR_H[int(self._chance.integers(len(REPAIR_H)))], value=node)
            repaired.callbacks.append(self._repaired)
            self._start()

    def _repaired(self, event: simpy.Event) -> None:
        node = event.value
        assert isinstance(node, int)
        self._up[node] = True
        self._free.extend([node] * self.size.slots)
        self._start()


def name_of(node: int) -> str:
    """A node's name."""
    return f"n{node}"
