"""Files that a run looked for in vain although they lie in the project: git ignores them, or they are too large.

What git ignores is not copied with the code; plan names it, and who overlooked that finds it here beside the error.
"""

import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from hpc.adapters.files import readable_record
from hpc.adapters.manifest_store import load_manifest
from hpc.core.errors import HpcError
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.records.task import TaskRecord

_NAMED = re.compile(r"""['"‘“]([^'"‘’“”]{1,400})['"’”]|(?:^|\s)((?:\.{0,2}/)?[\w.+-]+(?:/[\w.+-]+)+)""")


def describe_not_copied(layout: RunLayout, attempt: AttemptLayout, lines: Iterable[str]) -> tuple[str, ...]:
    """Say of each file that the lines of an error name how the run gets it, where only the copy of the code lacks it.

    Args:
        layout: The experiment.
        attempt: The attempt that failed.
        lines: What it printed about it.
    """
    record = readable_record(attempt.task_json, TaskRecord)
    try:
        manifest = load_manifest(layout)
    except (HpcError, OSError):
        return ()
    project = (manifest["provenance"].get("project") or {}).get("folder")
    if record is None or not project:
        return ()
    copy, declared = Path(record.code.path), manifest["spec"].get("program", {}).get("inputs") or {}
    names = dict.fromkeys(name for line in lines for name in _below(line, (attempt.work, copy)))
    missing = [
        name for name in names
        if name not in declared and (Path(project) / name).exists() and not (copy / name).exists()
    ]  # fmt: skip
    planning = f"python -m hpc.plan {shlex.quote(layout.experiment)}"
    return tuple(
        f"{name} lies in the project and not in the copy of the code that runs. To link it where the program runs, "
        f"write program: {{inputs: [{name}]}}, then: {planning}"
        for name in missing
    )


def _below(line: str, folders: Iterable[Path]) -> Iterator[str]:
    """The paths a line names, as they are below any of the folders the program may have looked in."""
    for quoted, bare in _NAMED.findall(line):
        path = PurePath(quoted or bare)
        if not path.is_absolute() and ".." not in path.parts and path.parts:
            yield str(path)
        for folder in folders:
            if path.is_relative_to(folder) and path != folder:
                yield str(path.relative_to(folder))
