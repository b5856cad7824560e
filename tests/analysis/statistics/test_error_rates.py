"""The error rates that docs/statistics.md states: measured again, smaller, they have to be the same."""

import re
from collections.abc import Sequence
from itertools import product

import pytest
from scipy import stats

from benchmarks.error_rates import DISTRIBUTIONS, PAGE, TABLES, Cell, Measured, measure, read_table, replace_table

QUICK = 1000
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


@pytest.mark.parametrize("name", TABLES)
def test_page_states_what_is_measured(name: str) -> None:
    """Every cell of the page lies within 4.5 standard errors of a fresh, smaller measurement with another seed."""
    stated = read_table(PAGE.read_text(encoding="utf-8"), name)
    table = measure(name, QUICK, seed=1)

    assert len(stated) == len(table.rows)
    for told, measured in zip(stated, table.rows, strict=True):
        assert len(told) == len(measured) == len(table.head)
        for text, cell in zip(told, measured, strict=True):
            if isinstance(cell, Measured):
                found = _NUMBER.match(text)
                assert found, f"{name}: {text}"
                scale, rounding = (100, 0.0005) if text.endswith("%") else (1, 0.005)
                near = pytest.approx(cell.value, abs=4.5 * cell.error + rounding)
                assert float(found[0]) / scale == near, (told, cell)
            else:
                assert text == cell
    for place, title in enumerate(table.head):
        assert_alike(
            [(row[place], told[place]) for row, told in zip(table.rows, stated, strict=True)], f"{name}: {title}"
        )


def assert_alike(column: Sequence[tuple[Cell, str]], where: str) -> None:
    """Hold all rows of a column together against the page: of few repetitions a cell by itself says little.

    Exact, by Fisher's test, as if the page rested on no more repetitions than were made here.
    """
    shares = [(cell, float(text.split()[0]) / 100) for cell, text in column if isinstance(cell, Measured) and cell.of]
    count = sum(cell.of or 0 for cell, _ in shares)
    ours = round(sum(cell.value * (cell.of or 0) for cell, _ in shares))
    theirs = round(sum(share * (cell.of or 0) for cell, share in shares))
    p = stats.fisher_exact([[ours, count - ours], [theirs, count - theirs]]).pvalue
    assert p > 1e-4, f"{where}: {ours} of {count} here, {theirs} by the page"


def test_measured_page_keeps_its_promises() -> None:
    """What the page says in words holds in its tables, the promises that are kept and those that are broken."""
    page = PAGE.read_text(encoding="utf-8")

    def shares(name: str, column: int, values: str) -> list[float]:
        return [float(row[column].removesuffix(" %")) for row in read_table(page, name) if row[0] == values]

    kept = [("intervals", 2, 95), ("tests", 5, 5), ("equivalence", 4, 5), ("effects", 4, 95), ("importance", 2, 5)]
    for name, column, promised in [*kept, ("importance", 4, 95)]:
        assert all(abs(share - promised) <= 1 for share in shares(name, column, "normal")), name
    cautious = [("tests", 2), ("tests", 5), ("families", 3), ("equivalence", 2), ("equivalence", 4)]
    for (name, column), values in product(cautious, DISTRIBUTIONS):
        assert all(share <= 6 for share in shares(name, column, values)), name
    rows = [[float(cell.removesuffix(" %")) for cell in row[3:10]] for row in read_table(page, "systems")]
    assert all(sum(column) / len(column) <= 5 for column in zip(*rows, strict=True))
    assert max(map(max, rows)) <= 10
    alarms = [row[3:5] for row in read_table(page, "ranks")]
    assert all(float(cell.removesuffix(" %")) <= 8 for row in alarms for cell in row)
    order = [row for row in read_table(page, "order") if row[1] in ("3", "5")]
    assert all(15 < float(row[2].removesuffix(" %")) < 25 for row in order)
    broken = [("intervals", 3, "normal"), ("intervals", 2, "skewed"), ("importance", 4, "heavy-tailed")]
    for name, column, values in broken:
        assert all(share < 91 for share in shares(name, column, values)), name


def test_tables_are_replaced_between_their_marks() -> None:
    """Only what stands between the marks changes, and a page without them is refused."""
    page = "a\n<!-- table: x -->\nold\n<!-- end -->\n<!-- table: y -->\nkept\n<!-- end -->\n"

    assert replace_table(page, "x", "new") == page.replace("old", "new")
    with pytest.raises(ValueError, match="0 places"):
        replace_table(page, "z", "new")
