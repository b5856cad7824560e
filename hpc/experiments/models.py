"""An experiment as people write it, as pydantic models; the cluster profile is in `profile_models`.

Each field is described: the field reference and the JSON Schema come from here (`reference`). What single values may
be is in `field_types`; what must hold *between* values is in `hpc.core.checks`.
"""

from math import prod
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hpc.core.errors import nearest
from hpc.core.experiment.grid import MAX_TASKS
from hpc.core.experiment.program import TRUE_FALSE
from hpc.experiments.field_types import (
    MAX_TEXT,
    NEVER,
    Address,
    After,
    AnyValue,
    Bind,
    Booleans,
    Case,
    CommandLine,
    ConfigContent,
    ConfigFile,
    Factor,
    FolderName,
    Hook,
    Inside,
    Limits,
    Line,
    Memory,
    Parameter,
    Patience,
    Processes,
    Prose,
    Seed,
    Seeds,
    Share,
    Silence,
    Time,
    Values,
    Variable,
    VariableValue,
    WebhookVariable,
    Word,
    Workdir,
    fail,
    shown,
)

EXPERIMENT_TYPES = (
    "hyperparameter_sweep",
    "phase_diagram",
    "cross_system",
    "training_ablation",
    "transfer_learning",
    "baseline_variance",
    "comparison",
)


