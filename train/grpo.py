"""Group-relative policy optimisation for a policy over continuous controls.

The policy's answer is the mean of a Gaussian with a fixed spread σ. From one start a *group* of G roll-outs is drawn;
what follows a control is judged against the rest of its group at the same time, so that no value function is learned:

    A[i, t] = −(C[i, t] − mean_i C[·, t]) / std_i C[·, t]        C[i, t] = Σ_{τ ≥ t} cost[i, τ] + x_Tᵀ P x_T

with the system's cost (`train.systems`) and, behind the horizon, the cost-to-go of its linearisation (P). The loss of a
control u is −min(r A, clip(r, 1 ± ε) A) + β KL with r = π(u) / π_old(u) and KL = (μ − μ_ref)² / 2σ², exact for two
Gaussians of one spread; the reference is the policy as this stage began. Shao et al., "DeepSeekMath", 2024
(arXiv 2402.03300), equations 3 and 4 with the reward of each step (section 4.1.3).

trl's trainer samples tokens and cannot serve such a policy: docs/decisions/0027-grpo-over-continuous-controls.md.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from train.demonstrations import Trajectories, linear_quadratic_regulator
from train.learner import Learner
from train.loop import Samples
from train.rollout import Told, explore
from train.schedule import FreshSamples
from train.systems import Array, System
from train.trained import load_trained

_TINY = 1e-8


@dataclass(frozen=True)
class Settings:
    """How a policy explores, and how far an update may lead.

    Attributes:
        group: Roll-outs from one start, G.
        spread: σ of the controls, in units of their spread in the demonstrations.
        clip: ε: the ratio of new to old probability counts only within 1 ± ε.
        kl: β: weight of the divergence from the reference.
        seed: Seed of the starts and of the exploration.
    """

    group: int
    spread: float
    clip: float
    kl: float
    seed: int


@dataclass(frozen=True)
class Group:
    """Roll-outs from one start: states (G, time, state), controls and the means they were drawn around
    (G, time, control), advantages (G, time), mean cost of a roll-out with what follows its end.
    """

    states: Tensor
    controls: Tensor
    means: Tensor
    advantages: Tensor
    cost: float


class Rollouts(Samples):
    """Roll-outs of the policy itself, made when they are asked for; a row is a place in their endless stream.

    Rows k·G … k·G + G − 1 are the group of start k. Start and exploration depend on the seed and k alone, so the same
    roll-outs are learned from however a batch is divided, and a resumed run draws on where it stood.
    """

    loss_name = "policy_loss"

    def __init__(self, systems: Sequence[Told], horizon: int, settings: Settings, schedule: FreshSamples) -> None:
        """Prepare.

        Args:
            systems: What is controlled; start k is of the system k modulo their number.
            horizon: Steps of a roll-out.
            settings: How it explores.
            schedule: Which roll-outs are learned from together; those of a process are made together.
        """
        self._systems, self._horizon, self._settings, self._schedule = systems, horizon, settings, schedule
        self._to_go = [linear_quadratic_regulator(told.system)[1] for told in systems]
        self._held: dict[int, Group] = {}
        self._used: set[int] = set()
        self._reference: torch.nn.Module | None = None

    def refer_to(self, policy: torch.nn.Module, values: Mapping[str, Tensor]) -> None:
        """Measure the divergence from a copy of the policy with the given trained values."""
        copy = deepcopy(policy).eval()
        load_trained(copy, values)
        self._reference = copy.requires_grad_(requires_grad=False)

    @property
    def tokens(self) -> int:
        """Time steps of a roll-out."""
        return self._horizon

    def loss(self, learner: Learner, rows: Tensor | slice) -> Tensor:
        """Mean clipped loss over the given roll-outs and their times."""
        assert isinstance(rows, Tensor)  # noqa: S101 the stream has no end
        numbers = rows.tolist()
        wanted = {row // self._settings.group for row in numbers}
        self._used |= wanted
        if not wanted <= self._held.keys():
            beside = self._schedule.rows_beside(numbers[0], learner.accelerator.process_index)
            self._collect(learner, sorted(wanted | {row // self._settings.group for row in beside.tolist()}))
        places = [divmod(row, self._settings.group) for row in numbers]
        states, controls, old, advantages = (
            torch.stack([getattr(self._held[start], name)[member] for start, member in places])
            for name in ("states", "controls", "means", "advantages")
        )
        sigma = self._sigma(learner)
        means = learner.policy(states)
        change = (((controls - old) / sigma) ** 2 - ((controls - means) / sigma) ** 2).sum(-1) / 2
        ratio = change.exp()
        bounded = ratio.clamp(1 - self._settings.clip, 1 + self._settings.clip)
        loss = -torch.minimum(ratio * advantages, bounded * advantages).mean()
        if self._reference is not None:
            with torch.no_grad():
                anchor = self._reference(states)
            loss = loss + self._settings.kl * (((means - anchor) / sigma) ** 2).sum(-1).mean() / 2
        return loss

    def measured(self, learner: Learner) -> Mapping[str, float]:
        """Mean cost of the roll-outs that the last step learned from; the others are forgotten."""
        self._held = {start: self._held[start] for start in self._used}
        self._used = set()
        mine = torch.tensor([group.cost for group in self._held.values()], device=learner.device).mean().reshape(1)
        return {"rollout_cost": float(learner.accelerator.reduce(mine, reduction="mean"))}

    def _sigma(self, learner: Learner) -> Tensor:
        sigma: Tensor = self._settings.spread * learner.module.control_scale
        return sigma

    def _collect(self, learner: Learner, starts: list[int]) -> None:
        """Roll out the groups that are not held, those of one system together."""
        for which, told in enumerate(self._systems):
            new = [start for start in starts if start % len(self._systems) == which and start not in self._held]
            if new:
                self._roll_out(learner, which, told, new)

    def _roll_out(self, learner: Learner, which: int, told: Told, starts: list[int]) -> None:
        drawn = [self._draw(start, told.system, learner) for start in starts]
        first = np.concatenate([np.repeat(start[None], self._settings.group, 0) for start, _ in drawn])
        driven, means = explore(learner.policy, told, first, np.concatenate([noise for _, noise in drawn]))
        learner.policy.train()
        for start, part in zip(starts, _parts(len(first), self._settings.group), strict=True):
            paths = Trajectories(driven.states[part], driven.controls[part])
            self._held[start] = _judged(paths, means[part], told, self._to_go[which], learner.device)

    def _draw(self, start: int, system: System, learner: Learner) -> tuple[Array, Array]:
        """A start, (state,), and the exploration of its group, (G, time, control)."""
        random = np.random.default_rng((self._settings.seed, start))
        sigma = self._sigma(learner).double().cpu().numpy()
        ranges = np.array(system.start_range)
        shape = (self._settings.group, self._horizon, len(sigma))
        return random.uniform(-1, 1, len(ranges)) * ranges, random.standard_normal(shape) * sigma


def _parts(count: int, size: int) -> list[slice]:
    return [slice(first, first + size) for first in range(0, count, size)]


def _judged(paths: Trajectories, means: Array, told: Told, to_go: Array, device: torch.device) -> Group:
    """Judge what follows each control of a group against the rest of the group."""
    last = paths.states[:, -1]
    steps = told.system.cost(paths.states[:, :-1], paths.controls)
    behind = np.einsum("gi,ij,gj->g", last, to_go, last)
    follows = np.cumsum(steps[:, ::-1], 1)[:, ::-1] + behind[:, None]
    advantages = -(follows - follows.mean(0)) / (follows.std(0) + _TINY)
    seen = told.observe(paths.states[:, :-1])
    states, controls, around, judged = (
        torch.tensor(part, dtype=torch.float32, device=device) for part in (seen, paths.controls, means, advantages)
    )
    return Group(states, controls, around, judged, float(follows[:, 0].mean()))
