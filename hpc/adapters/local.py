"""submitit's local executor: functions in processes of their own, which outlive us, each with GPUs of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

_NEVER_IN_TIME_MIN = 60 * 24 * 365.0
"""The wrapper keeps the time limit itself; submitit's clock must not be quicker."""


class LocalExecutor:
    """Starts elements and says which have ended."""

    def __init__(self, folder: Path) -> None:
        """Keep submitit's own files in `folder`."""
        import submitit

        self._executor = submitit.LocalExecutor(folder=str(folder))

    def start(self, gpus: tuple[int, ...], run: Callable[..., int], *arguments: str | int) -> Any:
        """Start a function with the given GPUs; return submitit's job."""
        self._executor.update_parameters(
            timeout_min=_NEVER_IN_TIME_MIN, gpus_per_node=len(gpus), visible_gpus=gpus, tasks_per_node=1
        )
        return self._executor.submit(run, *arguments)


def count_gpus() -> int:
    """Count this machine's NVIDIA devices."""
    return sum(path.name.removeprefix("nvidia").isdecimal() for path in Path("/dev").glob("nvidia*"))
