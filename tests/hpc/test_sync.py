"""hpc sync: each offline run is there once, whatever breaks on the way; the key is nowhere but on its way."""

import http.server
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hpc.adapters import wandb_cloud
from hpc.adapters.wandb_cloud import Key, Sent
from hpc.core.errors import InputError, TemporaryError
from hpc.core.layout import RunLayout
from hpc.housekeeping import syncing
from hpc.housekeeping.syncing import Target, sync_experiment
from hpc.node.task_record import _wandb_variables
from tests.local_projects import EXPERIMENT, LocalProject, copy_project, make_project

KEY = "5ec" + "0123456789abcdef" * 2 + "fade1"
PROGRAM = """
import json, os, pathlib, sys
x, id = int(sys.argv[1]), os.environ["HPC_TASK_ID"]
folder = pathlib.Path(os.environ["HPC_ATTEMPT_DIR"], "wandb", f"offline-run-20260101_000000-{id}")
folder.mkdir(parents=True)
(folder / f"run-{id}.wandb").write_bytes(b":W&B" + b"%d" % x)
told = {name: value for name, value in os.environ.items() if name.startswith("WANDB_") or name == "HPC_WANDB"}
pathlib.Path(os.environ["HPC_ATTEMPT_DIR"], "told.json").write_text(json.dumps(told))
print(f"loss: {x / 2}")
"""
FAKE = f"""#!{sys.executable}
import json, os, pathlib, sys
files = [pathlib.Path(word) for word in sys.argv[1:] if word.endswith(".wandb")]
with open(os.environ["FAKE_CALLS"], "a") as calls:
    print(json.dumps([sys.argv[1:], os.environ["WANDB_API_KEY"] == os.environ["FAKE_KEY"]]), file=calls)
for file in files:
    if b"BAD" in file.read_bytes():
        print(f"wandb: ERROR Failed to sync {{file.parent.name}}: no such thing {{os.environ['WANDB_API_KEY']}}")
        continue
    file.with_name(file.name + ".synced").touch()
    if os.environ.get("FAKE_KILLS"):
        os.kill(os.getppid(), 9)
        break
"""

BUCKET = {
    "id": "b", "name": "r", "displayName": "n", "description": "", "config": "{}", "sweepName": None,
    "historyLineCount": 0, "project": {"id": "p", "name": "p", "entity": {"id": "e", "name": "me"}},
}  # fmt: skip
WORDS = {
    "UpsertBucket": json.dumps({"data": {"upsertBucket": {"bucket": BUCKET, "inserted": True}}}),
    "RunResumeStatus": '{"data": {"model": null}}',
    "CreateRunFiles": '{"data": {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": []}}}',
    "file_stream": "{}",
}
"""What wandb's client asks when it sends a run, and what is enough for an answer."""


class Server:
    """Plays wandb: what it answers to the first question, and what it was told."""

    def __init__(self) -> None:
        self.code, self.body, self.headers = 200, '{"data": {"viewer": {"entity": "me"}}}', dict[str, str]()
        self.heard: list[str] = []
        self.told: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                said = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("utf-8", "replace")
                outer.heard.append(self.headers.get("Authorization", ""))
                outer.told.append(f"{self.path} {said}")
                self.send_response(outer.code)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                answer = next((body for word, body in WORDS.items() if word in f"{self.path} {said}"), outer.body)
                self.wfile.write(answer.encode())

            do_GET = do_POST  # noqa: N815  as http.server calls it

            def log_message(self, *_: object) -> None:
                """Be quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Nobody answers any more."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of this machine."""
    made = Server()
    yield made
    made.close()


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> LocalProject:
    """X1 and X2 have run and logged."""
    project = make_project(tmp_path_factory.mktemp("sync") / "project", program=PROGRAM)
    project.hpc("plan", "tiny", "--cluster", "local")
    project.hpc("submit", "tiny", WANDB_MODE="", WANDB_PROJECT="", WANDB_NOTES="mine")
    project.hpc("collect", "tiny")
    return project


