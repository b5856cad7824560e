"""What to say of the unattended loop: what it did, what it will do, and how to go on where it does not."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from hpc.adapters.lease import read_lease, silent_s
from hpc.adapters.ledger import read_json_lines
from hpc.core.errors import TemporaryError
from hpc.core.layout import RunLayout
from hpc.core.slurm.lease import Lease, Standing, judge_lease
from hpc.core.slurm.pending import is_held
from hpc.core.slurm.successors import Course, Kind, Relay
from hpc.unattended.jobs import is_refused, list_relays
from hpc.unattended.lease import lives
from hpc.unattended.state import State, read_state

LEDGER_TAIL = 4 << 20
"""Bytes at the end of the ledger in which the last round stands: a line names tasks, the ledger grows for weeks."""
STARTS_S = 10.0
"""A process that was just started needs so long to say that it is there."""
TROUBLES = {"crashed": "failed", "waited": "had to wait", "refused": "could not submit its next job",
            "not heeded": "continued without your function"}  # fmt: skip


def describe(layout: RunLayout) -> list[str]:
    """Say what the unattended loop did and will do, a line each; nothing for an experiment that was never followed."""
    state = read_state(layout)
    if state is None:
        return []
    ledger = read_json_lines(layout.follow_ledger, LEDGER_TAIL)
    rounds = [place for place, line in enumerate(ledger) if line["event"] == "round"]
    lines = [_describe_round(ledger[rounds[-1]])] if rounds else []
    troubles = [line for line in ledger[rounds[-1] + 1 if rounds else 0 :] if line["event"] in TROUBLES]
    return [*lines, *_describe_troubles(troubles), *_describe_shadow(layout), _describe_course(layout, state)]


def _describe_shadow(layout: RunLayout) -> list[str]:
    if not layout.follow_shadow.exists():
        return []
    from hpc.unattended.shadow import describe_shadow  # here: hardly any experiment is followed so

    return describe_shadow(layout)


def _describe_troubles(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say that looks came to nothing since the last round, and over what: at night nobody reads their logs."""
    if not lines:
        return []
    last = lines[-1]
    times = f"{len(lines)} times" if len(lines) > 1 else "once"
    return [f"following {TROUBLES[last['event']]} ({times} since, last at {_clock(last['time'])}): {last['why']}"]


def _describe_round(line: Mapping[str, Any]) -> str:
    by = line["by"]
    who = f"job {by['job']}" if by["job"] else f"process {by['pid']}"
    counts = {"retried": line["retried"], "submitted": line["submitted"], "left alone": line["declined"]}
    done = [f"{len(names)} {what}" for what, names in counts.items() if names]
    if why := line.get("why"):  # lines of earlier versions have none
        name, reason = next(iter(why.items()))
        done[-1] += f" ({name}: {reason})" if len(why) == 1 else f" ({name}: {reason}; …)"
    later = [f"{line['later']} left for later"] if line["later"] else []
    return f"followed: round {line['round']} at {_clock(line['time'])} by {who} on {by['host']}: " + (
        ", ".join([*done, *later]) or "nothing to start"
    )


def _describe_course(layout: RunLayout, state: State) -> str:
    if state.course is not Course.GOES_ON:
        return _describe_end(layout, state.course, state.blocked)
    lease = read_lease(layout.follow_lease)
    if lease and _seems_alive(layout, lease):
        return f"followed now by {lease}"
    if lease is None and state.backend == "local" and not state.round and 0 <= time.time() - state.started < STARTS_S:
        return "followed from now on: its process is starting"
    return _describe_nobody(layout, "no process") if state.backend == "local" else _describe_queue(layout)


def _describe_end(layout: RunLayout, course: Course, blocked: str = "") -> str:
    """Say why it is no longer followed, and how to go on."""
    if course is Course.ENDED:
        return "followed to the end: nothing runs, waits or can be retried"
    revive = f"to go on: python -m hpc.follow {layout.experiment}"
    if course is Course.CANCELLED:
        return f"no longer followed: somebody cancelled it; {revive}"
    if course is Course.GAVE_UP and blocked:
        return f"no longer followed: the rest can never start ({blocked}); once that is fixed, {revive}"
    if course is Course.GAVE_UP:
        return f"no longer followed: follow.max_days are over; {revive}"
    if layout.hold.exists():
        return f"not followed while it is held; to go on: python -m hpc.submit {layout.experiment} --release --follow"
    return f"not followed since it was held, and released; {revive}"


def _describe_nobody(layout: RunLayout, nobody: str) -> str:
    """Say that nobody follows it although it was to go on; a full disk may have taken no note of a hold."""
    if layout.hold.exists():
        return _describe_end(layout, Course.HELD)
    return f"{nobody} follows it any more; to go on: python -m hpc.follow {layout.experiment}"


def _describe_queue(layout: RunLayout) -> str:
    """Say which relays run or wait."""
    try:
        found = list_relays(layout)
    except TemporaryError as error:
        return f"whether it is still followed is not known: {error}"
    if running := [each.job for each, row in found if row.state.is_running]:
        return f"followed now by job {', '.join(running)}"
    waiting = [each for each, row in found if row.state.is_waiting and not is_refused(row)]
    if not waiting:
        logs = f"{layout.follow_jobs}/*_log.out"
        return _describe_nobody(layout, f"no relay is waiting (logs of the last ones: {logs}): nobody")
    held = [row.job for _, row in found if is_held(row.state, row.reason) and not is_refused(row)]
    if len(held) == len(waiting):
        return f"not followed: somebody holds its relays; to go on: scontrol release {' '.join(held)}"
    return "followed next " + " or ".join(_describe_next(each) for each in _by_time(waiting))


def _seems_alive(layout: RunLayout, lease: Lease) -> bool:
    """Whether a holder may be there; who may not write here, or finds the disk full, takes its word for it."""
    try:
        silent = silent_s(layout.follow_lease, lease)
    except OSError:
        silent = 0.0
    return judge_lease(lease, silent, lives=lives(layout, lease)) in (Standing.ALIVE, Standing.UNSURE)


def _by_time(waiting: Sequence[Relay]) -> list[Relay]:
    return sorted(waiting, key=lambda each: (each.kind is Kind.END, each.begin))


def _describe_next(each: Relay) -> str:
    if each.kind is Kind.END:
        return f"when what runs is over (job {each.job})"
    return f"at {_clock(each.begin)} (job {each.job})"


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
