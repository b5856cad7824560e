"""The ladder of checks of `train.lm`: what is known of a language model before it is trained."""

import argparse
import math
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from train.gpt import GPT, device
from train.learner import Learner
from train.loop import DataSet
from train.sanity import SIMPLE, Expected, SanityError, climb
from train.text import Data

_TELLING = 64
"""Tokens that do not come twice by chance; a shorter sequence may."""


@dataclass(frozen=True)
class Windows(DataSet):
    """Whole sequences of a text, one after the other: tokens (samples, length) and the one behind each."""

    tokens_in: Tensor
    targets: Tensor

    @classmethod
    def of(cls, text: Tensor, length: int) -> "Windows":
        """Cut a text (count,) into sequences; what is left at its end is left out."""
        count = (len(text) - 1) // length * length
        inputs, targets = (part.long().view(-1, length).to(device()) for part in (text[:count], text[1 : count + 1]))
        return cls(inputs, targets)

    @property
    def tokens(self) -> int:
        return self.tokens_in.shape[1]

    def __len__(self) -> int:
        return len(self.tokens_in)

    def loss(self, learner: Learner, rows: Tensor | slice) -> Tensor:
        """Mean loss over the given sequences, nats a token."""
        scores = learner.policy(self.tokens_in[rows]).flatten(0, 1)
        return nn.functional.cross_entropy(scores, self.targets[rows].flatten())


def check(args: argparse.Namespace, data: Data, model: GPT) -> int:
    """Climb the ladder instead of training; return the exit code."""
    learned, held_out = (Windows.of(text, args.seq_len) for text in (data.train, data.val))
    longer = max(args.seq_len, min(_TELLING, len(data.val) - 1))
    rows = {"training": Windows.of(data.train, longer), "validation": Windows.of(data.val, longer)}
    expected = Expected(
        training=learned,
        loss=math.log(data.vocabulary),
        why=f"log {data.vocabulary}: {data.vocabulary} tokens alike",
        rows={name: part.tokens_in.cpu().numpy() for name, part in rows.items()},
        simple=(*_pairs(learned, data.vocabulary), *_pairs(held_out, data.vocabulary)),
        classes=True,
    )
    learner = Learner(SimpleNamespace(device=device()), model, model, None)
    try:
        climb(learner, expected, args.output_dir / "sanity.json", f"--train_tokens {-(-args.train_tokens // 10)}")
    except SanityError as broken:
        print(f"{type(broken).__name__}: {broken}", file=sys.stderr)  # noqa: T201 the message is meant for people
        return broken.exit_code
    return 0


def _pairs(windows: Windows, vocabulary: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """A token, one-hot, and the one behind it: what a simple model may learn from."""
    inputs, targets = (part.flatten()[:SIMPLE].cpu().numpy() for part in (windows.tokens_in, windows.targets))
    return np.eye(vocabulary, dtype=np.float32)[inputs], targets
