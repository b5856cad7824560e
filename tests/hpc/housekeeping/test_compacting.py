"""`collect --compact`: fewer files for runs that are recorded, and every command says what it said before."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from hpc.adapters.files import write_json
from hpc.adapters.packed import PACKED
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.housekeeping import compacting
from hpc.housekeeping.archiving import Contents, Entry, find_secrets
from hpc.housekeeping.compacting import compact_recorded
from hpc.snapshots.evidence import Results, gather
from hpc.snapshots.snapshot import take_snapshot
from hpc.unattended.play import clean_up
from tests.hpc.housekeeping.conftest import report, told
from tests.local_projects import LocalProject, copy_project


@pytest.fixture
def mine(collected: LocalProject, tmp_path: Path) -> LocalProject:
    """A copy to change."""
    return copy_project(collected.folder, tmp_path / "project")


def of_ours(attempt: Path) -> list[str]:
    """Names in an attempt's folder but for what its program made."""
    return sorted(each.name for each in attempt.iterdir() if each.name not in ("checkpoints", "work"))


def says(project: LocalProject) -> list[str]:
    """What people are told of two runs: logs, the cause of the failure, where it stands."""
    commands = (
        ("logs", "tiny", "X1"),
        ("logs", "tiny", "X2"),
        ("why", "X2"),
        ("status", "tiny"),
        ("status", "--tasks"),
    )
    answers = [project.call("-m", f"hpc.{verb}", *words) for verb, *words in commands]
    return [each.stdout.replace(str(project.folder), "") + each.stderr for each in answers]


def test_every_command_says_what_it_said(mine: LocalProject, reported: str) -> None:
    """Of the finished run one archive is left, of the failed one nothing is touched; twice is once."""
    values, said = told(mine), says(mine)
    files = of_ours(mine.attempt("X2"))
    answer = mine.hpc("collect", "tiny", "--compact", expect=1)
    assert "packed: 1 recorded run" in answer
    assert of_ours(mine.attempt("X1")) == ["exit.json", "metrics.h5", PACKED, "task.json"]
    assert of_ours(mine.attempt("X2")) == files
    assert (told(mine), says(mine)) == (values, said)
    assert report(mine) == reported
    again = mine.hpc("collect", "tiny", "--compact", expect=1)
    assert "packed" not in again
    assert told(mine) == values
    shutil.rmtree(mine.runs / "tiny/collected")
    (mine.runs / "tiny/.remembered.jsonl").unlink(missing_ok=True)
    mine.hpc("collect", "tiny", expect=1)  # read anew, from the archive
    assert told(mine) == values
    with zipfile.ZipFile(mine.attempt("X1") / PACKED) as archive:  # and undone by any unzip
        archive.extractall(mine.attempt("X1"))
    (mine.attempt("X1") / PACKED).unlink()
    assert says(mine) == said


def test_nothing_is_packed_of_what_is_not_recorded(mine: LocalProject) -> None:
    """Not of a run that nobody collected, that changed since, or that is live; a dry run packs nothing."""
    mine.hpc("collect", "tiny", "--compact", "--dry-run", expect=1)
    layout = RunLayout(mine.runs, "tiny")
    record = mine.attempt("X1") / "exit.json"
    before = record.read_text()
    record.write_text(json.dumps({**json.loads(before), "ended": 1.0}))
    assert compact_recorded(layout).runs == 0
    record.write_text(before)
    verdicts = layout.verdicts.read_bytes()
    layout.verdicts.unlink()
    assert compact_recorded(layout).runs == 0
    layout.verdicts.write_bytes(verdicts)
    done = compact_recorded(layout)
    assert (done.runs, done.problems) == (1, ())
    assert done.files > 0


