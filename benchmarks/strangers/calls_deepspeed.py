"""A program that knows nothing of the toolkit but the name of DeepSpeed's file: the layers of its neighbour."""

import json
import os
import sys
from pathlib import Path

import deepspeed
import torch


def main() -> None:
    """Train eight steps; the first process writes the loss of each."""
    torch.manual_seed(0)
    inputs = torch.randn(64, 4)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    config = json.loads(Path(os.environ["HPC_DEEPSPEED_CONFIG"]).read_text())
    # DeepSpeed clips at 1.0 unless it is told otherwise, and takes an optimiser of its own where one is offloaded.
    config |= {"gradient_clipping": 1e9, "zero_allow_untested_optimizer": True, "zero_force_ds_cpu_optimizer": False}
    engine, *_ = deepspeed.initialize(
        model=model, optimizer=torch.optim.AdamW(model.parameters(), lr=1e-2), config=config
    )
    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    losses = []
    for batch in inputs.split(8):
        seen = batch[rank::world]
        loss = torch.nn.functional.mse_loss(engine(seen), seen.sum(1, keepdim=True))
        engine.backward(loss)
        engine.step()
        mean = loss.detach().clone()
        torch.distributed.all_reduce(mean)
        losses.append(float(mean) / world)
    if rank == 0:
        Path(sys.argv[1]).write_text("\n".join(map(str, losses)))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
