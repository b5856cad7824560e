"""What `train.lm` learns: a given text or one of known entropy, cut into tokens and packed into sequences.

Only NumPy and PyTorch; the package tokenizers where byte pairs are asked for.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

IGNORED = -100
"""Target of what is beyond the budget; `cross_entropy` leaves it out."""
HELD_OUT = 10
"""The last of so many parts of a given text is for validation."""
_SOUNDS = (list("bdfgklmnprstvz"), list("aeiou"))
"""A syllable is one of each."""
_LONGEST = 8
"""More bytes than a pair of bytes stands for on average."""


class Source:
    """A Markov chain over words: what it writes has a known entropy per byte.

    Each of `WORDS` different words, one to three syllables and a space, is followed by one of `NEXT` words, the k-th of
    them with a probability that goes as 1/k. Spaces tell words apart, so the entropy rate in nats a byte is
    Σ π(w) H(next of w) / Σ π(w) length(w), π the stationary distribution of the words.
    """

    WORDS, NEXT = 64, 8

    def __init__(self, seed: int) -> None:
        self.seed = seed
        rng = np.random.default_rng((seed, 0))
        words: dict[str, None] = {}
        while len(words) < self.WORDS:
            syllables = ("".join(map(rng.choice, _SOUNDS)) for _ in range(rng.integers(1, 4)))
            words["".join(syllables) + " "] = None
        self.words = list(words)
        self.following = np.array([rng.choice(self.WORDS, self.NEXT, replace=False) for _ in self.words])
        weights = 1 / np.arange(1, self.NEXT + 1)
        self.chances = weights / weights.sum()

    @property
    def floor(self) -> float:
        """Entropy rate, nats per byte: the expected loss of who knows the source and all that came before."""
        steps = np.zeros((self.WORDS, self.WORDS))
        np.put_along_axis(steps, self.following, self.chances, axis=1)
        stationary = np.linalg.matrix_power((steps + np.eye(self.WORDS)) / 2, 4096)[0]
        length = stationary @ [len(word) for word in self.words]
        return float(-(self.chances @ np.log(self.chances)) / length)

    def write(self, count: int, stream: int) -> bytes:
        """Write so many bytes; a longer text of one stream begins with the shorter one."""
        rng, following = np.random.default_rng((self.seed, 1, stream)), self.following.tolist()
        word, written = int(rng.integers(self.WORDS)), []
        at_most = count // 3 + 1  # the shortest word has two letters
        ranks = np.searchsorted(self.chances.cumsum()[:-1], rng.random(at_most), side="right")
        for rank in ranks.tolist():
            written.append(self.words[word])
            word = following[word][rank]
        return "".join(written)[:count].encode()


@dataclass(frozen=True)
class Data:
    """Tokens to learn from and to validate on, shape (count,), and what belongs to them.

    Attributes:
        vocabulary: How many different tokens there are.
        floor: Entropy rate of the source in nats per token; None of a text whose source nobody knows.
        show: Gives tokens as text.
    """

    train: Tensor
    val: Tensor
    vocabulary: int
    floor: float | None
    show: Callable[[list[int]], str]

    @property
    def sha256(self) -> str:
        """Hash of all tokens."""
        return hashlib.sha256(self.train.numpy().tobytes() + self.val.numpy().tobytes()).hexdigest()


def load_data(
    text: str, *, train_tokens: int, val_tokens: int, seq_len: int, tokenizer: str, vocab_size: int, data_seed: int
) -> Data:
    """Read or make the text, and cut it into tokens.

    Args:
        text: Path of a file; empty: the source's, as much as one epoch takes.
        tokenizer: ``byte``, or ``bpe`` with `vocab_size` pairs of bytes learned from the text.
        val_tokens: Held-out tokens that are predicted, at most.

    Raises:
        OSError: The text cannot be read.
        ValueError: It is too short for a sequence, or `val_tokens` are.
    """
    if val_tokens < seq_len:
        raise ValueError(f"--val_tokens {val_tokens} is less than one sequence (--seq_len {seq_len})")
    floor, longest = None, _LONGEST if tokenizer == "bpe" else 1
    if text:
        whole = Path(text).read_bytes()
        cut = len(whole) - len(whole) // HELD_OUT
        train, val = whole[:cut], whole[cut:]
    else:
        source = Source(data_seed)
        floor = source.floor
        train = source.write(longest * (train_tokens + seq_len), 0)
        val = source.write(longest * (val_tokens + 1), 1)
    if tokenizer == "bpe":
        pairs = _byte_pairs(train, vocab_size)
        parts = [np.array(pairs.encode(_text(part)).ids, dtype=np.int32) for part in (train, val)]
        vocabulary, show = pairs.get_vocab_size(), pairs.decode
        floor = floor and floor * len(val) / len(parts[1])
    else:
        parts = [np.frombuffer(bytearray(part), dtype=np.uint8) for part in (train, val)]
        vocabulary, show = 256, _shown
    if min(map(len, parts)) <= seq_len:
        raise ValueError(f"the text is too short: of {min(map(len, parts))} tokens no sequence of {seq_len} can be cut")
    tokens = [torch.from_numpy(part) for part in parts]
    return Data(tokens[0], tokens[1][: val_tokens + 1], vocabulary, floor, show)


def _text(part: bytes) -> str:
    return part.decode("utf-8", "replace")


def _shown(tokens: list[int]) -> str:
    return _text(bytes(tokens))


def _byte_pairs(text: bytes, size: int) -> Any:
    """Learn byte pairs from a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([_text(text)], trainer)
    return tokenizer


def draw(tokens: Tensor, step: int, *, budget: int, batch: int, length: int, seed: int) -> tuple[Tensor, Tensor]:
    """Pack the inputs and targets of a step, each (sequences, length).

    The text is cut into sequences; no target is in two of them. Each epoch takes them in an order of its own, by seed
    and epoch alone. The last step has what is left of the budget: fewer sequences, and targets beyond it are `IGNORED`.

    Args:
        tokens: The text, (count,).
        step: From 1.
        budget: Targets of all steps together.
        batch: Sequences of a step.
    """
    windows, first = (len(tokens) - 1) // length, (step - 1) * batch
    due = min(batch * length, budget - first * length)
    epochs, places = np.divmod(np.arange(first, first + math.ceil(due / length)), windows)
    rows = np.array([_order(seed, int(epoch), windows)[place] for epoch, place in zip(epochs, places, strict=True)])
    cut = tokens[torch.from_numpy(rows)[:, None] * length + torch.arange(length + 1)].long()
    targets = cut[:, 1:].flatten().clone()  # of one sequence it would be a view of the inputs
    targets[due:] = IGNORED
    return cut[:, :-1], targets.view(-1, length)


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, windows: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(windows)
