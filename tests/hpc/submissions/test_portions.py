"""Feeding: what the site takes now is submitted, the rest waits for the same command; nothing is lost or doubled."""

import itertools
import json
import os
from pathlib import Path

import pytest

from hpc.adapters.manifest_store import load_manifest, task_from_json
from hpc.core.layout import RunLayout
from hpc.core.slurm.arrays import first_assignment
from hpc.experiments.freezing import frozen_of
from hpc.submissions import portions
from tests.fake_slurm import SlurmProject, make_slurm_project
from tests.local_projects import EXPERIMENT, make_project

TEN = EXPERIMENT.replace("[1, 2]", "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]")
ASSOCIATION = r"""case "$*" in
*withassoc*) echo "lab|fake|lab|||$MOST|";;
*assoc*account=lab*) printf 'me|\n|\n';;
*qos*) printf 'normal|||\nlong|2||\n';;
esac"""
CONFIG = """case "$*" in
*config*) printf 'ClusterName = fake\\nMaxArraySize = %s\\nMaxJobCount = 10000\\n' "${SIZE:-1001}";;
*partition*) echo 'PartitionName=gpu Default=YES QoS=N/A';;
esac"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlurmProject:
    """Ten tasks before a Slurm with accounting: sbatch takes what it is given, as jobs 100, 101, …"""
    made = make_slurm_project(tmp_path / "project", monkeypatch, TEN)
    made.client("sacctmgr", ASSOCIATION)
    made.client("scontrol", CONFIG)
    made.client("sbatch", f"echo $((99 + $(grep -vc test-only {made.folder}/sbatch.calls)))")
    (made.folder / "sbatch.calls").unlink(missing_ok=True)
    return made


def load(project: SlurmProject, mine: int, qos: str = "normal") -> None:
    """Let squeue show so many of my jobs when asked for the load, and this experiment's nowhere."""
    line = f"$(id -un)|lab|{qos}|gpu"
    project.client("squeue", f'case "$*" in *%u*) for i in $(seq {mine}); do echo "{line}"; done;; esac')


def sizes(project: SlurmProject) -> dict[str, int]:
    """Job of each submission that has a receipt → its elements."""
    found = {}
    for folder in sorted((project.runs / "tiny/submissions").glob("[0-9]*")):
        receipt = folder / "receipt.json"
        if receipt.exists():
            found[json.loads(receipt.read_text())["job"]] = len(
                json.loads((folder / "index.json").read_text())["entries"]
            )
    return found


def runs_of(project: SlurmProject) -> list[str]:
    """Every element of every submission with a receipt."""
    return sorted(
        entry["run_name"]
        for folder in (project.runs / "tiny/submissions").glob("[0-9]*")
        if (folder / "receipt.json").exists()
        for entry in json.loads((folder / "index.json").read_text())["entries"]
    )


def test_what_fits_is_submitted_and_the_rest_by_the_same_command(project):
    """MaxSubmitJobs 12, 8 in the queue: four of ten go; with an empty queue the other six, each task once."""
    load(project, 8)
    answer = project.json("submit", "tiny", MOST="12")
    assert (answer["tasks"], answer["waiting"]) == (4, 6)
    assert answer["limit"] == "your MaxSubmitJobs of account lab is 12, 8 in the queue"
    assert sizes(project) == {"100": 4}

    load(project, 4)
    told = project.hpc("submit", "tiny", MOST="12")
    assert sizes(project) == {"100": 4, "101": 6}
    assert "submitted (" not in told
    assert runs_of(project) == sorted(f"X{x}" for x in range(1, 11))


@pytest.mark.parametrize(("asked", "bound", "told"), [("3", 0, "0-9%3"), ("9", 4, "0-9%4"), (None, 4, "")])
def test_fewer_at_once_can_be_asked_for(project, asked, bound, told):
    """`--max-parallel` goes to sbatch beside the script, never above the profile's; without it the script rules."""
    with (project.folder / "manifests/clusters/slurm.yaml").open("a") as profile:
        profile.write(f"max_parallel: {bound}\n")
    project.hpc("plan", "tiny")
    project.hpc("submit", "tiny", *(("--max-parallel", asked) if asked else ()))
    (call,) = project.calls("sbatch")
    assert [word for word in call.split() if "--array" in word] == ([f"--array={told}"] if told else [])


def test_a_full_queue_is_no_error_that_loses_anything(project):
    """No room: exit 75, a sentence with the limit, sbatch not called; the next call goes on."""
    load(project, 12)
    told = project.hpc("submit", "tiny", MOST="12", expect=75)
    assert "0 of 10 submitted (your MaxSubmitJobs of account lab is 12, 12 in the queue)" in told
    assert "submit --follow" in told
    assert project.calls("sbatch") == []
    load(project, 2)
    assert project.json("submit", "tiny", MOST="12")["tasks"] == 10
    assert len(list((project.runs / "tiny/submissions").glob("[0-9]*"))) == 1  # the array that was planned, as it is


