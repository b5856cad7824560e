"""Whatever stands in a metrics file: reading it ends, says what is wrong, and gives everything else."""

import json
import os
import random
import re
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc.adapters import metrics_apart, metrics_read
from hpc.adapters.metrics_apart import read_apart
from hpc.adapters.metrics_read import RECORD, Contents, read, read_contents, read_summary
from hpc.core.errors import InputError
from hpc.metrics import MetricsWriter

ROWS = np.array([(1, 0.5, 100.0), (2, 0.25, 101.0)], RECORD)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sound file: metrics `loss` and `a/b`, final value `final`."""
    path = tmp_path / "metrics.h5"
    with MetricsWriter(path, task_id="abc") as metrics:
        for step in range(50):
            metrics.log(step, {"a/b": step}, loss=1 / (step + 1))
        metrics.summary(final=0.25)
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The reading process of this test alone, with little patience."""
    monkeypatch.setattr(metrics_apart, "MOST_SECONDS", 3.0)
    monkeypatch.setattr(metrics_apart, "_current", [])
    yield
    for process in metrics_apart._current:
        process.end()


def test_what_is_read_apart_is_what_is_read(path: Path) -> None:
    """Series to the last bit, final values, attributes, completeness: the process changes nothing."""
    with MetricsWriter(path) as metrics:
        metrics.log(-3, odd=float("nan"))
        metrics.summary(diverged=float("inf"))
    here, apart = read_contents(path), read_apart(path)

    assert here.series.keys() == apart.series.keys() == {"loss", "a/b", "odd"}
    for name, series in here.series.items():
        assert all(one.tobytes() == other.tobytes() for one, other in zip(series, apart.series[name], strict=True))
    assert here[1:] == apart[1:]
    with pytest.raises(FileNotFoundError):
        read_apart(path.with_name("absent.h5"))


def _link(file: h5py.File, name: str | bytes) -> None:
    file["series"].create_dataset(name, data=ROWS)


def _external_storage(file: h5py.File) -> None:
    file["series"].create_dataset("raw", (1000,), RECORD, external=[("/etc/passwd", 0, 24_000)])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((2,), RECORD)
    layout[:] = h5py.VirtualSource("other.h5", "x", (2,))
    file["series"].create_virtual_dataset("virtual", layout)


def _logged_twice(file: h5py.File) -> None:
    _link(file, "loss~")
    file["series/loss~"].attrs["name"] = "loss"


def _with_attribute(value: object) -> Callable[[h5py.File], None]:
    def damage(file: h5py.File) -> None:
        _link(file, "odd")
        file["series/odd"].attrs["name"] = value

    return damage


def _with_rows(data: object, **more: object) -> Callable[[h5py.File], None]:
    return lambda file: file["series"].create_dataset("odd", data=data, **more) and None


def _with_room(rows: int, **more: object) -> Callable[[h5py.File], None]:
    return lambda file: file["series"].create_dataset("odd", (rows,), RECORD, **more) and None


def _with_final(value: object) -> Callable[[h5py.File], None]:
    return lambda file: file["summary"].create_dataset("odd", data=value) and None


def _set(name: str, value: object) -> Callable[[h5py.File], None]:
    return lambda file: file["series"].__setitem__(name, value)


