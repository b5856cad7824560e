"""A question that was put after runs had begun: answered below the one that was sealed before, as exploration."""

from dataclasses import dataclass, replace

from analysis.data.baselines import stored_baseline
from analysis.data.frame import ExperimentFrame
from analysis.data.part import added_rows
from analysis.data.sealed import Sealed
from analysis.findings.answer import CriterionAnswer, answer_criterion
from analysis.findings.inference import account_for_looks, analysis_plan, chance
from hpc.core.question.seal import asks_the_same, sealed_content
from hpc.core.words import counted


@dataclass(frozen=True)
class LaterQuestion:
    """A question beside the one that counts.

    Attributes:
        begun: Runs that had begun when it was first put; None where the manifest was changed by hand.
        primary: Name of its primary metric.
        answer: The answer to its criterion; None where it has none.
    """

    begun: int | None
    primary: str
    answer: CriterionAnswer | None

    @property
    def headline(self) -> str:
        """What it is worth."""
        if self.begun is None:
            return "Exploratory: changed by hand, in no sealed plan"
        return f"Exploratory: changed after {counted(self.begun, 'run')} had begun"

    @property
    def sentence(self) -> str:
        """Its answer, with what it is worth before it."""
        said = self.answer.sentence if self.answer else "it has no criterion that could be answered."
        return f"{self.headline}. {said}"


def answer_later(frame: ExperimentFrame) -> LaterQuestion | None:
    """Answer what is asked now, where that is not what was sealed before any run began; None where it is.

    The same criterion is another question where configurations were added: it may range over them.
    """
    sealed = frame.sealed
    if sealed.counting is None:
        return None
    is_same = asks_the_same(sealed.counting.content, sealed_content(frame.planned))
    if is_same and not added_rows(frame):
        return None
    changed = [one for one in sealed.later if is_same or not asks_the_same(sealed.counting.content, one.content)]
    now = replace(frame, sealed=Sealed())
    primary = now.metric_goals[0] if now.metric_goals else None
    plan = analysis_plan(now.spec, primary)
    stored = stored_baseline(now)
    samples = (stored.samples or None) if stored else None
    kept = samples.get(primary.name) if samples and primary else None
    seeds = {**now.spec, "sweep": frame.spec.get("sweep")}
    looks = account_for_looks(seeds, plan, kept, chance(frame))
    return LaterQuestion(
        begun=sealed.begun_before(changed[0]) if changed else None,
        primary=primary.name if primary else "",
        answer=answer_criterion(now, plan, samples, looks, stored.refused if stored else ""),
    )
