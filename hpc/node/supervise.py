"""One node's share of an attempt: start the launch line, log, forward signals to the ranks, leave nothing behind.

`hpc.run_task` calls it directly for one node; for several it starts one of these on each through srun:

    srun --nodes=2 --ntasks-per-node=1 python -m hpc.node.supervise ATTEMPT_DIR/task.json

Standard library only. What reads a program's stdout (`pump`) and what puts several nodes together (`shares`) is loaded
where it is needed.
"""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from hpc.adapters import proc
from hpc.adapters.files import open_log, read_record
from hpc.core.errors import EXIT_CHECKPOINTED, EXIT_DONE, EXIT_FAILED, EXIT_USAGE, HpcError
from hpc.core.immutable import replace
from hpc.core.launch.launchers import Placement, copies, launch_argv, launch_defaults, launch_environment
from hpc.core.layout import AttemptLayout
from hpc.core.records.task import TaskRecord
from hpc.core.resources import HOUR
from hpc.node.supervision import Loss, Supervision
from hpc.node.watching import Watching

if TYPE_CHECKING:
    from hpc.node.pump import Pump
    from hpc.node.sampler import Sampler

GRACE_S = 15.0
"""How long ranks may take to save and leave after SIGTERM. With the teardown it stays below Slurm's KillWait (30 s by
default), so that the wrapper lives to write how the attempt ended."""
SAMPLE_S = 15.0
"""Between two samples of what is used: the first comes after so long, so that a short run takes none."""
SAMPLE_LATER_S = 30.0
"""The same after the first hour."""
LOOK_S = 5.0
"""Between two looks at the task's folder on the shared file system."""
TEARDOWN_GRACE_S = 5.0
"""How long left-over workers may take once the launcher has gone."""
# Set by launchers for their ranks. Inherited from whoever started us they would make a process believe it is one.
_RANK_VARIABLES = frozenset(
    {"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"}
)
# What a container gets to know of the job it runs in.
_PASSED_ON = (
    "SLURM_", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL",
    "NVIDIA_VISIBLE_DEVICES", "NCCL_", "LANG", "LC_", "WANDB_API_KEY",
)  # fmt: skip
_REFUSALS = {
    errno.ENOENT: (127, "command not found"),
    errno.EACCES: (126, "permission denied"),
    errno.ENOEXEC: (126, "cannot execute: it is not a program, and its first line names no interpreter"),
}
"""Why the kernel starts nothing → what a shell would end with, and say."""


class CannotStartError(HpcError):
    """The program is not there or may not be started.

    Attributes:
        code: What a shell would end with.
    """

    def __init__(self, program: str, number: int) -> None:
        self.code, said = _REFUSALS[number]
        super().__init__(f"{program}: {said}")


def not_started(attempt: AttemptLayout, why: str, exit_code: int) -> Supervision:
    """Leave word of a program that was not started where the program's own would stand."""
    with open_log(attempt.stdout), open_log(attempt.stderr) as file:
        file.write(f"hpc: {why}\n".encode())
    return Supervision(exit_code=exit_code)


def placement_of(task: TaskRecord, node_rank: int) -> Placement:
    """Read process counts, meeting point and options out of ``task.json``."""
    launch, attempt = task.launch, AttemptLayout(Path(task.environment.get("HPC_ATTEMPT_DIR", "")))
    return Placement(
        nodes=1 if task.on_first_node else task.nodes,
        node_rank=node_rank,
        processes=task.processes,
        address=task.rendezvous.address,
        port=task.rendezvous.port,
        gpus=task.gpus,
        mixed_precision=launch.mixed_precision,
        zero_stage=launch.zero_stage,
        offload=launch.offload,
        deepspeed_config=str(attempt.deepspeed) if task.deepspeed else "",
        fsdp=launch.fsdp,
        fsdp_wrap=launch.fsdp_wrap,
        gradient_checkpointing=launch.gradient_checkpointing,
        torch_compile=launch.torch_compile,
        rank_logs=launch.rank_logs,
        stdout_apart=task.stdout_is_read,
    )


