"""Estimates of one sample and their intervals: arrays in, frozen results out.

What cannot be computed is None with the reason in `note` (``not computable: n=1``): never a crash, never an invented
number. How often each interval covers the truth at small n is measured in ``docs/statistics.md``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
LEVEL = 0.95
ROUNDING = 1e-12
"""Spreads below this share of the values are rounding and no spread."""
RESAMPLES = 2000
"""Bootstrap samples: enough that the ends of a 95 % interval do not move in the digits shown."""


@dataclass(frozen=True)
class Estimate:
    """The mean of a sample, how much the sample varies, and how well the mean is known.

    Attributes:
        n: Finite values; everything here rests on these alone.
        missing: Values that were NaN or infinite: runs that gave no number.
        mean: Arithmetic mean, in the metric's unit; None for n = 0.
        std: Sample standard deviation (n − 1 in the denominator), in the metric's unit; None for n < 2.
        low: Lower end of Student's t interval of the mean, in the metric's unit; None for n < 2.
        high: Upper end of the same interval.
        level: Coverage of the interval, 0 to 1.
        note: Why something is None; empty when everything could be computed.
        median: Middle value; None for n = 0.
        iqm: Interquartile mean: mean without the lowest and the highest quarter of the values (rounded down, so that
            for n < 4 it is the mean); None for n = 0.
        minimum: Smallest value; None for n = 0.
        maximum: Largest value; None for n = 0.
    """

    n: int
    missing: int
    mean: float | None
    std: float | None
    low: float | None
    high: float | None
    level: float
    note: str = ""
    median: float | None = None
    iqm: float | None = None
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Interval:
    """An interval of a statistic.

    Attributes:
        value: The statistic of the sample itself.
        low: Lower end.
        high: Upper end.
        level: Coverage meant, 0 to 1.
        method: How it was made: ``BCa bootstrap``.
    """

    value: float
    low: float
    high: float
    level: float
    method: str


def estimate(values: npt.ArrayLike, level: float = LEVEL) -> Estimate:
    """Estimate a mean with Student's t interval: mean ± t(n − 1) · s / sqrt(n).

    Args:
        values: Array of shape (runs,); NaN and infinity count as missing.
        level: Coverage wanted, strictly between 0 and 1.

    Raises:
        ValueError: `level` is not between 0 and 1.
    """
    _check_level(level)
    sample = np.asarray(values, dtype=np.float64).ravel()
    finite = np.sort(sample[np.isfinite(sample)])
    n, missing = len(finite), len(sample) - len(finite)
    if n == 0:
        return Estimate(0, missing, None, None, None, None, level, "not computable: n=0, no run gave a value")
    mean = mean_of(finite)
    place = (
        float(finite[(n - 1) // 2] + finite[n // 2]) / 2,
        mean_of(finite[n // 4 : n - n // 4]),
        float(finite[0]),
        float(finite[-1]),
    )
    if n == 1:
        note = "std and interval not computable: n=1"
        return Estimate(1, missing, mean, None, None, None, level, note, *place)
    std = std_of(finite)
    half = t_quantile(level, n - 1) * std / np.sqrt(n)
    note = "" if std > 0 else "all values are equal: the interval has no width, which does not prove certainty"
    return Estimate(n, missing, mean, std, float(mean - half), float(mean + half), level, note, *place)


def bca_intervals(
    samples: Sequence[npt.ArrayLike], rng: np.random.Generator, level: float = LEVEL, resamples: int = RESAMPLES
) -> tuple[Interval | None, ...]:
    """Return the bias-corrected and accelerated bootstrap interval of each sample's mean (Efron 1987; scipy's).

    Samples of equal size are resampled together, so that thousands cost about a second.

    Args:
        samples: Arrays of shape (runs,); NaN and infinity are left out.
        rng: Source of chance; the same state gives the same intervals.
        level: Coverage wanted.
        resamples: Bootstrap samples.

    Returns:
        One interval per sample; None where fewer than 3 values are there or all are equal.

    Raises:
        ValueError: `level` is not between 0 and 1.
    """
    _check_level(level)
    finite = [one[np.isfinite(one)] for one in (np.asarray(values, dtype=np.float64).ravel() for values in samples)]
    found: list[Interval | None] = [None] * len(finite)
    by_size: dict[int, list[int]] = {}
    for place, one in enumerate(finite):
        if len(one) >= 3 and np.ptp(one) > ROUNDING * np.abs(one).max():
            by_size.setdefault(len(one), []).append(place)
    for size in sorted(by_size):
        places = by_size[size]
        rows = np.stack([finite[place] for place in places])
        # Powers of two change no digit, and cubes of 1e180 would leave the range of floats.
        scale = np.ldexp(1.0, np.frexp(np.ptp(rows, axis=1, keepdims=True))[1])
        made = stats.bootstrap(
            (rows / scale,), np.mean, axis=1, vectorized=True, n_resamples=resamples, confidence_level=level,
            method="BCa", rng=rng, batch=max(1, 10_000_000 // rows.size),
        ).confidence_interval  # fmt: skip
        ends = np.stack([made.low, made.high], axis=1) * scale
        for place, middle, (low, high) in zip(places, rows.mean(axis=1), ends, strict=True):
            if np.isfinite(low) and np.isfinite(high):
                found[place] = Interval(float(middle), float(low), float(high), level, "BCa bootstrap")
    return tuple(found)


@lru_cache(maxsize=1024)
def t_quantile(level: float, df: float) -> float:
    """Two-sided quantile of Student's t; kept, because thousands of configurations share a few sizes."""
    return float(stats.t.ppf((1 + level) / 2, df))


def mean_of(finite: Floats) -> float:
    """Mean that is exact for equal values: summing 0.1 three times and dividing is not 0.1."""
    # As numpy's mean does it, which takes three times as long for a few values; so below.
    return float(finite[0]) if finite.min() == finite.max() else float(finite.sum() / len(finite))


def std_of(finite: Floats) -> float:
    """Sample standard deviation that is exactly zero for equal values."""
    spread = finite.max() - finite.min()
    if spread == 0:
        return 0.0
    # Scaled first: the squares of 1e-200 or 1e200 would leave the range of floats.
    scaled = (finite - finite.min()) / spread
    apart = scaled - scaled.sum() / len(scaled)
    return float(np.sqrt((apart * apart).sum() / (len(scaled) - 1)) * spread)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must be a coverage strictly between 0 and 1, not {level}")
