"""The forecast of a plan: made of runs that are known, kept beside it; what the disk cannot hold is refused."""

import random
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from hpc.adapters.ledger import append_json_line, read_json_lines
from hpc.core.errors import InputError, Problem
from hpc.core.experiment.asking import every_resources, resources_of
from hpc.core.experiment.spec import ExperimentSpec, Task
from hpc.core.forecast.budget import CORE, GPU, hours_of, say_share
from hpc.core.forecast.forecast import Forecast, forecasts_of, limit_advice, limit_warnings, say_interval, say_memory
from hpc.core.forecast.observed import find_scaling, unlike
from hpc.core.forecast.predict import OCCASION, Interval, Sweep, predict_one, predict_sweep
from hpc.core.layout import RunLayout
from hpc.core.profile import ClusterProfile
from hpc.core.resources import Resources
from hpc.core.words import FEW, counted
from hpc.forecasting.known import Known, find_known
from hpc.forecasting.room import Room, look_at_room
from hpc.forecasting.spent import spent_hours
from hpc.local.queue import default_parallel

TIGHT = 0.8
"""Taking more than this part of what is free is worth a warning."""
SEED = 2410


def make_forecast(
    layout: RunLayout,
    spec: ExperimentSpec,
    tasks: Sequence[Task],
    manifest: Mapping[str, Any],
    profile: ClusterProfile,
    *,
    only_warns: bool = False,
) -> Forecast:
    """Forecast what a plan's runs take.

    Args:
        only_warns: Whether a disk that is too small is a warning: nothing will run here on this plan.

    Raises:
        InputError: The disk, or the quota, cannot hold what they will write.
    """
    known = find_known(layout, manifest)
    is_own = known.source == "this experiment"
    finished = {each.run_name for each in known.runs} if is_own else set()
    left = [task for task in tasks if task.run_name not in finished]
    has_gpus = any(each.gpus for each in every_resources(spec, tasks))
    disk, disk_source = _disk(spec, left, known)
    room = look_at_room(layout.root)
    too_much = find_lack(room, disk, disk_source, _files(known, left))
    if too_much and not only_warns:
        raise InputError(too_much)
    room_warnings = tuple(each.message for each in too_much) or tuple(_tight(room, disk))
    found = _of_time(spec, tasks, left, known, profile, has_gpus=has_gpus)
    asked = [resources_of(spec, task) for task in left]
    budget = ""
    if spec.budget:
        budget = say_share(spec.budget, spent_hours(layout), found.get("left_hours"), GPU if has_gpus else CORE)
    return Forecast(
        time=time.time(),
        manifest_sha=str(manifest["sha256"]),
        tasks=len(tasks),
        left=len(left),
        known=len(known.runs),
        source=known.source,
        unit=GPU if has_gpus else CORE,
        disk_mib=disk,
        disk_source=disk_source,
        at_most_hours=sum(_hours_of(each, each.time_s, has_gpus=has_gpus) for each in asked),
        budget=budget,
        **{**found, "warnings": (*found.get("warnings", ()), *room_warnings)},
    )


def chance() -> random.Random:
    """Chance that is the same each time: the same runs give the same forecast, to the digit."""
    return random.Random(SEED)  # noqa: S311  no secret


def _hours_of(asked: Resources, seconds: float, *, has_gpus: bool) -> float:
    """What a run of so many seconds costs, in GPU or core hours."""
    return hours_of(asked, seconds).of(GPU if has_gpus else CORE)


def _of_time(
    spec: ExperimentSpec,
    tasks: Sequence[Task],
    left: Sequence[Task],
    known: Known,
    profile: ClusterProfile,
    *,
    has_gpus: bool,
) -> dict[str, Any]:
    """The fields of a forecast that say how long and how much memory; none where nothing is known, or nothing left."""
    if not known.runs or not left:
        return {}
    scaling = find_scaling(known.runs)
    ratios = [each.run_s / scaling.time_s(each.arguments) for each in known.runs]

    def predict(some: Sequence[Task]) -> Sweep:
        asked = [resources_of(spec, task) for task in some]
        given = [{**known.fixed, **spec.program.args, **task.parameters} for task in some]
        times, unseen = [scaling.time_s(each) for each in given], [scaling.unseen(each) for each in given]
        weights = [_hours_of(each, known.overhead, has_gpus=has_gpus) for each in asked]
        places = at_once(asked, profile) or len(some)
        return predict_sweep(
            ratios, scaling.fitted, times, weights, places, chance(), unseen, scaling.between, OCCASION
        )

    whole, rest = predict(tasks), predict(left)
    memory = predict_one(known.peaks_mib, chance()) if known.peaks_mib else None
    planned = [{**known.fixed, **spec.program.args, **task.parameters} for task in left]
    names = {name for each in planned for name in each}
    other = [f"{name} ({said})" for name, said in unlike(known.runs, planned, scaling.argument, names).items()]
    asked = every_resources(spec, left)
    warnings = [text for each in asked for text in limit_warnings(each, rest.run_s, memory)]
    longest = max(ratios) * max(scaling.time_s(each) for each in planned)
    most = max(known.peaks_mib, default=0.0)
    advice = [] if other else [
        text for each in asked for text in limit_advice(each, rest.run_s, memory, longest, most, len(known.runs))
    ]  # fmt: skip
    if scaling.argument and (text := _beyond(scaling.argument, known, planned)):
        warnings.append(text)
    return {
        "scaled_by": scaling.argument,
        "apart_by": scaling.by,
        "not_scaled": "; ".join(other[:FEW]),
        "run_s": rest.run_s,
        "hours": whole.total,
        "left_hours": rest.total,
        "wall_s": rest.wall_s,
        "at_once": at_once([resources_of(spec, task) for task in left], profile),
        "memory_mib": memory,
        "warnings": tuple(dict.fromkeys(warnings)),
        "advice": tuple(dict.fromkeys(advice)),
    }


