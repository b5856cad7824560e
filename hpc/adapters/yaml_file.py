"""YAML 1.2 files that people write, read into plain values that remember their lines.

Only what JSON knows can come out: text, whole numbers, floats, true/false, null, lists and mappings with text keys.
``1e-4`` is a number, ``on`` and ``yes`` are text, ``24:00:00`` is text. Refused, each with its line: duplicate keys,
tags, merge keys, several documents, aliases that grow beyond bounds or contain themselves.
"""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.core.errors import InputError, Problem
from hpc.core.immutable import field, immutable

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node

MAX_BYTES = 1_000_000
MAX_NODES = 100_000
"""Values after aliases are written out; a file of 1 MB cannot honestly need more."""

YamlPath = tuple[str | int, ...]
"""Where a value stands: keys and list positions (from 0), outermost first."""

_TAG = "tag:yaml.org,2002:"


@immutable
class YamlDocument:
    """One file's content.

    Attributes:
        data: Plain values.
        lines: Path → line, from 1; for a mapping's value the line of its key.
        source: File name for messages.
        origins: Path → what put the value there, where it was not the file (``--set name=x``).
    """

    data: Any
    lines: Mapping[YamlPath, int] = field(default_factory=dict)
    source: str = ""
    origins: Mapping[YamlPath, str] = field(default_factory=dict)

    def line(self, path: YamlPath) -> int:
        """Line of the value at this path, or of the nearest block around it; 0 when it came from elsewhere."""
        if self.origin(path):
            return 0
        return next((self.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.lines), 0)

    def origin(self, path: YamlPath) -> str:
        """What put this value there; empty when the file did."""
        return next((self.origins[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.origins), "")

    def problem(self, path: YamlPath, message: str) -> Problem:
        """Say that something is wrong with the value at this path."""
        origin = self.origin(path)
        return Problem(f"{message} (from {origin})" if origin else message, dotted(path), self.line(path))


def dotted(path: YamlPath) -> str:
    """Write a path the way people do: ``sweep.cases[2].id``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def load_yaml(path: Path) -> YamlDocument:
    """Read one YAML file.

    Raises:
        InputError: The file is missing, unreadable, too large, not text, not YAML, or holds what a configuration file
            should not; every problem with its line.
    """
    return parse_yaml(_read(path), str(path))


def _read(path: Path) -> str:
    source = str(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"no such file{_similar_files(path)}", source) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", source) from None
    if len(content) > MAX_BYTES:
        raise InputError(
            f"is larger than {MAX_BYTES // 1_000_000} MB; an experiment file holds settings, not data", source
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError([Problem("is not text in UTF-8; save it as UTF-8", line=line)], source) from None
    return text


def _similar_files(path: Path) -> str:
    try:
        names = sorted(found.name for found in path.parent.glob("*.y*ml"))[:20]
    except OSError:
        names = []
    return f"; {path.parent} holds: {', '.join(names)}" if names else ""


def parse_value(text: str) -> Any:
    """Read one value as YAML would, for ``--set key=value``.

    Raises:
        InputError: The text is not one YAML value.
    """
    return parse_yaml(text, "").data if text.strip() else ""


def parse_yaml(text: str, source: str) -> YamlDocument:
    """Read YAML text; see `load_yaml`.

    Raises:
        InputError: See `load_yaml`.
    """
    reader = _Reader()
    node = _compose(text, source)
    data = reader.value(node, ()) if node is not None else None
    if reader.problems:
        raise InputError(sorted(reader.problems, key=lambda problem: problem.line), source)
    return YamlDocument(data, reader.lines, source)


def _compose(text: str, source: str) -> "Node | None":
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError

    if directive := next(_directives(text), 0):
        raise InputError(
            [Problem("directives (lines that start with %) are not used here; remove it", line=directive)], source
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # legal: the later anchor counts from there on
            # The pure reader knows YAML 1.2; the C one reads 1.1.
            node: Node | None = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        raise InputError([_syntax_problem(error, text)], source) from None
    except YAMLError as error:
        raise InputError(f"is not YAML: {str(error).splitlines()[0]}", source) from None
    except RecursionError:
        raise InputError("is nested too deeply", source) from None
    return node


def _directives(text: str) -> Iterator[int]:
    """Return the lines of directives before the content; ``%YAML 1.1`` would change what ``on`` means."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("%"):
            yield number
        elif line.strip() and not line.lstrip().startswith("#"):
            return


_HINTS = (
    ("expected a single document", "holds several documents; keep one, without a second '---'"),
    ("found undefined alias", "uses an alias (*name) that no anchor (&name) defines; quote text that starts with '*'"),
    (
        "cannot start any token",
        "starts with a character that YAML reserves (a tab, @, ` or %); indent with spaces, quote text",
    ),
    ("mapping values are not allowed", "has a ': ' inside a value, or is indented wrongly; quote text that holds ': '"),
    (
        "expected <block end>",
        "is indented differently from the lines above it, or a list or mapping there is not closed",
    ),
    ("could not find expected ':'", "has no ':' after the key"),
    ("unexpected end of stream", "opens a quote that is never closed"),
    ("expected ',' or '}'", "belongs to a '{' mapping that is not closed, or where a comma is missing"),
    ("expected ',' or ']'", "belongs to a '[' list that is not closed, or where a comma is missing"),
    (
        "expected the node content",
        "ends or goes on where a value is missing; close the list or mapping, or write the value",
    ),
)


def _syntax_problem(error: Any, text: str) -> Problem:
    """Turn the parser's two marks into one line and one sentence."""
    mark = error.problem_mark or error.context_mark
    line = min(mark.line + 1, len(text.splitlines()) or 1) if mark else 0
    said = f"{error.context or ''} {error.problem or ''}"
    hint = next((hint for words, hint in _HINTS if words in said), f"is not YAML: {(error.problem or said).strip()}")
    if line and "\t" in text.splitlines()[line - 1].split("#")[0]:
        hint = "is indented with a tab; YAML wants spaces"
    return Problem(hint, line=line)


class _Reader:
    """Turns YAML nodes into plain values, noting lines and collecting problems."""

    def __init__(self) -> None:
        self.lines: dict[YamlPath, int] = {}
        self.problems: list[Problem] = []
        self._open: set[int] = set()
        self._count = 0

    def value(self, node: "Node", path: YamlPath) -> Any:
        """Read a node and everything below it; problems are noted and None stands in."""
        self._count += 1
        if self._count > MAX_NODES:
            if self._count == MAX_NODES + 1:
                self._note(node, path, f"holds more than {MAX_NODES:,} values once its aliases are written out")
            return None
        if id(node) in self._open:
            return self._note(node, path, "contains itself through an alias")
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self._open.add(id(node))
        try:
            return self._plain(node, path)
        finally:
            self._open.discard(id(node))

    def _plain(self, node: "Node", path: YamlPath) -> Any:
        kind = str(node.tag).removeprefix(_TAG)
        if kind == "map":
            return self._mapping(node, path)
        if kind == "seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if kind in _SCALARS and isinstance(node.value, str):
            try:
                return _SCALARS[kind](node.value)
            except UnicodeError:
                return self._note(node, path, r"holds half a character (a lone \uD800 to \uDFFF)")
            except ValueError:
                return self._note(node, path, f"'{_shortened(node.value)}' is not a number we can hold")
        return self._note(node, path, f"carries the tag '{node.tag}'; only plain values are read, remove the tag")

    def _mapping(self, node: "Node", path: YamlPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self._key(key_node, path)
            if key is None:
                continue
            if key in first:
                self._note(
                    key_node, (*path, key), f"the key '{key}' appears twice, first in line {first[key]}; keep one"
                )
                continue
            first[key] = line
            self.lines[*path, key] = line
            result[key] = self.value(value_node, (*path, key))
        return result

    def _key(self, node: "Node", path: YamlPath) -> str | None:
        kind = str(node.tag).removeprefix(_TAG)
        if kind == "merge":
            self._note(node, path, "merge keys ('<<') belong to YAML 1.1; write the keys out")
            return None
        if kind not in _TEXT_KINDS or not isinstance(node.value, str):
            shown = node.value if isinstance(node.value, str) else "a list or mapping"
            self._note(node, path, f"the key '{shown}' is not text; put it in quotes")
            return None
        try:
            return _text(node.value)
        except UnicodeError:
            self._note(node, path, r"a key holds half a character (a lone \uD800 to \uDFFF)")
            return None

    def _note(self, node: "Node", path: YamlPath, message: str) -> None:
        self.problems.append(Problem(message, dotted(path), node.start_mark.line + 1))


def _shortened(text: str, length: int = 40) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _integer(text: str) -> int:
    """Read a whole number; Python's own bound on digits applies. YAML 1.2 knows ``0o17`` and ``0x1F``, no ``017``."""
    plain = text.replace("_", "")
    sign = -1 if plain.startswith("-") else 1
    digits = plain.lstrip("+-")
    base = {"0o": 8, "0x": 16, "0b": 2}.get(digits[:2].lower(), 10)
    return sign * int(digits, base)


def _text(text: str) -> str:
    r"""Join characters that were escaped in halves, as JSON does (``"\ud83d\ude00"``)."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16")


def _float(text: str) -> float:
    special = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}
    return special.get(text.lower(), 0.0) if text.lower() in special else float(text.replace("_", ""))


_TEXT_KINDS = ("str", "timestamp", "value")
"""A date is text to us: nothing here wants one, and JSON has none."""

_SCALARS: Mapping[str, Any] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": _integer,
    "float": _float,
    **dict.fromkeys(_TEXT_KINDS, _text),
}
