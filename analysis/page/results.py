"""The parts of the report about numbers: means, comparisons, what the parameters do, learning curves."""

from collections.abc import Sequence

from analysis.figures.drawing import Drawing
from analysis.findings.configurations import Best, ConfigurationResult
from analysis.findings.findings import Findings
from analysis.findings.recommendations import Recommendation
from analysis.findings.selection import choose_shown
from analysis.findings.trajectories import ShownConfiguration
from analysis.findings.verdict_text import say_apart, say_optimism_interval
from analysis.page.cells import number_cell, show_interval, show_mean
from analysis.page.document import Block, Bullets, Cell, Chooser, Fold, Heading, Picture, Section, Table, Text, cell
from analysis.page.systems import systems_blocks
from analysis.statistics.comparisons import Comparison
from analysis.statistics.effects import Effect
from analysis.statistics.importance import Importance, Interaction, ParameterEffect
from analysis.statistics.optimism import FEWEST
from analysis.statistics.stochastic_order import AlmostOrder
from analysis.words import coverage, cut_note, plain, show_number, show_p, show_value
from hpc.core.experiment.spec import Metric
from hpc.core.words import counted, in_percent

MAX_CONFIGURATIONS = 60
MAX_RATIONALES = 12
_MARKS = {"WINNER": "good", "LOSER": "bad", "EQUIVALENT": "strong", "better": "good", "worse": "bad"}
_HOW_ORDERED = (
    "ASO (almost stochastic order): ε is 0 if the configuration is better at every quantile and 1 if it is worse at "
    "every quantile; ε_min is its upper bound, and the literature calls a value below 0.5 “better”. With 3 to 5 runs, "
    "that calls about one in five equal configurations better, so it decides nothing here."
)


def results_section(findings: Findings, drawings: Sequence[Drawing]) -> Section:
    """Every configuration with its mean, the best one, and all points in a picture."""
    blocks: list[Block] = [
        results_table(findings),
        Text(
            "Mean ± sample standard deviation over the n runs that finished as asked; interval: Student's t, "
            f"{coverage(findings.plan.confidence)}. Failed runs have no number and are in no mean.",
            "note",
        ),
        Heading("Best configuration"),
        Text(plain(best_text(findings))),
        *_selection_blocks(findings),
        *(Picture(one) for one in drawings if one.topic == "results"),
    ]
    return Section("results", "Results per configuration", tuple(blocks), "Results")


def comparison_section(findings: Findings, drawings: Sequence[Drawing] = ()) -> Section:
    """Every configuration against its baseline, tested and by the 2σ rule, and what that hangs on."""
    table = comparison_table(findings)
    blocks: list[Block] = []
    over = systems_blocks(findings, drawings)
    if table.rows:
        blocks = [*over, Heading("On each system")] if over else []
        blocks += [table, Text(_how_compared(findings), "note")]
        apart = say_apart(findings.compared)
        blocks += [Text(plain(apart), "caution")] if apart else []
        effects = effects_table(findings)
        blocks += [Fold(effects.caption, (effects, Text(_HOW_ORDERED, "note")))]
        beside = secondary_table(findings)
        if beside.rows:
            note = "Exploratory: p is adjusted over the rows of one metric, not over the metrics."
            blocks += [Fold("Secondary metrics", (beside, Text(f"{note} No verdict depends on it.", "note")))]
        rationales = tuple(
            plain(f"{one.label}. {_say_why(one.judgement.tested.rationale, one.judgement.rule.rationale)}.")
            for one in choose_shown(findings, MAX_RATIONALES) if one.judgement
        )  # fmt: skip
        blocks += [Fold("Why, configuration by configuration", (Bullets(rationales),))] if rationales else []
        readings = readings_table(findings)
        if readings.rows:
            told = (
                Text(
                    "Per protocol leaves out runs without a value; intention to treat counts each failed run as the "
                    "worst and uses only ranks; two readings set missing values to the worst and to the best value of "
                    "any run, with diverged runs at the worst in both. They are not bounds: a run can be worse than "
                    "any observed one. Altered runs are in no confirmatory comparison; one reading shows what they "
                    "would change.",
                    "note",
                ),
                readings,
            )
            blocks.append(Fold("What the verdicts depend on", told))
        notes = comparison_notes(findings)
        blocks += [Heading("Not computable"), Bullets(notes)] if notes else []
    else:
        blocks = [Text(plain(findings.verdict[0]))]
    return Section("comparisons", "Comparison with the baseline", tuple(blocks), "Comparison")


