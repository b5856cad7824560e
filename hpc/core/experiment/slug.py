"""Values as parts of file names: readable, and never the same for two of them."""

import re
from typing import Any

from hpc.core.experiment.values import render_value
from hpc.core.identity import content_hash
from hpc.core.layout import name_problem

LONGEST = 40
"""Characters of a value that are kept; a name is made of several."""

_HASHED = re.compile(r".*@[0-9a-f]{6}|[0-9a-f]{6}", re.DOTALL)
_ENDS = "-._=+,"


def slug(value: Any) -> str:
    """Write a value so that it can stand in a file name: ``meta-llama/Llama`` is ``meta-llama-Llama@5a1c07``.

    What can stand there as it is stays so. Of all else the unusable characters become dashes, and six digits of its
    hash keep it apart from what would look the same; what looks like such a slug itself gets them, too.
    """
    text = render_value(value)
    if isinstance(value, int | float) or value is None or (isinstance(value, str) and is_plain(text)):
        return text
    readable = re.sub(r"[^A-Za-z0-9._=+,]+", "-", text).strip(_ENDS)[:LONGEST].strip(_ENDS)
    digits = content_hash(value)[:6]
    return f"{readable}@{digits}" if readable else digits


def is_plain(text: str) -> bool:
    """Whether a text can stand in a file name as it is."""
    return not name_problem(text) and len(text) <= LONGEST and not _HASHED.fullmatch(text)
