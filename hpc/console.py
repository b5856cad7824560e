"""How the commands talk: results on stdout (a table or one JSON value), the rest on stderr, errors as sentences.

Everything goes through here, because here it is made printable: whatever came from outside, no terminal obeys it.
"""

import contextlib
import functools
import io
import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, ParamSpec, TextIO, cast

import click

from hpc import completing
from hpc.adapters.files import private_umask
from hpc.adapters.progress import on_terminal
from hpc.adapters.started import pass_on, started_as
from hpc.adapters.terminal import fitted
from hpc.core.errors import EXIT_INTERRUPTED, HpcError, describe_os_error
from hpc.core.extras import missing_package
from hpc.core.picture import Line
from hpc.core.printable import one_line, printable, printable_json
from hpc.core.typed import spell

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

P = ParamSpec("P")
EXIT_UNREAD = 141
"""As a shell says of a command that SIGPIPE ended."""
_TYPED = "hpc.console.typed"

name_argument = click.argument("name", required=False, shell_complete=completing.experiments)
task_argument = click.argument("run", required=False, metavar="[TASK]", shell_complete=completing.tasks)
tasks_argument = click.argument("runs", nargs=-1, metavar="[TASK]...", shell_complete=completing.tasks)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON value on stdout.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, without doing it.")


class PassedOn(click.Command):
    """A command that hands its arguments to another one: declared for ``--help``, kept as they were typed."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what was typed, then check it as ever."""
        ctx.meta[_TYPED] = list(args)
        return super().parse_args(ctx, args)


def typed() -> list[str]:
    """The arguments of the current command as they were typed."""
    return list(click.get_current_context().meta[_TYPED])


def say(text: str = "") -> None:
    """Print a line of the result, broken between words where a person reads it."""
    click.echo(_shown(text, sys.stdout))


def is_colourful() -> bool:
    """Whether a person looks on at a terminal that shows colours: not where NO_COLOR is set, or TERM is ``dumb``."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say_styled(line: Line) -> None:
    """Print a line of the result in its colours, each piece of it made printable, broken as `say` does."""
    pieces = [(printable(spelled(text)), style) for text, style in line]
    whole = "".join(text for text, _ in pieces)
    shown = fitted(whole, sys.stdout, started_as())
    for each in [pieces] if shown == whole else restyled(pieces, shown):
        click.echo("".join(_styled(text, style) for text, style in each))


def restyled(pieces: Line, shown: str) -> list[Line]:
    """Return the lines that a line was broken into, with the styles of its pieces."""
    left = iter([style for text, style in pieces for one in text if not one.isspace()])
    lines: list[Line] = []
    for line in shown.split("\n"):
        words = [(word, next(left, "")) if word.strip() else (word, "") for word in re.findall(r"\s+|\S", line)]
        runs = itertools.groupby(words, key=lambda each: each[1])
        lines.append([("".join(word for word, _ in run), style) for style, run in runs])
    return lines


def _styled(text: str, style: str) -> str:
    if style in ("bold", "dim"):
        return click.style(text, bold=style == "bold" or None, dim=style == "dim" or None)
    return click.style(text, fg=style) if style else text


def show_text(text: str) -> None:
    """Print a line that is not ours, such as a script's: no command in it is spelled anew."""
    click.echo(printable(text))


def show_bytes(data: bytes) -> None:
    """Print what a program of the user's printed: cleaned on a terminal, else byte for byte, as `cat` does."""
    if sys.stdout.isatty():
        click.echo(printable(data.decode("utf-8", "replace")), nl=False)
        return
    stream = sys.stdout.buffer
    sys.stdout.flush()  # what was said before comes first
    stream.write(data)
    stream.flush()


def go_unread() -> None:
    """Nobody reads on (``| head``): throw away what is still to be printed, so that the last flush does not fail."""
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123  a descriptor is what is wanted
        os.dup2(nothing.fileno(), sys.stdout.fileno())


def note(text: str) -> None:
    """Print a line beside the result, broken as `say` does."""
    click.echo(_shown(text, sys.stderr), err=True)


def _shown(text: str, stream: TextIO) -> str:
    return fitted(printable(spelled(text)), stream, started_as())


