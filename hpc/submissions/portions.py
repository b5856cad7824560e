"""Feeding Slurm: as much as the site takes from this user now is submitted, the rest later by the same command.

What is not submitted is written nowhere: it is what has no submission yet, and every command finds it again.
The caller holds the experiment's lock.
"""

import os
import pwd
from collections.abc import Mapping, Sequence

from hpc.adapters import slurm, slurm_client, slurm_site
from hpc.adapters.progress import through
from hpc.core.errors import HpcError
from hpc.core.immutable import field, immutable, replace
from hpc.core.layout import RunLayout, SubmissionLayout
from hpc.core.profile import ClusterProfile
from hpc.core.slurm.arrays import Assignment, fitting, plan_arrays
from hpc.core.slurm.gpu_bound import LiveArray, Place, as_live, most_at_once, place
from hpc.core.slurm.limits import Limit, Queued, Site, in_order, limits_of, tightest
from hpc.submissions.in_queue import arrays_in_queue
from hpc.submissions.prepare import AT_ONCE, Frozen, Terms, Unused, prepare_submissions, submit_to_slurm


@immutable
class Room:
    """How much the site takes now.

    Attributes:
        limit: The tightest limit; None when none is known.
        max_array_size: Most elements of one array.
        cluster: Slurm's name of the cluster; empty when it did not say.
    """

    limit: Limit | None
    max_array_size: int
    cluster: str = ""

    @property
    def left(self) -> int | None:
        """How many more jobs; None when no limit is known."""
        return self.limit.left if self.limit else None


@immutable
class Fed:
    """What became of the tasks that were to be submitted.

    Attributes:
        jobs: Submission number → job id.
        submitted: How many tasks were submitted.
        waiting: Tasks the site does not take now.
        why: Which limit they wait for; empty when none waits.
    """

    jobs: Mapping[int, str] = field(default_factory=dict)
    submitted: int = 0
    waiting: tuple[Assignment, ...] = ()
    why: str = ""

    def __str__(self) -> str:
        """Say it in one sentence; empty when nothing waits."""
        if not self.waiting:
            return ""
        asked = self.submitted + len(self.waiting)
        return (
            f"{self.submitted} of {asked} submitted ({self.why}); run the same command again later, or let submit "
            "--follow send the rest"
        )


def room_for(profile: ClusterProfile) -> Room:
    """Ask how many more jobs the site takes from this user now; what cannot be asked is no limit."""
    user = pwd.getpwuid(os.getuid()).pw_name  # squeue's name; LOGNAME may say anything
    account, qos, partition = (
        getattr(profile, name) or profile.directives.get(name, "") for name in ("account", "qos", "partition")
    )
    site = slurm_site.read_site(user, account=account, qos=qos, partition=partition)
    limits = limits_of(site, user, _load(site), profile.max_submit)
    most = min(profile.max_array_size, site.max_array_size or profile.max_array_size)
    return Room(tightest(limits), most, site.cluster)


def _load(site: Site) -> list[Queued]:
    try:
        return slurm.query_load(everybody=site.counts_others)
    except HpcError:
        return []


def feed(layout: RunLayout, frozen: Frozen, assignments: Sequence[Assignment], terms: Terms = AT_ONCE) -> Fed:
    """Submit what the site takes now, retries first, in arrays of the site's size.

    When sbatch refuses all the same (a limit that could not be read, or that others share), half as much is tried.

    Raises:
        InputError: A script cannot be rendered.
        TemporaryError: Slurm did not answer. What was submitted has its receipt; the same call goes on with the rest.
        SlurmError: Slurm refused a script for what it asks.
    """
    if not assignments:
        return Fed()
    room = room_for(frozen.profile)
    profile = replace(frozen.profile, max_array_size=room.max_array_size)
    frozen = replace(frozen, profile=profile)
    waiting, why = in_order(assignments), str(room.limit or "")
    left = len(waiting) if room.left is None else min(room.left, len(waiting))  # elements: a task is at most one
    jobs: dict[int, str] = {}
    live, unused = _counted(layout, profile, terms), Unused(layout)
    while left and waiting:
        taken = set[str]()
        for plan in through("submitting arrays", plan_arrays(waiting[: fitting(waiting, profile, left)], profile)):
            asked = plan.asked
            found = place(asked, plan.elements, profile, live) if profile.max_gpus else Place()
            own_terms = terms.at(found, most_at_once(asked, profile))
            try:
                prepared = prepare_submissions(layout, frozen, plan.assignments, unused)
                submitted = submit_to_slurm(layout, prepared, own_terms, room.cluster)
            except slurm_client.SubmitLimitReached as refusal:
                left, why = plan.elements // 2, f"Slurm: {refusal}"
                break
            jobs |= submitted
            live += [as_live(job, asked, plan.elements, found) for job in submitted.values()]
            taken.update(each.task.task_id for each in plan.assignments)
            left -= plan.elements
        waiting = [each for each in waiting if each.task.task_id not in taken]
    return Fed(jobs, len(assignments) - len(waiting), tuple(waiting), why if waiting else "")


def _counted(layout: RunLayout, profile: ClusterProfile, terms: Terms) -> list[LiveArray]:
    """The arrays whose GPUs count against `max_gpus`: not those that are over before anything new begins.

    Raises:
        TemporaryError: Slurm did not answer.
    """
    if not profile.max_gpus:
        return []
    over_before = {terms.canary_job, *terms.after.split(":")}
    return [each for each in arrays_in_queue(layout) if each.job not in over_before]


def resume(layout: RunLayout, unfinished: Sequence[SubmissionLayout]) -> dict[int, str]:
    """Go on with submissions somebody began and died over; one the site does not take now waits with the others."""
    jobs: dict[int, str] = {}
    for submission in through("going on with arrays", unfinished):
        try:
            jobs |= submit_to_slurm(layout, [submission])
        except slurm_client.SubmitLimitReached:  # its intent is taken back: nothing was asked of Slurm
            continue
    return jobs
