"""Numbers on the command line: what is out of range is refused with what is valid."""

import pytest

from train import control, lm, symmetry


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
