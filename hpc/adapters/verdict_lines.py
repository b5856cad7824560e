"""``collected/verdicts.json`` as lines, a task each: written and copied without holding all of them.

A line is the task's canonical JSON, so the hash of the whole is made of the lines as they stand: what did not change
is neither read as JSON nor written anew.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from hpc.adapters.files import mode_in, open_regular, read_json
from hpc.core.identity import canonical_json

_TASKS = "tasks"
_BEGIN = b' "tasks": [\n'
_END = b" ],\n"
_INDENT = b"  "
_LAST = re.compile(rb'^ "sha256": "([0-9a-f]{64})"\n}\n\Z', re.MULTILINE)
_MOST_HEAD_LINES = 20
"""More than there are members; each is a line."""


def line_of(entry: Mapping[str, Any]) -> bytes:
    """One task as it stands in the file."""
    return encoded(canonical_json(entry))


def encoded(text: str) -> bytes:
    """JSON text as bytes; of a file name that is no UTF-8, lone surrogates reach us, which are valid as escapes."""
    return text.encode("utf-8", "backslashreplace")


def write_verdicts(path: Path, schema: int, told: Mapping[str, Any], lines: Iterable[bytes]) -> str:
    """Write the file; return the hash of what it tells, as `hpc.core.identity.content_hash` of all of it.

    Args:
        path: Where nothing is yet.
        schema: Of the format; no part of the hash.
        told: All members but the tasks; their names stand before ``tasks`` in the alphabet.
        lines: The tasks, each by `line_of`.

    Raises:
        OSError: The disk is full.
    """
    digest = hashlib.sha256(encoded(canonical_json(told))[:-1] + f',"{_TASKS}":['.encode())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode_in(path.parent))
    with os.fdopen(descriptor, "wb", buffering=1 << 20) as file:
        file.write(b"{\n")
        for name, value in {"schema": schema, **told}.items():
            file.write(encoded(f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)},\n"))
        file.write(_BEGIN)
        between = b""
        for line in lines:
            digest.update(between[:1] + line)
            file.write(between + _INDENT + line)
            between = b",\n"
        digest.update(b"]}")
        file.write((b"\n" if between else b"") + _END + f' "sha256": "{digest.hexdigest()}"\n}}\n'.encode())
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def read_lines(file: BinaryIO) -> Iterator[bytes]:
    """The tasks of an open file that `write_verdicts` wrote, each as `line_of` gives it; none of any other file."""
    file.seek(0)
    for line in file:
        if line == _BEGIN:
            break
    for line in file:
        if line == _END:
            break
        yield line.removeprefix(_INDENT).rstrip(b"\n").removesuffix(b",")


def read_head(path: Path) -> Mapping[str, Any]:
    """All members but the tasks, which are not read; of a file that `write_verdicts` did not write, all there are.

    Raises:
        FileNotFoundError: There is none.
        InputError: It is not ours to read, or no JSON.
        OSError: The file system has an error.
    """
    with open_regular(path) as file:
        lines = list(islice(file, _MOST_HEAD_LINES))
    told = None
    if _BEGIN in lines:
        with contextlib.suppress(ValueError):
            told = json.loads(b"".join(lines[: lines.index(_BEGIN)]).rstrip(b",\n") + b"}")
    told = read_json(path) if told is None else told
    return told if isinstance(told, dict) else {}


def digest_told(file: BinaryIO) -> str:
    """The hash that an open file ends with; empty where it does not end as `write_verdicts` ends one.

    Raises:
        OSError: It cannot be read.
    """
    file.seek(max(0, os.fstat(file.fileno()).st_size - 100))
    last = file.read()
    found = _LAST.search(last)
    return found[1].decode() if found else ""
