"""What a launch cannot do, by name: launchers and libraries pass most of it over in silence, or die after hours.

`docs/distribution.md` has a table of all combinations; a test holds it against these rules.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from hpc.core.experiment.processes import ProgramLike, processes_of
from hpc.core.experiment.program import Launch
from hpc.core.launch.launchers import LAUNCHERS
from hpc.core.resources import Resources

OURS = frozenset({"train.control", "train.symmetry"})
"""Programs that do what `launch` says by themselves, whatever starts them."""
ALONE = frozenset({"train.imitate", "train.lm"})
"""Programs that compute in one process and read nothing of `launch`."""
NO_FP16 = (
    "our programs do not support fp16: its loss scale grows until gradients overflow, which looks like a divergence; "
    "write bf16 or no"
)
Refusal = tuple[tuple[str, ...], str]
"""Where in the YAML, and why with what is valid."""


@dataclass(frozen=True)
class Asked:
    """What is to be started.

    Attributes:
        module: The program's module; empty for a command.
        program: The program.
        launch: How it is started.
        resources: What one task asks for.
        formats: Every number format it may compute in, that after a divergence included.
        training_types: Values of the argument `training_type`.
        halves_in_process: Whether the argument `oom_in_process` may be true.
    """

    module: str
    program: ProgramLike
    launch: Launch
    resources: Resources
    formats: Collection[str]
    training_types: Collection[str] = ()
    halves_in_process: bool = False

    @property
    def is_ours(self) -> bool:
        return self.module in OURS


def refusals(asked: Asked) -> Iterator[Refusal]:
    """Say what cannot be done, with what could."""
    if asked.module in ALONE:
        yield from _alone(asked)
        return
    yield from _precision(asked)
    yield from _deepspeed(asked)
    yield from _fsdp(asked)
    yield from _compiled(asked)
    if asked.is_ours:
        yield from _ours(asked)
    else:
        yield from _unread(asked)


def settings_of(launch: Launch) -> list[str]:
    """Name the settings a launch makes beside its processes."""
    made = {
        "mixed_precision": launch.mixed_precision != "no",
        "deepspeed": launch.zero_stage is not None,
        "fsdp": bool(launch.fsdp),
        "gradient_checkpointing": launch.gradient_checkpointing,
        "torch_compile": launch.torch_compile,
    }
    return [name for name, is_made in made.items() if is_made]


def _alone(asked: Asked) -> Iterator[Refusal]:
    for name in settings_of(asked.launch):
        is_format = name == "mixed_precision" and asked.module == "train.lm"
        instead = ", and give program.args.precision" if is_format else ""
        yield ("launch", name), f"{asked.module} does not use it; leave it out{instead}"
    total = processes_of(asked.program, asked.launch, asked.resources).total
    if total > 1:
        yield (
            ("launch", "processes"),
            f"{asked.module} computes in one process: {total} would each train the same model; write processes: 1",
        )


def _precision(asked: Asked) -> Iterator[Refusal]:
    place = ("launch", "mixed_precision")
    if asked.launch.mixed_precision == "fp16" and not asked.resources.gpus:
        yield place, "fp16 needs a GPU, and resources.gpus is 0; write bf16 or no"
    elif asked.launch.mixed_precision == "fp16" and asked.is_ours:
        yield place, NO_FP16


def _deepspeed(asked: Asked) -> Iterator[Refusal]:
    launch, place = asked.launch, ("launch", "deepspeed")
    if launch.zero_stage is None:
        return
    if launch.fsdp:
        yield ("launch", "fsdp"), "shards what launch.deepspeed shards; keep one of the two"
    if launch.zero_stage == 0 and not asked.resources.gpus and "bf16" in asked.formats:
        yield (
            (*place, "zero_stage"),
            "stage 0 in bf16 on CPUs: DeepSpeed's optimiser counts an extra step at the start, so the first updates "
            "are too small; write 1, which computes the same, or mixed_precision: no",
        )
    elif launch.zero_stage == 0 and asked.is_ours:
        yield (
            (*place, "zero_stage"),
            f"stage 0 shards nothing, and {asked.module} does not accept it; leave out launch.deepspeed: data "
            "parallelism does the same",
        )
    if launch.offload == "parameters" and launch.zero_stage != 3:
        yield (
            (*place, "offload"),
            f"stage {launch.zero_stage} shards no parameters; write zero_stage: 3, or offload: optimizer",
        )
    elif launch.offload and not launch.zero_stage:
        yield (*place, "offload"), "stage 0 shards no optimiser state; write zero_stage: 1"


def _fsdp(asked: Asked) -> Iterator[Refusal]:
    if not asked.launch.fsdp:
        return
    if processes_of(asked.program, asked.launch, asked.resources).total == 1:
        yield (
            ("launch", "fsdp"),
            "shards a model over processes, but each task has only one; write launch.processes: 2 or more, or leave it "
            "out",
        )


def _compiled(asked: Asked) -> Iterator[Refusal]:
    launch = asked.launch
    if not launch.torch_compile or launch.zero_stage is None:
        return
    if launch.zero_stage == 3:
        yield (
            ("launch", "torch_compile"),
            "not with ZeRO stage 3, whose parameter gathering cannot be compiled; write zero_stage: 2, or leave it out",
        )
    elif not asked.is_ours:
        yield (
            ("launch", "torch_compile"),
            "Accelerate does not pass it to DeepSpeed; let the program compile its model before prepare(), or leave it "
            "out",
        )


def _ours(asked: Asked) -> Iterator[Refusal]:
    divided = "deepspeed" if asked.launch.zero_stage is not None else "fsdp" if asked.launch.fsdp else ""
    types = sorted(set(asked.training_types) & {"grpo", "both"})
    if divided and types:
        yield (
            ("launch", divided),
            f"training_type {' and '.join(types)} alternates between rollouts and updates of the same weights, which "
            f"is not implemented for sharded ones; leave out launch.{divided}",
        )
    if divided and asked.halves_in_process:
        yield (
            ("launch", divided),
            "not with the argument oom_in_process: processes that communicate while computing cannot continue when one "
            "is out of memory; leave out one of the two",
        )


def _unread(asked: Asked) -> Iterator[Refusal]:
    """What would never reach a program that is not ours."""
    launch, gpus = asked.launch, asked.resources.gpus
    by = {"deepspeed": launch.zero_stage is not None, "fsdp": bool(launch.fsdp), "torch_compile": launch.torch_compile}
    for name in (name for name, is_asked in by.items() if is_asked):
        readers = ("accelerate", "deepspeed") if name == "deepspeed" else ("accelerate",)
        if launch.kind not in readers:
            valid = " or ".join(f"kind: {kind}" for kind in LAUNCHERS if kind in readers)
            yield (
                ("launch", name),
                f"kind: {launch.kind} does not read it; valid: {valid}, or leave it out",
            )
    if launch.zero_stage is not None and launch.kind == "accelerate" and not gpus:
        yield (
            ("launch", "deepspeed"),
            "resources.gpus is 0, where Accelerate silently ignores DeepSpeed and trains with plain data parallelism; "
            "ask for GPUs, leave it out, or write kind: deepspeed for a program that calls "
            "deepspeed.initialize",
        )
    if launch.fsdp and launch.kind == "accelerate" and not gpus:
        yield (
            ("launch", "fsdp"),
            "resources.gpus is 0, where Accelerate silently trains with plain data parallelism, or each process alone; "
            "ask for GPUs, or leave it out",
        )
    if launch.gradient_checkpointing and not launch.fsdp:
        yield (
            ("launch", "gradient_checkpointing"),
            "for programs other than ours, only Accelerate with launch.fsdp can turn it on; pass it as the program's "
            "own argument, or leave it out",
        )
