"""The commands as functions: what they give is what their commands print."""

import ast
import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

import hpc.cli
from hpc import api
from hpc.core.errors import InputError, NothingToDo
from tests.local_projects import LocalProject, command_environment, make_project

STORY = """
import dataclasses, json, sys
import hpc
from hpc.core.errors import InputError, NothingToDo

told = {}
told["plan"] = hpc.plan("tiny", cluster="local", set={"resources.mem": "400MB"})
told["submit"] = hpc.submit("tiny")
told["collect"] = hpc.collect()
told["status"] = hpc.status("tiny")
try:
    hpc.submit("tiny")
except NothingToDo as error:
    told["nothing"] = str(error)
e = hpc.load("tiny")
told["values"] = list(e.runs["loss"])
told["dir"] = dir(hpc)
print(json.dumps(told, default=dataclasses.asdict))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """A whole sweep from Python, in an interpreter of its own, started in a subfolder."""
    project: LocalProject = make_project(tmp_path_factory.mktemp("project"))
    (project.folder / "notebooks").mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", STORY],
        cwd=project.folder / "notebooks", env=command_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def part(told: dict[str, object], name: str) -> dict[str, object]:
    """One record of the story."""
    record = told[name]
    assert isinstance(record, dict)
    return record


def test_a_sweep_is_planned_run_and_read_from_python(told: dict[str, object]) -> None:
    """Plan, submit, collect, status and load, from a subfolder of the project."""
    assert part(told, "plan")["to_submit"] == ["X1", "X2"]
    assert part(told, "submit")["tasks"] == 2
    assert part(told, "collect")["outcomes"]["finished"] == 2  # type: ignore[index]
    assert part(told, "status")["tasks"] == 2
    assert told["values"] == [0.5, 1.0]
    assert {"load", "plan", "submit", "collect", "status"} <= set(told["dir"])  # type: ignore[call-overload]


def test_what_there_is_nothing_to_do_for_raises_so(told: dict[str, object]) -> None:
    """Exit codes become the exceptions of the house, with the command's own words."""
    assert "everything is queued, running or done" in str(told["nothing"])


@pytest.mark.parametrize("name", ["plan", "submit", "collect", "status"])
def test_each_keyword_is_an_option_of_its_command(name: str) -> None:
    """A function takes nothing that its command does not have."""
    command = hpc.cli.main.get_command(click.Context(hpc.cli.main), name)
    assert command is not None
    options = {text.removeprefix("--").replace("-", "_") for each in command.params for text in each.opts}

    assert set(inspect.signature(getattr(api, name)).parameters) <= options | {"name"}


@pytest.mark.parametrize("record", [api.Planned, api.Submitted, api.Collected, api.Standing])
def test_records_are_frozen_and_documented(record: type) -> None:
    """Every field stands in the docstring; what a command prints beyond them is in `more`."""
    own = {each.name for each in dataclasses.fields(record)} - {"experiment", "more", "said"}

    assert all(f"\n        {name}: " in (record.__doc__ or "") for name in own)
    assert record.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_what_a_command_says_beyond_a_record_is_kept() -> None:
    """A newer command may print more: nothing of it is lost."""
    answer = api.Standing.of({"experiment": "x", "tasks": 1, "outcomes": {}, "probed": ["a"]}, "note")

    assert (answer.tasks, answer.more, answer.said) == (1, {"probed": ["a"]}, "note")


def test_a_mistake_is_the_commands_own_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """InputError with what the command would have printed."""
    make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPC_ROOT", raising=False)

    with pytest.raises(InputError, match=r"no experiment file .*did you mean 'tiny'"):
        api.plan("tinny", cluster="local")
    with pytest.raises(InputError, match="nothing of yours was planned"):
        api.status()


def test_exceptions_follow_the_exit_codes() -> None:
    """3 is NothingToDo, 75 is TemporaryError."""
    assert {code: kind.exit_code for code, kind in api._RAISED.items()} == {3: 3, 75: 75}
    assert NothingToDo.exit_code == 3


def test_the_public_names_are_there() -> None:
    """What `hpc/__init__.py` promises exists where it says."""
    tree = ast.parse((Path(hpc.cli.__file__).parent / "__init__.py").read_text())
    assigned = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    table = assigned["_PUBLIC"]
    for name, module in ast.literal_eval(table).items():
        assert f"def {name}(" in (Path(hpc.cli.__file__).parents[1] / f"{module.replace('.', '/')}.py").read_text()
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        hpc.nonsense  # type: ignore[attr-defined]  # noqa: B018
