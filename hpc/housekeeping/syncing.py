"""Sending offline wandb runs: which there are, which were sent already, and what became of each.

Every file that was sent is a line of ``export/wandb/sent.jsonl``: its digest, where it went, when. What was cut short
between the sending and the line is sent once more, under the same run id. One file that cannot be sent keeps no other.
"""

import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpc.adapters.collected_file import read_entries
from hpc.adapters.files import read_json_or_none
from hpc.adapters.ledger import append_json_line, read_json_lines
from hpc.adapters.locks import lock
from hpc.adapters.manifest_store import load_manifest
from hpc.adapters.wandb_cloud import Key, Sent, ask_entity, send_files
from hpc.adapters.wandb_files import (
    attempts_of,
    export_folder,
    is_over,
    is_wandb_file,
    logged_by_program,
    logs_itself,
    run_id,
)
from hpc.core.errors import EXIT_DONE, EXIT_NOTHING
from hpc.core.failures.outcomes import Outcome
from hpc.core.layout import EXPORTED, RunLayout
from hpc.workspace import own_command, own_environment

AT_ONCE = 8
"""Files of one call of wandb's client, which takes 2 s to start."""
_ENDED = (Outcome.FINISHED, Outcome.FAILED)


@dataclass(frozen=True)
class Offline:
    """One file of an offline run.

    Attributes:
        run: Run name of its task.
        file: The file.
        attempt: Who logged it; 0 where it was written from what was collected.
    """

    run: str
    file: Path
    attempt: int = 0


@dataclass(frozen=True)
class Target:
    """Where runs go.

    Attributes:
        server: Address.
        entity: User or team; empty is the key's own.
        project: Empty is as each file says.
    """

    server: str
    entity: str = ""
    project: str = ""


@dataclass
class Synced:
    """What was done with one experiment.

    Attributes:
        experiment: Its name.
        sent: Runs that were sent now, or would be.
        partly: Those of them whose file ends in the middle, as a killed program leaves it.
        unchanged: Files that were there already.
        running: Files that are still being written.
        uncollected: Runs that log nothing themselves and are not collected, or have not ended.
        failed: Run → why it could not be sent.
    """

    experiment: str
    sent: list[str] = field(default_factory=list)
    partly: list[str] = field(default_factory=list)
    unchanged: int = 0
    running: int = 0
    uncollected: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def declared(layout: RunLayout) -> Mapping[str, Any]:
    """What the plan says of wandb; empty where it says nothing."""
    tracking = load_manifest(layout)["spec"].get("tracking") or {}
    return tracking.get("wandb") or {}


def is_off(layout: RunLayout) -> bool:
    """Whether the experiment wants nothing of wandb."""
    return declared(layout).get("mode") == "disabled"


def sync_experiment(
    layout: RunLayout,
    target: Target,
    key: Key | None,
    environment: Mapping[str, str],
    progress: Callable[[int, int], object] = lambda _done, _all: None,
) -> Synced:
    """Write what programs did not log themselves, then send what is not there yet.

    Args:
        layout: The experiment.
        target: Where runs go.
        key: The key; None to say only what would be done.
        environment: What wandb's client finds.
        progress: Told how many files are done, of how many.

    Raises:
        TemporaryError: The server stopped answering; what was sent is written down.
    """
    folder = export_folder(layout)
    if key is None:
        return _sync(layout, target, key, environment, progress)
    with lock(folder / ".sync.lock", 0.0):
        return _sync(layout, target, key, environment, progress)


def _sync(
    layout: RunLayout,
    target: Target,
    key: Key | None,
    environment: Mapping[str, str],
    progress: Callable[[int, int], object],
) -> Synced:
    told = Synced(layout.experiment)
    quiet = [task for task in load_manifest(layout)["tasks"] if not logs_itself(layout.task(task["run_name"]))]
    would = _write_quiet(layout, target, quiet, told, is_rehearsal=key is None)
    files = [*_logged(layout, told), *_written(layout, quiet)]
    ledger = Ledger(export_folder(layout) / "sent.jsonl", layout.home, target)
    due = [each for each in files if not ledger.has(each.file)]
    told.unchanged = len(files) - len(due)
    if key is None:
        told.sent = sorted({*(each.run for each in due), *would})
        return told
    done = 0
    for batch in _batches(due):
        progress(done, len(due))
        for each, sent in _send(batch, target, key, environment, export_folder(layout)):
            if sent.ok:
                ledger.note(each, sent)
                told.sent.append(each.run)
                told.partly += [each.run] if sent.partly else []
            else:
                told.failed[each.run] = sent.message
        done += len(batch)
    progress(done, len(due))
    told.sent = sorted(set(told.sent))
    return told


