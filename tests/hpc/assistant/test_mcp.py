"""`hpc mcp`, asked by the client of the protocol's own kit over stdin and stdout, as an assistant's program asks."""

import json
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc.assistant.bounded import bounded
from hpc.assistant.tools import ACTING, READING
from hpc.core.credentials import hide_secrets
from tests.local_projects import EXPERIMENT, LocalProject, command_environment, copy_project, make_project

TOKEN = "hf_" + "a1B2c3" * 7
PROGRAM = "print('loss: 0.5'); print('hf_' + 'a1B2c3' * 7); raise TypeError('a plain bug')"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """A task that printed a token and failed, not collected."""
    project = make_project(tmp_path_factory.mktemp("mcp") / "project", EXPERIMENT.replace("[1, 2]", "[1]"), PROGRAM)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", expect=1)
    return project


class Asked:
    """What a server answered: its tools by name, and the text and error flag of each call."""

    def __init__(self) -> None:
        self.tools: dict[str, Any] = {}
        self.calls: list[tuple[str, bool]] = []

    def answer(self, number: int) -> Any:
        """A call's answer as JSON."""
        text, is_error = self.calls[number]
        assert not is_error, text
        return json.loads(text)


def ask(project: LocalProject, *calls: tuple[str, Mapping[str, Any]], options: tuple[str, ...] = ()) -> Asked:
    """Start the server, list its tools, make the calls, end it."""
    import anyio  # the kit takes half a second, and every process of pytest reads this file
    from mcp import ClientSession, StdioServerParameters, stdio_client

    asked = Asked()

    async def script() -> None:
        server = StdioServerParameters(
            command=sys.executable, args=["-m", "hpc.mcp", *options], env=command_environment(), cwd=project.folder
        )
        async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            asked.tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            for name, arguments in calls:
                result = await session.call_tool(name, dict(arguments))
                asked.calls.append(("".join(part.text for part in result.content), bool(result.is_error)))

    with ThreadPoolExecutor(1) as own:  # a loop that another test left in this thread allows no second one
        own.submit(anyio.run, script).result()
    return asked


def names(tools: tuple[Callable[..., str], ...]) -> set[str]:
    """Names of tools."""
    return {tool.__name__ for tool in tools}


def state(project: LocalProject) -> dict[Path, int]:
    """Every file of the runs with its time, but for what the queue of this machine still writes."""
    found = (path for path in project.runs.rglob("*") if not any(part.startswith(".") for part in path.parts))
    return {path: path.stat().st_mtime_ns for path in found}


def test_reading_tools_read_and_change_nothing(project):
    """Only they are offered without the flag; what they answer is what the commands answer, and nothing is written."""
    before = state(project)
    asked = ask(
        project,
        ("status", {"experiment": "tiny"}),
        ("why", {"experiment": "tiny", "task": "X1"}),
        ("logs", {"experiment": "tiny", "task": "X1", "lines": 5}),
        ("plan_dry_run", {"experiment": "tiny", "changes": {"resources.mem": "1GB"}, "cluster": "local"}),
        ("hold", {"experiment": "tiny", "reason": "not offered"}),
    )

    assert set(asked.tools) == names(READING)
    assert all(tool.annotations.read_only_hint for tool in asked.tools.values())
    assert asked.answer(0)["answer"]["tasks"] == 1
    assert asked.answer(1)["answer"]["category"] == "code_bug"
    assert asked.answer(3)["answer"]["tasks"] == 1
    assert "0.5" in asked.calls[2][0]
    assert TOKEN not in asked.calls[2][0]
    assert asked.calls[4][1], "an acting tool answered without the flag"
    assert state(project) == before


def test_acting_tools_act_behind_the_flag_and_errors_are_the_commands_own(project):
    """`hold` holds; a mistake is answered by the sentence of the command; a name can be no option and no path."""
    asked = ask(
        project,
        ("hold", {"experiment": "tiny", "reason": "looked at by a person"}),
        ("status", {"experiment": "tiyn"}),
        ("results", {"experiment": "tiny"}),
        ("status", {"experiment": "--watch"}),
        ("logs", {"experiment": "tiny", "task": "../../etc"}),
        options=("--allow-actions",),
    )

    assert set(asked.tools) == names(READING) | names(ACTING)
    assert {name for name, tool in asked.tools.items() if not tool.annotations.read_only_hint} == names(ACTING)
    assert asked.answer(0)["exit_code"] == 0
    assert (project.runs / "tiny/hold.json").exists()
    said = project.hpc("status", "tiyn", expect=2).strip().removeprefix("error: ")
    assert asked.calls[1] == (said, True)
    assert asked.calls[2] == ("tiny is not collected yet: python -m hpc.collect tiny", True)
    for text, is_error in asked.calls[3:]:
        assert is_error
        assert "cannot be" in text


