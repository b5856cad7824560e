"""An experiment as people write it, as pydantic models; the cluster profile is in `profile`.

Each field is described: the field reference and the JSON Schema come from here (`hpc.experiments.reference`). What
single values may be is in `hpc.experiments.field_types`; what must hold *between* values is in `hpc.core.checks`.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from hpc.experiments.field_types import (
    Address,
    After,
    AnyValue,
    CommandLine,
    FolderName,
    Line,
    Parameter,
    Variable,
    VariableValue,
    WebhookVariable,
)
from hpc.experiments.models.base import Model, exactly_one, in_a_word
from hpc.experiments.models.metrics import MetricsModel
from hpc.experiments.models.program import CheckModel, ProgramModel, read_check
from hpc.experiments.models.question import AnalysisModel, BriefModel, ReportingModel
from hpc.experiments.models.resources import (
    BatchModel,
    BudgetModel,
    ContainerModel,
    LaunchModel,
    PackModel,
    ResourcesModel,
)
from hpc.experiments.models.retry import RetryModel
from hpc.experiments.models.sweep import SweepModel
from hpc.experiments.models.watch import WATCH_WORDS, PreflightModel, WatchModel, read_preflight

EXPERIMENT_TYPES = (
    "hyperparameter_sweep",
    "phase_diagram",
    "cross_system",
    "training_ablation",
    "transfer_learning",
    "baseline_variance",
    "comparison",
)
WANDB_WORDS: dict[str, dict[str, Any]] = {"off": {"mode": "disabled"}}


class WandbModel(Model):
    """Weights & Biases, one run per task over all its attempts."""

    project: Line | None = Field(None, description="Project. Left out: the experiment's name.")
    entity: Line | None = Field(None, description="Team or user.")
    mode: Literal["offline", "online", "disabled"] = Field(
        "offline", description="`offline` runs are sent later by `hpc sync`."
    )


class TrackingModel(Model):
    """Where runs are logged in addition to the run folder."""

    wandb: in_a_word(WandbModel, WANDB_WORDS) | None = Field(  # type: ignore[valid-type]
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
        exactly_one(self)
        return self


CheckOrText = Annotated[CheckModel, BeforeValidator(read_check, json_schema_input_type=str | CheckModel)]


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
        PreflightModel | None, BeforeValidator(read_preflight, json_schema_input_type=bool | PreflightModel)
    ] = Field(None, description="Checks of each node before a task starts on it. Default: none.")
    watch: in_a_word(WatchModel, WATCH_WORDS) | None = Field(  # type: ignore[valid-type]
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
