"""The engine below the rules: what it leaves out cannot match, with RE2 and without."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc.core.failures import engine, log_scan
from hpc.core.failures.engine import Finder
from hpc.core.failures.log_rules import LOG_RULES
from hpc.core.failures.rule_gate import RuleGate, widened
from tests.corpus.cases import HERE, load_cases

LINES = sorted(
    {
        log_scan.clean(line)
        for case in load_cases()[::9]
        for line in (HERE / case["log"]).read_text(encoding="utf-8", errors="replace").splitlines()[-6:]
    }
)
GATE = RuleGate([rule.says.pattern for rule in LOG_RULES])


def test_the_gate_loses_no_rule() -> None:
    """Every rule that knows a line is among those the gate names, and hardly any other."""
    named = found = 0
    for line in LINES:
        known = GATE.may_match(line)
        matching = {place for place, rule in enumerate(LOG_RULES) if rule.says.search(line)}
        assert matching <= set(known), line
        named, found = named + len(known) * line.isascii(), found + len(matching) * line.isascii()
    assert found <= named < 1.5 * found + 50


@pytest.mark.parametrize(
    ("pattern", "wider"),
    [
        (r"a(?!b(c|[)]))d", "ad"),
        (r"(?<!x)y(?=z)", "y"),
        (r"\(?!a", r"\(?!a"),
        (r"[(?!]a{0,300}b{2,3}", "[(?!]a*b{2,3}"),
        (r"[^]a(?=]b", "[^]a(?=]b"),
        (r".{1,40}?", ".+?"),
    ],
)
def test_widened_patterns_have_no_look_around_and_no_long_counts(pattern: str, wider: str) -> None:
    """What is written as text or in a class is none."""
    re.compile(pattern)
    assert widened(pattern) == wider


def test_without_the_engine_every_rule_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bare Python has no RE2: slower, and nothing is left out."""
    monkeypatch.setattr(engine, "_re2", lambda: None)
    assert list(RuleGate(["a", "b"]).may_match("a")) == [0, 1]
    assert Finder("x+").found("axx")
    assert not engine.is_fast()


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.sampled_from(LINES),
        st.text(max_size=40),
        st.builds(
            lambda *parts: "".join(parts),
            st.sampled_from(["val_", "", "ValueE"]),
            st.sampled_from(["error", "Error", "failed", "missing"]),
            st.sampled_from(["", "s", "_rate", '"', " "]),
            st.sampled_from(["=", ": ", ":", " ", ""]),
            st.sampled_from(["0.5", "12", "-1e-3", "nan", "12 tests", "ENOENT", "ä", ""]),
        ),
    )
)
def test_both_engines_suspect_the_same_lines(line: str) -> None:
    """A line is suspicious or not, whatever looks."""
    with pytest.MonkeyPatch.context() as patch:
        fast = log_scan.suspicious.__wrapped__(line)
        patch.setattr(log_scan, "is_fast", lambda: False)
        assert log_scan.suspicious.__wrapped__(line) == fast


@pytest.mark.parametrize(
    ("line", "suspected"),
    [
        ("step 3 val_error=0.12 lr 3e-4", False),
        ("failed: 0.0", False),
        ('{"error": 0.31}', False),
        ("ValueError: 5", True),
        ("error: 12 tests", True),
        ("error=ENOSPC", True),
        ("val_error=nan", True),
        ("an error", True),
    ],
)
def test_a_metric_that_is_called_error_is_no_trouble(line: str, suspected: bool) -> None:
    """A name, `=` or `:` and a number is a measurement; a log full of them hides nothing else."""
    assert log_scan.suspicious(line) is suspected
