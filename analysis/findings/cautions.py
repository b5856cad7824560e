"""What to keep in mind about values that are in the means: runs that differ in what they ran, successes with warnings.

Such a value is kept: it is the run's result. It is marked beside the run and said among the limitations.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.data.frame import ExperimentFrame
from analysis.data.sameness import (
    ASPECTS,
    MADE,
    Difference,
    count_unknown,
    find_differences,
    other_text,
    renamed,
    short,
    what_is_named,
)
from analysis.words import list_words
from hpc.adapters.manifest_store import shas_before_looks
from hpc.core.words import counted

_SHOWN = 5
_VERBS = {
    "code": ("ran other code", "ran other code"),
    "image": ("ran in another image", "ran in another image"),
    "launch": ("was launched differently", "were launched differently"),
    "global_batch": ("trained with another global batch", "trained with another global batch"),
    "manifest": ("was started from another manifest", "were started from another manifest"),
}


@dataclass(frozen=True)
class Cautions:
    """What is true of single values that are in the means.

    Attributes:
        differences: Aspects in which runs are not what is expected.
        unknown: Aspect → runs of which it was not recorded.
        warnings: Row → what the verdict warns of, for finished runs.
        finished: Finished, unaltered runs: those that are averaged and compared.
        has_altered: Whether there are finished runs that were altered.
        refused: Row → what the acceptance check looked at, for finished runs that failed it.
    """

    differences: tuple[Difference, ...]
    unknown: Mapping[str, int]
    warnings: Mapping[int, tuple[str, ...]]
    finished: int
    has_altered: bool
    refused: Mapping[int, str] = field(default_factory=dict)

    @property
    def runs_text(self) -> str:
        """What the runs looked at are called: ``12 finished, unaltered runs``."""
        return f"{self.finished} finished{', unaltered' if self.has_altered else ''} runs"

    def notes(self, row: int) -> tuple[str, ...]:
        """Everything there is to say beside one run."""
        differing = (other_text(one, row) for one in self.differences if row in one.others)
        refused = (f"failed its check: {self.refused[row]}",) if row in self.refused else ()
        return (*refused, *differing, *(f"warning: {text}" for text in self.warnings.get(row, ())))

    def count(self, rows: Iterable[int]) -> dict[str, int]:
        """Count some runs by what is to be said of them; one run may be in several of the counts."""
        mine = list(rows)
        counts = {MADE[one.aspect]: sum(row in one.others for row in mine) for one in self.differences}
        counts["with warnings"] = sum(row in self.warnings for row in mine)
        counts["that failed their check"] = sum(row in self.refused for row in mine)
        return {name: count for name, count in counts.items() if count}


def find_cautions(frame: ExperimentFrame) -> Cautions:
    """Compare what the finished runs ran, and gather the warnings of their verdicts."""
    rows = [int(row) for row in np.flatnonzero(frame.usable)]
    ran = {aspect: frame.ran[aspect].tolist() for aspect in ASPECTS}
    this_plan = dict.fromkeys(shas_before_looks(frame.manifest), str(frame.manifest["sha256"]))
    ran["manifest"] = [renamed(text, this_plan) for text in ran["manifest"]]
    finished = np.flatnonzero((frame.tasks["outcome"] == "finished") & (frame.tasks["warnings"].map(len) > 0))
    return Cautions(
        differences=find_differences(ran, what_is_named(frame.manifest), rows),
        unknown=count_unknown(ran, rows),
        warnings={int(row): tuple(frame.tasks["warnings"].iloc[int(row)]) for row in finished},
        finished=len(rows),
        has_altered=len(rows) < int((frame.tasks["outcome"] == "finished").sum()),
        refused={int(row): str(frame.tasks["check_said"].iloc[int(row)])
                 for row in np.flatnonzero(frame.tasks["check"] == "failed")},
    )  # fmt: skip


def say_cautions(frame: ExperimentFrame, found: Cautions, pairs: Sequence[tuple[int, int]]) -> list[str]:
    """Say them as limitations.

    Args:
        frame: The experiment.
        found: Its cautions.
        pairs: (configuration, its baseline), for every comparison made.
    """
    said = [_say_difference(frame, found, one, pairs) for one in found.differences]
    return [*said, *_say_unknown(found), *_say_warnings(frame, found), *_say_check(frame, found)]


def _say_check(frame: ExperimentFrame, found: Cautions) -> list[str]:
    """Say what the declared check came to where not every finished run passed it."""
    answers, check = Counter(frame.tasks["check"]), frame.spec.get("check") or {}
    asked = sum(answers[name] for name in ("passed", "failed", "not checked"))
    if not asked or asked == answers["passed"]:
        return []
    names = frame.tasks["run_name"].iloc[list(found.refused)].tolist()
    failed = f"{len(names)} failed it: {_named(names)}" if names else "none failed it"
    unchecked = f"; {answers['not checked']} have no answer" if answers["not checked"] else ""
    return [
        f"Of {counted(asked, 'finished run')} {answers['passed']} passed the declared check "
        f"({check.get('expression') or check.get('command')}), {failed}{unchecked}. They still count as finished: "
        "their values are kept, in means and comparisons too."
    ]


def say_mixed(found: Cautions) -> str:
    """Warn beside the verdict where means mix runs that differ in what they ran; empty where none does."""
    mixed = [ASPECTS[one.aspect] for one in found.differences if one.is_mixed and one.aspect != "manifest"]
    if not mixed:
        return ""
    return f"Caution: finished runs differ in {list_words(mixed)}, and the numbers here mix them; see Limitations."


def _say_difference(frame: ExperimentFrame, found: Cautions, one: Difference, pairs: Sequence[tuple[int, int]]) -> str:
    others = one.others
    values = Counter(short(value) for value in others.values())
    listed = ", ".join(values) if len(values) == 1 else ", ".join(f"{count} × {name}" for name, count in values.items())
    source = "which the manifest names" if one.is_named else "like the others"
    names = frame.tasks["run_name"].iloc[list(others)].tolist()
    return (
        f"{len(others)} of {found.runs_text} {_VERBS[one.aspect][len(others) != 1]} ({listed} instead of "
        f"{short(one.expected)}, {source}): {_named(names)}. {_consequence(frame, one, pairs)}"
    )


def _consequence(frame: ExperimentFrame, one: Difference, pairs: Sequence[tuple[int, int]]) -> str:
    """Say what a difference does to the numbers."""
    if not one.is_mixed:
        return "They agree with one another, but not with the setup stated below."
    if one.aspect == "manifest":
        return "Program, parameters and seed are the same; other parts of the plan are not."
    confounded = _confounded(frame, one, pairs)
    if not confounded:
        return "Means and comparisons mix them."
    return (
        f"In {confounded} of {counted(len(pairs), 'comparison')} configuration and baseline have no "
        f"{ASPECTS[one.aspect]} in common, which may be the reason for a difference."
    )


def _confounded(frame: ExperimentFrame, one: Difference, pairs: Sequence[tuple[int, int]]) -> int:
    """Count the comparisons whose two sides have nothing in common in an aspect."""
    values: dict[int, set[str]] = {}
    number = frame.tasks["configuration"].to_numpy()
    for row, value in one.ran.items():
        values.setdefault(int(number[row]), set()).add(value)
    sides = ((values.get(ours), values.get(base)) for ours, base in pairs)
    return sum(bool(ours and base and not ours & base) for ours, base in sides)


def _say_unknown(found: Cautions) -> list[str]:
    """Say what was not recorded, aspects with the same count together."""
    by_count: dict[int, list[str]] = {}
    for aspect, count in found.unknown.items():
        by_count.setdefault(count, []).append(ASPECTS[aspect])
    return [
        f"For {count} of {found.runs_text} it is not recorded which {list_words(names)} they ran with: there may be "
        "hidden differences."
        for count, names in by_count.items()
    ]


def _say_warnings(frame: ExperimentFrame, found: Cautions) -> list[str]:
    """Name the successes that carry warnings."""
    if not found.warnings:
        return []
    count = len(found.warnings)
    texts = Counter(text for texts in found.warnings.values() for text in texts)
    shown = "; ".join(f"{times} × {text}" for text, times in texts.most_common(_SHOWN))
    more = f"; and {len(texts) - _SHOWN} other warnings" if len(texts) > _SHOWN else ""
    names = frame.tasks["run_name"].iloc[list(found.warnings)].tolist()
    return [
        f"{count} finished {'run has' if count == 1 else 'runs have'} warnings ({shown}{more}): {_named(names)}. Their "
        "values are kept, in means and comparisons too."
    ]


def _named(names: Sequence[str]) -> str:
    """Name the first few runs; all of them are marked in the table of runs."""
    shown = ", ".join(names[:_SHOWN])
    return (
        shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more, marked in the table of every run"
    )
