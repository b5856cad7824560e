"""Out of memory inside a step: all processes halve their micro-batch, and the curve stays that of the small one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpc.core.errors import InputError
from hpc.metrics import is_complete
from tests.train.train_runs import SMALL, Finished

pytestmark = pytest.mark.train
Train = Callable[..., Finished]
SIX_STEPS = ("--max_steps", "6", "--oom_in_process", "true")
LARGE = ("--demonstrations", "256", "--horizon", "100", "--d_model", "32", "--max_steps", "3", "--print_every", "1")
"""A forward and backward pass over 64 of these holds about 43 MiB, over 128 twice and over 256 four times as much."""


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Exception], None]:
    """Make every pass over more than so many samples fail with an error."""

    def limit(samples: int, error: Exception) -> None:
        from train.imitation import Batches

        unlimited = Batches.loss

        def loss(self: Batches, learner: object, rows: object) -> object:
            if not isinstance(rows, slice) and len(rows) > samples:
                raise error
            return unlimited(self, learner, rows)

        monkeypatch.setattr(Batches, "loss", loss)

    return limit


def run_short(home: Path, processes: int, rank: int, room_mib: int, *arguments: str) -> tuple[Finished, str]:
    """Start the workload as a user does, with one process short of memory from the second step on: its log too."""
    begin = [sys.executable]
    if processes > 1:
        begin += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    short = {"SHORT_RANK": str(rank), "SHORT_STEP": "2", "SHORT_MIB": str(room_mib)}
    script = str(Path(__file__).with_name("short_of_memory.py"))
    done = subprocess.run(
        [*begin, script, *SMALL["control"], *LARGE, "--output_dir", str(home), *arguments],
        # The C library then gives every large piece back when it is freed, and what is held can be foreseen.
        env={**os.environ, **short, "MALLOC_MMAP_THRESHOLD_": "65536"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180, check=False,
    )  # fmt: skip
    (home / "run.log").write_text(done.stdout)
    return Finished(home, done.returncode, done.stdout), done.stdout


def category_of(log: Path, state: str, code: str) -> str:
    """What `hpc.why` says of a log."""
    asked = [sys.executable, "-m", "hpc.why", str(log), "--state", state, "--exit", code, "--json"]
    answer = json.loads(subprocess.run(asked, capture_output=True, text=True, check=False).stdout)
    return (answer[0] if isinstance(answer, list) else answer)["category"]


def adjustments(run: Finished) -> list[dict[str, object]]:
    return json.loads((run.home / "adjustments.json").read_text())["adjustments"]


def test_one_process_goes_on_with_half(train_here: Train, tmp_path: Path) -> None:
    """The allocator refuses 256 samples in the second step: 128 from there on, the curve of a run with 128, success."""
    run, log = run_short(tmp_path / "short", 1, 0, 120, "--micro_batch_size", "256", "--oom_in_process", "true")
    small = train_here("small", *LARGE, "--micro_batch_size", "128", "--gradient_accumulation_steps", "2")

    assert run.code == 0, log
    np.testing.assert_allclose(run.losses(), small.losses(), rtol=1e-5)
    assert run.summary["final_error"] == pytest.approx(small.summary["final_error"], rel=1e-4)
    assert run.series("micro_batch") == {1: 256, 2: 128, 3: 128}
    assert (run.summary["micro_batch"], run.summary["oom_adjustments"]) == (128, 1)
    (change,) = adjustments(run)
    assert (change["step"], change["process"], change["old_micro_batch"], change["new_micro_batch"]) == (2, 0, 256, 128)
    assert (change["old_accumulation"], change["new_accumulation"]) == (1, 2)
    assert "DefaultCPUAllocator: can't allocate memory" in str(change["error"])
    assert is_complete(run.home / "metrics.h5")
    assert category_of(run.home / "run.log", "COMPLETED", "0:0") == "success"


def test_two_processes_halve_together_when_one_is_short(train_here: Train, tmp_path: Path) -> None:
    """Only the second process is refused its 128 samples; nobody hangs, both go on with 64, as if from the start."""
    run, log = run_short(tmp_path / "short", 2, 1, 60, "--micro_batch_size", "128", "--oom_in_process", "true")
    small = train_here("small", *LARGE, "--micro_batch_size", "64", "--gradient_accumulation_steps", "4")

    assert run.code == 0, log
    np.testing.assert_allclose(run.losses(), small.losses(), rtol=1e-5)
    assert run.summary["final_error"] == pytest.approx(small.summary["final_error"], rel=1e-4)
    assert run.series("micro_batch") == {1: 128, 2: 64, 3: 64}
    assert [(change["step"], change["process"]) for change in adjustments(run)] == [(2, 1)]
    assert category_of(run.home / "run.log", "COMPLETED", "0:0") == "success"


@pytest.mark.parametrize(
    "words", ["CUDA out of memory. Tried", "DefaultCPUAllocator: can't allocate memory: you tried"]
)
def test_dropout_is_that_of_the_small_micro_batch(words: str, train_here: Train, room: Callable[..., None]) -> None:
    """A step that is repeated draws its random numbers again: bit by bit the run that began with the small one."""
    drops = (*SIX_STEPS, "--lora_dropout", "0.1")
    small = train_here("small", *drops, "--micro_batch_size", "2", "--gradient_accumulation_steps", "4")
    room(3, RuntimeError(words))
    shrunk = train_here("shrunk", *drops, "--micro_batch_size", "8")

    assert np.array_equal(shrunk.losses(), small.losses())
    assert shrunk.series("micro_batch") == dict.fromkeys(range(1, 7), 2)
    assert [change["new_micro_batch"] for change in adjustments(shrunk)] == [4, 2]
    assert (small.summary["oom_adjustments"], shrunk.summary["oom_adjustments"]) == (0, 2)


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_without_it_the_curve_is_the_same(precision: str, train_here: Train) -> None:
    """A run that never was short of memory has the losses of plain training, and no file tells of changes."""
    plain = train_here("plain", "--max_steps", "6", "--mixed_precision", precision)
    watched = train_here("watched", *SIX_STEPS, "--mixed_precision", precision)

    np.testing.assert_allclose(watched.losses(), plain.losses(), rtol=1e-6)
    assert not (watched.home / "adjustments.json").exists()
    with pytest.raises(KeyError):
        plain.series("micro_batch")


def test_the_error_is_raised_where_no_smaller_one_is_left(
    train_here: Train, room: Callable[..., None], tmp_path: Path
) -> None:
    """At the floor, and for anything that is not memory, the model's own error comes through as it is."""
    import torch

    room(1, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"))
    with pytest.raises(torch.OutOfMemoryError, match=r"Tried to allocate 20.00 MiB"):
        train_here("floor", *SIX_STEPS, "--micro_batch_size", "8", "--min_micro_batch_size", "3")
    assert [change["new_micro_batch"] for change in adjustments(Finished(tmp_path / "floor", 1))] == [4]

    room(0, RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        train_here("bug", *SIX_STEPS)
    assert not (tmp_path / "bug" / "adjustments.json").exists()


@pytest.mark.parametrize(
    ("micro", "accumulation", "least", "expected"),
    [(8, 1, 1, (4, 2)), (6, 2, 1, (3, 4)), (3, 1, 1, (1, 3)), (5, 2, 2, (2, 5)), (2, 4, 2, None), (7, 1, 2, None)],
)
def test_division_keeps_every_sample(
    micro: int, accumulation: int, least: int, expected: tuple[int, int] | None
) -> None:
    """Half of it, or the largest part below that divides evenly: each step still sees the same rows of the data."""
    from train.memory import divide_further
    from train.schedule import Schedule

    before = Schedule(60, 4, micro, accumulation, 2, 0.1, 0, 7)
    after = divide_further(before, least)

    assert (after and (after.micro_batch, after.accumulation)) == expected
    if after:
        rows = [
            sorted(int(row) for m in range(each.accumulation) for rank in (0, 1) for row in each.rows(3, m, rank))
            for each in (before, after)
        ]
        assert rows[0] == rows[1]


def test_deepspeed_is_refused_with_the_way_out() -> None:
    """Its processes would wait for the one that failed; the message names what heals such a task instead."""
    from types import SimpleNamespace

    from train.memory import check_possible

    check_possible(SimpleNamespace(distributed_type=SimpleNamespace(value="MULTI_GPU")))
    with pytest.raises(InputError, match=r"not together with DeepSpeed.* collect --retry-failed"):
        check_possible(SimpleNamespace(distributed_type=SimpleNamespace(value="DEEPSPEED")))
    with pytest.raises(InputError, match=r"not together with FSDP.* collect --retry-failed"):
        check_possible(SimpleNamespace(distributed_type=SimpleNamespace(value="MULTI_GPU")), "full")
