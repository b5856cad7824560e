"""Hold an experiment, or single tasks of it: nothing more of it starts until it is released.

    python -m hpc.hold lora_sweep --reason 'new data set on Monday'
    python -m hpc.hold lora_sweep R8_S42 R8_S137

What waits in Slurm is held there, what runs goes on, and no submit, retry, unattended round or queue of this machine
starts more. To go on: hpc.release.
"""

from collections.abc import Mapping

import click

from hpc.adapters.locks import lock
from hpc.console import (
    dry_run_option,
    json_option,
    name_argument,
    note,
    print_json,
    say,
    speaks_plainly,
    tasks_argument,
)
from hpc.core.errors import EXIT_DONE, NothingToDo
from hpc.core.layout import RunLayout
from hpc.core.slurm.executions import fold_elements
from hpc.core.slurm.pending import is_held
from hpc.core.words import counted, few
from hpc.rounds.cancelling import choose, find_live
from hpc.submissions.by_hand import hold_by_hand, hold_runs
from hpc.submissions.held_runs import elements_of, held_runs
from hpc.submissions.holds import describe_hold, held, jobs_to_hold, keep_held, rows_of
from hpc.unattended.lease import LOCK_S
from hpc.workspace import Workspace


@click.command(epilog="Example: python -m hpc.hold lora_sweep --reason 'new data on Monday'")
@name_argument
@tasks_argument
@click.option("--reason", default="", metavar="TEXT", help="The reason, shown by every command that meets the hold.")
@dry_run_option
@json_option
@speaks_plainly
def main(name: str | None, runs: tuple[str, ...], reason: str, dry_run: bool, as_json: bool) -> int:
    """Hold experiment NAME (default: the one planned last), or single TASKs of it: nothing more starts."""
    layout, reason = Workspace.current().layout(name), " ".join(reason.split())
    with lock(layout.lock, timeout_s=LOCK_S):
        if runs:
            return _hold_runs(layout, runs, reason, dry_run=dry_run, as_json=as_json)
        return _hold_all(layout, reason, dry_run=dry_run, as_json=as_json)


def _hold_all(layout: RunLayout, reason: str, *, dry_run: bool, as_json: bool) -> int:
    if held(layout) is not None:
        if not dry_run:
            keep_held(layout)
        raise NothingToDo(describe_hold(layout))
    if dry_run:
        jobs = jobs_to_hold(rows_of(layout), ()) if _is_on_slurm(layout) else []
        return _show(layout, {"would_hold": [], "jobs": jobs}, f"would hold {layout.experiment}", jobs, as_json=as_json)
    present = hold_by_hand(layout, reason)
    told = {"held": [], "reason": reason, "by": present.by, "time": present.time, "jobs": list(present.jobs)}
    return _show(layout, told, describe_hold(layout), present.jobs, as_json=as_json)


def _hold_runs(layout: RunLayout, names: tuple[str, ...], reason: str, *, dry_run: bool, as_json: bool) -> int:
    tasks = choose(layout, names)
    wanted, known = [task.run_name for task in tasks], held_runs(layout).runs
    new = [run for run in wanted if run not in known]
    if dry_run and new:
        rows = elements_of(layout, new, rows_of(layout)) if _is_on_slurm(layout) else []
        waiting = [row.job for row in rows if row.state.is_waiting and not is_held(row.state, row.reason)]
        jobs = fold_elements(waiting)
        return _show(layout, {"would_hold": new, "jobs": jobs}, f"would hold {few(new)}", jobs, as_json=as_json)
    if not dry_run:
        hold_runs(layout, wanted, reason)
    if not new:
        raise NothingToDo(f"{layout.experiment}: {few(wanted)} already held; {_way_on(layout, wanted)}")
    running = [each.run_name for each in find_live(layout, tasks) if not each.is_waiting]
    jobs = list(held_runs(layout).jobs)
    told = {"held": new, "reason": reason, "by": held_runs(layout).runs[new[0]].by, "jobs": jobs, "running": running}
    said = f"{layout.experiment}: held {few(new)}{f' ({reason})' if reason else ''}. {_way_on(layout, new)}"
    if running:
        note(f"{few(running)} still running: they continue, but are not started again")
    return _show(layout, told, said, jobs, as_json=as_json)


def _way_on(layout: RunLayout, runs: list[str]) -> str:
    return f"To go on: python -m hpc.release {layout.experiment} {' '.join(runs) if len(runs) < 6 else ''}".rstrip()


def _is_on_slurm(layout: RunLayout) -> bool:
    from hpc.adapters.manifest_store import readable_indices

    return any(index.scheduler == "slurm" for _, index in readable_indices(layout))


def _show(layout: RunLayout, told: Mapping[str, object], said: str, jobs: object, *, as_json: bool) -> int:
    if as_json:
        print_json({"experiment": layout.experiment, **told})
        return EXIT_DONE
    say(said)
    if isinstance(jobs, list | tuple) and jobs:
        say(f"in Slurm: {counted(len(jobs), 'job')} ({few([str(job) for job in jobs])})")
    return EXIT_DONE


if __name__ == "__main__":
    main()
