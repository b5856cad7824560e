"""Lines as templates: what differs between two runs that say the same is blanked. Pure, bounded."""

import hashlib
import re
from collections.abc import Iterable

from hpc.core.failures import log_scan
from hpc.core.failures.evidence import LogLine
from hpc.core.failures.reading.prefixes import split_prefix

MAX_TEXT = 400
"""Characters of a line that are looked at."""
MOST = 400
"""Templates of one run; suspicious lines go first."""

_BLANKED = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"(?:[A-Za-z]:)?(?:/[^\s/'\":,;()\[\]]+)+/?"), "<path>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b|\b[0-9a-f]{8,}\b"), "<address>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "<host>"),
    (re.compile(r"\d+(?:[.:]\d+)*(?:e[+-]?\d+)?", re.IGNORECASE), "<n>"),
    (re.compile(r"\s+"), " "),
)
"""What differs between two tasks that fail alike, and what stands there instead; in this order."""


def blank(line: str) -> str:
    """Put placeholders where numbers, paths, addresses, hosts and times stand."""
    for pattern, instead in _BLANKED:
        line = pattern.sub(instead, line)
    return line.strip()


def template_of(text: str) -> str:
    """What a line says whoever says it and when: prefixes of rank, host and clock taken off, the rest blanked."""
    return blank(split_prefix(log_scan.clean(text[: 4 * MAX_TEXT]))[1][:MAX_TEXT])


def key_of(template: str) -> str:
    """A short name of a template: twelve hexadecimal digits; of what says nothing, empty."""
    if not any(letter.isalpha() for letter in template.replace("<n>", "")):
        return ""
    return hashlib.blake2b(template.encode("utf-8", "replace"), digest_size=6).hexdigest()


def keys_of(lines: Iterable[LogLine]) -> dict[str, LogLine]:
    """The templates of a run's log, each with the first line that has it, suspicious ones first; at most `MOST`."""
    found: dict[str, LogLine] = {}
    plain: dict[str, LogLine] = {}
    for line in lines:
        if key := key_of(template_of(line.text)):
            (found if log_scan.suspicious(line.text) else plain).setdefault(key, line)
    return dict(list({**found, **{key: line for key, line in plain.items() if key not in found}}.items())[:MOST])
