"""Whether somebody asked this run to end, as every one of its processes sees it."""

import signal
import sys
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from hpc.callbacks.stacks import answer_where_it_stands


@dataclass
class StopRequest:
    """Remembers a SIGUSR1 (the time limit is near) or SIGTERM until the loop reaches the end of a step."""

    name: str = ""
    signals: tuple[signal.Signals, ...] = field(default=(signal.SIGUSR1, signal.SIGTERM))

    def listen(self) -> None:
        """Install the handlers; from here on these signals no longer end the process at once.

        From here on it also answers where it stands, should it hang.
        """
        answer_where_it_stands()
        for number in self.signals:
            signal.signal(number, self._remember)

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name


def process_group() -> Any:
    """``torch.distributed`` where this process has joined others, else None. PyTorch is never imported for it."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed


def any_process(flag: bool) -> bool:
    """Whether the flag is set on any process; all of them have to ask. Signals reach them at different steps."""
    group = process_group()
    if group is None:
        return flag
    import torch

    device = "cuda" if group.get_backend() == "nccl" else "cpu"
    shared = torch.tensor([float(flag)], device=device)
    group.all_reduce(shared, op=group.ReduceOp.MAX)
    return bool(shared.item())
