"""Siblings: templates, a bounded index, noise that decides nothing, suspects, and the laws it may not break."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc.core.failures import siblings as module
from hpc.core.failures.classify import classify
from hpc.core.failures.evidence import Evidence, FailureClass, LogLine, Verdict
from hpc.core.failures.siblings import (
    Kind,
    Siblings,
    add,
    compare,
    group_by_cause,
    judge_among,
    odd_rank,
    phase_at,
    suspects_of,
)
from hpc.core.failures.templates import MOST, key_of, keys_of, template_of
from hpc.core.slurm.states import SlurmState
from tests.corpus.siblings import measure, seen_cases

STEPS = [f"step {i} loss {2.0 / i:.3f}" for i in range(1, 6)]
NOISE = "cache: OSError: [Errno 28] No space left on device: /tmp/cache-4711"
CAUSE = "KeyError: 'rewards'"


def lines(*texts: str) -> tuple[LogLine, ...]:
    return tuple(LogLine("stdout", i, text) for i, text in enumerate(texts, 1))


def index(finished: Sequence[Sequence[str]] = (), failed: Sequence[Sequence[str]] = ()) -> Siblings:
    found = Siblings()
    for i, texts in enumerate(finished):
        found = add(found, f"S{i}/attempt-1", Kind.FINISHED, keys_of(lines(*texts)))
    for i, texts in enumerate(failed):
        found = add(found, f"F{i}/attempt-1", Kind.FAILED, keys_of(lines(*texts)))
    return found


def failed(*texts: str) -> Evidence:
    return Evidence(state=SlurmState.FAILED, exit_code=1, log=lines(*texts))


# ── templates ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("[rank3]: loss 2.31 at /scratch/a/x.pt", "[rank1]: loss 0.4 at /home/b/y.pt"),
        ("2026-01-01 10:00:00,123 saved 0x7f00aa", "2026-02-03 11:12:13,456 saved 0x7f11bb"),
        ("node 10.0.0.9:4000 lost", "node 10.1.2.3:5000 lost"),
    ],
)
def test_what_differs_between_runs_is_blanked(one: str, other: str) -> None:
    """Ranks, clocks, numbers, paths and addresses make no difference; words do."""
    assert template_of(one) == template_of(other)
    assert template_of(one) != template_of(one.replace("lost", "gone") + " now")


def test_what_says_nothing_has_no_key() -> None:
    """Rules, bars and bare numbers are no templates."""
    assert {key_of(template_of(text)) for text in ("-----", "1 2 3", "", "====|====")} == {""}


@given(st.lists(st.text(max_size=60), max_size=40))
def test_templates_of_a_run_are_bounded_and_its_own(texts: list[str]) -> None:
    """Any text gives at most so many templates, each standing for a line that has it."""
    found = keys_of(lines(*texts * 30))
    assert len(found) <= MOST
    assert all(key_of(template_of(line.text)) == key for key, line in found.items())


# ── the index ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_counts_are_of_runs() -> None:
    """A line counts once a run however often it stands there, and a run counts once."""
    found = index([[NOISE, NOISE], [NOISE]], [[NOISE, CAUSE]])
    assert found.counts[key_of(template_of(NOISE))] == (2, 1)
    assert (found.finished, found.failed) == (2, 1)
    assert add(found, "S0/attempt-1", Kind.FINISHED, keys_of(lines("Error: another"))) is found


def test_index_is_bounded_and_says_what_it_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rare templates go first; what may have been dropped is not called unseen."""
    monkeypatch.setattr(module, "MOST_TEMPLATES", 50)
    words = [f"Error: {chr(97 + i // 26)}{chr(97 + i % 26)} failed" for i in range(200)]
    found = index([[NOISE, *words[k : k + 20]] for k in range(0, 200, 20)])
    assert len(found.counts) <= 50
    assert found.counts[key_of(template_of(NOISE))] == (10, 0)
    assert found.dropped == 1
    verdict = classify(failed(words[0]))
    beside = compare(verdict, failed(words[0]), found)
    assert beside is not None
    assert "at most 1 of 10 finished runs" in beside.text or beside.in_finished


