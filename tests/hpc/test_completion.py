"""TAB in bash, zsh and fish: verbs, options, experiments, tasks, clusters; silent whatever is wrong."""

import json
import os
import pty
import select
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpc.cli import COMMANDS
from tests.local_projects import EXPERIMENT, LocalProject, command_environment, make_project
from tests.test_startup import heavy_in

SHELLS = ("bash", "zsh", "fish")
AS_HPC = "import sys; sys.argv[0] = 'hpc'; from hpc.cli import main; main()"
PRINTS_LOADED = (
    "import atexit, json, sys; atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """A project with one experiment planned, and one that is a file only."""
    project = make_project(tmp_path_factory.mktemp("completion") / "project")
    project.hpc("plan", "tiny", "--cluster", "local")
    project.write_experiment(EXPERIMENT, "tidy")
    return project


def ask(shell: str, folder: Path, *words: str, program: str = AS_HPC) -> "subprocess.CompletedProcess[str]":
    """Ask as the script of a shell does: the words so far, the last of them unfinished."""
    whole = shlex.join(["hpc", *words[:-1]])
    more = {"COMP_CWORD": words[-1], "COMP_WORDS": whole} if shell == "fish" else {
        "COMP_CWORD": str(len(words)), "COMP_WORDS": f"{whole} {words[-1]}".rstrip(),
    }  # fmt: skip
    environment = command_environment(_HPC_COMPLETE=f"{shell}_complete", **more)
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip


def offered(shell: str, folder: Path, *words: str) -> set[str]:
    """What a shell would offer."""
    done = ask(shell, folder, *words)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    if shell == "zsh":
        return set(lines[1::3])
    return {line.partition(",")[2].partition("\t")[0] for line in lines if line}


@pytest.mark.parametrize("shell", SHELLS)
def test_everything_that_has_a_name_is_offered(shell: str, project: LocalProject) -> None:
    """Verbs, options, experiments (planned or written), tasks of the one that was named, clusters."""
    assert offered(shell, project.folder, "sta") == {"status"}
    assert offered(shell, project.folder, "status", "--wa") == {"--watch"}
    assert offered(shell, project.folder, "status", "ti") == {"tiny", "tidy"}
    assert offered(shell, project.folder, "hold", "tiny", "X1", "X") == {"X2"}
    assert offered(shell, project.folder, "plan", "tiny", "--cluster", "") == {"local", "slurm"}
    assert offered(shell, project.folder, "why", "") == {"tiny", "X1", "X2"}
    assert offered(shell, project.folder, "why", "tiny", "X") == {"X1", "X2"}
    assert offered(shell, project.folder, "why", "prog") == {"program.py"}
    assert offered(shell, project.folder, "reproduce", "") == {"tiny/", "X1", "X2"}
    assert offered(shell, project.folder, "reproduce", "tiny/") == {"tiny/X1", "tiny/X2"}
    assert offered(shell, project.folder, "collect", "tiny", "--again", "o") == {
        "oom_gpu", "oom_host", "oom_shm", "other_code", "outdated",
    }  # fmt: skip
    assert offered(shell, project.folder, "report", "--compare", "tiny", "ti") == {"tiny", "tidy"}


def test_the_log_offers_its_runs_and_parameters(project: LocalProject) -> None:
    """What was recorded by hand."""
    project.hpc("history", "start", "--", "python", "t.py", "--lr", "1e-3")
    assert offered("bash", project.folder, "history", "finish", "") == {"t-1"}
    assert offered("bash", project.folder, "history", "note", "t") == {"t-1"}
    assert offered("bash", project.folder, "history", "values", "") == {"lr", "x"}


def test_all_verbs_are_offered_and_nothing_heavy_is_loaded(project: LocalProject) -> None:
    """For the list of verbs none of them is loaded; for names no library but click."""
    done = ask("bash", project.folder, "", program=f"{PRINTS_LOADED}\n{AS_HPC}")
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == set(COMMANDS)
    assert {name for name in json.loads(done.stderr) if name.startswith("hpc.")} <= {"hpc.cli"}
    done = ask("bash", project.folder, "logs", "tiny", "", program=f"{PRINTS_LOADED}\n{AS_HPC}")
    assert done.stdout.split() == ["plain,X1", "plain,X2"]
    assert heavy_in(set(json.loads(done.stderr))) == set()


@pytest.mark.parametrize("words", [("nosuch", "zz"), ("logs", "nosuch", ""), ("logs", "bad", "")])
def test_whatever_is_wrong_a_prompt_stays_clean(project: LocalProject, words: tuple[str, ...]) -> None:
    """A verb or experiment that is none, a damaged manifest: nothing offered, and not a word."""
    bad = project.runs / "bad"
    bad.mkdir(exist_ok=True)
    (bad / "manifest.json").write_text("{")
    assert offered("bash", project.folder, *words) == set()


def test_a_bug_of_ours_leaves_a_prompt_clean(project: LocalProject) -> None:
    """Should a module not load, the shell gets nothing, and no traceback."""
    broken = f"import sys; sys.modules['hpc.status'] = None\n{AS_HPC}"
    done = ask("bash", project.folder, "status", "", program=broken)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_printed(shell: str, project: LocalProject) -> None:
    """By name, or for the shell of $SHELL; what is no shell is answered with those there are."""
    by_name = project.hpc("completion", shell)
    assert f"_HPC_COMPLETE={shell}_complete" in by_name
    assert project.hpc("completion", SHELL=f"/usr/bin/{shell}") == by_name
    assert project.json("completion", shell) == {"shell": shell, "script": by_name.rstrip("\n")}


def test_another_shell_is_refused(project: LocalProject) -> None:
    """With the nearest there is."""
    assert "did you mean 'bash'?" in project.hpc("completion", "bsh", expect=2)
    assert "completion is for bash, zsh and fish" in project.hpc("completion", SHELL="", expect=2)


HERE = [shell for shell in SHELLS if shutil.which(shell)]
"""A machine need not have all of them; the scripts' own protocol is tried above for all three."""


@pytest.fixture
def at_home(project: LocalProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's folder as current one, with `hpc` on PATH and the scripts of the three shells in a folder."""
    shim = tmp_path / "hpc"
    shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c "{AS_HPC}" "$@"\n')
    shim.chmod(0o700)
    for shell in HERE:
        (tmp_path / f"script.{shell}").write_text(project.hpc("completion", shell))
    monkeypatch.chdir(project.folder)
    for name, value in command_environment(PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}").items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.mark.parametrize("shell", [shell for shell in HERE if shell != "zsh"])
def test_a_real_shell_offers_what_it_was_asked_for(shell: str, at_home: Path) -> None:
    """The script loads without a word, and the shell's own function gives the tasks that are left."""
    script = at_home / f"script.{shell}"
    lines = {
        "bash": f". {script}; COMP_WORDS=(hpc hold tiny X); COMP_CWORD=3; _hpc_completion hpc; echo ${{COMPREPLY[@]}}",
        "fish": f"source {script}; complete -C 'hpc hold tiny X' | string join ' '",
    }
    done = subprocess.run([shell, "-c", lines[shell]], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stderr, done.stdout.split()) == ("", ["X1", "X2"])


class Terminal:
    """A shell at a terminal: what it shows, and what is typed."""

    def __init__(self, *command: str) -> None:
        self.pid, self.end = pty.fork()
        if not self.pid:
            os.execvp(command[0], command)  # noqa: S606  a shell is what it starts
        self.text = ""

    def type(self, keys: str, until: str) -> str:
        """Type; return what has come since, once it has `until` in it; fail after a minute without."""
        self.text = ""
        os.write(self.end, keys.encode())
        patience = time.monotonic() + 60
        while until not in self.text:
            assert time.monotonic() < patience, f"no {until!r} after {keys!r} in {self.text!r}"
            if select.select([self.end], [], [], 0.1)[0]:
                self.text += os.read(self.end, 65536).decode("utf-8", "replace")
        return self.text

    def close(self) -> None:
        os.close(self.end)
        os.waitpid(self.pid, 0)


@pytest.mark.parametrize("shell", [shell for shell in HERE if shell == "zsh"])
def test_a_tab_in_zsh_completes(shell: str, at_home: Path) -> None:
    """Its completions work only at a terminal: a verb is completed, and the tasks that are left are listed."""
    terminal = Terminal(shell, "-f", "-i")
    try:
        setting = f"PS1='> '; unsetopt zle_bracketed_paste; autoload -U compinit; compinit -D; . {at_home}/script.zsh"
        terminal.type(f"{setting}; echo rea''dy\n", "ready")
        assert "hpc status" in terminal.type("hpc stat\t", "hpc status").replace("\a", "")
        terminal.type("\x15", "")
        assert "X1" in terminal.type("hpc hold tiny X\t\t", "X2")
    finally:
        terminal.close()
