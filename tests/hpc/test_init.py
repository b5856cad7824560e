"""`hpc init` in other people's repositories: what it finds, what it writes, what it leaves alone."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

import hpc.plan
from hpc.adapters.yaml_file import load_yaml
from hpc.experiments.models.experiment import ExperimentModel
from hpc.experiments.models.profile import ProfileModel
from hpc.experiments.reference import json_schema
from hpc.init import main
from hpc.workspace import BUILT_IN
from tests.local_projects import LocalProject

PROGRAMS = Path(__file__).parents[1] / "data/programs"

NEXT = "python -m hpc.plan first_sweep && python -m hpc.submit first_sweep --follow"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository, and the current folder."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPC_ROOT", raising=False)
    return tmp_path


def put(repository: Path, program: str, name: str = "train.py") -> None:
    """Put a program of the collection into a repository."""
    (repository / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(PROGRAMS / f"{program}.py", repository / name)


def init(*arguments: str, answers: str = "") -> Result:
    """Run the command."""
    return CliRunner().invoke(main, list(arguments), input=answers)


def experiment(repository: Path, name: str = "first_sweep") -> str:
    """What was written."""
    return (repository / f"manifests/experiments/{name}.yaml").read_text()


def tree(folder: Path) -> dict[str, str]:
    """Every file outside .git with its content."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def test_it_makes_a_repository_ready_without_a_question(repository: Path) -> None:
    """Experiment, schemas and ignore lines, as readable as the repository; the last line is what to type next."""
    put(repository, "like_mnist")
    done = init("--yes")

    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == f"or at once: {NEXT}"
    assert set(tree(repository)) == {
        "train.py", ".gitignore", "manifests/experiments/first_sweep.yaml", "manifests/schema/experiment.schema.json",
        "manifests/schema/profile.schema.json",
    }  # fmt: skip
    assert (repository / ".gitignore").read_text() == "runs/\nmanifests/rendered/\n"
    assert "python train.py --lr {lr} --seed {seed}" in experiment(repository)
    mode = repository.stat().st_mode & 0o666
    assert all((repository / name).stat().st_mode & 0o777 == mode for name in tree(repository) if name != "train.py")


@pytest.mark.parametrize("variables", ["FOO=1", "CUDA_VISIBLE_DEVICES=0 WORDS='two words'"])
def test_variables_before_the_program_are_set_for_it(repository: Path, variables: str) -> None:
    """As people type it in a shell; the program behind them is read, and what is written can be planned."""
    put(repository, "like_mnist")
    done = init("--yes", f"{variables} python train.py")

    assert done.exit_code == 0, done.output
    command = load_yaml(repository / "manifests/experiments/first_sweep.yaml").data["program"]["command"]
    assert command == f"env {shlex.join(shlex.split(variables))} python train.py --lr {{lr}} --seed {{seed}}"
    assert "compares values of lr" in done.stdout


def test_the_editor_finds_the_schema(repository: Path) -> None:
    """The line names a file that is there, of draft 7, as the models say; so it is for profiles."""
    put(repository, "like_mnist")
    init("--yes")
    line = experiment(repository).splitlines()[0]
    path = repository / "manifests/experiments" / line.removeprefix("# yaml-language-server: $schema=")

    for file, model in ((path, ExperimentModel), (path.with_name("profile.schema.json"), ProfileModel)):
        schema = json.loads(file.read_text())
        assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
        assert schema["properties"].keys() == json_schema(model)["properties"].keys()


