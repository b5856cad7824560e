"""An answer of bounded size: long lists and texts are cut, and what was left out is counted."""

import json
from typing import Any

MOST_CHARACTERS = 40_000
"""Of one answer: about ten thousand tokens."""
_LENGTHS = (1000, 200, 50, 20, 5, 1)
"""Items of each list, and tens of characters of each text, that are tried one after the other."""


def bounded(answer: Any, most: int = MOST_CHARACTERS) -> str:
    """JSON of at most so many characters: whole where it fits, else with the first items of each list only."""
    text = _json(answer)
    for length in _LENGTHS:
        if len(text) <= most:
            return text
        text = _json(_cut(answer, length))
    left_out = f"{len(_json(answer)):,} characters do not fit; ask for less"
    return text if len(text) <= most else _json({"left_out": left_out})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _cut(value: Any, length: int) -> Any:
    if isinstance(value, dict):
        kept = {key: _cut(item, length) for key, item in list(value.items())[: 2 * length + 20]}
        return {**kept, "left_out": len(value) - len(kept)} if len(kept) < len(value) else kept
    if isinstance(value, list):
        kept_items = [_cut(item, length) for item in value[:length]]
        return [*kept_items, {"left_out": len(value) - length}] if len(value) > length else kept_items
    if isinstance(value, str) and len(value) > 10 * length + 80:
        return f"{value[: 10 * length + 80]}… ({len(value)} characters)"
    return value
