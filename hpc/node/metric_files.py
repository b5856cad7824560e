"""The files in which a program leaves its metrics, found when it has ended. Standard library only."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from hpc.core.experiment.metric_files import read_csv, read_events, read_json, read_wandb
from hpc.core.experiment.metric_source import MetricSource, Reading

MOST_BYTES = 1 << 30
"""Of all files together; what is larger is no log of metrics."""
IN_FOLDERS = {"tensorboard": "*tfevents*", "wandb": "run-*.wandb"}
"""Sources that name a folder, with the files that are looked for in it, however deep."""


def find_files(
    source: MetricSource, places: Iterable[Path], code: Path | None = None, since: float = 0.0
) -> list[Path]:
    """The files of a source that the program wrote, oldest first.

    Args:
        source: Of a kind that is read from files; its `path` may have wildcards.
        places: Folders it is relative to; each file counts once.
        code: The frozen code: a file that lies there with the same content was not written by the program, but comes
            from the repository.
        since: Unix seconds, by the file system's clock, when the program was started: what is older is of an attempt
            before.
    """
    found: dict[Path, None] = {}
    for place in places:
        for path in _matching(place, source.path) if place.is_dir() else ():
            is_folder = source.kind in IN_FOLDERS and path.is_dir()
            inner = sorted(path.rglob(IN_FOLDERS[source.kind])) if is_folder else [path]
            files = (each for each in inner if each.is_file() and each.stat().st_mtime >= since)
            found |= {each.resolve(): None for each in files if not _is_from(code, place, each)}
    return sorted(found, key=lambda path: (path.stat().st_mtime, str(path)))


def _matching(place: Path, pattern: str) -> list[Path]:
    """What a pattern fits in a folder; the folder itself for a dot."""
    normal = Path(pattern).as_posix()
    return [place] if normal == "." else sorted(place.glob(normal))


def read_files(source: MetricSource, files: Sequence[Path]) -> list[Reading]:
    """What the files say, one after the other.

    Raises:
        OSError: One cannot be read.
    """
    reader = {"csv": read_csv, "json_file": read_json, "tensorboard": read_events, "wandb": read_wandb}[source.kind]
    return [reading for path in files if path.stat().st_size <= MOST_BYTES for reading in reader(path.read_bytes())]


def _is_from(code: Path | None, place: Path, path: Path) -> bool:
    if code is None:
        return False
    original = code / path.relative_to(place)
    return (
        original.is_file()
        and original.stat().st_size == path.stat().st_size
        and (original.read_bytes() == path.read_bytes())
    )
