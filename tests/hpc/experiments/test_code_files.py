"""What is code, what is not copied and said, and which program the copy does not hold."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from hpc.adapters.code_snapshot import LinkTo, code_digest, freeze_code
from hpc.core.errors import InputError
from hpc.core.experiment.program import Program
from hpc.experiments.code_files import (
    CodeFiles,
    Reason,
    check_program,
    find_code,
    import_roots,
    notes_of,
    program_file,
    program_module,
)


def write(folder: Path, *names: str, size: int = 1) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x" * size)


def git(folder: Path, *words: str) -> None:
    options = ["-c", "user.email=a@b.c", "-c", "user.name=x", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", "-C", str(folder), *options, *words], check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "all")


NEVER = (
    "manifests/experiments/e.yaml", "manifests/rendered/e/array.sbatch", "README.md", "docs/notes.rst", "LICENSE",
    "runs/e/code/0123/t.py", "runs/e/manifest.json", ".gitignore", ".github/workflows/ci.yml",
)  # fmt: skip


@pytest.mark.parametrize("in_git", [True, False])
def test_runs_experiments_and_prose_are_no_code(tmp_path: Path, *, in_git: bool) -> None:
    """Whether git knows them or not; what a program may read by name stays, whatever it is called."""
    write(tmp_path, *NEVER, "t.py", "pkg/notes.py", "conf/model.yaml", "run", "vocab.bin")
    if in_git:
        commit(tmp_path)
    code = find_code(tmp_path, tmp_path / "runs")
    assert set(code.files) == {"t.py", "pkg/notes.py", "conf/model.yaml", "run", "vocab.bin"}
    assert notes_of(code) == ()


def test_outside_git_environments_caches_and_large_data_are_left_out(tmp_path: Path) -> None:
    """Large data is named, with what links it; environments and caches are not worth a word."""
    write(tmp_path, "a.py", ".venv/c.py", "__pycache__/e.py", ".hidden/f.py", "x.egg-info/PKG-INFO")
    write(tmp_path, "data/train.bin", "large.csv", size=1 << 20)
    code = find_code(tmp_path, tmp_path / "runs")
    assert set(code.files) == {"a.py", "large.csv"}
    (note,) = notes_of(code)
    assert "large and in no git repository: data/train.bin" in note
    assert "program: {inputs: [data/train.bin]}" in note
    assert notes_of(code, {"data": "data"}) == ()


INPUTS = (
    "t.py", "conf/copying.yaml", "authors.csv", "license_plates.csv", "notice.json", "prompts/system.md", "prompt.md",
    "manifests/train.json", "manifests/dev/list.json", "images/a.png", "env/cart.py", "build/__init__.py",
    ".config.yaml",
)  # fmt: skip
PROSE = (
    "LICENSE-MIT",
    "COPYING.LESSER",
    "LICENSE.txt",
    "pkg/README.md",
    "notes.md",
    "docs/guide.md",
    "Readme.rst",
    "manifests/schema/x.json",
)


@pytest.mark.parametrize("in_git", [True, False])
def test_what_a_program_reads_is_no_prose_and_no_litter(tmp_path: Path, *, in_git: bool) -> None:
    """By its place and what it holds, not because its name begins like that of a licence or an environment."""
    write(tmp_path, *INPUTS, *PROSE)
    (tmp_path / "t.py").write_text("open('prompt.md'); open('README.md')")
    if in_git:
        commit(tmp_path)
    code = find_code(tmp_path, tmp_path / "runs")
    assert set(code.files) == set(INPUTS)
    assert set(find_code(tmp_path, tmp_path / "runs", (), "--prompt notes.md").files) == {*INPUTS, "notes.md"}
    assert notes_of(code) == ()


@pytest.mark.parametrize("in_git", [True, False])
def test_what_nobody_asked_git_to_track_is_no_code_when_it_is_a_cache_or_large(tmp_path: Path, *, in_git: bool) -> None:
    """A repository whose .gitignore says nothing of environments, caches, trackers and checkpoints."""
    write(tmp_path, "t.py")
    if in_git:
        commit(tmp_path)
    write(tmp_path, ".venv/lib/a.py", "mine/pyvenv.cfg", "mine/lib/b.py", "conda/conda-meta/history", "conda/c.py")
    write(tmp_path, "__pycache__/t.pyc", "wandb/run-1/f", "lightning_logs/version_0/metrics.csv", "nohup.out")
    write(tmp_path, "build/lib/t.py", "images/train.sif", "by-digest/ab.sif", "new.py", "pkg/env/e.py")
    write(tmp_path, "model.pt", size=1 << 20)
    code = find_code(tmp_path, tmp_path / "runs")
    assert set(code.files) == {"t.py", "new.py", "pkg/env/e.py"}
    (note,) = notes_of(code)
    assert "program: {inputs: [model.pt]}" in note
    if in_git:
        commit(tmp_path)
        assert {"model.pt", "wandb/run-1/f"} <= set(find_code(tmp_path, tmp_path / "runs").files)


def test_bytecode_and_runs_that_git_tracks_are_no_code(tmp_path: Path) -> None:
    """A copy that held bytecode was never again taken for what was planned; runs below another root are no code."""
    write(tmp_path, "t.py", "pkg/__pycache__/m.pyc", "old/e/manifest.json", "old/e/submissions/001/index.json")
    write(tmp_path, "old/e/code/0123/t.py", "data/manifest.json", "runs/e/code/0123/ignored/x")
    (tmp_path / ".gitignore").write_text("ignored\n")
    commit(tmp_path)
    code = find_code(tmp_path, tmp_path / "runs")
    assert set(code.files) == {"t.py", "data/manifest.json"}
    assert notes_of(code) == ()
    copy = tmp_path / "copies" / code_digest(code.files)
    freeze_code(code.files, copy)
    freeze_code(code.files, copy)


@pytest.mark.parametrize("in_git", [True, False])
def test_large_data_that_is_linked_is_no_code(tmp_path: Path, *, in_git: bool) -> None:
    """Whoever tracks it: to name it in program.inputs is the way out when the code is too large to freeze."""
    write(tmp_path, "t.py", "data/loader.py")
    write(tmp_path, "data/table.csv", size=1 << 20)
    if in_git:
        commit(tmp_path)
    assert set(find_code(tmp_path, tmp_path / "runs").files) == {"t.py", "data/loader.py", "data/table.csv"}
    code = find_code(tmp_path, tmp_path / "runs", ["data/"])
    assert set(code.files) == {"t.py", "data/loader.py"}
    assert notes_of(code, {"data": "data/"}) == ()


def test_what_git_ignores_is_named_with_the_way_to_link_it(tmp_path: Path) -> None:
    """Folders as a whole; runs, caches and environments are not named."""
    write(
        tmp_path, "t.py", "data/a", "data/b", "ckpt/base.pt", "runs/e/x", ".venv/y", "z.pyc", "manifests/rendered/e/f",
          "manifests/experiments/e.yaml")  # fmt: skip
    (tmp_path / ".gitignore").write_text("data\n*.pt\nruns\n.venv\n*.pyc\nmanifests/rendered\n")
    commit(tmp_path)
    (note,) = notes_of(find_code(tmp_path, tmp_path / "runs"))
    assert "because git ignores them: ckpt/, data/." in note
    assert "program: {inputs: [ckpt, data]}" in note
    (tmp_path / ".gitignore").write_text("manifests\ndata\n")
    git(tmp_path, "rm", "-rq", "--cached", "manifests")
    assert "manifests" not in str(notes_of(find_code(tmp_path, tmp_path / "runs")))


def test_submodules_are_code_and_one_not_checked_out_is_named(tmp_path: Path) -> None:
    """Nested ones, too, and repositories that were only cloned into the project."""
    write(tmp_path / "inner", "i.py")
    commit(tmp_path / "inner")
    write(tmp_path / "outer", "o.py")
    commit(tmp_path / "outer")
    git(tmp_path / "outer", "submodule", "add", str(tmp_path / "inner"), "in")
    git(tmp_path / "outer", "commit", "-qm", "in")
    project = tmp_path / "project"
    write(project, "t.py", "cloned/c.py")
    git(project, "init", "-q")
    git(project, "submodule", "add", str(tmp_path / "outer"), "out")
    git(project, "submodule", "update", "--init", "--recursive")
    commit(project / "cloned")
    assert set(find_code(project, tmp_path / "runs").files) == {"t.py", "out/o.py", "out/in/i.py", "cloned/c.py"}

    git(project, "submodule", "deinit", "-f", "out")
    code = find_code(project, tmp_path / "runs")
    assert "git submodule update --init --recursive" in code.left_out[Reason.BROKEN]["out"]


@pytest.mark.parametrize("in_git", [True, False])
def test_links_stay_links(tmp_path: Path, *, in_git: bool) -> None:
    """Inside the project as written, outside by their absolute target; a dangling one is named, nothing is read."""
    project = tmp_path / "project"
    write(project, "t.py", "pkg/a.py")
    write(tmp_path, "elsewhere/x")
    links = {"same": "pkg/a.py", "up": "../elsewhere", "far": str(tmp_path / "elsewhere/x"), "endless": "/dev/zero"}
    for name, target in {**links, "gone": "nowhere", "loop": "loop"}.items():
        (project / name).symlink_to(target)
    if in_git:
        commit(project)
    code = find_code(project, tmp_path / "runs")
    outside = str(tmp_path / "elsewhere")
    expected = {"same": "pkg/a.py", "up": outside, "far": f"{outside}/x", "endless": "/dev/zero"}
    assert {name: code.files[name] for name in links} == {name: LinkTo(target) for name, target in expected.items()}
    assert set(code.left_out[Reason.BROKEN]) == {"gone", "loop"}

    freeze_code(code.files, tmp_path / "copies" / code_digest(code.files))
    assert os.readlink(tmp_path / "copies" / code_digest(code.files) / "up") == outside  # noqa: PTH115  as it is


def test_a_named_pipe_is_named_and_not_opened(tmp_path: Path) -> None:
    """Nobody writes into it: to open it would wait for ever."""
    write(tmp_path, "t.py")
    os.mkfifo(tmp_path / "pipe.txt")
    code = find_code(tmp_path, tmp_path / "runs")
    assert code.left_out[Reason.BROKEN] == {"pipe.txt": "a special file"}
    assert set(code.files) == {"t.py"}


def test_python_imports_from_the_copy_before_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``src``, and the folders of the project an editable install put on the path; no folder that is not copied."""
    monkeypatch.setattr("sys.path", ["", str(tmp_path), str(tmp_path / "lib/py"), str(tmp_path / "gone"), "/usr/lib"])
    assert import_roots(tmp_path, ["t.py", "src/pkg/a.py", "lib/py/b.py"]) == (".", "src", "lib/py")
    assert import_roots(tmp_path, ["src/__init__.py", "src/a.py"]) == (".",)
    assert import_roots(tmp_path, ["src/data.csv"]) == (".",)
    mapping = {"pkg": str(tmp_path / "source/pkg"), "other": str(tmp_path / "source/renamed"), "far": "/opt/far"}
    monkeypatch.setitem(sys.modules, "__editable___pkg_1_0_finder", SimpleNamespace(MAPPING=mapping))
    assert import_roots(tmp_path, ["t.py", "source/pkg/a.py"]) == (".", "source")


