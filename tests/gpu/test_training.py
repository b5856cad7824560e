"""What only a GPU can show: number formats, its own out-of-memory error and how it is healed, peak memory, DeepSpeed.

Runs are started as users start them, one process a run. None of this could be run where it was written: see
docs/gpu-check.md.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc.metrics import read, read_summary

pytestmark = [pytest.mark.train, pytest.mark.gpu]
HERE = Path(__file__).parent
STEPS = (
    "--max_steps", "6", "--demonstrations", "2048", "--evaluations", "4", "--d_model", "128", "--layers", "4",
    "--print_every", "1",
)  # fmt: skip
LARGE = ("--micro_batch_size", "1024")
HALF = ("--micro_batch_size", "512", "--gradient_accumulation_steps", "2")


def start(home: Path, *arguments: str, program: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run `train.control`, or a program beside this file; return how it ended."""
    begin = [sys.executable, str(HERE / program)] if program else [sys.executable, "-m", "train.control"]
    line = [*begin, *STEPS, "--output_dir", str(home), *arguments]
    environment = {**os.environ, **variables}
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=300, env=environment)


def losses(home: Path) -> Any:
    return read(home / "metrics.h5")["loss"].value


def trained(home: Path, *arguments: str, **more: str) -> Path:
    """A run that has to finish; return its folder."""
    done = start(home, *arguments, **more)
    assert done.returncode == 0, done.stderr
    return home


def peak(home: Path) -> float:
    return float(read_summary(home / "metrics.h5")["peak_gpu_memory_mib"])


def test_bf16_learns_what_fp32_learns(tmp_path: Path) -> None:
    """Within its rounding; and in both the GPU did it."""
    full, half = trained(tmp_path / "full", *LARGE), trained(tmp_path / "half", *LARGE, "--mixed_precision", "bf16")
    np.testing.assert_allclose(losses(half), losses(full), rtol=0.1)
    assert not np.array_equal(losses(half), losses(full))
    assert min(peak(full), peak(half)) > 0


def test_a_resumed_run_is_the_unbroken_one_bit_by_bit(tmp_path: Path) -> None:
    """With the deterministic kernels that are asked for on GPUs."""
    whole = trained(tmp_path / "whole", *LARGE, "--checkpoint_every", "3")
    second = trained(tmp_path / "second", *LARGE, "--resume", str(whole / "checkpoints/step-00000003"))
    assert np.array_equal(losses(second), losses(whole)[3:])


def test_peak_memory_grows_with_the_micro_batch_and_falls_with_checkpointing(tmp_path: Path) -> None:
    """It is the device's own number; layers that are computed twice keep less."""
    large, half = trained(tmp_path / "large", *LARGE), trained(tmp_path / "half", *HALF)
    again = trained(tmp_path / "again", *LARGE, "--gradient_checkpointing", "true")
    assert peak(large) > 1.5 * peak(half)
    assert peak(again) < peak(large)
    np.testing.assert_allclose(losses(again), losses(large), rtol=1e-4)


def test_out_of_memory_is_named_and_healed_by_half(tmp_path: Path) -> None:
    """CUDA's own refusal: judged `oom_gpu` by its log; half the micro-batch fits, with the losses of the whole."""
    large, half = trained(tmp_path / "large", *LARGE), trained(tmp_path / "small", *HALF)
    room = str(round((peak(large) + peak(half)) / 2))
    short = start(tmp_path / "short", *LARGE, program="little_memory.py", GPU_MIB=room)
    assert short.returncode == 1
    log = tmp_path / "stderr.log"
    log.write_text(short.stderr)
    judged = [sys.executable, "-m", "hpc.why", str(log)]
    assert "oom_gpu" in subprocess.run(judged, capture_output=True, text=True, check=False).stdout, short.stderr
    healed = trained(tmp_path / "healed", *HALF, program="little_memory.py", GPU_MIB=room)
    np.testing.assert_allclose(losses(healed), losses(large), rtol=1e-4)


def test_inside_the_step_it_goes_on_with_half(tmp_path: Path) -> None:
    """The same refusal without a new attempt: the step is repeated, the change recorded."""
    large, half = trained(tmp_path / "large", *LARGE), trained(tmp_path / "small", *HALF)
    room = str(round((peak(large) + peak(half)) / 2))
    asked = (*LARGE, "--oom_in_process", "true")
    went_on = trained(tmp_path / "short", *asked, program="little_memory.py", GPU_MIB=room)
    changes = json.loads((went_on / "adjustments.json").read_text())["adjustments"]
    assert [change["new_micro_batch"] for change in changes] == [512]
    assert "out of memory" in changes[0]["error"]
    np.testing.assert_allclose(losses(went_on), losses(large), rtol=1e-4)


