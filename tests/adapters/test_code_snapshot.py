"""The frozen code: named by its content, complete or absent, never followed by later edits."""

import marshal
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from hpc.adapters import code_snapshot
from hpc.adapters.code_snapshot import check_code, code_digest, freeze_code
from hpc.core.errors import InputError

TIMESTAMP = py_compile.PycInvalidationMode.TIMESTAMP


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

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    source = tmp_path / "a.py"
    source.write_text("x")
    monkeypatch.setattr("os.fdopen", fail)
    with pytest.raises(OSError, match="No space"):
        freeze_code({"a.py": source}, tmp_path / "store/digest")
    assert list((tmp_path / "store").iterdir()) == []


def test_data_is_not_code(tmp_path, monkeypatch):
    """Too much to copy for every change: the largest file is named, and what to do."""
    monkeypatch.setattr(code_snapshot, "MAX_BYTES", 10)
    (tmp_path / "data.csv").write_text("x" * 100)
    with pytest.raises(InputError, match=r"largest file is data\.csv"):
        code_digest({"data.csv": tmp_path / "data.csv"})


def _frozen(folder):
    source = folder / "project"
    (source / "pkg").mkdir(parents=True)
    (source / "pkg/train.py").write_text("one")
    (source / "run.sh").write_text("two")
    (source / "run.sh").chmod(0o755)
    files = {name: source / name for name in ("pkg/train.py", "run.sh")}
    target = folder / "tiny/code" / code_digest(files)[:16]
    freeze_code(files, target)
    return files, target, code_digest(files)


def test_a_copy_is_closed_and_what_it_was(tmp_path):
    """Nothing in it, folders included, can be written; it passes its own check, with bytecode of ours in it, too."""
    files, target, digest = _frozen(tmp_path)
    assert [path for path in (target, *target.rglob("*")) if path.stat().st_mode & 0o222] == []
    check_code(target, digest)
    freeze_code(files, target)
    target.chmod(0o700)
    (target / "__pycache__").mkdir(0o700)
    (target / "__pycache__/train.pyc").touch()
    check_code(target, digest)
    check_code(tmp_path / "gone", digest)


def test_bytecode_is_frozen_with_a_module_and_belongs_to_it_alone(tmp_path):
    """A frozen module is loaded from its bytecode, whatever its time, closed like the rest; edited, it is refused."""
    source = tmp_path / "project/pkg/train.py"
    source.parent.mkdir(parents=True)
    source.write_text("value = 1")
    files = {"pkg/train.py": source}
    target = tmp_path / "code" / code_digest(files)
    freeze_code(files, target, compiled=["pkg/train.py"])
    assert [path for path in (target, *target.rglob("*")) if path.stat().st_mode & 0o222] == []
    check_code(target, code_digest(files))
    (bytecode,) = target.rglob("*.pyc")

    def load() -> tuple[int, str]:
        line = "import train; print(train.value, train.__spec__.cached)"
        told = subprocess.check_output([sys.executable, "-B", "-c", line], cwd=target / "pkg", text=True)
        value, cached = told.split()
        return int(value), cached

    assert load() == (1, str(bytecode))
    os.utime(target / "pkg/train.py", (1, 1))  # as in a copy of the run
    assert load() == (1, str(bytecode))
    _edit(target, "value = 33")
    with pytest.raises(InputError, match="copy of the code"):
        check_code(target, code_digest(files))


def test_what_python_has_compiled_is_taken_while_it_is_of_this_module(tmp_path):
    """Code that was compiled for an import is frozen, with its lines in the copy; of an edited module it is not."""
    source = tmp_path / "project/train.py"
    source.parent.mkdir()
    source.write_text("import sys\ndef fail(): raise ValueError('of the source')\n")
    kept = Path(py_compile.compile(str(source), doraise=True, invalidation_mode=TIMESTAMP))
    code = compile("import sys\ndef fail(): raise ValueError('as it was kept')\n", source, "exec")
    kept.write_bytes(kept.read_bytes()[:16] + marshal.dumps(code))

    def said(name: str) -> str:
        freeze_code({"train.py": source}, tmp_path / name, compiled=["train.py"])
        line = [sys.executable, "-B", "-c", "import train; train.fail()"]
        return subprocess.run(line, cwd=tmp_path / name, capture_output=True, text=True, check=False).stderr

    assert "as it was kept" in (told := said("one"))
    assert f'File "{tmp_path / "one" / "train.py"}", line 2' in told
    os.utime(source, (1, 1))
    assert "of the source" in (told := said("two"))
    assert f'File "{tmp_path / "two" / "train.py"}", line 2' in told
    kept.unlink()
    assert "of the source" in said("three")


def _edit(target, text="three"):
    (target / "pkg/train.py").chmod(0o600)
    (target / "pkg/train.py").write_text(text)


CHANGES = {
    "edited": _edit,
    "added": lambda target: (target / "sitecustomize.py").touch(),
    "removed": lambda target: (target / "run.sh").unlink(),
    "made executable": lambda target: (target / "pkg/train.py").chmod(0o500),
    "linked": lambda target: (target / "os.py").symlink_to("/etc/passwd"),
    "bytecode of others": lambda target: [
        (target / "__pycache__").mkdir(),
        (target / "__pycache__").chmod(0o775),
        (target / "__pycache__/train.pyc").touch(),
    ],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_that_was_changed_does_not_run(tmp_path, change):
    """Edited, added to, taken from: said, and planning on the same code does not take it for good either."""
    files, target, digest = _frozen(tmp_path)
    for folder in (target, target / "pkg"):
        folder.chmod(0o700)
    CHANGES[change](target)
    with pytest.raises(InputError, match="copy of the code"):
        check_code(target, digest)
    with pytest.raises(InputError, match="copy of the code"):
        freeze_code(files, target)
