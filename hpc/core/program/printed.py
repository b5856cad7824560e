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
from hpc.core.program.source import MOST_KEPT, last_name, parse
from hpc.core.program.spelled import known_words, spelled_out

_STEP_WORDS = ("step", "steps", "iter", "iteration", "it", "update", "global_step")
_EPOCH_WORDS = ("epoch", "ep")
_ALARM = re.compile(
    r"(?i)\b(?:warning|stopping|stopped|nan|infinite|finite|exiting|abort\w*|fail\w*|invalid|skip\w*|resum\w*|ignor\w*"
    r"|handling|decreased|increased|improved|did not improve|is (?:the|a new) best|new best)\b"
)
"""A line with one of these is printed where something is wrong, or new: its number is none that every run ends with."""
_TAILS = {"train", "training", "rate", "value", "now", "macro", "micro", "weighted", "roc", "d", "g"}
"""What may stand between the word of a metric and its value: ``loss train 0.3``, and not ``mAP... saving {file}``."""
_PRINTERS = re.compile(r"(?i).*(?:print|log|progress|set_description|report).*|info|write|debug")
"""What is called like this prints its text; ``progress_bar(…, 'Loss: %.3f' % loss)`` does, too."""
TRACKED = ("log", "log_metrics", "log_dict", "log_scalars")
"""Methods of trackers such as wandb's: a dictionary that goes there is recorded, and not printed."""
_PERCENT_FIELD = re.compile(r"%(?:\(\w+\))?[-+ #0]*\d*(?:\.\d+)?[diouxXeEfFgGsr]")
_BRACE_FIELD = re.compile(r"\{[^{}]*\}")
VALUE = "\0"
"""Stands for a formatted value in the text of a print; where a variable holds it, its name and ``_END`` follow."""
_END = "\1"
_FIELD = re.compile(rf"{VALUE}(?:(\w+){_END})?")


@lru_cache(MOST_KEPT)
def find_printed(source: str) -> tuple[Printed, ...]:
    """The numbers a program prints that look like metrics, the likeliest first; each name once."""
    if (tree := parse(source)) is None:
        return ()
    found = [
        each
        for text in (*_texts(tree), *_of_keywords(source, tree))
        for line in text.splitlines()
        for each in _values(line)
    ]
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
            yield from (text for each in call.args[1:] if VALUE in (text := _text(each)) and _FIELD.sub("", text))


def _of_keywords(source: str, tree: ast.Module) -> Iterator[str]:
    """PyTorch Geometric's ``log(Epoch=epoch, Val=val_acc)`` prints ``Epoch: 001, Val: 0.7920``."""
    for node in ast.walk(tree) if "torch_geometric.logging" in source else ():
        if isinstance(node, ast.Call) and called(node) == "log" and not node.args:
            yield ", ".join(f"{keyword.arg}: {_value(keyword.value)}" for keyword in node.keywords)


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
    text = _text(arguments[0])
    return _in_order(text, arguments[1:]) if len(arguments) > 1 else text


def _in_order(text: str, values: Sequence[ast.expr]) -> str:
    """A text with ``%``-fields for values."""
    left = iter(values)
    return _PERCENT_FIELD.sub(lambda _: _value(next(left, None)), text)


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            _formatted(part) if isinstance(part, ast.FormattedValue) else _text(part) for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        values = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
        return _in_order(_text(node.left), values).replace("%%", "%")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.Call) and called(node) == "format" and isinstance(node.func, ast.Attribute):
        return _filled(node, _text(node.func.value))
    if isinstance(node, ast.Call) and called(node) == "dumps" and node.args and isinstance(node.args[0], ast.Dict):
        return _mapping(node.args[0], '"')
    return _mapping(node, "'") if isinstance(node, ast.Dict) else _value(node)


def _formatted(value: ast.FormattedValue) -> str:
    """A value in an f-string; ``{acc:.1%}`` prints the sign itself."""
    is_percent = value.format_spec is not None and _text(value.format_spec).endswith("%")
    return _value(value.value) + "%" * is_percent


def _filled(call: ast.Call, text: str) -> str:
    """``'{} {1:.2f} {acc:.1%}'.format(…)``: values by their order, their number or their name."""
    order = iter(call.args)
    named = {keyword.arg: keyword.value for keyword in call.keywords}

    def fill(field: re.Match[str]) -> str:
        key = re.split(r"[:!.\[]", field[0][1:-1])[0]
        if key.isdigit():
            value = call.args[int(key)] if int(key) < len(call.args) else None
        else:
            value = named.get(key) if key else next(order, None)
        return _value(value) + "%" * field[0].endswith("%}")

    return _BRACE_FIELD.sub(fill, text)


def _value(node: ast.expr | None) -> str:
    """What stands for a value, with the name of what holds it: ``val_acc``, ``self.acc``, ``acc.item()``."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("item", "mean"):
        node = node.func.value
    name = last_name(node)
    return f"{VALUE}{name}{_END}" if name else VALUE


def _mapping(node: ast.Dict, quote: str) -> str:
    """A dictionary as it is printed, or written as JSON."""
    keys = [str(key.value) if isinstance(key, ast.Constant) else VALUE for key in node.keys]
    return "{" + ", ".join(f"{quote}{key}{quote}: {VALUE}" for key in keys) + "}"


# ── from a line to its numbers ───────────────────────────────────────────────────────────────────────────────────


def _values(line: str) -> Iterator[Printed]:
    """The named numbers of one printed line."""
    if _ALARM.search(line):
        return
    parts = _FIELD.split(line)
    pieces, held = parts[::2], parts[1::2]
    step = _step_pattern(pieces)
    for (before, after), variable in zip(pairwise(pieces), held, strict=True):
        label = _with_variable(_label(before), variable or "")
        weight = weight_of(label) if _leads_to_value(before, label) else 0
        if weight and not re.match(r"\s*/", after):
            name = "_".join(re.findall(r"[a-z0-9]+", label.lower()))
            name = name if not name[0].isdigit() else f"m_{name}"
            number = r"[^\s%]+" if after.startswith("%") else r"\S+"
            value = _literal(_anchor(before)) + rf"(?P<{name}>{number})"
            is_later = step and before is not pieces[0] and pieces.index(before) > step[1]
            yield Printed(name, goal_of(name), f"{step[0]}.*?{value}" if step and is_later else value, weight)


def _with_variable(label: str, variable: str) -> str:
    """Where a label says only which part, ``Val: {val_acc:.4f}``, the variable says what of it."""
    words = label.lower().split()
    if not words or not set(words) <= {*HELD_OUT, "train", "training"}:
        return label
    told = re.findall(r"[a-z][a-z0-9]*", variable.lower().replace("_", " "))
    return " ".join([*(word for word in words if word not in told), *told])


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
