"""The classifier's laws and its table; how often it is right stands in `test_corpus`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.failures import log_scan
from hpc.core.failures.classify import ADVICE, SUCCESS_RULES, classify
from hpc.core.failures.evidence import Evidence, FailureClass, LogLine
from hpc.core.failures.fact_rules import FACT_RULES, Step
from hpc.core.failures.log_rules import LOG_RULES
from hpc.core.failures.rule import Role, Tier
from hpc.core.failures.scene import observe
from hpc.core.slurm.states import SlurmState
from tests.corpus.answers import answer_corpus
from tests.corpus.cases import load_cases

CASES = load_cases()
_TRACE = ("Traceback (most recent call last):", '  File "t.py", line 9, in <module>')


def lines(*texts: str, source: str = "stderr") -> tuple[LogLine, ...]:
    return tuple(LogLine(source, number, text) for number, text in enumerate(texts, start=1))


@pytest.mark.parametrize("category", list(FailureClass))
def test_every_class_has_at_least_three_cases(category: FailureClass) -> None:
    """No class is known from fewer than three labelled cases."""
    assert sum(case["category"] == category for case in CASES) >= 3


@pytest.mark.parametrize(
    ("said", "quoted"),
    [
        (("[c10d] The server socket has failed to bind (errno: 98 - Address already in use)", *_TRACE,
          "torch.distributed.DistNetworkError: The server socket has failed to listen"), 4),
        (("slurmstepd: error: pyxis: child 44 failed with error code: 1", "slurmstepd: error: pyxis: failed to import "
          "docker image", "slurmstepd: error: pyxis:     [ERROR] URL x returned error code: 429 Too Many Requests"), 3),
        (("PMPI_Waitall(346)...: MPI_Waitall(count=52) failed", "MPIR_Wait(9)...: ",
          "MPIDI_OFI_handle_cq_error(1067): OFI poll failed (UNDELIVERABLE)", "aborting job:",
          "PMPI_Waitall(346)...: MPI_Waitall(count=52) failed"), 3),
        ((">>> Convergence criterion not met.", "Convergence failure -- run terminated."), 2),
        (("Loss.cu:245: block: [0,0,0] Assertion `t >= 0 && t < n_classes` failed.", *_TRACE,
          "RuntimeError: CUDA error: device-side assert triggered"), 1),
    ],
)  # fmt: skip
def test_the_line_a_person_would_paste_is_quoted_first(said: tuple[str, ...], quoted: int) -> None:
    """The exception rather than the print before it, the inner call, the reason rather than its announcement."""
    assert classify(Evidence(state=SlurmState.FAILED, exit_code=1, log=lines(*said))).evidence[0].line == quoted


def test_a_state_quotes_the_line_that_says_it() -> None:
    """Who was told to end says so; where a log says nothing, its last line tells how far it came."""
    told = (LogLine("log", 1, "step 3 loss 1"), LogLine("log", 2, "srun: forcing job termination"))
    assert classify(Evidence(state=SlurmState.PREEMPTED, log=told)).evidence[0].line == 2
    assert classify(Evidence(state=SlurmState.TIMEOUT, log=told[:1])).evidence[0].line == 1


def test_accounting_in_the_log_tells_who_killed() -> None:
    """Memory at the limit beside a SIGKILL is the host's memory; well below it, nobody knows."""
    for used, category in (("127.9G", "oom_host"), ("61.0G", "unknown")):
        said = ("run.sh: line 2: 31 Killed      ./m", "JobID MaxRSS ReqMem State", f"12.batch {used} 128G FAILED")
        verdict = classify(Evidence(state=SlurmState.FAILED, exit_code=137, log=lines(*said)))
        assert verdict.category == category
        assert verdict.evidence[0].line == 1


def test_every_log_rule_fires_on_some_case() -> None:
    """A row of the table that no corpus log fires is dead weight or a typo."""
    fired = {rule for answered in answer_corpus() for rule in answered.fired}
    assert {rule.id for rule in LOG_RULES} - fired == set()


def test_every_fact_rule_decides_some_case() -> None:
    """Each conclusion from states, records and metrics, and each proof of success, decides at least one case."""
    decided = {answered.verdict.rule for answered in answer_corpus()}
    from_records = {
        rule.id for rule in FACT_RULES if rule.step in (Step.RESUME, Step.SANITY, Step.WATCH, Step.PREFLIGHT)
    }
    from_records |= {
        "metrics-source-matched-nothing",
        "metrics-source-matched-no-number",
        "time-limit-watched-hang",
    }  # known of our own attempts only, tested there
    expected = {rule.id for rule in FACT_RULES} - from_records | set(SUCCESS_RULES) | {"nothing-known"}
    assert expected - decided == set()


