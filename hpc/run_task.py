"""Run one array element on the compute node: claim it, start it, watch it, record how it ended.

Usage, in the array script:  python -m hpc.run_task SUBMISSION/index.json "$SLURM_ARRAY_TASK_ID"
By hand, outside Slurm:      python -m hpc.run_task runs/lora_sweep/manifest.json 3     (the manifest's fourth task)

Starts thousands of times on a shared file system, so it imports the standard library only. Its exit code is the
program's (0 finished, 85 checkpointed), or 0 when there was nothing to run because somebody else has the task.
"""

import contextlib
import json
import os
import platform
import re
import resource
import secrets
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc.adapters import proc, slurm
from hpc.adapters.files import publish_folder, read_json, read_json_or_none, write_json, write_text
from hpc.core.errors import EXIT_CHECKPOINTED, EXIT_DONE, EXIT_FAILED, EXIT_USAGE, HpcError, InputError
from hpc.core.launch import launch_of, program_argv
from hpc.core.launchers import Placement
from hpc.core.layout import AttemptLayout, RunLayout, TaskLayout, attempt_number
from hpc.core.learned import NOTHING_KNOWN, shape_of_element, starting_micro
from hpc.node import Supervision, placement_of, supervise

REQUEUE_WAIT_S = 60.0
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)


@dataclass(frozen=True)
class Job:
    """Which execution this is, by the scheduler's numbers.

    Attributes:
        name: ``12_3``, ``12``, or ``local-…`` without Slurm.
        restart_count: How often the scheduler has put the same element back into the queue.
        slurm: Every SLURM_ id worth keeping.
    """

    name: str
    restart_count: int
    slurm: Mapping[str, str]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Job":
        """Read Slurm's variables, or those of the local backend."""
        kept = {
            key: environment[key]
            for key in (
                "SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID",
                "SLURM_RESTART_COUNT", "SLURM_JOB_NODELIST", "SLURM_JOB_PARTITION", "SLURMD_NODENAME",
            )
            if key in environment
        }  # fmt: skip
        if "SLURM_JOB_ID" not in environment:
            name = environment.get("HPC_LOCAL_JOB") or f"local-{secrets.token_hex(4)}"
            return cls(name, int(environment.get("HPC_LOCAL_RESTART", "0")), {})
        array = environment.get("SLURM_ARRAY_JOB_ID")
        name = f"{array}_{environment['SLURM_ARRAY_TASK_ID']}" if array else environment["SLURM_JOB_ID"]
        return cls(name, int(environment.get("SLURM_RESTART_COUNT", "0")), kept)


def next_attempt(task: TaskLayout, entry: Mapping[str, Any], submission: int, job: Job) -> int | None:
    """Decide which attempt this execution may start; None when the task is somebody else's or done.

    The submission authorises one attempt number, so a script that is submitted twice runs nothing twice. Only the same
    array element, put back into the queue by Slurm (preemption, lost node, exit 85), may go on with the next number.
    """
    last = last_attempt(task)
    if last < entry["attempt"]:
        return int(entry["attempt"])
    record = read_json_or_none(task.attempt(last).task_json) or {}
    same_element = record.get("job") == job.name and record.get("submission") == submission
    if same_element and record["restart_count"] < job.restart_count and not _has_finished(task.attempt(last)):
        return last + 1
    return None


def last_attempt(task: TaskLayout) -> int:
    """Number of the newest attempt; 0 before the first."""
    numbers = (attempt_number(path.name) or 0 for path in task.home.iterdir()) if task.home.is_dir() else ()
    return max(numbers, default=0)


def _has_finished(attempt: AttemptLayout) -> bool:
    record = read_json_or_none(attempt.exit_json)
    return record is not None and record["exit_code"] == EXIT_DONE


def find_checkpoint(task: TaskLayout, first: int, before: int, name: str = "") -> Path | None:
    """Find the newest complete checkpoint, or the one of that name, that attempts `first` to `before` - 1 left."""
    for number in range(before - 1, first - 1, -1):
        folder = task.attempt(number).checkpoints
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        complete = [each for each in names if not each.endswith(".tmp") and not each.startswith(".")]
        if name in complete or (complete and not name):
            return folder / (name or complete[-1])
    return None


def resume_point(entry: Mapping[str, Any], task: TaskLayout, number: int) -> Path | None:
    """Where an attempt goes on: after a restart by Slurm from what this element left, else as the submission says."""
    own = find_checkpoint(task, entry["attempt"], number)
    if own or not entry["resume"]:
        return own
    return find_checkpoint(task, 1, entry["attempt"], entry["resume_from"])


