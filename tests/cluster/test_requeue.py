"""Exit 85, SIGUSR1 and SIGTERM on real Slurm: who is started again, where it goes on, and who is not."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import Project

PROGRAM = """
import os, signal, sys, time
from pathlib import Path

how, steps = sys.argv[1], int(sys.argv[2])
attempt = Path(os.environ["HPC_ATTEMPT_DIR"])
resumed = os.environ["HPC_RESUME_FROM"]
asked = []
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, lambda got, _: asked.append(got))


def save(step):
    folder = attempt / "checkpoints" / f"step-{step:08d}.tmp"
    folder.mkdir(parents=True)
    (folder / "step").write_text(str(step))
    folder.rename(folder.with_suffix(""))


start = int((Path(resumed) / "step").read_text()) if resumed else 0
print(f"begins after step {start}", flush=True)
for step in range(start + 1, steps + 1):
    print(f"step {step} loss {1 / step}", flush=True)
    time.sleep(0.1)
    if how == "same" and resumed:  # checkpoints where it began, for ever
        save(start)
        sys.exit(85)
    if asked:
        if how != "stuck":
            save(step)
        sys.exit(85)
"""

EXPERIMENT = """
name: {name}
type: comparison
program:
  command: "python3 steps.py {{how}} {{steps}}"
  args: {{steps: {steps}}}
sweep:
  grid: {{how: [{how}]}}
  seeds: [1]
metrics:
  primary: {{name: loss, goal: min}}
  source: {{stdout: 'step (?P<step>\\d+) loss (?P<loss>\\S+)'}}
run_name: "{{how}}"
resources: {{cpus: 1, mem: 200MB, time: "0:10:00"}}
container: {{{container}}}
"""


def start(project: Project, name: str, how: str, steps: int, container: str = "") -> dict[str, Path]:
    """Plan and submit; return each run's folder once all have taken a step."""
    (project.folder / "steps.py").write_text(PROGRAM)
    project.write_experiment(name, EXPERIMENT.format(name=name, how=how, steps=steps, container=container))
    project.hpc("plan", name)
    project.hpc("submit", name)
    runs = {run: project.runs / name / "tasks" / run for run in how.replace(" ", "").split(",")}
    project.lab.wait_until(
        lambda: all("step 2" in read(run / "attempt-1/stdout.log") for run in runs.values()), 60, "all to train"
    )
    return runs


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def load(run: Path, number: int, name: str) -> Any:
    return json.loads((run / f"attempt-{number}" / name).read_text())


def attempts(run: Path) -> list[str]:
    return sorted(path.name for path in run.glob("attempt-*"))


@pytest.mark.cluster
@pytest.mark.parametrize("container", ["", "image: minimal"], ids=["host", "image"])
def test_a_run_told_that_time_is_short_goes_on_from_its_checkpoint(project: Project, container: str) -> None:
    """SIGUSR1 → checkpoint, exit 85 → this element alone is requeued and resumes; no progress → it is not."""
    runs = start(project, "short", "good, stuck, same, left", 40, container)
    jobs = {how: load(run, 1, "task.json")["job"] for how, run in runs.items()}
    for how in ("good", "stuck", "same"):
        project.lab.run(["scancel", "--batch", "--signal=USR1", jobs[how]])
    project.lab.wait_idle(90, "short")

    answer = project.json("collect", "short", expect=1)
    assert answer["outcomes"]["finished"] == 2
    assert answer["outcomes"]["failed"] == 2
    good, tasks = runs["good"], project.verdicts("short")
    assert attempts(good) == ["attempt-1", "attempt-2"]
    assert load(good, 1, "exit.json")["exit_code"] == 85
    assert load(good, 1, "exit.json")["signals_received"] == ["USR1"]
    second = load(good, 2, "task.json")
    assert (second["job"], second["restart_count"]) == (jobs["good"], 1)
    saved = second["resume_from"]
    assert Path(saved).parent == good / "attempt-1/checkpoints"
    begins = int(Path(saved).name.removeprefix("step-"))
    assert begins >= 2
    assert (good / "attempt-2/stdout.log").read_text().startswith(f"begins after step {begins}\nstep {begins + 1} ")
    assert tasks["good"]["summary"]["loss"] == pytest.approx(1 / 40)
    assert [each["state"] for each in tasks["good"]["attempts"]][-1] == "COMPLETED"

    assert attempts(runs["left"]) == ["attempt-1"]
    assert load(runs["left"], 1, "exit.json")["signals_received"] == []
    assert attempts(runs["stuck"]) == ["attempt-1"]
    assert "no new checkpoint" in (project.runs / f"short/submissions/001/logs/{jobs['stuck']}.log").read_text()
    assert attempts(runs["same"]) == ["attempt-1", "attempt-2"]


