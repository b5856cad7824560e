"""Bytes put down and lines found by their key: whoever asks gets what was put there, also from another thread."""

import threading
from pathlib import Path

import pytest

from hpc.adapters import keyed_lines
from hpc.adapters.keyed_lines import KeyedLines
from hpc.adapters.spool import MOST_IN_MEMORY, Spool


def test_a_thread_reads_while_another_puts_down(tmp_path: Path) -> None:
    """Two lists share a spool, across the moment at which it goes to the disk."""
    spool = Spool(tmp_path)
    old, new = KeyedLines(spool), KeyedLines(spool)
    for number in range(100):
        old.put(b"%d\told" % number)
    wrong: list[bytes] = []
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            wrong.extend(key for key in (b"7", b"93", b"41") if old.get(key) != key + b"\told")

    reader = threading.Thread(target=ask)
    reader.start()
    for number in range(2 * MOST_IN_MEMORY // 4096):
        new.put(b"%d\t" % number + bytes(4096))
    is_over.set()
    reader.join()
    spool.close()
    assert wrong == []


def test_keys_of_one_hash_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred thousand keys some pair has one hash: they are different all the same, and each is found."""
    monkeypatch.setattr(keyed_lines, "_HASH", 0)
    lines = KeyedLines(Spool(tmp_path))
    for key in (b"a", b"b", b"c"):
        lines.put(key + b"\t1")
    assert lines.is_unique
    assert [lines.get(key) for key in (b"c", b"a", b"b")] == [b"c\t1", b"a\t1", b"b\t1"]
    lines.put(b"b\t2")
    assert not lines.is_unique