class Model(BaseModel):
    """What all blocks share: unknown keys are errors, and a text is never taken for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=False, allow_inf_nan=False)


def _config_in_a_word(value: Any) -> Any:
    return {"file": value} if isinstance(value, str) else value


def _exactly_one(model: BaseModel) -> None:
    """Refuse a block in which not exactly one of its optional keys is given."""
    keys = [field.alias or name for name, field in type(model).model_fields.items() if not field.is_required()]
    keys = [key for key in keys if key not in ("args", "on", "workdir", "inputs", "booleans", "config", "sanity")]
    given = [key for key in keys if getattr(model, _field_name(type(model), key)) is not None]
    if len(given) != 1:
        found = f"it has {' and '.join(given)}" if given else "it has none"
        raise fail(f"needs exactly one of {', '.join(keys)}; {found}")


def _field_name(model: type[BaseModel], key: str) -> str:
    return next(name for name, field in model.model_fields.items() if (field.alias or name) == key)


class BriefModel(Model):
    """The question and what would answer it, written down before any result is seen."""

    goal: Prose | None = Field(None, description="The question, in one sentence.")
    hypothesis: Prose | None = Field(None, description="What you expect, and from which parameter.")
    success: Prose | None = Field(None, description="The concrete threshold that would confirm the hypothesis.")
    criterion: Prose | None = Field(
        None,
        description="The same threshold as a rule that the report evaluates: SUPPORTED, MET AT FACE VALUE, "
        "REFUTED or UNDECIDED. See docs/pre-registration.md.",
    )
    data: Prose | None = Field(None, description="Which data, in which version, how much.")
    splits: Prose | None = Field(None, description="How they are split, and what keeps the parts apart.")
    known_issues: Prose | None = Field(None, description="What is known to be wrong with them, and who looked.")
    model: Prose | None = Field(None, description="Which model, and the settings on which the result depends.")
    baseline: Prose | None = Field(
        None,
        description="What it is compared with, in words; the configuration itself is the top-level key `baseline`.",
    )
    tuning: Prose | None = Field(
        None, description="How the baseline was tuned, and how the configurations compared with it."
    )
    metrics: Prose | None = Field(
        None,
        description="Which number decides, which others are shown, which difference is worth having, over how "
        "many seeds.",
    )
    constraints: Prose | None = Field(None, description="The compute and time available, and what is dropped first.")
    decision: Prose | None = Field(None, description="What you will do, depending on the result.")
    if_wrong: Prose | None = Field(None, description="What you will do if the hypothesis is wrong.")
    stage: Literal["exploratory", "confirmatory"] = Field(
        "exploratory", description="`confirmatory` if the hypothesis was fixed before the runs, else `exploratory`."
    )


class ConfigModel(Model):
    """A configuration file that every attempt gets with its own values filled in. You may also write only its path."""

    file: ConfigFile = Field(
        description="Its path in the project; every attempt has it in its working folder. It ends in .yaml, .json"
        " or .toml."
    )
    content: ConfigContent | None = Field(
        None, description="Its content. Default: the project's file when the experiment is planned."
    )


class SanityModel(Model):
    """Quick checks that the program can run instead of its work; `sanity: --sanity` is short for `words` only."""

    words: Prose = Field(description="Words appended to its command line; placeholders as in `program.command`.")
    time: Time = Field("0:10:00", description="Time limit of the checks; if they exceed it, the task has failed.")


def _sanity(value: Any) -> Any:
    return {"words": value} if isinstance(value, str) else value


class ProgramModel(Model):
    """What every task runs: exactly one of `module` and `command`."""

    module: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")] | None = Field(
        None, description="Python module, started as `python -m MODULE --name value …` with every argument."
    )
    command: Prose | None = Field(
        None,
        description="Any command line with placeholders: parameters, `{seed}`, fixed arguments, the batch "
        "arguments, `{out_dir}`, `{task_dir}`, `{attempt_dir}`, `{task_json}`, `{run_name}`, "
        "`{experiment}`, `{task_id}`, `{resume_from}`. It is split into words first and filled in "
        "afterwards; no shell reads it, unless it is `bash -c '…'`. Lists and mappings are written as"
        " JSON; `{layers:words}` writes a list as several words.",
    )
    args: dict[Parameter, AnyValue] = Field({}, description="Arguments with the same value for every task.")
    booleans: Booleans = Field(
        TRUE_FALSE,
        description="How true and false are passed to the program: two words such as `True/False` or `1/0`, "
        "`flag` (`--amp` or nothing), or `switch` (`--amp` or `--no-amp`). In a command, "
        "`{amp:flag}`, `{amp:switch}` and `{amp:True/False}` set it for one placeholder.",
    )
    config: (
        Annotated[ConfigModel, BeforeValidator(_config_in_a_word, json_schema_input_type=str | ConfigModel)] | None
    ) = Field(
        None,
        description="Configuration file of the project, such as `conf/base.yaml`. Every attempt gets a copy with "
        "its own values, filled in at the keys of that name (`model.lr` leads into the block `model`)"
        " and where a text has `{name}`. `{config}` in the command is its path. A value that is "
        "filled in there does not have to be in the command.",
    )
    workdir: Workdir = Field(
        ".",
        description="Folder of the project in which the program is started. Every attempt works in its own copy "
        "of the code; what it writes there is kept in the attempt. An absolute path is a folder that "
        "all attempts share.",
    )
    inputs: list[Inside] | dict[Inside, Prose] = Field(
        [],
        description="Files and folders that are not code and that the program reads by a path in the project "
        "(`data`, `checkpoints/base`). They are linked into every working folder, read-only in "
        "containers, and not frozen. `{data: /scratch/imagenet}` links a file or folder from elsewhere.",
    )

    sanity: Annotated[SanityModel, BeforeValidator(_sanity, json_schema_input_type=str | SanityModel)] | None = Field(
        None,
        description="Words such as `--sanity` or `--dry-run` that make the program run quick checks and exit. "
        "With `submit --canary`, the canary runs them first, as one process in the same folder, "
        "environment and container; its run begins only if they end with exit code 0. A line that "
        "begins with `sanity: ` reports a result; if the checks fail, the last one says why. All "
        "output is in `sanity.log`.",
    )

    @model_validator(mode="after")
    def _one_program(self) -> Self:
        _exactly_one(self)
        return self


def _check_axes(cases: list[dict[str, Any]], axes: dict[str, list[dict[str, Any]]]) -> None:
    """Refuse cases beside axes, and a parameter that two axes set: one of the values would be lost."""
    if cases and axes:
        raise fail("has `cases` and `axes`; make the cases one more axis")
    if (count := prod(map(len, axes.values()))) > MAX_TASKS:
        raise fail(f"asks for {count:,} combinations of axes; {MAX_TASKS:,} are allowed")
    homes: dict[str, str] = {}
    for axis, listed in axes.items():
        for name in dict.fromkeys(name for case in listed for name in case if name != "id"):
            if homes.setdefault(name, axis) != axis:
                raise fail(f"sets '{name}' in the axes {homes[name]} and {axis}; keep one")


class RangeModel(Model):
    """The range of one sampled parameter: exactly one of the keys."""

    linear: list[float] | None = Field(None, description="[low, high]: a float, uniform.")
    log: list[float] | None = Field(None, description="[low, high], both above 0: a float, uniform in its logarithm.")
    int_: list[int] | None = Field(None, alias="int", description="[low, high]: a whole number, including both ends.")
    int_log: list[int] | None = Field(
        None, description="[low, high], both above 0: a whole number, uniform in its logarithm."
    )
    choices: Values | None = Field(None, description="A list to choose from.")

    def chosen(self) -> tuple[str, list[Any]]:
        """Return the one key that is set, and its values."""
        fields = type(self).model_fields
        return next(
            (field.alias or name, getattr(self, name))
            for name, field in fields.items()
            if getattr(self, name) is not None
        )

    @model_validator(mode="after")
    def _one_range(self) -> Self:
        _exactly_one(self)
        kind, values = self.chosen()
        if kind != "choices" and (len(values) != 2 or values[0] >= values[1]):
            raise fail(f"`{kind}` needs [low, high] with low below high")
        if "log" in kind and values[0] <= 0:
            raise fail(f"`{kind}` needs bounds above 0")
        return self


class SampleModel(Model):
    """Parameter sets drawn from ranges instead of listed."""

    n: Annotated[int, Field(ge=1, le=100_000)] = Field(description="Number of parameter sets.")
    method: Literal["sobol", "random", "lhs"] = Field(
        "sobol", description="`sobol`, `random` or `lhs` (Latin hypercube)."
    )
    seed: Seed = Field(0, description="Seed of the drawing itself; the same seed draws the same sets.")
    space: Annotated[dict[Parameter, RangeModel], Field(min_length=1)] = Field(description="Parameter → range.")


class SweepModel(Model):
    """The tasks: every combination of cases, samples, zipped rows and grid, each with every seed.

    A value is text, a number, true/false, null, or a list or mapping of these; a name may have dots (`model.lr`).
    """

    grid: dict[Parameter, Values] = Field(
        {}, description="Parameter → values; every combination, with the last key varying fastest."
    )
    zip: dict[Parameter, Values] = Field({}, description="Parameter → values of equal length, taken side by side.")
    cases: list[Case] = Field([], description="Named parameter sets, each with its `id`.")
    axes: dict[Parameter, Annotated[list[Case], Field(min_length=1)]] = Field(
        {},
        description="Several lists of cases, combined with each other: `{model: [{id: small, …}, …], data: [{id: "
        "wiki, …}]}` gives the cases `small+wiki`, ….",
    )
    sample: SampleModel | None = Field(None, description="Parameter sets drawn from ranges.")
    where: Prose | None = Field(
        None,
        description="Condition over the parameters; combinations that do not meet it are left out. Any name can "
        "be used in it except `and`, `or`, `not`, `in` and `is`.",
    )
    when: dict[Parameter, Prose] = Field(
        {},
        description="Parameter → condition: `{momentum: optimizer == 'sgd'}`. Where the condition does not hold, "
        "the parameter does not exist, and combinations that become equal count as one. The command "
        "loses the word with its placeholder and the option before it; run names have `none`.",
    )
    seeds: Annotated[Seeds, Field(min_length=1)] = Field(
        [42], description="One task for each seed and combination: `[1, 2]`, `0-9` (or `0..9`), `[0-3, 42]`."
    )
    further_seeds: Seeds = Field(
        [], description="Seeds that `plan --second-look` adds to configurations the first ones did not settle."
    )

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_fields_set - {"where", "when"}:
            raise fail("is empty; give at least one of grid, zip, cases, axes, sample or seeds")
        _check_axes(self.cases, self.axes)
        return self


class MetricModel(Model):
    """A number the experiment is about."""

    name: Line = Field(description="Its name, as the program writes it.")
    goal: Literal["min", "max"] = Field("min", description="Whether smaller or larger is better.")
    meaningful: Share | None = Field(
        None, description="Smallest difference worth having, relative to the baseline: `5%` or 0.05."
    )


class PrimaryModel(MetricModel):
    """The number that decides the verdict."""

    range_: Annotated[dict[str, Limits], Field(min_length=1)] | None = Field(
        None,
        alias="range",
        description="`{system: [low, high]}` for every system: the values that count as score 0 and score 1 "
        "there, such as random and best known. Results over systems are then computed from scores "
        "(docs/statistics.md).",
    )


class SourceModel(Model):
    """Where metrics come from if the program does not use `hpc.metrics`: exactly one of the keys."""

    stdout: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)] | None = Field(
        None, description="Regular expression over its output; each named group is a metric, `step` the step."
    )
    json_: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)] | None = Field(
        None, alias="json", description="The program prints one JSON object per line; this is the key of the step."
    )
    csv: Line | None = Field(
        None,
        description="CSV file with a header that the program writes, relative to its working folder or "
        "`{out_dir}`; `*` matches the part that varies. The step is the column step, global_step, "
        "iteration, iter or epoch, else the row.",
    )
    json_file: Line | None = Field(
        None,
        description="JSON file that the program writes: final values, lists over the steps, or records; or JSON lines.",
    )
    tensorboard: Line | None = Field(None, description="Folder of TensorBoard event files that the program writes.")
    wandb: Line | None = Field(
        None, description="Folder in which wandb leaves the program's runs: `wandb`, unless the program chose another."
    )

    def chosen(self) -> tuple[str, str]:
        """Return the one key that is set, and its text."""
        fields = type(self).model_fields
        given = ((field.alias or name, getattr(self, name)) for name, field in fields.items())
        return next((key, text) for key, text in given if text is not None)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        _exactly_one(self)
        return self


class MetricsModel(Model):
    """Which numbers are read, and from where."""

    primary: PrimaryModel = Field(description="The metric that decides the verdict.")
    secondary: list[MetricModel] = Field([], description="Metrics reported beside it.")
    source: SourceModel | None = Field(
        None, description="Where metrics come from; only for programs that do not use `hpc.metrics`."
    )


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


class OomGpuModel(Model):
    """After a GPU (or CPU allocator) out-of-memory error: micro-batch halved, accumulation doubled."""

    min_micro: Annotated[int, Field(ge=1)] = Field(1, description="Smallest micro-batch allowed.")


class FactorModel(Model):
    """By how much a limit grows."""

    factor: Annotated[float, Field(gt=1, le=10)] = Field(description="New limit = old limit × factor.")


class DivergenceModel(Model):
    """What changes when a diverged run is repeated, all together and once. The run is then altered, and keeps its
    seed. An empty block changes nothing: a diverged run is a result.
    """

    lower_learning_rate: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="New learning rate = old one × this. The parameter is `learning_rate` or `lr`."
    )
    set: dict[Parameter, AnyValue] = Field({}, description="Parameters with new values: `{max_grad_norm: 0.5}`.")
    mixed_precision: Literal["no", "fp16", "bf16"] | None = Field(
        None, description="Number format instead of `launch.mixed_precision`."
    )


class ExcludeNodesModel(Model):
    """How long to avoid a node that failed a task or has a broken GPU."""

    hours: Annotated[float, Field(gt=0, le=8760)] = Field(24.0, description="Hours after that failure.")
    at_most: Annotated[int, Field(ge=0, le=100)] = Field(
        3, description="Maximum number of nodes one task avoids, the latest ones; 0: none."
    )


class BreakerModel(Model):
    """When pending tasks are held because failures share one cause that a retry does not cure. A full disk or
    quota holds them at once.
    """

    same: Annotated[int, Field(ge=0, le=1000)] = Field(
        3, description="Number of failures with one fingerprint (class, cause, line) among the first tasks; 0: never."
    )
    of_first: Annotated[int, Field(ge=1, le=1000)] = Field(
        6, description="How many tasks, in the order in which they ended, count as the first."
    )
    share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="Share of the ended tasks that failed in one class without a cure; 0: never."
    )
    at_least: Annotated[int, Field(ge=1)] = Field(10, description="Number of ended tasks from which that share counts.")

    @model_validator(mode="after")
    def _can_trip(self) -> Self:
        if self.same > self.of_first:
            raise fail(f"same: {self.same} is more than of_first: {self.of_first}, so it could never hold anything")
        return self


def _in_a_word(block: type[Model], words: dict[str, dict[str, Any]]) -> Any:
    """Let a block be said in one word that stands for its keys."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in words:
            raise fail(f"{shown(value)} is not one of its values; {nearest(value, tuple(words))}, or a block of keys")
        return words[value]

    return Annotated[block, BeforeValidator(read, json_schema_input_type=Literal[tuple(words)] | block)]


