"""Ways to cheat, each named in the report with its runs; and what happens to honest people, none of whom is accused.

One small experiment is run on this machine. Its program is not deterministic: the same seed gives another value when it
runs once more, so a bad seed can be thrown again.
"""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from analysis.data.frame import load_frame
from analysis.data.part import sealed_part
from analysis.findings.answer import answer_criterion
from analysis.findings.later import LaterQuestion, answer_later
from analysis.findings.registration import Registration, read_registration, record_look
from analysis.statistics.comparisons import AnalysisPlan
from hpc.adapters.result_ledger import append_results, read_ledger
from hpc.core.layout import RunLayout
from hpc.experiments.sealing import seal_plan
from hpc.metrics import MetricsWriter
from hpc.rounds.act import assess
from tests.analysis.made_experiments import make_arms
from tests.local_projects import LocalProject, copy_project, make_project, wait_until

PROGRAM = """
import random, sys
x, seed = int(sys.argv[1]), int(sys.argv[2])
value = random.Random(seed).random() / 10 + random.random() / 100 + x
print(f"cost: {1 / value:.12f}")
print(f"loss: {value:.12f}")
"""
EXPERIMENT = """
name: tiny
type: comparison
brief:
  hypothesis: Two is worse than one.
  criterion: "relative_change(x=2) >= 50% and adjusted_p < 0.05"
  stage: confirmatory
program: {command: "python3 program.py {x} {seed}"}
sweep: {grid: {x: [1, 2]}, seeds: [1, 2, 3]}
baseline: {x: 1}
metrics:
  primary: {name: loss, goal: min}
  secondary: [{name: cost, goal: max}]
  source: {stdout: '(loss: (?P<loss>\\S+)|cost: (?P<cost>\\S+))'}
run_name: "X{x}_S{seed}"
resources: {cpus: 1, mem: 500MB, time: "0:10:00"}
"""
OTHER_CRITERION = EXPERIMENT.replace("relative_change(x=2) >= 50% and", "relative_change(x=2) <= -50% and")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """The experiment after its six runs; nobody has collected. Its question was put anew before any of them."""
    project = make_project(tmp_path_factory.mktemp("sealed") / "project", OTHER_CRITERION, PROGRAM)
    project.hpc("plan", "tiny", "--cluster", "local")
    plan_again(project, EXPERIMENT)
    project.hpc("submit", "tiny", "--max-parallel", "3")
    return project


