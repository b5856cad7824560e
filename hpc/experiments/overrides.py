"""What the command line changes in an experiment before checks: ``--set``, ``--seeds``, ``--resource-limits``."""

import copy
import re
from collections.abc import Iterator
from typing import Any

from hpc.adapters.yaml_file import YamlDocument, YamlPath, parse_value
from hpc.core.errors import InputError, Problem, nearest
from hpc.core.immutable import immutable, replace


@immutable
class Overrides:
    """Changes from the command line, applied before anything is checked.

    Attributes:
        assignments: ``key=value`` each, the key dotted, the value read as YAML: ``resources.mem=64GB``.
        seeds: ``42,137,256``; empty leaves the file's.
        resource_limits: ``gpu:1,mem:32GB,time:24:00:00``; empty leaves the file's.
    """

    assignments: tuple[str, ...] = ()
    seeds: str = ""
    resource_limits: str = ""


def apply_overrides(document: YamlDocument, overrides: Overrides) -> tuple[YamlDocument, list[Problem]]:
    """Return the document as if the changes had been written into it; and what is malformed, or meets no keys."""
    data = copy.deepcopy(document.data)
    origins: dict[YamlPath, str] = {}
    problems: list[Problem] = []
    for path, value, origin in _changes(overrides, problems):
        written = _with_dotted_names(data, path)
        try:
            _assign(data, written, value)
        except ValueError as error:
            problems.append(Problem(f"{origin}: {error}"))
        origins[written] = origin
    return replace(document, data=data, origins={**document.origins, **origins}), problems


def _changes(overrides: Overrides, problems: list[Problem]) -> Iterator[tuple[YamlPath, Any, str]]:
    for text in overrides.assignments:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            problems.append(Problem(f"--set {text}: write key=value, such as resources.mem=64GB"))
            continue
        try:
            yield _parse_path(key.strip()), parse_value(value), f"--set {text}"
        except InputError as error:
            problems.append(Problem(f"--set {text}: the value {error.problems[0].message}"))
    if overrides.seeds:
        yield ("sweep", "seeds"), [_number(part) for part in overrides.seeds.split(",")], f"--seeds {overrides.seeds}"
    if overrides.resource_limits:
        yield from _limits(overrides.resource_limits, problems)


_STEP = re.compile(r"""'(?P<single>[^']+)'|"(?P<double>[^"]+)"|(?P<plain>[^.\[\]'"]+)""")


def _parse_path(key: str) -> YamlPath:
    """Split ``sweep.cases[2].id``; a name that has dots itself stands in quotes: ``sweep.grid."model.lr"``."""
    found = ((match["plain"] or "", match["single"] or match["double"]) for match in _STEP.finditer(key))
    return tuple(int(plain) if plain.isdecimal() else plain or quoted for plain, quoted in found)


def _with_dotted_names(data: Any, path: YamlPath) -> YamlPath:
    """Take steps together where the file has a key of that name: ``sweep.grid.model.lr`` leads to ``model.lr``."""
    steps: list[str | int] = []
    rest = list(path)
    while rest:
        longest = (count for count in range(len(rest), 1, -1) if _has(data, ".".join(map(str, rest[:count]))))
        count = next(longest, 1)
        step = rest[0] if count == 1 else ".".join(map(str, rest[:count]))
        steps.append(step)
        data, rest = _inside(data, step), rest[count:]
    return tuple(steps)


def _has(data: Any, key: str) -> bool:
    return isinstance(data, dict) and key in data


def _inside(data: Any, step: str | int) -> Any:
    if isinstance(data, list) and isinstance(step, int):
        return data[step] if step < len(data) else None
    return data.get(str(step)) if isinstance(data, dict) else None


def _number(text: str) -> Any:
    text = text.strip()
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else text


_LIMITS = {"gpu": "gpus", "gpus": "gpus", "cpu": "cpus", "cpus": "cpus", "mem": "mem", "memory": "mem", "time": "time",
           "node": "nodes", "nodes": "nodes", "disk": "disk"}  # fmt: skip


def _limits(text: str, problems: list[Problem]) -> Iterator[tuple[YamlPath, Any, str]]:
    for part in text.split(","):
        name, colon, value = (piece.strip() for piece in part.partition(":"))
        if not colon or not value:
            problems.append(
                Problem(f"--resource-limits {part}: write name:value, such as gpu:1,mem:32GB,time:24:00:00")
            )
        elif name not in _LIMITS:
            problems.append(Problem(f"--resource-limits {part}: there is no '{name}'; {nearest(name, tuple(_LIMITS))}"))
        else:
            yield ("resources", _LIMITS[name]), _number(value), f"--resource-limits {part}"


def _assign(data: Any, path: YamlPath, value: Any) -> None:
    """Put a value where a path leads, making the blocks on the way.

    Raises:
        ValueError: The path leads through a value that holds no keys, or past the end of a list.
    """
    for depth, step in enumerate(path):
        if isinstance(data, list):
            if not isinstance(step, int) or step >= len(data):
                raise ValueError(f"'{step}' is not a position in a list of {len(data)}, from 0")
        elif not isinstance(data, dict):
            raise ValueError(f"'{'.'.join(map(str, path[:depth]))}' is one value and holds no '{step}'")
        else:
            step = str(step)  # noqa: PLW2901  the key of a mapping is text, also when it looks like a position
        if depth == len(path) - 1:
            data[step] = value
        else:
            if isinstance(data, dict) and data.get(step) is None:
                data[step] = {}
            data = data[step]