def processes_of(index: Mapping[str, Any]) -> int:
    """Processes per node."""
    return int(index["launch"]["processes"] or max(1, index["resources"]["gpus"]))


def with_learned(index: Mapping[str, Any], entry: Mapping[str, Any], layout: RunLayout) -> Mapping[str, Any]:
    """Lower a micro-batch that another task of the same shape has shown to fail; the global batch is kept exactly."""
    batch, resources = index["batch"], index["resources"]
    if not batch:
        return entry
    shape = shape_of_element(index, entry)
    micro, world_size = entry["micro_batch"], processes_of(index) * resources["nodes"]
    try:
        known = read_json_or_none(layout.learned) or NOTHING_KNOWN
        lower = starting_micro(known, shape, micro, entry["global_batch"], world_size, batch.get("min_micro", 1))
    except (InputError, KeyError, TypeError, AttributeError) as error:
        # A help and no condition: damaged, it helps nobody.
        print(f"hpc: {layout.learned} is not used: {error}", flush=True)
        lower = None
    if lower is None:
        return {**entry, "shape": shape}
    steps = f"accumulation {entry['accumulation']} → {lower[1]}"
    change = f"micro_batch {micro} → {lower[0]}, {steps}: {lower[2]}"
    learned = {"micro_batch": lower[0], "accumulation": lower[1], "changes": [*entry["changes"], change]}
    return {**entry, "shape": shape, **learned}


def build_task(
    index: Mapping[str, Any], entry: Mapping[str, Any], task: TaskLayout, number: int, job: Job
) -> dict[str, Any]:
    """Resolve one element to everything this attempt does: the content of ``task.json``."""
    attempt = task.attempt(number)
    found = resume_point(entry, task, number)
    launch, resources = launch_of(index, entry), index["resources"]
    processes = processes_of(index)
    arguments = {**index["program"]["args"], **entry["parameters"], "seed": entry["seed"], **entry["overrides"]}
    if index["batch"]:
        arguments[index["batch"]["parameter"]] = entry["micro_batch"]
        arguments[index["batch"]["accumulation_parameter"]] = entry["accumulation"]
    local = index["scheduler"] == "local"
    record = {
        "kind": "task",
        "schema": 1,
        "experiment": index["experiment"],
        **{key: entry[key] for key in ("task_id", "run_name", "parameters", "seed", "case")},
        "attempt": number,
        "arguments": arguments,
        **{
            key: entry[key]
            for key in ("micro_batch", "accumulation", "global_batch", "changes", "altered", "overrides")
        },
        "shape": entry.get("shape", ""),
        "mixed_precision": entry.get("mixed_precision", ""),
        "processes": processes,
        "nodes": resources["nodes"],
        "gpus": resources["gpus"],
        "launch": launch,
        "resources": resources,
        "scheduler": index["scheduler"],
        "signal_lead_s": index["signal_lead_s"],
        "memory_limit_mib": resources["memory_mib"] if local else None,
        "metrics_source": index["metrics_source"],
        "primary_metric": index["primary_metric"],
        "code": index["code"],
        "image": _image(index, task),
        "manifest_sha": index["manifest_sha"],
        "seal": index.get("seal"),
        "git": index["git"],
        "submission": index["submission"],
        "job": job.name,
        "restart_count": job.restart_count,
        "slurm": dict(job.slurm),
        "resume_from": str(found or ""),
        "host": proc.this_host(),
        "pid": proc.identity(os.getpid()),
        "started": time.time(),
    }
    places = {
        "out_dir": str(task.home),
        "task_dir": str(task.home),
        "attempt_dir": str(attempt.home),
        "task_json": str(attempt.task_json),
        "run_name": entry["run_name"],
        "experiment": index["experiment"],
        "task_id": entry["task_id"],
        "resume_from": record["resume_from"],
        "case": entry["case"] or "",
        "id": entry["case"] or "",
    }
    is_command = index["program"]["command"] is not None
    record["argv"] = list(
        program_argv(_Program(**index["program"]), {**arguments, **places} if is_command else arguments)
    )
    record["environment"] = _environment(index, record, task, attempt)
    record["rendezvous"] = rendezvous(job, record["nodes"])
    return record


@dataclass(frozen=True)
class _Program:
    """The program as the index names it (`hpc.core.spec.Program`, without its room's imports)."""

    module: str | None
    command: str | None
    args: Mapping[str, Any]


