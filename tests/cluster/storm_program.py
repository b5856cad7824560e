"""A user's own small training on which fate strikes at step 3: one real failure for each word of `--fate`.

numpy only, so that sixty of them fit on two cores; torch where its own error message is wanted. What strikes once
leaves a mark, because an attempt may be lost before its fate comes; what depends on memory, time or checkpoint strikes
until that was mended.
"""

import argparse
import os
import resource
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np

from hpc.metrics import MetricsWriter

parser = argparse.ArgumentParser()
parser.add_argument("--fate", required=True)
parser.add_argument("--part", type=int, required=True)
parser.add_argument("--optimiser", choices=["sgd", "adam"], default="sgd")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=12)
parser.add_argument("--micro_batch_size", type=int, default=96)
parser.add_argument("--gradient_accumulation_steps", type=int, default=1)
args = parser.parse_args()

attempt = Path(os.environ["HPC_ATTEMPT_DIR"])
resumed = os.environ["HPC_RESUME_FROM"]
signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # like most programs: it does not listen
PAUSES_S = {"timeout": 9.0, "node": 2.0, "preempted": 2.0, "cancelled": 2.0}

rng = np.random.default_rng(args.seed)
weights = rng.normal(size=8)
learning_rate = 1e200 if args.fate == "diverges" else 0.05
start = 0
if resumed:
    with np.load(Path(resumed) / "state.npz") as state:
        weights, start = state["weights"], int(state["step"])
    print(f"resumed at step {start} from {resumed}", flush=True)


def save(step: int) -> None:
    folder = attempt / "checkpoints" / f"step-{step:08d}.tmp"
    folder.mkdir(parents=True)
    np.savez(folder / "state.npz", weights=weights, step=step)
    folder.rename(folder.with_suffix(""))


def strikes_first() -> bool:
    """Whether no attempt of this task has been struck; from now on one has."""
    if any(attempt.parent.glob("attempt-*/struck")):
        return False
    (attempt / "struck").touch()
    return True


def fill_host(mib: int) -> None:
    hoard = bytearray(os.urandom(1 << 20)) * mib
    print(f"holding {len(hoard) >> 20} MiB", flush=True)
    time.sleep(1)


def fill_device(mib_a_sample: int) -> None:
    """The device (the allocator's memory) is full: activations grow with the micro-batch."""
    import torch

    used = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (used + (300 << 20), resource.RLIM_INFINITY))
    activations = torch.zeros(args.micro_batch_size, mib_a_sample << 18)
    print(f"activations {activations.numel() * 4 >> 20} MiB", flush=True)


def lose_peer() -> None:
    """The other rank never answers: gloo's own time-out."""
    import torch
    import torch.distributed as dist

    store = attempt / "rendezvous"
    child = os.fork()
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=int(child == 0), world_size=2, timeout=timedelta(seconds=4)
    )
    if child == 0:
        time.sleep(20)
        os._exit(0)
    try:
        dist.all_reduce(torch.ones(1))
    finally:
        os.kill(child, signal.SIGKILL)


def leave_broken_checkpoint() -> None:
    folder = attempt / "checkpoints" / "step-00000006"
    folder.mkdir()
    whole = (attempt / "checkpoints" / "step-00000005" / "state.npz").read_bytes()
    (folder / "state.npz").write_bytes(whole[: len(whole) // 2])
    os.kill(os.getpid(), signal.SIGKILL)


def strike(step: int) -> None:
    """Fate, at its step."""
    if args.fate == "broken_checkpoint" and step == 7 and strikes_first():
        leave_broken_checkpoint()
    if step != 3:
        return
    match args.fate:
        case "host_memory":
            fill_host(660)  # above 600 MB, below what a retry asks for
        case "host_memory_twice":
            fill_host(960)
        case "device_memory":
            fill_device(4)
        case "device_memory_twice":
            fill_device(8)
        case "network" if strikes_first():
            lose_peer()
        case "silent_exit" if strikes_first():
            os._exit(3)
        case "bug":
            weights.mean(axis=5 + args.part)
        case "data":
            np.load(f"/data/shards/train-{args.part:05d}.npz")
        case "environment":
            __import__("flash_attn")


with MetricsWriter() as metrics:
    loss = float("nan")
    for step in range(start + 1, args.steps + 1):
        strike(step)
        gradient = np.zeros(8)
        loss = 0.0
        batch_rng = np.random.default_rng([args.seed, step])
        for _ in range(args.gradient_accumulation_steps):
            x = batch_rng.normal(size=(args.micro_batch_size, 8))
            wrong = x @ weights - x.sum(1)
            loss += float((wrong**2).mean()) / args.gradient_accumulation_steps
            gradient += 2 * (wrong[:, None] * x).mean(0) / args.gradient_accumulation_steps
        with np.errstate(over="ignore", invalid="ignore"):
            weights = weights - learning_rate * gradient
        metrics.log(step, loss=loss)
        if not np.isfinite(loss):
            metrics.flush()
            sys.exit(f"DivergenceError: loss is {loss} at step {step}")
        if step % 5 == 0:
            save(step)
        time.sleep(PAUSES_S.get(args.fate, 0.0))
    metrics.summary(final_loss=loss)
