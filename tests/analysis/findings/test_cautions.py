"""Cautions: runs that differ in what they ran and successes with warnings are kept, marked and said."""

import csv
import io
from typing import Any

import pytest

from analysis.data.frame import load_frame
from analysis.data.sameness import ASPECTS, short, what_is_named, what_ran
from analysis.findings.findings import Findings, find_findings
from analysis.report import build
from tests.analysis.made_experiments import Experiment, make_attempt, make_verdict

DEAD, COFFEE = "deadbeef" * 8, "c0ffee12" * 8


def _find(experiment: Experiment) -> Findings:
    return find_findings(load_frame(experiment.write()))


def _set(experiment: Experiment, rows: tuple[int, ...], **ran: Any) -> None:
    for row in rows:
        for attempt in experiment.judged[row]["attempts"]:
            attempt.update(ran)


def _limits(experiment: Experiment) -> str:
    return "\n".join(_find(experiment).limitations)


def test_equal_runs_are_not_warned_of(realistic: Experiment) -> None:
    """Where all runs ran what the manifest names there is nothing to say, and no column for it."""
    found = _find(realistic)
    page = (build(realistic.write()).layout.report / "report.md").read_text("utf-8")

    assert found.cautions.differences == ()
    assert found.cautions.unknown == {}
    assert "notes" not in page
    assert "in the mean, with care" not in page
    assert not [text for text in found.verdict if "Caution" in text]


@pytest.mark.parametrize(
    ("ran", "words"),
    [
        ({"code_sha256": COFFEE}, "ran other code (c0ffee12 instead of deadbeef, which the manifest names)"),
        ({"image_sha256": COFFEE}, "ran in another image (c0ffee12 instead of c0ffee00, which the manifest names)"),
        ({"image_sha256": None}, "ran in another image (no image recorded instead of c0ffee00"),
        (
            {"launch": {"kind": "torchrun", "processes": 1, "mixed_precision": "bf16", "zero_stage": 2}},
            "were launched differently (torchrun, 1 process, bf16, ZeRO 2 instead of accelerate, 2 processes, like",
        ),
        ({"launch": None}, "were launched differently (no launcher instead of accelerate"),
        ({"global_batch": 32}, "trained with another global batch (32 instead of 64, which the manifest names)"),
        ({"manifest_sha": COFFEE}, "were started from another manifest (c0ffee12 instead of"),
    ],
)
def test_runs_that_ran_something_else_are_named(realistic: Experiment, ran: dict[str, Any], words: str) -> None:
    """How many, in which aspect, what instead of what, and which runs."""
    realistic.provenance["code"] = {"path": "code/x", "sha256": DEAD}
    _set(realistic, (7, 9), **ran)
    said = _limits(realistic)

    assert f"2 of 12 finished, unaltered runs {words}" in said
    assert ": R8_LR0.0001_S137, R8_LR0.0002_S42. " in said
    assert said.count(" of 12 finished, unaltered runs ") == 1


def test_differing_runs_are_marked_in_page_table_and_csv(realistic: Experiment) -> None:
    """The run's own row says it in HTML, Markdown and CSV; its value stays in the mean, which is marked too."""
    before = _find(realistic).results[2].estimate
    _set(realistic, (7,), code_sha256=COFFEE)
    built = build(realistic.write())
    html, markdown, table = ((built.layout.report / name).read_text("utf-8") for name in
                             ("report.html", "report.md", "runs.csv"))  # fmt: skip
    (row,) = [one for one in csv.DictReader(io.StringIO(table)) if one["run_name"] == "R8_LR0.0001_S137"]

    assert built.findings.results[2].estimate == before
    assert built.findings.results[2].caution_text == "1 of 3 from other code"
    assert "n=3 !" in (built.layout.report / "intervals.svg").read_text("utf-8")
    assert html.count("other code (c0ffee12)") == markdown.count("other code (c0ffee12)") == 1
    assert "1 of 3 from other code" in html
    assert (row["with_care"], row["in_means"], row["ran.code"]) == ("from other code (c0ffee12)", "True", COFFEE)


def test_mixed_numbers_are_said_beside_the_verdict(realistic: Experiment) -> None:
    """Who reads only the verdict learns of it, right after the headline."""
    _set(realistic, (7,), code_sha256=COFFEE, launch=None)

    assert _find(realistic).verdict[1] == (
        "Caution: finished runs differ in code and launch, and the numbers here mix them; see Limitations."
    )


def test_comparison_that_cannot_tell_code_from_configuration_is_counted(realistic: Experiment) -> None:
    """All runs of one configuration on other code than the baseline's: a difference may be the code's."""
    _set(realistic, (6, 7, 8), code_sha256=COFFEE)

    assert "In 1 of 5 comparisons configuration and baseline have no code in common" in _limits(realistic)


