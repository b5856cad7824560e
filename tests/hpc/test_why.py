"""`why` as a command: targets, answers, exit codes."""

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given as cases_of
from hypothesis import settings
from hypothesis import strategies as st

from hpc.core.failures import classify
from hpc.core.failures.classify import SUCCESS_RULES
from hpc.core.failures.evidence import FailureClass
from hpc.core.failures.fact_rules import FACT_RULES
from hpc.core.failures.log_rules import LOG_RULES
from hpc.core.slurm.states import SlurmState
from hpc.explaining.cases import explain_lines
from hpc.explaining.explained import FOUND, explain
from hpc.explaining.tables import render_failure_table
from hpc.explaining.targets import folder_of
from hpc.why import main
from tests.corpus.cases import evidence_of_case, is_held_out, load_cases
from tests.machine import slowness
from tests.made_records import exit_record, task_record

CORPUS = Path(__file__).parents[1] / "corpus"


def why(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, list(arguments), input=stdin)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "train.err"
    path.write_text("step 1 loss 2.0\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB.\n")
    return path


def test_json_answer_has_the_promised_keys(log: Path) -> None:
    """`--json` answers one target with one object: class, rule, the line with source and number, and the retry."""
    result = why(str(log), "--state", "FAILED", "--exit", "1:0", "--json")
    given = json.loads(result.stdout)
    assert result.exit_code == 0
    assert {"target", "category", "rule", "evidence", "confidence", "summary", "suggestion", "retry"} <= set(given)
    assert given["category"] == "oom_gpu"
    assert given["evidence"][0]["source"] == "train.err"
    assert given["evidence"][0]["line"] == 2
    assert given["retry"]["action"] == "lower_micro_batch"


def test_text_answer_names_line_rule_and_next_step_in_80_columns(log: Path) -> None:
    """For people: class, the line with its place, rule, what it leaves open and what to do, at most 80 wide."""
    result = why(str(log), "--state", "FAILED")
    assert f"{log}: oom_gpu (cuda)" in result.stdout
    parts = ("excludes", "leaves open", "causes", "look at", "halve the micro-batch", "retry")
    for text in ("train.err:2", "device-oom-torch", *parts):
        assert text in result.stdout
    assert all(len(line) <= 80 for line in result.stdout.splitlines()[1:])


def test_answer_is_no_wall_of_text(log: Path) -> None:
    """The longest answers stay below one screen of 40 lines, and --json adds causes and steps to the promised keys."""
    assert len(why(str(log), "--state", "FAILED").stdout.splitlines()) <= 40
    given = json.loads(why(str(log), "--state", "FAILED", "--json").stdout)
    assert {"excludes", "leaves_open", "causes", "steps", "decision"} <= set(given)
    assert given["decision"] is None
    assert "a kill by the kernel for memory" in given["excludes"]


def test_a_success_with_a_warning_sign_is_diagnosed(tmp_path: Path) -> None:
    """Validation that rises while training falls: the run is a success, and causes and steps are overfitting's."""
    path = tmp_path / "a.log"
    path.write_text("done\n")
    curves = {
        "train_loss": [2 / (k + 1) for k in range(20)],
        "val_loss": [*[2 / (k + 1) for k in range(8)], *[0.4] * 12],
    }
    given = json.loads(
        why(str(path), "--state", "COMPLETED", "--exit", "0:0", "--metrics", json.dumps(curves), "--json").stdout
    )
    assert given["category"] == "success"
    assert "overfitting" in given["causes"][0]


def test_several_targets_answer_as_a_list(log: Path) -> None:
    """Two targets give two answers, in order."""
    assert len(json.loads(why(str(log), str(log), "--json").stdout)) == 2


def test_metrics_decide_where_the_log_does_not(tmp_path: Path) -> None:
    """Values given on the command line count, NaN as a string included."""
    path = tmp_path / "a.log"
    path.write_text("done\n")
    result = why(str(path), "--state", "COMPLETED", "--exit", "0:0", "--metrics", '{"loss": [2.0, "nan"]}', "--json")
    assert json.loads(result.stdout)["category"] == "divergence"


