"""The manifest and the submissions on disk: written once, read by everybody, never edited."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpc.adapters.files import read_json, read_json_or_none, write_json
from hpc.core.errors import InputError
from hpc.core.identity import content_hash
from hpc.core.layout import RunLayout, SubmissionLayout
from hpc.core.spec import Task

SCHEMA = 1


def manifest_sha(manifest: Mapping[str, Any]) -> str:
    """Hash what a manifest says, not when it was said: equal experiments on equal code have equal manifests."""
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    content["provenance"] = {
        key: value for key, value in (manifest.get("provenance") or {}).items() if key != "created"
    }
    return content_hash(content)


def save_manifest(layout: RunLayout, manifest: Mapping[str, Any]) -> None:
    """Freeze a manifest under its hash and make it the newest."""
    frozen = layout.manifests / f"{manifest['sha256'][:16]}.json"
    if not frozen.exists():
        write_json(frozen, manifest)
    write_json(layout.manifest, manifest)


def load_manifest(layout: RunLayout) -> dict[str, Any]:
    """Read the newest manifest and check that nobody edited it.

    Raises:
        InputError: There is none, or its content does not match its hash.
    """
    manifest = read_json_or_none(layout.manifest)
    if manifest is None:
        raise InputError(f"no manifest at {layout.manifest}; plan first: python -m hpc.plan {layout.experiment}")
    check_manifest(manifest, layout.manifest)
    return dict(manifest)


def check_manifest(manifest: Any, path: Path) -> None:
    """Raise InputError unless this is a manifest whose content matches its hash."""
    if not isinstance(manifest, dict) or manifest.get("kind") != "manifest":
        raise InputError("not a manifest", str(path))
    if manifest.get("schema") != SCHEMA:
        raise InputError(f"manifest schema {manifest.get('schema')}; this version reads {SCHEMA}", str(path))
    if manifest_sha(manifest) != manifest.get("sha256"):
        raise InputError("its content does not match its hash: it was edited. Plan again to write a new one", str(path))


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


def load_index(submission: SubmissionLayout) -> dict[str, Any]:
    """Read which array index runs which task.

    Raises:
        InputError: The file is missing or damaged.
    """
    try:
        index = read_json(submission.index)
    except FileNotFoundError:
        raise InputError(f"no index at {submission.index}; plan again") from None
    if not isinstance(index, dict) or index.get("kind") != "submission" or index.get("schema") != SCHEMA:
        raise InputError("not an index of a submission", str(submission.index))
    return index


def newest_experiment(root: Path) -> str | None:
    """Name the experiment planned last below a root; None when there is none."""
    planned = [path for path in root.glob("*/manifest.json") if path.is_file()]
    return max(planned, key=lambda path: path.stat().st_mtime).parent.name if planned else None
