"""results.h5: what goes in comes out, the true names are kept, and it is replaced as a whole."""

import h5py
import numpy as np
import pytest

from hpc.adapters.curves import COLUMNS, Curves, find_earlier
from hpc.adapters.metrics_read import Series
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


def test_metrics_that_are_logged_together_have_their_steps_in_common(tmp_path):
    """Steps, times and whose rows they are lie in the file once; a metric with other steps has its own."""
    path, curves = tmp_path / "results.h5", Curves(tmp_path)
    for task in range(2):
        alike = {name: Series(STEPS, STEPS * factor, STEPS + 0.5) for name, factor in (("a", 1.0), ("b", 2.0))}
        curves.add(task, 1, {**alike, "c": Series(STEPS + task, STEPS * 3.0, STEPS + 0.5)})
    write_results(path, {}, TASKS, {}, {name: curves.curve(name) for name in curves.names})
    with path.open("rb") as held, h5py.File(path) as file:
        series = file["series"]
        assert series["a/step"][()].tolist() == series["b/step"][()].tolist() == [1, 2, 3, 1, 2, 3]
        assert series["c/step"][()].tolist() == [1, 2, 3, 2, 3, 4]
        assert series["b/value"][()].tolist() == [2.0, 4.0, 6.0, 2.0, 4.0, 6.0]
        places = {name: [series[f"{name}/{column}"].id.get_offset() for column in COLUMNS] for name in "abc"}
        for name, common in (("b", [True, True, True, False, True]), ("c", [True, True, False, False, True])):
            assert [one == other for one, other in zip(places["a"], places[name], strict=True)] == common
        again = Curves(tmp_path)
        again.take_over(find_earlier(held), [0])
        again.add(1, 1, {name: Series(STEPS + 1, STEPS * 4.0, STEPS + 1.5) for name in "abc"})
        write_results(tmp_path / "again.h5", {}, TASKS, {}, {name: again.curve(name) for name in again.names})
    with h5py.File(tmp_path / "again.h5") as file:
        for name in "abc":
            assert file[f"series/{name}/step"][()].tolist() == [1, 2, 3, 2, 3, 4]
            assert file[f"series/{name}/value"][()].tolist()[3:] == [4.0, 8.0, 12.0]
        assert file["series/a/step"].id.get_offset() == file["series/b/step"].id.get_offset()


class Broken:
    """A curve that cannot be written."""

    rows = 3

    def digest(self, column: str) -> bytes:
        return column.encode()

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
