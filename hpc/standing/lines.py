"""Where an experiment stands, in lines: for scripts and logs, and for a person at a terminal."""

from hpc.adapters.collected_file import describe_aside
from hpc.core.failures.outcomes import Outcome, render_counts
from hpc.core.picture import OUTCOME_STYLES, Line, bar, sparkline
from hpc.core.slurm.executions import is_job
from hpc.core.words import amount, counted, rounded
from hpc.snapshots.running import RunningTask
from hpc.snapshots.states import Snapshot, name_unreadable
from hpc.standing.numbers import Standing, Waiting

SHOWN = 8
"""Running tasks that are listed; those with warnings go first."""


def render(snapshot: Snapshot, standing: Standing) -> list[str]:
    """One line of counts, and what is worth knowing besides."""
    lines = [f"{snapshot.layout.experiment}: {render_counts(standing.outcomes)}"]
    lines += _first_lines(snapshot, standing)
    lines += _running_lines(standing, snapshot.taken)
    if standing.eta_s is not None:
        lines.append(f"{_left(standing.eta_s)} left at this pace")
    if standing.gpu_hours:
        lines.append(f"{amount(standing.gpu_hours, 'GPU hours')} used")
    return [*lines, *_last_lines(snapshot, standing)]


def _left(eta_s: float) -> str:
    return f"about {counted(max(1, round(eta_s / 60)), 'minute')}"


def _first_lines(snapshot: Snapshot, standing: Standing) -> list[str]:
    """What holds it, and what came of it so far."""
    name = snapshot.layout.experiment
    lines = [standing.held] if standing.held else []
    if standing.held_runs:
        first, why = next(iter(standing.held_runs.items()))
        others = f" and {len(standing.held_runs) - 1} more" if len(standing.held_runs) > 1 else ""
        lines.append(f"{first}{others} {why}. To go on: python -m hpc.release {name}")
    lines += [standing.best] if standing.best else []
    return lines + ([standing.checked] if standing.checked else [])


def _last_lines(snapshot: Snapshot, standing: Standing) -> list[str]:
    """What is odd, why tasks wait, what the unattended loop did and will do, what to type next."""
    lines, name = [standing.forecast] if standing.forecast else [], snapshot.layout.experiment
    if standing.retried:
        lines.append(f"{counted(standing.retried, 'task')} needed more than one attempt")
    if standing.kept:
        lines.append(
            f"{counted(len(standing.kept), 'of the finished is', 'of the finished are')} kept as collected: the "
            "folders are gone"
        )
    if standing.by_exit_code:
        alone = counted(standing.by_exit_code, "of the finished is", "of the finished are")
        lines.append(f"{alone} by exit code alone; a collection tells")
    lines += [f"warning: {line}" for line in (*standing.other_code, *standing.outdated)]
    lines += [_waiting_line(each) for each in standing.waiting]
    lines += filter(None, [describe_aside(snapshot.layout)])
    lines += name_unreadable(snapshot)
    if standing.abandoned:
        lines.append(
            f"{counted(standing.abandoned, 'waits', 'wait')} in this machine's queue and nothing processes it (its "
            "runner was killed, or the machine restarted)"
        )
    lines += [standing.waits_for] if standing.waits_for else []
    lines += [f"the canary failed before training: {standing.broken}"] if standing.broken else []
    lines += standing.probed
    # What is held says itself how it goes on.
    lines += standing.followed[:-1] if standing.held else standing.followed
    return [*lines, *next_step(name, standing)]


def next_step(name: str, standing: Standing) -> list[str]:
    """The one thing to type next; nothing where that has been said, or waiting is all."""
    counts = standing.outcomes
    failed, planned = counts[Outcome.FAILED], counts[Outcome.PLANNED]
    if standing.adopted:
        return [f"next: python -m hpc.{'report' if standing.collected else 'collect'} {name}"]
    if standing.held or any("python -m hpc." in line for line in standing.followed[-1:]):
        return []
    if standing.abandoned and not standing.is_followed:
        return [f"to continue them: python -m hpc.submit {name}"]
    if standing.broken and not standing.is_followed:
        return [f"once fixed: python -m hpc.plan {name} && python -m hpc.submit {name} --canary"]
    if failed and (not standing.collected or standing.is_followed):
        return [f"next, why {'it' if failed == 1 else 'they'} failed: python -m hpc.collect {name}"]
    if planned and not standing.is_followed:
        return [f"not submitted yet: python -m hpc.submit {name}{' --follow' if standing.waits_for else ''}"]
    if failed:
        return [f"next, why {'it' if failed == 1 else 'they'} failed: python -m hpc.collect {name}"]
    if counts[Outcome.FINISHED] and standing.is_over and standing.collected and standing.report:
        return [f"report: {standing.report}"]
    if counts[Outcome.FINISHED] and standing.is_over:
        return [f"next: python -m hpc.{'report' if standing.collected else 'collect'} {name}"]
    return []


