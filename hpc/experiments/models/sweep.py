"""What is varied."""

from math import prod
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hpc.core.experiment.grid import MAX_TASKS
from hpc.experiments.field_types import Case, Parameter, Prose, Seed, Seeds, Values, fail
from hpc.experiments.models.base import Model, exactly_one


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
        exactly_one(self)
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
