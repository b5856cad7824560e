"""Take in runs that were made without us, as an experiment that is collected and reported like any other.

    hpc adopt old_results --pattern 'L{n_layers}_G{gamma}_S{seed}' --metric val_loss

The folders are only read. Runs that are not whole and those that are missing from the grid are named, never made up.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpc.console import dry_run_option, json_option, print_json, say, speaks_plainly
from hpc.core.errors import EXIT_DONE, InputError
from hpc.core.layout import RunLayout, name_problem
from hpc.core.words import counted
from hpc.workspace import Workspace

if TYPE_CHECKING:
    from hpc.core.experiment.metric_source import MetricSource
    from hpc.newcomer.adopting import Adoption

SHOWN = 10


@click.command(
    epilog="Example: python -m hpc.adopt old_results --pattern 'L{n_layers}_G{gamma}_S{seed}' --metric val_loss"
)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--pattern", required=True, help="Name pattern of the run folders: 'L{n_layers}_G{gamma}_S{seed}'.")
@click.option("--name", help="Name of the experiment.  [default: the folder's name]")
@click.option("--metric", help="The metric that decides; required if there are several.")
@click.option(
    "--goal", type=click.Choice(("min", "max")), help="Whether lower or higher is better. Default: by its name."
)
@click.option(
    "--metrics",
    "source",
    metavar="KIND:WHERE",
    help="Where each folder keeps its numbers: csv:log.csv, json_file:results.json, tensorboard:runs, "
    "wandb:wandb, or stdout:REGEX over its log. [default: the usual files]",
)
@dry_run_option
@json_option
@speaks_plainly
def main(
    folder: Path,
    pattern: str,
    name: str | None,
    metric: str | None,
    goal: str | None,
    source: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Import the runs below FOLDER that were made without this toolkit; their files are only read."""
    from hpc.newcomer.adopting import make_adoption, write_adoption
    from hpc.newcomer.foreign_runs import find_runs

    chosen = name or folder.resolve().name
    if problem := name_problem(chosen):
        raise InputError(f"the name {chosen!r} {problem}; choose another with --name")
    layout = RunLayout(Workspace.current().root, chosen)
    runs, others = find_runs(folder.resolve(), pattern, read_source(source))
    adoption = make_adoption(chosen, pattern, runs, metric, goal)
    if not dry_run:
        write_adoption(layout, adoption, folder.resolve())
    if as_json:
        print_json(describe(adoption, others))
    else:
        show(adoption, others, dry_run=dry_run)
    return EXIT_DONE


def read_source(text: str | None) -> "MetricSource | None":
    """Read ``csv:log.csv`` or ``stdout:REGEX``.

    Raises:
        InputError: Its kind is unknown, or what follows is none.
    """
    from hpc.core.experiment.metric_source import parse_source

    if text is None:
        return None
    kind, colon, where = text.partition(":")
    if not colon:
        raise InputError(f"--metrics {text!r}: write KIND:WHERE, such as csv:log.csv or 'stdout:loss (?P<loss>\\S+)'")
    return parse_source({kind: where})


def describe(adoption: "Adoption", others: list[str]) -> dict[str, object]:
    """What was adopted as one JSON value."""
    return {
        "experiment": adoption.spec.name,
        "tasks": len(adoption.tasks),
        "adopted": len(adoption.runs) - len(adoption.unfinished),
        "unfinished": adoption.unfinished,
        "missing": adoption.missing,
        "not_matching": others,
        "metric": adoption.spec.metrics.primary.name,
    }


def show(adoption: "Adoption", others: list[str], *, dry_run: bool) -> None:
    """Print what was adopted, what is not whole, what is missing, and the next command."""
    spec, whole = adoption.spec, len(adoption.runs) - len(adoption.unfinished)
    verb, metric = "would adopt" if dry_run else "adopted", spec.metrics.primary
    say(
        f"{spec.name}: {verb} {counted(whole, 'run')}, {len(adoption.unfinished)} unfinished, "
        f"{len(adoption.missing)} missing; "
        f"decided by {metric.name} ({metric.goal})"
    )
    for name, why in list(adoption.unfinished.items())[:SHOWN]:
        say(f"unfinished: {name}: {why}")
    for what, names in (("missing", adoption.missing), ("does not match the pattern", others)):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            say(f"{what}: {', '.join(names[:SHOWN])}{more}")
    if not dry_run:
        say(f"next: python -m hpc.collect {spec.name} && python -m hpc.report {spec.name}")


if __name__ == "__main__":
    main()
