"""Where a run's numbers go: ``metrics.h5``, an experiment tracker and the terminal. Only the first process records;
the others have the tracker nobody asked for.
"""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from hpc.adapters.files import write_json
from hpc.adapters.tracking import open_tracker
from hpc.metrics import MetricsWriter
from train.memory import Adjustment

EVERY_STEP = frozenset(
    {"loss", "policy_loss", "rollout_cost", "grad_norm", "lr", "samples_per_second", "tokens_per_second", "micro_batch"}
)
"""What each step measures; a step that measured more is recorded and printed."""


class RunRecorder:
    """The first process; as a context it marks the metrics complete unless an exception leaves it."""

    def __init__(self, home: Path, arguments: dict[str, object], record_every: int, print_every: int) -> None:
        """Open both.

        Args:
            home: Folder of the metrics.
            arguments: What the tracker is told of the run.
            record_every: Steps between what each step measures; a step that measured more is recorded whole, as are
                the first and one that diverged.
            print_every: Steps between printed lines, likewise.
        """
        self._metrics = MetricsWriter(path=home / "metrics.h5")
        self._tracker = open_tracker(arguments, home)
        self._record_every = record_every
        self._print_every = print_every
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._metrics)
        self._stack.enter_context(self._tracker)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, at)

    def log(self, step: int, **values: float) -> None:
        tells_more = step == 1 or not values.keys() <= EVERY_STEP or not all(map(math.isfinite, values.values()))
        if tells_more or step % self._record_every == 0:
            self._metrics.log(step, **values)
            self._tracker.log(step, **values)
        if tells_more or step % self._print_every == 0:
            _say(f"Step {step:05d}", values)

    def summary(self, **values: float) -> None:
        self._metrics.summary(**values)
        self._tracker.summary(**values)
        _say("Finished", values)


def record_adjustments(path: Path, adjustments: Sequence[Adjustment]) -> None:
    """Write every change of the micro-batch beside the metrics, and say the newest in the log."""
    changes = [asdict(adjustment) for adjustment in adjustments]
    write_json(path, {"schema": 1, "kind": "adjustments", "adjustments": changes})
    print(adjustments[-1], flush=True)  # noqa: T201 the log


def _say(title: str, values: dict[str, float]) -> None:
    print(" | ".join([title, *(f"{name}: {value:.4g}" for name, value in values.items())]), flush=True)  # noqa: T201 the log
