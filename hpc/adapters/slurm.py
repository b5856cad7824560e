"""Slurm's jobs: sbatch, sacct, squeue, scontrol, scancel, answered as records, no rule.

How a client is called is in `slurm_client`, what a site says of itself and of a user in `slurm_site`.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from hpc.adapters.slurm_client import (
    PING_ACCOUNTING,
    PING_CONTROLLER,
    SlurmError,
    SubmitLimitReached,
    ask_client,
    read_cell,
    read_count,
    run_client,
    run_quickly,
)
from hpc.core.errors import HpcError, TemporaryError
from hpc.core.immutable import immutable
from hpc.core.resources import DAY
from hpc.core.slurm.answers import has_no_accounting, is_submit_limit, parse_job_id, shown
from hpc.core.slurm.executions import JobRow, expand_elements, is_job, job_name_of
from hpc.core.slurm.limits import Queued
from hpc.core.slurm.states import SlurmState, parse_state

JOBS_PER_CALL = 200
# One line an element or array: of those that ended, and (sic) of those where it worked.
_JOB_IS_OVER = ("Invalid job id", "has already finished", "already completing or completed", "No error")
_SACCT_FIELDS = (
    "JobID", "JobIDRaw", "State", "ExitCode", "Submit", "Start", "End", "ElapsedRaw", "NodeList",
    "MaxRSS", "TimelimitRaw", "Comment",
)  # fmt: skip
_STATE, _MEMORY_USED = (_SACCT_FIELDS.index(name) for name in ("State", "MaxRSS"))
# Asked for by name and time alone, sacct leaves out what was cancelled before it ever became eligible to run.
_SACCT_STATES = "BF,CA,CD,DL,F,NF,OOM,PD,PR,R,RQ,RS,RV,S,TO"
_SQUEUE_FORMAT = "%i|%A|%T|%r|%N|%k"  # the comment last: it may hold anything
_NO_ENERGY = 2.0**62
"""Slurm's mark for an energy that is not known is larger still."""


def submit_script(
    script: Path, dependency: str = "", begin_s: int = 0, chdir: Path | None = None, array: str = ""
) -> str:
    """Submit a script and give its job id.

    Args:
        dependency: What it waits for, such as ``afterany:12:15``.
        begin_s: Seconds before which it does not begin; 0: at once.
        chdir: Where it starts; None: in the current folder.
        array: Its elements, such as ``0-9%2``; empty: as the script says.

    Raises:
        TemporaryError: Slurm did not answer, or said no job id; it may or may not have taken the job.
        SubmitLimitReached: Slurm refused it for now: too many jobs are in the queue.
        SlurmError: Slurm refused the script.
    """
    begin = f"now+{begin_s}" if begin_s else ""
    asked = {"dependency": dependency, "begin": begin, "chdir": chdir, "array": array}
    options = [f"--{name}={value}" for name, value in asked.items() if value]
    try:
        answer = run_client(["sbatch", "--parsable", *options, str(script)])
    except SlurmError as error:
        if is_submit_limit(str(error)):
            raise SubmitLimitReached(str(error)) from None
        raise
    if job := parse_job_id(answer):
        return job
    raise TemporaryError(
        f"sbatch's answer has no clear job id: {shown(answer)!r}; Slurm may have taken the job. "
        "Run the same command again in a minute: it looks for the job before it submits"
    )


def try_file(script: Path) -> "Trial":
    """Ask Slurm whether it would take a submission's script (``sbatch --test-only``), and when it would start it."""
    return _try(["sbatch", "--test-only", str(script)], script.absolute().parents[2].name)


@immutable
class Trial:
    """What ``sbatch --test-only`` says of a script.

    Attributes:
        said: Its words where it would take the script.
        objection: Its words where it would not; begins with ``not checked`` where it did not judge.
    """

    said: str = ""
    objection: str = ""


def try_script(script: str, experiment: str) -> Trial:
    """Ask Slurm whether it would take a script that stands in no file."""
    return _try(["sbatch", "--test-only"], experiment, script)


def _try(command: Sequence[str], experiment: str, script: str = "") -> Trial:
    try:
        answer, beside = ask_client(command, timeout_s=20, text=script)
    except SlurmError as error:
        if is_submit_limit(str(error)):
            feed = f"python -m hpc.submit {shlex.quote(experiment)}"
            what_fits = f"what fits is submitted by {feed}"
            return Trial(objection=f"not checked: Slurm takes fewer jobs of yours at a time; {what_fits}")
        return Trial(objection=str(error))
    except TemporaryError as error:
        return Trial(objection=f"not checked: {error}")
    return Trial(said=" ".join((beside or answer).split()))


