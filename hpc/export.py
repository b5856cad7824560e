"""Export collected results to other people's tools: ``python -m analysis.export`` as a verb among the others.

    hpc export lora_sweep --to tensorboard

Like the report it is another wing of the house, started as a command line of its own.
"""

import os
import subprocess

import click

from hpc.console import PassedOn, dry_run_option, json_option, name_argument, note, speaks_plainly, typed
from hpc.workspace import Workspace, own_command, python_path


@click.command(cls=PassedOn, epilog="Example: python -m hpc.export lora_sweep --to tensorboard")
@name_argument
@click.option(
    "--to",
    "tool",
    type=click.Choice(("wandb", "tensorboard", "mlflow", "csv", "parquet", "folders")),
    required=True,
    help="Target tool or format.",
)
@click.option("--out", help="Output folder.  [default: export/TOOL in the run folder; for folders ./results/NAME]")
@click.option("--project", help="wandb project or MLflow experiment.  [default: the experiment's name]")
@click.option("--unlogged", is_flag=True, help="For wandb: leave out runs whose program logged there itself.")
@click.option("--root", help="Folder of the experiments.  [default: $HPC_ROOT or ./runs]")
@dry_run_option
@json_option
@speaks_plainly
def main(name: str | None, root: str | None, **_: object) -> int:
    """Export collected results of experiment NAME (default: the one planned last) to another tool."""
    if root is None and (said := Workspace.current().other_project_of(name)):
        note(f"warning: {said}")
    command = [*own_command("analysis.export"), *typed()]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": python_path()}, check=False).returncode


if __name__ == "__main__":
    main()
