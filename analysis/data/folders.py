"""Reads what a run left in its own folder, beside what was collected of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpc.adapters.files import read_json_or_none
from hpc.core.errors import InputError


def read_object_or_none(path: Path) -> Mapping[str, Any] | None:
    """Read a JSON object of a run; None where it is gone or cannot be read: that run then counts as not checked."""
    try:
        found = read_json_or_none(path)
    except (InputError, OSError):
        return None
    return found if isinstance(found, dict) else None
