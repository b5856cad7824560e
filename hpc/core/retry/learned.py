"""Micro-batches known to fit and known to fail, by shape: what one task learned spares the others its failures. Pure.

A *shape* is everything that decides how much memory one micro-batch takes: parameters, launch, devices, cluster, image
and code.
What is known is the content of ``learned.json``, merged and never forgotten:

    {"schema": 1, "kind": "learned", "shapes": {SHAPE: {
        "parameters": {…},
        "fits":  {"micro": 96,  "where": "R8_S42/attempt-2"} or null,     the largest one that fitted
        "fails": {"micro": 192, "where": "R8_S42/attempt-1"} or null}}}   the smallest one that did not
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

from hpc.core.experiment.program import Launch
from hpc.core.identity import content_hash
from hpc.core.immutable import immutable
from hpc.core.launch.program import launch_of
from hpc.core.records.index import Element, SubmissionIndex
from hpc.core.records.record import Record

SCHEMA = 1
LEARNING_RATE_NAMES = ("learning_rate", "lr")
NO_MATTER = ("seed", *LEARNING_RATE_NAMES)
"""Parameters that never change how much memory a step takes."""

Known = Mapping[str, Any]
"""The content of ``learned.json``."""

NOTHING_KNOWN: Known = {"schema": SCHEMA, "kind": "learned", "shapes": {}}


@immutable
class Sighting(Record):
    """A micro-batch, and the attempt that showed it."""

    micro: int
    where: str


@immutable
class LearnedShape(Record):
    """What is known of one shape: parameters for people, the largest micro-batch that fits, the smallest that fails."""

    parameters: Mapping[str, Any]
    fits: Sighting | None
    fails: Sighting | None


@immutable
class Learned(Record):
    """The content of ``learned.json``."""

    kind: ClassVar[str] = "learned"

    shapes: Mapping[str, LearnedShape]


@immutable
class Observation:
    """One micro-batch that was tried.

    Attributes:
        shape: As `shape_of` names it.
        parameters: Those behind the shape, for people who read the file.
        micro: Samples per forward pass of one process.
        fits: Whether it ran; False when the training device ran out of memory.
        where: Attempt that showed it, ``R8_S42/attempt-1``.
    """

    shape: str
    parameters: Mapping[str, Any]
    micro: int
    fits: bool
    where: str


def shape_parameters(parameters: Mapping[str, Any], names: Sequence[str] | None) -> dict[str, Any]:
    """Keep the parameters that matter for memory: those named, or all but the seed and the learning rate."""
    wanted = [name for name in parameters if name not in NO_MATTER] if names is None else names
    return {name: parameters[name] for name in wanted if name in parameters}


def shape_of(
    parameters: Mapping[str, Any],
    names: Sequence[str] | None,
    resources: Mapping[str, Any],
    launch: Mapping[str, Any],
    image_sha: str,
    code_sha: str,
    cluster: str = "",
) -> str:
    """Name the shape of a task: tasks of one shape need the same memory for the same micro-batch.

    Args:
        parameters: Values given to the program, fixed arguments and swept ones; without the batch's own two.
        names: Those that matter for memory (`batch.shape`); None: all but the seed and the learning rate.
        resources: Fields of `hpc.core.resources.Resources`. Where the training device is the CPU, its memory counts.
        launch: Fields of `hpc.core.experiment.program.Launch`.
        image_sha: SHA-256 of the image; empty without one.
        code_sha: SHA-256 of the code snapshot.
        cluster: Slurm's name of the cluster: another one has other devices. Empty without Slurm.

    Returns:
        12 hexadecimal digits.
    """
    devices = {name: resources[name] for name in ("nodes", "gpus")}
    if not resources["gpus"]:
        devices["memory_mib"] = resources["memory_mib"]
    return content_hash(
        {
            "parameters": shape_parameters(parameters, names),
            "devices": devices,
            "launch": dict(launch),
            "image": image_sha,
            "code": code_sha,
            **({"cluster": cluster} if cluster else {}),
        }
    )[:12]


def shape_of_element(index: SubmissionIndex, entry: Element, cluster: str = "") -> str:
    """Name the shape of one array element, as ``index.json`` describes it, on a cluster."""
    return shape_of(
        {**index.program.args, **entry.parameters, **entry.overrides},
        index.batch.shape if index.batch else None,
        asdict(index.resources),
        _launch_shape(launch_of(index, entry)),
        index.container.sha256 if index.container else "",
        index.code.sha256,
        cluster,
    )


def _launch_shape(launch: Launch) -> dict[str, Any]:
    """Fields of a launch; those of later versions only where they are used: what was learned before stays known."""
    plain, later = asdict(Launch()), ("offload", "fsdp", "fsdp_wrap", "gradient_checkpointing", "torch_compile")
    told = {name: value for name, value in asdict(launch).items() if name not in later or value != plain[name]}
    del told["rank_logs"]  # where ranks print changes no memory
    return told


def learn(known: Known, observations: Iterable[Observation]) -> Known:
    """Add what was observed: the largest micro-batch that fitted and the smallest that failed, of each shape.

    Returns:
        A new mapping; `known` itself when nothing is new. The order of the observations does not matter, except for
        which of two attempts with the same micro-batch is named: the one known first.
    """
    shapes = {shape: dict(found) for shape, found in known["shapes"].items()}
    for seen in observations:
        found = shapes.setdefault(seen.shape, {"parameters": dict(seen.parameters), "fits": None, "fails": None})
        side = "fits" if seen.fits else "fails"
        before = found[side]["micro"] if found[side] else None
        if before is None or (seen.micro > before if seen.fits else seen.micro < before):
            found[side] = {"micro": seen.micro, "where": seen.where}
    return known if shapes == known["shapes"] else {**NOTHING_KNOWN, "shapes": shapes}


def starting_micro(
    known: Known, shape: str, micro: int, global_batch: int, processes: int, min_micro: int = 1
) -> tuple[int, int, str] | None:
    """Lower a micro-batch that is known to fail, or larger than one that is; never raise one.

    To the largest one known to fit. Where none is known, to half of the smallest that failed. What both fitted and
    failed counts as failing: memory differs between devices and from run to run.

    Args:
        known: What was learned.
        shape: Of the task.
        micro: Micro-batch it would start with.
        global_batch: Samples per optimiser step over all processes, which is kept exactly.
        processes: Processes over all nodes.
        min_micro: Smallest micro-batch allowed.

    Returns:
        Micro-batch, accumulation steps and the evidence in words; None when nothing speaks against `micro`, or no
        smaller one is allowed and keeps the global batch.
    """
    found = known["shapes"].get(shape)
    if not found or not found["fails"] or micro < found["fails"]["micro"]:
        return None
    fails, fits = found["fails"], found["fits"]
    evidence = f"{fails['micro']} ran out of memory in {fails['where']}"
    most = max(min_micro, fails["micro"] // 2)
    if fits and fits["micro"] < fails["micro"]:
        most = fits["micro"]
        evidence += f", {most} fits ({fits['where']})"
    size = largest_exact(most, global_batch, processes, min_micro)
    if size is None or size >= fails["micro"]:
        return None
    return size, global_batch // (size * processes), evidence


def largest_exact(most: int, global_batch: int, processes: int, least: int = 1) -> int | None:
    """Largest micro-batch from `least` to `most` that divides the global batch over the processes; None for none."""
    return next((size for size in range(most, max(1, least) - 1, -1) if global_batch % (size * processes) == 0), None)