@pytest.mark.parametrize(("gib", "memory"), [(64, "8GB"), (6, "3GB"), (1, "512MB")])
def test_a_run_asks_for_no_more_than_the_machine_can_share(
    repository: Path, monkeypatch: pytest.MonkeyPatch, gib: int, memory: str
) -> None:
    """Where no Slurm is, half of the memory at most; the file says that it is a guess."""
    put(repository, "like_mnist")
    pages = {"SC_PHYS_PAGES": gib << 18, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr("os.sysconf", lambda name: pages[name])
    monkeypatch.setattr("hpc.init.shutil.which", lambda _: None)
    init("--yes")
    assert f'mem: {memory}, time: "4:00:00"}}' in experiment(repository)
    assert "# Guesses:" in experiment(repository)


def test_again_it_does_nothing(repository: Path) -> None:
    """Exit 3, the next command, every file as it was."""
    put(repository, "like_mnist")
    init("--yes")
    before = tree(repository)
    done = init("--yes")

    assert done.exit_code == 3
    assert f"everything is in place (to add another: python -m hpc.init --name OTHER); next: {NEXT}" in done.output
    assert tree(repository) == before


def test_nothing_of_a_person_is_overwritten(repository: Path) -> None:
    """An experiment stays as it is, ignore lines are added below those that are there, each once."""
    put(repository, "like_mnist")
    (repository / ".gitignore").write_text("*.pt\nruns")
    (repository / "manifests/experiments").mkdir(parents=True)
    (repository / "manifests/experiments/mine.yaml").write_text("name: mine\n")
    done = init("--yes")

    assert done.exit_code == 0
    assert (repository / ".gitignore").read_text() == "*.pt\nruns\nmanifests/rendered/\n"
    assert tree(repository / "manifests/experiments") == {"mine.yaml": "name: mine\n"}
    assert init("--yes", "--name", "mine").exit_code == 2
    assert init("--yes", "--name", "other").exit_code == 0
    assert sorted(tree(repository / "manifests/experiments")) == ["mine.yaml", "other.yaml"]


def test_two_questions_are_asked(repository: Path) -> None:
    """Which command, and which number; the answers go before what was found."""
    put(repository, "like_mnist", "train.py")
    put(repository, "like_nanogpt", "nano/pretrain.py")
    done = init(answers="python nano/pretrain.py\ntrain_loss\n")

    assert done.exit_code == 0, done.output
    assert done.stderr.count("?") == 2
    assert "[python train.py]" in done.stderr
    assert "[val_loss]" in done.stderr
    assert "python nano/pretrain.py --learning_rate={learning_rate} --out_dir={out_dir}" in experiment(repository)
    assert "name: train_loss" in experiment(repository)


def test_nobody_who_answers_is_a_sentence(repository: Path) -> None:
    """Without a terminal and without --yes nothing is written."""
    put(repository, "like_mnist")
    done = init()

    assert done.exit_code == 2
    assert "to be asked nothing: python -m hpc.init --yes" in done.stderr
    assert set(tree(repository)) == {"train.py"}


def test_a_program_is_never_run_unasked(repository: Path) -> None:
    """Its source is read; only --run-help executes it."""
    (repository / "train.py").write_text(
        "import pathlib, sys\npathlib.Path('ran').touch()\nprint('  --lr LR   the rate (default: 0.1)')\n"
    )
    assert init("--yes", "--dry-run").exit_code == 0
    assert not (repository / "ran").exists()
    assert init("--yes", "--run-help").exit_code == 0
    assert (repository / "ran").exists()
    assert "--lr {lr}" in experiment(repository)


def test_a_module_is_no_program(repository: Path) -> None:
    """`trainer.py` that only defines gives way to the program two folders down that imports it; others are named."""
    (repository / "ours").mkdir()
    (repository / "ours/trainer.py").write_text("import os\n\nclass Trainer:\n    rate = 3e-4\n")
    for name in ("adder", "chars"):
        (repository / "projects" / name).mkdir(parents=True)
        (repository / f"projects/{name}/{name}.py").write_text(
            "from ours.trainer import Trainer\n\n"
            "if __name__ == '__main__':\n    print(f'train loss {Trainer.rate:.5f}')\n"
        )
    done = init("--yes")

    assert "python projects/adder/adder.py" in experiment(repository)
    assert "one of 2 programs; another by python -m hpc.init PROGRAM: projects/chars/chars.py" in done.stderr


@pytest.mark.parametrize("asked", [(), ("src/ours/train.py",)])
def test_a_part_of_a_package_is_started_as_a_module(repository: Path, asked: tuple[str, ...]) -> None:
    """As a script its first import would end it; found or named."""
    (repository / "src/ours").mkdir(parents=True)
    (repository / "src/ours/model.py").write_text("def f():\n    return 0.5\n")
    (repository / "src/ours/train.py").write_text("from .model import f\n\nprint({'val_loss': f()})\n")
    done = init("--yes", *asked)

    assert done.exit_code == 0, done.output
    assert "command: 'python -m ours.train'" in experiment(repository)


def test_what_a_program_imports_is_read_too(repository: Path) -> None:
    """Arguments and prints often stand in modules beside it: `main.py` with `options.py` and `engine.py`."""
    (repository / "lib").mkdir()
    (repository / "main.py").write_text(
        "from lib.engine import run\nfrom options import get_options\n\nif __name__ == '__main__':\n"
        "    run(get_options())\n"
    )
    (repository / "options.py").write_text(
        "import argparse\n\ndef get_options():\n    p = argparse.ArgumentParser()\n"
        "    p.add_argument('--lr', type=float, default=0.1)\n    p.add_argument('--seed', type=int, default=0)\n"
        "    return p.parse_args()\n"
    )
    (repository / "lib/engine.py").write_text("from .loop import run\n")
    (repository / "lib/loop.py").write_text("def run(o):\n    print(f'val_acc {o.lr}')\n")
    done = init("--yes")

    assert "python main.py --lr {lr} --seed {seed}" in experiment(repository)
    assert "primary: {name: val_acc, goal: max}" in experiment(repository)
    assert "compare metrics.source" not in done.output


def test_hydras_configuration_is_read(repository: Path) -> None:
    """Dotted values of conf/config.yaml become arguments."""
    put(repository, "like_hydra")
    shutil.copytree(PROGRAMS / "conf", repository / "conf")
    init("--yes")

    assert "python train.py optimizer.lr={lr} seed={seed}" in experiment(repository)
    assert "primary: {name: val_acc, goal: max}" in experiment(repository)


def test_what_only_a_person_knows_is_said(repository: Path) -> None:
    """A required argument is named, and so is a metric that nothing in the source prints."""
    put(repository, "like_run_clm", "examples/run_clm.py")
    done = init("--yes", "--metric", "bleu")

    assert "the program needs values for {dataset_name}: put them into program.command" in done.stderr
    assert "nothing in its source prints bleu" in done.stderr
    assert "primary: {name: bleu, goal: max}" in experiment(repository)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--yes",), "no training program was found"),
        (("--yes", "train.py"), "no file train.py"),
        (("--yes", "'"), "not a command line"),
        (("--yes", "--name", "a/b", "x"), "--name 'a/b'"),
        (("--yes", "."), ". is a folder; name a program in it"),
        (("--yes", "go.sh"), "no file go.sh"),
        (("--yes", "bin/go"), "no file bin/go"),
        (("--yes", "tests.ipynb"), "is a notebook, not a program"),
        (("--yes", "python a.ipynb"), "is a notebook, not a program"),
    ],
)
def test_bad_input_is_a_sentence(repository: Path, arguments: tuple[str, ...], said: str) -> None:
    """Exit 2, nothing written."""
    done = init(*arguments)

    assert done.exit_code == 2
    assert said in done.stderr
    assert tree(repository) == {}


