"""Forecast against actual: three experiments that are really run on this machine, and what their plans said before.

Taken with ``python -m benchmarks.forecasts``, which prints the table of ``docs/forecast.md``. Each is planned small
and run; then it is planned with more runs, whose forecast is held against what they came to: more seeds of the same
settings, more epochs than were seen, and runs of two lengths. The programs wait where others would compute: what else
the machine does meanwhile, no forecast can know.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

PROGRAM = """
import sys, time
kind, epochs, width, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
block = bytearray(width << 20)
time.sleep(epochs * (0.9 if kind == "long" else 0.3) * (1 + 0.03 * (seed % 5)))
with open(f"{sys.argv[5]}/weights.bin", "wb") as file:
    file.write(block[: width << 18])
print(f"loss: {1 / epochs + seed / 1000}")
"""
EXPERIMENT = """
name: {name}
type: hyperparameter_sweep
program: {{command: "python3 program.py {{kind}} {{epochs}} {{width}} {{seed}} {{attempt_dir}}"}}
sweep: {{grid: {{kind: [{kind}], epochs: [{epochs}], width: [{width}]}}, seeds: [{seeds}]}}
metrics: {{primary: {{name: loss, goal: min}}, source: {{stdout: 'loss: (?P<loss>\\S+)'}}}}
resources: {{cpus: 1, mem: 1GB, time: "0:20:00"}}
"""
PROFILE = 'scheduler: local\napptainer: ""\nmax_parallel: 2\nsignal_lead_s: 5\n'


@dataclass(frozen=True)
class Case:
    """An experiment, small and whole.

    Attributes:
        first, then: Lists of the grid as in the YAML, ``kind``, ``epochs``, ``width`` and ``seeds``.
    """

    name: str
    first: Mapping[str, str]
    then: Mapping[str, str]


CASES = (
    Case("more seeds", {"seeds": "1, 2, 3"}, {"seeds": "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"}),
    Case("more epochs", {"epochs": "4, 8", "seeds": "1, 2"}, {"epochs": "4, 8, 12", "seeds": "1, 2, 3"}),
    Case(
        "two lengths", {"kind": "short, long", "seeds": "1, 2, 3"},
        {"kind": "short, long", "seeds": "1, 2, 3, 4, 5, 6, 7, 8"},
    ),
)  # fmt: skip
ALIKE = {"kind": "short", "epochs": "6", "width": "64"}


def _hpc(folder: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"hpc.{words[0]}", *words[1:]], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{words}: {done.stdout}{done.stderr}")


def run_case(case: Case, folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Plan and run a case twice: the forecast of the second plan, and the attempts that came after it."""
    name = case.name.replace(" ", "_")
    (folder / "manifests/experiments").mkdir(parents=True)
    (folder / "manifests/clusters").mkdir()
    (folder / "manifests/clusters/local.yaml").write_text(PROFILE)
    (folder / "program.py").write_text(PROGRAM)
    runs = folder / "runs" / name
    for part in (case.first, case.then):
        text = EXPERIMENT.format(name=name, **{**ALIKE, **part})
        (folder / f"manifests/experiments/{name}.yaml").write_text(text)
        before = {path.parents[1].name for path in runs.glob("tasks/*/attempt-1/exit.json")}
        _hpc(folder, "plan", name, "--cluster", "local")
        forecast = json.loads((runs / "forecasts.jsonl").read_text().splitlines()[-1])
        _hpc(folder, "submit", name)
        _hpc(folder, "collect", name)
    told = json.loads((runs / "collected/verdicts.json").read_text())["tasks"]
    new = [
        {**each["attempts"][-1], "disk_mib": _size(runs / each["attempts"][-1]["directory"])}
        for each in told
        if each["run_name"] not in before
    ]
    return forecast, new


def _size(folder: Path) -> float:
    return sum(path.stat().st_blocks for path in folder.rglob("*") if path.is_file()) * 512 / 1024**2


def rows_of(case: Case, forecast: Mapping[str, Any], new: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line of the table for each figure that was forecast."""
    actual = {
        "run_s": ("a run, the median", median(each["elapsed_s"] for each in new), "s"),
        "left_hours": (f"all {len(new)} runs", sum(each["elapsed_s"] for each in new) / 60, "core min"),
        "wall_s": ("first start to last end", max(e["ended"] for e in new) - min(e["started"] for e in new), "s"),
        "memory_mib": ("memory of a run, the median", median(each["peak_memory_mib"] for each in new), "MB"),
        "disk_mib": ("disk", sum(each["disk_mib"] for each in new), "MB"),
    }
    for field, (what, value, unit) in actual.items():
        told = forecast[field]
        scale = 60.0 if field == "left_hours" else 1.0
        middle, low, high = (told[part] and told[part] * scale for part in ("middle", "low", "high"))
        between = f"{middle:.3g} ({low:.3g}–{high:.3g}) {unit}" if low else f"{middle:.3g} {unit}"
        ends = [float(f"{each:.3g}") for each in (low or 0, value, high or 0)]  # as they are printed
        is_inside = "–" if not low else "yes" if ends == sorted(ends) else "no"
        yield f"| {case.name} | {what} | {between} | {value:.3g} {unit} | {is_inside} |"


def main() -> None:
    """Run all cases and print the table."""
    print("| experiment | what | forecast | came | inside |\n|---|---|---|---|---|")
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            forecast, new = run_case(case, Path(folder))
        print("\n".join(rows_of(case, forecast, new)), flush=True)


if __name__ == "__main__":
    main()
