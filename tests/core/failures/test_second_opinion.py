"""The experiment with a second opinion (docs/decisions/0054): when it is heard, and what it sees."""

import pytest

from hpc.core.failures.evidence import Evidence, FailureClass, LogLine, Verdict
from hpc.core.failures.log_rules import LOG_RULES
from hpc.core.failures.scene import observe
from hpc.core.slurm.states import SlurmState
from tests.corpus.second_opinion import reconsidered, tokens

OF_LINE = LOG_RULES[0].id


@pytest.mark.parametrize(
    ("given", "rule", "confidence", "chances", "expected"),
    [
        ("code_bug", OF_LINE, 0.6, {"data": 0.61, "config": 0.39}, "data"),
        ("code_bug", OF_LINE, 0.6, {"data": 0.59, "config": 0.41}, "code_bug"),  # no surer than the rule
        ("code_bug", OF_LINE, 0.4, {"data": 0.49, "config": 0.48, "storage": 0.03}, "code_bug"),  # likelier not
        ("code_bug", OF_LINE, 0.95, {"data": 1.0}, "code_bug"),  # the rule is sure
        ("timeout", "state-timeout", 0.5, {"data": 1.0}, "timeout"),  # no line decided
        ("code_bug", OF_LINE, 0.4, {"success": 0.98, "data": 0.02}, "data"),  # among the failures: never a success
        ("success", "completed", 0.85, {"success": 0.05, "data": 0.9, "config": 0.05}, "data"),
        ("success", "completed", 0.85, {"success": 0.15, "data": 0.85}, "success"),
        ("success", "exit-recorded", 0.85, {"success": 0.0, "data": 1.0}, "success"),  # it is proved
    ],
)
def test_a_second_opinion_is_heard_where_it_is_surer(
    given: str, rule: str, confidence: float, chances: dict[str, float], expected: str
) -> None:
    """Of unsure verdicts from lines, and of weakly shown successes; nothing becomes a success."""
    verdict = Verdict(FailureClass(given), rule, confidence=confidence)
    assert reconsidered(verdict, chances).category == expected


def test_numbers_and_paths_are_no_tokens() -> None:
    """Two runs that say the same of other files and steps look alike; another exception does not."""

    def seen(name: str, number: int, error: str) -> dict[str, set[str]]:
        said = ("Traceback (most recent call last):", f'  File "/home/{name}/train.py", line {number}, in load_shard',
                "    open_shard(path)", f"{error}: no shard {number} in /data/{name}")  # fmt: skip
        log = tuple(LogLine("stderr", i, text) for i, text in enumerate(said, start=1))
        return tokens(observe(Evidence(state=SlurmState.FAILED, exit_code=1, log=log)))

    assert seen("ada", 7, "ShardError") == seen("bob", 4711, "ShardError") != seen("bob", 4711, "ShapeError")
    assert {"x:ShardError", "f:shard", "in:own"} <= seen("ada", 7, "ShardError")["raised"]
