"""pyxis' steps on a real Slurm without pyxis: an srun in front of Slurm's own takes off what only the plugin knows.

So environment, signals, exit codes and several nodes are Slurm's; the container is not.
"""

import json
from pathlib import Path

import pytest

from tests.cluster.conftest import Project

SRUN = """#!/bin/sh
printf '%s\\n' "$@" > "{calls}/$$"
for word; do
  shift
  case $word in
    --container-workdir=*) cd "${{word#*=}}" || exit 9 ;;
    --container-*|--no-container-*) ;;
    *) set -- "$@" "$word" ;;
  esac
done
exec /usr/bin/srun "$@"
"""
PROGRAM = """
import os, signal, sys, time
assert "NOT_FOR_IT" not in os.environ and os.environ["FROM_SITE"] == "a b"
if sys.argv[1] == "waits":
    signal.signal(signal.SIGUSR1, lambda *_: (print("loss 0.5", flush=True), os._exit(0)))
    open(os.environ["HPC_ATTEMPT_DIR"] + "/ready", "w").close()
    time.sleep(100)
print("loss", os.environ["SLURMD_NODENAME"], flush=True) if sys.argv[1] == "fails" else print("loss 0.25", flush=True)
sys.exit(7 if sys.argv[1] == "fails" else 0)
"""
EXPERIMENT = """
name: boxed
type: comparison
program: {command: "python3 program.py {what}"}
sweep: {grid: {what: [waits, fails, ends]}, seeds: [1]}
metrics: {primary: {name: loss}, source: {stdout: 'loss (?P<loss>\\S+)'}}
run_name: "{what}"
resources: {cpus: 2, nodes: 2, mem: 300MB, time: "0:02:00"}
launch: {processes: 1}
container: {image: train, runtime: pyxis, binds: ["/opt:/opt:ro"]}
retry: {max_attempts: 1}
"""


@pytest.mark.cluster
def test_tasks_run_in_steps_of_srun_on_every_node(project: Project) -> None:
    """The program sees what it is to see, hears the warning, and its exit code is the task's, over two nodes."""
    calls, box = project.folder / "calls", project.folder / "box"
    for folder in (calls, box, project.folder / "images"):
        folder.mkdir()
    (project.folder / "images/train.sqsh").write_bytes(b"hsqs")
    (project.folder / "program.py").write_text(PROGRAM)
    (box / "srun").write_text(SRUN.format(calls=calls))
    (box / "srun").chmod(0o755)
    (project.folder / "manifests/clusters/box.yaml").write_text(
        'scheduler: slurm\npartition: main\napptainer: ""\nenvironment: {FROM_SITE: a b}\n'
        f"setup: ['export PATH={box}:$PATH NOT_FOR_IT=1']\n"
    )
    project.write_experiment("boxed", EXPERIMENT)
    project.hpc("plan", "boxed", "--cluster", "box")
    job = next(iter(project.json("submit", "boxed", expect=0)["jobs"].values()))
    home = project.runs / "boxed/tasks"
    project.lab.wait_until((home / "waits/attempt-1/ready").exists, 60, "a program that listens")
    project.lab.run(["scancel", "--signal=USR1", "--batch", f"{job}_0"])
    project.lab.wait_idle(job_name="boxed")
    project.json("collect", "boxed")
    ends = {name: json.loads((home / name / "attempt-1/exit.json").read_text()) for name in ("waits", "fails", "ends")}
    assert {name: end["exit_code"] for name, end in ends.items()} == {"waits": 0, "fails": 7, "ends": 0}
    assert {task["outcome"] for task in project.verdicts("boxed").values()} == {"finished", "failed"}
    starts = [text for path in calls.iterdir() if "--container-image" in (text := path.read_text())]
    assert len(starts) == 6
    image = next(line for line in starts[0].splitlines() if line.startswith("--container-image="))
    assert Path(image.partition("=")[2]).parent == project.folder / "images/by-digest"