DAMAGES: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "name that is no UTF-8": (lambda file: _link(file, b"l\xff"), r"series 'l\\udcff': .*can't decode byte 0xff"),
    "attribute that is no UTF-8": (_with_attribute(b"l\xff"), "series 'odd': .*cannot name a metric"),
    "empty name": (_with_attribute(""), "series 'odd': '' cannot name a metric"),
    "name of many letters": (_with_attribute("x" * 300), "series 'odd': .*cannot name a metric"),
    "name that is a number": (_with_attribute(5), "series 'odd': has a name that is not text"),
    "name that is a list": (_with_attribute(["a", "b"]), "series 'odd': has a name that is not text"),
    "huge name": (_with_attribute("x" * 60_000), "series 'odd': has a name that is not text"),
    "same name twice": (_logged_twice, "series 'loss~': is a second series called loss"),
    "folder": (lambda file: file["series"].create_group("deep/er"), "series 'deep': is not a data set"),
    "circle": (_set("round", h5py.SoftLink("/series")), "series 'round': is a link; links are not followed"),
    "link to nothing": (_set("gone", h5py.SoftLink("/x")), "series 'gone': is a link; links are not followed"),
    "external link": (_set("out", h5py.ExternalLink("o.h5", "/series/loss")), "series 'out': is a link; links are not"),
    "external storage": (_external_storage, "series 'raw': keeps its content in another file, which is not read"),
    "virtual": (_virtual, "series 'virtual': is a virtual data set of other files"),
    "plain numbers": (_with_rows([1.0, 2.0]), "series 'odd': holds float64, not rows of step, value and time"),
    "texts": (_with_rows(["a", "b"]), "series 'odd': holds object, not rows"),
    "scalar": (_with_rows(ROWS[0]), "series 'odd': has 0 dimensions; a series has one"),
    "table": (_with_rows(ROWS.reshape(1, 2)), "series 'odd': has 2 dimensions; a series has one"),
    "nothing": (_with_rows(h5py.Empty(RECORD)), "series 'odd': has 0 dimensions"),
    "two billion rows": (_with_room(2_000_000_000), "series 'odd': has 2,000,000,000 rows; 39,999,900 more can be"),
    "compressed bomb": (_with_room(2_000_000_000, compression="gzip"), "series 'odd': has 2,000,000,000 rows"),
    "huge piece": (
        _with_room(10, maxshape=(None,), chunks=(100_000_000,)),
        r"series 'odd': is stored in pieces of \(100000000,\)",
    ),
    "other fields": (_with_rows(np.zeros(2, [("step", "i8"), ("value", "f8")])), "series 'odd': holds .*not rows"),
    "texts for steps": (_with_rows(np.zeros(2, [("step", "S8"), ("value", "f8"), ("time", "f8")])), "not rows"),
    "time without end": (_with_rows(np.array([(1, 0.5, np.inf)], RECORD)), "series 'odd': has invalid times"),
    "final text": (_with_final("best"), "final value 'odd': is not a single number, but object"),
    "final list": (_with_final([1.0, 2.0]), "final value 'odd': is not a single number, but float64 of shape"),
    "final nothing": (_with_final(h5py.Empty("f8")), "final value 'odd': is not a single number"),
    "final link": (
        lambda file: file["summary"].__setitem__("odd", h5py.ExternalLink("o.h5", "/x")),
        "final value 'odd': is a link; links are not followed",
    ),
    "complete that is text": (lambda file: file.attrs.__setitem__("complete", "yes"), "has no attribute `complete`"),
    "complete that is absent": (lambda file: file.attrs.__delitem__("complete"), "has no attribute `complete`"),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_one_unusable_entry_costs_itself(path: Path, damage: Callable[[h5py.File], object], said: str) -> None:
    """It is named with its reason; every other series and final value is given as it was."""
    before = read_contents(path)
    with h5py.File(path, "a") as file:
        damage(file)

    contents = read_apart(path)

    assert len(contents.problems) == 1
    assert re.search(said, contents.problems[0])
    for name, series in before.series.items():
        assert np.array_equal(contents.series[name], series)
    assert contents.summary == before.summary
    assert contents.series.keys() == before.series.keys()
    with pytest.warns(UserWarning, match="metrics.h5: (series|final value|has)"):
        read_summary(path)
    with pytest.raises(InputError, match="cannot be continued: "):
        MetricsWriter(path)


