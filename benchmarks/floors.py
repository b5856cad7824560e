"""What the work would cost without us: the least anyone has to do, as processes of their own beside our commands.

    python -m benchmarks.floors expand 10000 FOLDER
    python -m benchmarks.floors copy FROM TO
    python -m benchmarks.floors metrics RUNS
    python -m benchmarks.floors cases < cases.jsonl

Each loads what it needs and nothing of ours, and prints how many things it handled.
"""

import hashlib
import itertools
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path


def expand(tasks: str, folder: str) -> int:
    """Expand a grid with `itertools.product`, name each point by its hash, write everything with `json.dump`."""
    rows = math.isqrt(int(tasks))
    entries = []
    for rank, rate, seed in itertools.product(range(rows), range(int(tasks) // rows), (42,)):
        parameters = {"rank": rank, "rate": rate * 1e-6}
        name = f"R{rank}_LR{rate}_S{seed}"
        digest = hashlib.sha256(json.dumps({**parameters, "seed": seed}, sort_keys=True).encode()).hexdigest()[:12]
        entries.append({"task_id": digest, "run_name": name, "parameters": parameters, "seed": seed, "case": None})
    Path(folder).mkdir(parents=True, exist_ok=True)
    with Path(folder, "manifest.json").open("w") as file:
        json.dump(entries, file)
    return len({entry["task_id"] for entry in entries})


def copy(source: str, target: str) -> int:
    """Write the same bytes into as many files, each made durable."""
    files = [path for path in sorted(Path(source).rglob("*")) if path.is_file()]
    for path in files:
        place = Path(target, path.relative_to(source))
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            file.write(path.read_bytes())
            file.flush()
            os.fsync(file.fileno())
    return len(files)


def metrics(runs: str) -> int:
    """Open each metrics file with plain h5py and read every series."""
    import h5py

    values = 0
    for path in sorted(Path(runs).glob("*/attempt-1/metrics.h5")):
        with h5py.File(path, "r", locking=False) as file:
            values += sum(len(dataset[:]) for dataset in file["series"].values())
    return values


def records(runs: str) -> int:
    """Read each attempt's two JSON records and its logs."""
    count = 0
    for path in sorted(Path(runs).glob("*/attempt-1")):
        for name in ("task.json", "exit.json"):
            json.loads((path / name).read_text())
        for name in ("stdout.log", "stderr.log"):
            (path / name).read_text()
        count += 1
    return count


def cases() -> int:
    """Read each case and its log, and answer with a constant."""
    count = 0
    for line in sys.stdin:
        case = json.loads(line)
        lines = Path(case["log"]).read_text(errors="replace").splitlines() if case.get("log") else []
        sys.stderr.write(json.dumps({"target": case.get("log"), "category": "unknown", "lines": len(lines)}) + "\n")
        count += 1
    return count


FLOORS: dict[str, Callable[..., int]] = {
    "expand": expand,
    "copy": copy,
    "metrics": metrics,
    "records": records,
    "cases": cases,
}

if __name__ == "__main__":
    print(FLOORS[sys.argv[1]](*sys.argv[2:]))
