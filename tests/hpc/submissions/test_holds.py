"""Held experiments: nothing more starts, what others held stays theirs, and no death in between loses the way back."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpc.core.layout import RunLayout
from hpc.core.slurm.executions import JobRow
from hpc.core.slurm.states import SlurmState as S
from hpc.submissions.holds import accepted, describe_hold, held, hold, jobs_to_hold, jobs_to_release, keep_held
from tests.fake_slurm import SlurmProject, make_slurm_project
from tests.local_projects import LocalProject, make_project


@dataclass(frozen=True)
class Trip:
    """What the circuit breaker says."""

    reason: str = "3 of the first 3 tasks ended with the same error"
    fingerprint: str = "abc"
    evidence: str = "AttributeError: wieght"
    tasks: tuple[str, ...] = ("X1",)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlurmProject:
    """A project planned for a Slurm whose clients answer as the test says."""
    return make_slurm_project(tmp_path / "project", monkeypatch)


def row(job: str, state: S = S.PENDING, reason: str = "Resources") -> JobRow:
    return JobRow(job, "1", state, reason)


def waiting(project: SlurmProject, reason: str = "Priority") -> None:
    """Let squeue show both elements of submission 001 as waiting in array 7."""
    comment = project.comment(1)
    project.client("squeue", f'for i in 0 1; do echo "7_$i|7|PENDING|{reason}||{comment}"; done')


# what is held, and what is released


def test_whole_arrays_are_held_whatever_their_size():
    """One word an array, its running elements included, so that what Slurm requeues later stays; the rest is left."""
    rows = [row(f"12_{i}") for i in range(5000)] + [row("12_5000", S.RUNNING), row("13_0", S.COMPLETED), row("14")]
    assert jobs_to_hold(rows, ()) == ["12", "14"]


def test_elements_somebody_else_holds_are_not_ours():
    """An array a person holds parts of is held by its other elements; releasing touches only those."""
    rows = [
        row("12_0"),
        row("12_1"),
        row("12_2", reason="JobHeldUser"),
        row("12_3"),
        row("13_0", reason="JobHeldAdmin"),
    ]
    assert jobs_to_hold(rows, ()) == ["12_[0-1,3]"]
    after = [row(f"12_{i}", reason="JobHeldUser") for i in range(4)] + [row("13_0", reason="JobHeldAdmin")]
    assert jobs_to_release(after, ["12_[0-1,3]"]) == ["12_[0-1,3]"]


def test_what_is_noted_and_not_yet_held_is_held():
    """A note without a hold (death before scontrol) leads to the same call again, and a held array to none."""
    assert jobs_to_hold([row("12_0"), row("12_1")], ["12"]) == ["12"]
    assert jobs_to_hold([row("12_0", reason="JobHeldUser"), row("12_1", S.RUNNING)], ["12"]) == []


def test_running_elements_of_a_held_array_are_released_too():
    """Else one that is preempted after the release would wait for ever; what is over is not named."""
    rows = [row("12_0", S.RUNNING, "None"), row("12_1", S.COMPLETED), row("13_1", S.COMPLETED), row("14_1", S.FAILED)]
    assert jobs_to_release(rows, ["12", "13", "14_[1]"]) == ["12"]


# the files and the commands


def test_hold_and_release_on_slurm(project):
    """hold.json first, then one scontrol call; submit says why and how to go on; --release undoes it and accepts it."""
    assert project.json("submit", "tiny")["jobs"] == {"1": "7"}
    waiting(project)
    layout = RunLayout(project.runs, "tiny")
    written = hold(layout, Trip())
    assert written.jobs == ("7",)
    assert project.calls("scontrol", "uhold") == ["uhold 7"]

    waiting(project, "JobHeldUser")
    told = project.hpc("submit", "tiny", expect=1)
    assert "3 of the first 3 tasks ended with the same error" in told
    assert "python -m hpc.submit tiny --release" in told
    assert "is held" in project.hpc("collect", "tiny", "--retry-failed")
    assert len(project.calls("sbatch")) == 1
    assert project.calls("scontrol", "uhold") == ["uhold 7"]

    assert "released" in project.hpc("submit", "tiny", "--release")
    assert project.calls("scontrol", "release") == ["release 7"]
    assert held(layout) is None
    assert accepted(layout) == {"abc"}
    assert len(project.calls("sbatch")) == 1


def test_death_between_note_and_scontrol_is_made_good(project):
    """Killed after hold.json was written: the next submit calls scontrol, and starts nothing."""
    project.hpc("submit", "tiny")
    waiting(project)
    layout = RunLayout(project.runs, "tiny")
    project.client("scontrol", 'case $1 in uhold) kill -9 "$PPID";; esac')
    death = project.call(
        "-c",
        f"""
