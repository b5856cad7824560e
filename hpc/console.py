"""How the commands talk: results on stdout (a table or one JSON value), the rest on stderr, errors as sentences."""

import functools
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

import click

from hpc.core.errors import EXIT_INTERRUPTED, HpcError

P = ParamSpec("P")

name_argument = click.argument("name", required=False)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON value on stdout.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


def say(text: str = "") -> None:
    """Print a line of the result."""
    click.echo(text)


def note(text: str) -> None:
    """Print a line beside the result."""
    click.echo(text, err=True)


def print_json(value: Any) -> None:
    """Print the one JSON value of ``--json``."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[int] = ()
) -> None:
    """Print a table that fits the terminal.

    Args:
        right: Positions of the columns to align to the right.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for position, column in enumerate(columns):
        table.add_column(column, justify="right" if position in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(console.width, 120))
    console.print(table)


def speaks_plainly(command: Callable[P, int | None]) -> Callable[P, None]:
    """Turn what a command raises into a sentence on stderr and the exit code CONTRACT.md promises."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = command(*args, **kwargs) or 0
        except HpcError as error:
            note(f"{'' if error.exit_code == 3 else 'error: '}{error}")
            code = error.exit_code
        except KeyboardInterrupt:
            note("interrupted")
            code = EXIT_INTERRUPTED
        except OSError as error:
            note(f"error: {error}")
            code = 1
        sys.exit(code)

    return run
