"""Slurm's own commands: sbatch, sacct, squeue, scontrol, scancel. Asked with a time-out, answered as records, no rule.

Every client call is bounded: on a broken configuration Slurm's clients retry for minutes.
"""

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from hpc.core.errors import HpcError, TemporaryError
from hpc.core.executions import JobRow, expand_elements, job_name_of
from hpc.core.feeding import Association, QosLimits, Queued, Site, is_submit_limit
from hpc.core.resources import DAY
from hpc.core.slurm_states import parse_state

TIMEOUT_S = 60.0
QUICK_S = 10.0
"""For what is asked in passing: without an answer the command goes on."""
JOBS_PER_CALL = 200
# One line an element or array: of those that ended, and (sic) of those where it worked.
_JOB_IS_OVER = ("Invalid job id", "has already finished", "already completing or completed", "No error")
_SACCT_FIELDS = (
    "JobID", "JobIDRaw", "State", "ExitCode", "Submit", "Start", "End", "ElapsedRaw", "NodeList",
    "MaxRSS", "TimelimitRaw", "Comment",
)  # fmt: skip
# Asked for by name and time alone, sacct leaves out what was cancelled before it ever became eligible to run.
_SACCT_STATES = "BF,CA,CD,DL,F,NF,OOM,PD,PR,R,RQ,RS,RV,S,TO"
_SQUEUE_FORMAT = "%i|%A|%T|%r|%N|%k"  # the comment last: it may hold anything


# A user's own settings of how Slurm's clients print, and of what sbatch takes before the script's own lines.
_SETTINGS = re.compile(
    r"SLURM_TIME_FORMAT|SQUEUE_.*|SACCT_.*|SBATCH_(ARRAY_INX|JOB_NAME|COMMENT|OUTPUT|ERROR|OPEN_MODE|REQUEUE|NO_REQUEUE"
    r"|SIGNAL|TIMELIMIT|MEM_PER_NODE|MEM_PER_CPU|MEM_PER_GPU|GRES|GPUS.*|KILL_INVALID_DEP|DEPENDENCY|TEST_ONLY|WAIT)"
)


class SlurmError(HpcError):
    """Slurm answered, and the answer was no."""


class SubmitLimitReached(SlurmError):  # noqa: N818  an answer, not an error
    """Slurm takes no more jobs of this size from this user now."""


def run_client(arguments: Sequence[str], timeout_s: float = TIMEOUT_S, **variables: str) -> str:
    """Run one Slurm command and give what it prints.

    Args:
        variables: Environment variables for this call.

    Raises:
        TemporaryError: It is not there, did not answer in time, or could not reach its daemon.
        SlurmError: It refused; the text is Slurm's own.
    """
    inherited = {name: value for name, value in os.environ.items() if not _SETTINGS.fullmatch(name)}
    # The length: or long lists of elements are cut to 64 characters.
    environment = {**inherited, "SLURM_BITSTR_LEN": "0", **variables}
    try:
        done = subprocess.run(
            arguments, capture_output=True, text=True, timeout=timeout_s, env=environment, check=False
        )
    except FileNotFoundError:
        raise TemporaryError(f"{arguments[0]} is not on PATH: run this on a login node of the cluster") from None
    except subprocess.TimeoutExpired:
        raise TemporaryError(f"{arguments[0]} did not answer within {timeout_s:g} s; try again later") from None
    if done.returncode == 0:
        return done.stdout
    message = (done.stderr or done.stdout).strip()
    unreachable = ("Unable to contact", "Connection refused", "Connection timed out", "Socket timed out", "Zero Bytes")
    if "configuration source" in message:
        raise TemporaryError(f"{arguments[0]} finds no slurm.conf here: try again on a login node of the cluster")
    if any(phrase in message for phrase in unreachable):
        raise TemporaryError(f"{arguments[0]}: {message}; nothing was lost, try again later")
    raise SlurmError(f"{arguments[0]}: {message}")


def submit_script(script: Path, dependency: str = "") -> str:
    """Submit a script and give its job id.

    Args:
        dependency: What it waits for, such as ``afterany:12:15``.

    Raises:
        TemporaryError: Slurm did not answer; it may or may not have taken the job.
        SubmitLimitReached: Slurm refused it for now: too many jobs are in the queue.
        SlurmError: Slurm refused the script.
    """
    try:
        answer = run_client(
            ["sbatch", "--parsable", *([f"--dependency={dependency}"] if dependency else []), str(script)]
        )
    except SlurmError as error:
        if is_submit_limit(str(error)):
            raise SubmitLimitReached(str(error)) from None
        raise
    return answer.strip().splitlines()[-1].split(";")[0]


def check_script(script: Path) -> str:
    """Ask Slurm whether it would take a script (``sbatch --test-only``); empty when it would, else its objection."""
    try:
        run_client(["sbatch", "--test-only", str(script)], timeout_s=20)
    except SlurmError as error:
        if is_submit_limit(str(error)):
            return "not checked: Slurm takes fewer jobs of yours at a time; python -m hpc.submit feeds it what fits"
        return str(error)
    except TemporaryError as error:
        return f"not checked: {error}"
    return ""


