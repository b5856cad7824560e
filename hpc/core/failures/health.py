"""What a training's curves say about its health: warnings while it runs, evidence when it has ended. Pure.

Each check is one function from names and values to at most one warning a metric, and `CHECKS` lists them all. The
thresholds are conservative on purpose: a warning that is wrong one time in ten is one nobody reads. What they were
chosen against stands in `docs/training-health.md`; the false alarms on healthy curves are measured by a test.

A warning never ends a run. Two of them, when they last to the end, keep a run that exited with 0 from being a success:
see `is_result_spoiled` and `hpc.core.failures.fact_rules`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from math import fsum, isfinite

from hpc.core.immutable import immutable

Series = Mapping[str, Sequence[float]]
"""Metric name → values in step order, non-finite ones included."""


class Sign(StrEnum):
    """What a curve can show."""

    NON_FINITE = "non_finite"  # the last values are NaN or infinite
    NON_FINITE_SURVIVED = "non_finite_survived"  # some were, later ones are numbers again
    SPIKE_RECOVERED = "spike_recovered"  # leapt up and came back
    EXPLOSION = "explosion"  # ends far above where it began
    NO_LEARNING = "no_learning"  # never moved from where it began
    APART = "train_validation_apart"  # validation rises while training falls
    GRADIENT_VANISHED = "gradient_vanished"
    GRADIENT_EXPLODED = "gradient_exploded"
    OSCILLATION = "oscillation"  # jumps up and down at every step without getting anywhere


@immutable
class HealthWarning:
    """One sign in one metric.

    Attributes:
        sign: What it shows.
        metric: Name of the metric.
        since: Index of the first value it is about, from 0.
        text: One sentence with the numbers.
        lasting: Whether it holds up to the last value.
    """

    sign: Sign
    metric: str
    since: int
    text: str
    lasting: bool


LOSS_NAME = re.compile(r"loss|error|cost|objective|energy|perplexity|ppl|nll|^metric$", re.IGNORECASE)
GRADIENT_NAME = re.compile(r"grad(?:ient)?s?[_ .-]?norm|gnorm|^grad", re.IGNORECASE)
TRAINING_LOSS = re.compile(r"(?:train(?:ing)?[/_.])?(?:lm_)?loss", re.IGNORECASE)
REWARD_NAME = re.compile(r"reward|(?:^|[/_.])rew_|return", re.IGNORECASE)
VALIDATION = re.compile(r"^(?:val(?:id(?:ation)?)?|eval|test|dev)(?=[/_.])", re.IGNORECASE)
_NORM_NAME = re.compile(r"grad|norm", re.IGNORECASE)

EXPLODED = 100.0  # × the beginning: no schedule or curriculum does this, and what begins near 0 is left out
FLAT = 0.0005  # relative width: float32 losses of a training that moves at all differ by more
FLAT_VALUES = 20
SPIKE = 5.0  # × the highest of its neighbourhood; heavy tails of healthy runs stay below …
SPIKE_DEVIATIONS = 12.0  # … and so many median deviations above the median before it
SPIKE_BEFORE = 10
APART_RISE = 1.25  # × validation's best; small data sets and dropout move less than this
APART_VALUES = 8
VANISHED = 1e-6  # × the early median
GRADIENT_EXPLODED = 1e3  # × the early median, three times in a row
OSCILLATION_VALUES = 40
OSCILLATION_TURNS = 0.94  # share of steps that turn round; noise turns round in two of three
OSCILLATION_SIZE = 0.2  # median jump as a share of the level


def examine(series: Series) -> tuple[HealthWarning, ...]:
    """Look for every sign in every metric. No data, no warning; any values are taken, none raises."""
    return tuple(warning for check in CHECKS for warning in check(series))


def is_result_spoiled(warning: HealthWarning) -> bool:
    """Whether a run with this sign at its end has no result, whatever its exit code."""
    return warning.lasting and warning.sign in (Sign.NON_FINITE, Sign.EXPLOSION, Sign.NO_LEARNING)


def median(values: Iterable[float]) -> float:
    """As `statistics.median`, which takes a `status` of what runs a tenth of its time to load."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def find_non_finite(series: Series) -> tuple[HealthWarning, ...]:
    """Losses whose last value, gradient norms whose last three values are not finite; and those that came back.

    Mixed precision skips a step whose gradients overflow, so that single infinite norms are healthy.
    """
    return tuple(
        warning
        for name, values in series.items()
        if (_NORM_NAME.search(name) or LOSS_NAME.search(name)) and (warning := _non_finite(name, values))
    )


