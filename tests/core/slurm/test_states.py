"""Slurm's states: total, in every spelling, and never two things at once."""

import pytest

from hpc.core.slurm.states import SlurmState, parse_state


@pytest.mark.parametrize("state", list(SlurmState))
def test_every_state_is_exactly_one_of_waiting_running_finished(state: SlurmState) -> None:
    """Each known state is waiting, running or finished; only UNKNOWN is none of them."""
    kinds = [state.is_waiting, state.is_running, state.is_finished]
    assert sum(kinds) == (0 if state is SlurmState.UNKNOWN else 1)


@pytest.mark.parametrize("state", list(SlurmState))
def test_every_state_reads_back(state: SlurmState) -> None:
    """What sacct prints for a state, also cut with a plus sign or in lower case, is read as that state."""
    assert parse_state(state.value) is state
    assert parse_state(state.value.lower()) is state
    assert parse_state(f"{state.value}+") is state


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("CANCELLED by 1000", SlurmState.CANCELLED),
        ("CANCELLED+", SlurmState.CANCELLED),
        ("CANCELLED by 0", SlurmState.CANCELLED),
        ("OUT_OF_ME+", SlurmState.OUT_OF_MEMORY),
        ("NODE_FAIL", SlurmState.NODE_FAIL),
        ("OOM", SlurmState.OUT_OF_MEMORY),
        ("TO", SlurmState.TIMEOUT),
        ("PR", SlurmState.PREEMPTED),
        ("", SlurmState.UNKNOWN),
        ("SOMETHING_NEW", SlurmState.UNKNOWN),
        ("RE+", SlurmState.UNKNOWN),
    ],
)
def test_spellings(text: str, state: SlurmState) -> None:
    """Suffixes, widths and squeue's short forms are read; cut text that fits several states is unknown."""
    assert parse_state(text) is state
