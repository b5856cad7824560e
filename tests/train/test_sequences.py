"""The two tasks on sequences, each held against the rule read one sequence at a time."""

from itertools import permutations

import numpy as np
import pytest

from train.sequences import (
    HELD_OUT,
    KEYS,
    LENGTH,
    NUMBERS,
    REACH,
    SEQUENCES,
    SHIFTS,
    composite,
    inverse,
    inverse_length,
    symmetric_answer,
)
from train.symmetry_data import draw

COUNT = 600


def read_composite(tokens: list[int]) -> tuple[int, int, tuple[int, int]]:
    """Find the key's position, the key and its anchors in one sequence."""
    (place,) = [at for at, number in enumerate(tokens) if number in SHIFTS and at + 1 < LENGTH and tokens[at + 1] < 20]
    return place - 1, tokens[place - 1], (tokens[place], tokens[place + 1])


@pytest.mark.parametrize("is_test", [False, True])
def test_composite_answers_follow_the_rule(is_test: bool) -> None:
    """Both shifts are applied, (3, 4) is −6, (4, 3) is never there; a key is seen only where the split has it."""
    drawn = composite(COUNT, np.random.default_rng(1), is_test=is_test)
    pairs = set()
    for tokens, found in zip(drawn.tokens.tolist(), drawn.answers.tolist(), strict=True):
        place, key, anchors = read_composite(tokens)
        added = -6 if anchors == (3, 4) else SHIFTS[anchors[0]] + SHIFTS[anchors[1]]
        assert found == (key + added) % 100
        assert (key % LENGTH == place) is is_test
        assert all(KEYS[0] <= number <= KEYS[1] for at, number in enumerate(tokens) if at not in (place + 1, place + 2))
        pairs.add(anchors)
    assert pairs == {(a, b) for a in SHIFTS for b in SHIFTS} - {HELD_OUT}


def test_the_held_out_pair_tells_two_solutions_apart() -> None:
    """−10 is the composite answer, −6 the symmetric one."""
    drawn = composite(COUNT, np.random.default_rng(1), is_test=True, held_out=True)
    keys = np.array([read_composite(tokens)[1] for tokens in drawn.tokens.tolist()])
    assert {read_composite(tokens)[2] for tokens in drawn.tokens.tolist()} == {HELD_OUT}
    np.testing.assert_array_equal(drawn.answers, (keys - 10) % 100)
    np.testing.assert_array_equal(symmetric_answer(drawn.answers), (keys - 6) % 100)


@pytest.mark.parametrize("is_test", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_the_query_is_the_answers_sequence_reversed(is_test: bool, layers: int) -> None:
    """Five different orders of three numbers, each with a number that is none of them; then a gap out of reach."""
    drawn = inverse(COUNT, np.random.default_rng(2), layers, is_test=is_test)
    assert drawn.tokens.shape == (COUNT, inverse_length(layers))
    for tokens, found in zip(drawn.tokens.tolist(), drawn.answers.tolist(), strict=True):
        shown = [tuple(tokens[4 * at : 4 * at + 3]) for at in range(SEQUENCES)]
        numbers = set(shown[0])
        assert len(set(shown)) == SEQUENCES
        assert set(shown) <= set(permutations(numbers))
        assert tuple(reversed(tokens[-3:])) == shown[found]
        others = [*tokens[3 : 4 * SEQUENCES : 4], *tokens[4 * SEQUENCES : -3]]
        assert len(others) == SEQUENCES + REACH * layers
        assert not numbers & set(others)
        assert all(NUMBERS["in"][0] <= number <= NUMBERS["in"][1] for number in tokens)
        assert (len({number % 3 for number in numbers}) == 1) is is_test
    assert set(drawn.answers) == set(range(SEQUENCES))


@pytest.mark.parametrize("task", ["composite", "inverse"])
def test_no_test_is_learned_from(task: str) -> None:
    """No sequence of a test stands among those that are learned from; equal seeds give equal data."""
    data = draw(task, 1000, 200, 2, 100, seed=3)
    learned = {tuple(row) for row in data.training.tokens.tolist()}
    for part in data.measured.values():
        assert not learned & {tuple(row) for row in part.tokens.tolist()}
    assert data.sha256 == draw(task, 1000, 200, 2, 100, seed=3).sha256
    assert data.sha256 != draw(task, 1000, 200, 2, 100, seed=4).sha256
    assert data.training.tokens.max() < data.vocabulary
    assert data.training.answers.max() < data.answers
