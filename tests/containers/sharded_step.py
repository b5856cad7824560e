"""Run by test_images.py inside the training image, on two processes: an all-reduce, then one DeepSpeed ZeRO-2 step.

Rank 0 prints one JSON object: what the ranks agreed on, the loss before and after the step, and where it was computed.
"""

from __future__ import annotations

import json
import os
import sys

import torch
from accelerate import Accelerator, DeepSpeedPlugin, InitProcessGroupKwargs


def prepared() -> tuple[Accelerator, torch.nn.Module, torch.optim.Optimizer]:
    """A tiny linear model under ZeRO-2 on gloo, without DeepSpeed's own clipping."""
    plugin = DeepSpeedPlugin(zero_stage=2, zero3_init_flag=False)
    plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = 4
    plugin.deepspeed_config["gradient_clipping"] = 0.0
    accelerator = Accelerator(
        cpu=False, deepspeed_plugin=plugin, kwargs_handlers=[InitProcessGroupKwargs(backend="gloo")]
    )
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters(), lr=0.1))
    return accelerator, model, optimizer


def main() -> None:
    """Say what two ranks can do together in here."""
    accelerator, model, optimizer = prepared()
    total = accelerator.reduce(torch.tensor([float(accelerator.process_index + 1)]), reduction="sum").item()
    inputs = torch.ones(4, 4)
    losses = []
    for _ in range(2):
        loss = (model(inputs) - 3).pow(2).mean()
        losses.append(loss.item())
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
    if accelerator.is_main_process:
        answer = {"world": accelerator.num_processes, "kind": str(accelerator.distributed_type), "sum": total}
        print(json.dumps({**answer, "losses": losses, "sif": os.environ["APPTAINER_CONTAINER"]}))  # noqa: T201
    accelerator.wait_for_everyone()
    sys.stdout.flush()
    os._exit(0)  # gloo may abort in the interpreter's own exit


if __name__ == "__main__":
    main()
