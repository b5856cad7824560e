"""Pages of the documentation as tests read them: their fenced blocks, and the commands and outputs in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(
    r"^(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL
)
_TITLE = re.compile(r'\btitle="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    title: str
    """The file it shows; empty where it names none."""
    text: str
    """What stands between the fences, with the last line's end."""
    start: int
    """Where `text` begins in the page, in characters."""


@dataclass(frozen=True)
class Step:
    """A command line of a console block, and the lines shown below it."""

    command: str
    shown: str


def blocks(text: str) -> Iterator[Block]:
    """Yield every fenced block of a page, in order."""
    for match in _FENCE.finditer(text):
        info = match["info"].strip()
        title = _TITLE.search(info)
        yield Block(info.split(" ")[0], title[1] if title else "", match["text"], match.start("text"))


def steps(block: Block) -> Iterator[Step]:
    """Yield the commands of a console block: what begins with ``$``, and what stands below it up to the next."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield Step(command, shown.rstrip())
