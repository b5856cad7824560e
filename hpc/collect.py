"""Collect an experiment: say what became of every run and why, and with --retry-failed start again what can be healed.

    python -m hpc.collect lora_sweep --retry-failed

Safe to repeat and to run twice at once. A bug is never tried again blindly; every failed run that is left alone has its
reason.

`judge`, `decide` and `collected` of `hpc.rounds` (numpy, h5py, the rule tables) are imported where something is
collected, so that --help does not wait.
"""

from __future__ import annotations

import gc
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if __name__ == "__main__":  # as in hpc.status: what is read is needed until the end, or goes without being looked for
    gc.set_threshold(200_000, 50, 1000)

from hpc import completing
from hpc.adapters.collected_file import read_entries
from hpc.adapters.locks import lock
from hpc.adapters.manifest_store import load_manifest
from hpc.console import dry_run_option, json_option, name_argument, note, print_json, print_table, say, speaks_plainly
from hpc.core.errors import EXIT_DONE, EXIT_FAILED, EXIT_TEMPORARY, InputError, TemporaryError
from hpc.core.failures.outcomes import Outcome, count_outcomes, render_counts
from hpc.core.immutable import immutable
from hpc.core.layout import RunLayout
from hpc.core.slurm.executions import is_job
from hpc.core.words import counted
from hpc.rounds.act import act_on, assess, not_submitted
from hpc.rounds.checked import answers_judged, count_answers, describe_checks
from hpc.rounds.values_now import best_judged
from hpc.snapshots.states import name_unreadable
from hpc.submissions.holds import describe_hold, held
from hpc.submissions.portions import Fed, resume
from hpc.submissions.prepare import half_submitted
from hpc.workspace import Workspace

if TYPE_CHECKING:
    from hpc.core.failures.breaker import Trip
    from hpc.core.failures.siblings import Siblings
    from hpc.core.question.best import Best
    from hpc.core.retry.records import RetryPlan
    from hpc.core.slurm.arrays import Assignment
    from hpc.rounds.act import Assessment
    from hpc.rounds.judge import JudgedTask
    from hpc.rounds.on_request import Asked


