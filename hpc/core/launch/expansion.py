"""``$NAME``, ``${NAME}`` and ``~`` in what a profile or an experiment says, as the node has them.

One pass and no shell: what a variable holds is never read again, so it cannot add a command, a word or a variable.
``$$`` is a dollar. A dollar before anything else stays what it is.
"""

import re
from collections.abc import Mapping

_PIECE = re.compile(
    r"(?P<dollar>\$\$)|\$\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)\}|\$(?P<plain>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<home>(?:^|(?<=:))~(?=[/:]|$))",
    re.ASCII,
)
_SHELL_ONLY = r"\$\(|\$\{(?![A-Za-z_][A-Za-z0-9_]*\})[^}]*\}?"


class UnsetError(ValueError):
    """A text names a variable that has no value.

    Attributes:
        name: The variable.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"variable {name} is not set")


def references(text: str) -> tuple[str, ...]:
    """Return the variables a text names, in order of first use; ``~`` names HOME."""
    names = (_name(piece) for piece in _PIECE.finditer(text))
    return tuple(dict.fromkeys(name for name in names if name))


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Put values in the place of the variables a text names.

    Raises:
        UnsetError: One of them has none.
    """

    def value(piece: re.Match[str]) -> str:
        name = _name(piece)
        if name is None:
            return "$"
        if name not in variables:
            raise UnsetError(name)
        return variables[name]

    return _PIECE.sub(value, text)


def _name(piece: re.Match[str]) -> str | None:
    return "HOME" if piece["home"] is not None else piece["braced"] or piece["plain"]


def expansion_problem(text: str) -> str:
    """Say what in a text only a shell would expand; empty when there is nothing."""
    found = re.search(_SHELL_ONLY, text.replace("$$", ""))
    if found is None:
        return ""
    return (
        f"holds '{found[0]}', and no shell reads it; write $NAME, and compute NAME in a line of the profile's setup "
        "($$ is a dollar)"
    )
