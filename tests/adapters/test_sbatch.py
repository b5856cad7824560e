"""Array scripts as they are: compared whole with files that people read, accepted by bash and shellcheck."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hpc.adapters.sbatch import render_relay, render_sbatch
from hpc.core.errors import InputError
from hpc.core.experiment.spec import Task
from hpc.core.layout import SubmissionLayout
from hpc.core.profile import ClusterProfile, Following
from hpc.core.resources import Resources
from hpc.core.slurm.arrays import ArrayPlan, Assignment

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
        environment={"NCCL_SOCKET_IFNAME": "ib0", "LABEL": 'it\'s $$HOME; `x` "q"', "CACHE": "$SCRATCH/x"},
        directives={"mail-type": "FAIL", "exclude": "gpu013"},
    ),
    "short": ClusterProfile("short", signal_lead_s=300),
    "site_template": ClusterProfile("site", partition="main", template=str(SITE)),
    "per_cpu_memory": ClusterProfile("a", memory="per_cpu", directives={"hint": "nomultithread"}),
    "per_gpu_memory": ClusterProfile("b", memory="per_gpu", gpu_option="gpus-per-node", gpu_type="h100"),
    "typed_gpus": ClusterProfile("c", gpu_type="a100_3g.20gb", gres=("lscratch:100", "nvme:1")),
    "whole_nodes": ClusterProfile("d", memory="none", gpu_option="none", directives={"exclusive": "", "nice": "10"}),
    "bounded_gpus": ClusterProfile("f", max_gpus=10, max_parallel=32),
    "gpus_per_task": ClusterProfile("e", gpu_option="gpus-per-task", directives={"reservation": "maint #7, c/d!"}),
}
RESOURCES = {
    "plain": Resources(),
    "a100": Resources(nodes=2, gpus=4, cpus=32, memory_mib=512 * 1024, time_s=2 * 86400),
    "short": Resources(memory_mib=1500, time_s=60),
    "site_template": Resources(gpus=1),
    "per_cpu_memory": Resources(cpus=6, memory_mib=10000),
    "per_gpu_memory": Resources(gpus=4, cpus=32, memory_mib=100 * 1024 + 1),
    "typed_gpus": Resources(gpus=2),
    "whole_nodes": Resources(gpus=8, cpus=96),
    "bounded_gpus": Resources(gpus=4),
    "gpus_per_task": Resources(gpus=2, nodes=2),
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


RELAYS = {
    "a100": replace(PROFILES["a100"], gres=("lscratch:100",), follow=Following(partition="short", time_s=600)),
    "site_template": replace(PROFILES["site_template"], constraint="cpu"),
    "whole_nodes": replace(PROFILES["whole_nodes"], follow=Following(directives={"nice": "5"}, qos="quick")),
}


def relay(profile: ClusterProfile) -> str:
    logs = Path("/scratch/runs/lora_sweep/follow")
    command = "python -m hpc.follow lora_sweep || true"
    return render_relay(profile, job_name="follow:lora_sweep", comment="follow/1/001", logs=logs, command=command)


@pytest.mark.parametrize("name", RELAYS)
def test_relays_are_asked_for_and_written_as_the_site_wants_every_job(name):
    """Each profile gives exactly the relay in tests/golden, the site's own template included; bash reads it."""
    text = relay(RELAYS[name])
    assert text == (GOLDEN / f"relay_{name}.sbatch").read_text()
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def test_a_template_that_knows_arrays_only_is_said(tmp_path):
    """A header with the array in it makes no relay; the message says what would."""
    template = tmp_path / "site.sbatch.j2"
    header = '{% extends "array.sbatch.j2" %}{% block header %}\n#SBATCH --array={{ array }}{% endblock %}'
    template.write_text(header)
    profile = replace(PROFILES["plain"], template=str(template))
    with pytest.raises(InputError, match=r"submit --follow.*'array' is undefined.*if not relay"):
        relay(profile)
    guarded = header.replace("\n#SBATCH --array={{ array }}", "{% if not relay %}{{ array }}{% endif %}")
    template.write_text(guarded)
    assert "hpc.follow" in relay(profile)


def test_a_setup_line_that_fails_is_said_and_ends_no_relay(tmp_path):
    """Who follows needs no module: a missing one would end the chain at night, and nobody would be told."""
    text = relay(ClusterProfile("s", setup=("false", "export FOUND=1"))).replace(
        "python -m hpc.follow lora_sweep || true", 'echo "followed $FOUND"'
    )
    done = subprocess.run(["bash"], input=text, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "followed 1\n"
    assert "setup failed with 1 at: false" in done.stderr


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
    with pytest.raises(InputError, match="cannot be written in an #SBATCH line"):
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


@pytest.mark.parametrize("bad", ["a b", "a'b", 'a"b', "a\\b", "a#b", "a%jb", "$(touch x)", "`x`"])
def test_this_machines_own_queue_takes_any_path(bad, tmp_path):
    """Nobody reads its #SBATCH lines: they are comments, unless a path has several lines."""
    local = replace(PROFILES["plain"], scheduler="local")
    text = render("plain", local, comment=bad)
    assert f"#SBATCH --comment={bad}\n" in text
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    with pytest.raises(InputError, match="is not one line"):
        render("plain", local, comment=f"{bad}\nrm")