class Syncing:
    """A copy of the project, a server and a client that plays wandb's."""

    def __init__(self, ran: LocalProject, folder: Path, server: Server) -> None:
        self.project = copy_project(ran.folder, folder / "project")
        self.server, self.calls_file = server, folder / "calls"
        client = folder / "bin/wandb"
        client.parent.mkdir()
        client.write_text(FAKE)
        client.chmod(0o700)
        self.environment = {
            "PATH": f"{client.parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder), "NETRC": "",
            "XDG_CONFIG_HOME": "", "FAKE_CALLS": str(self.calls_file), "FAKE_KEY": KEY, "WANDB_API_KEY": KEY,
            "WANDB_BASE_URL": server.url,
        }  # fmt: skip

    def __call__(self, *more: str, expect: int = 0, **environment: str) -> str:
        """Sync; what was said, in which the key never stands."""
        told = self.project.hpc("sync", "tiny", *more, expect=expect, **{**self.environment, **environment})
        assert KEY not in told
        return told

    @property
    def calls(self) -> list[list[str]]:
        """The words of each call of the client, which had the key and did not read it in a word."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        assert all(json.loads(line)[1] for line in lines)
        assert KEY not in "".join(lines)
        return [json.loads(line)[0] for line in lines]

    def file(self, run: str) -> Path:
        """What a run logged."""
        (found,) = self.project.attempt(run).glob("wandb/*/*.wandb")
        return found


@pytest.fixture
def sync(ran: LocalProject, tmp_path: Path, server: Server) -> Syncing:
    """All of it, for this test alone."""
    return Syncing(ran, tmp_path, server)


def test_each_run_is_sent_once(sync: Syncing) -> None:
    """Again: nothing to do. What changed, or goes elsewhere, is sent; what was sent is written down."""
    assert "would send 2 runs" in sync("--dry-run", WANDB_API_KEY="", WANDB_BASE_URL="http://127.0.0.1:9")
    assert sync.calls == []
    assert "sent 2 runs" in sync()
    sync(expect=3)
    assert len(sync.calls) == 1
    sync.file("X1").write_bytes(b":W&Bmore")
    sync()
    assert [word for word in sync.calls[1] if word.endswith(".wandb")] == [str(sync.file("X1"))]
    assert "sent 2 runs" in sync("--project", "other", "--entity", "team")
    assert {"--project", "other", "--entity", "team"} <= set(sync.calls[2])
    lines = (sync.project.runs / "tiny/export/wandb/sent.jsonl").read_text().splitlines()
    assert [json.loads(line)["run"] for line in lines] == ["X1", "X2", "X1", "X1", "X2"]


def test_killed_in_the_middle_it_goes_on(sync: Syncing) -> None:
    """By kill -9, from inside the client's call: the next call sends what is not written down, and notes each once."""
    done = sync.project.call("-m", "hpc.sync", "tiny", **sync.environment, FAKE_KILLS="yes")
    assert done.returncode not in (0, 1, 2, 3)
    assert "sent 2 runs" in sync()
    lines = (sync.project.runs / "tiny/export/wandb/sent.jsonl").read_text().splitlines()
    assert [json.loads(line)["run"] for line in lines] == ["X1", "X2"]


def test_one_bad_run_stops_no_other(sync: Syncing) -> None:
    """It is named, with what wandb said of it and without the key, and tried again the next time."""
    sync.file("X1").write_bytes(b":W&B BAD")
    told = sync(expect=1)
    assert "sent 1 run" in told
    assert "X1: not sent: ERROR Failed to sync" in told
    sync.file("X1").write_bytes(b"neither")
    assert "X1: not sent: is not a wandb file" in sync(expect=1)
    sync.file("X1").write_bytes(b":W&B good")
    assert "1 was there" in sync()


@pytest.mark.parametrize(("code", "body", "expect"), [
    (401, "", 2), (403, "", 2), (200, '{"data": {"viewer": null}}', 2), (503, "", 75), (429, "", 75),
])  # fmt: skip
def test_a_refusal_is_told_from_no_answer(server: Server, code: int, body: str, expect: int) -> None:
    """Asking once before anything is sent."""
    server.code, server.body = code, body or "{}"
    kind = {2: InputError, 75: TemporaryError}[expect]
    with pytest.raises(kind) as caught:
        wandb_cloud.ask_entity(server.url, Key(KEY, "a file"))
    assert KEY not in str(caught.value)


def test_nobody_answers(sync: Syncing) -> None:
    """Exit code 75, one sentence, and the runs are sent the next time."""
    sync.server.close()
    told = sync(expect=75)
    assert "does not answer" in told
    assert sync.calls == []


def test_the_key_goes_nowhere_else(server: Server) -> None:
    """A server that sends us to another one is not followed there."""
    other = Server()
    server.code, server.headers = 302, {"Location": f"{other.url}/graphql"}
    assert wandb_cloud.ask_entity(server.url, Key(KEY, "a file")) == ""
    other.close()
    assert len(server.heard) == 1
    assert other.heard == []
    assert KEY not in repr(Key(KEY, "a file"))


