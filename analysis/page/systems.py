"""The part of the report about methods over systems: the answer, the table, ranks and profiles."""

from collections.abc import Sequence

from analysis.figures.drawing import Drawing
from analysis.findings.findings import Findings
from analysis.findings.systems_text import effect_name, say_lost, say_over_systems
from analysis.page.document import Block, Cell, Heading, Picture, Table, Text, cell
from analysis.statistics.jackknife import Aggregate
from analysis.statistics.system_runs import ORDER, RANGE, RATIO
from analysis.statistics.systems import MethodOverSystems, OverSystems
from analysis.words import coverage, plain, show_p

_MARKS = {"WINNER": "good", "LOSER": "bad", "EQUIVALENT": "strong"}


def systems_blocks(findings: Findings, drawings: Sequence[Drawing]) -> list[Block]:
    """Methods over systems, where the baseline stands for one configuration on each."""
    found = findings.over_systems
    if found is None or findings.primary is None:
        return []
    # Where it is the question the verdict has said it already.
    told = () if found.are_scales and found.methods else say_over_systems(found, findings.primary.name)
    blocks: list[Block] = [Heading("Over all systems"), *(Text(plain(one)) for one in told)]
    if not found.methods:
        return blocks
    lost = say_lost(found.methods)
    return [
        *blocks,
        *(Picture(one) for one in drawings if one.name == "ranks"),
        systems_table(found),
        Text(_how_to_read(found), "note"),
        *([Text(plain(lost), "caution")] if lost else []),
        *(Picture(one) for one in drawings if one.topic == "systems" and one.name != "ranks"),
    ]


def systems_table(found: OverSystems) -> Table:
    """One row per method, the best average rank first."""
    with_scores, with_effect = found.scale == RANGE, found.scale != ORDER
    head = ["method", "verdict", "average rank", "n / baseline", "diverged", "no value"]
    head += ["mean score", "interquartile mean score", "optimality gap"] * with_scores
    if with_effect:
        what = "ratio" if found.scale == RATIO else "difference"
        head += [effect_name(found), f"interquartile mean {what}"]
    head += ["probability of improvement", "systems won", "p adjusted", "p rank test", "p equivalent"]
    rows = tuple(_row(one, found) for one in sorted(found.methods, key=lambda one: one.rank))
    return Table("systems", f"Methods over {', '.join(map(plain, found.systems))}", tuple(head), rows, (0,))


def _row(one: MethodOverSystems, found: OverSystems) -> tuple[Cell, ...]:
    is_baseline = one.method == found.baseline
    cells = [
        cell(one.method + (" (baseline)" if is_baseline else ""), mark="strong" if is_baseline else ""),
        cell(one.word or "–", mark=_MARKS.get(one.word, "")),
        cell(f"{one.rank:.2f}", one.rank),
        cell(f"{one.n} / {one.n_baseline}", one.n),
        cell(one.diverged, mark="bad" if one.diverged else ""),
        cell(one.missing, mark="warn" if one.missing else ""),
    ]
    cells += [_aggregate(one.score), _aggregate(one.score_iqm), _aggregate(one.gap)] * (found.scale == RANGE)
    cells += [_aggregate(one.effect), _aggregate(one.iqm)] * (found.scale != ORDER)
    won = "–" if is_baseline else f"{one.wins} of {len(found.systems)}"
    return (
        *cells,
        _aggregate(one.improvement),
        cell(won, one.wins),
        cell(show_p(one.p_adjusted), one.p_adjusted),
        cell(show_p(one.p_rank), one.p_rank),
        cell(show_p(one.p_equivalence), one.p_equivalence),
    )


def _aggregate(found: Aggregate | None) -> Cell:
    if found is None:
        return cell("–")
    ends = "" if found.low is None or found.high is None else f" [{found.low:.3g}, {found.high:.3g}]"
    return cell(f"{found.value:.3g}{ends}", found.value)


def _how_to_read(found: OverSystems) -> str:
    lower = "lower" if found.goal == "min" else "higher"
    what = {
        RANGE: (
            f"Scores: 0 and 1 are the ends of the declared range, {lower} is better. The optimality gap is how far "
            f"runs are from {0 if found.goal == 'min' else 1} on average; runs beyond it do not compensate for runs "
            "that fall short."
        ),
        RATIO: f"Ratios to the baseline's runs on the same system: 1 is equal, {lower} is better.",
        ORDER: "Only the order of runs within a system counts.",
    }[found.scale]
    return (
        f"{what} All columns after the counts use pairs of a run and a baseline run on the same system; every system "
        f"has the same weight. Brackets: {coverage(found.level)} intervals that treat the runs of both sides as "
        "independent samples. Ranks compare the means of all methods on each system."
    )