def start(
    task: TaskRecord, attempt: AttemptLayout, place: Placement
) -> tuple[list[subprocess.Popen[bytes]], IO[bytes] | None]:
    """Start this node's launch lines; return them, and the pipe of stdout when a tap is to read it."""
    kind = task.launch.kind
    argv = launch_argv(kind, task.argv, place)
    tapped = task.metrics_source[0] != "hdf5" and place.node_rank == 0
    suffix = "" if place.node_rank == 0 else f".node{place.node_rank}"
    limit = None if task.memory_limit_mib is None else int(task.memory_limit_mib)
    children = []
    with (
        open_log(attempt.stdout.with_suffix(f"{suffix}.log")) as out,
        open_log(attempt.stderr.with_suffix(f"{suffix}.log")) as err,
    ):
        for copy in range(copies(kind, place)):
            variables = {**launch_defaults(place), **task.environment, **launch_environment(kind, place, copy)}
            line, environment = in_its_environment(task, argv, variables)
            with naming(line[0]):
                children.append(
                    subprocess.Popen(
                        line,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE if tapped and copy == 0 else out,
                        stderr=err,
                        cwd=task.workdir or task.code.path,
                        env=environment,
                        start_new_session=True,
                        # Safe: no thread of ours exists before the children do.
                        preexec_fn=lambda: proc.prepare_child(limit),  # noqa: PLW1509
                    )
                )
    return children, children[0].stdout


@contextlib.contextmanager
def naming(program: str) -> Iterator[None]:
    """Say of a program that cannot be started what a shell would, and keep that apart from failing storage.

    Raises:
        CannotStartError: It is not there, or may not be started.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _REFUSALS and error.filename == program:
            raise CannotStartError(program, error.errno) from None
        raise


def in_its_environment(
    task: TaskRecord, argv: Sequence[str], variables: Mapping[str, str], host: Mapping[str, str] | None = None
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Put a launch line into the container, or into the host's own environment where there is none.

    Args:
        host: That environment; None: this process's.
    """
    host = os.environ if host is None else host
    host = {name: value for name, value in host.items() if name not in _RANK_VARIABLES}
    image = task.image
    if image is None:
        # What PATH has was decided by the array script: setup lines, or the interpreter that planned. Ours comes last,
        # for hosts that call theirs python3 only.
        path = os.pathsep.join(
            (variables.get("PATH") or host.get("PATH", os.defpath), str(Path(sys.executable).parent))
        )
        return tuple(argv), {**host, **variables, "PATH": path, "PYTHONPATH": _joined(variables, host)}
    passed = {name: value for name, value in host.items() if name.startswith(_PASSED_ON) and name != "SLURM_JWT"}
    if image.runtime == "pyxis":
        from hpc.adapters import pyxis

        inside = {**pyxis.gpu_variables(task.gpus), **passed, **variables}
        line = pyxis.srun_argv(
            pyxis.Image(image.path, image.binds, image.mounts),
            argv,
            working_folder=task.workdir or task.code.path,
            cpus=task.resources.cpus,
            node=host.get("SLURMD_NODENAME", ""),
            passed=pyxis.passed_names(inside, host),
        )
        return line, {**host, **inside}
    from hpc.adapters import apptainer

    line = apptainer.exec_argv(
        apptainer.Image(image.apptainer, image.path, image.binds, image.mounts, image.gpu_vendor),
        argv,
        working_folder=task.workdir or task.code.path,
        gpus=task.gpus,
    )
    return line, {**host, **apptainer.container_environment({**passed, **variables}, image.apptainer)}


