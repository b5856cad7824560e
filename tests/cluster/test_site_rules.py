"""Profiles of sites with other rules than the lab's own: a real Slurm takes their scripts and relays as written."""

import json
import time

import pytest

from tests.cluster.conftest import Project

EXPERIMENT = """
name: {name}
type: comparison
program: {{command: "sleep 1"}}
sweep: {{seeds: [1]}}
metrics: {{primary: {{name: loss}}, source: {{stdout: 'loss (?P<loss>\\S+)'}}}}
resources: {{cpus: 2, gpus: {gpus}, mem: 300MB, time: "0:02:00"}}
"""
BASE = 'scheduler: slurm\npartition: main\napptainer: ""\n'
RULES = {
    "per_cpu": (0, "memory: per_cpu\n", {"mem-per-cpu=150M"}),
    "no_mem": (0, "memory: none\ndirectives: {exclusive: , nice: 10}\n", {"exclusive", "nice=10"}),
    "per_gpu": (1, "memory: per_gpu\ngpu_option: gpus-per-node\n", {"mem-per-gpu=300M", "gpus-per-node=1"}),
    "per_task": (1, "gpu_option: gpus-per-task\n", {"gpus-per-task=1"}),
    "by_partition": (1, "gpu_option: none\n", set()),
    "odd_values": (0, 'directives: {mail-user: "x/y!#z@a.b", mail-type: FAIL}\n', {'mail-user="x/y!#z@a.b"'}),
}


@pytest.mark.cluster
def test_slurm_takes_the_scripts_of_every_kind_of_site(project: Project) -> None:
    """`plan` lets Slurm judge each script with --test-only: it objects to none, and each asks as the profile says."""
    for name, (gpus, rules, expected) in RULES.items():
        (project.folder / f"manifests/clusters/{name}.yaml").write_text(BASE + rules)
        project.write_experiment(name, EXPERIMENT.format(name=name, gpus=gpus))
        plan = project.json("plan", name, "--cluster", name, expect=0)
        assert plan["objections"] == [], name
        script = (project.runs / name / "submissions/001/array.sbatch").read_text()
        assert expected <= {line.removeprefix("#SBATCH --") for line in script.splitlines()}, name
        assert ("--mem=" in script) == (name in ("per_task", "by_partition", "odd_values")), name


@pytest.mark.cluster
def test_an_odd_value_arrives_whole_and_relays_ask_as_the_site_wants(project: Project) -> None:
    """A '#' does not cut a value off, and where --mem is refused the relay of --follow does not write it."""
    rules = RULES["odd_values"][1] + "memory: none\nfollow: {directives: {nice: 5}}\n"
    (project.folder / "manifests/clusters/odd.yaml").write_text(BASE + rules)
    project.write_experiment("odd", EXPERIMENT.format(name="odd", gpus=0))
    project.hpc("plan", "odd", "--cluster", "odd")
    project.hpc("submit", "odd", "--follow")
    script = next((project.runs / "odd/follow").glob("*/follow.sbatch")).read_text()
    assert "--mem" not in script
    assert "#SBATCH --nice=5" in script
    assert "mail-user" not in script
    job = json.loads((project.runs / "odd/submissions/001/receipt.json").read_text())["job"]
    assert "MailUser=x/y!#z@a.b" in project.lab.run(["scontrol", "show", "job", job])


BOUNDED = """
name: bounded
type: comparison
program: {command: "sleep {x}"}
sweep: {grid: {x: [3, 4, 5]}, seeds: [1]}
metrics: {primary: {name: loss}, source: {stdout: 'loss (?P<loss>\\S+)'}}
resources: {cpus: 1, gpus: 1, mem: 100MB, time: "0:02:00"}
"""


