"""Holds that a person asked for: whatever is held and released in whatever order, only what may start may start."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc.adapters import slurm
from hpc.core.errors import TemporaryError
from hpc.core.layout import RunLayout
from hpc.core.slurm.executions import JobRow, expand_elements
from hpc.core.slurm.states import SlurmState
from hpc.local.queue import is_at_work
from hpc.submissions.by_hand import hold_by_hand, hold_runs, keep_runs_held, release_all, release_runs
from hpc.submissions.held_runs import held_runs, why_held
from hpc.submissions.holds import held, keep_held, release
from tests.fake_slurm import SlurmProject, make_slurm_project
from tests.local_projects import EXPERIMENT, make_project, wait_until

RUNS = ("X1", "X2", "X3")
FOUR = EXPERIMENT.replace("[1, 2]", "[1, 2, 3, 4]")


class Queue:
    """Slurm's queue: one array whose element n runs X(n+1); somebody else holds the last."""

    def __init__(self, comment: str) -> None:
        self.comment = comment
        self.held = {f"7_{n}": n == 3 for n in range(4)}
        self.dies = ""

    def query(self, _name: str) -> list[JobRow]:
        return [
            JobRow(job, "7", SlurmState.PENDING, "JobHeldUser" if is_held else "Priority", comment=self.comment)
            for job, is_held in self.held.items()
        ]

    def set(self, jobs: list[str], *, is_held: bool) -> None:
        """Hold or release; the controller may be gone before it heard, or before it answered."""
        dies, self.dies = self.dies, ""
        if dies != "before":
            for job in jobs:
                for each in [job] if "_" in job else list(self.held):
                    self.held |= dict.fromkeys(expand_elements(each), is_held)
        if dies:
            raise TemporaryError("Slurm did not answer")


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> SlurmProject:
    """Four elements of an array that wait."""
    with pytest.MonkeyPatch.context() as patch:
        project = make_slurm_project(tmp_path_factory.mktemp("slurm") / "project", patch, FOUR)
        project.hpc("submit", "tiny")
    return project


names = st.lists(st.sampled_from(RUNS), min_size=1, max_size=2, unique=True)
acts = st.lists(
    st.tuples(
        st.one_of(
            st.sampled_from([("hold", ()), ("release", ()), ("submit --release", ()), ("requeue", ())]),
            st.tuples(st.sampled_from(["hold", "release"]), names.map(tuple)),
        ),
        st.sampled_from(["", "before", "after"]),
    ),
    max_size=8,
)


@settings(max_examples=40)
@given(acts)
def test_what_slurm_may_start_is_what_nobody_holds(submitted, history):
    """After every act, also one that Slurm's silence broke and that was repeated: an element is held in Slurm if and
    only if its run is, or all of the experiment, or somebody else holds it."""
    layout, queue = RunLayout(submitted.runs, "tiny"), Queue(submitted.comment(1))
    for path in (layout.hold, layout.held_runs):
        path.unlink(missing_ok=True)
    all_held, runs_held = False, set[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slurm, "query_queue", queue.query)
        patch.setattr(slurm, "hold_jobs", lambda jobs: queue.set(jobs, is_held=True))
        patch.setattr(slurm, "release_jobs", lambda jobs: queue.set(jobs, is_held=False))
        for (what, runs), dies in history:
            queue.dies = dies
            patiently(lambda what=what, runs=runs: act(layout, queue, what, runs))
            queue.dies = ""
            if what == "hold":
                all_held, runs_held = all_held or not runs, runs_held | set(runs)
            elif what == "release":
                all_held, runs_held = all_held and bool(runs), runs_held - set(runs) if runs else set()
            elif what == "submit --release":
                all_held = False
            wanted = {f"7_{n}": all_held or f"X{n + 1}" in runs_held or n == 3 for n in range(4)}
            assert (held(layout) is not None, set(held_runs(layout).runs)) == (all_held, runs_held)
            assert queue.held == wanted


def patiently(do: Callable[[], object]) -> None:
    """Type the same command again where Slurm did not answer."""
    try:
        do()
    except TemporaryError:
        do()


def act(layout: RunLayout, queue: Queue, what: str, runs: tuple[str, ...]) -> None:
    """Do what a command does."""
    if what == "hold":
        hold_runs(layout, runs, "r") if runs else hold_by_hand(layout, "r")
    elif what == "release":
        release_runs(layout, runs) if runs else release_all(layout)
    elif what == "submit --release":
        release(layout)
    else:  # a preempted element comes back unheld, and the next round looks after it
        queue.held["7_0"] = False
        keep_held(layout)
        keep_runs_held(layout)


def test_a_file_nobody_can_read_holds_every_run(tmp_path):
    """A run that was to wait must not start because its note was cut."""
    layout = RunLayout(tmp_path, "tiny")
    assert why_held(layout)("X1") == ""
    layout.home.mkdir()
    layout.held_runs.write_text("{")
    assert "cannot be read" in why_held(layout)("X1")


# the commands


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlurmProject:
    """Two elements that wait in array 7."""
    project = make_slurm_project(tmp_path / "project", monkeypatch)
    project.hpc("submit", "tiny")
    mark = project.comment(1)
    held_in_slurm = project.folder / "scontrol.calls"
    project.client("scontrol", "exit 0")
    project.client(
        "squeue",
        f"for i in 0 1; do r=Priority; grep -qE '^uhold 7(_.$i.)?$' {held_in_slurm} 2>/dev/null && r=JobHeldUser; "
        f'echo "7_$i|7|PENDING|$r||{mark}"; done',
    )
    return project


