"""Curves read from a log: what a program printed as `name=value`, `name: value` or in a table. Pure, linear.

Where a run left no metrics, or fewer than it printed, its health is judged on these. Names are written as the metrics'
would be: ``Train loss`` becomes ``train_loss``.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from hpc.core.failures.evidence import LogLine
from hpc.core.failures.reading.parts import Line

_METRIC = (
    r"loss|acc(?:uracy)?|reward|return|perplexity|ppl|nll|score|error|err|energy|rmse|mse|mae|f1|auc|bleu|rouge|map|iou"
)
_QUALIFIER = r"train(?:ing)?|val(?:id(?:ation)?)?|test|eval(?:uation)?|dev|final|best|mean|avg|average|lm|overall|total"
_NUMBER = r"[-+]?(?:nan|inf(?:inity)?|\d[\d,]{0,20}(?:\.\d{0,20})?(?:e[-+]?\d{1,4})?|\.\d{1,20})"
_PAIR = re.compile(
    rf"(?P<name>(?:\b(?:{_QUALIFIER})[ _/.-]{{1,2}}){{0,3}}(?<![A-Za-z])(?:[a-z]{{1,20}}[_/.-]){{0,3}}(?:{_METRIC})"
    rf"(?:[@_/.-]?\w{{1,12}}){{0,2}})"
    rf"['\"]?\s{{0,3}}(?:[:=|]\s{{0,6}}|\s{{1,6}})\(?(?P<value>{_NUMBER})%?(?![\w.])",
    re.IGNORECASE,
)
_WORTH = re.compile(
    r"loss|acc|rew|return|perpl|ppl|nll|score|err|energ|mse|mae|f1|auc|bleu|roug|map|iou", re.IGNORECASE
)
_CELLS = re.compile(r"\s*[|,\t]\s*|\s{2,}")
_NUMERIC = re.compile(rf"{_NUMBER}%?", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z][\w /.@%()-]{0,40}")
_STATED = re.compile(r"(?:^|[_/.])(?:test|final|best|mean|avg|average|overall|eval(?:uation)?)(?:[_/.]|$)")


@dataclass
class Curve:
    """One name's values in the order they were printed, each with its line."""

    name: str
    values: list[float] = field(default_factory=list)
    lines: list[LogLine] = field(default_factory=list)

    def add(self, text: str, line: LogLine) -> None:
        """Append a value as it was printed."""
        self.values.append(float(text.rstrip("%").replace(",", "")))
        self.lines.append(line)


def read_curves(lines: Sequence[Line]) -> dict[str, Curve]:
    """Every curve a log shows, of the first rank that prints any.

    Args:
        lines: Lines that speak, in order.
    """
    curves: dict[str, Curve] = {}
    rank: str | None = None
    for line, found in _reports(lines):
        rank = line.rank if rank is None else rank
        if line.rank != rank:
            continue
        for name, text in found:
            curves.setdefault(name, Curve(name)).add(text, line.origin)
    return curves


def _reports(lines: Sequence[Line]) -> Iterator[tuple[Line, list[tuple[str, str]]]]:
    """Lines that report something, with the names and values."""
    columns: list[str] = []
    for line in lines:
        cells = _cells(line.text)
        if len(cells) > 1 and any(_WORTH.search(cell) for cell in cells) and all(_NAME.fullmatch(c) for c in cells):
            columns = [_plain(cell) for cell in cells]
            continue
        if columns and len(cells) == len(columns) and all(_NUMERIC.fullmatch(cell) for cell in cells):
            yield line, [(name, text) for name, text in zip(columns, cells, strict=True) if _WORTH.search(name)]
            continue
        if not _WORTH.search(line.text):
            continue
        found = [(_plain(match["name"]), match["value"]) for match in _PAIR.finditer(line.text)]
        if found and "wandb:" not in line.text[:8]:
            yield line, found


def _cells(text: str) -> list[str]:
    bare = text.strip().strip("|").strip()
    return _CELLS.split(bare) if bare else []


def _plain(name: str) -> str:
    return re.sub(r"[ -]+", "_", name.strip().lower())


def find_spoiled_results(curves: dict[str, Curve]) -> LogLine | None:
    """The first result (of a test, final, best, mean) that is nan at last; None when there is none.

    One score among others of the same report that are numbers is no result: a class that never occurs has none.
    """
    stated = [curve for name, curve in curves.items() if _STATED.search(name)]
    sound = {curve.lines[-1] for curve in stated if math.isfinite(curve.values[-1])}
    spoiled = (curve.lines[-1] for curve in stated if math.isnan(curve.values[-1]))
    return next((line for line in spoiled if line not in sound), None)


_CLASSES = re.compile(
    r"\b(?:num_?(?:classes|labels)|n_?classes|classes|vocab(?:ulary)?(?:_size| size)?)\b"
    r"['\"]?\s{0,2}[:=]?\s{0,2}(\d{1,7})\b"
    r"|\b(\d{1,7}) (?:classes|labels)\b",
    re.IGNORECASE,
)
CHANCE_VALUES = 5
"""Losses in a row that have to lie at chance: a training that learns anything has left it by then."""


def find_chance(lines: Sequence[Line], curves: dict[str, Curve]) -> LogLine | None:
    """Where all losses lie at ln N and N is the number of classes the log names, or that its accuracy of 1/N tells."""
    loss = next((curve for name, curve in curves.items() if name in ("loss", "train_loss", "training_loss")), None)
    if loss is None or len(loss.values) < CHANCE_VALUES or not all(math.isfinite(v) for v in loss.values):
        return None
    wide = 0.01
    for classes in _numbers_of_classes(lines, curves):
        chance = math.log(classes)
        if all(abs(value - chance) < wide * chance for value in loss.values) and not _falls(loss.values):
            return loss.lines[-1]
    return None


def _falls(values: Sequence[float]) -> bool:
    """Whether it goes down step by step, however slowly: that is learning."""
    steps = [b - a for a, b in pairwise(values)]
    return sum(step < 0 for step in steps) > 0.8 * len(steps) and values[0] - values[-1] > 0.002 * values[0]


def _numbers_of_classes(lines: Sequence[Line], curves: dict[str, Curve]) -> set[int]:
    named = {int(m[1] or m[2]) for line in lines[:200] if (m := _CLASSES.search(line.text))}
    for name, curve in curves.items():
        level = curve.values[-1] if "acc" in name and curve.values else 0.0
        level = level / 100 if 1 < level <= 100 else level
        flat = all(abs(v - curve.values[-1]) <= 0.1 * abs(curve.values[-1]) for v in curve.values)
        if 0 < level < 0.6 and flat and len(curve.values) >= CHANCE_VALUES:
            named.add(round(1 / level))
    return {n for n in named if 2 <= n <= 1_000_000}
