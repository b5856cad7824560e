"""A sweep that meets everything at once, on real daemons and in a real image: named rightly, healed, counted."""

import json
import time
from itertools import pairwise
from typing import Any

import pytest

from tests.cluster.conftest import Project

EXPERIMENT = """
name: storm
type: comparison
program:
  command: >-
    python trouble.py --trouble {trouble} --part {part} --seed {seed} --steps {steps}
    --micro_batch_size {micro_batch_size} --gradient_accumulation_steps {gradient_accumulation_steps}
  args: {steps: 12}
sweep:
  zip:
    trouble:
      [none, none, host_oom, allocator_oom, allocator_oom, diverge, diverge, timeout, node, bug, cancel, slow]
    part: [1, 2, 1, 1, 2, 1, 2, 1, 1, 1, 1, 1]
  seeds: [7]
metrics:
  primary: {name: final_loss, goal: min}
run_name: "{trouble}_{part}"
resources: {cpus: 1, mem: 600MB, time: "0:01:00"}
batch: {global: 96, micro: 96, parameter: micro_batch_size}
container: {image: train-cpu}
"""


def attempts_of(task: dict[str, Any]) -> list[str]:
    return [attempt["verdict"]["category"] for attempt in task["attempts"]]


@pytest.mark.cluster
def test_an_array_that_meets_every_failure_is_healed_where_it_can_be(project: Project) -> None:
    """Every cause is named, what can be healed finishes, bug and cancelled are not repeated, nothing runs twice."""
    project.write_experiment("storm", EXPERIMENT)
    plan = project.json("plan", "storm")
    assert plan["tasks"] == 12
    project.hpc("submit", "storm")
    runs = project.runs / "storm" / "tasks"

    node_task, cancel_task = runs / "node_1/attempt-1/task.json", runs / "cancel_1/attempt-1/task.json"
    project.lab.wait_until(lambda: node_task.exists() and cancel_task.exists(), 60, "the two victims to run")
    checkpoint = runs / "node_1/attempt-1/checkpoints/step-00000005"
    project.lab.wait_until(checkpoint.exists, 60, "a checkpoint of the first victim")
    node = json.loads(node_task.read_text())["host"]
    project.lab.control("node-kill", node, "hard")
    project.lab.run(["scancel", json.loads(cancel_task.read_text())["job"]])
    time.sleep(20)  # SlurmdTimeout is 10 s; whoever else ran there is lost with the node, too
    project.lab.wait_until(
        lambda: "down" in project.lab.run(["sinfo", "-h", "-n", node, "-o", "%t"]), 60, f"{node} to be down"
    )
    project.lab.control("node-start", node)

    answer = project.collect_until_done("storm")

    tasks = project.verdicts("storm")
    assert sum(answer["outcomes"].values()) == 12
    assert answer["failures"] == {"code_bug": 1, "cancelled": 1, "divergence": 2}
    assert answer["outcomes"]["finished"] == 8
    assert attempts_of(tasks["host_oom_1"])[-2:] == ["oom_host", "success"]
    for run in ("allocator_oom_1", "allocator_oom_2"):
        healed = tasks[run]["attempts"]
        assert attempts_of(tasks[run])[-2:] == ["oom_gpu", "success"]
        assert (healed[-1]["micro_batch"], healed[-1]["accumulation"], healed[-1]["global_batch"]) == (48, 2, 96)
        assert not tasks[run]["altered"]
    assert "timeout" in attempts_of(tasks["timeout_1"])
    assert "node_failure" in attempts_of(tasks["node_1"])
    assert attempts_of(tasks["bug_1"])[-1] == "code_bug"
    assert attempts_of(tasks["bug_1"]).count("code_bug") == 1
    assert attempts_of(tasks["cancel_1"])[-1] == "cancelled"
    assert "wieght" in tasks["bug_1"]["attempts"][-1]["verdict"]["evidence"][0]["text"]
    for run in ("timeout_1", "node_1"):
        assert "resumed at step" in (runs / run / f"attempt-{len(tasks[run]['attempts'])}" / "stdout.log").read_text()
    check_that_nothing_ran_twice_at_once(tasks)


def check_that_nothing_ran_twice_at_once(tasks: dict[str, dict[str, Any]]) -> None:
    """Each attempt of a task began after the one before it was over."""
    for task in tasks.values():
        for earlier, later in pairwise(task["attempts"]):
            assert earlier["ended"] <= later["started"] + 1, (task["run_name"], earlier, later)
