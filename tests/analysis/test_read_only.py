"""Runs that can only be read (a snapshot, another's disk, a full quota) are reported and exported all the same."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from analysis import export, report
from tests.analysis.made_experiments import Experiment


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let a folder take nothing; skipped where we may not mount."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=False, capture_output=True)
    if subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a folder read-only")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


COMMANDS = {
    "report": (report.main, ["lora_sweep", "--format", "md"], "report lora_sweep --out FOLDER"),
    "compare": (
        report.main,
        ["--compare", "lora_sweep", "lora_sweep"],
        "report --compare lora_sweep lora_sweep --out FOLDER",
    ),
    "export": (export.main, ["lora_sweep", "--to", "csv"], "export lora_sweep --to csv --out FOLDER"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_can_only_be_read_is_written_elsewhere(
    realistic: Experiment, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the folder and the option; with it everything is built, and nothing of the runs is touched."""
    main, arguments, hint = COMMANDS[command]
    home = realistic.write().home
    arguments, out = [*arguments, "--root", str(home.parent)], tmp_path / "elsewhere"
    with read_only(home):
        assert main(arguments) == 1
        said = capsys.readouterr().err
        assert f"cannot be written: Read-only file system; choose another folder: python -m hpc.{hint}" in said
        assert main([*arguments, "--out", str(out)]) == 0
        told = capsys.readouterr()
    assert str(out) in told.out
    assert any(out.iterdir())
    assert ("could not record this look" in told.err) is (command == "report")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_the_way_out_is_named_where_it_is_one(
    realistic: Experiment, number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a folder that takes nothing, whatever the reason; a broken disk is another matter."""

    def refuse(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(report, "make_folder", refuse)
    layout = realistic.write()
    assert report.main(["lora_sweep", "--root", str(layout.root), "--format", "md"]) == 1
    said = capsys.readouterr().err
    assert (os.strerror(number) in said, "--out FOLDER" in said) == (True, number != errno.EIO)
