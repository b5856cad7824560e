"""For Hugging Face trainers (Trainer, TRL, …):

    from hpc.callbacks.transformers import HpcCallback

    hpc = HpcCallback()
    trainer = Trainer(model, args, train_dataset=data, callbacks=[hpc])
    trainer.train(resume_from_checkpoint=hpc.resume_from)

What the trainer logs are the metrics; its checkpoints are the attempt's; SIGUSR1 saves one and ends with 85.
"""

from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from hpc.callbacks.loop import Attempt


class HpcCallback(TrainerCallback):  # type: ignore[misc]  # untyped, as in train/model.py
    """Logs, checkpoints and stops for the toolkit; make one before the trainer.

    Attributes:
        resume_from: The checkpoint to go on from, for ``trainer.train(resume_from_checkpoint=…)``; None at a beginning.
    """

    def __init__(self) -> None:
        self._attempt = Attempt()
        self._stopping = self._ended = False
        resume = self._attempt.resume_from
        self.resume_from = str(resume.resolve()) if resume else None

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Record what is a number."""
        values = {name: value for name, value in (logs or {}).items() if isinstance(value, int | float)}
        if state.is_world_process_zero and values:
            self._attempt.log(state.global_step, values)
            if self._ended:  # an evaluation after the training
                self._attempt.close(complete=True)

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Have a checkpoint saved and the training ended once that was asked for."""
        if state.global_step < state.max_steps and self._attempt.should_stop:
            self._stopping = control.should_save = control.should_training_stop = True
        return control

    def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Take the checkpoint the trainer has just saved."""
        saved = Path(args.output_dir).absolute() / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero and saved.is_dir():
            self._attempt.take_checkpoint(state.global_step, saved)

    def on_train_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Leave with 85 after a stop; else the metrics are complete."""
        if self._stopping:
            self._attempt.leave(state.global_step)
        self._ended = True
        self._attempt.close(complete=True)