def _joined(variables: Mapping[str, str], host: Mapping[str, str]) -> str:
    """Python's search path: what the task brings, then what the site's modules and the user had set."""
    paths = [path for each in (variables, host) for path in each.get("PYTHONPATH", "").split(os.pathsep)]
    return os.pathsep.join(dict.fromkeys(filter(None, paths)))


class Forwarder:
    """Turns signals to the wrapper into signals to the ranks, on the main thread's time, not inside a handler."""

    def __init__(self, roots: Callable[[], list[int]], supervision: Supervision) -> None:
        self._roots = roots
        self._supervision = supervision
        self._waiting: list[int] = []
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, _frame: self._waiting.append(got))

    def deliver(self) -> bool:
        """Pass on what has come in since; True when the program was asked to end."""
        asked_to_end = False
        while self._waiting:
            number = self._waiting.pop(0)
            name = signal.Signals(number).name.removeprefix("SIG")
            self._supervision.received.append(name)
            print(f"hpc: received SIG{name}, passing it to the ranks", flush=True)
            self.pass_on(number)
            asked_to_end = asked_to_end or number != signal.SIGUSR1
        return asked_to_end

    def pass_on(self, number: int) -> None:
        """Signal every rank on this node. Launchers are not told: most of them would kill their ranks and say 1.

        The warning of SIGUSR1 goes to those who listen; it would end a program that knows nothing of it.
        """
        ranks = [rank for root in self._roots() for rank in proc.find_ranks(root)]
        if number == signal.SIGUSR1:
            ranks = [rank for rank in ranks if proc.catches(rank, number)]
        proc.send_signal(ranks, number)


def supervise(
    task: TaskRecord,
    attempt: AttemptLayout,
    place: Placement,
    find_loss: Callable[[], Loss | None] = lambda: None,
    is_enough: Callable[[], bool] = lambda: False,
    watching: Watching | None = None,
) -> Supervision:
    """Run this node's share to its end.

    Args:
        find_loss: Says why this attempt has to go, if it has to. Called every few seconds.
        is_enough: Says whether more is not wanted; the program is then asked to end. Called a few times a second.
        watching: Looks whether it hangs.
    """
    proc.adopt_orphans()
    result = Supervision()
    children: list[subprocess.Popen[bytes]] = []
    forwarder = Forwarder(lambda: _roots(task, attempt, children), result)
    try:
        children, pipe = start(task, attempt, place)
    except CannotStartError as error:
        return not_started(attempt, str(error), error.code)
    pump = _read(pipe, task, attempt) if pipe else None
    clock = Clock(task, time.monotonic())
    samples = Samples(task, attempt, place.node_rank)
    eyes = (lambda: _roots(task, attempt, children), samples.gpu_busy, pump.last_step if pump else lambda: None)
    next_look = time.monotonic() + LOOK_S
    while any(child.poll() is None for child in children):
        wait_a_little(children)
        if any(child.poll() for child in children):
            break  # one copy failed: the others would wait for it for ever
        ending = forwarder.deliver() or clock.act(forwarder, result)
        samples.take_if_due()
        if is_enough():
            ending = True
            forwarder.pass_on(signal.SIGTERM)
        if watching and not result.hang and (hang := watching.look_if_due(*eyes)):
            result.hang, ending = hang, True
            forwarder.pass_on(signal.SIGTERM)
        if time.monotonic() >= next_look:
            next_look += LOOK_S
            ending = _end_if_lost(find_loss(), forwarder, result) or ending
        if ending and not _wait_for(children, max(GRACE_S, watching.grace_s if watching and result.hang else 0.0)):
            break
    first_to_fail = next((child for child in children if child.poll()), None)
    proc.end_descendants(TEARDOWN_GRACE_S)
    if is_step(task):
        proc.send_signal(proc.find_marked(_marks(attempt)), signal.SIGKILL)
    result.cpu_seconds, result.sampled = None if is_step(task) else proc.children_seconds(), samples.close()
    code = _common_code(children, first_to_fail, hung=bool(result.hang))
    result.exit_code, result.signal = (code, None) if code >= 0 else (None, -code)
    if watching and not result.hang:
        result.watched = watching.close()
    if pump:
        result.output_lost = pump.close(finished=code == 0)
        result.unread, result.unread_example = pump.unread
    return result


