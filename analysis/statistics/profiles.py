"""Performance profiles: at each of many scores or ratios the share of runs, or pairs, that reach it."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.statistics.rank_tests import score_interval
from analysis.statistics.system_runs import ORDER, RANGE, SystemRuns, bounded_exp

Floats = npt.NDArray[np.float64]
_POINTS = 101
_SAME = 1e-12


def profile_points(cells: Mapping[str, Sequence[SystemRuns]], baseline: str, scale: str) -> Floats:
    """Where the profiles are taken: from the least to the largest ratio or score, 1 among the ratios.

    Args:
        cells: Method → its runs, one entry a system.
        baseline: Name of the method that others are compared with.
        scale: ``range``, ``ratio`` or ``order``.

    Returns:
        Array of shape (points,), ascending; empty for ``order``.
    """
    if scale == ORDER:
        return np.empty(0)
    if scale == RANGE:
        every = np.concatenate([one.values for by_system in cells.values() for one in by_system])
        return np.linspace(every.min(), every.max(), _POINTS)
    ends = [
        end
        for name, by_system in cells.items()
        if name != baseline
        for one, base in zip(by_system, cells[baseline], strict=True)
        if len(one.values)
        for end in (one.values.min() - base.values.max(), one.values.max() - base.values.min())
    ]
    between = np.linspace(min([*ends, 0.0]), max([*ends, 0.0]), _POINTS)
    points: Floats = bounded_exp(np.unique(np.append(between, 0.0)))
    return points


def score_profile(ours: Sequence[SystemRuns], points: Floats, goal: str, level: float) -> tuple[Floats, Floats, Floats]:
    """Share of runs with such a score or a better one, averaged over systems, with Wilson's band.

    Args:
        ours: The runs of one method, one entry a system.
        points: Array of shape (points,): the scores.
        goal: ``min`` or ``max``.
        level: Coverage of the band at each point.

    Returns:
        The share and both ends of its band, each of shape (points,).
    """
    at = points if goal == "min" else -points
    share = np.mean([_reached(one.ordered, at) for one in ours], axis=0)
    n = sum(len(one.ordered) for one in ours)
    z = float(special.ndtri((1 + level) / 2))
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return share, middle - half, middle + half


def ratio_profile(
    pairs: Sequence[tuple[SystemRuns, SystemRuns]], points: Floats, goal: str, level: float
) -> tuple[Floats, Floats, Floats]:
    """Share of pairs with such a ratio or a better one, averaged over systems; diverged runs of the method none.

    Args:
        pairs: The runs of the method and of the baseline, one entry a system.
        points: Array of shape (points,): the ratios, above 0.
        goal: ``min`` or ``max``.
        level: Coverage of the band at each point.

    Returns:
        The share and both ends of its band, each of shape (points,).
    """
    at = np.log(points) if goal == "min" else -np.log(points)
    told = []
    for one, two in pairs:
        with np.errstate(invalid="ignore"):
            differences = one.ordered[:, None] - two.ordered[None, :]
        told.append(_reached(np.where(np.isnan(differences), np.inf, differences).ravel(), at))
    share = np.mean(told, axis=0)
    sizes = [(len(one.ordered), len(two.ordered)) for one, two in pairs]
    return share, *score_interval(share, sizes, level)


def _reached(values: Floats, at: Floats) -> Floats:
    reached: Floats = np.searchsorted(np.sort(values), at + _SAME, side="right") / len(values)
    return reached
