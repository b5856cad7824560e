"""An attempt starts with a micro-batch that is known to fit, where its own is known to fail."""

import json
from pathlib import Path

import pytest

from hpc.adapters.files import read_json, write_json
from hpc.core.retry.learned import NOTHING_KNOWN, Observation, learn, shape_of_element
from hpc.node.task_record import with_learned
from hpc.run_task import find_element
from tests.local_projects import EXPERIMENT, LocalProject, make_project

BATCHED = (
    EXPERIMENT.replace("{x} {seed}", "{x} {seed} {micro_batch_size} {gradient_accumulation_steps}")
    + "batch: {global: 384, micro: 192}\nretry: {oom_gpu: {min_micro: 8}}\n"
)


@pytest.fixture
def planned(tmp_path: Path) -> LocalProject:
    project = make_project(tmp_path / "project", BATCHED)
    project.hpc("plan", "tiny", "--cluster", "local")
    return project


def index_of(project: LocalProject) -> Path:
    return project.runs / "tiny/submissions/001/index.json"


def teach(project: LocalProject, position: int, fails: int, fits: int | None = None) -> None:
    """Let the task at this position have shown something."""
    index, entry, layout = find_element(index_of(project), position)
    shape = shape_of_element(index, entry)
    seen = [Observation(shape, {}, fails, False, "T/attempt-1")]
    seen += [Observation(shape, {}, fits, True, "T/attempt-2")] if fits else []
    write_json(layout.learned, learn(NOTHING_KNOWN, seen))


def test_an_attempt_starts_from_what_is_known_to_fit(planned: LocalProject) -> None:
    """Same global batch, not altered, the evidence in its changes; the program gets the new values."""
    teach(planned, 0, fails=192, fits=48)
    told = planned.call("-m", "hpc.run_task", str(index_of(planned)), "0")
    assert told.returncode == 0, told.stdout + told.stderr
    record = json.loads((planned.attempt("X1") / "task.json").read_text())
    assert (record["micro_batch"], record["accumulation"], record["global_batch"]) == (48, 8, 384)
    assert record["argv"][-2:] == ["48", "8"]
    assert record["altered"] is False
    assert record["changes"] == [
        "micro_batch 192 → 48, accumulation 2 → 8: 192 ran out of memory in T/attempt-1, 48 fits (T/attempt-2)"
    ]


def test_tasks_of_another_shape_know_nothing_of_it(planned: LocalProject) -> None:
    """What x=1 showed says nothing of x=2: it starts as it was asked."""
    teach(planned, 0, fails=192)
    index, entry, layout = find_element(index_of(planned), 1)
    assert with_learned(index, entry, layout).micro_batch == 192


def test_another_cluster_knows_nothing_of_it(planned: LocalProject) -> None:
    """Its devices have another memory: what failed here may fit there."""
    teach(planned, 0, fails=192)
    index, entry, layout = find_element(index_of(planned), 0)
    assert [with_learned(index, entry, layout, cluster).micro_batch for cluster in ("", "jura")] == [96, 192]


def test_a_damaged_file_helps_nobody_and_stops_nobody(planned: LocalProject, capsys: pytest.CaptureFixture) -> None:
    """learned.json cut or of another kind: said, and the task starts as it was asked."""
    index, entry, layout = find_element(index_of(planned), 0)
    for text in ('{"schema": 1, "sha', "[1]", '{"shapes": 3}', '{"shapes": {}}'):
        layout.learned.write_text(text)
        assert with_learned(index, entry, layout).micro_batch == 192
    assert capsys.readouterr().out.count("is not used") == 3


def test_an_index_from_before_is_still_run(planned: LocalProject) -> None:
    """An index.json written by an earlier version has no shape and no smallest micro-batch."""
    teach(planned, 0, fails=192)
    path = index_of(planned)
    content = read_json(path)
    content["batch"] = {key: content["batch"][key] for key in ("parameter", "accumulation_parameter")}
    del content["entries"][0]["mixed_precision"]
    path.write_text(json.dumps(content))
    index, entry, layout = find_element(path, 0)
    assert with_learned(index, entry, layout).micro_batch == 96


HUNGRY = """
import sys
x, seed, micro, accumulation = map(int, sys.argv[1:])
if micro > 48:
    raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: "
                       f"you tried to allocate {micro} bytes. Error code 12 (Cannot allocate memory)")
print("loss: 0.5")
"""


def test_what_one_task_showed_the_others_know(tmp_path: Path) -> None:
    """What X1 ran out of memory with, X2 does not start with; collect writes down what fails and what fits."""
    project = make_project(tmp_path / "project", BATCHED.replace("micro: 192", "micro: 192, shape: []"), HUNGRY)
    project.hpc("plan", "tiny", "--cluster", "local")
    learned = project.runs / "tiny/learned.json"

    def run(position: int, expect: int) -> None:
        done = project.call("-m", "hpc.run_task", str(index_of(project)), str(position))
        assert done.returncode == expect, done.stdout + done.stderr

    run(0, expect=1)
    assert not learned.exists()
    answer = project.json("collect", "tiny", expect=1)
    assert answer["retry"][0]["micro_batch"] == 96
    [found] = json.loads(learned.read_text())["shapes"].values()
    assert found == {"parameters": {}, "fits": None, "fails": {"micro": 192, "where": "X1/attempt-1"}}

    run(1, expect=1)  # starts with 96, which is not known to fail yet
    project.json("collect", "tiny", expect=1)
    [found] = json.loads(learned.read_text())["shapes"].values()
    assert found["fails"] == {"micro": 96, "where": "X2/attempt-1"}

    project.hpc("collect", "tiny", "--retry-failed")
    project.hpc("collect", "tiny")
    tasks = project.verdicts()
    assert [tasks[name]["outcome"] for name in ("X1", "X2")] == ["finished", "finished"]
    assert [each["micro_batch"] for each in tasks["X1"]["attempts"]] == [192, 48]
    assert [each["micro_batch"] for each in tasks["X2"]["attempts"]] == [96, 48]
    assert {each["global_batch"] for task in tasks.values() for each in task["attempts"]} == {384}
    assert not any(task["altered"] for task in tasks.values())
    [found] = json.loads(learned.read_text())["shapes"].values()
    assert (found["fits"]["micro"], found["fails"]["micro"]) == (48, 96)
