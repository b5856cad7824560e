"""Tables as LaTeX and CSV: escaped, exact, complete; text never becomes a command or a formula."""

import csv
import io

import pytest

from analysis.page.document import Document, Section, Table, Text, cell
from analysis.page.rendering import escape_latex, render_csv, render_html, render_latex, render_markdown

HOSTILE = r"\input{/etc/passwd} 50 % of $x_1$ & {a}~^#"


def _table(*rows: tuple[str, float | None]) -> Table:
    cells = tuple((cell(name), cell("–" if value is None else f"{value:.3g}", value)) for name, value in rows)
    return Table("made", "Made for a test", ("name", "val_loss"), cells, (0,), "1 of 2 rows")


def test_latex_table_uses_booktabs_and_escapes_everything() -> None:
    """The three rules, one line per row, and nothing of a name acts: every special character is written out."""
    text = render_latex(_table((HOSTILE, 0.12345), ("lora_rank=8 ± 2σ → ≥", None)))
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]

    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    assert body.count(r"\\" + "\n") == 2
    assert (
        r"\textbackslash{}input\{/etc/passwd\} 50 \% of \$x\_1\$ \& \{a\}\textasciitilde{}\textasciicircum{}\#" in body
    )
    assert r"lora\_rank=8 $\pm$ 2$\sigma$ $\rightarrow$ $\geq$ & -- \\" in body
    assert r"\label{tab:made}" in text


@pytest.mark.parametrize("special", "\\&%$#_{}~^<>|")
def test_no_special_character_passes_bare(special: str) -> None:
    """Each character LaTeX acts on comes out as something else or behind a backslash."""
    assert escape_latex(f"a{special}b") not in (f"a{special}b", "ab")


def test_csv_has_exact_numbers_and_no_formulas() -> None:
    """What is rounded for the eye stands exactly beside it; a text that a spreadsheet would run is guarded."""
    rows = list(csv.reader(io.StringIO(render_csv(_table(("=HYPERLINK(1)", 0.12345), ("-5.2 %", None))))))

    assert rows == [
        ["name", "val_loss", "val_loss (exact)"],
        ["'=HYPERLINK(1)", "0.123", "0.12345"],
        ["-5.2 %", "–", ""],
    ]


def test_data_inside_the_page_cannot_end_its_element() -> None:
    """Rows kept as data hold any text: nothing in them closes the element or opens another."""
    table = Table("runs", "Runs", ("run",), ((cell("a"),),), everything='{"rows":["</script><img src=x>"]}')
    page = render_html(Document("t", "h", "s", (Section("every-run", "Every run", (table,)),)))

    assert "</script><img" not in page
    assert '{"rows":["\\u003c/script>\\u003cimg src=x>"]}' in page


def test_markdown_has_no_gaps_and_ends_with_a_line() -> None:
    """Blocks stand apart by one empty line, whatever the template leaves between them."""
    text = render_markdown(Document("t", "h", "s", (Section("a", "A", (Text("one"), Text("two", "lead"))),)))

    assert text == "# h\n\ns\n\n## A\n\none\n\n**two**\n"


def test_greek_letters_are_printed_by_latex() -> None:
    """Cliff's delta and the like: pdflatex knows them by name only."""
    assert escape_latex("δ = 0.5, λ, σ") == r"$\delta$ = 0.5, $\lambda$, $\sigma$"
