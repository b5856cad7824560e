"""`hpc history`: the requirements' dialogues, what survives a crash and an editor, answers to what is not valid."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import hpc.history
from hpc.adapters.ledger import append_json_lines
from hpc.core.history.command import parse_command
from hpc.core.history.entries import start_event
from hpc.metrics import MetricsWriter
from tests.local_projects import EXPERIMENT, make_project
from tests.test_startup import heavy_in, loaded_by

ROOT = Path(__file__).parents[3]
BASELINE = "torchrun --standalone --nproc_per_node=8 -m scripts.base_train -- --depth=24 --run=baseline"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own to work in; runs are kept in ``runs``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPC_ROOT", str(tmp_path / "runs"))
    return tmp_path


def call(*words: str, expect: int = 0) -> Result:
    """Call the verb."""
    done = CliRunner().invoke(hpc.history.main, words)
    assert done.exit_code == expect, done.output
    return done


def say(*words: str) -> str:
    """What it prints on stdout."""
    return call(*words).stdout


def ask_json(*words: str):
    """Its JSON value."""
    return json.loads(say("--json", *words))


def page() -> str:
    """The page as it stands."""
    return Path("runs/experiments.md").read_text()


def run(line: str, *results: str) -> str:
    """Record a run; return its id."""
    name = ask_json("start", "--", *line.split())["id"]
    say("finish", name, *results)
    return name


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six runs of one program: two depths, two learning rates, seeds; one diverged."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HPC_ROOT", str(folder / "runs"))
        run("python train.py --depth 12 --lr 1e-3 --seed 1", "loss=3.30", "train_time=100")
        run("python train.py --depth 12 --lr 1e-3 --seed 2", "loss=3.32", "train_time=104")
        run("python train.py --depth 24 --lr 1e-3 --seed 1", "loss=3.10", "train_time=200", "score=0.42")
        run("python train.py --depth 24 --lr 3e-4 --seed 1", "loss=3.20", "train_time=210", "score=0.40")
        run("python train.py --depth 24 --lr 1e-2 --seed 1", "--diverged-at", "5000")
        say("start", "--", "python", "train.py", "--depth", "48")
    return folder / "runs"


@pytest.fixture
def log(made: Path, folder: Path) -> None:
    """A log of them."""
    shutil.copytree(made, folder / "runs")


# ── the dialogues ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_start_from_the_training_command_itself():
    """Parameters are parsed out of it, an id is made, the start time kept, the exact command is in the page."""
    told = say("start", "--goal", "a baseline at depth 24", "--", *BASELINE.split())
    for line in (
        "baseline: recorded, program scripts.base_train",
        "depth = 24",
        "nproc_per_node=8",
        "finish baseline",
    ):
        assert line in told
    assert f"```bash\n{BASELINE}\n```" in page()
    assert "**Goal**: a baseline at depth 24" in page()
    (entry,) = ask_json("list")["runs"]
    assert entry["started"][:10] in page()
    assert (entry["id"], entry["state"], entry["parameters"]["depth"]) == ("baseline", "running", "24")


def test_results_update_the_entry_and_the_table_and_are_compared(log: None):
    """A new best is recognised, with its margin against the seed spread; a worse one is not."""
    name = ask_json("start", "python", "train.py", "--depth", "36", "--lr", "1e-3")["id"]
    told = say("finish", name, "loss=3.0", "score=0.41")
    assert "loss 3: new best, better than train-3 (3.1) by 0.1 (3.2%). The margin exceeds it: 7.1 times" in told
    assert "score 0.41: not the best; train-3 has 0.42, better by 0.01 (2.4%)" in told
    row = next(line for line in page().splitlines() if line.startswith(f"| {name} |"))
    assert row.endswith("| depth=36, lr=1e-3 | 3 | 0.41 | new best loss |")
    assert f"- **Run**: {name}\n" in page()


def test_runs_that_share_the_best_are_all_named(log: None):
    """Neither is ahead of the other."""
    assert "3.1, train-3\n" in say("best", "loss")
    say("finish", ask_json("start", "python", "train.py", "--depth", "40")["id"], "loss=3.1")
    (line,) = (line for line in say("best", "loss").splitlines() if line.startswith("best loss"))
    assert "3.1, shared by " in line
    assert "train-3" in line
    assert " and " in line or ", " in line.partition("shared by ")[2]
    assert "ahead of" not in say("best", "loss")


def test_a_divergence_is_recorded_with_its_step(log: None):
    """By argument, and by a log or a result that is no number."""
    assert "diverged at step 5000" in page()
    (name,) = [entry["id"] for entry in ask_json("ask", "which runs diverged?")["runs"]]
    assert name == "train-5"
    say("finish", "train-6", "loss=nan")
    assert ask_json("list", "depth=48")["runs"][0]["status"] == "diverged"
    Path("t.log").write_text("step 10 | loss: 3.5\r\nstep 20 | loss: nan\n")
    assert "diverged at step 20" in say("finish", "train-6", "--log", "t.log")


@pytest.mark.parametrize(
    ("question", "words", "answers"),
    [
        ("What learning rates have I tried?", ("values", "lr"), ("lr: 3 values in 5 runs: 3e-4, 1e-3, 1e-2",)),
        ("What was my best run?", ("best",), ("best loss (lower is better, 4 runs): 3.1, train-3", "best score (hi")),
        (
            "Compare depth 12 with depth 24", ("compare", "depth=12", "depth=24"),
            ("3.310 ± 0.014 (n 2)", "loss: depth=24 is better, 3.15 against 3.31 (-4.8%); 11 times the seed spread",
             "train_time: depth=12 is better, 102 against 205", "Trade-off: depth=24 for loss; depth=12 for train_time",
             "depth=24: 1 of 3 runs diverged or failed", "They also differ in lr"),
        ),
        ("the best learning rate", ("values", "learning-rate"), ("lr: 3 values", "1e-3  3     loss 3.1, score 0.42")),
        ("what is running?", ("list", "depth=48"), ("train-6",)),
    ],
)  # fmt: skip
def test_the_questions_of_the_requirements(log: None, question: str, words: tuple[str, ...], answers: tuple[str, ...]):
    """Which values have I tried? what was my best run? compare depth 12 with depth 24; asked or typed."""
    for told in (say("ask", question), say(*words)):
        assert [each for each in answers if each not in told] == []


def test_how_long_runs_took_and_what_they_used(log: None) -> None:
    """Of runs that were started by hand: from start to end, and that nobody noted what they held."""
    said = say("ask", "how long did the runs take?")
    assert "runs of train.py took" in said
    assert "until its end was noted" in said
    lengths = ask_json("ask", "which run was longest?")["lengths"]
    assert lengths[0]["program"] == "train.py"
    used = ask_json("ask", "how many GPU hours did I use this week?")
    assert (used["gpu_hours"], used["used"][0]["gpu"]) == (0.0, None)
    assert "nobody noted" in say("ask", "how many GPU hours did I use in all?")


def test_the_best_of_another_program_is_another_best(log: None) -> None:
    """A loss of one program says nothing of that of another."""
    run("python other.py --lr=1", "val_loss=0.0001")
    metric = ask_json("best")["best"][0]["metric"]
    run("python other.py --lr=2", f"{metric}=0.0001")
    programs = [each["program"] for each in ask_json("best", metric)["best"]]
    assert programs == ["train.py", "other.py"]
    assert f"other.py: best {metric}" in say("best", metric)


def test_things_to_try_by_command_and_by_hand():
    """What is added by command and what is written into the page are one list."""
    say("todo", "add", "lr 3e-4 at depth 24")
    Path("runs/experiments.md").write_text(page() + "- [ ] by hand\n")
    assert say("todo") == "1. [ ] lr 3e-4 at depth 24\n2. [ ] by hand\n"
    assert "2. [x] by hand" in say("todo", "done", "2")
    assert "by hand" in say("ask", "what should I try next?")
    assert page().endswith("- [ ] lr 3e-4 at depth 24\n- [x] by hand\n")


def test_without_a_subcommand_it_lists(log: None):
    """In words and as JSON."""
    assert say() == say("list")
    assert json.loads(say("--json")) == ask_json("list") == json.loads(say("list", "--json"))


SHOWN = re.findall(r"^```text\n(\$ .*?)^```", (ROOT / "docs/history.md").read_text(), re.MULTILINE | re.DOTALL)
LINE = "torchrun --standalone --nproc_per_node=8 -m scripts.base_train --"


def test_the_documentation_shows_what_is_printed():
    """Every command of docs/history.md, with the runs between them that it does not show."""
    between = {
        1: [
            "finish base_train-1 val_loss=3.30 score=0.37 train_time=100",
            f"start {LINE} --depth=12 --lr=1e-3 --seed=2", "finish val_loss=3.32 score=0.36 train_time=102",
            f"start {LINE} --depth=12 --lr=1e-3 --seed=3", "finish val_loss=3.33 score=0.36 train_time=103",
            f"start {LINE} --depth=24 --lr=1e-3 --seed=1 --run=deep",
        ],
        2: [f"start {LINE} --depth=24 --lr=1e-2 --seed=1"],
    }  # fmt: skip
    shown = [each for block in SHOWN for each in re.split(r"^\$ hpc history ", block, flags=re.MULTILINE) if each]
    assert len(shown) == 5
    for place, (command, _, output) in enumerate(each.partition("\n") for each in shown):
        for line in between.get(place, []):
            say(*line.split())
        told = say(*shlex.split(command)).replace("python -m hpc.history", "hpc history")
        assert re.sub(r"\d{4}-\S+T\S+", "", told) == re.sub(r"\d{4}-\S+T\S+", "", output.rstrip() + "\n")
    for row in re.findall(r"^\| (?:base_train|deep).*", (ROOT / "docs/history.md").read_text(), re.MULTILINE):
        assert re.sub(r"\d{4}-\d\d-\d\d", "", row) in re.sub(r"\d{4}-\d\d-\d\d", "", page())


# ── results from files ───────────────────────────────────────────────────────────────────────────────────────────


def test_results_from_a_metrics_file_and_a_log():
    """Final values go before series, arguments before both."""
    with MetricsWriter(Path("metrics.h5")) as writer:
        writer.log(1, loss=3.0, lr=0.1)
        writer.log(2, loss=2.5, lr=0.1)
        writer.summary(val_loss=2.75)
    Path("t.log").write_text("noise\nStep 10 | val_loss: 9.0 | test_acc=0.5\n")
    say("start", "--", "python", "t.py")
    told = ask_json("finish", "--metrics", "metrics.h5", "--log", "t.log", "test_acc=0.75")
    assert told["results"] == {"val_loss": 2.75, "test_acc": 0.75, "loss": 2.5}


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_only_the_owner_reads_the_log(log: None):
    """Source and page, whatever the umask."""
    assert {path.name: path.stat().st_mode & 0o777 for path in Path("runs").iterdir() if path.suffix} == {
        "history.jsonl": 0o600, "experiments.md": 0o600, ".history.lock": 0o600,
    }  # fmt: skip


def test_a_line_that_somebody_died_over_is_passed_over_and_said(log: None):
    """Every whole line counts, also those that are written after it."""
    path = Path("runs/history.jsonl")
    path.write_bytes(path.read_bytes()[:-30])
    told = call("list")
    assert "skipped 1 line that cannot be read" in told.stderr
    assert "train-5" in told.stdout
    assert "train-6" not in told.stdout
    say("start", "--name", "after", "--", "python", "t.py")
    assert [entry["id"] for entry in ask_json("list")["runs"]][-2:] == ["train-5", "after"]


def test_two_at_once_lose_nothing(folder: Path):
    """Starts of several processes at one moment: each is in the log and in the page, with an id of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "hpc.history", "start", "--", "python", "t.py"]
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [each.wait(60) for each in processes] == [0] * 4
    assert sorted(entry["id"] for entry in ask_json("list")["runs"]) == ["t-1", "t-2", "t-3", "t-4"]
    assert page().count("\n### t-") == 4


