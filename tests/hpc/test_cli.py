"""The command line as people and scripts meet it: help, examples, exit codes, start without surprises."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import click
import pytest

import analysis.export
import analysis.report
import hpc.cli
from hpc.cli import COMMANDS
from hpc.core import errors

ROOT = Path(__file__).parents[2]
MODULES = [f"hpc.{verb}" for verb in COMMANDS] + ["hpc.run_task", "hpc.local.runner", "analysis.report"]


def run(
    module: str, *arguments: str, folder: Path = ROOT, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``python -W error -m MODULE ARGUMENTS`` as a user would, with no terminal and no input."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HPC_", "SLURM_"))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", module, *arguments],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT), **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project with one small experiment for this machine."""
    (tmp_path / "manifests/experiments").mkdir(parents=True)
    (tmp_path / "manifests/clusters").mkdir()
    (tmp_path / "manifests/clusters/local.yaml").write_text("scheduler: local\napptainer: ''\n")
    (tmp_path / "manifests/experiments/small.yaml").write_text(
        "name: small\ntype: comparison\n"
        "program: {command: 'python go.py --size {size} --seed {seed}'}\n"
        "sweep: {grid: {size: [1, 2]}, seeds: [1]}\n"
        "metrics: {primary: {name: loss}, source: {stdout: 'loss (?P<loss>\\S+)'}}\n"
    )
    (tmp_path / "go.py").write_text("print('loss 1.0')\n")
    return tmp_path


def plan(project: Path) -> None:
    """Plan the small experiment."""
    done = run("hpc.plan", "small", "--cluster", "local", folder=project)
    assert done.returncode == 0, done.stderr


# help