def _image(index: Mapping[str, Any], task: TaskLayout) -> dict[str, Any] | None:
    """Add what every container needs to see: the run's own folder, and the frozen code, read-only."""
    container = index["container"]
    if container is None:
        return None
    return {**container, "mounts": [[index["code"]["path"], True], [str(task.home), False]]}


def _environment(
    index: Mapping[str, Any], record: Mapping[str, Any], task: TaskLayout, attempt: AttemptLayout
) -> dict[str, str]:
    """Give what the program is told by environment: CONTRACT's variables, wandb's, and the experiment's own."""
    image = index["container"] or {}
    variables = {
        **index["environment"],
        "PYTHONPATH": index["code"]["path"],
        "HPC_EXPERIMENT": index["experiment"],
        "HPC_TASK_ID": record["task_id"],
        "HPC_RUN_NAME": record["run_name"],
        "HPC_TASK_DIR": str(task.home),
        "HPC_ATTEMPT": str(record["attempt"]),
        "HPC_ATTEMPT_DIR": str(attempt.home),
        "HPC_RESUME_FROM": record["resume_from"],
        "HPC_MANIFEST_SHA": index["manifest_sha"],
        "HPC_IMAGE_SHA256": image.get("sha256", ""),
        "HPC_GIT_COMMIT": (index["git"] or {}).get("commit", ""),
    }
    if index["wandb"]:
        variables |= {
            "WANDB_MODE": index["wandb"].get("mode", "offline"),
            "WANDB_PROJECT": index["wandb"].get("project", index["experiment"]),
            "WANDB_NAME": record["run_name"],
            "WANDB_RUN_ID": record["task_id"],
            "WANDB_RESUME": "allow",
            "WANDB_DIR": str(attempt.home),
        }
    return variables


def claim(task: TaskLayout, number: int, record: Mapping[str, Any]) -> bool:
    """Take an attempt for this execution: a folder that is complete before it has its name; False when it is taken."""
    task.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    prepared = AttemptLayout(task.home / f".attempt-{number}.{secrets.token_hex(4)}.tmp")
    claimed_by = {key: record[key] for key in ("host", "pid", "job", "restart_count", "submission", "started")}
    try:
        prepared.checkpoints.mkdir(parents=True, mode=0o700)
        write_json(prepared.claim, claimed_by)
        write_json(prepared.task_json, record)
        return publish_folder(prepared.home, task.attempt(number).home)
    finally:
        shutil.rmtree(prepared.home, ignore_errors=True)  # not there any more when it was published


def prepare_task_folder(task: TaskLayout, attempt: AttemptLayout, record: Mapping[str, Any]) -> None:
    """Write what a person looks for beside the attempts: the configuration, and a link to the newest checkpoints."""
    described = {"experiment": record["experiment"], "task_id": record["task_id"], **record["arguments"]}
    # Each value in JSON, which YAML 1.2 contains: no YAML library on the compute node.
    write_text(task.config, "".join(f"{name}: {json.dumps(value)}\n" for name, value in described.items()))
    link = task.home / f".checkpoints.{secrets.token_hex(4)}.tmp"
    link.symlink_to(Path(attempt.home.name) / "checkpoints")
    with contextlib.suppress(IsADirectoryError):  # a program that made the folder itself keeps it
        os.replace(link, task.checkpoints)
    link.unlink(missing_ok=True)


def rendezvous(job: Job, nodes: int) -> dict[str, Any]:
    """Find where the processes of this task meet: node 0's address, and a port nobody listens on.

    The search starts at a port made of the job's number, so that tasks that start together on one machine do not meet.
    """
    address = "127.0.0.1"
    if nodes > 1:
        # A last resort: each node is told a better one by srun (`hpc.node.main`).
        address = socket.gethostbyname(socket.gethostname())
    numbers = [int(part) for part in re.findall(r"\d+", job.slurm.get("SLURM_JOB_ID", "")) or [str(os.getpid())]]
    first = 20000 + (numbers[0] * 7) % 10000
    for port in range(first, first + 2000):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return {"address": address, "port": port}
    raise HpcError(f"no free port between {first} and {first + 2000} on {proc.this_host()}")


