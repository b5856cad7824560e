"""For Lightning:

    from hpc.callbacks.lightning import HpcCallback

    hpc = HpcCallback()
    trainer = Trainer(max_epochs=10, callbacks=[hpc])
    trainer.fit(model, data, ckpt_path=hpc.resume_from)

What modules log are the metrics; SIGUSR1 saves a checkpoint and ends with 85. Make the callback before the trainer
fits: Lightning's own handler, which would put the whole array element back, then leaves the signal to us.
"""

from collections.abc import Mapping
from typing import Any

try:
    from lightning.pytorch import Callback
    from lightning.pytorch.loggers import Logger
except ImportError:
    from pytorch_lightning import Callback
    from pytorch_lightning.loggers import Logger

from hpc.callbacks.loop import Attempt

_FILE = "lightning.ckpt"


class HpcCallback(Callback):  # type: ignore[misc]  # Lightning is nobody's dependency here
    """Logs, checkpoints and stops for the toolkit.

    Attributes:
        resume_from: The file to go on from, for ``trainer.fit(ckpt_path=…)``; None at a beginning.
    """

    def __init__(self) -> None:
        self._attempt = Attempt()
        self._logger = _Recorder(self._attempt)
        resume = self._attempt.resume_from
        self.resume_from = str(resume / _FILE) if resume else None

    def setup(self, trainer: Any, *_: Any, **__: Any) -> None:
        """Get to know what modules log, at the steps that Lightning's loggers are told."""
        if self._logger not in trainer.loggers:
            trainer.loggers = [*trainer.loggers, self._logger]

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Save and leave once that was asked for."""
        if self._attempt.should_stop:
            with self._attempt.checkpoint(trainer.global_step) as folder:
                trainer.save_checkpoint(folder / _FILE)
            self._attempt.leave(trainer.global_step)

    def on_fit_end(self, *_: Any) -> None:
        """The training came to its end: the metrics are complete."""
        self._attempt.close(complete=True)

    def teardown(self, trainer: Any, *_: Any, **__: Any) -> None:
        """A test or validation after the training logs, too."""
        if not trainer.interrupted and trainer.state.fn != "fit":
            self._attempt.close(complete=True)


class _Recorder(Logger):  # type: ignore[misc]  # likewise
    """What Lightning tells its loggers, as metrics."""

    name, version = "hpc", ""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__()
        self._attempt = attempt

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._attempt.log(step or 0, {name: value for name, value in metrics.items() if name != "epoch"})

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """The manifest has them."""
