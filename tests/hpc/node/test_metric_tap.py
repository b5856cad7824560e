"""Metrics of an unmodified program: whatever it prints, in whatever pieces, its matches become rows."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import hpc.node.metric_tap
from hpc.core.experiment.metric_source import parse_source
from hpc.metrics import is_complete, read, read_attributes, read_summary
from hpc.node.metric_tap import MAX_LINE_BYTES, MetricTap

SOURCE = parse_source({"stdout": r"Step (?P<step>\d+) \| val_loss: (?P<val_loss>\S+)"})
OUTPUT = (
    "loading…\n"
    "Step 0 | val_loss: 4.5\n"
    "\x1b[2K\rStep 10 | val_loss: \x1b[1m3.5\x1b[0m\r"
    "Step 20 | val_loss: oops\n"
    "Step 30 | val_loss: 2.5\r\n"
    "done: Step 40 | val_loss: 1.5"
).encode()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_rows_do_not_depend_on_how_the_output_is_cut(tmp_path: Path, size: int) -> None:
    """Pieces of any length, cut through UTF-8 and escapes: same rows, also of a last line without an end."""
    path = tmp_path / "metrics.h5"
    tap = MetricTap(SOURCE, path)
    for start in range(0, len(OUTPUT), size):
        tap.feed(OUTPUT[start : start + size])

    assert tap.close(finished=True) == {"val_loss": 1.5}
    assert read(path)["val_loss"].step.tolist() == [0, 10, 30, 40]
    assert read(path)["val_loss"].value.tolist() == [4.5, 3.5, 2.5, 1.5]
    assert read_summary(path) == {"val_loss": 1.5}
    assert is_complete(path)


def values_in(path: Path) -> list[float]:
    """What can be read just now; a metric is there a moment before its first row is."""
    found = read(path).get("val_loss")
    return [] if found is None else found.value.tolist()


def test_rows_are_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They can be read while the program runs, not only after it."""
    monkeypatch.setattr(hpc.node.metric_tap, "FLUSH_INTERVAL_S", 0.02)
    path = tmp_path / "metrics.h5"
    tap = MetricTap(SOURCE, path)
    tap.feed(b"Step 1 | val_loss: 9\n")
    deadline = time.monotonic() + 5
    while not values_in(path) and time.monotonic() < deadline:
        time.sleep(0.01)

    assert values_in(path) == [9.0]
    assert not is_complete(path)
    tap.close(finished=True)


def test_an_unfinished_program_leaves_incomplete_metrics(tmp_path: Path) -> None:
    """Killed or failed: rows and last values are there, the file says it is not all."""
    path = tmp_path / "metrics.h5"
    tap = MetricTap(SOURCE, path)
    tap.feed(OUTPUT)
    tap.close(finished=False)

    assert read_summary(path) == {"val_loss": 1.5}
    assert not is_complete(path)


def test_a_pattern_that_never_matched_is_no_success(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A program that finished without a single match leaves incomplete metrics, and it is said why."""
    tap = MetricTap(SOURCE, tmp_path / "metrics.h5")
    tap.feed(b"all is well\n")

    assert tap.close(finished=True) == {}
    assert not is_complete(tmp_path / "metrics.h5")
    assert "no line of the program's output matched metrics.source" in capfd.readouterr().err


def test_steps_are_counted_where_the_program_names_none(tmp_path: Path) -> None:
    """Matches count from 1; each metric has the count of the line it stood in."""
    tap = MetricTap(parse_source({"stdout": r"(?:a=(?P<a>\S+))?(?:b=(?P<b>\S+))?$"}), tmp_path / "metrics.h5")
    tap.feed(b"a=1\nb=2\na=3\n")
    tap.close(finished=True)

    series = read(tmp_path / "metrics.h5")
    assert series["a"].step.tolist() == [1, 3]
    assert series["b"].step.tolist() == [2]


def test_nan_is_recorded(tmp_path: Path) -> None:
    """A loss that became NaN is a row and the final value; nothing hides a divergence."""
    path = tmp_path / "metrics.h5"
    tap = MetricTap(SOURCE, path)
    tap.feed(b"Step 1 | val_loss: 2\nStep 2 | val_loss: nan\n")
    tap.close(finished=True)

    np.testing.assert_array_equal(read(path)["val_loss"].value, [2.0, np.nan])
    assert np.isnan(read_summary(path)["val_loss"])


def test_what_cannot_be_read_is_said_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A thousand unreadable values: one line on stderr per metric."""
    tap = MetricTap(SOURCE, tmp_path / "metrics.h5")
    tap.feed(b"Step 1 | val_loss: 3ms\n" * 1000 + b"Step 2 | val_loss: 1\n")
    tap.close(finished=True)

    assert capfd.readouterr().err == "metrics: ignored val_loss: '3ms' is not a number\n"


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    """Broken UTF-8, NUL, a megabyte without a line end, hostile JSON names: matches before and after count."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    tap = MetricTap(SOURCE, tmp_path / "a" / "metrics.h5")
    tap.feed(b"\xff\xfe\x00Step 1 | val_loss: 1\n")
    for _ in range(20):
        tap.feed(b"x" * MAX_LINE_BYTES)
    tap.feed(b"Step 2 | val_loss: 2\nStep 3 | val_loss: 3\n")
    tap.close(finished=True)

    assert read(tmp_path / "a" / "metrics.h5")["val_loss"].step.tolist() == [1, 3]

    tap = MetricTap(parse_source({"json": "step"}), tmp_path / "b" / "metrics.h5")
    tap.feed(json.dumps({"step": 1, "a\nb": 1, "": 2, "c" * 500: 3}).encode() + b'\n{"step": 2, "loss": 0.5}\n')

    assert tap.close(finished=True) == {"loss": 0.5}


def test_without_h5py_the_same_rows_go_to_json_lines(tmp_path: Path) -> None:
    """A node without h5py: metrics.jsonl instead, read back by the same functions, after a kill continued."""
    program = (
        "import sys; sys.modules['h5py'] = None; from pathlib import Path\n"
        "from hpc.node.metric_tap import MetricTap; from hpc.core.experiment.metric_source import parse_source\n"
        "tap = MetricTap(parse_source({'stdout': sys.argv[2]}), Path(sys.argv[1]), {'task_id': 'abc'})\n"
        "tap.feed(sys.stdin.buffer.read()); tap.close(finished=True)\n"
    )
    path = tmp_path / "metrics.h5"
    (tmp_path / "metrics.jsonl").write_text('{"step": 0, "time": 1.0, "metrics": {"val_loss": 9.0}}\n{"step": 1, "ti')
    assert SOURCE.pattern is not None
    subprocess.run([sys.executable, "-c", program, path, SOURCE.pattern.pattern], input=OUTPUT, check=True)

    assert not path.exists()
    assert read(path)["val_loss"].step.tolist() == [0, 0, 10, 30, 40]
    assert read_summary(path) == {"val_loss": 1.5}
    assert read_attributes(path)["task_id"] == "abc"
    assert is_complete(path)
    assert json.loads((tmp_path / "summary.json").read_text())["summary"] == {"val_loss": 1.5}


def test_the_tap_loads_nothing_heavy_before_it_is_needed() -> None:
    """Thousands of wrappers start at once: importing it brings in the standard library and nothing else."""
    program = (
        "import sys, hpc.node.metric_tap\n"
        "foreign = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names) - {'hpc'}\n"
        "print(sorted(name for name in foreign if name in ('h5py', 'numpy', 'filelock')))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"
