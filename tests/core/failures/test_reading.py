"""How a log is read before anybody asks what it says, and what must never change a verdict."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hpc.core.failures.classify import classify
from hpc.core.failures.evidence import Evidence, LogLine
from hpc.core.failures.log_rules import LOG_RULES
from hpc.core.failures.reading.parts import Line, Part
from hpc.core.failures.reading.prefixes import split_prefix, split_speakers
from hpc.core.failures.reading.stock import without_stock
from hpc.core.failures.reading.traces import Reading, read
from hpc.core.failures.scene import observe
from tests.corpus.cases import evidence_of_case, is_held_out, load_cases

SEEN = [case for case in load_cases() if not is_held_out(case)]


def lines_of(text: str) -> tuple[LogLine, ...]:
    return tuple(LogLine("log", number, each) for number, each in enumerate(text.splitlines(), start=1))


def reading_of(text: str) -> Reading:
    return read([Line(line, *split_prefix(line.text), i) for i, line in enumerate(lines_of(text))])


PLAIN = """Traceback (most recent call last):
  File "/p/train.py", line 88, in <module>
    main(oom_retries=3)  # CUDA out of memory is retried
  File "/p/train.py", line 12, in main
    y = batch["label"]
        ~~~~~^^^^^^^^^
KeyError: 'label'
"""
RICH = """╭──────────── Traceback (most recent call last) ────────────╮
│ /p/train.py:88 in <module>                                 │
│                                                            │
│ ❱ 88 main(oom_retries=3)  # CUDA out of memory is retried  │
│ /p/train.py:12 in main                                     │
│ ❱ 12 │   y = batch["label"]                                │
╰────────────────────────────────────────────────────────────╯
KeyError: 'label'
"""
NOTEBOOK = """---------------------------------------------------------------------------
KeyError                                  Traceback (most recent call last)
Cell In[3], line 2
      1 # CUDA out of memory is retried
----> 2 main()

File ~/train.py:12, in main()
     11 def main():
---> 12     y = batch["label"]

KeyError: 'label'
"""
TORCHRUN = """  traceback : Traceback (most recent call last):
    File "/p/train.py", line 88, in <module>
      main(oom_retries=3)  # CUDA out of memory is retried
    File "/p/train.py", line 12, in main
      y = batch["label"]
  KeyError: 'label'
