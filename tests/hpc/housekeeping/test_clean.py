"""`hpc.clean`: what goes is no result, needs no resume, and nobody points to it; whatever happens on the way."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc.adapters import proc
from hpc.adapters.removal import measure, remove, why_not_ours
from hpc.core.layout import RunLayout
from hpc.housekeeping.freeing import KINDS, find_protected, plan_cleaning
from hpc.snapshots.snapshot import take_snapshot
from hpc.unattended.play import clean_up
from tests.hpc.housekeeping.conftest import report, told
from tests.local_projects import REPO, LocalProject, copy_project, make_project

KILLED = str(REPO / "tests/fakes/killed.py")


@pytest.fixture
def mine(collected, tmp_path) -> LocalProject:
    """A copy to change."""
    return copy_project(collected.folder, tmp_path / "project")


def checkpoints(project: LocalProject, run: str) -> list[str]:
    return sorted(path.name for path in (project.attempt(run) / "checkpoints").iterdir())


def test_it_says_what_goes_and_what_stays(mine):
    """Of the finished run the checkpoints, with bytes and files; of the failed one why they stay. Nothing is done."""
    before = sorted(mine.runs.rglob("*"))
    answer = mine.json("clean", "tiny", "--dry-run")
    assert {(each["kind"], each["run"]) for each in answer["would_free"]} == {("checkpoints", "X1")}
    assert answer["files"] == 2
    assert answer["bytes"] == sum(each["bytes"] for each in answer["would_free"]) > 0
    why = {each["what"]: each["why"] for each in answer["kept"] if each["kind"] == "checkpoints"}
    assert why == {"X2": "not finished: it may resume from them"}
    shown = mine.hpc("clean", "tiny", "--dry-run")
    assert "X1" in shown
    assert "it may resume from them" in shown
    assert "to remove it: python -m hpc.clean tiny --yes" in mine.hpc("clean", "tiny", expect=2)
    assert sorted(mine.runs.rglob("*")) == before


def test_results_are_the_same_before_and_after(mine, reported):
    """`report --json`, what is collected anew, and the outcomes: as if nothing had been removed; twice is once."""
    values = told(mine)
    freed = mine.json("clean", "tiny", "--yes", "--checkpoints", "--code", "--caches", "--work")
    assert {each["kind"] for each in freed["freed"]} == {"checkpoints", "work"}
    assert (checkpoints(mine, "X1"), checkpoints(mine, "X2")) == ([], ["step_1", "step_2"])
    assert not (mine.attempt("X1") / "work").exists()
    assert (mine.attempt("X2") / "work/scratch.bin").exists()
    assert report(mine) == reported
    mine.hpc("collect", "tiny", expect=1)
    assert told(mine) == values
    assert "nothing to remove" in mine.hpc("clean", "tiny", "--yes", "--checkpoints", "--work", expect=3)


def test_killed_at_any_moment_it_can_be_collected_and_gone_on_with(mine, tmp_path):
    """Kill -9 before each rename; what is left is judged as ever, and the next call removes the rest."""
    attempt = mine.attempt("X1")
    for number in (1, 2):  # folders, as frameworks write them
        folder = attempt / f"checkpoints/global_step{number}"
        folder.mkdir()
        (folder / "model.pt").write_bytes(b"w" * 100)
    values = told(mine)
    deaths = 0
    for moment in (1, 2, 3):
        project = copy_project(mine.folder, tmp_path / f"killed-{moment}")
        done = project.call(KILLED, str(moment), "hpc.clean", "tiny", "--yes", "--checkpoints")
        deaths += done.returncode == -9
        left = [name for name in checkpoints(project, "X1") if not name.startswith(".")]
        for name in left:
            whole = attempt / "checkpoints" / name
            assert measure(project.attempt("X1") / "checkpoints" / name) == measure(whole)
        project.call("-m", "hpc.clean", "tiny", "--yes", "--checkpoints")
        assert checkpoints(project, "X1") == []
        if moment == 1:
            project.hpc("collect", "tiny", expect=1)
            assert told(project) == values
    assert deaths == 2


# when nothing goes


def change_exit(project: LocalProject) -> None:
    """The run ended once more since it was collected."""
    path = project.attempt("X1") / "exit.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "ended": 9e9}))


def new_attempt(project: LocalProject) -> None:
    """An attempt has begun that nobody collected."""
    shutil.copytree(project.attempt("X1"), project.attempt("X1", 2), symlinks=True)
    path = project.attempt("X1", 2) / "task.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "attempt": 2}))


def runs_again(project: LocalProject) -> None:
    """It is at work: by this very process, on this machine."""
    (project.attempt("X1") / "exit.json").unlink()
    path = project.attempt("X1") / "task.json"
    alive = {
        "started": 9e8,
        "host": proc.this_host(),
        "pid": proc.identity(os.getpid()),
        "pid_namespace": proc.pid_namespace(),
    }
    path.write_text(json.dumps({**json.loads(path.read_text()), **alive}))
    assert take_snapshot(RunLayout(project.runs, "tiny")).tasks[0].is_live


def forget(project: LocalProject) -> None:
    """Nothing was collected."""
    shutil.rmtree(project.runs / "tiny/collected")


def cut(project: LocalProject) -> None:
    """What was collected cannot be read."""
    (project.runs / "tiny/collected/verdicts.json").write_text("{")


def linked_attempt(project: LocalProject) -> None:
    """Somebody moved the attempt to another disk, and left a link."""
    project.attempt("X1").rename(project.folder / "elsewhere")
    project.attempt("X1").symlink_to(project.folder / "elsewhere")


def linked_checkpoints(project: LocalProject) -> None:
    """The checkpoints alone."""
    (project.attempt("X1") / "checkpoints").rename(project.folder / "elsewhere")
    (project.attempt("X1") / "checkpoints").symlink_to(project.folder / "elsewhere")


def comes_after(project: LocalProject) -> None:
    """Another experiment, not planned yet, starts from its runs."""
    text = (project.folder / "manifests/experiments/tiny.yaml").read_text()
    other = text.replace("name: tiny", "name: eval").replace("program.py {x}", "program.py {x} {run:tiny}")
    project.write_experiment(other, "eval")


def after_list(project: LocalProject) -> None:
    """The same by `after`, a line each."""
    text = (project.folder / "manifests/experiments/tiny.yaml").read_text()
    project.write_experiment(text.replace("name: tiny", "name: eval\nafter:\n  - 7\n  - tiny"), "eval")


def start_from(project: LocalProject) -> None:
    """Another one is given the path of a model in it."""
    text = (project.folder / "manifests/experiments/tiny.yaml").read_text()
    args = "program:\n  args: {start_from: runs/tiny/tasks/X1/checkpoints/step_2}\n"
    project.write_experiment(text.replace("program:\n", args).replace("name: tiny", "name: eval"), "eval")


REASONS = (
    change_exit,
    new_attempt,
    runs_again,
    forget,
    cut,
    linked_attempt,
    linked_checkpoints,
    comes_after,
    after_list,
    start_from,
)


@pytest.mark.parametrize("happens", REASONS, ids=lambda each: each.__name__)
def test_nothing_goes_on_a_stale_verdict_or_out_of_the_root(mine, happens):
    """Whatever was said of the run before: its checkpoints stay, byte for byte, and no link is followed."""
    happens(mine)
    kept = {path: path.read_bytes() for path in mine.folder.rglob("step_*") if path.is_file()}
    layout = RunLayout(mine.runs, "tiny")
    cleaning = plan_cleaning(
        take_snapshot(layout), ("checkpoints", "work"), experiments=mine.folder / "manifests/experiments"
    )
    assert [item.path for item in cleaning.items if item.kind == "checkpoints"] == []
    assert len(kept) == 4 + 2 * (happens is new_attempt)
    assert all(path.read_bytes() == content for path, content in kept.items())


def test_between_the_look_and_the_removal_it_is_looked_again(mine, monkeypatch):
    """What changed while a person read the table stays, and it is said."""
    from hpc.housekeeping.freeing import carry_out

    layout = RunLayout(mine.runs, "tiny")
    cleaning = plan_cleaning(take_snapshot(layout), ("checkpoints",))
    assert cleaning.items
    change_exit(mine)
    freed = carry_out(layout, cleaning)
    assert freed.items == ()
    assert freed.problems == ("X1 changed meanwhile: nothing more of it was removed",)
    assert checkpoints(mine, "X1") == ["step_1", "step_2"]


def test_only_the_run_that_is_pointed_to_is_kept(tmp_path):
    """A path names one run; a placeholder in it, all of them; a longer name is another run or experiment."""
    layout = RunLayout(tmp_path / "runs", "tiny")
    layout.home.mkdir(parents=True)
    cases = {
        "a: runs/tiny/tasks/X1/model.pt": ("", {"X1"}), "a: tiny/tasks/X{x}/m": ("eval points to its runs", set()),
        "a: runs/very-tiny/tasks/X1": ("", set()), "a: /p/tiny/tasks": ("eval points to its runs", set()),
        "after: tiny2": ("", set()), "after: [7, tiny]": ("eval comes after it", set()),
    }  # fmt: skip
    for text, (every, runs) in cases.items():
        (tmp_path / "eval.yaml").write_text(text + "\n")
        found = find_protected(layout, tmp_path)
        assert (found.all, set(found.runs)) == (every, runs), text


# copies and caches


def test_code_that_no_run_was_made_with_goes(mine):
    """An edit, planned again: the copy in between goes, those of the runs and of the plan stay."""
    code = mine.runs / "tiny/code"
    first = {path.name for path in code.iterdir()}
    for text in ("print('loss: 3')\n", "print('loss: 4')\n"):
        mine.write_program(text)
        mine.hpc("plan", "tiny", "--cluster", "local")
    assert len(list(code.iterdir())) == 3
    answer = mine.json("clean", "tiny", "--yes", "--code")
    assert [each["kind"] for each in answer["freed"]] == ["code"]
    names = {path.name for path in code.iterdir()}
    planned = json.loads((mine.runs / "tiny/manifest.json").read_text())["provenance"]["code"]["path"]
    assert names == first | {Path(planned).name}


def test_what_no_commit_holds_of_the_code_stays(tmp_path):
    """The patch of the planned code is part of its record, and goes with that code only."""
    project = make_project(tmp_path / "project")
    git = ("git", "-C", str(project.folder), "-c", "user.name=a", "-c", "user.email=a@b.c")
    for words in (["init", "-q"], ["add", "program.py"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True)
    patches = []
    for text in ("print('loss: 3')\n", "print('loss: 4')\n"):
        project.write_program(text)
        project.hpc("plan", "tiny", "--cluster", "local")
        patches.append({path.name for path in (project.runs / "tiny/code").glob("*.diff")} - set(*patches))
    project.json("clean", "tiny", "--yes", "--code")
    assert {path.name for path in (project.runs / "tiny/code").glob("*.diff")} == patches[1]


def test_left_over_temporaries_go_once_they_are_old(mine):
    """What a death left under a name of ours goes after a day; what somebody else left does not."""
    task = mine.attempt("X1").parent
    old, new, other = (task / f".attempt-2.{name}.tmp" for name in ("0123abcd", "89abcdef", "mine"))
    for folder in (old, new, other):
        folder.mkdir()
    os.utime(old, (1.0, 1.0))
    os.utime(other, (1.0, 1.0))
    mine.json("clean", "tiny", "--yes", "--caches")
    assert [old.exists(), new.exists(), other.exists()] == [False, True, True]


def test_only_what_is_old_enough(mine):
    """`--older-than` leaves what was written since, and says so; what is no age is refused."""
    os.utime(mine.attempt("X1") / "checkpoints/step_1", (1.0, 1.0))
    answer = mine.json("clean", "tiny", "--dry-run", "--checkpoints", "--older-than", "30d")
    assert [Path(each["path"]).name for each in answer["would_free"]] == ["step_1"]
    assert "too new" in {each["why"] for each in answer["kept"]}
    assert "12h, 30d, 2w" in mine.hpc("clean", "tiny", "--older-than", "a month", expect=2)


def test_a_clean_up_that_is_declared_happens_when_it_is_recorded(ran, tmp_path):
    """`clean_up: when_recorded`: the collection that records the result removes the checkpoints; a plan without it
    is what it was."""
    project = copy_project(ran.project.folder, tmp_path / "project")
    manifest = project.runs / "tiny/manifest.json"
    assert "clean_up" not in json.loads(manifest.read_text())["spec"]
    text = (project.folder / "manifests/experiments/tiny.yaml").read_text()
    project.write_experiment(text + "clean_up: when_recorded\n")
    project.hpc("plan", "tiny", "--cluster", "local")
    assert checkpoints(project, "X1") == ["step_1", "step_2"]
    assert "cleaned up: checkpoints of 1 recorded run" in project.hpc("collect", "tiny", expect=1)
    assert (checkpoints(project, "X1"), checkpoints(project, "X2")) == ([], ["step_1", "step_2"])
    # A round of the unattended loop does the same, and notes it down.
    shutil.copytree(
        ran.project.attempt("X1") / "checkpoints", project.attempt("X1") / "checkpoints", dirs_exist_ok=True
    )
    layout = RunLayout(project.runs, "tiny")
    clean_up(layout)
    assert checkpoints(project, "X1") == []
    ledger = [json.loads(line) for line in layout.follow_ledger.read_text().splitlines()]
    assert ledger[-1]["files"] == 2
    project.write_experiment(text + "clean_up: sometimes\n")
    assert "when_recorded" in project.hpc("plan", "tiny", "--cluster", "local", expect=2)


# removing


trees = st.recursive(st.sampled_from(["file", "out", "in"]), lambda inner: st.lists(inner, max_size=3), max_leaves=8)


@settings(max_examples=50)
@given(st.lists(trees, min_size=1, max_size=3), st.booleans())
def test_removing_takes_what_is_below_and_nothing_else(tmp_path_factory, tree, closed):
    """Files, folders and links, closed folders too: all of it goes, and nothing that a link leads to."""
    base = tmp_path_factory.mktemp("tree")
    outside, top = base / "outside", base / "top"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep/file").write_text("stays")

    def build(folder: Path, content: object) -> None:
        folder.mkdir()
        assert isinstance(content, list)
        for number, each in enumerate(content):
            path = folder / str(number)
            if isinstance(each, list):
                build(path, each)
            elif each == "file":
                path.write_text("x")
            else:
                path.symlink_to(outside / "deep" if each == "out" else folder)
        if closed:
            folder.chmod(0o500)

    build(top, tree)
    assert measure(top).files == 1 + sum(len(folders) + len(names) for _, folders, names in os.walk(top))
    remove(top)
    assert sorted(path.name for path in base.iterdir()) == ["outside"]
    assert (outside / "deep/file").read_text() == "stays"


def test_a_place_behind_a_link_is_not_ours(tmp_path):
    """Not through a link, not with `..`, not outside; a link itself may go."""
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/x").touch()
    (root / "link").symlink_to(tmp_path / "b")
    assert [bool(why_not_ours(root, path)) for path in (
        root / "a", root / "link", root / "link/x", root / "../b/x", tmp_path / "b", root / "nothing",
    )] == [False, False, True, True, True, True]  # fmt: skip
    assert set(KINDS) >= {"checkpoints", "code", "images", "work", "caches", "aside"}