def recommendations_section(found: Sequence[Recommendation]) -> Section:
    """What to do next, each with the facts behind it."""
    if not found:
        nothing = Text("No rule found a reason to recommend anything.")
        return Section("recommendations", "Recommendations", (nothing,), "Next steps")
    rows = tuple((cell(one.action), cell(one.evidence), cell(one.rule, mark="code")) for one in found)
    table = Table("recommendations", "Recommendations", ("what to do", "because", "rule"), rows, (0, 1))
    return Section("recommendations", "Recommendations", (table,), "Next steps")


def parameters_section(findings: Findings, drawings: Sequence[Drawing]) -> Section | None:
    """What the swept parameters do; None where nothing is known of it."""
    blocks: list[Block] = []
    found = findings.importance
    if found is not None and found.parameters:
        noise = "" if found.noise is None else f" Between seeds alone: {100 * found.noise:.0f} %."
        blocks += [
            parameters_table(found),
            Text(
                f"Share of the variance between {found.runs} runs (ω², type II analysis of variance, noncentral F "
                "intervals), its p adjusted after Holm over all rows; best value: the best mean with the other "
                "parameters held equal; its p-value is multiplied by the number of values, not adjusted over "
                f"parameters.{noise}",
                "note",
            ),
            *([Text(plain(f"Read with care: {found.warning}."), "caution")] if found.warning else []),
        ]
    if found is not None and found.left_out:
        told = "; ".join(f"{name}: {reason}" for name, reason in found.left_out)
        blocks.append(Text(plain(f"Not analysed: {told}."), "caution"))
    blocks += [Picture(one) for one in drawings if one.topic == "parameters"]
    return Section("parameters", "What the parameters do", tuple(blocks), "Parameters") if blocks else None


def parameters_table(found: Importance) -> Table:
    """One row per parameter: how much of the variance it accounts for, its best value, and what that is worth."""
    percent = coverage(found.level)
    rows: list[tuple[Cell, ...]] = [
        (*_share_cells(one.name, one), cell(show_value(one.levels[one.best].value) + (", on the edge" * one.on_edge)),
         cell("–" if (better := one.improvement_percent) is None else f"{in_percent(better)} %", better),
         cell(show_p(one.p_best), one.p_best))
        for one in found.parameters
    ]  # fmt: skip
    rows += [(*_share_cells(" × ".join(one.names), one), cell("–"), cell("–"), cell("–")) for one in found.interactions]
    head = ("parameter", "share of the variance", f"{percent} interval", "p adjusted", "best value",
            "better than the others by", "p of that")  # fmt: skip
    return Table("importance", f"What the parameters do to {plain(found.metric)}", head, tuple(rows))


def _share_cells(name: str, one: ParameterEffect | Interaction) -> tuple[Cell, ...]:
    interval = cell(f"{100 * one.low:.0f} to {100 * one.high:.0f} %", one.low)
    p = cell(show_p(one.p_adjusted), one.p_adjusted)
    return (cell(name), cell(f"{100 * one.share:.0f} %", one.share), interval, p)


def curves_section(drawings: Sequence[Drawing]) -> Section:
    """Learning curves, one metric after the other."""
    shown = tuple(one for one in drawings if one.topic == "curves")
    blocks: tuple[Block, ...] = (Chooser("Metric", shown),)
    if len(shown) < 2:
        blocks = tuple(Picture(one) for one in shown)
    nothing = (Text("No curve was recorded for the declared metrics or a loss."),)
    return Section("curves", "Learning curves", blocks or nothing, "Curves")


def trajectories_section(found: Sequence[ShownConfiguration], drawings: Sequence[Drawing]) -> Section | None:
    """What runs did while they were tested; None where no program left that."""
    if not found:
        return None
    shown = tuple(one for one in drawings if one.topic == "trajectories")
    blocks: list[Block] = [Chooser("Configuration", shown)] if len(shown) > 1 else [Picture(one) for one in shown]
    missing = tuple(plain(f"{run.name}: {run.problem}.") for one in found for run in one.runs if run.problem)
    blocks += [Text("Not drawn:", "caution"), Bullets(missing)] if missing else []
    return Section("trajectories", "Trajectories", tuple(blocks), "Trajectories")


