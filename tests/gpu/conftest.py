"""Tests of a GPU: without one each says so and is skipped; `make gpu-check` makes that an error."""

import os

import pytest


@pytest.fixture(autouse=True)
def _needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU (torch.cuda.is_available() is false)")
    for name in list(os.environ):
        if name.startswith(("HPC_", "WANDB_", "ACCELERATE_")) or name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
            monkeypatch.delenv(name)
