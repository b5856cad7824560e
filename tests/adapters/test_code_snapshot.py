"""The frozen code: named by its content, complete or absent, never followed by later edits."""

import os
from pathlib import Path

import pytest

from hpc.adapters import code_snapshot
from hpc.adapters.code_snapshot import code_digest, find_source_files, freeze_code
from hpc.core.errors import InputError


def test_an_edit_never_reaches_a_snapshot(tmp_path):
    """The copy is read-only and stays; changed code, or only a changed x bit, is another snapshot."""
    source = tmp_path / "train.py"
    files = {"pkg/train.py": source}

    def freeze(text: str, mode: int = 0o644) -> Path:
        source.write_text(text)
        source.chmod(mode)
        folder = tmp_path / "store" / code_digest(files)
        freeze_code(files, folder)
        return folder

    first, again, other, executable = freeze("one"), freeze("one"), freeze("two"), freeze("two", 0o755)
    assert first == again
    assert len({first, other, executable}) == 3
    assert (first / "pkg/train.py").read_text() == "one"
    assert (first / "pkg/train.py").stat().st_mode & 0o777 == 0o400
    assert (executable / "pkg/train.py").stat().st_mode & 0o777 == 0o500


def test_a_copy_that_fails_leaves_nothing(tmp_path, monkeypatch):
    """The disk fills up in the middle: no folder under the snapshot's name, no temporary one."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    source = tmp_path / "a.py"
    source.write_text("x")
    monkeypatch.setattr(code_snapshot.shutil, "copyfile", fail)
    with pytest.raises(OSError, match="No space"):
        freeze_code({"a.py": source}, tmp_path / "store/digest")
    assert list((tmp_path / "store").iterdir()) == []


def test_data_is_not_code(tmp_path, monkeypatch):
    """Too much to copy for every change: the largest file is named, and what to do."""
    monkeypatch.setattr(code_snapshot, "MAX_BYTES", 10)
    (tmp_path / "data.csv").write_text("x" * 100)
    with pytest.raises(InputError, match=r"largest file is data\.csv"):
        code_digest({"data.csv": tmp_path / "data.csv"})


def test_source_files_are_found_by_suffix(tmp_path):
    """Outside git: sources, no caches, no environments, no runs, nothing hidden."""
    for name in ("a.py", "p/b.yaml", "p/weights.pt", ".venv/c.py", "runs/d.py", "__pycache__/e.py", ".hidden/f.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    assert [os.fspath(path) for path in find_source_files(tmp_path)] == ["a.py", "p/b.yaml"]
