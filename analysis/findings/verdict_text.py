"""The first verdict in plain words: what the primary metric shows, every statement with its n."""

from collections import Counter
from collections.abc import Sequence

from analysis.data.frame import ExperimentFrame
from analysis.findings.cautions import Cautions, say_mixed
from analysis.findings.configurations import Best, ConfigurationResult, JudgedConfigurations
from analysis.findings.systems_text import say_over_systems
from analysis.statistics.comparisons import Comparison, is_better
from analysis.statistics.estimates import Estimate
from analysis.statistics.optimism import Selection
from analysis.words import coverage, list_counts, show_number, spread
from hpc.core.experiment.spec import Metric
from hpc.core.words import counted, in_percent

_SHOWN_APART = 3
_SHOWN_SYSTEMS = 3
_VISIBLE = 0.1
"""Share of a difference by which another one has to differ to be worth a sentence."""


def say_threshold(found: Estimate) -> str:
    """Say which change of a mean counts by the 2σ rule, for runs that differ in nothing but their seed."""
    if found.std is None or found.mean is None:
        return "One run says nothing about the spread."
    share = f" ({200 * found.std / abs(found.mean):.2g} % of the mean)" if found.mean else ""
    return f"By the 2σ rule a change counts once it moves the mean by {show_number(2 * found.std, 2)}{share}."


def say_verdict(
    frame: ExperimentFrame,
    primary: Metric | None,
    judged: JudgedConfigurations,
    bests: Sequence[Best],
    cautions: Cautions,
    refused: str = "",
) -> tuple[str, ...]:
    """Say in plain words what the primary metric shows, every statement with its n.

    `refused`: why a stored baseline that is named cannot be used; empty where it can, and where none is named.
    """
    if primary is None:
        return ("No primary metric is declared, so there is nothing to judge.",)
    valued = [one for one in judged.results if one.estimate.n]
    if not valued:
        return (f"No run has given a value of {primary.name} yet: there is nothing to judge (n=0).",)
    compared = [one for one in judged.results if one.comparison is not None]
    if not compared:
        reason = "No baseline is declared" if not frame.spec.get("baseline") else "Nothing but the baseline was run"
        untested = f"{reason}, so nothing was tested: means are only listed side by side."
        if frame.spec.get("type") == "baseline_variance" and len(valued) == 1:
            untested = (
                f"These runs are a baseline and are not compared with anything. {say_threshold(valued[0].estimate)}"
            )
        untested = f"Nothing is compared, because {refused.removesuffix('.')}." if refused else untested
        return tuple(text for text in (untested, say_mixed(cautions), *_say_bests(bests, primary)) if text)
    over = judged.over_systems
    # Where systems have scales of their own the answer over all of them is the one that was asked for.
    is_first = over is not None and over.are_scales
    said = (
        *(say_over_systems(over, primary.name) if over is not None and is_first else ()),
        ("On each system separately: " if is_first else "") + _say_headline(compared, primary),
        say_mixed(cautions),
        _say_tested(compared, primary, judged),
        _say_rule(compared),
        *(_say_notable(one, primary, judged) for one in _notable(compared)),
        say_apart(compared),
        _say_hanging(compared),
        *_say_bests(bests, primary),
    )
    return tuple(text for text in said if text)


def _word(one: ConfigurationResult) -> str:
    """The tested verdict; empty without a comparison."""
    return one.judgement.tested.word if one.judgement else ""


def _say_headline(compared: Sequence[ConfigurationResult], primary: Metric) -> str:
    """The answer in one sentence, by the test alone."""
    by_word = {word: [one for one in compared if _word(one) == word] for word in ("WINNER", "LOSER", "EQUIVALENT")}
    better = by_word["WINNER"]
    lost = _say_lost(compared)
    if better:
        names = ", ".join(f"{one.label} ({_say_n(one)})" for one in better[:3])
        more = f" and {len(better) - 3} more" if len(better) > 3 else ""
        return f"Better than the baseline on {primary.name}: {names}{more}.{lost}"
    sizes = spread(one.estimate.n for one in compared)
    parts = [
        f"{len(found)} of {len(compared)} {'is' if len(found) == 1 else 'are'} {said}"
        for found, said in ((by_word["LOSER"], "worse"), (by_word["EQUIVALENT"], "shown to be equivalent"))
        if found
    ]
    fixed = [one for one in compared if one.comparison and one.comparison.magnitude == "infinite"]
    if fixed:
        verb = "differs" if len(fixed) == 1 else "differ"
        parts.append(f"{len(fixed)} of {len(compared)} {verb}, with no spread between runs to test against")
    if parts:
        shown = f"No configuration is shown to be better than the baseline on {primary.name}"
        return f"{shown}; {', '.join(parts)} (n={sizes}).{lost}"
    return f"No configuration is shown to differ from the baseline on {primary.name} (n={sizes}).{lost}"


