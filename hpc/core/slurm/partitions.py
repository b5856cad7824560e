"""Which of several partitions can run a task: those whose limits and nodes fit. Pure.

Slurm takes a list of partitions and starts a job in whichever can first: that is what waits least, decided when it
starts and not when it is planned. What a list must not hold is a partition that never could: a site may refuse the job
for it (EnforcePartLimits=ALL).
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from hpc.core.immutable import field, immutable
from hpc.core.profile import ClusterProfile
from hpc.core.resources import Resources, parse_time, render_memory, render_time
from hpc.core.words import counted

_GPUS = re.compile(r"gpu(?::(?P<type>[^:(),]+))?:(?P<count>\d+)(?:\([^)]*\))?")


@immutable
class NodeKind:
    """Equal nodes of one partition.

    Attributes:
        partition: Its name.
        is_up: Whether the partition takes jobs.
        max_time_s: Its time limit; None for none.
        nodes: How many of them there are.
        cpus, memory_mib: Of each.
        gpus: Type → number on each; an empty type where the site names none.
    """

    partition: str
    is_up: bool = True
    max_time_s: int | None = None
    nodes: int = 1
    cpus: int = 1
    memory_mib: int = 0
    gpus: Mapping[str, int] = field(default_factory=dict)


@immutable
class Choice:
    """Partitions that can run a task, and why the others cannot.

    Attributes:
        taken: Names, in the order of the profile; all of them where none can, for Slurm to say so.
        refused: Name → reason.
    """

    taken: tuple[str, ...]
    refused: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Say it in a sentence."""
        left = "; ".join(f"{name}: {reason}" for name, reason in self.refused.items())
        if set(self.taken) <= set(self.refused):
            return f"no partition can run it: {left}"
        first = f"partition {' or '.join(self.taken)}" + (", whichever starts it first" if len(self.taken) > 1 else "")
        return first + (f"; not {left}" if left else "")


def choose(resources: Resources, profile: ClusterProfile, kinds: Sequence[NodeKind]) -> Choice:
    """Choose among the partitions of a profile.

    Args:
        kinds: What Slurm says of them. A partition it says nothing of is left to it.
    """
    names = profile.partition.split(",")
    reasons = {
        name: _obstacle(resources, profile, [each for each in kinds if each.partition == name]) for name in names
    }
    refused = {name: reason for name, reason in reasons.items() if reason}
    return Choice(tuple(name for name in names if name not in refused) or tuple(names), refused)


def _obstacle(resources: Resources, profile: ClusterProfile, kinds: Sequence[NodeKind]) -> str:
    """Say why a partition cannot run a task; empty where it can, or nothing is known of it."""
    if not kinds:
        return ""
    if not kinds[0].is_up:
        return "it accepts no jobs now"
    most_s = kinds[0].max_time_s
    if most_s is not None and resources.time_s > most_s:
        return f"its time limit is {render_time(most_s)}, {render_time(resources.time_s)} is asked for"
    if sum(each.nodes for each in kinds if _fits(resources, profile, each)) < resources.nodes:
        return f"it does not have {_asked(resources, profile)}"
    return ""


def _fits(resources: Resources, profile: ClusterProfile, kind: NodeKind) -> bool:
    of_type = kind.gpus.get(profile.gpu_type, 0) if profile.gpu_type else sum(kind.gpus.values())
    has_gpus = profile.gpu_option == "none" or of_type >= resources.gpus
    has_memory = profile.memory == "none" or kind.memory_mib >= resources.memory_mib
    return kind.cpus >= resources.cpus and has_memory and has_gpus


def _asked(resources: Resources, profile: ClusterProfile) -> str:
    gpus = f" and {resources.gpus} {profile.gpu_type} GPUs".replace("  ", " ") if resources.gpus else ""
    memory = "" if profile.memory == "none" else f", {render_memory(resources.memory_mib)}"
    nodes = "a node" if resources.nodes == 1 else f"{resources.nodes} nodes"
    return f"{nodes} of {counted(resources.cpus, 'core')}{memory}{gpus}"


def parse_kinds(lines: Iterable[str]) -> list[NodeKind]:
    """Read ``sinfo --exact --format='%R|%a|%l|%D|%c|%m|%G'``; a line that is none is passed over."""
    return [kind for line in lines if (kind := _parse_kind(line.strip().split("|")))]


def _parse_kind(cells: Sequence[str]) -> NodeKind | None:
    if len(cells) != 7:
        return None
    partition, state, limit, *numbers, gres = cells
    if not all(number.rstrip("+").isdecimal() for number in numbers):
        return None
    nodes, cpus, memory = (int(number.rstrip("+")) for number in numbers)
    return NodeKind(partition, state == "up", _limit(limit), nodes, cpus, memory, _gpus(gres))


def _limit(text: str) -> int | None:
    try:
        return parse_time(text)
    except ValueError:  # infinite
        return None


def _gpus(gres: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for match in _GPUS.finditer(gres):
        found[match["type"] or ""] = found.get(match["type"] or "", 0) + int(match["count"])
    return found
