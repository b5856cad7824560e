"""What a run by hand leaves for people; a whole one is in test_symmetry.py."""

import json
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from hpc.adapters.yaml_file import load_yaml
from hpc.callbacks.stop import StopRequest
from hpc.core.errors import HpcError
from train import program, symmetry
from train.by_hand import HandRecord, is_by_hand

pytestmark = pytest.mark.train


def test_a_folder_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With code 2, before PyTorch is imported."""
    monkeypatch.setattr(StopRequest, "listen", lambda _: None)
    (tmp_path / "file").touch()
    args = symmetry.parser().parse_args(["--output_dir", str(tmp_path / "file/run")])
    with pytest.raises(SystemExit, match="2"):
        program.run_to_end(args, lambda *_: pytest.fail("it ran"))
    assert "--output_dir: nothing can be written to" in capsys.readouterr().err


def test_what_went_wrong_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that fails says so in its final values and in its log; `--resume` of nothing begins anew."""

    def end(code: int) -> NoReturn:
        raise SystemExit(code)

    def fail(*_: object) -> NoReturn:
        raise HpcError("loss is nan at step 7")

    monkeypatch.setattr(program, "end", end)
    monkeypatch.setattr(program, "start", lambda **_: None)
    monkeypatch.setattr(StopRequest, "listen", lambda _: None)
    args = symmetry.parser().parse_args(["--output_dir", str(tmp_path), "--resume"])
    assert program.Places.of(args).resume is None
    with pytest.raises(SystemExit, match="1"):
        program.run_to_end(args, fail)

    told = json.loads((tmp_path / "metrics.json").read_text())
    assert told == {
        "outcome": "failed", "exit_code": 1, "reason": "HpcError: loss is nan at step 7", "complete": False,
    }  # fmt: skip
    assert (tmp_path / "train.log").read_text() == "HpcError: loss is nan at step 7\n"


def test_a_resumed_run_continues_its_log(tmp_path: Path) -> None:
    """Another beginning in the same folder does not; what is told of an earlier end is gone either way."""
    out = sys.stdout
    for text, resumes, logged in (("one", False, "one\n"), ("two", True, "one\ntwo\n"), ("three", False, "three\n")):
        record = HandRecord.begin(tmp_path, {"gamma": 0.5, "output_dir": tmp_path}, resumes=resumes)
        assert not (tmp_path / "metrics.json").exists()
        sys.stdout.write(f"{text}\n")
        record.finish(0, step=3)
        assert sys.stdout is out
        assert (tmp_path / "train.log").read_text() == logged
    assert load_yaml(tmp_path / "config.yaml").data["output_dir"] == str(tmp_path)


@pytest.mark.parametrize(
    ("variables", "expected"), [({}, True), ({"HPC_ATTEMPT_DIR": "/runs/x"}, False), ({"RANK": "1"}, False)]
)
def test_the_toolkit_keeps_its_own_record(
    variables: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written under the toolkit, and only the first process writes."""
    for name in ("HPC_ATTEMPT_DIR", "RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_by_hand() is expected
