"""From assignments to jobs: prepare scripts, write the intent, call sbatch, write the receipt. Shared by the commands.

A submission is one sbatch call. Its folder tells how far it got:

    index.json, array.sbatch        prepared: nothing was asked of Slurm
    + intent.json                   somebody is about to call sbatch, or died in the middle
    + receipt.json                  Slurm took it, under the job id inside

After a crash between intent and receipt the job is found again by its comment and adopted. Should it be lost for good
and submitted again while the first still lives, the claims of the tasks keep anything from running twice.
"""

import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hpc.adapters import slurm
from hpc.adapters.files import publish_folder, read_json_or_none, write_json, write_text
from hpc.adapters.images import pin_image
from hpc.adapters.manifest_store import SCHEMA, list_submissions, load_index
from hpc.adapters.sbatch import render_sbatch
from hpc.core.arrays import ArrayPlan, Assignment, plan_arrays
from hpc.core.identity import content_hash
from hpc.core.layout import RunLayout, SubmissionLayout, attempt_number
from hpc.core.resources import ClusterProfile
from hpc.core.spec import ExperimentSpec

ADOPTION_GRACE_S = 10.0
"""How long Slurm may take to show a job it accepted (sacct lags up to 3 s after a burst)."""
ADOPTION_POLL_S = 2.5
_TERMS = ("dependency", "waits_for", "is_canary")


@dataclass(frozen=True)
class Terms:
    """What a submission waits for; kept in its intent and receipt, not in ``index.json``.

    Attributes:
        after: Slurm job, or several as ``12:15``, that have to be over, however they end.
        waits_for: Number of the submission that has to succeed first, the canary; 0: none.
        canary_job: The canary's Slurm job.
        is_canary: Whether others wait for this one to succeed.
    """

    after: str = ""
    waits_for: int = 0
    canary_job: str = ""
    is_canary: bool = False

    @property
    def dependency(self) -> str:
        """As ``sbatch --dependency`` takes it; empty for none."""
        kinds = (("afterany", self.after), ("afterok", self.canary_job))
        return ",".join(f"{kind}:{jobs}" for kind, jobs in kinds if jobs)

    def to_json(self) -> dict[str, Any]:
        """What intent and receipt say of it; nothing where there is nothing to say."""
        told = {"dependency": self.dependency, "waits_for": self.waits_for, "is_canary": self.is_canary}
        return {name: value for name, value in told.items() if value}


@dataclass(frozen=True)
class Frozen:
    """What every submission of one manifest shares, as it stands in ``index.json``.

    Attributes:
        python: Interpreter of the wrapper.
        use_container: False runs the host's own environment although the manifest names an image.
        terms: What the next submissions wait for; not in ``index.json``.
    """

    spec: ExperimentSpec
    profile: ClusterProfile
    manifest: Mapping[str, Any]
    python: str
    use_container: bool = True
    terms: Terms = Terms()

    def index(self, plan: ArrayPlan) -> dict[str, Any]:
        """Everything the wrapper on the compute node needs, so that it reads one file."""
        provenance = self.manifest["provenance"]
        batch = self.spec.batch
        return {
            "kind": "submission",
            "schema": SCHEMA,
            "experiment": self.spec.name,
            "manifest_sha": self.manifest["sha256"],
            "seal": self.manifest.get("seal"),
            "scheduler": self.profile.scheduler,
            "program": asdict(self.spec.program),
            "launch": asdict(self.spec.launch),
            "resources": asdict(plan.resources),
            "batch": {
                "parameter": batch.parameter,
                "accumulation_parameter": batch.accumulation_parameter,
                "shape": list(batch.shape) if batch.shape is not None else None,
                "min_micro": self.spec.retry.min_micro,
            }
            if batch
            else None,
            "metrics_source": list(self.spec.metrics.source),
            "primary_metric": self.spec.metrics.primary.name,
            "container": self._container(),
            "code": provenance["code"],
            "git": provenance["git"],
            "environment": dict(self.spec.environment),
            "wandb": dict(self.spec.wandb) if self.spec.wandb else None,
            "signal_lead_s": self.profile.signal_lead_s,
            "exclude_nodes": list(plan.exclude_nodes),
            "entries": [assignment.to_json() for assignment in plan.assignments],
        }

    def _container(self) -> dict[str, Any] | None:
        image = self.manifest["provenance"]["image"]
        if image is None or not self.use_container:
            return None
        return {
            "apptainer": self.profile.apptainer,
            "path": str(pin_image(Path(image["path"]), image["sha256"])),
            "sha256": image["sha256"],
            "binds": [*self.profile.binds, *self.spec.container.binds],
        }


