"""From assignments to jobs: prepare scripts, and submit each once. Shared by the commands.

A submission is one sbatch call. Its folder tells how far it got (`hpc.submissions.receipts`):

    index.json, array.sbatch        prepared: nothing was asked of Slurm
    + intent.json                   somebody is about to call sbatch, or died in the middle
    + receipt.json                  Slurm took it, under the job id inside

After a crash between intent and receipt the job is found again by its comment and adopted. Should it be lost for good
and submitted again while the first still lives, the claims of the tasks keep anything from running twice.
"""

import contextlib
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

from hpc.adapters import slurm, slurm_site
from hpc.adapters.files import is_there, make_folder, move_away, publish_folder, read_record_or_none, write_text
from hpc.adapters.images import name_of_pin, pin_image
from hpc.adapters.index_file import write_index
from hpc.adapters.manifest_store import list_submissions, load_index, readable_indices
from hpc.adapters.progress import through
from hpc.adapters.sbatch import directive, render_sbatch
from hpc.adapters.withdrawn import read_withdrawn
from hpc.core.errors import InputError
from hpc.core.experiment.program import Preflight
from hpc.core.experiment.spec import ExperimentSpec, Task
from hpc.core.identity import content_hash
from hpc.core.immutable import immutable, replace
from hpc.core.layout import RunLayout, SubmissionLayout
from hpc.core.profile import ClusterProfile
from hpc.core.records.index import (
    BY_DEFAULT,
    BatchArguments,
    CheckCommand,
    Code,
    Git,
    Image,
    SanityWords,
    SubmissionIndex,
)
from hpc.core.records.submitted import Asked
from hpc.core.records.task import TaskRecord
from hpc.core.resources import Resources
from hpc.core.slurm.arrays import ArrayPlan, Assignment, plan_arrays
from hpc.core.slurm.executions import JobRow, is_job, was_refused
from hpc.core.slurm.gpu_bound import Place
from hpc.core.slurm.partitions import Choice, choose
from hpc.submissions.on_disk import comment_of, is_used, list_attempts, list_runs
from hpc.submissions.receipts import LOCAL, asked_now, submit_once, write_receipt
from hpc.submissions.sources import with_sources

ADOPTION_GRACE_S = 10.0
"""How long Slurm may take to show a job it accepted (sacct lags up to 3 s after a burst)."""
ADOPTION_POLL_S = 2.5


@immutable
class Terms:
    """What a submission waits for; kept in its intent and receipt, not in ``index.json``.

    Attributes:
        after: Slurm job, or several as ``12:15``, that have to be over, however they end.
        waits_for: Number of the submission that has to succeed first, the canary; 0: none.
        canary_job: The canary's Slurm job.
        is_canary: Whether others wait for this one to succeed.
        at_once: Most elements at a time; 0: as the script says.
        only_after: Slurm jobs, as ``12:15``, that have to end well.
    """

    after: str = ""
    waits_for: int = 0
    canary_job: str = ""
    is_canary: bool = False
    at_once: int = 0
    only_after: str = ""

    @property
    def dependency(self) -> str:
        """As ``sbatch --dependency`` takes it; empty for none."""
        kinds = (("afterany", self.after), ("afterok", self.canary_job), ("afterok", self.only_after))
        return ",".join(f"{kind}:{jobs}" for kind, jobs in kinds if jobs)

    def signed(self, cluster: str = "") -> Asked:
        """What intent and receipt say: these terms, asked by this process now."""
        return asked_now(
            cluster=cluster,
            dependency=self.dependency,
            waits_for=self.waits_for,
            is_canary=self.is_canary,
            at_once=self.at_once,
        )

    def at(self, place: Place, most: int = 0) -> "Terms":
        """These terms, and those of a place among other arrays.

        Args:
            place: That place.
            most: Most elements at a time as the script says; 0: it says nothing.
        """
        bounds = filter(None, (self.at_once, place.at_once, most if self.at_once else 0))
        return replace(self, after=":".join(filter(None, (self.after, *place.after))), at_once=min(bounds, default=0))


AT_ONCE = Terms()
"""Nothing is waited for."""


