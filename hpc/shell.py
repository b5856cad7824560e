"""Open a shell where a run ran: its container, code, variables and folder, in a copy; or start a command there.

    python -m hpc.shell lora_sweep R8_S42
    python -m hpc.shell lora_sweep R8_S42 -- python -m pdb train.py

The run's record is not changed: the working folder is a copy, with what the run left in it. In the shell
`eval "$HPC_COMMAND"` starts the program as it was started.
"""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from hpc.adapters.files import make_folder
from hpc.console import json_option, name_argument, note, print_json, show_text, speaks_plainly, task_argument
from hpc.core.errors import EXIT_DONE, InputError, NothingToDo
from hpc.core.layout import RunLayout
from hpc.core.words import counted
from hpc.housekeeping.inside import (
    Inside,
    as_shell_line,
    is_secret,
    prepare,
    read_attempt,
    site_environment,
    through_srun,
)
from hpc.housekeeping.named import find_attempt, find_run, newest_run
from hpc.workspace import Workspace


@click.command(epilog="Example: python -m hpc.shell lora_sweep R8_S42 --print")
@name_argument
@task_argument
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND]...")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Attempt N instead of the newest.")
@click.option("--print", "prints", is_flag=True, help="Only print the command line that would be run.")
@click.option("--srun", "by_srun", is_flag=True, help="Run on a node, with the task's resources.")
@json_option
@speaks_plainly
def main(
    name: str | None,
    run: str | None,
    command: tuple[str, ...],
    attempt: int | None,
    prints: bool,
    by_srun: bool,
    as_json: bool,
) -> int:
    """Open a shell where a TASK of experiment NAME ran (default: the newest that runs, else the newest that failed)."""
    workspace = Workspace.current()
    layout, run = workspace.layout_and_run(name, run)
    task, which = (find_run(layout, run), "") if run else newest_run(layout)
    if which:
        note(f"{layout.experiment}: {which}")
    number = find_attempt(layout, task, attempt)
    if not number:
        raise NothingToDo(f"{task.run_name} has not begun; see python -m hpc.status {layout.experiment}")
    interactive = not command
    if interactive and not (prints or as_json or sys.stdin.isatty()):
        raise InputError("a shell needs a terminal; add a command to run (-- COMMAND), or --print")
    files = layout.task(task.run_name).attempt(number)
    record = read_attempt(files)
    script = layout.submission(record.submission).script
    if by_srun and record.scheduler != "slurm":
        raise InputError(f"{task.run_name} ran on this machine, without Slurm: leave out --srun")
    host, problem = site_environment(script)
    if problem:
        note(f"warning: {problem}")
    inside = prepare(layout, files, _scratch(layout, task.run_name, shared=by_srun), command, host)
    line = through_srun(inside.line, record, script, interactive=interactive) if by_srun else inside.line
    if record.nodes > 1:
        note(f"it ran on {counted(record.nodes, 'node')}: this is the first of them")
    if as_json:
        print_json(describe(inside, line))
        return EXIT_DONE
    if prints:
        show_text(as_shell_line(inside, line))
        return EXIT_DONE
    return _start(inside, line)


def _scratch(layout: RunLayout, run: str, *, shared: bool) -> Path:
    """A folder for the copy: below the root where other nodes have to see it."""
    above = layout.root / ".shell" if shared else Path(tempfile.gettempdir())
    folder = above / f"hpc-shell-{layout.experiment}-{run}-{os.urandom(8).hex()}"
    make_folder(folder, 0o700)
    return folder


def _start(inside: Inside, line: tuple[str, ...]) -> int:
    where = "in a copy" if inside.folder.is_relative_to(inside.scratch) else "in its own folder, not a copy"
    note(f"{inside.record.run_name} attempt {inside.record.attempt}, {where}: {inside.folder}")
    note(f"it was started with: {_without_secrets(inside)}")
    signal.signal(signal.SIGINT, lambda *_: None)  # it is the shell's: no ignored signal, which a child would inherit
    try:
        done = subprocess.run(line, cwd=inside.folder, env=dict(inside.environment), check=False)
    except OSError as error:
        raise InputError(f"{line[0]} cannot be started: {error.strerror}") from None
    note(f"the copy stays: rm -r {shlex.quote(str(inside.scratch))}")
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


def _without_secrets(inside: Inside) -> str:
    return shlex.join("***" if is_secret("value", word) else word for word in inside.program)


def describe(inside: Inside, line: tuple[str, ...]) -> dict[str, object]:
    """What would be started, as one JSON value; of secrets the names alone."""
    secrets = sorted(name for name, value in inside.told.items() if is_secret(name, value))
    return {
        "experiment": inside.record.experiment,
        "run": inside.record.run_name,
        "attempt": inside.record.attempt,
        "folder": str(inside.folder),
        "program": ["***" if is_secret("value", word) else word for word in inside.program],
        "line": list(line),
        "environment": {name: value for name, value in sorted(inside.told.items()) if name not in secrets},
        "secrets": secrets,
    }


if __name__ == "__main__":
    main()
