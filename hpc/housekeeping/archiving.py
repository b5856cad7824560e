"""What of an experiment goes into an archive, what must not, and what an archive has to show before it is unpacked.

In the archive lies one folder, that of the experiment, and in it besides ``SHA256SUMS`` and ``ro-crate-metadata.json``.
"""

import contextlib
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from hpc.adapters.archive_file import BLOCK, ArchiveError, check_suffix, stays_within, unpack, writing
from hpc.adapters.collected_file import read_entries
from hpc.adapters.files import make_folder, open_regular, publish_folder, read_json_or_none, write_json
from hpc.adapters.manifest_store import check_manifest, load_manifest
from hpc.adapters.packed import PACKED, packed_names
from hpc.adapters.removal import remove
from hpc.core.crate import NAME, SUMS, Crate, Member, RunInCrate, crate_json, read_sums, sums_line
from hpc.core.credentials import looks_secret
from hpc.core.errors import InputError, Problem
from hpc.core.layout import RunLayout, attempt_number, name_problem
from hpc.core.words import counted, few
from hpc.snapshots.states import Snapshot

NOTE = "archive.json"
"""What was left out, in words a program reads; in the archive only."""
_OURS = (SUMS, NAME, NOTE, "restored.json")
_NOT_ARCHIVED = frozenset({
    "follow.json", "follow.lease", "follow", ".local", "hold.json", "held_runs.json", ".remembered.jsonl",
})  # fmt: skip
"""Of a place and a moment: queues, leases, holds, memories."""
_PASSING = re.compile(r"\..*(?:\.tmp|\.spare-\d+|lock)|\.removed-[0-9a-f]+|.*\.lock|.*\.lease")
_DESCRIBED = ("manifest.json", "seal.json", "ledger.jsonl", "looks.jsonl", "collected/", "report/")
"""What the metadata describes file by file; runs are described as folders."""
SECRET_WINDOW = 4096
"""Bytes of one piece that are looked at again with the next."""
Progress = Callable[[int], object]


@dataclass(frozen=True)
class Entry:
    """Something that goes into the archive.

    Attributes:
        name: Path below the experiment's folder; empty for that folder.
        path: Where it is.
        size: Bytes of a file; 0 for folders and links.
    """

    name: str
    path: Path
    size: int = 0


@dataclass(frozen=True)
class Contents:
    """What goes into an archive.

    Attributes:
        entries: Sorted by name.
        left_out: What does not, and why.
    """

    entries: tuple[Entry, ...]
    left_out: Mapping[str, str]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(each.size for each in self.entries)


def list_contents(layout: RunLayout, *, checkpoints: bool, leave_out: Collection[str] = ()) -> Contents:
    """List what goes into an archive.

    Args:
        checkpoints: Whether they do.
        leave_out: Patterns of paths below the experiment's folder that do not.
    """
    entries, left_out = [Entry("", layout.home)], dict[str, str]()

    def visit(folder: Path, prefix: str) -> None:
        for each in sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name)):
            name = f"{prefix}{each.name}"
            if _is_passing(name, each.name):
                continue
            if any(fnmatchcase(name, pattern) for pattern in leave_out):
                left_out[name] = "asked for"
                continue
            if each.is_symlink():
                if stays_within((layout.experiment, *name.split("/")), os.readlink(each.path)):  # noqa: PTH115  text
                    entries.append(Entry(name, Path(each.path)))
                else:
                    left_out[name] = "a link to another place"
            elif each.is_dir():
                entries.append(Entry(name, Path(each.path)))
                if checkpoints or not _is_checkpoints(name):
                    visit(Path(each.path), f"{name}/")
            elif each.is_file():
                entries.append(Entry(name, Path(each.path), each.stat().st_size))
            else:
                left_out[name] = "no file"

    visit(layout.home, "")
    entries.sort(key=lambda each: os.fsencode(each.name))
    return Contents(tuple(entries), left_out)


