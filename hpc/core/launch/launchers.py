"""The launch line of one node: which launcher starts how many processes of a program, and how they find each other.

A launcher is one row of a table. None of them is trusted with signals or exit codes: the wrapper signals the ranks
themselves, and the program records its own outcome.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hpc.core.experiment.program import Launch
from hpc.core.immutable import immutable

PYTHONS = frozenset({"python", "python3"})


@immutable
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
        offload: What DeepSpeed keeps in the host's memory: ``optimizer`` or ``parameters``; empty for nothing.
        deepspeed_config: Path of DeepSpeed's JSON; empty where there is none.
        fsdp: What FSDP divides: ``full`` or ``gradients``; empty for no FSDP.
        fsdp_wrap: Classes of the layers that FSDP gathers one at a time.
        gradient_checkpointing: Whether activations are computed again in the backward pass.
        torch_compile: Whether the model is compiled.
        rank_logs: Whether each rank but the first prints into files of its own.
        stdout_apart: Whether at least its stdout does, because that of the first one is read for metrics. Launchers
            start Python with ``-u``, which writes a line and its end apart: lines of several ranks would run together.
    """

    nodes: int = 1
    node_rank: int = 0
    processes: int = 1
    address: str = "127.0.0.1"
    port: int = 29500
    gpus: int = 0
    mixed_precision: str = "no"
    zero_stage: int | None = None
    offload: str = ""
    deepspeed_config: str = ""
    fsdp: str = ""
    fsdp_wrap: tuple[str, ...] = ()
    gradient_checkpointing: bool = False
    torch_compile: bool = False
    rank_logs: bool = False
    stdout_apart: bool = False

    @property
    def world_size(self) -> int:
        """Processes over all nodes."""
        return self.nodes * self.processes

    @property
    def is_apart(self) -> bool:
        """Whether any rank has a log of its own."""
        return self.world_size > 1 and (self.rank_logs or self.stdout_apart)


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


_FSDP_OPTIONS = {
    "FSDP_VERSION": "fsdp_version",
    "FSDP_RESHARD_AFTER_FORWARD": "fsdp_reshard_after_forward",
    "FSDP_AUTO_WRAP_POLICY": "fsdp_auto_wrap_policy",
    "FSDP_TRANSFORMER_CLS_TO_WRAP": "fsdp_transformer_layer_cls_to_wrap",
    "FSDP_ACTIVATION_CHECKPOINTING": "fsdp_activation_checkpointing",
}
"""Variable that `accelerate.Accelerator` reads → the option of ``accelerate launch`` that sets it."""


def _fsdp(place: Placement) -> dict[str, str]:
    """Return Accelerate's settings of FSDP, by the variables that carry them."""
    wrapped = {"FSDP_TRANSFORMER_CLS_TO_WRAP": ",".join(place.fsdp_wrap)} if place.fsdp_wrap else {}
    return {
        "FSDP_VERSION": "2",
        "FSDP_RESHARD_AFTER_FORWARD": "true" if place.fsdp == "full" else "false",
        "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP" if wrapped else "NO_WRAP",
        **wrapped,
        "FSDP_ACTIVATION_CHECKPOINTING": "true" if place.gradient_checkpointing else "false",
    }


def _dynamo(place: Placement) -> str:
    return "inductor" if place.torch_compile else "no"


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
        f"--mixed_precision={place.mixed_precision}", f"--dynamo_backend={_dynamo(place)}",
    ]  # fmt: skip
    if place.zero_stage is not None:
        file = place.deepspeed_config
        told = f"--deepspeed_config_file={file}" if file else f"--zero_stage={place.zero_stage}"
        options += ["--use_deepspeed", told, "--deepspeed_multinode_launcher=standard"]
    elif place.fsdp:
        options.append("--use_fsdp")
        options += [f"--{_FSDP_OPTIONS[name]}={value}" for name, value in _fsdp(place).items()]
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