def test_the_drivers_library_sees_the_run(tmp_path: Path) -> None:
    """NVML, by its own client: while it trains, this GPU holds more than before."""

    def used() -> int:
        asked = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
        return int(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)

    before, most = used(), 0
    line = [sys.executable, "-m", "train.control", *STEPS, *LARGE, "--output_dir", str(tmp_path / "run")]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for _ in run.stdout:
            most = max(most, used())
    assert run.returncode == 0
    assert most > before


@pytest.mark.parametrize("options", [("--zero_stage", "2"), ("--zero_stage", "3", "--offload", "parameters")])
def test_deepspeed_equals_plain_training(options: tuple[str, ...], tmp_path: Path) -> None:
    """One process: what is divided is whole, and the numbers are those of AdamW."""
    plain, divided = trained(tmp_path / "plain", *LARGE), trained(tmp_path / "divided", *LARGE, *options)
    np.testing.assert_allclose(losses(divided), losses(plain), rtol=1e-4)
    stage = json.loads((divided / "deepspeed.json").read_text())["zero_optimization"]["stage"]
    assert stage == int(options[1])


FUSED = """
import deepspeed, torch
from deepspeed.ops.adam import FusedAdam

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.Tanh(), torch.nn.Linear(256, 1))
config = {"train_micro_batch_size_per_gpu": 32, "zero_optimization": {"stage": 2}, "bf16": {"enabled": True}}
optimizer = FusedAdam(model.parameters(), lr=1e-2)
engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
inputs = torch.randn(32, 64, device="cuda", dtype=torch.bfloat16)
for _ in range(60):
    loss = ((engine(inputs) - inputs.sum(1, keepdim=True) / 8) ** 2).mean()
    engine.backward(loss)
    engine.step()
    print("loss", float(loss))
"""


@pytest.mark.filterwarnings("ignore")
def test_deepspeed_with_its_fused_adam_learns(tmp_path: Path) -> None:
    """In bf16 at stage 2; its operator is compiled at the first start."""
    from deepspeed.ops.op_builder import FusedAdamBuilder

    if not FusedAdamBuilder().is_compatible(verbose=False):
        pytest.skip("needs nvcc: DeepSpeed's FusedAdam is compiled here")
    path = tmp_path / "fused.py"
    path.write_text(FUSED)
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1", str(path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    found = [float(each.split()[1]) for each in done.stdout.splitlines() if each.startswith("loss ")]
    assert found[-1] < found[0] / 4


@pytest.mark.parametrize("options", [(), ("--fsdp", "full"), ("--zero_stage", "3"), ("--torch_compile", "true")])
def test_two_gpus_equal_one(options: tuple[str, ...], tmp_path: Path) -> None:
    """By NCCL, however they divide the work."""
    import torch

    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    one = trained(tmp_path / "one", *LARGE)
    home = tmp_path / "two"
    begin = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "train.control"]
    line = [*begin, *STEPS, "--output_dir", str(home), "--micro_batch_size", "512", *options]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(losses(home), losses(one), rtol=1e-4)


def test_mamba_ssms_scan_is_the_recurrence() -> None:
    """Its kernel against the definition, where the package is installed."""
    import torch

    scans = pytest.importorskip("mamba_ssm.ops.selective_scan_interface")
    torch.manual_seed(0)
    inputs, steps = (torch.randn(2, 8, 20, device="cuda") for _ in range(2))
    decay, into, out = -torch.rand(8, 4, device="cuda"), *(torch.randn(2, 4, 20, device="cuda") for _ in range(2))
    steps, state, expected = torch.nn.functional.softplus(steps), torch.zeros(2, 8, 4, device="cuda"), []
    for time in range(20):
        step = steps[:, :, time, None]
        state = (step * decay).exp() * state + step * inputs[:, :, time, None] * into[:, None, :, time]
        expected.append((state * out[:, None, :, time]).sum(-1))
    found = scans.selective_scan_fn(inputs, steps, decay, into, out)
    torch.testing.assert_close(found, torch.stack(expected, -1), rtol=1e-3, atol=1e-3)
