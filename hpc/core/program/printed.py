r"""Which numbers a program prints, read from its source: the way to its metrics without an import of ours.

A ``print`` or a logging call with formatted values becomes a pattern for ``metrics.source``: the words before a value
name it (``val loss {losses['val']:.4f}`` is ``val_loss``), and a step printed in the same line is the step.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from hpc.core.program.libraries import printed_by_libraries
from hpc.core.program.naming import HELD_OUT, HIGHER, LOWER, Printed, goal_of, weight_of
from hpc.core.program.source import MOST_KEPT, parse
from hpc.core.program.spelled import known_words, spelled_out

_STEP_WORDS = ("step", "steps", "iter", "iteration", "it", "update", "global_step")
_EPOCH_WORDS = ("epoch", "ep")
_ALARM = re.compile(
    r"(?i)\b(?:warning|stopping|stopped|nan|infinite|finite|exiting|abort\w*|fail\w*|invalid|skip\w*|resum\w*)\b"
)
"""A line with one of these is printed where something is wrong: its number is none of a run that went well."""
_TAILS = {"train", "training", "rate", "value", "now", "macro", "micro", "weighted", "roc", "d", "g"}
"""What may stand between the word of a metric and its value: ``loss train 0.3``, and not ``mAP... saving {file}``."""
_PRINTERS = re.compile(r"(?i).*(?:print|log|progress|set_description|report).*|info|write|debug")
"""What is called like this prints its text; ``progress_bar(…, 'Loss: %.3f' % loss)`` does, too."""
TRACKED = ("log", "log_metrics", "log_dict", "log_scalars")
"""Methods of trackers such as wandb's: a dictionary that goes there is recorded, and not printed."""
_PERCENT_FIELD = re.compile(r"%(?:\(\w+\))?[-+ #0]*\d*(?:\.\d+)?[diouxXeEfFgGsr]")
_BRACE_FIELD = re.compile(r"\{[^{}]*\}")
VALUE = "\0"
"""Stands for a formatted value in the text of a print."""


@lru_cache(MOST_KEPT)
def find_printed(source: str) -> tuple[Printed, ...]:
    """The numbers a program prints that look like metrics, the likeliest first; each name once."""
    if (tree := parse(source)) is None:
        return ()
    found = [each for text in _texts(tree) for line in text.splitlines() for each in _values(line)]
    found += printed_by_libraries(source, tree)
    best: dict[str, Printed] = {}
    for each in found:
        if each.name not in best or each.weight >= best[each.name].weight:
            best[each.name] = each
    return tuple(sorted(best.values(), key=lambda each: -each.weight))


# ── the texts that are printed, with VALUE for what is formatted into them ───────────────────────────────────────


def _texts(tree: ast.Module) -> Iterator[str]:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _PRINTERS.fullmatch(called(node))]
    words = known_words(tree)
    ordered = sorted(calls, key=lambda each: (each.lineno, each.col_offset))
    for call in (spelled for each in ordered for spelled in spelled_out(each, words)):
        if called(call) == "print":
            yield _joined(call.args)
        elif call.args and not _is_tracked(call):
            yield _logged(call.args)
            yield from (text for each in call.args[1:] if VALUE in (text := _text(each)) and text != VALUE)


def _is_tracked(call: ast.Call) -> bool:
    """Whether a dictionary goes to a tracker, such as ``wandb.log({…})``."""
    return isinstance(call.func, ast.Attribute) and call.func.attr in TRACKED and isinstance(call.args[0], ast.Dict)


