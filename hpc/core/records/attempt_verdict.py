"""An attempt of ``collected/verdicts.json``: what it used, how it ended, and the verdict on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpc.core.records.record import Record


@dataclass(frozen=True)
class AttemptVerdict(Record):
    """One attempt as the report reads it.

    Attributes:
        attempt: Attempt number, from 1.
        submission: Number of the submission that authorised it; 0 where nobody knows.
        job: Job it ran in; empty when nobody knows.
        directory: Its folder below the experiment's.
        state: Slurm's word; null when it was not asked, or knows nothing.
        exit_code: Exit code of the program; null where a signal ended it, or nobody knows.
        signal: Signal that ended it; null for none.
        started: Unix time; null when it never started.
        ended: Unix time; null until it is over.
        elapsed_s: Seconds it ran; null when not known.
        node: Where it ran.
        nodes: Nodes it had.
        gpus: GPUs per node.
        gpu_seconds: GPUs × nodes × duration.
        micro_batch: Samples per forward pass of one process; null where the experiment declares no batch.
        accumulation: Micro-batches per optimiser step.
        global_batch: Samples per optimiser step over all processes.
        memory_mib: Host memory asked for; null when not known.
        time_s: Time limit asked for; null when not known.
        peak_memory_mib: Most host memory measured; null when it was not.
        peak_gpu_memory_mib: Most GPU memory the program recorded, else that was sampled; null without either.
        cpus: Cores per node asked for; null when not known.
        cpu_seconds: Processor time of all its processes; null when not known.
        gpu_busy: Share of time its GPUs were busy (0–1), on average over samples; null without samples.
        gpu_energy_j: Energy of its GPUs, from samples of their power; null likewise.
        queue_s: Seconds from its submission to its start; null when not known.
        startup_s: Seconds from its start to its first metric; null where no metrics were logged while it ran.
        checkpoint_s: Seconds of writing checkpoints: the sum of a metric ``checkpoint_s``; null without one.
        rolled_back_s: Seconds whose work was lost: after the checkpoint that a later attempt went on from; all where
            none did, or where the task failed for good; null while it is open, or where that checkpoint is gone.
        changes: What differs from the attempt before, in words.
        manifest_sha: Manifest it was made from.
        seal: Digest of what was sealed with the plan.
        code_sha256: Digest of its code.
        image_sha256: Digest of its image; null without one.
        launch: How its processes were started.
        resumed_from_attempt: Number of the attempt whose checkpoint it went on from; null for a start from nothing.
        adopted: Folder it was taken in from, where it was run without this toolkit; empty for runs of ours.
        kept: Which of its files are gone, if its verdict was kept from an earlier collection; empty for none.
        unreadable: What of its folder cannot be read, and the remedy; empty for nothing.
        verdict: ``category``, ``cause``, ``rule``, ``confidence``, ``summary``, ``suggestion``, ``evidence`` (each with
            ``source``, ``line``, ``text``), ``warnings`` of a success; null until the attempt is over.
    """

    attempt: int
    submission: int
    job: str
    directory: str
    state: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    started: float | None = None
    ended: float | None = None
    elapsed_s: float | None = None
    node: str = ""
    nodes: int = 1
    gpus: int = 0
    gpu_seconds: float = 0.0
    micro_batch: int | None = None
    accumulation: int | None = None
    global_batch: int | None = None
    memory_mib: int | None = None
    time_s: int | None = None
    peak_memory_mib: float | None = None
    peak_gpu_memory_mib: float | None = None
    cpus: int | None = None
    cpu_seconds: float | None = None
    gpu_busy: float | None = None
    gpu_energy_j: float | None = None
    queue_s: float | None = None
    startup_s: float | None = None
    checkpoint_s: float | None = None
    rolled_back_s: float | None = None
    changes: tuple[str, ...] = ()
    manifest_sha: str | None = None
    seal: str | None = None
    code_sha256: str | None = None
    image_sha256: str | None = None
    launch: Mapping[str, Any] | None = None
    resumed_from_attempt: int | None = None
    adopted: str = ""
    kept: str = ""
    unreadable: str = ""
    verdict: Mapping[str, Any] | None = None
