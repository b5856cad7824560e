"""A folder a run, by its name, as people keep results: model.pt, metrics.json, config.yaml, train.log.

Copies of what lies in the task's own folder, with the output of all its attempts joined to one log. A model that is not
there comes from the newest attempt that has one.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from analysis.exports.runs import ExportedRun
from hpc.adapters.files import make_folder, open_regular, temporary_name
from hpc.core.errors import InputError
from hpc.core.layout import AttemptLayout, RunLayout, TaskLayout, attempt_number

LOG = "train.log"
_CONFIG, _MODEL = "config.yaml", "model.pt"


def copy_run(run: ExportedRun, layout: RunLayout, folder: Path) -> str:
    """Copy one run; return its folder, empty where nothing of the run is left to copy.

    Raises:
        InputError: A folder of that name holds files of somebody else.
    """
    task, target = layout.task(run.name), folder / run.name
    files = [path for path in _entries(task.home) if _is_own(path)]
    if not any(
        path.name == _MODEL for path in files
    ):  # a program that knows its attempt's folder alone leaves it there
        files += [path for attempt in _attempts(task) if _is_own(path := attempt.home / _MODEL)][-1:]
    logs = list(_logs(task))
    if not files and not logs:
        return ""
    if _entries(target) and not _is_ours(target / _CONFIG, layout.experiment):
        raise InputError(f"{target} contains files that this command did not write; name another folder with --out")
    make_folder(target)
    # The configuration comes first: it says whose folder this is, should the rest be cut short.
    for path in sorted(files, key=lambda path: path.name != _CONFIG):
        _write(target / path.name, [("", path)])
    _write(target / LOG, logs)
    return str(target)


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder, by name, hidden names left out; nothing where there is none."""
    return sorted(path for path in folder.glob("*") if not path.name.startswith(".")) if folder.is_dir() else []


def _is_own(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _attempts(task: TaskLayout) -> list[AttemptLayout]:
    """The attempts that left something, oldest first."""
    numbers = sorted(number for path in _entries(task.home) if (number := attempt_number(path.name)))
    return [task.attempt(number) for number in numbers]


def _logs(task: TaskLayout) -> Iterator[tuple[str, Path]]:
    """What the attempts printed, in order, each with its heading."""
    for attempt in _attempts(task):
        for path in (attempt.stdout, attempt.stderr):
            with suppress(FileNotFoundError, InputError), open_regular(path) as file:
                if file.read(1):
                    yield f"==> attempt {attempt.number}: {path.name}\n", path


def _is_ours(config: Path, experiment: str) -> bool:
    """Whether a folder's configuration is one of this experiment's runs."""
    if not config.is_file():
        return False
    with config.open(encoding="utf-8", errors="replace") as lines:
        return next(lines, "").strip() == f'experiment: "{experiment}"'


def _write(path: Path, pieces: list[tuple[str, Path]]) -> None:
    """Join files to one, each below its heading; whole or not at all."""
    partial = temporary_name(path)
    try:
        with partial.open("wb") as out:
            for heading, piece in pieces:
                _append(out, heading, piece)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _append(out: IO[bytes], heading: str, piece: Path) -> None:
    out.write(heading.encode())
    with open_regular(piece) as content:
        shutil.copyfileobj(content, out)
