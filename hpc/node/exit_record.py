"""How an attempt ended: ``exit.json`` for us, ``metrics.json`` for people.

Standard library only: the wrapper on the compute node imports it.
"""

import os
import re
import resource
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpc.adapters.files import Lasting, open_regular, write_json
from hpc.core.errors import EXIT_CHECKPOINTED, EXIT_DONE, InputError
from hpc.core.layout import AttemptLayout, TaskLayout
from hpc.core.records.exit import ExitRecord, UnreadMetrics
from hpc.core.records.task import TaskRecord
from hpc.node.attempt import object_or_empty
from hpc.node.supervision import Loss, Supervision

_OURS = frozenset({
    "HPC_EXPERIMENT", "HPC_TASK_ID", "HPC_RUN_NAME", "HPC_TASK_DIR", "HPC_ATTEMPT", "HPC_ATTEMPT_DIR",
    "HPC_RESUME_FROM", "HPC_MANIFEST_SHA", "HPC_IMAGE_SHA256", "HPC_GIT_COMMIT", "HPC_LOCAL_JOB", "HPC_LOCAL_RESTART",
    "HPC_ROOT", "HPC_CLUSTER",
})  # fmt: skip
_LIBRARIES = ("CUDA_", "NCCL_", "OMP_", "ACCELERATE_")
_SECRET = ("KEY", "TOKEN", "SECRET", "PASS", "PWD", "CREDENTIAL", "AUTH", "COOKIE", "URL", "URI", "WEBHOOK")
_DATA_HASH = re.compile(rb"^data_hash: (\w{8,128})\s*$", re.MULTILINE)
_DATA_HASH_WITHIN = 65536
"""A program says it where it reads its data, at the beginning: so many bytes of the output are looked at."""
_SETTING = re.compile(r"(?:[A-Za-z_.-]{0,20}\d{0,6}(?:[._-]\d{1,4}){0,3})|(?:GPU|MIG)-[0-9a-f-]{36}")


def exit_record(record: TaskRecord, result: Supervision, attempt: AttemptLayout, kills_before: int = 0) -> ExitRecord:
    """Collect how the attempt ended: the content of ``exit.json``.

    Args:
        kills_before: As `kernel_kills` said when it began; in a pack, whose memory cgroup others share.
    """
    outcome = object_or_empty(attempt.outcome)
    recorded = outcome.get("code")
    # Launchers say 1 whatever their ranks did, and gloo may abort after the work is done: the program's own record,
    # written as its last act, is what counts.
    exit_code = recorded if recorded in (EXIT_DONE, EXIT_CHECKPOINTED) else result.exit_code
    cgroup, ended = _memory_cgroup(), time.time()
    if record.packed:
        cgroup = _own_of_pack(cgroup, record, result, kills_before)
    return ExitRecord(
        exit_code=exit_code,
        started=record.started,
        ended=ended,
        signal=result.signal if exit_code is None else None,
        launcher_exit_code=result.exit_code if result.exit_code is not None else 128 + (result.signal or 0),
        program_outcome=recorded if type(recorded) is int else None,
        signals_received=tuple(result.received),
        timed_out=result.timed_out,
        fenced=result.loss is Loss.FENCED,
        metrics_unread=UnreadMetrics(result.unread, result.unread_example) if result.unread else None,
        output_lost=result.output_lost,
        host=record.host,
        slurm={**record.slurm, "restart_count": record.restart_count},
        peak_memory_mib=max(_largest_child_mib(), cgroup.get("peak_mib") or 0.0),
        peak_gpu_memory_mib=_peak_gpu_memory(attempt) or result.sampled.get("gpu_peak_mib"),
        cpu_seconds=result.cpu_seconds,
        gpu_busy=result.sampled.get("gpu_busy"),
        gpu_energy_j=result.sampled.get("gpu_energy_j"),
        memory_limit_mib=cgroup.get("limit_mib", record.memory_limit_mib),
        oom_kill_count=cgroup.get("oom_kills"),
        gpu_seconds=record.gpus * record.nodes * (ended - record.started) / max(1, record.packed),
        argv=record.argv,
        image_sha256=record.image.sha256 if record.image else None,
        environment=recorded_environment({**os.environ, **record.environment}),
        python=sys.version.split()[0],
        kernel=os.uname().release,
        packages=list_packages() if record.image is None else None,
        git_commit=record.git.commit if record.git else None,
        git_dirty=record.git.dirty if record.git else None,
        sanity=result.sanity,
        hang=result.hang,
        watched=result.watched,
        unfit=result.unfit,
        unfit_nodes=result.unfit_nodes,
        data_hash=_text_or_none(outcome.get("data_hash")) or _printed_data_hash(attempt),
    )


def _own_of_pack(
    cgroup: Mapping[str, Any], record: TaskRecord, result: Supervision, kills_before: int
) -> dict[str, Any]:
    """What a memory cgroup that is shared tells of one task: a kill during its life where SIGKILL ended it."""
    killed = signal.SIGKILL in (result.signal, (result.exit_code or 0) - 128)
    kills = max(0, (cgroup.get("oom_kills") or 0) - kills_before) if killed else 0
    return {"limit_mib": record.resources.memory_mib, **({"oom_kills": kills} if "oom_kills" in cgroup else {})}


