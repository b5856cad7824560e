"""Look whether everything that runs need is there: what was found, what was expected, how to fix it.

    python -m hpc.doctor
    python -m hpc.doctor lora_sweep --cluster mysite

Nothing is changed but for a hidden folder in the folder of the runs, which is removed. Each thing is looked at in a
process of its own and for a bounded time: neither a hung mount nor a hung controller hangs this command. With
`--cluster` a tiny job looks from compute nodes, too.
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpc.adapters.progress import working
from hpc.adapters.project import find_project
from hpc.checkup.bounded import Subject, answers, look
from hpc.completing import clusters, experiments
from hpc.console import dry_run_option, json_option, note, print_json, print_table, say, show_text, speaks_plainly
from hpc.core.checkup.check import Check, Group, Severity, exit_code, group_of, in_order, unanswered
from hpc.core.errors import EXIT_DONE, EXIT_FAILED, HpcError, InputError
from hpc.core.layout import RunLayout
from hpc.core.words import counted
from hpc.workspace import Workspace

if TYPE_CHECKING:
    from hpc.checkup.examined import Examined

MARKS = {Severity.OK: "ok", Severity.NOTE: "note", Severity.WARNING: "warning", Severity.BLOCKING: "BLOCKING"}


@click.command(epilog="Example: python -m hpc.doctor lora_sweep --cluster mysite")
@click.argument("experiment", required=False, shell_complete=experiments)
@click.option(
    "--cluster",
    shell_complete=clusters,
    help="Site profile; a tiny job then also checks from its compute nodes. Default: $HPC_CLUSTER.",
)
@click.option(
    "--wait", "wait_s", type=click.IntRange(min=0), default=60, show_default=True, metavar="SECONDS",
    help="How long the tiny job may wait in the queue; 0: send none.",
)  # fmt: skip
@click.option(
    "--write-profile", "profile_name", metavar="NAME", help="Write manifests/clusters/NAME.yaml from what Slurm says."
)
@click.option(
    "--checkpoints",
    "opens_checkpoints",
    is_flag=True,
    help="Check that the newest checkpoint of each run can be loaded.",
)
@click.option("--all", "shows_all", is_flag=True, help="Show every check, not only warnings and what blocks.")
@dry_run_option
@json_option
@speaks_plainly
def main(
    experiment: str | None,
    cluster: str | None,
    wait_s: int,
    profile_name: str | None,
    opens_checkpoints: bool,
    shows_all: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Check that everything runs need is in place, and say how to fix what is not.

    With EXPERIMENT also what that one needs: its image, its imports, its data, the limits it meets. Exit code 1 when
    something blocks, 75 when that is only that Slurm does not answer.
    """
    if profile_name:
        return write_site_profile(profile_name, dry_run=dry_run, as_json=as_json)
    if opens_checkpoints and not experiment:
        raise InputError("--checkpoints needs an experiment: python -m hpc.doctor NAME --checkpoints")
    checks = list(examine(experiment, cluster, 0 if dry_run else wait_s, opens_checkpoints=opens_checkpoints))
    code = exit_code(checks)
    if as_json:
        print_json(describe(checks, code, experiment))
    else:
        show(in_order(checks), shows_all=shows_all)
        say(next_line(checks, experiment, cluster, _begin))
    return code


def examine(
    experiment: str | None, cluster: str | None, wait_s: float, *, opens_checkpoints: bool = False
) -> Iterator[Check]:
    """Look at everything; yield each check as it comes.

    Raises:
        InputError: The experiment or the profile is missing or not valid.
    """
    from hpc.checkup.examined import read_examined

    hangs = not answers(Workspace.current)
    if hangs:
        yield unanswered("writable", 5)
    workspace = _without_the_root() if hangs else Workspace.current()
    examined = read_examined(workspace, experiment, cluster, root_hangs=hangs)
    subjects = dict(subjects_of(examined, wait_s, opens_checkpoints=opens_checkpoints))
    with working("looking") as step:
        yield from look(subjects, lambda names: step.says(f"looking: {names}"))


def _without_the_root() -> Workspace:
    """The project, where the folder of the runs does not answer: nothing touches that any more."""
    import os

    project = find_project(Path.cwd())
    return Workspace(
        project, Path(os.environ.get("HPC_ROOT") or project / "runs").absolute(), os.environ.get("HPC_CLUSTER", "")
    )


