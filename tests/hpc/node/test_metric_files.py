"""Metrics that a program leaves in files: a whole run for each kind, and which files are the program's."""

import os
import shutil
from pathlib import Path

import pytest

from hpc.core.errors import InputError
from hpc.core.experiment.metric_source import parse_source
from hpc.metrics import is_complete, read, read_summary
from hpc.node.metric_files import find_files
from hpc.node.metric_tap import MetricTap
from tests.local_projects import EXPERIMENT, make_project

PROGRAM = """
import json, pathlib, sys
out = pathlib.Path(sys.argv[3])
(out / "logs").mkdir(exist_ok=True)
x = float(sys.argv[1])
(out / "logs/metrics.csv").write_text(f"step,loss\\n0,{x}\\n1,{x / 2}\\n")
(out / "final.json").write_text(json.dumps({"loss": x / 2}))
"""


@pytest.mark.parametrize("source", ["csv: 'logs/*.csv'", "json_file: final.json"])
def test_a_program_that_writes_files_is_collected(tmp_path: Path, source: str) -> None:
    """Planned, run and collected without an import of ours and without a line on stdout."""
    text = EXPERIMENT.replace("{x} {seed}", "{x} {seed} {out_dir}").replace(
        "{stdout: 'loss: (?P<loss>\\S+)'}", f"{{{source}}}"
    )
    assert source in text
    project = make_project(tmp_path, text, PROGRAM)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny")
    project.hpc("collect", "tiny")

    assert {name: each["summary"]["loss"] for name, each in project.verdicts().items()} == {"X1": 0.5, "X2": 1.0}


def test_a_file_in_the_working_folder_is_found(tmp_path: Path) -> None:
    """Written by a relative name, as programs do; the same file of the repository is not taken for it."""
    program = "import pathlib, sys\nprint('started')\nx = float(sys.argv[1])\n"
    program += "if x > 1:\n    pathlib.Path('metrics.csv').write_text(f'step,loss\\n0,{x}\\n')\n"
    project = make_project(
        tmp_path, EXPERIMENT.replace("{stdout: 'loss: (?P<loss>\\S+)'}", "{csv: metrics.csv}"), program
    )
    (tmp_path / "metrics.csv").write_text("step,loss\n0,0.001\n")
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny")
    project.hpc("collect", "tiny", expect=1)
    told = project.verdicts()

    assert told["X2"]["summary"]["loss"] == 2.0
    assert told["X1"]["outcome"] == "failed"
    assert "loss" not in told["X1"]["summary"]


def tap(source: dict[str, str], folder: Path, code: Path | None = None) -> MetricTap:
    """A tap over a folder that a program worked in."""
    return MetricTap(parse_source(source), folder / "metrics.h5", places=(folder / "work", folder), code=code)


def test_rows_and_final_values_are_kept(tmp_path: Path) -> None:
    """Steps and values of every file, the last of each as the summary; complete once the program finished."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work/a.csv").write_text("step,loss\n1,3\n2,2\n")
    assert tap({"csv": "a.csv"}, tmp_path).close(finished=True) == {"loss": 2.0}

    path = tmp_path / "metrics.h5"
    assert read(path)["loss"].step.tolist() == [1, 2]
    assert read_summary(path) == {"loss": 2.0}
    assert is_complete(path)


def test_without_a_file_nothing_is_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said, and no value is made up."""
    assert tap({"csv": "none.csv"}, tmp_path).close(finished=True) == {}
    assert not is_complete(tmp_path / "metrics.h5")
    assert "no file none.csv matched metrics.source" in capsys.readouterr().err


def test_a_file_of_the_repository_is_no_result(tmp_path: Path) -> None:
    """Results of another day that lie in the repository are in every working folder; they count once they change."""
    code, work = tmp_path / "code", tmp_path / "work"
    code.mkdir()
    (code / "metrics.json").write_text('{"loss": 0.001}')
    shutil.copytree(code, work)
    source = parse_source({"json_file": "metrics.json"})

    assert find_files(source, (work, tmp_path), code) == []
    (work / "metrics.json").write_text('{"loss": 0.002}')
    assert find_files(source, (work, tmp_path), code) == [work / "metrics.json"]


def test_a_file_of_an_earlier_attempt_is_no_result(tmp_path: Path) -> None:
    """`{out_dir}` is the same for all attempts: what was there before the program started is not its own."""
    (tmp_path / "a.csv").write_text("step,loss\n1,3\n")
    os.utime(tmp_path / "a.csv", (100, 100))
    source = parse_source({"csv": "a.csv"})

    assert find_files(source, (tmp_path,), since=99.0) == [tmp_path / "a.csv"]
    assert find_files(source, (tmp_path,), since=101.0) == []


def test_event_files_are_found_below_their_folder(tmp_path: Path) -> None:
    """In folders of any depth, each once, the oldest first; other files there are none of them."""
    for name in ("runs/a/events.out.tfevents.1", "runs/events.out.tfevents.2", "runs/a/model.pt"):
        (tmp_path / "work" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "work" / name).touch()
    found = find_files(parse_source({"tensorboard": "runs"}), (tmp_path / "work", tmp_path))

    assert {path.name for path in found} == {"events.out.tfevents.1", "events.out.tfevents.2"}


@pytest.mark.parametrize("kind", ["csv", "json_file", "tensorboard", "wandb"])
@pytest.mark.parametrize("path", ["/etc/x.csv", "../x.csv", "a/../../x", "~/x", "{out_dir}/x.csv", " "])
def test_a_path_stays_in_the_runs_folder(kind: str, path: str) -> None:
    """Absolute paths, parents and placeholders are refused with what to write instead."""
    with pytest.raises(InputError, match=f"metrics.source.{kind}"):
        parse_source({kind: path})
