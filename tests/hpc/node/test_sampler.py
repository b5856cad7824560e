"""Samples of what an attempt uses: taken beside it, read with its metrics, never in its way."""

import json
import os
from pathlib import Path

import pytest

from hpc import metrics
from hpc.node.sampler import Sampler, read_smi, visible_devices
from hpc.node.shares import Share, _used_together
from tests.local_projects import LocalProject, make_project, wait_until

BUSY = """
import os, pathlib, time
block = bytearray(60 << 20)
samples = pathlib.Path(os.environ["HPC_ATTEMPT_DIR"], "system.jsonl")
end = time.process_time() + 0.6
while time.process_time() < end or not (samples.exists() and samples.read_text().count("\\n") > 2):
    pass
print("loss: 1")
"""
"""Is busy until it was sampled three times, however late the first comes."""


def test_a_real_run_leaves_samples_that_metrics_read_gives(tmp_path: Path) -> None:
    """Memory and cores, named system/…; no metric of the user's; the time of the processor is on record."""
    project = make_project(tmp_path / "project", program=BUSY)
    project.hpc("plan", "tiny", "--cluster", "local")
    sample_often(project)

    home = project.attempt("X1")
    read = metrics.read(home / "metrics.h5")
    assert {"loss", "system/cpu_cores", "system/memory_mib"} <= set(read)
    assert read["system/memory_mib"].value.max() > 60
    ended = json.loads((home / "exit.json").read_text())
    assert ended["cpu_seconds"] > 0.5
    assert (ended["gpu_busy"], ended["gpu_energy_j"]) == (None, None)
    project.json("collect", "tiny")
    task = project.verdicts()["X1"]
    assert not [name for name in task["summary"] if name.startswith("system")]
    assert task["attempts"][0]["cpu_seconds"] == ended["cpu_seconds"]


def sample_often(project: LocalProject) -> None:
    """Run the first task with samples a tenth of a second apart."""
    index = project.runs / "tiny/submissions/001/index.json"
    code = "import sys, hpc.node.supervise as one; one.SAMPLE_S = 0.1; from hpc.run_task import main; "
    done = project.call("-c", f"{code}sys.exit(main([{str(index)!r}, '0']))")
    assert done.returncode == 0, done.stdout + done.stderr


def test_nvidia_smi_is_read_at_the_next_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is started and not waited for; what it says of all devices is one number each, and energy is power by time."""
    client = tmp_path / "nvidia-smi"
    client.write_text("#!/bin/sh\necho '50, 1000, 100.0'\necho '100, 3000, [N/A]'\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    sampler = Sampler(tmp_path / "system.jsonl", 2)

    def has_two() -> bool:
        sampler.sample()
        return len([line for line in lines(tmp_path) if "system/gpu_busy" in line["metrics"]]) > 1

    wait_until(has_two, 60, "two answers of nvidia-smi")
    sampler.close()

    found = sampler.summary()
    assert found["gpu_busy"] == 0.75
    assert found["gpu_peak_mib"] == 3000
    assert found["gpu_energy_j"] > 0


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "system.jsonl").read_text().splitlines()]


def test_what_is_not_told_is_left_out() -> None:
    """A divided GPU tells no share; a list of devices may name none."""
    assert read_smi("[N/A], 512, [N/A]\n") == {"gpu_memory_mib": 512.0}
    assert read_smi("") == {}
    assert visible_devices({"CUDA_VISIBLE_DEVICES": "0, GPU-1a"}) == ["0", "GPU-1a"]
    assert visible_devices({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}) == []


def test_nodes_together() -> None:
    """Time and energy add up; memory is the highest; without the share of one node nothing is claimed of all."""
    shares = [
        Share(cpu_seconds=10.0, sampled={"gpu_busy": 0.5, "gpu_peak_mib": 10.0, "gpu_energy_j": 5.0}),
        Share(cpu_seconds=30.0, sampled={"gpu_busy": 1.0, "gpu_peak_mib": 20.0, "gpu_energy_j": 6.0}),
    ]
    both = _used_together(shares, 2)

    assert both == (40.0, {"gpu_busy": 0.75, "gpu_peak_mib": 20.0, "gpu_energy_j": 11.0})
    assert _used_together(shares[:1], 2) == (None, {"gpu_busy": 0.5, "gpu_peak_mib": 10.0})
