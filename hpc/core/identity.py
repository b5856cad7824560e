"""Who is who: names from content, so that the same question always finds the same answer.

Little is hashed by Python's own code: loading OpenSSL for it, as `hashlib` does, would take each start of the wrapper
longer than hashing a task's whole code.
"""

import json
from collections.abc import Mapping
from typing import Any

try:
    from _sha256 import sha256  # type: ignore[import-not-found]  # as `random` takes its own
except ImportError:  # later than 3.11
    try:
        from _sha2 import sha256  # type: ignore[import-not-found, no-redef, unused-ignore]
    except ImportError:  # a Python that was built without
        from hashlib import sha256

__all__ = ["canonical_json", "content_hash", "hexdigest", "sha256", "task_id"]
_MUCH = 1 << 20
"""Bytes from which on OpenSSL is faster, its loading included."""

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> str:
    """Render a value so that equal values give equal text: sorted keys, no spaces, no NaN.

    Raises:
        ValueError: The value holds NaN or infinity, which JSON cannot express.
        TypeError: The value holds something that is not JSON.
    """
    return _CANONICAL.encode(value)


def hexdigest(content: bytes) -> str:
    """SHA-256 of any content, 64 hexadecimal digits."""
    if len(content) < _MUCH:
        return str(sha256(content).hexdigest())
    import hashlib

    return hashlib.sha256(content).hexdigest()


def content_hash(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON, 64 hexadecimal digits."""
    # A file name that is no UTF-8 reaches us with lone surrogates.
    return hexdigest(canonical_json(value).encode("utf-8", "backslashreplace"))


def task_id(program: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """Name a task by what it computes: the program, its fixed arguments, its parameters and its seed.

    Returns:
        12 hexadecimal digits; two tasks of 10,000 share one with probability below 2e-7.
    """
    return content_hash({"program": program, "parameters": parameters})[:12]
