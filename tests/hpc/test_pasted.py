"""The law of messages: every command line we print can be pasted as it stands, spelled as this user started us.

Scenes are played in a project whose folder has a space in its name; what is printed is read for commands of ours; each
is then typed into a shell in that project. None may be a usage error.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.adapters.started import VARIABLE, template_of
from hpc.cli import COMMANDS
from hpc.core.typed import PLAIN, spell
from tests.local_projects import EXPERIMENT, REPO, make_project
from tests.zygote import run_python

PROGRAM = """
import sys
if sys.argv[1] == "2":
    raise FileNotFoundError("data.bin")
print("loss: 1")
"""
WORD = r"(?:'[^']*'|[^\s;,)('\"]+)"


@dataclass(frozen=True)
class Typist:
    """A user who starts us in one way.

    Attributes:
        start: How, with ``{verb}``.
        folder: The project.
        path: PATH.
        is_forked: What is not typed into a shell runs in a fork that is told how it was started, as our own processes
            are told.
    """

    start: str
    folder: Path
    path: str
    is_forked: bool = True

    @property
    def runs(self) -> Path:
        """Where the runs are: a path for Slurm's scripts has no space."""
        return self.folder.parent / "runs"

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HPC_", "SLURM_", "PYTHON"))}
        return {**kept, "PATH": self.path, "PYTHONPATH": str(REPO), "HPC_ROOT": str(self.runs),
                "HPC_CLUSTER": "local", "COLUMNS": "100"}  # fmt: skip

    def type(self, line: str) -> "subprocess.CompletedProcess[str]":
        """Type a line into a shell, with no terminal."""
        return subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=120, check=False,
        )  # fmt: skip

    def call(self, verb: str, *arguments: str) -> str:
        """Start a command as this user does; return all it printed."""
        if self.is_forked:
            environment = {**self.environment, VARIABLE: self.start}
            done = run_python(["-m", f"hpc.{verb}", *arguments], self.folder, environment, timeout=120)
        else:
            done = self.type(f"{self.start.replace('{verb}', verb)} {shlex.join(arguments)}")
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    def commands_in(self, told: str) -> list[str]:
        """The command lines of ours in a text, each to its end: punctuation, two blanks, or the line's."""
        begin = re.escape(self.start).replace(r"\{verb\}", "[a-z]+")
        found = re.finditer(rf"(?:mv {WORD} {WORD} && )?{begin}(?![\w.])(?: {WORD})*", told)
        return [each[0].removesuffix(".") for each in found]


def as_script(folder: Path) -> Typist:
    """Through the console script ``hpc`` on PATH."""
    tools = folder.parent / "bin"
    tools.mkdir()
    (tools / "hpc").write_text(f"#!{sys.executable}\nfrom hpc.cli import main\nmain()\n")
    (tools / "hpc").chmod(0o755)
    return Typist("hpc {verb}", folder, f"{tools}:{os.environ['PATH']}", is_forked=False)


