"""One of two ranks fails in the middle of training: how long until all have ended, and what is said.

    python -m benchmarks.rank_failures          the table of docs/distribution.md, some minutes

Every task is planned and run by the wrapper without a scheduler, as a user's would be. The program adds up a number
with the other rank in every step, by gloo; its second rank fails in one of four ways.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KINDS = ("plain", "torchrun", "accelerate", "deepspeed")
WAYS = {
    "error": "an exception",
    "exit_3": "`os._exit(3)`, silently",
    "exit_0": "`os._exit(0)`, silently",
    "kill": "SIGKILL",
}
"""Value of the parameter → what happens to the rank."""
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
import torch, torch.distributed as dist

dist.init_process_group("gloo")
rank, way = dist.get_rank(), sys.argv[1]
for step in range(1, 100_000):
    dist.all_reduce(torch.ones(1))
    time.sleep(0.01)
    if step == 50 and rank == 1:
        Path(os.environ["HPC_ATTEMPT_DIR"], "struck").write_text(str(time.time()))
        if way == "error":
            raise ValueError("the second rank found a fault")
        if way == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(3 if way == "exit_3" else 0)
"""
EXPERIMENT = """
name: {kind}
type: comparison
program: {{command: "python3 program.py {{way}}"}}
sweep: {{grid: {{way: [{ways}]}}, seeds: [1]}}
metrics: {{primary: {{name: loss}}, source: {{stdout: 'loss: (?P<loss>\\S+)'}}}}
run_name: "{{way}}"
launch: {{kind: {kind}, processes: 2}}
resources: {{cpus: 2, mem: 3GB, time: "0:05:00"}}
retry: {{max_attempts: 1}}
"""


def call(home: Path, *words: str, allowed: bool = False) -> str:
    """Run ``python -m WORDS`` in the project; return what it printed.

    Raises:
        RuntimeError: It failed, and was not allowed to.
    """
    line = [sys.executable, "-m", *words]
    done = subprocess.run(line, cwd=home, capture_output=True, text=True, check=False)
    if done.returncode and not allowed:
        raise RuntimeError(f"{' '.join(line)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def fail(home: Path, kind: str, position: int) -> tuple[float, str]:
    """Run one task; return the seconds from the failure to the end of everything, and how it ended."""
    call(home, "hpc.run_task", f"runs/{kind}/submissions/001/index.json", str(position), allowed=True)
    ended = time.time()
    attempt = home / "runs" / kind / "tasks" / list(WAYS)[position] / "attempt-1"
    record = json.loads((attempt / "exit.json").read_text())
    how = f"signal {record['signal']}" if record["signal"] else f"exit code {record['exit_code']}"
    return ended - float((attempt / "struck").read_text()), how


def judged(run: Path, way: str) -> str:
    """What the toolkit makes of it: the class, and its sentence."""
    path = run / "collected/verdicts.json"
    tasks = {task["run_name"]: task for task in json.loads(path.read_text())["tasks"]}
    verdict = tasks[way]["attempts"][0]["verdict"]
    return f"`{verdict['category']}`: {verdict['summary']}"


def main() -> None:
    """Run from the command line."""
    print("| launcher | the second rank | all ended after | the task's end | judged |\n|---|---|---:|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "manifests/experiments").mkdir(parents=True)
        (home / "program.py").write_text(PROGRAM)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(Path.cwd())]))
        for kind in KINDS:
            text = EXPERIMENT.format(kind=kind, ways=", ".join(WAYS))
            (home / f"manifests/experiments/{kind}.yaml").write_text(text)
            call(home, "hpc.plan", kind, "--cluster", "local")
            ends = [fail(home, kind, position) for position in range(len(WAYS))]
            call(home, "hpc.collect", kind, allowed=True)
            told = {way: judged(home / "runs" / kind, way) for way in WAYS}
            for (way, what), (seconds, how) in zip(WAYS.items(), ends, strict=True):
                said = told[way]
                print(f"| {kind} | {what} | {seconds:.1f} s | {how} | {said} |", flush=True)


if __name__ == "__main__":
    main()
