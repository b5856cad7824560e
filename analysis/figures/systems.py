"""Draws methods over systems: average ranks with the critical difference, and performance profiles."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from analysis.figures.drawing import HUES, INK, MUTED, NARROW_IN, Drawing, finish, is_narrow, place_legend, short
from analysis.statistics.system_runs import RATIO
from analysis.statistics.systems import MethodOverSystems, OverSystems
from analysis.words import coverage, plain
from hpc.core.words import counted

_STYLES = ("-", "--", "-.", ":")
MAX_METHODS = 12
MAX_RANKED = 24


def draw_systems(found: OverSystems, folder: Path) -> list[Drawing]:
    """Draw what there is: ranks of three methods and more, profiles where values of systems compare."""
    drawn = [draw_ranks(found, folder)] if found.critical_difference is not None else []
    return [*drawn, draw_profiles(found, folder)] if found.points else drawn


def draw_ranks(found: OverSystems, folder: Path) -> Drawing:
    """Draw the average ranks, the best above; bars join what the critical difference does not tell apart.

    One method a row, so that names of any length stay readable on a narrow screen.
    """
    difference = found.critical_difference or 0.0
    every = sorted(found.methods, key=lambda one: one.rank)
    shown = every[:MAX_RANKED]
    groups = not_told_apart([one.rank for one in shown], difference)
    size = (NARROW_IN, 1.3 + 0.42 * len(shown)) if is_narrow() else (7.4, 1.5 + 0.34 * len(shown))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    for place, one in enumerate(shown):
        is_baseline = one.method == found.baseline
        axes.scatter(one.ranks, [place] * len(one.ranks), s=14, color=MUTED, alpha=0.55, linewidths=0, zorder=2)
        axes.plot([one.rank], [place], color=INK if is_baseline else HUES[0], marker="s" if is_baseline else "o",
                  markersize=8, zorder=3)  # fmt: skip
        away = (0, -14) if is_narrow() else (0, 7)
        axes.annotate(f"{one.rank:.2f}", (one.rank, place), away, textcoords="offset points", ha="center", fontsize=8)
    for column, (first, last) in enumerate(groups):
        at = len(found.methods) + 0.35 + 0.22 * column
        axes.plot([at, at], [first - 0.2, last + 0.2], color=INK, linewidth=3, solid_capstyle="butt")
    top, axes_end = -1.15, len(found.methods) + 0.5 + 0.22 * len(groups)
    axes.plot([1, min(1 + difference, len(found.methods))], [top, top], color=INK, linewidth=1.5, marker="|")
    said = f"critical difference {difference:.2f}" + (" (wider than the axis)" if _is_blind(found) else "")
    axes.annotate(said, (1, top), (0, 5), textcoords="offset points", fontsize=8)
    if groups:
        right = (axes_end, top)
        axes.annotate("not distinguished", right, (0, 5), textcoords="offset points", ha="right", fontsize=8)
    names = [short(plain(one.method), 34) + (" (baseline)" if one.method == found.baseline else "") for one in shown]
    axes.set_yticks(range(len(shown)), [""] * len(shown) if is_narrow() else names)
    for place, name in enumerate(names if is_narrow() else ()):
        axes.annotate(name, (0, place), (2, 8), xycoords=("axes fraction", "data"), textcoords="offset points",
                      fontsize=8)  # fmt: skip
    axes.set_ylim(len(shown) - 0.4, top - 0.75)
    axes.set_xlim(0.7, axes_end)
    axes.set_xticks(range(1, len(found.methods) + 1))
    axes.set_xlabel("average rank (1 is best; small: single systems)")
    axes.grid(axis="x")
    caption = (
        f"Ranks by the mean on each of {len(found.systems)} systems ({', '.join(map(plain, found.systems))}). Methods "
        f"that share a bar at the right are not distinguished at {found.alpha:g} (Nemenyi: average ranks must differ "
        "by "
        f"{difference:.2f}). {say_resolution(found)}"
    )
    caption += f" {len(shown)} of {len(every)} methods are shown." if len(shown) < len(every) else ""
    told = "; ".join(f"{one.method} {one.rank:.2f}" for one in shown)
    alt = f"Average ranks over {len(found.systems)} systems, best first: {short(told, 700)}."
    return finish(figure, folder / "ranks", "systems", "Average ranks over the systems", caption.strip(), alt)


def not_told_apart(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Find the longest runs of ranks, sorted, that lie within the difference: (first, last) of each."""
    found: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(place for place, other in enumerate(ranks) if other - rank <= difference + 1e-9)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def say_resolution(found: OverSystems) -> str:
    """Say where so few systems cannot separate methods by their ranks; empty where they can."""
    if _is_blind(found):
        return (
            f"With {len(found.systems)} systems ranks cannot even distinguish a method that is always best from one "
            f"that is always worst of {len(found.methods)}: the figure shows an order but proves none."
        )
    if len(found.systems) < 5:
        return f"With {len(found.systems)} systems, ranks can barely separate methods: few orders are possible."
    return ""


