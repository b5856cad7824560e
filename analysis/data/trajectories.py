"""Reads ``trajectories.json``: what a program did while it was tested, over time, beside what it is held against.

Any program may leave one in its attempt's folder; docs/formats/attempt.md has the format. It is a picture's content and
enters no number: a file that does not fit is named in the report, and is no error.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.data.frame import Floats
from analysis.words import plain
from hpc.core.words import counted

NAME = "trajectories.json"
MAX_BYTES = 2**20
MAX_POINTS = 1000
MAX_QUANTITIES = 6
MAX_CURVES = 4
MAX_LINES = 12


@dataclass(frozen=True)
class Curve:
    """One way of acting.

    Attributes:
        name: Whose: ``policy``.
        lines: One a start: an array per quantity, of shape (points,) or one point fewer; NaN where there was no number.
    """

    name: str
    lines: tuple[tuple[Floats, ...], ...]


@dataclass(frozen=True)
class Trajectories:
    """What one run did.

    Attributes:
        title: What was tested; empty where the file does not say.
        axis: Label of the horizontal axis, with its unit.
        at: Array of shape (points,), strictly increasing.
        quantities: Label of each quantity, with its unit.
        curves: The run's own first; what it is held against second, where there is such a thing.
    """

    title: str
    axis: str
    at: Floats
    quantities: tuple[str, ...]
    curves: tuple[Curve, ...]


class UnfitError(ValueError):
    """A file that cannot be drawn; the message says why."""


def read_trajectories(path: Path) -> Trajectories | None:
    """Read one file; None where there is none.

    Raises:
        UnfitError: It is too large, unreadable, or does not keep to the format.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UnfitError(f"it has {size / 2**20:.1f} MiB, at most {MAX_BYTES / 2**20:g} are read")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnfitError(f"it cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise UnfitError("it is not JSON") from error
    if not isinstance(content, dict) or content.get("schema") != 1 or content.get("kind") != "trajectories":
        raise UnfitError('it does not say "schema": 1 and "kind": "trajectories"')
    return _parse(content)


def _parse(content: Mapping[str, Any]) -> Trajectories:
    at = _numbers(content.get("at"), "at")
    if not 2 <= len(at) <= MAX_POINTS or not np.all(np.diff(at) > 0):
        raise UnfitError(f"`at` must be 2 to {MAX_POINTS} numbers, each larger than the previous one")
    quantities = _listed(content.get("quantities"), "quantities", MAX_QUANTITIES)
    curves = tuple(
        _curve(one, len(at), len(quantities)) for one in _listed(content.get("curves"), "curves", MAX_CURVES)
    )
    if len({len(one.lines) for one in curves}) > 1:
        raise UnfitError("its curves have different numbers of lines")
    return Trajectories(
        plain(str(content.get("title") or "")),
        plain(str(content.get("axis") or "time")),
        at,
        tuple(plain(str(one)) for one in quantities),
        curves,
    )


def _curve(content: Any, points: int, quantities: int) -> Curve:
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        raise UnfitError("a curve has no name")
    name = plain(content["name"])
    lines = tuple(
        tuple(_numbers(series, f"a line of {name}") for series in _listed(line, f"a line of {name}", quantities))
        for line in _listed(content.get("lines"), f"lines of {name}", MAX_LINES)
    )
    if any(len(line) != quantities for line in lines):
        raise UnfitError(f"a line of {name} has not {counted(quantities, 'quantity', 'quantities')}")
    if any(len(series) not in (points, points - 1) for line in lines for series in line):
        raise UnfitError(f"a line of {name} has neither {points} values, as `at` has, nor one fewer")
    return Curve(name, lines)


def _listed(value: Any, what: str, most: int) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        raise UnfitError(f"{what}: must be a list of 1 to {most} items")
    return value


def _numbers(value: Any, what: str) -> Floats:
    """Numbers as an array; null is NaN, and so is what is too large to be drawn."""
    whole = value if isinstance(value, list) else [value]
    if not isinstance(value, list) or any(
        isinstance(one, bool) or not (one is None or isinstance(one, int | float)) for one in whole
    ):
        raise UnfitError(f"{what}: must be a list of numbers, with null for missing ones")
    array = np.array([np.nan if one is None or not abs(one) < 1e150 else float(one) for one in whole])
    return array.astype(np.float64)