@pytest.mark.parametrize(
    ("log", "exit_code", "category"),
    [
        ("SanityError: sanity: leakage: 3 of 9 rows of test are in training, too", 1, "code_bug"),
        ("sanity: initial loss: it is nan, not near 0.7", 3, "code_bug"),
        ("RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB", 1, "oom_gpu"),
        ("ModuleNotFoundError: No module named 'einops'", 1, "environment"),
    ],
)
def test_a_rung_that_broke_goes_behind_a_named_cause(log: str, exit_code: int, category: str) -> None:
    """A ladder that lacks memory or a package is no fault of data or model; whatever else it says is one."""
    verdict = classify(Evidence(exit_code=exit_code, exit_recorded=True, sanity=log, log=lines(log)))
    assert verdict.category == category
    assert (verdict.rule == "sanity-rung-broke") == (category == "code_bug")
    assert log in [line.text for line in verdict.evidence]


def test_rules_are_well_formed() -> None:
    """Ids are unique; each row says what it proves and what it leaves open; patterns do not match the empty line."""
    ids = [rule.id for rule in (*LOG_RULES, *FACT_RULES)]
    assert len(ids) == len(set(ids))
    assert all(rule.proves and rule.leaves_open and 0 < rule.confidence < 1 for rule in (*LOG_RULES, *FACT_RULES))
    assert not [rule.id for rule in LOG_RULES if rule.says.search("")]
    assert set(ADVICE) == set(FailureClass)


def test_every_flag_stands_on_a_row() -> None:
    """Each role and each step that the verdict asks for is on a row, so that no step looks for what nothing has."""
    assert {rule.role for rule in LOG_RULES} == set(Role)
    assert {rule.step for rule in FACT_RULES} == set(Step)


STATE_ALONE = {
    SlurmState.BOOT_FAIL: "node_failure",
    SlurmState.CANCELLED: "cancelled",
    SlurmState.COMPLETED: "success",
    SlurmState.DEADLINE: "timeout",
    SlurmState.LAUNCH_FAILED: "node_failure",
    SlurmState.NODE_FAIL: "node_failure",
    SlurmState.OUT_OF_MEMORY: "oom_host",
    SlurmState.PREEMPTED: "preempted",
    SlurmState.RECONFIG_FAIL: "node_failure",
    SlurmState.REQUEUED: "preempted",
    SlurmState.REVOKED: "cancelled",
    SlurmState.TIMEOUT: "timeout",
}


@pytest.mark.parametrize("state", list(SlurmState))
def test_state_alone(state: SlurmState) -> None:
    """Each state has a verdict without any log; a state that explains nothing is unknown, never a success."""
    assert classify(Evidence(state=state)).category == STATE_ALONE.get(state, "unknown")


@pytest.mark.parametrize(
    "text",
    [
        "RuntimeError: [enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: …",
        "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8.00 PiB for an array with shape (1,)",
        "MemoryError",
    ],
)
@pytest.mark.parametrize(("gpus", "expected"), [(0, "oom_gpu"), (1, "oom_host"), (None, "oom_host")])
def test_cpu_allocator_follows_the_training_device(text: str, gpus: int | None, expected: str) -> None:
    """A refusal by the CPU's allocator is the training device's only where the CPU is that device (decision 7)."""
    verdict = classify(Evidence(exit_code=1, gpus=gpus, log=lines(text)))
    assert (verdict.category, verdict.cause) == (expected, "cpu_allocator")


def test_cgroup_kill_is_always_host_memory() -> None:
    """A kill by the memory cgroup is host memory even where the CPU is the training device."""
    verdict = classify(Evidence(exit_code=None, exit_signal=9, gpus=0, oom_kill_count=1))
    assert (verdict.category, verdict.cause) == ("oom_host", "cgroup")


def test_step_out_of_memory_under_a_failed_job() -> None:
    """Slurm says FAILED 1:0 of a job whose step the cgroup killed; the step's state decides."""
    evidence = Evidence(state=SlurmState.FAILED, exit_code=1, step_states=(SlurmState.OUT_OF_MEMORY,))
    assert classify(evidence).category == "oom_host"


def test_completed_job_with_a_failed_step_is_no_success() -> None:
    """A job script that ends with 0 after its srun step failed has swallowed a failure."""
    evidence = Evidence(state=SlurmState.COMPLETED, exit_code=0, step_states=(SlurmState.FAILED,))
    assert classify(evidence).category == "unknown"


