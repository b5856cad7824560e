"""One experiment for notebooks: ``hpc.load("lora_sweep")`` gives its runs, curves and comparisons as pandas tables.

    e = hpc.load("lora_sweep")
    e.runs                       one row a run: parameters, seed, outcome, class, metrics, hours
    e.curves("loss")             one row a point: run, parameters, seed, step, value
    e.compare()                  one row a configuration: mean, interval, difference from the baseline, adjusted p

The numbers are those of the report: read by the same loader, judged by the same statistics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.data.baselines import stored_baseline
from analysis.data.frame import ExperimentFrame, load_frame, load_series
from analysis.findings.cautions import find_cautions
from analysis.findings.configurations import ConfigurationResult, judge_configurations
from analysis.findings.registration import record_look
from analysis.report import Elsewhere, default_root, find_experiment, find_newest, to_write_for
from hpc.core.errors import InputError, nearest
from hpc.core.experiment.spec import Metric

OURS = ("run", "configuration", "seed", "outcome", "class", "altered", "hours", "gpu_hours", "attempts")
"""Columns of the runs that are neither parameter nor metric."""


@dataclass(frozen=True)
class Experiment:
    """A collected experiment.

    Attributes:
        frame: Everything the report knows of it.
    """

    frame: ExperimentFrame

    def __repr__(self) -> str:
        outcomes = ", ".join(f"{count} {word}" for word, count in self.frame.tasks["outcome"].value_counts().items())
        return f"<Experiment {self.name}: {outcomes}; metrics {', '.join(self.metrics) or 'none'}>"

    @property
    def name(self) -> str:
        """What it is called."""
        return self.frame.layout.experiment

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics with final values, the declared ones first."""
        declared = [goal.name for goal in self.frame.metric_goals if goal.name in self.frame.values]
        return tuple(dict.fromkeys([*declared, *map(str, self.frame.values)]))

    @property
    def parameters(self) -> tuple[str, ...]:
        """The swept parameters."""
        return tuple(map(str, self.frame.parameters))

    @property
    def runs(self) -> pd.DataFrame:
        """One row per task, in the order of the manifest.

        Columns: ``run``, ``configuration``, one per parameter, ``seed``, ``outcome``, ``class`` (of the failure; empty
        without), ``altered``, one per metric (missing unless the run finished), ``hours`` and ``gpu_hours`` over all
        attempts, ``attempts``; where the experiment declares a check ``check`` (passed, failed, not checked; empty for
        runs that did not finish). A parameter or metric that is called like another column has ``parameter.`` or
        ``metric.`` before its name.
        """
        tasks = self.frame.tasks
        values = self.frame.values[list(self.metrics)]
        attempts = self.frame.attempts.groupby("task")[["elapsed_s", "gpu_seconds"]].sum()
        spent = attempts.reindex(tasks.index, fill_value=0.0) / 3600
        head = pd.DataFrame({"run": tasks["run_name"], "configuration": tasks["label"]})
        parameters = self.frame.parameters.infer_objects()
        middle = tasks[["seed", "outcome", "failure_class", "altered"]].rename(columns={"failure_class": "class"})
        tail = pd.DataFrame(
            {"hours": spent["elapsed_s"], "gpu_hours": spent["gpu_seconds"], "attempts": tasks["attempts"]}
        )
        tail = pd.concat([tail, tasks[["check"]]], axis=1) if self.frame.has_check else tail
        ours = (*OURS, "check") if self.frame.has_check else OURS
        parts = [head, _apart(parameters, "parameter", ours), middle]
        return pd.concat([*parts, _apart(values, "metric", (*ours, *self.parameters)), tail], axis=1)

    def curves(self, metric: str) -> pd.DataFrame:
        """One metric over the steps of every run that has points, attempts joined to one line.

        Columns: ``run``, ``configuration``, one per parameter, ``seed``, ``step``, ``value`` (not finite where the
        program said so).

        Raises:
            InputError: No run has a curve of that name; the message lists those there are.
        """
        if metric not in self.frame.series_names:
            raise InputError(f"{self.name} has no curve of {metric!r}; {nearest(metric, self.frame.series_names)}")
        series = load_series(self.frame, metric, self.frame.tasks.index)
        points = pd.DataFrame(
            {
                "row": [one.task for one in series for _ in one.step],
                "step": [int(step) for one in series for step in one.step],
                "value": [float(value) for one in series for value in one.value],
            }
        )
        columns = ["run", "configuration", *self._parameter_columns(), "seed"]
        told = self.runs[columns].iloc[points["row"]].reset_index(drop=True)
        return pd.concat([told, points[["step", "value"]]], axis=1)

    def compare(self, metric: str | None = None) -> pd.DataFrame:
        """Every configuration on one metric, against its baseline, as the report judges it.

        Args:
            metric: Default: the primary metric. Another one is taken as if it were primary: its p-values are adjusted
                over its own comparisons.

        Columns: ``configuration``, ``n``, ``mean``, ``std``, ``low``, ``high`` (interval of the mean), ``is_baseline``,
        ``difference`` from the baseline with ``difference_low`` and ``difference_high``, ``relative_percent``, ``p``,
        ``p_adjusted``, ``cohens_d``, ``compared`` (what these are over: the shared seeds, or all runs), ``verdict``.
        What cannot be computed is missing. That results were looked at is recorded, as for the report.

        Raises:
            InputError: No such metric is declared.
        """
        goals = {goal.name: goal for goal in self.frame.metric_goals}
        if metric is not None and metric not in goals:
            raise InputError(f"{metric!r} is not a metric of {self.name}; {nearest(metric, tuple(goals))}")
        chosen = goals[metric] if metric is not None else next(iter(goals.values()), None)
        return pd.DataFrame([_row(one) for one in self._judge(chosen)])

    def _judge(self, metric: Metric | None) -> tuple[ConfigurationResult, ...]:
        if not isinstance(self.frame.layout, Elsewhere):
            record_look(self.frame)
        stored = stored_baseline(self.frame)
        samples = (stored.samples or None) if stored else None
        return judge_configurations(self.frame, metric, (), find_cautions(self.frame), samples).results

    def _parameter_columns(self) -> list[str]:
        ours = (*OURS, "check") if self.frame.has_check else OURS
        return [f"parameter.{name}" if name in ours else name for name in self.parameters]