@pytest.mark.parametrize("name", ["series", "summary"])
def test_groups_of_another_file_are_not_read(path: Path, name: str) -> None:
    """A metrics file whose groups lie in another file is none."""
    path.rename(path.with_name("other.h5"))
    with h5py.File(path, "w") as file:
        file.attrs.update({"schema": 1, "complete": True})
        file.create_group("series")
        file.create_group("summary")
        del file[name]
        file[name] = h5py.ExternalLink("other.h5", f"/{name}")

    with pytest.raises(InputError, match="not one with metrics"):
        read(path)


def test_of_too_many_series_the_wanted_one_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 series are bounded, the rest counted; the primary metric is never among the rest."""
    monkeypatch.setattr(metrics_read, "MOST_SERIES", 40)
    with h5py.File(path, "a") as file:
        for number in range(200):
            _link(file, f"a{number:05}")

    contents = read_contents(path, first=["loss", "not there"])

    assert len(contents.series) == 40
    assert "loss" in contents.series
    assert contents.problems == ("holds 202 entries for a series; the first 40 are read",)


def test_rows_are_bounded_over_all_series(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many series of a size that each could have are no way around the bound."""
    monkeypatch.setattr(metrics_read, "MOST_ROWS", 120)
    with h5py.File(path, "a") as file:
        file["series"].create_dataset("more", data=np.repeat(ROWS, 20))

    contents = read_contents(path, first=["loss"])

    assert contents.series.keys() == {"loss", "a/b"}
    assert contents.problems == ("series 'more': has 40 rows; 20 more can be read from this file",)


def test_mutated_files_are_read_or_named(path: Path, tmp_path: Path, quick: None) -> None:
    """320 files with bytes changed or cut: contents or a sentence, however HDF5 takes it; a sound file is then read."""
    chance, sound, mutated = random.Random(8), path.read_bytes(), tmp_path / "mutated.h5"  # noqa: S311
    read_files, refused = 0, list[str]()
    for _ in range(320):
        mutated.write_bytes(_mutated(sound, chance))
        try:
            contents = read_apart(mutated)
        except InputError as error:
            refused.append(str(error))
        else:
            assert isinstance(contents, Contents)
            assert all(np.isfinite(series.time).all() for series in contents.series.values())
            read_files += 1

    assert read_files > 80
    assert len(refused) > 50
    assert all(sentence.startswith(f"{mutated}: ") for sentence in refused)
    assert read_apart(path).summary == {"final": 0.25}


def _mutated(sound: bytes, chance: random.Random) -> bytes:
    """A file with something else in it: mostly where the description lies, which is what HDF5 follows."""
    content = bytearray(sound)
    if chance.random() < 0.1:
        return bytes(content[: chance.randrange(len(content))])
    meant = [place for place, byte in enumerate(content) if byte]
    for _ in range(chance.choice([1, 1, 2, 8])):
        place = chance.choice(meant)
        content[place] = chance.choice([0, 255, content[place] ^ 1 << chance.randrange(8), chance.randrange(256)])
    if chance.random() < 0.3:
        place = chance.randrange(len(content) - 8)
        pointer = chance.choice([2**64 - 1, 0, 2**40, chance.randrange(len(content))])
        content[place : place + 8] = pointer.to_bytes(8, "little")
    return bytes(content)


@pytest.mark.parametrize(
    ("number", "said"),
    [(signal.SIGKILL, r"crashed reading it \(SIGKILL\)"), (signal.SIGSTOP, "did not finish reading it within 3 s")],
)
def test_a_crash_or_hang_of_hdf5_costs_one_file(path: Path, quick: None, number: signal.Signals, said: str) -> None:
    """Whoever reads is told which file; the next one is read by a new process."""
    read_apart(path)
    os.kill(metrics_apart._current[0]._process.pid, number)

    with pytest.raises(InputError, match=rf"metrics\.h5: is damaged: HDF5 .*{said}"):
        read_apart(path)
    assert read_apart(path).summary == {"final": 0.25}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", ["metrics.h5", "metrics.jsonl"])
