"""Packs: every task in exactly one element, none beyond what the site grants, no more elements than a bound lets in."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.profile import ClusterProfile
from hpc.core.records.index import Element
from hpc.core.resources import ALONE, Pack, Resources
from hpc.core.slurm.arrays import Assignment, fitting, plan_arrays, signal_lead_s
from hpc.core.slurm.packing import describe_bounds, describe_pack, fit
from tests.core.slurm.test_arrays import make_assignment
from tests.made_records import submission_index

PACKS = st.builds(lambda tasks, at_once: Pack(tasks, min(tasks, at_once)), st.integers(1, 12), st.integers(1, 6))
SITES = st.builds(
    lambda array, time_s, memory_mib: ClusterProfile(
        "site", max_array_size=array, max_time_s=time_s, max_memory_mib=memory_mib
    ),
    st.integers(1, 5),
    st.sampled_from([0, 60, 300, 900]),
    st.sampled_from([0, 100, 350, 900]),
)
ONE = Resources(gpus=1, cpus=2, memory_mib=100, time_s=60)
KINDS = st.lists(st.tuples(st.sampled_from([100, 300]), st.sampled_from(["", "unknown"])), max_size=40)


def assignments_of(kinds: list[tuple[int, str]], pack: Pack) -> list[Assignment]:
    return [
        replace(make_assignment(number, 0, ()), resources=replace(ONE, memory_mib=mib), pack=pack, company=company)
        for number, (mib, company) in enumerate(kinds)
    ]


@given(PACKS, SITES, st.integers(1, 60))
def test_an_element_asks_for_no_more_than_the_site_grants(pack, site, count):
    """Time and memory stay within the limits unless one task alone passes them; no more elements than are needed."""
    found = fit(pack, ONE, site, count)
    asked = found.element(ONE)

    assert 1 <= found.at_once <= found.tasks <= pack.tasks
    assert not site.max_memory_mib or asked.memory_mib <= max(site.max_memory_mib, ONE.memory_mib)
    assert not site.max_time_s or asked.time_s <= max(site.max_time_s, ONE.time_s)
    assert (asked.cpus, asked.gpus) == (ONE.cpus * found.at_once, ONE.gpus)
    elements = -(-count // found.tasks)
    assert count > (elements - 1) * found.tasks
    assert bool(describe_bounds(pack, ONE, site)) == (fit(pack, ONE, site, 10**6) != pack)


@given(KINDS, PACKS, SITES)
def test_every_task_is_in_one_element_among_its_own_kind(kinds, pack, site):
    """Arrays hold each task once, of one kind each; the entries of all elements are the tasks, in their order."""
    assignments = assignments_of(kinds, pack)
    arrays = plan_arrays(assignments, site)

    assert Counter(each.task.task_id for array in arrays for each in array.assignments) == Counter(
        each.task.task_id for each in assignments
    )
    for array in arrays:
        assert len({(each.resources, each.company if pack.tasks > 1 else "") for each in array.assignments}) == 1
        assert array.elements <= site.max_array_size
        entries = tuple(each.element for each in array.assignments)
        index = submission_index(entries=entries, pack=array.pack if array.pack.tasks > 1 else None)
        assert index.elements == array.elements
        parts = [index.entries_of(element) for element in range(index.elements)]
        assert all(parts)
        assert tuple(entry for part in parts for entry in part) == entries
        assert all(
            index.element_of(number) == element
            for number, element in enumerate(element for element, part in enumerate(parts) for _ in part)
        )


@given(KINDS, PACKS, SITES, st.integers(0, 8))
def test_as_many_tasks_are_submitted_as_elements_fit(kinds, pack, site, most):
    """The first tasks that go into so many elements; one more would need one more."""
    assignments = assignments_of(kinds, pack)
    number = fitting(assignments, site, most)

    def elements(count: int) -> int:
        return sum(array.elements for array in plan_arrays(assignments[:count], site))

    assert elements(number) <= most
    assert number == len(assignments) or elements(number + 1) > most


@pytest.mark.parametrize("pack", [ALONE, Pack(8, 4)])
def test_this_machines_own_queue_packs_nothing(pack):
    """Without Slurm each task is an element, as if no pack were asked for."""
    (array,) = plan_arrays(assignments_of([(100, "")] * 9, pack), ClusterProfile("here", scheduler="local"))
    assert (array.pack, array.elements, array.asked) == (ALONE, 9, ONE)


def test_a_plan_says_how_tasks_share_elements():
    """Ninety tasks, eight in an element: what is asked, and what a smaller site makes of it."""
    assert describe_pack(90, Pack(8, 4), ONE) == (
        "90 tasks in 12 elements of 8, 4 at once; each element asks for 8 cores, 400M and 00:02:00, "
        "one task for 2 cores, 100M and 00:01:00; the 4 at once share 1 GPU"
    )
    assert describe_bounds(Pack(8, 4), ONE, ClusterProfile("small", max_time_s=60, max_memory_mib=200)) == (
        "packs of 2, 2 at once, instead of 8, 4 at once: they would ask for 400M (max_memory is 200M) and 00:04:00 "
        "(max_time is 00:01:00) on small"
    )
    assert describe_pack(3, ALONE, ONE) == describe_bounds(ALONE, ONE, ClusterProfile("any")) == ""


def test_an_element_is_warned_no_earlier_than_its_last_task_has_to_end():
    """A pack of an hour with tasks of two minutes: the lead is a quarter of a task."""
    profile = ClusterProfile("site", signal_lead_s=300)
    assert signal_lead_s(Resources(time_s=3600), profile, 120) == 30


def test_entries_without_a_pack_are_an_element_each():
    """What was prepared before there were packs: array index and entry are one."""
    entries = tuple(Element(f"{n:012x}", f"R{n}", {}, 1, 1) for n in range(3))
    index = submission_index(entries=entries)
    assert (index.elements, index.element_of(2), index.entries_of(2)) == (3, 2, entries[2:])