DIVERGENCE_WORDS: dict[str, dict[str, Any]] = {"report": {}, "lower_learning_rate": {"lower_learning_rate": 0.5}}
BREAKER_WORDS: dict[str, dict[str, Any]] = {"off": {"same": 0, "share": 0.0}}
WATCH_WORDS: dict[str, dict[str, Any]] = {"off": {"silent": NEVER}}
WANDB_WORDS: dict[str, dict[str, Any]] = {"off": {"mode": "disabled"}}


class RetryModel(Model):
    """How often a failed task is retried, and what may change."""

    max_attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        4,
        description="Maximum number of attempts, including the first. An attempt that gets further than those "
        "before resets the count.",
    )
    oom_gpu: OomGpuModel = Field(OomGpuModel(), description="After a GPU out-of-memory error.")  # type: ignore[call-arg]
    oom_host: FactorModel = Field(FactorModel(factor=1.5), description="After host memory ran out: more memory.")
    timeout: FactorModel = Field(
        FactorModel(factor=2.0), description="After the time limit: more time, from the checkpoint."
    )
    divergence: _in_a_word(DivergenceModel, DIVERGENCE_WORDS) = Field(  # type: ignore[valid-type]
        DivergenceModel(),  # type: ignore[call-arg]
        description="`report` (default): a diverged run is a result. `lower_learning_rate`: repeat it once at "
        "half the rate. Or a block of changes, all made together, once. The run is then altered.",
    )
    exclude_nodes: ExcludeNodesModel = Field(ExcludeNodesModel(), description="Avoids nodes after they failed.")  # type: ignore[call-arg]
    breaker: _in_a_word(BreakerModel, BREAKER_WORDS) = Field(  # type: ignore[valid-type]
        BreakerModel(),  # type: ignore[call-arg]
        description="`off`, or when one cause behind many failures holds the pending tasks.",
    )
    hook: Hook | None = Field(
        None, description="Your own `module:function` that may decide otherwise (docs/retry-policy.md)."
    )


