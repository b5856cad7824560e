"""One node's share of an attempt: start the launch line, log, forward signals to the ranks, leave nothing behind.

`hpc.run_task` calls it directly for one node; for several it starts one of these on each through srun:

    srun --nodes=2 --ntasks-per-node=1 python -m hpc.node ATTEMPT_DIR/task.json

Standard library only (the metric tap loads h5py when a program's stdout is to be read).
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from hpc.adapters import proc
from hpc.adapters.apptainer import Image, container_environment, exec_argv
from hpc.adapters.files import read_json, write_json
from hpc.core.errors import HpcError
from hpc.core.launchers import Placement, copies, launch_argv, launch_environment
from hpc.core.layout import AttemptLayout

GRACE_S = 15.0
"""How long ranks may take to save and leave after SIGTERM. With the teardown it stays below Slurm's KillWait (30 s by
default), so that the wrapper lives to write how the attempt ended."""
FENCE_CHECK_S = 5.0
"""Between two looks at the task's folder on the shared file system."""
TEARDOWN_GRACE_S = 5.0
"""How long left-over workers may take once the launcher has gone."""
# Set by launchers for their ranks. Inherited from whoever started us they would make a process believe it is one.
_RANK_VARIABLES = frozenset(
    {"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"}
)
# What a container gets to know of the job it runs in.
_PASSED_ON = (
    "SLURM_", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "NCCL_", "LANG", "LC_",
    "WANDB_API_KEY",
)  # fmt: skip


@dataclass
class Supervision:
    """What happened while the program ran.

    Attributes:
        exit_code: Of the launch line; None when a signal ended it.
        signal: The signal that ended it; None when it exited.
        received: Names of signals this wrapper was sent, in order.
        timed_out: Whether the wrapper's own clock ended it (only without Slurm).
        fenced: Whether it was ended because a newer attempt exists.
        output_lost: Why the program's output or its metrics could not be kept; empty when they were.
    """

    exit_code: int | None = None
    signal: int | None = None
    received: list[str] = field(default_factory=list)
    timed_out: bool = False
    fenced: bool = False
    output_lost: str = ""


def placement_of(task: Mapping[str, Any], node_rank: int) -> Placement:
    """Read process counts and meeting point out of ``task.json``."""
    launch = task["launch"]
    return Placement(
        nodes=task["nodes"],
        node_rank=node_rank,
        processes=task["processes"],
        address=task["rendezvous"]["address"],
        port=task["rendezvous"]["port"],
        gpus=task["gpus"],
        mixed_precision=launch["mixed_precision"],
        zero_stage=launch["zero_stage"],
    )


def start(
    task: Mapping[str, Any], attempt: AttemptLayout, place: Placement
) -> tuple[list[subprocess.Popen[bytes]], IO[bytes] | None]:
    """Start this node's launch lines; give them, and the pipe of stdout when a tap is to read it."""
    kind = task["launch"]["kind"]
    argv = launch_argv(kind, task["argv"], place)
    tapped = task["metrics_source"][0] != "hdf5" and place.node_rank == 0
    suffix = "" if place.node_rank == 0 else f".node{place.node_rank}"
    limit = task["memory_limit_mib"]
    children = []
    with (
        attempt.stdout.with_suffix(f"{suffix}.log").open("ab", buffering=0) as out,
        attempt.stderr.with_suffix(f"{suffix}.log").open("ab", buffering=0) as err,
    ):
        for copy in range(copies(kind, place)):
            variables = {**task["environment"], **launch_environment(kind, place, copy)}
            line, environment = _in_its_environment(task, argv, variables)
            children.append(
                subprocess.Popen(
                    line,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE if tapped and copy == 0 else out,
                    stderr=err,
                    cwd=task["code"]["path"],
                    env=environment,
                    start_new_session=True,
                    # Safe: no thread of ours exists before the children do.
                    preexec_fn=lambda: proc.prepare_child(limit),  # noqa: PLW1509
                )
            )
    return children, children[0].stdout


