"""What a row of metrics costs, beside its floor and its peers, in one run on one machine.

Run: ``python -m benchmarks.metrics [--rows 20000] [--quick] [--json]``. A row is
one step with 20 scalars.

The floor is a buffered JSON line; it is what a program without any tool does. Peers append to HDF5 the usual ways, or
are the trackers that people know, as far as they are installed here; those that cannot run are named. The second
column says when a reader, or a kill, finds a row.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import h5py
import numpy as np

from benchmarks.trackers import TRACKERS, find_missing
from hpc.metrics import MetricsWriter, read

SCALARS = 20
NAMES = [f"metric_{number}" for number in range(SCALARS)]
ROW = {name: number / 7 for number, name in enumerate(NAMES)}


@dataclass(frozen=True)
class Contender:
    """One way to write rows.

    Attributes:
        name: As printed.
        flushed: When others can see a row.
        write: Writes so many rows below a folder; returns seconds for the whole, closing included.
        share: Part of the rows that are measured, because it is slow.
    """

    name: str
    flushed: str
    write: Callable[[Path, int], float]
    share: float = 1.0


def json_lines(folder: Path, rows: int) -> float:
    """Buffered JSON lines."""
    started = time.perf_counter()
    with (folder / "rows.jsonl").open("w") as file:
        for step in range(rows):
            file.write(json.dumps({"step": step, "time": time.time(), **ROW}) + "\n")
    return time.perf_counter() - started


def json_lines_flushed(folder: Path, rows: int) -> float:
    """JSON lines, each handed to the system at once."""
    started = time.perf_counter()
    with (folder / "flushed.jsonl").open("w") as file:
        for step in range(rows):
            file.write(json.dumps({"step": step, "time": time.time(), **ROW}) + "\n")
            file.flush()
    return time.perf_counter() - started


def our_writer(folder: Path, rows: int) -> float:
    """MetricsWriter as a program uses it, with its thread; closing writes the file as a whole."""
    started = time.perf_counter()
    with MetricsWriter(folder / "metrics.h5") as metrics:
        for step in range(rows):
            metrics.log(step, ROW)
    return time.perf_counter() - started


def our_writer_flushed(folder: Path, rows: int) -> float:
    """MetricsWriter with a flush after every row, which nobody needs."""
    started = time.perf_counter()
    with MetricsWriter(folder / "each.h5", flush_interval_s=3600) as metrics:
        for step in range(rows):
            metrics.log(step, ROW)
            metrics.flush()
    return time.perf_counter() - started


def h5py_rows(folder: Path, rows: int) -> float:
    """h5py, file kept open, one growing data set a metric: locks readers out, breaks when killed."""
    started = time.perf_counter()
    with h5py.File(folder / "open.h5", "w") as file:
        datasets = [file.create_dataset(name, (0,), "f8", maxshape=(None,), chunks=(1024,)) for name in NAMES]
        for step in range(rows):
            for dataset, value in zip(datasets, ROW.values(), strict=True):
                dataset.resize((step + 1,))
                dataset[step] = value
    return time.perf_counter() - started


def h5py_open_append_close(folder: Path, rows: int) -> float:
    """h5py, file opened for each row, one data set of 20 columns."""
    path = folder / "reopened.h5"
    started = time.perf_counter()
    with h5py.File(path, "w") as file:
        file.create_dataset("rows", (0, SCALARS), "f8", maxshape=(None, SCALARS), chunks=(1024, SCALARS))
    values = np.array(list(ROW.values()))
    for step in range(rows):
        with h5py.File(path, "a") as file:
            file["rows"].resize((step + 1, SCALARS))
            file["rows"][step] = values
    return time.perf_counter() - started


CONTENDERS = (
    Contender("JSON line, buffered (floor)", "when 8 KiB are full", json_lines),
    Contender("JSON line, flushed", "each row", json_lines_flushed),
    Contender("**MetricsWriter**", "every 2 s", our_writer),
    Contender("MetricsWriter, flushed", "each row", our_writer_flushed, 0.1),
    Contender("h5py, 20 growing data sets", "at close", h5py_rows, 0.05),
    Contender("h5py, open–append–close", "each row", h5py_open_append_close, 0.05),
)


def with_trackers(missing: Container[str]) -> list[Contender]:
    """Those of this file, and the trackers that run here."""
    return [*CONTENDERS, *(_tracker(name) for name in TRACKERS if name not in missing)]


def _tracker(name: str) -> Contender:
    flushed, write = TRACKERS[name]
    return Contender(name, flushed, lambda folder, rows: write(folder, rows, ROW), 0.02)


def measure(folder: Path, rows: int, contenders: Sequence[Contender], repeats: int = 5) -> dict[str, list[float]]:
    """Microseconds per row of each contender, once a round: they take turns, so that noise meets all."""
    costs: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for repeat in range(repeats):
        for contender in contenders:
            place = folder / f"{repeat}"
            place.mkdir(exist_ok=True)
            number = max(50, int(rows * contender.share))
            costs[contender.name].append(contender.write(place, number) / number * 1e6)
    return costs


def measure_log_call(folder: Path, rows: int) -> float:
    """Microseconds that `log` holds up the training loop, median."""
    times = []
    with MetricsWriter(folder / "calls.h5") as metrics:
        for step in range(rows):
            started = time.perf_counter()
            metrics.log(step, ROW)
            times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e6


def measure_long_run(folder: Path, rows: int) -> tuple[float, float]:
    """Seconds to write a run of `rows` rows, and ten times as many: 10 when the cost is linear, 100 when quadratic."""
    short = our_writer(_made(folder / "short"), rows)
    long = our_writer(_made(folder / "long"), 10 * rows)
    assert len(read(folder / "long" / "metrics.h5")[NAMES[0]].step) == 10 * rows
    return short, long


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def times_floor(costs: dict[str, list[float]], name: str) -> float:
    """How many times the floor's cost, the median over the rounds."""
    pairs = zip(costs[name], costs[CONTENDERS[0].name], strict=True)
    return median(cost / floor for cost, floor in pairs)


