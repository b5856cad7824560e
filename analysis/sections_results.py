"""The parts of the report about numbers: means, comparisons, what the parameters do, learning curves."""

from collections.abc import Sequence

from analysis.comparisons import Comparison
from analysis.document import Block, Bullets, Cell, Chooser, Heading, Picture, Section, Table, Text, cell
from analysis.drawing import Drawing, plain
from analysis.findings import ConfigurationResult, Findings
from analysis.frame import show_value
from analysis.importance import Importance, Interaction, ParameterEffect
from analysis.recommendations import Recommendation
from analysis.selection import choose_shown
from analysis.wording import cut_note, number_cell, show_interval, show_mean, show_number, show_p

MAX_CONFIGURATIONS = 60
_MARKS = {"WINNER": "good", "LOSER": "bad", "better": "good", "worse": "bad"}


def results_section(findings: Findings, drawings: Sequence[Drawing]) -> Section:
    """Every configuration with its mean, the best one, and all points in a picture."""
    blocks: list[Block] = [
        results_table(findings),
        Text(
            "Mean ± sample standard deviation over the n runs that finished as asked; interval: Student's t, 95 %. "
            "Failed runs have no number and enter no mean.",
            "note",
        ),
        Heading("Best configuration"),
        Text(plain(best_text(findings))),
        *(Picture(one) for one in drawings if one.topic == "results"),
    ]
    return Section("results", "Results per configuration", tuple(blocks), "Results")


def comparison_section(findings: Findings) -> Section:
    """Every configuration against its baseline, tested and by the 2σ rule."""
    table = comparison_table(findings)
    blocks: list[Block] = []
    if table.rows:
        blocks = [
            table,
            Text(
                "Differences are configuration minus baseline. “Tested” and “2σ rule” are two answers to two "
                "questions and are never mixed: tested means Welch's t with Holm's adjustment over all rows, p < 0.05; "
                "the 2σ rule compares |Δ| with the baseline's standard deviation (2 and more WINNER or LOSER, 1 to 2 "
                "suggestive, below 1 noise). Cohen's d uses σ_pooled = √((σ_b² + σ_e²) / 2). The 95 % interval of the "
                "difference is Welch's, each by itself.",
                "note",
            ),
        ]
        notes = comparison_notes(findings)
        blocks += [Bullets(notes)] if notes else []
    else:
        blocks = [Text(f"Nothing was compared: {plain(findings.verdict[0])}")]
    return Section("comparisons", "Comparison with the baseline", tuple(blocks), "Comparison")


def recommendations_section(found: Sequence[Recommendation]) -> Section:
    """What to do next, each with the facts behind it."""
    if not found:
        nothing = Text("No rule found a reason to recommend anything.")
        return Section("recommendations", "Recommendations", (nothing,), "Recommendations")
    rows = tuple((cell(one.action), cell(one.evidence), cell(one.rule, mark="code")) for one in found)
    table = Table("recommendations", "Recommendations", ("what to do", "because", "rule"), rows, (0, 1))
    return Section("recommendations", "Recommendations", (table,), "Recommendations")


def parameters_section(drawings: Sequence[Drawing]) -> Section | None:
    """What the swept parameters do; None where fewer than two vary."""
    shown = tuple(one for one in drawings if one.topic == "parameters")
    if not shown:
        return None
    return Section("parameters", "What the parameters do", tuple(Picture(one) for one in shown), "Parameters")


def parameters_table(found: Importance) -> Table:
    """One row per parameter: how much of the variance it accounts for, its best value, and what that is worth."""
    percent = f"{100 * found.level:g} %"
    rows: list[tuple[Cell, ...]] = [
        (*_share_cells(one.name, one), cell(show_value(one.levels[one.best].value) + (", on the edge" * one.on_edge)),
         cell("–" if one.improvement_percent is None else f"{one.improvement_percent:+.1f} %", one.improvement_percent),
         cell(show_p(one.p_best), one.p_best))
        for one in found.parameters
    ]  # fmt: skip
    rows += [(*_share_cells(" × ".join(one.names), one), cell("–"), cell("–"), cell("–")) for one in found.interactions]
    head = ("parameter", "share of the variance", f"{percent} interval", "p", "best value",
            "better than the others by", "p of that")  # fmt: skip
    return Table("importance", f"What the parameters do to {plain(found.metric)}", head, tuple(rows))


def _share_cells(name: str, one: ParameterEffect | Interaction) -> tuple[Cell, ...]:
    interval = cell(f"{100 * one.low:.0f} to {100 * one.high:.0f} %", one.low)
    return (cell(name), cell(f"{100 * one.share:.0f} %", one.share), interval, cell(show_p(one.p), one.p))


def curves_section(drawings: Sequence[Drawing]) -> Section:
    """Learning curves, one metric after the other."""
    shown = tuple(one for one in drawings if one.topic == "curves")
    blocks: tuple[Block, ...] = (Chooser("Metric", shown),)
    if len(shown) < 2:
        blocks = tuple(Picture(one) for one in shown)
    nothing = (Text("No curve was recorded for the declared metrics or a loss."),)
    return Section("curves", "Learning curves", blocks or nothing, "Curves")


