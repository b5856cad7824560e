"""One process: it learns, resumes bit by bit, stops when it diverges, and says what is wrong."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpc.metrics import is_complete
from tests.train.train_runs import Finished

pytestmark = pytest.mark.train
Train = Callable[..., Finished]
TEN_STEPS = ("--max_steps", "10", "--micro_batch_size", "8")


@pytest.mark.parametrize("system", ["double_integrator", "van_der_pol"])
def test_it_learns_to_control(system: str, train_here: Train) -> None:
    """After training the system ends several times closer to its target, at a cost within 10 % of the optimum."""
    lesson = ("--system", system, "--d_model", "32", "--horizon", "40", "--demonstrations", "256")
    untrained = train_here("untrained", *lesson, "--max_steps", "1", "--learning_rate", "0")
    trained = train_here("trained", *lesson, "--epochs", "12", "--learning_rate", "0.01", "--micro_batch_size", "32")

    before, after = untrained.summary, trained.summary
    assert after["final_error"] < before["final_error"] / 8
    assert after["val_loss"] < before["val_loss"] / 10
    assert after["optimal_control_cost"] < after["control_cost"] < 1.1 * after["optimal_control_cost"]


def test_resuming_is_bitwise(train_here: Train) -> None:
    """Losses and final values after a resume equal those of the uninterrupted run bit by bit, dropout included."""
    import torch

    whole = train_here("whole", *TEN_STEPS, "--lora_dropout", "0.1", "--checkpoint_every", "4")
    torch.manual_seed(999)
    resumed = train_here("resumed", *TEN_STEPS, "--lora_dropout", "0.1", "--resume", whole.checkpoint(4))

    assert len(resumed.losses()) == 6
    assert np.array_equal(resumed.losses(), whole.losses(after=4))
    values = [torch.load(run.home / "model.pt", weights_only=True)["parameters"] for run in (whole, resumed)]
    assert all(torch.equal(values[0][name], values[1][name]) for name in values[0])
    assert resumed.summary["final_error"] == whole.summary["final_error"]


def test_the_batch_may_be_divided_otherwise(train_here: Train) -> None:
    """Accumulation gives the same curve within 1e-5, also when a resumed run halves its micro-batch."""
    whole = train_here("whole", *TEN_STEPS, "--checkpoint_every", "4")
    halves = ("--max_steps", "10", "--micro_batch_size", "4", "--gradient_accumulation_steps", "2")
    divided = train_here("divided", *halves)
    resumed = train_here("resumed", *halves, "--resume", whole.checkpoint(4))

    np.testing.assert_allclose(divided.losses(), whole.losses(), rtol=1e-5)
    np.testing.assert_allclose(resumed.losses(), whole.losses(after=4), rtol=1e-5)


def test_the_seed_matters(train_here: Train) -> None:
    """Another seed gives another curve, the same seed the same one bit by bit."""
    first, again, other = (
        train_here(name, *TEN_STEPS, "--seed", seed) for name, seed in (("a", "1"), ("b", "1"), ("c", "2"))
    )

    assert np.array_equal(first.losses(), again.losses())
    assert not np.array_equal(first.losses(), other.losses())


def test_bf16_stays_near_full_precision(train_here: Train) -> None:
    """Autocast changes the losses by rounding only."""
    slowly = (*TEN_STEPS, "--learning_rate", "0.001")
    full, half = train_here("full", *slowly), train_here("half", *slowly, "--mixed_precision", "bf16")

    assert not np.array_equal(full.losses(), half.losses())
    np.testing.assert_allclose(full.losses(), half.losses(), rtol=0.05)


def test_only_the_newest_two_checkpoints_stay(train_here: Train) -> None:
    """Older ones go, half-written ones of a killed run are written anew, and nothing else is touched."""
    from train.control import Places, parser

    home = Places.of(parser().parse_args([])).attempt
    assert home == Path("out")
    run = train_here("run", *TEN_STEPS, "--checkpoint_every", "5")
    (run.home / "checkpoints" / "step-00000004.tmp").mkdir()
    (run.home / "notes.txt").write_text("mine")
    run = train_here("run", *TEN_STEPS, "--checkpoint_every", "2")

    names = sorted(path.name for path in (run.home / "checkpoints").iterdir())
    assert names == ["step-00000008", "step-00000010"]
    assert (run.home / "notes.txt").read_text() == "mine"


def test_a_damaged_checkpoint_is_named(train_here: Train) -> None:
    """A cut file gives an error with its path and the checkpoint to take instead."""
    from train.checkpoint import CheckpointError

    whole = train_here("whole", *TEN_STEPS, "--checkpoint_every", "4")
    state = Path(whole.checkpoint(8)) / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])

    with pytest.raises(CheckpointError, match=r"step-00000008 cannot be loaded .* resume from step-00000004 instead"):
        train_here("resumed", *TEN_STEPS, "--resume", whole.checkpoint(8))
    with pytest.raises(CheckpointError, match="step-00000099 cannot be loaded"):
        train_here("resumed", *TEN_STEPS, "--resume", whole.checkpoint(99))


def test_a_checkpoint_of_another_run_is_refused(train_here: Train) -> None:
    """Other data, another model or another global batch would continue something that never was."""
    from train.checkpoint import CheckpointError

    whole = train_here("whole", *TEN_STEPS, "--checkpoint_every", "10")

    with pytest.raises(CheckpointError, match="belongs to another run: lora_rank 8 there, 4 here"):
        train_here("rank", *TEN_STEPS, "--lora_rank", "4", "--resume", whole.checkpoint(10))
    with pytest.raises(CheckpointError, match="global_batch 8 there, 16 here"):
        train_here("batch", *TEN_STEPS, "--gradient_accumulation_steps", "2", "--resume", whole.checkpoint(10))


def test_a_finished_run_can_be_finished_again(train_here: Train) -> None:
    """Resuming from the last step trains nothing, judges again and ends the same."""
    whole = train_here("whole", *TEN_STEPS, "--checkpoint_every", "10")
    again = train_here("again", *TEN_STEPS, "--resume", whole.checkpoint(10))

    assert again.code == 0
    assert again.summary["final_error"] == whole.summary["final_error"]


def test_divergence_stops_at_once(train_here: Train, tmp_path: Path) -> None:
    """The step, the rate and the norm are named; the metrics end with the value that is not finite, incomplete."""
    from train.loop import DivergenceError

    with pytest.raises(
        DivergenceError, match=r"^loss is (nan|inf) at step 2 \(learning rate 9.2\de\+29, gradient norm "
    ):
        train_here("lost", *TEN_STEPS, "--learning_rate", "1e30", "--warmup", "0")

    lost = Finished(tmp_path / "lost", 1)
    assert sorted(lost.series("loss")) == [1, 2]
    assert not np.isfinite(lost.series("loss")[2])
    assert not is_complete(lost.home / "metrics.h5")
    assert not (lost.home / "model.pt").exists()


def test_the_saved_model_controls_as_well(train_here: Train) -> None:
    """What model.pt holds reproduces the final error of the run that saved it."""
    from train.demonstrations import demonstrate
    from train.model import load_policy
    from train.rollout import Told, judge, roll_out
    from train.systems import SYSTEMS

    run, system = train_here("run", *TEN_STEPS), SYSTEMS["double_integrator"]
    held_out = demonstrate(system, 8, 4, 12, 0).evaluation

    driven = roll_out(load_policy(run.home / "model.pt"), Told(system), held_out.states[:, 0], 12)

    assert judge(driven, held_out, system)["final_error"] == pytest.approx(run.summary["final_error"], rel=1e-6)


def test_what_is_drawn_is_what_was_measured(train_here: Train) -> None:
    """The lines of trajectories.json obey the dynamics, begin at the held-out starts, and cost what they should."""
    from train.demonstrations import Trajectories, demonstrate
    from train.model import load_policy
    from train.rollout import SHOWN, Told, roll_out
    from train.systems import SYSTEMS

    run, system = train_here("run", *TEN_STEPS), SYSTEMS["double_integrator"]
    drawn = json.loads((run.home / "trajectories.json").read_text())
    held_out = demonstrate(system, 8, 4, 12, 0).evaluation
    starts = held_out.states[:SHOWN, 0]
    costs = {}
    for curve in drawn["curves"]:
        x, v, u = (np.array([line[place] for line in curve["lines"]]) for place in range(3))
        states = np.stack([x, v], -1)
        costs[curve["name"]] = Trajectories(states, u[..., None]).cost(system)
        assert np.allclose(states[:, 0], starts, rtol=1e-5)
        for time in range(12):
            assert np.allclose(system.step(states[:, time], u[:, time, None]), states[:, time + 1], atol=1e-4)

    assert len(drawn["at"]) == 13
    assert list(costs) == ["policy", "optimal control", "no control"]
    assert np.allclose(costs["optimal control"], held_out.cost(system)[:SHOWN], rtol=1e-3)
    again = roll_out(load_policy(run.home / "model.pt"), Told(system), starts, 12)
    assert np.allclose(costs["policy"], again.cost(system), rtol=1e-3)
    assert not np.any(drawn["curves"][2]["lines"][0][2])


def test_a_pretrained_folder_is_loaded(train_here: Train, tmp_path: Path) -> None:
    """--base_model takes a local folder, of any architecture that reads embeddings; a wrong one is named."""
    from transformers import GPT2Config, GPT2Model

    from hpc.core.errors import InputError

    small = GPT2Config(vocab_size=8, n_embd=16, n_layer=1, n_head=2, n_positions=32, bos_token_id=0, eos_token_id=0)
    GPT2Model(small).save_pretrained(tmp_path / "pretrained")

    run = train_here("run", *TEN_STEPS, "--base_model", str(tmp_path / "pretrained"), "--learning_rate", "0.01")

    assert run.losses()[-1] < run.losses()[0]
    with pytest.raises(InputError, match="nowhere"):
        train_here("none", *TEN_STEPS, "--base_model", str(tmp_path / "nowhere"))


def test_a_gpu_reports_its_peak_memory(train_here: Train) -> None:
    """`peak_gpu_memory_mib` is there exactly where a GPU trained."""
    import torch

    assert ("peak_gpu_memory_mib" in train_here("run", *TEN_STEPS).summary) == torch.cuda.is_available()


def test_help_does_not_wait_for_pytorch() -> None:
    """Reading the command line imports nothing heavy."""
    asked = "import sys, train.control as c; c.parser().format_help(); print(sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout

    assert "'train.distributed'" in modules
    assert all(f"'{heavy}'" not in modules for heavy in ("torch", "numpy", "transformers", "accelerate", "h5py"))


@pytest.mark.parametrize(
    ("wrong", "valid"),
    [
        (["--training_type", "ppo"], "'?sft'?, '?grpo'?, '?both'?"),
        (["--system", "cart_pole"], "'?double_integrator'?, '?van_der_pol'?, '?pendulum'?"),
        (["--mixed_precision", "fp16"], "'?no'?, '?bf16'?"),
        (["--micro_batch_size", "0"], "0 is not a whole number above 0"),
    ],
)
def test_wrong_choices_list_the_valid_ones(wrong: list[str], valid: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A usage error ends with code 2 and says what would have been valid."""
    import re

    from train.control import parser

    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(wrong)
    assert re.search(valid, capsys.readouterr().err)
