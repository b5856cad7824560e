"""What a wrapper that was killed could not tidy up: the copy of the code in its attempt's working folder.

The copy goes where nothing of the attempt can run any more, and only there; what the program wrote stays, as it does at
an orderly end.
"""

from hpc.adapters import proc
from hpc.adapters.packed import has_file
from hpc.core.slurm.states import SlurmState
from hpc.snapshots.states import AttemptState, Progress

_OUT_OF_REACH = frozenset({SlurmState.NODE_FAIL, SlurmState.BOOT_FAIL, SlurmState.REVOKED})
"""Slurm lost touch with the node, or another cluster has the job: its processes may go on."""


def tidy_left_behind(attempt: AttemptState) -> None:
    """Take the copy of the code away from an attempt that left no record of its end.

    Once for an attempt of Slurm's: before its word on it is kept (`keep_scheduler_record`).
    """
    if attempt.end is not None or attempt.record is None or not is_gone(attempt) or has_file(attempt.layout.scheduler):
        return
    if attempt.layout.work.is_dir():
        from hpc.node.attempt import tidy_up

        tidy_up(attempt.record, attempt.layout)


def is_gone(attempt: AttemptState) -> bool:
    """Whether an attempt left no record of its end, and nothing of it can run any more.

    Slurm ends all processes of a job before it says that the job is over. On this machine what a program started may
    outlive a wrapper that was killed.
    """
    record, row = attempt.record, attempt.row
    if record is None or attempt.ended is not None or attempt.progress is not Progress.OVER:
        return False
    if record.scheduler == "slurm":
        return row is not None and row.state.is_finished and row.state not in _OUT_OF_REACH
    if record.pid_namespace != proc.pid_namespace() or proc.may_live(record.host, record.pid, record.pid_namespace):
        return False
    folders = (attempt.layout.home, attempt.layout.sanity)  # of the run, and of the ladder before it
    return not any(proc.started_with({"HPC_ATTEMPT_DIR": str(each)}) for each in folders)
