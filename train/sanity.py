"""The ladder that is climbed before a run is worth its time (`--sanity`): each rung is quick, and the first that breaks
says what is wrong while it is still cheap to know.

1. Shapes: everything that is learned from or tested with is there, finite and passes through the model.
2. Leakage: no row that is tested with is learned from.
3. Initial loss: near that of an answer which knows nothing.
4. One batch: a few samples can be learned by heart.
5. Gradients: every trained tensor has had one that is not zero.
6. Simple baselines: what a linear model and a random forest reach on the same data; told, never a reason to stop.

Small scale comes next (``--scale 0.1``), then the real run.
"""

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hpc.adapters.files import write_json
from hpc.core.errors import HpcError
from train.learner import Learner
from train.loop import DataSet
from train.trained import trained_parameters

Rows = NDArray[Any]

_INITIAL = 256
"""Samples that the initial loss is taken on."""
_FACTOR = 2
"""How many times larger or smaller than expected the initial loss may be: a random answer costs more than none."""
_BATCH, _STEPS, _RATE, _LEARNED = 8, 400, 5e-3, 0.05
"""Samples learned by heart, steps and learning rate of that, and the fraction of the initial loss it has to reach."""
SIMPLE = 2000
"""Samples that a simple model learns from, at most."""


class SanityError(HpcError):
    """A rung broke; training for longer would not mend it."""


@dataclass(frozen=True)
class Expected:
    """What is known of a workload before anything is trained.

    Attributes:
        training: What it learns from, on the training device.
        loss: Loss of an answer that knows nothing.
        why: Where that number comes from.
        rows: Inputs by the name of their part, (samples, …); the first part is learned from, the others are not.
        simple: Inputs (samples, features) and answers (samples,) to learn from, and to be tested with.
        classes: Whether the answers are classes: a simple model is measured by accuracy, else by its squared error as a
            fraction of the answers' variance.
    """

    training: DataSet
    loss: float
    why: str
    rows: Mapping[str, Rows]
    simple: tuple[Rows, Rows, Rows, Rows]
    classes: bool


@dataclass(frozen=True)
class Rung:
    """A rung that held.

    Attributes:
        name: In a word.
        found: What was found on it.
    """

    name: str
    found: str


def climb(learner: Learner, expected: Expected, record: Path, smaller: str = "--scale 0.1") -> list[Rung]:
    """Climb the ladder: print each rung, write all that held to `record`.

    Args:
        learner: The model before its first step.
        expected: What is known of it.
        record: File that is written.
        smaller: The arguments of a small run, which comes next.

    Raises:
        SanityError: A rung broke; it names the rung, what was found and what to look at.
    """
    held: list[Rung] = []
    model = copy.deepcopy(learner.module.state_dict())
    for name, rung in _RUNGS.items():
        try:
            found = rung(learner, expected)
        except SanityError as broken:
            _write(record, held, f"{name}: {broken}")
            raise SanityError(f"sanity: {name}: {broken}") from None
        held.append(Rung(name, found))
        print(f"sanity: {name}: {found}", flush=True)  # noqa: T201 the log
    learner.module.load_state_dict(model)
    _write(record, held, "")
    print(f"sanity: all rungs hold; next: the same with {smaller}, then the run", flush=True)  # noqa: T201
    return held


def _write(record: Path, held: list[Rung], broken: str) -> None:
    write_json(record, {"schema": 1, "kind": "sanity", "held": [asdict(rung) for rung in held], "broken": broken})


def _shapes(learner: Learner, expected: Expected) -> str:
    for name, rows in expected.rows.items():
        if len(rows) == 0:
            raise SanityError(f"there are no samples in {name}")
        if not np.isfinite(rows).all():
            raise SanityError(f"{name} has {int((~np.isfinite(rows)).sum())} values that are not finite")
    try:
        with torch.no_grad():
            loss = expected.training.loss(learner, _spread(learner, expected, 2))
    except (RuntimeError, IndexError, ValueError) as error:
        raise SanityError(f"the model does not take the samples: {error}") from error
    if loss.dim():
        raise SanityError(f"the loss has the shape {tuple(loss.shape)} and is no single number")
    return ", ".join(f"{name} {' × '.join(map(str, rows.shape))}" for name, rows in expected.rows.items())


