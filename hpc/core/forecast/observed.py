"""Runs that are known, and by which of their arguments the time they took grows."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from hpc.core.immutable import field, immutable, replace

WORK = (
    "epochs", "n_epochs", "num_epochs", "num_train_epochs", "train_epochs", "max_epochs",
    "max_steps", "total_steps", "num_steps", "n_steps", "train_steps", "max_iters", "iterations", "n_iterations",
    "steps", "tokens", "train_tokens", "total_tokens", "max_tokens", "samples", "n_samples", "num_samples",
    "train_size",
)  # fmt: skip
"""Arguments that say how much work a run is: its time may be linear in them. No other argument scales a forecast."""
LEAST_GAIN = 0.8
"""Scaling has to leave at most this part of the spread, or it is not done: with few runs chance alone leaves less."""
LEAST_APART = 0.4
"""An argument sets runs apart if within its values at most this part of the spread is left: chance does that rarely."""
FOR_A_START = 4
"""Runs from which on a start-up time is told from the time of the work; with fewer, time is proportional to work."""


@immutable
class Observed:
    """A run that finished.

    Attributes:
        run_name: Its name, for people.
        run_s: Wall time in seconds of the attempts its result descends from.
        spent_s: Wall time in seconds of all its attempts.
        arguments: Every value its program was given.
        peak_memory_mib: Most host memory of any of its attempts; None where it was not measured.
        disk_mib: What its folder holds; None where nobody looked.
        code: Digest of its code; empty where it is not known.
    """

    run_name: str
    run_s: float
    spent_s: float
    arguments: Mapping[str, Any] = field(default_factory=dict)
    peak_memory_mib: float | None = None
    disk_mib: float | None = None
    code: str = ""


@immutable
class Scaling:
    """How the time of a run grows with one argument, ``start_s + per_unit_s × value``, and differs by another one.

    Attributes:
        argument: Its name; empty: not at all, each run takes ``start_s``.
        fitted: Numbers that were fitted, which the spread has to do without.
        by: Argument of which some values take longer than others by more than chance; empty for none.
        factors: Value of that one, as text → how many times as long.
        between: Standard deviation of the logarithms of these.
    """

    argument: str = ""
    start_s: float = 1.0
    per_unit_s: float = 0.0
    fitted: int = 1
    by: str = ""
    factors: Mapping[str, float] = field(default_factory=dict)
    between: float = 0.0

    def time_s(self, arguments: Mapping[str, Any]) -> float:
        """What a run with these arguments takes, in seconds."""
        value = amount(arguments.get(self.argument)) if self.argument else None
        factor = self.factors.get(str(arguments.get(self.by)), 1.0) if self.by else 1.0
        return factor * (self.start_s if value is None else self.start_s + self.per_unit_s * value)

    def unseen(self, arguments: Mapping[str, Any]) -> str:
        """The value of `by` where no run with it is known: how many times as long it takes, nobody knows."""
        value = str(arguments.get(self.by)) if self.by else ""
        return "" if value in self.factors else value


def amount(value: Any) -> float | None:
    """An amount of work: a number above 0; None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) and value > 0 else None


def log_spread(values: Sequence[float], fitted: int = 1) -> tuple[float, float]:
    """Mean and standard deviation of the logarithms of positive values; the second is 0 where too few are left."""
    logs = [math.log(value) for value in values]
    mean = sum(logs) / len(logs)
    free = len(logs) - fitted
    return mean, math.sqrt(sum((each - mean) ** 2 for each in logs) / free) if free > 0 else 0.0


def find_scaling(known: Sequence[Observed]) -> Scaling:
    """Choose the argument by which the time of a run grows, if two of its values were seen and it explains the spread.

    Args:
        known: At least one run, each of more than 0 s.
    """
    plain = Scaling()
    if len(known) < 2:
        return plain
    spread = log_spread([each.run_s for each in known])[1]
    best, least = plain, LEAST_GAIN * spread
    for name in WORK:
        found = _fit(name, known)
        if found is None or len(known) <= found.fitted:
            continue
        left = log_spread([each.run_s / found.time_s(each.arguments) for each in known], found.fitted)[1]
        if left < least:
            best, least = found, left
    return _apart(known, best)


