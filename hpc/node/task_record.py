"""What an attempt is asked to do, resolved from a submission's index to the last argument: ``task.json``.

Standard library only: the wrapper on the compute node imports it.
"""

import _socket  # what `socket` is made of, without the classes it makes around it
import contextlib
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpc.adapters import proc
from hpc.adapters.files import read_record_or_none
from hpc.core.errors import HpcError, InputError
from hpc.core.experiment.processes import THREADS, processes_of
from hpc.core.immutable import immutable, replace
from hpc.core.launch.arguments import arguments_of, check_argv, sanity_argv, task_argv, task_files
from hpc.core.launch.expansion import UnsetError, expand
from hpc.core.launch.launchers import deepspeed_config
from hpc.core.launch.program import launch_of
from hpc.core.layout import AttemptLayout, RunLayout, TaskLayout
from hpc.core.records.index import BY_DEFAULT, Element, Image, SubmissionIndex, Used
from hpc.core.records.task import Rendezvous, TaskRecord
from hpc.node.attempt import Job, resume_point

PORTS_APART = 40
"""Between the first ports that two tasks of a pack look at."""


def with_learned(index: SubmissionIndex, entry: Element, layout: RunLayout, cluster: str = "") -> Element:
    """Lower a micro-batch that another task of the same shape has shown to fail; the global batch is kept exactly."""
    if index.batch is None or entry.micro_batch is None or entry.global_batch is None:
        return entry
    from hpc.core.retry.learned import NOTHING_KNOWN, Learned, shape_of_element, starting_micro

    micro = entry.micro_batch
    world_size = processes_of(index.program, index.launch, index.resources).total
    shape = shape_of_element(index, entry, cluster)
    try:
        known = read_record_or_none(layout.learned, Learned)
        content = known.to_json() if known else NOTHING_KNOWN
        lower = starting_micro(content, shape, micro, entry.global_batch, world_size, index.batch.min_micro)
    except InputError as error:
        # A help and no condition: damaged, it helps nobody.
        print(f"hpc: {layout.learned} is not used: {error}", flush=True)
        lower = None
    if lower is None:
        return entry
    steps = f"accumulation {entry.accumulation} → {lower[1]}"
    change = f"micro_batch {micro} → {lower[0]}, {steps}: {lower[2]}"
    return replace(entry, micro_batch=lower[0], accumulation=lower[1], changes=(*entry.changes, change))


def _shape(index: SubmissionIndex, entry: Element, cluster: str) -> str:
    """Name the shape of an element; empty where no batch is declared."""
    if index.batch is None:
        return ""
    from hpc.core.retry.learned import shape_of_element

    return shape_of_element(index, entry, cluster)


def build_task(index: SubmissionIndex, entry: Element, task: TaskLayout, number: int, job: Job) -> TaskRecord:
    """Resolve one element to everything this attempt does: the content of ``task.json``."""
    attempt, resume_from = task.attempt(number), str(resume_point(entry, task, number) or "")
    record = _here(_asked(index, entry, number, job), job)
    record = replace(record, resume_from=resume_from, workdir=str(_workdir(index, attempt)))
    settings = _settings(index)
    image, objections = _image(index, task, settings.known)
    uses, lacking = _uses(entry, task, resume_from)
    if image and uses:
        image = replace(image, mounts=(*image.mounts, *((str(Path(each.path).parent), True) for each in uses)))
    argv = task_argv(index, entry, task, number, resume_from, uses)
    return replace(
        record,
        argv=argv,
        # Who goes on from a checkpoint has climbed it before.
        sanity=None if resume_from else index.sanity,
        sanity_argv=() if resume_from else sanity_argv(index, entry, task, number, argv),
        files=task_files(index, entry, task, number, resume_from, uses),
        deepspeed=_deepspeed(record),
        uses=uses,
        check_argv=check_argv(index, entry, task, number),
        environment=_environment(index, record, task, attempt, settings.variables),
        image=image,
        obstacle="; ".join([*lacking, *settings.objections, *objections]),
    )


