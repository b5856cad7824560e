"""Slurm's own commands: sbatch, sacct, squeue, scontrol, scancel. Asked with a time-out, answered as records, no rule.

Every client call is bounded. Slurm's clients retry for minutes where a daemon hangs, and may take as long over a great
queue where it does not: after `PATIENCE_S` without an answer the daemon is asked for something small, and given up when
it does not answer that within `PING_S` either. So who waits for a hung daemon waits 10 s, and not 60.
"""

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, overload

from hpc.core.checkup.site import ALLOWED_FIELDS, Allowed, Partition, parse_allowed, parse_config, parse_partitions
from hpc.core.errors import HpcError, TemporaryError
from hpc.core.immutable import immutable
from hpc.core.resources import DAY
from hpc.core.slurm.answers import has_no_accounting, is_refusal, is_submit_limit, parse_job_id, shown
from hpc.core.slurm.executions import JobRow, expand_elements, is_job, job_name_of
from hpc.core.slurm.limits import Association, QosLimits, Queued, Site
from hpc.core.slurm.partitions import NodeKind, parse_kinds
from hpc.core.slurm.states import SlurmState, parse_state

TIMEOUT_S = 60.0
PATIENCE_S = 6.0
"""After so long without an answer a client's daemon has to show that it lives."""
PING_S = 4.0
QUICK_S = 5.0
"""For what is asked in passing: without an answer the command goes on."""
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


# A user's own settings of how Slurm's clients print, and of what sbatch takes before the script's own lines.
_SETTINGS = re.compile(
    r"SLURM_TIME_FORMAT|SQUEUE_.*|SACCT_.*|SBATCH_(ARRAY_INX|JOB_NAME|COMMENT|OUTPUT|ERROR|OPEN_MODE|REQUEUE|NO_REQUEUE"
    r"|SIGNAL|TIMELIMIT|MEM_PER_NODE|MEM_PER_CPU|MEM_PER_GPU|GRES|GPUS.*|KILL_INVALID_DEP|DEPENDENCY|TEST_ONLY|WAIT)"
)


class SlurmError(HpcError):
    """Slurm answered, and the answer was no."""


class SubmitLimitReached(SlurmError):  # noqa: N818  an answer, not an error
    """Slurm takes no more jobs of this size from this user now."""


class NoAnswer(TemporaryError):  # noqa: N818  says what happened
    """A client was given up, because it printed nothing in time."""


class NotHere(TemporaryError):  # noqa: N818  says what happened
    """This machine belongs to no Slurm: the client is not installed, or finds no configuration."""


def run_client(
    arguments: Sequence[str], timeout_s: float = TIMEOUT_S, ping: Sequence[str] = (), **variables: str
) -> str:
    """Run one Slurm command and give what it prints; see `ask_client`."""
    return ask_client(arguments, timeout_s, ping, **variables)[0]


def ask_client(
    arguments: Sequence[str], timeout_s: float = TIMEOUT_S, ping: Sequence[str] = (), text: str = "", **variables: str
) -> tuple[str, str]:
    """Run one Slurm command; return what it prints on stdout and on stderr. Bytes that are no UTF-8 come as ``\\xff``.

    Args:
        ping: A small question to the same daemon. A client that is slow is waited for only while this is answered.
        text: What it reads on stdin.
        variables: Environment variables for this call.

    Raises:
        TemporaryError: It is not there, did not answer in time, or gave an answer that may mean anything.
        SlurmError: It refused for certain (`hpc.core.slurm.answers`); the text is Slurm's own.
    """
    inherited = {name: value for name, value in os.environ.items() if not _SETTINGS.fullmatch(name)}
    # The length: or long lists of elements are cut to 64 characters.
    environment = {**inherited, "SLURM_BITSTR_LEN": "0", **variables}
    code, answer, complaint = _call(arguments, timeout_s, ping, environment, text)
    if code == 0:
        return answer, complaint
    message = (complaint or answer).strip()
    if "configuration source" in message:
        raise NotHere(
            f"{arguments[0]} finds no slurm.conf here: try again on a login node of the cluster, or plan with "
            "--cluster local to use this machine alone; what else is missing here: python -m hpc.doctor"
        )
    if is_refusal(message):
        raise SlurmError(f"{arguments[0]}: {message}")
    raise TemporaryError(f"{arguments[0]}: {shown(message) or f'ended with {code}'}; nothing was lost, try again later")


