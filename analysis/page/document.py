"""What a report consists of: sections of blocks. HTML, Markdown and LaTeX render these and nothing else.

Texts are plain: each form escapes them in its own way. Nothing here knows what an experiment is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from analysis.figures.drawing import Drawing
from analysis.words import plain


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: What it shows.
        sort: By what it sorts; empty: by its text.
        link: Where its text leads, relative to the report's folder.
        mark: ``good``, ``bad``, ``warn``, ``strong`` or ``code``.
        more: Further links: (text, where it leads).
        file: What a CSV has instead of the text, in the unit of the column's head; empty: the text.
    """

    text: str
    sort: str = ""
    link: str = ""
    mark: str = ""
    more: tuple[tuple[str, str], ...] = ()
    file: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: Stem of its files and its anchor in the page; letters and hyphens.
        caption: What it shows, for files of its own and for people who listen.
        head: A name per column.
        rows: Cells, as many as there are columns.
        wide: Columns whose texts are long and may wrap.
        note: What was left out; empty when nothing was.
        is_searchable: Whether the page offers a filter.
        everything: All rows as JSON, where `rows` are only some of them; see ``templates/report.js.j2``.
    """

    kind: ClassVar[str] = "table"
    name: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    wide: tuple[int, ...] = ()
    note: str = ""
    is_searchable: bool = False
    everything: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph; `look` is empty, ``note``, ``caution`` or ``lead``."""

    kind: ClassVar[str] = "text"
    text: str
    look: str = ""


@dataclass(frozen=True)
class Bullets:
    """A list."""

    kind: ClassVar[str] = "bullets"
    items: tuple[str, ...]


@dataclass(frozen=True)
class Links:
    """A list of files beside the report."""

    kind: ClassVar[str] = "links"
    items: tuple[str, ...]


@dataclass(frozen=True)
class Download:
    """A file that the page carries itself.

    Attributes:
        name: Of the file beside the report.
        saved: Name under which the page saves it, with the ending of what it carries.
        words: What it is, and how large.
        data: The file as a ``data:`` address; empty where it is too large to carry.
    """

    kind: ClassVar[str] = "download"
    name: str
    saved: str
    words: str
    data: str


@dataclass(frozen=True)
class Facts:
    """Names and what they are."""

    kind: ClassVar[str] = "facts"
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Code:
    """Text in a fixed width."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Picture:
    """A figure."""

    kind: ClassVar[str] = "picture"
    drawing: Drawing


@dataclass(frozen=True)
class Front:
    """The first screen: what was found, in which runs, and the picture that shows it.

    Attributes:
        word: The answer in a word.
        look: ``good``, ``bad``, ``warn`` or ``open``.
        claim: What it is said of.
        texts: Sentences.
        standing: What the answer is worth: confirmatory or exploratory, and why.
        counts: (number, what it counts, ``good`` | ``bad`` | ``open`` | ``idle``).
        lost: What came of the runs that gave no result; empty where all did.
        picture: The picture; None where nothing can be drawn.
    """

    kind: ClassVar[str] = "front"
    word: str
    look: str
    claim: str
    texts: tuple[str, ...]
    standing: str
    counts: tuple[tuple[int, str, str], ...]
    lost: str
    picture: Picture | None


@dataclass(frozen=True)
class Chooser:
    """Several figures of a kind; the page shows one at a time where scripts run, else all."""

    kind: ClassVar[str] = "chooser"
    label: str
    drawings: tuple[Drawing, ...]


@dataclass(frozen=True)
class Tiles:
    """Numbers at a glance: (number, what it counts)."""

    kind: ClassVar[str] = "tiles"
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Bar:
    """Parts of a whole: (words, count, ``good`` | ``bad`` | ``open`` | ``idle``)."""

    kind: ClassVar[str] = "bar"
    parts: tuple[tuple[str, int, str], ...]

    @property
    def shares(self) -> tuple[str, ...]:
        """Percent of the whole, one per part."""
        total = max(1, sum(count for _, count, _ in self.parts))
        return tuple(f"{100 * count / total:.3f}" for _, count, _ in self.parts)


@dataclass(frozen=True)
class Box:
    """Blocks that belong together; `look` is empty or ``verdict``."""

    kind: ClassVar[str] = "box"
    blocks: tuple[Any, ...]
    look: str = ""


@dataclass(frozen=True)
class Fold:
    """Blocks that the page shows on demand; a file shows them always, below a heading."""

    kind: ClassVar[str] = "fold"
    title: str
    blocks: tuple[Any, ...]


Block = (
    Text
    | Bullets
    | Links
    | Download
    | Facts
    | Heading
    | Code
    | Picture
    | Front
    | Chooser
    | Tiles
    | Bar
    | Table
    | Box
    | Fold
)


@dataclass(frozen=True)
class Section:
    """A part of the report with a heading.

    Attributes:
        anchor: Its id.
        title: Its heading.
        blocks: What is in it.
        menu: Its name in the bar of contents; empty: not there.
        is_folded: Whether the page shows it on demand.
    """

    anchor: str
    title: str
    blocks: tuple[Block, ...]
    menu: str = ""
    is_folded: bool = False


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    heading: str
    subtitle: str
    sections: tuple[Section, ...]

    def tables(self) -> Iterator[Table]:
        """Every table, in order."""
        for section in self.sections:
            yield from (one for one in flatten(section.blocks) if isinstance(one, Table))


def flatten(blocks: Sequence[Block]) -> Iterator[Block]:
    """Go through blocks and those inside them."""
    for one in blocks:
        yield one
        if isinstance(one, Box | Fold):
            yield from flatten(one.blocks)
        elif isinstance(one, Front) and one.picture:
            yield one.picture


def cell(text: Any, sort: Any = None, link: str = "", mark: str = "", more: tuple[tuple[str, str], ...] = ()) -> Cell:
    """Make a cell whose text is safe to show."""
    return Cell(plain(str(text)), "" if sort is None else plain(str(sort)), link, mark, more)
