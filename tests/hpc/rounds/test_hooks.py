"""A user's own function decides about failures: found beside the program, and never able to stop the collector."""

import json
import math
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hpc.core.experiment.spec import RetryPolicy
from hpc.core.failures.evidence import Evidence, FailureClass, LogLine, Verdict
from hpc.core.retry.plan import plan_retries
from hpc.core.retry.records import AttemptFacts, Decision, Declined, FailedTask, Limits, Retry, Situation
from hpc.core.slurm.states import SlurmState
from hpc.rounds.hook_process import failure_from, tell_failure
from hpc.rounds.hooks import MAX_ENDS, MAX_PRINTED, ask_hook
from tests.local_projects import EXPERIMENT, make_project

SITUATION = Situation(RetryPolicy(), Limits())
TASK = FailedTask("t1", "X1", (AttemptFacts(1, Verdict(FailureClass.CODE_BUG, "rule"), 500, 600),))


def ask(folder: Path, body: str, name: str) -> tuple[str, tuple[str, ...]]:
    """Ask a function of this body; return what is decided and what was wrong."""
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
        ("decide = 3", "decide is not a function"),
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
    """The message names hook and folders, once for all tasks."""
    plan = plan_retries([TASK], SITUATION)
    asked = ask_hook("nowhere_at_all:decide", [tmp_path], plan, SITUATION, [(TASK, Evidence)])
    (problem,) = asked.hook_problems
    assert problem.startswith("retry.hook nowhere_at_all:decide: ModuleNotFoundError: No module named")
    assert f"looked in {tmp_path}" in problem


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("import os\ndef decide(*_): os._exit(0)", "ended with exit code 0 and without an answer"),
        ("import os\nos._exit(0)", "ended with exit code 0 and without an answer"),
        ("import os\ndef decide(*_): os.kill(os.getpid(), 9)", "ended by signal 9"),
        ("import ctypes\ndef decide(*_): ctypes.string_at(0)", "ended by signal 11"),
        ("import os\ndef decide(*_): os.closerange(0, 256)", "without an answer"),
        ("import os, time\ndef decide(*_): os.closerange(0, 256); time.sleep(60)", "closed its connection"),
        ("def decide(*_):\n    while True: print('x' * 10000)", "no answer within 1 s"),
        ("import os\ndef decide(*_):\n    while True: os.write(2, b'x' * 100000)", "no answer within 1 s"),
        ("import signal, time\ndef decide(*_):\n"
         "    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65)); time.sleep(60)", "no answer within 1 s"),
        ("def decide(*_): return {'action': 'retry', 'reason': 'x' * 5_000_000}", "answer is longer than"),
        ("def decide(*_): return {'action': 'retry', 'parameters': {'x': object()}}", "is not text, a number, a list"),
        ("import socket, sys\ndef decide(*_): socket.socket(fileno=int(sys.argv[1])).send(b'[7]\\n'); return None",
         "something other than an answer"),
    ],
)  # fmt: skip
def test_what_its_process_does_to_itself_is_said(
    body: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """A hook that exits, dies, hangs, closes files, prints or answers without end: it is said, and the plan stands."""
    if "within 1 s" in told:
        monkeypatch.setattr("hpc.rounds.hooks.LONGEST_S", 1.0)
    reason, problems = ask(tmp_path, body, f"hook_{abs(hash(body))}")
    assert reason.startswith("code_bug: ")
    (problem,) = problems
    assert problem.startswith("retry.hook hook_")
    assert told in problem
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err) < MAX_PRINTED + 100


def ask_about_many(folder: Path, body: str, name: str, count: int) -> tuple[list[str], tuple[str, ...]]:
    """Ask about tasks T0, T1, …; return the reasons by task in order, and what was wrong."""
    (folder / f"{name}.py").write_text(body)
    tasks = [replace(TASK, task_id=f"t{number}", run_name=f"T{number}") for number in range(count)]
    asked = ask_hook(
        f"{name}:decide", [folder], plan_retries(tasks, SITUATION), SITUATION, [(task, Evidence) for task in tasks]
    )
    reasons = {each.task_id: each.reason for each in (*asked.retry, *asked.declined)}
    return [reasons[task.task_id] for task in tasks], asked.hook_problems


def test_one_bad_answer_costs_one_task(tmp_path: Path) -> None:
    """After its process died over one task the others are asked about in a new one."""
    body = (
        "import os\ndef decide(evidence, verdict, planned):\n"
        "    if planned.run_name == 'T1': os._exit(0)\n"
        "    return {'action': 'decline', 'reason': planned.run_name}\n"
    )
    reasons, problems = ask_about_many(tmp_path, body, "hook_that_dies_once", 4)
    assert [reasons[0], *reasons[2:]] == ["hook: T0", "hook: T2", "hook: T3"]
    assert reasons[1].startswith("code_bug: ")
    assert len(problems) == 1


