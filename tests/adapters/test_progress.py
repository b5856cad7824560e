"""What long work shows on a terminal while somebody waits, and that nothing of it stays or is shown anywhere else."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conversation import drawn, stood, watch
from tests.local_projects import command_environment

AT_ONCE = """
import os, subprocess, sys, time
import click
from hpc.adapters import progress
from hpc.adapters.progress import one_more, through, working
from hpc.console import json_option, note, say, speaks_plainly
from hpc.core.errors import HpcError
progress.DELAY_S, progress.EVERY_S = {delay}, 0.01

@click.command()
@json_option
@speaks_plainly
def main(as_json):
    for number in through("counting sheep", range(9)):
        time.sleep(0.02)
    with working("shearing sheep", 9) as step:
        step(3)
        time.sleep(0.1)
{inside}
    say("nine sheep")

main()
"""


def script(inside: str = "", delay: float = 0.0) -> tuple[str, str]:
    """A command that works for a while; `inside` is what happens in the middle of it."""
    return "-c", AT_ONCE.format(inside="\n".join(f"        {line}" for line in inside.splitlines()), delay=delay)


def seen(tmp_path: Path, *command: str, columns: int = 80, **environment: str) -> tuple[int, str]:
    """Watch a command at a terminal."""
    return watch(command, tmp_path, command_environment(**{"TERM": "xterm", **environment}), columns)


def test_long_work_is_shown_and_nothing_of_it_stays(tmp_path: Path) -> None:
    """What is being done, and how much of it; in the end there stands what the command printed, and no more."""
    code, text = seen(tmp_path, *script())

    assert (code, stood(text)) == (0, "nine sheep\n")
    assert "counting sheep" in drawn(text)
    assert "shearing sheep  ━━━━━━━━━━────────────────────  3/9  0:00" in drawn(text)


def test_quick_work_shows_nothing(tmp_path: Path) -> None:
    """Nothing flashes for what is done before anybody wonders."""
    assert seen(tmp_path, *script(delay=30)) == (0, "nine sheep\r\n")


@pytest.mark.parametrize(("options", "term"), [(("--json",), "xterm"), ((), "dumb"), ((), "")])
def test_nothing_is_shown_where_nobody_wants_it(options: tuple[str, ...], term: str, tmp_path: Path) -> None:
    """Neither beside one JSON value nor on a terminal whose cursor stays where it is."""
    assert seen(tmp_path, *script(), *options, TERM=term) == (0, "nine sheep\r\n")


def test_no_colour_where_none_is_wanted(tmp_path: Path) -> None:
    """NO_COLOR takes the colours, and leaves the line."""
    _, coloured = seen(tmp_path, *script())
    _, plain = seen(tmp_path, *script(), NO_COLOR="1")

    assert "\x1b[32m" in coloured
    assert "\x1b[" not in plain.replace("\x1b[K", "")
    assert "shearing sheep" in drawn(plain)


def test_terminal_without_these_characters_gets_others(tmp_path: Path) -> None:
    """A terminal that speaks ASCII alone shows a bar of what it has."""
    _, text = seen(tmp_path, *script(), PYTHONIOENCODING="ascii", NO_COLOR="1")

    assert "shearing sheep  ##########--------------------  3/9  0:00" in drawn(text)


def test_pipe_gets_nothing_and_loads_nothing(tmp_path: Path) -> None:
    """In a batch log stands what the command prints, byte for byte; no thread is begun for it."""
    inside = "import threading; assert threading.active_count() == 1\nassert 'hpc.core.progress' not in sys.modules"
    done = subprocess.run(
        [sys.executable, *script(inside)], cwd=tmp_path, env=command_environment(), capture_output=True, check=True
    )

    assert (done.stdout, done.stderr) == (b"nine sheep\n", b"")


def test_work_that_is_quick_loads_nothing_that_draws(tmp_path: Path) -> None:
    """Before the delay is over not even the module is there that draws the line."""
    assert seen(tmp_path, *script("assert 'hpc.core.progress' not in sys.modules", delay=30))[0] == 0


def test_what_is_printed_meanwhile_stands_above(tmp_path: Path) -> None:
    """No line of a command, on either stream, shares its place with the line that counts."""
    inside = (
        'say("one")\ntime.sleep(0.1)\nnote("two")\ntime.sleep(0.1)\nprint("three", end="")\ntime.sleep(0.1)\n'
        'print(" four")\nsys.stdout.writelines(["five\\n"])\ntime.sleep(0.1)'
    )
    code, text = seen(tmp_path, *script(inside))

    assert (code, stood(text)) == (0, "one\ntwo\nthree four\nfive\nnine sheep\n")
    assert "three four" in text  # nothing was drawn in the middle of a line
    assert all("sheep" in line for line in drawn(text).splitlines() if line)


def test_failure_leaves_a_clean_terminal(tmp_path: Path) -> None:
    """What went wrong is said on a line of its own, also where work was given up within other work."""
    inside = 'for _ in through("looking at sheep", [1]): time.sleep(0.1); raise HpcError("a wolf")'
    code, text = seen(tmp_path, *script(inside))

    assert (code, stood(text)) == (1, "error: a wolf\n")
    assert "looking at sheep" in drawn(text) or "shearing sheep" in drawn(text)


def test_ctrl_c_leaves_a_clean_terminal(tmp_path: Path) -> None:
    """Whoever does not want to wait gets the prompt on a line of its own."""
    environment = command_environment(TERM="xterm")
    code, text = watch(script("time.sleep(60)"), tmp_path, environment, interrupt_at=b"shearing")

    assert (code, stood(text)) == (130, "interrupted\n")


def test_workers_and_children_draw_nothing(tmp_path: Path) -> None:
    """A process that was forked in the middle says what it does to nobody; the line goes on."""
    inside = (
        'child = os.fork()\nif not child:\n    with working("in the child"): time.sleep(0.2)\n'
        '    print("a word of the child", flush=True)\n    os._exit(0)\n'
        "os.waitpid(child, 0)\none_more(2)\ntime.sleep(0.1)"
    )
    code, text = seen(tmp_path, *script(inside), NO_COLOR="1")

    assert code == 0
    assert "a word of the child" in text
    assert "in the child" not in text
    assert "5/9" in drawn(text)


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-"])
def test_closed_stream_costs_nothing(closed: str, tmp_path: Path) -> None:
    """A stream that was closed before we began is none to draw on."""
    done = subprocess.run(
        ["bash", "-c", f'exec "$@" {closed}', "-", sys.executable, *script()], cwd=tmp_path, check=False,
        env=command_environment(TERM="xterm"), stdout=subprocess.PIPE,
    )  # fmt: skip

    assert done.returncode == 0


def test_terminal_that_goes_away_ends_no_work(tmp_path: Path) -> None:
    """Where the window was closed, the work is done all the same."""
    inside = 'os.dup2(os.open("/dev/full", os.O_WRONLY), 2)\ntime.sleep(0.2)\nopen("done", "w").close()'
    seen(tmp_path, *script(inside))

    assert (tmp_path / "done").exists()


def test_narrow_terminal_is_not_broken(tmp_path: Path) -> None:
    """No line that is drawn fills the last column, whatever COLUMNS says: a terminal would begin another one."""
    _, text = seen(tmp_path, *script(), columns=24, COLUMNS="200")

    assert max(map(len, drawn(text).splitlines())) < 24
    assert stood(text) == "nine sheep\n"