@pytest.mark.cluster
def test_a_cancelled_run_that_saves_itself_stays_cancelled(project: Project) -> None:
    """scancel → SIGTERM → checkpoint and exit 85: nobody puts it back into the queue, the collector neither."""
    run = start(project, "ended", "good", 600)["good"]
    project.lab.run(["scancel", load(run, 1, "task.json")["job"]])
    project.lab.wait_idle(60, "ended")
    answer = project.json("collect", "ended", "--retry-failed", expect=1)
    assert answer["failures"] == {"cancelled": 1}
    assert answer["jobs"] == {}
    assert attempts(run) == ["attempt-1"]
    assert list((run / "attempt-1/checkpoints").iterdir())


@pytest.mark.cluster
def test_elements_cancelled_before_they_began_stay_cancelled(project: Project) -> None:
    """scancel of an array of which one element runs and three wait: four cancelled, none started again."""
    site = project.folder / "manifests/clusters/lab.yaml"
    site.write_text(site.read_text().replace("max_parallel: 5", "max_parallel: 1"))
    (project.folder / "steps.py").write_text(PROGRAM)
    text = EXPERIMENT.format(name="early", how="good", steps=600, container="").replace("[1]", "[1, 2, 3, 4]")
    text = text.replace("{steps}", "{steps} {seed}")
    project.write_experiment("early", text.replace('run_name: "{how}"', 'run_name: "S{seed}"'))
    project.hpc("plan", "early")
    job = project.json("submit", "early", expect=0)["jobs"]["1"]
    first = project.runs / "early/tasks/S1/attempt-1/stdout.log"
    project.lab.wait_until(lambda: "step 2" in read(first), 60, "the first element")
    project.lab.run(["scancel", job])
    project.lab.wait_idle(60, "early")
    answer = project.json("collect", "early", "--retry-failed", expect=1)
    assert answer["failures"] == {"cancelled": 4}
    assert answer["jobs"] == {}


@pytest.mark.cluster
def test_a_preempted_run_goes_on_by_itself(project: Project) -> None:
    """Slurm requeues what it preempts; the next execution is the next attempt and resumes."""
    site = project.folder / "manifests/clusters/lab.yaml"
    site.write_text(site.read_text().replace("partition: main", "partition: low"))
    run = start(project, "yielding", "good", 60)["good"]
    # Partition main preempts low; this wants every node.
    project.lab.run(["sbatch", "-p", "main", "-N4", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 1"])
    project.lab.wait_until((run / "attempt-1/exit.json").exists, 60, "the preemption")
    project.lab.wait_idle(90, "yielding")
    answer = project.json("collect", "yielding", expect=0)
    assert answer["outcomes"]["finished"] == 1
    assert attempts(run) == ["attempt-1", "attempt-2"]
    assert load(run, 2, "task.json")["resume_from"].startswith(str(run / "attempt-1/checkpoints/step-"))
    assert load(run, 1, "exit.json")["signals_received"] == ["TERM"]