def test_where_the_key_comes_from(tmp_path: Path) -> None:
    """The environment, our file, wandb's login; a file that others read is refused, and none is said."""
    home = {"NETRC": str(tmp_path / "netrc"), "XDG_CONFIG_HOME": str(tmp_path)}
    with pytest.raises(InputError, match=r"no key for api.wandb.ai: export WANDB_API_KEY"):
        wandb_cloud.find_key(home)
    login, own = tmp_path / "netrc", tmp_path / "hpc/wandb_key"
    login.write_text(f"machine api.wandb.ai login user password {KEY}\n")
    own.parent.mkdir()
    for path in (login, own):
        if path == own:
            own.write_text(f"{KEY}\n")
        for mode in (0o640, 0o604, 0o620):
            path.chmod(mode)
            with pytest.raises(InputError, match="can be read by others: chmod 600"):
                wandb_cloud.find_key(home)
        path.chmod(0o600)
        assert wandb_cloud.find_key(home) == Key(KEY, str(path))
    assert wandb_cloud.find_key({**home, "WANDB_API_KEY": "mine"}).source == "WANDB_API_KEY"
    with pytest.raises(InputError, match="should be one word"):
        wandb_cloud.find_key({"WANDB_API_KEY": "a\nHost: b"})


def test_a_client_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all that it started: its pipe is closed, and the file counts as not sent."""
    monkeypatch.setattr(wandb_cloud, "_START_S", 0.2)
    monkeypatch.setattr(wandb_cloud, "_FILE_S", 0.0)
    monkeypatch.setattr(wandb_cloud, "client_command", lambda: ["sh", "-c", "sleep 600 & wait"])
    file = tmp_path / "run-a.wandb"
    file.write_bytes(b":W&B")
    sent = wandb_cloud.send_files([file], Key(KEY, "a file"), os.environ, tmp_path)
    assert not sent[file].ok
    assert "did not finish" in sent[file].message


Send = Callable[..., dict[Path, Sent]]


def made_runs(root: Path, runs: int, monkeypatch: pytest.MonkeyPatch) -> RunLayout:
    """Tasks that each logged one file."""
    layout = RunLayout(root, "tiny")
    tasks = [{"run_name": f"X{number:02d}", "task_id": f"{number:012x}"} for number in range(runs)]
    for task in tasks:
        attempt = layout.task(task["run_name"]).attempt(1)
        folder = attempt.home / f"wandb/offline-run-20260101_000000-{task['task_id']}"
        folder.mkdir(parents=True)
        attempt.exit_json.write_text("{}")
        (folder / f"run-{task['task_id']}.wandb").write_bytes(b":W&B" + task["task_id"].encode())
    monkeypatch.setattr(syncing, "load_manifest", lambda _: {"tasks": tasks, "spec": {}})
    return layout


@pytest.mark.parametrize("at_once", [1, 3])
def test_cut_short_anywhere_it_goes_on(at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended before or after each call of the client in turn: at the end all is sent, and twice what was not noted."""
    monkeypatch.setattr(syncing, "AT_ONCE", at_once)
    layout = made_runs(tmp_path, 5, monkeypatch)
    sent: list[Path] = []

    def send(files: Sequence[Path], *_: object) -> dict[Path, Sent]:
        sent.extend(files)
        if ends := endings.pop() if endings else None:
            raise ends
        return {file: Sent(ok=True) for file in files}

    monkeypatch.setattr(syncing, "send_files", send)
    endings: list[type[BaseException] | None] = [KeyboardInterrupt, None, KeyboardInterrupt]
    key, target = Key(KEY, "a file"), Target("http://here")
    cut = 0
    for _ in range(10):
        try:
            told = sync_experiment(layout, target, key, {})
        except KeyboardInterrupt:
            cut += 1
        else:
            break
    assert cut == 2
    assert sorted(set(sent)) == sorted(layout.tasks.glob("*/*/wandb/*/*.wandb"))
    assert len(sent) <= 5 + 2 * at_once
    assert told.failed == {}
    assert sync_experiment(layout, target, key, {}).sent == []