@pytest.fixture(scope="module")
def once(ran: LocalProject, tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """The same, collected."""
    project = copy_project(ran.folder, tmp_path_factory.mktemp("collected") / "project")
    assess(layout_of(project))
    return project


@pytest.fixture
def fresh(ran: LocalProject, tmp_path: Path) -> LocalProject:
    return copy_project(ran.folder, tmp_path / "project")


@pytest.fixture
def project(once: LocalProject, tmp_path: Path) -> LocalProject:
    return copy_project(once.folder, tmp_path / "project")


def layout_of(project: LocalProject) -> RunLayout:
    return RunLayout(project.runs, "tiny")


def registration(project: LocalProject) -> Registration:
    return read_registration(load_frame(layout_of(project)))


def kinds(project: LocalProject) -> dict[str, tuple[str, ...]]:
    return {one.kind: one.runs for one in registration(project).deviations}


def text_of(project: LocalProject, kind: str) -> str:
    return next(one.text for one in registration(project).deviations if one.kind == kind)


def plan_again(project: LocalProject, experiment: str) -> None:
    project.write_experiment(experiment)
    project.hpc("plan", "tiny", "--cluster", "local")


def run_what_is_missing(project: LocalProject) -> None:
    """Submit what has no folder; what was submitted before has the paths of the place it was copied from."""
    shutil.rmtree(project.runs / "tiny/submissions")
    plan_again(project, EXPERIMENT)
    project.hpc("submit", "tiny")
    assess(layout_of(project))


def forge(attempt: Path, loss: float) -> None:
    """Write another value into all numbers a run left; what it printed stays."""
    record = json.loads((attempt / "task.json").read_text())
    (attempt / "metrics.h5").unlink()
    attributes = {name: record[name] for name in ("task_id", "attempt", "manifest_sha")}
    with MetricsWriter(attempt / "metrics.h5", **attributes) as writer:
        writer.log(1, loss=loss)
        writer.summary(loss=loss, cost=1 / loss)
    told = json.loads((attempt.parent / "metrics.json").read_text())
    (attempt.parent / "metrics.json").write_text(json.dumps({**told, "loss": loss, "cost": 1 / loss}))


def loss_of(project: LocalProject, run: str) -> float:
    return float(project.verdicts()[run]["summary"]["loss"])


# Cheats


def test_a_seed_thrown_again_is_named_with_both_values(project: LocalProject) -> None:
    """`rm -r` a bad run and what was collected, submit, collect: the ledger knows the first value."""
    first = loss_of(project, "X2_S3")
    shutil.rmtree(project.runs / "tiny/tasks/X2_S3")
    shutil.rmtree(project.runs / "tiny/collected")
    run_what_is_missing(project)

    assert kinds(project) == {"rerolled": ("X2_S3",)}
    assert f"X2_S3: {first:.6g} (collected " in (text := text_of(project, "rerolled"))
    assert text.endswith(f"then {loss_of(project, 'X2_S3'):.6g}")


def test_a_result_that_vanished_is_named(project: LocalProject) -> None:
    """A bad run is removed and never run again."""
    shutil.rmtree(project.runs / "tiny/tasks/X2_S3")
    shutil.rmtree(project.runs / "tiny/collected")
    assess(layout_of(project))

    assert kinds(project) == {"vanished": ("X2_S3",)}


def test_a_value_changed_after_it_was_collected_is_named(project: LocalProject) -> None:
    """In every file of the run, then collected once more: against the ledger, and against what was printed."""
    forge(project.attempt("X2_S3"), 5.0)
    assess(layout_of(project))

    assert kinds(project) == dict.fromkeys(("changed_result", "printed"), ("X2_S3",))
    assert "later 5, of the same attempt" in text_of(project, "changed_result")


def test_a_value_changed_before_it_was_collected_is_not_what_was_printed(fresh: LocalProject) -> None:
    """The ledger never saw another value, but the log did."""
    forge(fresh.attempt("X2_S3"), 5.0)
    assess(layout_of(fresh))

    assert kinds(fresh) == {"printed": ("X2_S3",)}
    assert "X2_S3: 5 was collected, 2." in text_of(fresh, "printed")


def test_a_copied_seed_is_named_though_it_took_another_time(fresh: LocalProject) -> None:
    """The result of a good seed in the folder of a bad one, its log changed as well."""
    good = 2.043718291573  # of a value that happens to be near a simple fraction nothing is said
    for run in ("X2_S1", "X2_S3"):
        (fresh.attempt(run) / "stdout.log").write_text(f"cost: {1 / good:.12f}\nloss: {good:.12f}\n")
        forge(fresh.attempt(run), good)
    assess(layout_of(fresh))

    assert kinds(fresh) == {"identical": ("X2_S1", "X2_S3")}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [lines[0].replace('"X1_S1"', '"X1_S9"'), *lines[1:]], "line 1 (X1_S9) does not match its hash"),
        (lambda lines: [*lines[:2], *lines[3:]], "does not follow the line before it"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "does not follow the line before it"),
        (lambda lines: lines[:-1], "lines are missing that were there when results were collected or shown"),
        (lambda _: [], "lines are missing that were there when results were collected or shown"),
    ],
    ids=["edited", "removed", "moved", "cut", "emptied"],
)
def test_a_ledger_that_was_touched_is_named(
    project: LocalProject, change: Callable[[list[str]], list[str]], said: str
) -> None:
    """A line edited, removed or moved, the end cut off, all of it gone; and collecting anew hides none of it."""
    layout = layout_of(project)
    layout.ledger.write_text("".join(f"{line}\n" for line in change(layout.ledger.read_text().splitlines())))
    assert said in text_of(project, "ledger")

    assess(layout)
    assert "ledger" in kinds(project)


def test_a_ledger_that_was_deleted_with_what_was_collected_is_named_by_the_looks(project: LocalProject) -> None:
    """Whoever was shown a report noted which results there were."""
    layout = layout_of(project)
    record_look(load_frame(layout))
    layout.ledger.unlink()
    shutil.rmtree(layout.collected)
    assess(layout)

    assert "are missing" in text_of(project, "ledger")