def _read(pipe: IO[bytes], task: TaskRecord, attempt: AttemptLayout) -> "Pump":
    from hpc.node.pump import Pump  # here: metrics that are written need none

    return Pump(pipe, task, attempt)


def _end_if_lost(loss: Loss | None, forwarder: Forwarder, result: Supervision) -> bool:
    """Kill the program where the attempt has lost its claim; returns whether it has."""
    result.loss = loss
    if not loss:
        return False
    print(f"hpc: ending the program: {loss}", flush=True)
    forwarder.pass_on(signal.SIGKILL)
    return True


def _common_code(
    children: Sequence["subprocess.Popen[bytes]"], first_to_fail: "subprocess.Popen[bytes] | None", *, hung: bool
) -> int:
    """Exit code of all copies of the program, as that of one: a signal is negative."""
    codes = [code if (code := child.poll()) is not None else -signal.SIGKILL for child in children]
    code = first_to_fail.returncode if first_to_fail else max(codes, key=abs)
    # A launcher that does not mind: what was ended has not finished.
    return -signal.SIGTERM if hung and code == EXIT_DONE else code


class Samples:
    """Takes a sample of what is used now and then; what that needs is loaded with the first."""

    def __init__(self, task: TaskRecord, attempt: AttemptLayout, node_rank: int) -> None:
        self._path = attempt.system if node_rank == 0 else attempt.system.with_suffix(f".node{node_rank}.jsonl")
        # Over several nodes this wrapper waits for srun, without an environment for it; the shares sample.
        self._is_off = not task.environment
        self._gpus = task.gpus
        self._started = time.monotonic()
        self._due = self._started + SAMPLE_S
        self._sampler: Sampler | None = None

    def take_if_due(self) -> None:
        """Take one when it is time; a disk that is full ends it."""
        now = time.monotonic()
        if self._is_off or now < self._due:
            return
        self._due = now + (SAMPLE_S if now - self._started < HOUR else SAMPLE_LATER_S)
        try:
            if self._sampler is None:
                from hpc.node.sampler import Sampler

                self._sampler = Sampler(self._path, self._gpus)
            self._sampler.sample()
        except OSError:
            self._is_off = True

    def gpu_busy(self) -> float | None:
        """Largest share of time the GPUs were busy since it was last asked; None where nobody tells."""
        return self._sampler.busiest() if self._sampler else None

    def close(self) -> Mapping[str, float]:
        """What they came to; empty without any."""
        if self._sampler is None:
            return {}
        self._sampler.close()
        return self._sampler.summary()


def is_step(task: TaskRecord) -> bool:
    """Whether the program runs in a step of srun's, whose processes are no descendants of ours."""
    return task.image is not None and task.image.runtime == "pyxis"


def _marks(attempt: AttemptLayout) -> dict[str, str]:
    """Variables by which the processes of this node's step are known."""
    node = os.environ.get("SLURMD_NODENAME")
    return {"HPC_ATTEMPT_DIR": str(attempt.home), **({"SLURMD_NODENAME": node} if node else {})}