def test_one_run_runs_with_a_value_and_runs_of_today_are_told():
    """What the answer says is of those runs alone."""
    for line in ("python a.py --lr 1e-3 --run=Old", "python a.py --lr 3e-4 --run=new"):
        say("start", "--", *line.split())
    say("finish", "Old", "loss=2.5")
    say("note", "Old", "flat")
    say("note", "Old", "then steep")
    path = Path("runs/history.jsonl")
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join([re.sub(r'"time": "[^"]+"', '"time": "2020-01-01T00:00:00+00:00"', lines[0]), *lines[1:]])
    )
    told = say("ask", "how did old do?")
    assert told.splitlines()[-4:] == ["  python a.py --lr 1e-3 --run=Old", "  loss 2.5", "  - flat", "  - then steep"]
    assert "new" not in told
    assert [each["id"] for each in ask_json("ask", "which runs used lr=3e-4?")["runs"]] == ["new"]
    assert [each["id"] for each in ask_json("ask", "what did I run today?")["runs"]] == ["new"]
    assert "no run has diverged of those that began this week" in say("ask", "which runs diverged this week?")
    assert "did you mean 'old'?" in call("ask", "how did olt do?", expect=2).stderr


def test_values_that_several_parameters_had_are_listed_once():
    """``lr`` is ``lr`` of one program and ``optimizer.lr`` of another."""
    for line in ("python a.py --lr 1e-3", "python b.py optimizer.lr=1e-3"):
        say("start", "--", *line.split())
    assert "tried values: 1e-3\n" in call("compare", "lr=1", "lr=2", expect=2).stderr