def test_runs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond so many runs of a kind none is counted."""
    monkeypatch.setattr(module, "MOST_RUNS", 3)
    assert index([["Error: a"]] * 9, [["Error: b"]] * 9).runs.keys() == {
        *(f"S{i}/attempt-1" for i in range(3)),
        *(f"F{i}/attempt-1" for i in range(3)),
    }


# ── a failure among them ──────────────────────────────────────────────────────────────────────────────────────────


def test_what_finished_runs_say_too_does_not_decide() -> None:
    """A message every finished run has is passed over for the one that only failed runs have."""
    evidence = failed(*STEPS, NOISE, *["working"] * 3, "Traceback (most recent call last):",
                      '  File "/p/t.py", line 3, in <module>', CAUSE)  # fmt: skip
    known = index([[*STEPS, NOISE]] * 37)
    assert classify(evidence).category == "storage"
    verdict = judge_among(evidence, known)
    assert (verdict.category, verdict.evidence[0].text) == ("code_bug", CAUSE)
    beside = compare(verdict, evidence, known)
    assert beside is not None
    assert beside.text == "seen in none of 37 finished runs"
    assert beside.demoted is not None
    assert beside.demoted.text == NOISE
    assert beside.phase == "in the steady part, after step 5"


def test_a_usual_line_decides_where_nothing_else_does() -> None:
    """Nothing better known, the message stays the reason; the launcher's last words are no better."""
    evidence = failed(*STEPS, NOISE, "srun: error: node7: task 0: Exited with exit code 1")
    known = index([[*STEPS, NOISE]] * 5)
    assert judge_among(evidence, known).category == classify(evidence).category == "storage"


def test_few_finished_runs_or_a_line_of_failures_prove_nothing() -> None:
    """One finished run is no habit, and a line most failed runs have and few finished ones is a suspect."""
    evidence = failed(*STEPS, NOISE, "Traceback (most recent call last):", '  File "t.py", line 3, in <module>', CAUSE)
    assert judge_among(evidence, index([[NOISE]])) == classify(evidence)
    rare = index([[NOISE]] * 3 + [["working"]] * 10, [[NOISE]] * 5)
    assert judge_among(evidence, rare).category == "storage"


def test_a_verdict_without_a_cause_shows_the_suspects() -> None:
    """Where no rule names a cause, the lines that stand in no finished run are quoted."""
    evidence = failed(*STEPS, "gadget: could not reticulate spline 7", "warning: cannot find cache, building it")
    known = index([["warning: cannot find cache, building it"]] * 4)
    verdict = judge_among(evidence, known)
    assert verdict.category == "unknown"
    assert "reticulate" in " ".join(line.text for line in verdict.evidence)
    assert [line.text for line in suspects_of(evidence.log, known)] == ["gadget: could not reticulate spline 7"]


def test_the_odd_rank_is_named_and_its_line_goes_first() -> None:
    """Of four ranks the one that says something else is the suspect."""
    log = lines(*(f"[rank{i}]: cannot reach peer" for i in range(4)), "[rank2]: invalid checksum of block 7")
    assert odd_rank(log[-1], log) == ("2", 4)
    assert odd_rank(log[0], log) == ("", 4)
    assert suspects_of(log, Siblings())[0] == log[-1]


def test_ranks_with_files_of_their_own_are_told_apart() -> None:
    """The name of a rank's file says who speaks, where lines have no prefix."""
    log = [LogLine(f"stderr.rank{i}", 1, "error: cannot reach peer") for i in range(4)]
    log.append(LogLine("stderr.rank3", 2, "invalid checksum of block 7"))
    assert odd_rank(log[-1], log) == ("3", 4)
    assert odd_rank(log[0], log) == ("", 4)


@pytest.mark.parametrize(
    ("before", "phase"),
    [
        (["loading"], "before the first step"),
        (["loading", "step 1 loss 2.0"], "in the first step"),
        (STEPS, "in the steady part, after step 5"),
        ([*STEPS, "saving checkpoint to out/5.pt"], "while it saved"),
        ([*STEPS, "training finished"], "after its end"),
    ],
)
def test_phase(before: list[str], phase: str) -> None:
    """When a line came is told by the lines before it."""
    log = lines(*before, CAUSE)
    assert phase_at(log[-1], log) == phase


