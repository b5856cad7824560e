"""Stacks as their tools write them, and which process stands elsewhere."""

import faulthandler
import json
import tempfile
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.records.watch import Frame, Rank
from hpc.core.watching.stacks import compare, in_collective, read_faulthandler, read_pyspy, render, stands


def at(number: int, *functions: str, node: str = "") -> Rank:
    """A process that stands in these functions, the one at work first."""
    return Rank(str(number), 100 + number, node, frames=tuple(Frame(each, "train.py", 9) for each in functions))


ALL = [at(each, "all_reduce", "train") for each in range(4)]


def test_who_is_in_no_collective_is_odd() -> None:
    picture = compare([*ALL[:3], at(3, "recv", "fetch", "train", node="n2")])

    assert [each.rank for each in picture.odd] == ["3"]
    assert picture.text == (
        "rank 3 on n2 is in recv (train.py:9) < fetch (train.py:9) < train (train.py:9); "
        "3 others wait in all_reduce (train.py:9) < train (train.py:9)"
    )


def test_who_is_in_another_place_than_most_is_odd() -> None:
    picture = compare([at(0, "step"), at(1, "step"), at(2, "step"), at(3, "save")])

    assert [each.rank for each in picture.odd] == ["3"]


@pytest.mark.parametrize(
    ("ranks", "text"),
    [
        ([], "no process was found"),
        ([at(0, "recv", "fetch")], "it is in recv (train.py:9) < fetch (train.py:9)"),
        (ALL, "all 4 processes are in all_reduce (train.py:9) < train (train.py:9)"),
        ([at(0, "a"), at(1, "b"), at(2, "c")], "the processes are in 3 places: 1 process in a (train.py:9); "),
        ([Rank("0", 1, state="D (disk sleep)")], "it is in an unknown place (D (disk sleep))"),
    ],
)
def test_nobody_is_odd_where_nothing_tells_it(ranks: list[Rank], text: str) -> None:
    picture = compare(ranks)

    assert picture.odd == ()
    assert picture.text.startswith(text)


@given(st.integers(3, 40), st.integers(0, 39))
def test_one_of_many_is_always_found(count: int, which: int) -> None:
    odd = which % count
    ranks = [at(each, "wait", "barrier") if each != odd else at(each, "read", "load") for each in range(count)]

    assert [each.rank for each in compare(ranks).odd] == [str(odd)]


@pytest.mark.parametrize("name", ["all_reduce", "_allgather_base", "barrier", "reduce_scatter_tensor", "ncclAllReduce",
                                  "Allreduce", "MPI_Barrier", "torch.distributed.broadcast"])  # fmt: skip
def test_a_call_that_waits_for_others(name: str) -> None:
    assert in_collective(at(0, "poll", name, "train"))


@pytest.mark.parametrize("name", ["recv", "reduce_lr", "barrier_height", "broadcaster", "sleep", "gather_results_from"])
def test_a_call_that_does_not(name: str) -> None:
    assert not in_collective(at(0, name, "train"))


def test_what_faulthandler_writes_is_read() -> None:
    """Of a real process with several threads: the frames of the one that took the signal."""
    gate = threading.Event()
    other = threading.Thread(target=gate.wait)
    other.start()
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        frames = read_faulthandler(file.read().decode())
    gate.set()
    other.join()

    assert frames[0].function == "test_what_faulthandler_writes_is_read"
    assert frames[0].file == "test_stacks.py"


def test_what_pyspy_writes_is_read() -> None:
    frame = {"name": "recv", "filename": "/a/b/x.py", "short_filename": "x.py", "line": 3}
    other = {"thread_name": "Thread-1", "frames": [{**frame, "name": "poll"}]}

    assert read_pyspy(json.dumps([other, {"thread_name": "MainThread", "frames": [frame]}])) == (
        Frame("recv", "x.py", 3),
    )


@given(st.one_of(st.text(), st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps)))
def test_whatever_a_tool_writes_is_no_error(text: str) -> None:
    assert isinstance(read_pyspy(text), tuple)
    assert isinstance(read_faulthandler(text), tuple)


def test_stacks_that_are_alike_are_written_once() -> None:
    text = "\n".join(render([*ALL, at(4, "load")]))

    assert text.count("all_reduce") == 1
    assert "rank 0, rank 1, rank 2, rank 3 (kernel):" in text


def test_the_programs_own_frame_is_named_behind_those_of_libraries() -> None:
    frames = (
        *(Frame(each, "threading.py", 1) for each in ("wait", "wait_for", "acquire")),
        Frame("load", "data.py", 4),
    )

    assert stands(Rank("0", 1, frames=frames)).endswith("< load (data.py:4)")