def test_a_merge_conflict_is_named_and_nothing_is_overwritten(log: None):
    """`render` refuses; what is recorded meanwhile is kept in the source, and comes into the page once it is mended."""
    path, text = Path("runs/experiments.md"), page()
    path.write_text("<<<<<<< HEAD\nmine\n=======\ntheirs\n>>>>>>> other\n" + text)
    held = path.read_text()
    assert "experiments.md: holds a merge conflict (line 1)" in call("render", expect=2).stderr
    noted = call("note", "train-1", "meanwhile")
    assert "it is recorded in" in noted.stderr
    assert noted.stdout.strip().endswith("history.jsonl")  # not in the page, which was left as it is
    for words in (("todo",), ("ask", "what is left to try?")):
        assert "the page, which cannot be read" in say(*words)
    assert path.read_text() == held
    path.write_text("mine and theirs\n" + text)
    say("render")
    assert "mine and theirs" in page()
    assert "- meanwhile" in page()


def test_the_source_survives_a_page_that_is_gone_and_a_page_a_source_that_is_joined(log: None):
    """The page is written anew; lines of another log's events and marks of a merge in the source are no loss."""
    Path("runs/experiments.md").write_text(page().replace("**Observations**:\n", "**Observations**:\n\nby hand\n", 1))
    other = start_event("other", "2020-01-01T00:00:00+00:00", parse_command(["python o.py"]), "", "", changed=False)
    path = Path("runs/history.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:3], "<<<<<<< HEAD\n", *lines[3:], ">>>>>>> x\n"]))
    append_json_lines(path, [other])
    assert "skipped 2 lines" in call("render").stderr
    assert "by hand" in page()
    Path("runs/experiments.md").unlink()
    say("render")
    assert "by hand" in page()
    assert ask_json("list")["runs"][0]["id"] == "other"


def test_the_page_may_be_a_link_and_the_source_must_be_a_file(folder: Path):
    """A link keeps leading to the file in somebody's repository; a folder in the log's place is named."""
    (folder / "runs").mkdir()
    (folder / "runs/experiments.md").symlink_to("../mine.md")
    say("start", "--", "python", "t.py")
    assert (folder / "runs/experiments.md").is_symlink()
    assert "### t-1" in (folder / "mine.md").read_text()
    (folder / "mine.md").write_bytes(b"\xff\xfe")
    assert "is not UTF-8 text" in call("render", expect=2).stderr
    Path("runs/history.jsonl").unlink()
    Path("runs/history.jsonl").mkdir()
    assert "history.jsonl" in call("list", expect=2).stderr


def test_a_dry_run_writes_nothing(log: None):
    """Of every subcommand that records; it says what would be."""
    before = {path: path.read_bytes() for path in Path("runs").iterdir()}
    assert ask_json("start", "--dry-run", "--", "python", "t.py")["id"] == "t-1"
    assert "new best" in say("finish", "train-6", "loss=1", "--dry-run")
    say("note", "train-1", "x", "--dry-run")
    assert "1. [ ] x" in say("todo", "add", "x", "--dry-run")
    say("render", "--dry-run")
    assert {path: path.read_bytes() for path in Path("runs").iterdir()} == before


# ── what is not valid, and what is hostile ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "valid"),
    [
        (("start",), "COMMAND"),
        (("start", "--name", "a b", "--", "python", "t.py"), "letters, digits"),
        (("start", "--name", "train-1", "--", "python", "t.py"), "another --name"),
        (("start", "--", "A=1"), "history start -- python train.py"),
        (("finish",), "loss=3.1"),
        (("finish", "train-1"), "--diverged-at STEP"),
        (("finish", "trian-1", "loss=1"), "did you mean 'train-1'"),
        (("finish", "train-1", "loss=low"), "NAME=NUMBER"),
        (("finish", "train-1", "--diverged-at", "-1"), "--diverged-at"),
        (("finish", "train-1", "--log", "gone.log"), "there is no log gone.log"),
        (("finish", "train-1", "--metrics", "gone.h5"), "there is no metrics file"),
        (("note", "nobody", "x"), "train-1"),
        (("note", "train-1", " "), "the text is empty"),
        (("todo", "remove", "1"), "todo add TEXT"),
        (("todo", "done", "7"), "todo done NUMBER"),
        (("best", "lsos"), "did you mean 'loss'"),
        (("values", "dpeth"), "did you mean 'depth'"),
        (("compare", "depth=12"), "two or more sides"),
        (("compare", "depth=12", "depth=13"), "tried values: 12, 24, 48"),
        (("compare", "depth=12", "nobody"), "PARAMETER=VALUE"),
        (("ask", "sing me a song"), "what learning rates have I tried?"),
        (("dance",), "dance"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_what_is_not_valid_exits_2_and_says_what_is(log: None, words: tuple[str, ...], valid: str):
    """And records nothing."""
    before = Path("runs/history.jsonl").read_bytes()
    assert valid in call(*words, expect=2).stderr
    assert Path("runs/history.jsonl").read_bytes() == before


def test_an_empty_log_says_how_to_begin():
    """Every question; `render` has nothing to do."""
    assert "history start -- COMMAND" in say("list")
    assert "todo add" in say("todo")
    assert "history finish ID" in call("best", expect=2).stderr
    assert "history start" in call("values", "lr", expect=2).stderr
    call("render", expect=3)
    assert not Path("runs/history.jsonl").exists()


def test_hostile_values_reach_no_terminal(log: None):
    """Escapes and line ends in a command, a result's name and a log: none is printed, and JSON holds them as text."""
    bad = "\x1b]0;owned\x07a|b\nrow"
    told = [say("start", "--name", "bad", "--goal", bad, "--", "python", "t.py", "--x", bad)]
    assert "NAME=NUMBER" in call("finish", "bad", f"loss {bad}=1", expect=2).stderr
    Path("bad.log").write_text(f"{bad}; loss: 1.5 \x1b[31mscore: 0.5\n")
    told += [say("finish", "bad", "--log", "bad.log"), say("list"), say("best"), say("values", "x"), page()]
    told += [say("compare", "bad", "train-1"), say("list", "depth=12"), call("note", "bad", bad).stdout]
    for each in told:
        assert "\x1b" not in each
        assert "\nrow" not in each.replace("b\nrow'\n```", "")
    assert ask_json("values", "x")["x"][0]["value"] == bad


def test_arguments_that_are_no_utf_8_are_kept():
    """As they are in the source; the page and the terminal show a mark in their place."""
    say("start", "--", "bash", "-c", "A=\udcff python t.py --x '\udcff y'")
    assert "\N{REPLACEMENT CHARACTER}" in page()
    assert ask_json("values", "x")["x"][0]["value"] == "\udcff y"


# ── speed, by what is loaded ─────────────────────────────────────────────────────────────────────────────────────

ANSWERS = (("list",), ("best",), ("values", "lr"), ("compare", "depth=12", "depth=24"), ("todo",), ("ask", "best run?"))


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log of 1,000 runs."""
    folder = tmp_path_factory.mktemp("thousand")
    append_json_lines(folder / "runs/history.jsonl", (event for n in range(1000) for event in _made(n)))
    return folder


@pytest.mark.parametrize("words", ANSWERS, ids=" ".join)
def test_an_answer_loads_nothing_heavy(thousand: Path, words: tuple[str, ...]):
    """On a log of 1,000 runs: no table library, no schema, no metrics, no lock."""
    folder = thousand
    loaded = loaded_by("hpc.history", *words, folder=folder)
    assert "hpc.core.history.entries" in loaded
    assert heavy_in(loaded) == set()


def _made(n: int):
    line = f"python train.py --depth {12 * (1 + n % 2)} --lr {n % 7 + 1}e-4 --seed {n}"
    time = f"2026-01-{1 + n % 28:02}T00:00:00+00:00"
    yield start_event(f"r{n}", time, parse_command([line]), "", "", changed=False)
    yield {"event": "finish", "id": f"r{n}", "time": time, "state": "finished", "results": {"loss": 3 + n / 1000}}


def test_what_is_left_out_is_named_with_a_line_to_type() -> None:
    """A result, a run's id, a parameter: the answer has the command, and what there is to choose from."""
    run("python train.py --lr 0.1 --run=one", "loss=1")

    assert "no run 'two'; valid: one" in call("finish", "two", expect=2).stderr
    assert "hpc.history finish one loss=3.1" in call("finish", "one", expect=2).stderr
    assert "hpc.history values lr; tried so far: lr" in call("values", expect=2).stderr


def test_the_best_of_an_experiment_is_the_best_by_its_own_goal(tmp_path: Path) -> None:
    """A name that says nothing, or the other way: what the experiment declares counts, and nothing is guessed."""
    project = make_project(tmp_path / "project", EXPERIMENT.replace("loss", "error").replace("min", "max"))
    project.write_program("import sys; print('error:', float(sys.argv[1]))")
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", "--backend", "local")
    project.hpc("collect", "tiny")

    told = project.hpc("history", "best")
    assert "best error (higher is better, 2 runs): 2, tiny/X2" in told
    assert "does not say" not in told
    assert "2" in project.hpc("history", "ask", "which x have I tried?").splitlines()[-1]