@pytest.mark.cluster
def test_an_experiment_uses_no_more_gpus_at_once_than_the_site_lets_it(project: Project) -> None:
    """Two arrays (a sixth task fits into no third) and eight idle GPUs: two are in use at a time, and all tasks run."""
    (project.folder / "manifests/clusters/two.yaml").write_text(BASE + "max_gpus: 2\nmax_array_size: 2\n")
    project.write_experiment("bounded", BOUNDED)
    said = project.hpc("plan", "bounded", "--cluster", "two")
    assert "array 1: 2 at once; array 2: 2 at once, when the previous ones are over" in said
    assert "sbatch manifests" not in said
    jobs = list(project.json("submit", "bounded", expect=0)["jobs"].values())
    project.write_experiment("bounded", BOUNDED.replace("[3, 4, 5]", "[3, 4, 5, 6]"))
    project.hpc("plan", "bounded", "--cluster", "two")
    jobs += project.json("submit", "bounded", expect=0)["jobs"].values()
    assert len(jobs) == 3  # the last one beside the second, which leaves a GPU
    most, end = 0, time.monotonic() + 120
    while rows := project.lab.run(["squeue", "-h", "--array", "--name=bounded", "--format=%T"]).split():
        most = max(most, sum(state in ("RUNNING", "COMPLETING") for state in rows))
        assert time.monotonic() < end, rows
        time.sleep(0.3)
    assert most == 2
    receipts = [project.runs / f"bounded/submissions/{number:03d}/receipt.json" for number in (1, 2, 3)]
    told = [json.loads(each.read_text()) for each in receipts]
    assert [each["dependency"] for each in told] == ["", f"afterany:{jobs[0]}", f"afterany:{jobs[0]}"]
    assert [each["at_once"] for each in told] == [2, 2, 1]
    assert project.json("status", "bounded")["outcomes"]["running"] == 0


TEMPLATE = """{% extends "array.sbatch.j2" %}
{% block environment %}{{ super() }}
export FROM_SITE=yes{% endblock %}
"""


@pytest.mark.cluster
def test_the_relay_runs_by_the_sites_template(project: Project) -> None:
    """What the site's template sets is there when the relay looks, which plays its round all the same."""
    (project.folder / "manifests/clusters/own.sbatch.j2").write_text(TEMPLATE)
    rules = "template: manifests/clusters/own.sbatch.j2\nsetup: ['false', 'export LINE=two']\n"
    (project.folder / "manifests/clusters/own.yaml").write_text(BASE + rules + "follow: {every: '0:00:03'}\n")
    project.write_experiment("own", EXPERIMENT.format(name="own", gpus=0).replace("sleep 1", "echo loss 1"))
    project.hpc("plan", "own", "--cluster", "own")
    project.hpc("submit", "own", "--follow")
    ledger = project.runs / "own/follow.jsonl"
    project.lab.wait_until(lambda: '"event": "ended"' in ledger.read_text(), 120, "the end")
    scripts = [path.read_text() for path in (project.runs / "own/follow").glob("*/follow.sbatch")]
    assert all("export FROM_SITE=yes" in each for each in scripts)
    logs = "".join(path.read_text() for path in (project.runs / "own/follow").glob("*_log.out"))
    assert "hpc: setup failed with 1 at: false" in logs


@pytest.mark.cluster
def test_of_several_partitions_those_that_fit_are_asked_for(project: Project) -> None:
    """One whose time limit is too short is left out, and said; Slurm starts the task in whichever is free first."""
    nodes = project.lab.run(["sinfo", "-h", "-N", "-p", "main", "-o", "%N"]).split()
    project.lab.run(["scontrol", "create", "PartitionName=quick", f"Nodes={nodes[0]}", "MaxTime=1", "State=UP"])
    try:
        (project.folder / "manifests/clusters/both.yaml").write_text(BASE.replace("main", "[quick, main]"))
        longer = EXPERIMENT.format(name="either", gpus=0)
        project.write_experiment("either", longer)
        said = project.hpc("plan", "either", "--cluster", "both")
        assert "array 1: partition main; not quick: its time limit is 00:01:00, 00:02:00 is asked for" in said
        project.write_experiment("either", longer.replace("0:02:00", "0:01:00"))
        said = project.hpc("plan", "either", "--cluster", "both")
        assert "array 1: partition quick or main, whichever starts it first" in said
        assert "Slurm's estimate: sbatch: Job " in said
        script = (project.runs / "either/submissions/002/array.sbatch").read_text()
        assert "#SBATCH --partition=quick,main\n" in script
        job = project.json("submit", "either", expect=0)["jobs"]["2"]
        project.lab.wait_idle(job_name="either")
        assert "JobState=COMPLETED" in project.lab.run(["scontrol", "show", "job", job])
    finally:
        project.lab.run(["scontrol", "delete", "PartitionName=quick"], check=False)
