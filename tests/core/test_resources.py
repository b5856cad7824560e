"""Time and memory mean the same to people, to Slurm and to us."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.resources import Resources, parse_memory, parse_time, render_memory, render_time


@given(st.integers(1, 2**40))
def test_memory_reads_back_as_it_was_written(mib):
    """parse(render(x)) = x for every amount."""
    assert parse_memory(render_memory(mib)) == mib


@given(st.integers(1, 10**9))
def test_time_reads_back_as_it_was_written(seconds):
    """parse(render(x)) = x for every duration."""
    assert parse_time(render_time(seconds)) == seconds


@pytest.mark.parametrize(("text", "mib"), [
    ("32GB", 32768), ("32G", 32768), ("32gib", 32768), ("32 GB", 32768), ("500M", 500), ("500", 500), (500, 500),
    ("1.5TB", 1572864), ("2048K", 2), (" 1G ", 1024), ("0.5g", 512),
])  # fmt: skip
def test_memory_in_the_spellings_of_people_and_slurm(text, mib):
    """Units are powers of 1024 whatever their spelling; a bare number is MiB, as sbatch has it."""
    assert parse_memory(text) == mib


@pytest.mark.parametrize(
    "text", ["", "lots", "32 bananas", "-1G", "0", "1e3", "GB", "1GBB", "nan", "١G", "1,5G", "100K"]
)
def test_what_is_no_memory_is_refused(text):
    """Anything else, also nothing at all and other alphabets' digits, is an error that shows the right spelling."""
    with pytest.raises(ValueError, match="is not an amount of memory; write 32GB"):
        parse_memory(text)


@pytest.mark.parametrize(("text", "seconds"), [
    ("30", 1800), (30, 1800), ("30:15", 1815), ("24:00:00", 86400), ("2-00", 172800), ("2-12:30", 217800),
    ("2-12:30:05", 217805), ("0:05", 5), ("100:00:00", 360000), ("0-1", 3600),
])  # fmt: skip
def test_time_in_the_spellings_of_slurm(text, seconds):
    """Every form of sbatch's --time is read as Slurm reads it."""
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0:00:00", "tomorrow", "1h", "-5", "1:2:3:4", "1-", "12:", "٣", "1.5"])
def test_what_is_no_time_is_refused(text):
    """Anything else, also no time at all, is an error that shows the right spelling."""
    with pytest.raises(ValueError, match="is not a time limit; write HH:MM:SS"):
        parse_time(text)


def test_times_and_amounts_look_as_sbatch_expects():
    """Days are split off, and memory is written in the largest unit that loses nothing."""
    assert [render_time(seconds) for seconds in (59, 3600, 86400, 217805)] == [
        "00:00:59", "01:00:00", "1-00:00:00", "2-12:30:05",
    ]  # fmt: skip
    assert [render_memory(mib) for mib in (1, 1024, 1500, 32768)] == ["1M", "1G", "1500M", "32G"]


def test_gpu_hours_count_every_gpu_of_every_node():
    """What is asked for is nodes × GPUs × limit."""
    assert Resources(nodes=2, gpus=4, time_s=1800).gpu_hours == pytest.approx(4.0)
    assert Resources(nodes=2, time_s=1800).gpu_hours == 0
