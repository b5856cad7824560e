"""The unattended loop as it stands on disk and in Slurm's queue: follow-up jobs, state, ledger, and what to say of it.

    follow.json            how it goes on: its course, its next jobs
    follow.jsonl           what was done, one JSON object a line
    follow/007/            one follow-up job: intent.json, follow.sbatch, receipt.json, like a submission

Slurm's queue decides which follow-up jobs there are: they are found there by their comment, whatever the files say;
by their receipts where a site drops comments.
"""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hpc.adapters import proc, slurm
from hpc.adapters.files import append_json_line, read_json_lines, read_json_or_none, write_json
from hpc.adapters.follow_job import submit_command
from hpc.adapters.lease import read_lease, silent_s
from hpc.core.chain import Course, FollowUp, Kind, plan_successors
from hpc.core.errors import TemporaryError
from hpc.core.executions import JobRow, is_refused_launch
from hpc.core.identity import content_hash
from hpc.core.layout import RunLayout
from hpc.core.lease import Lease, Standing, judge_lease
from hpc.core.resources import MINUTE
from hpc.leasing import Guard, jobs_name, lives, own_job
from hpc.submission import Frozen

SCHEMA = 1
TRIES = 20
"""How often a follow-up job starts again after its process was killed or could not start, or Slurm did not answer."""
REQUEUES = 50
"""How often it goes back into the queue after that many: the morning may find the disk or the file system mended."""
TRY_AGAIN_S = 15
LEDGER_TAIL = 4 << 20
"""Bytes at the end of the ledger in which the last round stands: a line names tasks, the ledger grows for weeks."""
TROUBLES = {"crashed": "failed", "waited": "had to wait", "refused": "could not submit its next job",
            "not heeded": "went on without your function"}  # fmt: skip


# ── state and ledger ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class State:
    """Where the loop stands, ``follow.json``.

    Attributes:
        course: How it goes on.
        backend: ``slurm`` or ``local``.
        started: Unix time since when the experiment is followed.
        round: Rounds so far.
        interval_s: Seconds from the last round to the next look.
        next: Follow-up jobs that wait.
        told: What the last notice was about, so that nobody is told twice.
    """

    course: Course
    backend: str
    started: float
    round: int = 0
    interval_s: float = 0.0
    next: tuple[FollowUp, ...] = ()
    told: str = ""


def read_state(layout: RunLayout) -> State | None:
    """Read ``follow.json``; None when the experiment was never followed."""
    content = read_json_or_none(layout.follow_state)
    if content is None:
        return None
    return State(
        Course(content["course"]),
        content["backend"],
        content["started"],
        content["round"],
        content["interval_s"],
        tuple(FollowUp.from_json(each) for each in content["next"]),
        content["told"],
    )


def write_state(layout: RunLayout, state: State) -> None:
    """Write ``follow.json``."""
    content = {**asdict(state), "next": [each.to_json() for each in state.next]}
    write_json(layout.follow_state, {"schema": SCHEMA, "kind": "follow", "time": time.time(), **content})


def note_down(layout: RunLayout, event: str, **more: Any) -> None:
    """Add a line to the ledger."""
    by = {"host": proc.this_host(), "pid": os.getpid(), "job": own_job()}
    append_json_line(layout.follow_ledger, {"time": time.time(), "event": event, "by": by, **more})


# ── follow-up jobs ───────────────────────────────────────────────────────────────────────────────────────────────


def list_follow_ups(layout: RunLayout) -> list[tuple[FollowUp, JobRow]]:
    """Ask Slurm for the follow-up jobs it has; write the receipts of those whose submitter died.

    Raises:
        TemporaryError: Slurm did not answer.
    """
    found = []
    known: dict[str, int] | None = None
    for row in slurm.query_queue(jobs_name(layout)):
        comment, _, text = row.comment.rpartition("/")
        number = int(text) if comment == _comment(layout) and text.isdecimal() else None
        if number is None and not row.comment.startswith("follow/"):  # a site may drop comments, or write its own
            known = _received(layout) if known is None else known
            number = known.get(row.job)
        if number is None:
            continue
        folder = _folder(layout, number)
        intent = read_json_or_none(folder / "intent.json")
        if intent and not (folder / "receipt.json").exists():
            write_json(folder / "receipt.json", {"job": row.job, "time": time.time(), "adopted": True})
        # There is no intent when the run folder was removed meanwhile.
        wanted = FollowUp.from_json(intent) if intent else FollowUp(Kind.LOOK)
        found.append((replace(wanted, job=row.job, number=number), row))
    return found


