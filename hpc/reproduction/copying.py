"""The same run as an experiment of its own: a manifest of one task over the code, image and site of the first.

Code is copied, not linked: `clean` of the first experiment takes nothing from the second.
"""

import os
import platform
import shlex
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hpc.adapters.code_snapshot import Files, check_code, code_digest, freeze_code, walk
from hpc.adapters.files import read_regular, write_bytes
from hpc.adapters.images import ImageFile, find_image, find_squashfs, is_reference
from hpc.adapters.locks import lock
from hpc.adapters.manifest_store import REPRODUCES, load_manifest, manifest_sha, save_manifest, task_to_json
from hpc.core.errors import InputError
from hpc.core.immutable import immutable
from hpc.core.layout import RunLayout
from hpc.core.question.seal import content_digest
from hpc.core.records.index import Code
from hpc.core.resources import render_memory, render_time
from hpc.core.slurm.arrays import first_assignment
from hpc.core.words import few
from hpc.experiments.freezing import frozen_of, open_home, own_code
from hpc.experiments.on_nodes import ON_NODES, module_of
from hpc.experiments.sealing import seal_plan
from hpc.reproduction.named import Original
from hpc.submissions.prepare import prepare_submissions
from hpc.workspace import OWN_CODE, Workspace

MOST_DIFF_BYTES = 64 * 1024 * 1024


@immutable
class Copy:
    """The run made again, before anything is written.

    Attributes:
        layout: Of the new experiment.
        manifest: Its plan.
        files: Name in the provenance (``code``, ``toolkit``) → what is copied there.
        differs: What cannot be the same any more, one sentence each.
        exists: Whether it was planned before.
    """

    layout: RunLayout
    manifest: Mapping[str, Any]
    files: Mapping[str, Files]
    differs: tuple[str, ...]
    exists: bool


def make_copy(workspace: Workspace, original: Original) -> Copy:
    """Put together the same run as an experiment of its own; nothing is written (see `write_copy`).

    Raises:
        InputError: Its code or its image is gone, or another experiment has the name.
    """
    layout = RunLayout(workspace.root, original.copy_name)
    workspace.refuse_foreign(layout)
    if layout.manifest.is_file():
        return _made_before(layout, original)
    provenance = original.manifest["provenance"]
    if adopted := provenance.get("adopted"):
        raise InputError(f"{original.name} was adopted from {adopted}: how it was started is not known")
    code = _files_of(original)
    toolkit, told = _toolkit(provenance)
    image, image_told = _image(original)
    files = {"code": code, **({"toolkit": toolkit} if toolkit else {})}
    manifest: dict[str, Any] = {
        **{key: value for key, value in original.manifest.items() if key not in ("sha256", "follow_ups")},
        "experiment": layout.experiment,
        "spec": _spec(original),
        "tasks": [task_to_json(original.task)],
        "provenance": {
            **provenance,
            **{name: _copied(each, layout, name, original).to_json() for name, each in files.items()},
            "created": time.time(),
            "image": image,
            "asked": {},
            REPRODUCES: {
                "experiment": original.layout.experiment,
                "run_name": original.task.run_name,
                "task_id": original.task.task_id,
                "attempt": original.attempt.number,
                "manifest_sha": original.manifest["sha256"],
            },
        },
    }
    manifest["seal"] = content_digest(manifest["spec"])
    manifest["sha256"] = manifest_sha(manifest)
    return Copy(layout, manifest, files, (*told, *image_told, *_other_circumstances(original)), exists=False)


def _made_before(layout: RunLayout, original: Original) -> Copy:
    manifest = load_manifest(layout)
    found = manifest["provenance"].get(REPRODUCES)
    wanted = (original.layout.experiment, original.task.run_name)
    if not isinstance(found, dict) or (found.get("experiment"), found.get("run_name")) != wanted:
        raise InputError(f"{layout.home} is another experiment; rename it, or use another HPC_ROOT for this one")
    return Copy(layout, manifest, {}, tuple(_other_circumstances(original)), exists=True)


def _files_of(original: Original) -> Files:
    """The frozen code that made the run.

    Raises:
        InputError: The copy is gone, or was changed.
    """
    copy, git = Path(original.record.code.path), original.record.git
    if not copy.is_dir():
        commit = f"check out commit {git.commit}" if git and git.commit else "bring the code back"
        changed = ", with the changes that git did not have" if git and git.dirty else ""
        name = shlex.quote(original.layout.experiment)
        raise InputError(
            f"the copy of the code that made {original.name} is missing ({copy}), so it cannot be made again from its "
            f"records; {commit}{changed}, and plan: python -m hpc.plan {name}"
        )
    check_code(copy, original.record.code.sha256)
    return dict(walk(copy))


def _toolkit(provenance: Mapping[str, Any]) -> tuple[Files | None, tuple[str, ...]]:
    """Our own packages as they were; today's where that copy is gone, and what is to be said of it."""
    if "toolkit" not in provenance:
        return None, ()  # earlier versions had them beside the user's code
    copy = Path(provenance["toolkit"]["path"])
    if copy.is_dir():
        check_code(copy, provenance["toolkit"]["sha256"])
        return dict(walk(copy)), ()
    return own_code().files, ("the copy of hpc-batch that started it is missing; the installed version starts it now",)