def execute(
    record: Mapping[str, Any],
    task: TaskLayout,
    attempt: AttemptLayout,
    is_enough: Callable[[], bool] = lambda: False,
) -> Supervision:
    """Run the program on all nodes of the task, to its end or until it `is_enough`."""

    def is_fenced() -> bool:
        return last_attempt(task) > attempt.number

    if record["nodes"] == 1:
        return supervise(record, attempt, placement_of(record, 0), is_fenced=is_fenced, is_enough=is_enough)
    over_nodes = {
        **record,
        "launch": {**record["launch"], "kind": "plain"},
        "nodes": 1,
        "processes": 1,
        "image": None,
        "metrics_source": ["hdf5", ""],
        "argv": [
            "srun", f"--nodes={record['nodes']}", f"--ntasks={record['nodes']}", "--ntasks-per-node=1",
            "--kill-on-bad-exit=1",
            # Since Slurm 22.05 a step no longer takes this from the job, and would get one core.
            f"--cpus-per-task={record['resources']['cpus']}",
            sys.executable, "-P", "-m", "hpc.node", str(attempt.task_json),
        ],
    }  # fmt: skip
    return supervise(over_nodes, attempt, Placement(gpus=record["gpus"]), is_fenced=is_fenced, is_enough=is_enough)


def exit_record(record: Mapping[str, Any], result: Supervision, attempt: AttemptLayout) -> dict[str, Any]:
    """Collect how the attempt ended: the content of ``exit.json``."""
    outcome = read_json_or_none(attempt.outcome)
    recorded = outcome["code"] if outcome else None
    # Launchers say 1 whatever their ranks did, and gloo may abort after the work is done: the program's own record,
    # written as its last act, is what counts.
    exit_code = recorded if recorded in (EXIT_DONE, EXIT_CHECKPOINTED) else result.exit_code
    ended = time.time()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    cgroup = _memory_cgroup()
    peaks = [usage.ru_maxrss / 1024, *filter(None, [cgroup.get("peak_mib")])]
    return {
        "kind": "exit",
        "schema": 1,
        "exit_code": exit_code,
        "signal": result.signal if exit_code is None else None,
        "launcher_exit_code": result.exit_code if result.exit_code is not None else 128 + (result.signal or 0),
        "program_outcome": recorded,
        "signals_received": result.received,
        "timed_out": result.timed_out,
        "fenced": result.fenced,
        "output_lost": result.output_lost,
        "started": record["started"],
        "ended": ended,
        "host": record["host"],
        "slurm": {**record["slurm"], "restart_count": record["restart_count"]},
        "peak_memory_mib": max(peaks),
        "peak_gpu_memory_mib": _peak_gpu_memory(attempt),
        "memory_limit_mib": cgroup.get("limit_mib", record["memory_limit_mib"]),
        "oom_kill_count": cgroup.get("oom_kills"),
        "gpu_seconds": record["gpus"] * record["nodes"] * (ended - record["started"]),
        "argv": record["argv"],
        "image_sha256": (record["image"] or {}).get("sha256"),
        "environment": {
            name: value
            for name, value in {**os.environ, **record["environment"]}.items()
            if name.startswith(("HPC_", "CUDA_", "OMP_", "NCCL_", "ACCELERATE_")) and not _SECRET.search(name)
        },
        "python": platform.python_version(),
        "kernel": platform.release(),
        "packages": _packages() if record["image"] is None else None,
        "git_commit": (record["git"] or {}).get("commit"),
        "git_dirty": (record["git"] or {}).get("dirty"),
        "data_hash": (outcome or {}).get("data_hash"),
    }


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
    summary = read_json_or_none(attempt.home / "summary.json") or {}
    return (summary.get("summary") or {}).get("peak_gpu_memory_mib")


def _packages() -> dict[str, str]:
    """List the packages of this interpreter, for programs that run in it.

    By the names of their ``NAME-VERSION.dist-info`` folders: opening a hundred metadata files would take longer than
    all else the wrapper does, and at the end of every task on a shared file system.
    """
    # The first place on the path wins, as it does for `import`.
    folders = [folder.stem for place in reversed(sys.path) for folder in Path(place).glob("*.dist-info")]
    named = (folder.partition("-") for folder in folders)
    return {name.replace("_", "-"): version for name, _, version in named}


def conclude(task: TaskLayout, attempt: AttemptLayout, ended: Mapping[str, Any]) -> None:
    """Write how it ended: ``exit.json`` for us, ``metrics.json`` for people."""
    write_json(attempt.exit_json, ended)
    summary = read_json_or_none(attempt.home / "summary.json") or {}
    code = ended["exit_code"]
    outcome = {EXIT_DONE: "finished", EXIT_CHECKPOINTED: "checkpointed"}.get(code, "failed")
    write_json(
        task.metrics_json,
        {"outcome": outcome, "exit_code": code, "signal": ended["signal"], "attempt": attempt.number,
         "complete": bool(summary.get("complete")), **(summary.get("summary") or {})},
    )  # fmt: skip


