"""Reporting 100, 1,000 and 10,000 runs: how the time grows, how large the page is, and how quick it is in a browser.

Run: ``python -m benchmarks.reporting [--quick] [--json]``. Five seeds a configuration, every fourteenth run failed, 50
steps of one curve each; manifest, ``verdicts.json`` and ``results.h5`` are written by the parts that write them in
earnest. The floor reads these files and concludes nothing. In the browser: until the page is loaded, until all runs are
sorted, until they are filtered; only where a Chromium is installed.
"""

import math
import shutil
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.made_experiments import NAME, planned, write_experiment
from benchmarks.measuring import PYTHON, Contender, Line, as_figures, execute, run_benchmark, table, take_turns
from hpc.adapters.files import write_json
from hpc.adapters.manifest_store import load_manifest
from hpc.adapters.results_h5 import Rows, TaskColumns, curves_of, write_results
from hpc.core.identity import content_hash
from hpc.core.layout import RunLayout

SIZES = (100, 1_000, 10_000)
SEEDS = (42, 137, 256, 512, 1024)
STEPS = 50
_START = 1_790_000_000.0
_READ = """
import json, sys, h5py
json.load(open(sys.argv[1])), json.load(open(sys.argv[2]))
with h5py.File(sys.argv[3]) as file:
    file.visititems(lambda name, item: item[()] if isinstance(item, h5py.Dataset) else None)
"""


def made(folder: Path, runs: int) -> RunLayout:
    """Make a collected experiment of so many runs."""
    write_experiment(folder, runs // len(SEEDS), program="{module: train.control, args: {epochs: 1}}")
    file = folder / "manifests" / "experiments" / f"{NAME}.yaml"
    file.write_text(file.read_text().replace("seeds: [42]", f"seeds: {list(SEEDS)}"))
    layout = planned(folder)
    manifest = load_manifest(layout)
    head = {"experiment": NAME, "manifest_sha": manifest["sha256"], "collected": _START + 1e6}
    judged = [_judged(manifest["sha256"], row, task) for row, task in enumerate(manifest["tasks"])]
    layout.collected.mkdir(parents=True)
    digest = content_hash({**head, "tasks": judged})
    write_json(layout.verdicts, {"schema": 1, **head, "sha256": digest, "tasks": judged})
    columns = TaskColumns(
        task_id=[one["task_id"] for one in judged],
        run_name=[one["run_name"] for one in judged],
        outcome=[one["outcome"] for one in judged],
        failure_class=[one["failure_class"] or "" for one in judged],
        attempts=[1] * len(judged),
        altered=[False] * len(judged),
    )
    values = np.array([one["summary"].get("final_error", math.nan) for one in judged])
    steps = np.arange(STEPS)
    loss = [Rows(row, 1, steps, 1 / (1 + steps), _START + steps) for row in range(len(judged))]
    whole = {**head, "verdicts_sha256": digest}
    write_results(layout.results, whole, columns, {"final_error": values}, curves_of({"train/loss": loss}, folder))
    return layout


def _judged(manifest_sha: str, row: int, task: dict[str, Any]) -> dict[str, Any]:
    """One task as the collector describes it."""
    is_lost = row % 14 == 13
    category = "oom_gpu" if is_lost else "success"
    line = "torch.OutOfMemoryError: CUDA out of memory" if is_lost else "final metrics are complete"
    started = _START + row * 10
    attempt = {
        "attempt": 1, "submission": 1, "job": f"1_{row}", "state": "FAILED" if is_lost else "COMPLETED",
        "exit_code": int(is_lost), "signal": None, "started": started, "ended": started + 300, "elapsed_s": 300.0,
        "nodes": 1, "gpus": 1, "gpu_seconds": 300.0, "manifest_sha": manifest_sha, "memory_mib": 1024, "time_s": 600,
        "peak_memory_mib": 700.0, "directory": f"tasks/{task['run_name']}/attempt-1", "changes": [],
        "verdict": {
            "category": category, "cause": "", "rule": category, "confidence": 0.9, "summary": category,
            "suggestion": "", "evidence": [{"source": "stderr", "line": 3, "text": line}],
        },
    }  # fmt: skip
    value = 1 / (1 + task["parameters"]["rank"]) + (row * 7919 % 1009) / 1e4
    return {
        **{name: task.get(name) for name in ("task_id", "run_name", "parameters", "seed", "case")},
        "outcome": "failed" if is_lost else "finished", "failure_class": category if is_lost else None,
        "altered": False, "changes": [], "summary": {} if is_lost else {"final_error": value},
        "attempts": [attempt], "decision": {"action": "none", "reason": ""},
    }  # fmt: skip


def contenders(folder: Path, sizes: tuple[int, ...]) -> list[Contender]:
    """The floor on the largest one, then the report of each size."""
    layouts = {runs: made(folder / str(runs), runs) for runs in sizes}
    last = layouts[sizes[-1]]
    read = (PYTHON, "-c", _READ, str(last.manifest), str(last.verdicts), str(last.results))
    report = (PYTHON, "-m", "analysis.report", NAME)

    def built(runs: int) -> Contender:
        return Contender(f"**analysis.report**, {runs:,} runs", lambda: execute(report, folder=folder / str(runs)))

    floor = Contender(f"reading the files of {sizes[-1]:,} runs (floor)", lambda: execute(read, folder=folder))
    return [floor, *(built(runs) for runs in sizes)]


def in_browser(page: Path) -> dict[str, float] | None:
    """Milliseconds until a page is loaded, sorted and filtered; None without a browser."""
    chromium = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if chromium is None:
        return None
    taken = {}
    with sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=chromium)
        tab = browser.new_page()
        began = time.perf_counter()
        tab.goto(page.as_uri())
        taken["loaded"] = time.perf_counter() - began
        for name, script in (
            ("sorted", "document.querySelector('#table-runs th:nth-child(7) button').click()"),
            ("filtered", "box => { box = document.querySelector('.filter'); box.value = 'oom_gpu r1';"
                         " box.dispatchEvent(new Event('input')); }"),
        ):  # fmt: skip
            began = time.perf_counter()
            tab.evaluate(script)
            tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            taken[name] = time.perf_counter() - began
        browser.close()
    return {name: 1e3 * seconds for name, seconds in taken.items()}