def _waiting_line(each: Waiting) -> str:
    word = {"held": "held", "never": "will never start"}.get(each.kind, "waiting")
    reason = "" if each.reason in ("", "None") else f" ({each.reason})"  # None is Slurm's word for none
    shown = [*each.jobs[:SHOWN], *(["…"] if len(each.jobs) > SHOWN else [])] if word == "waiting" else each.jobs
    which = f" {' '.join(shown)}" if shown else ""
    return f"{each.count} {word}{which}: {each.meaning}{reason}" + (f"; {each.advice}" if each.advice else "")


def _running_lines(standing: Standing, now: float) -> list[str]:
    """The running tasks with their latest numbers, those with warnings first."""
    if not standing.running:
        return []
    ordered = sorted(standing.at_work, key=lambda task: not task.warnings)
    width = max((len(task.run_name) for task in ordered[:SHOWN]), default=0)
    lines = [f"{len(standing.running)} running:"]
    for task in ordered[:SHOWN]:
        job = f"  job {task.job}" if is_job(task.job) else ""
        lines.append(f"  {task.run_name:<{width}}{job}  {_latest(task, now)}".rstrip())
        lines += [f"    warning: {each.text}; {each.advice}" for each in task.warnings]
    if len(standing.running) > SHOWN:
        lines.append(f"  and {len(standing.running) - SHOWN} more")
    return lines


def _latest(task: RunningTask, now: float) -> str:
    if task.step is None:
        return f"sanity: {task.rung}" if task.rung else "no metrics yet"
    value = f"  {task.metric} {task.value:.6g}" if task.value is not None else ""
    age = f"  {_ago(now - task.logged)}" if task.logged is not None else ""
    return f"step {task.step}{value}{age}"


# ── on a terminal ────────────────────────────────────────────────────────────────────────────────────────────────


def draw(snapshot: Snapshot, standing: Standing, width: int) -> list[Line]:
    """The same for a person at a terminal: a bar, the pace, a small curve for each task that runs, colours.

    Args:
        width: Characters of a line.
    """
    counts = {name: number for name, number in standing.outcomes.items() if number}
    total = counted(sum(counts.values()), "task")
    lines: list[Line] = [[(snapshot.layout.experiment, "bold"), (f"  {total}", "")]]
    if counts:
        lines.append(bar(counts, width))
        words = [(f"{number} {name}", OUTCOME_STYLES[name]) for name, number in counts.items()]
        lines.append([piece for word in words for piece in (word, ("  ", ""))][:-1])
    lines += [[("  ".join(pace), "")]] if (pace := _pace(standing)) else []
    lines += [_coloured(line) for line in _first_lines(snapshot, standing)]
    curves = {each.run_name: sparkline(each.curve) for each in standing.at_work}
    for line in _running_lines(standing, snapshot.taken):
        run = line.split()[0] if line.startswith("  ") else ""
        lines.append([*_coloured(line), *([(f"  {curves[run]}", "blue")] if curves.get(run) else [])])
    return lines + [_coloured(line) for line in _last_lines(snapshot, standing)]


def _pace(standing: Standing) -> list[str]:
    """Time left, runs an hour, hours used."""
    told = [f"{_left(standing.eta_s)} left"] if standing.eta_s is not None else []
    told += [f"{rounded(standing.runs_per_hour)} per hour"] if standing.runs_per_hour else []
    if standing.gpu_hours:
        return [*told, amount(standing.gpu_hours, "GPU hours")]
    return told + ([amount(standing.core_hours, "core hours")] if standing.core_hours else [])


def _coloured(line: str) -> Line:
    """A line in the colour of what it says: trouble red or yellow, what to type bold."""
    if line.strip().startswith("warning:"):
        return [(line, "yellow")]
    if line.startswith(("cannot be read", "the canary failed")) or " is held: " in line or "will never start" in line:
        return [(line, "red")]
    head, found, command = line.partition("python -m hpc.")
    return [(head, ""), (found + command, "bold")] if found else [(line, "")]


def _ago(seconds: float) -> str:
    """How long ago, in the largest whole unit."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"
