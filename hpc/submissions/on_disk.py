"""What the run folder says of its submissions and attempts, read where nobody is asked and nothing is submitted."""

import contextlib
import os

from hpc.adapters.files import is_there, read_record_or_none
from hpc.core.errors import InputError
from hpc.core.layout import RunLayout, SubmissionLayout, attempt_number
from hpc.core.records.submitted import Asked
from hpc.core.slurm.executions import is_job


def comment_of(manifest_sha: str, number: int) -> str:
    """The mark by which a submission's job is found again."""
    return f"{manifest_sha[:16]}/{number:03d}"


def is_used(submission: SubmissionLayout) -> bool:
    """Whether anybody asked Slurm for it, by us or by a plain ``sbatch`` (whose elements leave a log)."""
    return is_there(submission.intent) or is_there(submission.receipt) or bool(logged_jobs(submission))


def logged_jobs(submission: SubmissionLayout) -> list[str]:
    """Array job ids whose elements left a log (``12_3.log``)."""
    logs = submission.logs.iterdir() if submission.logs.is_dir() else ()
    return sorted({path.stem.split("_")[0] for path in logs if is_job(path.stem)})


def list_runs(layout: RunLayout) -> list[str]:
    """Names of the runs that have a folder; one look, where ten thousand would be taken."""
    return [path.name for path in layout.tasks.iterdir()] if layout.tasks.is_dir() else []


def list_attempts(layout: RunLayout, run_name: str) -> list[int]:
    """Numbers of the attempts of a task that were claimed, in order."""
    try:
        with os.scandir(layout.task(run_name).home) as entries:
            return sorted(number for each in entries if (number := attempt_number(each.name)))
    except (FileNotFoundError, NotADirectoryError):
        return []


def asked_of(files: SubmissionLayout) -> Asked | None:
    """Read who asked the scheduler for it: the receipt, else the intent; None when nobody did.

    Raises:
        InputError: One of them cannot be read.
    """
    return read_record_or_none(files.receipt, Asked) or read_record_or_none(files.intent, Asked)


def received_job(files: SubmissionLayout) -> str:
    """The job of a receipt; empty where there is none, or none could be read."""
    with contextlib.suppress(InputError):
        receipt = read_record_or_none(files.receipt, Asked)
        return receipt.job if receipt else ""
    return ""