def _non_finite(name: str, values: Sequence[float]) -> HealthWarning | None:
    tail = values[-3:] if _NORM_NAME.search(name) else values[-1:]
    bad = [i for i, value in enumerate(values) if not isfinite(value)]
    if not bad:
        return None
    if not any(isfinite(value) for value in tail):
        since = next((i + 1 for i in range(len(values) - 1, -1, -1) if isfinite(values[i])), 0)
        text = f"{name} is {values[-1]} from value {since + 1} of {len(values)} to the end"
        return HealthWarning(Sign.NON_FINITE, name, since, text, lasting=True)
    if _NORM_NAME.search(name):
        return None
    text = f"{name} was not finite in {len(bad)} of {len(values)} values, last at value {bad[-1] + 1}"
    return HealthWarning(Sign.NON_FINITE_SURVIVED, name, bad[0], text, lasting=False)


def find_explosions(series: Series) -> tuple[HealthWarning, ...]:
    """Training losses that end a hundred times above where they began; losses that begin at nothing are left out.

    Value losses of reinforcement learning grow with the return and are no training loss in this sense.
    """
    if grows_with_reward(series):
        return ()
    found = []
    for name, values in series.items():
        numbers = _finite(values) if TRAINING_LOSS.fullmatch(name) else []
        if len(numbers) < 5:
            continue
        begin, end = median(numbers[:3]), median(numbers[-3:])
        if len(numbers) < 9 and numbers[0] > 0.1:  # the third value of few may already be far up
            begin = min(begin, numbers[0])
        if begin > 0.01 and end > EXPLODED * begin and (len(numbers) > 5 or numbers[-1] > EXPLODED * begin):
            text = f"{name} rose from {begin:.4g} to {end:.4g}"
            found.append(HealthWarning(Sign.EXPLOSION, name, len(values) - 3, text, lasting=True))
    return tuple(found)


def _finite(values: Sequence[float]) -> list[float]:
    return list(filter(isfinite, values))


def grows_with_reward(series: Series) -> bool:
    """Whether a reward rises beside the losses: then they are of reinforcement learning and may grow with it."""
    return any(
        median(numbers[-3:]) > median(numbers[:3])
        for name, values in series.items()
        if REWARD_NAME.search(name) and len(numbers := _finite(values)) >= 6
    )


def find_no_learning(series: Series) -> tuple[HealthWarning, ...]:
    """Training losses that never left where they began: a plateau at chance, a learning rate of 0, a cut graph.

    A loss of nothing is not one: it is perfect. A run that went on from a checkpoint may stand on its plateau; who
    knows that must not ask.
    """
    return tuple(
        HealthWarning(
            Sign.NO_LEARNING, name, 0, f"{name} stays at {median(values):.4g} over {len(values)} values", lasting=True
        )
        for name, values in series.items()
        if TRAINING_LOSS.fullmatch(name) and _is_flat(values)
    )


def _is_flat(values: Sequence[float]) -> bool:
    if len(values) < FLAT_VALUES or not all(isfinite(value) for value in values):
        return False
    level = abs(median(values))
    return level > 1e-6 and max(values) - min(values) < FLAT * level


def find_spikes(series: Series) -> tuple[HealthWarning, ...]:
    """The highest leap of a training loss, when it came back below twice the level it leapt from."""
    found = []
    for name, values in series.items():
        if not TRAINING_LOSS.fullmatch(name):
            continue
        numbers = [(i, value) for i, value in enumerate(values) if isfinite(value)]
        if len(numbers) < SPIKE_BEFORE + 3:
            continue
        place = max(range(SPIKE_BEFORE, len(numbers)), key=lambda k: numbers[k][1])
        before = [value for _, value in numbers[max(0, place - 5 * SPIKE_BEFORE) : place]]
        level, top = median(before), numbers[place][1]
        usual = max(before + [value for _, value in numbers[place + SPIKE_BEFORE : place + 6 * SPIKE_BEFORE]])
        deviation = median(abs(value - level) for value in before)
        recovered = median(value for _, value in numbers[-3:]) < 2 * level
        if level > 0 and top > level + SPIKE_DEVIATIONS * deviation and top > SPIKE * usual and recovered:
            text = f"{name} jumped from {level:.4g} to {top:.4g} and came back"
            found.append(HealthWarning(Sign.SPIKE_RECOVERED, name, numbers[place][0], text, lasting=False))
    return tuple(found)