def _in_its_environment(
    task: Mapping[str, Any], argv: Sequence[str], variables: Mapping[str, str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Put a launch line into the container, or into the host's own environment where there is none."""
    host = {name: value for name, value in os.environ.items() if name not in _RANK_VARIABLES}
    image = task["image"]
    if image is None:
        # `python` must mean the interpreter the experiment was planned with, not whatever PATH offers first.
        path = os.pathsep.join((str(Path(sys.executable).parent), host.get("PATH", os.defpath)))
        return tuple(argv), {**host, "PATH": path, **variables}
    passed = {name: value for name, value in host.items() if name.startswith(_PASSED_ON) and name != "SLURM_JWT"}
    line = exec_argv(
        Image(
            image["apptainer"],
            image["path"],
            tuple(image["binds"]),
            tuple((path, read_only) for path, read_only in image["mounts"]),
        ),
        argv,
        working_folder=task["code"]["path"],
        gpus=task["gpus"],
    )
    return line, {**host, **container_environment({**passed, **variables})}


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
    task: Mapping[str, Any],
    attempt: AttemptLayout,
    place: Placement,
    is_fenced: Callable[[], bool] = lambda: False,
    is_enough: Callable[[], bool] = lambda: False,
) -> Supervision:
    """Run this node's share to its end.

    Args:
        is_fenced: Says whether a newer attempt of the same task exists; this one then has to go.
        is_enough: Says whether more is not wanted; the program is then asked to end. Called a few times a second.
    """
    proc.adopt_orphans()
    result = Supervision()
    children: list[subprocess.Popen[bytes]] = []
    forwarder = Forwarder(lambda: [child.pid for child in children if child.poll() is None], result)
    children, pipe = start(task, attempt, place)
    pump = Pump(pipe, task, attempt) if pipe else None
    clock = Clock(task, time.monotonic())
    next_look = time.monotonic() + FENCE_CHECK_S
    while any(child.poll() is None for child in children):
        _wait_a_little(children)
        if any(child.poll() for child in children):
            break  # one copy failed: the others would wait for it for ever
        ending = forwarder.deliver() or clock.act(forwarder, result)
        if is_enough():
            ending = True
            forwarder.pass_on(signal.SIGTERM)
        if time.monotonic() >= next_look:
            next_look += FENCE_CHECK_S
            if is_fenced():
                result.fenced = ending = True
                forwarder.pass_on(signal.SIGKILL)
        if ending and not _wait_for(children, GRACE_S):
            break
    first_to_fail = next((child for child in children if child.poll()), None)
    proc.end_descendants(TEARDOWN_GRACE_S)
    codes = [code if (code := child.poll()) is not None else -signal.SIGKILL for child in children]
    code = first_to_fail.returncode if first_to_fail else max(codes, key=abs)
    result.exit_code, result.signal = (code, None) if code >= 0 else (None, -code)
    if pump:
        result.output_lost = pump.close(finished=code == 0)
    return result


class Clock:
    """Keeps the time limit where no scheduler does: SIGUSR1 ahead of it, SIGTERM at it."""

    def __init__(self, task: Mapping[str, Any], started: float) -> None:
        limit = task["resources"]["time_s"] if task["scheduler"] == "local" else float("inf")
        self._limit = started + limit
        self._warning = self._limit - min(task["signal_lead_s"], limit / 4) if limit < float("inf") else self._limit
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


def _wait_a_little(children: Sequence[subprocess.Popen[bytes]]) -> None:
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


class Pump:
    """Copies a program's stdout to its log and to the metric tap, on a thread of its own."""

    def __init__(self, pipe: IO[bytes], task: Mapping[str, Any], attempt: AttemptLayout) -> None:
        from hpc.core.metric_source import parse_source
        from hpc.metric_tap import MetricTap

        kind, pattern = task["metrics_source"]
        told = task["environment"]
        attributes = {
            "experiment": task["experiment"],
            "task_id": task["task_id"],
            "run_name": task["run_name"],
            "attempt": task["attempt"],
            "manifest_sha": task["manifest_sha"],
            "image_sha256": told["HPC_IMAGE_SHA256"],
            "git_commit": told["HPC_GIT_COMMIT"],
        }
        self._pipe = pipe
        self._log = attempt.stdout
        self._problem = ""
        self._tap = MetricTap(parse_source((kind, pattern)), attempt.metrics, attributes)
        self._thread = threading.Thread(target=self._copy, name="stdout", daemon=True)
        self._thread.start()

    def _copy(self) -> None:
        with self._log.open("ab", buffering=0) as file:
            while chunk := os.read(self._pipe.fileno(), 65536):
                self._keep(file, chunk)
                self._tap.feed(chunk)

    def _keep(self, file: IO[bytes], chunk: bytes) -> None:
        """Write to the log; on a full disk go on reading all the same, or the program would wait in its print."""
        try:
            while chunk and not self._problem:
                chunk = chunk[file.write(chunk) :]
        except OSError as error:
            self._problem = str(error)
            print(f"hpc: the program's output is lost from here on: {error}", flush=True)

    def close(self, *, finished: bool) -> str:
        """Take what is left once every writer of the pipe has gone; say what could not be kept."""
        self._thread.join()
        try:
            self._tap.close(finished)
        except (HpcError, OSError) as error:
            self._problem = self._problem or str(error)
        return self._problem


def main(arguments: Sequence[str]) -> int:
    """Run this node's share under srun; the result is left beside ``task.json`` for node 0's wrapper."""
    path = Path(arguments[0])
    task = read_json(path)
    attempt = AttemptLayout(path.parent)
    # The address of the node srun was called on, which is node 0: known to work from here, where names may not.
    address = os.environ.get("SLURM_LAUNCH_NODE_IPADDR") or task["rendezvous"]["address"]
    place = replace(placement_of(task, int(os.environ["SLURM_NODEID"])), address=address)
    result = supervise(task, attempt, place)
    write_json(attempt.home / f"node-{place.node_rank}.json", vars(result))
    return result.exit_code if result.exit_code is not None else 128 + (result.signal or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
