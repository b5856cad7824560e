"""Build the report of an experiment: ``python -m analysis.report`` as a verb among the others.

    hpc report lora_sweep --format html

The report is another wing of the house, started as a command line of its own: its libraries are optional, and a folder
``analysis`` in somebody's repository is theirs. Options are declared for ``--help`` and passed on as they were typed.
"""

import os
import subprocess

import click

from hpc import completing
from hpc.console import PassedOn, name_argument, note, speaks_plainly, typed
from hpc.workspace import Workspace, own_command, python_path


@click.command(cls=PassedOn, epilog="Example: python -m hpc.report lora_sweep --format html,md --bundle")
@name_argument
@click.option("--format", "formats", help="Formats in addition to SVG and CSV.  [default: html,md,tex,png,pdf]")
@click.option(
    "--style", type=click.Choice(("s1", "s2", "s3")), help="Markdown only: overview, paper or variance report."
)
@click.option("--watch", is_flag=True, help="Rebuild whenever results are collected, until every run has ended.")
@click.option(
    "--compare",
    nargs=2,
    metavar="A B",
    shell_complete=completing.experiments,
    help="Compare the shared configurations of two experiments.",
)
@click.option("--out", help="Folder for the report.  [default: report/ in the run folder]")
@click.option("--root", help="Folder of the experiments.  [default: $HPC_ROOT or ./runs]")
@click.option("--bundle", is_flag=True, help="Pack everything into one archive, report-NAME.zip, to send or keep.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON value.")
@speaks_plainly
def main(name: str | None, root: str | None, **_: object) -> int:
    """Build the statistical report of experiment NAME (default: the one planned last) from its collected results."""
    if root is None and (said := Workspace.current().other_project_of(name)):
        note(f"warning: {said}")
    command = [*own_command("analysis.report"), *typed()]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": python_path()}, check=False).returncode


if __name__ == "__main__":
    main()
