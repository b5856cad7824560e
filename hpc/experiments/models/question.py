"""What somebody wants to find out, and how it is answered."""

from typing import Annotated, Literal

from pydantic import Field

from hpc.experiments.field_types import FolderName, Line, Prose, Share
from hpc.experiments.models.base import Model


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