def test_attempt_directory(tmp_path: Path) -> None:
    """An attempt directory is explained from its own records: zero GPUs make the CPU the training device."""
    (tmp_path / "task.json").write_text(json.dumps(task_record(gpus=0).to_json()))
    (tmp_path / "exit.json").write_text(json.dumps(exit_record(exit_code=1).to_json()))
    (tmp_path / "stderr.log").write_text("MemoryError\n")
    given = json.loads(why(str(tmp_path), "--json").stdout)
    assert (given["category"], given["cause"]) == ("oom_gpu", "cpu_allocator")
    assert given["evidence"][0] == {"source": "stderr", "line": 1, "text": "MemoryError"}


def test_a_misspelt_run_is_answered_with_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among all experiments below the run folder."""
    (tmp_path / "sweep/tasks/R16_LR1e-4_S42").mkdir(parents=True)
    monkeypatch.setenv("HPC_ROOT", str(tmp_path))
    result = why("R16_LR1e-4_S41")
    assert result.exit_code == 2
    assert "did you mean 'R16_LR1e-4_S42'?" in result.output


def test_an_experiment_is_its_last_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name, or with the run's: the run is named, and so are the others that failed; without any, what to do."""
    monkeypatch.setenv("HPC_ROOT", str(tmp_path))
    for number, code in enumerate((0, 1, 1)):
        attempt = tmp_path / f"sweep/tasks/R{number}/attempt-1"
        attempt.mkdir(parents=True)
        (attempt / "task.json").write_text(json.dumps(task_record().to_json()))
        ended = exit_record(exit_code=code, ended=100.0 + number).to_json()
        (attempt / "exit.json").write_text(json.dumps(ended))
        (attempt / "stderr.log").write_text("KeyError: 'x'\n")
    (tmp_path / "sweep/manifest.json").write_text("{}")
    assert why("sweep", "--state", "FAILED").stdout.startswith("sweep/R2: code_bug")
    assert "2 runs failed, R2 last; the others by name: R1" in why("sweep", "--state", "FAILED").stderr
    assert why("sweep/R1", "--state", "FAILED").stdout.startswith("sweep/R1: code_bug")
    assert why("sweep", "R1", "--state", "FAILED").stdout == why("sweep/R1", "--state", "FAILED").stdout
    assert json.loads(why("sweep", "R1", "--state", "FAILED", "--json").stdout)["target"] == "sweep/R1"
    for number in (1, 2):
        (tmp_path / f"sweep/tasks/R{number}/attempt-1/exit.json").unlink()
    assert "hpc.collect sweep" in why("sweep").stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ((), "nothing to explain"),
        (("no-such-thing",), "neither a log file, an attempt directory"),
        ((str(CORPUS),), "has no attempt"),
        ((str(CORPUS / "cases.jsonl"), "--exit", "one"), "write CODE or CODE:SIGNAL"),
        ((str(CORPUS / "cases.jsonl"), "--metrics", "[1,"), "is not JSON"),
        ((str(CORPUS / "cases.jsonl"), "--metrics", "3"), "metrics must be a list"),
    ],
)
def test_usage_errors(arguments: tuple[str, ...], hint: str) -> None:
    """What cannot be explained ends with 2 and says what would be valid."""
    result = why(*arguments)
    assert result.exit_code == 2
    assert hint in result.stderr


def test_jsonl_answers_in_order_and_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 cases are answered one line each, in order, in seconds of one core."""
    monkeypatch.chdir(CORPUS)
    rows = [json.loads(line) for line in (CORPUS / "cases.jsonl").read_text().splitlines()]
    many = (rows * (1000 // len(rows) + 1))[:1000]
    started = time.process_time()
    result = why("--jsonl", stdin="\n".join(json.dumps(row) for row in many))
    assert time.process_time() - started < 15 * slowness()
    assert result.exit_code == 0
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [given["target"] for given in answers] == [row["id"] for row in many]
    assert {given["category"] for given in answers} <= set(FailureClass)


def test_jsonl_goes_on_after_a_line_it_cannot_read() -> None:
    """A broken line is answered in its place, the rest too, and the exit code is 2."""
    result = why("--jsonl", stdin='{"log": null, "slurm_state": "TIMEOUT"}\n{broken\n[1]\n{"log": "gone.log"}\n')
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [given["category"] for given in answers] == ["timeout", "unknown", "unknown", "unknown"]
    assert ["error" in given for given in answers] == [False, True, True, True]
    assert result.exit_code == 2


def test_runs_as_a_module_without_warnings() -> None:
    """`python -W error -m hpc.why --help` works and shows an example."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "hpc.why", "--help"], capture_output=True, text=True, check=True
    )
    assert "python -m hpc.why" in done.stdout