@pytest.mark.parametrize(
    ("file", "start", "said"),
    [
        ("notes.md", None, "notes.md cannot be started: it is no Python file and not executable (chmod +x notes.md)"),
        ("go.sh", "bash go.sh", ""),
        ("a b.ipynb", None, "jupyter nbconvert --to script 'a b.ipynb'; then: python -m hpc.init 'a b.py'"),
    ],
)
def test_what_cannot_be_started_is_no_experiment(repository: Path, file: str, start: str | None, said: str) -> None:
    """A file that is no program is refused where it is named; a shell script gets its shell."""
    (repository / file).write_text("echo\n")

    done = init("--yes", file)

    assert (done.exit_code, said in done.stderr) == (0 if start else 2, True)
    assert ("command: " in experiment(repository)) if start else tree(repository).keys() == {file}
    assert start is None or start in experiment(repository)


def test_where_there_are_only_notebooks_the_way_from_them_is_said(repository: Path) -> None:
    """Nobody is left with "no program"."""
    (repository / "explore.ipynb").write_text("{}")

    assert "explore.ipynb is a notebook. Write it as one: jupyter nbconvert --to script" in init("--yes").stderr


def test_it_works_from_a_subfolder_and_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without git gets no .gitignore; a second call below it finds the first."""
    put(tmp_path, "like_mnist", "src/train.py")
    monkeypatch.chdir(tmp_path)
    assert init("--yes").exit_code == 0
    monkeypatch.chdir(tmp_path / "src")

    assert init("--yes").exit_code == 3
    assert ".gitignore" not in tree(tmp_path)
    assert "python src/train.py" in experiment(tmp_path)


def test_python_is_called_as_it_is_here(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is `python3` alone the command says so."""
    put(repository, "like_mnist")
    monkeypatch.setattr("hpc.newcomer.find.shutil.which", lambda name: None if name == "python" else f"/usr/bin/{name}")

    assert json.loads(init("--json", "--dry-run").stdout)["program"] == "python3 train.py"