def _is_blind(found: OverSystems) -> bool:
    return (found.critical_difference or 0.0) >= len(found.methods) - 1


def draw_profiles(found: OverSystems, folder: Path) -> Drawing:
    """Draw a curve with its band per method; diverged runs reach no score and no ratio, so a curve may end below 1."""
    drawable = [one for one in found.methods if one.profile]
    shown = drawable[:MAX_METHODS]
    size = (NARROW_IN, 2.6 + 0.2 * len(shown)) if is_narrow() else (8.0, 4.2)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    for place, one in enumerate(shown):
        _draw_profile(axes, found, one, place)
    sign = "≤" if found.goal == "min" else "≥"
    if found.scale == RATIO:
        axes.axvline(1, color=MUTED, linewidth=1, linestyle="--", zorder=1)
        if found.points[-1] > 10 * found.points[0]:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(f"ratio to the baseline, τ (1: equal; {_better(found)} is better)")
        axes.set_ylabel(f"share of pairs with a ratio {sign} τ")
        counts = "pairs of a run with one of the baseline on the same system"
        missing = "Diverged runs count, but reach no ratio."
    else:
        axes.set_xlabel(f"score within the declared range, τ ({_better(found)} is better)")
        axes.set_ylabel(f"share of runs with a score {sign} τ")
        counts = "runs"
        missing = "Diverged runs count, but reach no score."
    axes.set_ylim(0, 1.02)
    axes.grid()
    place_legend(figure, axes)
    caption = (
        f"Higher is better at every τ. Shares of {counts}; each system ({', '.join(map(plain, found.systems))}) has "
        f"the same weight. Bands: {coverage(found.level)} score intervals at each point. {missing}"
        + (f" {len(shown)} of {len(drawable)} methods are shown." if len(shown) < len(drawable) else "")
    )
    told = "; ".join(f"{one.method}: {_improvement(one)}" for one in shown)
    alt = f"Performance profiles; better than a run of the baseline on the same system: {short(told, 700)}."
    return finish(figure, folder / "profiles", "systems", "Performance profiles over the systems", caption, alt)


def _draw_profile(axes: Axes, found: OverSystems, one: MethodOverSystems, place: int) -> None:
    colour = INK if one.method == found.baseline else HUES[place % len(HUES)]
    # Beyond six methods colours come again, with another kind of line.
    style = _STYLES[place // len(HUES) % len(_STYLES)]
    lost = f" (× {counted(one.diverged, 'diverged run')})" if one.diverged else ""
    where: Literal["post", "pre"] = "post" if found.goal == "min" else "pre"
    axes.step(found.points, one.profile, where=where, color=colour, linestyle=style, linewidth=1.8,
              label=short(plain(one.method), 40) + lost)  # fmt: skip
    axes.fill_between(found.points, one.profile_low, one.profile_high, step=where, color=colour, alpha=0.13,
                      linewidth=0)  # fmt: skip


def _better(found: OverSystems) -> str:
    return "lower" if found.goal == "min" else "higher"


def _improvement(one: MethodOverSystems) -> str:
    return "the baseline" if one.improvement is None else f"{100 * one.improvement.value:.0f} % of pairs"
