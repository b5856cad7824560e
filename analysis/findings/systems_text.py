"""What is said of methods over systems: the answer in one sentence, how it was tested, what is left out of it."""

from collections.abc import Sequence

from analysis.statistics.jackknife import Aggregate
from analysis.statistics.system_runs import ORDER, RANGE, RATIO
from analysis.statistics.systems import MethodOverSystems, OverSystems
from analysis.words import coverage, list_words, say_p, show_number, show_p, spread
from hpc.core.words import counted

_SHOWN = 3


def say_over_systems(found: OverSystems, metric: str) -> tuple[str, ...]:
    """Answer over all systems, one statement a sentence; what could not be answered says why."""
    if not found.methods:
        left = f"{counted(len(found.systems), 'system')} {'has' if len(found.systems) == 1 else 'have'}"
        return tuple(
            text for text in (f"No statement over systems: {left} results of every method.", say_dropped(found))
            if text
        )  # fmt: skip
    said = (_say_answer(found, metric), _say_tests(found), _say_omnibus(found), say_dropped(found), say_outside(found))
    return tuple(text for text in said if text)


def _say_answer(found: OverSystems, metric: str) -> str:
    """Which methods are better than the baseline over all systems, with their sizes."""
    over = f"Over {len(found.systems)} systems"
    by_word = {
        word: sorted((one for one in found.compared if one.word == word), key=lambda one: one.rank)
        for word in ("WINNER", "LOSER", "EQUIVALENT")
    }
    parts = [
        f"{list_words([_with_size(one, found) for one in named[:_SHOWN]])}"
        + (f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else "")
        + f" {'is' if len(named) == 1 else 'are'} {said}"
        for named, said in (
            (by_word["WINNER"], f"better than the baseline {found.baseline} on {metric}"),
            (by_word["LOSER"], "worse" if by_word["WINNER"] else f"worse than the baseline {found.baseline} on {metric}"),  # noqa: E501
            (by_word["EQUIVALENT"], f"shown to be equivalent to the baseline {found.baseline}"),
        )
        if named
    ]  # fmt: skip
    runs = f"n = {spread(one.n for one in found.compared)} against {found.compared[0].n_baseline}"
    if not parts:
        best = min(found.compared, key=lambda one: one.rank)
        return (
            f"{over} no method is shown to differ from the baseline {found.baseline} on {metric} "
            f"({runs}); the best by average rank is {_with_size(best, found)}."
        )
    return f"{over} {'; '.join(parts)} ({runs})."


def say_method(one: MethodOverSystems, found: OverSystems, metric: str) -> str:
    """One method in one sentence: how much, how sure, of how many runs."""
    return (
        f"{metric} over {len(found.systems)} systems, against {found.baseline}: {_with_size(one, found)}; "
        f"n = {one.n} against {one.n_baseline}."
    )


def _with_size(one: MethodOverSystems, found: OverSystems) -> str:
    """``grpo (geometric mean ratio 0.62, 95 % interval 0.5 to 0.8; adjusted p = 0.003)``."""
    if one.effect is not None:
        size = f"{effect_name(found)} {_show(one.effect, found)}"
    elif one.improvement is not None:
        size = f"better in {100 * one.improvement.value:.0f} % of pairs of runs"
    else:
        size = "not computable"
    p = one.p_equivalence if one.word == "EQUIVALENT" else one.p_adjusted
    return f"{one.method} ({size}; adjusted {say_p(p)})"


def _show(one: Aggregate, found: OverSystems) -> str:
    if one.low is None or one.high is None:
        return f"{show_number(one.value, 3)}, no interval with one run on a system"
    ends = f"{show_number(one.low, 3)} to {show_number(one.high, 3)}"
    return f"{show_number(one.value, 3)}, {coverage(found.level)} interval {ends}"


def effect_name(found: OverSystems) -> str:
    """What the effect over systems is."""
    return "geometric mean ratio" if found.scale == RATIO else "mean difference of scores"


def _say_tests(found: OverSystems) -> str:
    tests = list_words(sorted({one.test for one in found.compared if one.test}))
    correction = {"holm": "Holm-adjusted", "bh": "adjusted after Benjamini and Hochberg"}[found.correction]
    floors = [one.floor for one in found.compared if one.floor is not None and not one.test.startswith("t")]
    floor = f", which cannot be below {show_p(max(floors))} here" if floors else ""
    ratio = " Ratios, because " + found.why + "." if found.scale == RATIO else ""
    order = f" Only the order of runs is used, because {found.why}." if found.scale == ORDER else ""
    return (
        f"Tested over systems: {tests} ({correction} over {counted(len(found.compared), 'method')}, "
        f"p < {found.alpha:.3g}){floor}; on these systems, each with the same weight.{ratio}{order}"
    )


def _say_omnibus(found: OverSystems) -> str:
    """Friedman's test with its floor, and what it takes for granted."""
    one = found.omnibus
    if one is None:
        return ""
    floor = f" (smallest possible {show_p(one.floor)})"
    how = "exact" if one.method == "exact" else "Iman–Davenport's F, approximate"
    verdict = "methods rank differently" if one.p < found.alpha else "no difference of ranks is shown"
    return (
        f"Friedman's test over {len(found.systems)} systems and {len(found.methods)} methods: χ² = "
        f"{one.statistic:.2f}, {say_p(one.p)}{floor}, {how}: {verdict}. It treats the systems as independent draws "
        "and uses only the order of methods on each, not the runs behind it."
    )


def say_dropped(found: OverSystems) -> str:
    """Name what is in no number over systems."""
    if not found.dropped:
        return ""
    return f"Left out over systems: {'; '.join(f'{one.name} ({one.reason})' for one in found.dropped)}."


def say_outside(found: OverSystems) -> str:
    """Name the values outside the declared ranges."""
    if found.scale != RANGE or not found.outside:
        return ""
    return f"Outside the declared range, used as they are: {'; '.join(found.outside)}."


def say_lost(methods: Sequence[MethodOverSystems]) -> str:
    """Name the methods whose runs diverged; the rank test counts these as the worst."""
    lost = [f"{one.method}: {one.diverged}" for one in methods if one.diverged]
    if not lost:
        return ""
    return f"Runs that diverged ({'; '.join(lost)}) rank as the worst runs, and are in no mean."
