"""Where wandb leaves the runs that were logged offline: folders ``wandb/offline-run-TIME-ID`` with one file each."""

from collections.abc import Sequence
from pathlib import Path

from hpc.core.layout import AttemptLayout, RunLayout, TaskLayout, attempt_number

_BEGINNING = b":W&B"


def export_folder(layout: RunLayout) -> Path:
    """Where ``hpc export --to wandb`` writes the runs of programs that log nothing there themselves."""
    return layout.home / "export" / "wandb"


def offline_files(folder: Path) -> list[Path]:
    """The files of offline runs in a folder's own ``wandb/``, the earliest first; links are somebody else's."""
    found = (folder / "wandb").glob("offline-run-*/run-*.wandb")
    return sorted(path for path in found if path.is_file() and not path.is_symlink() and not path.parent.is_symlink())


def attempts_of(task: TaskLayout) -> list[AttemptLayout]:
    """The attempts that left a folder, oldest first."""
    entries = task.home.iterdir() if task.home.is_dir() else ()
    return [task.attempt(number) for number in sorted(filter(None, (attempt_number(path.name) for path in entries)))]


def logged_by_program(attempt: AttemptLayout) -> list[Path]:
    """What an attempt's program logged itself: where we told wandb to, or beside the code it ran from."""
    return [*offline_files(attempt.home), *offline_files(attempt.work)]


def logs_itself(task: TaskLayout) -> bool:
    """Whether any attempt's program logged to wandb."""
    return any(logged_by_program(attempt) for attempt in attempts_of(task))


def is_over(attempt: AttemptLayout, later: Sequence[AttemptLayout]) -> bool:
    """Whether nothing writes its file any more: it ended, Slurm said so, or another attempt came after it."""
    return bool(later) or attempt.exit_json.exists() or attempt.scheduler.exists()


def run_id(file: Path) -> str:
    """The id that stands in a file's name: ``run-1a2b3c.wandb`` is 1a2b3c."""
    return file.name.removeprefix("run-").removesuffix(".wandb")


def is_wandb_file(file: Path) -> bool:
    """Whether a file begins as wandb's do; the client takes any other for one that was cut short."""
    with file.open("rb") as content:
        return content.read(len(_BEGINNING)) == _BEGINNING


def marker(file: Path) -> Path:
    """What wandb puts beside a file once all of it was sent."""
    return file.with_name(f"{file.name}.synced")
