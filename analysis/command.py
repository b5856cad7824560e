"""How each command of this wing starts and ends: exit codes, one sentence for what went wrong."""

import errno
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from hpc.adapters.files import private_umask
from hpc.adapters.progress import on_terminal
from hpc.adapters.started import started_as
from hpc.adapters.terminal import fitted
from hpc.core.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, HpcError, NothingToDo, describe_os_error
from hpc.core.extras import missing_package
from hpc.core.printable import printable
from hpc.core.typed import spell

root_option = click.option(
    "--root", type=click.Path(path_type=Path), help="Folder of the experiments.  [default: $HPC_ROOT or ./runs]"
)
UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT)
"""What a file system says of a folder that is another's, a snapshot, or full."""


@contextmanager
def names_out(folder: Path, command: str) -> Iterator[None]:
    """Where a folder takes nothing, say so with the command that writes elsewhere.

    Args:
        folder: Where something is written.
        command: The verb with its arguments, ``--out FOLDER`` included.

    Raises:
        HpcError: The folder takes nothing.
    """
    try:
        yield
    except OSError as error:
        place = Path(error.filename) if isinstance(error.filename, str) else folder
        if error.errno not in UNWRITABLE or not place.is_relative_to(folder.parent):
            raise
        said = f"{folder} cannot be written: {error.strerror}; choose another folder: python -m hpc.{command}"
        raise HpcError(said) from error


def run(command: click.Command, name: str, arguments: Sequence[str] | None, purpose: str) -> int:
    """Run a command; return its exit code.

    Args:
        command: What click made of the function.
        name: As people type it: ``python -m analysis.report``.
        arguments: Instead of the process's own.
        purpose: What a missing package is missing for: ``the report``.

    Raises:
        ModuleNotFoundError: A module that no extra brings, which is a bug of ours.
    """
    is_for_programs = "--json" in (sys.argv if arguments is None else arguments)
    try:
        with private_umask(), on_terminal(silent=is_for_programs):
            command.main(args=None if arguments is None else list(arguments), prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except (HpcError, ModuleNotFoundError) as error:
        said = missing_package(error, purpose) if isinstance(error, ModuleNotFoundError) else error
        if said is None:
            raise
        say(f"{'' if isinstance(said, NothingToDo) else 'error: '}{said}", err=True)
        return said.exit_code
    except OSError as error:
        say(f"error: {describe_os_error(error)}", err=True)
        return EXIT_FAILED
    return EXIT_DONE


def say(text: str, *, err: bool = False) -> None:
    """Print a text cleaned, its commands as this user types them, broken between words where a person reads it."""
    stream, template = sys.stderr if err else sys.stdout, started_as()
    click.echo(fitted(printable(spell(text, template)), stream, template), err=err)
