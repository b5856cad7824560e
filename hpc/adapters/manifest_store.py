"""The manifest and the submissions on disk: written once, read by everybody, never edited."""

import contextlib
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from hpc.adapters.files import read_json, read_record, write_json
from hpc.core.errors import InputError
from hpc.core.experiment.spec import Task
from hpc.core.identity import content_hash
from hpc.core.layout import RunLayout, SubmissionLayout, name_problem
from hpc.core.records.index import SubmissionIndex
from hpc.core.records.project import Project
from hpc.core.records.record import RecordError

SCHEMA = 1
_MOST_INDICES = 4096
"""As many are kept as one experiment has: with fewer, each look at all of them would read all of them again."""
_CIRCUMSTANCES = ("created", "asked", "project")
"""What of the provenance is no part of what was asked."""
REPRODUCES = "reproduces"
"""Key of a manifest's provenance: which run is made again."""
REPRODUCED = "_reproduce_"
"""Stands between experiment and run in the name of an experiment that makes a run again."""


def manifest_sha(manifest: Mapping[str, Any]) -> str:
    """Hash what a manifest says, not when, where and how it was asked: equal experiments on equal code are equal."""
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    content["provenance"] = {
        key: value for key, value in (manifest.get("provenance") or {}).items() if key not in _CIRCUMSTANCES
    }
    return content_hash(content)


def shas_before_looks(manifest: Mapping[str, Any]) -> frozenset[str]:
    """Hashes that a plan had before its second looks: it is the same plan, but for the tasks these added."""
    found: set[str] = set()
    while looks := manifest.get("follow_ups"):
        *earlier, last = looks
        kept = {key: value for key, value in manifest.items() if key != "follow_ups"}
        tasks = [task for task in manifest["tasks"] if task["task_id"] not in last["tasks"]]
        manifest = {**kept, "tasks": tasks, **({"follow_ups": earlier} if earlier else {})}
        if manifest_sha(manifest) != last["manifest_sha"]:
            break  # something else was changed since
        found.add(last["manifest_sha"])
    return frozenset(found)


def save_manifest(layout: RunLayout, manifest: Mapping[str, Any]) -> None:
    """Freeze a manifest under its hash and make it the newest."""
    frozen = layout.manifests / f"{manifest['sha256'][:16]}.json"
    if not frozen.exists():
        write_json(frozen, manifest)
    write_json(layout.manifest, manifest)


def load_manifest(layout: RunLayout) -> dict[str, Any]:
    """Read the newest manifest and check that nobody edited it.

    ``manifest.json`` is a copy: should it be cut, edited or gone, the newest of ``manifests/`` says the same.

    Raises:
        InputError: There is none that is whole.
    """
    return find_manifest(layout)[0]


def find_manifest(layout: RunLayout) -> tuple[dict[str, Any], InputError | None]:
    """Read the newest manifest as `load_manifest`; and what is wrong with ``manifest.json``, None for nothing."""
    try:
        return _checked(layout.manifest), None
    except FileNotFoundError:
        wrong = InputError("is missing", str(layout.manifest))
        problem = InputError(f"no manifest at {layout.manifest}; plan first: python -m hpc.plan {layout.experiment}")
    except InputError as error:
        wrong = problem = error
    for kept in sorted(layout.manifests.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True):
        with contextlib.suppress(InputError, OSError):
            return _checked(kept), wrong
    raise problem


def _checked(path: Path) -> dict[str, Any]:
    manifest = read_json(path)
    check_manifest(manifest, path)
    return dict(manifest)


def check_manifest(manifest: Any, path: Path) -> None:
    """Raise InputError unless this is a manifest whose content matches its hash."""
    if not isinstance(manifest, dict) or manifest.get("kind") != "manifest":
        raise InputError("not a manifest", str(path))
    if manifest.get("schema") != SCHEMA:
        raise InputError(f"manifest schema {manifest.get('schema')}; this version reads {SCHEMA}", str(path))
    try:
        is_whole = manifest_sha(manifest) == manifest.get("sha256")
    except (ValueError, TypeError, AttributeError, RecursionError):  # no plan writes NaN, or a list for provenance
        is_whole = False
    if not is_whole:
        raise InputError("its content does not match its hash: it was edited. Plan again to write a new one", str(path))


