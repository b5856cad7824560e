"""A program's own configuration file as a template: YAML, JSON or TOML, read into plain values."""

import json
import tomllib
from pathlib import Path
from typing import Any

from hpc.adapters.yaml_file import load_yaml
from hpc.core.errors import InputError

MAX_BYTES = 100_000
"""It goes into the manifest, and with every array to the nodes."""


def read_config(path: Path) -> dict[str, Any]:
    """Read a template.

    Raises:
        InputError: It is missing, too large, not of the kind that its name says, or holds no keys; with the line where
            that is known.
    """
    try:
        size = path.stat().st_size
    except OSError:
        raise InputError("no such file in the project") from None
    if size > MAX_BYTES:
        raise InputError(f"is larger than {MAX_BYTES // 1000} kB; a configuration file holds settings, not data")
    content = load_yaml(path).data if path.suffix in (".yaml", ".yml") else _parsed(path)
    if not isinstance(content, dict) or not content:
        raise InputError("has no keys that could take values")
    return content


def _parsed(path: Path) -> Any:
    read = tomllib.loads if path.suffix == ".toml" else json.loads
    try:
        return read(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not {path.suffix[1:].upper()}: {error}") from None
