"""The trackers that people know, as peers of `hpc.metrics`: each writes rows of scalars its own usual way."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

Row = Mapping[str, float]
Writes = Callable[[Path, int, Row], float]


def tensorboard(folder: Path, rows: int, row: Row) -> float:
    """PyTorch's ``SummaryWriter``: an event a scalar."""
    from torch.utils.tensorboard import SummaryWriter

    return _with_writer(SummaryWriter, folder / "tensorboard", rows, row)


def tensorboard_x(folder: Path, rows: int, row: Row) -> float:
    """tensorboardX, which needs no PyTorch."""
    from tensorboardX import SummaryWriter

    return _with_writer(SummaryWriter, folder / "tensorboardx", rows, row)


def _with_writer(kind: Callable[[str], object], place: Path, rows: int, row: Row) -> float:
    started = time.perf_counter()
    writer = kind(str(place))
    for step in range(rows):
        for name, value in row.items():
            writer.add_scalar(name, value, step)  # type: ignore[attr-defined]
    writer.close()  # type: ignore[attr-defined]
    return time.perf_counter() - started


def mlflow(folder: Path, rows: int, row: Row) -> float:
    """MLflow's file store: a file a metric, opened for each row."""
    with _variables(MLFLOW_ALLOW_FILE_STORE="true"):
        import mlflow

        mlflow.set_tracking_uri((folder / "mlruns").as_uri())
        with mlflow.start_run():
            started = time.perf_counter()
            for step in range(rows):
                mlflow.log_metrics(dict(row), step=step)
            return time.perf_counter() - started


def wandb(folder: Path, rows: int, row: Row) -> float:
    """Weights & Biases, offline; its start, which takes seconds, is not counted."""
    import wandb

    run = wandb.init(mode="offline", dir=folder, project="bench", settings=wandb.Settings(silent=True))
    started = time.perf_counter()
    for step in range(rows):
        run.log(dict(row), step=step)
    run.finish()
    return time.perf_counter() - started


def sacred(folder: Path, rows: int, row: Row) -> float:
    """Sacred's file observer; its metrics are written every ten seconds and at the end."""
    from sacred import Experiment
    from sacred.observers import FileStorageObserver

    experiment = Experiment("bench", save_git_info=False)
    experiment.observers.append(FileStorageObserver(folder / "sacred"))

    @experiment.main  # type: ignore[untyped-decorator,unused-ignore]
    def train() -> None:
        for step in range(rows):
            for name, value in row.items():
                experiment.log_scalar(name, value, step)

    started = time.perf_counter()
    experiment.run(options={"--loglevel": "ERROR"})
    return time.perf_counter() - started


def pandas(folder: Path, rows: int, row: Row) -> float:
    """pandas: each row appended to a CSV file."""
    import pandas

    path = folder / "rows.csv"
    started = time.perf_counter()
    for step in range(rows):
        pandas.DataFrame([{"step": step, **row}]).to_csv(path, mode="a", header=step == 0, index=False)
    return time.perf_counter() - started


TRACKERS: Mapping[str, tuple[str, Writes]] = {
    "TensorBoard (torch.utils)": ("every 120 s", tensorboard),
    "tensorboardX": ("every 120 s", tensorboard_x),
    "MLflow, file store": ("each row", mlflow),
    "wandb, offline": ("not said", wandb),
    "Sacred, file observer": ("every 10 s", sacred),
    "pandas, appended CSV": ("each row", pandas),
}
"""Peer → when others can see a row, and what writes it."""


def find_missing(folder: Path, row: Row) -> dict[str, str]:
    """Try every tracker with one row; name those that cannot run here, each with the reason."""
    missing = {}
    for name, (_, write) in TRACKERS.items():
        place = folder / f"tried-{len(name)}-{name[:4]}"
        place.mkdir()
        try:
            write(place, 1, row)
        except ImportError as error:
            missing[name] = str(error)
    return missing


@contextlib.contextmanager
def _variables(**given: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
