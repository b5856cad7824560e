"""`submit --probe` on real Slurm: a job of its own measures, and the array behind it starts with what fits."""

import json

import pytest

from tests.cluster.conftest import Project

PROGRAM = """
import resource, sys, time
micro = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (200 << 20, 200 << 20))  # a device with 200 MiB, which the allocator refuses
activations = bytearray(micro * 4 << 20)
for step in range(1, 31):
    print(f"step {step} loss {1 / step}", flush=True)
    time.sleep(0.1)
"""

EXPERIMENT = """
name: probed
type: comparison
program: {command: "python3 steps.py {micro_batch_size} {gradient_accumulation_steps} {learning_rate} {seed}"}
sweep:
  grid: {learning_rate: [0.1, 0.2]}
  seeds: [1, 2]
metrics:
  primary: {name: loss, goal: min}
  source: {stdout: 'step (?P<step>\\d+) loss (?P<loss>\\S+)'}
run_name: "LR{learning_rate}_S{seed}"
resources: {cpus: 1, mem: 500MB, time: "0:05:00"}
batch: {global: 64, micro: 64, parameter: micro_batch_size}
"""


@pytest.mark.cluster
def test_the_array_starts_behind_the_probe_with_what_fits(project: Project) -> None:
    """Four tasks of one shape: one probe job, out of memory once, and four first attempts that all finish."""
    (project.folder / "steps.py").write_text(PROGRAM)
    project.write_experiment("probed", EXPERIMENT)
    project.hpc("plan", "probed")
    answer = project.json("submit", "probed", "--probe", expect=0)
    (probe,), (array,) = answer["probes"].values(), answer["jobs"].values()
    shown = project.lab.run(["scontrol", "show", "job", array])
    assert f"Dependency=afterany:{probe}" in shown

    project.lab.wait_idle(job_name="probed,probed.probe")

    (found,) = json.loads((project.runs / "probed/learned.json").read_text())["shapes"].values()
    assert (found["fits"]["micro"], found["fails"]["micro"]) == (32, 64)
    assert project.json("collect", "probed", expect=0)["outcomes"]["finished"] == 4
    for run, task in project.verdicts("probed").items():
        assert len(task["attempts"]) == 1
        record = json.loads((project.runs / f"probed/tasks/{run}/attempt-1/task.json").read_text())
        assert (record["micro_batch"], record["accumulation"], record["global_batch"]) == (32, 2, 64)
