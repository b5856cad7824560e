"""From a threshold in words to a criterion: what is drafted says the same, and what is not certain is not drafted."""

from pathlib import Path

import pytest

from hpc.core.checks.questions import question_of
from hpc.core.experiment.grid import combinations
from hpc.core.experiment.spec import Metric
from hpc.core.question.criterion import Question, bind, parse_criterion
from hpc.core.question.threshold import draft_criterion, not_swept, readings
from hpc.experiments.schema import load_experiment

ROOT = Path(__file__).parents[3]
RANKS = Question(
    [{"lora_rank": rank, "learning_rate": rate} for rank in (4, 8, 16, 32) for rate in (1e-4, 2e-4)],
    ("final_error", "control_cost", "wall_time"), {"lora_rank": 8, "learning_rate": 2e-4}, runs=3, has_margin=True,
)  # fmt: skip
CASES = Question(
    [{"case": name} for name in ("standard", "ones_conv", "no_conv")], ("acc", "wall_time"), {"case": "standard"},
    runs=3,
)  # fmt: skip
WIDTHS = Question([{"width": width} for width in (32, 64, 128)], ("loss", "wall_time"), {"width": 32}, runs=3)
ONE_SEED = Question([{"width": width} for width in (32, 64, 128)], ("loss",), None, runs=1)
ERROR, ACC, LOSS = Metric("final_error"), Metric("acc", "max"), Metric("loss")

READ = [
    (RANKS, ERROR, "rank 16 beats rank 8 by 5 %, at every learning rate",
     "all(relative_change(final_error, lora_rank=16 versus lora_rank=8) <= -5% and adjusted_p < 0.05)"),
    (RANKS, ERROR, "final error 5% lower than the baseline at rank 16 and learning rate 2e-4",
     "relative_change(final_error, lora_rank=16, learning_rate=0.0002) <= -5% and adjusted_p < 0.05"),
    (CASES, ACC, "ones_conv reaches at least 90 % acc", "mean(acc, case=ones_conv) >= 90%"),
    (CASES, ACC, "acc of ones conv at least 0.1 above standard",
     "change(acc, case=ones_conv versus case=standard) >= 0.1 and adjusted_p < 0.05"),
    (WIDTHS, LOSS, "width 128 improves the loss by 3 %",
     "relative_change(loss, width=128) <= -3% and adjusted_p < 0.05"),
    (WIDTHS, LOSS, "loss below 0.3 at width 128", "mean(loss, width=128) < 0.3"),
    (WIDTHS, LOSS, "loss < 0.3 at width 128", "mean(loss, width=128) < 0.3"),
    (CASES, ACC, "accuracy of ones_conv above 90 %", "mean(acc, case=ones_conv) > 90%"),
    (WIDTHS, LOSS, "loss of width 128 no more than 2 % above width 32",
     "relative_change(loss, width=128 versus width=32) <= 2%"),
    (WIDTHS, LOSS, "width 128 better than width 32",
     "relative_change(loss, width=128 versus width=32) < 0% and adjusted_p < 0.05"),
    (WIDTHS, LOSS, "width 128 two sigma better than the baseline", "verdict(loss, width=128) == WINNER"),
    (WIDTHS, LOSS, "wall_time at width 128 at most 20 % longer than at width 32",
     "relative_change(wall_time, width=128 versus width=32) <= 20%"),
    (WIDTHS, LOSS, "standard deviation of the loss at width 64 at most 0.1", "std(loss, width=64) <= 0.1"),
    (ONE_SEED, LOSS, "width 128 lower than width 32", "relative_change(loss, width=128 versus width=32) < 0%"),
    (WIDTHS, LOSS, "mean(loss, width=64) < 1", "mean(loss, width=64) < 1"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("width=256 beats width=32", "width=256 is not in the sweep (32, 64, 128)"),
        ("width = 48", "width=48 is not in the sweep (32, 64, 128)"),
        ("width=128.0 beats width=32 by 5 %", ""),
        ("fullwidth=48, and loss=0.3", ""),
    ],
)
def test_a_value_that_does_not_run_is_named(text: str, said: str) -> None:
    """Nothing can be found out of it; other names, and other spellings of a value that runs, are left alone."""
    assert not_swept(text, WIDTHS) == said


