"""The seal: first entry for ever, later plans beside it, its digest in every run's record, and no edit unseen."""

import json
from pathlib import Path
from typing import Any

import pytest

from hpc.adapters.manifest_store import manifest_sha
from hpc.core.errors import InputError
from hpc.core.identity import content_hash
from hpc.core.layout import RunLayout
from hpc.core.question.seal import (
    SealEntry,
    append_entry,
    content_changes,
    content_digest,
    history_from_json,
    history_to_json,
    sealed_content,
)
from hpc.experiments.sealing import asked_first, read_seal, seal_notes, seal_plan
from tests.local_projects import EXPERIMENT, make_project

SPEC = {
    "name": "a",
    "brief": {
        "hypothesis": "Two is worse than one.",
        "criterion": "tested(x=2 versus x=1) == LOSER",
        "stage": "confirmatory",
    },
    "sweep": {"grid": {"x": [1, 2]}, "seeds": [1]},
    "metrics": {"primary": {"name": "m", "goal": "min"}},
    "program": {"module": "a.b", "args": {}},
}
CHANGED = {**SPEC, "metrics": {"primary": {"name": "m", "goal": "max"}}}


def manifest(spec: dict[str, Any]) -> dict[str, Any]:
    content = {
        "spec": spec,
        "provenance": {"git": {"commit": "c0ffee", "dirty": True}},
        "tasks": [{"task_id": "t1", "run_name": "X1"}],
    }
    return {**content, "sha256": manifest_sha(content)}


@pytest.fixture
def layout(tmp_path: Path) -> RunLayout:
    return RunLayout(tmp_path / "runs", "a")


def test_a_confirmatory_criterion_without_uncertainty_is_warned_of_with_the_line_to_write(layout: RunLayout) -> None:
    """The note names the estimate and the rule that would ask how sure it is; that rule, and exploration, pass."""

    def notes(criterion: str, stage: str = "confirmatory", seeds: tuple[int, ...] = (1, 2)) -> tuple[str, ...]:
        brief = {"criterion": criterion, "stage": stage}
        return seal_notes(layout, {**SPEC, "brief": brief, "sweep": {**SPEC["sweep"], "seeds": list(seeds)}})

    (note,) = notes("change(x=2 versus x=1) < 0")
    line = "change(x=2 versus x=1) < 0 and adjusted_p(x=2 versus x=1) < 0.05"
    assert note.endswith(f"the answer is MET AT FACE VALUE. Write: criterion: {line}")
    assert notes(line) == notes("change(x=2 versus x=1) < 0", "exploratory") == ()
    assert "means have intervals" in notes("median(x=1) < 3")[0]
    assert "one seed has no interval" in notes("mean(x=1) < 3", seeds=(1,))[0]


def test_the_first_seal_stays_and_a_changed_plan_is_a_second_entry(layout: RunLayout) -> None:
    """Planned again unchanged, or after a killed plan: one entry. With another goal: a second, and it is said."""
    (first,) = seal_plan(layout, manifest(SPEC))
    assert seal_plan(layout, manifest(SPEC)) == (first,)
    assert (first.digest, first.commit, first.dirty) == (content_digest(SPEC), "c0ffee", True)
    assert (first.tasks, first.attempts_before) == ({"t1": "X1"}, 0)
    assert first.content["question"]["criterion"] == "tested(x=2 versus x=1) == LOSER"
    assert seal_notes(layout, SPEC) == ()

    (note,) = seal_notes(layout, CHANGED)
    assert "replaces it, since nothing has begun: metrics.primary.goal: min → max" in note
    assert [entry.digest for entry in seal_plan(layout, manifest(CHANGED))] == [first.digest, content_digest(CHANGED)]
    assert read_seal(layout)[0] == first
    assert read_seal(layout)[1].previous == first.sha256


def test_another_program_asks_no_new_question(layout: RunLayout) -> None:
    """A mended command is a change that is listed; a goal or a configuration is another question, answered apart."""
    seal_plan(layout, manifest(SPEC))
    (layout.tasks / "X1/attempt-1").mkdir(parents=True)
    mended = {**SPEC, "program": {"module": "a.c", "args": {}}}
    wider = {**SPEC, "sweep": {"grid": {"x": [1, 2, 3]}, "seeds": [1]}}

    (note,) = seal_notes(layout, mended)
    assert "1 attempt has begun: the report answers the sealed question and lists this change: program" in note
    for spec in (CHANGED, wider):
        assert "answers the new question below as exploratory" in seal_notes(layout, spec)[0]


