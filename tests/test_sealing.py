"""The seal: first entry for ever, later plans beside it, its digest in every run's record, and no edit unseen."""

import json
import shutil
from pathlib import Path

import pytest

from hpc.core.identity import content_hash
from hpc.core.seal import (
    SealEntry,
    append_entry,
    content_changes,
    content_digest,
    history_from_json,
    history_to_json,
    sealed_content,
)
from tests.local_projects import EXPERIMENT, LocalProject, make_project

CRITERION = """
brief:
  hypothesis: Two is worse than one.
  criterion: "mean(loss, x=1) < mean(loss, x=2)"
  stage: confirmatory
"""


@pytest.fixture
def project(tmp_path: Path) -> LocalProject:
    return make_project(tmp_path / "project", EXPERIMENT + CRITERION)


def plan(project: LocalProject, *more: str) -> dict:
    return project.json("plan", "tiny", "--cluster", "local", *more)


def seal(project: LocalProject) -> dict:
    return json.loads((project.runs / "tiny/seal.json").read_text())


def test_the_first_seal_stays_and_a_changed_plan_is_a_second_entry(project):
    """Planned again unchanged: one entry. With another goal: a second, and the plan says so."""
    first = plan(project)
    assert not first["notes"]
    plan(project)
    (sealed,) = seal(project)["entries"]
    assert (sealed["digest"], sealed["manifest_sha"]) == (first["seal"], first["manifest_sha"])
    assert sealed["content"]["question"]["criterion"] == "mean(loss, x=1) < mean(loss, x=2)"
    assert sealed["content"]["seeds"] == [1]
    assert sorted(sealed["tasks"].values()) == ["X1", "X2"]

    changed = plan(project, "--set", "metrics.primary.goal=max")

    assert any("metrics.primary.goal: min → max" in note for note in changed["notes"])
    entries = seal(project)["entries"]
    assert entries[0] == sealed
    assert [entry["digest"] for entry in entries] == [first["seal"], changed["seal"]]
    assert entries[1]["previous"] == sealed["sha256"]


def test_the_digest_is_in_the_record_of_every_run(project):
    """What was sealed travels from the manifest over the index into task.json, and into the collected verdicts."""
    digest = plan(project)["seal"]
    project.hpc("submit", "tiny")
    project.hpc("collect", "tiny")

    assert json.loads((project.attempt("X1") / "task.json").read_text())["seal"] == digest
    assert project.verdicts()["X2"]["attempts"][0]["seal"] == digest


def test_what_ran_before_any_seal_is_said_at_planning_and_counted_in_the_seal(project):
    """An experiment whose runs are older than its seal cannot be made confirmatory by planning it again."""
    plan(project)
    project.hpc("submit", "tiny")
    (project.runs / "tiny/seal.json").unlink()

    assert any("exploratory" in note for note in plan(project)["notes"])
    assert seal(project)["entries"][0]["attempts_before"] == 2


def test_a_confirmatory_experiment_without_a_rule_is_warned(project):
    """Prose alone cannot be evaluated; the plan says so and goes on."""
    project.write_experiment(EXPERIMENT + "brief: {success: lower is better, stage: confirmatory}\n")

    assert any("without brief.criterion" in note for note in plan(project)["notes"])


def test_an_edited_seal_is_refused_by_its_hash(project):
    """Each kind of edit: the next plan refuses it, names the file, and writes nothing over it."""
    plan(project)
    path = project.runs / "tiny/seal.json"
    whole = json.loads(path.read_text())
    for name, value in (("attempts_before", 1), ("time", 1.0), ("tasks", {}), ("digest", "0" * 64), ("content", {})):
        edited = {**whole, "entries": [{**whole["entries"][0], name: value}]}
        with pytest.raises(ValueError, match="entry 1 does not match its hash"):
            history_from_json(edited)
    path.write_text(json.dumps(edited))

    told = project.hpc("plan", "tiny", "--cluster", "local", expect=2)

    assert "entry 1 does not match its hash" in told
    assert str(path) in told
    assert json.loads(path.read_text()) == edited


def test_entries_cannot_be_taken_out():
    """Without its first entry, or with entries moved, the history is no history."""
    history: tuple[SealEntry, ...] = ()
    for goal in ("min", "max"):
        content = {"goal": goal}
        history = append_entry(history, SealEntry(content_hash(content), content, 1.0, "", False, "", {}, 0))
    whole = history_to_json(history)

    assert history_from_json(whole) == history
    assert append_entry(history, history[-1]) == history
    for entries in (whole["entries"][1:], whole["entries"][::-1]):
        with pytest.raises(ValueError, match="entry 1 does not follow"):
            history_from_json({**whole, "entries": entries})


def test_what_is_not_part_of_the_question_is_not_sealed():
    """Other resources or retries are the same plan; another alpha, baseline, argument or metric is another."""
    spec = {"name": "a", "sweep": {"grid": {"x": [1]}, "seeds": [1]}, "metrics": {"primary": {"name": "m"}},
            "program": {"module": "a.b", "args": {}}}  # fmt: skip
    same = {**spec, "resources": {"gpus": 2}, "retry": {"max_attempts": 9}, "name": "b"}
    others = [
        {**spec, "analysis": {"alpha": 0.01}},
        {**spec, "baseline": {"x": 1}},
        {**spec, "program": {"module": "a.b", "args": {"y": 1}}},
        {**spec, "metrics": {"primary": {"name": "m"}, "secondary": [{"name": "k"}]}},
        {**spec, "sweep": {"grid": {"x": [1]}, "seeds": [1], "further_seeds": [2]}},
        {**spec, "brief": {"hypothesis": "x"}},
    ]

    assert content_digest(same) == content_digest(spec)
    assert len({content_digest(one) for one in [spec, *others]}) == 7
    assert list(content_changes(sealed_content(spec), sealed_content(others[0]))) == ["analysis.alpha: nothing → 0.01"]


def test_a_killed_plan_leaves_a_seal_that_the_next_one_takes(project):
    """Sealed and killed before the manifest: planning again finds its own content sealed and adds nothing."""
    plan(project)
    shutil.rmtree(project.runs / "tiny/submissions")
    (project.runs / "tiny/manifest.json").unlink()

    plan(project)

    assert len(seal(project)["entries"]) == 1
