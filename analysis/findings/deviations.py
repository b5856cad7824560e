"""A deviation from what was sealed: its kinds, and how it names runs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from analysis.data.frame import ExperimentFrame

KINDS = {
    "changed_plan": "the plan was changed after it was sealed",
    "results_before": "results existed before the plan was sealed",
    "added_seeds": "seeds were added that the sealed plan does not name",
    "added_tasks": "configurations were added that the sealed plan does not name",
    "added_metrics": "metrics were added that the sealed plan does not name",
    "missing_tasks": "sealed tasks are no longer planned",
    "set_aside": "runs of other settings were set aside when the plan was changed",
    "repeated": "runs that had a result were requested again",
    "rerolled": "runs that had a result were restarted without a request",
    "vanished": "collected results are missing",
    "changed_result": "a run's collected result has changed",
    "ledger": "the ledger of results is incomplete",
    "other_seal": "runs were started under another plan",
    "unsealed_runs": "runs carry no seal",
    "altered_runs": "runs are no longer what was asked for",
    "early_look": "somebody looked at results before all runs had ended",
    "other_identity": "tasks do not match their id",
    "contradicted": "the run's own folder contradicts it",
    "printed": "the run's own output contradicts it",
    "copied": "runs agree in every number, even in the seconds they took",
    "identical": "some seeds of a configuration agree in every digit, others do not",
}
"""Kinds of deviations, in the order in which they are listed: kind → what it is."""
SHOWN = 5


@dataclass(frozen=True)
class Deviation:
    """One thing that is not as it was sealed.

    Attributes:
        kind: Key of `KINDS`.
        text: One sentence with the facts.
        runs: Names of the runs it is about, in the manifest's order; empty where it is about the plan.
    """

    kind: str
    text: str
    runs: tuple[str, ...] = ()


def names_of(frame: ExperimentFrame, rows: Iterable[Any]) -> tuple[str, ...]:
    """Name the runs of some rows."""
    return tuple(str(frame.tasks["run_name"].iloc[int(row)]) for row in rows)


def few(texts: Iterable[str]) -> str:
    """The first of some texts, and how many more there are."""
    found = list(texts)
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(found[:SHOWN]) + more
