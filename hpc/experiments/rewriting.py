"""One block of a person's YAML, changed in its text: what is not meant stays to the last character, comments included.

A value that differs is replaced where it stands, a new key goes behind the one it follows. What comes out is read
again and held against what was meant, comments as well; where that fails nothing is changed.
"""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpc.adapters.yaml_file import parse_yaml
from hpc.core.errors import InputError

if TYPE_CHECKING:
    from ruamel.yaml.nodes import MappingNode, Node

WIDTH = 120
INDENT = 2


@dataclass(frozen=True)
class Edit:
    """A piece of text in place of another one.

    Attributes:
        start: First character that goes.
        end: The one behind the last; `start` where nothing goes.
        text: What comes.
    """

    start: int
    end: int
    text: str


def with_block(
    text: str, source: str, key: str, values: Mapping[str, str], order: Sequence[str], behind: Sequence[str] = ()
) -> str:
    """Return a YAML text in which a top-level block holds the given texts; its other keys stay.

    Args:
        text: A file that can be read.
        source: Its name, for messages.
        key: Of the block.
        values: What it shall hold, a text per key.
        order: In which its keys stand when they are new.
        behind: Top-level keys behind the first of which a new block goes.

    Raises:
        InputError: It cannot be changed in place; the message has the block to write by hand.
    """
    before = parse_yaml(text, source).data
    old = before.get(key) or {}
    if not isinstance(old, dict):
        raise InputError(f"{key} is not a block of keys; remove its line first", source)
    changed = {name: value for name, value in values.items() if old.get(name) != value}
    if not changed:
        return text
    meant = {**before, key: {**old, **changed}}
    ordered = {name: changed[name] for name in [*order, *changed] if name in changed}
    for is_plain in (True, False):  # the second time as JSON writes texts, which always can be read
        try:
            new = _applied(text, _edits(text, key, ordered, order, behind, is_plain=is_plain))
            if parse_yaml(new, source).data == meant and comments_of(new) == comments_of(text):
                return new
        except (InputError, _CannotError):
            continue
    by_hand = "\n".join(block_lines(key, {**old, **ordered}))
    raise InputError(f"its {key} block cannot be changed in place; write it by hand:\n{by_hand}", source)


class _CannotError(Exception):
    """The text is of a kind that is not changed here."""


def block_lines(key: str, values: Mapping[str, Any]) -> list[str]:
    """A block as its lines, without an end."""
    return [f"{key}:", *(line for name, value in values.items() for line in _entry(name, str(value), INDENT))]


def comments_of(text: str) -> list[str]:
    """Every comment of a YAML text, in order: what stands behind a ``#`` between its tokens."""
    from ruamel.yaml import YAML

    found, place = [], 0
    for token in YAML(typ="safe", pure=True).scan(text):
        found += _comments_between(text[place : token.start_mark.index])
        place = max(place, token.end_mark.index)
        if getattr(token, "style", None) in ("|", ">"):
            found += _comments_between(_header(text[token.start_mark.index : token.end_mark.index]))
    return found + _comments_between(text[place:])


def _comments_between(text: str) -> list[str]:
    return [line.rstrip() for line in re.findall(r"#[^\n]*", text)]


def _header(text: str) -> str:
    """The first line of a block scalar, where a comment may stand."""
    return text.splitlines()[0] if text else ""


def _edits(
    text: str, key: str, changed: Mapping[str, str], order: Sequence[str], behind: Sequence[str], *, is_plain: bool
) -> Iterator[Edit]:
    root = _root(text)
    entries = {name.value: (name, value) for name, value in root.value}
    if key in entries and entries[key][1].value and hasattr(entries[key][1], "flow_style"):
        yield from _in_block(text, entries[key][1], changed, order, is_plain=is_plain)
        return
    if root.flow_style:
        block = json.dumps({key: changed}, ensure_ascii=False)[1:-1]
        yield _flow_insertion(text, root.start_mark.index, block)
        return
    if key in entries:  # `brief:` and nothing, or `brief: {}`
        name, value = entries[key]
        lines = block_lines(key, changed)[1:] if is_plain else _json_lines(changed, INDENT)
        if value.value:  # one value where a block belongs
            raise _CannotError
        colon = text.index(":", name.end_mark.index) + 1
        if text[value.start_mark.index : value.end_mark.index]:
            yield Edit(text.rindex(" ", 0, value.start_mark.index + 1), value.end_mark.index, "")
        yield _line_insertion(text, colon, lines)
        return
    first = next((entries[name] for name in behind if name in entries), None)
    lines = block_lines(key, changed) if is_plain else [f"{key}:", *_json_lines(changed, INDENT)]
    if first is None:
        yield Edit(root.start_mark.index, root.start_mark.index, "".join(f"{line}{_newline(text)}" for line in lines))
    else:
        yield _line_insertion(text, _end_of(text, first), lines)


