"""results.h5: what goes in comes out, the true names are kept, and it is replaced as a whole."""

import h5py
import numpy as np
import pytest

from hpc.adapters.results_h5 import Rows, TaskColumns, curves_of, write_results

TASKS = TaskColumns(["a" * 12, "b" * 12], ["R1", "R2"], ["finished", "failed"], ["", "oom_gpu"], [1, 3], [False, True])
STEPS = np.array([1, 2, 3], dtype=np.int64)


def test_what_goes_in_comes_out(tmp_path):
    """Tasks, final values with NaN for what is missing, series with task and attempt of each row, names with '/'."""
    path = tmp_path / "collected/results.h5"
    series = [Rows(0, 1, STEPS, STEPS / 2.0, STEPS + 0.5), Rows(1, 3, STEPS[:1], STEPS[:1] * 9.0, STEPS[:1] + 0.0)]
    write_results(path, {"experiment": "e"}, TASKS, {"eval/loss": np.array([0.5, np.nan])},
                  curves_of({"eval/loss": series}, tmp_path))  # fmt: skip
    with h5py.File(path) as file:
        assert dict(file.attrs) == {"schema": 1, "experiment": "e"}
        assert [text.decode() for text in file["tasks/failure_class"][()]] == ["", "oom_gpu"]
        assert file["tasks/altered"][()].tolist() == [False, True]
        assert file["summary/eval.loss"].attrs["name"] == file["series/eval.loss"].attrs["name"] == "eval/loss"
        np.testing.assert_array_equal(file["summary/eval.loss"][()], [0.5, np.nan])
        assert file["series/eval.loss/task"][()].tolist() == [0, 0, 0, 1]
        assert file["series/eval.loss/attempt"][()].tolist() == [1, 1, 1, 3]
        assert file["series/eval.loss/value"][()].tolist() == [0.5, 1.0, 1.5, 9.0]
    assert path.stat().st_mode & 0o077 == 0


class Broken:
    """A curve that cannot be written."""

    rows = 3

    def write(self, *_: object) -> None:
        raise ValueError("there are no rows")


def test_a_failure_keeps_the_old_file(tmp_path):
    """A curve that cannot be written is an error; the file before is untouched, and no temporary one is left."""
    path = tmp_path / "results.h5"
    write_results(path, {}, TASKS, {}, {})
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"."):
        write_results(path, {}, TASKS, {}, {"x": Broken()})  # type: ignore[dict-item]
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["results.h5"]
