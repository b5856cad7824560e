"""Collect an experiment: say what became of every run and why, and with --retry-failed start again what can be healed.

    python -m hpc.collect lora_sweep --retry-failed

Safe to repeat and to run twice at once. A bug is never tried again blindly; every failed run that is left alone has its
reason.

`hpc.collection` (numpy, h5py, the rule tables) is imported where something is collected, so that --help does not wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from hpc.adapters.files import lock
from hpc.console import dry_run_option, json_option, name_argument, note, print_json, print_table, say, speaks_plainly
from hpc.core.errors import EXIT_DONE, EXIT_FAILED, EXIT_TEMPORARY
from hpc.core.evidence import FailureClass
from hpc.core.layout import RunLayout
from hpc.core.outcomes import Outcome, count_outcomes, render_counts
from hpc.core.retry_plan import ON_REQUEST
from hpc.feeding import Fed, resume
from hpc.holding import describe_hold, held
from hpc.rounds import act_on, assess
from hpc.submission import half_submitted
from hpc.workspace import Workspace

if TYPE_CHECKING:
    from hpc.collection import JudgedTask
    from hpc.core.retry_plan import RetryPlan


@click.command(epilog="Example: python -m hpc.collect lora_sweep --retry-failed --dry-run")
@name_argument
@click.option("--retry-failed", is_flag=True, help="Submit again what its cause allows, adjusted to the cause.")
@click.option(
    "--again",
    type=click.Choice(sorted(each.value for each in ON_REQUEST)),
    multiple=True,
    help="With --retry-failed: runs of this class too, because you have mended the cause. May be repeated.",
)
@click.option("--include-running", is_flag=True, help="Read the metrics of runs that have not ended, too.")
@click.option("--max-parallel", type=click.IntRange(min=1), help="On this machine: tasks that run at once.")
@dry_run_option
@json_option
@speaks_plainly
def main(
    name: str | None,
    retry_failed: bool,
    again: tuple[str, ...],
    include_running: bool,
    max_parallel: int | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Gather, classify and record every run of experiment NAME (default: the one planned last)."""
    if again and not retry_failed:
        raise click.UsageError("--again starts runs again: add --retry-failed (and --dry-run to see what it would do)")
    layout = Workspace.current().layout(name)
    acts = retry_failed and not dry_run
    with lock(layout.lock, timeout_s=600) if acts else nullcontext():
        # First what somebody began and died over: later it would look like a lost job, and be retried besides.
        jobs = resume(layout, half_submitted(layout)) if acts and not held(layout) else {}
        present = assess(layout, include_running=include_running, again=[FailureClass(each) for each in again])
        fed = act_on(layout, present) if acts else Fed()
        jobs |= fed.jobs
    tasks, plan, trip = present.tasks, present.plan, present.trip
    if acts:
        from hpc.notices import tell_held

        for told in tell_held(present.frozen.spec, layout):
            note(told)
    if as_json:
        would_hold = trip.reason if trip and not acts else None
        print_json({**describe(layout, tasks, plan, jobs, fed), "would_hold": would_hold})
    else:
        show(layout, tasks, plan, fed, asked=retry_failed, dry_run=dry_run)
        if said := describe_hold(layout):
            say(said)
        elif trip:
            say(f"would be held: {trip.reason}. To hold it: python -m hpc.collect {layout.experiment} --retry-failed")
    code = EXIT_FAILED if any(task.outcome is Outcome.FAILED for task in tasks) else EXIT_DONE
    if fed.waiting and not jobs:
        return EXIT_TEMPORARY
    if jobs and present.frozen.profile.scheduler == "local":
        return run_here(layout, max_parallel or present.frozen.profile.max_parallel)
    return code


def run_here(layout: RunLayout, max_parallel: int) -> int:
    """Let this machine's queue work off the retries, and wait for them."""
    from hpc.local_queue import default_parallel, follow, start_detached

    start_detached(layout, max_parallel or default_parallel())
    return follow(layout)


def describe(
    layout: RunLayout, tasks: Sequence[JudgedTask], plan: RetryPlan, jobs: Mapping[int, str], fed: Fed
) -> dict[str, object]:
    """The collection as one JSON value."""
    from hpc.collection import plan_json

    return {
        "experiment": layout.experiment,
        "tasks": len(tasks),
        "outcomes": count_outcomes(task.outcome.value for task in tasks),
        "failures": dict(Counter(task.failure_class.value for task in tasks if task.failure_class)),
        **plan_json(plan),
        "jobs": {str(number): job for number, job in jobs.items()},
        "waiting": len(fed.waiting),
        "limit": fed.why,
        "held": describe_hold(layout) or None,
        "verdicts": str(layout.verdicts),
    }


def show(
    layout: RunLayout,
    tasks: Sequence[JudgedTask],
    plan: RetryPlan,
    fed: Fed,
    *,
    asked: bool,
    dry_run: bool,
) -> None:
    """Print counts, every failed run with its cause and line, and what was or would be done."""
    counts = count_outcomes(task.outcome.value for task in tasks)
    say(f"{layout.experiment}: {render_counts(counts)}")
    failed = [task for task in tasks if task.outcome is Outcome.FAILED]
    if failed:
        print_table("why they failed", ("run", "attempt", "class", "evidence", "what happens"), _rows(failed, plan))
    if fed.jobs:
        submitted = ", ".join(f"{number:03d} (job {job})" for number, job in fed.jobs.items())
        say(f"submitted {fed.submitted} retries: submission {submitted}")
    elif plan.retry:
        verb = "would be started again" if dry_run else "can be started again"
        say(f"{len(plan.retry)} {verb}: python -m hpc.collect {layout.experiment} --retry-failed")
    elif asked and not failed:
        say("nothing failed")
    for problem in plan.hook_problems:
        say(f"not heeded: {problem}")
    if fed.waiting:
        say(str(fed))
    say(f"written: {layout.collected}")


def _rows(failed: Sequence[JudgedTask], plan: RetryPlan) -> list[tuple[object, ...]]:
    """One row for all runs that failed alike and of which the same becomes: nine of ten failures are one failure."""
    from hpc.core.breaker import fingerprint

    happens = {each.task_id: f"again: {each.reason}" for each in plan.retry}
    happens |= {each.task_id: f"not again: {each.reason}; {each.next_step}" for each in plan.declined}
    alike: dict[tuple[object, ...], list[JudgedTask]] = {}
    for task in failed:
        verdict = task.attempts[-1].verdict
        what = fingerprint(verdict) if verdict else ""
        alike.setdefault((len(task.attempts), what, happens[task.state.task.task_id]), []).append(task)
    rows: list[tuple[object, ...]] = []
    for (attempts, _, then), tasks in alike.items():
        first = tasks[0]
        verdict = first.attempts[-1].verdict
        line = verdict.evidence[0] if verdict and verdict.evidence else None
        where = f"{line.source}{f':{line.line}' if line.line else ''}: {line.text[:160]}" if line else ""
        run = first.state.task.run_name + (f" and {len(tasks) - 1} more" if len(tasks) > 1 else "")
        rows.append((run, attempts, first.failure_class, where, then))
    return rows


if __name__ == "__main__":
    main()
