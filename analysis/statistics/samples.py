"""The runs of one configuration on one metric, and which of two samples' runs belong together by their seeds."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FEWEST_PAIRS = 5
"""Below it pairs of one configuration find less than Welch's test unless seeds make up more than half the spread."""
FEWEST_SHARED = 2
STEADY = 1e-9
"""Pairs whose differences vary by less than this share of the range of the runs differ by the same."""


@dataclass(frozen=True, eq=False)
class Sample:
    """The runs of one configuration on one metric.

    Attributes:
        values: Array of shape (runs planned,); NaN where a run gave no comparable value.
        seeds: Array of shape (runs planned,), the seed of each; None where seeds mean nothing.
    """

    values: Floats
    seeds: Ints | None = None

    @property
    def finite(self) -> Floats:
        """The values there are."""
        found: Floats = self.values[np.isfinite(self.values)]
        return found


def as_sample(values: npt.ArrayLike | Sample) -> Sample:
    """Take an array of shape (runs,) as a sample without seeds."""
    return values if isinstance(values, Sample) else Sample(np.asarray(values, dtype=np.float64).ravel())


def find_pairs(ours: Sample, base: Sample) -> tuple[Floats, Floats] | None:
    """Return the values of both sides seed by seed; None where the design has no pairs, or fewer than 2 are complete.

    A run without a value takes its partner out with it.

    Returns:
        Two arrays of shape (complete pairs,).
    """
    if not has_pairs(ours, base) or ours.seeds is None or base.seeds is None:
        return None
    by_seed = dict(zip(base.seeds.tolist(), base.values.tolist(), strict=True))
    mine = zip(ours.seeds.tolist(), ours.values.tolist(), strict=True)
    pairs = [(value, by_seed[seed]) for seed, value in mine if seed in by_seed]
    complete = np.array([pair for pair in pairs if np.isfinite(pair).all()], dtype=np.float64).reshape(-1, 2)
    return (complete[:, 0], complete[:, 1]) if len(complete) >= FEWEST_SHARED else None


def has_pairs(ours: Sample, base: Sample) -> bool:
    """Whether each seed occurs once on a side and the planned seeds of one side are all among the other's."""
    if ours.seeds is None or base.seeds is None:
        return False
    mine, theirs = set(ours.seeds.tolist()), set(base.seeds.tolist())
    return len(mine) == len(ours.seeds) and len(theirs) == len(base.seeds) and (mine <= theirs or theirs <= mine)


def are_steady(ours: Floats, base: Floats) -> bool:
    """Whether 3 and more pairs all differ by the same although their runs vary."""
    return len(ours) > FEWEST_SHARED and extent(ours - base) <= STEADY * max(extent(ours), extent(base))


def extent(values: Floats) -> float:
    """Greatest minus least; a standard deviation takes ten times as long."""
    return float(values.max() - values.min())


def same_seeds(ours: Sample, base: Sample) -> bool:
    """Whether both sides have values of the same seeds."""
    mine, theirs = (set(one.seeds[np.isfinite(one.values)].tolist()) for one in (ours, base) if one.seeds is not None)
    return mine == theirs
