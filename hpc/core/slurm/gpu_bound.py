"""`max_gpus` of a profile: how many GPUs one experiment may use at once, over all its arrays. Pure.

An array's own bound is Slurm's: so many elements at once (``--array=0-99%8``). Arrays form *turns*: those of a turn
have room beside each other, and each waits for all arrays of the turns before (``--dependency=afterany``). A new
array joins the last turn where that has room, else it begins the next one. Slurm keeps to it with nobody of ours at
work, and no bound is ever raised on the way: at no moment more is in use.
"""

from collections.abc import Sequence

from hpc.core.immutable import immutable
from hpc.core.profile import ClusterProfile
from hpc.core.resources import Resources


@immutable
class LiveArray:
    """An array that waits or runs.

    Attributes:
        job: Its job id.
        gpus: GPUs of one element.
        left: Elements that are not over.
        at_once: Most of them at a time; 0: no bound.
        after: Jobs it waits for; those that are over do not matter.
    """

    job: str
    gpus: int
    left: int
    at_once: int = 0
    after: tuple[str, ...] = ()

    @property
    def most(self) -> int:
        """How many GPUs it may have in use."""
        return self.gpus * min(self.left, self.at_once or self.left)

    @property
    def waves(self) -> int:
        """How many elements run one after the other, at least."""
        return -(-self.left // (self.at_once or self.left or 1))


@immutable
class Place:
    """Where a new array goes.

    Attributes:
        at_once: Most of its elements at a time; 0: no bound.
        after: Jobs that have to be over before.
    """

    at_once: int = 0
    after: tuple[str, ...] = ()


def most_at_once(resources: Resources, profile: ClusterProfile) -> int:
    """How many elements of one array may run at once by itself; 0: no bound."""
    gpus = resources.nodes * resources.gpus
    bounds = [profile.max_parallel, max(1, profile.max_gpus // gpus) if profile.max_gpus and gpus else 0]
    return min((bound for bound in bounds if bound), default=0)


def place(resources: Resources, elements: int, profile: ClusterProfile, live: Sequence[LiveArray]) -> Place:
    """Place a new array among those that are live, so that together they never use more than `max_gpus`.

    In the last turn, where there is room and it is done no later so than behind it, if all elements took equally long.
    """
    gpus, alone = resources.nodes * resources.gpus, most_at_once(resources, profile)
    live = [each for each in live if each.gpus]
    if not profile.max_gpus or not gpus or not live:
        return Place(alone)
    *before, last = _turns(live)
    room = min(alone, (profile.max_gpus - sum(each.most for each in last)) // gpus)
    waves_behind = max(each.waves for each in last) + -(-elements // alone)
    if room > 0 and -(-elements // room) <= waves_behind:
        return Place(room, tuple(each.job for turn in before for each in turn))
    return Place(alone, tuple(each.job for each in live))


def _turns(live: Sequence[LiveArray]) -> list[list[LiveArray]]:
    """Sort arrays by whom they wait for: first those that wait for none of the others."""
    left, turns = list(live), []
    while left:
        jobs = {each.job for each in left}
        turn = [each for each in left if not jobs & set(each.after)] or left
        turns.append(turn)
        left = [each for each in left if each not in turn]
    return turns


def describe_places(places: Sequence[Place], profile: ClusterProfile) -> str:
    """Say in one sentence how the arrays of a plan keep to the bound, in their order from 1."""
    told = [
        f"array {number}: {each.at_once} at once" + (", when the previous ones are over" if each.after else "")
        for number, each in enumerate(places, start=1)
    ]
    return f"at most {profile.max_gpus} GPUs at once (max_gpus of {profile.name}): {'; '.join(told)}"


def place_all(arrays: Sequence[tuple[Resources, int]], profile: ClusterProfile) -> list[Place]:
    """Place the arrays of a plan, resources and number of elements each, as if nothing else were live."""
    live: list[LiveArray] = []
    places = []
    for number, (resources, elements) in enumerate(arrays, start=1):
        found = place(resources, elements, profile, live)
        places.append(found)
        live.append(as_live(str(number), resources, elements, found))
    return places


def as_live(job: str, resources: Resources, elements: int, found: Place) -> LiveArray:
    """The array that a place was found for, once it is submitted."""
    return LiveArray(job, resources.nodes * resources.gpus, elements, found.at_once, found.after)