def _call(
    arguments: Sequence[str], timeout_s: float, ping: Sequence[str], environment: Mapping[str, str], text: str
) -> tuple[int, str, str]:
    """Run a command in a process group of its own, so that what a site's wrapper started ends with it."""
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE if text else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            process_group=0,
            encoding="utf-8",
            errors="backslashreplace",
        )
    except FileNotFoundError:
        raise NotHere(
            f"{arguments[0]} is not on PATH: run this on a login node of the cluster; what else is missing here: "
            "python -m hpc.doctor"
        ) from None
    except OSError as error:
        raise TemporaryError(f"{arguments[0]} cannot be started here: {error.strerror}; try again later") from None
    with process:
        try:
            answer, complaint = _wait_for(process, arguments[0], timeout_s, ping, text or None)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, answer, complaint


def _wait_for(
    process: "subprocess.Popen[str]", name: str, timeout_s: float, ping: Sequence[str], text: str | None
) -> tuple[str, str]:
    waits = (min(PATIENCE_S, timeout_s), timeout_s - PATIENCE_S) if ping else (timeout_s,)
    for wait_s in waits:
        try:
            return process.communicate(text, timeout=wait_s)
        except subprocess.TimeoutExpired:
            if ping and not _lives(ping):
                raise NoAnswer(
                    f"{name} did not answer within {PATIENCE_S:g} s, nor {ping[0]} a small question; try again later"
                ) from None
    raise NoAnswer(f"{name} did not answer within {timeout_s:g} s; try again later")


def _lives(ping: Sequence[str]) -> bool:
    """Whether a daemon answers a small question, be it with a refusal."""
    try:
        run_client(ping, PING_S)
    except NoAnswer:
        return False
    except HpcError:
        return True
    return True


_PING_CONTROLLER = ("scontrol", "ping")
_PING_ACCOUNTING = ("sacctmgr", "-nP", "show", "cluster", "format=Cluster")


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


def read_node_kinds(partitions: str) -> list[NodeKind]:
    """Ask what nodes and which time limit each of these partitions has; nothing where Slurm does not say.

    Args:
        partitions: Their names, with commas.
    """
    command = ["sinfo", "--noheader", "--exact", f"--partition={partitions}", "--format=%R|%a|%l|%D|%c|%m|%G"]
    answer = _or_nothing(lambda: run_client(command, timeout_s=QUICK_S), "")
    return parse_kinds(answer.splitlines())


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
        ping=_PING_CONTROLLER,
    )
    rows = (parse_queue_line(line) for line in answer.splitlines() if line.count("|") >= 5)
    return [row for row in rows if is_job(row.job)]


def parse_queue_line(line: str) -> JobRow:
    """Read one line of squeue in our format."""
    job, raw_id, state, reason, node, comment = line.split("|", 5)
    return JobRow(job, raw_id, parse_state(state), reason, _text(comment), node=_text(node))


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
            ping=_PING_ACCOUNTING,
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
            answer = run_client(
                ["sacct", "--noheader", "--parsable2", "--allocations", "--duplicates", f"--jobs={some}",
                 "--format=JobID,ConsumedEnergyRaw"],
                timeout_s=QUICK_S,
            )  # fmt: skip
        except HpcError:
            return {}
        for line in answer.splitlines():
            job, _, joules = line.partition("|")
            if (value := _count(joules, 1.0)) and value < _NO_ENERGY:  # 0: nobody measures
                found[job] = found.get(job, 0.0) + value
    return found


