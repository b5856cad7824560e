"""A user's own function decides about failures: found beside the program, and never able to stop the collector."""

import json
from pathlib import Path

import pytest

from hpc.core.evidence import Evidence, FailureClass, Verdict
from hpc.core.retry import plan_retries
from hpc.core.retry_plan import AttemptFacts, FailedTask, Limits, Situation
from hpc.core.spec import RetryPolicy
from hpc.hooks import ask_hook, load_hook
from tests.local_projects import EXPERIMENT, make_project

SITUATION = Situation(RetryPolicy(), Limits())
TASK = FailedTask("t1", "X1", (AttemptFacts(1, Verdict(FailureClass.CODE_BUG, "rule"), 500, 600),))


def ask(folder: Path, body: str, name: str) -> tuple[str, tuple[str, ...]]:
    """Ask a function of this body; give what is decided and what was wrong."""
    (folder / f"{name}.py").write_text(body)
    plan = plan_retries([TASK], SITUATION)
    asked = ask_hook(f"{name}:decide", [folder], plan, SITUATION, [(TASK, Evidence)])
    assert len(asked.retry) + len(asked.declined) == 1
    return (*asked.retry, *asked.declined)[0].reason, asked.hook_problems


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("def decide(evidence, verdict, planned): raise KeyError('oh')", "X1: KeyError: 'oh'"),
        ("def decide(evidence, verdict, planned): raise SystemExit(3)", "X1: SystemExit: 3"),
        ("def decide(evidence): return None", "TypeError"),
        ("def decide(evidence, verdict, planned): return 7", "the answer is 7"),
        ("def decide(evidence, verdict, planned): verdict.category = 1", "FrozenInstanceError"),
        ("def other(): pass", "AttributeError"),
        ("decide = 3", "decide is no function"),
        ("1 +", "SyntaxError"),
        ("import sys; sys.exit(1)", "SystemExit"),
    ],
)
def test_whatever_it_does_wrong_is_said_and_the_plan_stands(body: str, told: str, tmp_path: Path) -> None:
    """Exceptions, exits and nonsense of a hook never reach the collector."""
    name = f"hook_{abs(hash(body))}"
    reason, problems = ask(tmp_path, body, name)
    assert reason.startswith("code_bug: ")
    assert len(problems) == 1
    assert told in problems[0]


def test_its_answer_is_taken_and_its_prints_go_aside(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """It may import its neighbours when it is called, and print; stdout stays clean."""
    (tmp_path / "neighbour_of_hook.py").write_text("WHY = 'licence'")
    body = (
        "def decide(evidence, verdict, planned):\n"
        "    import neighbour_of_hook\n    print('asked')\n"
        "    return {'action': 'retry', 'reason': neighbour_of_hook.WHY} if planned.reason else None\n"
    )
    assert ask(tmp_path, body, "hook_that_prints") == ("hook: licence", ())
    assert capsys.readouterr() == ("", "asked\n")


def test_a_missing_module_names_where_it_was_looked_for(tmp_path: Path) -> None:
    """The message names hook and folders."""
    with pytest.raises(ImportError, match=r"retry\.hook nowhere_at_all:decide.*No module.*looked in"):
        load_hook("nowhere_at_all:decide", [tmp_path])


def test_collect_heeds_the_hook_of_the_experiment(tmp_path: Path) -> None:
    """From the YAML to the second attempt: a bug that a hook knows a way around is tried again, altered and said so."""
    program = "import sys\nif int(sys.argv[1]) == 1: raise TypeError('one is no number')\nprint('loss: 0.5')\n"
    project = make_project(tmp_path / "project", EXPERIMENT + "retry: {hook: 'mine:decide'}\n", program)
    (project.folder / "mine.py").write_text(
        "def decide(evidence, verdict, planned):\n"
        "    if verdict.category == 'code_bug' and any('one is no number' in line.text for line in evidence.log):\n"
        "        return {'action': 'retry', 'parameters': {'x': 3}, 'memory': '600MB', 'reason': 'one is none'}\n"
    )
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", expect=1)
    project.hpc("collect", "tiny", "--retry-failed")
    plan = json.loads((project.runs / "tiny/collected/retry_plan.json").read_text())
    assert [each["reason"] for each in plan["retry"]] == ["hook: one is none"]
    project.hpc("collect", "tiny")
    task = project.verdicts()["X1"]
    assert (task["outcome"], task["altered"]) == ("finished", True)
    assert task["changes"] == ["memory 500M → 600M: hook", "x 1 → 3: hook"]


def test_a_function_that_does_not_come_back_is_interrupted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It runs under the experiment's lock: after a while the plan stands without it, and that is said."""
    monkeypatch.setattr("hpc.hooks.LONGEST_S", 0.2)
    reason, problems = ask(tmp_path, "def decide(evidence, verdict, planned):\n    while True: pass\n", "endless")
    assert "code_bug" in reason
    assert problems == ("retry.hook endless:decide, X1: TimeoutError: no answer within 0.2 s",)
