"""What a design can find: the smallest difference from the baseline that its test finds in four of five experiments.

The report's tests (`analysis.statistics.comparisons`) for equal normal spreads, in units of σ, the standard deviation
between the runs of one configuration. The quantiles are written out: `plan` starts without scipy.
"""

from functools import lru_cache
from itertools import product
from math import exp, inf, lgamma, log, prod, sqrt
from statistics import NormalDist

from hpc.core.immutable import immutable

POWER = 0.8
_NORMAL = NormalDist()
FEWEST_PAIRS = 5
"""As in `analysis.statistics.samples`."""


@immutable
class Design:
    """Equal configurations against a baseline.

    Attributes:
        arms: Configurations that are compared with one baseline.
        seeds: Runs of each.
        baseline: Runs of the baseline.
        comparisons: Over which p-values are adjusted; with several baselines more than `arms`.
        alpha: Error rate after adjustment.
    """

    arms: int
    seeds: int
    baseline: int
    comparisons: int
    alpha: float = 0.05

    @property
    def smallest(self) -> float:
        """Difference in σ that is found with 80 % chance, by the hardest level of Holm's; infinite without a test."""
        if min(self.seeds, self.baseline) < 2:
            return inf
        parts, most = self._parts()
        return _found_at(parts, most, 1 - self.alpha / self.comparisons / 2)

    def _parts(self) -> tuple[list[tuple[float, float]], float]:
        """What the variance of one comparison is made of, in σ²: (share, degrees of freedom), and at most how many."""
        shared = min(self.seeds, self.baseline)
        if self.arms == 1:
            if self.baseline == self.seeds >= FEWEST_PAIRS:
                return [(2 / shared, shared - 1)], inf
            return [(1 / runs, runs - 1) for runs in (self.seeds, self.baseline)], inf
        is_blocked = self.baseline <= self.seeds or shared >= FEWEST_PAIRS
        runs = (shared, shared) if is_blocked else (self.seeds, self.baseline)
        own, base = ((self.arms / (1 + self.arms) if is_blocked else 1.0) * (one - 1) for one in runs)
        return [(1 / runs[0], own + _prior(own, self.arms)), (1 / runs[1], base)], self.arms * own + base


def _found_at(parts: list[tuple[float, float]], most: float, level: float) -> float:
    """Find the true difference at which t lies above its bound with 80 % chance.

    Averaged over what the estimated variances may be, and the degrees of freedom that follow from them.
    """
    cases = []
    for drawn in product(*(_variances(free) for _, free in parts)):
        weight = prod(one for _, one in drawn)
        shares = [share * variance for (share, _), (variance, _) in zip(parts, drawn, strict=True)]
        if weight > 1e-7:
            df = sum(shares) ** 2 / sum(one**2 / free for one, (_, free) in zip(shares, parts, strict=True))
            cases.append((weight, _rounded_quantile(level, round(8 * log(min(df, most)))) * sqrt(sum(shares))))
    error, whole = sqrt(sum(share for share, _ in parts)), sum(weight for weight, _ in cases)
    low, high = 0.0, 40 * error * _rounded_quantile(level, round(8 * log(parts[-1][1])))
    for _ in range(30):
        middle = (low + high) / 2
        chance = sum(weight * _NORMAL.cdf((middle - bound) / error) for weight, bound in cases) / whole
        low, high = (middle, high) if chance < POWER else (low, middle)
    return high


def _variances(free: float) -> list[tuple[float, float]]:
    """What a variance may be estimated as where it is 1, each with its weight: χ²(df) / df."""
    grid = [(place + 0.5) / 6 for place in range(-90, 18)]
    weights = [exp(free / 2 * (at - exp(at))) for at in grid]
    found = [(exp(at), weight / sum(weights)) for at, weight in zip(grid, weights, strict=True)]
    return [one for one in found if one[1] > 1e-5]


@lru_cache
def _rounded_quantile(level: float, steps: int) -> float:
    return quantile(level, exp(steps / 8))


def quantile(share: float, df: float) -> float:
    """Quantile of Student's t above its middle, by halving."""
    low, high = 0.0, 1.0
    while _cdf(high, df) < share:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _cdf(middle, df) < share else (low, middle)
    return high


def _cdf(t: float, df: float) -> float:
    """Chance that Student's t lies below t ≥ 0: one minus half the regularised incomplete beta function."""
    x, a, b = df / (df + t * t), df / 2, 0.5
    if x >= 1:
        return 0.5
    turned = x > (a + 1) / (a + b + 2)
    if turned:
        a, b, x = b, a, 1 - x
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1 - x)) / a
    tail = front * _fraction(a, b, x)
    return 1 - (1 - tail if turned else tail) / 2


def _fraction(a: float, b: float, x: float) -> float:
    """Continued fraction of the incomplete beta function (Lentz's method)."""
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, 300):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 / (1 + step * d), 1 + step / c
            found *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return found


def _prior(free: float, arms: int) -> float:
    """Degrees of freedom that the mean spread of the arms counts for where all are equal (`linear_model.moderate`)."""
    by_chance = _polygamma(free / 2, 2, 1.0)
    error = sqrt(_polygamma(free / 2, 4, 6.0) / arms + 2 * by_chance**2 / (arms - 1))
    low, high = 1e-3, 1e6
    for _ in range(80):
        middle = sqrt(low * high)
        low, high = (middle, high) if _polygamma(middle, 2, 1.0) > error else (low, middle)
    return 2 * high


def _polygamma(x: float, power: int, factor: float) -> float:
    """Factor · Σ (x + k)^-power: the trigamma function (2, 1) and its second derivative (4, 6)."""
    far = x + 40
    rest = far ** (1 - power) / (power - 1) + far**-power / 2 + power * far ** (-power - 1) / 12
    return factor * (sum((x + k) ** -power for k in range(40)) + rest)
