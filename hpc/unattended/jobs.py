"""The relays of an experiment: found in Slurm's queue, submitted, cancelled; and how the first ones come there.

    follow/007/            one relay: intent.json, follow.sbatch, receipt.json, like a submission

Slurm's queue decides which relays there are: they are found there by their comment, whatever the files say;
by their receipts where a site drops comments.
"""

import contextlib
import shlex
import subprocess
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from hpc.adapters import slurm, slurm_client
from hpc.adapters.files import is_there, make_folder, read_json_or_none, write_text
from hpc.adapters.sbatch import relay_profile, relay_resources, render_relay
from hpc.adapters.started import VARIABLE, started_as
from hpc.core.errors import InputError
from hpc.core.identity import content_hash
from hpc.core.layout import RunLayout, SubmissionLayout
from hpc.core.profile import ClusterProfile
from hpc.core.slurm.executions import JobRow, is_refused_launch
from hpc.core.slurm.successors import Course, Kind, Relay, plan_successors
from hpc.submissions.on_disk import received_job
from hpc.submissions.prepare import Frozen, in_partitions
from hpc.submissions.receipts import asked_now, submit_once, write_receipt
from hpc.unattended.lease import Guard, jobs_name
from hpc.unattended.state import State, note_down, read_state, write_state
from hpc.workspace import own_command, own_environment, python_path

TRIES = 20
"""How often a relay starts again after its process was killed or could not start, or Slurm did not answer."""
REQUEUES = 50
"""How often it goes back into the queue after that many: the morning may find the disk or the file system mended."""
TRY_AGAIN_S = 15


def list_relays(layout: RunLayout) -> list[tuple[Relay, JobRow]]:
    """Ask Slurm for the relays it has; write the receipts of those whose submitter died.

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
        found.append((replace(_wanted(layout, number, row), job=row.job, number=number), row))
    return found


def _wanted(layout: RunLayout, number: int, row: JobRow) -> Relay:
    """Read what a job in the queue was submitted for, and write its receipt where its submitter died.

    A look, where its intent is damaged, or was removed with the run folder.
    """
    folder = _folder(layout, number)
    try:
        intent = read_json_or_none(folder / "intent.json")
        wanted = Relay.from_json(intent)
    except (InputError, KeyError, TypeError, ValueError):
        return Relay(Kind.LOOK)
    if not is_there((files := SubmissionLayout(folder)).receipt):
        with contextlib.suppress(OSError):  # on a full disk; whoever looks next writes it
            write_receipt(files, asked_now(job=row.job, adopted=True))
    return wanted


def list_waiting(layout: RunLayout) -> list[Relay]:
    """List the relays in Slurm's queue that will begin by themselves."""
    return [relay for relay, row in list_relays(layout) if row.state.is_waiting and not is_refused(row)]


def is_refused(row: JobRow) -> bool:
    """Whether a node could not launch it: another takes its place. What a person holds waits, as the person wants."""
    return row.state.is_waiting and is_refused_launch(row.reason)


def _received(layout: RunLayout) -> dict[str, int]:
    """Job → number of each relay that has its receipt."""
    paths = [path for path in layout.follow_jobs.glob("[0-9]*/receipt.json") if path.parent.name.isdecimal()]
    return {received_job(SubmissionLayout(path.parent)): int(path.parent.name) for path in paths}


def _comment(layout: RunLayout) -> str:
    """The mark of this run folder's relays: another root may hold an experiment of the same name."""
    return f"follow/{content_hash(str(layout.home))[:12]}"


def _folder(layout: RunLayout, number: int) -> Path:
    return layout.follow_jobs / f"{number:03d}"


def submit_relay(layout: RunLayout, frozen: Frozen, wanted: Relay) -> Relay:
    """Submit one relay, once. The caller holds the experiment's lock.

    Raises:
        TemporaryError: Slurm did not answer; if it took the job, the next round finds it in the queue.
        SlurmError: Slurm refused.
    """
    number = max((int(path.name) for path in layout.follow_jobs.glob("[0-9]*") if path.name.isdecimal()), default=0) + 1
    folder = _folder(layout, number)
    make_folder(folder)
    comment = f"{_comment(layout)}/{number:03d}"
    script = folder / "follow.sbatch"
    write_text(script, relay_script(layout, frozen.profile, number), mode=0o700)
    job = submit_once(
        SubmissionLayout(folder),
        asked_now(comment=comment),
        send=lambda _: slurm.submit_script(script, dependency_of(wanted), begin_s=_begins_in(wanted), chdir=Path.cwd()),
        more=wanted.to_json(),
    )
    return replace(wanted, job=job, number=number)