def test_the_question_that_counts_is_the_last_before_any_run_began(layout: RunLayout) -> None:
    """Planned otherwise before a run began: the second counts; a run before it: the first. Unsealed: as planned."""

    def goal(starts: list[float]) -> str:
        return str(asked_first(layout, CHANGED, starts)["metrics"]["primary"]["goal"])

    assert goal([]) == "max"
    seal_plan(layout, manifest(SPEC))
    assert goal([]) == "min"
    second = seal_plan(layout, manifest(CHANGED))[1]
    assert (goal([]), goal([second.time + 1]), goal([second.time - 3600])) == ("max", "max", "min")
    layout.seal.write_text("[]")
    assert goal([second.time - 3600]) == "max"


def test_the_digest_is_in_the_record_of_every_run_and_late_seals_are_told(tmp_path: Path) -> None:
    """From the seal over the index into task.json and the verdicts; without a seal before its runs it is told."""
    project = make_project(tmp_path / "project", EXPERIMENT)
    digest = project.json("plan", "tiny", "--cluster", "local")["seal"]
    project.hpc("submit", "tiny")
    project.hpc("collect", "tiny")

    assert json.loads((project.attempt("X1") / "task.json").read_text())["seal"] == digest
    assert project.verdicts()["X2"]["attempts"][0]["seal"] == digest

    (project.runs / "tiny/seal.json").unlink()
    again = project.json("plan", "tiny", "--cluster", "local")
    assert any("before anything was sealed" in note for note in again["notes"])
    (entry,) = json.loads((project.runs / "tiny/seal.json").read_text())["entries"]
    assert (entry["digest"], entry["attempts_before"]) == (digest, 2)


def test_a_confirmatory_experiment_without_a_rule_is_warned(layout: RunLayout) -> None:
    """Prose alone cannot be evaluated, which is said of one that has begun. An exploratory one may do without."""
    prose = {**SPEC, "brief": {"success": "lower is better", "stage": "confirmatory"}}

    assert "without brief.criterion" in seal_notes(layout, prose)[0]
    assert seal_notes(layout, {**prose, "brief": {"stage": "exploratory", "hypothesis": "x lowers loss"}}) == ()


def test_exploring_without_a_prediction_is_said(layout: RunLayout) -> None:
    """With the command that asks for one; a criterion is a prediction, too."""
    (note,) = seal_notes(layout, {**SPEC, "brief": {"stage": "exploratory"}})

    assert "without a hypothesis" in note
    assert note.endswith("python -m hpc.brief a")
    assert seal_notes(layout, {**SPEC, "brief": {}}) == (note,)
    assert seal_notes(layout, {**SPEC, "brief": {"criterion": "change(x=2 versus x=1) < 0"}}) == ()


def test_an_edited_seal_is_refused_by_its_hash(layout: RunLayout) -> None:
    """Each kind of edit: the next plan refuses it, names the file, and writes nothing over it."""
    seal_plan(layout, manifest(SPEC))
    whole = json.loads(layout.seal.read_text())
    for name, value in (("attempts_before", 1), ("time", 1.0), ("tasks", {}), ("digest", "0" * 64), ("content", {})):
        edited = {**whole, "entries": [{**whole["entries"][0], name: value}]}
        layout.seal.write_text(json.dumps(edited))

        with pytest.raises(InputError, match="entry 1 does not match its hash") as caught:
            seal_plan(layout, manifest(SPEC))

        assert str(layout.seal) in str(caught.value)
        assert json.loads(layout.seal.read_text()) == edited


def test_entries_cannot_be_taken_out() -> None:
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


def test_what_is_not_part_of_the_question_is_not_sealed() -> None:
    """Other resources or retries are the same plan; another alpha, baseline, argument, metric or seed is another."""
    same = {**SPEC, "resources": {"gpus": 2}, "retry": {"max_attempts": 9}, "name": "b"}
    others = [
        {**SPEC, "analysis": {"alpha": 0.01}},
        {**SPEC, "baseline": {"x": 1}},
        {**SPEC, "program": {"module": "a.b", "args": {"y": 1}}},
        {**SPEC, "metrics": {"primary": {"name": "m", "goal": "min"}, "secondary": [{"name": "k"}]}},
        {**SPEC, "sweep": {"grid": {"x": [1, 2]}, "seeds": [1], "further_seeds": [2]}},
        {**SPEC, "brief": {"hypothesis": "x"}},
    ]

    assert content_digest(same) == content_digest(SPEC)
    assert len({content_digest(one) for one in [SPEC, *others]}) == 7
    assert list(content_changes(sealed_content(SPEC), sealed_content(others[0]))) == ["analysis.alpha: nothing → 0.01"]