def _job_row(record: Mapping[str, str]) -> dict[str, Any]:
    code, _, number = record["ExitCode"].partition(":")
    state = parse_state(record["State"])
    return {
        "job": record["JobID"],
        "raw_id": record["JobIDRaw"],
        "state": state,
        "comment": _text(record["Comment"]),
        "exit_code": _count(code) if state.is_finished else None,
        "signal": _count(number) if state.is_finished else None,
        "submitted": _unix(record["Submit"]),
        "started": _unix(record["Start"]),
        "ended": _unix(record["End"]),
        "elapsed_s": _count(record["ElapsedRaw"], 1.0),
        "node": "" if record["NodeList"] == "None assigned" else record["NodeList"],
        "time_limit_s": _count(record["TimelimitRaw"], 60.0),
    }


def _take_in(row: dict[str, Any], step: str, state: str, memory: str) -> None:
    row["steps"][step] = parse_state(state)
    row["peak_memory_mib"] = max(filter(None, (row.get("peak_memory_mib"), _mib(memory))), default=None)


_MEMORY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)([KMGT]?)")
_MEMORY_UNITS = {"": 1 / 1024**2, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}
_NUMBER = re.compile(r"[0-9]{1,18}")


def _mib(text: str) -> float | None:
    """Read sacct's ``123456K``; None when it measured nothing."""
    match = _MEMORY.fullmatch(text)
    return float(match[1]) * _MEMORY_UNITS[match[2]] if match else None


@overload
def _count(text: str) -> int | None: ...
@overload
def _count(text: str, unit: float) -> float | None: ...
def _count(text: str, unit: float = 1) -> float | None:
    """Read a whole number, times a unit; None for anything else, such as no limit."""
    return int(text) * unit if _NUMBER.fullmatch(text) else None


def _text(value: str) -> str:
    return "" if value in ("(null)", "N/A", "Unknown", "None") else value


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
    for command, ping in ((accounting, _PING_ACCOUNTING), (queue, _PING_CONTROLLER)):
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


def read_config_value(key: str) -> str | None:
    """Read one line of ``scontrol show config``, such as MaxArraySize; None when Slurm does not say."""
    return _or_nothing(read_config, dict[str, str]()).get(key)


def is_here() -> bool:
    """Whether this machine belongs to a Slurm, be it down: a client that is installed may have no configuration."""
    try:
        run_client(["scontrol", "ping"], timeout_s=QUICK_S)
    except NotHere:
        return False
    except (TemporaryError, SlurmError):
        return True
    return True


CONFIG_KEPT_S = 60.0
"""A command asks several times for what a site changes once a month; the controller is asked once."""
_Config = tuple[float, tuple[str | None, ...], dict[str, str]]
_config_read: list[_Config] = []


def read_config() -> dict[str, str]:
    """Read ``scontrol show config``; what was read in the last minute, of the same Slurm, is not asked again."""
    now, which = time.monotonic(), tuple(os.environ.get(name) for name in ("PATH", "SLURM_CONF"))
    for read, known, config in _config_read:
        if known == which and now - read < CONFIG_KEPT_S:
            return config
    lines = run_client(["scontrol", "show", "config"], timeout_s=QUICK_S).splitlines()
    pairs = (line.partition("=") for line in lines)
    config = {name.strip(): value.strip() for name, separator, value in pairs if separator}
    _config_read[:] = [(now, which, config)]
    return config


# ── what a site takes ────────────────────────────────────────────────────────────────────────────────────────────────


