"""The three forms that users' own documents give a report: orchestration, a paper's sections, variance tables.

``s1``: header, summary, top configurations, statistics, resources, tables, plots, recommendations, files.
``s2``: hypothesis, setup, results, analysis, limitations, failed attempts.
``s3``: baseline statistics, experiment statistics, test, wall clock, verdict; one file per experiment, and one for the
variance of a baseline, under ``docs/research`` of the project. Their names end in the scale the runs were made at:
``_1M`` for 1,000,000 training tokens.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from analysis.data.frame import ExperimentFrame, Floats
from analysis.data.values import usable_values
from analysis.figures.drawing import Drawing
from analysis.findings.configurations import ConfigurationResult
from analysis.findings.findings import Findings
from analysis.findings.limitations import say_uncompared
from analysis.findings.recommendations import recommend
from analysis.findings.selection import choose_shown
from analysis.page.document import Block, Bullets, Cell, Document, Facts, Heading, Picture, Section, Table, Text, cell
from analysis.page.record import brief_facts, primary_text, setup_facts, space_text
from analysis.page.results import best_text, comparison_section, parameters_table, ranks, results_table
from analysis.page.runs import failures_section, resource_facts
from analysis.statistics.comparisons import Comparison, compare
from analysis.statistics.estimates import Estimate, estimate
from analysis.statistics.samples import Sample
from analysis.words import coverage, plain, say_p, show_duration, show_number, show_p, show_time, show_value
from hpc.core.experiment.spec import Metric
from hpc.core.words import counted, in_percent

RESEARCH = Path("docs/research")
_BASELINE = "baseline_variance"
TOP = 5
_TOKENS = re.compile(r"(^|_)tokens$")
_SCALES = ((10**9, "B"), (10**6, "M"), (10**3, "K"))


def style_path(style: str, frame: ExperimentFrame) -> Path:
    """Say where a form is written: ``s1`` and ``s2`` into the report's folder, ``s3`` below the project's.

    The scale ends the name, unless the experiment's own name says it: ``baseline_variance_1M_small`` keeps that name.
    """
    if style != "s3":
        return frame.layout.report / f"report_{style}.md"
    name, scale = frame.layout.experiment, token_scale(frame)
    of_baseline = name if name.startswith(_BASELINE) else _BASELINE
    stem = of_baseline if _is_baseline_run(frame) else f"experiment_{name}"
    ending = f"_{scale}" if scale and scale not in stem.split("_") else ""
    return RESEARCH / f"{stem}{ending}.md"


def token_scale(frame: ExperimentFrame) -> str:
    """Name the scale of the runs by their training tokens: ``1M``; empty where nothing says how many, or several."""
    arguments = (frame.spec.get("program") or {}).get("args") or {}
    told = {value for name, value in arguments.items() if _TOKENS.search(str(name))}
    for name in frame.parameters.columns:
        if _TOKENS.search(str(name)):
            told |= set(frame.parameters[name])
    if len(told) != 1 or not isinstance(count := told.pop(), int | float):
        return ""
    size, letter = next(((size, letter) for size, letter in _SCALES if count >= size), (1, ""))
    return f"{count / size:g}{letter}"


def build_style(
    style: str, frame: ExperimentFrame, findings: Findings, drawings: Sequence[Drawing], files: Sequence[str]
) -> Document:
    """Build one of the forms; `files` are the names of the files in the report's folder."""
    sections: Mapping[str, Callable[[], tuple[Section, ...]]] = {
        "s1": lambda: _orchestration(frame, findings, drawings, files),
        "s2": lambda: _paper(frame, findings, drawings),
        "s3": lambda: _baseline_variance(frame, findings) if _is_baseline_run(frame) else _variance(frame, findings),
    }
    title = plain(frame.layout.experiment)
    scale = token_scale(frame)
    heading = {"s1": f"Experiment report: {title}", "s2": title, "s3": f"Experiment: {title}"}[style]
    if style == "s3" and _is_baseline_run(frame):
        heading = "Baseline variance"
    if style == "s3" and scale:
        heading += f" ({scale} tokens)"
    subtitle = f"manifest {frame.manifest_sha[:12]} · collected {show_time(frame.collected)}"
    return Document(title, heading, subtitle, sections[style]())