def subjects_of(
    examined: "Examined", wait_s: float, *, opens_checkpoints: bool = False
) -> Iterator[tuple[str, Subject]]:
    """What is looked at side by side, each by the name of its first check."""
    from hpc.checkup.checkpoints import look_at_checkpoints
    from hpc.checkup.containers import look_at_containers, look_at_image
    from hpc.checkup.experiment import look_at_experiment
    from hpc.checkup.machine import look_at_machine
    from hpc.checkup.nodes import look_from_nodes
    from hpc.checkup.slurm import look_at_slurm
    from hpc.checkup.storage import look_at_hdf5, look_at_storage

    yield "python", partial(look_at_machine, examined)
    yield "profile", partial(look_at_slurm, examined)
    yield "apptainer", partial(look_at_containers, examined)
    yield "imports", partial(look_at_image, examined)
    if not examined.root_hangs:
        yield "writable", partial(look_at_storage, examined)
        yield "HDF5 locks", partial(look_at_hdf5, examined)
        yield "program", partial(look_at_experiment, examined)
        if opens_checkpoints and examined.spec is not None:
            layout = RunLayout(examined.workspace.root, examined.spec.name)
            yield "checkpoints", partial(look_at_checkpoints, layout)
        if examined.is_named and wait_s and not examined.is_local:
            yield "node job", partial(look_from_nodes, examined, wait_s)


def describe(checks: Sequence[Check], code: int, experiment: str | None) -> dict[str, object]:
    """The check-up as one JSON value."""
    return {
        "experiment": experiment,
        "exit_code": code,
        "counts": {severity.value: _count(checks, severity) for severity in Severity},
        "checks": [{"group": group_of(check).value, **asdict(check)} for check in in_order(checks)],
    }


def _count(checks: Sequence[Check], severity: Severity) -> int:
    return sum(check.severity is severity for check in checks)


def show(checks: Sequence[Check], *, shows_all: bool = False) -> None:
    """Print the checks by group, then the lines that fix them, each whole so that it can be pasted; then the counts.

    Args:
        shows_all: Whether notes and what is as it should be are listed, too.
    """
    shown = [check for check in checks if shows_all or check.severity in (Severity.WARNING, Severity.BLOCKING)]
    rows: list[tuple[str, str, str, str]] = []
    for group in Group:
        own = [check for check in shown if group_of(check) is group]
        rows += [("", f"── {group}", "", "")] if own else []
        rows += [(MARKS[check.severity], check.name, check.found, _expected(check)) for check in own]
    if rows:
        print_table("", ("", "check", "found", "expected"), rows)
    wrong = sorted((check for check in shown if check.mend), key=lambda check: -list(Severity).index(check.severity))
    if wrong:
        say("how to fix it:")
    for check in wrong:
        say(f"  {MARKS[check.severity]}  {check.name}: {check.mend}")
    told = [_counted(_count(checks, severity), severity) for severity in Severity]
    say(f"{counted(len(checks), 'check')}: {', '.join(told)}{'' if shows_all else ' (--all shows them)'}")


def _begin() -> str:
    try:
        return Workspace.current().begin()
    except HpcError:
        return "python -m hpc.init"


def next_line(checks: Sequence[Check], experiment: str | None, cluster: str | None, begin: Callable[[], str]) -> str:
    """What to type next: this again where something blocks, else what the check-up was for.

    Args:
        begin: Gives the command that plans, or makes, an experiment where none was checked.
    """
    words = [experiment] if experiment else []
    chosen = " ".join(map(shlex.quote, [*words, "--cluster", cluster] if cluster else words))
    code = exit_code(checks)
    if code == EXIT_FAILED:
        return f"next: fix what blocks, then: {f'python -m hpc.doctor {chosen}'.rstrip()}"
    if code:
        return f"next, when Slurm answers again: {f'python -m hpc.doctor {chosen}'.rstrip()}"
    if experiment and _is_planned(experiment):
        return f"next: python -m hpc.submit {shlex.quote(experiment)}"
    return f"next: {f'python -m hpc.plan {chosen}' if experiment else begin()}"


def _is_planned(experiment: str) -> bool:
    """Whether it was planned, and its file is no newer than that plan."""
    workspace = Workspace.current()
    asked = workspace.experiments / f"{experiment}.yaml"
    try:
        planned = RunLayout(workspace.root, experiment).manifest.stat().st_mtime
        return planned >= asked.stat().st_mtime
    except (OSError, ValueError):
        return False


def _counted(number: int, severity: Severity) -> str:
    """So many of a severity: ``2 notes``, ``2 blocking``."""
    return counted(number, severity) if severity in (Severity.NOTE, Severity.WARNING) else f"{number} {severity}"


def _expected(check: Check) -> str:
    return "" if check.severity is Severity.OK else check.expected


def write_site_profile(name: str, *, dry_run: bool, as_json: bool) -> int:
    """Write a profile from what Slurm says, or only show it."""
    from hpc.checkup.write_profile import make_profile, write_profile

    written = make_profile(Workspace.current(), name)
    if not dry_run:
        write_profile(written)
    if as_json:
        print_json({"path": str(written.path), "text": written.text, "written": not dry_run})
        return EXIT_DONE
    show_text(written.text)
    note(
        "nothing was written"
        if dry_run
        else f"wrote {written.path}; read it once, then: python -m hpc.doctor --cluster {name}"
    )
    return EXIT_DONE


if __name__ == "__main__":
    main()
