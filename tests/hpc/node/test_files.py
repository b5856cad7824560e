"""What the wrapper leaves on disk are its records; what it is given and cannot read, it says in a sentence."""

import dataclasses
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpc import run_task
from hpc.core.errors import EXIT_USAGE
from hpc.core.records.exit import ExitRecord
from hpc.core.records.index import SubmissionIndex
from hpc.core.records.probe import ProbeEnd, ProbeTask
from hpc.core.records.record import Record
from hpc.core.records.task import TaskRecord
from hpc.node import probe
from hpc.submissions.probes import probe_index
from tests.local_projects import LocalProject, make_project
from tests.made_records import submission_index

FILES: dict[str, type[Record]] = {
    "submissions/001/index.json": SubmissionIndex,
    "tasks/{run}/attempt-1/task.json": TaskRecord,
    "tasks/{run}/attempt-1/exit.json": ExitRecord,
}
"""File of a run → its record."""
STORED = Path(__file__).parents[2] / "data/runs/planned_by_83e23e9.tar.gz"
LATER = {
    "pid_namespace", "metrics_unread", "stalled", "script_sha256", "toolkit", "profile_environment", "inputs",
    "on_first_node", "workdir", "obstacle", "adopted", "check", "check_argv", "uses", "files",
    "sanity", "sanity_argv", "deepspeed", "offload", "fsdp", "fsdp_wrap", "gradient_checkpointing", "torch_compile",
    "rank_logs",
    "packed", "pack",
    "cpu_seconds", "gpu_busy", "gpu_energy_j", "watch", "hang", "watched",
    "preflight", "unfit", "unfit_nodes",
}  # fmt: skip
"""Fields that came after commit 83e23e9."""


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def keys_of(record: type[Record]) -> set[str]:
    """The keys a record has on disk, by its fields."""
    return {field.name for field in dataclasses.fields(record)} | ({"kind", "schema"} if record.kind else set())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """A project of which the wrapper has run one task."""
    project = make_project(tmp_path_factory.mktemp("files") / "project")
    project.hpc("plan", "tiny", "--cluster", "local")
    done = project.call("-m", "hpc.run_task", str(project.runs / "tiny/submissions/001/index.json"), "0")
    assert done.returncode == 0, done.stdout + done.stderr
    return project


@pytest.mark.parametrize("name", FILES)
def test_a_real_run_writes_the_fields_of_its_records(project: LocalProject, name: str) -> None:
    """Every key of the file is a field, every field is a key, and nothing is lost by reading."""
    content, record = load(project.runs / "tiny" / name.format(run="X1")), FILES[name]
    content.pop("entries_at", None)  # where things are in the file, not what it says

    assert set(content) == keys_of(record)
    assert record.from_json(content).to_json() == content


@pytest.mark.parametrize("name", FILES)
def test_no_name_of_the_commit_before_is_lost(tmp_path: Path, name: str) -> None:
    """A file written by commit 83e23e9 is read whole: a field that were renamed would leave its key unread."""
    path = Path("old") / name.format(run="LR1_S1")
    subprocess.run(["tar", "-xzf", STORED, "--no-same-owner", "-C", tmp_path, str(path)], check=True)
    content, record = load(tmp_path / path), FILES[name]

    assert keys_of(record) - set(content) <= LATER
    assert known_of(record.from_json(content).to_json(), content) == content


def known_of(new: Any, old: Any) -> Any:
    """What is now written, without the keys that were not written before."""
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: known_of(value, old[key]) for key, value in new.items() if key in old}
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return [known_of(one, other) for one, other in zip(new, old, strict=True)]
    return new


def test_a_probe_of_the_commit_before_is_read() -> None:
    """Who measures and what was found, as commit 83e23e9 wrote them."""
    head = {"kind": "probe", "schema": 1}
    who = {"run_name": "W1_S1", "job": "7_0", "host": "n1", "pid": "boot/7/1"}
    one = {"attempt": 1, "micro": 64, "accumulation": 1, "result": "fits", "seconds": 2.5, "fits": 64, "said": ""}
    end = {"exit_code": 0, "ended": 9.5, "shape": "ab", "said": "micro-batch 64 fits", "tries": [one]}

    assert ProbeTask.from_json({**head, **who}).to_json() == {**head, **who, "pid_namespace": ""}
    assert ProbeEnd.from_json({**head, **end}).to_json() == {**head, **end}


def without_entries(content: dict[str, Any]) -> Any:
    return {key: value for key, value in content.items() if key != "entries"}


DAMAGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a list": (lambda _: [], ""),
    "another file": (lambda content: {**content, "kind": "exit"}, ""),
    "a later schema": (lambda content: {**content, "schema": 2}, "schema: 2; this version reads 1"),
    "no elements": (without_entries, "entries: missing"),
    "no resources": (lambda content: {**content, "resources": None}, "resources: null"),
    "an element without a name": (lambda content: {**content, "entries": [{"task_id": "a"}]}, "run_name: missing"),
    "two faults": (lambda content: {**content, "code": 1, "seal": 2}, "code: 1 where an object is expected; seal: 2"),
    "too few elements": (lambda content: {**content, "entries": []}, "index 0; "),
}


@pytest.mark.parametrize("main", [run_task.main, probe.main], ids=["task", "probe"])
@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_index_is_said_in_one_sentence(
    main: Callable[[list[str]], int],
    damage: Callable[[dict[str, Any]], Any],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 2, one line with the file and what is wrong in it, and nothing is begun."""
    index = submission_index() if main is run_task.main else probe_index(submission_index())
    path = tmp_path / "runs/e/submissions/001/index.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(damage(index.to_json())))

    assert main([str(path), "0"]) == EXIT_USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line
    assert said in line
    assert [each.name for each in (tmp_path / "runs/e").rglob("*")] == ["submissions", "001", "index.json"]


@pytest.mark.parametrize("tasks", [None, {}, [{}], [{"task_id": 3}], ["a"]], ids=repr)
def test_a_damaged_manifest_is_said_in_one_sentence(
    tasks: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tasks that are none, or have no id: exit 2 and one line with the file."""
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"kind": "manifest", "tasks": tasks}))

    assert run_task.main([str(path), "0"]) == EXIT_USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line
    assert "tasks: " in line