def _asked(index: SubmissionIndex, entry: Element, number: int, job: Job) -> TaskRecord:
    """What the submission asks of an attempt, wherever it runs."""
    resources = index.resources
    processes = processes_of(index.program, index.launch, resources)
    return TaskRecord(
        task_id=entry.task_id,
        run_name=entry.run_name,
        attempt=number,
        submission=index.submission,
        job=job.name,
        restart_count=job.restart_count,
        scheduler=index.scheduler,
        started=time.time(),
        resources=resources,
        code=index.code,
        experiment=index.experiment,
        parameters=entry.parameters,
        seed=entry.seed,
        case=entry.case,
        arguments=arguments_of(index, entry),
        micro_batch=entry.micro_batch,
        accumulation=entry.accumulation,
        global_batch=entry.global_batch,
        changes=entry.changes,
        overrides=entry.overrides,
        altered=entry.altered,
        shape=_shape(index, entry, job.cluster),
        mixed_precision=entry.mixed_precision,
        processes=processes.per_node,
        nodes=resources.nodes,
        on_first_node=processes.nodes < resources.nodes,
        gpus=resources.gpus,
        launch=launch_of(index, entry),
        memory_limit_mib=resources.memory_mib if index.scheduler == "local" else None,
        metrics_source=index.metrics_source,
        primary_metric=index.primary_metric,
        git=index.git,
        manifest_sha=index.manifest_sha,
        seal=index.seal,
        signal_lead_s=index.signal_lead_s,
        inputs=index.program.inputs,
        check=index.check,
        packed=index.pack.at_once if index.pack else 0,
        watch=index.watch,
        preflight=index.preflight,
    )


def _deepspeed(record: TaskRecord) -> Mapping[str, Any]:
    """DeepSpeed's configuration; empty where it was not asked for."""
    if record.launch.zero_stage is None:
        return {}
    return deepspeed_config(record.launch, record.micro_batch, record.accumulation)


def _here(record: TaskRecord, job: Job) -> TaskRecord:
    """Add who executes it, and where its processes meet."""
    return replace(
        record,
        host=proc.this_host(),
        pid=proc.identity(os.getpid()),
        pid_namespace=proc.pid_namespace(),
        slurm=job.slurm,
        rendezvous=rendezvous(job, record.nodes),
    )


def _uses(entry: Element, task: TaskLayout, resume_from: str) -> tuple[tuple[Used, ...], tuple[str, ...]]:
    """The runs of other experiments it starts from, and why it cannot; mostly there are none."""
    if not entry.sources:
        return (), ()
    from hpc.node.sources import look_up

    home = task.home.parents[1]
    return look_up(entry.sources, RunLayout(home.parent, home.name), task, resume_from)


@immutable
class Settings:
    """The variables of profile and experiment as this node has them.

    Attributes:
        variables: What the program is given.
        known: The node's own and these together.
        objections: What could not be expanded.
    """

    variables: Mapping[str, str]
    known: Mapping[str, str]
    objections: tuple[str, ...]


def _settings(index: SubmissionIndex) -> Settings:
    """Expand the profile's variables by the node's, then the experiment's by both; these go before those."""
    given: dict[str, str] = {}
    objections: list[str] = []
    for whose, texts in (("profile", index.profile_environment), ("experiment", index.environment)):
        known = {**os.environ, **given}
        for name, text in texts.items():
            if (whose, name) == ("profile", "PATH") and index.container:
                continue  # it names places of the host, and the container has programs of its own
            try:
                given[name] = expand(text, known)
            except UnsetError as error:
                objections.append(_unset(error, f"the {whose}'s environment gives {name}: {text}"))
    return Settings(given, {**os.environ, **given}, tuple(objections))


def _unset(error: UnsetError, where: str) -> str:
    return f"{error} on {proc.this_host()} ({where}); set it in a line of the profile's setup, or write the value out"


def _image(index: SubmissionIndex, task: TaskLayout, known: Mapping[str, str]) -> tuple[Image | None, tuple[str, ...]]:
    """Add what every container needs to see (`_mounts`), and the binds.

    Returns:
        The image, None without one; and which binds could not be expanded.
    """
    if index.container is None:
        return None, ()
    binds, objections = list[str](), list[str]()
    for bind in index.container.binds:
        try:
            binds.append(_expanded_bind(bind, known))
        except UnsetError as error:
            objections.append(_unset(error, f"bind {bind}"))
        except ValueError as error:
            objections.append(f"bind {bind}: {error}")
    mounts = _mounts(index, task)
    if index.container.runtime == "pyxis":
        from hpc.adapters.pyxis import mount_problem

        objections += filter(None, (mount_problem(path) for path, _ in mounts))
    return replace(index.container, binds=tuple(binds), mounts=mounts), tuple(objections)


def _expanded_bind(bind: str, known: Mapping[str, str]) -> str:
    """Expand each part by itself: a value with a colon or comma would be read as another bind.

    Raises:
        UnsetError: It names a variable that is not set.
        ValueError: A value cannot stand in a bind.
    """
    parts = [expand(part, known) for part in bind.split(":")]
    for part in parts:
        if not part or set(part) & set(":,"):
            raise ValueError(f"{part!r} cannot stand in a bind: it is empty, or holds a colon or comma")
    return ":".join(parts)


