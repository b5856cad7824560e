"""A night of a sweep: 64 tasks on real daemons in a real image, two fifths of them struck, and nobody at the keyboard.

With STORM_PAGE=docs/storm.md the page with what happened is written anew.
"""

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import Project

FATES = {
    "calm": 37, "device_memory": 4, "device_memory_twice": 2, "host_memory": 2, "host_memory_twice": 1, "timeout": 2,
    "node": 1, "preempted": 1, "network": 2, "silent_exit": 2, "broken_checkpoint": 2,
    "diverges": 2, "bug": 2, "data": 1, "environment": 1, "config": 1, "cancelled": 1,
}  # fmt: skip
"""What fate has in store → how many tasks; what the words mean stands in ``storm_program.py``."""
EXPECTED = {
    "device_memory": "oom_gpu", "device_memory_twice": "oom_gpu", "host_memory": "oom_host",
    "host_memory_twice": "oom_host", "timeout": "timeout", "node": "node_failure", "preempted": "preempted",
    "network": "communication", "silent_exit": "unknown", "broken_checkpoint": "checkpoint",
    "diverges": "divergence", "bug": "code_bug", "data": "data", "environment": "environment", "config": "config",
    "cancelled": "cancelled",
}  # fmt: skip
"""The failure class each has to be named."""
FINAL = {"diverges", "bug", "data", "environment", "config", "cancelled"}
"""What no retry heals, so that none may be spent on it."""
EXPERIMENT = """
name: storm
type: comparison
program:
  command: >-
    python storm_program.py --fate {{fate}} --part {{part}} --optimiser {{optimiser}} --seed {{seed}} --steps {{steps}}
    --micro_batch_size {{micro_batch_size}} --gradient_accumulation_steps {{gradient_accumulation_steps}}
  args: {{steps: 12}}
sweep:
  zip:
    fate: {fates}
    part: {parts}
    optimiser: {optimisers}
  seeds: [7]
metrics:
  primary: {{name: final_loss, goal: min}}
run_name: "{{fate}}_{{part}}"
resources: {{cpus: 4, mem: 600MB, time: "0:01:00"}}
batch: {{global: 96, micro: 96, parameter: micro_batch_size}}
container: {{image: train-cpu}}
"""
Task = Mapping[str, Any]


def experiment() -> str:
    """The sweep, in an order that chance made and that stays: what is unlucky is spread over the array."""
    tasks = [(fate, part) for fate, count in FATES.items() for part in range(1, count + 1)]
    tasks.sort(key=lambda task: hashlib.sha256(repr(task).encode()).digest())
    # What has to be met from outside, and what takes long, comes early; two tasks fill a node.
    first = [("preempted", 1), ("calm", 1), ("node", 1), ("calm", 2), ("timeout", 1), ("timeout", 2), ("cancelled", 1)]
    tasks.sort(key=lambda task: first.index(task) if task in first else len(first))
    return EXPERIMENT.format(
        fates=[fate for fate, _ in tasks],
        parts=[part for _, part in tasks],
        optimisers=["sdg" if fate == "config" else "sgd" for fate, _ in tasks],
    )


def classes_of(task: Task) -> list[str]:
    """The verdict of each attempt."""
    return [attempt["verdict"]["category"] for attempt in task["attempts"]]


def fate_of(task: Task) -> str:
    return str(task["parameters"]["fate"])