def _say_n(one: ConfigurationResult) -> str:
    """How many runs a claim rests on, and that it hangs on those that are missing where it does."""
    missing = one.planned - one.estimate.n
    of = f" of {one.planned}" if missing else ""
    hangs = ", and the verdict depends on the missing runs" if one.robustness and one.robustness.hangs_on else ""
    return f"n={one.estimate.n}{of}{hangs}"


def _say_lost(compared: Sequence[ConfigurationResult]) -> str:
    """Name the configurations all of whose runs ended without a value: the worst result there is, and no number."""
    lost = [one for one in compared if not one.estimate.n and one.failed_total == one.planned]
    if not lost:
        return ""
    told = "; ".join(f"{one.label}: {list_counts(one.failed)}" for one in lost[:3])
    more = f"; and {len(lost) - 3} more" if len(lost) > 3 else ""
    return f" {counted(len(lost), 'configuration')} lost every run ({told}{more})."


def _say_tested(compared: Sequence[ConfigurationResult], primary: Metric, judged: JudgedConfigurations) -> str:
    said = Counter(_word(one) for one in compared)
    baselines = [one for one in judged.results if one.is_baseline]
    if judged.stored_baseline:
        stored = spread(one.comparison.n_baseline for one in compared if one.comparison)
        against = f"the stored baseline {judged.stored_baseline} (n={stored})"
    elif len(baselines) == 1:
        against = f"the baseline {baselines[0].label} (n={baselines[0].estimate.n})"
    else:
        against = f"their {len(baselines)} baselines (n={spread(one.estimate.n for one in baselines)})"
    runs = spread(one.estimate.n for one in compared)
    tests = len(compared) - said["not computable"]
    kinds = sorted({one.comparison.test for one in compared if one.comparison and one.comparison.test})
    correction = {"holm": "Holm-adjusted", "bh": "adjusted after Benjamini and Hochberg"}[judged.plan.correction]
    level = judged.looks.level if judged.looks else judged.plan.alpha
    words = ("WINNER", "LOSER", "EQUIVALENT", "INCONCLUSIVE", "not computable")
    return (
        f"Tested ({primary.name}, {'lower' if primary.goal == 'min' else 'higher'} is better): of "
        f"{counted(len(compared), 'configuration')} (n={runs}) against {against}, "
        f"{', '.join(f'{said[word]} {word}' for word in words if said[word])} "
        f"({' or '.join(kinds) or 'no test'}, {correction} over {counted(tests, 'test')}, p < {level:.3g})."
    )


def _say_rule(compared: Sequence[ConfigurationResult]) -> str:
    said = Counter(one.judgement.rule.word for one in compared if one.judgement)
    chances = false_alarms(compared)
    text = (
        f"2σ rule (a screening rule, not a test): {said['WINNER']} WINNER, {said['NEUTRAL']} NEUTRAL, {said['LOSER']} "
        f"LOSER, {said['not computable']} not computable."
    )
    if chances:
        text += (
            f" At these n it calls {spread(round(100 * chance) for chance in chances)} % of configurations that do not "
            "differ WINNER or LOSER."
        )
    return text


def false_alarms(results: Sequence[ConfigurationResult]) -> list[float]:
    """Chance of a false alarm of the 2σ rule for each comparison that has one."""
    chances = [one.judgement.rule.false_alarm for one in results if one.judgement]
    return [chance for chance in chances if chance is not None]