@pytest.mark.parametrize(
    ("name", "values", "resumed"),
    [
        ("loss", [0.5] * 40, True),
        ("accuracy", [1.0] * 40, False),
        ("loss", [0.0] * 40, False),
        ("loss", [0.5 + 0.001 * (i % 2) for i in range(40)], False),
        ("value_loss", [0.1] * 10 + [900.0] * 10, False),
        ("loss", [1e-6] * 5 + [0.02] * 20, False),
    ],
)
def test_ordinary_curves_are_healthy(name: str, values: list[float], resumed: bool) -> None:
    """Resumed plateaus, perfect accuracy, a loss of nothing, small noise and growing value losses are successes."""
    evidence = Evidence(exit_code=0, program_outcome=0, complete=True, series={name: tuple(values)}, resumed=resumed)
    assert classify(evidence).category == "success"


def test_survived_loader_kill_is_a_success() -> None:
    """A cgroup kill that the program outlived, recording its end and whole metrics, is no failure."""
    evidence = Evidence(exit_code=0, program_outcome=0, complete=True, expects_metrics=True, oom_kill_count=1)
    assert classify(evidence).category == "success"


@pytest.mark.parametrize("complete", [False, None])
def test_exit_zero_without_complete_metrics_is_no_success(complete: bool | None) -> None:
    """Evidence goes before state: COMPLETED without the declared metrics is unknown."""
    evidence = Evidence(
        state=SlurmState.COMPLETED, exit_code=0, exit_recorded=True, program_outcome=0, expects_metrics=True,
        complete=complete,
    )  # fmt: skip
    verdict = classify(evidence)
    assert (verdict.category, verdict.cause) == ("unknown", "no_result")


@pytest.mark.parametrize(
    ("state", "category", "cause"),
    [
        (SlurmState.FAILED, "timeout", "checkpointed"),
        (SlurmState.TIMEOUT, "timeout", "checkpointed"),
        (None, "timeout", "checkpointed"),
        (SlurmState.PREEMPTED, "preempted", "state"),
        (SlurmState.NODE_FAIL, "node_failure", "node_down"),
        (SlurmState.CANCELLED, "cancelled", "scancel"),
    ],
)
def test_checkpointed_attempt(state: SlurmState | None, category: str, cause: str) -> None:
    """An attempt that checkpointed on request counts as what took its time away; a cancelled one stays cancelled."""
    evidence = Evidence(state=state, exit_code=85, program_outcome=85, signals_received=("USR1",))
    verdict = classify(evidence)
    assert (verdict.category, verdict.cause) == (category, cause)


def _crash(before: int, after: int, *end: str) -> tuple[LogLine, ...]:
    """A traceback that reached the top of the program, between lines of progress."""
    crash = ["Traceback (most recent call last):", '  File "train.py", line 9, in <module>', "KeyError: 'x'"]
    done = [f"step {k} | loss {3 - k / 1000:.4f} | 1.97 s/it" for k in range(before + after)]
    return lines(*done[:before], *crash, *done[before:], *end)


@pytest.mark.parametrize(
    ("log", "category"),
    [
        (_crash(0, 20, "job script finished"), "code_bug"),
        (_crash(0, 20, "training finished"), "code_bug"),
        (_crash(60, 20), "code_bug"),
        (_crash(60, 20, "training finished"), "success"),
        (_crash(60, 600), "success"),
    ],
    ids=["all-buffered", "all-buffered-and-end", "last-buffer", "end-said", "more-than-a-buffer"],
)
def test_swallowed_crash_whose_progress_was_buffered(log: tuple[LogLine, ...], category: str) -> None:
    """COMPLETED 0:0: progress a buffer can have held back does not make an uncaught exception a survived one."""
    assert classify(Evidence(state=SlurmState.COMPLETED, exit_code=0, log=log)).category == category


def test_known_noise_decides_nothing() -> None:
    """Lines of the noise table do not explain a failure, with a rank before them or not."""
    log = lines(
        "[nltk_data] Error loading punkt: <urlopen error>", "[rank1]: NCCL INFO connect failed: Connection refused"
    )
    assert classify(Evidence(exit_code=1, log=log)).rule == "nothing-known"


def test_progress_of_another_rank_is_no_survival() -> None:
    """Steps printed by other ranks after one rank's error do not make that error survived."""
    log = lines("[rank1]: torch.OutOfMemoryError: CUDA out of memory.", "[rank0]: step 12 loss 1.0")
    assert classify(Evidence(state=SlurmState.COMPLETED, exit_code=0, log=log)).category == "oom_gpu"


