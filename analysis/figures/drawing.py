"""How every figure of the report looks and is saved: palette, style, text, SVG for the page and files beside it.

Rules all figures keep: every run is visible (failed ones as ×, as a hatched cell or as a count, never silently left
out), axes are labelled with their unit, an axis that does not start at 0 says so, spread is always shown, no meaning
hangs on colour alone. The same results give the same bytes.
"""

import io
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import matplotlib as mpl
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from analysis.words import plain
from hpc.adapters.files import mode_in, write_text
from hpc.adapters.progress import one_more

# Okabe and Ito's palette, which all common kinds of colour vision tell apart; yellow last, it is weak on white.
HUES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
INK, MUTED, GRID, BAND, BAD = "#1d2733", "#5b6675", "#d9dee5", "#e9edf3", "#b3261e"
COLOURS = {"card": "#ffffff", "ink": INK, "muted": MUTED, "grid": GRID, "band": BAND, "bad": BAD} | {
    f"hue{place}": hue for place, hue in enumerate(HUES)
}
PRIVATE = 0o600
"""Mode of every file of a report: it tells as much as the runs do, and their owner decides who reads it."""
FURTHER = ("png", "pdf")
"""Endings of the files a figure can have besides its SVG."""
_NOTHING: dict[str, dict[str, str | None]] = {
    "svg": dict.fromkeys(("Date", "Creator", "Format", "Type")),
    "png": {"Software": None},
    "pdf": dict.fromkeys(("Creator", "Producer", "CreationDate")),
}
"""What matplotlib would write into a file that is no part of the picture: dates and versions."""
_endings: ContextVar[tuple[str, ...]] = ContextVar("_endings", default=FURTHER)
_is_narrow: ContextVar[bool] = ContextVar("_is_narrow", default=False)
NARROW_IN = 3.55
"""Width of a figure drawn for a phone, in inches: its text is as large there as elsewhere on the page."""
GRADIENT = "viridis"  # grows in lightness all the way: order survives every kind of colour vision and a grey print
_STYLE: Any = {
    "svg.hashsalt": "report",  # else SVG ids are random and no two reports are alike
    "svg.fonttype": "none",
    "text.parse_math": False,  # a '$' in a name is a dollar sign
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
_UNITS = (
    (re.compile(r"(^|_)(time|seconds|s)$"), "s"),
    (re.compile(r"_mib$"), "MiB"),
    (re.compile(r"_percent$"), "%"),
)


@dataclass(frozen=True)
class Drawing:
    """One finished figure.

    Attributes:
        name: File name without ending.
        topic: Which part of the report it belongs to: ``flow``, ``results``, ``parameters``, ``curves``, ``resources``.
        title: What it shows, as a heading.
        caption: What the marks mean and what was left out.
        alt: What a reader who cannot see it should know.
        svg: The picture for the page, colours as CSS variables, without prolog.
        narrow: The same for a narrow screen; empty where there is none.
        covers: Name of the figure that this one shows whole, so that a page need not show both; empty: of none.
    """

    name: str
    topic: str
    title: str
    caption: str
    alt: str
    svg: str
    narrow: str = ""
    covers: str = ""


def is_narrow() -> bool:
    """Whether what is drawn now is for a narrow screen: one column, names above what they name."""
    return _is_narrow.get()


def place_legend(figure: Figure, axes: Axes) -> None:
    """Put the legend beside the axes, and below them on a narrow screen."""
    if is_narrow():
        figure.legend(loc="outside lower center", labelcolor=INK)
    else:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), labelcolor=INK)


def axis_label(metric: str, goal: str = "") -> str:
    """Label an axis: name, unit where the name tells it, and which way is better."""
    unit = next((unit for pattern, unit in _UNITS if pattern.search(metric)), "")
    better = {"min": "lower is better", "max": "higher is better"}.get(goal, "")
    return plain(metric) + (f" [{unit}]" if unit else "") + (f" ({better})" if better else "")


@contextmanager
def drawing_style(further: Sequence[str] = FURTHER, *, narrow: bool = False) -> Iterator[None]:
    """Set our style and nothing of the user's own, so that a figure looks the same on every machine.

    Args:
        further: Endings of the files that are written besides SVG.
        narrow: Draw for a narrow screen; then no file is written.
    """
    token, size = _endings.set(tuple(further)), _is_narrow.set(narrow)
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        # Names may hold any script; a PNG without that glyph shows a box, the SVG leaves it to the browser.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support .* natively")
        try:
            yield
        finally:
            _endings.reset(token)
            _is_narrow.reset(size)