def kernel_kills() -> int:
    """How many processes the kernel has killed for memory in our memory cgroup so far."""
    return int(_memory_cgroup().get("oom_kills") or 0)


def _largest_child_mib() -> float:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def _text_or_none(value: object) -> str | None:
    """What the program wrote, as text: its own file may hold anything."""
    return None if value is None else str(value)


def _printed_data_hash(attempt: AttemptLayout) -> str | None:
    """What stands behind ``data_hash:`` in the first line of the output that begins with it; None without one."""
    try:
        with open_regular(attempt.stdout) as file:
            found = _DATA_HASH.search(file.read(_DATA_HASH_WITHIN))
    except (InputError, OSError):
        return None
    return found[1].decode() if found else None


def recorded_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Pick the variables that are kept with a result: ours by name, those of the libraries where they are settings.

    Others may hold anything: the address of a webhook is a secret too.
    """
    return {name: value for name, value in environment.items() if name in _OURS or _is_setting(name, value)}


def _is_setting(name: str, value: str) -> bool:
    """Whether a library's variable holds numbers, short words or devices, and nothing that could open a door."""
    if not name.startswith(_LIBRARIES) or any(each in name.upper() for each in _SECRET):
        return False
    return all(_SETTING.fullmatch(piece) for piece in re.split(r"[,:;=^%/ ]", value))


def _memory_cgroup() -> dict[str, Any]:
    """Read peak, limit and kills of the memory cgroup (v1 or v2) of this step; empty where there is none."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return {}
    found: dict[str, Any] = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "slurm" not in path or controllers not in ("memory", ""):
            continue
        old = controllers == "memory"
        folder = Path("/sys/fs/cgroup" + ("/memory" if old else "") + path)
        # The step's own folder; the limit may stand one or two levels above (step_batch/user/task_0).
        for level in (folder, *list(folder.parents)[:3]):
            if "job_" not in str(level):
                break  # above the job stand its neighbours
            found.setdefault("peak_mib", _mib(level / ("memory.max_usage_in_bytes" if old else "memory.peak")))
            limit = _mib(level / ("memory.limit_in_bytes" if old else "memory.max"))
            if limit and limit < 2**40 and not found.get("limit_mib"):
                found["limit_mib"] = limit
            events = _read(level / ("memory.oom_control" if old else "memory.events"))
            if (kills := re.search(r"^oom_kill (\d+)", events, re.MULTILINE)) and int(kills[1]):
                found["oom_kills"] = int(kills[1])
        found.setdefault("oom_kills", 0)
    return {key: value for key, value in found.items() if value is not None}


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _mib(path: Path) -> float | None:
    text = _read(path).strip()
    return int(text) / 2**20 if text.isdecimal() else None


def _peak_gpu_memory(attempt: AttemptLayout) -> float | None:
    """Take what the program measured on its device; nobody outside knows it better."""
    peak = summary_of(attempt)[0].get("peak_gpu_memory_mib")
    return peak if isinstance(peak, (int, float)) else None


def summary_of(attempt: AttemptLayout) -> tuple[dict[str, Any], bool, int | None]:
    """Return the final values the program left, whether its metrics are complete, and the last step it logged."""
    told = object_or_empty(attempt.home / "summary.json")
    values, step = told.get("summary"), told.get("last_step")
    return values if isinstance(values, dict) else {}, told.get("complete") is True, step if type(step) is int else None


def list_packages() -> dict[str, str]:
    """List the packages of this interpreter, for programs that run in it.

    By the names of their ``NAME-VERSION.dist-info`` folders: opening a hundred metadata files would take longer than
    all else the wrapper does, and at the end of every task on a shared file system.
    """
    # The first place on the path wins, as it does for `import`.
    found = (name for place in reversed(sys.path) for name in _names_in(place) if name.endswith(".dist-info"))
    named = (name.removesuffix(".dist-info").partition("-") for name in found)
    return {name.replace("_", "-"): version for name, _, version in named}


def _names_in(place: str) -> list[str]:
    """Names of what lies in a folder of Python's path; nothing where it is none, such as an archive."""
    try:
        return os.listdir(place or ".")  # noqa: PTH208  hundreds of names
    except OSError:
        return []


def conclude(task: TaskLayout, attempt: AttemptLayout, ended: ExitRecord) -> None:
    """Write how it ended: ``exit.json`` for us, ``metrics.json`` for people.

    Raises:
        FileNotFoundError: The attempt's folder was removed; nothing is made anew.
        OSError: The disk is full or not writable.
    """
    write_json(attempt.exit_json, ended.to_json(), parents=False)
    code, (values, complete, _) = ended.exit_code, summary_of(attempt)
    outcomes: dict[int | None, str] = {EXIT_DONE: "finished", EXIT_CHECKPOINTED: "checkpointed"}
    outcome = outcomes.get(code, "failed")
    head = {"outcome": outcome, "exit_code": code, "signal": ended.signal, "attempt": attempt.number}
    told = {**head, "complete": complete, **values}
    write_json(task.metrics_json, told, parents=False, lasting=Lasting.CONTENT)
