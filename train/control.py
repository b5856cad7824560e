"""A small causal transformer learns to control a dynamical system from optimal demonstrations.

python -m train.control --system double_integrator --lora_rank 8 --output_dir out
torchrun --standalone --nproc_per_node 2 -m train.control --micro_batch_size 16 --zero_stage 2 --output_dir out

Writes metrics.h5, checkpoints/ and outcome.json beside each other, and model.pt when it finishes. SIGUSR1 or SIGTERM:
saves after the current step and ends with exit code 85 ("start me again", with --resume).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpc.core.errors import EXIT_CHECKPOINTED, EXIT_DONE
from train.program import Ending, Places, add_optimisation, add_running, positive, run_to_end

if TYPE_CHECKING:
    from hpc.adapters.tracking import Tracker
    from hpc.callbacks.stop import StopRequest
    from train.checkpoint import Progress
    from train.demonstrations import Demonstrations
    from train.learner import Learner
    from train.loop import Batches
    from train.model import ModelConfig
    from train.schedule import Schedule
    from train.systems import System

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


@dataclass(frozen=True)
class Run:
    """What trains, and on what.

    Attributes:
        args: As they were given.
        places: Where it writes.
        identity: What a checkpoint has to have been made with.
        system: What is controlled.
        data: What is learned from, and what the result is judged by.
        training: The part to learn from, on the training device.
        validation: The part for the validation loss, likewise.
        config: How the model is built.
        learner: The model, and what takes its steps.
    """

    args: argparse.Namespace
    places: Places
    identity: dict[str, Any]
    system: System
    data: Demonstrations
    training: Batches
    validation: Batches
    config: ModelConfig
    learner: Learner


def run(args: argparse.Namespace, stop: StopRequest, accelerator: Any) -> Ending:
    """The whole run, top to bottom; every process runs it.

    Raises:
        HpcError: It diverged, its checkpoint cannot be loaded, its model cannot be read.
    """
    from hpc.adapters.tracking import NullTracker
    from train.loop import Checkpointed
    from train.memory import check_possible
    from train.recorder import RunRecorder
    from train.schedule import plan_schedule

    if args.oom_in_process:
        check_possible(accelerator)
    schedule = plan_schedule(args, accelerator.num_processes)
    this, progress = _begin(args, schedule, accelerator)
    main = this.learner.is_main
    recorder = RunRecorder(this.places.attempt, vars(args), args.print_every) if main else NullTracker()
    try:
        with recorder:
            progress, schedule, halvings = _train(this, schedule, progress, recorder, stop)
            _save(this)
            recorder.summary(**_judge(this, schedule), **_pace(this, progress), **_division(this, schedule, halvings))
    except Checkpointed as left:
        return Ending(EXIT_CHECKPOINTED, left.step, str(left))
    return Ending(EXIT_DONE, progress.step, "finished")


def _begin(args: argparse.Namespace, schedule: Schedule, accelerator: Any) -> tuple[Run, Progress]:
    """Make the data and the model, the same on every process, and take up a checkpoint; give how far that had come."""
    import torch

    from train.checkpoint import Progress, load_checkpoint, load_random_state, restore_optimizer
    from train.demonstrations import demonstrate
    from train.learner import build_learner
    from train.loop import Batches
    from train.model import ModelConfig, build_policy
    from train.systems import SYSTEMS

    places = Places.of(args)
    identity = {key: value for key, value in vars(args).items() if key in _IDENTITY}
    identity["global_batch"] = schedule.global_batch
    system = SYSTEMS[args.system]
    data = demonstrate(system, args.demonstrations, args.evaluations, args.horizon, args.data_seed)
    training, validation = (Batches.of(part, accelerator.device) for part in (data.training, data.validation))

    config = ModelConfig(args.model, args.d_model, args.layers, args.heads, args.lora_rank, args.lora_dropout)
    policy = build_policy(config, *training.scales(), args.seed)
    torch.manual_seed(args.seed + accelerator.process_index)  # dropout: every process its own, from here on
    checkpoint = load_checkpoint(places.resume, identity) if places.resume else None
    values = checkpoint.parameters if checkpoint else None
    learner = build_learner(accelerator, policy, args.weight_decay, values, wrapped=not args.oom_in_process)
    if checkpoint:
        restore_optimizer(learner, checkpoint)
        load_random_state(learner, checkpoint)
    begun = Run(args, places, identity, system, data, training, validation, config, learner)
    return begun, checkpoint.progress if checkpoint else Progress()


def _train(
    this: Run, schedule: Schedule, progress: Progress, recorder: Tracker, stop: StopRequest
) -> tuple[Progress, Schedule, int]:
    """Learn to the end; give how far it came, the schedule in use at last, and how often the micro-batch was halved."""
    from train.checkpoint import save_checkpoint
    from train.loop import LoopConfig, accumulate, fit
    from train.memory import Adjustment, Shrinking
    from train.recorder import record_adjustments

    args, learner, home = this.args, this.learner, this.places.attempt
    adjustments: list[Adjustment] = []

    def adjusted(adjustment: Adjustment) -> None:
        adjustments.append(adjustment)
        if learner.is_main:
            record_adjustments(home / "adjustments.json", adjustments)

    progress, schedule = fit(
        learner,
        this.training,
        this.validation,
        schedule=schedule,
        config=LoopConfig(
            args.clip, args.checkpoint_every, args.checkpoint_minutes, args.validate_every, args.oom_in_process
        ),
        recorder=recorder,
        stop=stop,
        progress=progress,
        save=lambda progress: save_checkpoint(home / "checkpoints", learner, progress, this.identity),
        accumulate=Shrinking(learner, args.min_micro_batch_size, adjusted) if args.oom_in_process else accumulate,
    )
    return progress, schedule, len(adjustments)


def _save(this: Run) -> None:
    """Write the trained model, whose parts every process has to give."""
    from train.checkpoint import gather_parameters
    from train.model import save_policy

    trained = gather_parameters(this.learner)
    if this.learner.is_main:
        save_policy(this.places.task / "model.pt", this.config, this.learner.module, trained)


def _judge(this: Run, schedule: Schedule) -> dict[str, float]:
    """Let the policy drive from the held-out starts, and look at what it did not learn from."""
    from train.loop import validation_loss
    from train.rollout import judge, roll_out

    driven = roll_out(this.learner.policy, this.system, this.data.evaluation.states[:, 0], this.args.horizon)
    judged = judge(driven, this.data.evaluation, this.system)
    return {**judged, "val_loss": validation_loss(this.learner, this.validation, schedule.micro_batch)}


def _pace(this: Run, progress: Progress) -> dict[str, float]:
    """How long it trained, how fast, and at how much memory."""
    return {
        "training_time": progress.training_time_s,
        "samples_per_second": progress.samples / progress.training_time_s,
        "tokens_per_second": progress.samples * this.args.horizon / progress.training_time_s,
        **_gpu_peak(this.learner.device),
    }


def _gpu_peak(device: Any) -> dict[str, float]:
    """Peak memory of this process's GPU; nothing on a CPU, where the launcher measures it."""
    import torch

    return {"peak_gpu_memory_mib": torch.cuda.max_memory_allocated(device) / 2**20} if device.type == "cuda" else {}


def _division(this: Run, schedule: Schedule, halvings: int) -> dict[str, float]:
    """Micro-batch at the end and how often it was halved; nothing where it cannot change."""
    if not this.args.oom_in_process:
        return {}
    return {"micro_batch": schedule.micro_batch, "oom_adjustments": halvings}


def main(argv: list[str] | None = None) -> None:
    """Run from the command line; never returns."""
    args = parser().parse_args(argv)
    run_to_end(args, lambda stop, accelerator: run(args, stop, accelerator))


if __name__ == "__main__":
    main()
