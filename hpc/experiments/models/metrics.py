"""What is measured, and where it is read."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hpc.experiments.field_types import MAX_TEXT, Limits, Line, Share
from hpc.experiments.models.base import Model, exactly_one


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
        None,
        description="Regular expression over its output; each named group is a metric, `step` the step. "
        "One process that printed no match on stdout is read on stderr at its end.",
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
        exactly_one(self)
        return self


class MetricsModel(Model):
    """Which numbers are read, and from where."""

    primary: PrimaryModel = Field(description="The metric that decides the verdict.")
    secondary: list[MetricModel] = Field([], description="Metrics reported beside it.")
    source: SourceModel | None = Field(
        None, description="Where metrics come from; only for programs that do not use `hpc.metrics`."
    )
