"""Metrics in files of a program's own: CSV, JSON, TensorBoard and wandb, as the world writes them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.experiment.metric_files import read_csv, read_events, read_json, read_wandb


def rows(readings: list[object]) -> list[tuple[object, object]]:
    """Step and values."""
    return [(each.step, dict(each.values)) for each in readings]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("step,loss\n0,1.5\n10,0.5\n", [(0, {"loss": 1.5}), (10, {"loss": 0.5})]),
        ("epoch;val loss;note\n1;0,5;a\n2;0.25;b\n", [(2, {"val loss": 0.25})]),
        ("loss\tacc\n1\t0.5\n", [(None, {"loss": 1.0, "acc": 0.5})]),
        ("epoch,step,train_loss,val_loss\n0,9,1.0,\n0,9,,0.5\n", [(9, {"epoch": 0.0, "train_loss": 1.0}),
                                                                  (9, {"epoch": 0.0, "val_loss": 0.5})]),
        ("\ufeffStep,loss\r\n1,nan\r\n", None),
        ('"step","loss, mean"\n1,"0.5"\n', [(1, {"loss, mean": 0.5})]),
        ("step,loss\n1,0.5\n2,0.2", [(1, {"loss": 0.5})]),
        ("", []),
        ("step,loss\n", []),
    ],
)  # fmt: skip
def test_csv_files_are_read(text: str, expected: list[object] | None) -> None:
    """Commas, semicolons, tabs, quotes, empty cells, a byte-order mark; a last line without its end is left out."""
    found = rows(read_csv(text.encode()))  # type: ignore[arg-type]

    if expected is None:
        assert [(step, str(values)) for step, values in found] == [(1, "{'loss': nan}")]
    else:
        assert [each for each in found if each[1]] == expected


def test_a_step_that_is_none_is_said() -> None:
    """A row whose step cannot be read is not counted under another one."""
    (reading,) = read_csv(b"step,loss\nlast,0.5\n")

    assert reading.values == {}
    assert "'last' is not an integer" in reading.ignored[0]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"final_error": 0.5, "n": 3, "name": "x", "ok": True}, [(None, {"final_error": 0.5, "n": 3.0})]),
        ({"val": {"loss": 0.5}}, [(None, {"val/loss": 0.5})]),
        ({"loss": [2, 1], "acc": 0.5}, [(0, {"loss": 2.0}), (1, {"loss": 1.0}), (None, {"acc": 0.5})]),
        ([{"step": 1, "loss": 2}, {"step": 2, "loss": 1}], [(1, {"loss": 2.0}), (2, {"loss": 1.0})]),
        (
            {"best": 0.1, "log_history": [{"global_step": 5, "loss": 2.0}]},
            [(5, {"loss": 2.0}), (None, {"best": 0.1})],
        ),
        ([1, 2], []),
        ("text", []),
    ],
)
def test_json_files_are_read(data: object, expected: list[object]) -> None:
    """Final values, inner objects, lists over the steps, records with a step, a history beside final values."""
    assert rows(read_json(json.dumps(data).encode())) == expected  # type: ignore[arg-type]


def test_json_lines_are_read() -> None:
    """One object a line; a line that is cut is left out."""
    assert rows(read_json(b'{"step": 1, "loss": 2}\n{"step": 2, "loss": 1}\n{"step": 3, "lo')) == [  # type: ignore[arg-type]
        (1, {"loss": 2.0}),
        (2, {"loss": 1.0}),
    ]


@given(st.binary(max_size=300), st.sampled_from([read_csv, read_json, read_events, read_wandb]))
def test_no_file_raises(content: bytes, reader: object) -> None:
    """Whatever a program left, reading it gives readings."""
    assert callable(reader)
    assert isinstance(reader(content), list)


def written_by_tensorboard(folder: Path) -> bytes:
    """An event file as tensorboard's own writer makes it: plain and tensor scalars, and what is no scalar."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for step, value in ((0, 2.5), (10, -0.5), (2**40, float("nan"))):
        writer.add_event(Event(step=step, summary=Summary(value=[Summary.Value(tag="train/loss", simple_value=value)])))
    tensor = TensorProto(dtype=1, float_val=[0.25])
    writer.add_event(Event(step=7, summary=Summary(value=[Summary.Value(tag="val", tensor=tensor)])))
    packed = TensorProto(dtype=1, tensor_content=b"\x00\x00\x80\x3f")
    writer.add_event(Event(step=8, summary=Summary(value=[Summary.Value(tag="val", tensor=packed)])))
    writer.add_event(Event(step=9, summary=Summary(value=[Summary.Value(tag="text", tensor=TensorProto(dtype=7))])))
    writer.close()
    (path,) = folder.iterdir()
    return path.read_bytes()


