"""Several processes, started as users start them: the same curve however the batch is divided; signals; failures.

Tolerances: DDP, FSDP and ZeRO stay within 1e-5 (relative, 8 steps) of one process with the same global batch; a resume
with the same processes and the same ZeRO stage is bitwise.
"""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpc.core.errors import InputError
from hpc.metrics import is_complete
from tests.train.train_runs import Finished, command
from train.control import parser
from train.distributed import ask_launcher, start

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


def test_fsdp_goes_on_from_one_process_whatever_the_data_divide_by(train_here: Train, train_apart: Train) -> None:
    """45 samples in batches of 6 by two: the losses, the validation and the checkpoint of one process that went on.

    The optimiser's moments were divided on the way in and are whole on the way out; layers are computed twice.
    """
    uneven = ("--demonstrations", "45", "--max_steps", "8", "--checkpoint_every", "4", "--validate_every", "4")
    one = train_here("one", *uneven, "--micro_batch_size", "6")
    options = ("--fsdp", "gradients", "--gradient_checkpointing", "true", "--resume", one.checkpoint(4))
    two = train_apart("two", 2, *uneven, "--micro_batch_size", "3", *options)

    assert two.code == 0, two.stderr
    np.testing.assert_allclose(two.losses(), one.losses(after=4), rtol=1e-5)
    assert two.series("val_loss")[8] == pytest.approx(one.series("val_loss")[8], rel=1e-5)
    states = [torch.load(Path(run.checkpoint(8), "state.pt"), weights_only=True) for run in (one, two)]
    for there, here in zip(*(flat(state) for state in states), strict=True):
        torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-6)


def flat(state: dict[str, Any]) -> list[torch.Tensor]:
    """Trained values and both moments of a checkpoint, in order."""
    parts = [state["parameters"], *(state["moments"][name] for name in ("exp_avg", "exp_avg_sq"))]
    return [part[name] for part in parts for name in sorted(part)]


REFUSALS = [
    ({"zero_stage": 2, "fsdp": "full"}, 2, "--fsdp: divides what --zero_stage divides"),
    ({"fsdp": "full"}, 1, "--fsdp: divides a model among processes, and this is one"),
    ({"offload": "optimizer"}, 2, "--offload: is DeepSpeed's; add --zero_stage 2"),
    ({"offload": "parameters", "zero_stage": 2}, 2, "--offload: ZeRO stage 2 divides no parameters"),
    ({"torch_compile": True, "zero_stage": 3}, 2, "--torch_compile: not with ZeRO stage 3"),
    ({"torch_compile": True}, 1, "--torch_compile: needs a compiler, and neither no-such-g\\+\\+ nor clang"),
    ({"mixed_precision": "fp16"}, 1, "'fp16' is not supported; valid: bf16, no"),
]


@pytest.mark.parametrize(("options", "processes", "said"), REFUSALS)
def test_what_does_not_go_together_is_refused_before_anything_is_prepared(
    options: dict[str, Any], processes: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand nobody planned it: the program says it itself, by the name of its option."""
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    monkeypatch.setenv("CXX", "no-such-g++")
    monkeypatch.setattr("train.distributed.shutil.which", lambda _: None)
    asked = {"mixed_precision": "no", "zero_stage": None, **options}
    with pytest.raises(InputError, match=said):
        start(accumulation=1, micro_batch=1, clip=1.0, **asked)


LAUNCHERS_WORDS = {
    "ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3", "ACCELERATE_USE_FSDP": "true",
    "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "cpu", "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": "cpu",
    "FSDP_RESHARD_AFTER_FORWARD": "false", "HPC_GRADIENT_CHECKPOINTING": "true",
    "ACCELERATE_DYNAMO_BACKEND": "inductor", "ACCELERATE_DEEPSPEED_CONFIG_FILE": "/nowhere",
}  # fmt: skip


def test_the_launcher_is_asked_for_what_the_command_line_leaves_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """And Accelerate, which would do it a second time or not at all, sees none of what we do ourselves."""
    for name, value in LAUNCHERS_WORDS.items():
        monkeypatch.setenv(name, value)
    left_open, given = (
        parser().parse_args([]),
        parser().parse_args(["--offload", "optimizer", "--torch_compile", "false"]),
    )
    ask_launcher(given)
    assert (given.zero_stage, given.offload, given.torch_compile) == (3, "optimizer", False)
    for name, value in LAUNCHERS_WORDS.items():
        monkeypatch.setenv(name, value)
    ask_launcher(left_open)
    assert (left_open.offload, left_open.fsdp) == ("parameters", "gradients")
    assert left_open.gradient_checkpointing
    assert left_open.torch_compile
    assert (
        not {"ACCELERATE_USE_FSDP", "ACCELERATE_DYNAMO_BACKEND", "ACCELERATE_DEEPSPEED_CONFIG_FILE"} & os.environ.keys()
    )


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_stage_0_is_refused(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives no gradient norm, and in bf16 its optimiser is a step ahead: said before anything is trained."""
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "0")
    args = parser().parse_args([])
    ask_launcher(args)
    with pytest.raises(InputError, match="leave out --zero_stage: DDP does the same"):
        start(mixed_precision=precision, zero_stage=args.zero_stage, accumulation=1, micro_batch=1, clip=1.0)


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