def _own_logs(place: Placement) -> tuple[str, ...]:
    """Return what goes before the program: a rank opens its own logs and becomes the program.

    No process and no pipe is added. The launchers' own redirections either take rank 0 out of stdout.log, too, or copy
    with a delay and a prefix to each line, which `metrics.source` would read.
    """
    stderr = ' 2>> "$HPC_ATTEMPT_DIR/stderr.rank$RANK.log"' if place.rank_logs else ""
    opened = f'exec >> "$HPC_ATTEMPT_DIR/stdout.rank$RANK.log"{stderr}'
    return ("sh", "-c", f'if [ "${{RANK:-0}}" != 0 ]; then {opened}; fi; exec "$@"', "rank")


def launch_argv(kind: str, argv: Sequence[str], place: Placement) -> tuple[str, ...]:
    """Build the launch line of one node.

    Args:
        kind: A key of `LAUNCHERS`.
        argv: The program and its arguments.
        place: Process counts and meeting point.
    """
    return LAUNCHERS[kind]((*_own_logs(place), *argv) if place.is_apart else argv, place)


def copies(kind: str, place: Placement) -> int:
    """How many times the launch line is started on a node: launchers start their ranks themselves, `plain` does not."""
    return place.processes if kind == "plain" else 1


def launch_defaults(place: Placement) -> dict[str, str]:
    """Return the variables that hold unless the user sets them.

    Without GPUs the CPU is named to every library. Where `_own_logs` hides the interpreter from a launcher, lines still
    come when they are printed: launchers see to it for a program that they know as Python.
    """
    unbuffered = {"PYTHONUNBUFFERED": "1"} if place.is_apart else {}
    return unbuffered if place.gpus else {"ACCELERATE_USE_CPU": "true", "DS_ACCELERATOR": "cpu"} | unbuffered


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
    if place.offload:
        variables["ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE"] = "cpu"
    if place.offload == "parameters":
        variables["ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE"] = "cpu"
    if place.deepspeed_config:
        variables |= {
            "ACCELERATE_DEEPSPEED_CONFIG_FILE": place.deepspeed_config,
            "HPC_DEEPSPEED_CONFIG": place.deepspeed_config,
        }
    if place.fsdp:
        variables |= {"ACCELERATE_USE_FSDP": "true", **_fsdp(place)}
    if place.gradient_checkpointing:
        variables["HPC_GRADIENT_CHECKPOINTING"] = "true"
    if place.torch_compile:
        variables["ACCELERATE_DYNAMO_BACKEND"] = _dynamo(place)
    if kind == "plain" and place.world_size > 1:
        variables |= {
            "RANK": str(place.node_rank * place.processes + copy),
            "LOCAL_RANK": str(copy),
            "WORLD_SIZE": str(place.world_size),
            "LOCAL_WORLD_SIZE": str(place.processes),
        }
    return variables


_FORMATS = {"bf16": {"bf16": {"enabled": True}}, "fp16": {"fp16": {"enabled": True}}}


def deepspeed_config(launch: Launch, micro_batch: int | None, accumulation: int | None) -> dict[str, Any]:
    """Return DeepSpeed's configuration, the content of ``deepspeed.json``; what only the program knows is left to it.

    Args:
        launch: With a ZeRO stage.
        micro_batch: Samples per forward pass of one process; None where the experiment declares no batch.
        accumulation: Forward passes per optimiser step, likewise.

    Returns:
        With ``auto`` where Accelerate fills in what the program says. DeepSpeed alone knows no such word: there the
        program adds what is missing.
    """
    zero: dict[str, Any] = {"stage": launch.zero_stage}
    if launch.offload:
        zero["offload_optimizer"] = {"device": "cpu"}
    if launch.offload == "parameters":
        zero["offload_param"] = {"device": "cpu"}
    if launch.zero_stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True  # else what is saved are this process's parts
    asked = {
        "train_micro_batch_size_per_gpu": micro_batch or "auto",
        "gradient_accumulation_steps": accumulation or "auto",
        "gradient_clipping": "auto",
    }
    known = asked if launch.kind != "deepspeed" else {name: one for name, one in asked.items() if one != "auto"}
    return {"zero_optimization": zero, **known, **_FORMATS.get(launch.mixed_precision, {})}
