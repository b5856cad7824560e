"""A cluster profile as people write it, as pydantic models."""

from typing import Annotated, Literal

from pydantic import Field

from hpc.experiments.field_types import (
    Bind,
    Carbon,
    Directive,
    DirectiveValue,
    Line,
    Memory,
    Partitions,
    Time,
    Variable,
    VariableValue,
    Word,
)
from hpc.experiments.models.base import Model


class FollowModel(Model):
    """The small job that follows an experiment (`submit --follow`): collects, retries, reports."""

    partition: Word | None = Field(None, description="Left out: the one of the tasks.")
    account: Word | None = Field(None, description="Left out: the one of the tasks.")
    qos: Word | None = Field(None, description="Left out: the one of the tasks.")
    constraint: Word | Literal[""] | None = Field(
        None, description='Left out: the one of the tasks, unless `partition` is another; "": none.'
    )
    time: Time = Field("0:30:00", description="Its time limit.")
    mem: Memory = Field("2GB", description="Its memory, asked for as `memory` of the profile says.")
    directives: dict[Directive, DirectiveValue] | None = Field(
        None, description="Further sbatch options of it. Left out: those of the tasks; `{}`: none."
    )
    every: Time = Field(
        "0:10:00", description="Time between two looks at an array that still runs; longer while nothing happens."
    )
    max_days: Annotated[float, Field(gt=0, le=365)] = Field(
        14.0, description="Days after which an experiment is no longer followed."
    )
    shadow: bool = Field(
        False,
        description="It decides and keeps what it decided, and does nothing; `hpc status` says how often people did "
        "the same (docs/unattended.md).",
    )


class ProfileModel(Model):
    """One site: `manifests/clusters/NAME.yaml`."""

    scheduler: Literal["slurm", "local"] = Field("slurm", description="`slurm`, or `local` for this machine.")
    partition: Partitions | None = Field(
        None,
        description="Passed to sbatch. With several, `[short, long]`, a task goes to those whose limits and nodes"
        " fit, and Slurm starts it in whichever is free first.",
    )
    account: Word | None = Field(None, description="Passed to sbatch.")
    qos: Word | None = Field(None, description="Passed to sbatch.")
    constraint: Word | None = Field(None, description="Passed to sbatch, such as `a100`.")
    gpu_type: Word | None = Field(
        None, description="Type of GPU to request, such as `a100`, or `a100_3g.20gb` for a part of a divided one."
    )
    gpu_option: Literal["gres", "gpus-per-node", "gpus-per-task", "none"] = Field(
        "gres", description="The sbatch option that requests GPUs; `none` where the partition allocates whole nodes."
    )
    gres: list[Word] = Field([], description="Additional generic resources of every task, such as `lscratch:100`.")
    memory: Literal["per_node", "per_cpu", "per_gpu", "none"] = Field(
        "per_node",
        description="How memory is requested: `--mem`, `--mem-per-cpu`, `--mem-per-gpu` (`--mem` for tasks "
        "without GPUs), or not at all, where the site assigns it by cores or by node. `resources.mem`"
        " is always per node.",
    )
    max_array_size: Annotated[int, Field(ge=1, le=4_000_000)] = Field(
        1000, description="Maximum number of elements in one array: the site's MaxArraySize less one."
    )
    max_submit: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Maximum number of your jobs and array elements in the queue, if you want fewer than the site"
        " allows; 0: only the site's own limits.",
    )
    max_parallel: Annotated[int, Field(ge=0)] = Field(
        0, description="Elements of one array that may run at once (one task each, unless packed); 0: no limit."
    )
    max_gpus: Annotated[int, Field(ge=0)] = Field(
        0, description="GPUs one experiment may use at once, over all its arrays, on Slurm; 0: no limit."
    )
    max_time: Time | None = Field(None, description="Longest time limit the partition allows.")
    max_memory: Memory | None = Field(None, description="Largest memory of a node.")
    signal_lead_s: Annotated[int, Field(ge=1, le=65535)] = Field(
        120, description="Seconds before the time limit at which SIGUSR1 is sent."
    )
    python: Line | None = Field(
        None, description="Python interpreter of the wrapper on the node. Default: the one that planned."
    )
    apptainer: str = Field(
        "apptainer",
        description='The command that runs containers, `apptainer` or `singularity`; "" means that there is none.',
    )
    gpu_vendor: Literal["nvidia", "amd"] = Field(
        "nvidia", description="Vendor of the GPUs that containers see: `amd` uses `--rocm` instead of `--nv`."
    )
    image_dir: Line | None = Field(None, description="Folder of the images: `image: train` is `train.sif` in it.")
    images_signed_by: Line | None = Field(
        None,
        description="`plan` refuses an image that is not signed: by the public key in this PEM file, or, with "
        "`keyring`, by one of Apptainer's own keyring. Default: nobody asks for a signature.",
    )
    binds: list[Bind] = Field(
        [], description="Folders bound into every container. `$NAME` and `~` are expanded on the node."
    )
    setup: list[Line] = Field(
        [], description="Shell lines that run before the wrapper, such as `module load apptainer`."
    )
    environment: dict[Variable, VariableValue] = Field(
        {},
        description="Environment variables of every task, in containers too (except PATH, which names folders of "
        "the host). `$NAME` and a leading `~` are expanded on the node; `$$` is a dollar sign. No "
        "secrets.",
    )
    directives: dict[Directive, DirectiveValue] = Field(
        {}, description="Additional sbatch options: `{exclude: n3}`; without a value: `{exclusive: }`."
    )
    template: Line | None = Field(None, description="Jinja template that extends `array.sbatch.j2`.")
    group_access: Literal["none", "read"] = Field(
        "none",
        description="`read`: the group of the run folder may look, collect and report, but change nothing. "
        "`none`: the runs are private to their owner.",
    )
    carbon: Carbon | None = Field(
        None,
        description="CO₂ of the site's electricity, `0.3 kg/kWh` or `300 g/kWh`; `hpc usage` then reports "
        "emissions. Default: it does not report CO₂.",
    )
    follow: FollowModel = Field(FollowModel(), description="The relay, the small job that follows an experiment.")  # type: ignore[call-arg]
