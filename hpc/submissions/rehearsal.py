"""What a plan would submit, job by job, before anything is written: tasks with their command lines, script, judgement.

Index and script are those that planning writes, the command lines are made by the wrapper's own function. No file is
written on the way, not even for a moment: bash and Slurm read the script from a pipe.
"""

import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpc.adapters.slurm import Trial, try_script
from hpc.core.errors import InputError
from hpc.core.immutable import immutable
from hpc.core.launch.arguments import arguments_of, task_argv
from hpc.core.layout import RunLayout, SubmissionLayout
from hpc.core.records.index import Element, SubmissionIndex, Used
from hpc.core.slurm.arrays import Assignment
from hpc.submissions.prepare import Frozen, Rehearsed, rehearse_submissions
from hpc.submissions.sources import finished

LOCAL_SAYS = "this machine's own queue runs it, without Slurm"
MOST_TASKS = 50
"""Tasks of a job that are shown with their command lines."""


@immutable
class RehearsedTask:
    """One task.

    Attributes:
        position: Its array index, which a pack shares.
        run_name: Its folder.
        argv: The program's command line.
        arguments: Argument → value, as the program is told, or finds in ``task.json``.
    """

    position: int
    run_name: str
    argv: tuple[str, ...]
    arguments: Mapping[str, Any]


@immutable
class Job:
    """One sbatch call to be.

    Attributes:
        number: Of the submission.
        script: The array script.
        tasks: Its tasks, in the order of its elements.
        trial: What Slurm says of it.
    """

    number: int
    script: str
    tasks: tuple[RehearsedTask, ...]
    trial: Trial

    def to_json(self) -> dict[str, Any]:
        """The job in the answer of ``plan --dry-run --json``."""
        return {
            "submission": self.number,
            "script": self.script,
            "test_only": self.trial.said,
            "objection": self.trial.objection,
            "tasks": [
                {"index": each.position, "run_name": each.run_name, "argv": list(each.argv),
                 "arguments": dict(each.arguments)}
                for each in self.tasks
            ],
        }  # fmt: skip


def rehearse(layout: RunLayout, frozen: Frozen, assignments: Sequence[Assignment]) -> tuple[Job, ...]:
    """Return every job that would be submitted; nothing is written.

    Raises:
        InputError: A script cannot be rendered, or is no valid shell.
    """
    jobs = rehearse_submissions(layout, frozen, assignments)
    kinds = [kind_of(each.script, layout.submission(each.number)) for each in jobs]
    scripts = dict(zip(kinds, (each.script for each in jobs), strict=True))
    for script in scripts.values():
        refuse_broken(script)
    trials = {kind: _try(layout, frozen, script) for kind, script in scripts.items()}
    return tuple(_job(layout, each, trials[kind]) for each, kind in zip(jobs, kinds, strict=True))


def kind_of(script: str, submission: SubmissionLayout) -> str:
    """A script without what tells it from others that ask for the same: its folder and number.

    A hundred thousand tasks have hundreds of such arrays: bash and Slurm answer for all of them at once.
    """
    return script.replace(str(submission.home), "").replace(f"/{submission.number:03d}\n", "\n")


def refuse_broken(script: str) -> None:
    """Let bash read a script.

    Raises:
        InputError: It is no valid shell (a site's template or setup line is broken).
    """
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"not valid shell; check the profile's template and setup: {done.stderr.strip()}")


def _try(layout: RunLayout, frozen: Frozen, script: str) -> Trial:
    is_local = frozen.profile.scheduler == "local"
    return Trial(said=LOCAL_SAYS) if is_local else try_script(script, layout.experiment)


def _job(layout: RunLayout, job: Rehearsed, trial: Trial) -> Job:
    positions = ((job.index.element_of(number), entry) for number, entry in enumerate(job.index.entries))
    tasks = tuple(_task(layout, job.index, position, entry) for position, entry in positions)
    return Job(job.number, job.script, tasks, trial)


def _task(layout: RunLayout, index: SubmissionIndex, position: int, entry: Element) -> RehearsedTask:
    uses = [used for source in entry.sources if isinstance(used := finished(layout.root, source), Used)]
    argv = task_argv(index, entry, layout.task(entry.run_name), entry.attempt, uses=uses)
    return RehearsedTask(position, entry.run_name, argv, arguments_of(index, entry))


def describe_job(job: Job) -> Iterator[str]:
    """Say it for people: what Slurm says, a line for each of the first tasks, the script once."""
    count = f"{len(job.tasks)} task{'' if len(job.tasks) == 1 else 's'}"
    yield f"submission {job.number:03d}: {count}"
    says = job.trial.objection or job.trial.said or "would take it"
    yield says if says == LOCAL_SAYS else f"sbatch --test-only: {says}"
    shown = job.tasks if len(job.tasks) <= MOST_TASKS else job.tasks[: MOST_TASKS - 1]
    wide = max(len(each.run_name) for each in shown)
    digits = len(str(shown[-1].position))
    for each in shown:
        yield f"  {each.position:{digits}d}  {each.run_name:{wide}s}  {shlex.join(each.argv)}"
    if left := len(job.tasks) - len(shown):
        yield f"  … and {left} more; --json lists all"
    yield "its script:"
    yield from (f"  {line}".rstrip() for line in job.script.splitlines())