def test_the_phase_of_a_line_on_stderr_is_told_by_what_stdout_shows() -> None:
    """Most programs print their steps to stdout and die on stderr: that is not before the first step."""
    died = LogLine("stderr", 4, CAUSE)
    assert phase_at(died, [died]) == "before the first step"
    assert phase_at(died, [*lines(*STEPS), died]) == "after step 5"
    assert phase_at(died, [died], last_step=7) == "after step 7"
    assert phase_at(died, [*lines("loss: 0.5"), died]) == "after progress in stdout"


# ── failures of one sweep by cause ────────────────────────────────────────────────────────────────────────────────


def _verdict(text: str, category: FailureClass = FailureClass.DATA, cause: str = "missing") -> Verdict:
    return Verdict(category, "r", (LogLine("stdout", 9, text),), cause=cause)


def test_failures_are_grouped_by_what_only_they_say() -> None:
    """Two texts with the same suspects are one cause; the same words of another class are not."""
    noise = [f"warning: {word} not found" for word in ("a", "b", "c")]
    bad = ["Error: shard 17 is truncated", "Error: reader failed"]
    known = index([noise] * 4, [[*noise, *bad, "Error: first"], [*noise, *bad, "Error: second"], [*noise, "Error: x"]])
    told = [_verdict("Error: first"), _verdict("Error: second"), _verdict("Error: x")]
    named = [(f"F{i}/attempt-1", verdict) for i, verdict in enumerate(told)]
    assert group_by_cause(named, known) == [0, 0, 1]
    assert group_by_cause(named, Siblings()) == [0, 1, 2]
    other = replace(told[1], category=FailureClass.STORAGE)
    assert group_by_cause([named[0], ("F1/attempt-1", other)], known) == [0, 1]


# ── laws ──────────────────────────────────────────────────────────────────────────────────────────────────────────

_SAID = st.sampled_from(
    [*STEPS, NOISE, CAUSE, "Traceback (most recent call last):", '  File "/p/t.py", line 3, in <module>',
     "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB", "OSError: [Errno 28] No space left on device",
     "slurmstepd: error: Detected 1 oom_kill event in StepId=4.0", "training finished", "saved model.pt", "loss nan",
     "srun: error: n1: task 0: Exited with exit code 1", "WARNING: retrying", "FileNotFoundError: [Errno 2] a.bin"]
)  # fmt: skip
_LOG = st.lists(_SAID, max_size=14)


@settings(max_examples=200, deadline=None)
@given(
    log=_LOG, finished=st.lists(_LOG, max_size=6), lost=st.lists(_LOG, max_size=4),
    end=st.sampled_from([(SlurmState.COMPLETED, 0), (SlurmState.FAILED, 1), (SlurmState.TIMEOUT, None), (None, None)]),
)  # fmt: skip
def test_no_failure_becomes_a_success_and_no_success_a_failure(
    log: list[str], finished: list[list[str]], lost: list[list[str]], end: tuple[SlurmState | None, int | None]
) -> None:
    """Whatever the siblings printed, they change reasons only; and a named cause is never lost."""
    evidence = Evidence(state=end[0], exit_code=end[1], log=lines(*log))
    plain, among = classify(evidence), judge_among(evidence, index(finished, lost))
    assert (plain.category == "success") == (among.category == "success")
    assert among == plain if plain.category == "success" else True
    assert among.category != "unknown" or plain.category == "unknown"
    assert among.evidence


def test_siblings_add_more_than_they_cost() -> None:
    """In simulated sweeps more failures are named rightly with siblings than without; none changes hands."""
    cases = seen_cases()[0][::20]
    without = [measure(case, 0) for case in cases]
    beside = [measure(case, 20) for case in cases]
    right = [
        sum(verdict.category == case["category"] for case, (verdict, _, _) in zip(cases, told, strict=True))
        for told in (without, beside)
    ]
    assert right[1] > right[0]
    assert not any(changed for _, _, changed in beside)