def read_site(user: str, *, account: str = "", qos: str = "", partition: str = "") -> Site:
    """Ask what bounds the number of a user's jobs in the queue; what Slurm does not say is left out.

    Args:
        account, qos, partition: As the jobs ask for; empty where they take the site's default. Of several partitions
            the first counts, as with Slurm.
    """
    config: dict[str, str] = _or_nothing(read_config, {})
    partitions: dict[str, dict[str, str]] = _or_nothing(_read_partitions, {})
    place = partition.split(",", maxsplit=1)[0] or next(
        (name for name, each in partitions.items() if each.get("Default") == "YES"), ""
    )
    association = _or_nothing(lambda: _read_association(user, config.get("ClusterName", ""), account, place), None)
    job_qos = qos or (association.default_qos if association else "")
    partition_qos = partitions.get(place, {}).get("QoS", "N/A").replace("N/A", "")
    known: dict[str, QosLimits] = _or_nothing(_read_qos, {}) if association else {}
    tasks = re.search(r"max_array_tasks=(\d+)", config.get("SchedulerParameters", ""))
    sizes = [_count(config.get("MaxArraySize", "")), _count(tasks[1] if tasks else "")]
    return Site(
        partition=place,
        max_array_size=min((size for size in sizes if size is not None), default=None),
        max_jobs=_count(config.get("MaxJobCount", "")),
        association=association,
        partition_qos=known.get(partition_qos),
        job_qos=known.get(job_qos),
        cluster=config.get("ClusterName", ""),
    )


T = TypeVar("T")


def _or_nothing(ask: Callable[[], T], nothing: T) -> T:
    try:
        return ask()
    except HpcError:
        return nothing


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
    answer = run_client(
        ["squeue", "--noheader", "--all", "--array", *whose, "--format=%u|%a|%q|%P"], ping=_PING_CONTROLLER
    )
    rows = (line.split("|") for line in answer.splitlines())
    return [Queued(*(_text(cell) for cell in row)) for row in rows if len(row) == 4]


# ── what a site says of itself (hpc doctor) ──────────────────────────────────────────────────────────────────────────


def ask_version() -> str:
    """The clients' own version, such as ``22.05.8``; empty where it is not said."""
    found = re.search(r"\d+\.\d+\S*", _or_nothing(lambda: run_client(["sinfo", "--version"], timeout_s=QUICK_S), ""))
    return found[0] if found else ""


def ask_controller() -> dict[str, str]:
    """Read ``scontrol show config``, its time in UTC under ``as of``.

    Raises:
        TemporaryError: The controller does not answer.
        SlurmError: It refuses.
    """
    return parse_config(run_client(["scontrol", "show", "config"], timeout_s=QUICK_S, TZ="UTC"))


def ask_accounting(user: str, cluster: str) -> tuple[Allowed, ...]:
    """Ask the data base for a user's associations.

    Raises:
        TemporaryError: It does not answer.
        SlurmError: There is none.
    """
    command = ["sacctmgr", "-nP", "show", "user", user, "withassoc", f"format={ALLOWED_FIELDS}"]
    return parse_allowed(run_client(command, timeout_s=QUICK_S).splitlines(), cluster)


def ask_partitions() -> tuple[Partition, ...]:
    """Ask for every partition; none where Slurm does not say."""
    command = ["scontrol", "--oneliner", "--all", "show", "partition"]
    return parse_partitions(_or_nothing(lambda: run_client(command, timeout_s=QUICK_S), "").splitlines())


def ask_kinds() -> tuple[NodeKind, ...]:
    """Ask for the kinds of nodes of every partition; none where Slurm does not say."""
    command = ["sinfo", "--noheader", "--all", "--exact", "--format=%R|%a|%l|%D|%c|%m|%G"]
    return tuple(parse_kinds(_or_nothing(lambda: run_client(command, timeout_s=QUICK_S), "").splitlines()))


def ask_hosts(partition: str) -> list[str]:
    """Names of the machines of a partition (an empty name: of all), as they call themselves; none where not said."""
    command = ["sinfo", "--noheader", "--Node", "--format=%n", *([f"--partition={partition}"] if partition else [])]
    return list(dict.fromkeys(_or_nothing(lambda: run_client(command, timeout_s=QUICK_S), "").split()))


def query_state(job: str) -> str:
    """The state of a job that was just submitted, with squeue's reason: ``PENDING Resources``; empty where unknown.

    Raises:
        TemporaryError: Slurm did not answer.
    """
    try:
        answer = run_client(["squeue", "--noheader", "--all", f"--jobs={job}", "--format=%T %r"], timeout_s=QUICK_S)
    except SlurmError:
        return ""
    return " ".join(answer.split())
