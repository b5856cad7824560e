"""A run that delivered its number keeps it, whatever its curves look like."""

import pytest

from hpc.core.failures.classify import classify
from hpc.core.failures.evidence import Evidence, FailureClass

FLAT = {"loss": (2.0,) * 60}
RISING = {"loss": tuple(0.02 * 1.1**step for step in range(120))}


@pytest.mark.parametrize("series", [FLAT, RISING])
def test_a_delivered_number_is_kept_with_a_warning(series: dict[str, tuple[float, ...]]) -> None:
    """A flat or growing loss is a warning beside the result, not a reason to throw the result away."""
    evidence = Evidence(program_outcome=0, complete=True, expects_metrics=True, delivered=True, series=series)

    verdict = classify(evidence)

    assert verdict.category is FailureClass.SUCCESS
    assert len(verdict.evidence) > 1


@pytest.mark.parametrize("series", [FLAT, RISING])
def test_without_a_number_the_curve_decides(series: dict[str, tuple[float, ...]]) -> None:
    """Exit code 0 and a curve that learned nothing is no success when nothing was delivered."""
    evidence = Evidence(exit_code=0, exit_recorded=True, complete=True, expects_metrics=True, series=series)

    assert classify(evidence).category in (FailureClass.NOT_CONVERGED, FailureClass.DIVERGENCE)


def test_a_loss_that_ended_as_nan_is_a_divergence() -> None:
    """Whatever was summed up was summed up by a model of nan."""
    series = {"loss": (1.0, *(float("nan"),) * 40)}
    evidence = Evidence(program_outcome=0, complete=True, delivered=True, series=series)

    assert classify(evidence).category is FailureClass.DIVERGENCE
