"""Which way is better, what a log says at its end, how far seeds scatter."""

import math
import statistics

import pytest

from hpc.core.history.metrics import Run, goal_of, kind_of, leading, read_ending, seed_spread, stand


@pytest.mark.parametrize(
    ("name", "kind", "goal"),
    [
        ("val_loss", "loss", "min"), ("eval/loss", "loss", "min"), ("val_bpb", "loss", "min"), ("ppl", "loss", "min"),
        ("score", "score", "max"), ("core_metric", "score", "max"), ("test_acc", "score", "max"),
        ("train_time", "cost", "min"), ("peak_memory", "cost", "min"), ("mfu", "cost", "max"),
        ("tokens_per_second", "cost", "max"), ("lr", "", ""), ("depth", "", ""),
    ],
)  # fmt: skip
def test_a_name_says_which_way_is_better(name, kind, goal):
    """Losses and costs low, scores and speed high; an unknown name is not guessed at."""
    assert (kind_of(name), goal_of(name)) == (kind, goal)


def test_held_out_results_lead():
    """A validation loss goes before the training loss."""
    assert leading({"train_loss": 1.0, "loss": 2.0, "val_loss": 3.0, "lr": 1.0}, "loss") == "val_loss"
    assert leading({"lr": 1.0}, "loss") == ""


LOGS = [
    ("Step 100 | val_loss: 3.1416 | lr: 1e-3\nStep 200 | val_loss: 3.0000 | lr: 1e-4", {"val_loss": 3.0}),
    ("{'loss': 2.5, 'lr': 1e-5}\n{'eval_loss': 2.25, 'f1': 0.5}", {"loss": 2.5, "eval_loss": 2.25, "f1": 0.5}),
    ("epoch=3 train loss: 1.5, val loss = 1.75", {"train_loss": 1.5, "val_loss": 1.75}),
    ('{"test_acc": 0.875, "time": "12:30:01"}', {"test_acc": 0.875}),
    ("loss: 1,024.5 score:.5", {"loss": 1024.5, "score": 0.5}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), LOGS)
def test_the_last_values_of_a_log(text, expected):
    """The usual ``name: value`` in the usual spellings; what is no result is left out."""
    assert dict(read_ending(text.splitlines()).results) == expected


def test_a_log_that_diverges_says_where():
    """The first step at which the loss is no number any more, unless it comes back."""
    ending = read_ending(["step 1 loss: nan", "step 2 loss: 3.0", "step 5000 loss: nan", "step 6000 loss: inf"])
    assert (ending.results, ending.lost, ending.lost_step, ending.step) == ({}, ("loss",), 5000, 6000)


def test_a_long_line_costs_no_square():
    """A line without a result is read in linear steps: no name is tried from each of its letters."""
    assert read_ending(["a" * 200_000, "a." * 100_000]).results == {}


def run(name, loss, program="t.py", **parameters):
    """A run with a loss."""
    return Run(name, program, {key: str(value) for key, value in parameters.items()}, {"loss": loss})


def test_the_seed_spread_is_pooled_over_settings():
    """Runs that differ by their seed (and their name) alone; the variance within settings, by hand."""
    runs = [
        run("a", 1.0, lr=1, seed=1, run="a"), run("b", 1.2, lr=1, seed=2, run="b"), run("c", 1.4, lr=1, seed=3),
        run("d", 5.0, lr=2, seed=1), run("e", 5.4, lr=2, seed=2), run("f", 9.0, lr=3, seed=1),
    ]  # fmt: skip
    spread = seed_spread(runs, "loss")
    variance = (2 * statistics.variance([1.0, 1.2, 1.4]) + statistics.variance([5.0, 5.4])) / 3
    assert spread is not None
    assert (spread.deviation, spread.runs, spread.groups) == (pytest.approx(math.sqrt(variance)), 5, 2)
    assert seed_spread(runs[-1:], "loss") is None
    nested = [Run("g", "t.py", {"trainer.seed": seed}, {"loss": 1.0 + int(seed)}) for seed in ("1", "2")]
    assert seed_spread(nested, "loss") is not None
    assert seed_spread([run("a", 1.0, lr=1, seed=1), run("b", 1.1, lr=1, seed=1)], "loss") is None


EARLIER = [run("a", 3.0, lr=1, seed=1), run("b", 3.1, lr=1, seed=2), run("other", 0.1, program="other.py")]


@pytest.mark.parametrize(
    ("value", "parameters", "words"),
    [
        (2.5, {"lr": 2}, ("better than a (3) by 0.5 (16.7%)", "exceeds it: 7.1 times the seed spread")),
        (2.9, {"lr": 2}, ("new best", "barely exceeds it, which is suggestive but inconclusive: 1.4 times")),
        (2.99, {"lr": 2}, ("new best", "does not exceed it, so it may be chance: 0.14 times")),
        (2.9, {"lr": 1, "seed": 3}, ("new best", "differ only in the seed: that is chance, not a better setting")),
        (3.05, {"lr": 2}, ("not the best; a has 3, better by 0.05",)),
        (3.0, {"lr": 2}, ("the same as the best so far, a",)),
    ],
)  # fmt: skip
def test_a_result_is_held_against_those_before(value, parameters, words):
    """With its margin, and whether that is more than the seed alone makes; other programs do not count."""
    found = stand(run("new", value, **parameters), EARLIER, "loss")
    assert found is not None
    assert [each for each in words if each not in str(found)] == []
    assert found.is_best == (value < 3.0)


def test_without_seeds_no_spread_is_known():
    """That is said, and a first run is no best of anything; a score is better high."""
    only = stand(run("new", 2.9, lr=2), [run("a", 3.0, lr=1)], "loss")
    assert "No seed spread is known" in str(only)
    first = stand(run("new", 2.9), [], "loss")
    assert first is not None
    assert not first.is_best
    high = stand(Run("n", "t.py", {}, {"acc": 0.9}), [Run("a", "t.py", {}, {"acc": 0.8})], "acc")
    assert high is not None
    assert high.is_best
    assert stand(Run("n", "t.py", {}, {"lr": 0.9}), [], "lr") is None