def test_failure_table_is_whole() -> None:
    """The generated page names every class, every rule, every proof of success and every final state."""
    page = render_failure_table()
    names = [*FailureClass, *(rule.id for rule in (*LOG_RULES, *FACT_RULES)), *SUCCESS_RULES]
    names += [state for state in SlurmState if state.is_finished]
    assert [name for name in names if f"`{name}`" not in page] == []


@pytest.mark.parametrize("damaged", ["", "[]", "{", "7"])
def test_one_damaged_claim_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: str
) -> None:
    """A Slurm job is found by its claim although another attempt's claim is none."""
    monkeypatch.setenv("HPC_ROOT", str(tmp_path))
    for run, claim in (("A", damaged), ("B", '{"job": "12_3"}')):
        (tmp_path / f"tiny/tasks/{run}/attempt-1").mkdir(parents=True)
        (tmp_path / f"tiny/tasks/{run}/attempt-1/claim").write_text(claim)
    assert folder_of("12_3") == tmp_path / "tiny/tasks/B/attempt-1"


def test_an_explanation_excludes_nothing_that_it_found() -> None:
    """What a verdict is, found in whichever place, is not said to have been looked for in vain."""
    contradictions = {
        "oom_host": "a kill by the kernel for memory", "preempted": "preemption or a lost node",
        "divergence": "a loss that stays NaN", "timeout": "time limit, cancellation, signals",
        "checkpoint": "a damaged checkpoint", "code_bug": "an error of the program itself",
    }  # fmt: skip
    asked = [case for case in load_cases() if not is_held_out(case) and case["category"] in contradictions]
    seen = set()
    for case in asked[::5]:
        explained = explain("x", evidence_of_case(case))
        seen.add(explained.verdict.category.value)
        assert contradictions.get(explained.verdict.category.value) not in explained.excluded, case["id"]
    assert len(seen & set(contradictions)) == len(contradictions)


def test_what_is_found_is_looked_for() -> None:
    """Each row of the table of contradictions names a step of the classifier, in its very words."""
    assert set(FOUND) <= {sought for sought, _ in classify._STEPS}


@pytest.mark.parametrize(
    ("text", "speaks_of_it"),
    [
        ("step 1\na.out: solver.c:12: main: Assertion `n > 0' failed.\n", False),
        ("Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nKeyError: 'x'\n", True),
    ],
)
def test_nobody_is_sent_to_a_traceback_that_is_not_there(tmp_path: Path, text: str, speaks_of_it: bool) -> None:
    """Of a bug without one, neither the next step nor the steps to try name it."""
    path = tmp_path / "a.log"
    path.write_text(text)
    given = json.loads(why(str(path), "--state", "FAILED", "--exit", "134:0", "--json").stdout)
    assert given["category"] == "code_bug"
    assert ("traceback" in given["suggestion"]) is speaks_of_it
    assert any("traceback" in step for step in given["steps"]) is speaks_of_it
    assert given["suggestion"]


@pytest.mark.parametrize("how", ["stdin", "packed", "file"])
def test_a_log_is_read_from_wherever_it_comes(tmp_path: Path, log: Path, how: str) -> None:
    """From standard input, compressed under any name, or as it is: the same verdict and the same line."""
    packed = tmp_path / "old.log-20261101"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    target = {"stdin": "-", "packed": str(packed), "file": str(log)}[how]
    given = json.loads(why(target, "--json", "--state", "FAILED", stdin=log.read_text()).stdout)
    assert (given["category"], given["evidence"][0]["line"]) == ("oom_gpu", 2)


