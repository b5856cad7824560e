"""The unattended loop of the model: rounds as `hpc.unattended` plays them, by the same rules of `hpc.core`.

How long until the next look, which relays wait, when it ends, how elements are divided into arrays: all asked of the
product's own code. A round takes the time of its collection.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import simpy

from benchmarks.simulation.campaign import Campaign, Habits, Tally, Tasks
from benchmarks.simulation.cluster import Cluster, Element, Size
from benchmarks.simulation.controller import Controller, Meter
from benchmarks.simulation.costs import Costs
from benchmarks.simulation.policies import Failure, Given, Policy
from hpc.core.experiment.spec import Task
from hpc.core.profile import ClusterProfile
from hpc.core.resources import Resources
from hpc.core.slurm.arrays import Assignment, plan_arrays
from hpc.core.slurm.successors import Course, Relay, decide, next_interval, plan_successors

_TASK = Task("model", "model", {}, 0)


@dataclass(frozen=True)
class Site:
    """Where it runs, and how the loop looks at it.

    Attributes:
        size: The cluster.
        max_jobs: Most jobs and elements of this user at a time.
        max_array_size: Most elements of an array.
        every_s: Seconds between two looks while something happens.
        relay_s: Seconds from when a relay may begin until it has begun.
    """

    size: Size
    max_jobs: int
    max_array_size: int = 1000
    every_s: float = 600.0
    relay_s: float = 5.0


@dataclass(frozen=True)
class Result:
    """What a campaign came to.

    Attributes:
        tasks: How many.
        tally: What became of them.
        makespan_s: Seconds until the loop ended.
        last_end_s: Seconds until the last attempt ended.
        busy_s: Seconds of tasks in places, all attempts.
        controller: What Slurm was asked.
        metadata: Metadata operations on the run folder.
        rounds: Rounds that were played.
        longest_s: Of the collection that took longest.
        collector_s: Seconds of all collections.
        lost: Attempts that faults of nodes ended.
        most: Elements in the queue at a time, at most.
    """

    tasks: int
    tally: Tally
    makespan_s: float
    last_end_s: float
    busy_s: float
    controller: Controller
    metadata: Meter
    rounds: int
    longest_s: float
    collector_s: float
    lost: int
    most: int

    @property
    def goodput(self) -> float:
        """Work that is in results as a share of the time that tasks held places."""
        return self.tally.useful_s / self.busy_s if self.busy_s else 0.0

    @property
    def finished(self) -> float:
        """Tasks with their result as a share of those that could have one."""
        return self.tally.finished / max(1, self.tally.healable)


@dataclass
class Loop:
    """Plays rounds until nothing is left.

    Attributes:
        waiting: Attempts to be submitted: task, attempt, what it gets; retries first.
    """

    env: simpy.Environment
    site: Site
    costs: Costs
    policy: Policy
    campaign: Campaign
    cluster: Cluster
    controller: Controller
    metadata: Meter = field(default_factory=Meter)
    waiting: list[tuple[int, int, Given]] = field(default_factory=list)
    rounds: int = 0
    longest_s: float = 0.0
    collector_s: float = 0.0
    last_end_s: float = 0.0
    _first: int = 0
    _settled: int = 0
    _failed: int = 0
    _live: Counter[int] = field(default_factory=Counter)
    _relays: list[Relay] = field(default_factory=list)
    _interval_s: float = 0.0

    def play(self) -> "simpy.events.ProcessGenerator":
        """The process: a round, a wait, a round."""
        self._interval_s = self.site.every_s
        while True:
            yield from self._collect()
            acted = self._submit()
            course = self._conclude(acted=acted)
            if course is not Course.GOES_ON:
                return
            look = self.env.timeout(self._interval_s)
            yield look | self.cluster.when_idle()
            yield self.env.timeout(self.site.relay_s)

    def ended(self, element: Element) -> None:
        """An element is over: its array may be."""
        self.last_end_s = self.env.now
        self._live[element.array] -= 1
        if not self._live[element.array]:
            del self._live[element.array]
        self.metadata.add(self.env.now, self.costs.wrapper_metadata)

    def _collect(self) -> "simpy.events.ProcessGenerator":
        new, costs = self.campaign.new, self.costs
        self.campaign.new = []
        took_s = (
            costs.start_s + len(new) * costs.new_s + self._settled * costs.settled_s + self._failed * costs.failed_s
        )
        asked = len(new) * costs.new_metadata + self._settled * costs.settled_metadata
        asked += self._failed * costs.failed_metadata
        self.rounds += 1
        self.longest_s, self.collector_s = max(self.longest_s, took_s), self.collector_s + took_s
        self.metadata.add(self.env.now, asked, took_s)
        self.controller.ask(self.env.now, costs.quiet_calls)
        yield self.env.timeout(took_s)
        again = []
        for task, failure in new:
            if failure is None:
                self._settled += 1
            elif (given := self._answer(failure)) is not None:
                again.append((task, failure.attempt + 1, given))
        self.waiting = [*again, *self.waiting]

    def _answer(self, failure: Failure) -> Given | None:
        tally, task = self.campaign.tally, failure.task
        if self.policy.is_taken_for_result(failure):
            tally.wrong += 1
            self._settled += 1
            return None
        given = self.policy.decide(replace(failure, ended=self.env.now))
        if given is None:
            self._failed += 1
            tally.refused += self.campaign.is_healable(task)
        return given

    def _left(self) -> bool:
        return bool(self.waiting) or self._first < len(self.campaign.tasks)

    def _submit(self) -> bool:
        """Submit what the site takes now: retries, then tasks for the first time, in arrays of the site's size."""
        if not self._left():
            return False
        self.controller.ask(self.env.now, self.costs.feeding_calls)
        room = self.controller.max_jobs - self.cluster.jobs
        taken, self.waiting = self.waiting[:room], self.waiting[room:]
        more = min(room - len(taken), len(self.campaign.tasks) - self._first)
        for group in self._planned(taken):
            self.campaign.given |= {task: given for task, _, given in group}
            self._send([(task, attempt, given.excluded) for task, attempt, given in group])
        for tasks in _chunks(range(self._first, self._first + more), self.site.max_array_size):
            self._send([(task, 1, ()) for task in tasks])
        self._first += more
        return bool(taken) or more > 0

    def _send(self, elements: Sequence[tuple[int, int, tuple[str, ...]]]) -> None:
        """Submit one array: task, attempt and nodes to avoid of each element."""
        self.controller.submit(self.env.now, arrays=1)
        number = self.controller.arrays
        self._live[number] = len(elements)
        self.cluster.submit([Element(task, attempt, number, excluded) for task, attempt, excluded in elements])

    def _planned(self, taken: Sequence[tuple[int, int, Given]]) -> list[list[tuple[int, int, Given]]]:
        """Divide retries into arrays by `plan_arrays`: those that ask for the same and avoid the same nodes."""
        profile = replace(_PROFILE, max_array_size=self.site.max_array_size)
        places = {id(each): each for each in taken}
        assignments = [
            Assignment(
                task=_TASK,
                attempt=attempt,
                resources=replace(_RESOURCES, memory_mib=given.memory_mib, time_s=given.time_s),
                exclude_nodes=given.excluded,
                company=str(place),
            )
            for place, (_, attempt, given) in zip(places, taken, strict=True)
        ]
        return [[places[int(each.company)] for each in plan.assignments] for plan in plan_arrays(assignments, profile)]

    def _conclude(self, *, acted: bool) -> Course:
        """How it goes on, and which relays wait for that."""
        course = decide(
            live=bool(self.cluster.jobs),
            left=self._left() or bool(self.campaign.new),
            held=False,
            followed_s=0,
            max_days=1,
        )
        self._interval_s = next_interval(self.site.every_s, self._interval_s, acted=acted)
        now = self.env.now
        live = frozenset(map(str, self._live))
        waiting = [each for each in self._relays if each.begin > now or each.after & live]
        found = plan_successors(waiting, live, course, now, self._interval_s)
        self.controller.submit(now, relays=len(found.submit))
        self.controller.ask(now, int(bool(found.cancel)))
        self._relays = [*found.keep, *found.submit]
        return course


