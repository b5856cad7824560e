"""Write one static page of all experiments below the root, to look at in a browser, on a phone too.

    python -m hpc.dash
    python -m hpc.dash --output ~/public/dash.html

Slurm is not asked: what is shown is what was collected last. The unattended loop writes ``dash.html`` below the root
anew at each of its rounds, once it is there; a browser reads the page again every minute.
"""

from pathlib import Path

import click

from hpc.console import json_option, print_json, say, speaks_plainly
from hpc.core.errors import EXIT_DONE, InputError
from hpc.core.words import counted
from hpc.standing.dash import NAME, write_dash
from hpc.workspace import Workspace


@click.command(epilog="Example: python -m hpc.dash --output overview.html")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help=f"Default: {NAME} below the root.")
@json_option
@speaks_plainly
def main(output: Path | None, as_json: bool) -> int:
    """Write one page of all experiments below the root (HPC_ROOT, default ./runs)."""
    workspace = Workspace.current()
    path = output or workspace.root / NAME
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} for {path.name}; create it: mkdir -p {path.parent}")
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file: --output {path / NAME}")
    number = write_dash(workspace, path)
    if as_json:
        print_json({"page": str(path), "experiments": number})
    else:
        say(f"{counted(number, 'experiment')}: {path}")
    return EXIT_DONE


if __name__ == "__main__":
    main()