from pathlib import Path
from types import SimpleNamespace
from hpc.core.layout import RunLayout
from hpc.submissions.holds import hold
why = SimpleNamespace(reason="r", fingerprint="f", evidence="", tasks=())
hold(RunLayout(Path({str(project.runs)!r}), "tiny"), why)
""",
    )
    assert death.returncode == -9
    assert describe_hold(layout) == "tiny is held: r. To go on: python -m hpc.submit tiny --release"
    project.client("scontrol", "exit 0")
    before = len(project.calls("scontrol", "uhold"))
    project.hpc("submit", "tiny", expect=1)
    assert project.calls("scontrol", "uhold")[before:] == ["uhold 7"]


def test_slurm_that_does_not_answer_leaves_the_hold(project):
    """Neither holding nor releasing is believed done: exit 75, the file stays, the same command works later."""
    project.hpc("submit", "tiny")
    waiting(project)
    layout = RunLayout(project.runs, "tiny")
    project.client("scontrol", "exit 0")
    hold(layout, Trip())
    waiting(project, "JobHeldUser")
    project.client("scontrol", "echo 'scontrol: error: Unable to contact slurm controller' >&2; exit 1")
    project.hpc("submit", "tiny", "--release", expect=75)
    assert held(layout) is not None
    project.client("scontrol", "exit 0")
    project.hpc("submit", "tiny", "--release")
    assert held(layout) is None


def test_elements_that_ended_meanwhile_are_no_error(project):
    """scontrol exits 1 when an element of an array is over, although it held the others."""
    project.hpc("submit", "tiny")
    waiting(project)
    project.client("scontrol", "printf '7_0: Job has already finished\\n7_1: No error\\n' >&2; exit 1")
    assert hold(RunLayout(project.runs, "tiny"), Trip()).jobs == ("7",)


def test_jobs_of_another_project_with_the_same_name_are_left_alone(project):
    """Held are jobs that carry this experiment's comment or whose id is in a receipt."""
    project.hpc("submit", "tiny")
    project.client(
        "squeue", "echo '9_0|9|PENDING|Priority||0123456789abcdef/001'; echo '7_1|7|PENDING|Priority||(null)'"
    )
    assert hold(RunLayout(project.runs, "tiny"), Trip()).jobs == ("7",)


@pytest.fixture
def local(tmp_path: Path) -> LocalProject:
    made = make_project(tmp_path / "local")
    made.hpc("plan", "tiny", "--cluster", "local")
    return made


def test_this_machines_queue_starts_nothing_while_held(local):
    """Queued and held: the runner leaves without starting anything; the release runs all of it."""
    layout = RunLayout(local.runs, "tiny")
    for submission in sorted(layout.submissions.glob("[0-9]*")):
        (submission / "receipt.json").write_text(json.dumps({"job": "local", "time": 0, "cluster": ""}))
    hold(layout, Trip())
    done = local.call("-m", "hpc.local.runner", str(layout.home))
    assert done.returncode == 0
    assert not list(layout.home.glob("tasks/*/attempt-1"))
    assert "is held" in local.hpc("submit", "tiny", expect=1)
    local.hpc("submit", "tiny", "--release")
    assert len(list(layout.home.glob("tasks/*/attempt-1/exit.json"))) == 2


def test_a_held_experiment_asks_slurm_nothing_where_there_is_none(local, monkeypatch):
    """Planned for this machine: no client is called, so none has to be there."""
    monkeypatch.setenv("PATH", "/nonexistent")
    layout = RunLayout(local.runs, "tiny")
    assert hold(layout, Trip()).jobs == ()
    keep_held(layout)
    assert held(layout).tasks == ("X1",)