class WandbModel(Model):
    """Weights & Biases, one run per task over all its attempts."""

    project: Line | None = Field(None, description="Project. Left out: the experiment's name.")
    entity: Line | None = Field(None, description="Team or user.")
    mode: Literal["offline", "online", "disabled"] = Field(
        "offline", description="`offline` runs are sent later by `hpc sync`."
    )


class TrackingModel(Model):
    """Where runs are logged in addition to the run folder."""

    wandb: _in_a_word(WandbModel, WANDB_WORDS) | None = Field(  # type: ignore[valid-type]
        None,
        description="`off`, or where runs go. Left out: programs that call `wandb.init()` log offline, and `hpc sync` "
        "sends every run.",
    )


class NoticeModel(Model):
    """Who is notified when the experiment ends or is held: exactly one of command, webhook_env and email."""

    command: CommandLine | None = Field(
        None,
        description="Program and arguments, run without a shell. It gets HPC_EVENT, HPC_EXPERIMENT, HPC_TITLE and"
        " HPC_TEXT in its environment, and the text on standard input.",
    )
    webhook_env: WebhookVariable | None = Field(
        None,
        description="Name of the environment variable that holds the URL; JSON with `text` is posted to it.",
    )
    email: Address | None = Field(None, description="Address; sent with the sendmail or mail of this machine.")
    on: Annotated[list[Literal["ended", "held", "gave_up"]], Field(min_length=1)] = Field(
        ["ended", "held", "gave_up"],
        description="When to notify. `gave_up`: the experiment is no longer followed although it is not done, "
        "because its days are over or the rest can never begin.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        _exactly_one(self)
        return self


class AnalysisModel(Model):
    """How the results are judged; sealed before the first run."""

    alpha: Annotated[float, Field(gt=0, lt=1)] = Field(0.05, description="Error rate of the tests, after correction.")
    correction: Literal["holm", "bh"] = Field(
        "holm",
        description="Correction for many comparisons: Holm (family-wise error rate) or Benjamini–Hochberg (false "
        "discovery rate).",
    )
    confidence: Annotated[float, Field(gt=0, lt=1)] = Field(0.95, description="Coverage of the intervals.")
    equivalence: Share | None = Field(
        None,
        description="Difference below which two configurations count as equal, relative to the baseline. Default:"
        " `metrics.primary.meaningful`.",
    )
    baseline_from: FolderName | None = Field(
        None,
        description="Experiment of type baseline_variance whose stored runs are the baseline, as long as code, "
        "data, configuration and environment are the same.",
    )
    sigma: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Expected standard deviation between runs of one configuration, in the unit of the primary "
        "metric. `plan` uses it to say which difference the design can find. It does not affect any "
        "verdict.",
    )


