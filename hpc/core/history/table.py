"""A table in plain text: no library is loaded for an answer. Pure."""

from collections.abc import Sequence
from unicodedata import east_asian_width

from hpc.core.printable import one_line

WIDEST = 60
"""Characters of a cell; what is longer is cut, and says so."""


def table_lines(columns: Sequence[str], rows: Sequence[Sequence[str]], widest: int = WIDEST) -> list[str]:
    """Columns under their heads, two blanks between them."""
    cells = [[_cut(one_line(cell), widest) for cell in row] for row in (columns, *rows)]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return [lines[0], "─" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]]


def _cut(text: str, widest: int) -> str:
    return text if len(text) <= widest else text[: widest - 1] + "…"


def _width(text: str) -> int:
    return len(text) if text.isascii() else sum(2 if east_asian_width(each) in "WF" else 1 for each in text)