_RESOURCES = Resources(cpus=8, memory_mib=16_384, time_s=7 * 86_400, gpus=1)
_PROFILE = ClusterProfile(name="model")


def _chunks(numbers: range, size: int) -> Iterator[range]:
    for start in range(numbers.start, numbers.stop, size):
        yield range(start, min(start + size, numbers.stop))


def simulate(tasks: Tasks, site: Site, policy: Policy, costs: Costs, seed: int, habits: Habits | None = None) -> Result:
    """Play a campaign from its first submission to its end."""
    env = simpy.Environment()
    chance = np.random.default_rng([seed, 1])
    campaign = Campaign(tasks, habits or Habits(), site.size, chance)

    def over(element: Element, taken_s: float, node: str, is_fault: bool) -> None:
        campaign.over(element, taken_s, node, is_fault)
        loop.ended(element)

    cluster = Cluster(env, site.size, np.random.default_rng([seed, 2]), campaign.run, over)
    loop = Loop(env, site, costs, policy, campaign, cluster, Controller(site.max_jobs))
    env.run(until=env.process(loop.play()))
    return Result(
        tasks=len(tasks),
        tally=campaign.tally,
        makespan_s=env.now,
        last_end_s=loop.last_end_s,
        busy_s=cluster.busy_s,
        controller=loop.controller,
        metadata=loop.metadata,
        rounds=loop.rounds,
        longest_s=loop.longest_s,
        collector_s=loop.collector_s,
        lost=cluster.lost,
        most=cluster.most,
    )
