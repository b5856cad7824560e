"""Intent and receipt: how a job that somebody began to submit is neither lost nor submitted twice.

    intent.json     somebody is about to call sbatch, or died in the middle
    receipt.json    Slurm took it, under the job id inside

Arrays of tasks, probes and relays each have a folder with these two files, and this protocol. The caller holds
the experiment's lock.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from hpc.adapters import slurm_client
from hpc.adapters.files import is_there, read_record, read_record_or_none, write_json
from hpc.core.errors import InputError
from hpc.core.layout import SubmissionLayout
from hpc.core.records.submitted import LOCAL, Asked


def submit_once(
    files: SubmissionLayout,
    asked: Asked,
    send: Callable[[Asked], str],
    find: Callable[[Asked], str | None] = lambda _: None,
    more: Mapping[str, Any] | None = None,
) -> str:
    """Submit what has no receipt yet; return its job.

    Args:
        files: Where the two files stand.
        asked: Who asks now, and under which terms. What was begun before keeps the terms it had.
        send: Calls sbatch; gives the job.
        find: Looks for the job of an intent without receipt; None where Slurm surely does not know it.
        more: What else the intent says.

    Raises:
        InputError: Receipt or intent was damaged, or the receipt names no job.
        TemporaryError: Slurm did not answer, or not clearly. The intent stays, and the same call goes on from it.
        SlurmError: Slurm refused; the intent is taken back.
    """
    if is_there(files.receipt):
        return _received(files)
    begun = read_record_or_none(files.intent, Asked)
    if begun is not None:
        kept = {name: getattr(begun, name) for name in ("dependency", "waits_for", "is_canary", "at_once")}
        asked = replace(asked, **kept)
    job = find(begun) if begun is not None else None
    adopted = job is not None
    if job is None:
        write_json(files.intent, {**(more or {}), **asked.to_json()})
        try:
            job = send(asked)
        except slurm_client.SlurmError:
            files.intent.unlink()  # refused for certain: nothing to look for
            raise
    write_receipt(files, replace(asked, job=job, adopted=adopted, time=time.time()))
    return job


def write_receipt(files: SubmissionLayout, asked: Asked) -> None:
    """Write down that Slurm, or this machine's own queue, has it."""
    write_json(files.receipt, asked.to_json())


def asked_now(**terms: Any) -> Asked:
    """Say that this process asks now, under these terms."""
    return Asked(time=time.time(), host=socket.gethostname(), pid=os.getpid(), **terms)


def _received(files: SubmissionLayout) -> str:
    if job := read_record(files.receipt, Asked).job:
        return job
    raise InputError(
        "names no job: restore it, or remove it and let the next submit look for the job by its comment",
        str(files.receipt),
    )


__all__ = ["LOCAL", "asked_now", "submit_once", "write_receipt"]
