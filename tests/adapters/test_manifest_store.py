"""Manifest and index on disk: whole, hashed, refused when edited."""

import json
import os

import pytest

from hpc.adapters.files import write_json
from hpc.adapters.manifest_store import (
    REPRODUCES,
    list_submissions,
    load_index,
    load_manifest,
    manifest_sha,
    newest_experiment,
    save_manifest,
    task_from_json,
    task_to_json,
)
from hpc.core.errors import InputError
from hpc.core.experiment.spec import Task
from hpc.core.layout import RunLayout
from tests.made_records import submission_index

TASK = Task("0123456789ab", "R8", {"x": 1.5, "name": "käse", "none": None}, 42, "case")


def make_manifest(created: float = 1.0) -> dict:
    manifest = {
        "kind": "manifest", "schema": 1, "experiment": "e", "tasks": [task_to_json(TASK)],
        "provenance": {"created": created, "python": "3.11"},
    }  # fmt: skip
    return {**manifest, "sha256": manifest_sha(manifest)}


def test_a_manifest_comes_back_as_it_was(tmp_path):
    """Saved, loaded, equal; its tasks too; also kept under its hash."""
    layout = RunLayout(tmp_path, "e")
    save_manifest(layout, make_manifest())
    assert load_manifest(layout) == make_manifest()
    assert task_from_json(load_manifest(layout)["tasks"][0]) == TASK
    assert [path.stem for path in layout.manifests.iterdir()] == [make_manifest()["sha256"][:16]]


def test_when_it_was_said_is_no_part_of_what_it_says():
    """The time of planning does not change the hash; anything else does."""
    assert make_manifest(1.0)["sha256"] == make_manifest(2.0)["sha256"]
    assert manifest_sha({**make_manifest(), "experiment": "f"}) != make_manifest()["sha256"]


@pytest.mark.parametrize(
    ("change", "said"),
    [({"experiment": "f"}, "edited"), ({"schema": 2}, "schema 2"), ({"kind": "other"}, "not a manifest")],
)
def test_what_is_no_manifest_of_ours_is_refused(tmp_path, change, said):
    """Edited, of another version, or something else: each is said."""
    layout = RunLayout(tmp_path, "e")
    write_json(layout.manifest, {**make_manifest(), **change})
    with pytest.raises(InputError, match=said):
        load_manifest(layout)


@pytest.mark.parametrize("damage", ['"spec": NaN', '"spec": 1e999', '"provenance": [1]', '"provenance": "x"'])
def test_what_no_plan_writes_is_an_edit(tmp_path, damage):
    """JSON of Python's own making, and of another shape, ends in the same sentence."""
    layout = RunLayout(tmp_path, "e")
    layout.home.mkdir()
    text = json.dumps(make_manifest())
    layout.manifest.write_text(text[:-1] + f", {damage}}}")
    with pytest.raises(InputError, match="edited"):
        load_manifest(layout)


def test_submissions_are_listed_in_order_and_only_whole_ones(tmp_path):
    """010 comes after 009; temporary folders and those without an index are not there."""
    layout = RunLayout(tmp_path, "e")
    for name in ("010", "009", "011", ".012.tmp"):
        (layout.submissions / name).mkdir(parents=True)
        if name != "011":
            write_json(
                layout.submissions / name / "index.json", submission_index(submission=int(name.strip(".tmp"))).to_json()
            )
    assert [each.number for each in list_submissions(layout)] == [9, 10]
    assert load_index(layout.submission(9)).submission == 9
    with pytest.raises(InputError, match="plan again"):
        load_index(layout.submission(11))


def test_the_newest_experiment_is_the_one_planned_last(tmp_path):
    """By the age of its manifest; none below an empty root."""
    assert newest_experiment(tmp_path) is None
    for age, name in enumerate(("b", "a", "c")):
        save_manifest(RunLayout(tmp_path, name), make_manifest())
        os.utime(RunLayout(tmp_path, name).manifest, (age, age))
    assert newest_experiment(tmp_path) == "c"


def test_a_run_made_again_is_not_the_newest_experiment(tmp_path):
    """After ``reproduce RUN`` the commands without a name go on with what was planned; an own name is no matter."""

    def plan(name, age, *, again=False):
        manifest = make_manifest()
        if again:
            manifest["provenance"] = {**manifest["provenance"], REPRODUCES: {"experiment": "a", "run_name": "X1"}}
        layout = RunLayout(tmp_path, name)
        save_manifest(layout, {**manifest, "sha256": manifest_sha(manifest)})
        os.utime(layout.manifest, (age, age))

    plan("a_reproduce_X1", 3, again=True)
    assert newest_experiment(tmp_path) == "a_reproduce_X1"
    plan("a", 1)
    assert newest_experiment(tmp_path) == "a"
    plan("we_reproduce_b", 2)
    assert newest_experiment(tmp_path) == "we_reproduce_b"
    (tmp_path / "a_reproduce_X1/manifest.json").write_text("{")
    assert newest_experiment(tmp_path) == "a_reproduce_X1"
