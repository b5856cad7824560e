"""What a policy of `train.control` learns from, stage by stage, and how it is tested."""

import argparse
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hpc.core.errors import InputError
from hpc.core.retry.learned import largest_exact
from train.demonstrations import Trajectories, demonstrate
from train.grpo import Rollouts, Settings
from train.imitation import Batches
from train.learner import Learner
from train.rollout import SHOWN, Told, judge, roll_out, show
from train.sanity import Expected
from train.schedule import FreshSamples, Schedule
from train.systems import SYSTEMS
from train.trained import load_trained, trained_parameters
from train.training import Stage, schedule_of


@dataclass(frozen=True)
class Lessons:
    """Data of a run.

    Attributes:
        training: Optimal trajectories to imitate.
        validation: Optimal trajectories from other starts.
        systems: What is learned: the system asked for, or all.
        tests: Each system that is tested, with optimal trajectories from the held-out starts; the one asked for first.
        before: Trained values before reinforcement began; empty without it.
    """

    training: Batches
    validation: Batches
    systems: list[Told]
    tests: list[tuple[Told, Trajectories]]
    before: dict[str, Tensor]

    @property
    def sha256(self) -> str:
        """Digest of everything that is learned from and tested with."""
        parts = [self.training, self.validation]
        arrays = [array.cpu().numpy() for part in parts for array in (part.states, part.controls)]
        arrays += [array for _, paths in self.tests for array in (paths.states, paths.controls)]
        return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()

    def expect(self) -> Expected:
        """What is known before anything is trained: nobody acts, and misses the optimal controls by their spread."""
        parts = {"demonstrations": self.training, "validation": self.validation}
        rows = {name: part.states.cpu().numpy() for name, part in parts.items()}
        tested = Batches.of(self.tests, self.training.states.device).states.cpu().numpy()
        (inputs, answers), (unseen, truth) = (
            (part.states.flatten(0, 1).cpu().numpy(), part.controls[..., 0].flatten().cpu().numpy())
            for part in parts.values()
        )
        return Expected(
            training=self.training,
            loss=1.0,
            why="the spread of the optimal controls, squared, in units of itself",
            rows={**rows, "tests": tested},
            simple=(inputs, answers, unseen, truth),
            classes=False,
        )

    def drive(self, learner: Learner) -> dict[str, float]:
        """Let the policy drive every system from the held-out starts: `train.rollout.judge` of the one asked for.

        Of the others the same under ``NAME.metric``; and of the policy that reinforcement began with,
        ``before_grpo.final_error`` and ``before_grpo.control_cost``.
        """
        (asked, optimal), *others = self.tests
        found = self._judged(learner, asked, optimal)
        for told, paths in others:
            here = self._judged(learner, told, paths)
            found |= {f"{told.system.name}.{name}": here[name] for name in ("final_error", "excess_cost")}
        if self.before:
            after = {name: value.detach().clone() for name, value in trained_parameters(learner.module).items()}
            load_trained(learner.module, self.before)
            began = self._judged(learner, asked, optimal)
            load_trained(learner.module, after)
            found |= {f"before_grpo.{name}": began[name] for name in ("final_error", "control_cost")}
        return found

    def show(self, learner: Learner) -> dict[str, Any]:
        """Let the policy drive the system asked for from the first few held-out starts: `train.rollout.show`."""
        told, optimal = self.tests[0]
        first = Trajectories(optimal.states[:SHOWN], optimal.controls[:SHOWN])
        return show(roll_out(learner.policy, told, first.states[:, 0], first.controls.shape[1]), first, told.system)

    def _judged(self, learner: Learner, told: Told, optimal: Trajectories) -> dict[str, float]:
        starts, horizon = optimal.states[:, 0], optimal.controls.shape[1]
        return judge(roll_out(learner.policy, told, starts, horizon), optimal, told.system)


def draw(args: argparse.Namespace, device: torch.device) -> Lessons:
    """Solve the demonstrations. A universal policy has as many as a specialist, an equal share of each system."""
    names = [args.system]
    if args.model_type == "universal":
        names += [name for name in SYSTEMS if name != args.system]
    labels = [tuple(float(name == other) for other in SYSTEMS) if len(names) > 1 else () for name in names]
    systems = [Told(SYSTEMS[name], label) for name, label in zip(names, labels, strict=True)]
    counts = [
        args.demonstrations // len(names) + (place < args.demonstrations % len(names)) for place in range(len(names))
    ]
    if 0 in counts:
        raise InputError(f"{args.demonstrations} for {len(names)} systems: one each at least", "--demonstrations")
    solved = [
        demonstrate(told.system, count, args.evaluations, args.horizon, args.data_seed)
        for told, count in zip(systems, counts, strict=True)
    ]
    return Lessons(
        Batches.of([(told, each.training) for told, each in zip(systems, solved, strict=True)], device),
        Batches.of([(told, each.validation) for told, each in zip(systems, solved, strict=True)], device),
        systems,
        [(told, each.evaluation) for told, each in zip(systems, solved, strict=True)],
        {},
    )


def plan_stages(args: argparse.Namespace, lessons: Lessons, policy: torch.nn.Module, accelerator: Any) -> list[Stage]:
    """Plan how a run learns.

    Raises:
        InputError: These processes cannot do what is asked.
    """
    imitation = schedule_of(args, len(lessons.training), accelerator)
    stages = [] if args.training_type == "grpo" else [Stage(lessons.training, imitation)]
    if args.training_type == "sft":
        return stages
    divided = "--zero_stage" if accelerator.distributed_type.value == "DEEPSPEED" else "--fsdp" if args.fsdp else ""
    if divided:
        raise InputError(
            f"argument --training_type: {args.training_type} rolls out and updates the same weights in turn: not built "
            f"for {'FSDP' if args.fsdp else 'DeepSpeed'}, which divides them; leave out {divided}"
        )
    schedule = _reinforcement(args, imitation, before=imitation.steps if stages else 0)
    settings = Settings(args.group_size, args.exploration, args.ratio_clip, args.kl, args.seed)
    rollouts = Rollouts(lessons.systems, args.horizon, settings, schedule)

    def begin(values: Mapping[str, Tensor]) -> None:
        lessons.before.update(values)
        if args.kl:
            rollouts.refer_to(policy, values)

    return [*stages, Stage(rollouts, schedule, begin)]


def _reinforcement(args: argparse.Namespace, imitation: Schedule, before: int) -> FreshSamples:
    """Plan the optimiser steps on roll-outs, in forward passes no larger than those of imitation."""
    batch = args.grpo_starts * args.group_size
    micro = largest_exact(imitation.micro_batch, batch, imitation.processes, 1)
    if micro is None:
        raise InputError(
            f"{args.grpo_starts} starts of {args.group_size} roll-outs are no equal share for each of "
            f"{imitation.processes} processes",
            "--grpo_starts",
        )
    if args.least_learning_rate > args.grpo_learning_rate:
        raise InputError(
            f"{args.least_learning_rate:g} is above the peak of reinforcement, --grpo_learning_rate "
            f"{args.grpo_learning_rate:g}",
            "--least_learning_rate",
        )
    return FreshSamples(
        samples=0,
        steps=before + args.grpo_steps,
        micro_batch=micro,
        accumulation=batch // (micro * imitation.processes),
        processes=imitation.processes,
        learning_rate=args.grpo_learning_rate,
        warmup_steps=int(args.warmup * args.grpo_steps),
        seed=args.seed,
        least_learning_rate=args.least_learning_rate,
        before=before,
        updates=args.updates,
    )
