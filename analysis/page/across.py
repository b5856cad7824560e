"""Compares two experiments on the configurations they share: what differs between them, and what their numbers say."""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.data.frame import ExperimentFrame, Floats
from analysis.data.values import usable_values
from analysis.figures.drawing import HUES, INK, Drawing, axis_label, drawing_style, finish, short
from analysis.findings.inference import analysis_plan
from analysis.page.cells import show_mean
from analysis.page.document import Block, Box, Bullets, Cell, Document, Facts, Picture, Section, Table, Text, cell
from analysis.page.record import space_text
from analysis.statistics.comparisons import Comparison, compare_family
from analysis.statistics.estimates import Estimate, estimate
from analysis.words import coverage, plain, show_p, show_time
from hpc.core.errors import InputError
from hpc.core.experiment.spec import Metric
from hpc.core.identity import canonical_json
from hpc.core.words import in_percent

MAX_ROWS = 40
_MARKS = ("o", "s")


def compare_experiments(first: ExperimentFrame, second: ExperimentFrame, picture: Path) -> Document:
    """Compare the second experiment with the first, configuration by configuration.

    Args:
        first: What is compared with.
        second: What is compared.
        picture: Where the figure goes, without ending.

    Raises:
        InputError: They share no configuration, or their primary metrics differ.
    """
    metric = _shared_metric(first, second)
    shared = _shared(first, second)
    samples = [(_sample(first, one, metric), _sample(second, other, metric)) for _, one, other in shared]
    plan = analysis_plan(first.spec, metric)
    found = compare_family([theirs for _, theirs in samples], [ours for ours, _ in samples], metric.goal, plan)
    names = (plain(first.layout.experiment), plain(second.layout.experiment))
    with drawing_style(()):
        drawing = _draw(names, [label for label, _, _ in shared], samples, (metric, plan.confidence), picture)
    table = _table(names, [label for label, _, _ in shared], samples, found, metric)
    differences = _differences(first, second)
    told: Block = Bullets(differences) if differences else Text("No recorded setting differs.")
    correction = {"holm": "Holm's", "bh": "Benjamini and Hochberg's"}[plan.correction]
    note = (
        f"Difference: {names[1]} minus {names[0]}; {correction} adjustment over all rows, at {plan.alpha:g} as "
        f"{names[0]} declares. The two experiments ran at different times: anything else that differed between them is "
        "part of the difference. Exploratory, even if each was confirmatory on its own."
    )
    sections = (
        Section("experiments", "The experiments", (_identities(first, second),), "Experiments"),
        Section("differs", "What differs between them", (told,), "Differences"),
        Section("shared", "Shared configurations", (Picture(drawing), table, Text(note, "note")), "Results"),
    )
    subtitle = f"{len(shared)} shared configurations on {plain(metric.name)}"
    return Document(f"{names[0]} and {names[1]}", f"{names[0]} and {names[1]}", subtitle, sections)


def _shared_metric(first: ExperimentFrame, second: ExperimentFrame) -> Metric:
    goals = [frame.metric_goals[0] if frame.metric_goals else None for frame in (first, second)]
    if goals[0] is None or goals[1] is None or (goals[0].name, goals[0].goal) != (goals[1].name, goals[1].goal):
        told = " and ".join("none" if one is None else f"{one.name} ({one.goal})" for one in goals)
        raise InputError(f"the primary metrics differ: {told}; only the same metric can be compared")
    return goals[0]


def _shared(first: ExperimentFrame, second: ExperimentFrame) -> list[tuple[str, int, int]]:
    """Configurations of both: label in the first, number in the first, number in the second."""
    ours, theirs = _identities_of(first), _identities_of(second)
    shared = [(first.configurations[number], number, theirs[key]) for key, number in ours.items() if key in theirs]
    if not shared:
        raise InputError(
            f"{first.layout.experiment} and {second.layout.experiment} share no configuration: no two have the same "
            "parameters"
        )
    return shared


def _identities_of(frame: ExperimentFrame) -> dict[str, int]:
    """Case and parameters, fixed arguments included, of each configuration → its number."""
    fixed = (frame.spec.get("program") or {}).get("args") or {}
    numbers = frame.tasks["configuration"].tolist()
    return {
        canonical_json([task.get("case"), {**fixed, **task["parameters"]}]): int(number)
        for task, number in zip(frame.manifest["tasks"], numbers, strict=True)
    }


def _sample(frame: ExperimentFrame, number: int, metric: Metric) -> Floats:
    values: Floats = usable_values(frame, metric.name)[(frame.tasks["configuration"] == number).to_numpy()]
    return values


def _identities(first: ExperimentFrame, second: ExperimentFrame) -> Block:
    pairs = []
    for frame in (first, second):
        counts = frame.tasks["outcome"].value_counts().to_dict()
        told = ", ".join(f"{counts[name]} {name}" for name in sorted(map(str, counts)))
        pairs.append(
            (
                plain(frame.layout.experiment),
                plain(f"manifest {frame.manifest_sha[:12]}; {space_text(frame.spec)}; {told}; collected "
                      f"{show_time(frame.collected)}"),
            )
        )  # fmt: skip
    return Box((Facts(tuple(pairs)),))


