"""What proves an end where only a log is known, and what a log that was cut proves."""

from dataclasses import replace

import pytest

from hpc.core.failures.classify import classify
from hpc.core.failures.evidence import Evidence, LogLine
from tests.corpus.cases import evidence_of_case, is_held_out, load_cases

CUT = 0.1
"""Share of cut logs that may look like an end: between two programs of one script they are one."""


def named(text: str) -> str:
    """The class of a log of which nothing else is known."""
    lines = enumerate(text.splitlines(), start=1)
    return classify(Evidence(log=tuple(LogLine("log", number, each) for number, each in lines))).category.value


WORK = "reading grid.nc\nstep 1/3 residual 1e-2\nstep 2/3 residual 1e-3\nstep 3/3 residual 1e-4\n"
ENDS = (
    "field written to out/field.nc",
    "best: B (1.1), stored as best.pkl",
    "[INFO] Tests run: 81, Failures: 0, Errors: 0, Skipped: 2",
    "job 4711 left the batch system, script returned 0",
    "                 ****ORCA TERMINATED NORMALLY****",
    "Finished mdrun on rank 0 Tue Mar 18 21:12:40 2025",
)
NO_ENDS = (
    "loaded 1200 images from train.h5",
    "fold 3 rmse 0.41",
    "simulated 4.1 of 20 Myr, wrote out.nc",
    "received SIGTERM, results written to out.nc",
    "Loading safetensors checkpoint shards: 100% Completed | 37/37",
    "done",
)


@pytest.mark.parametrize("said", ENDS)
def test_an_end_with_content_is_one(said: str) -> None:
    """What came of the work, said once and after it; what follows no step is none of a run that went on."""
    assert named(WORK + said) == "success"
    assert named(WORK + said + "\nstep 4/9 residual 1e-2") == "unknown"


@pytest.mark.parametrize("said", NO_ENDS)
def test_what_is_said_on_the_way_is_no_end(said: str) -> None:
    """Before the work, of a part of it, or because something else ended it."""
    assert named(WORK + said) == "unknown"


def test_who_fails_writes_files_too() -> None:
    """Below the message of a cause only the word that all is over counts."""
    assert named(WORK + "LINCS WARNING\nWrote step3.pdb with previous and current coordinates") != "success"


def test_a_log_that_was_cut_proves_no_end() -> None:
    """Half of a log, on every ninth case that rules are written against."""
    asked = [evidence_of_case(case) for case in load_cases()[::9] if not is_held_out(case)]
    halves = [
        replace(each, state=None, exit_code=None, exit_signal=None, log=each.log[: len(each.log) // 2])
        for each in asked if len(each.log) >= 8 and not (each.exit_recorded or each.complete or each.program_outcome)
    ]  # fmt: skip
    taken = [each.log[-1].text for each in halves if classify(each).rule == "log-says-finished"]
    assert len(halves) > 100
    assert len(taken) < CUT * len(halves), taken