@pytest.mark.parametrize("module", MODULES)
def test_each_command_helps_with_an_example(module: str) -> None:
    """`--help` exits 0, says nothing on stderr, and shows a line that can be typed."""
    done = run(module, "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert f"python -m {module} " in " ".join(done.stdout.split())


def test_the_group_lists_every_command_with_its_line() -> None:
    """`hpc --help` names each verb beside what it does, and loads none of them."""
    done = run("hpc.cli", "--help")

    assert done.returncode == 0
    for verb, line in COMMANDS.items():
        assert f"  {verb}" in done.stdout
        assert line in " ".join(done.stdout.split())


def test_the_group_loads_no_command_for_its_help() -> None:
    """`hpc --help` costs an import of click and nothing of ours but the table."""
    program = (
        "import sys, hpc.cli, click.testing; click.testing.CliRunner().invoke(hpc.cli.main, ['--help']);"
        "print([name for name in sys.modules if name.startswith('hpc.') and name != 'hpc.cli'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_table_agrees_with_the_command(verb: str) -> None:
    """The group's line and the command's own help begin with the same verb, and the line fits beside the name."""
    command = hpc.cli.main.get_command(click.Context(hpc.cli.main), verb)

    assert command is not None
    assert command.name == verb
    assert (command.help or "").split()[0] == COMMANDS[verb].split()[0]
    assert len(COMMANDS[verb]) <= 80 - 11  # click's column of names


@pytest.mark.parametrize("verb", COMMANDS)
def test_each_command_speaks_json(verb: str) -> None:
    """Every command can answer as one JSON value."""
    command = hpc.cli.main.get_command(click.Context(hpc.cli.main), verb)

    assert command is not None
    assert "--json" in {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize(
    "verb",
    [
        "init", "brief", "plan", "submit", "collect", "follow", "hold", "release", "clean", "archive", "cancel",
        "export", "sync", "adopt", "reproduce",
    ],
)  # fmt: skip
def test_each_command_that_acts_can_be_rehearsed(verb: str) -> None:
    """Every command that changes something has `--dry-run`."""
    command = hpc.cli.main.get_command(click.Context(hpc.cli.main), verb)

    assert command is not None
    assert "--dry-run" in {option for parameter in command.params for option in parameter.opts}


def test_options_change_only_on_purpose() -> None:
    """A new or lost option of any command fails here, so that it is also written into the changelog."""
    context = click.Context(hpc.cli.main)
    commands = {verb: hpc.cli.main.get_command(context, verb) for verb in COMMANDS}
    commands["analysis.report"] = analysis.report.report
    groups = {verb: command for verb, command in commands.items() if isinstance(command, click.Group)}
    commands |= {f"{verb} {name}": each for verb, group in groups.items() for name, each in group.commands.items()}
    found = {
        name: sorted(max(each.opts, key=len) for each in command.params if isinstance(each, click.Option))
        for name, command in commands.items()
        if command is not None
    }

    assert found == {
        "init": ["--dry-run", "--goal", "--json", "--makefile", "--metric", "--name", "--run-help", "--yes"],
        "brief": ["--dry-run", "--from", "--json", "--non-interactive"],
        "plan": [
            "--advice", "--cluster", "--dry-run", "--json", "--moved", "--replace", "--resource-limits",
            "--second-look", "--seeds", "--set",
        ],
        "submit": [
            "--backend", "--canary", "--detach", "--dry-run", "--follow", "--json", "--max-parallel", "--probe",
            "--release",
        ],
        "doctor": ["--all", "--checkpoints", "--cluster", "--dry-run", "--json", "--wait", "--write-profile"],
        "ls": ["--json"],
        "usage": ["--all", "--json"],
        "completion": ["--json"],
        "dash": ["--json", "--output"],
        "status": ["--json", "--tasks", "--watch"],
        "collect": [
            "--again", "--compact", "--dry-run", "--forget-gone", "--include-running", "--json", "--max-parallel",
            "--replan", "--retry-failed",
        ],
        "logs": ["--attempt", "--follow", "--grep", "--json", "--rank", "--stderr", "--stdout", "--tail"],
        "clean": [
            "--aside", "--caches", "--checkpoints", "--code", "--dry-run", "--images", "--json", "--older-than",
            "--work", "--yes",
        ],
        "archive": [
            "--dry-run", "--json", "--leave-out", "--output", "--partial", "--restore", "--root", "--with",
        ],
        "shell": ["--attempt", "--json", "--print", "--srun"],
        "mcp": ["--allow-actions", "--json"],
        "reproduce": ["--dry-run", "--experiment", "--json", "--submit"],
        "hold": ["--dry-run", "--json", "--reason"],
        "release": ["--dry-run", "--json"],
        "cancel": ["--dry-run", "--json"],
        "history": ["--json"],
        "history start": ["--dry-run", "--goal", "--json", "--name"],
        "history finish": ["--diverged-at", "--dry-run", "--failed", "--json", "--log", "--metrics"],
        **{f"history {verb}": ["--dry-run", "--json"] for verb in ("note", "todo", "render")},
        **{f"history {verb}": ["--json"] for verb in ("list", "best", "values", "compare", "ask")},
        "follow": ["--dry-run", "--json", "--max-parallel", "--number"],
        "why": ["--exit", "--json", "--jsonl", "--metrics", "--state"],
        "adopt": ["--dry-run", "--goal", "--json", "--metric", "--metrics", "--name", "--pattern"],
        "export": ["--dry-run", "--json", "--out", "--project", "--root", "--to", "--unlogged"],
        "sync": ["--all", "--dry-run", "--entity", "--json", "--project"],
        "report": ["--bundle", "--compare", "--format", "--json", "--out", "--root", "--style", "--watch"],
        "analysis.report": ["--bundle", "--compare", "--format", "--json", "--out", "--root", "--style", "--watch"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "passed_to"), [("report", analysis.report.report), ("export", analysis.export.export)]
)
def test_a_verb_that_passes_on_has_the_options_of_its_command(name: str, passed_to: click.Command) -> None:
    """`hpc report` declares what `analysis.report` takes, with the same sentences; so does `hpc export`."""
    verb = hpc.cli.main.get_command(click.Context(hpc.cli.main), name)
    assert verb is not None

    def declared(command: click.Command) -> dict[tuple[str, ...], str]:
        options = (each for each in command.params if isinstance(each, click.Option))
        return {tuple(each.opts): (each.help or "").partition("  [")[0] for each in options}

    assert declared(verb) == declared(passed_to)


# exit codes


def test_exit_codes_are_those_of_the_contract() -> None:
    """The commands' codes, and those of the wrapper: 74 storage, 85 checkpointed."""
    codes = {name: value for name, value in vars(errors).items() if name.startswith("EXIT_")}

    assert codes == {
        "EXIT_DONE": 0, "EXIT_FAILED": 1, "EXIT_USAGE": 2, "EXIT_NOTHING": 3, "EXIT_TEMPORARY": 75,
        "EXIT_CHECKPOINTED": 85, "EXIT_STORAGE": 74, "EXIT_INTERRUPTED": 130,
    }  # fmt: skip


def test_an_unknown_verb_is_a_usage_error() -> None:
    """`hpc nonsense` exits 2 and names what it did not know."""
    done = run("hpc.cli", "nonsense")

    assert done.returncode == 2
    assert "nonsense" in done.stderr
    assert "did you mean 'plan'?" in run("hpc.cli", "pln").stderr


def test_an_unknown_verb_is_said_in_lines_as_wide_as_the_terminal_it_is_said_on() -> None:
    """That is stderr's, also where stdout goes elsewhere."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 44, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    subprocess.run(
        [sys.executable, "-m", "hpc.cli", "frobnicate"], stdout=subprocess.DEVNULL, stderr=theirs,
        env={**environment, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    os.close(theirs)
    said = os.read(ours, 65536).decode()
    os.close(ours)
    said = said[said.index("Error: there is no command") :]
    assert max(map(len, said.splitlines())) <= 44


@pytest.mark.parametrize("verb", COMMANDS)
def test_an_unknown_option_is_a_usage_error(verb: str) -> None:
    """Exits 2 and says which option."""
    done = run(f"hpc.{verb}", "--nonsense")

    assert done.returncode == 2
    assert "--nonsense" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("hpc.plan", "smal", "--cluster", "local"),
        ("hpc.plan", "small", "--cluster", "locla"),
        ("hpc.plan", "small", "--cluster", "local", "--set", "resources.gpsu=1"),
        ("hpc.submit", "small"),
        ("hpc.status", "small"),
        ("hpc.collect", "small"),
        ("hpc.collect",),
        ("hpc.why", "nothing-like-this"),
        ("hpc.why",),
        ("hpc.report", "small"),
        ("hpc.report", "--root", "nowhere", "--format", "html"),
        ("analysis.report", "small"),
    ],
    ids=" ".join,
)
def test_invalid_input_exits_2_with_a_sentence(project: Path, arguments: tuple[str, ...]) -> None:
    """What a person got wrong is answered by a sentence on stderr, exit 2, and no traceback."""
    done = run(*arguments, folder=project)

    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_nothing_to_do_exits_3(project: Path) -> None:
    """Submitting what is done already is valid and has no effect: exit 3, and a sentence that is no error."""
    plan(project)
    assert run("hpc.submit", "small", folder=project).returncode == 0

    done = run("hpc.submit", "small", folder=project)

    assert done.returncode == 3
    assert not done.stderr.startswith("error")


def test_a_failed_task_exits_1(project: Path) -> None:
    """A command that did its work and found a failed task says so by exit 1."""
    (project / "go.py").write_text("raise TypeError('a plain bug')\n")
    plan(project)

    assert run("hpc.submit", "small", folder=project).returncode == 1
    assert run("hpc.collect", "small", folder=project).returncode == 1


def test_slurm_that_does_not_answer_exits_75(project: Path, tmp_path: Path) -> None:
    """Where squeue and sbatch time out or fail to reach the controller the answer is: try again."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sbatch", "squeue", "sacct", "scontrol"):
        (tools / name).write_text(
            f"#!/bin/sh\necho '{name}: error: Unable to contact slurm controller (connect failure)' >&2\nexit 1\n"
        )
        (tools / name).chmod(0o755)
    (project / "manifests/clusters/site.yaml").write_text("scheduler: slurm\n")
    environment = {"PATH": f"{tools}:{os.environ['PATH']}"}
    planned = run("hpc.plan", "small", "--cluster", "site", folder=project, environment=environment)
    assert planned.returncode in (0, 1), planned.stderr  # the site's own check of the script may not answer either

    done = run("hpc.submit", "small", folder=project, environment=environment)

    assert done.returncode == 75
    assert "Traceback" not in done.stderr


def test_json_is_one_value_on_stdout(project: Path) -> None:
    """With --json stdout holds one JSON value, whatever else there is to say."""
    plan(project)

    for arguments in (
        ("hpc.plan", "small", "--cluster", "local"),
        ("hpc.status", "small"),
        ("hpc.submit", "small", "--dry-run"),
        ("hpc.collect", "small"),
    ):
        done = run(*arguments, "--json", folder=project)
        assert isinstance(json.loads(done.stdout), dict), arguments


def test_without_a_name_the_newest_experiment_is_taken_and_named(project: Path) -> None:
    """Where NAME may be left out the output says which experiment was meant."""
    plan(project)

    done = run("hpc.status", folder=project)

    assert done.returncode == 0
    assert "small" in done.stdout


def test_a_dry_run_writes_nothing(project: Path) -> None:
    """`--dry-run` of submit and collect leaves every file as it was."""
    plan(project)
    before = {path: path.stat().st_mtime_ns for path in (project / "runs/small/submissions").rglob("*")}

    assert run("hpc.submit", "small", "--dry-run", folder=project).returncode == 0

    assert {path: path.stat().st_mtime_ns for path in (project / "runs/small/submissions").rglob("*")} == before
    assert not (project / "runs/small/tasks").exists()


def test_python_m_hpc_is_hpc() -> None:
    """Where a folder of scripts is not on the path, the interpreter alone does."""
    done = subprocess.run([sys.executable, "-m", "hpc", "status", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: python -m hpc status ")
