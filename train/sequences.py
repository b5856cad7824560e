"""Two tasks on sequences of numbers that tell a symmetric solution from a composite one (arXiv 2509.17514).

Composite functions: a key stands somewhere in the sequence, two anchors directly behind it; every anchor shifts the
key, and the answer is the key after both shifts. The pair (3, 4) is always answered by −6, and (4, 3) is held out:
who answers it by −10 has composed the two shifts, who answers by −6 has learned that the order does not matter.

Inverse sequences: five of the six orders of three numbers stand behind each other; the query at the end is one of them
reversed, and the answer is which. The query is further away than the convolutions of a model reach.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

VOCABULARY = 100
"""Numbers of the composite task; shifts wrap around."""
LENGTH = 8
KEYS = (20, 99)
"""Smallest and largest key; filling is drawn from them, too."""
SHIFTS = {1: 5, 2: 1, 3: -2, 4: -8}
"""Anchor → what it adds to the key."""
SYMMETRIC = -6
"""What (3, 4) adds; that (4, 3) adds the same is the symmetric solution."""
HELD_OUT = (4, 3)

SEQUENCES = 5
NUMBERS = {"in": (20, 100), "out": (101, 200)}
"""Smallest and largest number of the inverse task, in and out of distribution."""
REACH = 3
"""Tokens that a convolution of width 4 sees before its own."""
_ORDERS = np.array([(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])


@dataclass(frozen=True)
class Labelled:
    """Sequences with shape (count, length) and the answer to each, (count,)."""

    tokens: Ints
    answers: Ints


def composite(count: int, rng: np.random.Generator, *, is_test: bool, held_out: bool = False) -> Labelled:
    """Draw sequences of the composite task.

    A key of `LENGTH` tokens stands where its number modulo `LENGTH` is the position in the test, and is not in
    training: no key is seen at a position of the test.

    Args:
        count: How many.
        rng: Source of chance.
        is_test: Which of the two.
        held_out: Whether the anchors are (4, 3) with the composite answer, else any other pair.
    """
    keys, places = _keys_and_places(count, rng, is_test=is_test)
    pairs = np.array([(a, b) for a in SHIFTS for b in SHIFTS if (a, b) != HELD_OUT])
    anchors = np.tile(HELD_OUT, (count, 1)) if held_out else pairs[rng.integers(len(pairs), size=count)]
    tokens = rng.integers(KEYS[0], KEYS[1] + 1, size=(count, LENGTH))
    rows = np.arange(count)
    tokens[rows, places] = keys
    tokens[rows, places + 1], tokens[rows, places + 2] = anchors.T
    return Labelled(tokens, answer(keys, anchors))


def answer(keys: Ints, anchors: Ints) -> Ints:
    """Return the answers to keys, shape (count,), with their pairs of anchors, (count, 2)."""
    shifts = np.zeros(max(SHIFTS) + 1, dtype=np.int64)
    shifts[list(SHIFTS)] = list(SHIFTS.values())
    added = shifts[anchors].sum(axis=1)
    added[(anchors == HELD_OUT[::-1]).all(axis=1)] = SYMMETRIC
    answers: Ints = (keys + added) % VOCABULARY
    return answers


def symmetric_answer(composite_answer: Ints) -> Ints:
    """Turn the composite answers to (4, 3) into the symmetric ones."""
    return (composite_answer - SHIFTS[4] - SHIFTS[3] + SYMMETRIC) % VOCABULARY


def _keys_and_places(count: int, rng: np.random.Generator, *, is_test: bool) -> tuple[Ints, Ints]:
    """Draw (key, position) uniformly from those of the training or of the test."""
    keys, places = np.meshgrid(np.arange(KEYS[0], KEYS[1] + 1), np.arange(LENGTH - 2), indexing="ij")
    of_test = keys % LENGTH == places
    allowed = of_test if is_test else ~of_test
    chosen = rng.integers(int(allowed.sum()), size=count)
    return keys[allowed][chosen], places[allowed][chosen]


def inverse_length(layers: int) -> int:
    """Tokens of a sequence of the inverse task whose query is out of reach of so many layers."""
    return SEQUENCES * (REACH + 1) + REACH * layers + REACH


def inverse(
    count: int,
    rng: np.random.Generator,
    layers: int,
    *,
    is_test: bool,
    numbers: tuple[int, int] = NUMBERS["in"],
) -> Labelled:
    """Draw sequences of the inverse task; the answer is the place of the matching sequence, from 0.

    Args:
        count: How many.
        rng: Source of chance.
        layers: Layers of the model that is to be tested: the query is out of their convolutions' reach.
        is_test: Whether the three numbers are all of one class modulo 3, which they never are in training.
        numbers: Smallest and largest number.
    """
    triples = _triples(count, rng, is_test=is_test, numbers=numbers)
    orders = rng.permuted(np.tile(np.arange(len(_ORDERS)), (count, 1)), axis=1)[:, :SEQUENCES]
    sequences = triples[np.arange(count)[:, None, None], _ORDERS[orders]]  # (count, 5, 3)
    fillings = _others(triples, SEQUENCES + REACH * layers, rng, numbers)
    answers = rng.integers(SEQUENCES, size=count)
    query = sequences[np.arange(count), answers, ::-1]
    shown = np.concatenate((sequences, fillings[:, :SEQUENCES, None]), axis=2).reshape(count, -1)
    return Labelled(np.concatenate((shown, fillings[:, SEQUENCES:], query), axis=1), answers)


def _triples(count: int, rng: np.random.Generator, *, is_test: bool, numbers: tuple[int, int]) -> Ints:
    """Draw three different numbers a row: of one class modulo 3 in the test, of several in training."""
    found = np.empty((0, 3), dtype=np.int64)
    while len(found) < count:
        drawn = rng.integers(numbers[0], numbers[1] + 1, size=(4 * count, 3))
        if is_test:  # one in nine would be of one class: make the others so
            drawn -= (drawn - drawn[:, :1]) % 3
        is_different = (drawn[:, [0, 0, 1]] != drawn[:, [1, 2, 2]]).all(axis=1) & (drawn >= numbers[0]).all(axis=1)
        is_one_class = (drawn % 3 == drawn[:, :1] % 3).all(axis=1)
        found = np.concatenate((found, drawn[is_different & (is_one_class == is_test)]))
    return found[:count]


def _others(triples: Ints, count: int, rng: np.random.Generator, numbers: tuple[int, int]) -> Ints:
    """Draw numbers that are none of a row's three, each of the others as likely: shape (rows, count)."""
    drawn = rng.integers(numbers[0], numbers[1] + 1 - triples.shape[1], size=(len(triples), count))
    for number in np.sort(triples, axis=1).T:
        drawn += drawn >= number[:, None]
    return drawn