def test_root_rank_of_torchrun_goes_first() -> None:
    """Where torchrun names the first failing rank, that rank's error decides, not the one printed first."""
    log = lines(
        "[rank0]: ValueError: lost my peer's value",
        "[rank3]: KeyError: 'x'",
        "Root Cause (first observed failure):",
        "[0]:",
        "  rank      : 3 (local_rank: 3)",
    )
    verdict = classify(Evidence(exit_code=1, log=log))
    assert verdict.evidence[0].text == "[rank3]: KeyError: 'x'"


@pytest.mark.parametrize(
    ("code", "rule"),
    [("-9 (pid: 7)", "killed-without-reason"), ("3 (pid: 7)", "exited-without-reason"), ("", "cascade-child-failed")],
)
def test_the_root_cause_says_more_than_the_launchers_exception(code: str, rule: str) -> None:
    """Where torchrun's block alone tells how the first rank ended, it is quoted; without a code the exception is."""
    end = f"  exitcode  : {code}"
    log = lines("a.b.ChildFailedError:", "train.py FAILED", "Root Cause (first observed failure):", "[0]:", end)
    verdict = classify(Evidence(exit_code=1, log=log))
    assert (verdict.category, verdict.rule) == ("unknown", rule)
    assert (verdict.evidence[0].text == end) == bool(code)


def test_evidence_lines_keep_their_numbers() -> None:
    """A verdict quotes the line as it stands in the file, with source and number."""
    log = (LogLine("stderr", 4711, "MemoryError"),)
    assert classify(Evidence(exit_code=1, gpus=0, log=log)).evidence[0] == log[0]


STATES = st.one_of(st.none(), st.sampled_from(list(SlurmState)))
TEXTS = st.one_of(
    st.text(max_size=120),
    st.sampled_from([rule.says.pattern[:80] for rule in LOG_RULES]),
    st.sampled_from(["step 3 loss 0.1", "MemoryError", "KeyError: 'x'", "srun: error: n1: task 3: Killed"]),
)


@given(
    state=STATES,
    code=st.one_of(st.none(), st.integers(-20, 260)),
    signal=st.one_of(st.none(), st.integers(0, 130)),
    texts=st.lists(TEXTS, max_size=8),
    expects=st.booleans(),
    complete=st.one_of(st.none(), st.booleans()),
    values=st.lists(st.floats(), max_size=40),
)
def test_every_evidence_gets_one_verdict(state, code, signal, texts, expects, complete, values) -> None:  # type: ignore[no-untyped-def]  # hypothesis fills them
    """Whatever is known, classify answers; and never success for a failing exit or for metrics that are not whole."""
    evidence = Evidence(
        state=state, exit_code=code, exit_signal=signal, log=lines(*texts), expects_metrics=expects,
        complete=complete, series={"loss": tuple(values)},
    )  # fmt: skip
    verdict = classify(evidence)
    assert verdict.category in FailureClass
    assert verdict.evidence
    if code or signal or (expects and not complete) or state not in (None, SlurmState.COMPLETED):
        assert verdict.category != "success"


def test_hostile_lines_stay_linear() -> None:
    """A full-length line of any one repeated character, or of each pattern's own letters, takes no rule long."""
    import time

    samples = [char * 2000 for char in "a .:/'\"0_-"] + [(rule.says.pattern + " ") * 40 for rule in LOG_RULES]
    started = time.perf_counter()
    for sample in samples:
        classify(Evidence(exit_code=1, log=lines("Error " + sample)))
    assert time.perf_counter() - started < 20


def test_tiers_separate_causes_from_consequences() -> None:
    """No message between ranks, and no word of a launcher, stands in the tier of causes."""
    assert not [rule.id for rule in LOG_RULES if rule.category == "communication" and rule.tier is Tier.ROOT]
    assert not [rule.id for rule in LOG_RULES if rule.category == "unknown" and rule.tier is not Tier.TRACE]


def test_a_result_that_was_recorded_outlives_slurms_word() -> None:
    """A controller that was away when the job ended calls it a time-out a minute later; the result is there."""
    verdict = classify(
        Evidence(state=SlurmState.TIMEOUT, exit_code=0, exit_recorded=True, complete=True, expects_metrics=True)
    )
    assert verdict.category is FailureClass.SUCCESS


@pytest.mark.parametrize(("received", "category"), [(("TERM",), "cancelled"), ((), "container")])
def test_a_container_that_was_still_starting_when_it_was_ended_is_no_broken_one(
    received: tuple[str, ...], category: str
) -> None:
    """What the runtime says after the wrapper was told to end is fallout; without that it is the cause."""
    said = LogLine("stderr", 1, "FATAL:   container creation failed: while mounting image: unexpected EOF")
    state = SlurmState.CANCELLED if received else SlurmState.FAILED
    verdict = classify(Evidence(state=state, exit_code=255, signals_received=received, log=(said,)))
    assert verdict.category == category


