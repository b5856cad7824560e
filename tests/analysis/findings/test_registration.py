"""A whole pre-registered experiment run on this machine, then tampered with: each change is refused or listed.

One experiment is run once: sealed, three seeds, a second look that adds two for the undecided configuration, a report.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from analysis.data.frame import load_frame
from analysis.findings.cautions import find_cautions
from analysis.findings.registration import Registration, Standing, read_registration, record_look
from hpc.adapters.manifest_store import manifest_sha, shas_before_looks
from hpc.core.errors import InputError
from hpc.core.identity import content_hash
from hpc.core.layout import RunLayout
from tests.local_projects import LocalProject, copy_project, make_project

PROGRAM = """
import sys
level = {"1": 1.0, "2": 1.05, "9": 3.0}[sys.argv[1]]
print(f"loss: {level + int(sys.argv[2]) % 7 / 10}")
"""
EXPERIMENT = """
name: tiny
type: comparison
brief:
  hypothesis: Nine is worse than one.
  criterion: "relative_change(x=9) >= 50% and adjusted_p < 0.05"
  stage: confirmatory
program: {command: "python3 program.py {x} {seed}"}
sweep: {grid: {x: [1, 2, 9]}, seeds: [1, 2, 3], further_seeds: [12, 13]}
baseline: {x: 1}
metrics:
  primary: {name: loss, goal: min, meaningful: 5%}
  source: {stdout: 'loss: (?P<loss>\\S+)'}
run_name: "X{x}_S{seed}"
resources: {cpus: 1, mem: 500MB, time: "0:10:00"}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """The experiment after its second look, collected."""
    project = make_project(tmp_path_factory.mktemp("sealed") / "project", EXPERIMENT, PROGRAM)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", "--max-parallel", "3")
    project.hpc("collect", "tiny")
    first = {path: path.read_bytes() for path in project.runs.glob("tiny/tasks/*/attempt-1/*.json")}
    told = project.json("plan", "tiny", "--second-look")
    (project.folder.parent / "told.json").write_text(json.dumps(told))
    project.hpc("submit", "tiny", "--max-parallel", "3")
    project.hpc("collect", "tiny")
    assert first == {path: path.read_bytes() for path in first}
    return project


@pytest.fixture
def layout(finished: LocalProject, tmp_path: Path) -> RunLayout:
    """A copy that may be tampered with."""
    shutil.copytree(finished.runs / "tiny", tmp_path / "runs/tiny", symlinks=True)
    return RunLayout(tmp_path / "runs", "tiny")


def registration(layout: RunLayout) -> Registration:
    return read_registration(load_frame(layout))


def kinds(layout: RunLayout) -> dict[str, tuple[str, ...]]:
    return {one.kind: one.runs for one in registration(layout).deviations}