def query_queue(experiment: str) -> list[JobRow]:
    """Ask squeue for every element of this user's jobs of an experiment that it still knows, finished ones included."""
    answer = run_client(
        [
            "squeue",
            "--noheader",
            "--all",  # without it squeue leaves out partitions that are hidden or closed to us, our own jobs included
            "--array",
            "--me",
            "--states=all",
            f"--name={job_name_of(experiment)}",
            f"--format={_SQUEUE_FORMAT}",
        ]
    )
    return [parse_queue_line(line) for line in answer.splitlines() if line.count("|") >= 5]


def parse_queue_line(line: str) -> JobRow:
    """Read one line of squeue in our format."""
    job, raw_id, state, reason, node, comment = line.split("|", 5)
    return JobRow(job, raw_id, parse_state(state), reason, _text(comment), node=_text(node))


def query_accounting(experiment: str, since: float) -> list[JobRow] | None:
    """Ask sacct for every execution of this user's jobs of an experiment since a time, requeued ones included.

    Returns:
        The rows, oldest execution first within a job; None where the site keeps no accounting.
    """
    # A day's margin costs nothing, because the name narrows the answer, and clocks of two machines may differ.
    start = datetime.fromtimestamp(max(0, since - DAY), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    try:
        answer = run_client(
            ["sacct", "--noheader", "--parsable2", "--duplicates", f"--name={job_name_of(experiment)}",
             f"--state={_SACCT_STATES}", f"--starttime={start}", "--endtime=now",
             f"--format={','.join(_SACCT_FIELDS)}"],
            TZ="UTC",  # local time has an hour twice a year that means two hours
        )  # fmt: skip
    except SlurmError as error:
        if "accounting" in str(error).lower():
            return None
        raise
    return parse_accounting(answer)


def parse_accounting(text: str) -> list[JobRow]:
    """Read sacct's answer: job rows, each with the steps that follow it."""
    rows: list[JobRow] = []
    for line in text.splitlines():
        fields = line.split("|", len(_SACCT_FIELDS) - 1)
        if len(fields) != len(_SACCT_FIELDS):
            continue
        record = dict(zip(_SACCT_FIELDS, fields, strict=True))
        job, _, step = record["JobID"].partition(".")
        if not step:
            rows += [_job_row({**record, "JobID": element}) for element in expand_elements(job)]
        elif rows and rows[-1].job == job:
            rows[-1] = _with_step(rows[-1], step, record)
    return sorted(rows, key=lambda row: (row.job, row.submitted or 0.0, row.started or float("inf")))


def _job_row(record: Mapping[str, str]) -> JobRow:
    code, _, signal = record["ExitCode"].partition(":")
    state = parse_state(record["State"])
    return JobRow(
        job=record["JobID"],
        raw_id=record["JobIDRaw"],
        state=state,
        comment=_text(record["Comment"]),
        exit_code=int(code) if state.is_finished and code.isdecimal() else None,
        signal=int(signal) if state.is_finished and signal.isdecimal() else None,
        submitted=_unix(record["Submit"]),
        started=_unix(record["Start"]),
        ended=_unix(record["End"]),
        elapsed_s=float(record["ElapsedRaw"]) if record["ElapsedRaw"].isdecimal() else None,
        node="" if record["NodeList"] == "None assigned" else record["NodeList"],
        time_limit_s=float(record["TimelimitRaw"]) * 60 if record["TimelimitRaw"].isdecimal() else None,
        steps={},
    )


def _with_step(row: JobRow, step: str, record: Mapping[str, str]) -> JobRow:
    peak = max(filter(None, (row.peak_memory_mib, _mib(record["MaxRSS"]))), default=None)
    return replace(row, steps={**row.steps, step: parse_state(record["State"])}, peak_memory_mib=peak)


def _mib(text: str) -> float | None:
    """Read sacct's ``123456K``; None when it measured nothing."""
    scale = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}
    number, unit = (text[:-1], text[-1:]) if text[-1:] in scale else (text, "")
    try:
        return float(number) * scale.get(unit, 1 / 1024**2) if text else None
    except ValueError:
        return None


def _text(value: str) -> str:
    return "" if value in ("(null)", "N/A", "Unknown", "None") else value


