r"""Where the metrics of a program that knows nothing of us come from: its stdout, or files that it leaves.

``metrics.source`` in an experiment is one of::

    {stdout: 'Step (?P<step>\d+) \| val_loss: (?P<val_loss>\S+)'}   named groups are metrics, `step` is the step
    {json: step}                                    one JSON object a line; the key that holds the step
    {csv: 'lightning_logs/*/metrics.csv'}           a CSV file with a header, read when the program has ended
    {json_file: metrics.json}                       a JSON file: final values, lists, or records; also JSON lines
    {tensorboard: runs}                             event files in a folder
    {wandb: wandb}                                  the runs that wandb left in its folder

Without it the program writes ``metrics.h5`` itself. The value of a run is the last match.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from re import _parser  # type: ignore[attr-defined]  # the only way to see a pattern's structure
from typing import Any

from hpc.core.errors import InputError, nearest

STEP = "step"
MAX_PATTERN_CHARS = 1024
"""A pattern sees this much of a line: a badly chosen one (``.*a.*b``) costs the third power of the length."""

MAX_NAME_LENGTH = 200
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:(?:,\d{3})+\.\d*|(?:,\d{3}){2,})")
_TRAILING = ",;:|)]}\"'"
_NEARLY_A_NUMBER = re.compile(r"[+-]?\.?\d[\d.,]*(?:[eE][+-]?\d+)?\s?(?:%|[A-Za-zµ/]{1,6})?")
FILE_KINDS = ("csv", "json_file", "tensorboard", "wandb")
"""Sources that are files of the program's own."""
_KINDS = ("hdf5", "stdout", "json", *FILE_KINDS)


@dataclass(frozen=True)
class MetricSource:
    """What to look for.

    Attributes:
        kind: ``hdf5`` (the program uses our writer: nothing is looked for), ``stdout``, ``json``, or of `FILE_KINDS`.
        pattern: For ``stdout``: at least one named group besides `step`.
        step_key: For ``json``: the key whose value is the step; lines without it are no metrics.
        path: For files: where, relative to the program's working folder or its attempt's; may have wildcards.
    """

    kind: str
    pattern: re.Pattern[str] | None = None
    step_key: str = STEP
    path: str = ""

    @property
    def is_file(self) -> bool:
        """Whether the metrics stand in files of the program's own."""
        return self.kind in FILE_KINDS


@dataclass(frozen=True)
class Reading:
    """What one line says.

    Attributes:
        step: The program's own count; None when the line names none (the caller counts).
        values: Metric → number; ``nan`` and ``inf`` are numbers.
        ignored: Why something that matched is not among the values, one sentence each.
    """

    step: int | None
    values: Mapping[str, float]
    ignored: tuple[str, ...] = ()


def parse_source(source: Mapping[str, Any] | tuple[str, str] | None) -> MetricSource:
    """Check ``metrics.source`` as written (a mapping with one key) or as kept in the spec (kind and text).

    Raises:
        InputError: Unknown kind; a pattern that is no regular expression, names no metric or may take for ever.
    """
    if source is None:
        return MetricSource("hdf5")
    pairs = [source] if isinstance(source, tuple) else list(source.items())
    if len(pairs) != 1:
        raise InputError(f"metrics.source needs exactly one of {', '.join(_KINDS[1:])}; it has {len(pairs)} entries")
    kind, text = pairs[0]
    if kind == "stdout":
        return MetricSource(kind, pattern=_compile(text))
    if kind == "json":
        return MetricSource(kind, step_key=text if isinstance(text, str) and text else STEP)
    if kind == "hdf5":
        return MetricSource(kind)
    if kind in FILE_KINDS:
        return MetricSource(kind, path=_relative_path(kind, text))
    raise InputError(f"metrics.source has no kind {kind!r}; {nearest(str(kind), _KINDS)}")


def metric_names(source: MetricSource) -> tuple[str, ...] | None:
    """Metrics a source can yield; None when only the running program knows."""
    if source.pattern is None:
        return None
    return tuple(name for name in source.pattern.groupindex if name != STEP)


def match_line(source: MetricSource, line: str) -> Reading | None:
    """Read one line of a program's output, colours removed; None when it says nothing about metrics."""
    line = _ANSI.sub("", line)
    if source.pattern is not None:
        return _match_pattern(source.pattern, line[:MAX_PATTERN_CHARS])
    return _match_json(source.step_key, line) if source.kind == "json" else None


def parse_number(text: str) -> float | None:
    """Read a number as programs print it; None when it is none, or may be two different ones.

    ``1e-3``, ``nan``, ``-inf``, ``3.2,`` and ``1,234.5`` are; ``1,234`` (1234 or 1.234?), ``12%`` and ``3ms`` are not.
    """
    text = text.strip().rstrip(_TRAILING)
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    try:
        return float(text) if "_" not in text else None
    except ValueError:
        return None


def _relative_path(kind: str, text: Any) -> str:
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"metrics.source.{kind} needs a path, such as logs/metrics.csv")
    if text.startswith(("/", "~")) or ".." in text.split("/") or "{" in text:
        raise InputError(
            f"metrics.source.{kind} is relative to the program's working folder or {{out_dir}}, and stays in it: write "
            f"logs/metrics.csv, with * for what varies; found {text!r}"
        )
    return text


