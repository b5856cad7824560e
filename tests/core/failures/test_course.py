"""Ends are proved: what a run outlived, and what only looks as if it had."""

import pytest

from hpc.core.failures.classify import classify
from hpc.core.failures.evidence import Evidence, LogLine
from hpc.core.slurm.states import SlurmState


def verdict_of(*texts: str) -> str:
    log = tuple(LogLine("log", number, text) for number, text in enumerate(texts, start=1))
    return str(classify(Evidence(state=SlurmState.COMPLETED, exit_code=0, log=log)).category)


CRASH = ("Traceback (most recent call last):", '  File "t.py", line 9, in <module>', "KeyError: 'x'")
CAUGHT = ("Traceback (most recent call last):", '  File "t.py", line 9, in objective', "KeyError: 'x'")


@pytest.mark.parametrize(
    ("log", "category"),
    [
        (("epoch 1 loss 2", *CRASH, "epoch 2 loss 1", "saved checkpoint out/2.pt"), "code_bug"),
        (("epoch 1 loss 2", *CRASH, "epoch 2 loss 1", "training finished"), "success"),
        ((*CAUGHT, "best trial: 3"), "success"),
        ((*CAUGHT, "done"), "code_bug"),
        (("job.sh: line 3: python: command not found", "done"), "environment"),
        (("job.sh: line 3: python: command not found", "all results are in out/", "done"), "environment"),
        (("job.sh: line 3: ml: command not found", "all results are in out/", "done"), "success"),
        (("job.sh: line 3: ml: command not found",), "environment"),
        (("ConnectionError: hub", "falling back to the local copy", "finished"), "success"),
        (("ConnectionError: hub", "finished"), "communication"),
        (("step 1 loss 1", "slurmstepd: error: Detected 1 oom_kill event in StepId=1.0.", "step 2 loss 1"), "oom_host"),
        (("trial 1 failed", "0 trials completed", "finished in 12 s"), "code_bug"),
    ],
)
def test_what_counts_as_outlived(log: tuple[str, ...], category: str) -> None:
    """A program's own word that it came to its end counts; a checkpoint, a flushed buffer and an echo do not."""
    assert verdict_of(*log) == category


def losses(*values: float) -> tuple[str, ...]:
    return tuple(f"epoch {i} loss {value}" for i, value in enumerate(values, start=1))


@pytest.mark.parametrize(
    ("log", "category"),
    [
        (losses(2.3, 80.1, 5120.4, 79102.5, 82011.3), "divergence"),
        (losses(2.3, 2.1, 2.0, 1.9, 1.8), "success"),
        (losses(2.3, 900.0, 2.2, 2.1, 2.0), "success"),
        ((*losses(2.1, 1.9), "test accuracy: nan"), "divergence"),
        ((*losses(2.1, 1.9), "test accuracy: nan", "test accuracy: 0.5"), "success"),
        ((*losses(2.1, 1.9), "test accuracy 0.5, test f1 nan"), "success"),
        (tuple(f"epoch {i} loss 2.30{i % 3} acc 0.10{i % 2}" for i in range(1, 9)), "not_converged"),
        (("num_classes: 4", *losses(1.386, 1.387, 1.386, 1.385, 1.386)), "not_converged"),
    ],
)
def test_printed_curves_are_judged_as_recorded_ones(log: tuple[str, ...], category: str) -> None:
    """Explosion, chance and a result that is nan, from whatever form the numbers were printed in."""
    assert verdict_of(*log) == category


def test_printed_numbers_never_spoil_a_result_that_was_delivered() -> None:
    """Metrics that are whole and end finite are the result; what the log prints beside them is a remark."""
    log = tuple(LogLine("log", i, text) for i, text in enumerate(losses(2.3, 80.0, 5e3, 8e4, 8.2e4)))
    evidence = Evidence(
        exit_code=0, program_outcome=0, complete=True, expects_metrics=True, delivered=True, log=log,
        series={"score": (0.1, 0.2)},
    )  # fmt: skip
    assert classify(evidence).category == "success"
