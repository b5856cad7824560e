"""What a line is: clean, suspicious, progress, somebody's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.failures import log_scan


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[1;31mValueError\x1b[0m: x\n", "ValueError: x"),
        ("a\x00b\r\n", "ab"),
        (" 10%|#   |\r 50%|##  |\r100%|####|", "100%|####|"),
        (" 10%|#  |\rRuntimeError: CUDA error\r 20%|## |", "RuntimeError: CUDA error"),
        ("\x1b]0;title\x07text", "text"),
        ("\r\r\r", ""),
    ],
)
def test_clean(raw: str, shown: str) -> None:
    """Colours, NUL bytes and rewritten progress bars are taken away; the telling part of a rewritten line is kept."""
    assert log_scan.clean(raw) == shown


@given(st.text())
def test_clean_is_bounded_and_stable(raw: str) -> None:
    """A cleaned line is never longer than the bound and holds nothing that has to be cleaned again."""
    shown = log_scan.clean(raw)
    assert len(shown) <= log_scan.MAX_LINE
    assert "\x00" not in shown
    assert "\r" not in shown


@pytest.mark.parametrize(
    ("line", "rank", "rest"),
    [
        ("[rank3]: KeyError: 'x'", "3", "KeyError: 'x'"),
        ("[default12]:step 3", "12", "step 3"),
        ("4: Traceback (most recent call last):", "4", "Traceback (most recent call last):"),
        ("(RayTrainWorker pid=4711) loss 1.0", "4711", "loss 1.0"),
        ("[1,5]<stderr>:boom", "5", "boom"),
        ("2025-01-01 10:00:00 no rank", "", "2025-01-01 10:00:00 no rank"),
    ],
)
def test_split_rank(line: str, rank: str, rest: str) -> None:
    """Rank prefixes of torchrun, srun --label, Ray and mpirun are recognised and taken off."""
    assert log_scan.split_rank(line) == (rank, rest)


@pytest.mark.parametrize(
    "line",
    [
        "step 10 loss 2.31",
        "Epoch: [212]  [ 640/900]  eta: 0:04:18  loss: 0.4759",
        "| epoch 030:    100 / 1982 loss=4.253",
        " [2024-10-21] iteration     1290/  100000 | lm loss: 3.87E+00",
        "|   200000 steps | ep_rew_mean -200.00 |",
        " 45%|####      | 45/100 [00:10<00:12]",
        "{'loss': 1.23, 'epoch': 0.5}",
    ],
)
def test_progress(line: str) -> None:
    """Steps, epochs and losses of the usual loggers count as progress."""
    assert log_scan.is_progress(line)


@pytest.mark.parametrize(
    "line",
    [
        "slurmstepd: error: *** STEP 8001.0 ON n1 CANCELLED AT 2023-02-27T13:41:51 ***",
        "train.sanity.DivergenceError: loss is nan at step 119",
        '  File "train.py", line 12, in step',
        "[watch] no new step since 2025-02-11 03:04:26 (last=41330)",
        "job finished",
    ],
)
def test_no_progress(line: str) -> None:
    """Slurm's words, errors that name a step and watchdogs are no progress."""
    assert not log_scan.is_progress(line)


@pytest.mark.parametrize(
    ("line", "finite"),
    [
        ("step 3 loss 0.25", True),
        ("step 3 loss nan", False),
        ("train_loss=-inf lr=0.1", False),
        ("loss: 1.5e+03 val_loss: nan", False),
        ("loss scale: 1.0", None),
        ("nan_count=0", None),
        ("step 3", None),
        ("Loss is nan, stopping training", None),
    ],
)
def test_loss_is_finite(line: str, finite: bool | None) -> None:
    """A reported loss is told from a counter named nan, from the loss scale and from prose."""
    assert log_scan.loss_is_finite(line) is finite


def test_suspicious_is_generous_but_not_about_everything() -> None:
    """Ordinary training lines are not kept; anything that speaks of trouble is."""
    assert not log_scan.suspicious("[titan] step: 310  loss:  2.8168  grad_norm:  0.7967  memory: 61.20GiB(77.40%)")
    assert log_scan.suspicious("RuntimeError: boom")
    assert log_scan.suspicious("step 4 loss: NaN")


def test_needles_fit_the_byte_search() -> None:
    """The adapter looks needles up by their first four bytes: each has as many, in lower-case ASCII."""
    assert all(len(needle.encode("ascii")) >= 4 and needle == needle.lower() for needle in log_scan.NEEDLES)


@pytest.mark.parametrize(
    ("line", "known"), [("2025-01-02T10:00:00 x", True), ("2025-13-40 99:00:00", False), ("x", False)]
)
def test_timestamp(line: str, known: bool) -> None:
    """Dates with times are read; impossible ones are no time stamp and no error."""
    assert (log_scan.timestamp_s(line) is not None) is known