def project_of(manifest: Any) -> Project | None:
    """Which project a manifest was made in; None where it does not say (earlier versions, damage)."""
    provenance = manifest.get("provenance") if isinstance(manifest, dict) else None
    recorded = provenance.get("project") if isinstance(provenance, dict) else None
    try:
        return None if recorded is None else Project.from_json(recorded)
    except RecordError:
        return None


def task_from_json(entry: Mapping[str, Any]) -> Task:
    """Read one task of a manifest or of an index."""
    return Task(entry["task_id"], entry["run_name"], entry["parameters"], entry["seed"], entry["case"])


def task_to_json(task: Task) -> dict[str, Any]:
    """Write one task of a manifest."""
    return {
        "task_id": task.task_id,
        "run_name": task.run_name,
        "parameters": dict(task.parameters),
        "seed": task.seed,
        "case": task.case,
    }


def list_submissions(layout: RunLayout) -> list[SubmissionLayout]:
    """List the submissions of an experiment, prepared ones included, oldest first."""
    if not layout.submissions.is_dir():
        return []
    numbers = sorted(int(path.name) for path in layout.submissions.iterdir() if path.name.isdecimal())
    found = [layout.submission(number) for number in numbers]
    return [submission for submission in found if submission.index.exists()]


def load_index(submission: SubmissionLayout) -> SubmissionIndex:
    """Read which array index runs which task.

    Raises:
        InputError: The file is missing or damaged.
    """
    try:
        found = submission.index.stat()
        return _index_of(submission.index, found.st_ino, found.st_mtime_ns, found.st_size)
    except FileNotFoundError:
        raise InputError(f"no index at {submission.index}; plan again") from None


@lru_cache(maxsize=_MOST_INDICES)
def _index_of(path: Path, *_stamp: int) -> SubmissionIndex:
    """Read an index; once a command for the same file, because several of its parts look at every index."""
    return read_record(path, SubmissionIndex)


def readable_indices(layout: RunLayout) -> list[tuple[SubmissionLayout, SubmissionIndex]]:
    """Read every index that can be read; `hpc.snapshots.submitted` names the others."""
    found = []
    for submission in list_submissions(layout):
        with contextlib.suppress(InputError):
            found.append((submission, load_index(submission)))
    return found


def named_runs(root: Path, name: str) -> RunLayout:
    """Which runs a name means: an experiment, the path of its YAML, or that of its run folder, as a shell completes it.

    Raises:
        InputError: It can be none of these; the message says what can.
    """
    folder = Path(os.path.normpath(Path(name).absolute()))
    if ("/" in name or name in (".", "..")) and (folder / "manifest.json").is_file():
        is_below = root.is_dir() and root.samefile(folder.parent)
        return RunLayout(root if is_below else folder.parent, folder.name)
    stem = Path(name).stem if name.endswith((".yaml", ".yml")) else name.rstrip("/")
    if problem := name_problem(stem):
        known = ", ".join(planned_below(root))
        valid = f"write an experiment ({known})" if known else "write an experiment"
        raise InputError(
            f"{name!r} cannot be an experiment: it {problem}; {valid} or the path of its run folder, or leave it out"
        )
    return RunLayout(root, stem)


def planned_below(root: Path) -> list[str]:
    """Names of all experiments that were planned below a root."""
    return sorted(path.parent.name for path in root.glob("*/manifest.json"))


def newest_experiment(root: Path) -> str | None:
    """Name the experiment we planned last below a root; None when there is none of ours.

    A run that is made again is none, unless there is nothing else: its experiment stays the one that is worked on.
    """
    planned = [path for path in root.glob("*/manifest.json") if path.is_file() and _is_ours(path)]
    planned.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    own = (path for path in planned if not _makes_again(path))
    newest = next(own, planned[0] if planned else None)
    return newest.parent.name if newest else None


def _makes_again(path: Path) -> bool:
    """Whether a manifest is that of a reproduction; only one of their names is read, and has one task."""
    if REPRODUCED not in path.parent.name:
        return False
    try:
        told = read_json(path)
    except (InputError, OSError):
        return False  # others say what is wrong with it
    provenance = told.get("provenance") if isinstance(told, dict) else None
    return isinstance(provenance, dict) and REPRODUCES in provenance


def _is_ours(path: Path) -> bool:
    return path.stat().st_uid == os.geteuid() == path.parent.stat().st_uid