def _is_passing(name: str, own: str) -> bool:
    return name in _NOT_ARCHIVED or name in _OURS or own == "__pycache__" or bool(_PASSING.fullmatch(own))


def _is_checkpoints(name: str) -> bool:
    folder, _, own = name.rpartition("/")
    return own == "checkpoints" and attempt_number(folder.rpartition("/")[2]) is not None


def find_secrets(contents: Contents, progress: Progress = lambda _: None) -> list[Problem]:
    """Name the files that look as if they held a secret, each with why; text is looked at as a whole."""
    found = []
    for each in contents.entries:
        if each.size and (why := _why_secret(each)):
            found.append(Problem(f"looks like a secret ({why}); leave it out: --leave-out '{each.name}'", each.name))
        progress(each.size)
    return found


def _why_secret(entry: Entry) -> str:
    if entry.path.name == PACKED:
        folder = entry.path.parent
        packed = (Entry(entry.name, folder / name, 1) for name in packed_names(folder))
        return next(filter(None, map(_why_secret, (each for each in packed if not each.path.exists()))), "")
    with open_regular(entry.path) as file:
        piece = file.read(BLOCK)
        if why := looks_secret(entry.name, piece):
            return why
        if b"\0" in piece[:SECRET_WINDOW]:  # no text
            return ""
        rest = piece[-SECRET_WINDOW:]
        while block := file.read(BLOCK):
            if why := looks_secret("log.py", rest + block):  # by what stands in it: its name was looked at
                return why
            rest = block[-SECRET_WINDOW:]
    return ""


def say_live(snapshot: Snapshot) -> str:
    """Say which tasks run or wait; empty for none."""
    live = [state.task.run_name for state in snapshot.tasks if state.is_live]
    if not live:
        return ""
    return f"{counted(len(live), 'task runs or waits', 'tasks run or wait')} ({few(live)})"


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────


def write_archive(
    layout: RunLayout, contents: Contents, output: Path, *, is_partial: bool, version: str, progress: Progress
) -> None:
    """Write the archive.

    Raises:
        ArchiveError: A file became shorter meanwhile.
        OSError: The disk is full; there is no half archive.
    """
    check_suffix(output)
    sums = dict[str, str]()
    with writing(output, layout.experiment, progress) as archive:
        for each in contents.entries:
            if digest := archive.add(each.name, each.path):
                sums[each.name] = digest
        manifest = load_manifest(layout)
        when = _published(layout, manifest)
        note = {
            "kind": "archive", "schema": 1, "experiment": layout.experiment, "manifest_sha": manifest["sha256"],
            "partial": is_partial, "left_out": dict(sorted(contents.left_out.items())),
        }  # fmt: skip
        texts = {NOTE: note, NAME: crate_json(_crate(layout, manifest, contents, sums, version, when))}
        for name, content in sorted(texts.items()):
            text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
            archive.add_text(name, text, when)
            sums[name] = _digest(text)
        archive.add_text(SUMS, "".join(sums_line(name, sums[name]) for name in sorted(sums, key=os.fsencode)), when)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _published(layout: RunLayout, manifest: Mapping[str, Any]) -> float:
    """When it was collected, else planned: of its content, so that the same content gives the same bytes."""
    told = read_json_or_none(layout.verdicts)
    collected = told.get("collected") if isinstance(told, dict) else None
    created = manifest["provenance"].get("created")
    return float(next((each for each in (collected, created) if isinstance(each, int | float)), 0.0))


