"""Curves read from what a program printed, for runs whose metrics are missing or shorter than their log. Pure.

A series is a metric's name and its values in the order of the log: ``loss=2.3``, ``test accuracy: 0.91``,
``{'loss': 2.3}``, a column of a table. The checks here are narrower than those of `hpc.core.failures.health`: a log
holds other numbers too, and a line may be taken for what it is not.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from math import isfinite, isnan, log
from statistics import fmean, median

from hpc.core.failures.evidence import LogLine
from hpc.core.failures.health import TRAINING_LOSS, find_explosions, grows_with_reward
from hpc.core.failures.reading.parts import Line
from hpc.core.immutable import immutable

FLAT_VALUES = 20
FLAT = 0.002  # relative width: what is printed has few digits
EPOCHS = 5  # values, one an epoch, that can show that nothing is learned
AT_CHANCE = 0.015  # share of ln N that the loss of a guess may lie away from it
FALLEN = 0.005  # share of ln N from the first third of the values to the last that is learning
ACCURACY_AT_CHANCE = 0.1  # share of 1/N
NEXT = 3  # lines below a score in which the loss of the same moment stands
GUESSED_WIDTH = 0.005  # in which a score is that of a guess
SCATTER = 0.012  # relative width of a loss that stands still: one that learns falls by more
STILL = 8  # lines of a training by epochs that can show that nothing moves
STILL_WIDTH = 0.004  # relative width in which a number stands still
MOST_CLASSES = 1_000_000
MOST_NAMED = 20
MAX_TEXT = 600
"""Characters of a line that are read."""


@immutable
class Point:
    """One printed value.

    Attributes:
        value: NaN and infinities included.
        line: Where it stands.
        step: Step, iteration or epoch the line reports; None where it reports none.
        is_epoch: The line counts epochs.
    """

    value: float
    line: LogLine
    step: int | None
    is_epoch: bool


@immutable
class Curve:
    """A metric as it was printed."""

    name: str
    points: tuple[Point, ...]

    @property
    def values(self) -> tuple[float, ...]:
        """Every value, in the order of the log."""
        return tuple(point.value for point in self.points)

    @property
    def last(self) -> Point:
        """The value printed last."""
        return self.points[-1]


_METRIC = (
    r"(?:loss|accuracy|acc|reward|rew_mean|return|score|perplexity|ppl|nll|error|mse|rmse|mae|f1|auc|auroc|bleu"
    r"|iou|dice|mcc|kappa|recall|exact_match|(?:success|win|solve|pass)[_ ]rate"
    r"|r2)"
)
_NUMBER = r"[-+]?(?:nan|inf(?:inity)?|(?:\d[\d,]{0,20})?\.?\d{1,20}\.?(?:e[-+]?\d{1,3})?)(?![\w.]*\w)"
_PAIR = re.compile(
    rf"(?<![\w./-])(?P<name>(?:[A-Za-z][\w./-]{{0,24}} ){{0,2}}(?:[A-Za-z][\w./-]{{0,32}}[_/.-])?{_METRIC}"
    rf"(?:_(?:mean|train|val|test))?)['\"]?(?: ?\((?:mean|avg)\))?"
    rf"(?:\s{{0,3}}[:=]\s{{0,6}}|\s{{0,40}}\|\s{{0,12}}|\s{{1,6}})(?P<value>{_NUMBER})(?P<percent>\s?%)?",
    re.IGNORECASE,
)
_STEP = re.compile(r"\b(step|iter|iteration|epoch|update)s?\b[\s:=\[(#/]{0,6}(\d{1,9})\b", re.IGNORECASE)
_OTHER = re.compile(r"Error\b(?!\s*[:=]\s*[-+]?\d)|Exception\b|Traceback|\bassert|^\s*File \"|^wandb:")
_QUALIFIER = re.compile(
    r"^(?:train|training|val|valid|validation|eval|evaluation|test|dev|final|best|lm|policy|value|actor|critic"
    r"|entropy|kl|total|aux|generator|discriminator)$"
)
_CELL = re.compile(rf"^{_NUMBER}%?$", re.IGNORECASE)
_HEAD = re.compile(rf"(?:[a-z]\w{{0,16}}[_/ .-])?{_METRIC}$", re.IGNORECASE)
_RULE = re.compile(r"^[\s+\-=|:─━┃│┼╇╪]*$")
_EPOCH = re.compile(r"^\W{0,4}(?:train\w* )?epoch[\s:=\[(#]{0,4}(\d{1,7})(?: ?(?:/|of) ?\d{1,7})?[\])]?\b",
                    re.IGNORECASE)  # fmt: skip
_NAMED_NUMBER = re.compile(r"([A-Za-z@][\w@./ -]{0,30}?)\W{1,4}(?<![\w.])"
                           r"([-+]?\d{1,9}\.\d{1,10}(?:e[-+]?\d{1,3})?)(?![\w.])")  # fmt: skip
_NO_QUALITY = re.compile(
    r"\b(?:lr|learning.rate|time|s|sec\w*|min\w*|eta|elapsed|speed|fps|it|throughput|\w+/s|mem\w*|gb|gib|mb|gpu|wd"
    r"|weight.decay"
    r"|beta\w*|temperature|eps\w*|momentum|margin|dropout|data|batch)$", re.IGNORECASE,
)  # fmt: skip
"""Names of numbers that say how a training goes on, not how well."""
_GUESSED = (
    (re.compile(r"(?:^|[_/.])(?:roc_)?auc(?:_roc)?$|auroc$"), 0.5),
    (re.compile(r"(?:^|[_/.])(?:mcc|(?:cohen|weighted|quadratic)\w*[_ ]kappa|r2)$"), 0.0),
)
"""Scores of which a guess has one value, and which."""
_NOTHING_RIGHT = re.compile(
    r"(?:^|[_/.])(?:f1|iou|dice|bleu|recall|exact_match|(?:success|win|solve|pass)[_ ]rate|rate)$"
)
"""Scores that are 0 where nothing at all was right."""
_CLASSES = re.compile(
    r"\b(\d{1,7})[ -](?:way )?(?:classes|labels|categories)\b"
    r"|\b(?:num_?classes|n_?classes|nb_classes|num_labels|classes|vocab(?:ulary)?[_ ]?(?:size)?)['\"]?"
    r"\s{0,3}[:=]\s{0,3}(\d{1,7})\b",
    re.IGNORECASE,
)
_ACCURACY = re.compile(r"^(?:[a-z]+[_/])?acc(?:uracy)?")
_IS_METRIC = re.compile(rf"\b(?:{_METRIC}|r@\d+|mAP|map|mrr|ndcg|hits?|precision|psnr|ssim|wer|cer|fid)\b")
_ANY_ACCURACY = re.compile(r"^(?:.*[_/ ])?(?:accuracy|acc)$")
_ANY_LOSS = re.compile(r"^.*(?:loss|perplexity|ppl|nll)")
_RESULT = re.compile(rf"(?:test|final|best|final_test|best_test|test_final|cv|oof|overall|mean|average)[_/ ]{_METRIC}")


def read_curves(lines: Iterable[Line]) -> dict[str, Curve]:
    """Read every series a log reports.

    Args:
        lines: Lines that speak, in order.

    Returns:
        Name in lower case, as ``loss``, ``test_accuracy``, ``train/loss`` → its values as the first rank that reports
        any printed them. Per cent are given as shares.
    """
    found: dict[str, list[Point]] = {}
    spoke: dict[str, str] = {}
    header: list[str] = []
    for line in lines:
        text = line.text[:MAX_TEXT]
        if _OTHER.search(text):
            continue
        header, pairs = _pairs_of(text, header)
        step = _STEP.search(text)
        for name, value in pairs:
            if spoke.setdefault(name, line.rank) == line.rank:
                point = Point(value, line.origin, int(step[2]) if step else None, _counts_epochs(step, header))
                found.setdefault(name, []).append(point)
    return {name: Curve(name, tuple(points)) for name, points in found.items()}


def _counts_epochs(step: re.Match[str] | None, header: Sequence[str]) -> bool:
    return step[1].lower() == "epoch" if step else "epoch" in header[:1]


def _pairs_of(text: str, header: list[str]) -> tuple[list[str], list[tuple[str, float]]]:
    """Names and values of a line, and the header of the table it is a row of; an empty one where it is in none."""
    cells = [cell.strip() for cell in text.strip().strip("|│┃").split("|")] if "|" in text else text.split()
    if header and len(cells) == len(header) and _CELL.match(cells[0]):
        row = zip(header, cells, strict=True)
        return header, [(_named(name), _number(cell)) for name, cell in row if _HEAD.match(name) and _CELL.match(cell)]
    pairs = [(_named(m["name"]), _number(m["value"] + (m["percent"] or ""))) for m in _PAIR.finditer(text)]
    if not pairs and len(cells) > 1 and any(map(_HEAD.match, cells)) and not any(map(_CELL.match, cells)):
        return [cell.lower() for cell in cells], []
    return (header if _RULE.match(text) else []), pairs


def _named(name: str) -> str:
    """One spelling for a metric: words that say nothing of it are left out."""
    *words, last = name.lower().split(" ")
    return "_".join([*(word for word in words if _QUALIFIER.match(word)), last])


def _number(text: str) -> float:
    """A printed value; NaN is a value, and what is in per cent is given as a share."""
    bare = text.rstrip(" %")
    value = float(bare.rstrip(".,").replace(",", ""))
    return value / 100 if bare != text else value


# ── what they show ───────────────────────────────────────────────────────────────────────────────────────────────

Curves = Mapping[str, Curve]
Recorded = Mapping[str, Sequence[float]]
"""Series of the metrics: one at least as long as the log's has to show the same."""


