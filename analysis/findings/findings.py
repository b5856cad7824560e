"""What the results say: counts that add up, estimates, comparisons, resources, limits. Frames in, records out.

No file is read and nothing is drawn here; every number of the report comes from these records.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from analysis.data.frame import ExperimentFrame
from analysis.findings.answer import CriterionAnswer
from analysis.findings.attempts import (
    ContinuedAttempt,
    FailedAttempt,
    Healed,
    find_continued,
    find_failures,
    find_healed,
)
from analysis.findings.cautions import Cautions, find_cautions
from analysis.findings.checklist import fill_checklist
from analysis.findings.configurations import (
    Best,
    ConfigurationResult,
    choose_bests,
    find_best_selection,
    judge_configurations,
)
from analysis.findings.counts import RunCounts, count_runs
from analysis.findings.inference import find_importance
from analysis.findings.later import LaterQuestion
from analysis.findings.limitations import say_limitations
from analysis.findings.registration import Registration, read_registration
from analysis.findings.resources import ResourceUse, add_up_resources
from analysis.findings.usage import Usage, find_usage
from analysis.findings.verdict_text import say_verdict
from analysis.statistics.comparisons import AnalysisPlan
from analysis.statistics.importance import Importance
from analysis.statistics.samples import Sample
from analysis.statistics.sequential import TwoLooks
from analysis.statistics.systems import OverSystems
from hpc.core.experiment.spec import Metric


@dataclass(frozen=True)
class Findings:
    """Everything the report states.

    Attributes:
        counts: What happened to every run.
        primary: The metric the verdict is about; None when none is declared.
        secondary: The other declared metrics.
        results: One per configuration, in manifest order.
        bests: The best configuration, of each system where raw values do not compare between them; empty when no run
            gave a value.
        healed: Tasks that finished after a failure.
        continued: Every attempt that was taken away and taken up by a later one.
        failures: Every attempt that gave no result.
        cautions: What is to be known of values that are in the means.
        resources: What it cost.
        usage: What every run used of what it asked for.
        verdict: The first verdict, sentences in plain words.
        limitations: What the reader has to keep in mind, sentences from facts.
        plan: How comparisons are judged: error rate, correction, coverage, margin.
        looks: The account of the second look at the seeds; None where their number was fixed.
        importance: What the swept parameters do to the primary metric; None where nothing was swept or too few runs are
            there.
        over_systems: Methods over systems; None where the baseline stands for one configuration.
        stored_baseline: Name of the experiment whose stored runs are the baseline; empty where it is in the sweep.
        stored: Those runs by metric; empty where the baseline is in the sweep.
        registration: What was sealed before the runs, and what was done otherwise.
        answer: The criterion of success and its answer; None where the brief has none, or nobody has answered it yet.
        checklist: What the NeurIPS checklist asks of experiments, each with its answer.
        later: The question that was put after runs had begun; None where there is none, or nobody has answered it yet.
    """

    counts: RunCounts
    primary: Metric | None
    secondary: tuple[Metric, ...]
    results: tuple[ConfigurationResult, ...]
    bests: tuple[Best, ...]
    healed: tuple[Healed, ...]
    continued: tuple[ContinuedAttempt, ...]
    failures: tuple[FailedAttempt, ...]
    cautions: Cautions
    resources: ResourceUse
    usage: Usage
    verdict: tuple[str, ...]
    limitations: tuple[str, ...]
    plan: AnalysisPlan
    looks: TwoLooks | None
    importance: Importance | None
    over_systems: OverSystems | None
    stored_baseline: str
    registration: Registration
    answer: "CriterionAnswer | None" = None
    later: "LaterQuestion | None" = None
    stored: Mapping[str, Sample] = field(default_factory=dict)
    checklist: tuple[tuple[str, str], ...] = ()

    @property
    def best(self) -> Best | None:
        """The best configuration of all; None without a value, and where systems have scales of their own."""
        return self.bests[0] if len(self.bests) == 1 and not self.bests[0].system else None

    @property
    def compared(self) -> tuple[ConfigurationResult, ...]:
        """The configurations that have a baseline."""
        return tuple(one for one in self.results if one.comparison is not None)


def find_findings(frame: ExperimentFrame, stored: Mapping[str, Sample] | None = None, refused: str = "") -> Findings:
    """Judge one experiment.

    Args:
        frame: The experiment.
        stored: Samples of a stored baseline by metric, with which every configuration is compared; None where the
            baseline is in the sweep.
        refused: Why a stored baseline that is named cannot be used; empty where it can, and where none is named.
    """
    goals = frame.metric_goals
    primary, secondary = (goals[0] if goals else None), goals[1:]
    counts = count_runs(frame, primary)
    cautions = find_cautions(frame)
    judged = judge_configurations(frame, primary, secondary, cautions, stored)
    registration = read_registration(frame)
    resources = add_up_resources(frame)
    results = judged.results
    bests = tuple(
        replace(one, selection=find_best_selection(frame, results, one, primary))
        for one in choose_bests(results, primary) if primary is not None
    )  # fmt: skip
    return Findings(
        counts=counts,
        primary=primary,
        secondary=secondary,
        results=results,
        bests=bests,
        healed=find_healed(frame),
        continued=find_continued(frame),
        failures=find_failures(frame),
        cautions=cautions,
        resources=resources,
        usage=find_usage(frame),
        verdict=say_verdict(frame, primary, judged, bests, cautions, refused),
        limitations=say_limitations(frame, counts, judged, bests, cautions, registration),
        plan=judged.plan,
        looks=judged.looks,
        importance=find_importance(frame, primary, judged.plan) if primary else None,
        over_systems=judged.over_systems,
        stored_baseline=judged.stored_baseline,
        registration=registration,
        stored=stored or {},
        checklist=fill_checklist(frame.spec, results, judged.plan, resources),
    )