def _compile(text: Any) -> re.Pattern[str]:
    if not isinstance(text, str) or not text:
        raise InputError(
            "metrics.source.stdout needs a regular expression with named groups, such as "
            r"'loss: (?P<loss>\S+)'"
        )
    try:
        pattern = re.compile(text)
    except re.error as error:
        place = "" if error.pos is None else f" at character {error.pos + 1}: {text[: error.pos]}▶{text[error.pos :]}"
        raise InputError(f"metrics.source.stdout is not a regular expression: {error.msg}{place}") from None
    if not set(pattern.groupindex) - {STEP}:
        raise InputError(
            rf"metrics.source.stdout names no metric: write (?P<loss>\S+) for a metric called loss; found {text!r}"
        )
    if _may_explode(_parser.parse(text)):
        raise InputError(
            f"metrics.source.stdout repeats a repetition, which can take forever on a long line: {text!r}. "
            "Put something fixed between the two, or drop one"
        )
    return pattern


def _match_pattern(pattern: re.Pattern[str], line: str) -> Reading | None:
    match = pattern.search(line)
    if match is None:
        return None
    found = {name: text for name, text in match.groupdict().items() if text is not None}
    step_text = found.pop(STEP, None)
    step = None if step_text is None else whole(parse_number(step_text.replace(",", "")))
    values = {name: parse_number(text) for name, text in found.items()}
    ignored = [f"{name}: {found[name]!r} is not a number" for name, value in values.items() if value is None]
    if step_text is not None and step is None:
        return Reading(None, {}, (f"{STEP}: {step_text!r} is not an integer", *ignored))
    return Reading(step, {name: value for name, value in values.items() if value is not None}, tuple(ignored))


def _match_json(step_key: str, line: str) -> Reading | None:
    line = line.strip()
    if not line.startswith("{"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if step_key not in record:
        return None
    step = whole(number_of(record.pop(step_key)))
    if step is None:
        return Reading(None, {}, (f"{step_key} is not an integer in {line[:80]!r}",))
    values: dict[str, float] = {}
    ignored: list[str] = []
    for name, value in leaves(record, ""):
        number = number_of(value)
        if reason := name_problem(name) if number is not None else _why_no_number(name, value):
            ignored.append(reason)
        elif number is not None:
            values[name] = number
    return Reading(step, values, tuple(ignored))


def name_problem(name: str) -> str:
    """Say why a text cannot name a metric; empty when it can."""
    if name and len(name) <= MAX_NAME_LENGTH and name.isprintable():
        return ""
    shown = repr(name if len(name) <= 40 else name[:40] + "…")
    return f"{shown} cannot name a metric: 1 to {MAX_NAME_LENGTH} printable characters are allowed"


def leaves(record: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Everything in a JSON object that is no object; what stands in an inner one as ``outer/inner``."""
    for key, value in record.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value


def number_of(value: Any) -> float | None:
    """Return a JSON value as a number; also a text that holds one: strict JSON has no NaN, and some loggers round."""
    if isinstance(value, str):
        return parse_number(value)
    try:
        return float(value) if isinstance(value, (int, float)) else None
    except OverflowError:
        return None


def _why_no_number(name: str, value: Any) -> str:
    """Say what is wrong with a value that was meant to be a number; empty for other texts, lists and null."""
    if isinstance(value, str) and _NEARLY_A_NUMBER.fullmatch(value.strip()):
        return f"{name}: {value!r} is not a number"
    return f"{name}: {str(value)[:20]}… is too large for a number" if type(value) is int else ""


def whole(number: float | None) -> int | None:
    if number is None or not number.is_integer() or abs(number) >= 2**63:
        return None
    return int(number)


def _may_explode(parsed: Any) -> bool:
    """Whether an unbounded repetition holds another one and nothing fixed, as ``(a+)*``: time grows as 2^length."""
    for operation, argument in parsed:
        for inner in _inner_patterns(operation, argument):
            unbounded = _is_repeat(operation) and argument[1] == _parser.MAXREPEAT
            if (unbounded and _holds_unbounded(inner) and not _has_fixed(inner)) or _may_explode(inner):
                return True
    return False


def _is_repeat(operation: Any) -> bool:
    return operation in (_parser.MAX_REPEAT, _parser.MIN_REPEAT)


def _inner_patterns(operation: Any, argument: Any) -> list[Any]:
    """The sub-patterns of one element of a parsed pattern."""
    if _is_repeat(operation):
        return [argument[2]]
    if operation is _parser.SUBPATTERN:
        return [argument[3]]
    if operation is _parser.BRANCH:
        return list(argument[1])
    return []


def _holds_unbounded(parsed: Any) -> bool:
    return any(
        (_is_repeat(operation) and argument[1] == _parser.MAXREPEAT)
        or any(_holds_unbounded(inner) for inner in _inner_patterns(operation, argument))
        for operation, argument in parsed
    )


def _has_fixed(parsed: Any) -> bool:
    """Whether every way through has an element that is not repeated, such as the comma in ``(?:\\d+,)*``."""
    return any(
        all(_has_fixed(inner) for inner in _inner_patterns(operation, argument))
        if operation in (_parser.SUBPATTERN, _parser.BRANCH)
        else not _is_repeat(operation)
        for operation, argument in parsed
    )
