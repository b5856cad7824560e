"""Notices: each way really taken, each occurrence told once, no secret kept, and never a failure of who tells."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from hpc.adapters.notices import NotSent, send_by_command, send_by_mail, send_by_webhook
from hpc.core.experiment.spec import Notice
from hpc.core.layout import RunLayout
from hpc.unattended.notices import ledger_path, notify, read_ledger, send_due, tell_held
from tests.local_projects import command_environment

HIDDEN = "T0-hidden-path"


class Server:
    """A web server on this machine that answers with the given statuses, the last one for ever."""

    def __init__(self, *statuses: int) -> None:
        self.bodies: list[dict[str, str]] = []
        answers = list(statuses)
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/{HIDDEN}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def serve() -> Iterator[object]:
    servers: list[Server] = []

    def start(*statuses: int) -> Server:
        servers.append(Server(*statuses))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def layout(tmp_path: Path) -> RunLayout:
    (tmp_path / "tiny").mkdir()
    return RunLayout(tmp_path, "tiny")


def spec(*notices: Notice) -> SimpleNamespace:
    """Of an experiment, what notices look at."""
    return SimpleNamespace(notify=notices)


def program(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


# each way


def test_a_command_gets_values_and_text_and_no_shell(tmp_path):
    """Environment and input arrive as they were said, whatever they hold; `;` and `$` mean nothing."""
    script = program(tmp_path, "tell", f'printf "%s|" "$1" "$HPC_TITLE" > {tmp_path}/said; cat >> {tmp_path}/said')
    send_by_command(f"{script} '$HOME; x'", "line 1\nline 2", {"HPC_TITLE": 'a "b" $(c)\0'})
    assert (tmp_path / "said").read_text() == '$HOME; x|a "b" $(c)|line 1\nline 2'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/nonexistent/tell", "/nonexistent/tell does not start: No such file or directory"),
        ("sh -c 'exit 3'", "sh ended with exit code 3"),
        ("sh -c 'sleep 60 & sleep 60'", "sh took longer than 0.3 s"),
    ],
)
def test_a_command_that_fails_says_how(line, expected):
    """Not there, failed, or too long: a sentence each, and nothing it started lives on."""
    with pytest.raises(NotSent, match=f"^{expected}$"):
        send_by_command(line, "x" * 1_000_000, {}, timeout_s=0.3)


def test_a_webhook_gets_json(serve):
    """POST with `text` and the fields, once."""
    server = serve(200)
    send_by_webhook(server.url, {"text": "done ✓", "event": "ended"})
    assert server.bodies == [{"text": "done ✓", "event": "ended"}]


@pytest.mark.parametrize(
    ("statuses", "calls"), [((503, 429, 200), 3), ((500,), 3), ((404,), 1), ((302,), 1), ((307,), 1)]
)
def test_a_webhook_is_tried_again_only_where_that_can_help(serve, statuses, calls):
    """Busy and broken servers three times with growing pauses; a refusal or a redirect once, and nobody follows it."""
    server, pauses = serve(*statuses), []
    refused = pytest.raises(NotSent, match=f"^HTTP status {statuses[-1]}$")
    with refused if statuses[-1] != 200 else nullcontext():
        send_by_webhook(server.url, {"text": "x"}, sleep=pauses.append)
    assert len(server.bodies) == calls
    assert pauses == [1.0, 2.0][: calls - 1]


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", HIDDEN, "http://127.0.0.1:1/" + HIDDEN, f"http://127.0.0.1:x/{HIDDEN}",
     f"http://127.0.0.1/{HIDDEN} a\nb", f"http://[{HIDDEN}"],
)  # fmt: skip
def test_no_message_repeats_the_url(url):
    """Wrong schemes, nobody there, no URL at all: NotSent, and the path of the URL is in no text."""
    with pytest.raises(NotSent) as caught:
        send_by_webhook(url, {"text": "x"}, sleep=lambda _: None)
    assert HIDDEN not in str(caught.value)


def test_mail_goes_through_sendmail(tmp_path, monkeypatch):
    """Headers and text on its input; a title of several lines becomes one header and no other."""
    program(tmp_path, "sendmail", f'echo "$@" > {tmp_path}/said; cat >> {tmp_path}/said')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    send_by_mail("a@example.org", "held\nBcc: everybody@example.org", "why: Größe")
    options, *lines = (tmp_path / "said").read_text().splitlines()
    assert options == "-t -i"
    assert "To: a@example.org" in lines
    assert "Subject: held Bcc: everybody@example.org" in lines
    assert not [line for line in lines if line.startswith("Bcc")]


def test_mail_about_a_path_that_is_no_utf8_leaves(tmp_path, monkeypatch):
    """A byte of a file name that no mail can hold becomes a question mark, and nothing is raised."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    program(tmp_path, "sendmail", f"cat > {tmp_path}/said")
    send_by_mail("anna@example.org", "ended \udcff", "/runs/\udcff/report")
    assert "/runs/?/report" in (tmp_path / "said").read_text()


def test_without_sendmail_the_mail_command_is_used_and_without_both_it_is_said(tmp_path, monkeypatch):
    """`mail -s TITLE ADDRESS`; else the sentence names what is missing."""
    monkeypatch.setattr("hpc.adapters.notices._SENDMAIL_FOLDERS", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotSent, match="neither sendmail nor mail"):
        send_by_mail("a@example.org", "t", "x")
    program(tmp_path, "mail", f'echo "$@" > {tmp_path}/said')
    send_by_mail("a@example.org", "it is held", "x")
    assert (tmp_path / "said").read_text() == "-s it is held a@example.org\n"


# once per occurrence