@immutable
class Frozen:
    """What every submission of one manifest shares, as it stands in ``index.json``.

    Attributes:
        python: Interpreter of the wrapper.
        use_container: False runs the host's own environment although the manifest names an image.
        rehearses: Whether nothing may be written, not even a second name of the image.
        is_canary: Whether others wait for these tasks: they climb the ladder of checks first, where there is one.
    """

    spec: ExperimentSpec
    profile: ClusterProfile
    manifest: Mapping[str, Any]
    python: str
    use_container: bool = True
    rehearses: bool = False
    is_canary: bool = False

    def index(self, plan: ArrayPlan) -> SubmissionIndex:
        """Everything the wrapper on the compute node needs, so that it reads one file; not numbered yet."""
        provenance = self.manifest["provenance"]
        git = provenance["git"]
        return SubmissionIndex(
            experiment=self.spec.name,
            manifest_sha=self.manifest["sha256"],
            submission=0,
            created=0.0,
            scheduler=self.profile.scheduler,
            program=replace(self.spec.program, inputs=provenance.get("inputs", {})),
            launch=self.spec.launch,
            resources=plan.resources,
            code=self.copies[0],
            toolkit=self.copies[1] if len(self.copies) > 1 else None,
            entries=tuple(assignment.element for assignment in plan.assignments),
            seal=self.manifest.get("seal"),
            batch=self._batch_arguments(),
            metrics_source=self.spec.metrics.source,
            primary_metric=self.spec.metrics.primary.name,
            container=self._image(),
            git=None if git is None else Git.from_json(git),
            environment=self.spec.environment,
            profile_environment=self.profile.environment,
            wandb=self._wandb(),
            signal_lead_s=self.profile.signal_lead_s,
            exclude_nodes=plan.exclude_nodes,
            check=self._check(),
            sanity=self._sanity(),
            pack=plan.pack if plan.pack.tasks > 1 else None,
            watch=self.spec.watch,
            preflight=self._preflight(),
        )

    @property
    def copies(self) -> tuple[Code, ...]:
        """The frozen copies of code: the user's, and ours; one that holds both, of earlier versions."""
        provenance = self.manifest["provenance"]
        return tuple(Code.from_json(provenance[name]) for name in ("code", "toolkit") if name in provenance)

    @property
    def own_code(self) -> Path:
        """The copy that the wrapper runs from."""
        return Path(self.copies[-1].path)

    def _batch_arguments(self) -> BatchArguments | None:
        batch = self.spec.batch
        if batch is None:
            return None
        return BatchArguments(batch.parameter, batch.accumulation_parameter, batch.shape, self.spec.retry.min_micro)

    def _wandb(self) -> dict[str, str]:
        """What the experiment says of wandb, and what it is to find out; without a word, that it says nothing."""
        goal = self.spec.brief.get("goal")
        return {**(self.spec.wandb or {BY_DEFAULT: "yes"}), **({"notes": str(goal)} if goal else {})}

    def _check(self) -> CheckCommand | None:
        check = self.spec.check
        return CheckCommand(check.command, check.time_s) if check and check.command else None

    def _sanity(self) -> SanityWords | None:
        sanity = self.spec.sanity
        return SanityWords(sanity.words, sanity.time_s) if sanity and self.is_canary else None

    def _preflight(self) -> Preflight | None:
        """What the experiment asks of a node; of its GPUs, where it says nothing, what the profile asks for."""
        asked = self.spec.preflight
        return replace(asked, gpu=asked.gpu or self.profile.gpu_type) if asked else None

    def _image(self) -> Image | None:
        image = self.manifest["provenance"]["image"]
        if image is None or not self.use_container:
            return None
        pinned = str((name_of_pin if self.rehearses else pin_image)(Path(image["path"]), image["sha256"]))
        binds = (*self.profile.binds, *self.spec.container.binds)
        runtime = self.spec.container.runtime
        return Image(self.profile.apptainer, pinned, image["sha256"], binds, self.profile.gpu_vendor, runtime=runtime)


