"""Command lines in messages, spelled as the user started us. Pure.

Every message names a command as ``python -m hpc.<verb>``; how this user would type that is put in when it is shown.
"""

import re

_CANONICAL = re.compile(r"\bpython -m (?:hpc\.([a-z]+)|analysis\.(report))(?![\w.])")
PLAIN = "python -m hpc.{verb}"
"""How a message writes it."""


def spell(text: str, template: str) -> str:
    """Write every command of ours in a text as it is typed here.

    Args:
        template: With ``{verb}``, such as ``hpc {verb}`` or ``.venv/bin/python -m hpc.{verb}``.
    """
    if template == PLAIN or "python -m " not in text:
        return text
    return _CANONICAL.sub(lambda found: template.replace("{verb}", found[1] or found[2]), text)