def test_json_is_one_value(repository: Path) -> None:
    """What was found and what was written."""
    put(repository, "like_mnist")
    told = json.loads(init("--json", "--dry-run").stdout)

    assert (told["experiment"], told["program"], told["swept"]) == ("first_sweep", "python train.py", "lr")
    assert told["metric"] == {"name": "test_loss", "goal": "min", "guess": False}
    assert set(tree(repository)) == {"train.py"}


@pytest.mark.parametrize("name", ["experiment", "profile"])
def test_the_schemas_are_valid_and_accept_what_we_write(repository: Path, name: str) -> None:
    """Draft 7's own schema accepts them; ours accept the written experiment and the built-in profiles."""
    put(repository, "like_mnist")
    init("--yes")
    schema = json.loads((repository / f"manifests/schema/{name}.schema.json").read_text())
    files = [*BUILT_IN.glob("*.yaml")] if name == "profile" else [*repository.glob("manifests/experiments/*.yaml")]

    jsonschema.Draft7Validator.check_schema(schema)
    for file in files:
        jsonschema.Draft7Validator(schema).validate(load_yaml(file).data)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate({"nonsense": 1})


SWEEPABLE = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float, default=0.1)\n"
SWEEPABLE += "p.add_argument('--seed', type=int, default=1)\na = p.parse_args()\nprint(f'loss: {a.lr}')\n"
NAMES = (
    *("train $(x).py", "train ${HOME}.py", "train {x}.py", "train it's.py", 'train "it".py', "-train.py", "träin.py"),
    *("train\nit.py", "train;it.py", "train # it.py", "train\udcff.py", "train: it.py", "train\\it.py", "train&&it.py"),
)


@pytest.mark.parametrize("is_named", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_program_is_called_it_is_refused_or_can_be_planned(
    repository: Path, name: str, *, is_named: bool
) -> None:
    """Exit 2 in a sentence and nothing written; or an experiment that `hpc plan` takes. Nothing in between."""
    (repository / name).write_text(SWEEPABLE)
    before = sorted(str(path) for path in repository.rglob("*"))
    done = init("--yes", *([name] if is_named and not name.startswith("-") else []))
    if done.exit_code == 2:
        assert "rename the file" in done.stderr or "Rename what" in done.stderr
        assert sorted(str(path) for path in repository.rglob("*")) == before
        return
    assert done.exit_code == 0, done.output
    planned = CliRunner().invoke(hpc.plan.main, ["first_sweep", "--cluster", "local", "--dry-run"])
    assert planned.exit_code == 0, planned.output


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"manifests/experiments/old.yaml": "a: [1"}, "old.yaml:1: belongs to a '['"),
        ({"manifests/experiments": "a: [1"}, "manifests/experiments must be a folder; move it away: mv "),
        ({"manifests/schema": ""}, "manifests/schema must be a folder"),
        ({".gitignore/x": ""}, ".gitignore must be a file"),
    ],
)
def test_what_stands_in_the_way_is_said_before_anything_is_written(
    repository: Path, there: dict[str, str], said: str
) -> None:
    """A broken experiment, a file for a folder and a folder for a file: exit 2, and everything as it was."""
    (repository / "train.py").write_text(SWEEPABLE)
    for name, text in there.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)
    before = tree(repository)
    done = init("--yes")
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert tree(repository) == before