def test_the_first_criterion_is_answered_though_it_was_rewritten_after_the_runs(project: LocalProject) -> None:
    """Criterion, primary metric and goal swapped after all runs: the sealed ones count, the others explore."""
    plan_again(
        project,
        EXPERIMENT.replace(">= 50% and", "<= -10% and")
        .replace("primary: {name: loss, goal: min}", "primary: {name: cost, goal: max}")
        .replace("secondary: [{name: cost, goal: max}]", "secondary: [{name: loss, goal: min}]"),
    )
    assess(layout_of(project))
    frame = load_frame(layout_of(project))
    answer, later = answer_criterion(frame, AnalysisPlan()), answer_later(frame)

    assert [(one.name, one.goal) for one in frame.metric_goals] == [("loss", "min"), ("cost", "max")]
    assert answer is not None
    assert answer.criterion == "relative_change(x=2) >= 50% and adjusted_p < 0.05"
    assert answer.ruling == "SUPPORTED"
    assert isinstance(later, LaterQuestion)
    assert later.headline == "Exploratory: changed after 6 runs had begun"
    assert (later.primary, later.answer and later.answer.ruling) == ("cost", "SUPPORTED")
    assert list(kinds(project)) == ["changed_plan"]
    assert registration(project).headline.startswith("Confirmatory")
    collected, listed = project.json("collect", "tiny", "--dry-run"), project.hpc("ls")
    assert [collected["values"][name] for name in ("metric", "goal")] == ["loss", "min"]
    assert "best loss so far (min, of 2 configurations)" in project.hpc("status", "tiny")
    assert "loss so far (min" in listed


def test_a_new_seal_after_all_folders_were_removed_does_not_count(project: LocalProject) -> None:
    """Nothing has begun, says the disk; the ledger says otherwise."""
    shutil.rmtree(project.runs / "tiny/tasks")
    shutil.rmtree(project.runs / "tiny/collected")
    plan_again(project, OTHER_CRITERION)
    assess(layout_of(project))
    frame = load_frame(layout_of(project))

    assert frame.spec["brief"]["criterion"].startswith("relative_change(x=2) >= 50%")
    assert kinds(project)["vanished"] == ("X1_S1", "X1_S2", "X1_S3", "X2_S1", "X2_S2", "X2_S3")
    assert "6 runs had begun" in text_of(project, "changed_plan")


def test_seeds_added_after_a_look_are_a_second_look(project: LocalProject) -> None:
    """Read at the level of two looks, and named; a third look is no confirmation any more."""
    plan_again(project, EXPERIMENT.replace("[1, 2, 3]", "[1, 2, 3, 4, 5]"))
    assess(layout_of(project))
    frame = load_frame(layout_of(project))

    assert (frame.spec["sweep"]["seeds"], frame.spec["sweep"]["further_seeds"]) == ([1, 2, 3], [4, 5])
    assert "treated as a second look" in text_of(project, "added_seeds")
    assert registration(project).headline.startswith("Confirmatory")
    plan_again(project, EXPERIMENT.replace("[1, 2, 3]", "[1, 2, 3, 4, 5, 6]"))
    assess(layout_of(project))
    assert "seeds were added 2 times after results had been seen" in registration(project).headline


def test_the_sealed_criterion_is_not_answered_by_arms_that_were_added(tmp_path: Path) -> None:
    """`any(…)` ranges over what was sealed; over what was added it explores."""
    criterion = "any(tested == WINNER)"
    experiment = make_arms(
        tmp_path,
        [{0: 1.0, 1: 1.01, 2: 0.99}, {0: 1.02, 1: 0.98, 2: 1.0}, {0: 0.50, 1: 0.51, 2: 0.48}],
        criterion=criterion,
    )
    sealed = experiment.asked[:6]
    manifest = {"spec": experiment.spec, "provenance": {"git": None}, "sha256": "a", "tasks": sealed}
    seal_plan(experiment.layout, manifest)
    experiment.layout.task("A0_S0").attempt(1).home.mkdir(parents=True)
    grid = {"grid": {"arm": [0, 1, 2, 3]}, "seeds": [0, 1, 2]}
    experiment.spec = {**experiment.spec, "sweep": grid}
    seal_plan(experiment.layout, {**manifest, "spec": experiment.spec, "tasks": experiment.asked})
    frame = load_frame(experiment.write())
    answer, later = answer_criterion(sealed_part(frame), AnalysisPlan()), answer_later(frame)

    assert answer is not None
    assert (answer.ruling, len(answer.clauses)) == ("UNDECIDED", 1)
    assert later is not None
    assert later.answer is not None
    assert later.answer.ruling == "SUPPORTED"


