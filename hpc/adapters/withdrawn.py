"""Which elements of a submission are not to start any more: ``withdrawn.json``.

Standard library only: the wrapper on the compute node looks there before it claims.
"""

import time
from collections.abc import Iterable
from dataclasses import replace

from hpc.adapters.files import readable_record, write_json
from hpc.core.layout import SubmissionLayout
from hpc.core.records.aside import Withdrawn

NOTHING = Withdrawn()


def read_withdrawn(submission: SubmissionLayout) -> Withdrawn:
    """Read what is not to start of a submission; nothing where the file is absent or cannot be read."""
    return readable_record(submission.withdrawn, Withdrawn) or NOTHING


def withdraw(submission: SubmissionLayout, *, cancelled: Iterable[str] = (), set_aside: Iterable[str] = ()) -> None:
    """Let these runs' elements never start; what was withdrawn before keeps its time.

    The caller holds the experiment's lock.
    """
    now, known = time.time(), read_withdrawn(submission)
    wanted = replace(
        known,
        cancelled={**dict.fromkeys(cancelled, now), **known.cancelled},
        set_aside={**dict.fromkeys(set_aside, now), **known.set_aside},
    )
    if wanted != known:
        write_json(submission.withdrawn, wanted.to_json())