def list_waiting(layout: RunLayout) -> list[FollowUp]:
    """List the follow-up jobs in Slurm's queue that will begin by themselves."""
    return [follow_up for follow_up, row in list_follow_ups(layout) if row.state.is_waiting and not _is_refused(row)]


def _is_refused(row: JobRow) -> bool:
    """Whether a node could not launch it: another takes its place. What a person holds waits, as the person wants."""
    return row.state.is_waiting and is_refused_launch(row.reason)


def _received(layout: RunLayout) -> dict[str, int]:
    """Job → number of each follow-up job that has its receipt."""
    paths = [path for path in layout.follow_jobs.glob("[0-9]*/receipt.json") if path.parent.name.isdecimal()]
    return {(read_json_or_none(path) or {}).get("job", ""): int(path.parent.name) for path in paths}


def _comment(layout: RunLayout) -> str:
    """The mark of this run folder's follow-up jobs: another root may hold an experiment of the same name."""
    return f"follow/{content_hash(str(layout.home))[:12]}"


def _folder(layout: RunLayout, number: int) -> Path:
    return layout.follow_jobs / f"{number:03d}"


def submit_follow_up(layout: RunLayout, frozen: Frozen, wanted: FollowUp) -> FollowUp:
    """Submit one follow-up job: intent, sbatch, receipt. The caller holds the experiment's lock.

    Raises:
        TemporaryError: Slurm did not answer; if it took the job, the next round finds it in the queue.
        SlurmError: Slurm refused.
    """
    number = max((int(path.name) for path in layout.follow_jobs.glob("[0-9]*") if path.name.isdecimal()), default=0) + 1
    folder = _folder(layout, number)
    folder.mkdir(parents=True)
    comment = f"{_comment(layout)}/{number:03d}"
    write_json(folder / "intent.json", {**wanted.to_json(), "time": time.time(), "comment": comment})
    options = {**job_options(frozen, wanted), "job_name": jobs_name(layout), "comment": comment}
    command = job_command(layout, number)
    try:
        job = submit_command(layout.follow_jobs, folder / "follow.sbatch", command, options, slurm.submit_script)
    except slurm.SlurmError:
        (folder / "intent.json").unlink()  # refused for certain: nothing to look for
        raise
    write_json(folder / "receipt.json", {"job": job, "time": time.time(), "adopted": False})
    return replace(wanted, job=job, number=number)


def job_options(frozen: Frozen, wanted: FollowUp) -> dict[str, Any]:
    """Give the parameters of `submitit.SlurmExecutor` for a follow-up job."""
    profile = frozen.profile
    follow = profile.follow
    seconds = max(1, round(wanted.begin - time.time()))
    options: dict[str, Any] = {
        "time": -(-follow.time_s // MINUTE),
        "mem": f"{follow.memory_mib}M",
        "cpus_per_task": 1,
        "nodes": 1,
        "stderr_to_stdout": True,
        "use_srun": False,  # a step of srun's may not submit jobs everywhere
        "wckey": None,
        "setup": [*profile.setup, *(f"export {name}={shlex.quote(value)}" for name, value in _variables())],
        # Slurm puts it back into the queue after a preemption or a lost node.
        "additional_parameters": {"requeue": True, "chdir": str(Path.cwd())},
    }
    for name in ("partition", "account", "qos"):
        if value := getattr(follow, name) or getattr(profile, name) or profile.directives.get(name):
            options[name] = value
    if wanted.kind is Kind.END:
        options["dependency"] = "afterany:" + ":".join(sorted(wanted.after, key=int))
    else:
        options["additional_parameters"]["begin"] = f"now+{seconds}"
    return options


def _variables() -> list[tuple[str, str]]:
    return [("PYTHONPATH", python_path()), ("PYTHONDONTWRITEBYTECODE", "1")]


def python_path() -> str:
    """Where the code that runs now lies, before what the user asks for."""
    return os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])