def test_a_dropped_seed_and_an_added_arm_are_named(project: LocalProject) -> None:
    """With what the dropped runs had given."""
    plan_again(project, EXPERIMENT.replace("[1, 2, 3]", "[1, 2]").replace("x: [1, 2]", "x: [1, 2, 3]"))
    assess(layout_of(project))

    assert kinds(project)["missing_tasks"] == ("X1_S3", "X2_S3")
    assert "X2_S3 gave 2." in text_of(project, "missing_tasks")
    assert kinds(project)["added_tasks"] == ("X3_S1", "X3_S2")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xfe\x00", b"[" * 100_000, b"[1, 2]", b"{}", b'{"time": 1e999, "values": {"loss": NaN}}', b"null",
        b'{"time": 1e300, "task_id": "a", "run_name": "a", "attempt": 1, "started": null, "outcome": "finished", '
        b'"failure_class": "", "values": {"loss": Infinity}}',
    ],
)  # fmt: skip
def test_whatever_stands_in_a_ledger_is_named_and_no_traceback(project: LocalProject, garbage: bytes) -> None:
    """Damaged or forged, at the beginning or instead of everything: it is collected and reported all the same."""
    layout = layout_of(project)
    whole = layout.ledger.read_bytes()
    layout.ledger.write_bytes(garbage + b"\n" + whole.split(b"\n", 1)[1])
    assert "ledger" in kinds(project)

    layout.ledger.write_bytes(garbage)
    assess(layout)
    assert "ledger" in kinds(project)


# Honest people


def test_collecting_again_adds_nothing_and_nothing_is_said(project: LocalProject) -> None:
    """Six runs are six lines, however often and by whomever it is collected; a torn last line harms nothing."""
    layout = layout_of(project)
    whole = layout.ledger.read_bytes()
    assess(layout)
    assert layout.ledger.read_bytes() == whole
    assert [line.run_name for line in read_ledger(layout).lines] == [
        "X1_S1", "X1_S2", "X1_S3", "X2_S1", "X2_S2", "X2_S3"
    ]  # fmt: skip
    assert kinds(project) == {}

    layout.ledger.write_bytes(whole[:-40])
    shutil.rmtree(layout.collected)  # the collector was killed before it wrote anything else
    assess(layout)
    assert [line.run_name for line in read_ledger(layout).lines][-1] == "X2_S3"
    assert kinds(project) == {}


def test_collectors_that_meet_write_one_chain(tmp_path: Path) -> None:
    """Four at once, each with what it has to add: every line is there, once, and follows the one before it."""
    layout = RunLayout(tmp_path, "a")

    def add(name: str) -> None:
        for place in range(10):
            line = {"time": 1.0, "task_id": f"{name}{place}", "run_name": "R", "attempt": 1, "started": None,
                    "outcome": "failed", "failure_class": "", "values": {}}  # fmt: skip
            append_results(layout, lambda _, line=line: [line])  # type: ignore[misc]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, "abcd"))
    ledger = read_ledger(layout)
    assert (len({line.task_id for line in ledger.lines}), ledger.problems) == (40, ())


def test_a_ledger_that_takes_no_note_is_said_and_hinders_nothing(project: LocalProject) -> None:
    """Something else stands in its place: a note of the collection, a name in the report, no traceback."""
    layout = layout_of(project)
    layout.ledger.unlink()
    layout.ledger.mkdir()

    notes = assess(layout).notes
    assert any("these results are not in it" in note for note in notes)
    assert "it cannot be read" in text_of(project, "ledger")


def test_a_change_of_mind_before_any_run_counts_as_the_first_question(project: LocalProject) -> None:
    """Planned, thought again, planned, run: the second criterion is answered, and no deviation is listed."""
    assert len(registration(project).seals) == 2
    assert load_frame(layout_of(project)).spec["brief"]["criterion"].startswith("relative_change(x=2) >= 50%")
    assert (kinds(project), answer_later(load_frame(layout_of(project)))) == ({}, None)
    assert registration(project).headline.startswith("Confirmatory")


def test_seeds_added_before_anybody_looked_are_no_second_look(fresh: LocalProject) -> None:
    """More seeds while the first ones run: named as what they are, and tests are read as planned."""
    plan_again(fresh, EXPERIMENT.replace("[1, 2, 3]", "[1, 2, 3, 4]"))
    assess(layout_of(fresh))

    assert "before any result was collected or shown" in text_of(fresh, "added_seeds")
    assert load_frame(layout_of(fresh)).spec["sweep"]["further_seeds"] == []


def test_a_run_asked_for_once_more_is_repeated_and_no_cheat(project: LocalProject) -> None:
    """`--again` notes who asked, so the report says so in neutral words, with both values."""
    project.hpc("collect", "tiny", "--retry-failed", "--again", "X2_S3")

    def has_both_values() -> bool:
        assess(layout_of(project))
        return text_of(project, "repeated").count(", then 2.") == 1

    wait_until(has_both_values, 60, "the run to end once more")
    assert kinds(project) == {"repeated": ("X2_S3",)}