class TuningModel(Model):
    """How much each side was tuned before this experiment, in words or numbers of trials."""

    baseline: Line = Field(description="The baseline: `20 trials`, `defaults of the paper`.")
    others: Line = Field(description="Each configuration that is compared with it.")


class ReportingModel(Model):
    """What only its author knows and a reader asks for; printed in the report's checklist, and judged by nothing."""

    seed_varies: list[Literal["initialisation", "order", "split", "environment", "sampling"]] | None = Field(
        None,
        description="What changes with the seed: weight initialisation, order of the data, split into training "
        "and test data, the environment, random sampling.",
    )
    split: Literal["training", "validation", "test"] | None = Field(
        None, description="Which data the primary metric is measured on."
    )
    tuning: TuningModel | None = Field(None, description="Tuning budget of the baseline against the others.")


class CheckModel(Model):
    """What a finished run has to fulfil to be accepted; one that does not stays finished and counts, marked.

    Exactly one of expression and command. `check: "final_error <= 0.1"` is short for the first.
    """

    expression: Prose | None = Field(
        None,
        description="Condition over final metrics (declared in `metrics`), parameters and fixed arguments, "
        "written like `sweep.where`. It is evaluated when results are collected.",
    )
    command: Prose | None = Field(
        None,
        description="Command line that runs after the program has finished with exit code 0, in the same folder, "
        "environment and container, with the placeholders of `program.command`. Its output is in "
        "`check.log`. Exit code 0 means passed; 126, 127 and 128 + a signal mean not checked; any "
        "other means failed.",
    )
    time: Time = Field(
        "0:10:00", description="Time limit of the command; if it is exceeded, the run counts as not checked."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.expression is None) == (self.command is None):
            found = "it has none" if self.command is None else "it has both"
            raise fail(f"needs exactly one of expression, command; {found}")
        return self


