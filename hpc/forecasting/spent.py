"""What an experiment has cost so far, by the records of every attempt there ever was, those set aside included."""

import time
from collections.abc import Collection, Iterator
from pathlib import Path

from hpc.adapters.files import readable_record
from hpc.core.forecast.budget import Hours, hours_of
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.records.exit import ExitRecord
from hpc.core.records.task import TaskRecord
from hpc.core.resources import HOUR


def spent_hours(layout: RunLayout, running: Collection[Path] = ()) -> Hours:
    """Add up GPU and core hours: elapsed time × what was asked for.

    An attempt without a record of its end counts to the last thing it wrote.

    Args:
        running: Folders of the attempts that run: they count up to now.
    """
    now, total = time.time(), Hours()
    for attempt in _attempts(layout):
        began = readable_record(attempt.task_json, TaskRecord)
        if began is None or began.adopted:
            continue
        ended = readable_record(attempt.exit_json, ExitRecord)
        end = ended.ended if ended else _last_sign(attempt, now, attempt.home in running)
        took = hours_of(began.resources, max(0.0, end - began.started))
        # Of tasks that share GPUs in a pack the record of the end knows the share.
        total += Hours(ended.gpu_seconds / HOUR, took.core) if ended else took
    return total


def _attempts(layout: RunLayout) -> Iterator[AttemptLayout]:
    for folder in (layout.tasks, *layout.aside.glob("[0-9]*")):
        yield from (AttemptLayout(path) for path in folder.glob("*/attempt-[0-9]*") if path.is_dir())


def _last_sign(attempt: AttemptLayout, now: float, is_running: bool) -> float:
    """Unix time up to which an attempt counts that has no record of its end."""
    if is_running:
        return now
    written = [each.stat().st_mtime for each in attempt.home.iterdir() if each.is_file()]
    return max(written, default=0.0)