def as_module(folder: Path) -> Typist:
    """With ``python3`` of PATH."""
    tools = folder.parent / "bin"
    tools.mkdir()
    (tools / "python3").symlink_to(sys.executable)
    return Typist("python3 -m hpc.{verb}", folder, f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def as_path(folder: Path) -> Typist:
    """With an interpreter by its path, as in a clone."""
    return Typist(f"{sys.executable} -m hpc.{{verb}}", folder, os.environ["PATH"])


WAYS: dict[str, Callable[[Path], Typist]] = {"hpc": as_script, "python3 -m": as_module, "path": as_path}


def scenes(user: Typist) -> list[tuple[str, str]]:
    """Play the road with its mishaps; return each scene with what was printed."""
    experiment = user.folder / "manifests/experiments/tiny.yaml"
    told = [("nothing planned", user.call("status")), ("a typo", user.call("status", "tinny"))]
    told += [("rehearsed", user.call("plan", "tiny", "--dry-run", "--set", "resources.mem=600MB"))]
    told += [("planned", user.call("plan", "tiny", "--set", "resources.mem=600MB"))]
    told += [("not submitted", user.call("status")), ("a failed task", user.call("submit", "tiny"))]
    told += [("done", user.call("submit", "tiny")), ("failed", user.call("status"))]
    told += [("collected", user.call("collect")), ("why", user.call("why", "X2"))]
    told += [("again", user.call("collect", "--retry-failed", "--again", "X2", "--dry-run"))]
    told += [("again, misspelt", user.call("collect", "--retry-failed", "--again", "dta"))]
    told += [("planned again", user.call("plan", "tiny", "--set", "resources.mem=600MB"))]
    experiment.write_text(EXPERIMENT.replace('{seed}"', '{seed} more"'))
    told += [("other settings", user.call("plan", "tiny"))]
    experiment.write_text(EXPERIMENT)
    (user.folder / "program.py").write_text(PROGRAM.replace("data.bin", "other.bin"))
    told += [("a stale plan", user.call("collect", "--retry-failed", "--again", "data"))]
    record = user.runs / "tiny/tasks/X1/attempt-1/exit.json"
    whole = record.read_text()
    record.write_text("{")
    told += [("damaged", user.call("status"))]
    record.write_text(whole)
    (user.runs / "tiny/hold.json").write_text("{}")
    told += [("held", user.call("submit", "tiny")), ("held, seen", user.call("status"))]
    told += [("nothing to cancel", user.call("cancel"))]
    return told


@pytest.mark.parametrize("way", WAYS)
def test_every_printed_command_can_be_pasted(way: str, tmp_path: Path) -> None:
    """Whatever way we are started: no line is a usage error, an unknown option or a file that is not there."""
    make_project(tmp_path / "my project", EXPERIMENT, PROGRAM)
    user = WAYS[way](tmp_path / "my project")
    told = scenes(user)
    for verb, arguments in (("status", []), ("why", ["X2"])) if user.is_forked else ():
        assert user.call(verb, *arguments) == replace(user, is_forked=False).call(verb, *arguments)
    others = [line for scene, text in told for line in text.splitlines() if re.search(r"\bpython -m hpc", line)]
    assert others == [] or "python -m" in user.start, others
    found = {command: scene for scene, text in told for command in user.commands_in(text)}
    assert len(found) >= 10, found
    assert {"plan", "submit", "collect", "status"} <= {_verb(each) for each in found}
    if way != "hpc":  # what follows the verb is the same: once for each verb tells
        found = {command: found[command] for command in {_verb(each): each for each in found}.values()}
    for command, scene in found.items():
        done = user.type(command)
        answer = f"{scene}: {command}\n{done.stdout}{done.stderr}"
        if _verb(command) == "brief":  # it asks, and there is nobody at this terminal
            assert "What do you want to know?" in done.stderr, answer
            continue
        assert done.returncode in (0, 1, 3), answer
        assert "no such option" not in done.stderr.lower()
    why = next(text for scene, text in told if scene == "why")
    assert f"{user.start.replace('{verb}', 'collect')} tiny --retry-failed --again data" in why  # folded by no margin


def _verb(command: str) -> str:
    return re.split(r"hpc[ .]", command)[-1].split()[0]


def test_help_shows_what_was_typed(tmp_path: Path) -> None:
    """`hpc plan --help` has an example that begins with ``hpc plan``."""
    make_project(tmp_path / "project")
    user = as_script(tmp_path / "project")
    assert "Example: hpc plan lora_sweep" in " ".join(user.call("plan", "--help").split())


@pytest.mark.parametrize(
    ("script", "command", "on_path", "expected"),
    [
        ("/venv/bin/hpc", ["/venv/bin/python", "/venv/bin/hpc", "plan"], "/venv/bin/hpc", "hpc {verb}"),
        ("/venv/bin/hpc", ["/venv/bin/python", "/venv/bin/hpc", "plan"], None, "/venv/bin/hpc {verb}"),
        ("/my venv/bin/hpc", ["x", "y"], "/other/hpc", "'/my venv/bin/hpc' {verb}"),
        ("/x/hpc/plan.py", ["python", "-m", "hpc.plan"], None, PLAIN),
        (
            "/x/hpc/plan.py",
            [".venv/bin/python", "-W", "error", "-m", "hpc.plan"],
            None,
            ".venv/bin/python -m hpc.{verb}",
        ),
        ("/x/hpc/plan.py", ["/my venv/python", "-m", "hpc.plan"], None, "'/my venv/python' -m hpc.{verb}"),
        ("", [], None, PLAIN),
    ],
)
def test_how_we_were_started(script: str, command: list[str], on_path: str | None, expected: str) -> None:
    """The console script by its name where a shell finds it, else by its path; an interpreter as it was typed."""
    assert template_of(script, command, on_path) == expected


@given(st.sampled_from(sorted(COMMANDS)), st.text(max_size=30), st.text(max_size=30))
def test_only_our_commands_are_spelled(verb: str, before: str, after: str) -> None:
    """Nothing else in a text changes; the wrapper and the inner modules are nobody's to type."""
    text = f"{before} python -m hpc.{verb} {after}"
    assert spell(text, "hpc {verb}") == f"{spell(before, 'hpc {verb}')} hpc {verb} {spell(after, 'hpc {verb}')}"
    assert spell("python -m hpc.run_task x", "hpc {verb}") == "python -m hpc.run_task x"
    assert spell("python -m hpc.local.runner x", "hpc {verb}") == "python -m hpc.local.runner x"
    assert spell("python -m analysis.report x", "hpc {verb}") == "hpc report x"
