"""What a policy learns from when it imitates: trajectories on the training device, and its distance from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hpc.core.errors import InputError
from train.demonstrations import Trajectories
from train.learner import Learner
from train.loop import DataSet
from train.rollout import Told


@dataclass(frozen=True)
class Batches(DataSet):
    """States (n, time, state) and optimal controls (n, time, control) on the training device."""

    states: Tensor
    controls: Tensor

    @property
    def tokens(self) -> int:
        """Time steps of a trajectory."""
        return self.states.shape[1]

    def __len__(self) -> int:
        return len(self.states)

    @classmethod
    def of(cls, parts: Sequence[tuple[Told, Trajectories]], device: torch.device) -> "Batches":
        """Take what is seen and what is to be answered, one system after another; nobody answers the last state."""
        states = np.concatenate([told.observe(paths.states[:, :-1]) for told, paths in parts])
        controls = np.concatenate([paths.controls for _, paths in parts])
        tensors = (torch.tensor(part, dtype=torch.float32, device=device) for part in (states, controls))
        return cls(*tensors)

    def scales(self) -> tuple[Tensor, Tensor]:
        """Largest size of each state component and spread of each control component.

        Raises:
            InputError: There is but one control.
        """
        if self.controls[..., 0].numel() < 2:
            raise InputError("one demonstration of one step has no spread; more of either", "--demonstrations")
        return self.states.abs().amax((0, 1)).cpu(), self.controls.std((0, 1)).cpu()

    def loss(self, learner: Learner, rows: Tensor | slice) -> Tensor:
        """Mean squared distance from the optimal controls in the given rows, in units of the controls' spread."""
        answer: Tensor = learner.policy(self.states[rows])
        missed = answer - self.controls[rows]
        loss: Tensor = ((missed / learner.module.control_scale) ** 2).mean()
        return loss