@click.command(epilog="Example: python -m hpc.collect lora_sweep --retry-failed --dry-run")
@name_argument
@click.option(
    "--retry-failed", is_flag=True, help="Retry the failed tasks whose cause allows it, adjusted to that cause."
)
@click.option(
    "--again",
    metavar="CLASS|RUN",
    multiple=True,
    shell_complete=completing.retried,
    help="With --retry-failed: retry failed runs of this class, or this run, finished or not. "
    "other_code: finished runs made with other code than planned; outdated: those made from runs that were repeated "
    "later. May be repeated.",
)
@click.option("--replan", "replans", is_flag=True, help="With --again: plan again first, from the current files.")
@click.option("--include-running", is_flag=True, help="Also read the metrics of runs that have not ended.")
@click.option(
    "--forget-gone",
    is_flag=True,
    help="Forget the kept results of runs whose folders are gone, so that they can run again.",
)
@click.option(
    "--compact", is_flag=True, help="Pack the small files of finished runs, one archive (packed.zip) per attempt."
)
@click.option("--max-parallel", type=click.IntRange(min=1), help="On this machine: number of tasks that run at once.")
@dry_run_option
@json_option
@speaks_plainly
def main(
    name: str | None,
    retry_failed: bool,
    again: tuple[str, ...],
    replans: bool,
    include_running: bool,
    forget_gone: bool,
    compact: bool,
    max_parallel: int | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Collect, classify and record every run of experiment NAME (default: the one planned last)."""
    if again and not retry_failed:
        raise click.UsageError("--again needs --retry-failed (with --dry-run it only shows what it would do)")
    if replans and not again:
        raise click.UsageError("--replan needs --again CLASS or --again RUN")
    workspace, acts = Workspace.current(), retry_failed and not dry_run
    layout = workspace.layout(name, acts=acts or forget_gone)
    if said := workspace.other_project(layout):  # it may be collected from anywhere, but not taken for this one
        note(f"warning: {said}")
    writes = workspace.may_write(layout)
    forgotten = [each["run_name"] for each in read_entries(layout).values() if each.get("kept")] if forget_gone else []
    with lock(layout.lock, timeout_s=600) if acts else nullcontext():
        # First what somebody began and died over: later it would look like a lost job, and be retried besides.
        resumed = resume(layout, half_submitted(layout)) if acts and not held(layout) else {}
        asked = _prepare(workspace, layout, again, replans=replans, dry_run=dry_run) if again else None
        present = assess(
            layout,
            include_running=include_running,
            again=asked.what if asked else (),
            forget_gone=forget_gone and not dry_run,
            writes=writes,
        )
        notes = _consent(layout, present, asked, acts=acts) if asked else []
        fed = act_on(present, also=_replaced(present, asked)) if acts else Fed()
    cleaned = _clean_up(layout, present, compact=compact) if writes and not dry_run else ()
    done = Collection(layout, present, resumed | dict(fed.jobs), fed, (*notes, *present.notes, *cleaned))
    if acts:
        _send_notices(done)
    if as_json:
        print_json(_as_json(done, acts=acts))
    else:
        show(done, asked=retry_failed, dry_run=dry_run, command=_command(layout, again))
        _say_rest(done, writes=writes, forgotten=forgotten, dry_run=dry_run)
    return _finish(done, max_parallel, note if as_json else say)


@immutable
class Collection:
    """What was collected, and what was done about it.

    Attributes:
        jobs: Submission number → job id of all that was submitted, what somebody had begun before included.
        fed: What became of the tasks that were to be started again.
        notes: What a person should know, one sentence each.
    """

    layout: RunLayout
    present: Assessment
    jobs: Mapping[int, str]
    fed: Fed
    notes: tuple[str, ...]

    @property
    def tasks(self) -> Sequence[JudgedTask]:
        """Every task with its verdict."""
        return self.present.judged.tasks


def _clean_up(layout: RunLayout, present: Assessment, *, compact: bool) -> list[str]:
    """Remove checkpoints and pack small files of what is recorded now, where that is asked for; say what was done.

    Args:
        compact: Pack, whatever the experiment says.
    """
    from hpc.housekeeping import compacting, freeing

    manifest = present.judged.snapshot.manifest
    cleans, packs = freeing.is_asked_for(manifest), compact or compacting.is_asked_for(manifest)
    if not cleans and not packs:
        return []
    try:
        with lock(layout.lock):
            cleaned = freeing.say_freed(freeing.clean_recorded(layout)) if cleans else []
            return cleaned + (compacting.say_compacted(compacting.compact_recorded(layout)) if packs else [])
    except TemporaryError as error:
        return [f"nothing was cleaned up: {error}"]


def _send_notices(done: Collection) -> None:
    """Send word where the experiment is held; say what could not be sent."""
    from hpc.unattended.notices import tell_held

    for told in tell_held(done.present.judged.frozen.spec, done.layout):
        note(told)


def _as_json(done: Collection, *, acts: bool) -> dict[str, object]:
    """All of it as one JSON value."""
    judged, trip = done.present.judged, done.present.trip
    best, answers = best_judged(judged), answers_judged(judged)
    return {
        **describe_collection(done),
        "values": asdict(best) if best else None,
        **({"checks": count_answers(answers)} if answers else {}),
        "forecast": _forecast(done),
        "would_hold": trip.reason if trip and not acts else None,
        "notes": list(done.notes),
    }


def _say_rest(done: Collection, *, writes: bool, forgotten: Sequence[str], dry_run: bool) -> None:
    """Say after the table where it was written, what to know besides, and how the values stand."""
    layout, judged = done.layout, done.present.judged
    say(
        f"written: {layout.collected}"
        if writes
        else f"{layout.experiment} belongs to somebody else: nothing was written"
    )
    for line in name_unreadable(judged.snapshot):
        say(line)
    for each in done.notes:
        say(f"note: {each}")
    if forgotten:
        say(f"{'would be forgotten' if dry_run else 'forgotten'}: {', '.join(forgotten)}")
    say_hold(layout, done.present.trip)
    checked = describe_checks(judged.frozen.spec.check, answers_judged(judged))
    left = _left_unsubmitted(done)
    say_values(
        layout, best_judged(judged), checked, _forecast(done),
        goes_on=bool(done.jobs), is_whole=not _failed(done) and not left,
    )  # fmt: skip
    if done.jobs and judged.frozen.profile.scheduler != "local":  # this machine's are waited for
        say(f"next: python -m hpc.status {layout.experiment}")
    elif left:
        told = f"{counted(left, 'task is', 'tasks are')} not submitted yet; " if left < len(done.tasks) else ""
        say(f"{told}next: python -m hpc.submit {layout.experiment}")


def _left_unsubmitted(done: Collection) -> int:
    """Tasks that nobody submits unless somebody types it, such as those that a new plan has added."""
    counts = Counter(task.outcome for task in done.tasks)
    is_going_on = bool(done.jobs or done.fed.waiting or counts[Outcome.PENDING] or counts[Outcome.RUNNING])
    return 0 if is_going_on else counts[Outcome.PLANNED]


def _forecast(done: Collection) -> str:
    """Forecast and actual use, once nothing is left."""
    from hpc.rounds.forecast_now import say_forecast_now

    return "" if done.jobs else say_forecast_now(done.present.judged.snapshot, [task.outcome for task in done.tasks])


def _finish(done: Collection, max_parallel: int | None, tell: Callable[[str], None]) -> int:
    """Work off on this machine what was submitted here; return the exit code."""
    if done.fed.waiting and not done.jobs:
        return EXIT_TEMPORARY
    profile = done.present.judged.frozen.profile
    if done.jobs and profile.scheduler == "local":
        return run_here(done.layout, max_parallel or profile.max_parallel, tell)
    return EXIT_FAILED if any(task.outcome is Outcome.FAILED for task in done.tasks) else EXIT_DONE


def say_values(
    layout: RunLayout, best: Best | None, checked: str, forecast: str, *, goes_on: bool, is_whole: bool
) -> None:
    """Say what the declared check came to, the best configuration, forecast against actual, and what to type next.

    Args:
        goes_on: Retries were submitted just now: a report would be out of date before it is read.
        is_whole: No run has failed: a report is what comes next, and not one way of two.
    """
    for line in filter(None, (checked, str(best or ""), forecast)):
        say(line)
    if best and not goes_on:
        say(f"{'next' if is_whole else 'or report what there is'}: python -m hpc.report {layout.experiment}")


def say_hold(layout: RunLayout, trip: Trip | None) -> None:
    """Say that an experiment is held, or would be."""
    if said := describe_hold(layout):
        say(said)
    elif trip:
        say(f"would be held: {trip.reason}. To hold it: python -m hpc.collect {layout.experiment} --retry-failed")


def _command(layout: RunLayout, again: Sequence[str]) -> str:
    """The command line that starts again what can be, and what is named."""
    words = [word for name in again for word in ("--again", name)]
    return shlex.join(["python", "-m", "hpc.collect", layout.experiment, "--retry-failed", *words])


def _prepare(workspace: Workspace, layout: RunLayout, names: tuple[str, ...], *, replans: bool, dry_run: bool) -> Asked:
    """Read what ``--again`` names, and plan again where ``--replan`` asks for it."""
    from hpc.rounds.on_request import prepare

    return prepare(workspace, load_manifest(layout), names, replans=replans, dry_run=dry_run)


def _consent(layout: RunLayout, present: Assessment, asked: Asked, *, acts: bool) -> list[str]:
    """Refuse what cannot be started again, write down the rest; return what there is to say about it.

    Raises:
        InputError: A named run lives, never ran or is gone; or the plan is older than what mends it.
    """
    from hpc.rounds.on_request import problems_of, record_consent, refuse_old_plan, say_consent

    if problems := list(problems_of(asked, present.judged)):
        raise InputError(problems)
    refuse_old_plan(asked, present.judged, _command(layout, sorted(asked.what)))
    if acts:
        record_consent(layout, asked, present.judged)
    return say_consent(asked, present.judged)


def _replaced(present: Assessment, asked: Asked | None) -> list[Assignment]:
    """The tasks that took the place of others when it was planned again: they were asked for, and never ran."""
    if asked is None or not asked.making_way:
        return []
    new = not_submitted(present.judged.snapshot, present.judged.frozen.spec)
    return [each for each in new if each.task.run_name in asked.making_way]


def run_here(layout: RunLayout, max_parallel: int, tell: Callable[[str], None]) -> int:
    """Let this machine's queue work off the retries, and wait for them."""
    from hpc.local.following import follow
    from hpc.local.queue import default_parallel, start_detached

    return follow(layout, start_detached(layout, max_parallel or default_parallel()), tell)


def describe_collection(done: Collection) -> dict[str, object]:
    """What became of the tasks, and what is done about it, for JSON."""
    from hpc.rounds.collected import plan_json

    return {
        "experiment": done.layout.experiment,
        "tasks": len(done.tasks),
        "outcomes": count_outcomes(task.outcome.value for task in done.tasks),
        "kept": [task.state.task.run_name for task in done.tasks if task.kept_result],
        "failures": dict(Counter(task.failure_class.value for task in done.tasks if task.failure_class)),
        **plan_json(done.present.plan),
        "jobs": {str(number): job for number, job in done.jobs.items()},
        "waiting": len(done.fed.waiting),
        "limit": done.fed.why,
        "held": describe_hold(done.layout) or None,
        "verdicts": str(done.layout.verdicts),
    }


def show(done: Collection, *, asked: bool, dry_run: bool, command: str) -> None:
    """Print counts, every failed run with its cause and line, and what was or would be done.

    Args:
        command: The line that starts again what can be.
    """
    plan, fed = done.present.plan, done.fed
    counts = count_outcomes(task.outcome.value for task in done.tasks)
    say(f"{done.layout.experiment}: {render_counts(counts)}")
    failed = _failed(done)
    if failed:
        rows = _rows(failed, plan, done.present.siblings)
        print_table("why they failed", ("run", "attempt", "class", "evidence", "what happens"), rows)
    if fed.jobs:
        submitted = ", ".join(f"{number:03d} (job {job})" for number, job in fed.jobs.items())
        say(f"submitted {counted(fed.submitted, 'retry', 'retries')}: submission {submitted}")
    elif plan.retry:
        verb = "would be started again" if dry_run else "can be started again"
        say(f"{len(plan.retry)} {verb}: {command}")
    elif asked and not failed:
        say("nothing failed")
    if failed and not fed.jobs:
        say(f"more about it: python -m hpc.why {shlex.quote(failed[0].state.task.run_name)}")
    for line in _ways_on(plan):
        say(line)
    for problem in plan.hook_problems:
        say(f"ignored: {problem}")
    if fed.waiting:
        say(str(fed))


def _failed(done: Collection) -> list[JudgedTask]:
    return [task for task in done.tasks if task.outcome is Outcome.FAILED]


def _ways_on(plan: RetryPlan) -> Iterator[str]:
    """A line for each command that starts again what is left alone now; in a table it would be folded."""
    counts = Counter((each.category, each.command) for each in plan.declined if each.command)
    for (category, command), count in counts.items():
        yield f"once fixed ({count} of {category}): {command}"


def _rows(failed: Sequence[JudgedTask], plan: RetryPlan, siblings: Siblings) -> list[tuple[object, ...]]:
    """One row for all runs with one cause and of which the same becomes: nine of ten failures are one failure."""
    from hpc.rounds.siblings_now import causes_of

    happens = {each.task_id: f"again: {each.reason}" for each in plan.retry}
    happens |= {each.task_id: f"not retried: {each.reason}; {each.next_step}" for each in plan.declined}
    alike: dict[tuple[object, ...], list[JudgedTask]] = {}
    for task, cause in zip(failed, causes_of(failed, siblings), strict=True):
        alike.setdefault((len(task.attempts), cause, happens[task.state.task.task_id]), []).append(task)
    rows: list[tuple[object, ...]] = []
    for (attempts, _, then), tasks in alike.items():
        first = tasks[0]
        verdict = first.attempts[-1].verdict
        line = verdict.evidence[0] if verdict and verdict.evidence else None
        where = f"{line.source}{f':{line.line}' if line.line else ''}: {line.text[:160]}" if line else ""
        job = f" (job {first.attempts[-1].state.job})" if is_job(first.attempts[-1].state.job) else ""
        run = first.state.task.run_name + (f" and {len(tasks) - 1} more" if len(tasks) > 1 else "") + job
        rows.append((run, attempts, first.failure_class, where, then))
    return rows


if __name__ == "__main__":
    main()
