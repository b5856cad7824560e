"""Which arrays of an experiment wait or run, as the bound on its GPUs counts them."""

import contextlib
import re

from hpc.adapters.manifest_store import readable_indices
from hpc.core.errors import InputError
from hpc.core.layout import RunLayout, SubmissionLayout
from hpc.core.records.index import SubmissionIndex
from hpc.core.slurm.executions import JobRow
from hpc.core.slurm.gpu_bound import LiveArray
from hpc.submissions.holds import rows_of
from hpc.submissions.on_disk import asked_of, comment_of, logged_jobs, received_job

_THROTTLE = re.compile(r"^#SBATCH --array=\S+%(\d+)$", re.MULTILINE)


def arrays_in_queue(layout: RunLayout) -> list[LiveArray]:
    """Ask Slurm which arrays of an experiment are not over.

    Raises:
        TemporaryError: Slurm did not answer.
    """
    submissions = list(readable_indices(layout))
    if not submissions:
        return []
    by_job: dict[str, list[JobRow]] = {}
    for row in rows_of(layout):
        if not row.state.is_finished:
            by_job.setdefault(row.job.split("_")[0], []).append(row)
    found = ((job, rows, _submission_of(job, rows, submissions)) for job, rows in by_job.items())
    return [_live(job, rows, *ours) for job, rows, ours in found if ours]


def _submission_of(
    job: str, rows: list[JobRow], submissions: list[tuple[SubmissionLayout, SubmissionIndex]]
) -> tuple[SubmissionLayout, SubmissionIndex] | None:
    for each, index in submissions:
        if rows[0].comment == comment_of(index.manifest_sha, index.submission):
            return each, index
    return next((one for one in submissions if job in (received_job(one[0]), *logged_jobs(one[0]))), None)


def _live(job: str, rows: list[JobRow], submission: SubmissionLayout, index: SubmissionIndex) -> LiveArray:
    gpus = index.resources.nodes * index.resources.gpus
    at_once, after = 0, tuple[str, ...]()
    with contextlib.suppress(InputError, OSError):
        asked = asked_of(submission)
        after = tuple(re.findall(r"\d+", asked.dependency)) if asked else ()
        at_once = (asked.at_once if asked else 0) or _in_script(submission)
    return LiveArray(job, gpus, len(rows), at_once, after)


def _in_script(submission: SubmissionLayout) -> int:
    """How many elements may run at a time as the script says; 0: no bound."""
    told = _THROTTLE.search(submission.script.read_text(encoding="utf-8"))
    return int(told[1]) if told else 0
