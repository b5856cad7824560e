"""The gate before a run: what a node has to show before a program is started on it. A few seconds.

What the wrapper sees itself comes first (folders, room, binds); then the self test of `hpc.checkup`, started as the
program will be, in its container and environment, tells of GPUs, ``/dev/shm`` and processes that add. Where that
cannot run (no Python there), nothing is held against the node. Standard library only.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpc.adapters import proc
from hpc.adapters.files import write_text
from hpc.core.experiment.program import Preflight
from hpc.core.launch.launchers import Placement
from hpc.core.layout import AttemptLayout
from hpc.core.records.task import TaskRecord

AsProgram = Callable[[Sequence[str]], tuple[Sequence[str], Mapping[str, str]]]
SELF_TEST = Path(__file__).parents[1] / "checkup/self_test.py"
LEAST_SCRATCH_MIB = 64
"""Room that every program needs for its temporary files."""
_SLACK_S = 20.0
"""For the interpreter and the vendor's tool, beside what the ranks may take."""
_MODEL = re.compile(r"[a-z]*\d{2,}[a-z]*")
_PART = re.compile(r"_\dg\.\d+gb$")
"""What stands behind the name of a GPU that is divided: ``a100_3g.20gb``."""


def find_unfit(
    task: TaskRecord, asked: Preflight, attempt: AttemptLayout, place: Placement, as_program: AsProgram
) -> str:
    """Say what this node lacks: ``gpu: …``, ``node: …``, ``disk: …``, ``ranks: …``; empty where it is fit.

    Args:
        as_program: Puts a command line where the program's is put: into its container and environment.
    """
    found = next(_seen_from_outside(task, attempt), "")
    answer: Mapping[str, Any] | str = {}
    if not found:
        answer = _self_test(task, asked, place, as_program)
        found = "" if isinstance(answer, str) else next(_seen_from_inside(task, asked, answer), "")
    if isinstance(answer, str):
        print(f"hpc: the preflight check could not run: {answer}", flush=True)
    if found:
        print(f"hpc: {proc.this_host()} failed the preflight check for {task.run_name}: {found}", flush=True)
        _keep(attempt, place, found, answer)
    return found


def _keep(attempt: AttemptLayout, place: Placement, found: str, answer: object) -> None:
    log = attempt.preflight_log if place.node_rank == 0 else attempt.home / f"preflight.node{place.node_rank}.log"
    write_text(log, f"{proc.this_host()}: {found}\n{json.dumps(answer, indent=1)}\n", parents=False)


def _seen_from_outside(task: TaskRecord, attempt: AttemptLayout) -> Iterator[str]:
    """What the wrapper sees of its node without starting anything."""
    binds = task.image.binds if task.image else ()
    for source in [bind.split(":")[0] for bind in binds] + list(task.inputs.values()):
        if source.startswith("/") and not Path(source).exists():
            yield f"node: {source} does not exist"
    wanted = task.resources.disk_mib or 0
    if wanted and (free := _free_mib(attempt.home)) is not None and free < wanted:
        yield f"disk: the run folder has {free} MiB free; resources.disk asks for {wanted}"
    scratch = Path(task.environment.get("TMPDIR", "/tmp"))  # noqa: S108  its room is looked at
    if (free := _free_mib(scratch)) is not None and free < LEAST_SCRATCH_MIB:
        yield f"node: {scratch} has only {free} MiB free"


def _free_mib(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free >> 20
    except OSError:
        return None


def _self_test(task: TaskRecord, asked: Preflight, place: Placement, as_program: AsProgram) -> Mapping[str, Any] | str:
    """Run the self test as the program will be run; what it printed, or why it printed nothing."""
    world = task.processes * (1 if task.on_first_node else task.nodes)
    adds = asked.all_reduce and world > 1
    ranks = {
        "here": task.processes,
        "world": world if adds else 1,
        "first": place.node_rank * task.processes,
        "meeting": f"tcp://{place.address}:{place.port}",
        "limit_s": asked.time_s,
        "multiply": asked.matmul,
    }
    wanted: dict[str, Any] = {"gpu_names": task.gpus > 0}
    if adds or (asked.matmul and task.gpus):
        wanted["ranks"] = ranks
    argv = ("python3", "-", json.dumps(wanted))
    line, environment = as_program(argv)
    try:
        done = subprocess.run(
            line, input=SELF_TEST.read_text(encoding="utf-8"), env=environment, capture_output=True, text=True,
            errors="replace", timeout=asked.time_s + _SLACK_S, check=False, cwd=task.workdir or "/",
        )  # fmt: skip
        told = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return ((done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return told if isinstance(told, dict) else "unexpected output"


def _seen_from_inside(task: TaskRecord, asked: Preflight, answer: Mapping[str, Any]) -> Iterator[str]:
    """What the self test shows to be missing."""
    seen, names = int(answer.get("gpus") or 0), list(answer.get("gpu_names") or ())
    if task.gpus and seen < task.gpus:
        yield f"gpu: {task.gpus} requested, {seen} found"
    if task.gpus and asked.gpu and (other := [name for name in names if not is_of_type(name, asked.gpu)]):
        yield f"gpu: found {other[0]}, requested {asked.gpu}"
    shm = answer.get("shm_mib")
    if shm is None or shm < asked.shm_mib:
        yield f"node: /dev/shm has {shm or 0} MiB; preflight.shm asks for {asked.shm_mib}"
    yield from _ranks_failed(answer.get("ranks") or (), task, asked)


def _ranks_failed(said: Sequence[str], task: TaskRecord, asked: Preflight) -> Iterator[str]:
    """What the processes say that multiply and add."""
    world = task.processes * (1 if task.on_first_node else task.nodes)
    for number, text in enumerate(said):
        last = (text.splitlines() or ["no output"])[-1][:300]
        if asked.matmul and "multiplied" not in text:
            yield f"{'gpu' if task.gpus else 'node'}: matrix product failed in process {number}: {last}"
    for number, text in enumerate(said):
        last = (text.splitlines() or ["no output"])[-1][:300]
        if asked.all_reduce and world > 1 and f"sum {float(world)}" not in text:
            yield f"ranks: all-reduce failed in process {number}: {last}"


def is_of_type(name: str, wanted: str) -> bool:
    """Whether a GPU's name is of the type asked for, however a site spells it: ``a100_3g.20gb``, ``tesla_v100``."""
    plain, spelled = (re.sub(r"[^a-z0-9]", "", each.lower()) for each in (name, _PART.sub("", wanted.lower())))
    model = _MODEL.search(_PART.sub("", wanted.lower()))
    return spelled in plain or (model is not None and model[0] in plain) or not any(map(str.isdigit, spelled))