def _beyond(name: str, known: Known, planned: Sequence[Mapping[str, Any]]) -> str:
    """Say that runs are planned far beyond those that were seen: a line through these says little there."""
    seen = max(float(each.arguments[name]) for each in known.runs)
    most = max(float(each.get(name) or 0.0) for each in planned)
    if most <= 2 * seen:
        return ""
    return f"{name} goes to {most:g}, but no known run went beyond {seen:g}: their forecast is a guess"


def at_once(asked: Sequence[Resources], profile: ClusterProfile) -> int:
    """Runs that are at work at a time, as far as the profile bounds them; 0: nothing does."""
    if profile.scheduler == "local":
        return min(profile.max_parallel or default_parallel(), len(asked))
    bounds = [profile.max_parallel] if profile.max_parallel else []
    gpus = max((each.nodes * each.gpus for each in asked), default=0)
    if profile.max_gpus and gpus:
        bounds.append(max(1, profile.max_gpus // gpus))
    return min([*bounds, len(asked)]) if bounds else 0


# ── the disk ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _disk(spec: ExperimentSpec, left: Sequence[Task], known: Known) -> tuple[Interval | None, str]:
    """What the runs will write, in MiB: as declared, else as known runs did; and by whom that is."""
    declared = sum(resources_of(spec, task).disk_mib for task in left)
    if declared:
        return Interval(float(declared)), "resources.disk"
    sizes = [mib for mib, _ in known.disk_of_run if mib > 0]
    if not sizes or not left:
        return None, ""
    ones = [1.0] * len(left)
    total = predict_sweep(sizes, 1, ones, ones, 1, chance()).total
    return total, counted(len(sizes), "run folder")


def _files(known: Known, left: Sequence[Task]) -> float:
    """How many files and folders the runs will make; 0 where nobody knows."""
    counts = [count for _, count in known.disk_of_run]
    return statistics.median(counts) * len(left) if counts else 0.0


def find_lack(room: Room, disk: Interval | None, source: str, files: float) -> list[Problem]:
    """Say where the disk cannot hold what runs write, with the figures and what can be done."""
    problems = []
    if disk and disk.middle > room.least_mib:
        room_left = say_memory(room.least_mib)
        left = f"the quota leaves {room_left}" if room.is_by_quota else f"{room_left} are free"
        lower = "; or declare less (resources.disk)" if source == "resources.disk" else ""
        problems.append(
            Problem(
                f"the runs will write {say_interval(disk, say_memory)} (by {source}), and {left} at {room.folder}: "
                "make room, plan fewer runs, or export HPC_ROOT=FOLDER "
                f"on a larger file system{lower}",
                "disk",
            )
        )
    if room.least_files is not None and files > room.least_files:
        problems.append(
            Problem(
                f"the runs will make about {files:,.0f} files, and {room.least_files:,} may still be made at "
                f"{room.folder} (inodes or quota): remove some, or export HPC_ROOT=FOLDER on another file system",
                "disk",
            )
        )
    return problems


def _tight(room: Room, disk: Interval | None) -> Iterator[str]:
    if disk and disk.most > TIGHT * room.least_mib:
        yield (
            f"the runs may write {say_memory(disk.most)} of the {say_memory(room.least_mib)} that "
            f"{'the quota leaves' if room.is_by_quota else 'are free'} at {room.folder}"
        )


# ── kept ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def keep_forecast(layout: RunLayout, found: Forecast) -> None:
    """Add a forecast to ``forecasts.jsonl``, unless the newest says the same."""
    before = read_forecasts(layout)
    if before and _content(before[-1]) == _content(found):
        return
    append_json_line(layout.forecasts, found.to_json())


def _content(found: Forecast) -> dict[str, Any]:
    return {name: value for name, value in found.to_json().items() if name != "time"}


def read_forecasts(layout: RunLayout) -> list[Forecast]:
    """Every forecast that was made of an experiment, oldest first; lines that are none are passed over."""
    with suppress(InputError, OSError):
        return forecasts_of(read_json_lines(layout.forecasts))
    return []