def _crate(
    layout: RunLayout,
    manifest: Mapping[str, Any],
    contents: Contents,
    sums: Mapping[str, str],
    version: str,
    when: float,
) -> Crate:
    brief = manifest["spec"].get("brief") or {}
    asked = brief.get("goal") or brief.get("hypothesis") or f"experiment {layout.experiment}"
    collected, names = read_entries(layout), {each.name for each in contents.entries}
    copy = f"code/{Path((manifest['provenance'].get('code') or {}).get('path', '')).name}"
    runs = []
    for task in manifest["tasks"]:
        told = collected.get(task["task_id"], {})
        if f"tasks/{task['run_name']}" in names:
            parameters = {**task["parameters"], "seed": task["seed"]}
            values = {key: value for key, value in told.get("summary", {}).items() if isinstance(value, int | float)}
            runs.append(RunInCrate(task["run_name"], told.get("outcome", "not collected"), parameters, values))
    files = [
        Member(each.name, each.size, sums[each.name])
        for each in contents.entries
        if each.name in sums and each.name.startswith(_DESCRIBED)
    ]
    published = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
    return Crate(
        layout.experiment, str(asked), published, f"hpc-batch {version}", copy if copy in names else "", files, runs
    )


# ── unpacking ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Restored:
    """What was unpacked.

    Attributes:
        layout: Where it is.
        files: Files of the experiment, whose digests were right; those that only the archive has are no part of it.
        note: What the archive says of itself.
    """

    layout: RunLayout
    files: int
    note: Mapping[str, Any]


def restore(path: Path, root: Path, by: str, progress: Progress = lambda _: None) -> Restored:
    """Unpack an archive below a root, after every digest was found right.

    Raises:
        ArchiveError: It is none, is damaged, or holds what it should not; nothing is left of it.
        InputError: There is an experiment of that name already.
        OSError: The disk is full; nothing is left of it.
    """
    is_new = not root.exists()
    make_folder(root)
    prepared = root / f".restored-{os.urandom(4).hex()}.tmp"
    make_folder(prepared, 0o700)
    try:
        found = unpack(path, prepared, progress)
        home = prepared / found.top
        note = _check(path, home, found.top, found.digests)
        layout = RunLayout(root, found.top)
        if layout.home.exists():
            raise InputError(f"{layout.home} already exists; choose another root: --root DIR")
        told = {"kind": "restored", "schema": 1, "time": time.time(), "by": by, "archive": str(path.absolute())}
        closed = home.stat()
        home.chmod(stat.S_IRWXU)
        write_json(home / layout.restored.name, told)
        os.utime(home, ns=(closed.st_atime_ns, closed.st_mtime_ns))
        if not publish_folder(home, layout.home):
            raise InputError(f"{layout.home} already exists; choose another root: --root DIR")
    except OSError as error:
        error.filename = error.filename or str(root)  # a full disk does not say which it is
        raise
    finally:
        remove(prepared)
        if is_new:
            with contextlib.suppress(OSError):  # as it should be, where something was restored into it
                root.rmdir()
    return Restored(layout, len(found.digests.keys() - {NOTE, NAME, SUMS}), note)


def _check(path: Path, home: Path, top: str, digests: Mapping[str, str]) -> Mapping[str, Any]:
    """Hold what came out against the archive's own list; return what it says of itself.

    Raises:
        ArchiveError: Something is missing, too much, or other than it was.
    """
    if problem := name_problem(top):
        raise ArchiveError(f"{path}: its folder {top!r} cannot be an experiment: it {problem}")
    try:
        sums = read_sums((home / SUMS).read_text("utf-8", "surrogateescape"))
        note, manifest = read_json_or_none(home / NOTE), read_json_or_none(home / "manifest.json")
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{path} was not made by hpc archive: {error}") from None
    if manifest is None:
        raise ArchiveError(f"{path} was not made by hpc archive: it has no manifest.json")
    check_manifest(manifest, path / top / "manifest.json")
    if not isinstance(note, dict) or note.get("kind") != "archive":
        raise ArchiveError(f"{path} was not made by hpc archive: it has no {NOTE}")
    there = {name: digest for name, digest in digests.items() if name != SUMS}
    wrong = sorted(name for name in {*sums, *there} if sums.get(name) != there.get(name))
    if wrong:
        raise ArchiveError(f"{path}: {counted(len(wrong), 'file is', 'files are')} not what was archived: {few(wrong)}")
    return note
