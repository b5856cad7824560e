"""What happened to every run, in counts that add up to what was planned."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.frame import ExperimentFrame
from analysis.data.lineage import Course, Fate
from analysis.data.values import metric_values
from analysis.words import list_counts
from hpc.core.experiment.spec import Metric


@dataclass(frozen=True)
class RunCounts:
    """What happened to every run. The first five numbers add up to `planned`; the others are told apart from them.

    Attributes:
        planned: Tasks of the manifest.
        finished: Tasks that gave their result.
        failed: Failure class → tasks whose last word is that class, most frequent first.
        running: Tasks being executed when the results were collected.
        pending: Tasks handed to the scheduler and not started.
        never_started: Tasks nobody has submitted.
        several: Tasks with more than one attempt → how many, by outcome (see `lineage.Course`).
        attempts: What came of each attempt of all tasks (see `lineage.Fate`) → how many.
        altered: Tasks whose last attempt is no longer what was asked; shown, kept out of means and comparisons.
        without_value: Finished, unaltered tasks without a finite primary metric.
    """

    planned: int
    finished: int
    failed: Mapping[str, int]
    running: int
    pending: int
    never_started: int
    several: Mapping[str, int]
    attempts: Mapping[str, int]
    altered: int
    without_value: int

    @property
    def failed_total(self) -> int:
        """Tasks that failed for whatever reason."""
        return sum(self.failed.values())

    @property
    def sum_text(self) -> str:
        """The sum, written out: ``18 = 12 finished + 4 failed (3 oom_gpu, 1 divergence) + …``."""
        parts = [(self.finished, "finished"), (self.failed_total, "failed" + _by_class(self.failed))]
        parts += [(self.running, "running"), (self.pending, "pending"), (self.never_started, "never started")]
        return f"{self.planned} planned = " + " + ".join(f"{count} {word}" for count, word in parts)

    @property
    def healed(self) -> int:
        """Tasks that finished although an attempt of theirs had failed."""
        return self.several.get(Course.HEALED, 0)

    @property
    def continued(self) -> int:
        """Tasks that finished in several attempts, each going on where the one before was taken away."""
        return self.several.get(Course.CONTINUED, 0)

    @property
    def retried(self) -> int:
        """Tasks with more than one attempt, whatever came of them."""
        return sum(self.several.values())

    @property
    def several_text(self) -> str:
        """The sum of those with several attempts: ``4 = 3 healed + 1 continued + …``."""
        words = {
            Course.HEALED: "healed (an attempt failed, a later one finished)",
            Course.CONTINUED: "merely continued",
            Course.REPEATED: "run again after a success",
            Course.FAILED: "failed nevertheless",
            Course.OPEN: "not finished yet",
        }
        return _sum_text(self.retried, {words[Course(name)]: count for name, count in self.several.items()})

    @property
    def attempts_text(self) -> str:
        """The sum of the attempts: ``24 = 14 successful + 2 continued by a later attempt + …``."""
        words = {
            Fate.SUCCESS: "successful",
            Fate.CONTINUED: "continued by a later attempt",
            Fate.FAILED: "failed",
            Fate.OPEN: "open",
        }
        total = sum(self.attempts.values())
        return _sum_text(total, {words[Fate(name)]: count for name, count in self.attempts.items()})


def count_runs(frame: ExperimentFrame, primary: Metric | None) -> RunCounts:
    """Count every task exactly once.

    Raises:
        AssertionError: The parts do not add up to the whole, which only a fault in this program can cause.
    """
    tasks = frame.tasks
    outcome = Counter(tasks["outcome"])
    failed = Counter(tasks.loc[tasks["outcome"] == "failed", "failure_class"])
    has_value = np.isfinite(metric_values(frame, primary.name)) if primary else np.ones(len(tasks), dtype=bool)
    counts = RunCounts(
        planned=len(frame.manifest["tasks"]),
        finished=outcome["finished"],
        failed=dict(sorted(failed.items(), key=lambda item: (-item[1], item[0]))),
        running=outcome["running"],
        pending=outcome["pending"],
        never_started=outcome["planned"],
        several=_count_words(tasks["course"], [one for one in Course if one is not Course.SINGLE]),
        attempts=_count_words(frame.attempts["fate"], list(Fate)),
        altered=int(tasks["altered"].sum()),
        without_value=int((frame.usable & ~has_value).sum()),
    )
    parts = counts.finished + counts.failed_total + counts.running + counts.pending + counts.never_started
    if parts != counts.planned:
        raise AssertionError(f"{counts.sum_text}, but that is {parts}")
    if counts.retried != int((tasks["attempts"] > 1).sum()) or sum(counts.attempts.values()) != tasks["attempts"].sum():
        raise AssertionError(
            f"{counts.several_text}; {counts.attempts_text}: some attempts are in none of these groups"
        )
    return counts


def _sum_text(total: int, parts: Mapping[str, int]) -> str:
    """Write ``5 = 3 healed + 2 failed``; parts of nothing are left out."""
    return f"{total} = " + " + ".join(f"{count} {word}" for word, count in parts.items() if count) if total else "none"


def _count_words(column: "pd.Series[Any]", words: Sequence[str]) -> dict[str, int]:
    """Count each word in a column, in the words' order; those that never come are left out."""
    counted = Counter(column)
    return {str(word): counted[word] for word in words if counted[word]}


def _by_class(failed: Mapping[str, int]) -> str:
    return f" ({list_counts(failed)})" if failed else ""