def find_printed_explosion(curves: Curves, recorded: Recorded) -> LogLine | None:
    """Find the last line of a training loss that left all bounds without becoming NaN; None where there is none.

    Only the values since the counter began anew are compared: a log may hold several trainings.
    """
    if grows_with_reward({name: curve.values for name, curve in curves.items()}):
        return None
    for curve in _of_kind(curves, TRAINING_LOSS):
        last = _last_training(curve)
        if is_exploded(last.values) and _is_agreed(recorded, last, TRAINING_LOSS, _ends_exploded(len(last.points))):
            return last.last.line
    return None


def find_nothing_learned(curves: Curves, texts: Iterable[str], recorded: Recorded) -> LogLine | None:
    """Find the last line of a loss that stays at ln N, or an accuracy at 1/N, of N classes the log names; else None.

    What a guess comes to proves nothing after few steps: it takes one value an epoch over `EPOCHS`, or `FLAT_VALUES`.
    """
    losses = [curve for curve in _of_kind(curves, TRAINING_LOSS) if _is_long(curve)]
    accuracies = [curve for curve in _of_kind(curves, _ACCURACY) if _is_long(curve)]
    classes = classes_named(texts) if losses or accuracies else ()
    told = (*classes, *filter(None, (_classes_of(curve.values) for curve in accuracies)))

    def guesses(values: Sequence[float]) -> bool:
        return any(is_loss_of_guessing(values, n) for n in told)

    def hits_by_chance(values: Sequence[float]) -> bool:
        return any(is_accuracy_of_guessing(values, n) for n in classes)

    for curve in losses:
        if guesses(curve.values) and _is_agreed(recorded, curve, TRAINING_LOSS, guesses):
            return curve.last.line
    if any(not guesses(curve.values) for curve in losses):
        return None
    for curve in accuracies:
        if hits_by_chance(curve.values) and _is_agreed(recorded, curve, _ACCURACY, hits_by_chance):
            return curve.last.line
    return None


