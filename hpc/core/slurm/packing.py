"""How large a pack may be where it runs, and what is said of it: pure arithmetic over a task's resources and a site's.

An element never asks for more memory or time than the site grants: where so many tasks at once, or one behind the
other, would, the pack is made smaller, and `plan` says so.
"""

from dataclasses import replace

from hpc.core.profile import ClusterProfile
from hpc.core.resources import Pack, Resources, render_memory, render_time
from hpc.core.words import counted


def fit(pack: Pack, one: Resources, profile: ClusterProfile, count: int) -> Pack:
    """Make a pack as large as was asked, as the site's limits allow, and as there are tasks.

    Several elements are filled evenly: 9 tasks in packs of 8 become 5 and 4, so that none asks for more than it uses.

    Args:
        pack: As it was asked for.
        one: What a task asks for.
        count: Tasks there are, at least one.
    """
    bound = _bounded(pack, one, profile)
    elements = -(-count // bound.tasks)
    tasks = -(-count // elements)
    return Pack(tasks, min(bound.at_once, tasks))


def _bounded(pack: Pack, one: Resources, profile: ClusterProfile) -> Pack:
    """Make a pack as large as the site's limits allow; one task always goes in."""
    at_once, tasks = pack.at_once, pack.tasks
    if profile.max_memory_mib:
        at_once = min(at_once, max(1, profile.max_memory_mib // one.memory_mib))
    if profile.max_time_s:
        tasks = min(tasks, at_once * max(1, profile.max_time_s // one.time_s))
    return Pack(tasks, min(at_once, tasks))


def describe_bounds(pack: Pack, one: Resources, profile: ClusterProfile) -> str:
    """Say that the site's limits make a pack smaller than was asked, and which; empty where they do not."""
    bound = _bounded(pack, one, profile)
    if bound == pack:
        return ""
    asked = pack.element(one)
    limits = []
    if profile.max_memory_mib and asked.memory_mib > profile.max_memory_mib:
        limits.append(f"{render_memory(asked.memory_mib)} (max_memory is {render_memory(profile.max_memory_mib)})")
    in_time = replace(pack, at_once=bound.at_once).element(one)
    if profile.max_time_s and in_time.time_s > profile.max_time_s:
        limits.append(f"{render_time(in_time.time_s)} (max_time is {render_time(profile.max_time_s)})")
    return (
        f"packs of {bound.tasks}, {bound.at_once} at once, instead of {pack.tasks}, {pack.at_once} at once: "
        f"they would ask for {' and '.join(limits)} on {profile.name}"
    )


def describe_pack(count: int, pack: Pack, one: Resources) -> str:
    """Say how tasks share elements, and what each then asks for; empty where each task has its own."""
    if pack.tasks == 1:
        return ""
    elements = -(-count // pack.tasks)
    shared = f"; the {pack.at_once} at once share {counted(one.gpus, 'GPU')}" if one.gpus and pack.at_once > 1 else ""
    return (
        f"{counted(count, 'task')} in {counted(elements, 'element')} of {pack.tasks}, {pack.at_once} at once; each "
        f"element asks for {_amounts(pack.element(one))}, one task for {_amounts(one)}{shared}"
    )


def _amounts(asked: Resources) -> str:
    return f"{counted(asked.cpus, 'core')}, {render_memory(asked.memory_mib)} and {render_time(asked.time_s)}"
