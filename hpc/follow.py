"""Follow an experiment until nothing is left: collect, retry what can be healed, submit what is left, chain, report.

    python -m hpc.follow lora_sweep

On Slurm this is what each relay of `hpc.submit --follow` runs: one round, which leaves the next relays
behind, or the report. Typed by hand it does the same, and so revives a chain that broke. On this machine's own queue it
stays until the end.
"""

from __future__ import annotations

import click

from hpc.adapters.locks import lock
from hpc.console import dry_run_option, go_on_unheard, json_option, name_argument, print_json, say, speaks_plainly
from hpc.core.errors import EXIT_DONE, EXIT_FAILED
from hpc.core.failures.outcomes import Outcome, render_counts
from hpc.core.layout import RunLayout
from hpc.core.slurm.successors import Course
from hpc.core.words import counted
from hpc.rounds.act import assess
from hpc.submissions.holds import describe_hold
from hpc.unattended.endure import follow_as_relay, follow_here
from hpc.unattended.lease import LOCK_S, hold_lease
from hpc.unattended.play import Round, frozen_now, never_submitted, play_and_end
from hpc.unattended.stopping import take_up_again
from hpc.workspace import Workspace


@click.command(epilog="Example: python -m hpc.follow lora_sweep")
@name_argument
@click.option("--max-parallel", type=click.IntRange(min=1), help="On this machine: number of tasks that run at once.")
@click.option("--number", type=click.IntRange(min=1), help="Number of this relay; set by its script.")
@dry_run_option
@json_option
@speaks_plainly
def main(name: str | None, max_parallel: int | None, number: int | None, dry_run: bool, as_json: bool) -> int:
    """Follow experiment NAME (default: the one planned last): collect, retry, submit, report."""
    layout = Workspace.current().layout(name)
    if dry_run:
        return rehearse(layout, as_json)
    if not as_json:
        go_on_unheard()
    if number is None:
        with lock(layout.lock, timeout_s=LOCK_S):
            take_up_again(layout)
    if number is not None:
        done = follow_as_relay(layout, number)
    elif (frozen := frozen_now(layout)).profile.scheduler == "local":
        done = follow_here(layout, frozen, max_parallel)
    else:
        with hold_lease(layout) as guard:
            done = play_and_end(layout, guard)
    if as_json:
        print_json({"experiment": layout.experiment, **done.to_json()})
    else:
        show(layout, done)
    if done.course is Course.GOES_ON:
        return EXIT_DONE
    return EXIT_FAILED if done.course is not Course.ENDED or done.outcomes.get(Outcome.FAILED) else EXIT_DONE


def rehearse(layout: RunLayout, as_json: bool) -> int:
    """Say what a round would do, and do nothing."""
    with lock(layout.lock, timeout_s=LOCK_S):
        present = assess(layout)
    would = {
        "would_retry": [each.run_name for each in present.plan.retry],
        "would_submit": [each.task.run_name for each in never_submitted(present)],
        "would_decline": [each.run_name for each in present.plan.declined],
    }
    if as_json:
        print_json({"experiment": layout.experiment, **would})
        return EXIT_DONE
    for words, names in would.items():
        say(
            f"{words.replace('_', ' ')} {counted(len(names), 'task')}" + (f": {', '.join(names[:10])}" if names else "")
        )
    return EXIT_DONE


def show(layout: RunLayout, done: Round) -> None:
    """Print what a round did, and how it goes on."""
    say(f"{layout.experiment}: {render_counts(done.outcomes)}")
    for words, names in (("started again", done.retried), ("started", done.submitted)):
        if names:
            say(f"{words}: {', '.join(names[:10])}{', …' if len(names) > 10 else ''}")
    for name, reason in done.why.items():
        say(f"left alone: {name}: {reason}")
    if more := len(done.declined) - len(done.why):
        say(f"and {more} more left alone: python -m hpc.collect {layout.experiment}")
    if done.course is Course.GOES_ON:
        say("goes on with " + ", ".join(f"job {each.job} ({each.kind})" for each in done.next))
    elif said := describe_hold(layout):
        say(said)
    elif done.blocked:
        say(f"the rest can never start: {done.blocked}")
        say(f"once that is fixed: python -m hpc.follow {layout.experiment}")
    else:
        say(f"{done.course}; see {layout.report}")


if __name__ == "__main__":
    main()
