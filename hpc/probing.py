"""Probes: one job before the array that measures, shape by shape, the largest micro-batch that fits.

A probe has a folder like a submission's, below ``probes/``, and is one array: an element for each shape, which starts
one task of it on trial (`hpc.probe_task`). The tasks wait for it, however it ends, and take what it learned at their
start. Probes hold nothing anybody has to keep: one that was lost is made again. The caller holds the experiment's lock.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpc.adapters import slurm
from hpc.adapters.files import read_json, read_json_or_none, write_json
from hpc.adapters.sbatch import render_sbatch
from hpc.core.arrays import ArrayPlan, Assignment, plan_arrays
from hpc.core.errors import InputError
from hpc.core.layout import AttemptLayout, RunLayout, SubmissionLayout
from hpc.core.learned import shape_of_element
from hpc.core.resources import MINUTE
from hpc.learning import read_known
from hpc.submission import Frozen, publish_array

MAX_SHAPES = 16
"""Most shapes that are measured before an array starts; tasks of the others start as declared."""
LIMIT_S = 30 * MINUTE
"""Time limit of a probe, unless a task's own is shorter."""


@dataclass(frozen=True)
class ToProbe:
    """Which shapes are to be measured, each by one task.

    Attributes:
        tasks: The first task of each shape.
        known: Shapes of which a fitting micro-batch is known already.
        left_out: Shapes beyond `MAX_SHAPES`.
        measured_by: Slurm jobs of earlier probes that are still at work on some of the shapes.
    """

    tasks: tuple[Assignment, ...]
    known: int = 0
    left_out: int = 0
    measured_by: tuple[str, ...] = ()

    def __str__(self) -> str:
        names = ", ".join(each.task.run_name for each in self.tasks)
        parts = [f"{len(self.tasks)} shape{'' if len(self.tasks) == 1 else 's'} to measure" + (names and f" ({names})")]
        parts += [f"{self.known} known already"] if self.known else []
        parts += [f"{self.left_out} more start as declared"] if self.left_out else []
        parts += [f"others are being measured by job {', '.join(self.measured_by)}"] if self.measured_by else []
        return "; ".join(parts)


def plan_probe(layout: RunLayout, frozen: Frozen, assignments: Sequence[Assignment]) -> ToProbe:
    """Find the shapes among these tasks of which no micro-batch is known to fit.

    Raises:
        InputError: The experiment declares no batch, so there is nothing to measure; or ``learned.json`` was damaged.
    """
    if frozen.spec.batch is None:
        raise InputError(
            "--probe measures the micro-batch, and the experiment declares none; "
            "declare batch: {global: …, micro: …, parameter: …} in the experiment file"
        )
    shapes = first_of_each_shape(frozen, assignments)
    known = {name for name, found in read_known(layout)["shapes"].items() if found["fits"]}
    busy = _busy_probes(layout, frozen)
    unknown = [shape for shape in shapes if shape not in known and shape not in busy]
    return ToProbe(
        tasks=tuple(shapes[shape] for shape in unknown[:MAX_SHAPES]),
        known=len(known & set(shapes)),
        left_out=len(unknown[MAX_SHAPES:]),
        measured_by=tuple(sorted({busy[shape] for shape in shapes if shape in busy and shape not in known})),
    )


def first_of_each_shape(frozen: Frozen, assignments: Sequence[Assignment]) -> dict[str, Assignment]:
    """Shape → its first task, in the order of the tasks."""
    found: dict[str, Assignment] = {}
    for plan in plan_arrays(assignments, frozen.profile):
        index = frozen.index(plan)
        for assignment, entry in zip(plan.assignments, index["entries"], strict=True):
            found.setdefault(shape_of_element(index, entry), assignment)
    return found


def _busy_probes(layout: RunLayout, frozen: Frozen) -> dict[str, str]:
    """Shape → Slurm job that is measuring it: of an earlier call that did not come to submitting the tasks."""
    receipts = {path: read_json(path) for path in sorted(layout.probes.glob("*/receipt.json"))}
    if frozen.profile.scheduler != "slurm" or not receipts:
        return {}
    rows = slurm.query_queue(name_of(layout))
    live = {row.job.split("_")[0] for row in rows if not row.state.is_finished}
    return {
        shape: receipt["job"]
        for path, receipt in receipts.items()
        if receipt["job"] in live
        for shape in read_json(SubmissionLayout(path.parent).index)["shapes"]
    }


def name_of(layout: RunLayout) -> str:
    """Name of a probe's job: not the tasks', so that nobody takes it for one of them."""
    return f"{layout.experiment}.probe"


def submit_probe(layout: RunLayout, frozen: Frozen, probe: ToProbe) -> dict[int, str]:
    """Submit a probe, or hand it to this machine's own queue, which starts nothing beside it.

    Returns:
        Number of the probe → its Slurm job, or ``local``; one for each kind of resources.

    Raises:
        TemporaryError: Slurm did not answer.
        SlurmError: Slurm refused the script.
    """
    jobs: dict[int, str] = {}
    for plan in plan_arrays(probe.tasks, frozen.profile):
        prepared = _write_probe(layout, frozen, plan)
        job = "local" if frozen.profile.scheduler == "local" else slurm.submit_script(prepared.script)
        write_json(prepared.receipt, {"job": job, "time": time.time()})
        jobs[prepared.number] = job
    return jobs


def _write_probe(layout: RunLayout, frozen: Frozen, plan: ArrayPlan) -> SubmissionLayout:
    """Write script and index under the next free number."""
    short = replace(plan, resources=replace(plan.resources, time_s=min(plan.resources.time_s, LIMIT_S)))
    number = 1 + _newest(layout)
    final = layout.probe(number)
    script = render_sbatch(
        short,
        frozen.profile,
        final,
        experiment=name_of(layout),
        comment=f"{frozen.manifest['sha256'][:16]}/probe-{number:03d}",
        code=Path(frozen.manifest["provenance"]["code"]["path"]),
        python=frozen.python,
        module="hpc.probe_task",
    )
    publish_array(final, probe_index(frozen.index(short)), script)
    return final


def probe_index(index: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a submission's index into a probe's: the same tasks and start, but no submission, and no tracker hears."""
    return {
        **index,
        "kind": "probe",
        "wandb": None,
        "environment": {**index["environment"], "WANDB_MODE": "disabled"},
        "shapes": [shape_of_element(index, entry) for entry in index["entries"]],
    }


def describe(layout: RunLayout) -> list[str]:
    """Say what the newest probe found, a line for each task it tries."""
    number = _newest(layout)
    probe = layout.probe(number)
    if not probe.receipt.exists():
        return []
    names = [entry["run_name"] for entry in read_json(probe.index)["entries"]]
    return [f"probe {number:03d}: {name}: {_found(AttemptLayout(probe.tries / name))}" for name in names]


def _found(tried: AttemptLayout) -> str:
    ended = read_json_or_none(tried.exit_json)
    return str(ended["said"]) if ended else "begun, and no answer yet" if tried.home.exists() else "not begun"


def _newest(layout: RunLayout) -> int:
    return max((int(path.name) for path in layout.probes.glob("[0-9]*") if path.name.isdecimal()), default=0)


def waiting_for(probe: ToProbe, jobs: Mapping[int, str]) -> str:
    """Slurm jobs the tasks have to wait for, as ``sbatch --dependency`` takes them; empty for none."""
    return ":".join((*probe.measured_by, *(job for job in jobs.values() if job != "local")))
