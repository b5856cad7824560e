"""Planning: what is frozen, what is added later, what is refused, and what a killed plan leaves."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from tests.fake_slurm import make_slurm_project
from tests.local_projects import EXPERIMENT, REPO, LocalProject, make_project

THREE = EXPERIMENT.replace("[1, 2]", "[1, 2, 3]")
OTHER_TWO = EXPERIMENT.replace("[1, 2]", "[2, 3]")


@pytest.fixture
def project(tmp_path: Path) -> LocalProject:
    return make_project(tmp_path / "project")


def plan(project: LocalProject, *more: str) -> dict:
    return project.json("plan", "tiny", "--cluster", "local", *more)


def submissions(project: LocalProject) -> list[str]:
    return sorted(path.name for path in project.runs.glob("tiny/submissions/[0-9]*"))


def test_what_slurm_would_not_take_is_no_next_step(tmp_path, monkeypatch):
    """A plan that sbatch objects to leads to the check-up; so does a submission that was refused. Else it is sbatch."""
    slurm = make_slurm_project(tmp_path, monkeypatch)
    told = slurm.hpc("plan", "tiny", "--cluster", "slurm")
    assert "\nnext:\n  sbatch manifests/rendered/tiny/" in told
    assert "core hours, if every task uses its whole limit" in told
    assert "GPU hours" not in told
    slurm.client("sbatch", "echo 'sbatch: error: Requested node configuration is not available' >&2; exit 1")
    told = slurm.hpc("plan", "tiny", "--cluster", "slurm", expect=1)
    assert "\n  python -m hpc.doctor tiny --cluster slurm\n" in told
    assert "  sbatch " not in told
    assert "python -m hpc.doctor tiny --cluster slurm" in slurm.hpc("submit", "tiny", expect=1)


def test_slurm_is_asked_once_for_arrays_that_ask_for_the_same(tmp_path, monkeypatch):
    """Three arrays, of two, two and one task: two questions, each refusal once; every script is linked all the same."""
    five = EXPERIMENT.replace("[1, 2]", "[1, 2, 3, 4, 5]")
    slurm = make_slurm_project(tmp_path, monkeypatch, five, "max_array_size: 2\n")
    calls = slurm.folder / "sbatch.calls"
    assert len(calls.read_text().splitlines()) == 2
    calls.unlink()
    assert slurm.hpc("plan", "tiny", "--cluster", "slurm", "--dry-run").count("sbatch --test-only: ") == 3
    assert len(calls.read_text().splitlines()) == 2
    assert len(list((slurm.folder / "manifests/rendered/tiny").iterdir())) == 3
    slurm.client("sbatch", "echo 'sbatch: error: Requested node configuration is not available' >&2; exit 1")
    answer = slurm.json("plan", "tiny", "--cluster", "slurm", expect=1)
    assert len(answer["objections"]) == 2


def test_planning_again_adds_only_what_is_new(project):
    """Added, kept and removed are said; what ran keeps its runs; only the new task is submitted."""
    first = plan(project)
    assert (first["added"], first["kept"], first["removed"]) == (["X1", "X2"], [], [])
    project.hpc("submit", "tiny")
    project.write_experiment(OTHER_TWO)
    second = plan(project)
    assert (second["added"], second["kept"], second["removed"]) == (["X3"], ["X2"], ["X1"])
    assert second["to_submit"] == ["X3"]
    assert second["manifest_sha"] != first["manifest_sha"]
    project.hpc("submit", "tiny")
    assert project.json("collect", "tiny")["outcomes"]["finished"] == 2
    assert {path.name for path in project.runs.glob("tiny/tasks/*")} == {"X1", "X2", "X3"}
    assert not project.attempt("X2", 2).exists()
    told = project.hpc("plan", "tiny", "--cluster", "local")
    assert "everything is already submitted" in told


def test_an_unchanged_plan_is_the_same_plan(project):
    """Same question, same code: same manifest, same submission folder, however often it is planned."""
    first = plan(project)
    assert plan(project)["manifest_sha"] == first["manifest_sha"]
    assert submissions(project) == ["001"]
    project.write_experiment(THREE)
    assert plan(project)["kept"] == ["X1", "X2"]
    assert submissions(project) == ["001", "002"]
    project.write_experiment(EXPERIMENT)
    assert plan(project)["manifest_sha"] == first["manifest_sha"]
    assert submissions(project) == ["001", "002"]


def test_other_settings_under_the_same_names_are_refused_once_there_are_results(project):
    """A changed program or argument is another question: before any result it is planned, then refused by name."""
    plan(project)
    changed = EXPERIMENT.replace("program.py {x} {seed}", "program.py {x} {seed} --more")
    project.write_experiment(changed)
    assert plan(project)["removed"] == ["X1", "X2"]
    project.hpc("submit", "tiny")
    project.write_experiment(EXPERIMENT)
    told = project.hpc("plan", "tiny", "--cluster", "local", expect=2)
    assert "X1, X2 already hold results of other settings" in told
    assert "Rename the experiment" in told


def test_deepspeed_that_nobody_would_start_is_refused(project):
    """Without GPUs Accelerate passes over DeepSpeed in silence; torchrun tells the program nothing of it."""
    for kind, said in (
        ("accelerate", "trains with plain data parallelism"),
        ("torchrun", "valid: kind: accelerate or"),
    ):
        project.write_experiment(EXPERIMENT + f"launch: {{kind: {kind}, deepspeed: {{zero_stage: 2}}}}\n")
        told = " ".join(project.hpc("plan", "tiny", "--cluster", "local", expect=2).split())
        assert "launch.deepspeed: " in told
        assert said in told


def test_a_dry_run_writes_no_plan(project):
    """--dry-run says what would be, and leaves neither manifest nor scripts."""
    assert plan(project, "--dry-run")["tasks"] == 2
    assert not (project.runs / "tiny/manifest.json").exists()
    assert submissions(project) == []


@pytest.mark.parametrize(("module", "expected"), [("train.imitate", 0), ("train.control", 2)])
def test_our_own_trainings_ask_for_what_they_import(project, module, expected):
    """Without accelerate the demo's program is planned, and the other one names the line that brings it."""
    text = EXPERIMENT.replace('command: "python3 program.py {x} {seed}"', f"module: {module}")
    project.write_experiment(text)
    blind = "from importlib import util; find = util.find_spec; "
    blind += "util.find_spec = lambda name: None if name == 'accelerate' else find(name); "
    done = project.call("-c", f"{blind}from hpc.plan import main; main(['tiny', '--cluster', 'local'])")
    assert done.returncode == expected, done.stdout + done.stderr
    assert ("needs accelerate, which is not installed" in done.stderr) == (expected == 2)