def _copied(files: Files, layout: RunLayout, name: str, original: Original) -> Code:
    sha256 = code_digest(files)
    folder = layout.code if name == "code" else layout.toolkit
    roots = original.record.code.roots if name == "code" else (".",)
    return Code(str(folder / sha256[:16]), sha256, roots)


def _image(original: Original) -> tuple[Mapping[str, str] | None, tuple[str, ...]]:
    """The image of the run, under the name it was pinned by; else the one of its name now, and that it is another.

    Raises:
        InputError: There is none of that name any more.
    """
    recorded = original.manifest["provenance"]["image"]
    used = original.record.image
    if recorded is None or used is None:
        return recorded, ()
    if Path(used.path).exists() and Path(used.path).parent.name == "by-digest":
        return {**recorded, "path": used.path, "sha256": used.sha256}, ()
    found = _find_image(original, recorded["name"])
    if is_reference(found):
        return recorded, (f"image {recorded['name']}: each task fetches it, and may get a different one",)
    now = {"name": found.name, "path": str(found.path), "sha256": found.sha256}
    if found.sha256 == used.sha256:
        return now, ()
    return now, (f"image {found.name} has changed: {found.sha256[:16]} now, {used.sha256[:16]} then",)


def _find_image(original: Original, name: str) -> ImageFile:
    cluster = original.manifest["cluster"]
    folder = Path(cluster.get("image_dir") or "images")
    if original.record.image and original.record.image.runtime == "pyxis":
        return find_squashfs(name, folder)
    return find_image(name, folder, OWN_CODE, cluster.get("apptainer") or "apptainer")


def _spec(original: Original) -> dict[str, Any]:
    """The experiment as it was, under its new name; what a retry changed of micro-batch, memory and time is asked."""
    spec = dict(original.manifest["spec"])
    spec["name"] = original.copy_name
    spec["brief"] = {"goal": f"Make {original.name} again and compare.", "stage": "exploratory"}
    if original.record.attempt > 1 and original.record.changes:
        asked = original.record.resources
        more = {"mem": render_memory(asked.memory_mib), "time": render_time(asked.time_s)}
        spec["resources"] = {**(spec.get("resources") or {}), **more}
        if original.record.micro_batch and isinstance(spec.get("batch"), dict):
            spec["batch"] = {**spec["batch"], "micro": original.record.micro_batch}
    return spec


def _other_circumstances(original: Original) -> Iterator[str]:
    """Say what of the first run is not, or may not be, the same when it is made again."""
    record, ended = original.record, original.ended
    if record.resume_from:
        yield f"attempt {record.attempt} resumed from a checkpoint; the new run starts from scratch"
    if record.altered:
        yield f"a retry altered the run ({few(record.changes)}); the new one runs as it was asked for"
    if inputs := original.manifest["provenance"].get("inputs"):
        yield f"data is linked, not part of the frozen code, and may have changed since: {few(sorted(inputs))}"
    if ended is None:
        yield "how and where it ended was not recorded"
        return
    here = socket.gethostname()
    if record.scheduler == "slurm":
        yield f"it ran on {ended.host}; Slurm decides which node and GPU it gets now"
    elif ended.host and ended.host != here:
        yield f"it ran on {ended.host}, and this is {here}"
    if record.image is None:
        yield from _other_software(ended.python, ended.packages or {})
    if record.scheduler != "slurm" and ended.kernel and ended.kernel != platform.release():
        yield f"kernel {ended.kernel} then, {platform.release()} now"


def _other_software(python: str, packages: Mapping[str, str]) -> Iterator[str]:
    from hpc.node.exit_record import list_packages

    if python and python != platform.python_version():
        yield f"Python {python} then, {platform.python_version()} now"
    now = list_packages()
    if changed := [f"{name} {old} → {now.get(name, 'gone')}" for name, old in packages.items() if now.get(name) != old]:
        yield f"packages differ: {few(changed)}"


def write_copy(original: Original, copy: Copy) -> None:
    """Write code, seal, scripts and manifest, in this order, as a plan is written."""
    frozen = frozen_of(copy.manifest)
    open_home(copy.layout, frozen.profile)
    with lock(copy.layout.lock):
        for name, files in copy.files.items():
            compiled = [each for each in files if module_of(each) in ON_NODES] if name == "toolkit" else []
            freeze_code(files, Path(copy.manifest["provenance"][name]["path"]), compiled)
        _copy_diff(original, copy)
        seal_plan(copy.layout, copy.manifest)
        prepare_submissions(copy.layout, frozen, [first_assignment(frozen.spec, original.task)])
        save_manifest(copy.layout, copy.manifest)


def _copy_diff(original: Original, copy: Copy) -> None:
    """Keep the patch beside the code, as the first experiment does."""
    git = original.manifest["provenance"]["git"] or {}
    digest = git.get("diff_sha256") or ""
    if (kept := original.layout.diff(digest)).is_file():
        write_bytes(copy.layout.diff(digest), read_regular(kept, MOST_DIFF_BYTES))


def root_variable(layout: RunLayout) -> dict[str, str]:
    """The environment in which a command of ours finds the copy."""
    return {**os.environ, "HPC_ROOT": str(layout.root)}