def load(name: str | None = None, *, root: str | Path | None = None) -> Experiment:
    """Load a collected experiment.

    Args:
        name: Experiment, or the path of its YAML file; None: the one planned last.
        root: Where experiments lie; None: $HPC_ROOT, else ``runs`` of the project.

    Raises:
        InputError: There is none, it is not collected since it was planned (``hpc.collect(name)`` does that), or its
            files contradict each other.
    """
    home = Path(root) if root is not None else default_root()
    layout = find_newest(home) if name is None else find_experiment(home, name)
    return Experiment(load_frame(to_write_for(layout)))


def _apart(table: pd.DataFrame, kind: str, taken: Sequence[str]) -> pd.DataFrame:
    """A table whose columns are not called like others."""
    return table.rename(columns={name: f"{kind}.{name}" for name in table if name in taken})


def _row(result: ConfigurationResult) -> dict[str, Any]:
    estimate, comparison = result.estimate, result.comparison
    told = ("difference", "relative_percent", "p", "p_adjusted", "cohens_d")
    return {
        "configuration": result.label,
        **{name: getattr(estimate, name) for name in ("n", "mean", "std", "low", "high")},
        "is_baseline": result.is_baseline,
        **{name: getattr(comparison, name, None) for name in told},
        "difference_low": getattr(comparison, "low", None),
        "difference_high": getattr(comparison, "high", None),
        "compared": getattr(comparison, "basis", ""),
        "verdict": getattr(comparison, "tested_verdict", ""),
    }