def _section(title: str, *blocks: Block) -> Section:
    return Section(re.sub(r"[^a-z]+", "-", title.lower()).strip("-"), title, blocks)


def _answered(findings: Findings) -> tuple[str, ...]:
    """What became of the criterion, and of one that was put later: a sentence each, where there is one."""
    return tuple(one.sentence for one in (findings.answer, findings.later) if one)


# s1


def _orchestration(
    frame: ExperimentFrame, findings: Findings, drawings: Sequence[Drawing], files: Sequence[str]
) -> tuple[Section, ...]:
    counts = findings.counts
    created = (frame.manifest.get("provenance") or {}).get("created")
    header = (
        ("Experiment id", f"{plain(frame.layout.experiment)} ({frame.manifest_sha[:12]})"),
        ("Date", show_time(created)),
        ("Type", plain(str(frame.spec.get("type") or "not declared"))),
        ("Systems", plain(_systems(frame))),
        ("Parameter space", plain(space_text(frame.spec))),
        ("Primary metric", primary_text(findings)),
    )
    summary = (
        ("Total", str(counts.planned)),
        ("Successful", str(counts.finished)),
        ("Failed", f"{counts.failed_total}" + _classes(counts.failed)),
        ("Not ended", str(counts.running + counts.pending + counts.never_started)),
    )
    advice = tuple(f"{one.action}. Rationale: {one.evidence}." for one in recommend(frame, findings))
    models = f"../tasks/RUN/attempt-N/checkpoints of {counted(counts.finished, 'finished run')}"
    kept = (
        ("Models", models),
        ("Plots", ", ".join(name for name in files if name.endswith(".svg")) or "none"),
        ("Raw CSV", ", ".join(["../collected/tasks.csv", *(name for name in files if name.endswith(".csv"))])),
        ("Logs", "../tasks/RUN/attempt-N/stdout.log and stderr.log, ../submissions/NUMBER/logs"),
    )
    return (
        _section("Header", Facts(header)),
        _section("Results summary", Facts(summary)),
        _section("Top configurations", Bullets(_top(findings))),
        _section("Statistical analysis", *_statistics(findings)),
        _section("Resource usage", Facts(tuple((name, plain(text)) for name, text in resource_facts(frame, findings)))),
        _section("Comparison tables", results_table(findings), *comparison_section(findings).blocks),
        _section("Plots", *(Picture(one) for one in drawings)),
        _section("Recommendations", Bullets(tuple(map(plain, advice))) if advice else Text("None: no rule applied.")),
        _section("Files generated", Facts(tuple((name, plain(text)) for name, text in kept))),
    )


def _systems(frame: ExperimentFrame) -> str:
    """Which systems were asked for: swept, or a fixed argument."""
    names = [name for name in frame.parameters.columns if "system" in str(name)]
    swept = [show_value(value) for name in names for value in dict.fromkeys(frame.parameters[name])]
    fixed = ((frame.spec.get("program") or {}).get("args") or {}).get("system")
    return ", ".join(swept) or (str(fixed) if fixed else "not declared")


