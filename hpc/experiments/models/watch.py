"""What is looked at on the node, before a run starts and while it goes on."""

from typing import Any, Literal

from pydantic import Field

from hpc.experiments.field_types import NEVER, Factor, Memory, Patience, Silence, Word
from hpc.experiments.models.base import Model

WATCH_WORDS: dict[str, dict[str, Any]] = {"off": {"silent": NEVER}}


class PreflightModel(Model):
    """Checks of a node before a program starts on it (docs/watch.md); `preflight: true` takes all defaults.

    A node that fails is excluded at once, and the task starts on another.
    """

    gpu: Word | None = Field(
        None, description="Part of the name of each GPU: `H100`. Default: the profile's `gpu_type`."
    )
    matmul: bool = Field(
        True, description="Each process multiplies two matrices on its device, where PyTorch is installed."
    )
    all_reduce: bool = Field(
        True, description="All processes on all nodes take part in one all-reduce, where PyTorch is installed."
    )
    shm: Memory = Field("64MB", description="Minimum size of `/dev/shm`.")
    time: Patience = Field("60s", description="Time limit of the whole check, which takes a few seconds.")


def read_preflight(value: Any) -> Any:
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


class WatchModel(Model):
    """When a run counts as hung or slow (docs/watch.md). By default a run is watched but never ended.

    The wrapper checks once a minute. A run hangs when it shows no step, no output and no CPU, disk or GPU activity
    for the time given, or when it is busy without output and its stacks show that it only waits.
    """

    silent: Silence = Field(
        "20min",
        description="How long a run must show no progress: `20min`, `90s`, `2h`, or as a time limit is written; "
        "`never` turns the watch off.",
    )
    slower_than: Factor | None = Field(
        None,
        description="`3x`: a run is slow when a step takes three times as long as before, or as in most runs that "
        "differ in their seed alone. Default: off.",
    )
    act: Literal[False, "end", "resume"] = Field(
        False,
        description="`end` ends a run that hangs or is slow. `resume` also restarts it in the same allocation if "
        "it left a new checkpoint and time is left; otherwise the retry policy decides. `false` only records it.",
    )
