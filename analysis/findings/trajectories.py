"""Chooses whose trajectories are shown: the best and the median run of each configuration that is shown."""

from dataclasses import dataclass

import numpy as np

from analysis.data.frame import ExperimentFrame
from analysis.data.trajectories import NAME, Trajectories, UnfitError, read_trajectories
from analysis.data.values import usable_values
from analysis.findings.configurations import ConfigurationResult
from analysis.findings.findings import Findings
from analysis.findings.selection import choose_shown
from analysis.words import plain

MAX_SHOWN = 6
"""Configurations."""
_ABSENT = f"it left no {NAME}"


@dataclass(frozen=True)
class ShownRun:
    """One run.

    Attributes:
        name: Its run name.
        words: Why it is shown: ``best of 3``.
        seed: Its seed.
        trajectories: What it left; None where `problem` says why there is nothing to draw.
        problem: Why; empty where it is drawn.
    """

    name: str
    words: str
    seed: str
    trajectories: Trajectories | None
    problem: str = ""


@dataclass(frozen=True)
class ShownConfiguration:
    """One configuration with its best and its median run, by the primary metric."""

    result: ConfigurationResult
    runs: tuple[ShownRun, ...]


def find_trajectories(frame: ExperimentFrame, findings: Findings) -> tuple[ShownConfiguration, ...]:
    """Read what there is; empty where no chosen run left anything."""
    if findings.primary is None:
        return ()
    values = usable_values(frame, findings.primary.name)
    sign = -1 if findings.primary.goal == "max" else 1
    number = frame.tasks["configuration"].to_numpy()
    shown = []
    for one in choose_shown(findings, MAX_SHOWN):
        rows = np.flatnonzero((number == one.number) & np.isfinite(values))
        ranked = rows[np.argsort(sign * values[rows], kind="stable")].tolist()
        if ranked:
            shown.append(ShownConfiguration(one, tuple(_read(frame, *pick) for pick in _pick(ranked))))
    left = [run for one in shown for run in one.runs if run.trajectories or run.problem != _ABSENT]
    return tuple(shown) if left else ()


def _pick(ranked: list[int]) -> list[tuple[int, str]]:
    """The best row and the median one, of an even number the worse of the two in the middle."""
    count = len(ranked)
    best = (ranked[0], f"best of {count}" if count > 1 else "the only one")
    return [best, (ranked[count // 2], "median")] if count > 1 else [best]


def _read(frame: ExperimentFrame, row: int, words: str) -> ShownRun:
    name, attempt = str(frame.tasks["run_name"].iloc[row]), int(frame.tasks["attempts"].iloc[row])
    seed = plain(str(frame.tasks["seed"].iloc[row]))
    path = frame.layout.task(name).attempt(attempt).home / NAME
    try:
        found = read_trajectories(path)
    except UnfitError as error:
        return ShownRun(name, words, seed, None, str(error))
    return ShownRun(name, words, seed, found, "" if found else _ABSENT)
