"""What one operation costs: measured by ourselves (``measured.json``, ``checked.json``), or assumed and said so."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from benchmarks.simulation.measure import KEPT


@dataclass(frozen=True)
class Costs:
    """Costs of single operations.

    Attributes:
        wrapper_metadata: Metadata operations of the wrapper on the run folder, an attempt.
        new_metadata, settled_metadata, failed_metadata: Of a collection: for a run that is new, for a finished one
            that it knows, for one that has failed for good.
        new_s, settled_s, failed_s: Seconds of processor time, likewise.
        start_s: Seconds of a collection of nothing.
        quiet_calls: Commands that a round asks Slurm with when it submits nothing, relays not counted.
        feeding_calls: What it asks besides where it has something to submit; sbatch not counted.
    """

    wrapper_metadata: float
    new_metadata: float
    settled_metadata: float
    failed_metadata: float
    new_s: float
    settled_s: float
    failed_s: float
    start_s: float
    quiet_calls: int
    feeding_calls: int


@cache
def measured() -> dict[str, Any]:
    """What was measured last."""
    content: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8"))
    return content


def slope(collections: Sequence[Mapping[str, float]], what: str) -> float:
    """What one run more costs in the larger of two collections than in the smaller, never below 0."""
    small, large = collections
    return max(0.0, (large[what] - small[what]) / (large["runs"] - small["runs"]))


QUIET_CALLS, FEEDING_CALLS = 5, 5
"""Clients that a round starts, as a counting proxy on the one-machine Slurm told (`check`): squeue for the relays
before and after, squeue and sacct for the tasks, ``scontrol show config``; and for what the site takes, ``scontrol
show partition``, three times sacctmgr, squeue."""


def our_costs() -> Costs:
    """The costs of this version."""
    found = measured()
    small = found["finished"][0]
    names = ("new_metadata", "settled_metadata", "new_cpu_s", "settled_cpu_s")
    each = {name: slope(found["finished"], name) for name in names}
    return Costs(
        wrapper_metadata=found["wrapper"]["metadata"],
        new_metadata=each["new_metadata"],
        settled_metadata=each["settled_metadata"],
        failed_metadata=slope(found["failed"], "settled_metadata"),
        new_s=each["new_cpu_s"],
        settled_s=each["settled_cpu_s"],
        failed_s=slope(found["failed"], "settled_cpu_s"),
        start_s=max(0.0, small["settled_cpu_s"] - small["runs"] * each["settled_cpu_s"]),
        quiet_calls=QUIET_CALLS,
        feeding_calls=FEEDING_CALLS,
    )
