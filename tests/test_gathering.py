"""Evidence from an attempt's records: whose word counts."""

from pathlib import Path

import pytest

from hpc.core.executions import JobRow
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.slurm_states import SlurmState
from hpc.gathering import Results, gather
from hpc.inspection import AttemptState, Progress


@pytest.mark.parametrize(
    ("lasted_s", "signals", "state"),
    [(3.0, [], None), (3.0, ["TERM"], SlurmState.TIMEOUT), (59.0, [], SlurmState.TIMEOUT)],
)
def test_a_time_out_of_what_ended_long_before_is_a_controller_that_was_away(
    tmp_path: Path, lasted_s: float, signals: list[str], state: SlurmState | None
) -> None:
    """slurmctld missed the end and noticed the limit later: our record counts, unless the wrapper was told to end."""
    layout = RunLayout(tmp_path, "night")
    ended = {"exit_code": 3, "started": 100.0, "ended": 100.0 + lasted_s, "signals_received": signals}
    row = JobRow("7_1", "8", SlurmState.TIMEOUT, time_limit_s=60.0)
    home = AttemptLayout(layout.task("a").attempt(1).home)
    attempt = AttemptState(1, 1, "7_1", Progress.OVER, home, {"job": "7_1"}, ended, row)
    assert gather(layout, attempt, Results({}, {}, None)).state is state