def _classes(failed: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{count} {name}' for name, count in failed.items())})" if failed else ""


def _top(findings: Findings) -> tuple[str, ...]:
    """``lora_rank=16, learning_rate=0.0002 -> 0.0326 (n=3)``, best first."""
    rank = ranks(findings)
    valued = sorted((one for one in findings.results if one.number in rank), key=lambda one: rank[one.number])
    metric = findings.primary.name if findings.primary else ""
    if any(one.system for one in findings.results):
        told = (
            f"{one.system}: {one.result.label} -> {metric} {show_number(one.result.estimate.mean)} "
            f"(n={one.result.estimate.n}, {'shares the best mean' if one.ties else 'best'} of {one.of} there)"
            for one in findings.bests
        )
        return tuple(map(plain, told)) or ("No configuration has a value yet.",)
    told = (
        f"{rank[one.number]}. {one.label} -> {metric} {show_number(one.estimate.mean)} (n={one.estimate.n}"
        + (f"; {one.missing_text}" if one.missing_text else "") + ")"
        for one in valued[:TOP]
    )  # fmt: skip
    return tuple(map(plain, told)) or ("No configuration has a value yet.",)


def _statistics(findings: Findings) -> tuple[Block, ...]:
    """Most impactful parameter; for each the best value with its improvement and p-value."""
    verdict = Bullets(tuple(map(plain, (*_answered(findings), *findings.verdict))))
    found = findings.importance
    if found is None or not found.parameters:
        return (verdict,)
    first = found.parameters[0]
    facts = [
        (
            "Most impactful parameter",
            f"{first.name}: {100 * first.share:.0f} % of the variance between runs "
            f"({100 * first.low:.0f} to {100 * first.high:.0f} %)",
        )
    ]
    for one in found.parameters:
        better = "not computable"
        if one.improvement_percent is not None:
            better = f"{in_percent(one.improvement_percent).removeprefix('+')} %"
        # Its own test, named: where pairs of seeds all differ by the same, the comparison below has another answer.
        p = f"{say_p(one.p_best)} (linear model over all runs)" if one.p_best is not None else "p not computable"
        facts.append(
            (f"Optimal {one.name}", f"{show_value(one.levels[one.best].value)}: average improvement {better}, {p}")
        )
    care = (Text(plain(found.warning), "note"),) if found.warning else ()
    return (Facts(tuple((plain(name), plain(text)) for name, text in facts)), *care, parameters_table(found), verdict)


# s2


def _paper(frame: ExperimentFrame, findings: Findings, drawings: Sequence[Drawing]) -> tuple[Section, ...]:
    brief = brief_facts(frame)
    stated: Block = Facts(brief) if brief else Text("No brief is recorded with this experiment.")
    pictures = tuple(Picture(one) for one in drawings if one.topic in ("results", "parameters", "curves"))
    return (
        _section("Hypothesis", stated),
        _section("Setup", Facts(setup_facts(frame))),
        _section(
            "Results",
            results_table(findings),
            Text(
                "mean ± std (n = seeds) of the runs that finished as asked; "
                f"{coverage(findings.plan.confidence)} interval by Student's t.",
                "note",
            ),
            *pictures,
        ),
        _section(
            "Analysis",
            Bullets(tuple(map(plain, (*_answered(findings), *findings.verdict, best_text(findings))))),
        ),
        _section("Limitations", Bullets(tuple(map(plain, findings.limitations)))),
        _section("Failed attempts", *failures_section(findings).blocks),
    )


# s3


def _is_baseline_run(frame: ExperimentFrame) -> bool:
    return frame.spec.get("type") == "baseline_variance"


def _metrics(frame: ExperimentFrame, findings: Findings) -> tuple[Metric, ...]:
    """The declared metrics and the wall clock."""
    declared = tuple(one for one in (findings.primary, *findings.secondary) if one is not None)
    has_clock = "wall_time" in frame.values and all(one.name != "wall_time" for one in declared)
    return (*declared, Metric("wall_time", "min")) if has_clock else declared


def _sample(frame: ExperimentFrame, number: int, metric: str) -> Sample:
    rows = (frame.tasks["configuration"] == number).to_numpy()
    return Sample(usable_values(frame, metric)[rows], frame.tasks["seed"].to_numpy(dtype=np.int64)[rows])


def _baseline_variance(frame: ExperimentFrame, findings: Findings) -> tuple[Section, ...]:
    """The variance of each configuration, metric by metric, and every single run."""
    parts = []
    for one in choose_shown(findings, 24):
        seeds = frame.tasks.loc[frame.tasks["configuration"] == one.number, "seed"].tolist()
        which = f": {plain(one.label)}" if len(findings.results) > 1 else ""
        said = Text(f"Seeds: {', '.join(map(str, seeds))}.", "note")
        title = f"Baseline statistics{which} (N={one.estimate.n})"
        parts.append(_section(title, _moments(frame, findings, one), said, *_lost(one)))
    return (*parts, _section("Runs", _single_runs(frame, findings)), _section("Setup", Facts(setup_facts(frame))))


def _variance(frame: ExperimentFrame, findings: Findings) -> tuple[Section, ...]:
    """Baseline, then every configuration that was compared with it."""
    shown = [one for one in choose_shown(findings, 24) if one.comparison is not None]
    baselines = [one for one in findings.results if one.is_baseline]
    parts = [
        _section(
            f"Baseline statistics (N={one.estimate.n})",
            Text(plain(one.label)),
            _moments(frame, findings, one),
            *_lost(one),
        )
        for one in baselines
    ]
    if findings.stored:
        n = shown[0].comparison.n_baseline if shown and shown[0].comparison else 0
        told = Text(f"Stored: {plain(findings.stored_baseline)}.")
        kept = {one.name: findings.stored[one.name] for one in _metrics(frame, findings) if one.name in findings.stored}
        parts.append(_section(f"Baseline statistics (N={n})", told, _moments_of(findings.stored_baseline, kept)))
    if not shown:
        parts.append(_section("Verdict", Text(plain(findings.verdict[0]))))
    parts += [_section(f"Experiment: {plain(one.label)}", *_experiment_blocks(frame, findings, one)) for one in shown]
    if uncompared := say_uncompared(findings.results):
        parts.append(_section("Not compared", Text(plain(uncompared))))
    if answered := _answered(findings):
        parts.append(_section("Criterion", *(Text(plain(one)) for one in answered)))
    return (*parts, _section("Setup", Facts(setup_facts(frame))))


def _experiment_blocks(frame: ExperimentFrame, findings: Findings, one: ConfigurationResult) -> tuple[Block, ...]:
    found = one.comparison
    if found is None:
        raise ValueError(f"{one.label} was not compared")
    rule = found.rule_verdict if found.rule_verdict == "not computable" else f"{found.rule_verdict}"
    tested = one.judgement.tested.word if one.judgement else found.tested_verdict
    blocks: list[Block] = [
        Heading(f"Experiment statistics (N={one.estimate.n})"),
        _moments(frame, findings, one),
        *_lost(one),
    ]
    tests = {metric.name: _compared(frame, findings, one, metric) for metric in _metrics(frame, findings)}
    if tests:
        blocks += [Heading("Statistical test"), _tests(tests, found)]
        clock = tests.get("wall_time")
        if clock is not None and clock.relative_percent is not None:
            blocks += [Heading("Wall clock"), _clock_table(clock), Text(f"Compared {clock.basis}.", "note")]
    reason = one.judgement.rule.rationale if one.judgement else ""
    beside = one.judgement.tested.rationale if one.judgement else ""
    blocks += [
        Heading(f"Verdict: {rule}"),
        Text(plain(reason or f"|Δ| is {show_number(found.z, 3)} σ of the baseline ({found.strength}).")),
        Text(plain(f"Tested, beside it: {tested}. {beside}".strip())),
    ]
    return tuple(blocks)


def _compared(frame: ExperimentFrame, findings: Findings, one: ConfigurationResult, metric: Metric) -> Comparison:
    """The comparison on a metric: of the declared ones as it was judged, of the wall clock by itself."""
    if one.comparison is not None and metric == findings.primary:
        return one.comparison
    if metric.name in one.secondary_comparisons:
        return one.secondary_comparisons[metric.name]
    nothing = Sample(np.empty(0))
    base = findings.stored.get(metric.name, nothing)
    base = base if one.baseline is None else _sample(frame, one.baseline, metric.name)
    return compare(_sample(frame, one.number, metric.name), base, metric.goal)


def _clock_table(clock: Comparison) -> Table:
    """How long runs took, in the form of the protocol."""
    base, difference, relative = clock.reference or 0.0, clock.difference or 0.0, clock.relative_percent or 0.0
    row = (
        _in_units("wall_time"),
        show_number(base),
        show_number(base + difference),
        f"{in_percent(relative)} %",
    )
    head = ("", "Baseline Mean", "Experiment Mean", "Delta")
    return Table("clock", "Wall clock", head, (tuple(map(cell, row)),))


def _tests(tests: Mapping[str, Comparison], primary: Comparison) -> Table:
    """Cohen's d as σ_pooled = sqrt((σ_b² + σ_e²) / 2) has it, and whether the mean is 2σ from the baseline's."""
    rows = tuple(
        (
            cell(_in_units(name)),
            cell("–" if one.difference is None else f"{one.difference:+.4g}"),
            cell(show_number(one.z, 3)),
            cell(show_number(one.cohens_d, 3)),
            cell(one.magnitude),
            cell("not computable" if one.z is None else ("yes" if one.z >= 2 else "no")),
            cell(show_p(one.p_adjusted) + ("" if one is primary or one.p_adjusted is None else ", exploratory")),
            cell(one.basis),
        )
        for name, one in tests.items()
    )
    head = ("Metric", "Difference", "z = |Δ|/σ", "Cohen's d", "Effect size", "Significant (≥ 2σ)?", "p adjusted",
            "Compared")  # fmt: skip
    return Table("test", "Statistical test", head, rows)


def _moments(frame: ExperimentFrame, findings: Findings, one: ConfigurationResult) -> Table:
    """Mean, std, min and max of each metric."""
    return _moments_of(
        one.label, {metric.name: _sample(frame, one.number, metric.name) for metric in _metrics(frame, findings)}
    )


def _in_units(metric: str) -> str:
    """Name a metric; the one that we measure ourselves has a unit."""
    return f"{metric} [s]" if metric == "wall_time" else metric


def _moments_of(label: str, samples: Mapping[str, Sample]) -> Table:
    rows = tuple(
        (cell(_in_units(name)), *_moment_cells(estimate(sample.values), sample.finite), cell(len(sample.finite)))
        for name, sample in samples.items()
    )
    return Table("moments", f"Statistics of {plain(label)}", ("Metric", "Mean", "Std", "Min", "Max", "n"), rows)


def _moment_cells(found: Estimate, finite: Floats) -> tuple[Cell, ...]:
    ends = (float(finite.min()), float(finite.max())) if len(finite) else (None, None)
    return tuple(cell(show_number(value, 6)) for value in (found.mean, found.std, *ends))


def _lost(one: ConfigurationResult) -> tuple[Block, ...]:
    return (Text(plain(f"Not in these numbers: {one.missing_text}."), "note"),) if one.missing_text else ()


def _single_runs(frame: ExperimentFrame, findings: Findings) -> Table:
    metrics = _metrics(frame, findings)
    tasks = frame.tasks
    rows = tuple(
        (
            cell(tasks["run_name"].iloc[row]),
            cell(tasks["seed"].iloc[row]),
            cell(tasks["failure_class"].iloc[row] or tasks["outcome"].iloc[row]),
            *(cell(_single(frame, metric.name, row)) for metric in metrics),
        )
        for row in range(min(len(tasks), 400))
    )
    return Table("single-runs", "Every run", ("Run", "Seed", "Outcome", *(metric.name for metric in metrics)), rows)


def _single(frame: ExperimentFrame, metric: str, row: int) -> str:
    value = usable_values(frame, metric)[row]
    if metric == "wall_time" and np.isfinite(value):
        return show_duration(float(value))
    return show_number(float(value), 6)
