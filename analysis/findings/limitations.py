"""What the reader has to keep in mind; each sentence follows from a fact of the experiment."""

from collections.abc import Sequence

from analysis.data.frame import ExperimentFrame
from analysis.findings.cautions import Cautions, say_cautions
from analysis.findings.configurations import Best, ConfigurationResult, JudgedConfigurations
from analysis.findings.counts import RunCounts
from analysis.findings.registration import Registration, Standing
from analysis.findings.verdict_text import false_alarms
from analysis.words import list_counts, list_words, spread
from hpc.core.words import counted

_SHOWN = 5
"""Configurations, and reasons, named in one sentence."""


def say_limitations(
    frame: ExperimentFrame,
    counts: RunCounts,
    judged: JudgedConfigurations,
    bests: Sequence[Best],
    cautions: Cautions,
    registration: Registration,
) -> tuple[str, ...]:
    """List what the reader has to keep in mind; each sentence follows from a fact of this experiment."""
    results = judged.results
    said = [_limit_open(counts), _limit_failed(counts, results), _limit_unreadable(frame)]
    said += [_limit_small(results), _limit_seed(results), _limit_altered(counts)]
    if counts.without_value:
        said.append(
            f"{counted(counts.without_value, 'finished run')} gave no usable value of the primary metric; they count "
            "as missing."
        )
    said += say_cautions(frame, cautions, [(one.number, one.baseline) for one in results if one.baseline is not None])
    said += [
        say_uncompared(results),
        _limit_beside(results),
        _limit_rule(results),
        _limit_margin(judged),
        judged.looks.text if judged.looks else "",
    ]
    said.append(_limit_best(bests))
    said.append(registration.headline if registration.standing is Standing.EXPLORATORY else "")
    if ((frame.manifest.get("provenance") or {}).get("git") or {}).get("dirty"):
        said.append(
            "The code had uncommitted changes when the experiment was planned: the commit alone does not reproduce it."
        )
    return tuple(text for text in said if text)


def _limit_open(counts: RunCounts) -> str:
    missing = counts.running + counts.pending + counts.never_started
    return (
        f"{missing} of {counted(counts.planned, 'run')} had not ended when the results were collected: "
        "all results are provisional."
        if missing
        else ""
    )


def _limit_failed(counts: RunCounts, results: Sequence[ConfigurationResult]) -> str:
    if not counts.failed_total:
        return ""
    touched = [one for one in results if one.failed]
    text = (
        f"{counts.failed_total} of {counted(counts.planned, 'run')} failed ({list_counts(counts.failed)}) in "
        f"{len(touched)} of "
        f"{counted(len(results), 'configuration')}. Means describe only the runs that finished; where failure depends "
        "on the configuration, they flatter it."
    )
    if "divergence" in counts.failed:
        text += " A diverged run is a result: it counts against its configuration."
    return text


def _limit_unreadable(frame: ExperimentFrame) -> str:
    """Name the attempts whose own record of their end is damaged: what the report says of them others said."""
    names, columns = list(frame.tasks["run_name"]), ("task", "attempt", "unreadable")
    damaged = [
        f"{names[int(task)]} attempt {attempt} ({unreadable})"
        for task, attempt, unreadable in zip(*(frame.attempts[name] for name in columns), strict=True)
        if isinstance(unreadable, str) and unreadable
    ]
    if not damaged:
        return ""
    return (
        f"The records of {counted(len(damaged), 'attempt')} cannot be read; how they ended is known from other sources "
        f"or not at all: {'; '.join(damaged[:_SHOWN])}{_more(damaged)}."
    )


def _limit_small(results: Sequence[ConfigurationResult]) -> str:
    sizes = [one.estimate.n for one in results if one.estimate.n]
    if not sizes or min(sizes) >= 5:
        return ""
    return (
        f"Few runs: n = {spread(sizes)} per configuration. With n = {min(sizes)} only large effects can be found; "
        "inconclusive does not mean equal."
    )


def _limit_seed(results: Sequence[ConfigurationResult]) -> str:
    """Ask whether the seed is used where no run differs from the others of its configuration."""
    several = [one for one in results if one.estimate.n > 1]
    same = [one for one in several if one.estimate.std == 0]
    if not same:
        return ""
    return (
        f"In {len(same)} of {counted(len(several), 'configuration')} with several values every run gave the same "
        "value, whatever its seed. Does the program use the seed, and print enough digits? If not, these runs count as "
        "one."
    )


def _limit_altered(counts: RunCounts) -> str:
    if not counts.altered:
        return ""
    return (
        f"{counted(counts.altered, 'run was', 'runs were')} altered to make it finish. An altered run is no longer "
        "what was asked for: it is listed, but kept out of means and comparisons."
    )


def say_uncompared(results: Sequence[ConfigurationResult]) -> str:
    """Name the configurations that no verdict speaks of, by reason."""
    alone = [one for one in results if one.not_compared]
    if not alone:
        return ""
    reasons = {reason: [one.label for one in alone if one.not_compared == reason] for reason in _reasons(alone)}
    told = "; ".join(f"{', '.join(labels[:_SHOWN])}{_more(labels)}: {reason}" for reason, labels in reasons.items())
    return (
        f"{len(alone)} of {counted(len(results), 'configuration has', 'configurations have')} nothing to be compared "
        f"with: {told}."
    )


def _reasons(alone: Sequence[ConfigurationResult]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.not_compared for one in alone))[:_SHOWN]


def _more(labels: Sequence[str]) -> str:
    return f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""


def _limit_beside(results: Sequence[ConfigurationResult]) -> str:
    """Say which comparisons change more than the parameters the baseline declares."""
    mixed = [one for one in results if one.changed_beside]
    if not mixed:
        return ""
    names = list(dict.fromkeys(name for one in mixed for name in one.changed_beside))
    compared = sum(one.comparison is not None for one in results)
    return (
        f"In {len(mixed)} of {counted(compared, 'comparison')} the baseline also differs in "
        f"{list_words(names)}, because the sweep has no baseline with the same value: a difference may come from that."
    )


def _limit_rule(results: Sequence[ConfigurationResult]) -> str:
    chances = false_alarms(results)
    if not chances:
        return ""
    return (
        f"The 2σ rule uses the baseline's own standard deviation: if nothing differed, it would still call "
        f"{spread(round(100 * chance) for chance in chances)} % of the configurations here WINNER or LOSER. It does "
        "not correct for the number of comparisons; the tested verdict does."
    )


def _limit_margin(judged: JudgedConfigurations) -> str:
    if judged.plan.margin is not None or not any(one.comparison for one in judged.results):
        return ""
    return (
        "No meaningful difference is declared (metrics.primary.meaningful): equivalence cannot be shown, and anything "
        "that cannot be distinguished from the baseline is inconclusive."
    )


def _limit_best(bests: Sequence[Best]) -> str:
    chosen = [one for one in bests if one.of > 1]
    if not chosen:
        return ""
    best = chosen[0]
    if len(chosen) > 1 or best.system:
        return (
            f"The best of each of {counted(len(chosen), 'system')} was chosen on the same data that describe it, so "
            "these means are optimistic. Values cannot be compared between systems, so there is no overall best."
        )
    what = "best mean" if best.ties else "best"
    text = (
        f"The {what} of {counted(best.of, 'configuration')} was chosen on the same data that describe it, so "
        f"{'it' if best.ties else 'its mean'} is optimistic."
    )
    if best.selection is None or best.selection.held_out is None:
        return f"{text} New seeds would show by how much."
    return f"{text} Runs held out of the choice have a mean of {best.selection.held_out:.4g}."
