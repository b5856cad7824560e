"""Draws performance profiles: which share of runs gets at least so close to the baseline, or so far below it."""

from pathlib import Path

from matplotlib.figure import Figure

from analysis.figures.drawing import HUES, INK, MUTED, Drawing, finish, short
from analysis.statistics.systems import OverSystems
from analysis.words import coverage, plain

_STYLES = ("-", "--", "-.", ":")
MAX_METHODS = 12


def draw_profiles(found: OverSystems, folder: Path) -> Drawing:
    """Draw a curve with its band per method; failed runs never reach any ratio, so a curve may end below 1."""
    shown = found.methods[:MAX_METHODS]
    figure = Figure(figsize=(8.0, 4.2), layout="constrained")
    axes = figure.subplots()
    for place, one in enumerate(shown):
        colour = INK if one.method == found.baseline else HUES[place % len(HUES)]
        # Beyond six methods colours come again, with another kind of line.
        style = _STYLES[place // len(HUES) % len(_STYLES)]
        label = short(plain(one.method), 40) + (f" (× {one.lost} failed)" if one.lost else "")
        axes.step(found.ratios, one.profile, where="post", color=colour, linestyle=style, linewidth=1.8, label=label)
        axes.fill_between(found.ratios, one.profile_low, one.profile_high, step="post", color=colour, alpha=0.13,
                          linewidth=0)  # fmt: skip
    axes.axvline(1, color=MUTED, linewidth=1, linestyle="--", zorder=1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("ratio to the baseline's mean on the same system, τ (1: the baseline; lower is better)")
    axes.set_ylabel("share of runs with a ratio ≤ τ")
    axes.grid()
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), labelcolor=INK)
    caption = (
        f"Higher and further left is better. Each system ({', '.join(map(plain, found.systems))}) counts alike. Bands: "
        f"{coverage(found.level)} stratified bootstrap at each point. Failed runs count and never reach any ratio."
        + (f" {len(shown)} of {len(found.methods)} methods are shown." if len(shown) < len(found.methods) else "")
    )
    told = "; ".join(f"{one.method}: {_at_one(found, place)} of its runs" for place, one in enumerate(shown))
    alt = f"Share of runs that are at most the baseline's mean: {short(told, 700)}."
    return finish(figure, folder / "profiles", "systems", "Performance profiles over the systems", caption, alt)


def _at_one(found: OverSystems, place: int) -> str:
    profile = found.methods[place].profile
    reached = [share for ratio, share in zip(found.ratios, profile, strict=True) if ratio <= 1]
    return f"{100 * (reached[-1] if reached else 0.0):.0f} %"
