"""Forecast and actual use, once nothing of an experiment is left: one line for people."""

from collections.abc import Sequence

from hpc.adapters.ledger import read_json_lines
from hpc.core.errors import InputError
from hpc.core.experiment.asking import asked_of_tasks
from hpc.core.failures.outcomes import LEFT, Outcome
from hpc.core.forecast.budget import GPU
from hpc.core.forecast.forecast import counts_then, forecasts_of, say_against
from hpc.core.resources import HOUR
from hpc.snapshots.remembered import Ended, Times
from hpc.snapshots.states import Snapshot, TaskState


def say_forecast_now(snapshot: Snapshot, outcomes: Sequence[Outcome]) -> str:
    """Say what was forecast and what it came to; empty while something is left, or nothing was forecast or measured."""
    if not snapshot.layout.forecasts.exists() or any(each in LEFT for each in outcomes):
        return ""
    try:
        known = forecasts_of(read_json_lines(snapshot.layout.forecasts))
    except (InputError, OSError):
        return ""
    tasks = [{name: getattr(state.task, name) for name in ("parameters", "seed", "case")} for state in snapshot.tasks]
    asked = asked_of_tasks(snapshot.manifest["spec"], tasks)
    ends = [
        (end, one.nodes * one.cpus) for state, one in zip(snapshot.tasks, asked, strict=True) for end in _ends(state)
    ]
    if not ends:
        return ""
    began = min(end.ended - end.elapsed_s for end, _ in ends)
    found = counts_then(known, began)
    if found is None:
        return ""
    gpu, core = sum(end.gpu_seconds for end, _ in ends), sum(end.elapsed_s * cores for end, cores in ends)
    return say_against(found, (gpu if found.unit == GPU else core) / HOUR, max(end.ended for end, _ in ends) - began)


def _ends(state: TaskState) -> Sequence[Ended | Times]:
    """How its attempts ended."""
    return [state.late.times] if state.late else [each.end for each in state.attempts if each.end]
