"""Questions in plain English: what each asks for, and what is not understood."""

import pytest

from hpc.core.history.ask import UNDERSTOOD, understand

QUESTIONS = {
    "What learning rates have I tried?": ("values", "learning rates"),
    "which values of lr have we tried so far?": ("values", "lr"),
    "what values for the batch size did we try": ("values", "batch size"),
    "what depth have we tried": ("values", "depth"),
    "Which learning rate worked best?": ("values", "learning rate"),
    "What was my best run?": ("best", ""),
    "what's the best val_loss so far?": ("best", "val_loss"),
    "highest score": ("best", "score"),
    "which run was best?": ("best", ""),
    "Compare depth 12 with depth 24": ("compare", "depth=12", "depth=24"),
    "compare depth=12 depth=24": ("compare", "depth=12", "depth=24"),
    "compare depth 12 vs 24": ("compare", "depth=12", "depth=24"),
    "is depth 12 better than depth 24?": ("compare", "depth=12", "depth=24"),
    "compare learning rate 1e-3 to learning rate 3e-4": ("compare", "learning_rate=1e-3", "learning_rate=3e-4"),
    "compare baseline with train-2": ("compare", "baseline", "train-2"),
    "what have I tried?": ("list",),
    "how many runs did we run": ("list",),
    "which runs diverged?": ("list", "diverged"),
    "diverged runs": ("list", "diverged"),
    "the best learning rate": ("best", "learning_rate"),
    "what is running?": ("list", "running"),
    "what was my last run?": ("last",),
    "what should I try next?": ("todo",),
    "which runs used lr=3e-4?": ("with", "lr=3e-4"),
    "runs with depth 12": ("with", "depth=12"),
    "all runs with depth 12 and a learning rate of 1e-3": ("with", "depth=12", "learning_rate=1e-3"),
    "which runs had optimizer=adam?": ("with", "optimizer=adam"),
    "how did baseline do?": ("run", "baseline"),
    "what was the val loss of train-2?": ("run", "train-2"),
    "what happened to train-2": ("run", "train-2"),
    "did baseline beat train-2?": ("compare", "baseline", "train-2"),
    "which runs diverged this week?": ("list", "diverged", "week"),
    "what did I run today?": ("list", "", "today"),
    "which runs began today": ("list", "", "today"),
    "what is left to try?": ("todo",),
    "how long did the runs take?": ("lengths", ""),
    "how long do runs usually take": ("lengths", ""),
    "how long did my last sweep take?": ("lengths", ""),
    "which run was longest?": ("lengths", "longest"),
    "what was the slowest run": ("lengths", "longest"),
    "which run took the shortest?": ("lengths", "shortest"),
    "fastest run so far": ("lengths", "shortest"),
    "how many GPU hours did I use this week?": ("hours", "week"),
    "how many core hours have we used today": ("hours", "today"),
    "gpu hours this month": ("hours", "month"),
    "how much compute did I use so far?": ("hours", ""),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_understood(question):
    """By rules, whatever its case, its question mark and its politeness."""
    for said in (question, f"please tell me {question.lower()}"):
        found = understand(said)
        assert found is not None
        assert (found.kind, *found.words) == QUESTIONS[question]


@pytest.mark.parametrize(
    "question",
    [
        "",
        "hello",
        "how many GPU hours did I use last week?",
        "GPU hours in march",
        "what did I run yesterday?",
        "which runs diverged last week?",
        "what was my best run today?",
        "my best run of the last 3 days",
        "which runs finished on monday",
        "compare",
        "why?",
        "best" * 0 + "delete everything now",
        "\x1b[31m",
    ],
)
def test_what_no_rule_knows_is_not_guessed_at(question):
    """The verb then says what it understands."""
    assert understand(question) is None


def test_every_example_that_is_shown_is_understood():
    """The list that is printed where nothing is understood."""
    shown = [part.strip() for line in UNDERSTOOD for part in line.partition("(also")[0].split("  ") if part.strip()]
    assert len(shown) > 5
    assert [each for each in shown if understand(each) is None] == []
