"""What sbatch and its like print: which answers are a job id, which a certain refusal, and that all else is neither."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.slurm.answers import MAX_JOB_ID, SHOWN, is_refusal, is_submit_limit, parse_job_id, shown

MESSAGES = [
    line.split("|", 1)
    for line in (Path(__file__).parents[2] / "data/slurm_messages.txt").read_text().splitlines()
    if not line.startswith("#")
]
FAILED = "sbatch: error: Batch job submission failed: "

# ── the job id ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "answer",
    [
        "4711\n",
        "4711;lab\n",
        "Submitted batch job 4711\n",
        "Submitted batch job 4711 on cluster lab-2.site\n",
        "Have you acknowledged your grant?\n4711;lab\n",
        "4711\nYour balance: 12 hours\n",
        "\x1b[1mWelcome\x1b[0m\n\\xff\\xfe\n  4711  \r\n",
        "4711\nSubmitted batch job 4711\n",
    ],
)
def test_the_id_is_found_in_every_form_sbatch_has(answer):
    """`--parsable` or not, on one cluster or several, with a site's words before and after it."""
    assert parse_job_id(answer) == "4711"


@pytest.mark.parametrize(
    "answer",
    [
        "", "\n", "ok\n", "0\n", "00012\n", "-5\n", "+5\n", "4 711\n", "4711.0\n", "4_711\n", "../../x\n", "4711_3\n",
        "4711_[0-5000000]\n", "4711;\n", "4711;a;b\n", "4711; rm -rf ~\n", "٤٧١١\n", "４７１１\n", "4711 4712\n",
        "job 4711\n", "4711\n4712\n", "Submitted batch job 4711\n12\n", "9" * 5000, f"{MAX_JOB_ID + 1}\n",
        "Submitted batch job ../x\n",
    ],
)  # fmt: skip
def test_what_may_mean_anything_is_no_id(answer):
    """No id, two ids, an element, a path, digits that are not ASCII's, a number Slurm never gives: none is believed."""
    assert parse_job_id(answer) == ""


IDS = st.integers(1, MAX_JOB_ID)
FORMS = st.sampled_from(["{}", "{};lab", "Submitted batch job {}", "Submitted batch job {} on cluster lab"])
WORDS = st.text(st.characters(exclude_characters="\n"), max_size=20)
CHATTER = st.one_of(WORDS.filter(lambda line: not line.strip()[:1].isdigit()), st.just("12 hours left"))


@given(st.lists(CHATTER, max_size=3), st.lists(st.tuples(IDS, FORMS), max_size=3), st.randoms())
def test_one_job_that_is_named_is_found_and_two_are_none(chatter, named, random):
    """Among any chatter: the job where one is named, however often; nothing where none or several are."""
    lines = [*chatter, *(form.format(job) for job, form in named)]
    random.shuffle(lines)
    jobs = {str(job) for job, _ in named}
    assert parse_job_id("\n".join(lines)) == (jobs.pop() if len(jobs) == 1 else "")


@given(st.text(st.sampled_from("0123456789;_-[]/. \nbatchSumiedjo٤"), max_size=40))
def test_an_id_that_is_believed_is_one_that_sbatch_could_have_said(answer):
    """Over any answer: nothing, or a number that Slurm gives and that begins or ends a line of it."""
    job = parse_job_id(answer)
    if job:
        assert job.isascii()
        assert str(int(job)) == job
        assert 0 < int(job) <= MAX_JOB_ID
        assert any(line.strip().startswith((job, "Submitted", "submitted")) for line in answer.splitlines())


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("meaning", "message"), MESSAGES, ids=[message for _, message in MESSAGES])
def test_each_message_of_slurm_is_a_refusal_only_where_no_job_can_exist(meaning, message):
    """Every way a submission can end in Slurm 22.05, judged by hand; what is about the connection leaves it open."""
    assert is_refusal(FAILED + message) is (meaning == "refused")


@pytest.mark.parametrize(
    "message",
    [
        "sbatch: error: Memory specification can not be satisfied",
        "sbatch: error: Unable to open file array.sbatch",
        "sbatch: unrecognized option '--arry'",
        "sbatch: error: Invalid --mem specification",
        'sbatch: error: Invalid numeric value "x" for --nodes.',
        "sbatch: error: This does not look like a batch script.  The first",
        "sbatch: error: invalid partition specified: gpu",
        "sbatch: error: Please name an account with -A\n" + FAILED + "Unspecified error",
    ],
)
def test_what_sbatch_itself_objects_to_is_a_refusal(message):
    """It reads its options and the script before it says anything to the controller; a site's own rule comes last."""
    assert is_refusal(message)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "ssh: connect to host login1 port 22: Connection refused",
        "/usr/local/bin/sbatch: line 12: 4242 Killed",
        "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying.",
        "sbatch: error: Munge encode failed: Failed to access \"/run/munge/munge.socket.2\"",
        "sbatch: error: invalid partition in your profile, using main\n" + FAILED + "Socket timed out",
    ],
)  # fmt: skip
def test_what_is_in_no_table_leaves_it_open(message):
    """A wrapper that died, a busy controller, a warning before a time-out: the job may be there."""
    assert not is_refusal(message)


SENTENCE = FAILED + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{SENTENCE}", True),
        (f"sbatch: error: AssocMaxSubmitJobLimit\n{SENTENCE}", True),
        (f"sbatch: error: AssocGrpSubmitJobsLimit\n{SENTENCE}", True),
        (SENTENCE, True),
        (f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{SENTENCE}", False),
        (f"sbatch: error: AssocMaxCpuPerJobLimit\n{SENTENCE}", False),
        ("sbatch: error: Batch job submission failed: Invalid job array specification", False),
        ("sbatch: error: Batch job submission failed: Invalid account or account/partition combination", False),
    ],
)
def test_a_full_queue_is_told_from_a_job_that_asks_too_much(message, expected):
    """Slurm's sentence is the same for both; the line before it decides, and alone it means the queue."""
    assert is_submit_limit(message) is expected


@pytest.mark.parametrize("limit", ["QOSMaxSubmitJobPerUserLimit", "AssocMaxSubmitJobLimit", "AssocGrpSubmitJobsLimit"])
def test_a_full_queue_is_a_refusal(limit):
    """Whichever limit it is, nothing was taken: what does not fit may be submitted later, in smaller arrays."""
    assert is_refusal(f"sbatch: error: {limit}")
    assert is_refusal(f"sbatch: error: {limit}\n{SENTENCE}")


@given(st.text())
def test_an_answer_is_repeated_on_one_short_line(answer):
    """Whatever a client printed, what is repeated of it fits a line and moves no cursor."""
    said = shown(answer)
    assert len(said) <= SHOWN
    assert said.isprintable()
