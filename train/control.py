"""A small causal transformer learns to control a dynamical system: from optimal demonstrations, by itself, or both.

python -m train.control --system double_integrator --lora_rank 8 --output_dir out
python -m train.control --system van_der_pol --training_type both --grpo_steps 200 --output_dir out
torchrun --standalone --nproc_per_node 2 -m train.control --micro_batch_size 16 --zero_stage 2 --output_dir out

Writes metrics.h5, checkpoints/ and outcome.json beside each other, and when it finishes model.pt and, for the report to
draw, trajectories.json; by hand also config.yaml, metrics.json and train.log. SIGUSR1 or SIGTERM: saves after the
current step and ends with exit code 85 ("start me again", with --resume).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc.adapters.files import write_json
from hpc.core.errors import InputError
from train.options import above_zero, number, positive, seed, share, size
from train.program import Ending, Places, add_optimisation, add_running, check_heads, refuse_sizes, run_to_end
from train.sizes import possible_sizes

if TYPE_CHECKING:
    from torch import Tensor

    from hpc.callbacks.stop import StopRequest
    from train.curriculum import Lessons
    from train.learner import Learner
    from train.model import ModelConfig, Policy
    from train.schedule import Schedule
    from train.training import Workload

_SYSTEMS = ["double_integrator", "van_der_pol", "pendulum"]  # train.systems.SYSTEMS, without NumPy: --help is instant

# What makes the data and the model: a checkpoint goes on only with the same. How a batch is divided, the learning rate
# and the number of steps may change.
_IDENTITY = (
    "system", "model_type", "training_type", "base_model", "start_from", "transferred", "d_model", "layers", "heads",
    "lora_rank", "lora_alpha", "lora_targets", "horizon", "demonstrations", "data_seed",
    "grpo_steps", "grpo_starts", "group_size", "exploration", "ratio_clip", "kl", "updates", "seed",
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m train.control", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--system", choices=_SYSTEMS, default=_SYSTEMS[0], help="what to control, and to be tested on")
    add(
        "--model_type",
        choices=["specialist", "universal"],
        default="specialist",
        help="learns this system alone, or all from as many demonstrations in total, told which one it drives",
    )
    add(
        "--training_type",
        choices=["sft", "grpo", "both"],
        default="sft",
        help="sft: imitate optimal demonstrations; grpo: improve on its own roll-outs; both: one after the other",
    )
    # model
    add(
        "--base_model", metavar="PATH", help="local folder of a pretrained backbone (default: a small one from scratch)"
    )
    add("--start_from", metavar="PATH", help="model.pt of a finished run, or its folder: train it further")
    add("--transferred", choices=["all", "adapters", "none"], default="all", help="what is taken from it")
    add("--d_model", type=positive, default=32, help="width of the backbone from scratch")
    add("--layers", type=positive, default=2, help="its layers")
    add("--heads", type=positive, default=4, help="its attention heads")
    add("--lora_rank", type=positive, default=8, help="rank of the LoRA adapters")
    add("--lora_alpha", type=positive, help="the adapters count lora_alpha / lora_rank (default: twice the rank)")
    add("--lora_targets", nargs="+", default=["all-linear"], metavar="NAME", help="linear layers that have adapters")
    add("--lora_dropout", type=share, default=0.0, help="dropout before the adapters")
    # data
    add("--demonstrations", type=positive, default=512, help="optimal trajectories to learn from")
    add("--horizon", type=positive, default=40, help="steps of 0.1 s in a trajectory; one token each")
    add("--data_seed", type=seed, default=0, help="seed of the demonstrations")
    add("--evaluations", type=positive, default=64, help="held-out starts of the closed-loop test")
    # reinforcement
    add("--grpo_steps", type=positive, default=200, help="optimiser steps on its own roll-outs")
    add("--grpo_learning_rate", type=size, default=1e-3, help="their peak learning rate")
    add("--group_size", type=number(int, 2), default=16, help="roll-outs from one start, judged against each other")
    add("--grpo_starts", type=positive, default=16, help="starts in an optimiser step, over all processes")
    add(
        "--exploration",
        type=number(float, 0.001, 100),
        default=0.3,
        help="spread of the noise, in units of the spread of optimal controls",
    )
    add("--updates", type=positive, default=2, help="optimiser steps on the same roll-outs")
    add(
        "--ratio_clip",
        type=above_zero,
        default=0.2,
        help="a step counts while the ratio of probabilities is within 1 ± this",
    )
    add("--kl", type=size, default=0.0, help="weight of the divergence from the policy before the first such step")
    add_optimisation(parser, samples="trajectories", epochs=10, micro_batch_size=32, learning_rate=5e-3)
    add_running(parser)
    return parser


def run(args: argparse.Namespace, stop: StopRequest, accelerator: Any) -> Ending:
    """The whole run, top to bottom; every process runs it.

    Raises:
        HpcError: The arguments do not fit together, it diverged, its checkpoint or its model cannot be read.
    """
    from train.training import train

    with possible_sizes(refuse_sizes):
        workload = prepare(args, accelerator)
    return train(workload, stop, accelerator)


def prepare(args: argparse.Namespace, accelerator: Any) -> Workload:
    """Make data and model.

    Raises:
        HpcError: The arguments do not fit together, or a model cannot be read.
    """
    from train.curriculum import draw, plan_stages
    from train.loop import validation_loss
    from train.model import save_adapters, save_policy
    from train.training import Workload

    if not args.base_model:
        check_heads(args.d_model, args.heads, 2)
    if args.transferred != "all" and not args.start_from:
        raise InputError(f"{args.transferred}: there is nothing to take without --start_from", "--transferred")
    args.demonstrations = max(1, round(args.demonstrations * args.scale))
    lessons = draw(args, accelerator.device)
    config = config_of(args)
    policy = begin_policy(args, config, lessons)
    stages = plan_stages(args, lessons, policy, accelerator)

    def validate(learner: Learner, schedule: Schedule) -> dict[str, float]:
        return {"val_loss": validation_loss(learner, lessons.validation, schedule.micro_batch)}

    def judge(learner: Learner, _: Schedule) -> dict[str, float]:
        shown = lessons.show(learner)  # by all processes: a model that is divided among them answers with all of them
        if learner.is_main:
            write_json(Places.of(args).attempt / "trajectories.json", shown)
        return lessons.drive(learner)

    def save(trained: dict[str, Tensor]) -> None:
        home = Places.of(args).task
        save_policy(home / "model.pt", config, policy, trained)
        if args.base_model:
            save_adapters(home / "adapter", policy, trained)

    identity = {key: value for key, value in vars(args).items() if key in _IDENTITY}
    return Workload(
        args,
        identity,
        policy,
        stages,
        validate,
        judge=judge,
        save=save,
        expect=lessons.expect,
        data_hash=lessons.sha256,
    )


def config_of(args: argparse.Namespace) -> ModelConfig:
    """What the model is made of."""
    from train.model import ModelConfig

    return ModelConfig(
        args.base_model,
        args.d_model,
        args.layers,
        args.heads,
        args.lora_rank,
        args.lora_dropout,
        args.lora_alpha or 0,
        tuple(args.lora_targets),
    )


def begin_policy(args: argparse.Namespace, config: ModelConfig, lessons: Lessons) -> Policy:
    """Build the model that learns, or take it from ``--start_from``.

    Raises:
        HpcError: The model there cannot be read, or reads other states.
    """
    from train.model import build_policy, start_from

    if not args.start_from:
        return build_policy(config, *lessons.training.scales(), args.seed)
    policy = start_from(Path(args.start_from), config, args.seed, args.transferred)
    if len(policy.state_scale) != lessons.training.states.shape[-1]:
        raise InputError(
            f"{args.start_from} reads {len(policy.state_scale)} numbers a state, a {args.model_type} of "
            f"{args.system} {lessons.training.states.shape[-1]}: --model_type has to be as it was there",
            "--start_from",
        )
    return policy


def main(argv: list[str] | None = None) -> None:
    """Run from the command line; never returns."""
    args = parser().parse_args(argv)
    run_to_end(args, lambda stop, accelerator: run(args, stop, accelerator))


if __name__ == "__main__":
    main()