def test_a_refusal_that_nobody_foresaw_halves_the_array(project):
    """sacctmgr says nothing, sbatch takes four elements at most: halves of what is left, then the rest another time."""
    load(project, 0)
    project.client("sacctmgr", "exit 1")
    project.client(
        "sbatch",
        'case "$*" in *test-only*) exit 0;; esac\n'
        'last=$(sed -n "s/^#SBATCH --array=0-//p" "$2")\n'
        '[ "$last" -lt 4 ] || { echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2; exit 1; }\n'
        f"echo $((99 + $(grep -vc test-only {project.folder}/sbatch.calls)))",
    )
    answer = project.json("submit", "tiny")
    assert (answer["tasks"], answer["waiting"]) == (2, 8)
    assert "QOSMaxSubmitJobPerUserLimit" in answer["limit"]
    assert project.json("submit", "tiny")["tasks"] == 4
    assert project.json("submit", "tiny")["tasks"] == 4
    assert runs_of(project) == sorted(f"X{x}" for x in range(1, 11))
    used = {path.parent for path in (project.runs / "tiny/submissions").glob("*/intent.json")}
    assert used == {path.parent for path in (project.runs / "tiny/submissions").glob("*/receipt.json")}


def test_refused_down_to_one_element_waits(project):
    """sbatch takes nothing: 75, no intent is left, and the same command submits once there is room."""
    load(project, 0)
    project.client("sbatch", "echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2; exit 1")
    assert "0 of 10 submitted" in project.hpc("submit", "tiny", expect=75)
    assert not list((project.runs / "tiny/submissions").glob("*/intent.json"))
    project.client("sbatch", "echo 7")
    assert project.json("submit", "tiny")["tasks"] == 10


def test_an_array_is_never_larger_than_slurm_allows(project):
    """MaxArraySize 4 where the profile believes 1000: three arrays."""
    load(project, 0)
    project.hpc("submit", "tiny", SIZE="4")
    assert sizes(project) == {"100": 4, "101": 4, "102": 2}


def test_the_profile_says_which_qos_and_may_ask_for_less(project):
    """`qos: long`: its MaxSubmitJobsPerUser holds, over the jobs in it; `max_submit: 1`: never more of mine."""
    site = project.folder / "manifests/clusters/slurm.yaml"
    site.write_text(site.read_text() + "qos: long\n")
    project.hpc("plan", "tiny", "--cluster", "slurm")
    load(project, 1, qos="long")
    answer = project.json("submit", "tiny")
    assert (answer["tasks"], answer["limit"]) == (1, "MaxSubmitJobsPerUser of QOS long is 2, 1 in the queue")
    site.write_text(site.read_text() + "max_submit: 1\n")
    project.hpc("plan", "tiny", "--cluster", "slurm")
    assert "max_submit of the cluster profile is 1, 1 in" in project.hpc("submit", "tiny", expect=75)


def test_an_intent_that_is_refused_now_waits_like_the_others(project):
    """A submit that died before sbatch, and no room since: 75 instead of Slurm's error, then submitted once."""
    load(project, 0)
    project.client("sbatch", 'kill -9 "$PPID"')
    assert project.call("-m", "hpc.submit", "tiny").returncode == -9
    (intent,) = (project.runs / "tiny/submissions").glob("*/intent.json")
    intent.write_text(intent.read_text().replace('"time": ', '"time": 0, "was": '))  # long ago: nothing to wait for
    project.client("sbatch", "echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2; exit 1")
    project.hpc("submit", "tiny", expect=75)
    project.client("sbatch", "echo 7")
    assert project.json("submit", "tiny")["tasks"] == 10
    assert sizes(project) == {"7": 10}


def test_full_arrays_and_one_question_whatever_their_number(project, monkeypatch):
    """Ten tasks where an array may have three: four arrays, the configuration asked for once, each index read once."""
    monkeypatch.setenv("SIZE", "3")
    load(project, 0)
    (project.folder / "scontrol.calls").unlink(missing_ok=True)
    project.hpc("submit", "tiny")
    assert sorted(sizes(project).values()) == [1, 3, 3, 3]
    assert project.calls("scontrol").count("show config") == 1


def test_what_an_array_costs_does_not_grow_with_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Preparing and submitting four times as many arrays asks for four times as many files, not sixteen."""
    counts = [_opened(tmp_path / str(arrays), arrays, monkeypatch) for arrays in (10, 40)]
    assert counts[1] < 4.5 * counts[0]


def _opened(folder: Path, arrays: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many files were asked about while so many arrays of two tasks were fed to a Slurm that takes all."""
    values = ", ".join(map(str, range(1, 2 * arrays + 1)))
    project = make_project(folder, EXPERIMENT.replace("[1, 2]", f"[{values}]"))
    (folder / "manifests/clusters/slurm.yaml").write_text("scheduler: slurm\nmax_array_size: 2\n")
    project.hpc("plan", "tiny", "--cluster", "slurm")
    layout = RunLayout(project.runs, "tiny")
    frozen = frozen_of(load_manifest(layout))
    assignments = [first_assignment(frozen.spec, task_from_json(each)) for each in frozen.manifest["tasks"]]
    calls = itertools.count()
    true_stat, true_open = Path.stat, os.open
    with monkeypatch.context() as patch:
        patch.setattr(portions, "room_for", lambda profile: portions.Room(None, profile.max_array_size, "c"))
        patch.setattr(portions.slurm, "submit_script", lambda *_, **__: "7")
        patch.setattr(Path, "stat", lambda *args, **more: (next(calls), true_stat(*args, **more))[1])
        patch.setattr(os, "open", lambda *args, **more: (next(calls), true_open(*args, **more))[1])
        fed = portions.feed(layout, frozen, assignments)
    assert (len(fed.jobs), fed.submitted) == (arrays, 2 * arrays)
    return next(calls)
