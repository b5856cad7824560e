"""Slurm's rows joined with attempts: squeue decides what waits or runs, sacct what is over, restarts count rows."""

from hypothesis import given
from hypothesis import strategies as st

from hpc.core.executions import (
    JobRow,
    execution_of,
    expand_elements,
    fold_elements,
    job_name_of,
    join_rows,
    of_submission,
)
from hpc.core.slurm_states import SlurmState as S


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
