"""How many more jobs a site takes from a user now: its limits less what is in the queue.

Formula source: slurm.conf(5), sacctmgr(1) and the order of acct_policy_validate in Slurm's accounting policy: of each
kind of limit the partition's QOS goes before the job's, and a QOS before the association. Each array element counts as
a job. A limit that is not known is none: sbatch itself has the last word.
"""

from collections.abc import Iterable, Sequence

from hpc.core.immutable import immutable
from hpc.core.slurm.arrays import Assignment


@immutable
class Queued:
    """One job or array element that waits or runs."""

    user: str
    account: str
    qos: str
    partition: str


@immutable
class QosLimits:
    """What a QOS says about submitted jobs; None is no limit.

    Attributes:
        per_user: MaxSubmitJobsPerUser.
        per_account: MaxSubmitJobsPerAccount.
        group: GrpSubmitJobs, of all users together.
    """

    name: str
    per_user: int | None = None
    per_account: int | None = None
    group: int | None = None


@immutable
class Association:
    """What accounting says about a user in an account; None is no limit.

    Attributes:
        partition: Set when the association is about one partition only.
        default_qos: QOS of jobs that name none; empty when not said.
        most: MaxSubmitJobs.
        group: GrpSubmitJobs of the user's own association.
        account_group: GrpSubmitJobs of the account, of all its users together.
    """

    account: str
    partition: str = ""
    default_qos: str = ""
    most: int | None = None
    group: int | None = None
    account_group: int | None = None


@immutable
class Site:
    """What is known of where jobs will go.

    Attributes:
        partition: Where they go.
        max_array_size: Most elements of one array, Slurm's MaxArraySize and max_array_tasks; None when not known.
        max_jobs: MaxJobCount of the controller.
        association: The user's; None where there is no accounting.
        partition_qos: QOS of the partition.
        job_qos: QOS of the jobs.
        cluster: Slurm's name of the cluster; empty when it does not say.
    """

    partition: str = ""
    max_array_size: int | None = None
    max_jobs: int | None = None
    association: Association | None = None
    partition_qos: QosLimits | None = None
    job_qos: QosLimits | None = None
    cluster: str = ""

    @property
    def counts_others(self) -> bool:
        """Whether a limit counts other users' jobs too."""
        shared = [limit for qos in (self.partition_qos, self.job_qos) if qos for limit in (qos.per_account, qos.group)]
        shared.append(self.association.account_group if self.association else None)
        return any(limit is not None for limit in shared)


@immutable
class Limit:
    """A bound on how many jobs may be in the queue at a time.

    Attributes:
        name: As the site calls it.
        most: The bound.
        used: What counts against it now.
    """

    name: str
    most: int
    used: int

    @property
    def left(self) -> int:
        """How many more it lets in."""
        return max(0, self.most - self.used)

    def __str__(self) -> str:
        """Say it as in a sentence."""
        return f"{self.name} is {self.most}, {self.used} in the queue"


def limits_of(site: Site, user: str, queue: Sequence[Queued], max_submit: int = 0) -> list[Limit]:
    """List the limits that hold for a user's next jobs.

    Args:
        queue: What waits and runs: the user's, and everybody's where `Site.counts_others`.
        max_submit: The bound of the cluster profile; 0 is none.
    """
    mine = [job for job in queue if job.user == user]
    limits = [
        Limit("max_submit of the cluster profile", max_submit, len(mine)) if max_submit else None,
        Limit("MaxJobCount", site.max_jobs, len(mine)) if site.max_jobs is not None else None,
        _of_qos(site, "per_user", "MaxSubmitJobsPerUser", mine),
        _of_qos(site, "per_account", "MaxSubmitJobsPerAccount", _in_account(site.association, queue)),
        _of_qos(site, "group", "GrpSubmitJobs", queue),
    ]
    if site.association:
        limits += _of_association(site, site.association, mine, queue)
    return [limit for limit in limits if limit]


def _of_qos(site: Site, kind: str, name: str, counted: Iterable[Queued]) -> Limit | None:
    if site.partition_qos and (most := getattr(site.partition_qos, kind)) is not None:
        used = sum(job.partition == site.partition for job in counted)
        return Limit(f"{name} of partition {site.partition}", most, used)
    if site.job_qos and (most := getattr(site.job_qos, kind)) is not None:
        return Limit(f"{name} of QOS {site.job_qos.name}", most, sum(job.qos == site.job_qos.name for job in counted))
    return None


def _of_association(
    site: Site, association: Association, mine: Sequence[Queued], queue: Sequence[Queued]
) -> list[Limit]:
    """The association's own limits, each only where no QOS says something of its kind."""
    of = f"of account {association.account}"
    own = [job for job in _in_account(association, mine) if association.partition in ("", job.partition)]
    limits = []
    if association.most is not None and not _of_qos(site, "per_user", "", ()):
        limits.append(Limit(f"your MaxSubmitJobs {of}", association.most, len(own)))
    if not _of_qos(site, "group", "", ()):
        if association.group is not None:
            limits.append(Limit(f"your GrpSubmitJobs {of}", association.group, len(own)))
        if association.account_group is not None:
            used = len(_in_account(association, queue))
            limits.append(Limit(f"GrpSubmitJobs {of}", association.account_group, used))
    return limits


def _in_account(association: Association | None, jobs: Iterable[Queued]) -> list[Queued]:
    return [job for job in jobs if association and job.account == association.account]


def tightest(limits: Iterable[Limit]) -> Limit | None:
    """The limit that lets in the fewest; None where there is none."""
    return min(limits, key=lambda limit: limit.left, default=None)


def in_order(assignments: Iterable[Assignment]) -> list[Assignment]:
    """What goes first when not all fits: retries, because a task that has begun is finished before another is."""
    return sorted(assignments, key=lambda each: each.attempt == 1)