def edit(path: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def edit_everywhere(layout: RunLayout, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change the tasks in manifest and verdicts, and make every hash right again: the careful forger."""

    def of_manifest(content: dict[str, Any]) -> None:
        change(content["tasks"])
        content["sha256"] = manifest_sha(content)

    edit(layout.manifest, of_manifest)
    sha = json.loads(layout.manifest.read_text())["sha256"]

    def of_verdicts(content: dict[str, Any]) -> None:
        change(content["tasks"])
        content["manifest_sha"] = sha
        content["sha256"] = content_hash({key: content[key] for key in content if key not in ("schema", "sha256")})

    edit(layout.verdicts, of_verdicts)
    names = [task["task_id"] for task in json.loads(layout.verdicts.read_text())["tasks"]]
    with h5py.File(layout.results, "r+") as file:
        old = [name.decode() for name in file["tasks/task_id"][:]]
        keep = [place for place, name in enumerate(old) if name in names]
        for group in (file["tasks"], file["summary"]):
            for key in list(group):
                values, attributes = group[key][:][keep], dict(group[key].attrs)
                del group[key]
                group[key] = values
                group[key].attrs.update(attributes)
        file.attrs["manifest_sha"] = sha
        file.attrs["verdicts_sha256"] = json.loads(layout.verdicts.read_text())["sha256"]


# The experiment as it was meant


def test_a_kept_promise_is_confirmatory_without_a_deviation(layout):
    """Sealed first, run as planned, seeds added as declared: confirmatory, and nothing to list."""
    found = registration(layout)

    assert (found.standing, found.deviations, found.problem, found.unchecked) == (Standing.CONFIRMATORY, (), "", 0)
    assert found.headline.startswith("Confirmatory: sealed ")
    assert [(look.kind, look.ended, look.planned) for look in found.looks] == [("follow_up", 9, 9)]


def test_the_second_look_adds_exactly_what_was_not_settled(finished):
    """Two is within 2σ of the baseline and gets both further seeds, and so does the baseline; nine does not."""
    told = json.loads((finished.folder.parent / "told.json").read_text())

    assert told["added"] == ["X1_S12", "X1_S13", "X2_S12", "X2_S13"]
    assert told["to_submit"] == told["added"]
    assert told["removed"] == []
    assert len(told["kept"]) == 9
    manifest = json.loads((finished.runs / "tiny/manifest.json").read_text())
    (look,) = manifest["follow_ups"]
    assert (finished.runs / f"tiny/manifests/{look['manifest_sha'][:16]}.json").exists()
    assert len(finished.verdicts()) == 13


def test_runs_of_before_and_after_a_second_look_are_of_one_plan(layout):
    """Nothing is said to differ; where something else was changed since, the runs of before are of another plan."""
    assert find_cautions(load_frame(layout)).differences == ()

    def other_question(manifest: dict[str, Any]) -> None:
        manifest["spec"]["brief"]["hypothesis"] = "Two is worse than one."
        manifest["sha256"] = manifest_sha(manifest)

    edit(layout.manifest, other_question)
    assert shas_before_looks(json.loads(layout.manifest.read_text())) == frozenset()


def test_a_second_second_look_finds_nothing_to_do(finished):
    """Seeds are added once: asked again the command says why not, exit 3, and records no look."""
    looks = (finished.runs / "tiny/looks.jsonl").read_text()
    told = finished.hpc("plan", "tiny", "--follow-up", expect=3)

    assert "no configuration gets further seeds" in told
    assert (finished.runs / "tiny/looks.jsonl").read_text() == looks
    assert "takes nothing else" in finished.hpc("plan", "tiny", "--second-look", "--seeds", "4", expect=2)


def test_planning_again_keeps_what_the_second_look_added(finished):
    """An ordinary plan afterwards neither loses the further tasks nor changes the plan."""
    before = json.loads((finished.runs / "tiny/manifest.json").read_text())
    again = finished.json("plan", "tiny", "--cluster", "local", "--dry-run")

    assert (again["tasks"], again["removed"], again["added"]) == (13, [], [])
    assert again["seal"] == before["seal"]
    assert again["notes"] == [note for note in again["notes"] if "sealed" not in note]


def test_a_report_is_a_look_and_the_same_results_are_one_look(layout):
    """Each collection that is shown is written down once; while runs are to come it is an early look."""
    frame = load_frame(layout)
    record_look(frame)
    record_look(frame)
    assert [look.kind for look in registration(layout).looks] == ["follow_up", "report"]
    assert not kinds(layout)

    def reopen(tasks: list[dict[str, Any]]) -> None:
        if "outcome" in tasks[0]:
            tasks[0].update(outcome="running", summary={})

    edit_everywhere(layout, reopen)
    with h5py.File(layout.results, "r+") as file:
        file["tasks/outcome"][0] = "running"
        for metric in file["summary"].values():
            metric[0] = float("nan")
    layout.looks.unlink()
    record_look(load_frame(layout))
    assert list(kinds(layout)) == ["vanished", "early_look"]


# Tampered with


def test_a_dropped_run_is_noticed(layout):
    """Out of the verdicts: refused. Out of verdicts, results and manifest with new hashes: the seal still knows it."""
    whole = layout.verdicts.read_text()
    edit(layout.verdicts, lambda content: content["tasks"].pop(4))
    with pytest.raises(InputError):
        registration(layout)
    layout.verdicts.write_text(whole)

    edit_everywhere(layout, lambda tasks: tasks.__delitem__(4))

    assert kinds(layout)["missing_tasks"] == ("X2_S2",)


def test_a_duplicated_run_is_noticed(layout):
    """A task that stands there twice: refused. One run's numbers given to another: listed, both by name."""
    whole = layout.verdicts.read_text()
    edit(layout.verdicts, lambda content: content["tasks"].append(content["tasks"][0]))
    with pytest.raises(InputError):
        registration(layout)
    layout.verdicts.write_text(whole)

    def copy(tasks: list[dict[str, Any]]) -> None:
        if "summary" in tasks[0]:
            tasks[4]["summary"] = tasks[3]["summary"]

    edit_everywhere(layout, copy)
    with h5py.File(layout.results, "r+") as file:
        for metric in file["summary"].values():
            metric[4] = metric[3]

    assert kinds(layout)["copied"] == ("X2_S1", "X2_S2")
    assert kinds(layout)["contradicted"] == ("X2_S2",)


def test_a_swapped_seed_is_noticed(layout):
    """Seeds exchanged in the verdicts: refused. With the manifest's and all hashes made right: no id fits any more."""
    whole = layout.verdicts.read_text()
    edit(layout.verdicts, lambda content: content["tasks"][0].update(seed=2))
    with pytest.raises(InputError):
        registration(layout)
    layout.verdicts.write_text(whole)

    edit_everywhere(layout, lambda tasks: (tasks[0].update(seed=2), tasks[1].update(seed=1)))

    assert kinds(layout)["other_identity"] == ("X1_S1", "X1_S2")
    assert kinds(layout)["contradicted"] == ("X1_S1", "X1_S2")


def test_a_plan_changed_after_sealing_is_noticed(finished, tmp_path):
    """Another criterion after the results: planned again it is a second seal, edited in a forgery."""
    project = copy_project(finished.folder, tmp_path / "project")
    layout = RunLayout(project.runs, "tiny")
    project.write_experiment(EXPERIMENT.replace(">= 50%", ">= 5%"))
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("collect", "tiny")
    (found,) = registration(layout).deviations
    assert found.kind == "changed_plan"
    assert "13 attempts had begun" in found.text
    assert "question.criterion: relative_change(x=9) >= 50% and" in found.text
    assert found.text.endswith("→ relative_change(x=9) >= 5% and adjusted_p < 0.05")

    edit(layout.manifest, lambda content: content["spec"]["brief"].update(criterion="mean(x=1) < 2"))
    assert registration(layout).deviations == (found,), "the manifest kept under its hash counts"
    edit(layout.manifest, lambda content: content.update(sha256=manifest_sha(content)))
    edit_everywhere(layout, len)
    assert "changed by hand" in registration(layout).deviations[1].text


def test_a_relabelled_failure_is_noticed(layout):
    """Failed made finished or finished made failed, in the verdicts or everywhere: refused, or against the folder."""
    whole = layout.verdicts.read_text()

    def fail(tasks: list[dict[str, Any]]) -> None:
        if "outcome" in tasks[8]:
            tasks[8].update(outcome="failed", failure_class="node_failure", summary={})

    edit(layout.verdicts, lambda content: fail(content["tasks"]))
    with pytest.raises(InputError):
        registration(layout)
    layout.verdicts.write_text(whole)

    edit_everywhere(layout, fail)
    with h5py.File(layout.results, "r+") as file:
        file["tasks/outcome"][8] = "failed"
        file["tasks/failure_class"][8] = "node_failure"

    gone, found = registration(layout).deviations
    assert (gone.kind, gone.runs) == ("vanished", ("X9_S3",))
    assert (found.kind, found.runs) == ("contradicted", ("X9_S3",))
    assert "it ended with 0 and a value of loss" in found.text


@pytest.mark.parametrize("name", ["category", "outcome"])
def test_an_edited_verdict_is_refused_by_its_hash(layout, name):
    """Any edit of what was collected, the class of a failed attempt included, breaks the hash it was written with."""

    def relabel(content: dict[str, Any]) -> None:
        task = content["tasks"][0]
        if name == "category":
            task["attempts"][0]["verdict"]["category"] = "node_failure"
        else:
            task["altered"] = True

    edit(layout.verdicts, relabel)

    with pytest.raises(InputError, match="was edited after it was collected"):
        registration(layout)


def test_an_edited_number_is_noticed(layout):
    """Another value in results.h5 alone, in both files, or in the run's own metrics.json."""
    with h5py.File(layout.results, "r+") as file:
        file["summary/loss"][0] = 0.5
    with pytest.raises(InputError, match="loss"):
        registration(layout)

    def better(tasks: list[dict[str, Any]]) -> None:
        if "summary" in tasks[0]:
            tasks[0]["summary"]["loss"] = 0.5

    edit_everywhere(layout, better)
    assert kinds(layout) == dict.fromkeys(("changed_result", "contradicted", "printed"), ("X1_S1",))


def test_a_seal_that_was_edited_or_removed_makes_it_exploratory(layout):
    """Nothing can be confirmed by a seal that does not hold, or without one."""
    edit(layout.seal, lambda content: content["entries"][0]["content"]["question"].update(criterion="mean(x=1) < 2"))
    found = registration(layout)
    assert found.standing is Standing.EXPLORATORY
    assert "entry 1 does not match its hash" in found.problem
    assert found.headline.startswith("Exploratory: the seal cannot be trusted")

    layout.seal.unlink()
    assert "13 attempts carry the digest of a seal, and seal.json is gone" in registration(layout).headline


def test_runs_of_another_plan_and_altered_ones_are_listed(layout):
    """A digest that is not the sealed one, none at all, and what a retry altered: by name."""

    def mark(tasks: list[dict[str, Any]]) -> None:
        if "attempts" in tasks[0]:
            tasks[0]["attempts"][0]["seal"] = "f" * 64
            tasks[1]["attempts"][0]["seal"] = None
            tasks[2]["altered"] = True

    edit_everywhere(layout, mark)

    assert kinds(layout) == {"other_seal": ("X1_S1",), "unsealed_runs": ("X1_S2",), "altered_runs": ("X1_S3",)}


def test_runs_older_than_the_seal_make_it_exploratory(layout):
    """What had begun before the plan was sealed was not predicted by it."""

    def early(tasks: list[dict[str, Any]]) -> None:
        if "attempts" in tasks[0]:
            tasks[0]["attempts"][0]["started"] = 1.0

    edit_everywhere(layout, early)

    found = registration(layout)
    assert found.reasons == ("results existed before its plan was sealed",)
    assert [(one.kind, one.runs) for one in found.deviations] == [
        ("results_before", ("X1_S1",)), ("rerolled", ("X1_S1",)),
    ]  # fmt: skip


def test_folders_that_are_gone_are_counted_and_not_held_against_it(layout):
    """After cleaning, or on another machine, the folders cannot be asked: it says of how many runs."""
    shutil.rmtree(layout.tasks)

    assert (registration(layout).unchecked, registration(layout).deviations) == (13, ())