def test_purged_folders_are_kept_results_and_forgotten_ones_are_repeated(project: LocalProject) -> None:
    """A scratch file system took a folder: nothing is said. Forgotten by our command and run again: repeated."""
    shutil.rmtree(project.runs / "tiny/tasks/X2_S3")
    assess(layout_of(project))
    assert kinds(project) == {}

    project.hpc("collect", "tiny", "--forget-gone")
    run_what_is_missing(project)
    assert kinds(project) == {"repeated": ("X2_S3",)}


def test_a_moved_project_is_the_same_project(project: LocalProject, tmp_path: Path) -> None:
    """Nothing in the ledger is a path."""
    moved = copy_project(project.folder, tmp_path / "elsewhere")
    shutil.rmtree(project.folder)
    assess(layout_of(moved))

    assert kinds(moved) == {}


def test_an_experiment_from_before_the_ledger_begins_one(project: LocalProject) -> None:
    """No ledger, and none was spoken of when it was collected: nothing is said; the next collection begins one."""
    layout = layout_of(project)
    layout.ledger.unlink()
    shutil.rmtree(layout.collected)
    assess(layout)

    assert (kinds(project), len(read_ledger(layout).lines)) == ({}, 6)


ODD = """
import os, random, sys
x, attempt = int(sys.argv[1]), os.environ["HPC_ATTEMPT"]
if x == 1 and attempt == "1":  # stopped in the middle, goes on from its checkpoint
    os.makedirs(os.environ["HPC_ATTEMPT_DIR"] + "/checkpoints/step-00000001")
    print("final: 9.5")
    sys.exit(85)
elif x == 2 and attempt == "1":  # the first try fails, the second is another one
    print("final: 4.0")
    sys.exit("OSError: [Errno 5] Input/output error")
else:
    print(f"final: {x + random.random() / 1000:.9f}")
"""


def test_continuation_and_retries_are_no_cheats(tmp_path: Path) -> None:
    """A run in two slices, and a failure that was collected and tried again, with other values than before."""
    experiment = EXPERIMENT.replace("seeds: [1, 2, 3]", "seeds: [2]").replace(
        "secondary: [{name: cost, goal: max}]\n  ", ""
    )
    experiment = experiment.replace("(loss: (?P<loss>\\S+)|cost: (?P<cost>\\S+))", "final: (?P<loss>\\S+)")
    project = make_project(tmp_path / "project", experiment, ODD)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", "--max-parallel", "4", expect=1)
    assess(layout_of(project))
    project.hpc("collect", "tiny", "--retry-failed", "--again", "X2_S2")
    assess(layout_of(project))

    told = {name: (task["outcome"], len(task["attempts"])) for name, task in project.verdicts().items()}
    assert set(told.values()) == {("finished", 2)}
    assert kinds(project) == {}


def test_a_divergence_that_exits_with_0_is_no_relabelled_success(tmp_path: Path) -> None:
    """The program left a number and 0; that its loss had left the finite numbers is what was collected."""
    experiment = make_arms(tmp_path, [{0: 1.0, 1: 1.1}, {0: 1.5, 1: float("nan")}])
    layout = experiment.write()
    lost = experiment.asked[3]
    attempt = layout.task(lost["run_name"]).attempt(1)
    attempt.home.mkdir(parents=True)
    attempt.task_json.write_text(json.dumps({**lost, "attempt": 1}))
    told = {"attempt": 1, "outcome": "finished", "complete": True, "error": 3.5}
    layout.task(lost["run_name"]).metrics_json.write_text(json.dumps(told))
    frame = load_frame(layout)

    assert frame.tasks["failure_class"].iloc[3] == "divergence"
    assert [one.kind for one in read_registration(frame).deviations] == []


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.577215664901, 0.577215664901, 0.577215664901], False),  # the seed is not used
        ([0.577215664901, 0.577215664901], False),
        ([0.91, 0.91, 0.87], False),  # an accuracy of a hundred cases
        ([1 / 3, 1 / 3, 2 / 3], False),
        ([0.8731999993324280, 0.8731999993324280, 0.88], False),  # one of ten thousand, in single precision
        ([0.577215664901, 0.577215664901, 0.2], True),
    ],
)
def test_equal_values_are_named_only_where_chance_does_not_make_them(
    tmp_path: Path, values: list[float], kind: bool
) -> None:
    """A deterministic program and coarse metrics agree honestly."""
    arms: list[dict[int, float]] = [dict(enumerate(values)), {0: 1.5, 1: 1.6}]
    frame = load_frame(make_arms(tmp_path, arms).write())
    found: list[Any] = [one.kind for one in read_registration(frame).deviations]

    assert ("identical" in found) is kind