def cluster_of(frozen: Frozen) -> str:
    """Name the cluster that tasks go to, as Slurm calls it; empty without Slurm, or where it does not say."""
    return (slurm_site.read_config_value("ClusterName") or "") if frozen.profile.scheduler == "slurm" else ""


class Unused:
    """The arrays that were prepared and that nobody has asked for yet, read once; and the next number for a new one."""

    def __init__(self, layout: RunLayout) -> None:
        self.number = 1 + max((each.number for each in list_submissions(layout)), default=0)
        self._found: dict[tuple[str, int], list[tuple[SubmissionLayout, SubmissionIndex]]] = {}
        for each, index in readable_indices(layout):
            if not is_used(each):
                self._found.setdefault(_mark(index), []).append((each, index))

    def find(self, index: SubmissionIndex) -> SubmissionLayout | None:
        """Return the one that says all that is asked now; None where there is none."""
        candidates = self._found.get(_mark(index), ())
        return next((each for each, prepared in candidates if _is_same(index, prepared)), None)


def _mark(index: SubmissionIndex) -> tuple[str, int]:
    """What two arrays that say the same have in common, and most others do not."""
    return index.entries[0].task_id, len(index.entries)


def prepare_submissions(
    layout: RunLayout, frozen: Frozen, assignments: Sequence[Assignment], unused: Unused | None = None
) -> list[SubmissionLayout]:
    """Write a folder for each array these assignments need; a folder with equal content that is still unused is taken.

    Args:
        unused: What was prepared, where it was read before.

    Raises:
        InputError: A script cannot be rendered, or one was changed since; nothing was written.
    """
    unused = unused or Unused(layout)
    return [
        known or _write_submission(layout, frozen, plan, index, unused)
        for plan, index, known in _needed(layout, frozen, assignments, unused)
    ]


def _needed(
    layout: RunLayout, frozen: Frozen, assignments: Sequence[Assignment], unused: Unused
) -> Iterator[tuple[ArrayPlan, SubmissionIndex, SubmissionLayout | None]]:
    """Return each array these assignments need with the folder that is there for it, unused, if there is one."""
    if frozen.profile.scheduler == "slurm":  # also for a script that was written for this machine's own queue
        directive(layout.submissions)
    for plan in through("writing arrays", plan_arrays(assignments, frozen.profile)):
        index = with_sources(layout, frozen.spec, frozen.index(plan))
        if known := unused.find(index):
            check_script(known)
        yield plan, index, known


@immutable
class Rehearsed:
    """A submission as it would be prepared.

    Attributes:
        number: Its number, unless somebody else takes it before.
        index: What its elements would read.
        script: The whole array script.
    """

    number: int
    index: SubmissionIndex
    script: str


def rehearse_submissions(layout: RunLayout, frozen: Frozen, assignments: Sequence[Assignment]) -> list[Rehearsed]:
    """Return what `prepare_submissions` would write; nothing is written.

    Raises:
        InputError: A script cannot be rendered, or one was changed since.
    """
    frozen, unused, rehearsed = replace(frozen, rehearses=True), Unused(layout), []
    for plan, index, known in _needed(layout, frozen, assignments, unused):
        number = known.number if known else unused.number
        script = known.script.read_text(encoding="utf-8") if known else _script(layout, frozen, plan, number)
        rehearsed.append(Rehearsed(number, index, script))
        unused.number += known is None
    return rehearsed


def _is_same(index: SubmissionIndex, prepared: SubmissionIndex) -> bool:
    """Whether a submission that was prepared says all that is asked now."""
    asked, there = (replace(each, submission=0, created=0.0, script_sha256="") for each in (index, prepared))
    # What was read holds lists where what is asked holds tuples: as JSON they are the same.
    return asked == there or content_hash(asked.to_json()) == content_hash(there.to_json())


def check_script(submission: SubmissionLayout) -> None:
    """Raise InputError where an array script is not what was rendered; older indices record nothing to compare."""
    recorded = load_index(submission).script_sha256
    if recorded and sha256(submission.script.read_bytes()).hexdigest() != recorded:
        raise InputError(
            f"has changed since it was planned, so it is not submitted. For a new one: {move_away(submission.home)} && "
            f"python -m hpc.submit {load_index(submission).experiment}. If the change is intended: sbatch it yourself",
            str(submission.script),
        )