def relay_script(layout: RunLayout, profile: ClusterProfile, number: int) -> str:
    """Render the script of a relay. When it begins is said to sbatch: no template of a site can leave that out.

    Raises:
        InputError: The site's template does not take it.
    """
    return render_relay(
        in_partitions(relay_profile(profile), relay_resources(profile)),
        job_name=jobs_name(layout),
        comment=f"{_comment(layout)}/{number:03d}",
        logs=layout.follow_jobs,
        command=job_command(layout, number),
    )


def dependency_of(wanted: Relay) -> str:
    """What an *end* waits for; empty for a look."""
    return "afterany:" + ":".join(sorted(wanted.after, key=int)) if wanted.kind is Kind.END else ""


def _begins_in(wanted: Relay) -> int:
    """Seconds until a look begins; 0 for an *end*."""
    return 0 if wanted.kind is Kind.END else max(1, round(wanted.begin - time.time()))


def _variables() -> list[tuple[str, str]]:
    return [("PYTHONPATH", python_path()), (VARIABLE, started_as())]


def job_command(layout: RunLayout, number: int) -> str:
    """Shell text of a relay: one round, and again when its process was killed or Slurm never answered.

    To stand down (exit 3) is no failure of the job.
    """
    follow = shlex.join(own_command("hpc.follow", layout.experiment, "--number", str(number)))
    variables = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in _variables())
    return f"""{variables}
export HPC_ROOT={shlex.quote(str(layout.root))}
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
) -> tuple[Relay, ...]:
    """Bring the relays in Slurm's queue to what is wanted; return those that then wait.

    What is new is submitted before anything old is cancelled, so that at no moment none waits. Under the lock.

    Raises:
        TemporaryError: Slurm did not answer.
        SlurmError: Slurm refused, and no relay waits.
    """
    found = list_relays(layout)
    stuck = [relay.job for relay, row in found if is_refused(row)]
    waiting = [relay for relay, row in found if row.state.is_waiting and not is_refused(row)]
    plan = plan_successors(waiting, live, course, time.time(), interval_s)
    submitted: list[Relay] = []
    refused: slurm_client.SlurmError | None = None
    for wanted in plan.submit:
        guard()
        try:
            submitted.append(submit_relay(layout, frozen, wanted))
        except slurm_client.SlurmError as error:
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
    """Make sure that a relay waits before anything is done: should that die, the job goes on. Under the lock.

    Before the tasks, because these may use up what the site lets a user submit.

    Args:
        number: The relay we are.

    Raises:
        TemporaryError: Slurm did not answer.
        SlurmError: Slurm refused.
    """
    if not any(each.number != number for each in list_waiting(layout)):
        begin_at = time.time() + frozen.profile.follow.every_s
        submit_relay(layout, frozen, Relay(Kind.LOOK, begin=begin_at))


def jobs_before(frozen: Frozen) -> frozenset[str]:
    """Slurm jobs of the experiments that come before one: when they are over, its waiting tasks may be ready."""
    if frozen.profile.scheduler != "slurm":
        return frozenset()
    rows = (row for name in frozen.spec.after for row in slurm.query_queue(name))
    return frozenset(row.job.split("_")[0] for row in rows if not row.state.is_finished)


def begin(layout: RunLayout, frozen: Frozen, live: Iterable[str]) -> tuple[Relay, ...]:
    """Follow an experiment from now on: its first relays, or those it has. Under the experiment's lock.

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
    make_folder(layout.follow_jobs)
    with (layout.follow_jobs / "local.log").open("ab") as file:
        follower = subprocess.Popen(
            own_command("hpc.follow", layout.experiment, "--max-parallel", str(max_parallel)),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            env={**own_environment(), "HPC_ROOT": str(layout.root)},
        )
    follower.returncode = 0  # it is meant to outlive this object, which would warn that it still runs