def _apart(known: Sequence[Observed], scaling: Scaling) -> Scaling:
    """Find the argument by whose values runs differ in length, where one leaves little of the spread."""
    logs = [math.log(each.run_s / scaling.time_s(each.arguments)) for each in known]
    mean = sum(logs) / len(logs)
    free = len(logs) - scaling.fitted
    best, least = scaling, LEAST_APART * math.sqrt(sum((each - mean) ** 2 for each in logs) / max(1, free))
    for name in dict.fromkeys(name for each in known for name in each.arguments):
        groups: dict[str, list[float]] = {}
        for each, log in zip(known, logs, strict=True):
            groups.setdefault(str(each.arguments.get(name)), []).append(log)
        left = free - (len(groups) - 1)
        if name == scaling.argument or not 2 <= len(groups) <= len(known) // 2 or left < 2:
            continue
        means = {value: sum(group) / len(group) for value, group in groups.items()}
        within = math.sqrt(sum((log - means[value]) ** 2 for value, group in groups.items() for log in group) / left)
        if within < least:
            middle = sum(means.values()) / len(means)
            between = math.sqrt(sum((each - middle) ** 2 for each in means.values()) / (len(means) - 1))
            factors = {value: math.exp(each - middle) for value, each in means.items()}
            fitted = scaling.fitted + len(groups) - 1
            best, least = replace(scaling, by=name, factors=factors, between=between, fitted=fitted), within
    return best


def _fit(name: str, known: Sequence[Observed]) -> Scaling | None:
    """The line through the times over one argument, by relative errors; None where it has not two values."""
    pairs = [(value, each.run_s) for each in known if (value := amount(each.arguments.get(name))) is not None]
    if len(pairs) < len(known) or len({value for value, _ in pairs}) < 2:
        return None
    # Divided by the time measured, start/t + slope·x/t = 1 is fitted: an error of a tenth counts alike at any length.
    starts = [1 / time for _, time in pairs]
    slopes = [value / time for value, time in pairs]
    s11, s12, s22 = (sum(a * b for a, b in zip(one, two, strict=True))
                     for one, two in ((starts, starts), (starts, slopes), (slopes, slopes)))  # fmt: skip
    through_zero = Scaling(name, 0.0, sum(slopes) / s22, 1)
    determinant = s11 * s22 - s12 * s12
    if len(pairs) < FOR_A_START or determinant <= 1e-12 * s11 * s22:
        return through_zero
    start = (sum(starts) * s22 - sum(slopes) * s12) / determinant
    slope = (sum(slopes) * s11 - sum(starts) * s12) / determinant
    if slope <= 0:
        return None
    return Scaling(name, start, slope, 2) if start > 0 else through_zero


def unlike(
    known: Iterable[Observed], planned: Iterable[Mapping[str, Any]], scaled_by: str, told: Collection[str] = ()
) -> dict[str, str]:
    """Name the arguments of which runs are planned with values that no known run had, and that nothing scales.

    Args:
        told: Arguments of which it counts, too, that no known run was given them.

    Returns:
        Argument → what was seen, in words: ``64 and 128, planned are 256``.
    """
    seen: dict[str, list[Any]] = {}
    for each in known:
        for name, value in each.arguments.items():
            values = seen.setdefault(name, [])
            if value not in values:
                values.append(value)
    found: dict[str, list[Any]] = {}
    for arguments in planned:
        for name, value in arguments.items():
            fresh = found.setdefault(name, [])
            is_new = (name in seen or name in told) and value not in seen.get(name, ()) and value not in fresh
            if is_new and name != scaled_by and "/" not in str(value):  # a path is no setting
                fresh.append(value)
    return {
        name: f"{_few(seen[name]) if name in seen else 'not given'}, planned {_few(new)}"
        for name, new in found.items()
        if new
    }


def _few(values: Sequence[Any]) -> str:
    shown = " and ".join(str(value)[:40] for value in values[:2])
    return f"{shown} and {len(values) - 2} more" if len(values) > 2 else shown