def test_a_damaged_archive_is_refused_with_a_command(tmp_path: Path, log: Path) -> None:
    """What it names unpacks the part that is whole."""
    path = tmp_path / "a log.gz"
    path.write_bytes(gzip.compress(log.read_bytes() * 1000)[:-20])
    result = why(str(path))
    assert result.exit_code == 2
    assert f"gzip -dc '{path}'" in result.stderr


def test_an_empty_log_is_said_to_be_empty(tmp_path: Path) -> None:
    """And a missing one is an error: neither is judged as if it had been read."""
    (tmp_path / "a.log").write_text("")
    given = json.loads(why(str(tmp_path / "a.log"), "--state", "TIMEOUT", "--json").stdout)
    assert given["category"] == "timeout"
    assert "is empty" in given["notes"][0]
    assert "is empty" in why(str(tmp_path / "a.log")).stdout
    assert why(str(tmp_path / "b.log")).exit_code == 2


@pytest.mark.parametrize("state", ["FALED", "COMPLETE_", "nonsense"])
def test_a_state_that_slurm_does_not_know_is_refused(log: Path, state: str) -> None:
    """With the nearest; what sacct cuts or appends is still read."""
    result = why(str(log), "--state", state)
    assert result.exit_code == 2
    assert f"'{state}' is not a state of Slurm's" in result.stderr
    assert ("did you mean FAILED?" in result.stderr) is (state == "FALED")
    for known in ("CANCELLED by 1000", "OUT_OF_ME+", "to", "UNKNOWN"):
        assert why(str(log), "--state", known).exit_code == 0


def test_a_folder_of_logs_is_told_by_kind(tmp_path: Path, log: Path) -> None:
    """Output and errors of a job are one; jobs are counted by their end, in the order of their numbers."""
    for number in (1, 2, 10):
        (tmp_path / f"slurm-7_{number}.out").write_text("step 1 loss 2.0\n")
        (tmp_path / f"slurm-7_{number}.err").write_text(log.read_text())
    (tmp_path / "slurm-7_3.out").write_text("step 9 loss 0.1\nTraining finished\n")
    log.unlink()
    told = why(str(tmp_path)).stdout
    assert told.startswith(f"{tmp_path}: 4 jobs\n  3 × oom_gpu (cuda)\n")
    assert "slurm-7_1.err, slurm-7_2.err, slurm-7_10.err" in told
    assert f"python -m hpc.why {tmp_path}/slurm-7_1.err\n" in told
    assert "1 × success" in told
    answers = json.loads(why(str(tmp_path), "--json").stdout)
    assert [given["category"] for given in answers] == ["oom_gpu", "oom_gpu", "success", "oom_gpu"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
ROWS = st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "log", "slurm_state", "exit_code", "metrics"), VALUES))


NO_JSON = st.binary(max_size=8).map(lambda data: data.replace(b"\n", b""))
LINES = ROWS.map(lambda row: json.dumps(row).encode()) | NO_JSON


@settings(max_examples=60, deadline=None)
@cases_of(st.lists(LINES, max_size=4))
def test_every_row_is_answered_whatever_stands_in_it(rows: list[bytes]) -> None:
    """A row of other kinds, without sense or without encoding is answered in its place, and the next one is judged."""
    answers = list(explain_lines([*rows, b'{"id": "last", "slurm_state": "TIMEOUT"}']))
    assert len(answers) == sum(bool(row.strip()) for row in rows) + 1
    assert {given["category"] for given in answers if "error" in given} <= {"unknown"}
    assert answers[-1]["category"] == "timeout"


@pytest.mark.parametrize(
    "row", ['{"log": "\\u0000"}', '{"log": "\\ud800"}', "[" * 100_000, '{"exit_code": "1:2:3"}', "1" * 5000]
)
def test_rows_that_once_ended_the_command(row: str) -> None:
    """A zero byte, half a surrogate, depth, two colons, a number of 5,000 digits."""
    result = why("--jsonl", stdin=row + '\n{"slurm_state": "TIMEOUT"}\n')
    assert result.exit_code == 2
    assert [json.loads(line)["category"] for line in result.stdout.splitlines()] == ["unknown", "timeout"]
