"""How long runs took and what they used, and which results are compared."""

from datetime import UTC, datetime

import pytest

from hpc.core.history.entries import Entry, Log, State, Worked
from hpc.core.history.page import read_page, render_page
from hpc.core.history.spent import PERIODS, hours_since, lengths_of, since_of

NOW = datetime(2026, 11, 26, 15, 30, tzinfo=UTC)  # a Thursday
BY_HAND = Entry(
    "a", "2026-11-24T10:00:00+00:00", program="t.py", ended="2026-11-24T12:00:00+00:00", state=State.FINISHED
)


def planned(name: str, *pieces: tuple[float, float], gpus: float = 2.0, state: State = State.FINISHED) -> Entry:
    """A run of an experiment that was at work so many hours before now."""
    now = NOW.timestamp()
    worked = tuple(Worked(now - 3600 * began, now - 3600 * ended, gpus, 4.0) for began, ended in pieces)
    return Entry(name, "2026-11-01", program="lm", state=state, experiment="e", worked=worked)


def test_lengths_are_those_of_all_attempts_by_program() -> None:
    """A run that runs has none yet; one that was started by hand from its start to its end."""
    runs = [
        planned("e/1", (9, 7), (3, 2)),
        planned("e/2", (5, 4)),
        planned("e/3", (1, 0), state=State.RUNNING),
        BY_HAND,
    ]
    lm, by_hand = lengths_of(runs)
    assert [run.name for run in lm.runs] == ["e/2", "e/1"]
    assert lm.seconds == pytest.approx([3600, 3 * 3600])
    assert (by_hand.program, by_hand.seconds) == ("t.py", [7200.0])


def test_hours_are_those_after_a_moment() -> None:
    """What began before counts with the part after it; of a run that was started by hand its time alone is known."""
    since = NOW.timestamp() - 4 * 3600
    (used,) = hours_since([planned("e/1", (9, 7), (5, 3)), planned("e/2", (2, 1)), BY_HAND], since)
    assert (used.name, used.runs) == ("e", 2)
    assert (used.gpu, used.core, used.wall) == pytest.approx((4.0, 8.0, 2.0))
    *_, by_hand = hours_since([planned("e/1", (9, 7)), BY_HAND], 0.0)
    assert (by_hand.name, by_hand.gpu, by_hand.core, by_hand.wall) == ("t.py", None, None, 2.0)


def test_periods_begin_where_people_mean() -> None:
    """Weeks on Monday; the days at midnight of this machine's zone."""
    begins = [datetime.fromtimestamp(since_of(each, NOW), UTC).strftime("%m-%d %H") for each in PERIODS[:5]]
    assert begins == ["11-26 00", "11-25 00", "11-23 00", "11-01 00", "01-01 00"]
    assert since_of("", NOW) == 0.0


def test_results_of_other_programs_and_metrics_do_not_compare() -> None:
    """The page names the best of each, and is read back without taking that for somebody's words."""
    runs = [
        Entry("a", "2026-11-01", program="t.py", results={"val_loss": 0.3}, state=State.FINISHED),
        Entry("b", "2026-11-01", program="t.py", results={"val_loss": 0.2}, state=State.FINISHED),
        Entry("c", "2026-11-01", program="other.py", results={"val_loss": 0.001}, state=State.FINISHED),
        Entry("d", "2026-11-01", program="t.py", results={"accuracy": 0.9}, state=State.FINISHED),
    ]
    page = render_page(Log(entries=tuple(runs)), "3-00000000")
    best = page.split("## Best result")[1].split("## Experiments")[0]
    assert [line for line in best.splitlines() if "Program" in line or "Run" in line] == [
        "- **Program**: t.py, by val_loss", "- **Run**: b", "- **Program**: other.py, by val_loss", "- **Run**: c",
        "- **Program**: t.py, by accuracy", "- **Run**: d",
    ]  # fmt: skip
    assert "Program" not in render_page(Log(entries=tuple(runs[:2])), "2-00000000")
    assert "other.py" not in str(read_page(page, [run.name for run in runs]))
