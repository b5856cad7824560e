"""A small GPT learns a text for a fixed budget of tokens.

python -m train.lm --train_tokens 1000000 --depth 2 --width 32 --seed 42
python -m train.lm --text shakespeare.txt --tokenizer bpe --depth 6 --seq_len 256

Prints ``Step N | val_loss: X.XXXX | …``; the last such line is the result. It stands for the training scripts that
people have already, and knows nothing of who starts it: it imports nothing of `hpc` and reads no variable. So it does
without the frame that the other programs here share (`train.program`, `train.training`), which writes metrics, finds
checkpoints and starts processes through the toolkit. Its numbers are read off what it prints (``metrics.source``).

Without ``--text`` the text comes from a source of known entropy (`train.text.Source`), the floor of val_loss. Every
number but the times is a function of the arguments, on one device, after a resume too. SIGUSR1 or SIGTERM: saves after
the current step and ends with exit code 85 (start it again, with --resume).
"""

import argparse
import signal
import sys
from pathlib import Path

from train.options import count, number, positive, seed, share, size, some
from train.sizes import possible_sizes

_SCHEDULES = ["cosine", "trapezoid", "constant"]  # train.gpt.SCHEDULES, without PyTorch: --help is instant


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m train.lm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    # text
    add("--text", default="", metavar="FILE", help="what to learn (default: what the source writes)")
    add("--data_seed", type=seed, default=0, help="seed of the source")
    add("--tokenizer", choices=["byte", "bpe"], default="byte", help="bpe: byte pairs, by the package tokenizers")
    add("--vocab_size", type=number(int, 256), default=512, help="tokens of bpe")
    add("--seq_len", type=positive, default=64, help="tokens of a sequence")
    # model
    add("--depth", type=positive, default=2, help="layers")
    add("--width", type=count, default=0, help="their width; 0: 64 for each layer there is")
    add("--head_width", type=positive, default=16, help="width of an attention head; the width is a multiple")
    # training
    add("--train_tokens", type=positive, default=1_000_000, help="tokens to learn from, to the last one")
    add("--batch_size", type=positive, default=32, help="sequences of a step")
    add("--micro_batch_size", type=count, default=0, help="sequences of a forward pass; 0: all of a step")
    add("--lr", type=size, default=3e-3, help="peak of the learning rate")
    add("--schedule", choices=_SCHEDULES, default="cosine", help="of the learning rate after the warm-up")
    add("--warmup", type=share, default=0.05, help="fraction of the steps in which it rises")
    add("--cooldown", type=some, default=0.4, help="fraction of the others in which a trapezoid falls")
    add("--weight_decay", type=size, default=0.1, help="AdamW's, of matrices")
    add("--clip", type=size, default=1.0, help="largest gradient norm; 0: no clipping")
    add("--precision", choices=["fp32", "bf16"], default="fp32", help="of the model's products; weights are fp32")
    add("--seed", type=seed, default=42, help="seed of the weights and of the order of the sequences")
    # running
    add("--val_tokens", type=positive, default=32_768, help="held-out tokens to validate on, at most")
    add("--eval_every", type=count, default=0, help="steps between validations; 0: a tenth of all")
    add("--checkpoint_every", type=count, default=0, help="steps between checkpoints; 0: only when asked to stop")
    add("--output_dir", type=Path, default=Path("out"), help="where model.pt and checkpoints/ are written")
    add("--resume", default="", metavar="CHECKPOINT", help="go on from it")
    add("--sanity", action="store_true", help="train nothing: climb the ladder of checks, exit code 1 where one fails")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    program = parser()
    args = program.parse_args(argv)
    width = args.width or 64 * args.depth
    if width % args.head_width:
        program.error(f"a width of {width} is no multiple of --head_width {args.head_width}")
    asked: list[int] = []
    for asking in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(asking, lambda asking, _frame: asked.append(asking))
    from train.gpt import build, device, train
    from train.text import load_data

    names = ("train_tokens", "val_tokens", "seq_len", "tokenizer", "vocab_size", "data_seed")
    try:
        args.output_dir.mkdir(parents=True, exist_ok=True)
        with possible_sizes(program.error):
            data = load_data(args.text, **{name: getattr(args, name) for name in names})
    except (OSError, ValueError) as error:
        program.error(str(error))
    print(f"data_hash: {data.sha256}", flush=True)
    with possible_sizes(program.error):
        model, optimizer = build(args, data.vocabulary, device())
    if args.sanity:
        from train.lm_sanity import check  # the only part that knows the toolkit

        return check(args, data, model)
    return train(args, data, model, optimizer, lambda: bool(asked))


if __name__ == "__main__":
    sys.exit(main())