def comment_of(manifest_sha: str, number: int) -> str:
    """The mark by which a submission's job is found again."""
    return f"{manifest_sha[:16]}/{number:03d}"


def prepare_submissions(layout: RunLayout, frozen: Frozen, assignments: Sequence[Assignment]) -> list[SubmissionLayout]:
    """Write a folder for each array these assignments need; a folder with equal content that is still unused is taken.

    Raises:
        InputError: A script cannot be rendered; nothing was written.
    """
    unused = {_digest(load_index(each)): each for each in list_submissions(layout) if not is_used(each)}
    prepared = []
    for plan in plan_arrays(assignments, frozen.profile):
        index = frozen.index(plan)
        known = unused.get(content_hash(index))
        prepared.append(known or _write_submission(layout, frozen, plan, index))
    return prepared


def _digest(index: Mapping[str, Any]) -> str:
    return content_hash({key: value for key, value in index.items() if key not in ("submission", "created")})


def _write_submission(layout: RunLayout, frozen: Frozen, plan: ArrayPlan, index: Mapping[str, Any]) -> SubmissionLayout:
    """Give the next free number to a folder that is complete before anybody can see it."""
    number = max((each.number for each in list_submissions(layout)), default=0) + 1
    while True:
        final = layout.submission(number)
        script = render_sbatch(
            plan,
            frozen.profile,
            final,
            experiment=frozen.spec.name,
            comment=comment_of(frozen.manifest["sha256"], number),
            code=Path(frozen.manifest["provenance"]["code"]["path"]),
            python=frozen.python,
        )
        if publish_array(final, index, script):
            return final
        number += 1


def publish_array(final: SubmissionLayout, index: Mapping[str, Any], script: str) -> bool:
    """Write index and script, complete before anybody can see them; False when somebody else took the number."""
    temporary = SubmissionLayout(final.home.with_name(f".{final.home.name}.{secrets.token_hex(4)}.tmp"))
    try:
        temporary.logs.mkdir(parents=True, mode=0o700)
        write_json(temporary.index, {**index, "submission": final.number, "created": time.time()})
        write_text(temporary.script, script, mode=0o700)
        return publish_folder(temporary.home, final.home)
    finally:
        shutil.rmtree(temporary.home, ignore_errors=True)  # not there any more when it was published


def is_used(submission: SubmissionLayout) -> bool:
    """Whether anybody asked Slurm for it, by us or by a plain ``sbatch`` (whose elements leave a log)."""
    return submission.intent.exists() or submission.receipt.exists() or bool(logged_jobs(submission))


def logged_jobs(submission: SubmissionLayout) -> list[str]:
    """Array job ids whose elements left a log (``12_3.log``)."""
    logs = submission.logs.iterdir() if submission.logs.is_dir() else ()
    return sorted({path.name.split("_")[0] for path in logs if path.name[:1].isdecimal()})


def submitted_tasks(layout: RunLayout) -> set[str]:
    """Ids of the tasks that somebody has asked Slurm for, in any submission."""
    used = [load_index(each) for each in list_submissions(layout) if is_used(each)]
    return {entry["task_id"] for index in used for entry in index["entries"]}


def link_scripts(layout: RunLayout, submissions: Sequence[SubmissionLayout], rendered: Path) -> list[Path]:
    """Link the newest scripts as ``manifests/rendered/NAME/array.sbatch`` (``array-2.sbatch``, …)."""
    folder = rendered / layout.experiment
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("array*.sbatch"):
        if old.is_symlink():
            old.unlink()
    links = []
    for position, submission in enumerate(submissions, start=1):
        link = folder / ("array.sbatch" if position == 1 else f"array-{position}.sbatch")
        link.symlink_to(submission.script)
        links.append(link)
    return links


