"""Answers to the corpus that were remembered: of the same files alone, and whole."""

from pathlib import Path

import pytest

from tests.corpus import answers
from tests.corpus.answers import answer_all
from tests.corpus.cases import load_cases
from tests.corpus.remembered import digest_of, remembered


def test_they_are_those_of_the_classifier() -> None:
    """Of every 60th case what is remembered is what is answered now, and which rows know a line."""
    assert list(answers.answer_corpus()[::60]) == answer_all(load_cases()[::60])


def test_made_once_for_a_key(tmp_path: Path) -> None:
    """The second who asks makes nothing; of another key all is made, and only the newest is kept."""
    made: list[str] = []

    def make() -> list[str]:
        made.append("x")
        return list(made)

    assert [remembered(tmp_path, key, make) for key in ("a", "a", "b", "b")] == [["x"], ["x"], ["x"] * 2, ["x"] * 2]
    assert [path.name for path in tmp_path.glob("*.pickle*")] == ["b.pickle"]


@pytest.mark.parametrize("content", [b"", b"no seal", b"0" * 64 + b"\n\x80\x04N."])
def test_what_is_damaged_is_made_again(tmp_path: Path, content: bytes) -> None:
    """Cut, of another kind, or changed below its seal."""
    (tmp_path / "a.pickle").write_bytes(content)
    assert remembered(tmp_path, "a", lambda: 7) == 7
    assert remembered(tmp_path, "a", lambda: 8) == 7


def test_a_byte_or_a_name_is_another_key(tmp_path: Path) -> None:
    """Whatever changes of the files, what was remembered is not taken."""
    rules, log = tmp_path / "rules.py", tmp_path / "x.log"
    rules.write_text("a")
    log.write_text("b")
    seen = {digest_of([rules, log])}
    rules.write_text("c")
    seen.add(digest_of([rules, log]))
    log.write_text("bb")
    seen.add(digest_of([rules, log]))
    seen.add(digest_of([rules, log.rename(tmp_path / "y.log")]))
    seen.add(digest_of([rules]))
    assert len(seen) == 5
    assert digest_of([rules]) in seen