def finish(
    figure: Figure,
    path: Path,
    topic: str,
    title: str,
    caption: str,
    alt: str,
    hints: Mapping[str, str] | None = None,
) -> Drawing:
    """Write the figure's files (`path` has no ending) and prepare the picture for the page.

    The SVG file is always written, but for a narrow screen; PNG and PDF inside `drawing_style` with these endings only.

    Args:
        hints: gid of an artist → what a pointer resting on it shows.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata=_NOTHING["svg"])
    svg = _with_hints(buffer.getvalue(), hints or {})
    one_more()
    if is_narrow():
        return Drawing(path.name, topic, title, caption, alt, themed_svg(svg, f"{path.name}-narrow"))
    write_text(path.with_name(f"{path.name}.svg"), svg, PRIVATE)
    for ending in _endings.get():
        name = path.with_name(f"{path.name}.{ending}")
        with os.fdopen(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE), "wb") as file:
            os.fchmod(file.fileno(), mode_in(name.parent, PRIVATE))
            figure.savefig(file, format=ending, dpi=160, bbox_inches="tight", metadata=_NOTHING[ending])
    return Drawing(path.name, topic, title, caption, alt, themed_svg(svg, path.name))


def _with_hints(svg: str, hints: Mapping[str, str]) -> str:
    """Add a title to groups, which browsers show under the pointer without any script."""

    def told(match: "re.Match[str]") -> str:
        text = hints.get(match[1])
        return match[0] if text is None else f'<g id="{match[1]}" class="named"><title>{escape(plain(text))}</title>'

    return re.sub(r'<g id="([^"]+)">', told, svg) if hints else svg


def name_rows(axes: Axes, names: Sequence[str], width: int = 36, lift: float = 0.42) -> None:
    """Name the rows of a figure: beside them, on a narrow screen above each.

    Args:
        axes: Where row k lies at height k, the first on top.
        names: A name per row.
        width: Characters beside a row beyond which a name is cut.
        lift: How far above its row a name stands, in rows.
    """
    if not is_narrow():
        axes.set_yticks(range(len(names)), [short(plain(name), width) for name in names])
        return
    axes.set_yticks([])
    for place, name in enumerate(names):
        axes.annotate(short(plain(name), 46), (0, place - lift), xycoords=("axes fraction", "data"), xytext=(2, 0),
                      textcoords="offset points", va="center", fontsize=8, color=INK)  # fmt: skip


def colour_steps() -> Colormap:
    """The gradient in as many steps as a colour bar draws as shapes: more, and it becomes an image in the page."""
    return mpl.colormaps[GRADIENT].resampled(40)


def short(text: str, width: int) -> str:
    """Shorten a text at a word, or where there is none, in the middle of it."""
    cut = shorten(text, width, placeholder="…")
    return cut if cut != "…" else text[: width - 1] + "…"


def squeeze(label: str, width: int) -> str:
    """Shorten the name of a configuration where it says least: ``learning_rate=0.0002`` to ``learn…=0.0002``."""
    pairs = [part.partition("=") for part in label.split(", ")]
    room = width - sum(len(equals + value) for _, equals, value in pairs) - 2 * (len(pairs) - 1)
    each = room // len(pairs)
    if len(label) <= width or each < 3 or not all(equals for _, equals, _ in pairs):
        return label if len(label) <= width else f"{label[: width - 1]}…"
    names = (name if len(name) <= each else f"{name[: each - 1]}…" for name, _, _ in pairs)
    return ", ".join(f"{name}={value}" for name, (_, _, value) in zip(names, pairs, strict=True))


_USES = re.compile(r'(<g clip-path="[^"]*")>((?:\s*<use [^>]*/>)+)')
_RECTANGLE = re.compile(r"M (\S+) (\S+) \nL (\S+) \2 \nL \3 (\S+) \nL \1 \4 \n(?:L \1 \2 \n)?z")


def _shorter(numbers: str) -> str:
    """Write coordinates to a hundredth of a point, and rectangles by their corners: nobody sees the difference."""
    rounded = re.sub(r"(\d+\.\d\d)\d+", r"\1", numbers)
    return _RECTANGLE.sub(r"M\1 \2H\3V\4H\1z", rounded)


def _share_style(found: "re.Match[str]") -> str:
    """Say once what all points of a group look like."""
    styles = set(re.findall(r' style="([^"]*)"/>', found[2]))
    if len(styles) != 1:
        return found[0]
    style = styles.pop()
    return f'{found[1]} style="{style}">' + found[2].replace(f' style="{style}"/>', "/>")


def themed_svg(svg: str, prefix: str) -> str:
    """Cut an SVG file down to what belongs into a page: no prolog, own ids, colours that follow the page's theme."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    # As wide as it was drawn, 1 pt being 4/3 px; the style sheet lets it grow a little and shrink.
    width = re.search(r'<svg\b[^>]*? width="([\d.]+)pt"', body)
    natural = f' style="--natural: {float(width[1]) * 4 / 3:.0f}px"' if width else ""
    body = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', rf"\1{natural}", body, count=1)
    body = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", body, count=1)
    body = re.sub(r"\bid=\"", f'id="{prefix}-', body)
    body = re.sub(r"(xlink:href=\"#|url\(#)", rf"\g<1>{prefix}-", body)
    body = re.sub(r'\b(d|x|y)="([^"]*)"', lambda found: f'{found[1]}="{_shorter(found[2])}"', body)
    body = re.sub(r"\n +", "\n", _USES.sub(_share_style, body))
    for name, colour in COLOURS.items():
        body = re.sub(rf"(?<=(?:ill|oke): ){colour}\b", f"var(--{name})", body)
        body = body.replace(f' fill="{colour}"', f' style="fill: var(--{name})"')  # behind the lines of a hatch
    return body.strip()
