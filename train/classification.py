"""What a classifier of sequences learns from and is measured by, on the training device."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.durable import replace_tensors
from train.learner import Learner
from train.loop import DataSet
from train.sanity import SIMPLE, Expected
from train.sequences import Labelled
from train.symmetry_data import SymmetryData

_TRAINING_MEASURED = 2000
"""Sequences of the training set that are measured on the way."""


@dataclass(frozen=True)
class Sequences(DataSet):
    """Tokens (count, time) and the answer to each, (count,)."""

    numbers: Tensor
    answers: Tensor

    @classmethod
    def of(cls, part: Labelled, device: torch.device) -> "Sequences":
        """Take sequences to a device."""
        return cls(torch.from_numpy(part.tokens).to(device), torch.from_numpy(part.answers).to(device))

    @property
    def tokens(self) -> int:
        """Tokens of a sequence."""
        return self.numbers.shape[1]

    def __len__(self) -> int:
        return len(self.numbers)

    def loss(self, learner: Learner, rows: Tensor | slice) -> Tensor:
        """Mean cross-entropy of the answers in the given rows, in nats."""
        return torch.nn.functional.cross_entropy(learner.policy(self.numbers[rows]).float(), self.answers[rows])


def accuracies(
    learner: Learner, measured: Mapping[str, Sequences], training: Sequences, micro_batch: int
) -> dict[str, float]:
    """Share of right answers by name, and loss and accuracy on the first sequences that are learned from."""
    learner.policy.eval()
    with torch.no_grad():
        found = {name: _right(learner, part, micro_batch)[0] for name, part in measured.items()}
        first = Sequences(training.numbers[:_TRAINING_MEASURED], training.answers[:_TRAINING_MEASURED])
        found["train_acc"], found["train_loss"] = _right(learner, first, micro_batch)
    learner.policy.train()
    return found


def examples(learner: Learner, part: Sequences, count: int = 2) -> str:
    """Say what is answered to the first sequences, in one line; all processes call it together."""
    learner.policy.eval()
    with torch.no_grad():
        answered = learner.policy(part.numbers[:count]).argmax(dim=-1).tolist()
    learner.policy.train()
    shown = zip(part.numbers[:count].tolist(), answered, part.answers[:count].tolist(), strict=True)
    return " | ".join(f"{' '.join(map(str, tokens))} -> {answer} (right: {right})" for tokens, answer, right in shown)


def _right(learner: Learner, part: Sequences, micro_batch: int) -> tuple[float, float]:
    """Accuracy and mean cross-entropy, a few micro-batches at a time: nothing is kept for gradients."""
    pieces = zip(part.numbers.split(8 * micro_batch), part.answers.split(8 * micro_batch), strict=True)
    right, loss = 0, 0.0
    for numbers, answers in pieces:
        scores = learner.policy(numbers).float()
        right += int((scores.argmax(dim=-1) == answers).sum())
        loss += float(torch.nn.functional.cross_entropy(scores, answers, reduction="sum"))
    return right / len(part), loss / len(part)


def expect(data: SymmetryData, training: Sequences) -> Expected:
    """What is known of a classifier before it is trained: it knows nothing of the answers."""
    learned, tested = data.training, next(iter(data.measured.values()))

    def one_hot(part: Labelled) -> NDArray[np.float32]:
        tokens = part.tokens[:SIMPLE]
        return np.eye(data.vocabulary, dtype=np.float32)[tokens].reshape(len(tokens), -1)

    parts = {measured.removesuffix("_acc"): part.tokens for measured, part in data.measured.items()}
    return Expected(
        training=training,
        loss=float(np.log(data.answers)),
        why=f"log {data.answers}: {data.answers} answers alike",
        rows={"training": learned.tokens, **parts},
        simple=(one_hot(learned), learned.answers[:SIMPLE], one_hot(tested), tested.answers[:SIMPLE]),
        classes=True,
    )


def save_model(path: Path, model: str, sizes: Mapping[str, Any], trained: Mapping[str, Tensor]) -> None:
    """Write what builds the trained model again."""
    replace_tensors(path, {"model": model, "sizes": dict(sizes), "parameters": dict(trained)})