RIGHT_AND_WRONG: tuple[tuple[str, Mapping[str, Any], Mapping[str, Any], str], ...] = (
    ("list_experiments", {}, {}, ""),
    ("status", {"experiment": "tiny"}, {}, "experiment"),
    ("why", {"experiment": "tiny", "task": "X1"}, {"experiment": "tiny", "task": "X9"}, "X9"),
    ("logs", {"experiment": "tiny", "task": "X1"}, {"experiment": "tiny", "task": "X1", "lines": "many"}, "lines"),
    ("plan_dry_run", {"experiment": "tiny"}, {"experiment": "tiny", "changes": {"resources.mem": "much"}}, "mem"),
    ("plan", {"experiment": "tiny"}, {"experiment": "tiny", "cluster": "nowhere"}, "nowhere"),
    ("submit", {"experiment": "tiny", "canary": False}, {"experiment": "a/b"}, "'a/b' cannot be an experiment"),
    ("retry_failed", {"experiment": "tiny", "dry_run": False}, {"experiment": "tiny", "dry_run": "perhaps"}, "dry_run"),
    ("results", {"experiment": "tiny"}, {"experiment": "tiyn"}, "tiyn"),
    ("report", {"experiment": "tiny"}, {"experiment": ".."}, "'..' cannot be an experiment"),
    ("ask_history", {"question": "what x have I tried?"}, {"question": " "}, "give some words"),
    ("reproduce_dry_run", {"experiment": "tiny", "task": "X1"}, {"experiment": "tiny", "task": "X9"}, "X9"),
    ("cancel", {"experiment": "tiny", "tasks": []}, {"experiment": "tiny", "tasks": ["-f"]}, "'-f' cannot be a task"),
    ("hold", {"experiment": "tiny", "reason": "to look"}, {"experiment": "tiny", "reason": ""}, "give some words"),
    ("release", {"experiment": "tiny"}, {"experiment": "--all"}, "'--all' cannot be an experiment"),
)
"""Tool, right arguments, wrong ones, and what the answer to those names; in an order in which each has work to do."""


def test_every_tool_answers_right_arguments_and_refuses_wrong_ones(project: LocalProject, tmp_path: Path) -> None:
    """Each once over stdin and stdout: a JSON answer with an exit code, and a sentence that names what is wrong."""
    right = [(name, arguments) for name, arguments, _, _ in RIGHT_AND_WRONG]
    wrong = [(name, arguments) for name, _, arguments, names_it in RIGHT_AND_WRONG if names_it]
    copy = copy_project(project.folder, tmp_path / "project")
    copy.call("-m", "hpc.release", "tiny")  # another test of this file may hold it
    asked = ask(copy, *right, *wrong, options=("--allow-actions",))

    assert {name for name, _ in right} == set(asked.tools)
    for number, (name, _) in enumerate(right):
        answer = asked.answer(number)
        assert answer.get("exit_code", 0) in (0, 1, 3), name
        assert TOKEN not in asked.calls[number][0]
    told = zip(wrong, (each[3] for each in RIGHT_AND_WRONG if each[3]), asked.calls[len(right) :], strict=True)
    for (name, arguments), names_it, (text, is_error) in told:
        assert is_error, (name, arguments, text)
        assert names_it in text, (name, arguments, text)
        assert "Traceback" not in text


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.text(max_size=9), inner, max_size=12),
    max_leaves=20,
)


@settings(max_examples=40)
@given(JSON, st.integers(200, 5000))
def test_an_answer_fits_and_is_json(value, most):
    """Whole where it fits, else cut; never longer than allowed, never half a text."""
    text = bounded(value, most)

    assert len(text) <= most
    whole = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert (json.loads(text) == value) if len(whole) <= most else "left_out" in text or "…" in text


def test_tokens_are_hidden():
    """What looks like a key is starred wherever it stands, and the rest is left as it was."""
    assert hide_secrets(f"login {TOKEN}, then é") == "login ***, then é"


def test_the_list_of_tools_needs_no_kit(project):
    """`--json` lists them without the optional part, also where it is missing; serving says what to install."""
    (broken := project.folder / "without/mcp").mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ModuleNotFoundError('none', name='mcp')")
    path = f"{Path(__file__).parents[3]}:{broken.parent}"

    listed = project.json("mcp", PYTHONPATH=path)
    told = project.hpc("mcp", expect=2, PYTHONPATH=path)

    assert {each["name"] for each in listed["tools"]} == names(READING)
    assert not any(each["acts"] for each in listed["tools"])
    assert "this command needs mcp, which is not installed: python -m pip install 'hpc-batch[mcp]'" in told
