"""What a host of the NFS laboratory does with the project's own functions, on paths below the mount."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

import filelock  # noqa: F401  as what follows, loaded once and not by each child

import hpc.adapters.lock_lease
import hpc.core.checkup.storage  # noqa: F401
from hpc.adapters import files, shared_disk
from hpc.adapters import locks as our_locks
from hpc.adapters.files import publish_folder, read_json, write_json
from hpc.adapters.ledger import append_json_line, read_json_lines
from hpc.adapters.locks import lock
from hpc.core.errors import HpcError
from hpc.core.layout import RunLayout
from hpc.core.records.task import TaskRecord
from hpc.metrics import MetricsWriter, is_complete, read
from hpc.node import attempt
from hpc.submissions.prepare import publish_array
from hpc.unattended.lease import hold_lease
from tests.made_records import submission_index, task_record

our_locks.LEASE_S = 6.0  # instead of 30: a test waits for one to run out


def now() -> float:
    """The clock, which both hosts share."""
    return time.time()


def exists(path: str) -> bool:
    """Whether there is something of that name, as this host believes."""
    return Path(path).exists()


def is_there(path: str) -> bool:
    """Whether there is something of that name, asked as decisions ask."""
    return files.is_there(Path(path))


def appear(path: str, limit_s: float, by_listing: bool) -> float:
    """Seconds until a name is seen; -1 for never."""
    began, wanted = time.monotonic(), Path(path)
    while time.monotonic() - began < limit_s:
        if (wanted.name in os.listdir(wanted.parent)) if by_listing else wanted.exists():  # noqa: PTH208
            return time.monotonic() - began
        time.sleep(0.05)
    return -1


def make(path: str) -> None:
    """Make a folder and those above it."""
    Path(path).mkdir(parents=True, exist_ok=True)
    Path(path).chmod(0o777)


def append(path: str, lines: int, who: str) -> int:
    """Add lines to a ledger; how many raised nothing."""
    done = 0
    for number in range(lines):
        append_json_line(Path(path), {"who": who, "number": number, "filler": "x" * (number % 90)})
        done += 1
    return done


def append_bare(path: str, who: str, lines: int, at: float) -> int:
    """What would happen without our care: lines added by O_APPEND alone, from a moment on."""
    time.sleep(max(0.0, at - time.time()))
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for number in range(lines):
        os.write(descriptor, (json.dumps({"who": who, "number": number}) + "\n").encode())
        time.sleep(0.004)
    os.close(descriptor)
    return lines


def lines_of(path: str) -> list[list[Any]]:
    """Who wrote which line."""
    return [[line["who"], line["number"]] for line in read_json_lines(Path(path))]


def raw_lines(path: str) -> int:
    """Lines as they stand in the file, read or not."""
    return Path(path).read_bytes().count(b"\n")


def count(folder: str, times: int, _who: str) -> int:
    """Add one to a number in a file that is replaced, under the project's lock, so many times."""
    home = Path(folder)
    for _ in range(times):
        with lock(home / ".lock", timeout_s=60):
            value = read_json(home / "number.json") if files.is_there(home / "number.json") else 0
            write_json(home / "number.json", value + 1)
    return times


def number(folder: str) -> int:
    """The number that `count` counts."""
    return int(read_json(Path(folder) / "number.json"))


def claim(folder: str, tasks: int, job: str) -> list[int]:
    """Claim one attempt of each task as a wrapper does; the tasks that were won."""
    layout = RunLayout(Path(folder), "e")
    won = []
    for each in range(tasks):
        record: TaskRecord = task_record(job=job, run_name=f"t{each}", host=os.uname().nodename, pid=os.getpid())
        if attempt.claim(layout.task(f"t{each}"), 1, record):
            won.append(each)
    return won


def claimed_by(folder: str, tasks: int) -> list[str]:
    """The job that each task's record names."""
    layout = RunLayout(Path(folder), "e")
    return [read_json(layout.task(f"t{each}").attempt(1).task_json)["job"] for each in range(tasks)]


def submit(folder: str, submissions: int, who: str) -> list[int]:
    """Publish submissions under the next free numbers, as `hpc.submit` does; those that were got."""
    layout = RunLayout(Path(folder), "e")
    got, following = list[int](), 1
    while len(got) < submissions:
        if publish_array(layout.submission(following), submission_index(experiment=who), f"#!/bin/sh\n# {who}\n"):
            got.append(following)
        following += 1
    return got


def scripts_of(folder: str) -> list[str]:
    """Whose script each submission holds, by number."""
    found = sorted((int(path.name), path) for path in RunLayout(Path(folder), "e").submissions.iterdir()
                   if path.name.isdecimal())  # fmt: skip
    return [(path / "array.sbatch").read_text(encoding="utf-8").split()[-1] for _, path in found]


def replace(path: str, times: int, size: int) -> None:
    """Replace a file as a whole, version after version."""
    for version in range(1, times + 1):
        write_json(Path(path), {"version": version, "filler": "x" * size, "end": version})


def watch_replaced(path: str, until: int, limit_s: float) -> dict[str, Any]:
    """Read a file while it is replaced: how often it was torn, went backwards or could not be read."""
    seen: dict[str, Any] = {"reads": 0, "torn": 0, "backwards": 0, "errors": [], "last": 0, "late_s": 0.0}
    end = time.monotonic() + limit_s
    while time.monotonic() < end and seen["last"] < until:
        try:
            found = read_json(Path(path))
        except FileNotFoundError:
            continue
        except (HpcError, OSError) as error:
            seen["errors"] = [*seen["errors"], str(error)[:200]][:5]
            continue
        seen["reads"] += 1
        seen["torn"] += found["version"] != found["end"]
        seen["backwards"] += found["version"] < seen["last"]
        seen["last"] = found["version"]
    return seen