def _check(value: Any) -> Any:
    return {"expression": value} if isinstance(value, str) else value


CheckOrText = Annotated[CheckModel, BeforeValidator(_check, json_schema_input_type=str | CheckModel)]


class PreflightModel(Model):
    """Checks of a node before a program starts on it (docs/watch.md); `preflight: true` takes all defaults.

    A node that fails is excluded at once, and the task starts on another.
    """

    gpu: Word | None = Field(
        None, description="Part of the name of each GPU: `H100`. Default: the profile's `gpu_type`."
    )
    matmul: bool = Field(
        True, description="Each process multiplies two matrices on its device, where PyTorch is installed."
    )
    all_reduce: bool = Field(
        True, description="All processes on all nodes take part in one all-reduce, where PyTorch is installed."
    )
    shm: Memory = Field("64MB", description="Minimum size of `/dev/shm`.")
    time: Patience = Field("60s", description="Time limit of the whole check, which takes a few seconds.")


def _preflight(value: Any) -> Any:
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


class WatchModel(Model):
    """When a run counts as hung or slow (docs/watch.md). By default a run is watched but never ended.

    The wrapper checks once a minute. A run hangs when it shows no step, no output and no CPU, disk or GPU activity
    for the time given, or when it is busy without output and its stacks show that it only waits.
    """

    silent: Silence = Field(
        "20min",
        description="How long a run must show no progress: `20min`, `90s`, `2h`, or as a time limit is written; "
        "`never` turns the watch off.",
    )
    slower_than: Factor | None = Field(
        None,
        description="`3x`: a run is slow when a step takes three times as long as before, or as in most runs that "
        "differ in their seed alone. Default: off.",
    )
    act: Literal[False, "end", "resume"] = Field(
        False,
        description="`end` ends a run that hangs or is slow. `resume` also restarts it in the same allocation if "
        "it left a new checkpoint and time is left; otherwise the retry policy decides. `false` only records it.",
    )


