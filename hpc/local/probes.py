"""Ending the probes of this machine's own queue: those that wait never begin, those that measure are ended."""

import signal
import time
from collections.abc import Sequence

from hpc.adapters import proc
from hpc.adapters.files import readable_record
from hpc.adapters.withdrawn import withdraw
from hpc.core.layout import RunLayout, SubmissionLayout
from hpc.core.records.probe import ProbeTask
from hpc.local.queue import QueuedElement, list_open

PATIENCE_S = 40.0
"""How long one may take to end after it was asked to: its wrapper gives its program 20 seconds itself."""
LOOK_S = 0.3


def open_probes(layout: RunLayout) -> list[QueuedElement]:
    """List the probes that wait or measure."""
    if not layout.probes.is_dir():
        return []
    return [each for each in list_open(layout) if each.measures]


def cancel_probes(layout: RunLayout, probes: Sequence[QueuedElement]) -> list[QueuedElement]:
    """Withdraw probes, ask those that measure here to end, kill what does not heed it; return what could not be ended.

    The caller holds the experiment's lock.
    """
    for each in probes:
        withdraw(SubmissionLayout(each.script.parent), cancelled=[each.run_name])
    end = time.monotonic() + PATIENCE_S
    while alive := [pid for each in probes if (pid := _process_of(each))]:
        is_late = time.monotonic() > end
        for pid in alive:
            below = proc.descendants(pid) if is_late else []
            proc.send_signal([*below, pid], signal.SIGKILL if is_late else signal.SIGTERM)
        _wait(probes, end)
    left = open_probes(layout) if probes else []
    return [each for each in probes if each in left]


def _wait(probes: Sequence[QueuedElement], end: float) -> None:
    while any(_process_of(each) for each in probes) and time.monotonic() < end:
        time.sleep(LOOK_S)


def _process_of(probe: QueuedElement) -> int | None:
    """The process of a probe that measures on this machine; None where there is none that we can see."""
    record = readable_record(probe.attempt.task_json, ProbeTask)
    return int(record.pid.split("/")[1]) if record and record.pid and proc.lives(record.pid) else None
