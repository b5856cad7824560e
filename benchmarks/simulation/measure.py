"""Count what a task, a collection and a verdict cost: the inputs of the model that are ours, kept in ``measured.json``.

Run: ``python -m benchmarks.simulation --measure``, where strace is installed. Metadata operations are the calls that
name a path or list or sync it (open, stat, rename, mkdir, unlink, getdents, fsync, …), as strace sees them; those below
the run folders are kept apart from those on Python and its packages.
"""

import json
import re
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.collecting import METRICS, STEPS
from benchmarks.made_experiments import NAME, finished, planned, write_experiment
from benchmarks.measuring import PROJECT, PYTHON, execute
from hpc.core.layout import RunLayout
from hpc.snapshots.remembered import SETTLED_S

KEPT = Path(__file__).with_name("measured.json")
SIZES = (50, 400)
"""Finished runs of the two collections: what one run costs is the slope between them."""
ERROR = """\
Traceback (most recent call last):
  File "/code/train.py", line 211, in <module>
    main()
  File "/code/train.py", line 187, in main
    loss = model(batch["labels"])
KeyError: 'labels'
"""
REPEATED = 3
"""Collections of known runs, of which the quickest counts: such a run costs less than their noise."""
TRACED = "%file,getdents64,fsync,fdatasync"
_CALL = re.compile(r"^\d+ +[a-z]\w*\(")


def operations(argv: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None) -> tuple[int, int]:
    """Count the metadata operations of a command and its children: those on the run folders, and all others."""
    told = folder / ".strace"
    execute(
        ("strace", "--seccomp-bpf", "-f", "-qq", "-y", "-e", f"trace={TRACED}", "-o", str(told), *argv),
        folder=folder,
        variables=variables,
        accepted=(0, 1),
    )
    runs = str(folder / "runs")
    calls = [line for line in told.read_text(errors="replace").splitlines() if _CALL.match(line)]
    told.unlink()
    own = sum(runs in line for line in calls)
    return own, len(calls) - own


def wrapper(folder: Path) -> dict[str, int]:
    """What the wrapper around a program that does nothing asks of the file system; the first of two warms it up."""
    write_experiment(folder, 2, program="{command: 'true {rank} {rate} {seed}'}")
    layout = planned(folder)
    counts = (0, 0)
    for position in range(2):
        variables = {"SLURM_ARRAY_TASK_ID": str(position), "HPC_LOCAL_JOB": f"local-{position}"}
        counts = operations(("bash", str(layout.submission(1).script)), folder, variables)
    return {"metadata": counts[0], "elsewhere": counts[1]}


def failing(layout: RunLayout) -> None:
    """Turn finished runs into runs that ended with an error of their program."""
    for attempt in layout.tasks.glob("*/attempt-1"):
        exit_json = attempt / "exit.json"
        exit_json.write_text(json.dumps({**json.loads(exit_json.read_text()), "exit_code": 1}))
        (attempt / "stderr.log").write_text(ERROR)
        for name in ("outcome.json", "metrics.h5"):
            (attempt / name).unlink(missing_ok=True)
        (attempt.parent / "metrics.json").unlink(missing_ok=True)


def collection(folder: Path, runs: int, *, fail: bool = False) -> dict[str, float]:
    """What collecting runs that are over costs when all are new, and when all but one are known."""
    write_experiment(folder, runs, program="{module: train.control, args: {epochs: 1}}")
    layout = planned(folder)
    finished(layout, STEPS, METRICS)
    if fail:
        failing(layout)
    collect = (PYTHON, "-m", "hpc.collect", NAME)
    found: dict[str, float] = {"runs": runs}
    time.sleep(2 * SETTLED_S)
    found["new_metadata"] = operations(collect, folder)[0]
    layout.remembered.unlink(missing_ok=True)
    found["new_cpu_s"] = execute(collect, folder=folder, accepted=(0, 1)).cpu_s
    time.sleep(2 * SETTLED_S)
    execute(collect, folder=folder, accepted=(0, 1))  # remembers what was too young before
    found["settled_metadata"] = operations(renewed(layout, collect), folder)[0]
    times = [execute(renewed(layout, collect), folder=folder, accepted=(0, 1)).cpu_s for _ in range(REPEATED)]
    found["settled_cpu_s"] = min(times)
    return found


def renewed(layout: RunLayout, collect: Sequence[str]) -> Sequence[str]:
    """Make one run new again, as one mostly is: all is written anew then; return the command."""
    log = min(layout.tasks.glob("*/attempt-1")) / "stdout.log"
    log.write_bytes(log.read_bytes())
    return collect


def verdicts() -> dict[str, dict[str, dict[str, int]]]:
    """Class of a failure → what is answered, ``class cause``, and how often: cases that no rule was written against.

    By the classifier, and by Slurm's state and the exit code alone, all that whoever retries blindly looks at.
    """
    from tests.corpus.answers import answer_corpus
    from tests.corpus.baselines import by_state
    from tests.corpus.cases import is_held_out

    ours: dict[str, Counter[str]] = defaultdict(Counter)
    states: dict[str, Counter[str]] = defaultdict(Counter)
    for each in answer_corpus():
        if is_held_out(each.case) and each.is_failure:
            ours[each.label][f"{each.given} {each.verdict.cause}".strip()] += 1
            states[each.label][by_state(each.case).value] += 1
    return {
        name: {label: dict(sorted(found[label].items())) for label in sorted(found)}
        for name, found in (("verdicts", ours), ("states", states))
    }


def measure() -> dict[str, Any]:
    """Take all measurements; some minutes."""
    commit = subprocess.run(
        ("git", "rev-parse", "--short", "HEAD"), cwd=PROJECT, capture_output=True, text=True, check=True
    )
    with tempfile.TemporaryDirectory() as name:
        place = Path(name).resolve()
        names = ("wrapper", *(f"{what}{runs}" for what in ("finished", "failed") for runs in SIZES))
        folders = {name: place / name for name in names}
        for folder in folders.values():
            folder.mkdir()
        return {
            "when": time.strftime("%Y-%m-%d", time.gmtime()),
            "commit": commit.stdout.strip(),
            "wrapper": wrapper(folders["wrapper"]),
            "finished": [collection(folders[f"finished{runs}"], runs) for runs in SIZES],
            "failed": [collection(folders[f"failed{runs}"], runs, fail=True) for runs in SIZES],
            **verdicts(),
        }


def main() -> None:
    """Measure, and keep it."""
    KEPT.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