class ExperimentModel(Model):
    """One experiment: `manifests/experiments/NAME.yaml`."""

    name: FolderName = Field(description="Names the run folder.")
    type: Literal[EXPERIMENT_TYPES] = Field(description="The kind of question; it decides the layout of the report.")  # type: ignore[valid-type]
    brief: BriefModel = Field(BriefModel(), description="The question.")  # type: ignore[call-arg]
    program: ProgramModel = Field(description="What every task runs.")
    sweep: SweepModel = Field(description="The tasks to run.")
    baseline: Annotated[dict[Parameter, AnyValue], Field(min_length=1)] | None = Field(
        None,
        description="The configuration that the others are compared with. It may name only some of the parameters"
        " (or `case`): then every configuration with these values is a baseline, for the others that "
        "have the same values of the parameters in which the baselines differ. A configuration "
        "without such a baseline is not compared, and the report says so.",
    )
    metrics: MetricsModel = Field(description="Which numbers are read.")
    analysis: AnalysisModel = Field(AnalysisModel(), description="How the results are judged.")  # type: ignore[call-arg]
    check: CheckOrText | None = Field(
        None, description="Condition for accepting a finished run, such as `final_error <= 0.1`, or a block."
    )
    reporting: ReportingModel | None = Field(
        None, description="Facts that only the author knows and readers ask for; printed in the report's checklist."
    )
    after: After | None = Field(
        None,
        description="Experiment, Slurm job (a number), or a list of them. A job has to end with COMPLETED before "
        "a task starts. With an experiment below the same run folder, a task is submitted once its "
        "matching runs have finished: those with the same seed and the same values of all parameters "
        "that both set. `{run:NAME}` in the command also waits, and is the folder of the one run that"
        " matches (docs/chains.md).",
    )
    run_name: Line | None = Field(
        None,
        description="Template for the names of task folders: parameters, `seed`, `case` (or `id`), fixed "
        "arguments, `task_id`. Names must be unique and valid as file names: `{model:slug}` converts "
        "any value, such as `meta-llama/Llama-3.1-8B` to `meta-llama-Llama-3.1-8B@` and six digits. "
        "Default: all parameters and the seed.",
    )
    resources: ResourcesModel = Field(ResourcesModel(), description="What one task asks for.")  # type: ignore[call-arg]
    pack: PackModel | None = Field(None, description="Several tasks in one array element.")
    budget: BudgetModel | None = Field(None, description="Maximum total cost; see docs/forecast.md. Default: no limit.")
    launch: LaunchModel = Field(LaunchModel(), description="How the processes of a task are started.")  # type: ignore[call-arg]
    batch: BatchModel | None = Field(None, description="Batch sizes; how an out-of-memory error may change them.")
    container: ContainerModel = Field(ContainerModel(), description="The image.")  # type: ignore[call-arg]
    retry: RetryModel = Field(RetryModel(), description="What happens after a failure.")  # type: ignore[call-arg]
    tracking: TrackingModel = Field(TrackingModel(), description="Logging outside the run folder.")  # type: ignore[call-arg]
    clean_up: Literal["when_recorded"] | None = Field(
        None,
        description="`when_recorded`: a run's checkpoints are removed as soon as a collection has recorded its "
        "result, unattended too (docs/housekeeping.md). Default: only `hpc clean` removes "
        "checkpoints.",
    )
    compact: Literal["when_recorded"] | None = Field(
        None,
        description="`when_recorded`: the small files of a run's attempts go into one archive each as soon as a "
        "collection has recorded its result, unattended too (docs/housekeeping.md). Default: only `hpc collect "
        "--compact` packs them.",
    )
    preflight: Annotated[
        PreflightModel | None, BeforeValidator(_preflight, json_schema_input_type=bool | PreflightModel)
    ] = Field(None, description="Checks of each node before a task starts on it. Default: none.")
    watch: _in_a_word(WatchModel, WATCH_WORDS) | None = Field(  # type: ignore[valid-type]
        None,
        description="When a run counts as hung or slow, and whether it is then ended. Default: it is watched but "
        "never ended. `off`: it is not watched.",
    )
    notify: list[NoticeModel] = Field([], description="Who is notified when the experiment ends or is held.")
    environment: dict[Variable, VariableValue] = Field(
        {},
        description="Environment variables of the program; they override the profile's. `$NAME` and a leading `~`"
        " are expanded on the node; `$$` is a dollar sign. No secrets.",
    )


def inner_model(annotation: Any) -> type[BaseModel] | None:
    """Find the block inside an annotation such as ``list[MetricModel]`` or ``BatchModel | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := inner_model(inner))), None)