def test_it_is_not_asked_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook that hangs for every task keeps the experiment's lock for a few of them, and the rest is counted."""
    monkeypatch.setattr("hpc.rounds.hooks.LONGEST_S", 0.1)
    body = "def decide(*_):\n    while True: pass\n"
    _, problems = ask_about_many(tmp_path, body, "hook_that_always_hangs", 50)
    assert len(problems) == MAX_ENDS + 1
    assert problems[-1].endswith("not asked about 47 more tasks: 3 of its processes gave no answer")


def test_the_whole_round_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook that is slow and answers is left alone once all its answers together took too long."""
    monkeypatch.setattr("hpc.rounds.hooks.LONGEST_ALL_S", 0.5)
    body = "import time\ndef decide(*_): time.sleep(0.3)\n"
    _, problems = ask_about_many(tmp_path, body, "hook_that_is_slow", 30)
    assert len(problems) == 1
    assert "more tasks: the previous tasks took more than 0.5 s" in problems[0]


def test_nothing_it_started_is_left(tmp_path: Path) -> None:
    """What a hook leaves running ends with it, and holds nothing open."""
    body = (
        "import pathlib, subprocess\ndef decide(*_):\n"
        "    child = subprocess.Popen(['sleep', '600'])\n"
        f"    pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
    )
    assert ask(tmp_path, body, "hook_with_children")[1] == ()
    assert not proc_lives(int((tmp_path / "pid").read_text()))


def proc_lives(pid: int) -> bool:
    """Whether a process is there and no zombie, a moment later."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return False
        if state in "ZX":
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize(
    "imports",
    [
        "from hpc.hooks import Declined, Evidence, FailureClass, Retry, Verdict",
        "from hpc.core.evidence import Evidence, FailureClass, Verdict\n"
        "from hpc.core.retry_plan import Declined, Retry",
        "import hpc.core.evidence\nimport hpc.core.retry_plan as plan\nevidence = hpc.core.evidence\n"
        "FailureClass, Evidence, Verdict = evidence.FailureClass, evidence.Evidence, evidence.Verdict\n"
        "Declined, Retry = plan.Declined, plan.Retry",
    ],
)
def test_the_records_are_found_by_their_public_and_their_former_names(imports: str, tmp_path: Path) -> None:
    """`hpc.hooks` has every record a hook meets; hooks that import the modules named before go on working."""
    body = (
        f"{imports}\ndef decide(evidence, verdict, planned):\n"
        "    assert isinstance(evidence, Evidence) and isinstance(verdict, Verdict)\n"
        "    assert isinstance(planned, (Retry, Declined))\n"
        "    return {'action': 'retry', 'reason': 'seen'} if verdict.category is FailureClass.CODE_BUG else None\n"
    )
    assert ask(tmp_path, body, f"hook_{abs(hash(imports))}") == ("hook: seen", ())


@pytest.mark.parametrize(
    "planned",
    [
        Retry("t1", "X1", 2, 500, 600, parameter_overrides={"lr": 1e-4, "layers": [1, 2]}, exclude_nodes=("n1",)),
        Declined("t1", "X1", FailureClass.CODE_BUG, "a bug", "mend it"),
    ],
)
def test_it_is_told_everything_as_it_is(planned: Decision) -> None:
    """Evidence, verdict and plan come to its process as they were: as lines of JSON, with nothing that would be run."""
    line = LogLine("stderr.log", 7, "ValueError: 'größe' \udcff \x1b[0m")
    evidence = Evidence(
        state=SlurmState.FAILED, step_states=(SlurmState.FAILED,), exit_code=1, log=(line,), elapsed_s=1.5,
        signals_received=("TERM",), series={"loss": (1.0, math.inf, -math.inf), "none": ()}, usual=frozenset({line}),
    )  # fmt: skip
    verdict = Verdict(FailureClass.CODE_BUG, "rule", (line,), 0.5, "cause")
    told = tell_failure(evidence, verdict, planned)
    assert told.endswith(b"\n")
    assert told.count(b"\n") == 1
    assert failure_from(json.loads(told)) == (evidence, verdict, planned)
    no_number = tell_failure(Evidence(series={"loss": (math.nan,)}), verdict, planned)
    assert math.isnan(failure_from(json.loads(no_number))[0].series["loss"][0])


def test_answers_need_not_be_plain(tmp_path: Path) -> None:
    """NumPy's numbers, tuples, other mappings and records with an `action` are understood."""
    body = (
        "import types, numpy\ndef decide(evidence, verdict, planned):\n"
        "    time = numpy.int64(900)\n"
        "    return types.SimpleNamespace(action='retry', reason=numpy.str_('so'), exclude_nodes=('n1',), time=time)\n"
    )
    assert ask(tmp_path, body, "hook_with_records") == ("hook: so", ())


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
