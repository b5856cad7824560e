"""Renders a document as one HTML page, as Markdown, and its tables as LaTeX and CSV.

Everything that came from outside (names, log lines) is escaped here, by the template engine or by one function each:
HTML by autoescape, Markdown by `finalize`, LaTeX by `escape_latex`.
"""

import base64
import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis.figures.drawing import Drawing
from analysis.page.document import Cell, Chooser, Document, Picture, Table, flatten
from analysis.words import plain
from hpc.core.printable import guard_cell

_TEMPLATES = Path(__file__).parent / "templates"


class Trusted(str):
    """Markdown we wrote ourselves: the only text that reaches the Markdown file unescaped."""

    __slots__ = ()


def render_html(document: Document, further: Sequence[str] = (), folder: Path | None = None, bundle: str = "") -> str:
    """Render the page: style, script, pictures and data are inside, nothing is fetched.

    Files beside the page and the runs' folders are linked where the page finds itself in `folder` (or, of the files, in
    one called `bundle`): a copy somewhere else has no dead link.

    Args:
        document: What it shows.
        further: Endings of the files each figure has besides SVG.
        folder: Where the page is written; None: it is linked with nothing.
        bundle: Name of the folder that an archive of all files has.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = ((_TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css.j2", "report.js.j2"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Both are files of this package without any expression in them; the pictures are ours too, their texts escaped
    # by matplotlib. The page's policy allows exactly this script.
    return environment.get_template("report.html.j2").render(
        document=document,
        endings=("svg", *further),
        home="/".join(folder.absolute().parts[-2:]) if folder else "",
        bundle=bundle,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_digest=digest,
        pictures={one.name: _inline(one.svg) for one in _drawings(document)},
        narrow={one.name: _inline(one.narrow) for one in _drawings(document)},
        data={one.name: _data(one.everything) for one in document.tables() if one.everything},
    )


def render_markdown(document: Document) -> str:
    """Render the same as Markdown; figures are linked as SVG."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=False,  # noqa: S701 - Markdown: `finalize` escapes it, HTML's rules would be wrong here
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize_markdown,
        keep_trailing_newline=True,
    )
    environment.filters["table"] = _markdown_table
    environment.filters["fenced"] = _fenced
    environment.filters["trusted"] = Trusted
    text = environment.get_template("report.md.j2").render(document=document)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def render_latex(table: Table) -> str:
    """Render a table for ``\\input``, with booktabs; pdfLaTeX and the newer engines read it."""
    columns = "".join("p{5cm}" if place in table.wide else "l" for place in range(len(table.head)))
    rows = [" & ".join(escape_latex(one.text) for one in row) + r" \\" for row in table.rows]
    note = [rf"\par\smallskip\footnotesize {escape_latex(table.note)}"] if table.note else []
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(table.caption)}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(escape_latex(name) for name in table.head) + r" \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        *note,
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def render_csv(table: Table) -> str:
    """Render a table as CSV: as it reads, and what it sorts by where that says more."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    exact = [place for place in range(len(table.head)) if any(_is_exact(row[place]) for row in table.rows)]
    head = (*table.head, *(f"{table.head[place]} (exact)" for place in exact))
    writer.writerow([guard_cell(name) for name in head])
    for row in table.rows:
        told = [one.file or one.text for one in row] + [row[place].sort for place in exact]
        writer.writerow([guard_cell(text) for text in told])
    return file.getvalue()


def escape_markdown(text: str) -> str:
    """Make any text harmless inside a Markdown line or table cell: it shows as written and starts nothing."""
    safe = re.sub(r"([\\`*\[\]<>|~$&])", r"\\\1", plain(text).replace("␊", " "))
    safe = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", safe)  # inside a word an underscore starts nothing
    safe = re.sub(r"^(\s*\d+)([.)])(?=\s|$)", r"\1\\\2", safe)
    return re.sub(r"^(\s*)([#=]|[+\-](?=[\s\-]|$))", r"\1\\\2", safe)


_LATEX = {
    **{one: rf"\{one}" for one in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "÷": r"$\div$",
    "→": r"$\rightarrow$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "−": r"$-$",
    "–": "--",
    "…": r"\dots{}",
    "Δ": r"$\Delta$",
    "µ": r"$\mu$",
    "√": r"$\surd$",
    "²": r"$^2$",
    "·": r"$\cdot$",
    "□": "[ ]",
    # Unicode's names are LaTeX's, but for the spelling of lambda.
    **{
        letter: rf"$\{unicodedata.name(letter).rsplit(' ', 1)[1].lower().replace('lamda', 'lambda')}$"
        for letter in "αβγδεζηθικλμνξπρστυφχψω"
    },
}
"""What LaTeX does not print as it stands; other letters than Latin and Greek need XeLaTeX."""


def escape_latex(text: str) -> str:
    """Make any text harmless in LaTeX; letters of other scripts are left to engines that know them."""
    return "".join(_LATEX.get(one, one) for one in plain(text).replace("␊", " "))


def _is_exact(one: Cell) -> bool:
    return bool(one.sort) and one.sort != one.text


def _drawings(document: Document) -> Iterator[Drawing]:
    for section in document.sections:
        for block in flatten(section.blocks):
            if isinstance(block, Picture):
                yield block.drawing
            elif isinstance(block, Chooser):
                yield from block.drawings


def _inline(svg: str) -> Markup:
    return Markup(svg)  # noqa: S704 - drawn by matplotlib, texts escaped


def _data(text: str) -> Markup:
    """JSON inside a script element: nothing in it may end the element."""
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 - JSON whose only dangerous character is escaped


def _finalize_markdown(value: Any) -> Any:
    return value if isinstance(value, Trusted) else escape_markdown(str(value))


def _markdown_table(table: Table) -> Trusted:
    """Write a table as Markdown, every cell escaped."""
    lines = ["| " + " | ".join(escape_markdown(name) for name in table.head) + " |", "|" + " --- |" * len(table.head)]
    lines += ["| " + " | ".join(_markdown_cell(one) for one in row) + " |" for row in table.rows]
    return Trusted("\n".join(lines))


def _markdown_cell(one: Cell) -> str:
    text = escape_markdown(one.text) or " "
    text = f"[{text}]({one.link})" if one.link else text
    return " ".join([text.strip(), *(f"[{escape_markdown(name)}]({link})" for name, link in one.more)]).strip() or " "


def _fenced(text: str) -> Trusted:
    """Fence a text with more backticks than it holds in a row."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Trusted(f"{fence}json\n{text}\n{fence}")