@pytest.mark.parametrize(
    ("resumed", "series", "category"),
    [(True, {}, "checkpoint"), (False, {}, "data"), (True, {"loss": (1.0, 0.9)}, "data")],
)
def test_a_damaged_file_before_the_first_step_of_a_resumed_attempt_is_its_checkpoint(
    resumed: bool, series: dict[str, tuple[float, ...]], category: str
) -> None:
    """What earlier attempts read was whole; once a step was made, or without a checkpoint, it is an input."""
    said = LogLine("stderr", 9, "zipfile.BadZipFile: File is not a zip file")
    verdict = classify(Evidence(state=SlurmState.FAILED, exit_code=1, resumed=resumed, series=series, log=(said,)))
    assert verdict.category == category


HANG = "no step, no output and no work for 20 min; rank 3 stands in recv (data.py:9); 7 others wait in all_reduce"


def test_a_hang_that_the_watch_ended_is_one_whatever_the_log_says_afterwards() -> None:
    """What the killed ranks say of each other is fallout, and so is the launcher's exit code."""
    fallout = lines(
        "torch.distributed.DistBackendError: NCCL error: remote process exited or there was a network error"
    )
    verdict = classify(Evidence(exit_code=1, exit_recorded=True, log=fallout, hang=HANG))

    assert (verdict.category, verdict.cause, verdict.rule) == (FailureClass.TIMEOUT, "hang", "watch-hang")
    assert verdict.evidence[0] == LogLine("watch", 0, HANG)
    assert "time limit came first" not in verdict.summary


def test_a_checkpoint_that_was_written_when_the_watch_ended_it_counts_more() -> None:
    verdict = classify(Evidence(exit_code=85, exit_recorded=True, hang=HANG))

    assert (verdict.category, verdict.cause) == (FailureClass.TIMEOUT, "checkpointed")


def test_a_hang_that_was_only_watched_explains_the_time_limit() -> None:
    verdict = classify(Evidence(state=SlurmState.TIMEOUT, watched=HANG))

    assert (verdict.cause, verdict.rule) == ("hang", "time-limit-watched-hang")


def test_a_hang_that_was_only_watched_is_told_beside_another_cause() -> None:
    log = lines("RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB")
    verdict = classify(Evidence(exit_code=1, exit_recorded=True, log=log, watched=HANG))

    assert verdict.category is FailureClass.OOM_GPU
    assert verdict.evidence[-1].text == HANG


_PIECES = st.sampled_from((
    "nan", "NaN", "inf", "-Infinity", "info", "INF", "finance", "loss: ", "[rank0]: ", "node1: ", "12:00:01 ", "n",
    "an", "\x1b[1m", "\x1b[0m", "\r", "\u200b", "hint: ", "ncclSystemError: System call (x) failed.", " ", "0.5", "é",
))  # fmt: skip


@given(st.lists(st.lists(_PIECES, max_size=6).map("".join), max_size=8))
def test_a_log_that_names_no_nan_need_not_be_read(texts: list[str]) -> None:
    """The look at the log as a whole misses none of its lines."""
    scene = observe(Evidence(log=tuple(LogLine("stdout", i, text) for i, text in enumerate(texts, 1))))
    assert scene.names_nan == any(log_scan.names_nan(line.text) for line in scene.lines)


@pytest.mark.parametrize(
    ("code", "said", "category"),
    [
        (1, ("DistNetworkError: the server socket has failed to listen (EADDRINUSE)", *_TRACE,
             "RuntimeError: Engine initialization failed. See root cause above."), "communication"),
        (1, ("NCCL WARN NET/OFI completed with error (Unresponsive receiver)", *_TRACE,
             "EngineError: the last request came to nothing"), "communication"),
        (130, ("^C WARN SparkContext: Interrupted by user (SIGINT), stopping", *_TRACE, "ContextError: shut down"),
         "cancelled"),
        (1, ("CUDA Error:", "    File:   a.cuh", "    Error code:  2", "    Error text:  out of memory"), "oom_gpu"),
    ],
)  # fmt: skip
def test_an_exception_that_nobody_knows_gives_way_to_what_was_said_before(
    code: int, said: tuple[str, ...], category: str
) -> None:
    """One that points elsewhere, one behind a lost connection, one that an interrupt brought, a record's heading."""
    assert classify(Evidence(state=SlurmState.FAILED, exit_code=code, log=lines(*said))).category == category
