"""Probes: one job before the array that measures, shape by shape, the largest micro-batch that fits.

A probe has a folder like a submission's, below ``probes/``, and is one array: an element for each shape, which starts
one task of it on trial (`hpc.node.probe`). The tasks wait for it, however it ends, and take what it learned at their
start. Probes hold nothing anybody has to keep: one that was lost is made again. The caller holds the experiment's lock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields

from hpc.adapters import slurm
from hpc.adapters.files import is_there, read_record, read_record_or_none
from hpc.adapters.learned_file import read_known
from hpc.adapters.sbatch import render_sbatch
from hpc.core.errors import InputError
from hpc.core.immutable import immutable, replace
from hpc.core.layout import AttemptLayout, RunLayout, SubmissionLayout
from hpc.core.records.index import SubmissionIndex
from hpc.core.records.probe import ProbeEnd, ProbeIndex
from hpc.core.records.submitted import Asked
from hpc.core.resources import ALONE, MINUTE
from hpc.core.retry.learned import shape_of_element
from hpc.core.slurm.arrays import ArrayPlan, Assignment, plan_arrays
from hpc.core.slurm.executions import JobRow
from hpc.submissions.on_disk import asked_of
from hpc.submissions.prepare import Frozen, cluster_of, in_partitions, publish_array
from hpc.submissions.receipts import LOCAL, asked_now, submit_once

MAX_SHAPES = 16
"""Most shapes that are measured before an array starts; tasks of the others start as declared."""
LIMIT_S = 30 * MINUTE
"""Time limit of a probe, unless a task's own is shorter."""


@immutable
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
        tasks=tuple(replace(shapes[shape], pack=ALONE) for shape in unknown[:MAX_SHAPES]),  # nothing runs beside it
        known=len(known & set(shapes)),
        left_out=len(unknown[MAX_SHAPES:]),
        measured_by=tuple(sorted({busy[shape] for shape in shapes if shape in busy and shape not in known})),
    )


def first_of_each_shape(frozen: Frozen, assignments: Sequence[Assignment]) -> dict[str, Assignment]:
    """Shape → its first task, in the order of the tasks."""
    cluster, found = cluster_of(frozen), dict[str, Assignment]()
    for plan in plan_arrays(assignments, frozen.profile):
        index = frozen.index(plan)
        for assignment, entry in zip(plan.assignments, index.entries, strict=True):
            found.setdefault(shape_of_element(index, entry, cluster), assignment)
    return found


def _busy_probes(layout: RunLayout, frozen: Frozen) -> dict[str, str]:
    """Shape → Slurm job that is measuring it: of an earlier call that did not come to submitting the tasks."""
    asked = [(each, known) for each in _list_probes(layout) if (known := asked_of(each))]
    if frozen.profile.scheduler != "slurm" or not asked:
        return {}
    live = [row for row in slurm.query_queue(name_of(layout)) if not row.state.is_finished]
    jobs = ((probe, _live_job(known, live)) for probe, known in asked)
    return {shape: job for probe, job in jobs if job for shape in read_record(probe.index, ProbeIndex).shapes}


def _live_job(asked: Asked, rows: Sequence[JobRow]) -> str:
    """The job of a probe that waits or runs, by its receipt, or by its comment where that was never written."""
    jobs = {row.job.split("_")[0]: row.comment for row in rows}
    if asked.job:
        return asked.job if asked.job in jobs else ""
    return next((job for job, comment in jobs.items() if comment and comment == asked.comment), "")


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
    prepared = [_write_probe(layout, frozen, plan) for plan in plan_arrays(probe.tasks, frozen.profile)]
    return {each.number: _submit(each, frozen) for each in prepared}


def _submit(probe: SubmissionLayout, frozen: Frozen) -> str:
    is_local = frozen.profile.scheduler == "local"
    return submit_once(
        probe,
        asked_now(comment=_comment(frozen, probe.number)),
        send=lambda _: LOCAL if is_local else slurm.submit_script(probe.script),
    )


def _comment(frozen: Frozen, number: int) -> str:
    """The mark by which a probe's job is found again."""
    return f"{frozen.manifest['sha256'][:16]}/probe-{number:03d}"


def _write_probe(layout: RunLayout, frozen: Frozen, plan: ArrayPlan) -> SubmissionLayout:
    """Write script and index under the next free number."""
    short = replace(plan, resources=replace(plan.resources, time_s=min(plan.resources.time_s, LIMIT_S)))
    number = 1 + _newest(layout)
    final = layout.probe(number)
    script = render_sbatch(
        short,
        in_partitions(frozen.profile, short.resources),
        final,
        experiment=name_of(layout),
        comment=_comment(frozen, number),
        code=frozen.own_code,
        python=frozen.python,
        module="hpc.node.probe",
    )
    publish_array(final, probe_index(frozen.index(short), cluster_of(frozen)), script)
    return final


def probe_index(index: SubmissionIndex, cluster: str = "") -> ProbeIndex:
    """Turn a submission's index into a probe's: the same tasks and start, but no submission, and no tracker hears."""
    shapes = tuple(shape_of_element(index, entry, cluster) for entry in index.entries)
    same = {field.name: getattr(index, field.name) for field in fields(index)}
    quiet = {"wandb": None, "environment": {**index.environment, "WANDB_MODE": "disabled"}}
    return ProbeIndex(**{**same, **quiet, "shapes": shapes})


def describe(layout: RunLayout) -> list[str]:
    """Say what the newest probe found, a line for each task it tries."""
    number = _newest(layout)
    probe = layout.probe(number)
    if not is_there(probe.receipt):
        return []
    names = [entry.run_name for entry in read_record(probe.index, ProbeIndex).entries]
    return [f"probe {number:03d}: {name}: {_found(AttemptLayout(probe.tries / name))}" for name in names]


def _found(tried: AttemptLayout) -> str:
    try:
        ended = read_record_or_none(tried.exit_json, ProbeEnd)
    except InputError as error:
        return f"its answer cannot be read: {error}"
    return ended.said if ended else "started, no answer yet" if tried.home.exists() else "not started"


def _list_probes(layout: RunLayout) -> list[SubmissionLayout]:
    """The folders of all probes there ever were, oldest first."""
    numbers = sorted(int(path.name) for path in layout.probes.glob("[0-9]*") if path.name.isdecimal())
    return [layout.probe(number) for number in numbers]


def _newest(layout: RunLayout) -> int:
    return max((each.number for each in _list_probes(layout)), default=0)


def waiting_for(probe: ToProbe, jobs: Mapping[int, str]) -> str:
    """Slurm jobs the tasks have to wait for, as ``sbatch --dependency`` takes them; empty for none."""
    return ":".join((*probe.measured_by, *(job for job in jobs.values() if job != LOCAL)))