def write_metrics(path: str, rows: int, pause_s: float) -> list[str]:
    """Log one metric row by row; what the writer said at its end."""
    said = []
    try:
        with MetricsWriter(Path(path), flush_interval_s=0.05) as metrics:
            for step in range(rows):
                metrics.log(step, loss=float(step))
                time.sleep(pause_s)
    except (HpcError, OSError) as error:
        said.append(f"{type(error).__name__}: {error}")
    return said


def watch_metrics(path: str, limit_s: float) -> dict[str, Any]:
    """Read metrics until they are complete: how often rows vanished, were wrong or could not be read."""
    seen: dict[str, Any] = {"reads": 0, "fewer": 0, "wrong": 0, "errors": [], "rows": 0, "complete": False}
    end, file = time.monotonic() + limit_s, Path(path)
    while time.monotonic() < end and not seen["complete"]:
        time.sleep(0.02)
        if not files.is_there(file):
            continue
        try:
            seen["complete"] = is_complete(file)
            series = read(file).get("loss")
        except (HpcError, OSError) as error:
            seen["errors"] = [*seen["errors"], f"{type(error).__name__}: {error}"[:200]][:5]
            continue
        rows = 0 if series is None else len(series.step)
        seen["reads"] += 1
        seen["fewer"] += rows < seen["rows"]
        seen["wrong"] += series is not None and any(int(s) != v for s, v in zip(series.step, series.value, strict=True))
        seen["rows"] = rows
    return seen


def hold(path: str, seconds: float, note: str) -> dict[str, Any]:
    """Take the project's lock, write as its holder, keep it so long, and write again."""
    began = time.monotonic()
    with lock(Path(path), timeout_s=60):
        waited = time.monotonic() - began
        write_json(Path(note), {"by": os.uname().nodename, "at": time.time()})
        time.sleep(seconds)
        problem = ""
        try:
            append_json_line(Path(note).with_suffix(".jsonl"), {"who": os.uname().nodename, "number": 0})
        except OSError as error:
            problem = str(error)
    return {"waited": waited, "problem": problem}


def take(path: str, limit_s: float) -> float:
    """Seconds until the project's lock was had."""
    began = time.monotonic()
    with lock(Path(path), timeout_s=limit_s):
        return time.monotonic() - began


def follow(folder: str, seconds: float) -> str:
    """Follow an experiment for a while, as `hpc.follow` does; how it ended."""
    layout = RunLayout(Path(folder), "e")
    layout.home.mkdir(parents=True, exist_ok=True)
    try:
        with hold_lease(layout) as guard:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                guard()
                time.sleep(0.2)
    except HpcError as error:
        return type(error).__name__
    return "held"


def watch_attempt(folder: str, limit_s: float) -> list[Any]:
    """Claim attempt 1 and watch as a wrapper does; why it had to go, and when."""
    task = RunLayout(Path(folder), "e").task("t0")
    attempt.claim(task, 1, task_record(run_name="t0"))
    watch = attempt.Watch(task, task.attempt(1))
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if (loss := watch()) is not None:
            return [loss.name, time.time()]
        time.sleep(0.2)
    return ["", time.time()]


def supersede(folder: str) -> float:
    """Claim attempt 2; when it was there."""
    task = RunLayout(Path(folder), "e").task("t0")
    attempt.claim(task, 2, task_record(run_name="t0", attempt=2, job="8_1"))
    return time.time()


def fill(path: str) -> int:
    """Write until the quota is reached; bytes that are there then."""
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):  # noqa: PTH123
        while True:
            file.write(b"x" * 65536)
            os.fsync(file.fileno())
    return Path(path).stat().st_size


def write_when_full(folder: str) -> dict[str, Any]:
    """Replace a file, add to a ledger and publish a folder where nothing more fits: what was said, what is there."""
    home, said = Path(folder), dict[str, Any]()
    for name, act in (
        ("replace", lambda: write_json(home / "kept.json", {"version": 2, "filler": "x" * 200_000})),
        (
            "ledger",
            lambda: append_json_line(home / "ledger.jsonl", {"who": "full", "number": 1, "filler": "x" * 200_000}),
        ),
    ):
        try:
            act()  # type: ignore[no-untyped-call]
            said[name] = ""
        except OSError as error:
            said[name] = f"{type(error).__name__} {error.errno}"
    said["kept"] = read_json(home / "kept.json")["version"]
    said["lines"] = len(read_json_lines(home / "ledger.jsonl"))
    said["left"] = [path.name for path in home.iterdir() if path.name.endswith(".tmp")]
    return said


def locks(folder: str) -> dict[str, str]:
    """What `hpc.doctor` finds of locks here."""
    with shared_disk.folder_in(Path(folder)) as own:
        return {"flock": shared_disk.try_flock(own), "fcntl": shared_disk.try_fcntl(own)}


def publish(folder: str, name: str) -> bool:
    """Publish one prepared folder under a name that may be had once."""
    prepared = Path(folder) / f".{name}.{os.urandom(4).hex()}"
    prepared.mkdir()
    (prepared / "file").touch()
    return publish_folder(prepared, Path(folder) / name)
