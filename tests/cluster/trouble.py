"""A small real training whose `--trouble` provokes one real failure: what an unlucky sweep looks like in one file.

It is a user's own program: torch, our MetricsWriter, a checkpoint every few steps, SIGUSR1 → checkpoint and exit 85.
"""

import argparse
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--trouble", default="none")
parser.add_argument("--part", type=int, default=1)
parser.add_argument("--width", type=int, default=8)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--learning_rate", type=float, default=0.05)
parser.add_argument("--micro_batch_size", type=int, default=64)
parser.add_argument("--gradient_accumulation_steps", type=int, default=1)
args = parser.parse_args()

attempt = Path(os.environ["HPC_ATTEMPT_DIR"])
resumed = os.environ["HPC_RESUME_FROM"]
stop: list[int] = []
signal.signal(signal.SIGUSR1, lambda number, _: stop.append(number))
if args.trouble == "timeout":  # like most programs: it does not listen
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)

import torch  # noqa: E402

from hpc.metrics import MetricsWriter  # noqa: E402

torch.manual_seed(args.seed)
model = torch.nn.Linear(args.width, 1)
optimiser = torch.optim.SGD(model.parameters(), lr=1e18 if args.trouble == "diverge" else args.learning_rate)
start = 0
if resumed:
    state = torch.load(Path(resumed) / "state.pt", weights_only=True)
    model.load_state_dict(state["model"])
    start = state["step"]
    print(f"resumed at step {start} from {resumed}", flush=True)


def save(step: int) -> None:
    folder = attempt / "checkpoints" / f"step-{step:08d}.tmp"
    folder.mkdir(parents=True)
    torch.save({"model": model.state_dict(), "step": step}, folder / "state.pt")
    folder.rename(folder.with_suffix(""))


def get_into_trouble(step: int) -> None:
    """The step at which fate strikes; what a retry changes decides whether it strikes again."""
    if step != 3:
        return
    if args.trouble == "host_oom":  # ~700 MiB resident: above --mem the first time, below it after × 1.5
        hoard = bytearray(os.urandom(1 << 20)) * 480
        print(f"holding {len(hoard) >> 20} MiB", flush=True)
        time.sleep(1)
    if args.trouble == "allocator_oom":  # the device is full: activations grow with the micro-batch
        used = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) << 10
        resource.setrlimit(resource.RLIMIT_DATA, (used + (300 << 20), resource.RLIM_INFINITY))
        activations = torch.zeros(args.micro_batch_size, 1 << 20)  # 4 MiB a sample
        print(f"activations {activations.numel() * 4 >> 20} MiB", flush=True)
    if args.trouble == "bug":
        model.wieght.sum()  # type: ignore[operator]  # a type checker sees it too


with MetricsWriter() as metrics:
    began = time.time()
    for step in range(start + 1, args.steps + 1):
        get_into_trouble(step)
        optimiser.zero_grad()
        for _ in range(args.gradient_accumulation_steps):
            x = torch.randn(args.micro_batch_size, args.width)
            loss = ((model(x).squeeze() - x.sum(1)) ** 2).mean() / args.gradient_accumulation_steps
            loss.backward()
        optimiser.step()
        metrics.log(step, loss=loss.item())
        if not torch.isfinite(loss):
            metrics.flush()
            sys.exit(f"DivergenceError: loss is {loss.item()} at step {step}")
        if step % 5 == 0:
            save(step)
        if stop:
            if step % 5:
                save(step)
            metrics.close(complete=False)
            (attempt / "outcome.json").write_text(json.dumps({"code": 85, "step": step}))
            sys.exit(85)
        if args.trouble in ("timeout", "node", "cancel", "slow"):
            # long enough to be met by fate; once resumed there is little left to do
            time.sleep(9.0 if args.trouble == "timeout" else 2.0)
    metrics.summary(final_loss=loss.item(), training_time=time.time() - began)