def results_table(findings: Findings, limit: int = MAX_CONFIGURATIONS) -> Table:
    """One row per configuration: rank, mean, interval, and what is missing from it."""
    primary = findings.primary.name if findings.primary else "primary metric"
    interval = f"{coverage(findings.plan.confidence)} interval"
    has_systems = any(one.system for one in findings.results)
    head = [
        "rank in its system" if has_systems else "rank",
        "configuration",
        f"{primary}: mean ± std (n)",
        interval,
        "failed",
        "not in the mean",
    ]
    has_cautions = any(one.cautions for one in findings.results)
    head += ["in the mean, with care"] if has_cautions else []
    head += [f"{goal.name}: mean ± std (n)" for goal in findings.secondary]
    rank = ranks(findings)
    rows = tuple(_result_row(one, rank.get(one.number), has_cautions) for one in choose_shown(findings, limit))
    note = cut_note(len(findings.results), limit, "configurations", "runs.csv", "baselines, the best and the worst")
    return Table("results", f"{primary} per configuration", tuple(plain(text) for text in head), rows,
                 (1, 5, 6) if has_cautions else (1, 5), note)  # fmt: skip


def ranks(findings: Findings) -> dict[int, int]:
    """Rank of each configuration by its mean, 1 is best; within its system where there are some."""
    sign = -1 if findings.primary and findings.primary.goal == "max" else 1
    ranked: dict[int, int] = {}
    for system in dict.fromkeys(one.system for one in findings.results):
        mine = (one for one in findings.results if one.system == system)
        means = sorted((sign * one.estimate.mean, one.number) for one in mine if one.estimate.mean is not None)
        ranked |= {number: place for place, (_, number) in enumerate(means, start=1)}
    return ranked


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
    """One row per configuration that has a baseline: the two verdicts side by side, and the numbers of the test."""
    correction = {"holm": "Holm", "bh": "Benjamini–Hochberg"}.get(findings.plan.correction, findings.plan.correction)
    head = ("configuration", "tested", "2σ rule", "n / baseline", "compared", "difference",
            f"{coverage(findings.plan.confidence)} interval", f"p adjusted ({correction})", "p", "t (df)", "z = |Δ|/σ",
            "p equivalent", "seeds to settle")  # fmt: skip
    shown = choose_shown(findings, MAX_CONFIGURATIONS)
    rows = tuple(_comparison_row(one, one.comparison) for one in shown if one.comparison is not None)
    return Table("comparisons", "Comparison with the baseline", head, rows, (0,))


def comparison_notes(findings: Findings) -> tuple[str, ...]:
    """Why a configuration was not compared, or something could not be computed."""
    shown = choose_shown(findings, MAX_CONFIGURATIONS)
    alone = (f"{plain(one.label)}: not compared: {plain(one.not_compared)}." for one in shown if one.not_compared)
    noted = (
        f"{plain(one.label)}: {plain(one.comparison.note)}."
        for one in shown
        if one.comparison
        and one.comparison.note
        and not (one.judgement and one.comparison.note in one.judgement.tested.rationale)
    )
    return (*alone, *noted)


def _comparison_row(one: ConfigurationResult, found: Comparison) -> tuple[Cell, ...]:
    rule = found.rule_verdict + (f" ({found.strength})" if found.rule_verdict == "NEUTRAL" else "")
    tested = one.judgement.tested if one.judgement else None
    word = tested.word if tested else found.tested_verdict
    hangs = " *" if one.robustness and one.robustness.hangs_on else ""
    seeds = tested.further_seeds if tested else None
    return (
        cell(one.label),
        cell(word + hangs, mark=_MARKS.get(word, "")),
        cell(rule, mark=_MARKS.get(found.rule_verdict, "")),
        cell(f"{found.n} / {found.n_baseline}", found.n),
        cell(found.basis, found.pairs),
        *_difference_cells(found),
        cell(show_p(found.p_adjusted), found.p_adjusted),
        cell(show_p(found.p), found.p),
        cell("–" if found.t is None else f"{found.t:.2f} ({found.df:.1f})", found.t),
        number_cell(found.z, 3),
        cell(show_p(found.p_equivalence_adjusted), found.p_equivalence_adjusted),
        cell("–" if seeds is None else f"+{seeds}", seeds),
    )


