"""Reading logs: true line numbers, bounded memory, nothing that breaks it."""

import resource
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc.adapters import logs
from hpc.core.failures import log_scan

PROGRESS = b"[rank0]:[titan] step: %d  loss:  2.8168  grad_norm:  0.7967  memory: 61.20GiB(77.40%%)  tps: 7,112\n"


def expected(data: bytes) -> dict[int, str]:
    """The same choice made the slow and obvious way."""
    lines = [log_scan.clean(raw.decode("utf-8", "replace")) for raw in data.split(b"\n")]
    if not lines[-1]:
        lines.pop()
    suspects = [i for i, line in enumerate(lines) if log_scan.suspicious(line)]
    ends = [*range(len(lines))[: logs.HEAD], *range(len(lines))[-logs.KEEP :]]
    keep = {*suspects[: logs.KEEP], *suspects[-logs.KEEP :], *ends}
    return {i + 1: lines[i] for i in keep}


def read(path: Path) -> dict[int, str]:
    return {line.line: line.text for line in logs.read_log(path, "stderr")}


def test_absent_and_empty(tmp_path: Path) -> None:
    """A log that does not exist or holds nothing has no lines."""
    (tmp_path / "empty").touch()
    assert logs.read_log(tmp_path / "none", "stderr") == ()
    assert logs.read_log(tmp_path / "empty", "stderr") == ()


@pytest.mark.parametrize("every", [100_000, 5_000, 97, 3, 1])
@pytest.mark.parametrize("end", [b"", b"last line without end"])
def test_large_file_gives_the_same_lines_as_the_obvious_way(tmp_path: Path, every: int, end: bytes) -> None:
    """Line numbers and choice are right however many of the lines are suspicious."""
    data = b"".join(PROGRESS % i if i % every else b"RuntimeError: number %d\n" % i for i in range(24_000)) + end
    path = tmp_path / "big.log"
    path.write_bytes(data)
    assert len(data) > logs.TAIL_BYTES // 8
    assert read(path) == expected(data)


def test_each_needle_is_found_in_the_middle_of_a_large_file(tmp_path: Path) -> None:
    """The byte search finds every needle, in capitals too, at any offset."""
    padding = PROGRESS % 1 * 3000
    needles = [b"x" * (i % 5) + needle.upper().encode() for i, needle in enumerate(log_scan.NEEDLES)]
    path = tmp_path / "needles.log"
    path.write_bytes(padding + b"\n".join(needles) + b"\n" + padding)
    found = [line.text for line in logs.read_log(path, "stderr") if not line.text.startswith("[rank0]")]
    assert found == [needle.decode() for needle in needles]


def test_one_endless_line(tmp_path: Path) -> None:
    """A progress bar of megabytes without a line end keeps its error and stays small."""
    path = tmp_path / "bar.log"
    path.write_bytes(b" 10%|##   |\r" * 400_000 + b"RuntimeError: CUDA error\r" + b" 20%|##   |\r" * 400_000)
    texts = [line.text for line in logs.read_log(path, "stderr")]
    assert "RuntimeError: CUDA error" in texts
    assert all(len(text) <= log_scan.MAX_LINE for text in texts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=40))
def test_any_bytes_are_read(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]) -> None:
    """Random bytes, broken UTF-8 and NULs never raise, small or large, and numbers only rise."""
    path = tmp_path_factory.mktemp("logs") / "x.log"
    for padding in (b"", PROGRESS % 1 * 6000):
        path.write_bytes(padding + b"\n".join(parts))
        numbers = [line.line for line in logs.read_log(path, "stderr")]
        assert numbers == sorted(set(numbers))


def test_memory_is_bounded(tmp_path: Path) -> None:
    """150 MB of log, half of it errors, add less than 60 MB to the memory of the reader."""
    path = tmp_path / "huge.log"
    with path.open("wb") as file:
        for _ in range(75):
            file.write(PROGRESS % 1 * 10_000 + b"Error: something failed again, nan\n" * 28_000)
    logs.read_log(path, "stderr")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(logs.read_log(path, "stderr")) <= 3 * logs.KEEP + logs.HEAD
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60 * 1024


def test_without_the_engine_the_same_lines_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compute node's bare Python reads a log line by line, and keeps the same lines."""
    path = tmp_path / "x.log"
    path.write_bytes(b"".join(PROGRESS % i if i % 50 else b"RuntimeError: number %d\n" % i for i in range(6_000)))
    with_it = read(path)
    monkeypatch.setattr(logs, "is_fast", lambda: False)
    assert read(path) == with_it


@given(st.lists(st.text(st.characters(codec="ascii"), max_size=40), max_size=400))
def test_a_clean_log_is_read_as_any_other(lines: list[str]) -> None:
    """Where no byte needs cleaning, or all lines are kept, nothing is looked at that would be passed over."""
    data = "\n".join(lines).encode()
    found = {line.line: line.text for line in logs._whole(data, "stderr")}
    assert found == expected(data)