def is_healable(task: Task) -> bool:
    """Struck, by something that a retry heals."""
    return fate_of(task) not in {"calm", *FINAL}


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_a_sweep_survives_the_night_unattended(project: Project) -> None:
    """All that can be healed finishes without a hand, nothing else is repeated, nothing runs twice, none is lost."""
    profile = project.folder / "manifests/clusters/lab.yaml"
    profile.write_text(
        profile.read_text().replace("partition: main", "partition: low").replace("max_parallel: 5", "max_parallel: 8")
        + "follow: {every: '0:00:30'}\n"
    )
    (project.folder / "storm_program.py").write_text((Path(__file__).parent / "storm_program.py").read_text())
    project.write_experiment("storm", experiment())
    assert project.json("plan", "storm")["tasks"] == sum(FATES.values()) >= 60
    began = time.time()
    project.hpc("submit", "storm", "--follow")

    strike_from_outside(project)
    wait_until_followed(project)

    tasks = list(project.verdicts("storm").values())
    check_counts(tasks)
    check_what_was_healed(project, tasks)
    check_that_nothing_ran_twice_at_once(tasks)
    assert (project.runs / "storm/report/report.html").stat().st_size > 10_000
    if page := os.environ.get("STORM_PAGE"):
        Path(page).write_text(render_page(tasks, time.time() - began))


def strike_from_outside(project: Project) -> None:
    """A scancel, a preemption, a lost node, a dead controller, and a relay that is killed while it works."""
    lab, runs = project.lab, project.runs / "storm/tasks"

    def record_of(run: str) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((runs / run / "attempt-1/task.json").read_text())
        return record

    lab.wait_until((runs / "cancelled_1/attempt-1/task.json").exists, 60, "the one that will be cancelled")
    lab.run(["scancel", record_of("cancelled_1")["job"]])

    lab.wait_until((runs / "preempted_1/attempt-1/checkpoints/step-00000005").exists, 60, "a checkpoint to go on from")
    host = record_of("preempted_1")["host"]
    lab.run(["sbatch", "-p", "main", "-w", host, "--exclusive", "-J", "guest", "-o", "/dev/null", "--wrap", "sleep 3"])

    lab.wait_until((runs / "node_1/attempt-1/checkpoints/step-00000005").exists, 90, "a checkpoint on the node to lose")
    lost = record_of("node_1")
    lab.control("node-kill", lost["host"], "hard")
    lab.wait_until(
        lambda: "down" in lab.run(["sinfo", "-h", "-n", lost["host"], "-o", "%t"]), 60, "the node to be down"
    )
    lab.wait_until(lambda: lab.run(["squeue", "-h", "-j", lost["job"], "-o", "%T"]).strip() != "RUNNING", 60, "its end")
    lab.control("node-start", lost["host"])
    time.sleep(6)  # or the controller comes back without knowing what it had just decided

    lab.control("ctld-kill")
    time.sleep(3)
    lab.control("ctld-start")

    lab.wait_until(lambda: kill_follower(project), 120, "a relay to kill")