def _how_compared(findings: Findings) -> str:
    """Say which test the table rests on, and what its two verdicts are."""
    tests = sorted({one.comparison.test for one in findings.compared if one.comparison and one.comparison.test})
    plan = findings.plan
    level = findings.looks.level if findings.looks else plan.alpha
    margin = (
        f" EQUIVALENT: two one-sided tests put the difference within ±{100 * plan.margin:g} % of the baseline."
        if plan.margin else " Equivalence is not tested: no meaningful difference is declared."
    )  # fmt: skip
    twice = f" Seeds come in two looks, so p < {level:.3g} decides at either of them." if findings.looks else ""
    return (
        "Differences are configuration minus baseline. Every number in a row, including effect sizes and the 2σ rule, "
        "is over the runs under “compared”; only σ is over all n runs of the baseline. “Tested” and “2σ rule” "
        "answer two different questions and are never mixed: “tested” means "
        f"{plain(' or '.join(tests) or 'no test was possible')}, adjusted over all rows, "
        f"p < {level:.3g}; the 2σ rule compares |Δ| with the baseline's standard deviation (2 and more WINNER or "
        f"LOSER, 1 to 2 suggestive, below 1 noise).{margin}{twice} Intervals are each by itself, not adjusted. Seeds "
        "to settle: further ones on both sides for an 80 % chance of a verdict if the true difference is as measured. "
        "An asterisk: the verdict depends on runs that are missing or altered, see below."
    )


def effects_table(findings: Findings) -> Table:
    """One row per comparison: how large the effect is, in the usual measures, each with its interval."""
    shown = [one for one in choose_shown(findings, MAX_CONFIGURATIONS) if one.comparison is not None]
    head = ("configuration", "compared", "Cohen's d (σ_pooled)", "size", "Hedges' g", "Cliff's δ",
            "probability of improvement", "ASO violation ratio ε", "p rank", "p permutation",
            "smaller p of these two")  # fmt: skip
    rows = tuple(
        (
            cell(one.label),
            cell(found.basis, found.pairs),
            _effect_cell(found.d),
            cell(found.magnitude),
            _effect_cell(found.hedges_g),
            _effect_cell(found.cliffs_delta),
            _effect_cell(found.improvement),
            _order_cell(found.aso),
            cell(show_p(found.p_rank), found.p_rank),
            cell(show_p(found.p_permutation), found.p_permutation),
            cell(show_p(found.p_smallest), found.p_smallest),
        )
        for one in shown if (found := one.comparison) is not None
    )  # fmt: skip
    return Table("effects", "Effect sizes with their intervals", head, rows, (0,))


def secondary_table(findings: Findings) -> Table:
    """One row per secondary metric and comparison: difference with interval, p and Cohen's d."""
    shown = choose_shown(findings, MAX_CONFIGURATIONS)
    rows = tuple(
        (cell(metric.name), cell(one.label), *_secondary_cells(one.secondary_comparisons[metric.name]))
        for metric in findings.secondary
        for one in shown
        if metric.name in one.secondary_comparisons
    )
    interval = f"{coverage(findings.plan.confidence)} interval"
    head = ("metric", "configuration", "compared", "difference", interval, "p adjusted", "Cohen's d")
    return Table("secondary", "Secondary metrics against the baseline", head, rows, (1,))


def _secondary_cells(found: Comparison) -> tuple[Cell, ...]:
    return (
        cell(found.basis, found.pairs),
        *_difference_cells(found),
        cell(show_p(found.p_adjusted), found.p_adjusted),
        _effect_cell(found.d),
    )


def _difference_cells(found: Comparison) -> tuple[Cell, Cell]:
    """A difference with its percent, and its interval."""
    relative = "" if found.relative_percent is None else f" ({in_percent(found.relative_percent)} %)"
    difference = "–" if found.difference is None else f"{found.difference:+.3g}{relative}"
    interval = "–" if found.low is None else f"[{show_number(found.low, 3)}, {show_number(found.high, 3)}]"
    return cell(difference, found.difference), cell(interval)


def _effect_cell(found: Effect | None) -> Cell:
    if found is None:
        return cell("–")
    return cell(f"{found.value:z.2f} [{found.low:z.2f}, {found.high:z.2f}]", found.value)


def _order_cell(found: AlmostOrder | None) -> Cell:
    if found is None:
        return cell("–")
    return cell(f"{found.violation:.2f} (ε_min {found.bound:.2f})", found.violation)


