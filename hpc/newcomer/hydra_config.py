"""What a hydra configuration says once its defaults list is followed: ``- model: mlp`` is ``model/mlp.yaml``.

Read to find names and defaults, not to run: interpolations stay as they are, and what cannot be read is left out.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

from hpc.adapters.yaml_file import load_yaml
from hpc.core.errors import HpcError

_MOST_DEEP = 6
_PACKAGE = re.compile(r"^#\s*@package\s+(\S+)", re.MULTILINE)


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """Read a configuration with its groups.

    Args:
        folder: hydra's ``config_path``.
        name: hydra's ``config_name``.

    Returns:
        Values as one mapping, the groups' below their names; empty where there is nothing to read.
    """
    return _composed(folder, name, "", 0)


def targets_in(values: Any) -> Iterator[PurePath]:
    """The modules whose classes a configuration names, as paths without ``.py``: ``_target_: src.models.Net``."""
    for key, value in values.items() if isinstance(values, dict) else ():
        if key == "_target_" and isinstance(value, str):
            yield PurePath(*value.split(".")[:-1])
        yield from targets_in(value)


def _composed(root: Path, name: str, group: str, depth: int) -> dict[str, Any]:
    """One file of a group, and what its own defaults list names."""
    file = root / group / f"{name.removesuffix('.yaml')}.yaml"
    try:
        values = load_yaml(file).data
    except HpcError:
        return {}
    if not isinstance(values, dict):
        return {}
    own = {key: value for key, value in values.items() if key not in ("defaults", "hydra")}
    listed = values.get("defaults") if depth < _MOST_DEEP else None
    listed = listed if isinstance(listed, list) else []
    found: dict[str, Any] = {}
    for entry in listed if "_self_" in listed else [*listed, "_self_"]:
        if entry == "_self_":
            _merge(found, own)
        for inner, option in _chosen(entry):
            part = _composed(root, option, "/".join(filter(None, (group, inner))), depth + 1)
            _merge(found, _placed(part, inner, root / group / inner / f"{option}.yaml"))
    return found


def _chosen(entry: Any) -> Iterator[tuple[str, str]]:
    """Group and option of one entry of a defaults list; the group is empty for a file beside it."""
    if isinstance(entry, str) and entry != "_self_":
        yield "", entry.split("@")[0]
    for key, option in entry.items() if isinstance(entry, dict) else ():
        words = str(key).removeprefix("optional ").split("@")[0].strip("/")
        if not words.startswith(("override ", "hydra")):
            options = option if isinstance(option, list) else [option]
            yield from ((words, each) for each in options if isinstance(each, str))


def _placed(values: dict[str, Any], group: str, file: Path) -> dict[str, Any]:
    """Values below the name of their group, or where the file's own head says."""
    try:
        head = _PACKAGE.search(file.read_text(encoding="utf-8")[:500])
    except (OSError, UnicodeDecodeError):
        head = None
    if not values:
        return {}
    package = head[1] if head else group.replace("/", ".")
    for part in reversed([] if package == "_global_" else package.split(".") if package else []):
        values = {part: values}
    return values


def _merge(into: dict[str, Any], values: dict[str, Any]) -> None:
    """Later values win, one by one."""
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
