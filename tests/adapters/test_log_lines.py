"""Logs for people: their last lines, the lines that match, and what comes in, whatever happens to the file."""

import re
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.adapters import log_lines
from hpc.adapters.log_lines import LogReader, search_log, start_of_tail
from hpc.core.log_search import parse_search
from tests.core.test_log_search import lines_of, writings

contents = st.text(alphabet="ab\n\r", max_size=120).map(str.encode)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes at a time, so that lines lie across every kind of border."""
    monkeypatch.setattr(log_lines, "BLOCK", 16)
    monkeypatch.setattr(log_lines, "OVERLAP", 4)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs") / "a.log"


@given(contents, st.sampled_from(["aa", "^a", "b$", "a.?b", "^$", "(?<!a)b"]))
def test_a_log_is_searched_as_if_it_were_read_whole(log: Path, content: bytes, pattern: str) -> None:
    """No line is lost or counted twice at the borders of what is read at once; only a line that is too long to be held
    may match `^` and `$` at them."""
    log.write_bytes(content)
    found = {each.line for each in search_log(log, parse_search(pattern))}
    asked = re.compile(pattern.encode(), re.MULTILINE)
    wanted, may = set[int](), set[int]()
    for number, line in enumerate(lines_of(content), 1):
        if any(asked.search(each) for each in writings(line)):
            wanted.add(number)
        if len(line) >= 16:
            may.add(number)
    assert wanted <= found <= wanted | may
    assert sorted(found) == [each.line for each in search_log(log, parse_search(pattern))]


@given(contents, st.integers(0, 12))
def test_the_tail_is_the_last_lines(log: Path, content: bytes, lines: int) -> None:
    """So many lines, or all where there are fewer, found from the end."""
    log.write_bytes(content)
    kept = content.splitlines(keepends=True) if b"\r" not in content else re.findall(rb"[^\n]*\n|[^\n]+\Z", content)
    assert content[start_of_tail(log, lines) :] == b"".join(kept[len(kept) - lines :] if lines < len(kept) else kept)


class Events:
    """What happens to a log, drawn by hypothesis."""

    append, cut, replace, remove = "append", "cut", "replace", "remove"


steps = st.lists(
    st.tuples(st.sampled_from([Events.append, Events.cut, Events.replace, Events.remove]), st.binary(max_size=40)),
    max_size=8,
)


@given(steps)
def test_what_is_read_on_is_all_that_was_written(tmp_path_factory: pytest.TempPathFactory, events: object) -> None:
    """Appended, cut short, replaced, removed and made anew: between two looks each byte comes once, and it is said."""
    path = tmp_path_factory.mktemp("read") / "b.log"
    reader, written, read, said = LogReader(path), b"", b"", []
    assert isinstance(events, list)
    for what, data in events:
        before = path.stat().st_size if path.exists() else None
        if what == Events.append:
            with path.open("ab") as file:
                file.write(data)
            written += data
        elif what == Events.cut and before:
            path.write_bytes(b"")
        elif what == Events.replace:
            path.with_suffix(".new").write_bytes(data)
            path.with_suffix(".new").rename(path)
            written += data
        elif what == Events.remove:
            path.unlink(missing_ok=True)
        while (more := reader.read()) or reader.said:
            read += more
            said += [reader.said] * bool(reader.said)
            if not more:
                break
    reader.close()
    assert read == written
    assert len(said) <= sum(what in (Events.cut, Events.replace, Events.append) for what, _ in events)


def test_memory_does_not_grow_with_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen megabytes without a line end, and the same as a progress bar: searched within a megabyte, found once."""
    monkeypatch.undo()
    for name, unit in (("one.log", b"x" * 63 + b"."), ("bar.log", b"x" * 63 + b"\r")):
        path = tmp_path / name
        path.write_bytes(unit * (1 << 18) + b"error\n")
        tracemalloc.start()
        found = list(search_log(path, parse_search("error")))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert [each.line for each in found] == [1]
        assert len(found[0].text) < 3 * log_lines.SHOWN
        assert peak < 1 << 20
