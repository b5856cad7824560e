"""What the ladder of checks before a canary says: a line that begins with ``sanity: `` for each rung. Pure."""

import re
from collections.abc import Iterable

_RUNG = re.compile(r"(?:[\w.]+: )?sanity: (.+)")
"""An exception's name may stand before the rung that broke: ``train.sanity.SanityError: sanity: leakage: …``."""
_LONGEST = 300


def rungs_in(lines: Iterable[str]) -> list[str]:
    """Return what each rung says, in order, without the prefix."""
    return [found[1].strip() for line in lines if (found := _RUNG.match(line))]


def why_it_broke(lines: Iterable[str]) -> str:
    """Say why a ladder that failed did: its last rung and what was said after it; empty where it printed nothing."""
    said = [line.strip() for line in lines if line.strip()]
    if not said:
        return ""
    last = max((place for place, line in enumerate(said) if _RUNG.match(line)), default=None)
    if last is None:
        return said[-1][:_LONGEST]
    rung = rungs_in([said[last]])[0][:_LONGEST]
    return rung if last == len(said) - 1 else f"{rung}; then: {said[-1][:_LONGEST]}"
