"""CSV and Parquet: one table of runs, one of all points. Whole files, replaced at once."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.exports.runs import ExportedRun
from hpc.adapters.files import write_text
from hpc.core.experiment.values import is_single, render_value
from hpc.core.printable import guard_cell


def as_tables(runs: Sequence[ExportedRun]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs (a row each: ``run``, ``task_id``, ``config.…``, ``metric.…``, facts), and points (run, metric, step, …)."""
    table = pd.DataFrame(
        [
            {
                "run": run.name,
                "task_id": run.task_id,
                **{f"config.{name}": _cell(value) for name, value in run.config.items()},
                **{f"metric.{name}": value for name, value in run.summary.items()},
                **run.facts,
            }
            for run in runs
        ]
    )
    points = pd.DataFrame(
        [
            (run.name, run.task_id, metric, each.step, each.value, each.time)
            for run in runs
            for metric, series in run.series.items()
            for each in series
        ],
        columns=["run", "task_id", "metric", "step", "value", "time"],
    )
    return table, points


def _cell(value: Any) -> Any:
    """A value as one cell: a list or mapping as its JSON text."""
    return value if is_single(value) else render_value(value)


def write_csv(runs: Sequence[ExportedRun], folder: Path) -> list[Path]:
    """Write ``runs.csv`` and ``points.csv``; numbers with all their digits."""
    paths = []
    for name, table in zip(("runs", "points"), as_tables(runs), strict=True):
        paths.append(folder / f"{name}.csv")
        write_text(paths[-1], _guarded(table).to_csv(index=False, lineterminator="\n"))
    return paths


def _guarded(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts no spreadsheet reads as formulas, names of columns among them."""
    texts = table.select_dtypes(exclude="number")
    safe = texts.map(lambda each: guard_cell(each) if isinstance(each, str) else each)
    return table.assign(**{str(name): safe[name] for name in safe}).rename(columns=guard_cell)


def write_parquet(runs: Sequence[ExportedRun], folder: Path) -> list[Path]:
    """Write ``runs.parquet`` and ``points.parquet``. A column of several kinds is text.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = []
    for name, table in zip(("runs", "points"), as_tables(runs), strict=True):
        for column in map(str, table):
            if table[column].dtype == object and table[column].map(type).nunique() > 1:
                table[column] = table[column].astype(str)
        path = folder / f"{name}.parquet"
        partial = path.with_name(f".{path.name}.partial")
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), partial)
        os.replace(partial, path)
        paths.append(path)
    return paths