def job_command(layout: RunLayout, number: int) -> str:
    """Shell text of a follow-up job: one round, and again when its process was killed or Slurm never answered.

    To stand down (exit 3) is no failure of the job.
    """
    follow = shlex.join([sys.executable, "-m", "hpc.follow", layout.experiment, "--number", str(number)])
    return f"""export HPC_ROOT={shlex.quote(str(layout.root))}
for try in $(seq {TRIES}); do
  {follow}
  code=$?
  [ $code -ne 3 ] || exit 0
  [ $code -ge 126 ] || [ $code -eq 75 ] || exit $code
  sleep {TRY_AGAIN_S}
done
[ "${{SLURM_RESTART_COUNT:-0}}" -ge {REQUEUES} ] || scontrol requeue "$SLURM_JOB_ID"
exit $code"""


def settle_successors(
    layout: RunLayout,
    frozen: Frozen,
    live: Iterable[str],
    course: Course,
    interval_s: float,
    guard: Guard = lambda: None,
) -> tuple[FollowUp, ...]:
    """Bring the follow-up jobs in Slurm's queue to what is wanted; give those that then wait.

    What is new is submitted before anything old is cancelled, so that at no moment none waits. Under the lock.

    Raises:
        TemporaryError: Slurm did not answer.
        SlurmError: Slurm refused, and no follow-up job waits.
    """
    found = list_follow_ups(layout)
    stuck = [follow_up.job for follow_up, row in found if _is_refused(row)]
    waiting = [follow_up for follow_up, row in found if row.state.is_waiting and not _is_refused(row)]
    plan = plan_successors(waiting, live, course, time.time(), interval_s)
    submitted: list[FollowUp] = []
    refused: slurm.SlurmError | None = None
    for wanted in plan.submit:
        guard()
        try:
            submitted.append(submit_follow_up(layout, frozen, wanted))
        except slurm.SlurmError as error:
            refused = error
            note_down(layout, "refused", what=wanted.kind, why=str(error))
    if refused:  # a site's limit, or jobs to wait for that are over: what waits already is better than nothing
        left = (*plan.keep, *submitted, *plan.cancel)
        if not left:
            raise refused
        return left
    if plan.cancel or stuck:
        guard()
        slurm.cancel_waiting([*(each.job for each in plan.cancel), *stuck])
    return (*plan.keep, *submitted)


def leave_one_behind(layout: RunLayout, frozen: Frozen, number: int | None = None) -> None:
    """Make sure that a follow-up job waits before anything is done: should that die, the job goes on. Under the lock.

    Before the tasks, because these may use up what the site lets a user submit.

    Args:
        number: The follow-up job we are.

    Raises:
        TemporaryError: Slurm did not answer.
        SlurmError: Slurm refused.
    """
    if not any(each.number != number for each in list_waiting(layout)):
        begin_at = time.time() + frozen.profile.follow.every_s
        submit_follow_up(layout, frozen, FollowUp(Kind.LOOK, begin=begin_at))


# ── beginning ────────────────────────────────────────────────────────────────────────────────────────────────────


def begin(layout: RunLayout, frozen: Frozen, live: Iterable[str]) -> tuple[FollowUp, ...]:
    """Follow an experiment from now on: its first follow-up jobs, or those it has. Under the experiment's lock.

    Raises:
        TemporaryError: Slurm did not answer; the same call may be repeated.
        SlurmError: Slurm refused.
    """
    live = frozenset(live)
    before = read_state(layout)
    interval_s = frozen.profile.follow.every_s if live else 0.0
    state = State(Course.GOES_ON, "slurm", time.time(), before.round if before else 0, interval_s)
    write_state(layout, state)
    waiting = settle_successors(layout, frozen, live, Course.GOES_ON, interval_s)
    write_state(layout, replace(state, next=waiting))
    note_down(layout, "begun", next=[each.to_json() for each in waiting])
    return waiting


