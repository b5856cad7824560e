"""A small causal transformer learns to control a dynamical system from optimal demonstrations.

python -m train.control --system double_integrator --lora_rank 8 --output_dir out
torchrun --standalone --nproc_per_node 2 -m train.control --micro_batch_size 16 --zero_stage 2 --output_dir out

Writes metrics.h5, checkpoints/ and outcome.json beside each other, and model.pt when it finishes. SIGUSR1 or SIGTERM:
saves after the current step and ends with exit code 85 ("start me again", with --resume).
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from train.program import Ending, Places, add_optimisation, add_running, positive, run_to_end

if TYPE_CHECKING:
    from torch import Tensor

    from hpc.callbacks.stop import StopRequest
    from train.learner import Learner
    from train.schedule import Schedule

# What makes the data and the model: a checkpoint goes on only with the same. How a batch is divided, the learning rate
# and the number of steps may change.
_IDENTITY = (
    "system", "training_type", "model", "d_model", "layers", "heads", "lora_rank", "horizon", "demonstrations",
    "data_seed", "seed",
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m train.control", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--system", choices=["double_integrator", "van_der_pol"], default="double_integrator", help="what to control")
    add("--training_type", choices=["sft"], default="sft", help="sft: imitate optimal demonstrations")
    # model
    add("--model", metavar="PATH", help="local folder of a pretrained backbone (default: a small one from scratch)")
    add("--d_model", type=positive, default=32, help="width of the backbone from scratch")
    add("--layers", type=positive, default=2, help="its layers")
    add("--heads", type=positive, default=4, help="its attention heads")
    add("--lora_rank", type=positive, default=8, help="rank of the LoRA adapters")
    add("--lora_dropout", type=float, default=0.0, help="dropout before the adapters")
    # data
    add("--demonstrations", type=positive, default=512, help="optimal trajectories to learn from")
    add("--horizon", type=positive, default=40, help="steps of 0.1 s in a trajectory; one token each")
    add("--data_seed", type=int, default=0, help="seed of the demonstrations")
    add("--evaluations", type=positive, default=64, help="held-out starts of the closed-loop test")
    add_optimisation(parser, samples="trajectories", epochs=10, micro_batch_size=32, learning_rate=5e-3)
    add_running(parser)
    return parser


def run(args: argparse.Namespace, stop: StopRequest, accelerator: Any) -> Ending:
    """The whole run, top to bottom; every process runs it.

    Raises:
        HpcError: It diverged, its checkpoint cannot be loaded, its model cannot be read.
    """
    from train.demonstrations import demonstrate
    from train.imitation import Batches
    from train.loop import validation_loss
    from train.model import ModelConfig, build_policy, save_policy
    from train.rollout import judge, roll_out
    from train.systems import SYSTEMS
    from train.training import Workload, schedule_of, train

    schedule = schedule_of(args, args.demonstrations, accelerator)
    system = SYSTEMS[args.system]
    data = demonstrate(system, args.demonstrations, args.evaluations, args.horizon, args.data_seed)
    training, validation = (Batches.of(part, accelerator.device) for part in (data.training, data.validation))
    config = ModelConfig(args.model, args.d_model, args.layers, args.heads, args.lora_rank, args.lora_dropout)
    policy = build_policy(config, *training.scales(), args.seed)

    def validate(learner: Learner, schedule: Schedule) -> dict[str, float]:
        return {"val_loss": validation_loss(learner, validation, schedule.micro_batch)}

    def drive(learner: Learner, _: Schedule) -> dict[str, float]:
        """Let the policy drive from the held-out starts."""
        driven = roll_out(learner.policy, system, data.evaluation.states[:, 0], args.horizon)
        return judge(driven, data.evaluation, system)

    def save(trained: dict[str, Tensor]) -> None:
        save_policy(Places.of(args).task / "model.pt", config, policy, trained)

    identity = {key: value for key, value in vars(args).items() if key in _IDENTITY}
    return train(Workload(args, identity, policy, training, validate, drive, save), schedule, stop, accelerator)


def main(argv: list[str] | None = None) -> None:
    """Run from the command line; never returns."""
    args = parser().parse_args(argv)
    run_to_end(args, lambda stop, accelerator: run(args, stop, accelerator))


if __name__ == "__main__":
    main()