def _notable(compared: Sequence[ConfigurationResult]) -> list[ConfigurationResult]:
    """The few comparisons a sentence is spent on: significant ones, else what the 2σ rule says, else the only ones."""
    tested = [one for one in compared if _word(one) in ("WINNER", "LOSER")]
    ruled = [one for one in compared if one.judgement and one.judgement.rule.word in ("WINNER", "LOSER")]
    few = [one for one in compared if one.comparison and one.comparison.difference is not None]
    fixed = [one for one in few if one.comparison and one.comparison.magnitude == "infinite"]
    chosen = tested or ruled or fixed or (few if len(few) <= 2 else [])
    return sorted(chosen, key=lambda one: -abs((one.comparison and one.comparison.relative_percent) or 0.0))[:2]


def _say_hanging(compared: Sequence[ConfigurationResult]) -> str:
    """Name the comparisons whose verdict another reading of what is missing would change."""
    hanging = [one for one in compared if one.robustness and one.robustness.hangs_on]
    if not hanging:
        return ""
    first = hanging[0]
    more = f" The same holds for {len(hanging) - 1} more." if len(hanging) > 1 else ""
    told = first.robustness.text if first.robustness else ""
    return f"The missing runs decide about {first.label} (n={first.estimate.n}): {told}.{more}"


def _say_notable(one: ConfigurationResult, primary: Metric, judged: JudgedConfigurations) -> str:
    """One comparison in one sentence; significance, effect size and the declared meaningful difference each named."""
    comparison, judgement = one.comparison, one.judgement
    if comparison is None or judgement is None or comparison.difference is None:
        raise ValueError(f"{one.label} was not compared")
    relative = comparison.relative_percent
    size = f"{in_percent(relative, sign=False)} %" if relative is not None else f"{abs(comparison.difference):.4g}"
    against = "the stored baseline" if one.baseline is None else judged.results[one.baseline].label
    tested = (
        f"adjusted p = {comparison.p_adjusted:.3g}, {judgement.tested.word}" if comparison.p_adjusted is not None
        else "not tested"
    )  # fmt: skip
    against += f" (n={comparison.n_baseline})" + (f" {comparison.basis}" if comparison.pairs else "")
    effect = f"d = {comparison.cohens_d:.2f} ({comparison.magnitude})" if comparison.cohens_d is not None else "no d"
    effect = "d is infinite: neither side varies" if comparison.magnitude == "infinite" else effect
    text = (
        f"{one.label} (n={one.estimate.n}) {_say_difference(comparison.difference, size, against, primary)}; "
        f"{tested}; {effect}; 2σ rule: {judgement.rule.word}."
    )
    if primary.meaningful is not None and relative is not None:
        reached = "reaches" if abs(relative) >= 100 * primary.meaningful else "stays below"
        text += (
            f" Taken at face value, the difference {reached} the {100 * primary.meaningful:g} % declared as meaningful."
        )
    if judgement.tested.further_seeds is not None:
        text += (
            f" {counted(judgement.tested.further_seeds, 'further seed')} on both sides would settle it with 80 % "
            "probability if the true difference is the one observed."
        )
    text += f" Not in its mean: {one.missing_text}." if one.missing_text else ""
    return text + (f" In its mean: {one.caution_text}." if one.caution_text else "")


def say_apart(compared: Sequence[ConfigurationResult]) -> str:
    """Name the comparisons over shared seeds that the means of all runs, shown elsewhere, would have otherwise."""
    apart = [one for one in compared if one.comparison and _is_apart(one.comparison)]
    if not apart:
        return ""
    told = "; ".join(_told_apart(one.label, one.comparison) for one in apart[:_SHOWN_APART] if one.comparison)
    more = f"; and {len(apart) - _SHOWN_APART} more" if len(apart) > _SHOWN_APART else ""
    return f"Caution: comparisons over shared seeds differ from the means of all runs: {told}{more}."


def _is_apart(one: Comparison) -> bool:
    """Whether the means of all runs differ in another direction, or visibly by another amount."""
    here, there = one.difference, one.difference_of_all
    if here is None or there is None:
        return False
    return here * there < 0 or abs(here - there) > _VISIBLE * max(abs(here), abs(there))


def _told_apart(label: str, one: Comparison) -> str:
    """``B: +2.8 % over the 3 shared seeds, -4.6 % of the means of all runs (n=3 against 5)``."""
    there = one.difference_of_all or 0.0
    sizes = f"the means of all runs (n={one.n} against {one.n_baseline})"
    if one.relative_percent is None or not one.mean_of_all:
        return f"{label}: {one.difference:+.3g} {one.basis}, {there:+.3g} between {sizes}"
    all_percent = 100 * there / abs(one.mean_of_all)
    return f"{label}: {in_percent(one.relative_percent)} % {one.basis}, {in_percent(all_percent)} % between {sizes}"