def query_queue(experiment: str, user: str = "") -> list[JobRow]:
    """Ask squeue for every element it knows of our jobs (or a user's) of an experiment, finished ones included."""
    answer = run_client(
        [
            "squeue",
            "--noheader",
            "--all",  # without it squeue leaves out partitions that are hidden or closed to us, our own jobs included
            "--array",
            f"--user={user}" if user else "--me",
            "--states=all",
            f"--name={job_name_of(experiment)}",
            f"--format={_SQUEUE_FORMAT}",
        ],
        ping=PING_CONTROLLER,
    )
    rows = (parse_queue_line(line) for line in answer.splitlines() if line.count("|") >= 5)
    return [row for row in rows if is_job(row.job)]


def parse_queue_line(line: str) -> JobRow:
    """Read one line of squeue in our format."""
    job, raw_id, state, reason, node, comment = line.split("|", 5)
    return JobRow(job, raw_id, parse_state(state), reason, read_cell(comment), node=read_cell(node))


def query_accounting(experiment: str, since: float, user: str = "") -> list[JobRow] | None:
    """Ask sacct for every execution of an experiment's jobs since a time, requeued ones included; ours, or a user's.

    Returns:
        The rows, oldest execution first within a job; None where the site keeps no accounting.
    """
    # A day's margin costs nothing, because the name narrows the answer, and clocks of two machines may differ.
    start = datetime.fromtimestamp(max(0, since - DAY), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    try:
        answer = run_client(
            ["sacct", "--noheader", "--parsable2", "--duplicates", f"--name={job_name_of(experiment)}",
             f"--state={_SACCT_STATES}", f"--starttime={start}", "--endtime=now",
             f"--format={','.join(_SACCT_FIELDS)}", *([f"--user={user}"] if user else [])],
            ping=PING_ACCOUNTING,
            TZ="UTC",  # local time has an hour twice a year that means two hours
        )  # fmt: skip
    except SlurmError as error:
        if has_no_accounting(str(error)):
            return None
        raise TemporaryError(str(error)) from None
    return parse_accounting(answer)


def parse_accounting(text: str) -> list[JobRow]:
    """Read sacct's answer: job rows, each with the steps that follow it; what is no row is passed over."""
    rows: list[dict[str, Any]] = []  # made whole at the end: ten thousand elements have a step or two each
    for line in text.splitlines():
        fields = line.split("|", len(_SACCT_FIELDS) - 1)
        if len(fields) != len(_SACCT_FIELDS):
            continue
        job, _, step = fields[0].partition(".")
        if not step:
            row = _job_row(dict(zip(_SACCT_FIELDS, fields, strict=True)))
            rows += [{**row, "job": element, "steps": {}} for element in expand_elements(job)]
        elif rows and rows[-1]["job"] == job:
            _take_in(rows[-1], step, fields[_STATE], fields[_MEMORY_USED])
    return sorted(
        (JobRow(**row) for row in rows), key=lambda row: (row.job, row.submitted or 0.0, row.started or float("inf"))
    )


def query_energy(jobs: Sequence[str]) -> dict[str, float]:
    """Ask sacct for the energy of jobs: job → joules of all its executions, of the nodes' own counters.

    Empty where the site does not measure it, keeps no accounting, or does not answer: it is asked in passing.
    """
    found: dict[str, float] = {}
    for start in range(0, len(jobs), JOBS_PER_CALL):
        some = ",".join(jobs[start : start + JOBS_PER_CALL])
        try:
            answer = run_quickly(
                ["sacct", "--noheader", "--parsable2", "--allocations", "--duplicates", f"--jobs={some}",
                 "--format=JobID,ConsumedEnergyRaw"], )  # fmt: skip
        except HpcError:
            return {}
        for line in answer.splitlines():
            job, _, joules = line.partition("|")
            if (value := read_count(joules, 1.0)) and value < _NO_ENERGY:  # 0: nobody measures
                found[job] = found.get(job, 0.0) + value
    return found


def _job_row(record: Mapping[str, str]) -> dict[str, Any]:
    code, _, number = record["ExitCode"].partition(":")
    state = parse_state(record["State"])
    return {
        "job": record["JobID"],
        "raw_id": record["JobIDRaw"],
        "state": state,
        "comment": read_cell(record["Comment"]),
        "exit_code": read_count(code) if state.is_finished else None,
        "signal": read_count(number) if state.is_finished else None,
        "submitted": _unix(record["Submit"]),
        "started": _unix(record["Start"]),
        "ended": _unix(record["End"]),
        "elapsed_s": read_count(record["ElapsedRaw"], 1.0),
        "node": "" if record["NodeList"] == "None assigned" else record["NodeList"],
        "time_limit_s": read_count(record["TimelimitRaw"], 60.0),
    }


def _take_in(row: dict[str, Any], step: str, state: str, memory: str) -> None:
    row["steps"][step] = parse_state(state)
    row["peak_memory_mib"] = max(filter(None, (row.get("peak_memory_mib"), _mib(memory))), default=None)


_MEMORY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)([KMGT]?)")
_MEMORY_UNITS = {"": 1 / 1024**2, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}


