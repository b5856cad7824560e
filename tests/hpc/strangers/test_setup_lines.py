"""Setup lines decide which `python` a program gets, and what its site's modules set is kept; ours never goes before."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpc.adapters.sbatch import render_sbatch
from hpc.core.layout import SubmissionLayout
from hpc.core.profile import ClusterProfile
from hpc.core.resources import Resources
from hpc.core.slurm.arrays import ArrayPlan
from tests.hpc.strangers.repository import Repository

SAYS = """#!/bin/sh
[ "$1" != -m ] || { echo "of $(basename "$(dirname "$(dirname "$0")")"), module"; echo loss=1; exit; }
echo "of $(basename "$(dirname "$(dirname "$0")")")"
echo loss=1
"""
CONDA = """
# As conda's: reads variables that nobody set, and ends with a test that is false.
conda() {
  [ "$1" = activate ] || return 1
  [ -d "$HERE/envs/$2" ] || { echo "EnvironmentLocationNotFound: Not a conda environment: $2" >&2; return 1; }
  if [ "$CONDA_PREFIX" = "$HERE/envs/$2" ]; then return; fi
  . "$HERE/activate.sh"
  export CONDA_PREFIX="$HERE/envs/$2" PATH="$HERE/envs/$2/bin:$PATH"
}
"""
ACTIVATE = 'echo "$CONDA_BACKUP_CXX" > /dev/null\n[ -n "$CONDA_BACKUP_CXX" ] && export CXX="$CONDA_BACKUP_CXX"\n:\n'
MODULES = """
module() {
  case "$2" in
    python) export PATH="$HERE/envs/module/bin:$PATH" PYTHONPATH="$HERE/site${PYTHONPATH:+:$PYTHONPATH}" ;;
    *) echo "Lmod has detected the following error: no module $2" >&2; return 1 ;;
  esac
}
"""


@pytest.fixture
def site(repository: Repository) -> Repository:
    """A site with a conda, modules, and interpreters that say whose they are."""
    for name in ("mine", "module", "other"):
        for program in ("python", "python3", "torchrun"):
            repository.write(f"envs/{name}/bin/{program}", SAYS)
            (repository.folder / f"envs/{name}/bin/{program}").chmod(0o755)
    repository.write("conda.sh", CONDA)
    repository.write("activate.sh", ACTIVATE)
    repository.write("modules.sh", MODULES)
    return repository


def lines(site: Repository, *setup: str) -> str:
    """Setup lines as YAML, behind those of a login shell."""
    start = [f"HERE={site.folder}", f". {site.folder}/conda.sh", f". {site.folder}/modules.sh"]
    return str([*start, *setup])


DECIDE = [
    (["conda activate mine"], "command: python t.py", "of mine"),
    (["conda activate mine"], "command: python3 t.py", "of mine"),
    (["conda activate mine"], "command: torchrun t.py", "of mine"),
    (["conda activate other", "conda activate mine"], "command: python t.py", "of mine"),
    (["module load python"], "command: python t.py", "of module"),
    (["module load python", "conda activate mine"], "command: python t.py", "of mine"),
    (["conda activate mine", "module load python"], "command: torchrun t.py", "of module"),
    (["export PATH=$HERE/envs/other/bin:$PATH"], "command: python t.py", "of other"),
    (["conda activate mine"], "module: whatever", "of mine, module"),
    (["conda activate mine || true", "set -x", "set +x"], "command: python t.py", "of mine"),
]


@pytest.mark.parametrize(("setup", "program", "said"), DECIDE)
def test_setup_lines_decide_which_interpreter_runs(site: Repository, setup: list[str], program: str, said: str) -> None:
    """Whatever they put in front stays in front, for launchers too; the wrapper runs by its own full path."""
    site.profile(setup=lines(site, *setup))
    site.experiment(program)
    site.plan()
    assert site.on_a_node() == 0
    assert site.printed()[0] == said


def test_an_environment_active_before_stays_where_it_is(site: Repository) -> None:
    """conda moves nothing when what is asked for is active already: its place in the caller's PATH is kept."""
    mine = site.folder / "envs/mine"
    site.profile(setup=lines(site, "conda activate mine"))
    site.experiment()
    site.plan()
    script = site.root / "theirs/submissions/001/array.sbatch"
    path = os.pathsep.join([f"{mine}/bin", os.environ["PATH"]])
    assert _bash(script, PATH=path, CONDA_PREFIX=str(mine)) == 0
    assert site.printed()[0] == "of mine"


def _bash(script: Path, **more: str) -> int:
    told = {**os.environ, "SLURM_ARRAY_TASK_ID": "0", **more}
    return subprocess.run(["bash", str(script)], env=told, capture_output=True, check=False).returncode


def test_without_setup_python_is_the_one_that_planned(site: Repository) -> None:
    """A virtual environment that was not activated when its `python -m hpc.plan` was typed is meant all the same."""
    site.write("t.py", "import sys; print(sys.prefix); print('loss=1')")
    site.experiment()
    site.plan()
    assert _bash(site.root / "theirs/submissions/001/array.sbatch", PATH="/usr/bin:/bin") == 0
    assert site.printed()[0] == sys.prefix


