"""Experiment trackers: wandb when the launcher asked for it, else nobody. A tracker never ends a run.

The launcher asks with WANDB_PROJECT or WANDB_MODE (offline unless it says otherwise; `hpc sync` sends later). All
attempts of a task share one run id (WANDB_RUN_ID), so wandb shows one curve, not one per attempt.
"""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, cast

from hpc.adapters.files import make_folder

_INIT_TIMEOUT_S = 30


class Tracker(Protocol):
    """What a run tells a tracker; leaving it as a context closes it and says whether the run failed."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    def log(self, step: int, **values: float) -> None:
        """Send values of one optimiser step."""

    def summary(self, **values: float) -> None:
        """Send final values."""


class NullTracker:
    """Nobody asked for tracking."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def log(self, step: int, **values: float) -> None:
        """Nothing to send."""

    def summary(self, **values: float) -> None:
        """Nothing to send."""


class WandbTracker:
    """A wandb run that falls silent, after one line on stderr, at its first failure."""

    def __init__(self, start: Callable[[], Any]) -> None:
        self._start = start
        self._run: Any = None

    def __enter__(self) -> Self:
        self._run = self._attempt(self._start)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._run is not None:
            self._attempt(lambda: self._run.finish(exit_code=0 if kind is None else 1))

    def log(self, step: int, **values: float) -> None:
        if self._run is not None:
            self._attempt(lambda: self._run.log(values, step=step))

    def summary(self, **values: float) -> None:
        if self._run is not None:
            self._attempt(lambda: self._run.summary.update(values))

    def _attempt(self, action: Callable[[], Any]) -> Any:
        """Do it, or give up tracking: whatever wandb raises is no reason to lose hours of training."""
        try:
            return action()
        except Exception as error:
            print(f"wandb is off for the rest of this run: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201 the run's log
            self._run = None
            return None


def open_tracker(
    config: Mapping[str, object], folder: Path, environment: Mapping[str, str] = os.environ
) -> NullTracker | WandbTracker:
    """Choose the tracker the launcher asked for.

    Args:
        config: The run's arguments, shown beside its curves.
        folder: Where wandb keeps its own files; one per attempt, so that no two attempts write the same file.
        environment: Where WANDB_PROJECT, WANDB_MODE, WANDB_RUN_ID, WANDB_NAME, HPC_EXPERIMENT and HPC_ATTEMPT stand.
    """
    mode = environment.get("WANDB_MODE") or ("offline" if environment.get("WANDB_PROJECT") else "disabled")
    if mode == "disabled":
        return NullTracker()
    return WandbTracker(lambda: _start_wandb(config, folder, environment, mode))


def _start_wandb(config: Mapping[str, object], folder: Path, environment: Mapping[str, str], mode: str) -> Any:
    import wandb

    make_folder(folder)
    return wandb.init(
        project=environment.get("WANDB_PROJECT") or environment.get("HPC_EXPERIMENT"),
        id=environment.get("WANDB_RUN_ID"),
        name=environment.get("WANDB_NAME") or environment.get("HPC_RUN_NAME"),
        group=environment.get("HPC_EXPERIMENT"),
        mode=cast("Literal['online', 'offline', 'shared']", mode),  # wandb names the valid ones itself
        resume="allow",
        dir=str(folder),
        config={name: str(value) if isinstance(value, Path) else value for name, value in config.items()},
        settings=wandb.Settings(console="off", silent=True, init_timeout=_INIT_TIMEOUT_S),
    )