def test_hold_and_release_say_who_and_why(project):
    """Once; a second hold changes nothing; submit and collect say it; release prints it, and undoes it in Slurm."""
    assert project.json("hold", "tiny", "--dry-run")["jobs"] == ["7"]
    assert project.calls("scontrol", "uhold") == []
    told = project.json("hold", "tiny", "--reason", "new data\non Monday")
    assert (told["reason"], told["jobs"]) == ("new data on Monday", ["7"])
    record = json.loads((project.runs / "tiny/hold.json").read_text())
    assert record["by"] == told["by"]
    assert f"tiny is held: new data on Monday ({told['by']}). To go on: python -m hpc.release tiny" in project.hpc(
        "hold", "tiny", "--reason", "other", expect=3
    )
    assert json.loads((project.runs / "tiny/hold.json").read_text()) == record
    assert project.calls("scontrol", "uhold") == ["uhold 7"]
    assert "new data on Monday" in project.hpc("submit", "tiny", expect=1)
    assert "new data on Monday" in project.hpc("status", "tiny")
    assert "new data on Monday" in project.hpc("release", "tiny")
    assert project.calls("scontrol", "release") == ["release 7"]
    assert "nothing is held" in project.hpc("release", "tiny", expect=3)
    ledger = [json.loads(line) for line in (project.runs / "tiny/holds.jsonl").read_text().splitlines()]
    assert [each["act"] for each in ledger] == ["hold", "release"]


def test_a_breakers_hold_is_released_with_its_reason(project):
    """What failures held is said with its line, and accepted, as `submit --release` does."""
    hold = {"kind": "hold", "schema": 1, "time": 1.0, "reason": "3 of the first 3 tasks failed alike", "command": "c",
            "fingerprint": "abc", "evidence": "AttributeError: wieght", "tasks": ["X1"], "jobs": []}  # fmt: skip
    (project.runs / "tiny/hold.json").write_text(json.dumps(hold))
    told = project.hpc("release", "tiny")
    assert "3 of the first 3 tasks failed alike" in told
    assert "AttributeError: wieght" in told
    assert json.loads((project.runs / "tiny/accepted.json").read_text())["fingerprints"] == ["abc"]


def test_single_tasks_on_slurm(project):
    """One element is held; a run that there is not is said with the nearest; status names what is held, and by whom."""
    assert "did you mean 'X2'?" in project.hpc("hold", "tiny", "X22", expect=2)
    assert project.json("hold", "tiny", "X2", "--reason", "why")["jobs"] == ["7_1"]
    assert project.calls("scontrol", "uhold") == ["uhold 7_[1]"]
    assert "already held" in project.hpc("hold", "tiny", "X2", expect=3)
    assert project.json("status", "tiny")["held_runs"]["X2"].endswith(": why")
    assert "why" in project.hpc("release", "tiny", "X2")
    assert project.calls("scontrol", "release") == ["release 7_[1]"]


def test_this_machines_queue_and_submit_leave_a_held_task_alone(tmp_path):
    """Queued, then held: the runner ends without it, submit says so; a release starts it with no other command."""
    program = "import pathlib, time\nwhile not pathlib.Path(%r).exists():\n    time.sleep(0.05)\nprint('loss: 1')\n"
    project = make_project(tmp_path / "project", EXPERIMENT, program % str(tmp_path / "go"))
    project.hpc("plan", "tiny", "--cluster", "local")
    project.json("hold", "tiny", "X2")
    answer = project.json("submit", "tiny", "--detach", "--max-parallel", "1")
    assert (answer["tasks"], answer["waiting"]) == (1, 1)
    assert "X2 held; to go on: python -m hpc.release tiny" in answer["limit"]
    project.hpc("release", "tiny", "X2")
    project.json("submit", "tiny", "--detach", "--max-parallel", "1")
    project.json("hold", "tiny", "X2")
    (tmp_path / "go").touch()
    layout = RunLayout(project.runs, "tiny")
    wait_until((project.attempt("X1") / "exit.json").exists, 60, "the first task")
    wait_until(lambda: not is_at_work(layout), 60, "the end of the runner")
    assert not project.attempt("X2").exists()
    assert project.json("status", "tiny")["abandoned"] == 0
    project.json("release", "tiny")
    wait_until((project.attempt("X2") / "exit.json").exists, 60, "the second task")


def test_an_element_that_runs_share_is_held_when_all_of_them_are(tmp_path: Path, monkeypatch) -> None:
    """Two packs of two: Slurm holds the one whose runs are both held; one of them released lets it go."""
    project = make_slurm_project(tmp_path / "project", monkeypatch, FOUR + "pack: {tasks: 2, at_once: 2}\n")
    project.hpc("submit", "tiny")
    layout = RunLayout(project.runs, "tiny")
    queue = Queue(project.comment(1))
    queue.held = {"7_0": False, "7_1": False}
    monkeypatch.setattr(slurm, "query_queue", queue.query)
    monkeypatch.setattr(slurm, "hold_jobs", lambda jobs: queue.set(jobs, is_held=True))
    monkeypatch.setattr(slurm, "release_jobs", lambda jobs: queue.set(jobs, is_held=False))

    hold_runs(layout, ["X1", "X3", "X4"], "")
    assert queue.held == {"7_0": False, "7_1": True}
    release_runs(layout, ["X4"])
    assert queue.held == {"7_0": False, "7_1": False}
    assert sorted(held_runs(layout).runs) == ["X1", "X3"]