def _logged(layout: RunLayout, told: Synced) -> Iterator[Offline]:
    """What programs logged themselves, of attempts that are over."""
    for task in load_manifest(layout)["tasks"]:
        attempts = attempts_of(layout.task(task["run_name"]))
        for position, attempt in enumerate(attempts):
            files = logged_by_program(attempt)
            if is_over(attempt, attempts[position + 1 :]):
                yield from (Offline(task["run_name"], file, attempt.number) for file in files)
            else:
                told.running += len(files)


def _write_quiet(
    layout: RunLayout, target: Target, quiet: Sequence[Mapping[str, Any]], told: Synced, *, is_rehearsal: bool
) -> list[str]:
    """Write runs of programs that know nothing of wandb, as ``hpc export`` does; the names that are new."""
    entries = read_entries(layout)
    ended = [task for task in quiet if entries.get(task["task_id"], {}).get("outcome") in _ENDED]
    told.uncollected = len(quiet) - len(ended)
    if not ended:
        return []
    project = target.project or str(declared(layout).get("project") or layout.experiment)
    words = [layout.experiment, "--root", str(layout.root), "--to", "wandb", "--unlogged", "--project", project]
    command = own_command("analysis.export", *words, "--json", *(["--dry-run"] if is_rehearsal else []))
    environment = {**own_environment(), "WANDB_MODE": "offline"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode in (EXIT_DONE, EXIT_NOTHING):
        return list(json.loads(done.stdout)["sent"])
    why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1].removeprefix("error: ")
    told.failed |= {task["run_name"]: why for task in ended}
    return []


def _written(layout: RunLayout, quiet: Sequence[Mapping[str, Any]]) -> Iterator[Offline]:
    """The newest file of each run that was written from what was collected."""
    folder = export_folder(layout)
    ledger: Any = read_json_or_none(folder / EXPORTED)
    noted = ledger.get("sent", {}) if isinstance(ledger, dict) else {}
    for task in quiet:
        place = str(noted.get(task["task_id"], {}).get("place", ""))
        found = sorted((folder / "wandb").glob(f"offline-run-*-{place}/run-{place}.wandb")) if place else []
        yield from (Offline(task["run_name"], file) for file in found[-1:])


def _batches(due: Sequence[Offline]) -> Iterator[list[Offline]]:
    """So many at once; the files of one run together, because the client puts them in order."""
    batch: list[Offline] = []
    for position, each in enumerate(due):
        if len(batch) >= AT_ONCE and each.run != due[position - 1].run:
            yield batch
            batch = []
        batch.append(each)
    if batch:
        yield batch


def _send(
    batch: Sequence[Offline], target: Target, key: Key, environment: Mapping[str, str], home: Path
) -> Iterator[tuple[Offline, Sent]]:
    """Send some; those that did not go are tried again alone, so that a bad one takes none with it.

    Raises:
        TemporaryError: The server does not answer any more.
        InputError: It refuses the key by now.
    """
    good = [each for each in batch if is_wandb_file(each.file)]
    yield from ((each, Sent(ok=False, message="is not a wandb file")) for each in batch if each not in good)
    if not good:
        return

    def call(files: Sequence[Path]) -> dict[Path, Sent]:
        return send_files(files, key, environment, home, target.entity, target.project)

    told = call([each.file for each in good])
    for each in good:
        if not told[each.file].ok:
            continue
        yield each, told[each.file]
    for each in good:
        if told[each.file].ok:
            continue
        ask_entity(target.server, key)
        yield each, told[each.file] if len(good) == 1 else call([each.file])[each.file]


class Ledger:
    """Which files were sent where."""

    def __init__(self, path: Path, home: Path, target: Target) -> None:
        """Read it.

        Args:
            path: The file.
            home: What files are named below.
            target: Where runs go: what went elsewhere counts for nothing.
        """
        self._path, self._home, self._target = path, home, target
        self._sent = {
            (line["file"], line["digest"])
            for line in read_json_lines(path)
            if isinstance(line, dict)
            and {"file", "digest"} <= line.keys()
            and (line.get("server"), line.get("entity"), line.get("project"))
            == (target.server, target.entity, target.project)
        }

    def has(self, file: Path) -> bool:
        """Whether this very content was sent there."""
        return (self._name(file), _digest(file)) in self._sent

    def note(self, each: Offline, sent: Sent) -> None:
        """Write down that it was."""
        append_json_line(self._path, {
            "run": each.run, "attempt": each.attempt, "file": self._name(each.file), "digest": _digest(each.file),
            "run_id": run_id(each.file), "server": self._target.server, "entity": self._target.entity,
            "project": self._target.project, "partly": sent.partly, "at": time.time(),
        })  # fmt: skip

    def _name(self, file: Path) -> str:
        return str(file.relative_to(self._home))


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def find_experiments(root: Path) -> list[RunLayout]:
    """Every experiment that was planned below a root, by name."""
    found = sorted(root.iterdir()) if root.is_dir() else []
    homes = [path for path in found if not path.name.startswith(".")]
    return [RunLayout(root, path.name) for path in homes if (path / "manifest.json").is_file()]
