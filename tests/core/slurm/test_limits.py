"""How many more jobs a site takes: each limit counts what Slurm counts, the nearer rule hides the farther one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.experiment.spec import Task
from hpc.core.resources import Resources
from hpc.core.slurm.arrays import Assignment
from hpc.core.slurm.limits import Association, QosLimits, Queued, Site, in_order, limits_of, tightest

ME, OTHER = Queued("me", "lab", "normal", "gpu"), Queued("other", "lab", "normal", "gpu")
QUEUE = [ME, ME, OTHER, replace(ME, qos="long"), replace(ME, account="else"), replace(ME, partition="cpu")]
USER = Association("lab", most=10)


def named(site: Site, max_submit: int = 0) -> dict[str, tuple[int, int]]:
    return {limit.name: (limit.most, limit.used) for limit in limits_of(site, "me", QUEUE, max_submit)}


def test_each_limit_counts_its_own_jobs():
    """Mine in the QOS, mine in the account, everybody's where the limit is shared, all of mine for the profile's."""
    assert named(Site(association=USER)) == {"your MaxSubmitJobs of account lab": (10, 4)}
    qos = QosLimits("normal", per_user=20, per_account=30, group=40)
    assert named(Site(association=USER, job_qos=qos, max_jobs=99), 7) == {
        "max_submit of the cluster profile": (7, 5),
        "MaxJobCount": (99, 5),
        "MaxSubmitJobsPerUser of QOS normal": (20, 4),
        "MaxSubmitJobsPerAccount of QOS normal": (30, 4),
        "GrpSubmitJobs of QOS normal": (40, 5),
    }


def test_a_partitions_qos_goes_first_then_the_jobs_then_the_association():
    """Slurm looks at a farther limit of a kind only where the nearer one says nothing."""
    site = Site("gpu", association=replace(USER, group=50, account_group=60), job_qos=QosLimits("normal", per_user=20))
    assert set(named(site)) == {
        "MaxSubmitJobsPerUser of QOS normal",
        "your GrpSubmitJobs of account lab",
        "GrpSubmitJobs of account lab",
    }
    site = replace(site, partition_qos=QosLimits("part", per_user=3, group=9))
    assert named(site) == {"MaxSubmitJobsPerUser of partition gpu": (3, 4), "GrpSubmitJobs of partition gpu": (9, 5)}


def test_an_association_of_one_partition_counts_that_partition():
    """Jobs elsewhere leave its room alone."""
    assert named(Site("cpu", association=replace(USER, partition="cpu"))) == {
        "your MaxSubmitJobs of account lab": (10, 1)
    }


def test_what_nobody_says_bounds_nothing():
    """No accounting, no limit known: everything fits."""
    assert limits_of(Site(), "me", QUEUE) == []
    assert tightest([]) is None
    assert not Site().counts_others


@pytest.mark.parametrize(
    ("site", "others"),
    [
        (Site(association=USER), False),
        (Site(association=replace(USER, account_group=5)), True),
        (Site(job_qos=QosLimits("q", per_user=5)), False),
        (Site(job_qos=QosLimits("q", group=5)), True),
        (Site(job_qos=QosLimits("q", per_account=0)), True),
    ],
)
def test_others_are_counted_only_where_a_limit_is_shared(site, others):
    """The whole queue of a large site is asked for only when it matters."""
    assert site.counts_others is others


@given(st.lists(st.integers(0, 100), min_size=1), st.integers(0, 200))
def test_the_tightest_limit_leaves_the_least_and_never_less_than_nothing(bounds, used):
    """Whatever the numbers: room is the smallest difference, and 0 when a limit is exceeded."""
    queue = [Queued("me", "lab", "normal", "gpu")] * used
    limits = [limit for most in bounds for limit in limits_of(Site(max_jobs=most), "me", queue)]
    limit = tightest(limits)
    assert limit is not None
    assert limit.left == max(0, min(bounds) - used)


def test_retries_go_first_and_order_is_kept():
    """A task that has begun is finished before another begins."""

    def assignment(name: str, attempt: int) -> Assignment:
        return Assignment(Task(name, name, {}, 1), attempt, Resources())

    order = in_order([assignment("a", 1), assignment("b", 2), assignment("c", 1), assignment("d", 3)])
    assert [each.task.run_name for each in order] == ["b", "d", "a", "c"]