@pytest.mark.parametrize("kind", ["a named pipe", "a folder", "a socket", "a device", "does not exist"])
def test_what_is_no_file_is_never_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    """A pipe, folder, socket, device or dangling link in its place is named."""
    monkeypatch.chdir(tmp_path)
    place = Path(name)
    match kind:
        case "a named pipe":
            os.mkfifo(place)
        case "a folder":
            place.mkdir()
        case "a socket":
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(name)
        case _:
            place.symlink_to("/dev/zero" if kind == "a device" else "gone")

    with pytest.raises(InputError, match=rf"{name}: is .*{kind}"):
        read(tmp_path / "metrics.h5")


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=())) | st.sampled_from([".", "..", "/", "a/b", "a.b", "a~", "a.b~"]),
        st.floats(),
        max_size=8,
    )
)
def test_a_name_is_refused_at_once_or_comes_back(names: dict[str, float]) -> None:
    """`log` takes a row whole or refuses it whole; what it took, plain reading gives back under the same names."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.h5"
        with MetricsWriter(path, flush_interval_s=3600) as metrics:
            if all(0 < len(name) <= 200 and name.isprintable() for name in names):
                metrics.log(1, names)
                metrics.summary(names)
            else:
                for call in (lambda: metrics.log(1, names), lambda: metrics.summary(names)):
                    with pytest.raises(InputError, match="cannot name a metric"):
                        call()
                names = {}
        contents = read_contents(path)

    assert contents.problems == ()
    np.testing.assert_equal({name: series.value[0] for name, series in contents.series.items()}, names)
    np.testing.assert_equal(contents.summary, names)


def test_more_metrics_than_are_read_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer says so at the call that would be one too many, also in a continued file, and keeps nothing of it."""
    monkeypatch.setattr("hpc.metrics.MOST_SERIES", 3)
    path = tmp_path / "metrics.h5"
    with MetricsWriter(path) as metrics:
        metrics.log(1, a=1, b=2)
    with MetricsWriter(path) as metrics:
        metrics.log(2, a=1, c=3)
        with pytest.raises(InputError, match="'d' would be metric number 4; a file has at most 3"):
            metrics.log(3, a=1, d=3)

    assert {name: series.step.tolist() for name, series in read(path).items()} == {"a": [1, 2], "b": [1], "c": [2]}


@pytest.mark.parametrize(
    "line",
    [
        b"no json",
        b"[]",
        b"1",
        b'{"metrics": []}',
        b'{"metrics": {"x": 1}}',
        b'{"step": 1.5, "time": 1, "metrics": {"x": 1}}',
        b'{"step": true, "time": 1, "metrics": {"x": 1}}',
        b'{"step": 1e400, "time": 1, "metrics": {"x": 1}}',
        b'{"step": 9223372036854775808, "time": 1, "metrics": {"x": 1}}',
        b'{"step": 1, "time": Infinity, "metrics": {"x": 1}}',
        b'{"step": 1, "time": "now", "metrics": {"x": 1}}',
        b'{"step": 1, "time": 1, "metrics": {"x": "high"}}',
        b'{"step": 1, "time": 1, "metrics": {"x": [1]}}',
        b'{"step": 1, "time": 1, "metrics": {"": 1}}',
        b'{"summary": {"x": null}}',
        b'{"attributes": 5}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_one_unusable_line_of_a_journal_costs_itself(tmp_path: Path, line: bytes) -> None:
    """It is named by its number; the lines before and after it count."""
    row = json.dumps({"step": 1, "time": 100.0, "metrics": {"loss": 0.5}}).encode()
    end = json.dumps({"summary": {"final": 2.0}, "attributes": {"complete": True}}).encode()
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join([row, line, end, b""]))

    contents = read_contents(tmp_path / "metrics.h5")

    assert contents.series.keys() == {"loss"}
    assert contents.summary == {"final": 2.0}
    assert contents.complete
    assert len(contents.problems) == 1
    assert contents.problems[0].startswith("line 2: ")
