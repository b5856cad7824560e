"""Turns findings into the words and tables of the report, and renders them as one HTML page and one Markdown file.

Both templates get the same context, so they cannot disagree. Everything that came from outside (names, log lines) is
escaped by the template engine, never by hand: HTML by autoescape, Markdown by `finalize`.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import floor, log10
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis.figures import Drawing, choose_shown, plain
from analysis.findings import ConfigurationResult, FailedAttempt, Findings, ResourceUse, metric_values
from analysis.frame import ExperimentFrame, show_value
from analysis.lineage import Fate
from analysis.statistics import Comparison, Estimate

MAX_CONFIGURATIONS = 60
MAX_RUNS = 400
MAX_FAILURES = 100
_TEMPLATES = Path(__file__).parent / "templates"
_OUTCOME_ORDER = {"failed": 0, "running": 1, "pending": 2, "planned": 3, "finished": 4}
_BRIEF_TITLES = {
    "goal": "Goal",
    "hypothesis": "Hypothesis",
    "success": "Criterion of success",
    "if_wrong": "If the hypothesis is wrong",
    "stage": "Stage",
}


class Trusted(str):
    """Markdown we wrote ourselves: the only text that reaches the Markdown file unescaped."""

    __slots__ = ()


@dataclass(frozen=True)
class Page:
    """The rendered report.

    Attributes:
        html: One self-contained page.
        markdown: The same in Markdown; figures are linked as PNG.
    """

    html: str
    markdown: str


def render(frame: ExperimentFrame, findings: Findings, drawings: Sequence[Drawing], files: Sequence[str]) -> Page:
    """Render both forms of the report from the same facts."""
    facts = build_context(frame, findings, drawings, files)
    return Page(html=_render_html(facts, drawings), markdown=_render_markdown(facts))


def build_context(
    frame: ExperimentFrame, findings: Findings, drawings: Sequence[Drawing], files: Sequence[str]
) -> dict[str, Any]:
    """Build everything the templates show: plain texts, and tables as (head, rows)."""
    spec = frame.spec
    created = (frame.manifest.get("provenance") or {}).get("created")
    brief = spec.get("brief") or {}
    return {
        "title": plain(f"{frame.layout.experiment}: report"),
        "experiment": plain(frame.layout.experiment),
        "subtitle": plain(
            f"{spec.get('type') or 'experiment'} · manifest {frame.manifest_sha[:12]} · collected "
            f"{show_time(frame.collected)}"
        ),
        "identity": [
            ("Manifest", frame.manifest_sha),
            ("Type", plain(str(spec.get("type") or "not declared"))),
            ("Planned", show_time(created)),
            ("Results collected", show_time(frame.collected)),
            ("Primary metric", _primary_text(findings)),
            ("Parameter space", plain(_space_text(spec))),
        ],
        "brief": [(title, plain(str(brief[key]))) for key, title in _BRIEF_TITLES.items() if brief.get(key)],
        "verdict": [plain(text) for text in findings.verdict],
        "best": plain(_best_text(findings)),
        "counts": findings.counts,
        "counts_sum": findings.counts.sum_text,
        "segments": _segments(findings),
        "healed": _healed_table(findings),
        "continued": _continued_table(findings),
        "continued_note": _cut_note(len(findings.continued), MAX_FAILURES, "continued attempts", "verdicts.json"),
        "results": _results_table(findings),
        "comparisons": _comparison_table(findings),
        "drawings": drawings,
        "resources": _resource_facts(findings),
        "spending": _spending_table(findings),
        "failures": _failure_table(findings.failures),
        "failures_note": _cut_note(len(findings.failures), MAX_FAILURES, "failed attempts", "verdicts.json"),
        "runs": _run_table(frame, findings),
        "runs_note": _cut_note(
            len(frame.tasks), MAX_RUNS, "runs", "runs.csv", "those that did not simply finish first"
        ),
        "configurations_note": _cut_note(
            len(findings.results), MAX_CONFIGURATIONS, "configurations", "runs.csv", "baselines, the best and the worst"
        ),
        "setup": _setup_facts(frame),
        "specification": plain_json(spec),
        "limitations": [plain(text) for text in findings.limitations],
        "files": files,
    }


def runs_csv(frame: ExperimentFrame, findings: Findings) -> str:
    """Write every run as CSV: parameters, outcome, every metric, every attempt's verdict, the last failure."""
    tasks = frame.tasks
    table = tasks[
        ["run_name", "task_id", "label", "case", "seed", "outcome", "failure_class", "altered", "attempts"]
    ].rename(columns={"label": "configuration"})
    parameters = frame.parameters.add_prefix("parameter.")
    values = frame.values.add_prefix("metric.")
    last = {failure.row: failure for failure in findings.failures}
    told = [last.get(row) for row in range(len(tasks))]
    healed = {one.row: one.how for one in findings.healed}
    ran = frame.ran.add_prefix("ran.")
    extra = pd.DataFrame(
        {
            "in_means": frame.usable,
            "with_care": ["; ".join(findings.cautions.notes(row)) for row in range(len(tasks))],
            "history": _histories(frame),
            "healed_by": [healed.get(row, "") for row in range(len(tasks))],
            "last_failure": [one.category if one else "" for one in told],
            "rule": [one.rule if one else "" for one in told],
            "evidence": [one.evidence if one else "" for one in told],
            "action": [one.action if one else "" for one in told],
            "folder": [f"tasks/{name}" for name in tasks["run_name"]],
        }
    )
    whole = pd.concat([table, parameters, values, extra, ran], axis=1)
    texts = whole.select_dtypes(exclude="number").map(lambda cell: plain(cell) if isinstance(cell, str) else cell)
    whole[texts.columns] = texts
    return str(whole.rename(columns=plain).to_csv(index=False, lineterminator="\n"))


