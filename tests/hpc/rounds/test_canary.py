"""One task first, the rest only after it succeeded: what Slurm is asked, what a failure leaves; on this machine."""

import json
from pathlib import Path

import pytest

from hpc.core.layout import RunLayout
from hpc.rounds.canary import awaits_canary
from hpc.snapshots.snapshot import take_snapshot
from tests.fake_slurm import SlurmProject, make_slurm_project
from tests.local_projects import EXPERIMENT, LocalProject, make_project

FOUR = EXPERIMENT.replace("[1, 2]", "[1, 2, 3, 4]")
FAILS = """
import pathlib, sys
print("loss: 1")
sys.exit(0 if pathlib.Path("{folder}/mended").exists() else "KeyError: lr")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlurmProject:
    """Four tasks before a Slurm that takes everything, as jobs 100, 101, …"""
    made = make_slurm_project(tmp_path / "project", monkeypatch, FOUR)
    (made.folder / "sbatch.calls").unlink(missing_ok=True)
    made.client("sbatch", f"echo $((99 + $(grep -vc test-only {made.folder}/sbatch.calls)))")
    return made


def rows(project: SlurmProject, canary: str, others: str) -> None:
    """Let squeue show the canary (submission 002, job 100) and the three others (003, job 101)."""
    lines = [f"100_0|100|{canary}||{project.comment(2)}"]
    lines += [f"101_{i}|101|{others}||{project.comment(3)}" for i in range(3)]
    project.client("squeue", "\n".join(f"echo '{line}'" for line in lines))


def submitted(project: SlurmProject) -> list[str]:
    """What sbatch was asked: dependency and number of the submission."""
    return [
        " ".join(word for word in line.split()[1:-1]) + line.split("submissions/")[1].split("/")[0]
        for line in project.calls("sbatch", "--parsable")
    ]


def receipt(project: SlurmProject, number: int) -> dict[str, object]:
    found: dict[str, object] = json.loads((project.runs / f"tiny/submissions/{number:03d}/receipt.json").read_text())
    return found


def test_the_rest_waits_for_the_canary(project):
    """Two submissions: one element, and three that depend on its success; while both wait nothing is left to submit."""
    told = project.hpc("submit", "tiny", "--canary", "--dry-run")
    assert "first the canary, X1; the others start when it has succeeded" in told
    answer = project.json("submit", "tiny", "--canary")
    assert answer["jobs"] == {"2": "100", "3": "101"}
    assert answer["tasks"] == 4
    assert submitted(project) == ["002", "--dependency=afterok:100003"]
    assert receipt(project, 2)["is_canary"] is True
    assert receipt(project, 3)["waits_for"] == 2
    rows(project, "RUNNING|None", "PENDING|Dependency")
    project.hpc("submit", "tiny", "--canary", expect=3)


def test_after_a_failed_canary_the_rest_is_not_submitted_yet(project):
    """Slurm cancelled it before it began: no attempt, no failure, and `submit` submits it again."""
    project.hpc("submit", "tiny", "--canary")
    rows(project, "FAILED|NonZeroExitCode", "CANCELLED|DependencyNeverSatisfied")
    outcomes = project.json("collect", "tiny", expect=1)["outcomes"]
    assert (outcomes["failed"], outcomes["planned"]) == (1, 3)
    assert project.json("submit", "tiny")["tasks"] == 4  # the canary never began either: nobody claimed an attempt
    assert submitted(project)[2:] == ["001"]


def test_what_a_person_cancelled_behind_a_good_canary_stays_cancelled(project):
    """The canary runs: its followers were cancelled by somebody, and collect says so."""
    project.hpc("submit", "tiny", "--canary")
    rows(project, "RUNNING|None", "CANCELLED|None")
    outcomes = project.json("collect", "tiny", expect=1)["outcomes"]
    assert (outcomes["failed"], outcomes["running"] + outcomes["pending"]) == (3, 1)


def test_death_between_the_two_waits_for_the_same_canary(project):
    """Killed when the second sbatch was called: it is asked again with the same condition; no second canary."""
    project.client(
        "sbatch",
        f'[ $(grep -vc test-only {project.folder}/sbatch.calls) -lt 2 ] || kill -9 "$PPID"\necho 100',
    )
    assert project.call("-m", "hpc.submit", "tiny", "--canary").returncode == -9
    project.client("squeue", f"echo '100_0|100|RUNNING|None||{project.comment(2)}'")
    project.client("sbatch", "echo 101")
    intent = project.runs / "tiny/submissions/003/intent.json"
    intent.write_text(intent.read_text().replace('"time": ', '"time": 0, "was": '))  # long ago
    project.hpc("submit", "tiny", "--canary")
    assert submitted(project) == ["002", "--dependency=afterok:100003", "--dependency=afterok:100003"]
    assert receipt(project, 3)["waits_for"] == 2


def test_a_canary_that_lives_is_the_one_to_wait_for(project):
    """Submitted by a call that died before the rest was begun: the rest depends on it."""
    project.client("sbatch", "echo 100")
    project.hpc("submit", "tiny", "--canary")
    (project.runs / "tiny/submissions/003/receipt.json").unlink()
    (project.runs / "tiny/submissions/003/intent.json").unlink()
    project.client("squeue", f"echo '100_0|100|RUNNING|None||{project.comment(2)}'")
    project.client("sbatch", "echo 101")
    assert project.json("submit", "tiny", "--canary")["jobs"] == {"3": "101"}
    assert submitted(project)[-1] == "--dependency=afterok:100003"


def test_nobody_submits_the_rest_unasked_before_the_canary_succeeded(project):
    """What follow asks before it feeds: yes while the canary runs and after it failed, no once somebody submitted."""
    layout = RunLayout(project.runs, "tiny")
    assert not awaits_canary(take_snapshot(layout))
    project.hpc("submit", "tiny", "--canary")
    for canary, others in (("RUNNING|None", "PENDING|Dependency"), ("FAILED|None", "CANCELLED|None")):
        rows(project, canary, others)
        assert awaits_canary(take_snapshot(layout))
    project.hpc("submit", "tiny")
    assert not awaits_canary(take_snapshot(layout))


@pytest.fixture
def local(tmp_path: Path) -> LocalProject:
    made = make_project(tmp_path / "local", FOUR, FAILS.format(folder=tmp_path))
    made.hpc("plan", "tiny", "--cluster", "local")
    return made


def attempts(project: LocalProject) -> list[str]:
    return sorted(path.parent.name for path in project.runs.glob("tiny/tasks/*/attempt-*"))


def test_on_this_machine_nothing_starts_behind_a_failed_canary(local):
    """X1 fails: the others are not begun and not lost; once mended submit runs them, X2 first."""
    told = local.hpc("submit", "tiny", "--canary", expect=1)
    assert "the canary failed: 3 tasks were not started" in told
    assert attempts(local) == ["X1"]
    outcomes = local.json("collect", "tiny", expect=1)["outcomes"]
    assert (outcomes["failed"], outcomes["planned"]) == (1, 3)
    (local.folder.parent / "mended").touch()
    local.hpc("submit", "tiny", "--canary")
    assert attempts(local) == ["X1", "X2", "X3", "X4"]
    ends = {run: json.loads((local.attempt(run) / "exit.json").read_text()) for run in ("X2", "X3", "X4")}
    assert all(ends[run]["started"] >= ends["X2"]["ended"] for run in ("X3", "X4"))
    assert local.json("collect", "tiny", expect=1)["outcomes"]["finished"] == 3


CLIMBS = """
import pathlib, sys
if sys.argv[3:] == ["--check"]:
    print("sanity: shapes: 4 x 3")
    mended = pathlib.Path("{folder}/mended").exists()
    sys.exit(print("sanity: leakage: none") if mended else "CheckError: sanity: leakage: 3 of 9 rows")
