"""What `train.lm` learns: the entropy of the source, tokens, and how sequences are packed."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from train.text import IGNORED, Source, draw, load_data

pytestmark = pytest.mark.train
SIZES = {"train_tokens": 500, "val_tokens": 200, "seq_len": 16, "tokenizer": "byte", "vocab_size": 280, "data_seed": 0}


def test_the_floor_is_the_code_length_of_what_the_source_writes() -> None:
    """Over a long text the mean of -log p(word | word before), per byte, is the stated entropy rate."""
    source = Source(3)
    number = {word: place for place, word in enumerate(source.words)}
    words = [number[f"{word} "] for word in source.write(300_000, 0).decode().split(" ")[:-1]]
    ranks = [source.following[before].tolist().index(word) for before, word in pairwise(words)]
    code = -np.log(source.chances[ranks]).sum() / sum(len(source.words[word]) for word in words[1:])

    assert source.floor == pytest.approx(code, rel=0.01)


def test_a_longer_text_begins_with_the_shorter() -> None:
    """What is learned from does not change with the budget; another stream or seed is another text."""
    whole = Source(0).write(5000, 0)
    assert len(whole) == 5000
    assert whole.startswith(Source(0).write(700, 0))
    assert len({Source(0).write(700, 0), Source(0).write(700, 1), Source(1).write(700, 0)}) == 3


@pytest.mark.parametrize("budget", [1, 15, 16, 90, 1007])
def test_every_token_of_the_budget_is_a_target_once_an_epoch(budget: int) -> None:
    """As the slow reference has it: sequence after sequence of each epoch's order, to the last token of the budget."""
    tokens, length, batch, seed = torch.arange(100), 8, 4, 5  # 12 sequences; the tail of 3 is in none
    orders = (np.random.default_rng((seed, epoch)).permutation(12) for epoch in range(20))
    stream = [1 + window * length + place for order in orders for window in order for place in range(length)]

    packing = {"budget": budget, "batch": batch, "length": length, "seed": seed}
    steps = [draw(tokens, step, **packing) for step in range(1, math.ceil(budget / (batch * length)) + 1)]
    targets = torch.cat([wanted.flatten() for _, wanted in steps])

    assert targets[targets != IGNORED].tolist() == stream[:budget]
    assert (targets[budget:] == IGNORED).all()
    assert len(targets) - budget < length
    assert all((inputs >= 0).all() for inputs, _ in steps)
    assert all((inputs + 1 == wanted)[wanted != IGNORED].all() for inputs, wanted in steps)


def test_the_order_is_the_seeds() -> None:
    """Another seed packs the same sequences in another order."""
    packing = {"budget": 96, "batch": 12, "length": 8}
    one, other = (draw(torch.arange(100), 1, **packing, seed=seed)[1] for seed in (1, 2))
    assert one.tolist() != other.tolist()
    assert sorted(one.tolist()) == sorted(other.tolist())


def test_a_text_of_ones_own_is_split_and_hashed(tmp_path: Path) -> None:
    """Its last tenth is held out; nobody knows its floor; one other letter is another hash."""
    path = tmp_path / "text"
    path.write_bytes(bytes(range(250)) * 4)
    data = load_data(str(path), **SIZES)
    assert (len(data.train), data.val.tolist(), data.floor) == (900, list(range(150, 250)), None)

    path.write_bytes(bytes(range(250)) * 3 + bytes(250))
    assert load_data(str(path), **SIZES).sha256 != data.sha256
    path.write_bytes(b"short")
    with pytest.raises(ValueError, match="too short"):
        load_data(str(path), **SIZES)


def test_byte_pairs_say_the_same_in_fewer_tokens() -> None:
    """They give the text back, and the floor per token grows by the bytes a token stands for."""
    data, pairs = load_data("", **SIZES), load_data("", **{**SIZES, "tokenizer": "bpe"})
    text, told = (each.show(each.train.tolist()) for each in (data, pairs))
    assert told.startswith(text)
    assert pairs.vocabulary == 280
    assert pairs.floor == pytest.approx(data.floor * len(told) / len(pairs.train), rel=0.1)
    assert pairs.sha256 == load_data("", **{**SIZES, "tokenizer": "bpe"}).sha256
