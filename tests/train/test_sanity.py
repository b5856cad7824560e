"""The ladder: each planted fault breaks its rung and is named; our programs climb it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.train_runs import Finished

torch = pytest.importorskip("torch")
from train.learner import Learner  # noqa: E402
from train.loop import DataSet  # noqa: E402
from train.sanity import Expected, SanityError, climb  # noqa: E402

pytestmark = pytest.mark.train
RANDOM = np.random.default_rng(5)
INPUTS, UNSEEN = (RANDOM.normal(size=(count, 6)).astype("f4") for count in (64, 20))
WEIGHTS = RANDOM.normal(size=6).astype("f4")
SCALE = float((INPUTS @ WEIGHTS).var())


@dataclass(frozen=True)
class Regression(DataSet):
    """Squared error as a fraction of the variance of the answers."""

    inputs: Any
    answers: Any
    weight: float = 1.0
    tokens = 1

    def __len__(self) -> int:
        return len(self.inputs)

    def loss(self, learner: Learner, rows: Any) -> Any:
        return self.weight * ((learner.policy(self.inputs[rows])[:, 0] - self.answers[rows]) ** 2).mean() / SCALE


class Model(torch.nn.Module):  # type: ignore[misc, name-defined] torch comes by importorskip
    """Two layers; a third that may lie unused."""

    def __init__(self, *, idle: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = torch.nn.Linear(6, 32), torch.nn.Linear(32, 1)
        if idle:
            self.idle = torch.nn.Linear(32, 32)
        torch.nn.init.normal_(self.last.weight, std=0.01)

    def forward(self, inputs: Any) -> Any:
        """Shapes (batch, 6) to (batch, 1)."""
        return self.last(torch.tanh(self.first(inputs)))


def known(**changed: Any) -> Expected:
    """What is known of a sound regression, with something changed."""
    answers, truth = INPUTS @ WEIGHTS, UNSEEN @ WEIGHTS
    sound = Expected(
        training=Regression(torch.tensor(INPUTS), torch.tensor(answers)),
        loss=1.0,
        why="the answers' variance",
        rows={"training": INPUTS, "test": UNSEEN},
        simple=(INPUTS, answers, UNSEEN, truth),
        classes=False,
    )
    return replace(sound, **changed)


def climbed(home: Path, expected: Expected, model: Any = None) -> dict[str, Any]:
    """Climb, and give what was recorded."""
    from accelerate import Accelerator

    model = model or Model()
    climb(Learner(Accelerator(cpu=True), model, model, None), expected, home / "sanity.json")
    record: dict[str, Any] = json.loads((home / "sanity.json").read_text())
    return record


def test_a_sound_model_climbs_and_is_left_as_it_was(tmp_path: Path) -> None:
    """All rungs are recorded with what was found; no weight has moved."""
    model, before = Model(), Model().state_dict()
    record = climbed(tmp_path, known(), model)

    names = [rung["name"] for rung in record["held"]]
    assert names == ["shapes", "leakage", "initial loss", "one batch", "simple baselines"]
    assert record["broken"] == ""
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert "linear model" in record["held"][-1]["found"]
    assert float(re.findall(r"linear model (\S+),", record["held"][-1]["found"])[0]) < 1e-6


NOISE = torch.tensor(RANDOM.normal(size=64).astype("f4"))
FAULTS: dict[str, tuple[str, Callable[[], Expected], Callable[[], Any]]] = {
    "leak": ("leakage: 2 of 20 rows of test are in training, too", lambda: known(
        rows={"training": INPUTS, "test": np.concatenate([INPUTS[3:5], UNSEEN[2:]])}), Model),
    "empty": ("shapes: there are no samples in test", lambda: known(
        rows={"training": INPUTS, "test": UNSEEN[:0]}), Model),
    "not finite": ("shapes: training has 1 values that are not finite", lambda: known(
        rows={"training": np.where(np.arange(6) + 6 * np.arange(64)[:, None] == 7, np.nan, INPUTS), "test": UNSEEN}),
        Model),
    "wrong width": ("shapes: the model does not take the samples", lambda: known(
        training=Regression(torch.tensor(INPUTS[:, :5]), torch.tensor(INPUTS @ WEIGHTS))), Model),
    "summed loss": ("initial loss: it is 5", lambda: known(
        training=Regression(torch.tensor(INPUTS), torch.tensor(INPUTS @ WEIGHTS), weight=50.0)), Model),
    "idle layer": ("one batch: 2 of 6 trained tensors never had a gradient, such as idle.bias", known,
        lambda: Model(idle=True)),
    "answers at random": ("one batch: 8 samples are not learned by heart", lambda: known(
        training=Regression(torch.ones(64, 6), NOISE * SCALE**0.5)), Model),
}  # fmt: skip
"""Fault → what is said, what is known, what is trained."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str, tmp_path: Path) -> None:
    """By its own rung, in words; the rungs below are recorded as held."""
    said, expected, model = FAULTS[fault]
    with pytest.raises(SanityError) as caught:
        climbed(tmp_path, expected(), model())

    assert str(caught.value).startswith(f"sanity: {said}")
    assert json.loads((tmp_path / "sanity.json").read_text())["broken"] == str(caught.value).removeprefix("sanity: ")


def test_data_in_order_are_looked_at_from_end_to_end(tmp_path: Path) -> None:
    """One system after the other, as a universal policy's: the first alone would miss by another size."""
    inputs = np.random.default_rng(2).normal(size=(1024, 6)).astype("f4")
    inputs = inputs[np.argsort(-np.abs(inputs @ WEIGHTS))]
    data = Regression(
        torch.tensor(inputs), torch.tensor(inputs @ WEIGHTS), weight=SCALE / float((inputs @ WEIGHTS).var())
    )
    record = climbed(tmp_path, known(training=data, rows={"training": inputs, "test": UNSEEN}))
    (initial,) = (rung["found"] for rung in record["held"] if rung["name"] == "initial loss")

    assert float(initial.partition(",")[0]) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("control", ("--system", "pendulum", "--training_type", "both")),
        ("control", ("--model_type", "universal", "--system", "pendulum")),
        ("symmetry", ("--model", "mamba_residual", "--gamma", "1.0")),
        ("symmetry", ("--task", "inverse", "--model", "transformer")),
    ],
)
def test_our_programs_climb(
    program: str, arguments: tuple[str, ...], train_here: Callable[..., Finished], capsys: pytest.CaptureFixture[str]
) -> None:
    """Their data, models and losses are sound; nothing is trained."""
    run = train_here("run", *arguments, "--sanity", program=program)

    assert run.code == 0
    assert "sanity: all rungs hold" in capsys.readouterr().out
    assert sorted(path.name for path in run.home.iterdir()) == ["sanity.json"]


def test_a_scale_divides_the_data(train_here: Callable[..., Finished]) -> None:
    """A tenth of the trajectories are a tenth of the steps."""
    whole, tenth = (
        train_here(name, "--epochs", "2", "--micro_batch_size", "4", *scale)
        for name, scale in (("whole", ()), ("tenth", ("--scale", "0.25")))
    )

    assert len(whole.losses()) == 4 * len(tenth.losses())
