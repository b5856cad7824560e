"""The index of an array is plain JSON, and one element is found in it without the others."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpc.adapters import index_file
from hpc.adapters.files import write_json
from hpc.adapters.index_file import read_elements, write_index
from hpc.core.records.index import Element, SubmissionIndex
from hpc.core.resources import Pack
from tests.made_records import submission_index

VALUES = st.one_of(st.integers(-(2**40), 2**40), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=30))


def made(parameters: list[dict], tasks: int = 1) -> SubmissionIndex:
    entries = tuple(Element(f"{number:012d}", f"X{number}", each, number, 1) for number, each in enumerate(parameters))
    return submission_index(entries=entries, pack=Pack(tasks, 1) if tasks > 1 else None)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parameters=st.lists(st.dictionaries(st.text(max_size=8), VALUES, max_size=3), min_size=1, max_size=12),
    tasks=st.integers(1, 4),
    data=st.data(),
)
def test_both_ways_read_the_same(tmp_path: Path, parameters, tasks, data) -> None:
    """Element by element, whole as any JSON reader does, and as earlier versions wrote it: the same entries."""
    index = made(parameters, tasks)
    new, old = tmp_path / "new.json", tmp_path / "old.json"
    write_index(new, index.to_json())
    write_json(old, index.to_json())
    whole = json.loads(new.read_text())
    assert SubmissionIndex.from_json(whole) == SubmissionIndex.from_json(json.loads(old.read_text()))
    position = data.draw(st.integers(0, index.elements))
    by_seeking, by_reading = read_elements(new, position), read_elements(old, position)
    assert by_seeking[0]["entries"] == by_reading[0]["entries"] == whole["entries"][position * tasks :][:tasks]
    assert by_seeking[1] == by_reading[1] == index.elements
    one = {**by_seeking[0], "entries": whole["entries"]}
    assert SubmissionIndex.from_json(one) == SubmissionIndex.from_json(whole)


def test_what_is_read_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An element of 20,000 costs as many bytes as one of 200."""
    monkeypatch.setattr(index_file, "read_json", lambda _: pytest.fail("it was read whole"))
    read = []
    for count in (200, 20_000):
        path = tmp_path / f"{count}.json"
        write_index(path, made([{"x": number} for number in range(count)]).to_json())
        handed: list[int] = []
        true_open = index_file.open_regular

        def counting(path: Path, handed: list[int] = handed, true_open=true_open):
            file = true_open(path)
            true_read = file.read

            class Counting:
                def read(self, size: int) -> bytes:
                    handed.append(size)
                    return true_read(size)

                def __getattr__(self, name: str) -> object:
                    return getattr(file, name)

                def __enter__(self) -> "Counting":
                    return self

                def __exit__(self, *_: object) -> None:
                    file.close()

            return Counting()

        with monkeypatch.context() as patch:
            patch.setattr(index_file, "open_regular", counting)
            content, elements = read_elements(path, count - 1)
        assert (content["entries"][0]["seed"], elements) == (count - 1, count)
        read.append(sum(handed))
    assert read[1] < read[0] + 100


@pytest.mark.parametrize("change", ["longer", "same size", "without", "pretty"])
def test_an_edited_index_is_read_whole(tmp_path: Path, change: str) -> None:
    """Who edits a file by hand gets what stands in it."""
    path = tmp_path / "index.json"
    write_index(path, made([{"x": 1}, {"x": 22}]).to_json())
    text = path.read_text()
    match change:
        case "longer":
            text = text.replace('"x": 1', '"x": 12345')
        case "same size":  # an entry is broken off where the next one is said to begin
            text = text.replace(',\n{"task_id": "000000000001"', ' \n,{"task_id": "00000000001"')
        case "without":
            text = json.dumps({key: value for key, value in json.loads(text).items() if key != "entries_at"})
        case "pretty":
            text = json.dumps(json.loads(text), indent=4)
    path.write_text(text)
    assert read_elements(path, 1)[0]["entries"] == [json.loads(text)["entries"][1]]


def test_one_very_long_entry_does_not_fill_the_disk(tmp_path: Path) -> None:
    """Spaces at most double the file; beyond that it is laid out as before."""
    parameters = [{"x": "a" * 100_000}, *({"x": number} for number in range(5000))]
    path = tmp_path / "index.json"
    write_index(path, made(parameters).to_json())
    assert path.stat().st_size < 5_000_000
    assert read_elements(path, 5000)[0]["entries"][0]["parameters"] == {"x": 4999}
