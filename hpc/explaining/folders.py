"""A folder of logs: each job judged by its own, told as one line a kind of end."""

import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hpc.adapters.progress import through
from hpc.core.words import counted, few
from hpc.explaining.explained import WIDTH, Explained, explain
from hpc.explaining.given import Given, evidence_of_lines, read_given_log
from hpc.explaining.targets import logs_in


def explain_folder(folder: Path, given: Given) -> list[Explained]:
    """Explain every job whose logs lie in a folder, in the order of their numbers.

    Raises:
        InputError: A log is damaged or may not be read, or what is given beside them cannot be read.
        OSError: A log cannot be read.
    """
    found = []
    for paths in through("reading logs", logs_in(folder).values()):
        lines = tuple(line for path in paths for line in read_given_log(path, path.name))
        explained = explain("", evidence_of_lines(lines, given))
        found.append(replace(explained, target=str(_speaks(explained, paths))))
    return found


def _speaks(explained: Explained, paths: Sequence[Path]) -> Path:
    """Find of a job's logs the one whose line decided; its first where none did."""
    sources = {line.source for line in explained.verdict.evidence[:1]}
    return next((path for path in paths if path.name in sources), paths[0])


def describe_folder(folder: Path, explained: Sequence[Explained]) -> str:
    """Tell what became of the jobs: counts, and of each kind of end the first job with its line."""
    kinds: dict[tuple[str, str], list[Explained]] = {}
    for each in explained:
        kinds.setdefault((each.verdict.category.value, each.verdict.cause), []).append(each)
    most_first = sorted(kinds.items(), key=lambda kind: (kind[0][0] == "success", -len(kind[1]), kind[0]))
    head = f"{folder}: {counted(len(explained), 'job')}"
    return "\n".join([head, *(line for kind, those in most_first for line in _kind(kind, those))])


def _kind(kind: tuple[str, str], those: Sequence[Explained]) -> list[str]:
    category, cause = kind
    names = few([Path(each.target).name for each in those])
    lines = [f"  {len(those)} × {category}" + (f" ({cause})" if cause else "")]
    if category == "success":
        return [*lines, *_wrapped(names)]
    quoted = those[0].verdict.evidence[0] if those[0].verdict.evidence else None
    said = [f"{quoted.source}:{quoted.line}: {quoted.text}" if quoted.line else quoted.text] if quoted else []
    return [
        *lines,
        *(line for each in said for line in _wrapped(each[: 3 * WIDTH])),
        *_wrapped(names),
        f"      python -m hpc.why {shlex.quote(those[0].target)}",
    ]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="      ", subsequent_indent="      ")
