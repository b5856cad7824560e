"""Several processes, started as users start them: the same curve however the batch is divided; signals; failures.

Tolerances: DDP and ZeRO stay within 1e-5 (relative, 8 steps) of one process with the same global batch; a resume with
the same processes and the same ZeRO stage is bitwise.
"""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpc.metrics import is_complete
from tests.train.train_runs import Finished, command

pytestmark = pytest.mark.train
Train = Callable[..., Finished]
HALF = ("--max_steps", "8", "--micro_batch_size", "4", "--checkpoint_every", "4")
WHOLE = ("--max_steps", "8", "--micro_batch_size", "8", "--checkpoint_every", "4")


def test_ddp_equals_one_process_and_zero3_goes_on_from_it(train_here: Train, train_apart: Train) -> None:
    """2 × 4 samples give the curve of 1 × 8; a ZeRO-3 run continues DDP's checkpoint as if it were its own."""
    one, two = train_here("one", *WHOLE), train_apart("two", 2, *HALF)
    third = train_apart("third", 2, *HALF, "--zero_stage", "3", "--resume", two.checkpoint(4))

    assert (two.code, third.code) == (0, 0), two.stderr + third.stderr
    assert {"code": 0, "step": 8, "reason": "finished"}.items() <= two.outcome.items()
    np.testing.assert_allclose(two.losses(), one.losses(), rtol=1e-5)
    np.testing.assert_allclose(third.losses(), one.losses(after=4), rtol=1e-5)
    assert third.summary["final_error"] == pytest.approx(one.summary["final_error"], rel=1e-4)


def test_zero2_equals_one_process_and_resumes_bitwise(
    train_here: Train, train_apart: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for by the launcher's environment; its checkpoint also continues on one process with accumulation."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
    two = train_apart("two", 2, *HALF)
    resumed = train_apart("resumed", 2, *HALF, "--resume", two.checkpoint(4))
    for name in ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_DEEPSPEED_ZERO_STAGE"):
        monkeypatch.delenv(name)
    one = train_here("one", *WHOLE)
    alone = train_here("alone", *HALF, "--gradient_accumulation_steps", "2", "--resume", two.checkpoint(4))

    assert (two.code, resumed.code) == (0, 0), two.stderr + resumed.stderr
    assert np.array_equal(resumed.losses(), two.losses(after=4))
    np.testing.assert_allclose(two.losses(), one.losses(), rtol=1e-5)
    np.testing.assert_allclose(
        list(two.series("grad_norm").values()), list(one.series("grad_norm").values()), rtol=1e-4
    )
    np.testing.assert_allclose(alone.losses(), one.losses(after=4), rtol=1e-5)


def test_a_signal_to_one_process_stops_all_with_a_checkpoint(
    tmp_path: Path, train_here: Train, train_apart: Train
) -> None:
    """SIGUSR1 to the second rank alone: all leave at the same step, and the resumed run ends like an unbroken one."""
    long = ("--max_steps", "60", "--learning_rate", "0.001", "--print_every", "1", "--micro_batch_size")
    with subprocess.Popen(command(2, tmp_path / "cut", *long, "4"), stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        for line in launcher.stdout:
            if line.startswith("Step 00005"):
                os.kill(_rank(launcher.pid, 1), signal.SIGUSR1)
    cut = Finished(tmp_path / "cut", launcher.returncode)
    step = int(str(cut.outcome["step"]))

    assert cut.outcome["code"] == 85
    assert 5 <= step < 60
    assert cut.code == 1, "torchrun swallows the ranks' exit code: outcome.json is what counts"
    assert max(cut.series("loss")) == step
    assert not is_complete(cut.home / "metrics.h5")
    assert Path(cut.checkpoint(step), "rng-1.pt").exists()

    resumed = train_apart("resumed", 2, *long, "4", "--resume", cut.checkpoint(step))
    unbroken = train_here("unbroken", *long, "8")

    np.testing.assert_allclose(cut.losses(), unbroken.losses()[:step], rtol=1e-4)
    np.testing.assert_allclose(resumed.losses(), unbroken.losses(after=step), rtol=1e-4)
    assert resumed.summary["final_error"] == pytest.approx(unbroken.summary["final_error"], rel=1e-3)


def _rank(launcher: int, rank: int) -> int:
    """Process id of a rank below a launcher."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    for child in children:
        if f"LOCAL_RANK={rank}" in Path(f"/proc/{child}/environ").read_text().split("\0"):
            return int(child)
    raise AssertionError(f"no rank {rank} below {launcher}: {children}")


def test_sigterm_ends_one_process_with_85(tmp_path: Path) -> None:
    """Without a launcher the exit code itself says: checkpointed, start me again."""
    long = ("--max_steps", "5000", "--micro_batch_size", "8", "--print_every", "1")
    with subprocess.Popen(command(1, tmp_path / "cut", *long), stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if line.startswith("Step 00010"):
                run.send_signal(signal.SIGTERM)

    assert run.returncode == 85
    outcome = json.loads((tmp_path / "cut" / "outcome.json").read_text())
    assert outcome["reason"] == "checkpointed: SIGTERM"
    assert (tmp_path / "cut" / "checkpoints" / f"step-{outcome['step']:08d}" / "state.pt").exists()


def test_all_processes_stop_when_one_diverges(train_apart: Train) -> None:
    """ZeRO skips such steps silently; here the run ends with code 1, the cause in its last lines, within seconds."""
    began = time.monotonic()
    lost = train_apart("lost", 2, *HALF, "--learning_rate", "1e30", "--warmup", "0", "--zero_stage", "2")

    assert lost.code == 1
    assert re.search(r"^DivergenceError: loss is (nan|inf) at step 2 \(learning rate ", lost.stderr, re.MULTILINE)
    assert not np.isfinite(lost.series("loss")[2])
    assert not (lost.home / "outcome.json").exists()
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_stage_0_is_refused(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives no gradient norm, and in bf16 its optimiser is a step ahead: said before anything is trained."""
    from hpc.core.errors import InputError
    from train.distributed import start

    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "0")
    with pytest.raises(InputError, match="leave out --zero_stage: DDP does the same"):
        start(mixed_precision=precision, zero_stage=None, accumulation=1, micro_batch=1, clip=1.0)


def test_fewer_processes_than_announced_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process where the launcher announced two would train another experiment; it says how to start it."""
    from train.distributed import LaunchError, _check

    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        LaunchError, match=r"2 processes with .* were asked for, 1 with NO started; start with torchrun"
    ):
        _check(_Single(), None)


class _Single:
    """What `accelerate launch --cpu --num_processes 2` starts, twice."""

    num_processes = 1

    class distributed_type:  # noqa: N801 named as Accelerate names it
        value = "NO"