def obstacle_to_restart(
    task: TaskLayout, attempt: AttemptLayout, record: Mapping[str, Any], ended: Mapping[str, Any]
) -> str:
    """Say why an attempt that exited with 85 is not started again by its own wrapper; empty when it is."""
    if "TERM" in ended["signals_received"] or ended["timed_out"]:
        # Cancelled: it stays so. Preempted: Slurm requeues it by itself. Out of time: the collector may give it more.
        return "it was told to end"
    left = find_checkpoint(task, attempt.number, attempt.number + 1)
    if left is None or left.name <= Path(record["resume_from"]).name:
        # A program that checkpoints where it began would be started for ever.
        return "it left no new checkpoint"
    return ""


def start_again(attempt: AttemptLayout, job: Job, obstacle: str) -> int:
    """After exit 85: put this element back into the queue (or let the local backend do so); give our exit code."""
    if obstacle:
        print(f"hpc: attempt {attempt.number} is not started again: {obstacle}", flush=True)
        return EXIT_FAILED
    if job.slurm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Slurm's answer to a requeue is to end us
        try:
            slurm.requeue(job.name)
            time.sleep(REQUEUE_WAIT_S)
        except HpcError as error:
            print(f"hpc: cannot requeue: {error}; the collector will start it again", flush=True)
    return EXIT_CHECKPOINTED


def find_element(path: Path, position: int) -> tuple[dict[str, Any], dict[str, Any], RunLayout]:
    """Find one element by a submission's index, or a task by the manifest (in the newest submission that holds it).

    Raises:
        InputError: The file is neither, or has no such element.
    """
    content = read_json(path)
    kind = content.get("kind") if isinstance(content, dict) else None
    if kind not in ("submission", "manifest"):
        raise InputError("neither an index of a submission (submissions/NNN/index.json) nor a manifest.json", str(path))
    elements = content["entries" if kind == "submission" else "tasks"]
    if position >= len(elements):
        raise InputError(f"index {position}; this {kind} has 0 to {len(elements) - 1}", str(path))
    if kind == "submission":
        return content, elements[position], RunLayout(path.parents[3], path.parents[2].name)
    layout = RunLayout(path.parents[1], path.parent.name)
    for folder in sorted(layout.submissions.glob("[0-9]*"), reverse=True):
        index = read_json(folder / "index.json")
        for entry in index["entries"]:
            if entry["task_id"] == elements[position]["task_id"]:
                return index, entry, layout
    raise InputError(f"no submission holds task {position}; plan again", str(path))


def run(index_path: Path, position: int) -> int:
    """Run one element; give the exit code."""
    index, entry, layout = find_element(index_path.absolute(), position)
    task, job = layout.task(entry["run_name"]), Job.from_environment(os.environ)
    number = next_attempt(task, entry, index["submission"], job)
    if number is None:
        print(f"hpc: {entry['run_name']} is already taken (attempt {last_attempt(task)}); nothing to do", flush=True)
        return EXIT_DONE
    record = build_task(index, with_learned(index, entry, layout), task, number, job)
    attempt = task.attempt(number)
    if not claim(task, number, record):
        print(f"hpc: {entry['run_name']} attempt {number} was claimed by another execution; nothing to do", flush=True)
        return EXIT_DONE
    print(f"hpc: {entry['run_name']} attempt {number}, job {job.name} on {proc.this_host()}", flush=True)
    prepare_task_folder(task, attempt, record)
    ended = exit_record(record, execute(record, task, attempt), attempt)
    if ended["fenced"]:
        write_json(attempt.exit_json, ended)  # the task's own files belong to the newer attempt
        return EXIT_DONE
    obstacle = obstacle_to_restart(task, attempt, record, ended)
    code = ended["exit_code"] if ended["exit_code"] is not None else 128 + ended["signal"]
    wants_more = code == EXIT_CHECKPOINTED
    conclude(task, attempt, {**ended, "starts_again": wants_more and not obstacle})
    print(f"hpc: {entry['run_name']} attempt {number} ended with {code}", flush=True)
    return start_again(attempt, job, obstacle) if wants_more else int(code)


def main(arguments: Sequence[str]) -> int:
    """Read the command line; say in a sentence what is wrong with it."""
    if list(arguments) in (["--help"], ["-h"]):
        print(__doc__)
        return EXIT_DONE
    if len(arguments) != 2 or not arguments[1].isdecimal():
        print(__doc__, file=sys.stderr)
        return EXIT_USAGE
    try:
        return run(Path(arguments[0]), int(arguments[1]))
    except (HpcError, OSError) as error:
        print(f"hpc: {error}", file=sys.stderr, flush=True)
        return error.exit_code if isinstance(error, HpcError) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