def _in_block(
    text: str, block: "MappingNode", changed: Mapping[str, str], order: Sequence[str], *, is_plain: bool
) -> Iterator[Edit]:
    """Change the entries of a block that is there."""
    entries = {name.value: (name, value) for name, value in block.value}
    for name, value in changed.items():
        if name in entries:
            yield _replacement(text, entries[name], value, is_plain=is_plain and not block.flow_style)
    new = [name for name in changed if name not in entries]
    if block.flow_style:
        if new:
            written = json.dumps({name: changed[name] for name in new}, ensure_ascii=False)[1:-1]
            yield _flow_insertion(text, block.start_mark.index, written)
        return
    indent = block.start_mark.column
    places: dict[str, list[str]] = {}
    for name in new:
        places.setdefault(_follows(name, order, entries), []).append(name)
    for last, names in places.items():
        added = {name: changed[name] for name in names}
        lines = [line for name, value in added.items() for line in _entry(name, value, indent)]
        lines = lines if is_plain else _json_lines(added, indent)
        if last:
            yield _line_insertion(text, _end_of(text, entries[last]), lines)
        else:  # before the first key, where the indentation of its line stands already
            joined = f"{_newline(text)}{' ' * indent}".join(line[indent:] for line in lines)
            start = block.start_mark.index
            yield Edit(start, start, f"{joined}{_newline(text)}{' ' * indent}")


def _follows(name: str, order: Sequence[str], entries: Mapping[str, Any]) -> str:
    """The key behind which a new one goes: the last of those before it in order; empty for before all."""
    before = order[: order.index(name)] if name in order else order
    if not (there := [key for key in entries if key in order]):
        return list(entries)[-1]
    return next((key for key in reversed(before) if key in there), "")


def _replacement(text: str, entry: "tuple[Node, Node]", value: str, *, is_plain: bool) -> Edit:
    """One value in place of another; one line where a comment stands behind it."""
    name, node = entry
    if not text[node.start_mark.index : node.end_mark.index].strip():  # `goal:` and nothing
        colon = text.index(":", name.end_mark.index) + 1
        return Edit(colon, colon, " " + _one_line(value, is_plain=is_plain))
    start, end = node.start_mark.index, _end_of(text, entry)
    old = text[start:end]
    rest = text[end:].split("\n", 1)[0].strip()
    if getattr(node, "style", None) in ("|", ">"):
        comment = next(iter(_comments_between(_header(old))), "")
        rest, kept = comment, f"   {comment}" if comment else ""
    else:
        kept = ""
    if rest or not is_plain:
        return Edit(start, end, _one_line(value, is_plain=is_plain) + kept)
    lines = _entry(name.value, value, name.start_mark.column)
    lead = " " * name.start_mark.column + f"{name.value}: "
    return Edit(start, end, _newline(text).join([lines[0].removeprefix(lead), *lines[1:]]))


def _entry(name: str, value: str, indent: int) -> list[str]:
    """``name: value`` as its lines: one where it fits, else folded."""
    lead, inner = " " * indent, " " * (indent + INDENT)
    line = f"{lead}{name}: {_one_line(value)}"
    if "\n" in value:
        return [f"{lead}{name}: |-", *(f"{inner}{each}".rstrip() for each in value.split("\n"))]
    if len(line) <= WIDTH or "  " in value:
        return [line]
    folded = textwrap.wrap(value, WIDTH - len(inner), break_long_words=False, break_on_hyphens=False)
    return [f"{lead}{name}: >-", *(inner + each for each in folded)]


def _json_lines(values: Mapping[str, str], indent: int) -> list[str]:
    return [f"{' ' * indent}{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]


def _one_line(value: str, *, is_plain: bool = True) -> str:
    """A text as YAML: bare where it is read as that text, else as JSON writes it."""
    if is_plain and re.match(r"[\w(<>≥≤]", value) and not re.search(r": |:$| #|\n", value):
        try:
            if parse_yaml(f"key: {value}", "").data == {"key": value}:
                return value
        except InputError:
            pass
    return json.dumps(value, ensure_ascii=False)


def _line_insertion(text: str, place: int, lines: Sequence[str]) -> Edit:
    """Put lines behind the line of a place."""
    newline = _newline(text)
    end = text.find("\n", place)
    end = len(text) if end < 0 else end - newline.startswith("\r")
    return Edit(end, end, "".join(f"{newline}{line}" for line in lines))


def _flow_insertion(text: str, brace: int, written: str) -> Edit:
    """Put entries first into ``{…}``."""
    is_empty = text[brace + 1 :].lstrip().startswith("}")
    return Edit(brace + 1, brace + 1, written if is_empty else f"{written}, ")


def _end_of(text: str, entry: "tuple[Node, Node]") -> int:
    """Where an entry ends: blank lines behind a folded text, and comments behind a block, are not its own."""
    name, node = entry
    written = text[node.start_mark.index : node.end_mark.index]
    return int(node.start_mark.index + len(written.rstrip()) if written.strip() else name.end_mark.index + 1)


def _root(text: str) -> "MappingNode":
    from ruamel.yaml import YAML
    from ruamel.yaml.nodes import MappingNode

    root = YAML(typ="safe", pure=True).compose(text)
    if not isinstance(root, MappingNode):
        raise _CannotError
    return root


def _applied(text: str, edits: Iterator[Edit]) -> str:
    """Make the changes, the last one first, so that places stay what they are."""
    for edit in sorted(edits, key=lambda one: (one.start, one.end), reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
