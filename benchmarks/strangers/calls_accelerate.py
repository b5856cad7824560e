"""A program that knows nothing of the toolkit: two layers, trained as Accelerate's first example does."""

import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, TensorDataset


def main() -> None:
    """Train eight steps; the first process writes the loss of each."""
    accelerator = Accelerator()
    torch.manual_seed(0)
    inputs = torch.randn(64, 4)
    data = DataLoader(TensorDataset(inputs, inputs.sum(1, keepdim=True)), batch_size=8 // accelerator.num_processes)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    model, optimizer, data = accelerator.prepare(model, torch.optim.AdamW(model.parameters(), lr=1e-2), data)
    losses = []
    for seen, wanted in data:
        loss = torch.nn.functional.mse_loss(model(seen), wanted)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(accelerator.reduce(loss.detach(), reduction="mean")))
    if accelerator.is_main_process:
        Path(sys.argv[1]).write_text("\n".join(map(str, losses)))
    accelerator.end_training()


if __name__ == "__main__":
    main()
