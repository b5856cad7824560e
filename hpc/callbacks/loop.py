"""For a plain loop:

    from hpc.callbacks.loop import Attempt

    with Attempt() as attempt:
        first = load(attempt.resume_from) + 1 if attempt.resume_from else 1   # your function
        for step in range(first, 10_001):
            attempt.log(step, loss=train_one_step())
            if attempt.should_stop:                        # SIGUSR1: the time limit is near
                with attempt.checkpoint(step) as folder:
                    save(folder)                           # your function
                attempt.leave(step)                        # exit code 85: "start me again"

By hand, outside the toolkit, all of it works in the current folder.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self, SupportsFloat

from hpc.adapters.files import make_folder, write_json
from hpc.callbacks.stop import StopRequest, any_process, process_group
from hpc.core.errors import EXIT_CHECKPOINTED
from hpc.metrics import MetricsWriter


class Attempt:
    """Where this attempt goes on from, its metrics, and whether it has to end.

    Leaving it as a context without an exception makes the metrics complete. With several processes all of them make
    one, and call `should_stop`, `checkpoint` and `leave` at the same steps; what they log counts on the first.

    Attributes:
        folder: The attempt's folder; the current one by hand.
        resume_from: Folder of the checkpoint to go on from; None at a beginning.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Listen for SIGUSR1 and SIGTERM from here on; only the main thread may.

        Args:
            folder: Another place than ``$HPC_ATTEMPT_DIR``, or than the current folder where that is not set.
        """
        self.folder = Path(folder or os.environ.get("HPC_ATTEMPT_DIR") or ".").absolute()
        asked = os.environ.get("HPC_RESUME_FROM")
        self.resume_from = Path(asked) if asked else None
        self._stop = StopRequest()
        self._stop.listen()
        self._metrics: MetricsWriter | None = None
        self._last: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close(complete=kind is None)

    @property
    def should_stop(self) -> bool:
        """Whether any process was asked to end: save a checkpoint and `leave`. All processes have to ask."""
        return any_process(bool(self._stop.name))

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes."""
        group = process_group()
        return (int(group.get_rank()) if group else int(os.environ.get("RANK", "0"))) == 0

    def log(self, step: int, metrics: Mapping[str, SupportsFloat] | None = None, /, **more: SupportsFloat) -> None:
        """Record values at a step; the last of each name is also a final value. As `hpc.metrics.MetricsWriter.log`."""
        if not self.is_main:
            return
        self._metrics = self._metrics or MetricsWriter(self.folder / "metrics.h5", parents=False)
        values = {name: float(value) for name, value in {**(metrics or {}), **more}.items()}
        self._metrics.log(step, values)
        self._last.update(values)

    @contextlib.contextmanager
    def checkpoint(self, step: int) -> Iterator[Path]:
        """Yield a folder to save into; it counts as a checkpoint only once every process has left without an error."""
        final = self.folder / "checkpoints" / f"step-{step:08d}"
        prepared = final.with_name(final.name + ".tmp")
        make_folder(final.parent, parents=False)
        make_folder(prepared, parents=False)
        yield prepared
        _wait_for_all()
        if self.is_main:
            shutil.rmtree(final, ignore_errors=True)
            prepared.rename(final)

    def take_checkpoint(self, step: int, saved: Path) -> None:
        """Point to a complete checkpoint that a trainer saved where it likes, below the attempt or elsewhere."""
        link = self.folder / "checkpoints" / f"step-{step:08d}"
        make_folder(link.parent, parents=False)
        for each in link.parent.iterdir():
            if each == link or (each.is_symlink() and not each.exists()):  # trainers keep the newest few
                each.unlink()
        link.symlink_to(os.path.relpath(saved, link.parent))

    def close(self, *, complete: bool) -> None:
        """Write the final values and say whether that is all there will be; a later `log` goes on."""
        if self._metrics is not None:
            self._metrics.summary(self._last)
            self._metrics.close(complete=complete)
            self._metrics = None

    def leave(self, step: int) -> NoReturn:
        """End with exit code 85, "start me again"; the checkpoint is saved.

        Raises:
            SystemExit: Always. Launchers say 1 whatever their processes say, so ``outcome.json`` says it too.
        """
        _wait_for_all()
        if self.is_main:
            self.close(complete=False)
            reason = self._stop.name or "another process was asked to stop"
            told = {"code": EXIT_CHECKPOINTED, "step": step, "reason": reason}
            write_json(self.folder / "outcome.json", told, parents=False)
        raise SystemExit(EXIT_CHECKPOINTED)


def _wait_for_all() -> None:
    if group := process_group():
        group.barrier()
