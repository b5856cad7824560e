"""An attempt over several nodes: srun starts a share of it on each, and what the shares tell is put together."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpc.adapters.files import readable_record, write_json
from hpc.core.errors import EXIT_CHECKPOINTED, EXIT_DONE
from hpc.core.immutable import field, immutable, replace
from hpc.core.layout import AttemptLayout
from hpc.core.records.record import Record
from hpc.core.records.task import TaskRecord
from hpc.node.supervision import Supervision


@immutable
class Share(Record):
    """What a node's wrapper leaves of its share of an attempt over several nodes; fields as in `Supervision`."""

    exit_code: int | None = None
    signal: int | None = None
    received: tuple[str, ...] = ()
    output_lost: str = ""
    unread: int = 0
    unread_example: str = ""
    cpu_seconds: float | None = None
    sampled: Mapping[str, float] = field(default_factory=dict)
    unfit: str = ""
    unfit_nodes: tuple[str, ...] = ()


def take_shares(result: Supervision, attempt: AttemptLayout, nodes: int) -> None:
    """Add what the nodes' shares tell: how the program ended, and what of its output (node 0's) was lost or unread.

    srun gives the largest code of all nodes. Where one node fails it ends the others by SIGTERM, and their 143 would
    hide the failure: the end of a node that was not asked to end counts instead, a failure before a checkpoint.
    """
    shares = {rank: told for rank in range(nodes) if (told := readable_record(_share(attempt, rank), Share))}
    own = [told for told in shares.values() if "TERM" not in told.received]
    failed = [told for told in own if told.signal or told.exit_code not in (EXIT_DONE, EXIT_CHECKPOINTED)]
    saved = [told for told in own if told.exit_code == EXIT_CHECKPOINTED and result.exit_code == EXIT_DONE]
    for told in (failed or saved)[:1]:
        result.exit_code, result.signal = told.exit_code, told.signal
    result.cpu_seconds, result.sampled = _used_together(list(shares.values()), nodes)
    own_faults = [told for told in shares.values() if told.unfit and not told.unfit.startswith("ranks:")]
    for told in (own_faults or [told for told in shares.values() if told.unfit])[:1]:
        # Who waits for a rank of an unfit node in vain is not unfit itself.
        result.unfit = told.unfit
        result.unfit_nodes = tuple(node for each in own_faults for node in each.unfit_nodes)
    if reader := shares.get(0):
        result.output_lost = reader.output_lost
        result.unread, result.unread_example = reader.unread, reader.unread_example


def _used_together(shares: Sequence[Share], nodes: int) -> tuple[float | None, dict[str, float]]:
    """What all nodes used: time and energy add up, memory is the highest, GPUs are busy on average."""
    times = [told.cpu_seconds for told in shares if told.cpu_seconds is not None]
    busy, peaks, energy = (
        [told.sampled[name] for told in shares if name in told.sampled]
        for name in ("gpu_busy", "gpu_peak_mib", "gpu_energy_j")
    )
    sampled = {"gpu_busy": sum(busy) / len(busy)} if busy else {}
    sampled |= {"gpu_peak_mib": max(peaks)} if peaks else {}
    sampled |= {"gpu_energy_j": sum(energy)} if len(energy) == nodes else {}
    return sum(times) if len(times) == nodes else None, sampled


def leave_share(result: Supervision, attempt: AttemptLayout, node_rank: int) -> None:
    """Write down how this node's share went, for node 0's wrapper.

    Raises:
        OSError: It cannot be written.
    """
    told = Share(
        result.exit_code,
        result.signal,
        tuple(result.received),
        result.output_lost,
        result.unread,
        result.unread_example,
        result.cpu_seconds,
        result.sampled,
        result.unfit,
        result.unfit_nodes,
    )
    write_json(_share(attempt, node_rank), told.to_json(), parents=False)


def _share(attempt: AttemptLayout, node_rank: int) -> Path:
    return attempt.home / f"node-{node_rank}.json"


def over_nodes(record: TaskRecord, attempt: AttemptLayout) -> TaskRecord:
    """Return the task of this node's wrapper when there are several: srun, which starts a share on each (`main`)."""
    argv = [
        "srun", f"--nodes={record.nodes}", f"--ntasks={record.nodes}", "--ntasks-per-node=1",
        "--kill-on-bad-exit=1",
        # A site's WaitTime would kill the nodes that still write their checkpoint when the first one has left.
        "--wait=0",
        # Since Slurm 22.05 a step no longer takes this from the job, and would get one core.
        f"--cpus-per-task={record.resources.cpus}",
        sys.executable, "-B", "-P", "-m", "hpc.node.supervise", str(attempt.task_json),
    ]  # fmt: skip
    return replace(
        record,
        launch=replace(record.launch, kind="plain"),
        nodes=1,
        processes=1,
        image=None,
        metrics_source=("hdf5", ""),
        argv=tuple(argv),
        environment={},  # the program's own, which each node's wrapper reads from task.json
    )