def _write_submission(
    layout: RunLayout, frozen: Frozen, plan: ArrayPlan, index: SubmissionIndex, unused: Unused
) -> SubmissionLayout:
    """Publish a folder under the next free number; it is complete before anybody can see it."""
    while True:
        final = layout.submission(unused.number)
        unused.number += 1
        if publish_array(final, index, _script(layout, frozen, plan, final.number)):
            return final


def choose_partitions(profile: ClusterProfile, resources: Resources) -> Choice | None:
    """Choose among a site's partitions for a task, by what Slurm says of them now; None where there is no choice."""
    if "," not in profile.partition or profile.scheduler != "slurm":
        return None
    return choose(resources, profile, slurm_site.read_node_kinds(profile.partition))


def in_partitions(profile: ClusterProfile, resources: Resources) -> ClusterProfile:
    """Return the profile with those of its partitions that can run a task."""
    choice = choose_partitions(profile, resources)
    return replace(profile, partition=",".join(choice.taken)) if choice else profile


def _script(layout: RunLayout, frozen: Frozen, plan: ArrayPlan, number: int) -> str:
    return render_sbatch(
        plan,
        in_partitions(frozen.profile, plan.asked),
        layout.submission(number),
        experiment=frozen.spec.name,
        comment=comment_of(frozen.manifest["sha256"], number),
        code=frozen.own_code,
        python=frozen.python,
    )


def publish_array(final: SubmissionLayout, index: SubmissionIndex, script: str) -> bool:
    """Write index and script, complete before anybody can see them; False when somebody else took the number."""
    temporary = SubmissionLayout(final.home.with_name(f".{final.home.name}.{secrets.token_hex(4)}.tmp"))
    try:
        make_folder(temporary.logs)
        recorded = replace(
            index, submission=final.number, created=time.time(), script_sha256=sha256(script.encode()).hexdigest()
        )
        write_index(temporary.index, recorded.to_json())
        write_text(temporary.script, script, mode=0o700)
        return publish_folder(temporary.home, final.home)
    finally:
        shutil.rmtree(temporary.home, ignore_errors=True)  # not there any more when it was published


def never_asked(layout: RunLayout, tasks: Iterable[Task], making_way: Collection[str] = ()) -> list[Task]:
    """The tasks that no submission anybody used holds, and that have no attempt: by the run folder alone.

    Args:
        making_way: Run names whose folders are about to be set aside.
    """
    taken = {
        entry.task_id
        for each, index in readable_indices(layout)
        if is_used(each)
        for aside in [read_withdrawn(each).set_aside]
        for entry in index.entries
        if entry.run_name not in aside
    }
    untaken = [task for task in tasks if task.task_id not in taken]
    begun = {each for each in list_runs(layout) if each not in making_way and list_attempts(layout, each)}
    return [task for task in untaken if task.run_name not in begun]


def link_scripts(layout: RunLayout, submissions: Sequence[SubmissionLayout], rendered: Path) -> list[Path]:
    """Link the newest scripts as ``manifests/rendered/NAME/array.sbatch`` (``array-2.sbatch``, …)."""
    folder = rendered / layout.experiment
    make_folder(folder, 0o700)
    for old in folder.glob("array*.sbatch"):
        if old.is_symlink():
            old.unlink()
    links = []
    for position, submission in enumerate(submissions, start=1):
        link = folder / ("array.sbatch" if position == 1 else f"array-{position}.sbatch")
        link.symlink_to(submission.script)
        links.append(link)
    return links


def half_submitted(layout: RunLayout) -> list[SubmissionLayout]:
    """Submissions with an intent and no receipt, somebody died between; not those of which nothing is wanted."""
    begun = [each for each in list_submissions(layout) if is_there(each.intent) and not is_there(each.receipt)]
    return [each for each in begun if not _is_withdrawn(each)]


def _is_withdrawn(submission: SubmissionLayout) -> bool:
    """Whether every element of a submission was cancelled or set aside."""
    if not is_there(submission.withdrawn):
        return False
    withdrawn = read_withdrawn(submission)
    return all(entry.run_name in withdrawn for entry in load_index(submission).entries)