def find_apart(series: Series) -> tuple[HealthWarning, ...]:
    """Validation losses that rise well above their best while the training loss of the same run still falls."""
    training = next((v for name, v in series.items() if TRAINING_LOSS.fullmatch(name) and len(v) >= APART_VALUES), None)
    found = []
    for name, values in series.items():
        own = VALIDATION.match(name)
        if training is None or own is None or not TRAINING_LOSS.fullmatch(name[own.end() + 1 :]):
            continue
        if len(values) < APART_VALUES or not all(isfinite(value) for value in values):
            continue
        best = min(range(len(values)), key=lambda i: values[i])
        end = median(values[-3:])
        at_best = training[: max(1, round(len(training) * (best + 1) / len(values)))][-3:]
        falls = median(training[-3:]) < median(at_best)
        if (
            0 < values[best] * APART_RISE < end
            and best < 0.7 * len(values)
            and min(values[-3:]) > values[best]
            and falls
        ):
            text = f"{name} rose from its best {values[best]:.4g} to {end:.4g} while the training loss kept falling"
            found.append(HealthWarning(Sign.APART, name, best, text, lasting=True))
    return tuple(found)


def find_gradient_trouble(series: Series) -> tuple[HealthWarning, ...]:
    """Gradient norms that vanished or exploded for at least three values in a row up to the last."""
    found = []
    for name, values in series.items():
        numbers = _finite(values) if GRADIENT_NAME.search(name) else []
        if len(numbers) < 12:
            continue
        early, last = median(numbers[: len(numbers) // 2]), numbers[-3:]
        since = len(values) - 3
        if early > 0 and max(last) < VANISHED * early:
            text = f"{name} fell from {early:.3g} to {max(last):.3g}"
            found.append(HealthWarning(Sign.GRADIENT_VANISHED, name, since, text, lasting=True))
        elif early > 0 and min(last) > GRADIENT_EXPLODED * early:
            text = f"{name} rose from {early:.3g} to {min(last):.3g}"
            found.append(HealthWarning(Sign.GRADIENT_EXPLODED, name, since, text, lasting=True))
    return tuple(found)


def find_oscillations(series: Series) -> tuple[HealthWarning, ...]:
    """Training losses that at nearly every step jump back by a fifth of their level without falling on the whole."""
    found = []
    for name, values in series.items():
        last = _finite(values[-OSCILLATION_VALUES:]) if TRAINING_LOSS.fullmatch(name) else []
        if len(last) < OSCILLATION_VALUES:
            continue
        jumps = [b - a for a, b in pairwise(last)]
        turns = sum(a * b < 0 for a, b in pairwise(jumps)) / (len(jumps) - 1)
        level, size = abs(_mean(last)), median(abs(jump) for jump in jumps)
        if turns >= OSCILLATION_TURNS and size > OSCILLATION_SIZE * level and _stays(last):
            text = f"{name} jumps by {size:.3g} around {level:.3g} at nearly every step"
            found.append(HealthWarning(Sign.OSCILLATION, name, len(values) - len(last), text, lasting=True))
    return tuple(found)


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


def _stays(values: Sequence[float]) -> bool:
    """Whether the second half lies as high as the first."""
    from statistics import pstdev  # here: it loads ten modules, and nearly no curve jumps so

    half = len(values) // 2
    return _mean(values[half:]) > _mean(values[:half]) - 0.1 * pstdev(values)


CHECKS: tuple[Callable[[Series], tuple[HealthWarning, ...]], ...] = (
    find_non_finite,
    find_explosions,
    find_no_learning,
    find_gradient_trouble,
    find_apart,
    find_oscillations,
    find_spikes,
)
"""Every check, the most serious first."""