def _unix(text: str) -> float | None:
    """Read sacct's time, asked for in UTC; None for ``Unknown`` and ``None``."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def requeue(job: str) -> None:
    """Put a running element back into the queue; Slurm ends this execution of it."""
    run_client(["scontrol", "requeue", job], timeout_s=30)


def cancel_waiting(jobs: Sequence[str]) -> None:
    """Cancel those of these jobs that have not begun; one that runs or has ended is left alone, and is no error."""
    _act_on_jobs(["scancel", "--state=PENDING"], jobs)


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


def read_config_value(key: str) -> str | None:
    """Read one line of ``scontrol show config``, such as MaxArraySize; None when Slurm does not say."""
    return _or_nothing(read_config, dict[str, str]()).get(key)


def read_config() -> dict[str, str]:
    """Read ``scontrol show config``."""
    lines = run_client(["scontrol", "show", "config"], timeout_s=QUICK_S).splitlines()
    pairs = (line.partition("=") for line in lines)
    return {name.strip(): value.strip() for name, separator, value in pairs if separator}


# ── what a site takes ────────────────────────────────────────────────────────────────────────────────────────────────


def read_site(user: str, *, account: str = "", qos: str = "", partition: str = "") -> Site:
    """Ask what bounds the number of a user's jobs in the queue; what Slurm does not say is left out.

    Args:
        account, qos, partition: As the jobs ask for; empty where they take the site's default.
    """
    config: dict[str, str] = _or_nothing(read_config, {})
    partitions: dict[str, dict[str, str]] = _or_nothing(_read_partitions, {})
    place = partition or next((name for name, each in partitions.items() if each.get("Default") == "YES"), "")
    association = _or_nothing(lambda: _read_association(user, config.get("ClusterName", ""), account, place), None)
    job_qos = qos or (association.default_qos if association else "")
    partition_qos = partitions.get(place, {}).get("QoS", "N/A").replace("N/A", "")
    known: dict[str, QosLimits] = _or_nothing(_read_qos, {}) if association else {}
    tasks = re.search(r"max_array_tasks=(\d+)", config.get("SchedulerParameters", ""))
    sizes = [int(text) for text in (config.get("MaxArraySize", ""), tasks[1] if tasks else "") if text.isdecimal()]
    return Site(
        partition=place,
        max_array_size=min(sizes, default=None),
        max_jobs=_count(config.get("MaxJobCount", "")),
        association=association,
        partition_qos=known.get(partition_qos),
        job_qos=known.get(job_qos),
    )


T = TypeVar("T")


def _or_nothing(ask: Callable[[], T], nothing: T) -> T:
    try:
        return ask()
    except HpcError:
        return nothing


def _count(text: str) -> int | None:
    """Read a limit; None when there is none."""
    return int(text) if text.isdecimal() else None


def _read_partitions() -> dict[str, dict[str, str]]:
    lines = run_client(["scontrol", "--oneliner", "show", "partition"], timeout_s=QUICK_S).splitlines()
    records = [dict(word.partition("=")[::2] for word in line.split()) for line in lines]
    return {record["PartitionName"]: record for record in records if "PartitionName" in record}


def _ask_accounting(what: Sequence[str], fields: str) -> list[dict[str, str]]:
    """Ask sacctmgr for a table."""
    names = fields.split(",")
    answer = run_client(["sacctmgr", "-nP", "show", *what, f"format={fields}"], timeout_s=QUICK_S)
    rows = (line.split("|") for line in answer.splitlines())
    return [dict(zip(names, row, strict=True)) for row in rows if len(row) == len(names)]


def _read_association(user: str, cluster: str, account: str, partition: str) -> Association | None:
    """Read the association a user's jobs fall under, the one for their partition before the general one."""
    fields = "DefaultAccount,Cluster,Account,Partition,DefaultQOS,MaxSubmitJobs,GrpSubmitJobs"
    rows = [row for row in _ask_accounting(["user", user, "withassoc"], fields) if row["Cluster"] in ("", cluster)]
    rows = [row for row in rows if row["Account"] == (account or row["DefaultAccount"])]
    rows = [row for row in rows if row["Partition"] in ("", partition)]
    if not rows:
        return None
    mine = max(rows, key=lambda row: row["Partition"] != "")
    of_account = ["assoc", "where", f"account={mine['Account']}", f"cluster={cluster}"]
    shared = [row for row in _ask_accounting(of_account, "User,GrpSubmitJobs") if not row["User"]]
    return Association(
        account=mine["Account"],
        partition=mine["Partition"],
        default_qos=mine["DefaultQOS"] or "normal",  # Slurm's own, where a site says nothing
        most=_count(mine["MaxSubmitJobs"]),
        group=_count(mine["GrpSubmitJobs"]),
        account_group=_count(shared[0]["GrpSubmitJobs"]) if shared else None,
    )


def _read_qos() -> dict[str, QosLimits]:
    rows = _ask_accounting(["qos"], "Name,MaxSubmitJobsPerUser,MaxSubmitJobsPerAccount,GrpSubmitJobs")
    return {name: QosLimits(name, *map(_count, limits)) for name, *limits in (row.values() for row in rows)}


def query_load(*, everybody: bool) -> list[Queued]:
    """List what waits and runs, elements one by one: this user's, or everybody's."""
    whose = [] if everybody else ["--me"]
    answer = run_client(["squeue", "--noheader", "--all", "--array", *whose, "--format=%u|%a|%q|%P"])
    rows = (line.split("|") for line in answer.splitlines())
    return [Queued(*(_text(cell) for cell in row)) for row in rows if len(row) == 4]
