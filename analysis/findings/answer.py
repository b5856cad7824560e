"""The answer to the criterion of success: its quantities measured on the collected runs, and decided.

The rules are in `hpc.core.question.ruling`; here the numbers come from. Each account of the experiment puts the runs
that ended without a value in another way: left out, or as the worst or best value that any run of the experiment gave
(a diverged run always as the worst), for a configuration and for what it is compared with.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from analysis.data.frame import ExperimentFrame
from analysis.data.values import DIVERGED, combinations_of, declared_baseline, group_rows, usable_values
from analysis.statistics.comparisons import AnalysisPlan, Comparison, compare_family
from analysis.statistics.estimates import estimate
from analysis.statistics.samples import Sample
from analysis.statistics.sequential import TwoLooks
from analysis.statistics.verdicts import Judgement, judge_family
from hpc.core.experiment.spec import Metric
from hpc.core.question.baseline import counterparts
from hpc.core.question.criterion import (
    FUNCTIONS,
    Constant,
    Question,
    Rule,
    Term,
    bind,
    parse_criterion,
    terms,
    without_not,
)
from hpc.core.question.ruling import Clause, Decision, Level, Measured, Ruling, decide
from hpc.core.words import counted

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_ASKED = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than", "==": "", "!=": "anything but"}
"""Operators in words."""
_MOST_SHOWN = 60
"""Most comparisons that are listed: an `all` over thousands of configurations has as many."""
_FILLS = (None, ("worst", "worst"), ("worst", "best"), ("best", "worst"), ("best", "best"))
"""How runs without a value are put in: (for the configuration, for its counterpart); None leaves them out."""


@dataclass(frozen=True)
class AnsweredClause:
    """One comparison of the criterion with its numbers.

    Attributes:
        text: The comparison, with the configurations it means.
        measured: What was measured: ``−12.3 % (−15.1 to −9.4)``; with both sides where both are quantities.
        met: Whether the measured values meet it; None where the missing runs decide, or nothing is measured.
        possible: Whether all (True), none (False) or some (None) values that could still be meet it.
        shown: Whether it is met by more than an estimate: its interval, or a test beside it.
        note: Its n, and why it is open.
        said: The same as a sentence: what was measured, and what is asked for.
    """

    text: str
    measured: str
    met: bool | None
    possible: bool | None
    shown: bool
    note: str
    said: str = ""


@dataclass(frozen=True)
class CriterionAnswer:
    """The criterion and its answer.

    Attributes:
        criterion: As it is written in the brief.
        ruling: SUPPORTED, MET AT FACE VALUE, REFUTED or UNDECIDED.
        sentence: The answer with its reason, one sentence.
        clauses: What it rests on; of more than 60 comparisons those that decide.
        hangs_on_missing: Whether the runs without a value decide.
        missing: Those runs, by name.
        problem: Why it could not be read; empty where it could.
    """

    criterion: str
    ruling: Ruling
    sentence: str
    clauses: tuple[AnsweredClause, ...] = ()
    hangs_on_missing: bool = False
    missing: tuple[str, ...] = ()
    problem: str = ""


def answer_criterion(
    frame: ExperimentFrame,
    plan: AnalysisPlan,
    stored: Mapping[str, Sample] | None = None,
    looks: TwoLooks | None = None,
    refused: str = "",
) -> CriterionAnswer | None:
    """Answer the criterion of an experiment; None where the brief has none.

    Args:
        frame: The experiment.
        plan: Error rate, correction, coverage and margin.
        stored: Samples of a stored baseline by metric; None where the baseline is in the sweep.
        looks: The account of a second look at the seeds; p-values are then raised by alpha / level.
        refused: Why the stored baseline cannot be used; empty where it can, and where none is named.
    """
    text = (frame.spec.get("brief") or {}).get("criterion")
    if not text:
        return None
    question = question_of(frame, plan, has_stored=bool(stored))
    try:
        if not stored and (frame.spec.get("analysis") or {}).get("baseline_from"):
            raise ValueError(f"compares with a stored baseline that cannot be used{refused and f': {refused}'}")
        # What is listed are single comparisons: each has to say what is asked of it, whatever stood before it.
        rule = without_not(bind(parse_criterion(text), question))
    except ValueError as error:
        return CriterionAnswer(text, Ruling.UNDECIDED, f"UNDECIDED: the criterion {error}.", problem=str(error))
    cases = [_Case(frame, plan, question, rule, fill, stored or {}, looks) for fill in _FILLS]
    accounts = cases if cases[0].missing else cases[:1]
    level = Level(plan.alpha, plan.confidence, looks=2 if looks else 1)
    decision = decide(rule, [one.measure for one in accounts], level)
    missing = tuple(str(frame.tasks["run_name"].iloc[row]) for row in cases[0].missing)
    clauses = tuple(_clause(frame, one) for one in _telling(decision))
    sentence = _sentence(decision, clauses, missing)
    if len(clauses) < len(decision.clauses):
        sentence += f" {len(clauses)} of {len(decision.clauses):,} comparisons are listed."
    return CriterionAnswer(text, decision.ruling, sentence, clauses, decision.hangs_on_missing, missing)


def question_of(frame: ExperimentFrame, plan: AnalysisPlan, *, has_stored: bool) -> Question:
    """Say what a criterion can speak of, from the tasks as they were planned; configurations by their number."""
    return Question(
        combinations=combinations_of(frame),
        metrics=tuple(dict.fromkeys([*(goal.name for goal in frame.metric_goals), "wall_time"])),
        baseline=declared_baseline(frame),
        has_stored_baseline=has_stored,
        runs=max(len(rows) for rows in group_rows(frame)),
        has_margin=plan.margin is not None,
    )


@dataclass(frozen=True)
class _Pair:
    """A configuration against its counterpart, judged."""

    comparison: Comparison
    judgement: Judgement


@dataclass(frozen=True)
class _Case:
    """One account: every quantity of the criterion measured with missing runs put in one way."""

    frame: ExperimentFrame
    plan: AnalysisPlan
    question: Question
    rule: Rule
    fill: tuple[str, str] | None
    stored: Mapping[str, Sample]
    looks: TwoLooks | None
    _families: dict[tuple[str, bool], Mapping[tuple[int, int | None], "_Pair"]] = field(default_factory=dict)
    _waits: dict[bool, str] = field(default_factory=dict)
    _columns: dict[tuple[str, str], Floats] = field(default_factory=dict)

    def measure(self, term: Term) -> Measured:
        """Measure one bound quantity."""
        if term.configuration is None:
            raise AssertionError("a criterion is bound before it is measured")
        waiting = self._waiting(term)
        if waiting:
            return Measured(None, note=waiting)
        if not FUNCTIONS[term.function].compares:
            return self._of_one(term, term.configuration)
        family = self._family(term.metric, named=term.versus is not None)
        return self._of_two(term, family[term.configuration, term.counterpart])

    @cached_property
    def members(self) -> list[Ints]:
        """Rows of each configuration."""
        return group_rows(self.frame)

    @cached_property
    def missing(self) -> tuple[int, ...]:
        """Rows of the runs that ended without a value that may be compared, among those the criterion is about."""
        about = dict[str, set[int]]()
        for term in terms(self.rule):
            about.setdefault(term.metric, set()).update(_places(term))
        gone = set[int]()
        for metric, places in about.items():
            rows = np.concatenate([self.members[place] for place in sorted(places)])
            gone |= set(rows[self._is_ended[rows] & np.isnan(self._left_out(metric)[rows])].tolist())
        return tuple(sorted(gone))

    @cached_property
    def _is_ended(self) -> npt.NDArray[np.bool_]:
        return self.frame.tasks["outcome"].isin(("finished", "failed")).to_numpy(dtype=bool)

    def _waiting(self, term: Term) -> str:
        """Say that runs are still to come which the quantity is about; empty when none is."""
        if term.function == "adjusted_p":
            return self._waiting_in_family(term.versus is not None)
        return self._still_to_come(_places(term))

    def _waiting_in_family(self, named: bool) -> str:
        if named not in self._waits:
            places = {place for pair in self._pairs(named) for place in pair if place is not None}
            self._waits[named] = self._still_to_come(places)
        return self._waits[named]

    def _still_to_come(self, places: set[int]) -> str:
        rows = np.concatenate([self.members[place] for place in sorted(places)])
        waiting = int((~self._is_ended[rows]).sum())
        return f"{waiting} of {counted(len(rows), 'run has', 'runs have')} not ended" if waiting else ""

    def _left_out(self, metric: str) -> Floats:
        """Values that may be compared, array of shape (tasks,); NaN where there is none."""
        if (metric, "") not in self._columns:
            self._columns[metric, ""] = usable_values(self.frame, metric)
        return self._columns[metric, ""]

    def _filled(self, metric: str, side: str) -> Floats:
        """The same with the runs that ended without a value put in as the worst or best of all; a loss as the worst."""
        if (metric, side) not in self._columns:
            values = self._left_out(metric).copy()
            finite = values[np.isfinite(values)]
            worst, best = (finite.max(), finite.min()) if len(finite) else (np.nan, np.nan)
            worst, best = (worst, best) if self._goal(metric).goal == "min" else (best, worst)
            gone = np.isnan(values) & self._is_ended
            values[gone] = np.where(self._is_loss, worst, worst if side == "worst" else best)[gone]
            self._columns[metric, side] = values
        return self._columns[metric, side]

    @cached_property
    def _is_loss(self) -> npt.NDArray[np.bool_]:
        return self.frame.tasks["failure_class"].isin(DIVERGED).to_numpy(dtype=bool)

    @cached_property
    def _seeds(self) -> Ints:
        return self.frame.tasks["seed"].to_numpy(dtype=np.int64)

    def _sample(self, metric: str, place: int, *, is_counterpart: bool = False) -> Sample:
        """The runs of a configuration on a metric, missing ones put in as this account has it."""
        rows = self.members[place]
        values = self._left_out(metric) if self.fill is None else self._filled(metric, self.fill[is_counterpart])
        return Sample(values[rows], self._seeds[rows])

    def _goal(self, metric: str) -> Metric:
        return next((goal for goal in self.frame.metric_goals if goal.name == metric), Metric(metric))

    def _of_one(self, term: Term, place: int) -> Measured:
        rows = self.members[place]
        if term.function == "failed":
            return Measured.settled(float((self.frame.tasks["outcome"].iloc[rows] == "failed").sum()))
        found = estimate(self._sample(term.metric, place).values, self.plan.confidence)
        if term.function == "n":
            return Measured.settled(float(estimate(self._left_out(term.metric)[rows]).n))
        note = f"n={found.n}"
        if term.function == "mean":
            return Measured(found.mean, found.low, found.high, "; ".join(part for part in (note, found.note) if part))
        value = {"median": found.median, "min": found.minimum, "max": found.maximum, "std": found.std}[term.function]
        return Measured(None, note=found.note or note) if value is None else Measured.settled(value, note)

    def _of_two(self, term: Term, pair: "_Pair") -> Measured:
        one, judged = pair.comparison, pair.judgement
        note = f"n={one.n} against {one.n_baseline}, {one.basis}"
        if term.function == "verdict":
            return self._rule_word(term, pair, note)
        if term.function == "tested":
            word, why = judged.tested.word, judged.tested.rationale
            is_answer = word in FUNCTIONS["tested"].words
            return Measured.settled(word, note) if is_answer else Measured(None, note=f"{word}: {why}")
        if FUNCTIONS[term.function].is_p:
            p = one.p if term.function == "p" else one.p_adjusted
            if p is None:
                return Measured(None, note=one.note or note)
            raised = min(1.0, p * (self.looks.alpha / self.looks.level)) if self.looks else p
            note += self._how_adjusted(term)
            # More seeds could lower it, unless equality was shown.
            is_equal = judged.tested.word == "EQUIVALENT"
            return Measured.settled(raised, note) if is_equal else Measured(raised, 0.0, 1.0, note)
        value, low, high = {
            "change": (one.difference, one.low, one.high),
            "relative_change": _as_shares(one.relative_percent, one.relative_low, one.relative_high),
            "cohens_d": (one.cohens_d, one.d.low if one.d else None, one.d.high if one.d else None),
        }[term.function]
        return Measured(value, low, high, "; ".join(part for part in (note, one.note) if part))

    def _how_adjusted(self, term: Term) -> str:
        """Say what a p-value was adjusted for: the table of comparisons may have another one of the same runs."""
        looks = "; raised for two looks" if self.looks else ""
        if term.function == "p":
            return f"; not adjusted{looks}"
        family = self._family(term.metric, named=term.versus is not None).values()
        tested = sum(one.comparison.p is not None for one in family)
        of = "that the criterion names" if term.versus is not None else "with the baseline"
        return f"; adjusted over {counted(tested, 'comparison')} {of}{looks}"

    def _rule_word(self, term: Term, pair: "_Pair", note: str) -> Measured:
        word = pair.judgement.rule.word
        if word not in FUNCTIONS["verdict"].words:
            return Measured(None, note=pair.judgement.rule.rationale)
        if min(pair.comparison.n, pair.comparison.n_baseline) < 2:
            return Measured(word, note=f"{note}; one run shows nothing")
        further = (self.frame.spec.get("sweep") or {}).get("further_seeds") or ()
        rows = self.members[term.configuration or 0]
        planned = set(self.frame.tasks["seed"].to_numpy()[rows].tolist())
        if word == "NEUTRAL" and further and not planned & set(further):
            return Measured(word, note=f"{note}; {len(further)} further seeds are due")
        return Measured.settled(word, note)

    def _pairs(self, named: bool) -> list[tuple[int, int | None]]:
        """The family: what the criterion compares by name, else every configuration that has a baseline."""
        if named:
            used = [term for term in terms(self.rule) if term.versus is not None]
            return list(dict.fromkeys((term.configuration or 0, term.counterpart) for term in used))
        if self.question.has_stored_baseline:
            return [(place, None) for place in range(len(self.members))]
        others = counterparts(self.question.combinations, self.question.baseline or {})
        return [(place, other) for place, other in others.items() if place != other]

    def _beside(self, place: int, other: int | None) -> list[int]:
        """The configurations that were run with those of a pair: of the same baseline, as the table has them."""
        if self.question.has_stored_baseline:
            return [one for one in range(len(self.members)) if one != other]
        bases = counterparts(self.question.combinations, self.question.baseline or {})
        return [one for one, base in bases.items() if base == bases.get(place) and one != other]

    def _family(self, metric: str, *, named: bool) -> Mapping[tuple[int, int | None], "_Pair"]:
        if (metric, named) not in self._families:
            pairs, goal = self._pairs(named), self._goal(metric).goal
            sample_of = {place: self._sample(metric, place) for place in range(len(self.members))}
            ours = [sample_of[place] for place, _ in pairs]
            bases = {
                other: self.stored[metric] if other is None else self._sample(metric, other, is_counterpart=True)
                for _, other in pairs
            }
            theirs = [bases[other] for _, other in pairs]
            beside = [[sample_of[one] for one in self._beside(*pair)] for pair in pairs] if named else ()
            compared = compare_family(ours, theirs, goal, self.plan, beside)
            judged = judge_family(compared, goal, self.plan, self.looks)
            self._families[metric, named] = {
                pair: _Pair(comparison, judgement)
                for pair, comparison, judgement in zip(pairs, compared, judged, strict=True)
            }
        return self._families[metric, named]


def _places(term: Term) -> set[int]:
    """The configurations a bound quantity is about."""
    return {place for place in (term.configuration, term.counterpart) if place is not None}


def _as_shares(*percent: float | None) -> tuple[float | None, ...]:
    return tuple(None if value is None else value / 100 for value in percent)


# Words


def _telling(decision: Decision) -> Sequence[Clause]:
    """Return the comparisons to list: all of them, or of very many those that decide first."""
    if len(decision.clauses) <= _MOST_SHOWN:
        return decision.clauses
    decides: Mapping[Ruling, Callable[[Clause], bool]] = {
        Ruling.SUPPORTED: lambda one: one.met is True,
        Ruling.FACE_VALUE: lambda one: one.met is True and not one.shown,
        Ruling.REFUTED: lambda one: one.possible is False,
        Ruling.UNDECIDED: lambda one: one.met is not True,
    }
    return sorted(decision.clauses, key=lambda one: not decides[decision.ruling](one))[:_MOST_SHOWN]


def _clause(frame: ExperimentFrame, one: Clause) -> AnsweredClause:
    sides = [
        (side, measured)
        for side, measured in ((one.comparison.left, one.left), (one.comparison.right, one.right))
        if isinstance(side, Term) and measured is not None
    ]
    left, right = (
        side.text if isinstance(side, Constant) else _term_text(frame, side)
        for side in (one.comparison.left, one.comparison.right)
    )
    measured = " and ".join(_measured_text(side, measured) for side, measured in sides)
    notes = list(dict.fromkeys(measured.note for _, measured in sides if measured.note))
    return AnsweredClause(
        text=f"{left} {one.comparison.operator} {right}",
        measured=measured,
        met=one.met,
        possible=one.possible,
        shown=one.shown,
        note="; ".join(notes),
        said=_say_clause(left, one.comparison.operator, right, measured, notes),
    )


def _say_clause(left: str, operator: str, right: str, measured: str, notes: Sequence[str]) -> str:
    """``Relative change of loss, b against a: −7.1 % (−9 to −5 %), asked for: at most -5% (n=5 against 5).``"""
    n = notes[0].partition(";")[0] if notes else ""
    name = left[0].upper() + left[1:].replace("_", " ", left.partition(" of ")[0].count("_"))
    asked = f"{_ASKED.get(operator, operator)} {right}".strip()
    return f"{name}: {measured}; asked for: {asked}" + (f" ({n})." if n else ".")


def _term_text(frame: ExperimentFrame, term: Term) -> str:
    """Write a quantity with its configurations by name: ``relative_change of final_error, a=2 against a=1``."""
    labels = frame.configurations
    against = ""
    if FUNCTIONS[term.function].compares:
        against = f" against {'the stored baseline' if term.counterpart is None else labels[term.counterpart]}"
    return f"{term.function} of {term.metric}, {labels[term.configuration or 0]}{against}"


def _measured_text(term: Term, measured: Measured) -> str:
    if measured.value is None:
        return "not measured"
    shown = _number(term, measured.value)
    is_interval = (
        isinstance(measured.low, float) and measured.low != measured.high and not FUNCTIONS[term.function].is_p
    )
    ends = (measured.low, measured.high)
    return f"{shown} ({' to '.join(_number(term, end) for end in ends if end is not None)})" if is_interval else shown


def _number(term: Term, value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{100 * value:+.3g} %" if term.function == "relative_change" else f"{value:.4g}"


def _sentence(decision: Decision, clauses: Sequence[AnsweredClause], missing: Sequence[str]) -> str:
    """Say the answer and what it rests on."""
    if decision.ruling is Ruling.SUPPORTED:
        return f"SUPPORTED: {_facts([one for one in clauses if one.met] or clauses)}."
    if decision.ruling is Ruling.FACE_VALUE:
        bare = [one for one in clauses if one.met and not one.shown] or clauses
        return (
            f"MET AT FACE VALUE: {_facts(bare)}; the measured values meet the criterion, but neither an interval nor a "
            "test that it asks for shows that this is more than chance."
        )
    if decision.ruling is Ruling.REFUTED:
        against = [one for one in clauses if one.possible is False] or clauses
        return f"REFUTED: {_facts(against)}; no value that is still possible meets the criterion."
    if decision.hangs_on_missing:
        return f"UNDECIDED: it depends on {counted(len(missing), 'run')} without a value ({', '.join(missing[:5])})."
    return f"UNDECIDED: still open: {_facts([one for one in clauses if one.met is not True] or clauses)}."


def _facts(clauses: Sequence[AnsweredClause]) -> str:
    return "; ".join(f"{one.text}: {one.measured}{f' ({one.note})' if one.note else ''}" for one in clauses[:5])
