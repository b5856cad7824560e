"""Hostile values through a real Slurm job: they arrive as they are, or are refused by name; nobody runs them."""

import json
import subprocess

import pytest

from tests.cluster.conftest import Project
from tests.cluster.test_crashes import call

VALUES = [
    "$(touch x)", "`touch x`", "a'; touch x; echo '", 'a"; touch x; "', "a b\\", "../../x", "--help", "-rf",
    "käse ☃ 日本",     "%A_%a", "{seed}", "${HOME}", "a|b&c>x", "#SBATCH --time=1", "~root", "*", "",
]  # fmt: skip

PROGRAM = """
import json, os, sys
from pathlib import Path
Path(os.environ["HPC_ATTEMPT_DIR"], "seen.json").write_text(json.dumps([sys.argv[1:], os.environ["LABEL"]]))
print("\\x1b[31mloss:\\x1b[0m 1.5\\nloss: <script>alert(1)</script>\\n" + "x" * 200000, flush=True)
os.write(1, b"\\xff\\xfe\\x00 loss: many? \\r\\n")
"""


def experiment(name: str, container: str) -> str:
    """An experiment whose one swept parameter takes every hostile value, by cases with harmless ids."""
    cases = [{"id": f"v{number}", "text": value} for number, value in enumerate(VALUES) if value]
    return json.dumps(
        {
            "name": name,
            "type": "comparison",
            "program": {"command": "python3 program.py --text {text} and {text} --seed {seed}"},
            "sweep": {"cases": cases, "seeds": [1]},
            "metrics": {"primary": {"name": "loss"}, "source": {"stdout": r"loss:\s*(?P<loss>\S+)"}},
            "run_name": "{id}",
            "resources": {"mem": "200MB", "time": "0:05:00"},
            "environment": {"LABEL": 'a\'; $$(touch x) "b"'},
            "container": {"image": "minimal"} if container else {},
        }
    )


@pytest.mark.cluster
@pytest.mark.parametrize("container", ["", "image"])
def test_hostile_values_arrive_unchanged_and_do_nothing(project: Project, container: str) -> None:
    """Quotes, substitutions, options, other alphabets, our own placeholders: argv holds exactly what was written."""
    name = f"values{container}"
    (project.folder / "program.py").write_text(PROGRAM)
    project.write_experiment(name, experiment(name, container))
    secret = "-".join(("wandb", "5e1f7a"))
    project.hpc("plan", name, WANDB_API_KEY=secret)
    project.hpc("submit", name, WANDB_API_KEY=secret)
    project.lab.wait_idle(90, name)
    answer = project.json("collect", name, expect=0)
    assert answer["outcomes"]["finished"] == len(VALUES) - 1
    for number, value in enumerate(VALUES):
        if value:
            attempt = project.runs / name / f"tasks/v{number}/attempt-1"
            seen, label = json.loads((attempt / "seen.json").read_text())
            assert seen == ["--text", value, "and", value, "--seed", "1"]
            assert label == 'a\'; $(touch x) "b"'
    assert not list(project.folder.rglob("x"))
    assert {task["summary"]["loss"] for task in project.verdicts(name).values()} == {1.5}
    found = subprocess.run(["grep", "-rlF", secret, str(project.folder)], capture_output=True, text=True, check=False)
    assert found.stdout == ""


@pytest.mark.cluster
def test_commas_in_names_and_settings_of_the_user_change_nothing(project: Project) -> None:
    """`a,b` is two names to squeue and two binds to Apptainer, and SBATCH_ variables win, unless cared for."""
    (project.folder / "program.py").write_text("print('loss: 1')\n")
    document = json.loads(experiment("a,b=c@d+e", "image"))
    document["sweep"] = {"grid": {"text": ["u,v"]}, "seeds": [1]}
    document["run_name"] = "T{text},S{seed}"
    project.write_experiment("commas", json.dumps(document))
    name = "a,b=c@d+e"
    settings = {
        "SLURM_TIME_FORMAT": "relative", "SQUEUE_STATES": "FAILED", "SQUEUE_FORMAT": "%i", "SACCT_FORMAT": "JobID",
        "SBATCH_JOB_NAME": "mine", "SBATCH_ARRAY_INX": "0-3", "SBATCH_TIMELIMIT": "1",
    }  # fmt: skip
    project.hpc("plan", "commas")
    project.hpc("submit", name, **settings)
    assert project.hpc("submit", name, expect=3, **settings) == ""
    project.lab.wait_until(lambda: not project.lab.run(["squeue", "-h"]).strip(), 60, "an empty queue")
    project.hpc("collect", name, **settings)
    (task,) = project.verdicts(name).values()
    assert task["outcome"] == "finished"
    (attempt,) = task["attempts"]
    assert attempt["state"] == "COMPLETED"
    assert attempt["job"].endswith("_0")
    assert project.lab.run(["squeue", "-h", "--states=all", "-o", "%l", f"--jobs={attempt['job']}"]).strip() == "5:00"


@pytest.mark.cluster
@pytest.mark.parametrize(
    "name", ["a b", "a'b", 'a"b', "a$(touch x)b", "a:b", "a%jb", "a\nb", "käse", "a,b", "-n", "a#b"]
)
def test_hostile_run_folders_are_refused_or_harmless(project: Project, name: str) -> None:
    """HPC_ROOT with anything in its name: planning says what it cannot be, or the job runs in it as in any other."""
    (project.folder / "program.py").write_text("print('loss: 1')\n")
    document = json.loads(experiment("rooted", "image"))
    document["sweep"] = {"grid": {"text": ["v"]}, "seeds": [1]}
    document["run_name"] = "one"
    project.write_experiment("rooted", json.dumps(document))
    root = project.folder / name
    done = call(project, "-m", "hpc.plan", "rooted", HPC_ROOT=str(root))
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert done.returncode == 2, done.stderr
        assert "HPC_ROOT" in done.stderr
        assert not list(root.glob("rooted/submissions/*"))
    else:
        submitted = call(project, "-m", "hpc.submit", "rooted", HPC_ROOT=str(root))
        assert submitted.returncode == 0, submitted.stderr
        project.lab.wait_idle(60, "rooted")
        collected = call(project, "-m", "hpc.collect", "rooted", HPC_ROOT=str(root))
        assert collected.returncode == 0, collected.stdout + collected.stderr
    assert not list(project.folder.rglob("x"))
