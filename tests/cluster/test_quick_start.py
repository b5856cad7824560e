"""The cluster quick start's lines for the one-machine cluster, typed in our own clone on the session's own Slurm."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.conftest import IMAGES, REPO, Lab


def lines_after(mark: str) -> list[str]:
    """The lines of the page's block that begins so, without their remarks."""
    block = (REPO / "docs/how-to/cluster-quick-start.md").read_text().split(f"```bash\n{mark}\n")[1].split("```")[0]
    return [line.split("   #")[0].rstrip() for line in block.splitlines()]


@pytest.mark.cluster
def test_the_demo_runs_in_its_container_as_the_quick_start_says(lab: Lab, tmp_path: Path) -> None:
    """The image that `make image` builds is the one the next line names; two of the six tasks are run."""
    environment, image, plan, submit = lines_after("make cluster-up")
    assert environment == 'eval "$(scripts/lab/slurm env)"; export HPC_CLUSTER=lab'
    told = {**lab.environment, "PYTHONPATH": str(REPO), "HPC_ROOT": str(tmp_path), "HPC_CLUSTER": "lab"}
    told["PATH"] = f"{Path(sys.executable).parent}:{told['PATH']}"

    def typed(line: str) -> str:
        done = subprocess.run(["sh", "-c", line], cwd=REPO, env=told, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    assert 'containers/build.sh "train-cpu"' in typed(image.replace("make", "make -n"))
    assert (IMAGES / "train-cpu.sif").exists()
    typed(f"{plan} --seeds 42")
    assert submit == "python -m hpc.submit demo --follow"
    typed(submit.removesuffix(" --follow"))
    lab.wait_idle(job_name="demo")
    typed("python -m hpc.collect demo || true")  # the wide one may fail there, too
    tasks = json.loads((tmp_path / "demo/collected/verdicts.json").read_text())["tasks"]
    assert {task["run_name"]: task["outcome"] for task in tasks}["W32_S42"] == "finished"
    record = json.loads((tmp_path / "demo/tasks/W32_S42/attempt-1/task.json").read_text())
    assert record["image"]["sha256"]
