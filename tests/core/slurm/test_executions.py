"""Slurm's rows joined with attempts: squeue decides what waits or runs, sacct what is over, restarts count rows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc.core.slurm.executions import (
    MAX_ELEMENTS,
    JobRow,
    execution_of,
    expand_elements,
    fold_elements,
    is_job,
    job_name_of,
    join_rows,
    of_submission,
)
from hpc.core.slurm.states import SlurmState as S


def row(state: S, job: str = "12_3", comment: str = "", **more: object) -> JobRow:
    return JobRow(job=job, raw_id="15", state=state, comment=comment, **more)


def states(joined: dict[str, tuple[JobRow, ...]], job: str = "12_3") -> list[S]:
    return [each.state for each in joined[job]]


def test_squeue_decides_about_what_is_not_over():
    """sacct's early rows can be wrong or late: a row that waits or runs is what squeue says, with its reason."""
    joined = join_rows([row(S.PENDING)], [row(S.RUNNING, reason="None", comment="m/001")])
    assert states(joined) == [S.RUNNING]
    assert joined["12_3"][0].comment == "m/001"


def test_sacct_decides_about_what_is_over():
    """A finished row keeps its exit code although squeue still shows the job."""
    joined = join_rows([row(S.FAILED, exit_code=3)], [row(S.FAILED, reason="NonZeroExitCode", comment="m/001")])
    assert states(joined) == [S.FAILED]
    assert (joined["12_3"][0].exit_code, joined["12_3"][0].comment) == (3, "m/001")


def test_a_requeued_job_has_one_row_more():
    """sacct knows the end of the first execution, squeue that the job waits again: two executions."""
    joined = join_rows([row(S.PREEMPTED)], [row(S.PENDING, reason="BeginTime")])
    assert states(joined) == [S.PREEMPTED, S.PENDING]
    assert joined["12_3"][1].reason == "BeginTime"


@pytest.mark.parametrize("taken", [S.PREEMPTED, S.REQUEUED, S.NODE_FAIL])
def test_what_was_cancelled_while_it_waited_again_is_an_execution_of_its_own(taken):
    """squeue knows of the scancel seconds before sacct: the end of the first execution stays what it was."""
    assert states(join_rows([row(taken)], [row(S.CANCELLED)])) == [taken, S.CANCELLED]
    assert states(join_rows([row(taken), row(S.CANCELLED)], [row(S.CANCELLED)])) == [taken, S.CANCELLED]
    assert states(join_rows([row(S.CANCELLED)], [row(S.CANCELLED)])) == [S.CANCELLED]


def test_without_accounting_the_queue_is_all_there_is():
    """No sacct: each job has the one row squeue still remembers."""
    joined = join_rows(None, [row(S.COMPLETED), row(S.RUNNING, job="12_4")])
    assert {job: states(joined, job) for job in joined} == {"12_3": [S.COMPLETED], "12_4": [S.RUNNING]}


@given(st.lists(st.sampled_from([S.PREEMPTED, S.NODE_FAIL, S.REQUEUED, S.FAILED]), max_size=4),
       st.sampled_from([None, S.PENDING, S.RUNNING]))  # fmt: skip
def test_nth_restart_is_nth_row(history, now):
    """Whatever happened before, the attempt of restart n is given row n, and a restart that has no row yet none."""
    queue = [row(now)] if now else []
    joined = join_rows([row(state, submitted=float(i)) for i, state in enumerate(history)], queue)
    rows = joined.get("12_3", ())
    assert len(rows) == len(history) + len(queue)
    for restart in range(len(rows)):
        assert execution_of(rows, restart, is_newest=restart == len(rows) - 1) == (
            rows[restart] if len(rows) > 1 or restart == len(rows) - 1 else None
        )
    if len(rows) != 1:
        assert execution_of(rows, len(rows), is_newest=True) is None


def test_with_one_row_known_it_is_the_newest_attempts():
    """Without history the only row belongs to whoever asks: only the newest attempt does."""
    only = row(S.RUNNING)
    assert execution_of([only], 2, is_newest=True) is only
    assert execution_of([only], 0, is_newest=False) is None
    assert execution_of([], 0, is_newest=True) is None


def test_where_accounting_lags_its_one_row_is_the_first_attempts():
    """The second execution has begun, and sacct does not know it yet."""
    only = row(S.REQUEUED, submitted=1.0)
    assert execution_of([only], 0, is_newest=False) is only
    assert execution_of([only], 1, is_newest=False) is None


def test_a_submission_is_found_by_its_comment_not_by_a_recycled_number():
    """Job ids are given again after slurmctld lost them; each submission's comment is its own."""
    joined = join_rows(
        [row(S.FAILED, job="12_0", comment="m/001"), row(S.RUNNING, job="13_0", comment="m/002"),
         row(S.RUNNING, job="13_1", comment="m/002")], []
    )  # fmt: skip
    assert of_submission(joined, "m/002") == ["13"]
    assert of_submission(joined, "m/003") == []


def test_job_names_hold_no_comma():
    """squeue --name=a,b asks for two names."""
    assert job_name_of("a,b") == "a.b"
    assert job_name_of("lora_sweep") == "lora_sweep"


@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 9)))
def test_folded_elements_are_the_same_jobs(positions, whole):
    """Folding loses and adds nothing: expanding each word gives back the jobs, each array in one word."""
    jobs = {f"12_{position}" for position in positions} | {str(100 + number) for number in whole}
    folded = fold_elements(jobs)
    assert {job for word in folded for job in expand_elements(word)} == jobs
    assert len(folded) == bool(positions) + len(whole)


NO_JOBS = ["", "x", "../../x", "0", "12_", "12_x", "12_[", "12_[]", "12_[a-b]", "12_[1--3]", "12+0", "１２", "12_[0-3",
           "12_[0-3]x", "9" * 11, "12\n", None, 12, ["12"]]  # fmt: skip


@pytest.mark.parametrize("text", NO_JOBS)
def test_what_is_no_job_names_nothing(text):
    """No path, no option and no half of a word is taken for a job, nor for elements of one."""
    assert not is_job(text)
    assert not isinstance(text, str) or expand_elements(text) == []


@pytest.mark.parametrize(
    ("folded", "count"),
    [
        ("4711_[0-5000000]", MAX_ELEMENTS), ("4711_[0-9,5000000-5000003]", 10), ("4711_[0-6:2,9%4]", 5),
        ("4711_[5-3]", 0), ("4711_[0-3:0]", 4), ("4711_[" + ",".join(["0-99999"] * 50) + "]", MAX_ELEMENTS),
    ],
)  # fmt: skip
def test_an_array_has_no_more_elements_than_ours_can_have(folded, count):
    """However many a line claims, it costs no more than our longest array."""
    assert len(expand_elements(folded)) == count


@settings(deadline=None)
@given(st.one_of(st.text(), st.text("0123456789_[]-,:%", max_size=30).map("12_{}".format)))
def test_whatever_stands_in_a_line_each_element_is_one(text):
    """Any text: an end in bounded time, and nothing but names of elements."""
    assert all(is_job(element) for element in expand_elements(text))