def find_flat_loss(curves: Curves, recorded: Recorded) -> LogLine | None:
    """Find the last line of a loss that never left where it began, the log's first; None where there is none."""
    first = _of_kind(curves, _ANY_LOSS)[:1]
    for curve in first:
        if is_flat(curve.values) and _is_agreed(recorded, curve, TRAINING_LOSS, is_flat):
            return curve.last.line
    return None


def find_nan_result(curves: Curves) -> LogLine | None:
    """Find the line of a final result that is NaN, where no result of the log is a number; else None.

    A score of a class that does not occur is NaN in healthy runs too, and stands beside others.
    """
    results = _of_kind(curves, _RESULT)
    sound = [curve for curve in results if not isnan(curve.last.value)]
    return results[-1].last.line if results and not sound else None


def find_result_of_guessing(curves: Curves) -> LogLine | None:
    """Find the last line of scores that are a guess's, whatever the classes: an AUC of a half, no correlation.

    Every value of the name counts: a score that was once another one learned something. None where there is none, where
    an accuracy says more, where the training went on after the score, and where a loss fell and one 0 is all there is.
    """
    accuracies = _of_kind(curves, _ANY_ACCURACY)
    if any(curve.last.value > 0.5 for curve in accuracies):
        return None
    losses = _of_kind(curves, _ANY_LOSS)
    ends = max((curve.last.line.line for curve in losses), default=0)
    has_fallen = any(curve.last.value < 0.95 * curve.values[0] for curve in losses)
    for name, curve in curves.items():
        values = curve.values
        if not all(map(isfinite, values)) or curve.last.line.line < ends - NEXT:
            continue
        level = next((level for kind, level in _GUESSED if kind.search(name)), None)
        if level is not None and all(abs(value - level) <= GUESSED_WIDTH for value in values):
            return curve.last.line
        if _NOTHING_RIGHT.search(name) and not any(values) and not (has_fallen and len(values) == 1):
            return curve.last.line
    return None


