"""Array scripts as they are: compared whole with files that people read, accepted by bash and shellcheck."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hpc.adapters.sbatch import render_sbatch
from hpc.core.arrays import ArrayPlan, Assignment
from hpc.core.errors import InputError
from hpc.core.layout import SubmissionLayout
from hpc.core.resources import ClusterProfile, Resources
from hpc.core.spec import Task

GOLDEN = Path(__file__).parents[1] / "golden"
SITE = GOLDEN / "site.sbatch.j2"

PROFILES = {
    "plain": ClusterProfile("lab"),
    "a100": ClusterProfile(
        "a100",
        partition="gpu",
        account="my-project",
        qos="normal",
        constraint="a100&nvlink",
        max_parallel=32,
        signal_lead_s=300,
        python="/usr/bin/python3.11",
        setup=("module load apptainer", "ulimit -c 0"),
        environment={"NCCL_SOCKET_IFNAME": "ib0", "LABEL": 'it\'s $HOME; `x` "q"'},
        directives={"mail-type": "FAIL", "exclude": "gpu013"},
    ),
    "short": ClusterProfile("short", signal_lead_s=300),
    "site_template": ClusterProfile("site", partition="main", template=str(SITE)),
}
RESOURCES = {
    "plain": Resources(),
    "a100": Resources(nodes=2, gpus=4, cpus=32, memory_mib=512 * 1024, time_s=2 * 86400),
    "short": Resources(memory_mib=1500, time_s=60),
    "site_template": Resources(gpus=1),
}
EXCLUDED = {"a100": ("gpu007", "gpu021")}


def make_plan(name: str, tasks: int = 12) -> ArrayPlan:
    assignments = tuple(
        Assignment(Task(f"{number:012x}", f"R{number}", {}, 42), 1, RESOURCES[name]) for number in range(tasks)
    )
    return ArrayPlan(RESOURCES[name], assignments, EXCLUDED.get(name, ()))


def render(name: str, profile: ClusterProfile | None = None, **changed: object) -> str:
    arguments = {
        "experiment": "lora_sweep",
        "comment": "0123456789abcdef/003",
        "code": Path("/scratch/runs/lora_sweep/code/fedcba9876543210"),
        "python": (profile or PROFILES[name]).python or "/opt/venv/bin/python",
        **changed,
    }
    submission = SubmissionLayout(Path("/scratch/runs/lora_sweep/submissions/003"))
    return render_sbatch(make_plan(name), profile or PROFILES[name], submission, **arguments)


@pytest.mark.parametrize("name", PROFILES)
def test_scripts_are_the_golden_ones(name):
    """Each profile gives exactly the script in tests/golden; a missing file is a failure, not an invitation."""
    assert render(name) == (GOLDEN / f"{name}.sbatch").read_text()


@pytest.mark.parametrize("name", PROFILES)
def test_bash_and_shellcheck_accept_them(name, tmp_path):
    """`bash -n` reads every script, and shellcheck has nothing to say.

    SC2016 asks whether a dollar in single quotes is meant: in the hostile value of one profile it is.
    """
    script = tmp_path / "array.sbatch"
    script.write_text(render(name))
    subprocess.run(["bash", "-n", str(script)], check=True)
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", "--exclude=SC2016", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_values_reach_the_environment_unread(tmp_path):
    """bash exports quotes, dollars and backticks of a profile's environment as they are written."""
    script = tmp_path / "array.sbatch"
    text = render("a100").replace("module load apptainer\n", "")
    script.write_text(text[: text.index("# `exec`")] + 'printf %s "$LABEL"\n')
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == 'it\'s $HOME; `x` "q"'


@pytest.mark.parametrize("bad", ["a b", "a'b", 'a"b', "a\nb", "a\\b", "a#b", "a%jb", "$(touch x)", "`x`", ""])
def test_what_a_directive_cannot_hold_is_refused(bad):
    """An #SBATCH line knows no quoting, so a value that would need any is an error that names it."""
    with pytest.raises(InputError, match="cannot stand in an #SBATCH line"):
        render("plain", comment=bad)


def test_a_colon_in_the_code_path_is_refused():
    """Python would split it in two."""
    with pytest.raises(InputError, match="HPC_ROOT"):
        render("plain", code=Path("/scratch/a:b/code"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{% extends "array.sbatch.j2" %}{% block body %}{{ pyhton | shell }}{% endblock %}', "'pyhton' is undefined"),
        ('{% extends "array.sbatch.j2" %}{% block body %}{{ python | shel }}{% endblock %}', "shel"),
        ('{% extends "array.sbatch" %}', "array.sbatch"),
        ('{% extends "array.sbatch.j2" %}{% block enviroment %}x{% endblock %}', "did you mean 'environment'?"),
        ("{% block body %}", "endblock"),
    ],
)
def test_a_misspelt_site_template_is_an_error_that_names_it(tmp_path, text, said):
    """A variable, filter, parent or block that does not exist never renders as nothing."""
    template = tmp_path / "site.sbatch.j2"
    template.write_text(text)
    with pytest.raises(InputError) as caught:
        render("plain", replace(PROFILES["plain"], template=str(template)))
    assert said in str(caught.value)
    assert str(template) in str(caught.value)


def test_a_missing_site_template_is_an_error_that_names_it(tmp_path):
    """A template that is not there is not replaced by ours."""
    with pytest.raises(InputError, match=r"gone\.j2"):
        render("plain", replace(PROFILES["plain"], template=str(tmp_path / "gone.j2")))