def list_attempts(layout: RunLayout, run_name: str) -> list[int]:
    """Numbers of the attempts of a task that were claimed, in order."""
    home = layout.task(run_name).home
    if not home.is_dir():
        return []
    return sorted(number for path in home.iterdir() if (number := attempt_number(path.name)))


def half_submitted(layout: RunLayout) -> list[SubmissionLayout]:
    """Submissions with an intent and no receipt: somebody died between the two."""
    return [each for each in list_submissions(layout) if each.intent.exists() and not each.receipt.exists()]


def submit_to_slurm(
    layout: RunLayout, submissions: Sequence[SubmissionLayout], terms: Terms = Terms()
) -> dict[int, str]:
    """Submit what has no receipt yet; what was begun keeps the terms it had. The caller holds the experiment's lock.

    Returns:
        Submission number → job id, those adopted after a crash included.

    Raises:
        TemporaryError: Slurm did not answer. What was submitted has its receipt; the same call goes on with the rest.
        SlurmError: Slurm refused a script; its intent is taken back.
    """
    jobs: dict[int, str] = {}
    cluster = (slurm.read_config_value("ClusterName") or "") if submissions else ""
    for submission in submissions:
        if receipt := read_json_or_none(submission.receipt):
            jobs[submission.number] = receipt["job"]
            continue
        begun = read_json_or_none(submission.intent)
        told = terms.to_json() if begun is None else {name: begun[name] for name in _TERMS if name in begun}
        job = _adopt(layout, submission) if begun is not None else None
        adopted = job is not None
        if job is None:
            write_json(submission.intent, {**_signature(cluster), **told})
            try:
                job = slurm.submit_script(submission.script, told.get("dependency", ""))
            except slurm.SlurmError:
                submission.intent.unlink()  # refused for certain: nothing to look for
                raise
        write_json(submission.receipt, {**_signature(cluster), **told, "job": job, "adopted": adopted})
        jobs[submission.number] = job
    return jobs


def _signature(cluster: str = "") -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "time": time.time(), "cluster": cluster}


def _adopt(layout: RunLayout, submission: SubmissionLayout, sleep: Callable[[float], None] = time.sleep) -> str | None:
    """Find the job of a submission whose receipt was never written; None when Slurm surely does not know it."""
    index = load_index(submission)
    wanted = comment_of(index["manifest_sha"], index["submission"])
    intent = read_json_or_none(submission.intent) or {"time": time.time()}
    left = min(ADOPTION_GRACE_S, intent["time"] + ADOPTION_GRACE_S - time.time())
    while True:
        rows = slurm.query_queue(layout.experiment)
        rows += slurm.query_accounting(layout.experiment, intent["time"]) or []
        for row in rows:
            if row.comment == wanted:
                return row.job.split("_")[0]
        if left <= 0:
            break
        sleep(min(left, ADOPTION_POLL_S))
        left -= ADOPTION_POLL_S
    claimed = _claimed_job(layout, index)
    return claimed.split("_")[0] if claimed else None


def _claimed_job(layout: RunLayout, index: Mapping[str, Any]) -> str | None:
    """Find the job id in the records its tasks left, for sites that keep neither queue nor accounting long enough."""
    for entry in index["entries"]:
        record = read_json_or_none(layout.task(entry["run_name"]).attempt(entry["attempt"]).task_json)
        if record and record["submission"] == index["submission"]:
            return str(record["job"])
    return None


def backend_of(layout: RunLayout, frozen: Frozen) -> Frozen:
    """Go on where the newest submission went: a plan for Slurm may have been submitted to this machine instead."""
    used = [load_index(each) for each in list_submissions(layout) if is_used(each)]
    if not used or used[-1]["scheduler"] == frozen.profile.scheduler:
        return frozen
    profile = replace(frozen.profile, scheduler=used[-1]["scheduler"])
    return replace(frozen, profile=profile, use_container=used[-1]["container"] is not None)


def submit_to_local_queue(submissions: Sequence[SubmissionLayout], terms: Terms = Terms()) -> None:
    """Hand arrays to this machine's own queue (`hpc.local_runner`), which takes whatever has such a receipt."""
    for submission in submissions:
        if not submission.receipt.exists():
            write_json(submission.receipt, {**_signature(), **terms.to_json(), "job": "local", "adopted": False})
