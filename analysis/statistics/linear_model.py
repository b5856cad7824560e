"""All arms and their baseline in one linear model: what an arm adds, and what a seed adds to every run of it.

With 3 seeds a comparison by itself knows its spread from 2 differences; 20 arms know it together. Spreads are drawn
towards their mean as far as the arms look alike (Smyth 2004, as limma does it for genes), each arm keeping what its own
runs say; the baseline keeps its own, because an error in it is an error in every comparison. Nothing is taken as equal
that was not looked at: two arms are hardly drawn together, fifty are. Error rates and power: ``docs/statistics.md``.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]
_NO_SPREAD = 1e-9
"""Variances below this share of the mean one are taken as this: logarithms are taken of them."""
_ALIKE = 1e-6
"""Variance of log variances beyond chance below which arms have one spread."""


@dataclass(frozen=True, eq=False)
class ModelRows:
    """Every arm against the baseline, in many experiments of one shape; arrays of shape (experiments, arms).

    Attributes:
        difference: Arm minus baseline by least squares: the mean difference of the pairs where both sides have the same
            seeds, else with what the seeds add taken out.
        shift: What is added to an arm's runs to make up for the seeds in which it and the baseline differ.
        error: Standard error of the difference.
        df: Its degrees of freedom (Satterthwaite), at most those of the residuals.
        p: Two-sided p-value.
        base_variance: Variance of the baseline's mean, without what seeds add to it.
    """

    difference: Floats
    shift: Floats
    error: Floats
    df: Floats
    p: Floats
    base_variance: Floats


def model_rows(values: Floats, *, blocked: bool) -> ModelRows:
    """Fit value ~ arm + seed (or value ~ arm) and compare every arm with the first.

    Args:
        values: Array of shape (experiments, 1 + arms, seeds), the baseline first; NaN where there is no run, at the
            same places in every experiment. At least 2 runs of each arm, 2 arms and, blocked, a common seed.
        blocked: Whether runs of one seed have something in common; else columns mean nothing.
    """
    there = np.isfinite(values[0])
    runs = there.sum(axis=1)
    filled = np.where(there, values, 0.0)
    means = filled.sum(axis=2) / runs
    centred = np.where(there, values - means[:, :, None], 0.0)
    share = there / runs[:, None]
    # Of each arm: what its seeds look like around their mean. Their sum is the normal matrix of the seeds.
    spanned = there[:, :, None] * np.eye(there.shape[1]) - runs[:, None, None] * share[:, :, None] * share[:, None, :]
    inverse = np.linalg.pinv(spanned.sum(axis=0), hermitian=True) if blocked else np.zeros((there.shape[1],) * 2)
    seeds = centred.sum(axis=1) @ inverse
    residuals = np.where(there, centred - (seeds[:, None, :] - (seeds @ share.T)[:, :, None]), 0.0)
    free = runs - 1.0 - np.einsum("kij,ij->k", spanned, inverse)
    left = float(free.sum())
    variances = (residuals**2).sum(axis=2) / free
    arms, prior = moderate(variances[:, 1:], free[1:])
    ways = inverse @ (share[1:] - share[0]).T  # (seeds, arms): what a contrast takes from every run of a seed
    through = np.einsum("si,kst,ti->ki", ways, spanned, ways)  # (1 + arms, arms)
    own = arms * (1 / runs[1:] + np.diagonal(through[1:]))
    base_variance = np.broadcast_to(variances[:, :1] * (1 / runs[0] + through[0]), own.shape)
    others = arms @ through[1:] - arms * np.diagonal(through[1:])
    total = own + base_variance + others
    with np.errstate(divide="ignore", invalid="ignore"):
        df = total**2 / (own**2 / (prior + free[1:]) + base_variance**2 / free[0] + others**2 / left)
        df = np.minimum(df, left)
        shift = seeds @ (share[0] - share[1:]).T
        difference = means[:, 1:] - means[:, :1] + shift
        p = 2 * special.stdtr(df, -np.abs(difference) / np.sqrt(total))
    return ModelRows(difference, shift, np.sqrt(total), df, np.asarray(p), base_variance)


def moderate(variances: Floats, free: Floats) -> tuple[Floats, Floats]:
    """Draw variances towards their mean as far as they look alike.

    How much they differ is estimated from their logarithms (Smyth 2004, section 6.2) and taken one standard error
    larger than it looks: arms that cannot be told from equal are not taken as equal.

    Args:
        variances: Array of shape (experiments, arms).
        free: Degrees of freedom of each, shape (arms,).

    Returns:
        The variances, and the degrees of freedom that the mean counts for beside their own, shape (experiments, 1).
    """
    count = len(free)
    mean = (variances @ free / free.sum())[:, None]
    logs = np.log(np.maximum(variances, _NO_SPREAD * mean)) - special.digamma(free / 2) + np.log(free / 2)
    by_chance, fourth = special.polygamma(1, free / 2), special.polygamma(3, free / 2)
    error = np.sqrt(fourth.mean() / count + 2 * by_chance.mean() ** 2 / (count - 1))
    beyond = logs.var(axis=1, ddof=1) - by_chance.mean() + error
    prior = 2 * _inverse_trigamma(np.maximum(beyond, _ALIKE))[:, None]
    return (prior * mean + free * variances) / (prior + free), prior


def _inverse_trigamma(values: Floats) -> Floats:
    """Find where the trigamma function has these values; by Newton's method on its inverse, as limma does."""
    found = 0.5 + 1 / values
    for _ in range(8):
        there = special.polygamma(1, found)
        found = found + there * (1 - there / values) / special.polygamma(2, found)
    return np.asarray(found, dtype=np.float64)
