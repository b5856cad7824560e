"""`train.symmetry` as a program: it learns, measures by name, resumes bit by bit, and runs by itself."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from hpc.adapters.yaml_file import load_yaml
from hpc.callbacks.stop import StopRequest
from hpc.metrics import is_complete
from tests.train.train_runs import SMALL, Finished
from train import program, symmetry
from train.symmetry import METRICS

pytestmark = pytest.mark.train
Train = Callable[..., Finished]


@pytest.mark.parametrize(
    ("task", "accuracies"),
    [("composite", {"composite_acc", "symmetric_acc", "test_acc"}), ("inverse", {"test_acc", "ood_acc"})],
)
def test_a_finished_run_has_its_accuracies(task: str, accuracies: set[str], train_here: Train) -> None:
    """By name in the summary and as series, with loss, learning rate and gradient norm; the model can be read."""
    import torch

    run = train_here("run", "--task", task, "--validate_every", "3", program="symmetry")
    assert run.code == 0
    assert is_complete(run.home / "metrics.h5")
    assert {*accuracies, "train_acc", "train_loss", "training_time"} <= run.summary.keys() <= set(METRICS)
    assert all(0 <= run.summary[name] <= 1 for name in (*accuracies, "train_acc"))
    assert all(set(run.series(name)) == {3, 6} for name in (*accuracies, "train_loss"))
    assert all(set(run.series(name)) == {1, 2, 3, 4, 5, 6} for name in ("loss", "lr", "grad_norm"))
    saved = torch.load(run.home / "model.pt", weights_only=True)
    assert saved["model"] == "mamba_standard"


def test_it_learns(train_here: Train) -> None:
    """A Transformer learns what it is shown by heart."""
    lesson = (
        "--model",
        "transformer",
        "--gamma",
        "0.5",
        "--samples",
        "64",
        "--micro_batch_size",
        "64",
        "--d_model",
        "32",
    )
    run = train_here("run", *lesson, "--max_steps", "150", "--learning_rate", "0.01", program="symmetry")
    assert run.summary["train_acc"] > 0.95
    assert run.summary["train_loss"] < 0.5 < run.losses()[0]


@pytest.mark.parametrize("model", ["mamba_ones_conv", "transformer_with_conv"])
def test_resuming_is_bitwise(model: str, train_here: Train) -> None:
    """Losses and final values after a resume equal those of the uninterrupted run; what is frozen stays so."""
    import torch

    whole = train_here("whole", "--model", model, "--checkpoint_every", "2", program="symmetry")
    torch.manual_seed(999)
    resumed = train_here("resumed", "--model", model, "--resume", whole.checkpoint(4), program="symmetry")
    assert np.array_equal(resumed.losses(), whole.losses(after=4))
    assert resumed.summary["train_loss"] == whole.summary["train_loss"]
    values = [torch.load(run.home / "model.pt", weights_only=True)["parameters"] for run in (whole, resumed)]
    assert all(torch.equal(values[0][name], values[1][name]) for name in values[0])


def test_epochs_say_when_to_measure_and_to_save(train_here: Train) -> None:
    """64 sequences in batches of 8 are 8 steps an epoch: measured every epoch, saved every second."""
    epochs = ("--max_steps", "0", "--epochs", "4", "--log_every_epochs", "1", "--save_every_epochs", "2")
    run = train_here("run", *epochs, program="symmetry")
    assert list(run.series("composite_acc")) == [8, 16, 24, 32]
    assert sorted(path.name for path in (run.home / "checkpoints").iterdir()) == ["step-00000016", "step-00000032"]


def test_a_long_run_records_some_of_its_steps(train_here: Train) -> None:
    """The first, every fourth, and those that were measured."""
    run = train_here("run", "--record_every", "4", "--validate_every", "5", program="symmetry")
    assert set(run.series("loss")) == {1, 4, 5, 6}
    assert set(run.series("train_loss")) == {5, 6}


BY_HAND = (*SMALL["symmetry"], "--n_layers", "2", "--gamma", "1.0", "--seed", "42")


def test_killed_by_hand_it_goes_on_bit_by_bit(
    tmp_path: Path, train_here: Train, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Killed without a word and resumed it has the whole run's weights, and the four files that people look for."""
    import torch
    from accelerate.state import AcceleratorState

    steps = ("--max_steps", "60", "--checkpoint_every", "2", "--print_every", "1", "--validate_every", "30")
    out = tmp_path / "out"
    words = [*BY_HAND, *steps, "--output_dir", str(out)]
    killed = subprocess.Popen([sys.executable, "-m", "train.symmetry", *words], stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    heard = [next(line for line in killed.stdout if line.startswith(start)) for start in ("data_hash: ", "Step 00005")]
    killed.kill()
    killed.communicate()
    assert not (out / "metrics.json").exists()

    def leave(_accelerator: object, _outcome: Path, code: int, **_: object) -> NoReturn:
        raise SystemExit(code)

    monkeypatch.setattr(program, "leave", leave)
    monkeypatch.setattr(StopRequest, "listen", lambda _: None)
    AcceleratorState._reset_state(reset_partial_state=True)
    capfd.readouterr()
    with pytest.raises(SystemExit, match="0"):
        symmetry.main([*words, "--resume"])
    said = capfd.readouterr().out
    assert "Step 00002 |" not in said
    whole = train_here("whole", "--n_layers", "2", *steps, program="symmetry")
    values = [torch.load(home / "model.pt", weights_only=True)["parameters"] for home in (out, whole.home)]
    assert all(torch.equal(values[0][name], values[1][name]) for name in values[0])

    log, told = (out / "train.log").read_text(), json.loads((out / "metrics.json").read_text())
    assert log.startswith(heard[0])
    assert log.endswith(said)
    assert heard[1] in log
    assert re.search(r"^Examples of composite_acc: (\d+ ){8}-> \d+ \(right: \d+\)", log, re.MULTILINE)
    assert told["outcome"] == "finished"
    assert told["complete"] is True
    assert told["data_hash"] == heard[0].removeprefix("data_hash: ").strip()
    assert told["symmetric_acc"] == whole.summary["symmetric_acc"]
    assert told["peak_memory_mib"] > 50
    assert load_yaml(out / "config.yaml").data["gamma"] == 1.0
