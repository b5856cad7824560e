"""The data of one run of `train.symmetry`: what is learned from, and what is measured by which name."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np

from train.sequences import (
    NUMBERS,
    SEQUENCES,
    VOCABULARY,
    Labelled,
    composite,
    inverse,
    symmetric_answer,
)

_TRAINING, _TEST, _HELD_OUT = 0, 1, 2  # streams of the random generator


@dataclass(frozen=True)
class SymmetryData:
    """Sequences to learn from and to be measured by.

    Attributes:
        training: To learn from.
        measured: Name of an accuracy → what it is the accuracy on.
        vocabulary: Different tokens.
        answers: Different answers.
    """

    training: Labelled
    measured: Mapping[str, Labelled]
    vocabulary: int
    answers: int

    @cached_property
    def sha256(self) -> str:
        """Digest of all of it: equal data, equal digest."""
        digest = sha256()
        for name, part in (("training", self.training), *self.measured.items()):
            digest.update(name.encode())
            digest.update(part.tokens.astype("<i8").tobytes() + part.answers.astype("<i8").tobytes())
        return digest.hexdigest()


def draw(task: str, samples: int, test_samples: int, layers: int, largest: int, seed: int) -> SymmetryData:
    """Draw the data of a task, the same for every model and seed of the weights.

    Args:
        task: ``composite``: accuracies ``test_acc`` (pairs of anchors that were seen, at positions of the test),
            ``composite_acc`` and ``symmetric_acc`` (the held-out pair). ``inverse``: ``test_acc`` (numbers of one class
            modulo 3) and ``ood_acc`` (numbers out of distribution).
        samples: Sequences to learn from.
        test_samples: Of each test.
        layers: Of the model, which the query has to be out of reach of.
        largest: Largest number of the inverse task, in distribution.
        seed: Of the sequences.
    """
    learned, tested, held_out = (np.random.default_rng((seed, stream)) for stream in (_TRAINING, _TEST, _HELD_OUT))
    if task == "composite":
        pair = composite(test_samples, held_out, is_test=True, held_out=True)
        measured = {
            "test_acc": composite(test_samples, tested, is_test=True),
            "composite_acc": pair,
            "symmetric_acc": Labelled(pair.tokens, symmetric_answer(pair.answers)),
        }
        return SymmetryData(composite(samples, learned, is_test=False), measured, VOCABULARY, VOCABULARY)
    numbers = (NUMBERS["in"][0], largest)
    measured = {
        "test_acc": inverse(test_samples, tested, layers, is_test=True, numbers=numbers),
        "ood_acc": inverse(test_samples, held_out, layers, is_test=False, numbers=NUMBERS["out"]),
    }
    training = inverse(samples, learned, layers, is_test=False, numbers=numbers)
    return SymmetryData(training, measured, NUMBERS["out"][1] + 1, SEQUENCES)