def _roots(task: TaskRecord, attempt: AttemptLayout, children: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Where the ranks are found: below our children; in a step's container, and srun only before there is one.

    srun would hand a signal to every process of the step, listening or not.
    """
    own = [child.pid for child in children if child.poll() is None]
    return (proc.find_marked(_marks(attempt)) if is_step(task) else []) or own


class Clock:
    """Keeps the time limit where no scheduler does, as for a task in a pack: SIGUSR1 ahead of it, SIGTERM at it."""

    def __init__(self, task: TaskRecord, started: float) -> None:
        limit = task.resources.time_s if task.scheduler == "local" or task.packed else float("inf")
        self._limit = started + limit
        self._warning = self._limit - min(task.signal_lead_s, limit / 4) if limit < float("inf") else self._limit
        self._warned = False

    def act(self, forwarder: Forwarder, result: Supervision) -> bool:
        """Do what is due; True when the program was asked to end."""
        now = time.monotonic()
        if now >= self._limit and not result.timed_out:
            result.timed_out = True
            forwarder.pass_on(signal.SIGTERM)
            return True
        if now >= self._warning and not self._warned:
            self._warned = True
            result.received.append("USR1")
            forwarder.pass_on(signal.SIGUSR1)
        return False


def wait_a_little(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait for a child's end, at most a fifth of a second, so that signals and fences are noticed soon."""
    for child in children:
        if child.poll() is None:
            try:
                child.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                return


def _wait_for(children: Sequence[subprocess.Popen[bytes]], seconds: float) -> bool:
    """Wait for all children; False when some still run at the end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if all(child.poll() is not None for child in children):
            return True
        time.sleep(0.05)
    return False


def execute(
    record: TaskRecord,
    attempt: AttemptLayout,
    find_loss: Callable[[], Loss | None] = lambda: None,
    is_enough: Callable[[], bool] = lambda: False,
) -> Supervision:
    """Run the program on all nodes it is started on, to its end; the functions are those `supervise` takes."""
    if record.obstacle:
        return not_started(attempt, f"cannot start: {record.obstacle}", EXIT_USAGE)
    if record.nodes == 1 or record.on_first_node:
        watching = Watching(record, attempt)
        if refused := _refused(record, attempt, placement_of(record, 0)):
            return refused
        return supervise(record, attempt, placement_of(record, 0), find_loss, is_enough, watching)
    from hpc.node.shares import over_nodes, take_shares  # here: most attempts have one node

    task, place = over_nodes(record, attempt), Placement(gpus=record.gpus)
    result = supervise(task, attempt, place, find_loss, is_enough, Watching(record, attempt))
    take_shares(result, attempt, record.nodes)
    return result


def _refused(task: TaskRecord, attempt: AttemptLayout, place: Placement) -> Supervision | None:
    """How the attempt ends where this node is not fit to run it; None where it is, or nobody asked."""
    if task.preflight is None:
        return None
    from hpc.node.preflight import find_unfit  # here: it is asked for or not

    what = find_unfit(
        task, task.preflight, attempt, place, lambda argv: in_its_environment(task, argv, task.environment)
    )
    if not what:
        return None
    result = not_started(attempt, f"not started: this node failed the preflight check: {what}", EXIT_FAILED)
    result.unfit, result.unfit_nodes = what, (proc.this_host(),)
    return result


def main(arguments: Sequence[str]) -> int:
    """Run this node's share under srun; the result is left beside ``task.json`` for node 0's wrapper."""
    from hpc.node.shares import leave_share  # here, as in `execute`

    path = Path(arguments[0])
    task = read_record(path, TaskRecord)
    attempt = AttemptLayout(path.parent)
    # The address of the node srun was called on, which is node 0: known to work from here, where names may not.
    address = os.environ.get("SLURM_LAUNCH_NODE_IPADDR") or task.rendezvous.address
    place = replace(placement_of(task, int(os.environ["SLURM_NODEID"])), address=address)
    watching = Watching(task, attempt, node_rank=place.node_rank)
    result = _refused(task, attempt, place) or supervise(task, attempt, place, watching=watching)
    leave_share(result, attempt, place.node_rank)
    # A node that has its checkpoint says so in its share: to srun it would be a bad exit, for which it ends the nodes
    # that still write theirs.
    ended_well = result.exit_code in (EXIT_DONE, EXIT_CHECKPOINTED)
    return EXIT_DONE if ended_well else result.exit_code or 128 + (result.signal or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
