"""Who is who: names from content, so that the same question always finds the same answer."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> str:
    """Render a value so that equal values give equal text: sorted keys, no spaces, no NaN.

    Raises:
        ValueError: The value holds NaN or infinity, which JSON cannot express.
        TypeError: The value holds something that is not JSON.
    """
    return _CANONICAL.encode(value)


def content_hash(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON, 64 hexadecimal digits."""
    # A file name that is no UTF-8 reaches us with lone surrogates.
    return hashlib.sha256(canonical_json(value).encode("utf-8", "backslashreplace")).hexdigest()


def task_id(program: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """Name a task by what it computes: the program, its fixed arguments, its parameters and its seed.

    Returns:
        12 hexadecimal digits; two tasks of 10,000 share one with probability below 2e-7.
    """
    return content_hash({"program": program, "parameters": parameters})[:12]
