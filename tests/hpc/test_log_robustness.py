"""Hostile and enormous logs: read in bounded memory, at speed, and always answered."""

import io
import json
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpc.adapters.logs import read_log, read_log_stream
from hpc.core.failures import course, curves, log_scan, lone, rule_gate, scene
from hpc.core.failures.classify import classify
from hpc.core.failures.engine import Finder
from hpc.core.failures.evidence import Evidence, FailureClass
from hpc.core.failures.log_noise import KNOWN_NOISE
from hpc.core.failures.log_rules import LOG_RULES
from hpc.core.failures.reading import native, prefixes, python, sentence, stock, traces
from hpc.core.failures.rules import stack
from hpc.core.slurm.states import SlurmState
from tests.corpus.cases import HERE, load_cases
from tests.machine import slowness

PIECES = sorted(
    {
        line
        for case in load_cases()[::4]
        for line in (HERE / case["log"]).read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
    }
)


def classify_bytes(folder: Path, data: bytes) -> FailureClass:
    path = folder / "x.log"
    path.write_bytes(data)
    return classify(Evidence(state=SlurmState.FAILED, exit_code=1, log=read_log(path, "log"))).category


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=3000))
def test_random_bytes_are_answered(tmp_path: Path, data: bytes) -> None:
    """500 random byte strings: no crash, and a failed run never becomes a success."""
    assert classify_bytes(tmp_path, data) is not FailureClass.SUCCESS


@pytest.mark.parametrize("size", [0, 1, 399, 401, 20_000, 90_000])
def test_a_stream_tells_what_a_file_tells(tmp_path: Path, size: int) -> None:
    """What can be read once only gives the same lines with the same numbers, long lines and torn ends included."""
    draw = random.Random(size)  # noqa: S311
    rows = [draw.choice([*PIECES[:50], "step 1 loss 2", "", "x" * 700, "a\rKilled\rb"]).encode() for _ in range(size)]
    data = b"\n".join(rows) + draw.choice([b"", b"\n"])
    path = tmp_path / "x.log"
    path.write_bytes(data)
    assert read_log_stream(io.BytesIO(data), "log") == read_log(path, "log")


def test_a_stream_of_one_line_keeps_little(tmp_path: Path) -> None:
    """A progress bar of 40 MB that never ends its line is one line, and is cut."""
    lines = read_log_stream(io.BytesIO(b"\r 10%|# |" * 4_000_000 + b"\nKilled\n"), "log")
    assert [line.line for line in lines] == [1, 2]
    assert lines[1].text == "Killed"
    assert len(lines[0].text) <= log_scan.MAX_LINE


PREFIXES = st.sampled_from(
    ["", "[rank3]: ", "12: ", "\x1b[31m", "\x00\x00", "[1,7]<stderr>: ", "\r 10%|# |\r", "(W pid=7) "]
)
HOSTILE = st.one_of(
    st.sampled_from(PIECES),
    st.sampled_from(
        [
            "Traceback (most recent call last):",
            '  File "a.py", line 1, in <module>',
            "Root Cause (first observed failure):",
        ]
    ),
    st.text(max_size=80),
    st.builds(lambda text, n: text * n, st.sampled_from([" ", "a.", "(", "nan ", "\x1b["]), st.integers(1, 3000)),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(PREFIXES, HOSTILE), max_size=40), st.sampled_from(["\n", "\r\n", "\r"]))
def test_scrambled_logs_are_answered(tmp_path: Path, parts: list[tuple[str, str]], end: str) -> None:
    """Real lines of all classes in any order, with any prefix, colours, NULs and line ends: always one verdict."""
    data = end.join(prefix + text for prefix, text in parts).encode("utf-8", "surrogatepass")
    assert classify_bytes(tmp_path, data) is not FailureClass.SUCCESS


ADVERSARIAL = ("a", "a.", "error ", "/", "0", "_", "A.a", "(", "nan ", "cannot ", "file </torch_", "[1,", "0/0 [", " ")
READERS = (log_scan, scene, course, curves, lone, rule_gate, stack, native, prefixes, python, sentence, stock, traces)
PATTERNS = [
    *((rule.id, rule.says) for rule in LOG_RULES),
    *((f"{rule.id} near", rule.near) for rule in LOG_RULES if rule.near),
    ("noise", KNOWN_NOISE),
    *(
        (f"{module.__name__}.{name}", value.slow if isinstance(value, Finder) else value)
        for module in READERS
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern | Finder)
    ),
]


def test_no_pattern_is_worse_than_linear() -> None:
    """On 20,000 characters, ten times what a line may have, no pattern takes a fifth of a second."""
    slow, most_s = [], 0.2 * slowness()
    for name, pattern in PATTERNS:
        for part in ADVERSARIAL:
            line = part * (20_000 // len(part))
            started = time.process_time()
            pattern.search(line)
            spent = time.process_time() - started
            if spent > most_s:
                slow.append((name, part, round(spent, 2)))
    assert slow == []


def test_flood_of_exceptions_is_classified_quickly(tmp_path: Path) -> None:
    """A log that is nothing but 40,000 tracebacks takes seconds at most."""
    started = time.process_time()
    classify_bytes(tmp_path, b"Traceback (most recent call last):\n  File 'a'\nKeyError: 'x'\n" * 40_000)
    assert time.process_time() - started < 5 * slowness()


READER = """
import json, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from pathlib import Path
from hpc.explaining.given import evidence_of_log
from hpc.core.failures.classify import classify
started = time.process_time()
evidence = evidence_of_log(Path(sys.argv[1]), "FAILED", "1:0", None)
spent = time.process_time() - started
verdict = classify(evidence)
# Not ru_maxrss: it starts at what the process that forked this one had.
peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps({"category": verdict.category, "line": verdict.evidence[0].line, "spent_s": spent, "peak_mib": peak}))
"""
PROGRESS = b"[2024-01-01 00:00:19] step 1234 | loss 2.8168 | lr 3.0e-04 | 1.97 s/it | memory 61.2 GiB\n"


@pytest.mark.parametrize("holes", [False, True], ids=["400-MB-of-text", "2-GB-with-holes"])
def test_enormous_log(tmp_path: Path, holes: bool) -> None:
    """2 GB (400 MB without holes) within 1 GiB of address space: right class and line, at least 100 MB a second."""
    path = tmp_path / "big.log"
    block = PROGRESS * (4_000_000 // len(PROGRESS))
    lines = 0
    with path.open("wb") as file:
        for _ in range(20 if holes else 100):
            file.write(block)
            lines += block.count(b"\n")
            if holes:
                file.seek(96_000_000, 1)  # NULs, as a crashed node leaves them; they hold no line end
        file.write(b"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n")
    size = path.stat().st_size
    assert size > (1_900_000_000 if holes else 390_000_000)
    done = subprocess.run(
        [sys.executable, "-c", READER, str(path)], capture_output=True, text=True, check=True, timeout=120
    )
    found = json.loads(done.stdout)
    assert (found["category"], found["line"]) == ("oom_gpu", lines + 1)
    assert found["peak_mib"] < 250
    assert size / 1e6 / found["spent_s"] > 100 / slowness()  # some 190 on a quiet machine