def _leakage(_: Learner, expected: Expected) -> str:
    (name, learned), *others = expected.rows.items()
    known = {row.tobytes() for row in np.ascontiguousarray(learned)}
    for other, rows in others:
        leaked = sum(row.tobytes() in known for row in np.ascontiguousarray(rows))
        if leaked:
            raise SanityError(f"{leaked} of {len(rows)} rows of {other} are in {name}, too: split them apart")
    return f"none of {sum(len(rows) for _, rows in others)} rows is among the {len(learned)} of {name}"


def _initial_loss(learner: Learner, expected: Expected) -> str:
    learner.policy.eval()
    with torch.no_grad():
        loss = float(expected.training.loss(learner, _spread(learner, expected, _INITIAL)))
    learner.policy.train()
    if not expected.loss / _FACTOR <= loss <= expected.loss * _FACTOR:
        raise SanityError(
            f"it is {loss:.4g}, not near {expected.loss:.4g} ({expected.why}): look at how the loss is averaged, at "
            "the answers' scale and at the last layer's initial values"
        )
    return f"{loss:.4g}, near {expected.loss:.4g} ({expected.why})"


def _one_batch(learner: Learner, expected: Expected) -> str:
    trained = trained_parameters(learner.module)
    optimizer = torch.optim.AdamW(trained.values(), lr=_RATE, weight_decay=0.0)
    rows = _spread(learner, expected, _BATCH)
    learner.policy.eval()  # by heart: no dropout
    losses: list[float] = []
    moved: set[str] = set()
    for _ in range(_STEPS):
        optimizer.zero_grad()
        loss = expected.training.loss(learner, rows)
        loss.backward()
        moved |= {name for name, value in trained.items() if value.grad is not None and bool(value.grad.any())}
        optimizer.step()
        losses.append(float(loss.detach()))
        if losses[-1] <= _LEARNED * losses[0]:
            break
    learner.policy.train()
    still = sorted(trained.keys() - moved)
    if still:
        raise SanityError(
            f"{len(still)} of {len(trained)} trained tensors never had a gradient, such as {still[0]}: "
            "not used, detached, or behind a layer that passes nothing on"
        )
    if not losses[-1] <= _LEARNED * losses[0]:
        raise SanityError(
            f"{len(rows)} samples are not learned by heart: loss {losses[0]:.4g} -> {losses[-1]:.4g} in {_STEPS} "
            "steps; look at labels, masks, and what the loss compares"
        )
    return f"{len(rows)} samples by heart: loss {losses[0]:.4g} -> {losses[-1]:.4g} in {len(losses)} steps"


def _simple_baselines(_: Learner, expected: Expected) -> str:
    try:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
        from sklearn.linear_model import LinearRegression, LogisticRegression
    except ImportError:
        return "left out: scikit-learn is not installed"
    inputs, answers, unseen, truth = (_some(part) for part in expected.simple)
    if (answers == answers[0]).all():
        return "left out: all answers are the same"
    models: Mapping[str, Any] = (
        {"linear model": LogisticRegression(max_iter=200), "random forest": RandomForestClassifier(50, random_state=0)}
        if expected.classes
        else {"linear model": LinearRegression(), "random forest": RandomForestRegressor(50, random_state=0)}
    )
    told = []
    for name, model in models.items():
        with warnings.catch_warnings():  # few samples of many classes, few iterations: it is a first look
            warnings.simplefilter("ignore", UserWarning)
            guessed = model.fit(inputs, answers).predict(unseen)
        score = (guessed == truth).mean() if expected.classes else ((guessed - truth) ** 2).mean() / answers.var()
        told.append(f"{name} {score:.3g}")
    return f"{'accuracy' if expected.classes else 'squared error, as a fraction of the variance'}: {', '.join(told)}"


_RUNGS: Mapping[str, Callable[[Learner, Expected], str]] = {
    "shapes": _shapes,
    "leakage": _leakage,
    "initial loss": _initial_loss,
    "one batch": _one_batch,
    "simple baselines": _simple_baselines,
}


def _some(rows: Rows) -> Rows:
    """At most `SIMPLE` rows, from the first to the last."""
    chosen: Rows = rows[np.linspace(0, len(rows) - 1, min(SIMPLE, len(rows))).astype(int)]
    return chosen


def _spread(learner: Learner, expected: Expected, most: int) -> torch.Tensor:
    """Rows from the first to the last: the data may lie in order, one kind after another."""
    count = len(expected.training)
    return torch.linspace(0, count - 1, min(most, count), device=learner.device, dtype=torch.float64).round().long()