def _differences(first: ExperimentFrame, second: ExperimentFrame) -> tuple[str, ...]:
    """Everything recorded of the two that is not the same, apart from names and what was swept."""
    ours, theirs = (_leaves(_recorded(frame)) for frame in (first, second))
    names = sorted({*ours, *theirs})
    return tuple(
        plain(f"{name}: {ours.get(name, 'not there')} → {theirs.get(name, 'not there')}")
        for name in names if ours.get(name) != theirs.get(name)
    )  # fmt: skip


def _recorded(frame: ExperimentFrame) -> dict[str, Any]:
    spec, provenance = frame.spec, frame.manifest.get("provenance") or {}
    asked = {name: spec.get(name) for name in ("program", "resources", "launch", "batch", "environment", "container")}
    known = {name: provenance.get(name) for name in ("git", "code", "image", "packages", "python")}
    return {**asked, **known, "cluster": (frame.manifest.get("cluster") or {}).get("name")}


def _leaves(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """``{"git": {"commit": "ab"}}`` → ``{"git.commit": "ab"}``; paths on disk say nothing and are left out."""
    found: dict[str, str] = {}
    for name, one in value.items():
        if isinstance(one, Mapping):
            found |= _leaves(one, f"{prefix}{name}.")
        elif one is not None and name != "path":
            found[f"{prefix}{name}"] = short(str(one), 80)
    return found


def _table(
    names: tuple[str, str],
    labels: list[str],
    samples: list[tuple[Floats, Floats]],
    found: tuple[Comparison, ...],
    metric: Metric,
) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for label, (ours, theirs), one in zip(labels, samples, found, strict=True):
        relative = "" if one.relative_percent is None else f" ({in_percent(one.relative_percent)} %)"
        mark = {"better": "good", "worse": "bad"}.get(one.tested_verdict, "")
        rows.append(
            (
                cell(label), cell(show_mean(estimate(ours))), cell(show_mean(estimate(theirs))),
                cell("–" if one.difference is None else f"{one.difference:+.3g}{relative}", one.difference),
                cell(show_p(one.p_adjusted), one.p_adjusted), cell(one.tested_verdict, mark=mark),
                cell(one.note or "–"),
            )
        )  # fmt: skip
    head = (
        "configuration",
        *(f"{name}: mean ± std (n)" for name in names),
        "difference",
        "p adjusted",
        "tested",
        "note",
    )
    return Table("shared", f"{plain(metric.name)} in both experiments", head, tuple(rows), (0, 6))


def _draw(
    names: tuple[str, str],
    labels: list[str],
    samples: list[tuple[Floats, Floats]],
    measure: tuple[Metric, float],
    path: Path,
) -> Drawing:
    """Both experiments side by side on each shared configuration, all points and intervals of the level given."""
    metric, level = measure
    shown = samples[:MAX_ROWS]
    figure = Figure(figsize=(8.0, 1.4 + 0.5 * len(shown)), layout="constrained")
    axes = figure.subplots()
    for place, pair in enumerate(shown):
        for side, sample in enumerate(pair):
            found = estimate(sample, level)
            _row(axes, place + (0.16 if side else -0.16), sample, found, side, names[side] if place == 0 else "")
    axes.set_yticks(range(len(shown)), [short(plain(label), 44) for label in labels[:MAX_ROWS]])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    low, high = axes.get_xlim()
    if low > 0 and high - low >= 0.25 * high:
        axes.set_xlim(left=0)
    note = "" if axes.get_xlim()[0] <= 0 else "\nthe axis does not start at 0"
    axes.set_xlabel(axis_label(metric.name, metric.goal) + note)
    axes.grid(axis="x")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, labelcolor=INK)
    means = [float(np.nanmean(one)) for one in chain(*shown) if np.isfinite(one).any()]
    caption = f"Small marks: single runs. Large mark and bar: mean with its {coverage(level)} interval (Student's t)."
    caption += f" {len(shown)} of {len(samples)} shared configurations." if len(shown) < len(samples) else ""
    alt = f"{len(shown)} shared configurations; means from {min(means, default=0):.4g} to {max(means, default=0):.4g}."
    return finish(figure, path, "results", f"{metric.name} in both experiments", caption, alt)


def _row(axes: Axes, place: float, sample: Floats, found: Estimate, side: int, name: str) -> None:
    finite = sample[np.isfinite(sample)]
    colour, marker = HUES[side], _MARKS[side]
    axes.scatter(finite, np.full(len(finite), place), s=10, color=colour, marker=marker, alpha=0.5, linewidths=0)
    if found.low is not None and found.high is not None:
        axes.plot([found.low, found.high], [place, place], color=colour, linewidth=2)
    if found.mean is not None:
        axes.plot([found.mean], [place], color=colour, marker=marker, markersize=7, markeredgecolor="white",
                  linewidth=0, label=name or None)  # fmt: skip