def kill_follower(project: Project) -> bool:
    """End the relay the hard way if one is at work just now."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"hpc.follow\0storm\0" in (folder / "cmdline").read_bytes():
                environment = dict(
                    pair.split(b"=", 1) for pair in (folder / "environ").read_bytes().split(b"\0") if b"=" in pair
                )
                if environment[b"SLURM_CONF"].decode() == project.lab.environment["SLURM_CONF"]:
                    job = environment[b"SLURM_JOB_ID"].decode()
                    project.lab.run(["scancel", "--signal=KILL", "--full", job])
                    return True
        except (OSError, KeyError):
            continue  # it ended while we looked
    return False


def wait_until_followed(project: Project) -> None:
    """Wait, and touch nothing, until the relays have come to an end."""
    state, report = project.runs / "storm/follow.json", project.runs / "storm/report/report.html"

    def is_over() -> bool:
        return json.loads(state.read_text())["course"] != "goes on" and report.exists()

    project.lab.wait_until(is_over, 480, "the relays to come to an end")
    project.lab.wait_idle(60)


def check_counts(tasks: Sequence[Task]) -> None:
    """No task and no verdict is lost, and each failure is named for what it was."""
    assert Counter(map(fate_of, tasks)) == FATES
    assert all(attempt["verdict"] for task in tasks for attempt in task["attempts"])
    for task in tasks:
        assert [attempt["attempt"] for attempt in task["attempts"]] == list(range(1, len(task["attempts"]) + 1))
        if fate_of(task) != "calm":
            assert EXPECTED[fate_of(task)] in classes_of(task), (task["run_name"], classes_of(task))


def check_what_was_healed(project: Project, tasks: Sequence[Task]) -> None:
    """At least 95 % of what can be healed finishes at the same global batch; nothing is spent on what cannot."""
    assert all(task["outcome"] == "finished" for task in tasks if fate_of(task) == "calm")
    healable = [task for task in tasks if is_healable(task)]
    healed = [task for task in healable if task["outcome"] == "finished"]
    assert len(healed) >= 0.95 * len(healable), [task["run_name"] for task in healable if task not in healed]
    finished = [task for task in tasks if task["outcome"] == "finished"]
    for task in finished:
        assert {attempt["global_batch"] for attempt in task["attempts"]} == {96}, task["run_name"]
        last = task["attempts"][-1]
        assert last["micro_batch"] * last["accumulation"] == 96
        assert not task["altered"]
    for task in tasks:
        if fate_of(task) in FINAL:
            assert task["outcome"] == "failed"
            # A node may have been lost under it, before fate struck or while Slurm had not yet heard of its end, and
            # Slurm puts the element back then. Once it was named, we submitted nothing more.
            named = classes_of(task).index(EXPECTED[fate_of(task)])
            after = task["attempts"][named:]
            assert len({attempt["submission"] for attempt in after}) == 1, json.dumps(task, indent=1)
            assert {attempt["state"] for attempt in after[:-1]} <= {"REQUEUED", "NODE_FAIL"}, json.dumps(task, indent=1)
    for run in ("timeout_1", "timeout_2", "node_1", "broken_checkpoint_1", "broken_checkpoint_2"):
        attempts = sorted((project.runs / "storm/tasks" / run).glob("attempt-*"))
        assert any("resumed at step" in (each / "stdout.log").read_text() for each in attempts[1:]), run


def check_that_nothing_ran_twice_at_once(tasks: Sequence[Task]) -> None:
    """Each attempt of a task began after the one before it was over."""
    for task in tasks:
        for earlier, later in pairwise(task["attempts"]):
            assert earlier["ended"] <= later["started"] + 1, (task["run_name"], earlier, later)


def render_page(tasks: Sequence[Task], took_s: float) -> str:
    """What happened, as ``docs/storm.md``."""
    rows = []
    for fate, count in FATES.items():
        met = [task for task in tasks if fate_of(task) == fate]
        finished = sum(task["outcome"] == "finished" for task in met)
        stories = Counter(" → ".join(classes_of(task)) for task in met)
        told = "; ".join(f"{story}{f' ({n}×)' if n > 1 else ''}" for story, n in stories.most_common())
        rows.append(f"| {fate} | {count} | {EXPECTED.get(fate, '')} | {told} | {finished} |")
    struck = sum(count for fate, count in FATES.items() if fate != "calm")
    healable = [task for task in tasks if is_healable(task)]
    healed = sum(task["outcome"] == "finished" for task in healable)
    attempts = sum(len(task["attempts"]) for task in tasks)
    return "\n".join(
        [
            "# A storm, unattended",
            "",
            "Written by `STORM_PAGE=docs/storm.md python -m pytest tests/cluster/test_storm.py`: a real Slurm of four",
            "nodes on one machine of two cores, every task in `train-cpu.sif`. After `hpc submit storm --follow`",
            "nobody typed anything. Besides what is in the table a task was cancelled by hand, a guest preempted a",
            "node, a node was lost with all that ran on it, slurmctld was killed and started again, and the relay",
            "itself was killed while it worked.",
            "",
            f"{len(tasks)} tasks, {struck} of them struck ({struck / len(tasks):.0%}), {attempts} attempts, "
            f"{took_s / 60:.1f} minutes.",
            f"{healed} of the {len(healable)} that can be healed finished, all with the global batch that was asked.",
            "No attempt was spent on a task after a bug, a wrong argument, missing data or module, a divergence or",
            "a scancel had been seen; no task ran twice at once; no verdict was lost.",
            "",
            "| fate | tasks | class it has to be named | verdicts of its attempts | finished |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