def show_time(unix: float | None) -> str:
    """Write a Unix time in UTC; every reader and every rebuild sees the same text."""
    return "not recorded" if unix is None else datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def show_number(value: float | None, digits: int = 4) -> str:
    """Write a number with some significant digits; ``–`` where there is none."""
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:.{digits}g}"


def show_mean(one: Estimate) -> str:
    """Write ``0.0326 ± 0.0006 (n=3)``: the spread to two digits, the mean to the same place, always with n."""
    if one.mean is None:
        return "no value (n=0)"
    if one.std is None:
        return f"{show_number(one.mean)} (n=1, no std)"
    if one.std == 0:
        return f"{show_number(one.mean)} ± 0 (n={one.n})"
    return f"{_to_place(one.mean, one.std)} ± {_to_place(one.std, one.std)} (n={one.n})"


def show_interval(one: Estimate) -> str:
    """Write ``[0.0310, 0.0342]``; ``not computable`` where there is none."""
    if one.low is None or one.high is None or one.std is None:
        return f"not computable: n={one.n}"
    return f"[{_to_place(one.low, one.std or abs(one.low))}, {_to_place(one.high, one.std or abs(one.high))}]"


def show_p(p: float | None) -> str:
    """Write a p-value; very small ones as a bound."""
    return "–" if p is None else ("< 0.0001" if p < 1e-4 else f"{p:.4f}")


def show_duration(seconds: float | None) -> str:
    """Write ``43 s``, ``5 min 49 s`` or ``3 h 20 min``."""
    if seconds is None:
        return "not recorded"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.3g} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def escape_markdown(text: str) -> str:
    """Make any text harmless inside a Markdown line or table cell: it shows as written and starts nothing."""
    safe = re.sub(r"([\\`*\[\]<>|~$&])", r"\\\1", plain(text).replace("␊", " "))
    safe = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", safe)  # inside a word an underscore starts nothing
    safe = re.sub(r"^(\s*\d+)([.)])(?=\s|$)", r"\1\\\2", safe)
    return re.sub(r"^(\s*)([#=]|[+\-](?=[\s\-]|$))", r"\1\\\2", safe)


def plain_json(value: Any) -> str:
    """Write a value as indented JSON whose texts are safe to show."""
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False)
    return "\n".join(plain(line) for line in text.splitlines())


