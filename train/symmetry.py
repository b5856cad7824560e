"""Does a sequence model find the symmetric or the composite solution? Mamba and Transformer on two made tasks.

python -m train.symmetry --n_layers 2 --gamma 1.0 --seed 42 --output_dir out
python -m train.symmetry --task inverse --model transformer --n_layers 2 --gamma 0.5 --output_dir out

Tasks and models are those of arXiv 2509.17514. Writes metrics.h5, checkpoints/ and outcome.json beside each other, and
model.pt when it finishes; by hand also config.yaml, metrics.json and train.log. SIGUSR1 or SIGTERM: saves after the
current step and ends with exit code 85 ("start me again", with --resume).
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from train.options import number, positive, seed, size
from train.program import Ending, Places, add_optimisation, add_running, check_heads, refuse_sizes, run_to_end
from train.sizes import possible_sizes

if TYPE_CHECKING:
    from torch import Tensor

    from hpc.callbacks.stop import StopRequest
    from train.learner import Learner
    from train.schedule import Schedule
    from train.symmetry_data import SymmetryData
    from train.training import Workload

METRICS = (
    "train_loss", "train_acc", "test_acc", "composite_acc", "symmetric_acc", "ood_acc", "loss", "grad_norm", "lr",
    "samples_per_second", "tokens_per_second", "micro_batch", "training_time", "oom_adjustments", "peak_memory_mib",
    "peak_gpu_memory_mib",
)  # fmt: skip
# What makes the data and the model: a checkpoint goes on only with the same.
_IDENTITY = (
    "task", "model", "n_layers", "gamma", "mamba", "d_model", "d_state", "heads", "positions", "samples", "data_seed",
    "largest_number", "seed",
)  # fmt: skip
_MODELS = (
    "mamba_standard", "mamba_ones_conv", "mamba_pos_encoding", "mamba_residual", "transformer", "transformer_with_conv",
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m train.symmetry", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--task", choices=["composite", "inverse"], default="composite", help="shifts of a key, or the reversed one")
    # model
    add("--model", choices=_MODELS, default="mamba_standard", help="what classifies")
    add("--mamba", type=int, choices=[1, 2], default=2, help="generation of the Mamba block; the paper has the second")
    add("--n_layers", type=positive, default=2, help="its layers")
    add("--gamma", type=size, default=1.0, help="matrices are drawn from N(0, (1/inputs^gamma)^2)")
    add("--d_model", type=positive, default=32, help="its width")
    add("--d_state", type=positive, default=128, help="states of Mamba's state space, a channel")
    add("--heads", type=positive, default=4, help="attention heads of a Transformer")
    add("--positions", choices=["auto", "yes", "no"], default="auto", help="add positions (auto: as the model has it)")
    # data
    add("--samples", type=positive, default=300_000, help="sequences to learn from")
    add("--test_samples", type=positive, default=2_000, help="sequences of each test")
    add("--data_seed", type=seed, default=0, help="seed of the sequences")
    # Three numbers of one class modulo 3 are 20, 23 and 26 at least; from 101 on they are out of distribution.
    add("--largest_number", type=number(int, 26, 100), default=100, help="of the inverse task, in distribution")
    add_optimisation(parser, samples="sequences", epochs=210, micro_batch_size=32, learning_rate=1e-3)
    add_running(parser)
    add("--log_every_epochs", type=size, default=10, help="epochs between measurements; before --validate_every")
    add("--save_every_epochs", type=size, default=50, help="epochs between checkpoints; before --checkpoint_every")
    return parser


def run(args: argparse.Namespace, stop: StopRequest, accelerator: Any) -> Ending:
    """The whole run, top to bottom; every process runs it.

    Raises:
        HpcError: It diverged, or its checkpoint cannot be loaded.
    """
    from train.training import train

    with possible_sizes(refuse_sizes):
        workload = prepare(args, accelerator)
    return train(workload, stop, accelerator)


def prepare(args: argparse.Namespace, accelerator: Any) -> Workload:
    """Make data and model.

    Raises:
        InputError: The arguments do not fit together.
    """
    from train.classification import Sequences, accuracies, examples, expect, save_model
    from train.sequence_models import VARIANTS, build
    from train.symmetry_data import draw
    from train.training import Stage, Workload, schedule_of

    if VARIANTS[args.model].mixer == "attention":
        check_heads(args.d_model, args.heads)
    args.samples = max(1, round(args.samples * args.scale))
    schedule = schedule_of(args, args.samples, accelerator)
    epoch = args.samples / schedule.global_batch
    args.validate_every = args.validate_every or round(args.log_every_epochs * epoch)
    args.checkpoint_every = args.checkpoint_every or round(args.save_every_epochs * epoch)
    data = draw(args.task, args.samples, args.test_samples, args.n_layers, args.largest_number, args.data_seed)
    if accelerator.is_main_process:
        print(f"data_hash: {data.sha256}", flush=True)  # noqa: T201 the log
    sizes = sizes_of(args, data)
    model = build(VARIANTS[args.model], args.gamma, args.seed, **sizes)
    training = Sequences.of(data.training, accelerator.device)
    measured = {name: Sequences.of(part, accelerator.device) for name, part in data.measured.items()}

    def save(trained: dict[str, Tensor]) -> None:
        save_model(Places.of(args).task / "model.pt", args.model, sizes, trained)

    def validate(learner: Learner, schedule: Schedule) -> dict[str, float]:
        for name, part in measured.items():
            line = examples(learner, part)
            if learner.is_main:
                print(f"Examples of {name}: {line}", flush=True)  # noqa: T201 the log
        return accuracies(learner, measured, training, schedule.micro_batch)

    identity = {key: value for key, value in vars(args).items() if key in _IDENTITY}
    return Workload(
        args,
        identity,
        model,
        [Stage(training, schedule)],
        validate,
        judge=lambda _learner, _schedule: {},
        save=save,
        expect=lambda: expect(data, training),
        data_hash=data.sha256,
    )


def sizes_of(args: argparse.Namespace, data: SymmetryData) -> dict[str, Any]:
    """What the model is built by; saved beside its parameters."""
    return {
        "vocabulary": data.vocabulary,
        "answers": data.answers,
        "length": data.training.tokens.shape[1],
        "layers": args.n_layers,
        "width": args.d_model,
        "states": args.d_state,
        "heads": args.heads,
        "mamba": args.mamba,
        "positions": {"auto": None, "yes": True, "no": False}[args.positions],
    }


def main(argv: list[str] | None = None) -> None:
    """Run from the command line; never returns."""
    args = parser().parse_args(argv)
    run_to_end(args, lambda stop, accelerator: run(args, stop, accelerator))


if __name__ == "__main__":
    main()