def test_tensorboards_own_files_are_read(tmp_path: Path) -> None:
    """Scalars of both kinds with their steps; a file that is cut anywhere gives the records before the cut."""
    content = written_by_tensorboard(tmp_path)
    found = rows(read_events(content))  # type: ignore[arg-type]

    assert [step for step, _ in found] == [0, 10, 2**40, 7, 8]
    assert found[:2] == [(0, {"train/loss": 2.5}), (10, {"train/loss": -0.5})]
    assert found[3:] == [(7, {"val": 0.25}), (8, {"val": 1.0})]
    for end in range(0, len(content), 7):
        assert rows(read_events(content[:end]))[:2] == found[: len(read_events(content[:end]))][:2]  # type: ignore[arg-type]


LOGS_TO_WANDB = """
import wandb
run = wandb.init(project="p", config={"lr": 0.1})
for step in range(3):
    wandb.log({"train/loss": 1 / (step + 1), "val": {"acc": step / 4}, "text": "x" * 30_000, "ok": True, "m": "3"})
wandb.log({"top": 7.0})
wandb.log({"late": float("nan")}, step=10)
run.summary["best_acc"] = 0.75
run.summary["top"] = 9.0
run.finish()
"""


@pytest.fixture(scope="module")
def written_by_wandb(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of one offline run, of wandb's own making, longer than one of its blocks."""
    folder = tmp_path_factory.mktemp("wandb")
    settings = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_DIR": str(folder)}
    subprocess.run([sys.executable, "-c", LOGS_TO_WANDB], env={**os.environ, **settings}, cwd=folder, check=True)
    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    return path.read_bytes()


def test_wandbs_own_files_are_read(written_by_wandb: bytes) -> None:
    """Each call with its step, inner names joined; of the summary what the calls did not say."""
    assert len(written_by_wandb) > 2 * 32768
    found = rows(read_wandb(written_by_wandb))  # type: ignore[arg-type]

    assert found[:3] == [(n, {"train/loss": 1 / (n + 1), "val/acc": n / 4}) for n in range(3)]
    assert [(step, str(values)) for step, values in found[3:5]] == [(3, "{'top': 7.0}"), (10, "{'late': nan}")]
    assert found[5:] == [(None, {"best_acc": 0.75, "top": 9.0})]


def test_a_wandb_file_that_is_cut_says_what_came_before(written_by_wandb: bytes) -> None:
    """As it is after a kill, wherever that was."""
    whole = rows(read_wandb(written_by_wandb))[:3]  # type: ignore[arg-type]
    for end in range(0, len(written_by_wandb), 997):
        cut = [row for row in rows(read_wandb(written_by_wandb[:end])) if row[0] is not None]  # type: ignore[arg-type]
        assert cut[:3] == whole[: len(cut)]


@given(place=st.integers(0, 2000), value=st.binary(min_size=1, max_size=4))
def test_a_damaged_wandb_file_raises_nothing(written_by_wandb: bytes, place: int, value: bytes) -> None:
    """Whatever stands in it, reading it gives readings."""
    start = min(len(written_by_wandb) - 1, 32768 + place)
    for at in (place, start):
        damaged = written_by_wandb[:at] + value + written_by_wandb[at + len(value) :]
        assert isinstance(read_wandb(damaged), list)
