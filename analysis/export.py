"""Exports collected results to others' tools: ``python -m analysis.export lora_sweep --to tensorboard``.

Reads what was collected, so unchanged programs are exported like any other. Safe to repeat: what was sent is left
alone, a run whose results have changed is sent anew, and an export that was cut short goes on.
"""

import hpc.core  # noqa: F401  first: a Python without our packages is refused in one sentence

# isort: split
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from analysis.command import names_out, root_option, run, say
from hpc.adapters.files import make_folder
from hpc.adapters.progress import through, working
from hpc.adapters.wandb_files import export_folder, logs_itself
from hpc.core.errors import InputError, NothingToDo
from hpc.core.layout import EXPORTED, RunLayout
from hpc.core.printable import printable_json
from hpc.core.words import counted

if TYPE_CHECKING:
    from analysis.exports.runs import ExportedRun

TABLES = ("csv", "parquet")
TRACKERS = ("wandb", "tensorboard", "mlflow")
FOLDERS = "folders"


@dataclass(frozen=True)
class Exported:
    """What an export did.

    Attributes:
        experiment: Its name.
        to: The tool.
        where: Folder or project.
        sent: Run names that were sent now.
        unchanged: How many were there already.
        not_ended: Tasks left out because they have not ended.
        files: Files that were written, of tables.
        next: What to type next; empty where nothing is left.
    """

    experiment: str
    to: str
    where: str
    sent: Sequence[str]
    unchanged: int
    not_ended: int
    files: Sequence[str] = ()
    next: str = ""


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: python -m analysis.export lora_sweep --to tensorboard",
)
@click.argument("name", required=False)
@click.option(
    "--to", "tool", type=click.Choice((*TRACKERS, *TABLES, FOLDERS)), required=True, help="Target tool or format."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Output folder.  [default: export/TOOL in the run folder; for folders ./results/NAME]",
)
@click.option("--project", help="wandb project or MLflow experiment.  [default: the experiment's name]")
@click.option("--unlogged", is_flag=True, help="For wandb: leave out runs whose program logged there itself.")
@root_option
@click.option("--dry-run", is_flag=True, help="Say what would be done, without doing it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value on stdout.")
def export(
    name: str | None,
    tool: str,
    out: Path | None,
    project: str | None,
    unlogged: bool,
    root: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Export collected results of experiment NAME (default: the one planned last) to another tool.

    Every run that ended: settings, curves over all attempts, final values, outcome. To folders: a folder a run, by its
    name, with model.pt, metrics.json, config.yaml and train.log. Repeat it after each collection.
    """
    with working("reading results"):
        from analysis.loaded import load

        e = load(name, root=root)
    layout = e.frame.layout
    usual = Path("results", layout.experiment) if tool == FOLDERS else layout.home / "export" / tool
    folder = (out or usual).absolute()
    with names_out(folder, f"export {layout.experiment} --to {tool} --out FOLDER"):
        told = run_export(
            e.frame, layout, tool, folder, project or layout.experiment, dry_run=dry_run, unlogged=unlogged
        )
    if as_json:
        click.echo(printable_json(json.dumps(vars(told), ensure_ascii=False)))
    else:
        say("\n".join(describe(told, dry_run=dry_run)))
    if not told.sent and not dry_run:
        raise NothingToDo(f"{layout.experiment}: everything is already exported")


def run_export(
    frame: object, layout: RunLayout, tool: str, folder: Path, project: str, *, dry_run: bool, unlogged: bool = False
) -> Exported:
    """Send what is new or has changed, and write each down; `unlogged`: without runs that logged to wandb themselves.

    Raises:
        InputError: No run has ended.
        ModuleNotFoundError: The tool's client is not installed.
    """
    from analysis.data.frame import ExperimentFrame
    from analysis.exports.ledger import Ledger
    from analysis.exports.runs import list_runs

    if not isinstance(frame, ExperimentFrame):
        raise TypeError("an ExperimentFrame is wanted")
    with working("reading curves"):
        runs = list_runs(frame)
    ended = len(runs)
    if unlogged:
        runs = [run for run in runs if not logs_itself(layout.task(run.name))]
    if not ended:
        raise InputError(f"no run of {layout.experiment} has ended; see python -m hpc.status {layout.experiment}")
    where = str(folder) if tool in (*TABLES, FOLDERS, "tensorboard") else project
    ledger = Ledger(folder / EXPORTED, {"to": tool, "where": where})
    due = [run for run in runs if not ledger.has(run.task_id, run.digest) or _is_gone(tool, ledger.place(run.task_id))]
    files: Sequence[str] = ()
    if due and not dry_run:
        make_folder(folder)
        files = _write_tables(tool, runs, folder) if tool in TABLES else ()
        send = _sender(tool, folder, project, layout)
        for run in through(f"writing runs for {tool}", due):
            ledger.note(run.task_id, run.digest, send(run))
    names = [run.name for run in due]
    left = len(frame.tasks) - ended
    following = _next(tool, folder, layout) if due else ""
    return Exported(layout.experiment, tool, where, names, len(runs) - len(due), left, files, following)


def _is_gone(tool: str, place: str) -> bool:
    """Whether somebody removed the folder that a run was copied to."""
    return tool == FOLDERS and bool(place) and not Path(place).is_dir()


def _write_tables(tool: str, runs: Sequence["ExportedRun"], folder: Path) -> list[str]:
    from analysis.exports.tables import write_csv, write_parquet

    return [str(path) for path in {"csv": write_csv, "parquet": write_parquet}[tool](runs, folder)]


def _sender(tool: str, folder: Path, project: str, layout: RunLayout) -> Callable[["ExportedRun"], str]:
    """What sends one run and says where it is."""
    from analysis.exports.folders import copy_run
    from analysis.exports.tensorboard import write_run
    from analysis.exports.trackers import send_to_mlflow, send_to_wandb

    senders: Mapping[str, Callable[[ExportedRun], str]] = {
        FOLDERS: lambda run: copy_run(run, layout, folder),
        "tensorboard": lambda run: write_run(run, folder),
        "wandb": lambda run: send_to_wandb(run, folder, project),
        "mlflow": lambda run: send_to_mlflow(run, folder, project),
    }
    return senders.get(tool, lambda _: str(folder))


def _next(tool: str, folder: Path, layout: RunLayout) -> str:
    """The line to type next; the folder may hold spaces."""
    if tool == "wandb" and folder == export_folder(layout).absolute():
        return f"python -m hpc.sync {layout.experiment}"
    commands = {
        "tensorboard": f"tensorboard --logdir {quote(str(folder))}",
        "wandb": f"wandb sync {quote(str(folder))}/wandb/offline-run-*",
        "mlflow": f"mlflow ui --backend-store-uri {folder.as_uri()}",
    }
    return commands.get(tool, "")


def describe(told: Exported, *, dry_run: bool) -> list[str]:
    """What was done, in words."""
    verb = "would send" if dry_run else "sent"
    lines = [
        f"{told.experiment}: {verb} {counted(len(told.sent), 'run')} to {told.to} ({told.where}), "
        f"{counted(told.unchanged, 'was', 'were')} there"
    ]
    if told.not_ended:
        lines.append(f"{counted(told.not_ended, 'task has', 'tasks have')} not ended and are left out")
    lines += [f"wrote {path}" for path in told.files]
    return [*lines, *([f"next: {told.next}"] if told.next and not dry_run else [])]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run(export, "python -m analysis.export", arguments, "this export")


if __name__ == "__main__":
    sys.exit(main())
