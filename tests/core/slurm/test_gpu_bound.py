"""`max_gpus`: at no moment are more GPUs in use, whatever is submitted when and ends in which order."""

from random import Random

import pytest

from hpc.core.profile import ClusterProfile
from hpc.core.resources import Resources
from hpc.core.slurm.gpu_bound import LiveArray, Place, as_live, describe_places, most_at_once, place, place_all

SITE = ClusterProfile("lab", max_gpus=8)


def asks(gpus: int, nodes: int = 1) -> Resources:
    return Resources(nodes=nodes, gpus=gpus)


@pytest.mark.parametrize(
    ("gpus", "nodes", "max_parallel", "max_gpus", "expected"),
    [(1, 1, 0, 8, 8), (4, 2, 0, 8, 1), (3, 1, 0, 8, 2), (1, 1, 5, 8, 5), (0, 1, 5, 8, 5), (1, 1, 0, 0, 0)],
)
def test_an_array_by_itself(gpus: int, nodes: int, max_parallel: int, max_gpus: int, expected: int) -> None:
    """As many elements as fit into the bound, and no more than `max_parallel`."""
    profile = ClusterProfile("lab", max_parallel=max_parallel, max_gpus=max_gpus)
    assert most_at_once(asks(gpus, nodes), profile) == expected


@pytest.mark.parametrize(
    ("elements", "live", "expected"),
    [
        (5, [], Place(8)),
        (5, [LiveArray("7", 0, 90)], Place(8)),
        (2, [LiveArray("7", 1, 6)], Place(2)),
        (1, [LiveArray("7", 1, 990, 7)], Place(1)),
        (1, [LiveArray("7", 1, 990, 8)], Place(8, ("7",))),
        (90, [LiveArray("7", 1, 7)], Place(8, ("7",))),
        (1, [LiveArray("7", 1, 990, 8), LiveArray("9", 1, 2, 8, ("7",))], Place(6, ("7",))),
        (1, [LiveArray("9", 1, 2, 8, ("7",))], Place(6)),
    ],
)
def test_a_new_array_goes_where_it_is_done_first(elements: int, live: list[LiveArray], expected: Place) -> None:
    """Beside the last turn where that has room and costs no time, else behind it; nobody waits for what is over."""
    assert place(asks(1), elements, SITE, live) == expected


def test_the_arrays_of_a_plan_are_said() -> None:
    """One sentence for people."""
    places = place_all([(asks(1), 20), (asks(4), 3)], SITE)
    said = (
        "at most 8 GPUs at once (max_gpus of lab): array 1: 8 at once; array 2: 2 at once, when the previous ones are "
        "over"
    )
    assert describe_places(places, SITE) == said


@pytest.mark.parametrize("seed", range(40))
def test_never_more_than_the_bound(seed: int) -> None:
    """A greedy scheduler, arrays of any size at any moment, ends in any order."""
    random = Random(seed)  # noqa: S311  the same arrays on every machine
    waiting, running = dict[str, list[LiveArray]](), list[str]()
    arrays: dict[str, LiveArray] = {}
    for step in range(120):
        if random.random() < 0.25:
            live = [left(each, waiting, running) for each in arrays.values() if left(each, waiting, running).left]
            resources, elements = asks(random.choice([1, 2, 3, 8])), random.randint(1, 12)
            new = as_live(str(step), resources, elements, place(resources, elements, SITE, live))
            arrays[new.job], waiting[new.job] = new, [new] * elements
        if running and random.random() < 0.7:
            running.remove(random.choice(running))
        start(arrays, waiting, running)
        assert sum(arrays[job].gpus for job in running) <= SITE.max_gpus
    assert arrays


def left(array: LiveArray, waiting: dict[str, list[LiveArray]], running: list[str]) -> LiveArray:
    count = len(waiting[array.job]) + running.count(array.job)
    return LiveArray(array.job, array.gpus, count, array.at_once, array.after)


def start(arrays: dict[str, LiveArray], waiting: dict[str, list[LiveArray]], running: list[str]) -> None:
    """Start whatever its dependencies and its own bound let start."""
    for job, array in arrays.items():
        is_free = not any(waiting.get(other) or other in running for other in array.after)
        while is_free and waiting[job] and running.count(job) < (array.at_once or 99):
            waiting[job].pop()
            running.append(job)