def as_typed(path: Path) -> str:
    """A path as it can be typed here: relative where it lies below the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def spelled(text: str) -> str:
    """Name every command in a text as this user typed ours."""
    return spell(text, started_as())


def print_json(value: Any) -> None:
    """Print the one JSON value of ``--json``."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    # The template inside a JSON text is written as JSON writes it: a path may hold quotes and backslashes.
    template = json.dumps(started_as(), ensure_ascii=False)[1:-1]
    click.echo(printable_json(spell(text, template)))


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[int] = ()
) -> None:
    """Print a table that fits the terminal; where no column would, a paragraph a row.

    Args:
        right: Positions of the columns to align to the right.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    cells = [[printable(spelled(str(cell))) for cell in row] for row in rows]
    told = [[one_line(name), *(row[at] for row in cells if at < len(row))] for at, name in enumerate(columns)]
    words = [max(cell_len(word) for cell in each for word in (cell.split() or [""])) for each in told]
    lines = [max(cell_len(line) for cell in each for line in (cell.splitlines() or [""])) for each in told]
    between = _BETWEEN * (len(columns) - 1) + _AT_THE_EDGES
    if not console.is_terminal:
        whole = sum(max(word, min(line, _SHORT)) for word, line in zip(words, lines, strict=True))
        console = Console(highlight=False, width=max(console.width, 120, whole + between))
    if sum(words) + between > console.width:
        _print_paragraphs(title, columns, rows, console.width)
        return
    table = Table(
        title=Text(one_line(title)) if title else None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for at, width in enumerate(share_width(words, lines, console.width - between)):
        justify: Literal["right", "left"] = "right" if at in right else "left"
        table.add_column(Text(told[at][0]), justify=justify, width=width)
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


_BETWEEN, _AT_THE_EDGES = 3, 2
"""Spaces that a table has between two columns, and at its two ends."""
_SHORT = 40
"""Characters up to which a cell stands in one line where no terminal ends."""


def share_width(least: Sequence[int], most: Sequence[int], room: int) -> list[int]:
    """Compute the width of each column: its longest word at least, its longest line at most, else as the others.

    Args:
        least: The longest word of each column; all of them fit.
        most: The longest line.
        room: Characters there are.
    """
    for level in range(max(most, default=0), 0, -1):
        widths = [max(few, min(many, level)) for few, many in zip(least, most, strict=True)]
        if sum(widths) <= room:
            return widths
    return list(least)


def _print_paragraphs(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], width: int) -> None:
    """Print each row as its first cell, and below it what the others are called and hold."""
    import textwrap

    for line in [title] if title else []:
        say(one_line(line))
    for first, *others in rows:
        cells = zip(columns[1:], others, strict=True)
        told = " · ".join(f"{name} {spelled(str(cell))}" for name, cell in cells if str(cell))
        broken = textwrap.wrap(
            one_line(told), max(width, 20), initial_indent="  ", subsequent_indent="  ", break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
        say("\n".join([one_line(spelled(str(first))), *broken]))


def speaks_plainly(command: Callable[P, int | None]) -> Callable[P, None]:
    """Turn what a command raises into a sentence on stderr and the exit code that scripts rely on."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            pass_on()
            with private_umask(), on_terminal(silent=bool(kwargs.get("as_json"))):
                code = command(*args, **kwargs) or 0
        except HpcError as error:
            note(f"{'' if error.exit_code == 3 else 'error: '}{error}")
            code = error.exit_code
        except ModuleNotFoundError as error:
            if (said := missing_package(error, "this command")) is None:
                raise
            note(f"error: {said}")
            code = said.exit_code
        except KeyboardInterrupt:
            note("interrupted")
            code = EXIT_INTERRUPTED
        except BrokenPipeError:  # `| head` has read enough
            go_unread()
            code = EXIT_UNREAD
        except OSError as error:
            note(f"error: {describe_os_error(error)}")
            code = 1
        sys.exit(code)

    return run


def go_on_unheard() -> None:
    """From now on a line that cannot be printed is lost, and costs nothing else.

    For commands that work where nobody reads: a full disk that holds their log, or a terminal that was closed, must not
    end them; not even at the last flush, for which Python ends with code 120.
    """
    for name in ("stdout", "stderr"):
        with contextlib.suppress(AttributeError, OSError):  # closed from the start, or no file: as it is
            unheard = cast("BinaryIO", _Unheard(getattr(sys, name)))
            text = io.TextIOWrapper(unheard, encoding="utf-8", errors="backslashreplace", write_through=True)
            setattr(sys, name, text)


class _Unheard(io.RawIOBase):
    """A file whose every write succeeds, whatever becomes of it."""

    def __init__(self, stream: TextIO) -> None:
        """Write where `stream` does; it is kept, because a stream that nobody has any more closes its file."""
        self._stream, self._descriptor = stream, stream.fileno()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: "ReadableBuffer", /) -> int:
        left = bytes(data)
        with contextlib.suppress(OSError):
            while left:
                left = left[os.write(self._descriptor, left) :]
        return len(memoryview(data))
