"""What runs used of what they asked for, and where their time went, from the attempts of ``verdicts.json`` alone."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Numbers = dict[str, Any]
PARTS = ("elapsed_s", "startup_s", "checkpoint_s", "rolled_back_s", "queue_s", "productive_s")


def usage_of(tasks: Sequence[Mapping[str, Any]]) -> Numbers:
    """Every number of ``usage``: of each run with an attempt, and of all that were measured whole."""
    begun = [one for one in tasks if own(one)]
    splits = [split for one in begun if (split := where_time_went(one)) and split["ettr"] is not None]
    together = None
    if splits:
        sums = {name: total(one[name] for one in splits if one[name] is not None) for name in PARTS}
        together = {**sums, "runs": len(splits), "ettr": sums["productive_s"] / (sums["elapsed_s"] + sums["queue_s"])}
    return {
        "runs": [{**used(one), "split": where_time_went(one)} for one in begun],
        "split": together,
        "ettr": together and together["ettr"],
    }


def own(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Its attempts, without adopted ones, whose time was nobody's here."""
    return [one for one in task["attempts"] if not one.get("adopted")]


def total(values: Iterable[Any]) -> Any:
    """The sum; None of nothing, and where one is not known."""
    found = list(values)
    return sum(found) if found and None not in found else None


def share(part: Any, whole: Any) -> Any:
    """One by the other; None where one is not known or the whole is 0."""
    return part / whole if part is not None and whole else None


def used(task: Mapping[str, Any]) -> Numbers:
    """What one run used."""
    attempts = own(task)
    longest = max(attempts, key=lambda one: one.get("elapsed_s") or 0)
    highest = max(attempts, key=lambda one: one.get("peak_memory_mib") or 0)
    ran = [one for one in attempts if (one.get("elapsed_s") or 0) > 0]
    timed = [one for one in ran if one.get("cpu_seconds") is not None]
    seen = [one for one in ran if one.get("gpu_busy") is not None]
    cores = share(
        total(one["cpu_seconds"] for one in timed), total(one["elapsed_s"] * (one.get("nodes") or 1) for one in timed)
    )
    cpus = [one["cpus"] for one in attempts if one.get("cpus")]
    joules = [one["gpu_energy_j"] for one in attempts if one.get("gpu_energy_j") is not None]
    on_gpu = [one["peak_gpu_memory_mib"] for one in attempts if one.get("peak_gpu_memory_mib") is not None]
    return {
        "attempts": len(attempts),
        "longest_s": longest.get("elapsed_s"),
        "time_s": longest.get("time_s"),
        "peak_memory_mib": highest.get("peak_memory_mib"),
        "memory_mib": highest.get("memory_mib"),
        "cores": cores,
        "cpus": cpus[-1] if cpus else None,
        "gpu_busy": share(
            total(one["gpu_busy"] * one["elapsed_s"] for one in seen), total(one["elapsed_s"] for one in seen)
        ),
        "peak_gpu_memory_mib": max(on_gpu, default=None),
        "gpus": max(one.get("gpus") or 0 for one in attempts),
        "energy_j": total(joules),
        "time_share": share(longest.get("elapsed_s"), longest.get("time_s")),
        "memory_share": share(highest.get("peak_memory_mib"), highest.get("memory_mib")),
        "cpu_share": share(cores, cpus[-1] if cpus else None),
    }


def where_time_went(task: Mapping[str, Any]) -> Numbers | None:
    """The parts of one run's time that is over, and the share that counted."""
    if task["outcome"] not in ("finished", "failed"):
        return None
    attempts = own(task)
    elapsed, lost = (total(one.get(name) for one in attempts) for name in ("elapsed_s", "rolled_back_s"))
    queued = total(one.get("queue_s") for one in attempts)
    kept = [
        one for one in attempts
        if None in (one.get("rolled_back_s"), one.get("elapsed_s")) or one["rolled_back_s"] < one["elapsed_s"]
    ]  # fmt: skip
    started = total(one.get("startup_s") for one in kept)
    checkpoints = total(one.get("checkpoint_s") for one in kept)
    productive = None if None in (elapsed, lost, started) else max(0, elapsed - lost - started - (checkpoints or 0))
    waited = None if None in (elapsed, queued) else elapsed + queued
    return {
        "runs": 1, "elapsed_s": elapsed, "startup_s": started, "checkpoint_s": checkpoints, "rolled_back_s": lost,
        "queue_s": queued, "productive_s": productive, "ettr": share(productive, waited),
    }  # fmt: skip
