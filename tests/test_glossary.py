"""One word, one meaning: the glossary has every word that messages, files and the code are written with."""

import re
from pathlib import Path

from hpc.core.failures.outcomes import Outcome

PAGE = Path(__file__).parents[1] / "docs/glossary.md"
WORDS = {
    "adjusted p", "adopted", "altered", "array", "attempt", "baseline", "bind", "brief", "canary", "case", "cause",
    "checkpoint", "claim", "class", "comparison", "configuration", "confirmatory", "criterion", "deviation",
    "digest", "divergence", "element", "estimate", "evidence", "experiment", "exploratory", "global batch", "hold",
    "image", "launcher", "lease", "ledger", "manifest", "metric", "micro-batch", "outcome", "policy", "probe",
    "profile", "relay", "resources", "retry", "round", "rule", "run", "seal", "second look", "seed", "series",
    "state", "step", "submission", "sweep", "task", "verdict",
}  # fmt: skip


def explained() -> list[str]:
    """Return the words of the glossary, in order."""
    rows = re.findall(r"^\| (\*\*.+?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [word for row in rows for word in re.findall(r"\*\*(.+?)\*\*", row)]


def test_every_word_of_the_trade_is_explained() -> None:
    """Whoever meets one of our words finds what it means."""
    assert sorted(WORDS - set(explained())) == []


def test_every_word_is_explained_once() -> None:
    """No word has two meanings."""
    words = explained()

    assert len(words) > 60
    assert sorted({word for word in words if words.count(word) > 1}) == []


def test_the_outcomes_are_those_of_the_code() -> None:
    """What the page lists as outcomes is what a task can be."""
    (row,) = re.findall(r"^\| \*\*outcome\*\* \| (.+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert set(re.findall(r"\w+", row.partition(":")[2])) == {str(outcome) for outcome in Outcome}