def test_what_still_runs_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is being written waits for its end, which is the program's, Slurm's word, or the next attempt."""
    layout = made_runs(tmp_path, 3, monkeypatch)
    for run in ("X00", "X01", "X02"):
        layout.task(run).attempt(1).exit_json.unlink()
    layout.task("X01").attempt(2).home.mkdir()
    layout.task("X02").attempt(1).scheduler.write_text("{}")
    told = sync_experiment(layout, Target("http://here"), None, {})
    assert (told.sent, told.running) == (["X01", "X02"], 1)


def test_programs_that_call_wandb_log_offline_without_a_word(ran: LocalProject) -> None:
    """One run a task, in the attempt's folder; what somebody has set stands."""
    told = json.loads((ran.attempt("X1") / "told.json").read_text())
    task = json.loads((ran.attempt("X1") / "task.json").read_text())["task_id"]
    assert told == {
        "WANDB_MODE": "offline", "WANDB_PROJECT": "tiny", "WANDB_NAME": "X1", "WANDB_RUN_ID": task,
        "WANDB_RUN_GROUP": "tiny", "WANDB_RESUME": "allow", "WANDB_DIR": str(ran.attempt("X1")),
        "WANDB_NOTES": "mine", "HPC_WANDB": "by_default",
    }  # fmt: skip


@pytest.mark.parametrize(("asked", "given", "expect"), [
    ({"mode": "online", "project": "p", "entity": "team", "notes": "why"}, {"WANDB_MODE": "offline"},
     {"WANDB_MODE": "online", "WANDB_PROJECT": "p", "WANDB_ENTITY": "team", "WANDB_NOTES": "why"}),
    ({"mode": "disabled"}, {}, {"WANDB_MODE": "disabled", "WANDB_PROJECT": "tiny"}),
    ({"by_default": "yes"}, {"WANDB_MODE": "online"}, {"WANDB_PROJECT": "tiny"}),
    ({"by_default": "yes"}, {"WANDB_RUN_ID": "x"},
     {"WANDB_MODE": "offline", "WANDB_PROJECT": "tiny", "HPC_WANDB": "by_default"}),
])  # fmt: skip
def test_what_is_declared_stands_and_what_is_not_gives_way(
    asked: dict[str, str], given: dict[str, str], expect: dict[str, str]
) -> None:
    """Declared settings are those of the run; without any, those of the caller."""
    index, record, attempt = (SimpleNamespace(experiment="tiny", run_name="X1", task_id="a", home="/a") for _ in "abc")
    told = _wandb_variables(cast("Any", index), asked, cast("Any", record), cast("Any", attempt), given)
    same = {"WANDB_NAME": "X1", "WANDB_RUN_ID": "a", "WANDB_RUN_GROUP": "tiny", "WANDB_RESUME": "allow",
            "WANDB_DIR": "/a"}  # fmt: skip
    kept = given if "by_default" in asked else {}
    assert told == {name: value for name, value in same.items() if name not in kept} | expect


def test_off_is_off(sync: Syncing) -> None:
    """`tracking: {wandb: off}`: programs are told so, and nothing is sent."""
    sync.project.write_experiment(EXPERIMENT.replace("name: tiny", "name: dark") + "tracking: {wandb: off}\n", "dark")
    sync.project.hpc("plan", "dark", "--cluster", "local")
    assert "tracking.wandb is off" in sync.project.hpc("sync", "dark", expect=3, **sync.environment)
    told = sync.project.json("sync", "--all", **sync.environment)
    assert [each["experiment"] for each in told["experiments"]] == ["tiny"]
    (index,) = (sync.project.runs / "dark/submissions").glob("*/index.json")
    assert json.loads(index.read_text())["wandb"] == {"mode": "disabled"}


def test_runs_of_unchanged_programs_are_written_first(sync: Syncing) -> None:
    """Read back as wandb reads it: name, group, settings, tags; sent once, by wandb's own client to a server here."""
    pytest.importorskip("wandb")
    from tests.wandb_files import wandb_records

    for run in ("X1", "X2"):
        sync.file(run).unlink()
    path = os.environ["PATH"]
    assert "would send 2 runs" in sync("--dry-run", PATH=path)
    assert "sent 2 runs" in sync(PATH=path)
    assert sync.calls == []
    assert {"UpsertBucket", "file_stream"} <= {word for each in sync.server.told for word in WORDS if word in each}
    sync(expect=3, PATH=path)
    files = sorted(sync.project.runs.glob("tiny/export/wandb/wandb/*/*.wandb"))
    told = {each.run.display_name: each.run for file in files for each in wandb_records(file) if each.HasField("run")}
    assert sorted(told) == ["X1", "X2"]
    run = told["X1"]
    config: Mapping[str, object] = {each.key: json.loads(each.value_json) for each in run.config.update if each.key}
    assert run.run_group == "tiny"
    assert sorted(run.tags) == ["1 attempt", "finished"]
    assert (config["x"], config["seed"]) == (1, 1)
    assert "hpc.code" in config
    text = b"".join(path.read_bytes() for path in sync.project.runs.rglob("*") if path.is_file())
    assert KEY.encode() not in text
