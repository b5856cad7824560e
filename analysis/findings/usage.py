"""What every run used of what it asked for, where its time went, and what would do for the next sweep."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from analysis.data.frame import ExperimentFrame
from hpc.core.usage.split import TimeSplit, add_up, split_run
from hpc.core.usage.used import Used, advise, say_energy, say_split, used_by

_COLUMNS = (
    "elapsed_s", "time_s", "peak_memory_mib", "memory_mib", "cpu_seconds", "cpus", "nodes", "gpus", "gpu_busy",
    "gpu_energy_j", "peak_gpu_memory_mib", "queue_s", "startup_s", "checkpoint_s", "rolled_back_s", "adopted",
)  # fmt: skip


@dataclass(frozen=True)
class Usage:
    """What the runs used.

    Attributes:
        runs: One for each task with an attempt.
        ettr: Run name → its effective training time ratio; left out where something was not measured.
        time: Where the time of all went, sentences.
        energy: What was measured of it, one sentence; empty where nothing was.
        advice: What would do, sentences.
        splits: Run name → where its time went; of runs that are over.
        split: The same over all of them; None where none was measured whole.
    """

    runs: tuple[Used, ...]
    ettr: Mapping[str, float]
    time: tuple[str, ...]
    energy: str
    advice: tuple[str, ...]
    splits: Mapping[str, TimeSplit]
    split: TimeSplit | None

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON values, as ``hpc usage --json`` has them; what was not measured is null."""
        shares = ("time_share", "memory_share", "cpu_share")
        return {
            "runs": [
                {**asdict(each), **{name: getattr(each, name) for name in shares},
                 "split": asdict(self.splits[each.run_name]) if each.run_name in self.splits else None}
                for each in self.runs
            ],
            "split": asdict(self.split) if self.split else None,
            "ettr": self.split.ettr if self.split else None,
            "energy": self.energy or None,
            "advice": list(self.advice),
        }  # fmt: skip


def find_usage(frame: ExperimentFrame) -> Usage:
    """Hold what was used against what was asked for."""
    tasks = _tasks(frame)
    runs = tuple(used_by(each) for each in tasks)
    splits: dict[str, TimeSplit] = {each["run_name"]: split for each in tasks if (split := split_run(each))}
    joules = [each.energy_j for each in runs if each.energy_j is not None]
    carbon = float(frame.manifest["cluster"].get("carbon") or 0.0)
    together = add_up(list(splits.values()))
    return Usage(
        runs,
        {name: split.ettr for name, split in splits.items() if split.ettr is not None},
        tuple(say_split(together, len(splits))),
        say_energy(sum(joules), len(joules), carbon, "GPUs alone, by their driver") if joules else "",
        tuple(advise(runs)),
        splits,
        together,
    )


def _tasks(frame: ExperimentFrame) -> list[dict[str, Any]]:
    """Every task with an attempt, as ``verdicts.json`` has it, as far as it is looked at."""
    columns = {name: frame.attempts[name].tolist() for name in _COLUMNS}
    names, outcomes = frame.tasks["run_name"].tolist(), frame.tasks["outcome"].tolist()
    found: dict[int, dict[str, Any]] = {}
    for place, row in enumerate(frame.attempts["task"].tolist()):
        task = found.setdefault(row, {"run_name": names[row], "outcome": outcomes[row], "attempts": []})
        values = ((name, column[place]) for name, column in columns.items())
        task["attempts"].append({name: value for name, value in values if not _is_missing(value)})
    return list(found.values())


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
