"""What the classifier says of each case, and what of that is right: the counts every figure is made of."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from hpc.core.failures.classify import conclude
from hpc.core.failures.evidence import FailureClass, Verdict
from hpc.core.failures.scene import observe
from hpc.core.retry.actions import default_action
from tests.corpus.cases import Case, evidence_of_case, load_cases
from tests.corpus.remembered import REMEMBERED, digest_of_all, remembered


@dataclass(frozen=True)
class Answered:
    """A case and what the classifier says of it.

    Attributes:
        case: The case.
        verdict: What it says.
        fired: Rows of the table of messages that know a line of its log.
    """

    case: Case
    verdict: Verdict
    fired: frozenset[str] = frozenset()

    @property
    def label(self) -> str:
        """Return the class the case has."""
        return str(self.case["category"])

    @property
    def given(self) -> str:
        """Return the class it was given."""
        return self.verdict.category.value

    @property
    def is_failure(self) -> bool:
        """Whether the case is one; successes are judged apart, or they flatter."""
        return self.label != "success"

    @property
    def alone(self) -> bool:
        """Whether there is a log and nothing else."""
        return self.case.get("slurm_state") is None and self.case.get("exit_code") is None

    @property
    def right(self) -> bool:
        """Whether they agree, defensible alternatives not counted."""
        return self.given == self.label

    @property
    def defensible(self) -> bool:
        """Whether they agree, or the answer is one a careful reader could defend.

        Of a log without state and exit code nobody can know that all went well: `unknown` is an answer there.
        """
        is_cautious = self.alone and not self.is_failure and self.given == "unknown"
        return self.right or self.given in self.case.get("alt", ()) or is_cautious

    @property
    def false_success(self) -> bool:
        """Whether a failure was taken for a result: the one mistake that falsifies a paper."""
        return self.given == "success" and self.is_failure

    @property
    def false_failure(self) -> bool:
        """Whether a result was taken for a failure."""
        return self.given != "success" and not self.is_failure

    @property
    def false_retry(self) -> bool:
        """Whether machine time would be spent on something a retry cannot mend."""
        return is_retried(self.given) and not is_retried(self.label)

    @property
    def refused_heal(self) -> bool:
        """Whether something a retry mends would be left lying."""
        return is_retried(self.label) and not is_retried(self.given)


def is_retried(category: str) -> bool:
    """Whether a task of this class is started again while its budget lasts."""
    action = default_action(FailureClass(category))
    return action is not None and action.action != "none"


def answer_all(cases: Iterable[Case]) -> list[Answered]:
    """Classify every case."""
    scenes = ((case, observe(evidence_of_case(case))) for case in cases)
    return [
        Answered(case, conclude(scene)[0], frozenset(event.rule.id for event in scene.events)) for case, scene in scenes
    ]


@cache
def answer_corpus() -> tuple[Answered, ...]:
    """Classify the whole corpus, once for all processes while neither rules nor cases change."""
    return remembered(REMEMBERED, digest_of_all(), lambda: tuple(answer_all(load_cases())))


@dataclass(frozen=True)
class Share:
    """Some of many."""

    some: int
    many: int

    @property
    def value(self) -> float:
        """The share; nan of nothing."""
        return self.some / self.many if self.many else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval; from 0 to 1 where there is nothing."""
        if not self.many:
            return 0.0, 1.0
        z, n, p = 1.959964, self.many, self.some / self.many
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.1%} ({low:.1%} to {high:.1%})" if self.many else "—"

    @property
    def counted(self) -> str:
        """The share with what it counts: ``3 of 160 (1.9%)``."""
        return f"{self.some} of {self.many} ({self.value:.1%})" if self.many else "—"


@dataclass(frozen=True)
class Figures:
    """What is quoted of a part of the corpus; all but the last of its failures alone.

    Attributes:
        strict: Failures that got their label.
        lenient: Failures that got their label or one a careful reader could defend.
        false_successes: Failures taken for results.
        false_retries: Of failures that no retry mends, those that would get one.
        refused_heals: Of failures that a retry mends, those that would get none.
        decisions: Failures of which retrying or stopping is what the label asks for.
        false_failures: Of successes, those called a failure.
    """

    strict: Share
    lenient: Share
    false_successes: Share
    false_retries: Share
    refused_heals: Share
    decisions: Share
    false_failures: Share


def figures(answers: Sequence[Answered]) -> Figures:
    """Count."""
    failures = [a for a in answers if a.is_failure]
    hopeless = [a for a in failures if not is_retried(a.label)]
    curable = [a for a in failures if is_retried(a.label)]
    return Figures(
        strict=_share(failures, lambda a: a.right),
        lenient=_share(failures, lambda a: a.defensible),
        false_successes=_share(failures, lambda a: a.false_success),
        false_retries=_share(hopeless, lambda a: a.false_retry),
        refused_heals=_share(curable, lambda a: a.refused_heal),
        decisions=_share(failures, lambda a: is_retried(a.given) == is_retried(a.label)),
        false_failures=_share([a for a in answers if not a.is_failure], lambda a: a.false_failure),
    )


def _share(answers: Sequence[Answered], holds: Callable[[Answered], bool]) -> Share:
    return Share(sum(holds(a) for a in answers), len(answers))