"""
PREFIXED = "\n".join(f"2024-05-01 10:00:0{i},1 train ERROR {line}" for i, line in enumerate(PLAIN.splitlines()))
GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "/p/train.py", line 88, in <module>
  |     main(oom_retries=3)  # CUDA out of memory is retried
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/p/train.py", line 12, in main
    |     y = batch["label"]
    | KeyError: 'label'
    +------------------------------------
"""
FORMS = {
    "plain": PLAIN, "rich": RICH, "notebook": NOTEBOOK, "torchrun": TORCHRUN, "logger": PREFIXED, "group": GROUP,
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_one_exception_is_read_alike_in_every_dress(form: str) -> None:
    """The message alone speaks, and the innermost call is known, however the traceback is dressed."""
    reading = reading_of(FORMS[form])
    spoken = [line.text.strip() for line in reading.lines if line.part in (Part.MESSAGE, Part.MORE)]
    assert spoken == ["KeyError: 'label'"]
    assert not [line.text for line in reading.lines if line.speaks and "memory" in line.text]
    trace = next(trace for trace in reading.traces if trace.message is not None)
    assert trace.frames[-1].function.rstrip("()") == "main"
    assert classify(Evidence(exit_code=1, log=lines_of(FORMS[form]))).rule == "bug-exception"


def test_chained_exceptions_are_one_event() -> None:
    """The cause that a rule knows speaks for what was raised in handling it."""
    text = PLAIN.replace("KeyError: 'label'", "torch.OutOfMemoryError: CUDA out of memory.")
    link = "\nDuring handling of the above exception, another exception occurred:\n\n"
    scene = observe(Evidence(exit_code=1, log=lines_of(text + link + PLAIN)))
    assert [event.rule.id for event in scene.events] == ["device-oom-torch"]
    assert len({trace.chain for trace in scene.readings[0].traces}) == 1


NATIVE = {
    "terminate": ("terminate called after throwing an instance of 'std::runtime_error'\n  what():  shape mismatch\n",
                  ["shape mismatch"]),
    "terminate, named": (
        "terminate called after throwing an instance of 'c10::DistBackendError'\n  what():  communicator is gone\n",
        ["DistBackendError: communicator is gone"],
    ),
    "panic": ("thread 'main' panicked at src/main.rs:10:5:\nindex out of bounds\nnote: run with `RUST_BACKTRACE=1`\n",
              ["panic: index out of bounds"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", NATIVE)
def test_two_lines_of_one_message(kind: str) -> None:
    """What C++ and Rust say in two lines is one message."""
    text, said = NATIVE[kind]
    reading = reading_of(text)
    assert [line.text for line in reading.lines if line.part in (Part.MESSAGE, Part.MORE)] == said
    assert len(reading.traces) == 1


STACKS = (
    "#0  0x00007f12 in raise () from /lib64/libc.so.6\n#1  0x00007f13 in OutOfMemoryError () at a.cpp:3\n",
    "Exception raised from f at ../x.cpp:93 (most recent call first):\nframe #0: c10::OutOfMemoryError() + 0x57\n",
    "Stacktrace:\n [1] OutOfMemoryError(x::Int)\n   @ Main ~/a.jl:3\n",
    "\tat org.apache.OutOfMemoryError.run(Worker.java:12)\n\t... 12 more\n",
    "[node1:4711] [ 0] /lib64/OutOfMemoryError.so.6(+0x36400)[0x7f]\n",
    'Thread 0x00007f01 (most recent call first):\n  File "oom.py", line 3 in OutOfMemoryError\n',
)


@pytest.mark.parametrize("text", STACKS)
def test_calls_of_a_stack_say_nothing(text: str) -> None:
    """Names of functions and files in a stack are no messages."""
    assert not [line.text for line in reading_of(text).lines if line.speaks]


def test_a_sentence_that_comes_with_every_error_is_cut_out() -> None:
    """What describes an error code, offers help or repeats a command says nothing about this error."""
    assert without_stock("ncclSystemError: System call (e.g. socket, malloc) or external library call failed") == (
        "ncclSystemError:"
    )
    assert without_stock("Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.") == "·"
    command = "Command '['python', 'train.py', '--out-of-memory=retry']' returned non-zero exit status 1."
    assert without_stock(command) == "Command '['python]' returned non-zero exit status 1."


@pytest.mark.parametrize(
    ("text", "rank", "rest"),
    [
        ("[rank3]: 2024-05-01 10:00:00,123 KeyError: 'x'", "3", "KeyError: 'x'"),
        ("2024-05-01T10:00:00.123Z [rank3]: KeyError: 'x'", "3", "KeyError: 'x'"),
        ("[10:00:00]     main()", "", "    main()"),
        ("May  1 10:00:00 kernel panic", "", "kernel panic"),
        ("12:30 is no clock here", "", "12:30 is no clock here"),
    ],
)
def test_ranks_and_clocks_are_taken_off(text: str, rank: str, rest: str) -> None:
    """In either order, and the indentation behind them stays."""
    assert split_prefix(text) == (rank, rest)


def test_what_a_record_says_is_one_message() -> None:
    """Names and values below an announcement belong to it: the one with the words speaks for all."""
    said = reading_of("CUDA Error:\n    File: a.cuh\n    Code: 2\n    Error text: out of memory\n")
    assert said.lines[3].text == "CUDA Error: File: a.cuh Code: 2 Error text: out of memory"
    assert [line.speaks for line in said.lines] == [False, False, False, True]


def test_numbered_ranks_are_taken_off_their_block() -> None:
    """Lines that stand together behind one number in brackets are a rank's; a value that R prints is none."""
    solver = [("", "Create time"), *(("", text) for text in ("[0]", "[0] FATAL ERROR", "[0] not equal", "[0]"))]
    assert split_speakers(solver)[1:4] == [("0", ""), ("0", "FATAL ERROR"), ("0", "not equal")]
    of_r = [("", "[1] 0.12"), ("", "[1] 3.1"), *(("", "fit"),) * 3, ("", "[1] 7.5"), ("", "[1] 9.1")]
    assert split_speakers(of_r) == of_r


def test_who_speaks_on_every_line_is_taken_off() -> None:
    """A host's name before each line is no part of it; one that some lines begin with is."""
    split = [("", f"node{i % 2}: line {i}") for i in range(4)]
    assert split_speakers(split) == [(f"node{i % 2}", f"line {i}") for i in range(4)]
    mixed = [("", "gpu0: out of memory"), ("", "step 1"), ("", "step 2"), ("", "step 3")]
    assert split_speakers(mixed) == mixed


# ── laws: what changes a log's dress changes no verdict ──────────────────────────────────────────────────────────

SAID = st.sampled_from(
    ["torch.OutOfMemoryError: CUDA out of memory.", "raise FileNotFoundError('checkpoint')", "loss is nan",
     "raise SaveError('unknown option')", "raise MemoryError('registry')", "raise TimeoutError('disk')",
     "OSError: [Errno 28] No space left on device", "Segmentation fault", "training finished", "step 9 loss nan"]
    + [rule.says.pattern[:90] for rule in LOG_RULES[::9]]
)  # fmt: skip


@functools.cache
def traced() -> list[dict]:  # type: ignore[type-arg]  # a case is any JSON
    """Cases in whose logs source lines stand; found when they are asked for, since every process reads this file."""
    return [
        case for case in SEEN[::3]
        if any(line.part is Part.SOURCE for seen in observe(evidence_of_case(case)).readings for line in seen.lines)
    ]  # fmt: skip


def saving_case() -> dict:  # type: ignore[type-arg]  # a case is any JSON
    """A case in which a library was writing when compiled code failed below it."""
    return next(case for case in SEEN if case["id"] == "storage.f-torch-dcp-async")


@settings(max_examples=120, deadline=None)
@given(st.deferred(lambda: st.sampled_from(traced())), SAID)
@example(saving_case(), "raise FileNotFoundError('checkpoint')")
@example(saving_case(), "raise RuntimeError('disk')")
@example(saving_case(), "assert disk")
def test_quoted_code_never_changes_a_verdict(case: dict, said: str) -> None:  # type: ignore[type-arg]  # a case is any JSON
    """Whatever errors the source lines of a traceback name: the verdict is that of code which tells nothing."""
    evidence = evidence_of_case(case)
    quoted = {
        line.position for reading in observe(evidence).readings for line in reading.lines
        if line.part is Part.SOURCE and line.origin.text.startswith("    ")
    }  # fmt: skip
    named, silent = (
        tuple(replace(o, text=f"      {code}") if i in quoted else o for i, o in enumerate(evidence.log))
        for code in (said, "step(x)")
    )
    assert classify(replace(evidence, log=named)).category == classify(replace(evidence, log=silent)).category


TRAILERS = (
    "Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.",
    "For debugging consider passing CUDA_LAUNCH_BLOCKING=1.",
    "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
    "To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html",
)
DRESSES: dict[str, Callable[[Sequence[LogLine]], list[LogLine]]] = {
    "clock": lambda log: [replace(o, text=f"2024-05-01 10:{i % 60:02}:07,123 {o.text}") for i, o in enumerate(log)],
    "host": lambda log: [replace(o, text=f"node017: {o.text}") for o in log],
    "trailers": lambda log: [*log, *(LogLine("log", 99_999, text) for text in TRAILERS)],
}


@pytest.mark.parametrize("dress", DRESSES)
def test_what_a_log_is_wrapped_in_never_changes_a_verdict(dress: str) -> None:
    """Clocks, hosts and stock trailers say nothing, on every twelfth case that rules are written against."""
    changed = []
    for case in SEEN[::12]:
        evidence = evidence_of_case(case)
        if len(evidence.log) < 5 or any(line.text.startswith("[") for line in evidence.log):
            continue
        dressed = replace(evidence, log=tuple(DRESSES[dress](evidence.log)))
        before, after = classify(evidence), classify(dressed)
        if before.category != after.category:
            changed.append((case["id"], before.rule, after.rule))
    assert changed == []


def test_a_line_keeps_its_depth_without_its_stock_sentences() -> None:
    """In a traceback depth tells code from what speaks."""
    said = "See the log files for more information"
    assert without_stock(f"    {said}: raise") == "    : raise"
    assert without_stock(f"{said}: raise") == ": raise"
    assert without_stock(f"    {said}") == "    ·"
