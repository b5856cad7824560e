"""The NeurIPS paper checklist on experiments, filled from what is recorded and declared; the rest is "not declared"."""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.findings.configurations import ConfigurationResult
from analysis.findings.resources import ResourceUse
from analysis.statistics.comparisons import AnalysisPlan
from analysis.words import coverage, list_words, spread
from hpc.core.words import amount

NOT_DECLARED = "not declared"


def fill_checklist(
    spec: Mapping[str, Any], results: Sequence[ConfigurationResult], plan: AnalysisPlan, resources: ResourceUse
) -> tuple[tuple[str, str], ...]:
    """Answer what the checklist asks of experiments (items 6, 7 and 8), in its words.

    Args:
        spec: The experiment as it was planned.
        results: Its configurations.
        plan: How comparisons were judged.
        resources: What it cost.
    """
    told = spec.get("reporting") or {}
    tuning = told.get("tuning") or {}
    tests = sorted({one.comparison.test for one in results if one.comparison and one.comparison.test})
    runs = [one.estimate.n for one in results if one.estimate.n]
    level = coverage(plan.confidence)
    return (
        ("Data split on which the results were measured", _declared(told.get("split"), "split")),
        (
            "How the hyperparameters were chosen",
            f"baseline: {tuning['baseline']}; others: {tuning['others']}" if tuning else _declared(None, "tuning"),
        ),
        (
            "Factors of variability that the error bars capture",
            f"the seed: {list_words(told['seed_varies'])}"
            if told.get("seed_varies")
            else _declared(None, "seed_varies"),
        ),
        (
            "Method for calculating the error bars",
            "Student's t interval of a mean; for a difference, the interval of its test "
            f"({' or '.join(tests) or 'none made'})",
        ),
        (
            "Standard deviation or standard error",
            f"± is the standard deviation between runs (n - 1); intervals are {level} confidence intervals",
        ),
        ("Assumptions made", "normally distributed errors; the seeds are independent"),
        ("Runs behind each number", f"{spread(runs)} per configuration" if runs else "none"),
        (
            "Compute resources",
            f"{amount(resources.gpu_hours, 'GPU hours')} and {amount(resources.cpu_hours, 'CPU hours')}, all attempts "
            "of this experiment",
        ),
    )


def _declared(value: str | None, name: str) -> str:
    return value or f"{NOT_DECLARED} (reporting.{name})"
