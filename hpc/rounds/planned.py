"""What was planned, as a record: taken from memory where the same code read it from the same manifest before.

A manifest was checked when it was planned. Checking it once more costs as much as looking at a thousand runs, most of
it the import of pydantic.
"""

import json
from collections.abc import Mapping
from typing import Any

from hpc.core.experiment.spec import ExperimentSpec
from hpc.core.records.record import RecordError, as_json, record_from
from hpc.experiments.freezing import frozen_of
from hpc.snapshots.remembered import Memory, rooms_digest
from hpc.submissions.prepare import Frozen

_READERS = ("core", "experiments")
"""Rooms of `hpc` that say what a manifest means."""
MOST_BYTES = 1 << 18
"""A larger experiment (of thousands of points) is not remembered: `status` would read it at each look."""


def read_planned(manifest: Mapping[str, Any], memory: Memory) -> Frozen:
    """Read back what a manifest froze, as `frozen_of`.

    Args:
        memory: What is remembered of it, and is to be.
    """
    key = {"manifest_sha": manifest["sha256"], "readers": rooms_digest(_READERS)}
    told = memory.planned
    if key["readers"] and told.get("key") == key:
        try:
            return frozen_of(manifest, record_from(ExperimentSpec, told["spec"]))
        except (RecordError, LookupError, TypeError):
            pass
    frozen = frozen_of(manifest)
    memory.planned = {"key": key, "spec": spec} if (spec := _as_remembered(frozen.spec)) else {}
    return frozen


def _as_remembered(spec: ExperimentSpec) -> Any:
    """An experiment as it is remembered; None where another would be read of that, or it is large."""
    try:
        text = json.dumps(as_json(spec))
        told = json.loads(text)
        return told if len(text) <= MOST_BYTES and record_from(ExperimentSpec, told) == spec else None
    except (RecordError, TypeError, ValueError):
        return None