def _mib(text: str) -> float | None:
    """Read sacct's ``123456K``; None when it measured nothing."""
    match = _MEMORY.fullmatch(text)
    return float(match[1]) * _MEMORY_UNITS[match[2]] if match else None


@lru_cache(maxsize=4096)
def _unix(text: str) -> float | None:
    """Read sacct's time, asked for in UTC; None for ``Unknown`` and ``None``."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def query_states(job: int) -> list[SlurmState]:
    """The states of a job, or of every element of an array, whoever's it is; empty where Slurm does not know it.

    Accounting goes first: the queue forgets the elements that ended.

    Raises:
        TemporaryError: Slurm did not answer.
    """
    accounting = ["sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={job}", "--format=State"]
    queue = ["squeue", "--noheader", "--all", "--array", "--states=all", f"--jobs={job}", "--format=%T"]
    for command, ping in ((accounting, PING_ACCOUNTING), (queue, PING_CONTROLLER)):
        try:
            answer = run_client(command, ping=ping)
        except SlurmError:  # no accounting here, or no such job
            continue
        if states := [parse_state(line.strip()) for line in answer.splitlines() if line.strip()]:
            return states
    return []


def requeue(job: str) -> None:
    """Put a running element back into the queue; Slurm ends this execution of it."""
    run_client(["scontrol", "requeue", job], timeout_s=30)


_HAS_BEGUN = "no longer pending execution"


def leave_out(job: str, nodes: Sequence[str]) -> None:
    """Keep what waits of a job or array away from nodes, beside those it is kept away from; what runs goes on.

    Raises:
        TemporaryError: Slurm did not answer.
        SlurmError: It refused.
    """
    waiting = run_client(["squeue", "-h", "-t", "PENDING", "-j", job, "-o", "%x"]).splitlines()
    if not waiting:
        return
    known = [node for line in waiting for node in _split_nodes(line.strip()) if node != "(null)"]
    excluded = ",".join(dict.fromkeys([*known, *nodes]))
    try:
        run_client(["scontrol", "update", f"JobId={job}", f"ExcNodeList={excluded}"])
    except (SlurmError, TemporaryError) as error:
        if _HAS_BEGUN not in str(error):  # said of each element that runs, though the others are changed
            raise


def _split_nodes(text: str) -> list[str]:
    """Split ``n[1-3],m2`` at the commas outside brackets."""
    return [each for each in re.split(r",(?![^\[]*\])", text) if each]


def cancel_waiting(jobs: Sequence[str]) -> None:
    """Cancel those of these jobs that have not begun; one that runs or has ended is left alone, and is no error."""
    _act_on_jobs(["scancel", "--state=PENDING"], jobs)


def cancel_jobs(jobs: Sequence[str]) -> None:
    """Cancel jobs, arrays or elements, whether they wait or run; one that has ended meanwhile is no error."""
    _act_on_jobs(["scancel"], jobs)


def hold_jobs(jobs: Sequence[str]) -> None:
    """Keep jobs from starting until they are released; what runs goes on. Holding twice is holding once.

    Args:
        jobs: Job ids, arrays (all their elements) or elements as ``12_[0-3,7]``.
    """
    # A user's hold also where the caller administers the cluster, so that the owner can release it.
    _act_on_jobs(["scontrol", "uhold"], jobs)


def release_jobs(jobs: Sequence[str]) -> None:
    """Undo `hold_jobs`."""
    _act_on_jobs(["scontrol", "release"], jobs)


def _act_on_jobs(command: Sequence[str], jobs: Sequence[str]) -> None:
    """Call Slurm for jobs, many at a time; one that has ended meanwhile is no error."""
    for start in range(0, len(jobs), JOBS_PER_CALL):
        try:
            run_client([*command, *jobs[start : start + JOBS_PER_CALL]])
        except SlurmError as error:
            if not all(any(over in line for over in _JOB_IS_OVER) for line in str(error).splitlines()):
                raise


def query_load(*, everybody: bool) -> list[Queued]:
    """List what waits and runs, elements one by one: this user's, or everybody's."""
    whose = [] if everybody else ["--me"]
    answer = run_client(
        ["squeue", "--noheader", "--all", "--array", *whose, "--format=%u|%a|%q|%P"], ping=PING_CONTROLLER
    )
    rows = (line.split("|") for line in answer.splitlines())
    return [Queued(*(read_cell(cell) for cell in row)) for row in rows if len(row) == 4]


def query_state(job: str) -> str:
    """The state of a job that was just submitted, with squeue's reason: ``PENDING Resources``; empty where unknown.

    Raises:
        TemporaryError: Slurm did not answer.
    """
    try:
        answer = run_quickly(["squeue", "--noheader", "--all", f"--jobs={job}", "--format=%T %r"])
    except SlurmError:
        return ""
    return " ".join(answer.split())
