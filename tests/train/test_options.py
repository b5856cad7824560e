"""Numbers on the command line: what is out of range is refused with what is valid."""

import sys

import numpy as np
import pytest
import torch

from train import control, imitate, lm, symmetry
from train.sizes import possible_sizes, too_large


@pytest.mark.parametrize(
    ("program", "option", "wrong", "valid"),
    [
        (control, "scale", "0", "a number above 0, at most 1"),
        (control, "scale", "nan", "a number above 0, at most 1"),
        (control, "scale", "2", "a number above 0, at most 1"),
        (control, "epochs", "inf", "a number above 0"),
        (control, "clip", "-1", "a number of at least 0"),
        (control, "warmup", "1.5", "a number from 0 to 1"),
        (control, "kl", "1e400", "a number of at least 0"),
        (control, "exploration", "0", "a number from 0.001 to 100"),
        (control, "group_size", "1", "a whole number of at least 2"),
        (control, "seed", "-1", "a whole number from 0 to 9223372036854775807"),
        (control, "horizon", "ten", "a whole number above 0"),
        (symmetry, "largest_number", "25", "a whole number from 26 to 100"),
        (symmetry, "gamma", "nan", "a number of at least 0"),
        (lm, "vocab_size", "1", "a whole number of at least 256"),
        (lm, "seq_len", "0", "a whole number above 0"),
        (lm, "cooldown", "0", "a number above 0, at most 1"),
    ],
)
def test_what_is_out_of_range_is_refused(program, option, wrong, valid, capsys: pytest.CaptureFixture[str]) -> None:
    """As argparse does, with code 2."""
    with pytest.raises(SystemExit, match="2"):
        program.parser().parse_args([f"--{option}", wrong])
    assert f"argument --{option}: {wrong} is not {valid}\n" in capsys.readouterr().err


def test_what_is_at_the_edge_is_taken() -> None:
    """Both ends of a range are in it where nothing else is said."""
    args = control.parser().parse_args(["--scale", "1", "--warmup", "0", "--lora_dropout", "1", "--group_size", "2"])
    assert (args.scale, args.warmup, args.lora_dropout, args.group_size) == (1.0, 0.0, 1.0, 2)


@pytest.mark.parametrize("huge", [10**12, 10**19, 10**30])
def test_sizes_beyond_every_machine_are_a_sentence(huge: int) -> None:
    """Whatever the library says of them; and nothing is allocated on the way."""
    for make in (lambda: np.zeros((huge, 8)), lambda: torch.empty(huge, 8), lambda: torch.nn.Linear(huge, huge)):
        with pytest.raises(SystemExit, match=r"these sizes .* choose smaller ones"), possible_sizes(sys.exit):
            make()


def test_what_more_memory_would_mend_comes_through_as_it_is() -> None:
    """A task that was given too little is started again with more: its error has to stay what it is."""
    words = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4294967296 bytes. Error code 12"
    for error in (RuntimeError(words), MemoryError("Unable to allocate 4.00 GiB for an array with shape (1,)")):
        assert not too_large(error, 2**33)
        assert too_large(error, 2**31) == (
            "these sizes ask for 4 GiB at once, and this machine has 2 GiB; choose smaller ones"
        )
        with pytest.raises(type(error)), possible_sizes(sys.exit):
            raise type(error)("another thing")


@pytest.mark.parametrize(
    ("program", "absurd"),
    [(lm, "--head_width=1000000000000 --width=1000000000000"), (imitate, "--width=1000000000000")],
)
def test_an_absurd_width_ends_with_code_2(program, absurd, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, as for any argument that cannot be."""
    more = ["--output_dir", str(tmp_path), "--train_tokens", "2000"] if program is lm else ["--demonstrations", "2"]
    with pytest.raises(SystemExit, match="2"):
        program.main([*absurd.split(), *more])
    assert "error: these sizes " in capsys.readouterr().err