def test_an_edited_manifest_is_refused_by_its_hash(project):
    """Nothing of what was edited counts: each command says so and reads the copy; without one it ends with 2."""
    plan(project)
    manifest = project.runs / "tiny/manifest.json"
    manifest.write_text(manifest.read_text().replace('"x": 2', '"x": 5'))
    for command in (("collect", "tiny"), ("status", "tiny"), ("submit", "tiny")):
        told = project.hpc(*command)
        assert "does not match its hash" in told
        assert str(manifest) in told
    assert {task["parameters"]["x"] for task in project.verdicts().values()} == {1, 2}

    shutil.rmtree(project.runs / "tiny/manifests")
    for command in (("collect", "tiny"), ("status", "tiny"), ("submit", "tiny")):
        assert "does not match its hash" in project.hpc(*command, expect=2)


@pytest.mark.parametrize("name", ["manifest.json", "submissions/001/index.json"])
def test_a_cut_file_is_named(project, name):
    """Half a manifest or index: a sentence with the path in every command, no traceback, and the rest goes on."""
    plan(project)
    victim = project.runs / "tiny" / name
    victim.write_text(victim.read_text()[:50])
    for command in (("collect", "tiny"), ("status", "tiny"), ("submit", "tiny")):
        assert f"cannot be read: {victim}: not valid JSON" in project.hpc(*command)
    assert project.json("collect", "tiny")["outcomes"]["finished"] == 2


def test_secrets_in_a_file_are_refused(project):
    """A key in the experiment or the site's profile is refused by name; both are kept in git and copied into runs."""
    project.write_experiment(EXPERIMENT + "environment: {WANDB_API_KEY: abc}\n")
    told = project.hpc("plan", "tiny", "--cluster", "local", expect=2)
    assert "looks like a secret" in told
    project.write_experiment(EXPERIMENT)
    site = project.folder / "manifests/clusters/local.yaml"
    site.write_text(site.read_text() + "environment: {HF_TOKEN: abc}\n")
    assert "looks like a secret" in project.hpc("plan", "tiny", "--cluster", "local", expect=2)


def test_a_users_secrets_are_in_no_file_of_a_run(project):
    """Keys in the caller's environment reach the program and occur in no file below the run folder."""
    project.write_program("import os\nprint('loss:', len(os.environ['WANDB_API_KEY']))\n")
    hidden = {"WANDB_API_KEY": "abcde-very-private", "MY_PASSWORD": "abcde-very-private"}
    project.hpc("plan", "tiny", "--cluster", "local", **hidden)
    project.hpc("submit", "tiny", **hidden)
    answer = project.json("collect", "tiny", **hidden)
    assert answer["outcomes"]["finished"] == 2
    assert project.verdicts()["X1"]["summary"]["loss"] == 18
    for path in project.folder.rglob("*"):
        if path.is_file():
            assert b"abcde-very-private" not in path.read_bytes(), path


def test_killed_at_any_moment_it_leaves_a_whole_plan_or_none(project):
    """Kill -9 before each rename and each program it starts: the next plan works, and what it shows is whole."""
    for moment in range(1, 200):
        shutil.rmtree(project.runs, ignore_errors=True)
        done = project.call(str(REPO / "tests/fakes/killed.py"), str(moment), "hpc.plan", "tiny", "--cluster", "local")
        manifest = project.runs / "tiny/manifest.json"
        if manifest.exists():
            assert len(json.loads(manifest.read_text())["tasks"]) == 2
            assert (project.runs / "tiny/submissions/001/array.sbatch").exists()
        if done.returncode != -signal.SIGKILL:
            break
        if moment % 5 == 0:
            assert plan(project)["to_submit"] == ["X1", "X2"]
    assert done.returncode == 0, done.stderr
    assert moment > 5
