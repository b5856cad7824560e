"""Chooses which configurations are shown where not all of them fit."""

from analysis.findings.configurations import ConfigurationResult
from analysis.findings.findings import Findings


def choose_shown(findings: Findings, limit: int) -> tuple[ConfigurationResult, ...]:
    """Choose which configurations fit: all, or baselines, then the best ones and the worst one; the best mean first."""
    results = findings.results
    sign = -1 if findings.primary and findings.primary.goal == "max" else 1
    valued = sorted(
        (one for one in results if one.estimate.mean is not None), key=lambda one: sign * (one.estimate.mean or 0.0)
    )
    by_rank = valued + [one for one in results if one.estimate.mean is None]
    if len(results) <= limit:
        return tuple(by_rank)
    first = [one for one in results if one.is_baseline][: limit // 3 or 1] + valued[-1:] + by_rank
    chosen = set(list(dict.fromkeys(one.number for one in first))[:limit])
    return tuple(one for one in by_rank if one.number in chosen)
