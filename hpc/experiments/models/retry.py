"""What is done about a run that failed."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hpc.experiments.field_types import AnyValue, Hook, Parameter, fail
from hpc.experiments.models.base import Model, in_a_word


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


DIVERGENCE_WORDS: dict[str, dict[str, Any]] = {"report": {}, "lower_learning_rate": {"lower_learning_rate": 0.5}}
BREAKER_WORDS: dict[str, dict[str, Any]] = {"off": {"same": 0, "share": 0.0}}


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
    divergence: in_a_word(DivergenceModel, DIVERGENCE_WORDS) = Field(  # type: ignore[valid-type]
        DivergenceModel(),  # type: ignore[call-arg]
        description="`report` (default): a diverged run is a result. `lower_learning_rate`: repeat it once at "
        "half the rate. Or a block of changes, all made together, once. The run is then altered.",
    )
    exclude_nodes: ExcludeNodesModel = Field(ExcludeNodesModel(), description="Avoids nodes after they failed.")  # type: ignore[call-arg]
    breaker: in_a_word(BreakerModel, BREAKER_WORDS) = Field(  # type: ignore[valid-type]
        BreakerModel(),  # type: ignore[call-arg]
        description="`off`, or when one cause behind many failures holds the pending tasks.",
    )
    hook: Hook | None = Field(
        None, description="Your own `module:function` that may decide otherwise (docs/retry-policy.md)."
    )
