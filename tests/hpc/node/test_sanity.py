"""The ladder before a canary, as the wrapper climbs it: held, broken, too slow, taken away."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.local_projects import EXPERIMENT, LocalProject, command_environment, family, make_project, wait_until

PROGRAM = """
import json, os, sys, time
from pathlib import Path
home = Path(os.environ["HPC_ATTEMPT_DIR"])
if sys.argv[3:4] == ["--dry-run"]:
    assert Path("program.py").exists()
    Path(home, "outcome.json").write_text(json.dumps({"code": 0}))
    print("sanity: shapes:", *sys.argv[1:], home.name)
    how = Path("{folder}/how").read_text()
    if how == "hangs":
        time.sleep(60)
    if how == "breaks":
        sys.exit("CheckError: sanity: leakage: 3 of 9 rows are in training, too")
    sys.exit(85 if how == "asks again" else 0)
print(f"loss: {float(sys.argv[1]) / 2}")
if not os.environ["HPC_RESUME_FROM"]:
    Path(home, "checkpoints/step-00000001").mkdir()
sys.exit(0 if Path("{folder}/done").exists() else 85)
"""


@pytest.fixture
def project(tmp_path: Path) -> LocalProject:
    """One submission whose index says that a ladder is climbed, as a canary's does; the file `how` says how it goes."""
    text = EXPERIMENT.replace('{seed}"', '{seed}"\n  sanity: --dry-run {run_name}')
    made = make_project(tmp_path / "project", text, PROGRAM.replace("{folder}", str(tmp_path)))
    made.hpc("plan", "tiny", "--cluster", "local")
    assert json.loads(index_of(made).read_text())["sanity"] is None  # nothing but a canary's submission has one
    let_climb(made, 600)
    (tmp_path / "done").touch()
    return made


def index_of(project: LocalProject) -> Path:
    return project.runs / "tiny/submissions/001/index.json"


def let_climb(project: LocalProject, time_s: int) -> None:
    """Write a ladder into the index."""
    index = json.loads(index_of(project).read_text())
    index_of(project).write_text(json.dumps({**index, "sanity": {"words": "--dry-run {run_name}", "time_s": time_s}}))


def start(project: LocalProject, **more: str) -> "subprocess.Popen[str]":
    """Start the first element, as the array script does."""
    return subprocess.Popen(
        [sys.executable, "-m", "hpc.run_task", str(index_of(project)), "0"],
        cwd=project.folder,
        env=command_environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(project: LocalProject, how: str, expect: int, **more: str) -> dict[str, Any]:
    """Run the first element to its end; return the record of it."""
    (project.folder.parent / "how").write_text(how)
    wrapper = start(project, **more)
    told = wrapper.communicate(timeout=60)[0]
    assert wrapper.returncode == expect, told
    ended: dict[str, Any] = json.loads((project.attempt("X1") / "exit.json").read_text())
    return ended


def verdict(project: LocalProject) -> Any:
    return project.json("why", str(project.attempt("X1")))


def test_a_ladder_that_holds_leaves_its_log_and_nothing_of_the_run(project):
    """The program's own line and the words, in its working folder; what it records is its own, not the run's."""
    ended = run(project, "holds", 0)
    attempt = project.attempt("X1")
    assert (attempt / "sanity.log").read_text() == "sanity: shapes: 1 1 --dry-run X1 sanity\n"
    assert (attempt / "stdout.log").read_text() == "loss: 0.5\n"
    assert json.loads((attempt / "sanity/outcome.json").read_text()) == {"code": 0}
    assert (ended["exit_code"], ended["program_outcome"], ended["sanity"]) == (0, None, "")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("breaks", "leakage: 3 of 9 rows are in training, too"),
        ("hangs", "it took more than 5 s; its last line: shapes: 1 1 --dry-run X1 sanity"),
        ("asks again", "shapes: 1 1 --dry-run X1 sanity"),
    ],
)
def test_a_rung_that_breaks_ends_the_attempt_before_its_program(project, how, said):
    """Exit code not 0, whichever, or beyond its bound: the reason is on record, and nothing is retried blindly."""
    if how == "hangs":
        let_climb(project, 5)  # a busy machine takes seconds to start Python
    ended = run(project, how, 143 if how == "hangs" else 1)
    attempt = project.attempt("X1")
    assert ended["sanity"] == said
    assert (ended["timed_out"], ended["starts_again"]) == (False, False)
    assert not (attempt / "stdout.log").exists()
    assert family(attempt / "sanity") == []
    told = verdict(project)
    assert (told["category"], told["rule"], told["evidence"][0]["text"]) == ("code_bug", "sanity-rung-broke", said)
    assert told["retry"]["action"] == "none"


def test_who_is_taken_away_on_the_ladder_has_broken_no_rung(project):
    """Status says the rung it is on; asked to stop it is cancelled, as a run would be."""
    (project.folder.parent / "how").write_text("hangs")
    wrapper = start(project)
    log = project.attempt("X1") / "sanity.log"
    wait_until(lambda: log.exists() and log.read_text(), 30, "the first rung")
    assert "  X1  sanity: shapes: 1 1 --dry-run X1 sanity\n" in project.hpc("status", "tiny")
    wrapper.send_signal(signal.SIGTERM)
    wrapper.communicate(timeout=60)
    ended = json.loads((project.attempt("X1") / "exit.json").read_text())
    assert (ended["sanity"], ended["signals_received"]) == ("", ["TERM"])
    assert verdict(project)["category"] == "cancelled"


def test_a_killed_wrapper_leaves_no_ladder_behind(project):
    """Kill -9 while it climbs: what it started dies with it, and the element runs nothing a second time."""
    (project.folder.parent / "how").write_text("hangs")
    wrapper = start(project)
    log = project.attempt("X1") / "sanity.log"
    wait_until(lambda: log.exists() and log.read_text(), 30, "the first rung")
    wrapper.kill()
    wrapper.communicate()
    wait_until(lambda: not family(project.attempt("X1") / "sanity"), 10, "the ladder's end")
    told = start(project).communicate(timeout=60)[0]
    assert "nothing to do" in told
    assert not (project.attempt("X1") / "stdout.log").exists()


def test_who_goes_on_from_a_checkpoint_climbs_no_more(project):
    """Put back into the queue after exit 85: the ladder held in the attempt before."""
    (project.folder.parent / "done").unlink()
    job = {"HPC_LOCAL_JOB": "local-here-1_0"}
    run(project, "holds", 85, **job, HPC_LOCAL_RESTART="0")
    (project.folder.parent / "done").touch()
    wrapper = start(project, **job, HPC_LOCAL_RESTART="1")
    told = wrapper.communicate(timeout=60)[0]
    assert wrapper.returncode == 0, told
    assert (project.attempt("X1", 2) / "stdout.log").exists()
    assert not (project.attempt("X1", 2) / "sanity.log").exists()