def find_still_loss(curves: Curves) -> LogLine | None:
    """Find the last line of a training loss that neither falls nor scatters from the first step on; else None."""
    for curve in _of_kind(curves, TRAINING_LOSS):
        values, steps = curve.values, [point.step for point in curve.points if point.step is not None]
        if len(values) < STILL or not _from_start(steps) or not all(map(isfinite, values)):
            continue
        level, third = abs(median(values)), len(values) // 3
        drift = abs(fmean(values[-third:]) - fmean(values[:third]))
        if level > 0.05 and max(values) - min(values) <= SCATTER * level and drift <= SCATTER / 4 * level:
            others = (other.values for name, other in curves.items() if other is not curve and _ANY_LOSS.match(name))
            sound = (each for each in others if all(map(isfinite, each)))
            if all(max(each) - min(each) <= 2 * SCATTER * abs(median(each)) for each in sound):
                return curve.last.line
    return None


def find_standstill(lines: Sequence[Line]) -> LogLine | None:
    """Find the last line of a training by epochs of which no number moves, whatever its numbers are called; else None.

    Lines of one form that count from the first epoch and name a metric are asked, `STILL` of them at least. A number
    that is printed in full each time (a setting) says nothing, and one that says how fast it is nothing either; of the
    others every one has to stay where it began, and one has to be far from nothing and from all.
    """
    rows: dict[tuple[str, ...], list[tuple[int, list[str], LogLine]]] = {}
    for line in lines:
        text = line.text[:MAX_TEXT]
        epoch = _EPOCH.match(text)
        if epoch is not None and (pairs := _NAMED_NUMBER.findall(text[epoch.end() :])):
            names = tuple(name.lower().strip() for name, _ in pairs)
            rows.setdefault(names, []).append((int(epoch[1]), [number for _, number in pairs], line.origin))
    for names, found in rows.items():
        steps = [step for step, _, _ in found]
        if len(found) < STILL or not _from_start(steps) or any(b <= a for a, b in pairwise(steps)):
            continue
        columns = [
            column for name, column in zip(names, zip(*(row for _, row, _ in found), strict=True), strict=True)
            if not _NO_QUALITY.search(name)
        ]  # fmt: skip
        if not any(map(_IS_METRIC.search, names)):
            continue
        moving = [column for column in columns if len(set(column)) > 1]
        if moving and all(map(_stands_still, moving)) and any(map(_is_between, moving)):
            return found[-1][2]
    return None


