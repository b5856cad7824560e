"""The ladder of checks before a canary: the program with the words of `program.sanity`, one process, bounded in time.

It runs where the program will run, with its environment. What it records (metrics, ``outcome.json``) goes to a folder
of its own and is not taken for the run's; what it prints is in ``sanity.log``. Standard library only.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hpc.adapters.files import make_folder, open_regular
from hpc.core.errors import EXIT_CHECKPOINTED, EXIT_DONE, EXIT_FAILED, InputError
from hpc.core.launch.launchers import Placement
from hpc.core.launch.sanity import why_it_broke
from hpc.core.layout import AttemptLayout
from hpc.core.records.task import TaskRecord
from hpc.node.supervise import supervise
from hpc.node.supervision import Loss, Supervision

_READ = 1 << 16
"""Bytes at the end of the log in which the reason stands."""


@dataclass(frozen=True)
class _Ladder(AttemptLayout):
    """The ladder's own folder; what it prints stands beside it, in one file."""

    @property
    def stdout(self) -> Path:
        return AttemptLayout(self.home.parent).sanity_log

    @property
    def stderr(self) -> Path:
        return self.stdout


def climb(
    record: TaskRecord, attempt: AttemptLayout, find_loss: Callable[[], Loss | None] = lambda: None
) -> Supervision | None:
    """Climb the ladder; return None where it held, else how the attempt ends with it.

    Args:
        find_loss: Says why this attempt has to go, if it has to; as `supervise` takes it.

    Raises:
        OSError: The disk is full or not writable.
    """
    make_folder(attempt.sanity)
    result = supervise(_ladder(record, attempt), _Ladder(attempt.sanity), Placement(gpus=record.gpus), find_loss)
    with contextlib.suppress(OSError):  # it left something there, or the attempt is gone
        attempt.sanity.rmdir()
    is_taken_away = bool(result.loss) or any(name != "USR1" for name in result.received)
    if result.exit_code == EXIT_DONE and not is_taken_away:
        print(f"hpc: {record.run_name} sanity: it held", flush=True)
        return None
    why = "" if is_taken_away else _why(record, attempt, result)
    if why:
        print(f"hpc: {record.run_name} sanity: {why}", flush=True)
    # No code of success, and none that asks to be started again: the program itself has not begun.
    code = EXIT_FAILED if result.exit_code in (EXIT_DONE, EXIT_CHECKPOINTED) else result.exit_code
    return replace(result, exit_code=code, timed_out=False, sanity=why)


def _ladder(record: TaskRecord, attempt: AttemptLayout) -> TaskRecord:
    """The ladder as a task of this node alone, under its own clock wherever it runs."""
    time_s = record.sanity.time_s if record.sanity else 0
    # Each rung is there when it is climbed; and no tracker hears of it.
    own = {"HPC_ATTEMPT_DIR": str(attempt.sanity), "PYTHONUNBUFFERED": "1", "WANDB_MODE": "disabled"}
    return replace(
        record,
        argv=record.sanity_argv,
        launch=replace(record.launch, kind="plain"),
        nodes=1,
        processes=1,
        metrics_source=("hdf5", ""),
        environment={**record.environment, **own},
        resources=replace(record.resources, time_s=time_s),
        scheduler="local",
        signal_lead_s=0,
    )


def _why(record: TaskRecord, attempt: AttemptLayout, result: Supervision) -> str:
    """Say which rung broke; empty where a signal ended it, which speaks for itself."""
    said = why_it_broke(_last_lines(attempt.sanity_log))
    if result.timed_out:
        bound = f"it took more than {record.sanity.time_s if record.sanity else 0} s"
        return f"{bound}; its last line: {said}" if said else bound
    return "" if result.exit_code is None else said or f"exit code {result.exit_code}, without a message"


def _last_lines(log: Path) -> list[str]:
    try:
        with open_regular(log) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _READ))
            return file.read().decode("utf-8", "replace").splitlines()
    except (InputError, OSError):
        return []
