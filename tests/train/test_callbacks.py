"""Trainers that others wrote: stopped by SIGUSR1 they save, say 85, and go on to the same end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hpc import metrics

pytestmark = pytest.mark.train

TRANSFORMERS = """
import os, signal, sys
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from hpc.callbacks.transformers import HpcCallback

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(4, 1)
    def forward(self, x, labels):
        answer = self.line(x)
        return {"loss": ((answer - labels) ** 2).mean(), "logits": answer}

class TimeIsUp(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        if os.environ["HPC_ATTEMPT"] == "1" and state.global_step == 5:
            os.kill(os.getpid(), signal.SIGUSR1)

def train():
    torch.manual_seed(0)
    x = torch.randn(64, 4)
    data = [{"x": row, "labels": row.sum().reshape(1)} for row in x]
    hpc = HpcCallback()
    arguments = TrainingArguments("outputs", max_steps=12, per_device_train_batch_size=8, logging_steps=1, save_steps=4,
        save_total_limit=1, report_to=[], use_cpu=True, disable_tqdm=True, seed=1)
    trainer = Trainer(Model(), arguments, train_dataset=data, eval_dataset=data, callbacks=[TimeIsUp(), hpc])
    trainer.train(resume_from_checkpoint=hpc.resume_from)
    trainer.evaluate()
"""
LIGHTNING = """
import os, signal, sys, warnings
warnings.filterwarnings("ignore")
import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from hpc.callbacks.lightning import HpcCallback

class Model(LightningModule):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(4, 1)
    def _error(self, batch):
        x, y = batch
        return ((self.line(x) - y) ** 2).mean()
    def training_step(self, batch, _):
        loss = self._error(batch)
        self.log("loss", loss)
        return loss
    def validation_step(self, batch, _):
        self.log("eval_loss", self._error(batch))
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 0.05)

class TimeIsUp(Callback):
    def on_train_batch_end(self, trainer, *_):
        if os.environ["HPC_ATTEMPT"] == "1" and trainer.global_step == 5:
            os.kill(os.getpid(), signal.SIGUSR1)

def train():
    seed_everything(1, verbose=False)
    x = torch.randn(64, 4)
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True)), batch_size=8)
    hpc = HpcCallback()
    trainer = Trainer(max_steps=12, log_every_n_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[TimeIsUp(), hpc])
    model = Model()
    trainer.fit(model, data, data, ckpt_path=hpc.resume_from)
    trainer.validate(model, data, verbose=False)
"""


TWICE = """
from pathlib import Path
for number in ("1", "2"):  # in one process: the imports take longest
    home = Path(sys.argv[1], f"attempt-{number}")
    (home / "work").mkdir(parents=True)
    os.chdir(home / "work")
    left = sorted(home.parent.glob("attempt-1/checkpoints/*"))
    resume = str(left[-1]) if left else ""
    os.environ.update(HPC_ATTEMPT=number, HPC_ATTEMPT_DIR=str(home), HPC_RESUME_FROM=resume)
    try:
        train()
    except SystemExit as end:
        print("code", end.code)
"""


@pytest.mark.parametrize(
    ("program", "first_step"), [(TRANSFORMERS, 6), (LIGHTNING, 5)], ids=["transformers", "lightning"]
)
def test_a_trainer_is_stopped_and_goes_on(tmp_path: Path, program: str, first_step: int) -> None:
    """The signal at step 5 of 12: checkpoint of that step, 85, and a second attempt that logs the rest, complete."""
    done = subprocess.run(
        [sys.executable, "-c", program + TWICE, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = tmp_path / "attempt-1", tmp_path / "attempt-2"
    assert [line for line in done.stdout.splitlines() if line.startswith("code ")] == ["code 85"]
    assert json.loads((first / "outcome.json").read_text()) == {"code": 85, "step": 5, "reason": "SIGUSR1"}
    (left,) = first.glob("checkpoints/*")
    assert (left.name, left.resolve().is_relative_to(first)) == ("step-00000005", True)
    assert [metrics.is_complete(each / "metrics.h5") for each in (first, second)] == [False, True]
    steps = list(metrics.read(second / "metrics.h5")["loss"].step)
    assert steps == list(range(first_step, first_step + 7))  # Lightning counts from 0, as for its own loggers
    assert metrics.read_summary(second / "metrics.h5")["eval_loss"] > 0
