"""The launch line of one node: which launcher starts how many processes of a program, and how they find each other.

A launcher is one row of a table. None of them is trusted with signals or exit codes: the wrapper signals the ranks
themselves, and the program records its own outcome.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

PYTHONS = frozenset({"python", "python3"})


@dataclass(frozen=True)
class Placement:
    """How many processes there are, where this node stands among them, and where they meet.

    Attributes:
        nodes: Nodes of the task.
        node_rank: This node, from 0.
        processes: Processes on each node.
        address: Name or address of node 0, reachable from all.
        port: Free port on node 0.
        gpus: GPUs per node; 0 means that the processes compute on the CPU.
        mixed_precision: ``no``, ``fp16`` or ``bf16``.
        zero_stage: DeepSpeed ZeRO stage; None means no DeepSpeed.
    """

    nodes: int = 1
    node_rank: int = 0
    processes: int = 1
    address: str = "127.0.0.1"
    port: int = 29500
    gpus: int = 0
    mixed_precision: str = "no"
    zero_stage: int | None = None

    @property
    def world_size(self) -> int:
        """Processes over all nodes."""
        return self.nodes * self.processes


def _split_python(argv: Sequence[str]) -> tuple[bool, tuple[str, ...]]:
    """Take the interpreter off a command line, which launchers bring themselves; False when it is no Python program."""
    if argv[0] in PYTHONS and len(argv) > 1:
        return True, tuple(argv[1:])
    return False, tuple(argv)


def _torchrun(argv: Sequence[str], place: Placement) -> tuple[str, ...]:
    is_python, rest = _split_python(argv)
    meeting = (
        ("--standalone",)
        if place.nodes == 1
        else (f"--node_rank={place.node_rank}", f"--master_addr={place.address}", f"--master_port={place.port}")
    )
    return (
        "python", "-m", "torch.distributed.run", f"--nnodes={place.nodes}", f"--nproc_per_node={place.processes}",
        *meeting, *(() if is_python else ("--no-python",)), *rest,
    )  # fmt: skip


def _accelerate(argv: Sequence[str], place: Placement) -> tuple[str, ...]:
    if place.world_size == 1 and place.zero_stage is None:
        # For one process the launcher adds seconds and a parent that swallows signals; the variables it would set
        # stand in `launch_environment`.
        return tuple(argv)
    is_python, rest = _split_python(argv)
    is_module = is_python and rest[0] == "-m"
    options = [
        f"--num_processes={place.world_size}", f"--num_machines={place.nodes}", f"--machine_rank={place.node_rank}",
        f"--main_process_ip={place.address}", f"--main_process_port={place.port}",
        f"--mixed_precision={place.mixed_precision}", "--dynamo_backend=no",
    ]  # fmt: skip
    if place.zero_stage is not None:
        options += ["--use_deepspeed", f"--zero_stage={place.zero_stage}", "--deepspeed_multinode_launcher=standard"]
    else:
        # Not --cpu, even on CPUs: `accelerate launch --cpu --num_processes 2` starts two unrelated single-process runs.
        options.append("--multi_gpu")
    if is_module:
        options.append("--module")
    elif not is_python:
        options.append("--no_python")
    return ("python", "-m", "accelerate.commands.launch", *options, *(rest[1:] if is_module else rest))


def _deepspeed(argv: Sequence[str], place: Placement) -> tuple[str, ...]:
    """Start DeepSpeed's per-node launcher; its own multi-node runner needs ssh and writes the environment to a file."""
    import base64  # here: other launchers do without

    is_python, rest = _split_python(argv)
    is_module = is_python and rest[0] == "-m"
    world = {f"node{rank}": list(range(place.processes)) for rank in range(place.nodes)}
    options = [
        f"--world_info={base64.urlsafe_b64encode(json.dumps(world).encode()).decode()}",
        f"--node_rank={place.node_rank}", f"--master_addr={place.address}", f"--master_port={place.port}",
        "--no_local_rank",
    ]  # fmt: skip
    if is_module:
        options.append("--module")
    elif not is_python:
        options.append("--no_python")
    return ("python", "-m", "deepspeed.launcher.launch", *options, *(rest[1:] if is_module else rest))


def _plain(argv: Sequence[str], place: Placement) -> tuple[str, ...]:
    del place
    return tuple(argv)


LAUNCHERS: Mapping[str, Callable[[Sequence[str], Placement], tuple[str, ...]]] = {
    "plain": _plain,
    "torchrun": _torchrun,
    "accelerate": _accelerate,
    "deepspeed": _deepspeed,
}


def launch_argv(kind: str, argv: Sequence[str], place: Placement) -> tuple[str, ...]:
    """Build the launch line of one node.

    Args:
        kind: A key of `LAUNCHERS`.
        argv: The program and its arguments.
        place: Process counts and meeting point.
    """
    return LAUNCHERS[kind](argv, place)


def copies(kind: str, place: Placement) -> int:
    """How many times the launch line is started on a node: launchers start their ranks themselves, `plain` does not."""
    return place.processes if kind == "plain" else 1


def launch_defaults(place: Placement) -> dict[str, str]:
    """Return the variables that hold unless the user sets them: without GPUs the CPU is named to every library."""
    return {} if place.gpus else {"ACCELERATE_USE_CPU": "true", "DS_ACCELERATOR": "cpu"}


def launch_environment(kind: str, place: Placement, copy: int = 0) -> dict[str, str]:
    """Return the variables by which the processes of a task find each other.

    Args:
        copy: Which of the `copies` on this node; its rank where no launcher gives one.
    """
    variables = {"MASTER_ADDR": place.address, "MASTER_PORT": str(place.port)}
    if place.mixed_precision != "no":
        variables["ACCELERATE_MIXED_PRECISION"] = place.mixed_precision
    if place.zero_stage is not None:
        variables |= {
            "ACCELERATE_USE_DEEPSPEED": "true",
            "ACCELERATE_DEEPSPEED_ZERO_STAGE": str(place.zero_stage),
        }
    if kind == "plain" and place.world_size > 1:
        variables |= {
            "RANK": str(place.node_rank * place.processes + copy),
            "LOCAL_RANK": str(copy),
            "WORLD_SIZE": str(place.world_size),
            "LOCAL_WORLD_SIZE": str(place.processes),
        }
    return variables