def test_runs_that_agree_but_not_with_the_manifest(realistic: Experiment) -> None:
    """Planned again on newer code after all runs were done: nothing is mixed, but the setup shown is not theirs."""
    _set(realistic, tuple(row for row in range(18)), code_sha256=COFFEE)
    found = _find(realistic)

    (said,) = [text for text in found.limitations if "other code" in text]
    assert said.startswith("12 of 12 finished, unaltered runs ran other code (c0ffee12 instead of ab12ab12")
    assert "and 7 more, marked in the table of every run" in said
    assert said.endswith("They agree with one another, but not with the setup stated below.")
    assert not [text for text in found.verdict if "Caution" in text]


def test_resumed_run_ran_what_all_its_attempts_ran(realistic: Experiment) -> None:
    """A checkpoint of other code is part of the result; the same attempt counts for nothing if nothing came of it."""
    task = realistic.judged[7]
    sliced = make_verdict("timeout", cause="checkpointed")
    task["attempts"] = [
        make_attempt(task, 1, sliced, code_sha256=COFFEE),
        make_attempt(task, 2, make_verdict("success"), resumed_from_attempt=1),
    ]
    assert "1 of 12 finished, unaltered runs ran other code (c0ffee12 then ab12ab12 instead of ab12ab12" in _limits(
        realistic
    )

    task["attempts"][1]["resumed_from_attempt"] = None
    assert "other code" not in _limits(realistic)


def test_failed_and_altered_runs_are_not_what_is_averaged(realistic: Experiment) -> None:
    """Other code of a failed, a running or an altered run mixes nothing."""
    _set(realistic, (0, 4, 5, 11, 16), code_sha256=COFFEE)

    assert "other code" not in _limits(realistic)


def test_what_was_not_recorded_is_unknown(realistic: Experiment) -> None:
    """Collected before these records existed: neither equal nor different, and said so."""
    realistic.records_what_ran = False
    found = _find(realistic)

    assert found.cautions.differences == ()
    assert (
        "For 12 of 12 finished, unaltered runs it is not recorded which code, image, launch and manifest they ran "
        "with: there may be hidden differences." in found.limitations
    )


def test_null_and_absent_are_told_apart() -> None:
    """Null says 'none'; an absent key says nothing. A null hash of code or manifest is no record of it."""
    nothing = dict.fromkeys(("code_sha256", "image_sha256", "launch", "global_batch", "manifest_sha"))

    assert what_ran({}) == dict.fromkeys(ASPECTS, "")
    assert what_ran(nothing) == {
        "code": "", "image": "no image recorded", "launch": "no launcher", "global_batch": "none declared",
        "manifest": "",
    }  # fmt: skip
    assert what_is_named({"sha256": DEAD, "provenance": {"image": None}})["image"] == "no image recorded"
    assert what_is_named({"sha256": DEAD})["image"] == ""


def test_nobody_altered_nobody_named(realistic: Experiment) -> None:
    """Without altered runs those that are averaged are simply the finished ones."""
    realistic.judged[4]["altered"] = False
    _set(realistic, (7,), code_sha256=COFFEE)

    assert "1 of 13 finished runs ran other code" in _limits(realistic)


def test_hashes_are_shortened_and_words_are_not() -> None:
    """Eight digits tell two hashes apart; other words stay whole."""
    assert short(f"{COFFEE} then {DEAD}") == "c0ffee12 then deadbeef"
    assert short("accelerate, processes auto") == "accelerate, processes auto"


def test_success_with_warnings_is_kept_and_marked(realistic: Experiment) -> None:
    """The value stays in the mean; run, configuration, limitations and CSV carry the warning."""
    before = _find(realistic)
    _verdict(realistic, 7)["warnings"] = ["the loss rose over the last tenth", "2 checkpoints were skipped"]
    _verdict(realistic, 8)["warnings"] = ["the loss rose over the last tenth"]
    _verdict(realistic, 0)["warnings"] = ["of a failed run: its class says more"]
    built = build(realistic.write())
    found, folder = built.findings, built.layout.report
    rows = list(csv.DictReader(io.StringIO((folder / "runs.csv").read_text("utf-8"))))

    assert [one.estimate for one in found.results] == [one.estimate for one in before.results]
    assert [one.caution_text for one in found.results][2] == "2 of 3 with warnings"
    assert (
        "2 finished runs have warnings (2 × the loss rose over the last tenth; 1 × 2 checkpoints were skipped): "
        "R8_LR0.0001_S137, R8_LR0.0001_S256. Their values are kept, in means and comparisons too." in found.limitations
    )
    assert rows[7]["with_care"] == "warning: the loss rose over the last tenth; warning: 2 checkpoints were skipped"
    assert [row["with_care"] for row in rows].count("") == 16
    for name in ("report.html", "report.md"):
        text = (folder / name).read_text("utf-8")
        assert text.count("finished, with warnings") == 2
        assert "warning: 2 checkpoints were skipped" in text


def _verdict(experiment: Experiment, row: int) -> dict[str, Any]:
    verdict: dict[str, Any] = experiment.judged[row]["attempts"][-1]["verdict"]
    return verdict