COMMANDS = {
    "python t.py --x 1": "t.py",
    "python -u t.py": "t.py",
    "/opt/env/bin/python3 pkg/t.py": "pkg/t.py",
    "torchrun --nproc_per_node 2 t.py --cfg c.py": "t.py",
    "accelerate launch --config_file a.yaml t.py": "t.py",
    "deepspeed t.py": "t.py",
    "bash run.sh": "run.sh",
    "./run.sh {lr}": "./run.sh",
    "bin/train": "bin/train",
    "python -m pkg.t": None,
    "python -c 'print(1)'": None,
    "python /abs/t.py": None,
    "python {script}": None,
    "bash -c 'python t.py'": None,
    "true": None,
    "python3.11 t.py": "t.py",
    "python -W ignore scripts/train --x y.py": "scripts/train",
    "env A=1 python t.py": "t.py",
    "nice -n 5 python t.py": "t.py",
    "uv run t.py": "t.py",
    "uv run --no-sync python t.py": "t.py",
    "srun -n 2 python t.py": "t.py",
    "bash -e run": "run",
    "Rscript --vanilla t.R": "t.R",
    "coverage run t.py": None,
    "mytool t.py": None,
    "torchrun -m pkg.t": None,
}
MODULES = {
    "python -m pkg.t": "pkg.t",
    "torchrun --nproc_per_node 2 -m pkg.t": "pkg.t",
    "python -m torch.distributed.run t.py": None,
    "python t.py -m pkg": None,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_program_file_is_found_in_the_command(command: str) -> None:
    """What cannot be told is not judged."""
    assert program_file(Program(command=command)) == COMMANDS[command]


@pytest.mark.parametrize("command", MODULES)
def test_the_module_is_found_in_the_command(command: str) -> None:
    """Also behind a launcher; what the program itself is told is none."""
    assert program_module(Program(command=command)) == MODULES[command]


CODE = CodeFiles(
    {name: Path(name) for name in ("t.py", "pkg/__init__.py", "pkg/t.py", "src/lib/m.py")}, roots=(".", "src")
)
OURS = CodeFiles({"train/control.py": Path("x"), "train/__init__.py": Path("x")})


@pytest.mark.parametrize("program", [
    Program(command="python t.py"), Program(command="python t.py", workdir="pkg"), Program(module="pkg.t"),
    Program(module="pkg"), Program(module="lib.m"), Program(module="train.control"), Program(module="installed.cli"),
    Program(command="python ../t.py", workdir="pkg"), Program(command="python data/t.py", inputs={"data": "data"}),
    Program(command="python -m pkg.t"), Program(command="python -m lib.m"), Program(command="python -m installed.cli"),
    Program(command="python pkg"),
])  # fmt: skip
def test_a_program_of_the_copy_is_planned(program: Program) -> None:
    """By its folder, as a module of theirs, of ours, or of a package that is installed."""
    check_program(program, CODE, OURS)


@pytest.mark.parametrize(("program", "says"), [
    (Program(command="python tt.py"), "there is no tt.py in the copy of the code; did you mean 't.py'?"),
    (Program(command="python t.py", workdir="lib"), "there is no folder lib"),
    (Program(command="python x.py", workdir="pkg"), "there is no pkg/x.py"),
    (Program(module="pkg.x"), "there is no pkg/x.py"),
    (Program(module="train.controll"), "there is no train/controll.py"),
    (Program(command="bash manifests/clusters/gen.sh"), "experiments, profiles and documentation are never copied"),
    (Program(command="python -m pkg.x"), "there is no pkg/x.py"),
    (Program(command="python3.12 tt.py"), "there is no tt.py"),
])  # fmt: skip
def test_a_program_that_the_copy_lacks_is_refused(program: Program, says: str) -> None:
    """With what is near, or why it is not there."""
    with pytest.raises(InputError, match="program") as raised:
        check_program(program, CODE, OURS)
    assert says in str(raised.value)


def test_a_part_of_a_package_is_no_script(tmp_path: Path) -> None:
    """Its first import would end each task; as a module, behind whatever launcher, it starts."""
    write(tmp_path, "src/pkg/m.py", "src/pkg/t.py")
    (tmp_path / "src/pkg/t.py").write_text("from .m import f\n")
    code = find_code(tmp_path, tmp_path / "runs")
    for start in ("python src/pkg/t.py", "torchrun --nproc_per_node 2 src/pkg/t.py", "python3 ./src/pkg/t.py"):
        with pytest.raises(InputError, match="write -m pkg"):
            check_program(Program(command=start), code, OURS)
    check_program(Program(command="python -m pkg.t"), code, OURS)


def test_why_a_program_is_missing_is_said(tmp_path: Path) -> None:
    """Ignored by git: the file is there, and nobody would understand why no task finds it."""
    write(tmp_path, "t.py", "local/t.py")
    (tmp_path / ".gitignore").write_text("local\n")
    commit(tmp_path)
    with pytest.raises(InputError, match="ignored by git"):
        check_program(Program(command="python local/t.py"), find_code(tmp_path, tmp_path / "runs"), OURS)


@pytest.mark.parametrize(
    "inputs",
    [
        {"data": "data"},
        {"data/a.bin": "data/a.bin"},
        {"data/sub/../a.bin": "data/a.bin"},
        {"a.bin": "./data/a.bin"},
        {"elsewhere": "data/"},
    ],
)
def test_what_is_linked_is_not_said_to_be_left_out(tmp_path: Path, inputs: dict[str, str]) -> None:
    """Whichever way the experiment names a file or its folder; what it says nothing of is still named."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for name in (".gitignore", "t.py", "data/a.bin", "other/b.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("data/\nother/\n" if name == ".gitignore" else "1")
    code = find_code(tmp_path, tmp_path / "runs")
    (note,) = notes_of(code)
    assert "git ignores them: data/, other/" in note
    (note,) = notes_of(code, inputs)
    assert "git ignores them: other/" in note