def begin_here(layout: RunLayout, max_parallel: int) -> None:
    """Follow an experiment on this machine in a process that outlives this one and its terminal."""
    write_state(layout, State(Course.GOES_ON, "local", time.time()))
    note_down(layout, "begun")
    layout.follow_jobs.mkdir(parents=True, exist_ok=True)
    with (layout.follow_jobs / "local.log").open("ab") as file:
        follower = subprocess.Popen(
            [sys.executable, "-m", "hpc.follow", layout.experiment, "--max-parallel", str(max_parallel)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            env={**os.environ, "HPC_ROOT": str(layout.root), "PYTHONPATH": python_path()},
        )
    follower.returncode = 0  # it is meant to outlive this object, which would warn that it still runs


# ── what to say of it ────────────────────────────────────────────────────────────────────────────────────────────


def describe(layout: RunLayout) -> list[str]:
    """Say what the unattended loop did and will do, a line each; nothing for an experiment that was never followed."""
    state = read_state(layout)
    if state is None:
        return []
    ledger = read_json_lines(layout.follow_ledger, LEDGER_TAIL)
    rounds = [place for place, line in enumerate(ledger) if line["event"] == "round"]
    lines = [_describe_round(ledger[rounds[-1]])] if rounds else []
    troubles = [line for line in ledger[rounds[-1] + 1 if rounds else 0 :] if line["event"] in TROUBLES]
    return [*lines, *_describe_troubles(troubles), _describe_course(layout, state)]


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
    counts = {"retried": line["retried"], "submitted": line["submitted"], "declined": line["declined"]}
    done = [f"{len(names)} {what}" for what, names in counts.items() if names]
    later = [f"{line['later']} left for later by the site's limits"] if line["later"] else []
    return f"followed: round {line['round']} at {_clock(line['time'])} by {who} on {by['host']}: " + (
        ", ".join([*done, *later]) or "nothing to start"
    )


def _describe_course(layout: RunLayout, state: State) -> str:
    revive = f"python -m hpc.follow {layout.experiment}"
    if state.course is not Course.GOES_ON:
        words = {
            Course.ENDED: "followed to the end: nothing runs, waits or can be tried again",
            Course.HELD: f"not followed while it is held; to go on: python -m hpc.submit {layout.experiment} "
            "--release --follow"
            if layout.hold.exists()
            else f"not followed since it was held, and released; to go on: {revive}",
            Course.GAVE_UP: f"not followed any more: follow.max_days are over; to go on: {revive}",
        }
        return words[state.course]
    lease = read_lease(layout.follow_lease)
    if lease and _seems_alive(layout, lease):
        return f"followed at this moment by {lease}"
    if state.backend == "local":
        return f"no process follows it any more; to go on: {revive}"
    try:
        found = list_follow_ups(layout)
    except TemporaryError as error:
        return f"whether it is still followed is not known: {error}"
    if any(row.state.is_running for _, row in found):
        return "followed at this moment by job " + ", ".join(each.job for each, row in found if row.state.is_running)
    waiting = [each for each, row in found if row.state.is_waiting and not _is_refused(row)]
    if not waiting:
        logs = f"what the last ones said: {layout.follow_jobs}/*_log.out"
        return f"no follow-up job waits any more, so nobody follows it ({logs}); to go on: {revive}"
    held = [row.job for _, row in found if row.state.is_waiting and row.reason.startswith("JobHeld")]
    if len(held) == len(waiting):
        return f"not followed: somebody holds its follow-up jobs; to go on: scontrol release {' '.join(held)}"
    return "followed next " + " or ".join(_describe_next(each) for each in _by_time(waiting))


def _seems_alive(layout: RunLayout, lease: Lease) -> bool:
    """Whether a holder may be there; who may not write here, or finds the disk full, takes its word for it."""
    try:
        silent = silent_s(layout.follow_lease, lease)
    except OSError:
        silent = 0.0
    return judge_lease(lease, silent, lives=lives(layout, lease)) in (Standing.ALIVE, Standing.UNSURE)


def _by_time(waiting: Sequence[FollowUp]) -> list[FollowUp]:
    return sorted(waiting, key=lambda each: (each.kind is Kind.END, each.begin))


def _describe_next(each: FollowUp) -> str:
    if each.kind is Kind.END:
        return f"when what runs is over (job {each.job})"
    return f"at {_clock(each.begin)} (job {each.job})"


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
