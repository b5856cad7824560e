"""What a row of the rule tables is, and how one is written. Data types and helpers, no table."""

from collections.abc import Callable, Sequence
from enum import IntEnum, StrEnum, auto

from hpc.core.failures.engine import Pattern
from hpc.core.failures.evidence import Evidence, FailureClass
from hpc.core.failures.reading.parts import Frame
from hpc.core.immutable import immutable


class Tier(IntEnum):
    """How deep a message goes; the lowest number that is present decides."""

    ROOT = 1  # names a cause
    FAULT = 2  # an error of the program whose own text is all there is
    SYMPTOM = 3  # what the others say once somebody is dead; a cause only when nothing deeper is known
    TRACE = 4  # says that something ended badly, not why


class Role(StrEnum):
    """What a step of the verdict asks a row for beside its class. Most rows have none."""

    NONE = auto()
    BAD_INPUT = auto()  # the numbers that are not finite were read: the run did not make them
    DAMAGED_FILE = auto()  # after a resume, the checkpoint rather than the data
    TAKEN_AWAY = auto()  # Slurm's own word for why it ended the job, where no state is known
    TIME_LIMIT = auto()  # likewise
    KILLED = auto()  # somebody sent SIGKILL: what others say of a broken connection comes from it
    NO_PROGRAM = auto()  # a command was not found: a failure only where nothing was done without it
    COUNTED = auto()  # known by the other counts of its log: no pattern finds it
    UNCAUGHT = auto()  # stands in for an exception at the end of a traceback that no row knows


@immutable
class Rule:
    """One message and what it means.

    Attributes:
        id: Name of the rule, unique; verdicts quote it.
        category: Class it leads to.
        cause: Sub-cause within the class.
        tier: How deep it goes.
        says: Pattern searched in a line (rank prefixes taken off).
        proves: What is certain once this line stands unsurvived in a log.
        leaves_open: What it does not prove.
        near: Second pattern that has to occur within `NEIGHBOURS` lines of the same log; None when the line is enough.
        doing: Pattern that has to be found in what the program said right before it: what it was at; None as above.
        when: Condition on the rest of the evidence; None when there is none.
        stack: Condition on the calls of the traceback whose message the line is; None when there is none.
        unless: Condition on the calls of the traceback whose message the line is, and on its text, under which the row
            does not mean it; None when there is none.
        sentence: Whether only the words of the sentence count: no paths, addresses, settings or identifiers.
        needs_failure: The message also appears in runs that end well; it counts only when the run failed otherwise.
        confidence: 0 to 1, the author's.
        suggestion: Next step where it differs from the class's own.
        role: What a step of the verdict asks it for.
    """

    id: str
    category: FailureClass
    cause: str
    tier: Tier
    says: Pattern
    proves: str
    leaves_open: str
    near: Pattern | None = None
    doing: Pattern | None = None
    when: Callable[[Evidence], bool] | None = None
    stack: Callable[[Sequence[Frame]], bool] | None = None
    unless: Callable[[Sequence[Frame], str], bool] | None = None
    sentence: bool = False
    needs_failure: bool = False
    confidence: float = 0.9
    suggestion: str = ""
    role: Role = Role.NONE


NEIGHBOURS = 14
"""How many lines before and after count as near."""
DOING = 6
"""How many of the lines before it are asked what the program was doing."""


def row(
    name: str,
    category: FailureClass,
    cause: str,
    says: str,
    proves: str,
    leaves_open: str,
    *,
    tier: Tier = Tier.ROOT,
    near: str | None = None,
    doing: str | None = None,
    when: Callable[[Evidence], bool] | None = None,
    stack: Callable[[Sequence[Frame]], bool] | None = None,
    unless: Callable[[Sequence[Frame], str], bool] | None = None,
    sentence: bool = False,
    needs_failure: bool = False,
    confidence: float = 0.9,
    suggestion: str = "",
    role: Role = Role.NONE,
) -> Rule:
    """Write a row; patterns ignore case."""
    return Rule(
        id=name,
        category=category,
        cause=cause,
        tier=tier,
        says=Pattern(says),
        proves=proves,
        leaves_open=leaves_open,
        near=Pattern(near) if near else None,
        doing=Pattern(doing) if doing else None,
        when=when,
        stack=stack,
        unless=unless,
        sentence=sentence,
        needs_failure=needs_failure,
        confidence=confidence,
        suggestion=suggestion,
        role=role,
    )


# An exception as Python prints it last: `package.NameError: text`, at the start of the line.
RAISED = r"^\s*(?:[\w]+\.){0,8}"


def named(words: str) -> str:
    """Return the pattern of an exception whose class name holds one of these words; case counts, as in Python."""
    return (
        RAISED
        + rf"(?-i:[A-Za-z]\w{{0,40}}?)?(?-i:{words})(?-i:\w{{0,40}})?(?-i:Error|Exception|Timeout|Failure)\b(?: ?:|$)"
    )