def run_link(directory: str) -> str:
    """Link from the report's folder to a folder of the experiment; a relative path whatever the text is."""
    return "../" + quote(directory.lstrip("/"))


def _render_html(facts: Mapping[str, Any], drawings: Sequence[Drawing]) -> str:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = ((_TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css.j2", "tables.js.j2"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Both are files of this package without any expression in them; the pictures are ours too, their texts escaped
    # by matplotlib. The page's policy allows exactly this script.
    return environment.get_template("report.html.j2").render(
        **facts,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_digest=digest,
        pictures={one.name: Markup(one.svg) for one in drawings},  # noqa: S704 - drawn by matplotlib, texts escaped
    )


def _render_markdown(facts: Mapping[str, Any]) -> str:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=False,  # noqa: S701 - Markdown: `finalize` escapes it, HTML's rules would be wrong here
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize_markdown,
        keep_trailing_newline=True,
    )
    environment.filters["table"] = _markdown_table
    environment.filters["fenced"] = _fenced
    return environment.get_template("report.md.j2").render(**facts)


def _finalize_markdown(value: Any) -> Any:
    return value if isinstance(value, Trusted) else escape_markdown(str(value))


def _markdown_table(table: Mapping[str, Any]) -> Trusted:
    """Write a table of the context as a Markdown table, every cell escaped."""
    lines = [
        "| " + " | ".join(escape_markdown(str(cell)) for cell in table["head"]) + " |",
        "|" + " --- |" * len(table["head"]),
    ]
    lines += ["| " + " | ".join(_markdown_cell(cell) for cell in row) + " |" for row in table["rows"]]
    return Trusted("\n".join(lines))


def _markdown_cell(cell: Any) -> str:
    text = escape_markdown(str(cell["text"])) or " "
    return f"[{text}]({cell['link']})" if cell.get("link") else text


def _fenced(text: str) -> Trusted:
    """Fence a text with more backticks than it holds in a row."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Trusted(f"{fence}json\n{text}\n{fence}")


def _cell(text: Any, sort: Any = None, link: str = "", mark: str = "") -> dict[str, Any]:
    """One table cell: what it shows, by what it sorts, where it leads, how it is marked."""
    return {"text": plain(str(text)), "sort": "" if sort is None else str(sort), "link": link, "mark": mark}


def _number_cell(value: float | None, digits: int = 4) -> dict[str, Any]:
    return _cell(show_number(value, digits), "" if value is None else repr(float(value)))


def _to_place(value: float, spread: float) -> str:
    """Write a value to the second significant digit of a spread."""
    if spread == 0 or not np.isfinite(value):
        return show_number(value)
    place = 1 - floor(log10(abs(spread)))
    if not -6 <= place <= 9:
        return f"{value:.4g}"
    return f"{round(value, place):.{max(0, place)}f}"


def _primary_text(findings: Findings) -> str:
    if findings.primary is None:
        return "none declared"
    goal = {"min": "lower is better", "max": "higher is better"}[findings.primary.goal]
    meaningful = findings.primary.meaningful
    return (
        plain(findings.primary.name)
        + f", {goal}"
        + (f"; a difference of {100 * meaningful:g} % is worth having" if meaningful else "")
    )


def _space_text(spec: Mapping[str, Any]) -> str:
    """Write the sweep in one line: ``lora_rank: 4, 8, 16 × seeds: 42, 137, 256``."""
    sweep = spec.get("sweep") or {}
    parts = [
        f"{name}: {_short_list(values)}"
        for name, values in {**(sweep.get("grid") or {}), **(sweep.get("zip") or {})}.items()
    ]
    parts += [f"cases: {_short_list([case.get('id') for case in sweep['cases']])}"] if sweep.get("cases") else []
    parts += [f"sample: {sweep['sample'].get('n')} points"] if sweep.get("sample") else []
    parts += [f"seeds: {_short_list(sweep['seeds'])}"] if sweep.get("seeds") else []
    return " × ".join(parts) or "one configuration"


def _short_list(values: Sequence[Any]) -> str:
    shown = ", ".join(show_value(value) for value in values[:12])
    return shown + (f", … ({len(values)} values)" if len(values) > 12 else "")


def _best_text(findings: Findings) -> str:
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


def _segments(findings: Findings) -> list[dict[str, Any]]:
    """Parts of the bar of outcomes; percentages for its widths, counts for its words."""
    counts = findings.counts
    parts = [("finished", counts.finished, "good")]
    parts += [(f"failed: {name}", count, "bad") for name, count in counts.failed.items()]
    parts += [
        ("running", counts.running, "open"),
        ("pending", counts.pending, "open"),
        ("never started", counts.never_started, "idle"),
    ]
    total = max(1, counts.planned)
    return [
        {"name": plain(name), "count": count, "kind": kind, "percent": f"{100 * count / total:.3f}"}
        for name, count, kind in parts if count
    ]  # fmt: skip


def _healed_table(findings: Findings) -> dict[str, Any]:
    rows = [
        [
            _cell(one.run_name),
            _cell(" → ".join(one.classes)),
            _cell(one.how),
            _cell("altered, kept out of means" if one.altered else "as asked", mark="warn" if one.altered else ""),
        ]
        for one in findings.healed[:MAX_FAILURES]
    ]
    return {"head": ["run", "failed as", "what was changed", "the run is"], "rows": rows}


def _continued_table(findings: Findings) -> dict[str, Any]:
    rows = [
        [
            _cell(one.run_name, link=run_link(one.directory) if one.directory else ""),
            _cell(one.attempt),
            _cell(one.ended_as),
            _cell(f"attempt {one.continued_in}" + ("" if one.has_result else ", the run has not finished yet")),
            _cell(show_duration(one.elapsed_s), one.elapsed_s),
        ]
        for one in findings.continued[:MAX_FAILURES]
    ]
    return {"head": ["run", "attempt", "ended as", "continued in", "time"], "rows": rows}


def _results_table(findings: Findings) -> dict[str, Any]:
    primary = findings.primary.name if findings.primary else "primary metric"
    head = ["rank", "configuration", f"{primary}: mean ± std (n)", "95 % interval", "failed", "not in the mean"]
    has_cautions = any(one.cautions for one in findings.results)
    head += ["in the mean, with care"] if has_cautions else []
    head += [f"{goal.name}: mean ± std (n)" for goal in findings.secondary]
    rank = _ranks(findings)
    shown = choose_shown(findings, MAX_CONFIGURATIONS)
    rows = [_result_row(one, rank.get(one.number), has_cautions) for one in shown]
    return {"head": [plain(text) for text in head], "rows": rows, "wide": (1, 5, 6) if has_cautions else (1, 5)}


def _ranks(findings: Findings) -> dict[int, int]:
    """Rank of each configuration by its mean, 1 is best."""
    sign = -1 if findings.primary and findings.primary.goal == "max" else 1
    means = sorted((sign * one.estimate.mean, one.number) for one in findings.results if one.estimate.mean is not None)
    return {number: place for place, (_, number) in enumerate(means, start=1)}


def _result_row(one: ConfigurationResult, rank: int | None, has_cautions: bool) -> list[dict[str, Any]]:
    mean = one.estimate.mean
    row = [
        _cell(rank or "–", rank or 10**9),
        _cell(one.label + (" (baseline)" if one.is_baseline else ""), mark="strong" if one.is_baseline else ""),
        _cell(show_mean(one.estimate), "" if mean is None else repr(mean)),
        _cell(show_interval(one.estimate)),
        _cell(f"{one.failed_total} of {one.planned}", one.failed_total, mark="bad" if one.failed else ""),
        _cell(one.missing_text or "nothing"),
    ]
    row += [_cell(one.caution_text or "nothing", mark="warn" if one.cautions else "")] if has_cautions else []
    secondary = one.secondary.values()
    return row + [_cell(show_mean(other), "" if other.mean is None else repr(other.mean)) for other in secondary]


def _comparison_table(findings: Findings) -> dict[str, Any]:
    head = ["configuration", "tested", "2σ rule", "n / baseline", "difference", "95 % interval", "Cohen's d"]
    head += ["p adjusted (Holm)", "p", "Welch's t (df)", "z = |Δ|/σ"]
    shown = [one for one in choose_shown(findings, MAX_CONFIGURATIONS) if one.comparison is not None]
    rows = [_comparison_row(one, one.comparison) for one in shown if one.comparison is not None]
    notes = [f"{plain(one.label)}: {one.comparison.note}." for one in shown if one.comparison and one.comparison.note]
    return {"head": head, "rows": rows, "notes": notes}


def _comparison_row(one: ConfigurationResult, found: Comparison) -> list[dict[str, Any]]:
    marks = {"WINNER": "good", "LOSER": "bad", "better": "good", "worse": "bad"}
    rule = found.rule_verdict + (f" ({found.strength})" if found.rule_verdict == "NEUTRAL" else "")
    relative = "" if found.relative_percent is None else f" ({found.relative_percent:+.1f} %)"
    difference = "–" if found.difference is None else f"{found.difference:+.3g}{relative}"
    interval = "–" if found.low is None else f"[{show_number(found.low, 3)}, {show_number(found.high, 3)}]"
    d = "–" if found.cohens_d is None else f"{found.cohens_d:.2f} ({found.magnitude})"
    return [
        _cell(one.label),
        _cell(found.tested_verdict, mark=marks.get(found.tested_verdict, "")),
        _cell(rule, mark=marks.get(found.rule_verdict, "")),
        _cell(f"{found.n} / {found.n_baseline}", found.n),
        _cell(difference, found.difference),
        _cell(interval),
        _cell(d, found.cohens_d),
        _cell(show_p(found.p_adjusted), found.p_adjusted),
        _cell(show_p(found.p), found.p),
        _cell("–" if found.t is None else f"{found.t:.2f} ({found.df:.1f})", found.t),
        _number_cell(found.z, 3),
    ]


def _resource_facts(findings: Findings) -> list[tuple[str, str]]:
    use = findings.resources
    facts = []
    if use.has_gpu:
        facts += [
            ("GPU hours used", _hours_sum(use, gpu=True)),
            ("GPU hours asked for", f"{use.gpu_hours_asked:.4g} h (GPUs × time limit, all attempts)"),
        ]
    else:
        facts.append(("GPU hours used", "none: no attempt asked for a GPU"))
    facts.append(("Core hours used", f"{_hours_sum(use, gpu=False)}; elapsed time × cores asked for"))
    facts.append(
        (
            "Mean time of a finished run",
            f"{show_duration(use.mean_run_s)} (n={use.runs_timed}), continued attempts included",
        )
    )
    asked = f" of {use.memory_asked_mib:.0f} MiB asked for" if use.memory_asked_mib else ""
    peak = "not recorded" if use.peak_memory_mib is None else f"{use.peak_memory_mib:.0f} MiB{asked}"
    facts.append(("Peak host memory", peak))
    if use.peak_gpu_memory_mib is not None:
        facts.append(("Peak GPU memory", f"{use.peak_gpu_memory_mib:.0f} MiB"))
    return facts


def _hours_sum(use: ResourceUse, *, gpu: bool) -> str:
    """Write where the hours went, as a sum: ``5.2 h = 4 h in results (1 h of it in continued attempts) + …``."""
    exact = [one.gpu_hours if gpu else one.cpu_hours for one in use.by_verdict]
    rounded, places = round_parts(exact)
    hours = dict.fromkeys(Fate, 0.0)
    for one, value in zip(use.by_verdict, rounded, strict=True):
        hours[Fate(one.fate)] += value
    total, lost = sum(rounded), hours[Fate.FAILED]
    used = f"{hours[Fate.SUCCESS] + hours[Fate.CONTINUED]:.{places}f} h in results"
    used += f" ({hours[Fate.CONTINUED]:.{places}f} h of it in continued attempts)" if hours[Fate.CONTINUED] else ""
    still_open = f" + {hours[Fate.OPEN]:.{places}f} h in open ones" if hours[Fate.OPEN] else ""
    return f"{total:.{places}f} h = {used} + {lost:.{places}f} h in failed attempts ({_share(lost, total)}){still_open}"


def round_parts(parts: Sequence[float]) -> tuple[list[float], int]:
    """Round parts so that they add up to the rounded whole (largest remainders first); with the decimals to show.

    The whole keeps four significant digits, and no part is moved by more than one unit of the last decimal.
    """
    total = sum(parts)
    places = min(9, max(0, 3 - floor(log10(total)))) if total > 0 else 0
    units = [part * 10**places for part in parts]
    down = [floor(one) for one in units]
    by_remainder = sorted(range(len(parts)), key=lambda place: down[place] - units[place])
    for place in by_remainder[: round(sum(units)) - sum(down)]:
        down[place] += 1
    return [one / 10**places for one in down], places


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "of nothing"


def _spending_table(findings: Findings) -> dict[str, Any]:
    use = findings.resources
    gpu, gpu_places = round_parts([one.gpu_hours for one in use.by_verdict])
    cpu, cpu_places = round_parts([one.cpu_hours for one in use.by_verdict])
    rows = [
        [
            _cell(one.category),
            _cell(one.attempts),
            _cell(f"{gpu_h:.{gpu_places}f}", one.gpu_hours),
            _cell(f"{cpu_h:.{cpu_places}f}", one.cpu_hours),
        ]
        for one, gpu_h, cpu_h in zip(use.by_verdict, gpu, cpu, strict=True)
    ]
    total = [
        _cell("sum", mark="strong"),
        _cell(sum(one.attempts for one in use.by_verdict)),
        _cell(f"{sum(gpu):.{gpu_places}f}", use.gpu_hours),
        _cell(f"{sum(cpu):.{cpu_places}f}", use.cpu_hours),
    ]
    return {
        "head": ["what came of the attempt", "attempts", "GPU hours", "core hours"],
        "rows": [*rows, total] if rows else [],
    }


def _failure_table(failures: Sequence[FailedAttempt]) -> dict[str, Any]:
    rows = [
        [
            _cell(one.run_name, link=run_link(one.directory) if one.directory else ""),
            _cell(one.attempt),
            _cell(one.category + (f" ({one.cause})" if one.cause else ""), mark="bad"),
            _cell(one.rule),
            _cell((f"{one.where}: " if one.where else "") + (one.evidence or "no line; " + one.summary), mark="code"),
            _cell(one.action),
        ]
        for one in failures[:MAX_FAILURES]
    ]
    return {"head": ["run", "attempt", "class", "rule", "evidence", "action and why"], "rows": rows}


def _run_table(frame: ExperimentFrame, findings: Findings) -> dict[str, Any]:
    metric = findings.primary.name if findings.primary else ""
    values = metric_values(frame, metric)
    tasks = frame.tasks
    newest = frame.attempts.drop_duplicates("task", keep="last").set_index("task")["directory"].to_dict()
    cautions = findings.cautions
    rows = [
        _run_row(int(row), tasks.iloc[int(row)], values, newest, cautions.notes(int(row)))
        for row in _shown_runs(frame, findings)
    ]
    head = ["run", "configuration", "seed", "outcome", "class", "attempts", plain(metric or "value"), "folder"]
    if not (cautions.differences or cautions.warnings):
        return {"head": head, "rows": [row[:-1] for row in rows], "wide": (1,)}
    return {"head": [*head, "what to know of it"], "rows": rows, "wide": (1, len(head))}


def _shown_runs(frame: ExperimentFrame, findings: Findings) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """All runs in manifest order, or those somebody has to look at first when there are too many."""
    tasks = frame.tasks
    if len(tasks) <= MAX_RUNS:
        return np.arange(len(tasks))
    noted = np.array([bool(findings.cautions.notes(row)) for row in range(len(tasks))], dtype=np.int64)
    urgency = (
        tasks["outcome"].map(_OUTCOME_ORDER).to_numpy() * 2
        - tasks["altered"].to_numpy(dtype=np.int64)
        - (tasks["attempts"] > 1).to_numpy(dtype=np.int64)
        - noted
    )
    return np.argsort(urgency, kind="stable")[:MAX_RUNS]


def _run_row(
    row: int, task: "pd.Series[Any]", values: Any, newest: Mapping[Any, Any], notes: Sequence[str]
) -> list[dict[str, Any]]:
    outcome, directory = str(task["outcome"]), str(newest.get(row) or "")
    as_asked = outcome == "finished" and not task["altered"] and not task["warnings"]
    kind = "bad" if outcome == "failed" else ("good" if as_asked else "warn")
    shown = "never started" if outcome == "planned" else outcome
    shown += (
        ", altered" if task["altered"] else (f", {task['course']}" if outcome == "finished" and task["course"] else "")
    )
    shown += ", with warnings" if task["warnings"] else ""
    value = float(values[row])
    number = {**_number_cell(value if np.isfinite(value) else None), "mark": "warn" if notes else ""}
    return [
        _cell(task["run_name"]), _cell(task["label"]), _cell(task["seed"]), _cell(shown, mark=kind),
        _cell(task["failure_class"] or "–"), _cell(task["attempts"]),
        number,
        _cell(directory.rsplit("/", 1)[-1] if directory else "–", link=run_link(directory) if directory else ""),
        _cell("; ".join(notes) or "–"),
    ]  # fmt: skip


def _histories(frame: ExperimentFrame) -> list[str]:
    """What each attempt of each task came to: ``1 oom_gpu; 2 preempted, continued in 3; 3 success``."""
    joined: dict[int, list[str]] = {}
    columns = (frame.attempts[name] for name in ("task", "attempt", "category", "fate", "continued_in"))
    for task, number, category, fate, continued_in in zip(*columns, strict=True):
        is_continued = continued_in and fate in (Fate.CONTINUED, Fate.OPEN)
        text = f"{number} {category or 'not ended'}" + (f", continued in {continued_in}" if is_continued else "")
        joined.setdefault(int(task), []).append(text)
    return ["; ".join(joined.get(row, ())) for row in range(len(frame.tasks))]


def _setup_facts(frame: ExperimentFrame) -> list[tuple[str, str]]:
    """What was run, on what, with which code: every fact that is recorded, and 'not recorded' for the others."""
    spec, provenance = frame.spec, frame.manifest.get("provenance") or {}
    git, code, image = (provenance.get(key) or {} for key in ("git", "code", "image"))
    program = spec.get("program") or {}
    commit = str(git.get("commit") or "not recorded")
    state = (" with uncommitted changes" if git.get("dirty") else ", clean") if git else ""
    facts = [
        ("Program", str(program.get("module") or program.get("command") or "not recorded")),
        ("Fixed arguments", _pairs(program.get("args"))),
        ("Resources asked per task", _pairs(spec.get("resources"))),
        ("Launch", _pairs(spec.get("launch"))),
        ("Batch", _pairs(spec.get("batch"))),
        (
            "Git commit",
            commit
            + state
            + (f" (diff {str(git['diff_sha256'])[:12]})" if git.get("dirty") and git.get("diff_sha256") else ""),
        ),
        ("Code snapshot", str(code.get("sha256") or "not recorded")),
        (
            "Image",
            f"{image.get('name')}, sha256 {image.get('sha256')}" if image else "none: the host's own environment",
        ),
        ("Python", str(provenance.get("python") or "not recorded")),
        (
            "Packages",
            ", ".join(f"{name} {version}" for name, version in sorted((provenance.get("packages") or {}).items()))
            or "not recorded",
        ),
        ("Cluster", str((frame.manifest.get("cluster") or {}).get("name") or "not recorded")),
    ]
    return [(name, plain(text)) for name, text in facts]


def _pairs(mapping: Mapping[str, Any] | None) -> str:
    if not mapping:
        return "not declared"
    return ", ".join(
        f"{name} {show_value(value) if not isinstance(value, dict) else json.dumps(value)}"
        for name, value in mapping.items()
    )


def _cut_note(total: int, limit: int, what: str, file: str, which: str = "") -> str:
    """Say that a table was cut; empty when it was not."""
    if total <= limit:
        return ""
    return f"{limit} of {total} {what} are listed here{f' ({which})' if which else ''}; all of them are in {file}."