def submit_to_slurm(
    layout: RunLayout, submissions: Sequence[SubmissionLayout], terms: Terms = AT_ONCE, cluster: str | None = None
) -> dict[int, str]:
    """Submit what has no receipt yet; what was begun keeps the terms it had. The caller holds the experiment's lock.

    Args:
        cluster: The cluster's name where Slurm was asked for it before; empty when it did not say.

    Returns:
        Submission number → job id, those adopted after a crash included.

    Raises:
        TemporaryError: Slurm did not answer. What was submitted has its receipt; the same call goes on with the rest.
        SlurmError: Slurm refused a script; its intent is taken back.
    """
    if cluster is None:
        cluster = (slurm_site.read_config_value("ClusterName") or "") if submissions else ""
    return {each.number: _submit(layout, each, terms.signed(cluster)) for each in submissions}


def _submit(layout: RunLayout, submission: SubmissionLayout, asked: Asked) -> str:
    return submit_once(
        submission,
        asked,
        send=lambda asked: slurm.submit_script(submission.script, asked.dependency, array=_array(submission, asked)),
        find=lambda begun: _find_job(layout, submission, begun.time),
    )


def _array(submission: SubmissionLayout, asked: Asked) -> str:
    """What sbatch is told of the array besides the script; empty where the script says all."""
    return f"0-{load_index(submission).elements - 1}%{asked.at_once}" if asked.at_once else ""


def _find_job(
    layout: RunLayout, submission: SubmissionLayout, since: float, sleep: Callable[[float], None] = time.sleep
) -> str | None:
    """Find the job of a submission whose receipt was never written; None when Slurm surely does not know it."""
    index = load_index(submission)
    wanted = comment_of(index.manifest_sha, index.submission)
    left = min(ADOPTION_GRACE_S, since + ADOPTION_GRACE_S - time.time())
    while True:
        rows = chain(slurm.query_queue(layout.experiment), _accounting(layout, since))
        if found := next((row.job for row in rows if row.comment == wanted and not was_refused(row)), None):
            return found.split("_")[0]
        if left <= 0:
            break
        sleep(min(left, ADOPTION_POLL_S))
        left -= ADOPTION_POLL_S
    claimed = _claimed_job(layout, index)
    return claimed.split("_")[0] if claimed else None


def _accounting(layout: RunLayout, since: float) -> Iterator[JobRow]:
    """What sacct says, asked only when somebody reads on: what the queue shows needs no accounting."""
    yield from slurm.query_accounting(layout.experiment, since) or []


def _claimed_job(layout: RunLayout, index: SubmissionIndex) -> str | None:
    """Find the job id in the records its tasks left, for sites that keep neither queue nor accounting long enough."""
    for entry in index.entries:
        with contextlib.suppress(InputError):  # damaged, it tells nothing
            record = read_record_or_none(layout.task(entry.run_name).attempt(entry.attempt).task_json, TaskRecord)
            if record and record.submission == index.submission and is_job(record.job):
                return record.job
    return None


def backend_of(layout: RunLayout, frozen: Frozen) -> Frozen:
    """Go on where the newest submission went: a plan for Slurm may have been submitted to this machine instead."""
    newest = _newest_used(layout)
    if newest is None or newest.scheduler == frozen.profile.scheduler:
        return frozen
    profile = replace(frozen.profile, scheduler=newest.scheduler)
    return replace(frozen, profile=profile, use_container=newest.container is not None)


def _newest_used(layout: RunLayout) -> SubmissionIndex | None:
    """The newest index that somebody submitted and that can be read."""
    for each in reversed(list_submissions(layout)):
        if is_used(each):
            with contextlib.suppress(InputError):
                return load_index(each)
    return None


def submit_to_local_queue(submissions: Sequence[SubmissionLayout], terms: Terms = AT_ONCE) -> None:
    """Hand arrays to this machine's own queue (`hpc.local.runner`), which takes whatever has such a receipt."""
    for submission in submissions:
        if not is_there(submission.receipt):
            write_receipt(submission, replace(terms.signed(), job=LOCAL))