def _stands_still(column: Sequence[str]) -> bool:
    """Whether printed values stay together within their last digits, and do not drift."""
    values = [float(text) for text in column]
    if not all(map(isfinite, values)):
        return False
    unit = 10.0 ** -min(len(text.partition(".")[2]) for text in column)
    third = max(1, len(values) // 3)
    room = max(STILL_WIDTH * abs(median(values)), 4 * unit)
    drift = abs(fmean(values[-third:]) - fmean(values[:third]))
    return max(values) - min(values) <= room and drift <= room / 3


def _is_between(column: Sequence[str]) -> bool:
    """Whether a value is neither next to nothing nor a share that has reached all."""
    level = abs(median(map(float, column)))
    return level > 1e-3 and not 0.9 <= level <= 1.0


def is_exploded(values: Sequence[float]) -> bool:
    """Whether a training loss ends far above its beginning."""
    return bool(find_explosions({"loss": values}))


def _ends_exploded(length: int) -> Callable[[Sequence[float]], bool]:
    """Whether a series, or its last values as many as the log's, exploded."""
    return lambda values: is_exploded(values) or is_exploded(values[-length:])


def is_flat(values: Sequence[float]) -> bool:
    """Whether at least `FLAT_VALUES` printed values lie within `FLAT` of each other, and not at nothing."""
    if len(values) < FLAT_VALUES or not all(map(isfinite, values)):
        return False
    level = abs(median(values))
    return level > 1e-3 and max(values) - min(values) < FLAT * level


def is_loss_of_guessing(values: Sequence[float], classes: int) -> bool:
    """Whether a loss lies at ln N from beginning to end and did not fall on the whole."""
    if not all(map(isfinite, values)):
        return False
    guess = log(classes)
    near = all(abs(value - guess) < AT_CHANCE * guess for value in values)
    third = max(1, len(values) // 3)
    return near and fmean(values[:third]) - fmean(values[-third:]) < FALLEN * guess


def is_accuracy_of_guessing(values: Sequence[float], classes: int) -> bool:
    """Whether an accuracy lies at 1/N from beginning to end, and does not rise on the whole."""
    if not all(map(isfinite, values)):
        return False
    guess = 1 / classes
    near = all(abs(value - guess) < ACCURACY_AT_CHANCE * guess for value in values)
    third = max(1, len(values) // 3)
    return near and fmean(values[-third:]) - fmean(values[:third]) < ACCURACY_AT_CHANCE * guess / 4


def classes_named(texts: Iterable[str]) -> tuple[int, ...]:
    """Every number of classes or size of a vocabulary a log names, without repetition."""
    found = (int(m[1] or m[2]) for text in texts for m in _CLASSES.finditer(text[:MAX_TEXT]))
    return tuple(dict.fromkeys(n for n in found if 2 <= n <= MOST_CLASSES))[:MOST_NAMED]


def _classes_of(values: Sequence[float]) -> int | None:
    """The number of classes an accuracy that stands still would be a guess among; None where it moves."""
    level = median(values)
    if not all(map(isfinite, values)) or not 0 < level < 0.6:
        return None
    classes = round(1 / level)
    return classes if 2 <= classes <= MOST_CLASSES and is_accuracy_of_guessing(values, classes) else None


def _of_kind(curves: Curves, kind: re.Pattern[str]) -> list[Curve]:
    return [curve for name, curve in curves.items() if kind.fullmatch(name)]


def _is_agreed(
    recorded: Recorded, curve: Curve, kind: re.Pattern[str], shows: Callable[[Sequence[float]], bool]
) -> bool:
    """Whether the metrics show the same as a printed curve, or hold less of it than the log.

    The series of the same name is asked, or where there is none every series of the kind.
    """
    own = [values for name, values in recorded.items() if _plain(name) == _plain(curve.name)]
    asked = own or [values for name, values in recorded.items() if kind.fullmatch(name)]
    return all(shows(values) for values in asked if len(values) >= len(curve.points))


def _plain(name: str) -> str:
    return re.sub(r"[/. -]", "_", name.lower())


def _last_training(curve: Curve) -> Curve:
    """The part of a curve since its step counter was last set back."""
    start, before = 0, -1
    for i, point in enumerate(curve.points):
        if point.step is not None:
            start = i if point.step < before else start
            before = point.step
    return Curve(curve.name, curve.points[start:])


def _from_start(steps: Sequence[int]) -> bool:
    """Whether steps are told from the first on: at once, or after as many as lie between them."""
    return bool(steps) and steps[0] <= max(1, next((step - steps[0] for step in steps if step > steps[0]), 0))


def _is_long(curve: Curve) -> bool:
    """Whether a curve begins at the beginning and is long enough to tell a start from a standstill."""
    steps = [point.step for point in curve.points if point.step is not None]
    if len(curve.points) < EPOCHS or not _from_start(steps):
        return False
    by_epoch = all(point.is_epoch for point in curve.points) and len(set(steps)) >= EPOCHS
    return by_epoch or len(curve.points) >= FLAT_VALUES