def results_table(findings: Findings, limit: int = MAX_CONFIGURATIONS) -> Table:
    """One row per configuration: rank, mean, interval, and what is missing from it."""
    primary = findings.primary.name if findings.primary else "primary metric"
    head = ["rank", "configuration", f"{primary}: mean ± std (n)", "95 % interval", "failed", "not in the mean"]
    has_cautions = any(one.cautions for one in findings.results)
    head += ["in the mean, with care"] if has_cautions else []
    head += [f"{goal.name}: mean ± std (n)" for goal in findings.secondary]
    rank = ranks(findings)
    rows = tuple(_result_row(one, rank.get(one.number), has_cautions) for one in choose_shown(findings, limit))
    note = cut_note(len(findings.results), limit, "configurations", "runs.csv", "baselines, the best and the worst")
    return Table("results", f"{primary} per configuration", tuple(plain(text) for text in head), rows,
                 (1, 5, 6) if has_cautions else (1, 5), note)  # fmt: skip


def ranks(findings: Findings) -> dict[int, int]:
    """Rank of each configuration by its mean, 1 is best."""
    sign = -1 if findings.primary and findings.primary.goal == "max" else 1
    means = sorted((sign * one.estimate.mean, one.number) for one in findings.results if one.estimate.mean is not None)
    return {number: place for place, (_, number) in enumerate(means, start=1)}


def _result_row(one: ConfigurationResult, rank: int | None, has_cautions: bool) -> tuple[Cell, ...]:
    mean = one.estimate.mean
    row = [
        cell(rank or "–", rank or 10**9),
        cell(one.label + (" (baseline)" if one.is_baseline else ""), mark="strong" if one.is_baseline else ""),
        cell(show_mean(one.estimate), "" if mean is None else repr(mean)),
        cell(show_interval(one.estimate)),
        cell(f"{one.failed_total} of {one.planned}", one.failed_total, mark="bad" if one.failed else ""),
        cell(one.missing_text or "nothing"),
    ]
    row += [cell(one.caution_text or "nothing", mark="warn" if one.cautions else "")] if has_cautions else []
    secondary = one.secondary.values()
    return (*row, *(cell(show_mean(other), "" if other.mean is None else repr(other.mean)) for other in secondary))


def comparison_table(findings: Findings) -> Table:
    """One row per configuration that has a baseline."""
    head = ("configuration", "tested", "2σ rule", "n / baseline", "difference", "95 % interval", "Cohen's d",
            "p adjusted (Holm)", "p", "Welch's t (df)", "z = |Δ|/σ")  # fmt: skip
    shown = choose_shown(findings, MAX_CONFIGURATIONS)
    rows = tuple(_comparison_row(one, one.comparison) for one in shown if one.comparison is not None)
    return Table("comparisons", "Comparison with the baseline", head, rows, (0,))


def comparison_notes(findings: Findings) -> tuple[str, ...]:
    """Why something could not be computed, by configuration."""
    shown = choose_shown(findings, MAX_CONFIGURATIONS)
    return tuple(
        f"{plain(one.label)}: {one.comparison.note}." for one in shown if one.comparison and one.comparison.note
    )


def _comparison_row(one: ConfigurationResult, found: Comparison) -> tuple[Cell, ...]:
    rule = found.rule_verdict + (f" ({found.strength})" if found.rule_verdict == "NEUTRAL" else "")
    relative = "" if found.relative_percent is None else f" ({found.relative_percent:+.1f} %)"
    difference = "–" if found.difference is None else f"{found.difference:+.3g}{relative}"
    interval = "–" if found.low is None else f"[{show_number(found.low, 3)}, {show_number(found.high, 3)}]"
    d = "–" if found.cohens_d is None else f"{found.cohens_d:.2f} ({found.magnitude})"
    return (
        cell(one.label),
        cell(found.tested_verdict, mark=_MARKS.get(found.tested_verdict, "")),
        cell(rule, mark=_MARKS.get(found.rule_verdict, "")),
        cell(f"{found.n} / {found.n_baseline}", found.n),
        cell(difference, found.difference),
        cell(interval),
        cell(d, found.cohens_d),
        cell(show_p(found.p_adjusted), found.p_adjusted),
        cell(show_p(found.p), found.p),
        cell("–" if found.t is None else f"{found.t:.2f} ({found.df:.1f})", found.t),
        number_cell(found.z, 3),
    )


def best_text(findings: Findings) -> str:
    """Name the best configuration, as the optimistic choice it is."""
    best = findings.best
    if best is None or findings.primary is None:
        return "No configuration has a value yet."
    one = best.result
    text = (
        f"{one.label}: {findings.primary.name} = {show_mean(one.estimate)}, 95 % interval "
        f"{show_interval(one.estimate)}. It is the best of {best.of} configurations, selected on these same data: its "
        "mean is optimistic."
    )
    if not best.complete:
        text += " No configuration has a value of every run; this one has lost some too."
    if one.missing_text:
        text += f" Not in the mean: {one.missing_text}."
    if one.caution_text:
        text += f" In the mean, with care: {one.caution_text}."
    if best.rival:
        why = best.rival.missing_text or "runs without a value"
        text += f" Left out, although its mean is better: {best.rival.label}, {show_mean(best.rival.estimate)} ({why})."
    return text