def test_what_is_written_into_a_file_decides_where_nothing_is_printed(repository: Path) -> None:
    """The experiment reads the file; its run has the number, through the whole road."""
    (repository / "train.py").write_text(
        "import argparse, json, os\n"
        "p = argparse.ArgumentParser()\n"
        "p.add_argument('--lr', type=float, default=0.1)\n"
        "p.add_argument('--out-dir', default='out')\n"
        "a = p.parse_args()\n"
        "with open(os.path.join(a.out_dir, 'results.json'), 'w') as f:\n"
        "    json.dump({'val': {'loss': a.lr}}, f)\n"
    )
    done = init("--yes")

    assert done.exit_code == 0, done.output
    assert "compare metrics.source" not in done.output
    metrics = "primary: {name: 'val/loss', goal: min}\n  source: {json_file: 'results.json'}\n"
    assert metrics in experiment(repository)
    project = LocalProject(repository)
    project.hpc("plan", "first_sweep", "--cluster", "local", "--set", "sweep.grid.lr=[0.1]")
    project.hpc("submit", "first_sweep")
    assert project.json("collect", "first_sweep")["outcomes"]["finished"] == 1
    assert project.json("status", "first_sweep")["values"]


@pytest.mark.parametrize(
    ("own", "written"), [("", "Makefile"), ("Makefile", "hpc.mk"), ("GNUmakefile", "hpc.mk"), ("makefile", "hpc.mk")]
)
def test_make_has_the_same_targets_in_any_repository(repository: Path, own: str, written: str) -> None:
    """`make manifests EXP=…` and `make report`; a Makefile of a person's stays, and is told what to include."""
    put(repository, "like_mnist")
    if own:
        (repository / own).write_text("all:\n\techo mine\n")

    done = init("--yes", "--makefile")

    assert done.exit_code == 0
    assert (f"add to {own}: include hpc.mk" in done.stdout) == bool(own)
    if own:
        assert (repository / own).read_text() == "all:\n\techo mine\n"
        (repository / own).write_text("include hpc.mk\n")
    for target, command in (
        ("manifests", "hpc plan one"), ("submit", "hpc submit one"), ("retry", "hpc collect one --retry-failed"),
        ("report", "hpc report one"),
    ):  # fmt: skip
        told = subprocess.run(["make", "-n", target, "EXP=one"], capture_output=True, text=True, check=True).stdout
        assert command in told
    assert written in tree(repository)
    assert init("--yes", "--makefile").exit_code == 3


@pytest.mark.parametrize(
    ("name", "interpreter"), [("fit.R", "Rscript"), ("fit.r", "Rscript"), ("fit.jl", "julia"), ("go.sh", "bash")]
)
def test_a_program_in_another_language_gets_its_interpreter(
    repository: Path, monkeypatch: pytest.MonkeyPatch, name: str, interpreter: str
) -> None:
    """Named alone it becomes a command that starts; that there is no such command here is said."""
    (repository / name).write_text("cat(1)\n")
    monkeypatch.setattr("hpc.init.shutil.which", lambda command: None if command == interpreter else "/usr/bin/it")
    done = init(name, "--yes")
    assert done.exit_code == 0, done.output
    assert f"command: '{interpreter} {name}'" in experiment(repository)
    assert f"there is no command {interpreter} on this machine" in done.output


def test_the_programs_there_are_in_other_languages_are_named(repository: Path) -> None:
    """The line that is advised can be pasted; asked at a terminal, the only one is offered."""
    (repository / "a b.R").write_text("cat('loss', 1)\n")
    done = init("--yes")
    assert done.exit_code == 2
    assert "of a b.R: python -m hpc.init 'a b.R'" in done.output
    assert init("'a b.R'").exit_code == 2  # quoted twice: no such file
    asked = init(answers="\n\n")
    assert asked.exit_code == 0, asked.output
    assert "Rscript 'a b.R'" in asked.output
