"""What a line of a log is, before anybody asks what it says: a message, a frame, quoted source code, prose. Pure."""

from collections.abc import Callable, Sequence
from enum import StrEnum, auto

from hpc.core.failures.evidence import LogLine
from hpc.core.immutable import field, immutable, replace


class Part(StrEnum):
    """The part a line plays in its log."""

    PROSE = auto()  # whatever a program prints: progress, tables, sentences
    MESSAGE = auto()  # what an exception, a panic or a crash says of itself
    MORE = auto()  # the message goes on
    HEADER = auto()  # announces a traceback, or ties two together
    FRAME = auto()  # one call of a stack
    SOURCE = auto()  # a line of the program's code, or a variable of it, quoted beside a frame


SPEAKING = frozenset({Part.PROSE, Part.MESSAGE, Part.MORE})
"""Parts that may be evidence. Code that is quoted names every error it could raise, and none that was raised."""


@immutable
class Line:
    """A log line, cleaned, with the prefixes of ranks and clocks taken off.

    Attributes:
        origin: As it stands in the file.
        rank: Rank that said it; empty when it carries none.
        text: What it says.
        position: Place in the evidence's order.
        part: What it is.
    """

    origin: LogLine
    rank: str
    text: str
    position: int
    part: Part = Part.PROSE

    @property
    def speaks(self) -> bool:
        """Whether it may be evidence."""
        return self.part in SPEAKING


@immutable
class Frame:
    """One call of a stack: the file as it is named, the function, and the line of code where that is quoted."""

    path: str
    function: str
    code: str = ""


@immutable
class Block:
    """What a reader made of lines that belong together.

    Attributes:
        parts: One for each line of it, from the line the reader was asked at; None for one that is somebody else's.
        texts: Offset → what the line says where that is less than all of it.
        message: Offset of the message; None where the block has none (or it was cut off).
        frames: The calls, outermost first.
        outermost: Whether the stack begins at the top of the program: nobody caught it.
        linked: Whether it ties the block before it and the one after it together.
        causal: Whether it says that the one before is the cause of the one after.
    """

    parts: tuple[Part | None, ...]
    texts: dict[int, str] = field(default_factory=dict)
    message: int | None = None
    frames: tuple[Frame, ...] = ()
    outermost: bool = False
    linked: bool = False
    causal: bool = False


Reader = Callable[[Sequence[str], int], Block | None]
"""Asked at one of the lines of one stream (a rank's own); None where nothing of its kind begins there."""


@immutable
class Trace:
    """A block in its place among all lines of a log.

    Attributes:
        start: Place of its first line.
        message: Place of its message; None where it has none.
        frames: The calls, outermost first.
        outermost: Whether it reached the top of the program; for a chain, whether its last member did.
        chain: Number of the chain it belongs to; exceptions raised in handling one another share it.
        level: How many members of its chain it was raised in handling of; a stated cause and its effect share one.
    """

    start: int
    message: int | None
    frames: tuple[Frame, ...]
    outermost: bool
    chain: int
    level: int = 0

    def ended(self, *, outermost: bool) -> "Trace":
        """The same, with the fate of the whole chain."""
        return replace(self, outermost=outermost)