def called(call: ast.Call) -> str:
    """What a call calls, without what it belongs to."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _joined(arguments: Sequence[ast.expr]) -> str:
    return " ".join(_text(each) for each in arguments)


def _logged(arguments: Sequence[ast.expr]) -> str:
    """``logger.info('loss %.3f', loss)``; the first argument is the format."""
    return _PERCENT_FIELD.sub(VALUE, _text(arguments[0])) if len(arguments) > 1 else _text(arguments[0])


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            _formatted(part) if isinstance(part, ast.FormattedValue) else _text(part) for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return _PERCENT_FIELD.sub(VALUE, _text(node.left)).replace("%%", "%")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.Call) and called(node) == "format" and isinstance(node.func, ast.Attribute):
        return _BRACE_FIELD.sub(lambda field: VALUE + "%" * field[0].endswith("%}"), _text(node.func.value))
    if isinstance(node, ast.Call) and called(node) == "dumps" and node.args and isinstance(node.args[0], ast.Dict):
        return _mapping(node.args[0], '"')
    return _mapping(node, "'") if isinstance(node, ast.Dict) else VALUE


def _formatted(value: ast.FormattedValue) -> str:
    """A value in an f-string; ``{acc:.1%}`` prints the sign itself."""
    is_percent = value.format_spec is not None and _text(value.format_spec).endswith("%")
    return VALUE + "%" * is_percent


def _mapping(node: ast.Dict, quote: str) -> str:
    """A dictionary as it is printed, or written as JSON."""
    keys = [str(key.value) if isinstance(key, ast.Constant) else VALUE for key in node.keys]
    return "{" + ", ".join(f"{quote}{key}{quote}: {VALUE}" for key in keys) + "}"


# ── from a line to its numbers ───────────────────────────────────────────────────────────────────────────────────


def _values(line: str) -> Iterator[Printed]:
    """The named numbers of one printed line."""
    if _ALARM.search(line):
        return
    pieces = line.split(VALUE)
    step = _step_pattern(pieces)
    for before, after in pairwise(pieces):
        label = _label(before)
        weight = weight_of(label) if _leads_to_value(before, label) else 0
        if weight and not re.match(r"\s*/", after):
            name = "_".join(re.findall(r"[a-z0-9]+", label.lower()))
            name = name if not name[0].isdigit() else f"m_{name}"
            number = r"[^\s%]+" if after.startswith("%") else r"\S+"
            value = _literal(_anchor(before)) + rf"(?P<{name}>{number})"
            is_later = step and before is not pieces[0] and pieces.index(before) > step[1]
            yield Printed(name, goal_of(name), f"{step[0]}.*?{value}" if step and is_later else value, weight)


def _leads_to_value(before: str, label: str) -> bool:
    """Whether a value follows, and not what a sentence is about: a sign says so, or the word of a metric itself."""
    words = label.lower().split()
    if (words and words[-1] in {*_STEP_WORDS, *_EPOCH_WORDS}) or before.endswith((" of ", " of '")):
        return False
    after = words[max((n for n, word in enumerate(words) if word in HIGHER | LOWER), default=-1) + 1 :]
    return bool(re.search(r"[=:>(|\"'][\s({\[\"']*$", before)) or set(after) <= {*_TAILS, *HELD_OUT}


def _step_pattern(pieces: Sequence[str]) -> tuple[str, int] | None:
    """Pattern of the step, and the number of the piece before it; a step goes before an epoch."""
    for words in (_STEP_WORDS, _EPOCH_WORDS):
        for number, before in enumerate(pieces[:-1]):
            last = re.findall(r"[A-Za-z_]+", before)[-1:]
            if last and last[0].lower() in words and re.fullmatch(r"[\s:=#\[('\"]*", before.rpartition(last[0])[2]):
                return _literal(_anchor(before)) + r"(?P<step>\d+)", number
    return None


def _label(before: str) -> str:
    """The words right before a value: ``, val loss: `` → ``val loss``, ``Test set: Average loss: `` → ``test loss``."""
    text = re.sub(r"[\s:=({\[\"'>-]+$", "", before)
    inner = re.split(r"[,;|\t()\[\]{}]", text)[-1]
    words = re.findall(r"[A-Za-z][A-Za-z0-9]*", inner.replace("_", " "))
    told = [word for word in words[:-3] if word.lower() in HELD_OUT]
    kept = [word for word in words[-3:] if word.lower() not in ("average", "avg", "mean", "set", "the", "is", "of")]
    return " ".join([*told, *kept])


def _anchor(before: str) -> str:
    """The end of the text before a value that is enough to find it again."""
    return re.split(r"[,;|\t]", before)[-1].lstrip(" :=-/") or before.lstrip()


def _literal(text: str) -> str:
    """A text as a pattern; the space before a value may be of any length, as values are padded."""
    return re.escape(text.rstrip()).replace("\\ ", " ") + r"\s*"
