"""From assignments to arrays: nothing is lost, nothing is doubled, nothing is mixed, nothing is too long."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.experiment.spec import Task
from hpc.core.profile import ClusterProfile
from hpc.core.resources import Resources
from hpc.core.slurm.arrays import Assignment, plan_arrays, signal_lead_s


def make_assignment(number: int, memory_mib: int, excluded: tuple[str, ...]) -> Assignment:
    task = Task(f"{number:012x}", f"R{number}", {"x": number}, 42)
    return Assignment(task, 1, Resources(gpus=1, memory_mib=memory_mib), exclude_nodes=excluded)


KINDS = st.lists(
    st.tuples(st.sampled_from([1024, 2048, 4096]), st.sampled_from([(), ("n1",), ("n1", "n2")])), max_size=60
)


@given(KINDS, st.integers(1, 7))
def test_every_task_once_within_the_limit_and_among_its_equals(kinds, limit):
    """Each assignment stands in exactly one array; no array is too long, empty, or of two kinds; order is kept."""
    assignments = [make_assignment(number, *kind) for number, kind in enumerate(kinds)]
    arrays = plan_arrays(assignments, ClusterProfile("site", max_array_size=limit))

    planned = [each for array in arrays for each in array.assignments]
    assert Counter(each.task.task_id for each in planned) == Counter(each.task.task_id for each in assignments)
    assert sum(len(array.assignments) for array in arrays) == len(assignments)
    for array in arrays:
        assert 1 <= len(array.assignments) <= limit
        assert {each.resources for each in array.assignments} == {array.resources}
        assert {each.exclude_nodes for each in array.assignments} == {array.exclude_nodes}
        numbers = [int(each.task.task_id, 16) for each in array.assignments]
        assert numbers == sorted(numbers)


@given(KINDS, st.integers(1, 7))
def test_no_more_arrays_than_needed(kinds, limit):
    """Each kind fills its arrays to the limit before it opens another."""
    assignments = [make_assignment(number, *kind) for number, kind in enumerate(kinds)]
    arrays = plan_arrays(assignments, ClusterProfile("site", max_array_size=limit))
    assert len(arrays) == sum(-(-count // limit) for count in Counter(kinds).values())


def test_gpu_hours_are_those_of_all_elements_at_their_limit():
    """Two nodes of four GPUs for half an hour, three times: twelve GPU hours."""
    resources = Resources(nodes=2, gpus=4, time_s=1800)
    assignments = [replace(make_assignment(number, 1, ()), resources=resources) for number in range(3)]
    (array,) = plan_arrays(assignments, ClusterProfile("site"))
    assert array.gpu_hours == 12.0


@pytest.mark.parametrize(
    ("time_s", "lead_s", "expected"),
    [(86400, 300, 300), (600, 300, 150), (120, 300, 30), (119, 300, 0), (60, 10, 0), (7200, 1, 1)],
)
def test_the_warning_comes_early_enough_and_never_at_once(time_s, lead_s, expected):
    """The site's lead, at most a quarter of the job, none where Slurm would warn at the start."""
    assert signal_lead_s(Resources(time_s=time_s), ClusterProfile("site", signal_lead_s=lead_s)) == expected


def test_an_element_keeps_everything_that_it_may_use():
    """What the wrapper needs of an assignment is in its entry, as JSON values."""
    assignment = replace(
        make_assignment(7, 1024, ()), attempt=3, micro_batch=8, accumulation=4, global_batch=64, resume=True,
        resume_from="step-00000010", overrides={"lr": 1e-4}, mixed_precision="no", changes=("micro_batch 16 → 8",),
        altered=True,
    )  # fmt: skip
    assert assignment.element.to_json() == {
        "task_id": "000000000007", "run_name": "R7", "parameters": {"x": 7}, "seed": 42, "case": None, "attempt": 3,
        "micro_batch": 8, "accumulation": 4, "global_batch": 64, "resume": True, "resume_from": "step-00000010",
        "overrides": {"lr": 1e-4}, "mixed_precision": "no", "changes": ["micro_batch 16 → 8"], "altered": True,
            "sources": [],
    }  # fmt: skip
