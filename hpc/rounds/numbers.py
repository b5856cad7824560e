"""What is asked of the numbers of an attempt once a verdict is given, as JSON: its curves stay where they are."""

from collections.abc import Sequence
from typing import Any

from hpc.core.layout import AttemptLayout
from hpc.snapshots.evidence import Measures, Results


def numbers_of(results: Results) -> list[Any]:
    """Results without their curves, as JSON can hold them."""
    return [list(results.measures), dict(results.summary), results.complete, results.problem, bool(results.series)]


def results_from(told: Sequence[Any], attempt: AttemptLayout) -> Results:
    """Results as `numbers_of` told them; curves are read where somebody asks for them.

    Args:
        attempt: Where they were read.

    Raises:
        ValueError: It is something else.
        TypeError: Likewise.
    """
    measures, summary, complete, problem, has_curves = told
    results = Results({}, summary, complete, problem)
    return results.with_late_curves(attempt, Measures(*measures), has_curves=has_curves)