@pytest.mark.parametrize(
    ("active", "setup", "said"),
    [
        ({"VIRTUAL_ENV": "/opt/their env"}, "", "activate]' >> "),
        ({"CONDA_DEFAULT_ENV": "mine", "CONDA_PREFIX": "/opt/mine"}, "", "echo 'setup: [conda activate mine]' >> "),
        ({"CONDA_DEFAULT_ENV": "base", "CONDA_PREFIX": "/opt/conda"}, "", ""),
        ({"VIRTUAL_ENV": sys.prefix}, "", ""),
        ({"VIRTUAL_ENV": "/opt/theirs"}, "[module load x]", ""),
    ],
)
def test_an_active_environment_that_is_not_taken_is_said(
    site: Repository, active: dict[str, str], setup: str, said: str
) -> None:
    """Other packages give other numbers: `plan` names both, and the line that takes the other one."""
    for name in ("VIRTUAL_ENV", "CONDA_DEFAULT_ENV", "CONDA_PREFIX"):
        site.monkeypatch.delenv(name, raising=False)
    for name, value in active.items():
        site.monkeypatch.setenv(name, value)
    site.profile(**({"setup": setup} if setup else {}))
    site.experiment()
    told = " ".join(site.plan().split())
    assert ("`python` in tasks is" in told) == bool(said)
    assert said in told


@pytest.mark.parametrize(
    ("profile", "mark", "first"),
    [
        (ClusterProfile("s"), "", True),
        (ClusterProfile("s", setup=("module load x",)), "", False),
        (ClusterProfile("s", python="PYTHON"), "", False),
        (ClusterProfile("s"), "pipx_metadata.json", False),
        (ClusterProfile("s"), "uv-receipt.toml", False),
    ],
)
def test_whose_folder_goes_first_on_the_path(tmp_path: Path, profile: ClusterProfile, mark: str, first: bool) -> None:
    """Only the interpreter that planned, where nothing else decides; of a tool (pipx, uv) the caller's PATH does."""
    python = tmp_path / "env/bin/python"
    python.parent.mkdir(parents=True)
    if mark:
        (tmp_path / "env" / mark).write_text("")
    plan = ArrayPlan(Resources(), ())
    script = render_sbatch(
        plan,
        profile,
        SubmissionLayout(tmp_path / "001"),
        experiment="e",
        comment="c",
        code=tmp_path,
        python=str(python),
    )
    assert (f"export PATH={python.parent}:" in script) == first
    assert f"exec {python} -B -P -m hpc.run_task" in script


FAILS = [
    ("conda activate gone", "conda activate gone"),
    ("module load gone", "module load gone"),
    ("false", "false"),
    ("no-such-program --x", "no-such-program --x"),
    (". /no/such/file", ". /no/such/file"),
]


@pytest.mark.parametrize(("line", "said"), FAILS)
def test_a_setup_line_that_fails_ends_the_job_and_is_named(site: Repository, line: str, said: str) -> None:
    """Nothing runs in an environment that is not the one asked for."""
    site.profile(setup=lines(site, line))
    site.experiment()
    site.plan()
    script = site.root / "theirs/submissions/001/array.sbatch"
    told = {**os.environ, "SLURM_ARRAY_TASK_ID": "0"}
    done = subprocess.run(["bash", str(script)], env=told, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f" at: {said}\n" in done.stderr
    assert not site.attempt().exists()


SURVIVES = [
    '[ -n "$NOTHING" ] && echo x',
    "echo $NEVER_SET",
    "false || true",
    "f() { false; true; }; f",
    "false | true",
]


@pytest.mark.parametrize("line", SURVIVES)
def test_what_modules_and_conda_are_written_like_does_not_end_the_job(site: Repository, line: str) -> None:
    """Unset variables, tests that are false and failures inside a function are no failure of the line."""
    site.profile(setup=f"['{line}']")
    site.experiment()
    site.plan()
    assert site.on_a_node() == 0


@pytest.mark.parametrize("where", ["module", "caller", "profile", "experiment"])
def test_the_pythonpath_of_a_site_is_kept(site: Repository, where: str) -> None:
    """Behind the user's own code, and before nothing of ours that it could not shadow."""
    site.write("site/sitepkg.py", "x = 'site'")
    site.write("t.py", "import sitepkg, lib; print(sitepkg.x, lib.x); print('loss=1')")
    site.write("lib.py", "x = 'theirs'")
    site.write("site/lib.py", "x = 'site'")
    path = str(site.folder / "site")
    setup = lines(site, "module load python", f"export PATH={Path(sys.executable).parent}:$PATH")
    site.profile(
        **({"setup": setup} if where == "module" else {}),
        **({"environment": f"{{PYTHONPATH: {path}}}"} if where == "profile" else {}),
    )
    site.experiment(**({"environment": f"{{PYTHONPATH: {path}}}"} if where == "experiment" else {}))
    site.plan()
    assert site.on_a_node(**({"PYTHONPATH": path} if where == "caller" else {})) == 0
    assert site.printed()[0] == "site theirs"