def test_what_slurm_said_is_packed_and_kept(mine: LocalProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read from the archive, and not written beside it again."""
    layout = RunLayout(mine.runs, "tiny")
    attempt = AttemptLayout(mine.attempt("X1"))
    write_json(attempt.task_json, {**json.loads(attempt.task_json.read_text()), "scheduler": "slurm", "job": "7_1"})
    row = {"job": "7_1", "raw_id": "7", "state": "COMPLETED", "started": 1.0, "ended": 2.0}
    write_json(attempt.scheduler, row)
    before = take_snapshot(layout, require_slurm=False).tasks[0].attempts[0]
    assert before.row is not None
    monkeypatch.setattr(compacting, "why_kept", lambda *_: "")
    compact_recorded(layout)
    assert not attempt.scheduler.exists()
    after = take_snapshot(layout, require_slurm=False).tasks[0].attempts[0]
    assert after.row == before.row


SAID = "hpc: X1 attempt 1, job 7_1 on n1\nslurmstepd: error: Detected 1 oom_kill event in StepId=7.0\n"


@pytest.fixture
def element(mine: LocalProject, monkeypatch: pytest.MonkeyPatch) -> tuple[RunLayout, Path]:
    """The run as Slurm's element 7_1, as its receipt says, and the log of it."""
    layout, attempt = RunLayout(mine.runs, "tiny"), AttemptLayout(mine.attempt("X1"))
    write_json(attempt.task_json, {**json.loads(attempt.task_json.read_text()), "scheduler": "slurm", "job": "7_1"})
    write_json(attempt.scheduler, {"job": "7_1", "raw_id": "7", "state": "COMPLETED", "started": 1.0, "ended": 2.0})
    files = layout.submission(1)
    write_json(files.receipt, {**json.loads(files.receipt.read_text()), "job": "7"})
    files.element_log("7_1").write_text(SAID)
    monkeypatch.setattr(compacting, "why_kept", lambda *_: "")
    return layout, files.element_log("7_1")


def slurm_lines(layout: RunLayout) -> list[str]:
    """What a verdict on the run is given by, of what Slurm printed."""
    attempt = take_snapshot(layout, require_slurm=False).tasks[0].attempts[0]
    return [line.text for line in gather(layout, attempt, Results({}, {}, None)).log if line.source == "slurm"]


def test_the_log_of_its_element_is_packed_and_is_evidence_still(element: tuple[RunLayout, Path]) -> None:
    """Eight files and folders are left of a task on Slurm; a log that the element writes later stays beside it."""
    layout, log = element
    before = slurm_lines(layout)
    assert any("oom_kill" in line for line in before)
    compact_recorded(layout)
    assert not log.exists()
    assert slurm_lines(layout) == before
    log.write_text("hpc: X1 is already taken (attempt 1); nothing to do\n")
    compact_recorded(layout)
    assert log.exists()
    log.write_text(SAID)  # as it was left by one that was killed before it removed it
    compact_recorded(layout)
    assert not log.exists()
    assert slurm_lines(layout) == before


@pytest.mark.parametrize("change", ["shared", "no receipt", "put back"])
def test_a_log_that_tells_of_others_stays(element: tuple[RunLayout, Path], change: str) -> None:
    """Of the tasks of a pack, of an element that Slurm put back, and of a job that nobody wrote down."""
    layout, log = element
    attempt = layout.task("X1").attempt(1)
    if change == "shared":
        write_json(attempt.task_json, {**json.loads(attempt.task_json.read_text()), "packed": 2})
    elif change == "no receipt":
        layout.submission(1).receipt.unlink()
    else:
        shutil.copytree(attempt.home, attempt.home.with_name("attempt-2"))
        second = layout.task("X1").attempt(2).task_json
        write_json(second, {**json.loads(second.read_text()), "attempt": 2})
    compact_recorded(layout)
    assert log.read_text() == SAID
    assert (attempt.home / PACKED).exists()


def test_what_cannot_be_packed_is_said(mine: LocalProject) -> None:
    """An archive that is damaged is named with the way on, and the run stays as it is."""
    (mine.attempt("X1") / PACKED).write_bytes(b"no archive")
    (problem,) = compact_recorded(RunLayout(mine.runs, "tiny")).problems
    assert problem.startswith("X1 was not packed: ")
    assert "mv " in problem
    assert (mine.attempt("X1") / "stdout.log").exists()


def test_a_packed_secret_is_found(mine: LocalProject, tmp_path: Path) -> None:
    """What an archive of the experiment must not hold is looked for in what was packed, too."""
    (mine.attempt("X1") / "stderr.log").write_text("WANDB_API_KEY=" + "0123456789abcdef" * 2 + "01234567\n")
    compact_recorded(RunLayout(mine.runs, "tiny"))
    pack = mine.attempt("X1") / PACKED
    assert not (mine.attempt("X1") / "stderr.log").exists()
    (problem,) = find_secrets(Contents((Entry("tasks/X1/attempt-1/packed.zip", pack, pack.stat().st_size),), {}))
    assert "packed.zip" in str(problem)


def test_what_is_declared_happens_when_it_is_recorded(mine: LocalProject) -> None:
    """`compact: when_recorded`: by the collection, and by a round of the unattended loop, which notes it down."""
    layout = RunLayout(mine.runs, "tiny")
    text = (mine.folder / "manifests/experiments/tiny.yaml").read_text()
    mine.write_experiment(text + "compact: when_recorded\n")
    mine.hpc("plan", "tiny", "--cluster", "local")
    clean_up(layout)
    assert PACKED in of_ours(mine.attempt("X1"))
    ledger = [json.loads(line) for line in layout.follow_ledger.read_text().splitlines()]
    assert ledger[-1]["runs"] == 1
    (mine.attempt("X1") / "check.log").write_text("passed\n")
    assert "packed: 1 recorded run, 1 file fewer" in mine.hpc("collect", "tiny", expect=1)
