"""Experiment trackers: wandb when the launcher asked for it, else nobody. A tracker never ends a run, nor delays it.

The launcher asks with WANDB_PROJECT or WANDB_MODE (offline unless it says otherwise; `hpc sync` sends later). All
attempts of a task share one run id (WANDB_RUN_ID), so wandb shows one curve, not one per attempt.
"""

import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, cast

from hpc.adapters.files import make_folder

_INIT_TIMEOUT_S = 30
_FINISH_S = 60.0
_MOST = 10_000


_FACTS = {"git_commit": "HPC_GIT_COMMIT", "manifest_sha": "HPC_MANIFEST_SHA", "image": "HPC_IMAGE_SHA256"}
"""What a run's configuration says beside its arguments: the variable that tells it."""


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
    """A wandb run that falls silent, after one line on stderr, at its first failure.

    A thread of its own calls wandb, in order, so that one that hangs holds up nothing but itself.
    """

    def __init__(self, start: Callable[[], Any], patience_s: float = _FINISH_S, most: int = _MOST) -> None:
        """Set it up; nothing starts before the context is entered.

        Args:
            start: Starts the run.
            patience_s: How long the end of the program waits for what wandb has not taken yet.
            most: Calls that may wait for wandb.
        """
        self._patience_s = patience_s
        self._waiting: queue.Queue[Callable[[Any], object] | None] = queue.Queue(most)
        self._gave_up = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(start,), name="wandb", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._hand_on(lambda run: run.finish(exit_code=0 if kind is None else 1))
        self._hand_on(None)
        if not self._gave_up.is_set():
            self._thread.join(self._patience_s)
        if self._thread.is_alive():
            self._give_up(f"it did not take everything within {self._patience_s:g} s of the end")

    def log(self, step: int, **values: float) -> None:
        self._hand_on(lambda run: run.log(values, step=step))

    def summary(self, **values: float) -> None:
        self._hand_on(lambda run: run.summary.update(values))

    def _hand_on(self, action: Callable[[Any], object] | None) -> None:
        if self._gave_up.is_set():
            return
        try:
            self._waiting.put_nowait(action)
        except queue.Full:
            self._give_up(f"it hangs, and {self._waiting.maxsize} calls are waiting for it")

    def _work(self, start: Callable[[], Any]) -> None:
        """Do what is handed on, until the end or the first failure: no reason to lose hours of training."""
        try:
            run = start()
            while (action := self._waiting.get()) is not None and not self._gave_up.is_set():
                action(run)
        except BaseException as error:
            self._give_up(f"{type(error).__name__}: {error}")

    def _give_up(self, why: str) -> None:
        if not self._gave_up.is_set():
            self._gave_up.set()
            print(f"wandb is off for the rest of this run: {why}", file=sys.stderr)  # noqa: T201 the run's log


def open_tracker(
    config: Mapping[str, object], folder: Path, environment: Mapping[str, str] = os.environ
) -> NullTracker | WandbTracker:
    """Choose the tracker the launcher asked for.

    Args:
        config: The run's arguments, shown beside its curves.
        folder: Where wandb keeps its own files; one per attempt, so that no two attempts write the same file.
        environment: Where WANDB_PROJECT, WANDB_MODE, WANDB_RUN_ID, WANDB_NAME and HPC_EXPERIMENT stand; and HPC_WANDB,
            where an experiment says nothing of wandb.
    """
    mode = environment.get("WANDB_MODE") or ("offline" if environment.get("WANDB_PROJECT") else "disabled")
    if mode == "disabled" or environment.get("HPC_WANDB"):
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
        notes=environment.get("WANDB_NOTES"),
        config={name: str(value) if isinstance(value, Path) else value for name, value in config.items()}
        | {f"hpc.{name}": environment[variable] for name, variable in _FACTS.items() if environment.get(variable)},
        settings=wandb.Settings(console="off", silent=True, init_timeout=_INIT_TIMEOUT_S),
    )