def _say_difference(difference: float, size: str, against: str, primary: Metric) -> str:
    """Which way a mean differs; equal means differ in no direction."""
    if difference == 0:
        return f"has the same mean as {against}"
    direction = "lower" if difference < 0 else "higher"
    better = "better" if is_better(difference, primary.goal) else "worse"
    return f"is {size} {direction} ({better}) than {against}"


def _say_bests(bests: Sequence[Best], primary: Metric) -> tuple[str, ...]:
    """Name the best configuration, of each system where there are some."""
    if not any(one.system for one in bests):
        return tuple(text for one in bests for text in _say_best(one, primary))
    chosen = [one for one in bests if one.of > 1 and not one.ties]
    if not chosen:
        return ()
    told = "; ".join(
        f"{one.result.label} ({show_number(one.result.estimate.mean)}, n={one.result.estimate.n}"
        f"{_say_optimism(one.selection)})"
        for one in chosen[:_SHOWN_SYSTEMS]
    )
    more = len(chosen) - _SHOWN_SYSTEMS
    rest = f"; {counted(more, 'further system')} in the table" if more > 0 else ""
    return (
        f"Best on each system by its mean, which tends to be too good because it was selected: {told}{rest}. Values "
        "cannot be compared between systems.",
    )


def _say_optimism(selection: Selection | None) -> str:
    """``, optimism 0.1 (95 % interval -0.1 to 0.3)``; empty where it is not known."""
    if selection is None or selection.optimism is None:
        return ""
    return f", optimism {selection.optimism:.2g}{say_optimism_interval(selection)}"


def _say_best(best: Best, primary: Metric) -> tuple[str, ...]:
    """Name the best configuration, as the optimistic choice it is."""
    if best.of < 2:
        return ()
    word = "lowest" if primary.goal == "min" else "highest"
    among = "" if best.rival is None else " among the configurations that lost no run"
    among = f" on {best.system}{among}" if best.system else among
    if best.ties:
        shared = f"the same mean as {best.ties_text}, and none is lower" if primary.goal == "min" else ""
        shared = shared or f"the same mean as {best.ties_text}, and none is higher"
        return (f"{best.result.label} (n={best.result.estimate.n}) has {shared}{among}: there is no single best.",)
    text = (
        f"{best.result.label} (n={best.result.estimate.n}) has the {word} mean{among}; it was selected as the best of "
        f"{best.of}, so its mean tends to be too good{_by_how_much(best.selection)}."
    )
    if best.rival is not None:
        text += (
            f" The mean of {best.rival.label} (n={best.rival.estimate.n}) is even better, but runs are missing from "
            f"it: {best.rival.missing_text or 'runs without a value'}."
        )
    return (text,)


def _by_how_much(selection: Selection | None) -> str:
    """What held-out runs say of the best mean, and how firmly it is first."""
    if selection is None:
        return ""
    firm = "".join(
        f"; with as many new seeds, it would be first again in {100 * one.first:.0f} % of repetitions"
        for one in selection.ranks
        if one.place == selection.chosen
    )
    if selection.held_out is None or selection.optimism is None:
        return firm
    means = f"{selection.apparent:.4g} as it stands, {selection.held_out:.4g} on held-out runs"
    if selection.optimism > 0:
        return f", here by about {selection.optimism:.3g}{say_optimism_interval(selection)}: {means}{firm}"
    told = f"({means}; optimism {selection.optimism:.3g}{say_optimism_interval(selection)})"
    return f", though runs held out of the choice show no sign of it here {told}{firm}"


def say_optimism_interval(selection: Selection) -> str:
    """`` (95 % interval -0.1 to 0.3)``, and how many runs were left out of it."""
    if selection.optimism_low is None or selection.optimism_high is None:
        return ""
    ends = f"{selection.optimism_low:.3g} to {selection.optimism_high:.3g}"
    wild = f", {counted(selection.wild, 'wild run')} left out" if selection.wild else ""
    return f" ({coverage(selection.level)} interval {ends}{wild})"
