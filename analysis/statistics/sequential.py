"""A few seeds first, more where they did not settle it: who gets more, and what the second look costs in error rate.

The rule is that of the user's protocol: run 3 seeds; where the mean lies within 2σ of the baseline's, run 2 more.
Whoever looks twice has two chances to be wrong, so the error rate of the whole procedure is simulated, and the level is
named at which the tests have to be read so that it stays what was asked for.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.statistics.comparisons import ALPHA, compare_means
from analysis.statistics.linear_model import model_rows
from analysis.statistics.row_tests import paired_rows, welch_rows
from analysis.statistics.samples import FEWEST_PAIRS, Sample, as_sample

Floats = npt.NDArray[np.float64]
SIGMAS = 2.0
"""Within this many standard deviations of the baseline a configuration is not settled."""
_MOST_ARMS = 8
REPETITIONS = 100_000
"""Simulated experiments: the standard error of a rate of 5 % is then 0.07 points."""


@dataclass(frozen=True)
class NeedsMore:
    """Whether a configuration needs further seeds.

    Attributes:
        needed: The answer.
        z: |difference| in standard deviations of the baseline, as the 2σ rule has it; None where it cannot be computed.
        reason: One sentence, also for a no.
    """

    needed: bool
    z: float | None
    reason: str


@dataclass(frozen=True)
class TwoLooks:
    """What a second look does to the error rates, where configuration and baseline are the same (normal values).

    Attributes:
        first: Seeds at the first look.
        further: Seeds added for the second.
        baseline: Baseline runs at the first look and at the second.
        paired: Whether runs are paired by seed.
        alpha: Error rate asked for.
        continued: Share of experiments that go on to the second look.
        rule_error: Chance that the 2σ rule calls WINNER or LOSER at either look.
        test_error: Chance of p < alpha when the test is read at `alpha`, as if there had been one look.
        level: Read the test at this level, and the chance is `alpha`; never above `alpha`.
        repetitions: Simulated experiments.
    """

    first: int
    further: int
    baseline: tuple[int, int]
    paired: bool
    alpha: float
    continued: float
    rule_error: float
    test_error: float
    level: float
    repetitions: int

    @property
    def text(self) -> str:
        """The account in one sentence."""
        return (
            f"Seeds come in two looks ({self.first}, then {self.further} more where the mean lay within "
            f"{SIGMAS:g}σ of the baseline's): read at {self.alpha:g} the test would be wrong in "
            f"{100 * self.test_error:.1f} % of equal configurations, so it is read at {self.level:.4f}, which keeps it "
            f"at {100 * self.alpha:g} %; the 2σ rule is wrong in {100 * self.rule_error:.1f} % (simulated, "
            f"{self.repetitions:,} experiments)."
        )


def needs_more_seeds(values: npt.ArrayLike | Sample, baseline: npt.ArrayLike | Sample) -> NeedsMore:
    """Decide whether a configuration's mean lies within 2σ of the baseline's, over the runs the verdict is over.

    Args:
        values: The runs of the first look, or an array of shape (runs,) without seeds; NaN where one gave no value.
        baseline: The runs of the baseline.

    Returns:
        No where the 2σ rule has settled it, and where it cannot be applied: a configuration none of whose runs gave a
        value, or a baseline with fewer than 2 values or equal ones, gets no clearer by more seeds of the same.
    """
    ours, base = as_sample(values), as_sample(baseline)
    found = compare_means(ours, base, "min")  # the distance is the same for either goal
    if not found.n:
        return NeedsMore(False, None, "no run gave a value, so further seeds could not be compared with anything")
    if found.z is None:
        unknown = f"the baseline's spread is not known (n={found.n_baseline}), so the 2σ rule cannot be applied"
        return NeedsMore(False, None, unknown)
    side = "within" if found.z < SIGMAS else "beyond"
    sizes = f"n={found.n} against {found.n_baseline}" + (f", {found.basis}" if found.pairs else "")
    reason = f"the mean lies {found.z:.2f}σ from the baseline's, {side} {SIGMAS:g}σ ({sizes})"
    return NeedsMore(found.z < SIGMAS, found.z, reason)


def simulate_two_looks(
    first: int,
    further: int,
    baseline: tuple[int, int],
    rng: np.random.Generator,
    *,
    alpha: float = ALPHA,
    paired: bool = True,
    arms: int = 1,
    repetitions: int = REPETITIONS,
) -> TwoLooks:
    """Play the two looks with equal configurations and count how often each verdict is wrong.

    Runs are independent normal values; pairs that resemble each other make the second look more frequent and cost less.

    Args:
        first: Seeds of the configuration at the first look, at least 2.
        further: Seeds added.
        baseline: Baseline runs at the first and at the second look.
        rng: Source of chance.
        alpha: Error rate asked for.
        paired: Runs share seeds with the baseline.
        arms: Configurations that are compared with it; the test is that of the report, with 8 of them at most.
        repetitions: Simulated experiments.

    Raises:
        ValueError: Fewer than 2 runs on a side.
    """
    if first < 2 or min(baseline) < 2 or further < 1:
        raise ValueError("two looks need at least 2 runs on each side and 1 further seed")
    arms = min(arms, _MOST_ARMS) if paired else 1
    ours = rng.standard_normal((repetitions // arms, arms, first + further))
    base = rng.standard_normal((repetitions // arms, 1, max(baseline)))
    looks = [
        _look(ours[..., :n], base[..., :m], paired=paired)
        for n, m in zip((first, first + further), baseline, strict=True)
    ]
    (early_z, early_p), (late_z, late_p) = looks
    settled = early_z >= SIGMAS
    p = np.where(settled, early_p, late_p)
    return TwoLooks(
        first=first,
        further=further,
        baseline=baseline,
        paired=paired,
        alpha=alpha,
        continued=float(np.mean(~settled)),
        rule_error=float(np.mean(settled | (late_z >= SIGMAS))),
        test_error=float(np.mean(p < alpha)),
        level=min(alpha, float(np.quantile(p, alpha))),
        repetitions=repetitions,
    )


def _look(ours: Floats, base: Floats, *, paired: bool) -> tuple[Floats, Floats]:
    """z and p of every comparison at one look, as `compare_family` tests them.

    Args:
        ours: Array of shape (experiments, arms, runs).
        base: Array of shape (experiments, 1, runs).
        paired: Whether runs in one column have the same seed.
    """
    arms, n, m = ours.shape[1], ours.shape[2], base.shape[2]
    pairs = min(n, m)
    blocked = m <= n or pairs >= FEWEST_PAIRS
    if paired and arms > 1:
        values = np.full((len(ours), 1 + arms, max(n, m)), np.nan)
        values[:, :1, :m], values[:, 1:, :n] = base, ours
        found = model_rows(values, blocked=blocked)
        difference, p = found.difference, found.p
    else:
        ours, base = ours[:, 0], base[:, 0]
        tested = (
            paired_rows(ours[:, :pairs], base[:, :pairs])
            if paired and pairs >= FEWEST_PAIRS
            else welch_rows(ours, base)
        )
        difference, p = tested.difference[:, None], tested.p[:, None]
    sigma = base.reshape(len(base), m).std(axis=1, ddof=1)[:, None]
    return (np.abs(difference) / sigma).ravel(), p.ravel()
