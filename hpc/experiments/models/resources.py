"""What a run gets: time, memory, devices, processes, a batch, a container."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hpc.experiments.field_types import Bind, Line, Memory, Parameter, Processes, Prose, Time, fail
from hpc.experiments.models.base import Model


class AmountsModel(Model):
    """Other amounts for the tasks that meet a condition; if several conditions hold, the last one counts."""

    where: Prose = Field(
        description="Condition over parameters, fixed arguments, `seed` and `case`: `n_layers > 24`, `case == 'large'`."
    )
    nodes: Annotated[int, Field(ge=1, le=10_000)] | None = Field(None, description="Nodes.")
    gpus: Annotated[int, Field(ge=0, le=64)] | None = Field(None, description="GPUs per node.")
    cpus: Annotated[int, Field(ge=1, le=4096)] | None = Field(None, description="CPU cores per node.")
    mem: Memory | None = Field(None, description="Host memory per node.")
    time: Time | None = Field(None, description="Time limit.")
    disk: Memory | None = Field(None, description="Space one run needs in the run folder.")

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set - {"where"}:
            raise fail("changes nothing; give at least one of nodes, gpus, cpus, mem, time or disk")
        return self


class ResourcesModel(Model):
    """What one task asks for."""

    nodes: Annotated[int, Field(ge=1, le=10_000)] = Field(1, description="Nodes.")
    gpus: Annotated[int, Field(ge=0, le=64)] = Field(0, description="GPUs per node.")
    cpus: Annotated[int, Field(ge=1, le=4096)] = Field(1, description="CPU cores per node.")
    mem: Memory = Field("4GB", description="Host memory per node: `32GB`, `500MB` or a number of MiB.")
    time: Time = Field("1:00:00", description='Time limit: `"24:00:00"`, `2-00:00:00` (days) or a number of minutes.')
    disk: Memory | None = Field(None, description="Disk space one run needs in the run folder; checked before a sweep.")
    for_: list[AmountsModel] | None = Field(
        None, alias="for", description="Other amounts for some tasks: `[{where: n_layers > 24, mem: 64GB}]`."
    )


class PackModel(Model):
    """Several tasks in one array element, for tasks too small for one each (docs/packing.md).

    Each keeps its own attempt, log, metrics, verdict and retry. `resources` are still those of one task: the element
    requests `at_once` times its cores and memory, and its time once for each task that runs after another. The GPUs
    are those of one task; tasks that run at once share them.
    """

    tasks: Annotated[int, Field(ge=1, le=1000)] = Field(description="Maximum number of tasks in one element.")
    at_once: Annotated[int, Field(ge=1, le=256)] = Field(1, description="Number of tasks that run at the same time.")


Hours = Annotated[float, Field(gt=0, le=1e9)]


class BudgetModel(Model):
    """Maximum total cost of the experiment, retries included. Nothing is started that might exceed it."""

    gpu_hours: Hours | None = Field(None, description="GPUs × hours.")
    core_hours: Hours | None = Field(None, description="Requested CPU cores × hours.")

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.gpu_hours is None and self.core_hours is None:
            raise fail("bounds nothing; give gpu_hours or core_hours, such as {gpu_hours: 200}")
        return self


class DeepspeedModel(Model):
    """DeepSpeed, through Accelerate or its own launcher."""

    zero_stage: Annotated[int, Field(ge=0, le=3)] = Field(description="ZeRO stage 0 to 3.")
    offload: Literal["optimizer", "parameters"] | None = Field(
        None,
        description="What is kept in host memory instead of GPU memory: `optimizer` (its state and its step) or "
        "`parameters` (also the parameters, stage 3 only). Default: nothing.",
    )


class FsdpModel(Model):
    """Fully sharded data parallelism of PyTorch (FSDP2)."""

    sharding: Literal["full", "gradients"] = Field(
        "full",
        description="What is sharded between the processes. `full`: parameters, gradients and optimiser state. "
        "`gradients`: a layer's parameters stay gathered from the forward to the backward pass, which"
        " saves time and costs memory.",
    )
    wrap: list[Parameter] = Field(
        [],
        description="Classes of the layers that are gathered one at a time: `[LlamaDecoderLayer]`. Empty: the "
        "model is gathered as a whole. The programs in `train` know theirs.",
    )


class LaunchModel(Model):
    """How the processes of one task are started."""

    kind: Literal["plain", "accelerate", "torchrun", "deepspeed"] = Field("plain", description="The launcher.")
    processes: Processes = Field(
        "auto",
        description="Processes per node. `auto`: one per GPU, or one without GPUs; but a `command` with kind "
        "`plain` is started only once, on the first node, as in a batch script.",
    )
    mixed_precision: Literal["no", "fp16", "bf16"] = Field(
        "no", description="Number format of the forward and backward passes."
    )
    deepspeed: DeepspeedModel | None = Field(None, description="DeepSpeed settings. Default: no DeepSpeed.")
    fsdp: FsdpModel | None = Field(None, description="FSDP settings. Default: no FSDP.")
    gradient_checkpointing: bool = Field(
        default=False,
        description="Keep only the input of each layer and recompute the rest in the backward pass: less memory, "
        "a third more time. Supported by the programs in `train`, and by Accelerate with `fsdp`.",
    )
    torch_compile: bool = Field(
        default=False,
        description="Compile the model before training. Supported by the programs in `train`, and by Accelerate.",
    )
    rank_logs: bool = Field(
        default=False,
        description="Each rank except rank 0 writes its own `stdout.rankN.log` and `stderr.rankN.log`, so that "
        "`hpc logs --rank N` shows one rank. Default: the ranks of a node share one log; each has its own stdout where "
        "`metrics.source` reads what is printed.",
    )


class BatchModel(Model):
    """The batch size that an out-of-memory error may change (`micro`), and the one it must keep (`global`)."""

    global_: Annotated[int, Field(ge=1)] = Field(
        alias="global", description="Samples per optimiser step, over all processes."
    )
    micro: Annotated[int, Field(ge=1)] = Field(description="Samples per forward pass of one process.")
    parameter: Parameter = Field("micro_batch_size", description="The program's argument that takes `micro`.")
    accumulation: Parameter = Field(
        "gradient_accumulation_steps", description="The program's argument that takes the number of accumulation steps."
    )
    shape: list[Parameter] | None = Field(
        None,
        description="Parameters that decide how much memory a micro-batch needs. Tasks with the same values share"
        " what was learned. Default: all arguments except the seed and the learning rate.",
    )


class ContainerModel(Model):
    """The image each task runs in."""

    image: Line | None = Field(
        None,
        description="Name (`train` is `train.sif` in the site's image folder, `train.sqsh` with pyxis) or path; "
        "with pyxis also an image of a registry, `nvcr.io/nvidia/pytorch:24.05-py3`.",
    )
    runtime: Literal["apptainer", "pyxis"] = Field(
        "apptainer", description="What runs it: the profile's `apptainer`, or Slurm's plugin pyxis (enroot)."
    )
    binds: list[Bind] = Field(
        [], description="Folders to bind into the container: `/host`, `/host:/inside`, `/host:/inside:ro`."
    )