def _workdir(index: SubmissionIndex, attempt: AttemptLayout) -> Path:
    """Where the program is started; before the toolkit lay beside the code, that was the copy of the code."""
    return attempt.work / index.program.workdir if index.toolkit else Path(index.code.path)


def _mounts(index: SubmissionIndex, task: TaskLayout) -> tuple[tuple[str, bool], ...]:
    """What every container needs to see: the run's own folder; and read-only the code, ours, and the inputs."""
    read = (index.code.path, *([index.toolkit.path] if index.toolkit else []), *index.program.inputs.values())
    workdir = [(index.program.workdir, False)] if Path(index.program.workdir).is_absolute() else []
    return (*((path, True) for path in read), (str(task.home), False), *workdir)


def _python_path(index: SubmissionIndex, attempt: AttemptLayout) -> str:
    """Where the program's Python imports from before all else: the user's code, then ours."""
    if index.toolkit is None:
        return index.code.path
    return os.pathsep.join([*(str(attempt.work / root) for root in index.code.roots), index.toolkit.path])


def _environment(
    index: SubmissionIndex, record: TaskRecord, task: TaskLayout, attempt: AttemptLayout, settings: Mapping[str, str]
) -> dict[str, str]:
    """Return what the program is told by environment: our variables, wandb's, and the user's own settings."""
    threads = processes_of(index.program, index.launch, index.resources).threads
    variables = {
        # What the site or the caller has set before us is meant; a container sees it because it stands here.
        THREADS: os.environ.get(THREADS) or str(threads),
        **settings,
        "PYTHONPATH": _python_path(index, attempt),
        "HPC_EXPERIMENT": index.experiment,
        "HPC_TASK_ID": record.task_id,
        "HPC_RUN_NAME": record.run_name,
        "HPC_TASK_DIR": str(task.home),
        "HPC_ATTEMPT": str(record.attempt),
        "HPC_ATTEMPT_DIR": str(attempt.home),
        "HPC_RESUME_FROM": record.resume_from,
        "HPC_MANIFEST_SHA": index.manifest_sha,
        "HPC_IMAGE_SHA256": index.container.sha256 if index.container else "",
        "HPC_GIT_COMMIT": (index.git.commit if index.git else None) or "",
    }
    if own := settings.get("PYTHONPATH"):
        variables["PYTHONPATH"] += os.pathsep + own
    if index.wandb:
        variables |= _wandb_variables(index, index.wandb, record, attempt, {**os.environ, **settings})
    return variables


def _wandb_variables(
    index: SubmissionIndex,
    asked: Mapping[str, Any],
    record: TaskRecord,
    attempt: AttemptLayout,
    given: Mapping[str, str],
) -> dict[str, str]:
    """What wandb finds: one run a task, offline in the attempt's folder. wandb itself is not imported here.

    An experiment that says nothing of it leaves what somebody has set as it is, and our own programs silent: what they
    measure is recorded, and sent from there.
    """
    told = {
        "WANDB_MODE": str(asked.get("mode", "offline")),
        "WANDB_PROJECT": str(asked.get("project", index.experiment)),
        "WANDB_ENTITY": str(asked.get("entity", "")),
        "WANDB_NAME": record.run_name,
        "WANDB_RUN_ID": record.task_id,
        "WANDB_RUN_GROUP": index.experiment,
        "WANDB_NOTES": str(asked.get("notes", "")),
        "WANDB_RESUME": "allow",
        "WANDB_DIR": str(attempt.home),
    }
    told = {name: value for name, value in told.items() if value}
    if BY_DEFAULT not in asked:
        return told
    silent = {} if given.get("WANDB_MODE") or given.get("WANDB_PROJECT") else {"HPC_WANDB": BY_DEFAULT}
    return {name: value for name, value in told.items() if not given.get(name)} | silent


def rendezvous(job: Job, nodes: int) -> Rendezvous:
    """Find where the processes of this task meet: node 0's address, and a port nobody listens on.

    The search starts at a port made of the job's number, and of the place in a pack, so that tasks that start together
    on one machine do not meet.
    """
    address = "127.0.0.1"
    if nodes > 1:
        # A last resort: each node is told a better one by srun (`hpc.node.supervise.main`).
        import socket  # here: most tasks have one node, and it takes longer to load than all that is done with it

        address = socket.gethostbyname(socket.gethostname())
    numbers = [int(part) for part in re.findall(r"\d+", job.slurm.get("SLURM_JOB_ID", "")) or [str(os.getpid())]]
    first = 20000 + (numbers[0] * 7 + job.place * PORTS_APART) % 10000
    for port in range(first, first + 2000):
        with contextlib.closing(_socket.socket()) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return Rendezvous(address, port)
    raise HpcError(f"no free port between {first} and {first + 2000} on {proc.this_host()}")