def test_each_occurrence_is_told_once_to_those_who_asked(layout, tmp_path, serve, monkeypatch):
    """Two ways, one of them for `held` only; the same words again are not sent again; the ledger holds no secret."""
    server = serve(200)
    monkeypatch.setenv("TEST_HOOK", server.url)
    said = program(tmp_path, "tell", f'echo "$HPC_EVENT $HPC_EXPERIMENT" >> {tmp_path}/said')
    ways = spec(Notice("command", str(said)), Notice("webhook_env", "TEST_HOOK", ("held",)))

    for _ in range(2):
        notify(ways, layout, "held", "tiny is held", "three alike")
    notify(ways, layout, "ended", "tiny has ended", "all finished")
    notify(ways, layout, "ended", "tiny has ended", "all finished", occurrence="second")

    assert (tmp_path / "said").read_text().splitlines() == ["held tiny", "ended tiny", "ended tiny"]
    assert server.bodies == [
        {"text": "tiny is held\nthree alike", "event": "held", "experiment": "tiny", "title": "tiny is held"}
    ]
    assert [line["state"] for line in read_ledger(layout)] == ["due", "sent", "sent", "due", "sent", "due", "sent"]
    assert HIDDEN not in ledger_path(layout).read_text()
    assert ledger_path(layout).stat().st_mode & 0o777 == 0o600


def test_what_failed_is_tried_with_the_next_and_three_times_in_all(layout, tmp_path, monkeypatch):
    """A variable that is not set: one line each time, then silence; set in time, the notice still leaves."""
    monkeypatch.delenv("TEST_HOOK", raising=False)
    ways = spec(Notice("webhook_env", "TEST_HOOK"))
    told = notify(ways, layout, "ended", "t", "x")
    assert told == ["notice by webhook_env TEST_HOOK: the environment variable TEST_HOOK is not set here"]
    assert [len(send_due(ways, layout)) for _ in range(3)] == [1, 1, 0]

    mended = RunLayout(tmp_path, "tiny")
    command = spec(Notice("command", f"{program(tmp_path, 'tell', f'[ -e {tmp_path}/ready ]')}"))
    assert "exit code 1" in notify(command, mended, "ended", "later", "x")[-1]
    (tmp_path / "ready").touch()
    assert [line.split(": ")[-1] for line in send_due(command, mended)] == ["sent", "sent"]
    assert send_due(command, mended) == []


def test_a_hold_is_told_once_each_time_it_happens(layout, tmp_path):
    """The same hold seen by every command is one notice; a later one for the same reason is another."""
    said = program(tmp_path, "tell", f'echo "$HPC_TITLE" >> {tmp_path}/said')
    ways = spec(Notice("command", str(said)))
    assert tell_held(ways, layout) == []
    for time in (1.0, 1.0, 2.0):
        hold = {
            "time": time,
            "reason": "three alike",
            "evidence": "KeyError",
            "tasks": ["X1"],
            "command": "python -m x",
        }
        layout.hold.write_text(json.dumps(hold))
        tell_held(ways, layout)
    layout.hold.unlink()
    assert tell_held(ways, layout) == []
    assert (tmp_path / "said").read_text() == "tiny is held: three alike\n" * 2
    assert read_ledger(layout)[0]["text"] == "KeyError\nX1\nTo go on: python -m x"


def test_a_death_in_the_middle_costs_a_second_copy_and_nothing_else(layout, tmp_path):
    """Killed while the command runs, or while a line is written: the notice is due and leaves the next time, once."""
    said = program(tmp_path, "tell", f"echo told >> {tmp_path}/said; [ -e {tmp_path}/alive ] || kill -9 $PPID")
    code = f"""
from pathlib import Path
from types import SimpleNamespace
from hpc.core.layout import RunLayout
from hpc.core.experiment.spec import Notice
from hpc.unattended.notices import notify
spec = SimpleNamespace(notify=[Notice("command", {str(said)!r})])
notify(spec, RunLayout(Path({str(tmp_path)!r}), "tiny"), "ended", "t", "x")
"""
    dead = subprocess.run([sys.executable, "-c", code], env=command_environment(), check=False)
    assert dead.returncode == -9
    assert [line["state"] for line in read_ledger(layout)] == ["due"]
    with ledger_path(layout).open("a") as file:
        file.write('{"state": "sent", "ke')  # as a second death would leave it
    (tmp_path / "alive").touch()
    ways = spec(Notice("command", str(said)))
    assert [line.split(": ")[-1] for line in send_due(ways, layout)] == ["sent"]
    assert send_due(ways, layout) == []
    assert (tmp_path / "said").read_text() == "told\ntold\n"
    assert [line["state"] for line in read_ledger(layout)] == ["due", "sent"]


def test_nothing_is_ever_raised(layout):
    """No folder to write the ledger into: word leaves all the same, and where nobody is to be told there is silence."""
    assert notify(spec(), layout, "held", "t", "x") == []
    ways = spec(Notice("command", "true", ("ended",)))
    assert notify(ways, layout, "held", "t", "x") == []
    layout.home.rmdir()
    layout.home.write_text("a file where the run folder should be")
    (told,) = notify(ways, layout, "ended", "t", "x")
    assert told == "notice by command true: sent"


def test_two_at_once_tell_it_once(layout, tmp_path):
    """Collector and follower say the same in the same moment: one copy."""
    said = program(tmp_path, "tell", f"echo told >> {tmp_path}/said; sleep 0.3")
    ways = spec(Notice("command", str(said)))
    both = [threading.Thread(target=notify, args=(ways, layout, "ended", "t", "x")) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert (tmp_path / "said").read_text() == "told\n"
