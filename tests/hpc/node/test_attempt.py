"""Which attempt an execution may start, and what it finds of those before."""

from dataclasses import replace
from pathlib import Path

import pytest

from hpc.core.layout import RunLayout, complete_checkpoints
from hpc.node.attempt import find_checkpoint
from hpc.node.exit_record import recorded_environment
from hpc.node.restart import MOST_IDLE, Stint, describe_stall, idle_streak
from hpc.snapshots.evidence import checkpoint_names

LISTINGS = [
    ["step-00000002", "step-00000010"],
    ["step-00000002", "step-00000010.tmp", ".step-00000011", ".nfs000000000042"],
    [".step-00000002.tmp", ".hidden", "step-00000001.tmp"],
    [],
]


@pytest.mark.parametrize("names", LISTINGS)
def test_every_reader_of_checkpoints_finds_the_same(tmp_path: Path, names: list[str]) -> None:
    """Wrapper, collector and training name one newest checkpoint, or none, whatever else lies beside it."""
    train = pytest.importorskip("train.checkpoint")
    attempt = RunLayout(tmp_path, "e").task("r").attempt(1)
    for name in names:
        (attempt.checkpoints / name).mkdir(parents=True)
    newest = complete_checkpoints(names)[-1:]

    found = find_checkpoint(RunLayout(tmp_path, "e").task("r"), 1, 2)
    assert ([found.name] if found else []) == newest
    assert checkpoint_names(attempt.home)[-1:] == newest
    assert [path.name for path in train._complete(attempt.checkpoints)][-1:] == newest


def stint(**changed: object) -> Stint:
    """An attempt of a task of an hour that exited with 85 after a second and logged nothing."""
    return replace(Stint(True, False, 1.0, 3600.0, None), **changed)


STARTS = [
    ([stint(), stint(), stint()], 3),
    ([stint(last_step=5), stint(last_step=5), stint(last_step=3), stint()], 3),
    ([stint(last_step=5), stint(last_step=6)], 0),
    ([stint(), stint(), stint(last_step=0)], 0),
    ([stint(), stint(seconds=700.0), stint()], 1),
    ([stint(), stint(told_to_end=True), stint()], 1),
    ([stint(wants_more=False), stint(), stint()], 2),
    ([stint(seconds=40.0, time_limit_s=60.0)], 0),
    ([stint(seconds=20.0, time_limit_s=60.0)], 1),
    ([], 0),
]


@pytest.mark.parametrize(("stints", "streak"), STARTS)
def test_only_starts_that_got_nothing_done_count(stints: list[Stint], streak: int) -> None:
    """A new step, half of the time limit or ten minutes of work, and being told to end each begin the count anew."""
    assert idle_streak(stints) == streak
    assert bool(describe_stall(stints)) == (streak >= MOST_IDLE)


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("HPC_TASK_ID", "a3f9c1", True),
        ("HPC_SOMETHING", "1", False),
        (
            "CUDA_VISIBLE_DEVICES",
            "MIG-8d1b6f0c-1c5e-4f7b-9f0e-2f6f3a1b5c7d,1",
            True,
        ),
        ("CUDA_DEVICE_ORDER", "PCI_BUS_ID", True),
        ("CUDA_HOME", "/usr/local/cuda-12.4", True),
        ("NCCL_IB_HCA", "^mlx5_3:1", True),
        ("NCCL_SOCKET_IFNAME", "=eth0,ib0", True),
        ("OMP_PROC_BIND", "close", True),
        ("ACCELERATE_MIXED_PRECISION", "bf16", True),
        ("NCCL_TOKEN", "1", False),
        ("CUDA_CACHE_URL", "here", False),
        ("OMP_X", "glpat-9fK2mQ7xTz81LrWcVbNa", False),
        ("NCCL_X", "https://u:p@h/x", False),
        ("PATH", "/bin", False),
    ],
)
def test_recorded_variables_are_known_or_plain_settings(name: str, value: str, kept: bool) -> None:
    """Ours by name; those of CUDA, NCCL, OpenMP and Accelerate where the value is a number, a short word, a device."""
    assert (name in recorded_environment({name: value})) == kept