UNREAD = [
    (RANKS, ERROR, "control_cost drops by 10 % against rank 8 at each learning rate for rank 32"),
    (CASES, ACC, "no_conv is worse than standard by at most 2 points"),
    (WIDTHS, LOSS, "loss at width 128 under 0.3 on all seeds"),
    (WIDTHS, LOSS, "width 128 better"),
    (WIDTHS, LOSS, "p < 0.05"),
    (WIDTHS, LOSS, "loss 5 % lower"),
    (WIDTHS, LOSS, "loss at width 64 and width 128 below 0.3"),
    (WIDTHS, LOSS, "not lower than 0.3 at width 64"),
    (WIDTHS, LOSS, "width 128 does not lower the loss by 5 %"),
    (WIDTHS, LOSS, "loss improves by 5 % or wall_time by 10 %"),
    (WIDTHS, LOSS, "width 128 5 % below the old model"),
    (WIDTHS, LOSS, "loss of width 256 5 % below width 32"),
    (ONE_SEED, LOSS, "width 128 lower than the baseline"),
    (WIDTHS, LOSS, "the loss looks good"),
    (WIDTHS, LOSS, "accuracy above 90 % at width 128"),
    (WIDTHS, LOSS, "perplexity of width 128 5 % below width 32"),
    (WIDTHS, LOSS, "loss of width 128 less than 0.95 times that of width 32"),
    (WIDTHS, LOSS, "width 128 halves the loss against width 32"),
    (WIDTHS, LOSS, "a 5 % improvement of the loss at width 128"),
]


@pytest.mark.parametrize(
    ("question", "metric", "words", "rule"), READ, ids=lambda one: one if isinstance(one, str) else ""
)
def test_a_threshold_becomes_a_rule(question: Question, metric: Metric, words: str, rule: str) -> None:
    """Metric, configurations, amount, direction and test, each as it was said."""
    assert draft_criterion(words, question, metric) == rule


@pytest.mark.parametrize(("question", "metric", "words"), UNREAD, ids=lambda one: one if isinstance(one, str) else "")
def test_what_is_not_certain_is_asked(question: Question, metric: Metric, words: str) -> None:
    """Denied, ambiguous, of two things, of something that is not swept: no draft."""
    assert draft_criterion(words, question, metric) == ""


def test_a_threshold_that_leaves_a_setting_open_has_two_readings() -> None:
    """At every other setting, or at one: each a rule to be taken as it is; what is read, or cannot be, has none."""
    rule = "relative_change(final_error, lora_rank=16 versus lora_rank=8) <= -5% and adjusted_p < 0.05"
    assert readings("rank 16 beats rank 8 by 5 %", RANKS, ERROR) == (f"all({rule})", f"any({rule})")
    assert readings("rank 16 beats rank 8 by 5 %, at every learning rate", RANKS, ERROR) == ()
    assert all(readings(words, question, metric) == () for question, metric, words in UNREAD if "better" not in words)


def test_shipped_thresholds_are_read_as_their_rules() -> None:
    """Of what we ship, each threshold gives the criterion that stands beside it, or none; half of them give one."""
    same, none = [], []
    for path in sorted((ROOT / "manifests/experiments").glob("*.yaml")):
        spec = load_experiment(path, code=ROOT)
        if "criterion" not in spec.brief:
            continue
        question = question_of(list(combinations(spec.sweep)), spec.sweep, spec.metrics, spec.baseline, spec.analysis)
        drafted = draft_criterion(spec.brief["success"], question, spec.metrics.primary)
        if drafted:
            rules = [bind(parse_criterion(text), question) for text in (drafted, spec.brief["criterion"])]
            assert rules[0] == rules[1], path.stem
        (same if drafted else none).append(path.stem)

    assert len(same) >= len(none)
