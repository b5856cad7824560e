"""Which attempt or log a target names."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from hpc.adapters.files import read_json
from hpc.adapters.manifest_store import load_manifest
from hpc.console import note
from hpc.core.errors import InputError
from hpc.core.layout import RunLayout, attempt_number
from hpc.core.words import counted, few
from hpc.workspace import Workspace


def joined(targets: Sequence[str]) -> Sequence[str]:
    """``sweep R8_S1``, as other commands take an experiment and its task, is the run ``sweep/R8_S1``."""
    first, *rest = targets
    if not rest or Path(first).exists() or not all(re.fullmatch(_NAME, each) for each in targets):
        return targets
    tasks = Workspace.current().root / first / "tasks"
    return [f"{first}/{each}" for each in rest] if all((tasks / each).is_dir() for each in rest) else targets


_NAME = r"[\w.=+,@-]+"


def folder_of(target: str) -> Path | None:
    """Find the attempt directory a target names; None when it is a log file or a folder of logs.

    Raises:
        InputError: It is no log file, no attempt, and no run or job of any experiment here.
    """
    path = Path(target)
    if path.is_file():
        return None
    if path.is_dir() and attempt_number(path.name) is None and not (path / "task.json").exists():
        if logs_in(path):
            return None
        raise InputError(
            f"{target} has no attempt and no log (*.out, *.err, *.log, also compressed); "
            "give …/tasks/<run name>/attempt-<number> or a log file"
        )
    folder = path if path.is_dir() else _find_attempt(target)
    if folder is None:
        raise InputError(
            f"{target} is neither a log file, an attempt directory (…/tasks/<run name>/attempt-<number>), "
            f"nor a run or Slurm job of an experiment below {Workspace.current().root}{_did_you_mean(target)}"
        )
    return folder


_LOG = re.compile(r"(?P<job>.+)\.(?:out|err|log)(?:\.gz)?")


def logs_in(folder: Path) -> dict[str, list[Path]]:
    """Logs that lie in a folder, by job: ``slurm-7.out`` and ``slurm-7.err`` are one; in the order of their numbers."""
    jobs: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir(), key=lambda path: _by_numbers(path.name), reverse=True):
        named = _LOG.fullmatch(path.name)
        if named and path.is_file():
            jobs.setdefault(named["job"], []).append(path)  # .out before .err: what failed is said last
    return dict(reversed(jobs.items()))


def _by_numbers(name: str) -> list[tuple[int, str]]:
    return [(int(part[:18]), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _did_you_mean(name: str) -> str:
    runs = [path.name for path in Workspace.current().root.glob("*/tasks/*")]
    close = get_close_matches(name, runs, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _find_attempt(name: str) -> Path | None:
    """Find an attempt below the run folder by what somebody calls it; None where nothing is called so.

    That is the newest attempt of a run (``R8_S1``, or ``sweep/R8_S1`` where two experiments have one), the one that ran
    in a Slurm job (``12_3``), or of an experiment the one that failed last.
    """
    if not re.fullmatch(rf"{_NAME}(/{_NAME})?", name):
        return None
    root = Workspace.current().root
    experiment, _, run = name.rpartition("/")
    if experiment:
        return _newest(root.glob(f"{experiment}/tasks/{run}/attempt-*"))
    if (root / name / "manifest.json").is_file():
        return _failed_last(RunLayout(root, name))
    attempts = list(root.glob(f"*/tasks/{name}/attempt-*"))
    if not attempts and re.fullmatch(r"\d+(_\d+)?", name):
        claims = root.glob("*/tasks/*/attempt-*/claim")
        attempts = [claim.parent for claim in claims if _job_of(claim) == name]
    return _newest(attempts)


def _newest(attempts: Iterable[Path]) -> Path | None:
    return max(attempts, key=lambda path: (path.stat().st_mtime, attempt_number(path.name) or 0), default=None)


def _failed_last(layout: RunLayout) -> Path:
    """Find of all runs of an experiment the attempt that failed last, and name the others that failed.

    A run failed by its own record, or by the verdict on it: one that diverged may well have ended with exit code 0.

    Raises:
        InputError: None is known to have failed.
    """
    from hpc.adapters.collected_file import failed_runs
    from hpc.snapshots.other_code import newest_records
    from hpc.submissions.on_disk import list_attempts, list_runs

    ends = {run: newest_records(layout, run)[1] for run in list_runs(layout)}
    judged = failed_runs(layout)
    failed = {
        run: ended.ended for run, ended in ends.items()
        if ended is not None and (not ended.is_done or judged.get(run) == list_attempts(layout, run)[-1])
    }  # fmt: skip
    if not failed:
        raise InputError(
            f"no run of {layout.experiment} is known to have failed; what became of each: "
            f"python -m hpc.collect {layout.experiment}"
        )
    planned = _planned(layout)
    failed = {run: when for run, when in failed.items() if run in planned} or failed  # not those of an earlier plan
    last, *others = sorted(failed, key=lambda run: -failed[run])
    if others:
        note(f"note: {counted(len(failed), 'run')} failed, {last} last; the others by name: {few(others)}")
    return layout.task(last).attempt(list_attempts(layout, last)[-1]).home


def _planned(layout: RunLayout) -> set[str]:
    """The runs of the plan as it is now; none where it cannot be read, which others say."""
    try:
        return {str(task["run_name"]) for task in load_manifest(layout)["tasks"]}
    except InputError:
        return set()


def _job_of(claim: Path) -> str:
    """The job that claimed an attempt; empty where the claim cannot be read: one of many must not hide the others."""
    try:
        content = read_json(claim)
    except (InputError, OSError):
        return ""
    return str(content.get("job", "")) if isinstance(content, dict) else ""


def names_attempt(target: str) -> bool:
    """Whether a target says which attempt or run is meant, and not only which experiment."""
    return Path(target).is_dir() or not (Workspace.current().root / target / "manifest.json").is_file()