def render(lines: list[Line], pages: dict[int, int], browser: dict[str, float] | None) -> str:
    """The result as Markdown."""
    ours = lines[1:]
    steps = ", ".join(f"{larger.cpu_s / smaller.cpu_s:.1f} times as long" for smaller, larger in pairwise(ours))
    sizes = ", ".join(f"{size / 1e6:.2f} MB for {runs:,} runs" for runs, size in pages.items())
    text = (
        table("report", lines) + f"\nTen times as many runs take {steps} (10 would be in proportion). Page: {sizes}.\n"
    )
    if browser:
        told = ", ".join(f"{name} in {value:,.0f} ms" for name, value in browser.items())
        text += f"\nIn Chromium the largest page is {told}.\n"
    return text


def found(folder: Path, *, quick: bool) -> tuple[str, dict[str, object]]:
    """Measure below an empty folder: the result as Markdown, and its figures."""
    sizes, rounds = ((20, 100), 0) if quick else (SIZES, 3)
    lines = take_turns(contenders(folder, sizes), rounds)
    files = {runs: folder / str(runs) / "runs" / NAME / "report" / "report.html" for runs in sizes}
    pages = {runs: file.stat().st_size for runs, file in files.items()}
    browser = in_browser(files[sizes[-1]])
    return render(lines, pages, browser), {"lines": as_figures(lines), "page_bytes": pages, "browser_ms": browser}


if __name__ == "__main__":
    run_benchmark(__doc__, found)
