"""What an experiment starts: its program, how the processes of one task are launched, and how they are looked after.

Apart from the rest of the experiment, because the wrapper on the compute node loads this and nothing of that.
"""

from collections.abc import Mapping
from typing import Any

from hpc.core.immutable import field, immutable

TRUE_FALSE = "true/false"
"""How true and false are written unless the experiment says otherwise."""


@immutable
class ConfigFile:
    """A configuration file that every attempt gets with its own values (`hpc.core.launch.config_file`).

    Attributes:
        file: Where it stands in the working folder; its ending says the format.
        content: The template.
    """

    file: str
    content: Mapping[str, Any]


@immutable
class Program:
    """What each task runs: exactly one of `module` and `command` is set.

    Attributes:
        module: Python module, started as ``python -m module --key value …``.
        command: Command line with placeholders such as ``{seed}``; split like a shell would, run without one.
        args: Fixed arguments, the same for every task.
        workdir: Folder of the project the program is started in, relative to it; an absolute one is used as it is.
        inputs: Path inside the project → what is linked there in every working folder, by its absolute path.
        booleans: How true and false are written where the command does not say: ``YES/NO``, ``flag`` or ``switch``.
        config: Configuration file with each attempt's own values; None for none.
        optional: Parameters that some tasks have not (`Sweep.when`).
    """

    module: str | None = None
    command: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    workdir: str = "."
    inputs: Mapping[str, str] = field(default_factory=dict)
    booleans: str = TRUE_FALSE
    config: ConfigFile | None = None
    optional: tuple[str, ...] = ()


@immutable
class Launch:
    """How the processes of one task are started.

    Attributes:
        kind: ``plain``, ``accelerate``, ``torchrun`` or ``deepspeed``.
        processes: Processes per node; None lets `hpc.core.experiment.processes` count them.
        mixed_precision: ``no``, ``fp16`` or ``bf16``.
        zero_stage: DeepSpeed ZeRO stage 0 to 3; None means no DeepSpeed.
        offload: What DeepSpeed keeps in the host's memory: ``optimizer``, or ``parameters`` too; empty for nothing.
        fsdp: What PyTorch's FSDP divides: ``full``, or ``gradients`` and optimiser state alone; empty for no FSDP.
        fsdp_wrap: Classes of the layers that are gathered one at a time; none: the model is gathered whole.
        gradient_checkpointing: Whether activations are computed again in the backward pass.
        torch_compile: Whether the model is compiled.
        rank_logs: Whether each rank but the first prints into files of its own.
    """

    kind: str = "plain"
    processes: int | None = None
    mixed_precision: str = "no"
    zero_stage: int | None = None
    offload: str = ""
    fsdp: str = ""
    fsdp_wrap: tuple[str, ...] = ()
    gradient_checkpointing: bool = False
    torch_compile: bool = False
    rank_logs: bool = False


ACTS = ("", "end", "resume")
"""What a watch may do beside looking on: nothing, end the run, or end it and go on in the same allocation."""


@immutable
class Watch:
    """When a run that is at work counts as hung or slow, and what is done then.

    Attributes:
        silent_s: Seconds without a step, output, or work of CPU, disk and GPU.
        slower_than: How many times longer than before a step has to take to count as slow; 0: nobody counts.
        act: Of `ACTS`.
    """

    silent_s: int = 1200
    slower_than: float = 0.0
    act: str = ""


@immutable
class Preflight:
    """What a node has to show before a program is started on it.

    Attributes:
        gpu: Part of the name each GPU has to have; empty: any.
        matmul: Whether each process has to multiply two matrices on its device, where PyTorch is there.
        all_reduce: Whether the processes have to add up a number over all nodes, likewise.
        shm_mib: Least size of ``/dev/shm``.
        time_s: Seconds all of it may take.
    """

    gpu: str = ""
    matmul: bool = True
    all_reduce: bool = True
    shm_mib: int = 64
    time_s: int = 60