def readings_table(findings: Findings) -> Table:
    """Every reading of every comparison from which something is missing."""
    rows = []
    for one in choose_shown(findings, MAX_CONFIGURATIONS):
        for place, reading in enumerate(one.robustness.readings if one.robustness else ()):
            decides = one.robustness is not None and reading.name in one.robustness.hangs_on
            relative, better = reading.relative_percent, reading.improvement
            rows.append(
                (
                    cell(one.label if place == 0 else "", one.label),
                    cell(reading.name + (", by rank" if reading.by_rank else ""), mark="warn" if decides else ""),
                    cell(f"{reading.n} / {reading.n_baseline}", reading.n),
                    cell("–" if reading.by_rank or relative is None else f"{in_percent(relative)} %", relative),
                    cell("–" if better is None else f"{100 * better:.0f} %", better),
                    cell(show_p(reading.p_adjusted), reading.p_adjusted),
                    cell(reading.verdict, mark=_MARKS.get(reading.verdict, "")),
                )
            )
    head = (
        "configuration",
        "reading",
        "n / baseline",
        "difference",
        "pairs in which it is better",
        "p adjusted",
        "verdict",
    )
    return Table("readings", "What the verdicts depend on", head, tuple(rows), (0,))


def _selection_blocks(findings: Findings) -> tuple[Block, ...]:
    """What the best configuration is worth on runs that had no part in choosing it, and how firm ranks are."""
    return tuple(block for one in findings.bests for block in _selection_of(findings, one))


def _selection_of(findings: Findings, best: Best) -> tuple[Block, ...]:
    found = best.selection
    if found is None:
        return ()
    held = "not computable: no run could be held out"
    if found.held_out is not None and found.optimism is not None:
        held = (
            f"{show_number(found.held_out)} on runs held out of the choice; optimism {show_number(found.optimism, 3)}"
            f"{say_optimism_interval(found)}"
        )
    rows = tuple(
        (
            cell(one.rank),
            cell(findings.results[one.place].label),
            cell(f"{one.low} to {one.high}", one.low),
            cell(f"{100 * one.first:.0f} %", one.first),
        )
        for one in found.ranks
    )
    head = ("rank", "configuration", f"rank in {coverage(found.level)} of repetitions", "first in")
    where = f"On {plain(best.system)}, selected" if best.system else "Selected"
    selected = Text(f"{where} from {found.of}: {show_number(found.apparent)} as it stands, {held}.")
    if not rows:
        few = f"The stability of the ranks is not known: a configuration has fewer than {FEWEST} values."
        return (selected, Text(few, "note"))
    told = (
        "Simulated repetitions of the whole experiment with as many new seeds (normal values, spread as estimated); "
        "configurations that tie for first place share it."
    )
    place = findings.bests.index(best)
    name, title = ("ranks" if place == 0 else f"ranks-{place + 1}"), "How stable the ranks are"
    table = Table(name, f"{title} on {plain(best.system)}" if best.system else title, head, rows, (1,))
    return (selected, table, Text(told, "note"))


def _say_why(tested: str, rule: str) -> str:
    """Both answers with their reasons; where neither could be computed they have one in common."""
    return tested if tested == rule else f"Tested: {tested}. 2σ rule: {rule}"


def best_text(findings: Findings) -> str:
    """Name the best configuration, as the optimistic choice it is; with systems the best of each."""
    if not findings.bests or findings.primary is None:
        return "No configuration has a value yet."
    return " ".join(_best_text(one, findings.primary) for one in findings.bests)


def _best_text(best: Best, primary: Metric) -> str:
    one = best.result
    text = (
        (f"On {best.system}: " if best.system else "")
        + f"{one.label}: {primary.name} = {show_mean(one.estimate)}, {coverage(one.estimate.level)} interval "
        f"{show_interval(one.estimate)}."
    )
    of = counted(best.of, "configuration")
    if best.ties:
        text += f" It shares the best mean of {of} with {best.ties_text}: only its position in the sweep puts it first."
        text += " It was selected on the same data, so the mean is optimistic."
    elif best.of > 1:
        text += f" It is the best of {of}, selected on the same data: its mean is optimistic."
    if not best.complete:
        text += " No configuration has a value from every run; this one lost some too."
    if one.missing_text:
        text += f" Not in the mean: {one.missing_text}."
    if one.caution_text:
        text += f" In the mean, with care: {one.caution_text}."
    if best.rival:
        why = best.rival.missing_text or "runs without a value"
        text += f" Left out, although its mean is better: {best.rival.label}, {show_mean(best.rival.estimate)} ({why})."
    return text