print("loss: 1")
"""


def test_a_ladder_that_breaks_holds_the_rest_and_names_the_rung(tmp_path):
    """Each rung is said as it is climbed; the others are not begun, no retry is planned, and the way on is named."""
    text = FOUR.replace('{seed}"', '{seed}"\n  sanity: --check')
    project = make_project(tmp_path / "local", text, CLIMBS.format(folder=tmp_path))
    project.hpc("plan", "tiny", "--cluster", "local")
    told = project.hpc("submit", "tiny", "--canary", expect=1)
    assert told.count("X1: sanity: shapes: 4 x 3\n") == 1
    assert "X1: failed (sanity: leakage: 3 of 9 rows)" in told
    assert "the canary failed (sanity: leakage: 3 of 9 rows): 3 tasks were not started" in told
    assert "python -m hpc.plan tiny && python -m hpc.submit tiny --canary" in told
    assert attempts(project) == ["X1"]
    standing = project.hpc("status", "tiny")
    assert (
        "the canary failed before training: X1: sanity: leakage: 3 of 9 rows\nonce fixed: python -m hpc.plan"
        in standing
    )
    answer = project.json("collect", "tiny", "--retry-failed", expect=1)
    assert (answer["failures"], answer["outcomes"]["planned"]) == ({"code_bug": 1}, 3)
    assert "sanity-rung-broke" in project.hpc("why", "X1")
    (tmp_path / "mended").touch()
    told = project.hpc("submit", "tiny", "--canary")
    assert told.index("X2: sanity: leakage: none") < told.index("X2: ended with exit code 0")
    assert "before its run" not in project.hpc("status", "tiny")  # nothing is kept back by it any more
    logs = sorted(path.parents[1].name for path in project.runs.glob("tiny/tasks/*/attempt-1/sanity.log"))
    assert logs == ["X1", "X2"]


def test_on_slurm_the_canary_alone_is_told_to_climb(tmp_path, monkeypatch):
    """Its index has the words, that of the rest and those of retries have none."""
    text = FOUR.replace('{seed}"', '{seed}"\n  sanity: {words: --check, time: "0:30:00"}')
    made = make_slurm_project(tmp_path / "project", monkeypatch, text)
    made.client("sbatch", f"echo $((99 + $(grep -vc test-only {made.folder}/sbatch.calls)))")
    made.hpc("submit", "tiny", "--canary")
    told = [json.loads((made.runs / f"tiny/submissions/{n:03d}/index.json").read_text())["sanity"] for n in (1, 2, 3)]
    assert told == [None, {"words": "--check", "time_s": 1800}, None]
