"""The answer in five seconds: a word, what it is said of, and one sentence with how much, how sure, and of how many.

Where the brief has a criterion its answer leads; else the verdict of the test; else the best mean, as what it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.data.frame import ExperimentFrame
from analysis.findings.answer import CriterionAnswer
from analysis.findings.configurations import Best, ConfigurationResult
from analysis.findings.findings import Findings
from analysis.findings.systems_text import say_dropped, say_lost, say_method
from analysis.findings.verdict_text import say_threshold
from analysis.statistics.comparisons import Comparison, is_better
from analysis.statistics.systems import MethodOverSystems, OverSystems
from analysis.words import coverage, list_counts, say_p, show_number
from hpc.core.experiment.spec import Metric
from hpc.core.question.ruling import Ruling
from hpc.core.words import counted, in_percent

_RULINGS: Mapping[str, str] = {Ruling.SUPPORTED: "good", Ruling.REFUTED: "bad"}
_MOST = 2
"""Conditions of a criterion, and lost configurations, that are told; all of them stand further below."""


@dataclass(frozen=True)
class Lead:
    """What a reader takes away who reads nothing else.

    Attributes:
        word: The answer: ``SUPPORTED``, ``MET AT FACE VALUE``, ``WINNER``, ``NO WINNER``, ``BEST OF 12``, …
        look: ``good``, ``bad``, ``warn`` or ``open``.
        claim: What it is said of, one line.
        sentences: How much, how sure, of how many runs; and what would settle what is open.
    """

    word: str
    look: str
    claim: str
    sentences: tuple[str, ...]


def find_lead(frame: ExperimentFrame, findings: Findings) -> Lead:
    """Say what the experiment answers."""
    primary = findings.primary
    if findings.answer is not None:
        return _of_criterion(frame, findings, findings.answer)
    if primary is None:
        return Lead("NOT JUDGED", "open", "No primary metric is declared", ("There is nothing to judge by.",))
    if not findings.bests:
        return Lead("NO RESULT", "open", f"No run has given a value of {primary.name} yet", ())
    if not findings.compared:
        has_baseline = bool(frame.spec.get("baseline"))
        if findings.best is None:
            return _of_bests(findings, primary, has_baseline=has_baseline)
        if frame.spec.get("type") == "baseline_variance" and findings.best.of == 1:
            return _of_spread(findings.best.result, primary)
        return _of_best(findings, primary, findings.best, has_baseline=has_baseline)
    if findings.over_systems is not None:
        return _over_systems(findings.over_systems, primary)
    return _of_test(findings, primary, is_ablation=frame.spec.get("type") == "training_ablation")


# The criterion


def _of_criterion(frame: ExperimentFrame, findings: Findings, answer: CriterionAnswer) -> Lead:
    brief = frame.spec.get("brief") or {}
    claim = str(brief.get("hypothesis") or brief.get("success") or answer.criterion)
    said = [one.said for one in answer.clauses[:_MOST]]
    more = len(answer.clauses) - len(said)
    said += [f"{counted(more, 'further condition stands', 'further conditions stand')} below."] if more > 0 else []
    if not said:
        said = [answer.sentence.partition(": ")[2] or answer.sentence]
    elif answer.ruling is Ruling.FACE_VALUE:
        said += ["Nothing that the criterion asks for shows that this is more than chance."]
    elif answer.ruling is Ruling.UNDECIDED:
        said += [_open(findings, answer)]
    said += [f"{findings.later.headline}. That question is answered below."] if findings.later else []
    return Lead(answer.ruling.value, _RULINGS.get(answer.ruling, "warn"), claim, tuple(one for one in said if one))


def _open(findings: Findings, answer: CriterionAnswer) -> str:
    """What would settle a criterion that is undecided."""
    counts = findings.counts
    waiting = counts.running + counts.pending + counts.never_started
    if waiting:
        return f"{counted(waiting, 'run has', 'runs have')} still to end."
    if answer.hangs_on_missing:
        return f"It depends on {counted(len(answer.missing), 'run')} without a value."
    return _settling(findings.compared)


def _settling(compared: Sequence[ConfigurationResult]) -> str:
    """How many further seeds would settle the comparison that needs the fewest, by its name where others need more."""
    needed = [
        (one.judgement.tested.further_seeds, one.label)
        for one in compared
        if one.judgement and one.judgement.tested.further_seeds is not None
    ]
    if not needed:
        return ""
    fewest, label = min(needed, key=lambda each: each[0])
    settled = "it" if len(needed) == 1 else f"{label}, which needs the fewest,"
    return (
        f"{counted(fewest, 'further seed')} on both sides would settle {settled} with 80 % probability, if the true "
        "difference is the one observed."
    )


# The test


def _of_test(findings: Findings, primary: Metric, *, is_ablation: bool) -> Lead:
    by_word: dict[str, list[ConfigurationResult]] = {}
    for one in findings.compared:
        by_word.setdefault(one.judgement.tested.word if one.judgement else "", []).append(one)
    winners, losers, equal = (_best_first(by_word.get(word, ()), primary) for word in ("WINNER", "LOSER", "EQUIVALENT"))
    total = len(findings.compared)
    if winners:
        count = len(winners) - 1
        said = [_size(findings, winners[0], primary)]
        said += [f"{count} more {'is' if count == 1 else 'are'} better than the baseline, too."] if count else []
        said += [*_caveats(winners[0]), *_lost(findings)]
        return Lead("WINNER", "good", winners[0].label, tuple(one for one in said if one))
    if is_ablation and losers:
        return _of_ablation(findings, primary, losers)
    nearest = _best_first(
        [one for one in findings.compared if one.comparison and one.comparison.difference is not None], primary
    )
    said = [_size(findings, one, primary) for one in nearest[:1]]
    if len(equal) == total:
        margin = f"±{100 * findings.plan.margin:g} %" if findings.plan.margin else "the margin"
        claim = f"{_all(total)} shown to lie within {margin} of the baseline"
        return Lead("EQUIVALENT", "open", claim, tuple(said))
    if losers and len(losers) + len(equal) == total:
        claim = "Keep the baseline: " + (f"{_all(total)} shown to be worse" if len(losers) == total
                                         else f"{len(losers)} of {total} worse, {len(equal)} equivalent")  # fmt: skip
        return Lead("NO WINNER", "bad", claim, (*said, *(text for one in nearest[:1] for text in _caveats(one))))
    worse = f"; {len(losers)} of {total} {'is' if len(losers) == 1 else 'are'} worse" if losers else ""
    claim = f"No configuration is shown to be better than the baseline{worse}"
    said += [_settling(nearest[:1]), *(text for one in nearest[:1] for text in _caveats(one))]
    return Lead("UNDECIDED", "warn", claim, tuple(one for one in said if one))


def _of_ablation(findings: Findings, primary: Metric, losers: Sequence[ConfigurationResult]) -> Lead:
    """What is lost without each part: there the losers are what was looked for."""
    total = len(findings.compared)
    worst = losers[::-1]
    named = ", ".join(f"{one.label}{_percent(one)}" for one in worst[:3]) + (", …" if len(worst) > 3 else "")
    said = [_size(findings, worst[0], primary), *_caveats(worst[0]), *_lost(findings)]
    return Lead(f"{len(losers)} OF {total} WORSE", "warn", named, tuple(one for one in said if one))


def _percent(one: ConfigurationResult) -> str:
    found = one.comparison
    return "" if found is None or found.relative_percent is None else f" ({found.relative_percent:+.0f} %)"


def _all(total: int) -> str:
    return "It is" if total == 1 else f"All {total} are"


def _best_first(results: Sequence[ConfigurationResult], primary: Metric) -> list[ConfigurationResult]:
    """By relative difference, the best first."""
    sign = -1 if primary.goal == "max" else 1

    def key(one: ConfigurationResult) -> float:
        found = one.comparison
        if found is None or found.difference is None:
            return 0.0
        return sign * (found.relative_percent if found.relative_percent is not None else found.difference)

    return sorted(results, key=key)


def _size(findings: Findings, one: ConfigurationResult, primary: Metric) -> str:
    """``val_loss is 7.1 % lower (better) with B than with A; 95 % interval …; adjusted p = 0.003; n=5 against 5.``"""
    found = one.comparison
    if found is None or found.difference is None:
        return ""
    base = "the stored baseline" if one.baseline is None else findings.results[one.baseline].label
    if found.difference == 0:
        return f"{primary.name} is the same with {one.label} as with {base}; {_certainty(found, findings)}."
    relative = found.relative_percent
    amount = f"{abs(found.difference):.3g}" if relative is None else f"{in_percent(relative, sign=False)} %"
    way = "lower" if found.difference < 0 else "higher"
    worth = "better" if is_better(found.difference, primary.goal) else "worse"
    sure = _certainty(found, findings)
    return f"{primary.name} is {amount} {way} ({worth}) with {one.label} than with {base}; {sure}."


def _certainty(found: Comparison, findings: Findings) -> str:
    """Interval, p and n."""
    said = []
    level = coverage(findings.plan.confidence)
    if found.relative_low is not None and found.relative_high is not None:
        said.append(f"{level} interval {found.relative_low:+.3g} to {found.relative_high:+.3g} %")
    elif found.low is not None and found.high is not None:
        said.append(f"{level} interval {found.low:+.3g} to {found.high:+.3g}")
    if found.p_adjusted is not None:
        said.append(f"adjusted {say_p(found.p_adjusted)}")
    return "; ".join([*said, f"n={found.n} against {found.n_baseline}"])


def _caveats(one: ConfigurationResult) -> list[str]:
    """What has to be known of a claim before it is repeated."""
    said = []
    if one.robustness and one.robustness.hangs_on:
        said.append("The verdict depends on the missing runs: counting them differently changes it.")
    elif one.missing_text:
        said.append(f"Not in its mean: {one.missing_text}.")
    return said


# Methods over systems


def _over_systems(found: OverSystems, primary: Metric) -> Lead:
    """Which methods are better than the baseline over all systems; below, by how much and how sure."""
    if not found.methods:
        return Lead(
            "NOT COMPARABLE", "warn", "Fewer than 2 systems have results of every method", (say_dropped(found),)
        )
    by_rank = sorted(found.compared, key=lambda one: (one.word != "WINNER", one.rank))
    winners = [one.method for one in by_rank if one.word == "WINNER"]
    told = (say_method(by_rank[0], found, primary.name), _others(found, by_rank[1:]), say_lost(found.methods),
            say_dropped(found))  # fmt: skip
    sentences = tuple(one for one in told if one)
    if winners:
        more = f" and {len(winners) - 1} more" if len(winners) > 1 else ""
        return Lead("WINNER", "good", f"{winners[0]}{more}, over {len(found.systems)} systems", sentences)
    words = {one.word for one in found.compared}
    if words == {"EQUIVALENT"}:
        return Lead("EQUIVALENT", "open", f"No method differs meaningfully from {found.baseline}", sentences)
    if words <= {"LOSER", "EQUIVALENT"}:
        return Lead("NO WINNER", "bad", f"Keep the baseline {found.baseline}: no method is better", sentences)
    claim = f"No method is shown to be better than {found.baseline} over {len(found.systems)} systems"
    return Lead("UNDECIDED", "warn", claim, sentences)


def _others(found: OverSystems, others: Sequence[MethodOverSystems]) -> str:
    """``Of 4 others 1 is better than the baseline, 2 equivalent, 1 undecided.``"""
    words = {"WINNER": "better", "LOSER": "worse", "EQUIVALENT": "equivalent", "INCONCLUSIVE": "undecided"}
    counts = {said: sum(one.word == word for one in others) for word, said in words.items()}
    parts = [f"{count} {said}" for said, count in counts.items() if count]
    return f"The {counted(len(others), 'other method')} against {found.baseline}: {', '.join(parts)}." if parts else ""


# The best mean, and the spread


def _of_bests(findings: Findings, primary: Metric, *, has_baseline: bool) -> Lead:
    """The best of each system: values do not compare between them."""
    told = [f"{one.system}: {one.result.label}, {_mean(one.result, primary)}" for one in findings.bests[:_MOST]]
    untested = "Nothing was tested" + ("." if has_baseline else ": no baseline is declared.")
    claim = f"Each of {counted(len(findings.bests), 'system')} has its own best configuration"
    return Lead("NO BEST OF ALL", "open", claim, (*told, untested, *_lost(findings)))


def _of_best(findings: Findings, primary: Metric, best: Best, *, has_baseline: bool) -> Lead:
    word = "lowest" if primary.goal == "min" else "highest"
    untested = "Nothing was tested" + ("." if has_baseline else ": no baseline is declared.")
    mean = _mean(best.result, primary)
    if best.of == 1:
        return Lead("NOT COMPARED", "open", best.result.label, (mean, untested))
    if best.ties:
        claim = f"{best.result.label} and {best.ties_text} share the {word} {primary.name}"
        return Lead("NO SINGLE BEST", "open", claim, (mean, untested))
    firm = [one.first for one in best.selection.ranks if one.place == best.selection.chosen] if best.selection else []
    sure = [f"With new seeds, it would be first again in {100 * first:.0f} % of cases." for first in firm]
    return Lead(f"BEST OF {best.of}", "open", best.result.label, (mean, *sure, untested, *_lost(findings)))


def _mean(one: ConfigurationResult, primary: Metric) -> str:
    found = one.estimate
    spread, kind = "", ""  # of one run there is no mean
    if found.std is not None:
        spread, kind = f" ± {show_number(found.std, 2)}", "mean ± standard deviation, "
    interval = ""
    if found.low is not None and found.high is not None:
        interval = f"; {coverage(found.level)} interval {show_number(found.low)} to {show_number(found.high)}"
    of = f" of {one.planned}" if found.n < one.planned else ""
    return f"{primary.name} = {show_number(found.mean)}{spread} ({kind}n={found.n}{of}){interval}."


def _lost(findings: Findings) -> list[str]:
    """The configurations that lost every run: part of any answer about a map or a sweep."""
    lost = [one for one in findings.results if not one.estimate.n and one.failed_total == one.planned]
    if 0 < len(lost) <= _MOST:
        return [f"{one.label} lost every run ({list_counts(one.failed)})." for one in lost]
    return [f"{len(lost)} of {counted(len(findings.results), 'configuration')} lost every run."] if lost else []


def _of_spread(one: ConfigurationResult, primary: Metric) -> Lead:
    found = one.estimate
    if found.std is None or found.mean is None:
        return Lead("ONE RUN", "warn", _mean(one, primary), (say_threshold(found),))
    of = f" of {one.planned}" if found.n < one.planned else ""
    claim = f"{primary.name} = {show_number(found.mean)} ± {show_number(found.std, 2)} (n={found.n}{of})"
    ends = f"{show_number(found.low)} to {show_number(found.high)}"
    meant = f"± is the sample standard deviation; {coverage(found.level)} interval of the mean {ends}."
    return Lead("BASELINE", "open", claim, (meant, say_threshold(found)))
