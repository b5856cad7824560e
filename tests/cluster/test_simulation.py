"""The model of docs/scale.md against a real Slurm: the same small sweep, the same failures, the same loop.

With SCALE_CHECK=benchmarks/simulation/checked.json both are kept for the page.
"""

import os
import shutil
import stat
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.measuring import PYTHON, execute
from benchmarks.simulation import check
from benchmarks.simulation.costs import our_costs
from hpc.adapters.ledger import read_json_lines
from hpc.core.layout import RunLayout
from tests.cluster.conftest import Project

CLIENTS = ("squeue", "sacct", "scontrol", "sacctmgr", "sbatch", "scancel", "sinfo")
EVERY_S = 10.0
WHOLE = ("success", "communication")
"""Classes of attempts that sleep to their end."""
HELP_S = 0.11
"""Processor time of ``hpc.collect --help`` where the costs of a collection were taken (docs/benchmarks.md)."""
SLOTS = 2
"""Tasks of three cores on a node of eight; what is left is for the relays."""
PROFILE = """
scheduler: slurm
partition: main
max_time: '0:10:00'
max_memory: 4GB
max_array_size: 1000
follow: {every: '0:00:10', time: '0:05:00', mem: 1GB}
"""
EXPERIMENT = """
name: sweep
type: comparison
program:
  command: "python3 work.py {{kind}} {{part}} {{micro_batch_size}} {{gradient_accumulation_steps}}"
sweep:
  zip: {{kind: {kinds}, part: {parts}}}
  seeds: [1]
metrics:
  primary: {{name: loss, goal: min}}
  source: {{stdout: 'loss: (?P<loss>\\S+)'}}
run_name: "P{{part}}"
resources: {{cpus: 3, mem: 200MB, time: "0:05:00"}}
batch: {{global: 8, micro: 8}}
container: {{}}
retry: {{breaker: {{same: 0, share: 0}}}}
"""


def put_proxies(project: Project) -> Path:
    """Put a proxy before every Slurm client, which writes a line a call; return the file."""
    proxies, told = project.folder / "proxies", project.folder / "calls"
    proxies.mkdir()
    for name in CLIENTS:
        real = shutil.which(name, path=project.lab.environment["PATH"])
        proxy = proxies / name
        proxy.write_text(f'#!/bin/bash\necho {name} >> {told}\nexec {real} "$@"\n')
        proxy.chmod(proxy.stat().st_mode | stat.S_IXUSR)
    told.touch()
    return told


def steps_of(project: Project, began: float, attempts: Sequence[dict[str, Any]], lines: Sequence[Any]) -> check.Machine:
    """How long single steps took: medians over elements and over rounds that a look began."""
    nodes = len(project.lab.run(["sinfo", "-h", "-N", "-p", "main"]).splitlines())
    places = nodes * SLOTS
    first = min(submission.stat().st_mtime for submission in project.runs.glob("sweep/submissions/*/receipt.json"))
    round_s = first - began
    begins = sorted(attempt["started"] for attempt in attempts)
    ends = sorted(attempt["ended"] for attempt in attempts)
    between = [begin - end for begin, end in zip(begins[places:], ends, strict=False)]
    sleep = dict(enumerate(check.sleeps(10_000)))
    within = [each["ended"] - each["started"] - sleep[each["part"]] for each in attempts if each["whole"]]
    due = {relay["job"]: relay["begin"] for line in lines for relay in line.get("next", ()) if relay["kind"] == "look"}
    rounds = [line for line in lines if line["event"] == "round"]
    looks = [line["time"] - due[line["by"]["job"]] for line in rounds if line["by"]["job"] in due]
    return check.Machine(
        nodes=nodes,
        slots=SLOTS,
        launch_s=round(max(0.0, statistics.median(between)) + statistics.median(within), 2),
        relay_s=round(max(0.0, statistics.median(looks) - round_s), 2),
        round_s=round(round_s, 2),
        every_s=EVERY_S,
    )


def attempts_of(project: Project) -> list[dict[str, Any]]:
    """Every attempt with the number of its task, and whether it slept to its end."""
    return [
        {**attempt, "part": task["parameters"]["part"], "whole": attempt["verdict"]["category"] in WHOLE}
        for task in project.verdicts("sweep").values()
        for attempt in task["attempts"]
    ]  # fmt: skip


@pytest.mark.cluster
@pytest.mark.timeout(500)
def test_the_model_says_what_a_real_slurm_does(project: Project) -> None:
    """Attempts and results are the same; makespan, calls, arrays, rounds and the collector's time as near as stated."""
    count = int(os.environ.get("SCALE_CHECK_TASKS", "36"))
    (project.folder / "manifests/clusters/lab.yaml").write_text(PROFILE)
    (project.folder / "work.py").write_text(check.PROGRAM)
    project.write_experiment("sweep", EXPERIMENT.format(kinds=check.kinds(count), parts=list(range(count))))
    told = put_proxies(project)
    project.hpc("plan", "sweep")
    told.write_text("")
    began = time.time()
    project.hpc("submit", "sweep", "--follow", PATH=f"{told.parent / 'proxies'}:{project.lab.environment['PATH']}")
    ledger = project.runs / "sweep/follow.jsonl"
    project.lab.wait_until(lambda: any(line["event"] == "ended" for line in read_json_lines(ledger)), 400, "the end")

    lines, attempts = read_json_lines(ledger), attempts_of(project)
    RunLayout(project.runs, "sweep").remembered.unlink()
    argv = (PYTHON, "-m", "hpc.collect")
    variables = project.lab.environment
    cold = execute((*argv, "sweep"), folder=project.folder, variables=variables, accepted=(0, 1))
    starts = [execute((*argv, "--help"), folder=project.folder, variables=variables).cpu_s for _ in range(3)]
    slower = max(1.0, statistics.median(starts) / HELP_S)
    measured = check.Sweep(
        tasks=count,
        finished=sum(task["outcome"] == "finished" for task in project.verdicts("sweep").values()),
        attempts=len(attempts),
        makespan_s=round(max(attempt["ended"] for attempt in attempts) - began, 1),
        arrays=len(list(project.runs.glob("sweep/submissions/*/receipt.json"))),
        calls=len(told.read_text().splitlines()),
        rounds=sum(line["event"] == "round" for line in lines),
        collect_cpu_s=round(cold.cpu_s / slower, 2),
    )
    machine = steps_of(project, began, attempts, lines)
    modelled = check.model(count, machine, our_costs())
    if path := os.environ.get("SCALE_CHECK"):
        check.keep(Path(path), machine, measured, modelled)
    assert not check.off(measured, modelled, machine), f"{machine}\n{measured}\n{modelled}"
