"""Send the offline wandb runs of an experiment; type it as often as you like.

    python -m hpc.sync lora_sweep

What programs logged themselves is sent as it is. Runs of programs that know nothing of wandb are written from what was
collected. What is there already is left alone, and a sync that was cut short goes on.
"""

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from hpc.adapters.progress import working
from hpc.console import dry_run_option, json_option, name_argument, note, print_json, say, speaks_plainly
from hpc.core.errors import EXIT_DONE, EXIT_FAILED, EXIT_NOTHING, HpcError, InputError, NothingToDo, TemporaryError
from hpc.core.layout import RunLayout
from hpc.core.words import counted
from hpc.workspace import Workspace

if TYPE_CHECKING:
    from hpc.adapters.wandb_cloud import Key
    from hpc.housekeeping.syncing import Synced


@click.command(epilog="Example: python -m hpc.sync lora_sweep --dry-run")
@name_argument
@click.option("--all", "is_all", is_flag=True, help="Every experiment below the root.")
@click.option("--project", default="", help="Send to this project.  [default: as planned, else the experiment's name]")
@click.option("--entity", default="", help="Send to this user or team.  [default: as planned, else the key's own]")
@dry_run_option
@json_option
@speaks_plainly
def main(name: str | None, is_all: bool, project: str, entity: str, dry_run: bool, as_json: bool) -> int:
    """Send offline wandb runs of experiment NAME (default: the one planned last) that have ended.

    The key comes from WANDB_API_KEY, or from a file that only you can read: ~/.config/hpc/wandb_key, or ~/.netrc as
    `wandb login` writes it. WANDB_BASE_URL names another server.
    """
    from hpc.adapters.wandb_cloud import ask_entity, base_url, client_command, find_key
    from hpc.housekeeping.syncing import find_experiments

    if is_all and name:
        raise InputError("--all sends every experiment: leave the name out, or --all")
    workspace = Workspace.current()
    layouts = find_experiments(workspace.root) if is_all else [workspace.layout(name)]
    server = base_url(os.environ)
    key, own_entity = None, ""
    if not dry_run:
        client_command()
        key = find_key(os.environ)
        own_entity = ask_entity(server, key)
    told: list[Synced] = []
    problems: dict[str, str] = {}
    for layout in layouts:
        try:
            told += _sync(workspace, layout, (server, entity, project), key, is_all=is_all)
        except TemporaryError:
            raise
        except (HpcError, OSError) as error:
            if not is_all:
                raise
            problems[layout.experiment] = str(error).splitlines()[0]
    if as_json:
        print_json({"server": server, "entity": entity or own_entity, "dry_run": dry_run,
                    "experiments": [asdict(each) for each in told], "problems": problems})  # fmt: skip
    else:
        for each in told:
            _describe(each, server, dry_run=dry_run)
        for experiment, problem in problems.items():
            note(f"{experiment}: {problem}")
    if problems or any(each.failed for each in told):
        return EXIT_FAILED
    return EXIT_DONE if dry_run or any(each.sent for each in told) else EXIT_NOTHING


def _sync(
    workspace: Workspace, layout: RunLayout, where: tuple[str, str, str], key: "Key | None", *, is_all: bool
) -> "list[Synced]":
    """Send one experiment's runs to a server, an entity and a project; nothing of one that wants no tracker."""
    from hpc.housekeeping.syncing import Target, declared, is_off, sync_experiment

    server, entity, project = where
    if is_all:
        layout = workspace.layout(layout.experiment)  # refuses those that are somebody else's
    if is_off(layout):
        if is_all:
            return []
        raise NothingToDo(f"{layout.experiment}: tracking.wandb is off")
    target = Target(server, entity or str(declared(layout).get("entity") or ""), project)
    with working(f"sending runs of {layout.experiment}") as step:
        return [sync_experiment(layout, target, key, os.environ, step.at)]


def _describe(told: "Synced", server: str, *, dry_run: bool) -> None:
    """Say what was done with one experiment."""
    verb = "would send" if dry_run else "sent"
    there = f"{counted(told.unchanged, 'was', 'were')} there"
    say(f"{told.experiment}: {verb} {counted(len(told.sent), 'run')} to {server}, {there}")
    for run in told.partly:
        note(f"{run}: sent up to the point where its program was killed")
    if told.running:
        note(f"{counted(told.running, 'run logs', 'runs log')} now: run this again when they have ended")
    if told.uncollected > 0:
        note(
            f"{counted(told.uncollected, 'task has', 'tasks have')} not ended, or not been collected since: "
            f"python -m hpc.collect {told.experiment}"
        )
    for run, why in told.failed.items():
        note(f"{run}: not sent: {why}")


if __name__ == "__main__":
    main()
