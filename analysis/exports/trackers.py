"""Weights & Biases and MLflow, by their own clients. One run of theirs a task; one that has changed is a new one.

The identity of what was sent stands in the tracker too (``hpc.digest``), so that a lost ledger sends nothing twice
where the tracker can be asked.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.exports.runs import ExportedRun
from hpc.core.words import counted

_AT_ONCE = 1000
"""Metrics that MLflow takes in one call."""
_TAG = 64
"""Characters that wandb takes in a tag."""


def send_to_wandb(run: ExportedRun, folder: Path, project: str) -> str:
    """Send one run, offline or online as WANDB_MODE says (default: offline, sent later by ``hpc sync``): its id.

    Args:
        run: The run.
        folder: Where wandb keeps its files.
        project: Where it goes.
    """
    import os

    import wandb

    mode: Any = os.environ.get("WANDB_MODE") or "offline"
    identity = f"{run.task_id}-{run.digest[:8]}"
    settings = wandb.Settings(console="off", silent=True, x_disable_stats=True, x_disable_meta=True)
    sent = wandb.init(
        project=project, id=identity, name=run.name, group=run.experiment, mode=mode, dir=str(folder), resume="allow",
        config={
            **run.config, **{f"hpc.{name}": value for name, value in {**run.facts, **run.origin}.items()},
            "hpc.digest": run.digest,
        },
        tags=_tags(run), notes=run.origin.get("goal"), settings=settings, reinit="create_new",
    )  # fmt: skip
    for step, values in _by_step(run).items():
        sent.log(values, step=step)
    sent.summary.update(dict(run.summary))
    sent.finish(exit_code=0 if run.facts["outcome"] == "finished" else 1)
    return identity


def _tags(run: ExportedRun) -> list[str]:
    """By what people filter: outcome, failure class, how many attempts it took."""
    told = (run.facts["outcome"], run.facts["failure_class"], counted(int(run.facts["attempts"]), "attempt"))
    return [text[:_TAG] for text in dict.fromkeys(map(str, told)) if text]


def _by_step(run: ExportedRun) -> Mapping[int, dict[str, float]]:
    """Step → values: wandb takes steps that grow, and none below 0."""
    found: dict[int, dict[str, float]] = {}
    for name, series in run.series.items():
        for each in series:
            if each.step >= 0:
                found.setdefault(each.step, {})[name] = each.value
    return dict(sorted(found.items()))


def send_to_mlflow(run: ExportedRun, folder: Path, project: str) -> str:
    """Send one run to MLFLOW_TRACKING_URI (default: the folder): its id. One that is there already is left alone.

    Args:
        run: The run.
        folder: Where a store of files lies when no other is named.
        project: MLflow's experiment.
    """
    import os

    from mlflow.entities import Metric, Param, RunTag
    from mlflow.tracking import MlflowClient

    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or folder.absolute().as_uri())
    found = client.get_experiment_by_name(project)
    experiment = found.experiment_id if found else client.create_experiment(project)
    for old in client.search_runs([experiment], filter_string=f"tags.`hpc.task_id` = '{run.task_id}'"):
        if old.data.tags.get("hpc.digest") == run.digest and old.info.status != "RUNNING":
            return str(old.info.run_id)
        client.delete_run(old.info.run_id)  # half sent, or of results that have changed since
    first, last = run.times
    tags = {"hpc.task_id": run.task_id, "hpc.digest": run.digest, "hpc.experiment": run.experiment}
    tags |= {f"hpc.{name}": str(value) for name, value in run.facts.items()}
    created = client.create_run(experiment, start_time=int(first * 1000) or None, run_name=run.name, tags=tags)
    run_id = created.info.run_id
    params = [Param(name, str(value)) for name, value in run.config.items()]
    points = [
        Metric(_mlflow_name(name), each.value, int(each.time * 1000), each.step)
        for name, series in run.series.items()
        for each in series
        if not math.isnan(each.value)
    ]
    points += [Metric(_mlflow_name(f"final/{name}"), value, int(last * 1000), 0) for name, value in run.summary.items()]
    client.log_batch(run_id, params=params, tags=[RunTag("hpc.points", str(len(points)))])
    for start in range(0, len(points), _AT_ONCE):
        client.log_batch(run_id, metrics=points[start : start + _AT_ONCE])
    status = "FINISHED" if run.facts["outcome"] == "finished" else "FAILED"
    client.set_terminated(run_id, status, end_time=int(last * 1000) or None)
    return str(run_id)


def _mlflow_name(name: str) -> str:
    """A metric's name with the characters that MLflow takes."""
    return "".join(char if char.isalnum() or char in "_-. :/" else "_" for char in name)
