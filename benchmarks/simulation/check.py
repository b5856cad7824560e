"""The model held against a real Slurm of one machine: a small sweep with planted failures, played by both.

Again: ``SCALE_CHECK=benchmarks/simulation/checked.json SCALE_CHECK_TASKS=120 python -m pytest
tests/cluster/test_simulation.py``. What the model cannot know of that machine is how long single steps take there, an
element's start, a relay's, a round; that is taken from the records of the same sweep, its totals are not.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.simulation.campaign import Habits, Tasks, passing_edges
from benchmarks.simulation.cluster import Size
from benchmarks.simulation.costs import FEEDING_CALLS, QUIET_CALLS, Costs
from benchmarks.simulation.loop import Site, simulate
from benchmarks.simulation.policies import Answerer, Ours
from benchmarks.simulation.traces import Cause, Kind
from hpc.core.failures.evidence import FailureClass

F = FailureClass
KEPT = Path(__file__).with_name("checked.json")
TOLERANCE = {"finished": 0.0, "attempts": 0.0, "makespan_s": 0.25, "calls": 0.3, "collect_cpu_s": 0.5}
"""How far the model may lie from the measurement, as a share of it."""
BY_ONE = ("arrays", "rounds")
"""These may differ by one, makespan and calls by what one round takes besides: what ends just before a look is tried
again at once, what ends just after it one round later."""
FEW_TASKS = 100
"""Of fewer tasks, twice as much: one that ends late is a large part of a campaign of four rounds."""
CALLS_A_ROUND = QUIET_CALLS + FEEDING_CALLS + 5
"""sbatch for an array and three relays, and scancel, included."""

PROGRAM = """\
import os, sys, time
kind, part, micro = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if kind == "bug":
    time.sleep(0.5)
    {}["labels"]
if kind == "memory" and micro > 4:
    time.sleep(0.5)
    bytearray(1 << 60)  # the allocator's own error
time.sleep(2 + part % 3)
if kind == "network" and os.environ["HPC_ATTEMPT_DIR"].endswith("attempt-1"):
    sys.exit("torch.distributed.DistBackendError: NCCL error: unhandled system error, Connection reset by peer")
print(f"loss: {part}")
"""
"""A program that sleeps two to four seconds, unless it was planted to fail."""

PLANTED = {
    "bug": (6, Cause("bug", F.CODE_BUG, Kind.LASTS, 1)),
    "memory": (10, Cause("memory", F.OOM_GPU, Kind.MENDED, 1)),
    "network": (10, Cause("network", F.COMMUNICATION, Kind.PASSES, 1)),
}
"""Kind of failure → one of so many tasks has it, and what it is to the model."""


@dataclass(frozen=True)
class Sweep:
    """What one sweep did, in the model or on Slurm.

    Attributes:
        tasks, finished, attempts: Counts.
        makespan_s: From the submission to the end of the last attempt.
        arrays: sbatch calls for arrays.
        calls: Slurm clients started until the loop had ended, sbatch for relays and arrays included.
        rounds: Rounds of the loop.
        collect_cpu_s: Processor time of a collection that knows nothing of any before.
    """

    tasks: int
    finished: int
    attempts: int
    makespan_s: float
    arrays: int
    calls: int
    rounds: int
    collect_cpu_s: float


@dataclass(frozen=True)
class Machine:
    """How long single steps took.

    Attributes:
        nodes, slots: Nodes, and tasks that fit on each.
        launch_s: Of an element, all but its sleep.
        relay_s: From when a relay might begin to the end of its round, less the round.
        round_s: From the command to the first sbatch.
        every_s: Between looks, as the profile says.
    """

    nodes: int
    slots: int
    launch_s: float
    relay_s: float
    round_s: float
    every_s: float


def kinds(count: int) -> list[str]:
    """What is planted in each task, in an order that stays: every second one of the first has something."""
    planted = [kind for kind, (one_of, _) in PLANTED.items() for _ in range(count // one_of)]
    return [planted[n // 2] if n % 2 and n // 2 < len(planted) else "calm" for n in range(count)]


def sleeps(count: int) -> list[float]:
    """Seconds that each task sleeps when nothing ails it."""
    return [2.0 + part % 3 for part in range(count)]


def model(count: int, machine: Machine, costs: Costs) -> Sweep:
    """Play the sweep in the model; what was planted is named rightly, as the measurement has to show too."""
    what, work = kinds(count), np.array(sleeps(count))
    names = list(PLANTED)
    causes = tuple(cause for _, cause in PLANTED.values())
    tasks = Tasks(
        work_s=work,
        fixed=np.array([names.index(kind) if kind in names else -1 for kind in what]),
        where=np.array([1.0 if kind == "network" else 0.5 / each for kind, each in zip(what, work, strict=True)]),
        causes=causes,
        passing=0.0,
        edges=passing_edges(causes),
    )
    size = Size(nodes=machine.nodes, slots=machine.slots, launch_s=machine.launch_s)
    site = Site(size, max_jobs=10_000, every_s=machine.every_s, relay_s=machine.relay_s)
    here = replace(costs, start_s=machine.round_s, new_s=0.0, settled_s=0.0, failed_s=0.0)
    found = simulate(tasks, site, Ours(Answerer(None, np.random.default_rng(0))), here, 0, Habits(startup_s=0.0))
    return Sweep(
        tasks=count,
        finished=found.tally.finished,
        attempts=found.tally.attempts,
        makespan_s=round(found.last_end_s, 1),
        arrays=found.controller.arrays,
        calls=round(found.controller.calls.total),
        rounds=found.rounds - 1,  # the first is the submission
        collect_cpu_s=round(costs.start_s + count * costs.new_s, 2),
    )


def allowed(name: str, measured: Sweep, machine: Machine) -> float:
    """How far the model may lie from what was measured."""
    rounds = 1 if measured.tasks >= FEW_TASKS else 2
    round_s = machine.every_s + machine.relay_s + machine.round_s
    besides = {"makespan_s": round_s, "calls": float(CALLS_A_ROUND), **dict.fromkeys(BY_ONE, 1.0)}
    return TOLERANCE.get(name, 0.0) * float(getattr(measured, name)) + rounds * besides.get(name, 0.0)


def off(measured: Sweep, modelled: Sweep, machine: Machine) -> dict[str, str]:
    """What lies further apart than stated, in words."""
    real, said = asdict(measured), asdict(modelled)
    far = {name: abs(said[name] - real[name]) - allowed(name, measured, machine) for name in real}
    return {name: f"{said[name]} for {real[name]}" for name, over in far.items() if over > 1e-6}


def keep(path: Path, machine: Machine, measured: Sweep, modelled: Sweep) -> None:
    """Keep both, for the page."""
    content = {"machine": asdict(machine), "measured": asdict(measured), "modelled": asdict(modelled)}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def kept() -> Mapping[str, Any]:
    """What was kept last."""
    content: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8"))
    return content