def table(
    costs: dict[str, list[float]], contenders: Sequence[Contender], missing: Mapping[str, str], log_call_us: float,
    short_s: float, long_s: float,
) -> str:  # fmt: skip
    """The result as Markdown."""
    floor = median(costs[CONTENDERS[0].name])
    lines = [f"| a row of {SCALARS} scalars | visible to others | µs | × floor |", "|---|---|---:|---:|"]
    lines += [
        f"| {way.name} | {way.flushed} | {median(costs[way.name]):.1f} | {times_floor(costs, way.name):.1f} |"
        for way in contenders
    ]
    lines += [
        f"| `log` alone, as the training loop feels it (median) | | {log_call_us:.1f} | {log_call_us / floor:.1f} |",
        "",
        f"Ten times as many rows take {long_s / short_s:.1f} times as long (10 is linear, 100 quadratic).",
    ]
    lines += ["", *(f"{name} did not run: {why}." for name, why in missing.items())] if missing else []
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true", help="few rows: shows that it runs, not how fast")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args()
    rows = 300 if options.quick else options.rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        missing = find_missing(folder, ROW)
        contenders = with_trackers(missing)
        costs = measure(folder, rows, contenders, repeats=1 if options.quick else 5)
        log_call_us = measure_log_call(folder, rows)
        short_s, long_s = measure_long_run(folder, rows)
    if options.json:
        print(json.dumps({"us_per_row": costs, "log_call_us": log_call_us, "ten_times_rows": long_s / short_s}))
    else:
        sys.stdout.write(table(costs, contenders, missing, log_call_us, short_s, long_s))


if __name__ == "__main__":
    main()
