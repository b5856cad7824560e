"""Every path of a run, in one place. Nothing here touches the disk."""

import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hpc.core.immutable import immutable

EXPORTED = ".exported.json"
"""In a folder that results were exported to: what was sent."""
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+,@-]*")
_ATTEMPT = re.compile(r"attempt-([1-9]\d*)")
MAX_NAME_LENGTH = 120


def name_problem(name: str) -> str:
    """Say why a text cannot name a folder everywhere (shells, URLs, other file systems); empty when it can."""
    if not name:
        return "is empty"
    if len(name) > MAX_NAME_LENGTH:
        return f"is {len(name)} characters long; {MAX_NAME_LENGTH} are allowed"
    if not _SAFE_NAME.fullmatch(name):
        bad = sorted({char for char in name if not re.fullmatch(r"[A-Za-z0-9._=+,@-]", char)})
        shown = ", ".join(repr(char) for char in bad) or f"a leading {name[0]!r}"
        return f"holds {shown}; allowed are letters, digits and ._=+,@- after a first letter or digit"
    if name.endswith("."):
        return "ends with a dot"
    return ""


@immutable
class AttemptLayout:
    """The files of one execution. One writer: the process that claimed it."""

    home: Path

    if not TYPE_CHECKING:  # else every misspelt name would be a path

        def __getattr__(self, name: str) -> Path:
            """Make `home` when it is asked for first, where `RunLayout.attempt` left that open."""
            if name != "home" or "_below" not in self.__dict__:
                raise AttributeError(name)
            home = self.__dict__["home"] = self._below.joinpath(self._run_name, f"attempt-{self.number}")
            return home

    @cached_property
    def number(self) -> int:
        """Attempt number, from 1."""
        return attempt_number(self.home.name) or 0

    @property
    def task_json(self) -> Path:
        """What this attempt was asked to do; written before it starts."""
        return self.home / "task.json"

    @property
    def work(self) -> Path:
        """The program's working folder: while it runs a copy of the code, afterwards what the program left there."""
        return self.home / "work"

    @property
    def stdout(self) -> Path:
        return self.home / "stdout.log"

    @property
    def stderr(self) -> Path:
        return self.home / "stderr.log"

    @property
    def element_log(self) -> Path:
        """The log of its array element, once that is packed; before, it lies with the submission's."""
        return self.home / "slurm.log"

    @property
    def exit_json(self) -> Path:
        """How it ended; absent while it runs and for ever when its node died."""
        return self.home / "exit.json"

    @property
    def metrics(self) -> Path:
        return self.home / "metrics.h5"

    @property
    def system(self) -> Path:
        """Samples of what it used while it ran; absent for one of less than 15 s."""
        return self.home / "system.jsonl"

    @property
    def watch(self) -> Path:
        """When it seemed to hang or be slow; absent where it never did."""
        return self.home / "watch.json"

    @property
    def stacks(self) -> Path:
        """Where its processes stood then; absent likewise."""
        return self.home / "stacks.txt"

    @property
    def preflight_log(self) -> Path:
        """What the gate before it printed; absent where its node was fit."""
        return self.home / "preflight.log"

    @property
    def outcome(self) -> Path:
        """What the program recorded as its last act (launchers swallow exit codes): ``{"code": 0 | 85, …}``."""
        return self.home / "outcome.json"

    @property
    def deepspeed(self) -> Path:
        """DeepSpeed's configuration; absent where a run has none. Programs of `train` write what they really used."""
        return self.home / "deepspeed.json"

    @property
    def check_json(self) -> Path:
        """What the acceptance check came to; absent where none ran to its end."""
        return self.home / "check.json"

    @property
    def check_log(self) -> Path:
        """What the acceptance check printed."""
        return self.home / "check.log"

    @property
    def sanity_log(self) -> Path:
        """What the ladder of checks before a canary printed; absent where none was climbed."""
        return self.home / "sanity.log"

    @property
    def sanity(self) -> Path:
        """The ladder's own folder, so that what it records is not taken for the run's; absent where it left nothing."""
        return self.home / "sanity"

    @property
    def adjustments(self) -> Path:
        """Changes of the micro-batch that the program made itself while it ran; absent when it made none."""
        return self.home / "adjustments.json"

    @property
    def checkpoints(self) -> Path:
        """Complete checkpoints, one entry each (`complete_checkpoints`)."""
        return self.home / "checkpoints"

    @property
    def scheduler(self) -> Path:
        """What Slurm said of it once it was over, kept because Slurm forgets."""
        return self.home / "scheduler.json"


@immutable
class TaskLayout:
    """One task's folder: what a person looks for, and the attempts below."""

    home: Path

    @property
    def config(self) -> Path:
        """The task's full configuration, as YAML."""
        return self.home / "config.yaml"

    @property
    def metrics_json(self) -> Path:
        """Final values and outcome."""
        return self.home / "metrics.json"

    @property
    def checkpoints(self) -> Path:
        """Link to the newest attempt's checkpoints."""
        return self.home / "checkpoints"

    def attempt(self, number: int) -> AttemptLayout:
        """The given attempt, from 1."""
        return AttemptLayout(self.home / f"attempt-{number}")


@immutable
class SubmissionLayout:
    """One sbatch call: its script, which array index runs which task, and whether it was submitted."""

    home: Path

    @property
    def number(self) -> int:
        return int(self.home.name)

    @property
    def script(self) -> Path:
        return self.home / "array.sbatch"

    @property
    def index(self) -> Path:
        """Array index → task, frozen."""
        return self.home / "index.json"

    @property
    def intent(self) -> Path:
        """Written before sbatch is called."""
        return self.home / "intent.json"

    @property
    def receipt(self) -> Path:
        """Written after sbatch answered: job id, time."""
        return self.home / "receipt.json"

    @property
    def cancelled(self) -> Path:
        """Elements somebody cancelled before they began, as Slurm told it; absent while there is none."""
        return self.home / "cancelled.json"

    @property
    def withdrawn(self) -> Path:
        """Elements that are not to start any more: cancelled, or set aside; absent while there is none."""
        return self.home / "withdrawn.json"

    @property
    def tries(self) -> Path:
        """Of a probe: a folder for each task it started, the tries below it laid out as attempts."""
        return self.home / "tries"

    @property
    def logs(self) -> Path:
        """What Slurm itself and the wrapper print, one file an array element."""
        return self.home / "logs"

    def element_log(self, job: str) -> Path:
        """The log of one element, by its job (``12_3``)."""
        return self.logs / f"{job}.log"


@immutable
class RunLayout:
    """``$HPC_ROOT/<experiment>``: everything one experiment leaves on disk."""

    root: Path
    experiment: str

    @cached_property
    def home(self) -> Path:
        return self.root / self.experiment

    @property
    def manifest(self) -> Path:
        """The newest manifest."""
        return self.home / "manifest.json"

    @property
    def manifests(self) -> Path:
        """Every manifest there ever was, by hash."""
        return self.home / "manifests"

    @property
    def code(self) -> Path:
        """Read-only copies of the user's code, by hash."""
        return self.home / "code"

    def diff(self, sha256: str) -> Path:
        """How tracked files differed from the commit when code was copied, by the hash of that patch."""
        return self.code / f"{sha256[:16]}.diff"

    @property
    def toolkit(self) -> Path:
        """Read-only copies of our own packages, by hash."""
        return self.home / "toolkit"

    @property
    def forecasts(self) -> Path:
        """What each plan was forecast to take, one JSON object a line; only ever appended to."""
        return self.home / "forecasts.jsonl"

    @property
    def seal(self) -> Path:
        """What was asked and how it would be judged, fixed before anything ran; only ever appended to."""
        return self.home / "seal.json"

    @property
    def looks(self) -> Path:
        """When somebody looked at the results, one JSON object a line; only ever appended to."""
        return self.home / "looks.jsonl"

    @property
    def ledger(self) -> Path:
        """Every result as it was collected, one JSON object a line, chained; only ever appended to."""
        return self.home / "ledger.jsonl"

    @property
    def lock(self) -> Path:
        """Held by whoever submits; one at a time."""
        return self.home / ".submit.lock"

    @property
    def hold(self) -> Path:
        """Why nothing more is started, what was held for it, and how to go on; absent while nothing is held."""
        return self.home / "hold.json"

    @property
    def held_runs(self) -> Path:
        """Single runs that a person holds, and why; absent while there is none."""
        return self.home / "held_runs.json"

    @property
    def holds(self) -> Path:
        """Who held and released what, when and why, one JSON object a line; only ever appended to."""
        return self.home / "holds.jsonl"

    @property
    def restored(self) -> Path:
        """Says that it was unpacked from an archive: no scheduler here knows its jobs; absent otherwise."""
        return self.home / "restored.json"

    @property
    def accepted(self) -> Path:
        """What somebody looked at and released: it does not hold the experiment again."""
        return self.home / "accepted.json"

    @property
    def relaunched(self) -> Path:
        """How often each element was released that Slurm could not launch."""
        return self.home / "relaunched.json"

    @property
    def submissions(self) -> Path:
        return self.home / "submissions"

    @property
    def again(self) -> Path:
        """What somebody asked to start again by name, one JSON object a line; only ever appended to."""
        return self.home / "again.jsonl"

    @property
    def follow_state(self) -> Path:
        """Where the unattended loop stands: its course, its next jobs."""
        return self.home / "follow.json"

    @property
    def follow_ledger(self) -> Path:
        """What it did, one JSON object a line, only ever appended to."""
        return self.home / "follow.jsonl"

    @property
    def follow_shadow(self) -> Path:
        """What it decided and did not do, where it only looks on; only ever appended to."""
        return self.home / "follow_shadow.jsonl"

    @property
    def follow_lease(self) -> Path:
        """Who follows at present."""
        return self.home / "follow.lease"

    @property
    def follow_jobs(self) -> Path:
        """Relays, one numbered folder each: script, intent, receipt; and what they print."""
        return self.home / "follow"

    @cached_property
    def tasks(self) -> Path:
        return self.home / "tasks"

    @property
    def aside(self) -> Path:
        """Runs that gave way when the plan was changed, a numbered folder each time; nothing is ever deleted."""
        return self.home / "aside"

    @property
    def probes(self) -> Path:
        """Jobs that measured which micro-batch fits, each in a folder like that of a submission; no results."""
        return self.home / "probes"

    def probe(self, number: int) -> SubmissionLayout:
        """The given probe, from 1."""
        return SubmissionLayout(self.probes / f"{number:03d}")

    @property
    def collected(self) -> Path:
        """Derived: may be deleted and rebuilt."""
        return self.home / "collected"

    @property
    def verdicts(self) -> Path:
        return self.collected / "verdicts.json"

    @property
    def results(self) -> Path:
        return self.collected / "results.h5"

    @property
    def tasks_csv(self) -> Path:
        return self.collected / "tasks.csv"

    @property
    def retry_plan(self) -> Path:
        return self.collected / "retry_plan.json"

    @property
    def siblings(self) -> Path:
        """In how many finished and failed runs each line stands (`hpc.core.failures.siblings`); may be deleted."""
        return self.collected / "siblings.json"

    @property
    def remembered(self) -> Path:
        """What was read of attempts that are over (`hpc.snapshots.remembered`); may be deleted."""
        return self.home / ".remembered.jsonl"

    @property
    def learned(self) -> Path:
        """Micro-batches known to fit and known to fail (`hpc.core.retry.learned`); absent means nothing known."""
        return self.home / "learned.json"

    @property
    def report(self) -> Path:
        return self.home / "report"

    def stored_baseline(self, name: str) -> Path:
        """The runs of a variance experiment as they are kept for all experiments below this root."""
        return self.root / ".baselines" / f"{name}.json"

    def submission(self, number: int) -> SubmissionLayout:
        """The given submission, from 1."""
        return SubmissionLayout(self.submissions / f"{number:03d}")

    def task(self, run_name: str) -> TaskLayout:
        """The folder of the task with this run name."""
        return TaskLayout(self.tasks / run_name)

    def attempt(self, run_name: str, number: int) -> AttemptLayout:
        """The folder of an attempt of this task; ten thousand are asked for at once, and the paths of few."""
        attempt = AttemptLayout.__new__(AttemptLayout)
        attempt.__dict__.update(number=number, _below=self.tasks, _run_name=run_name)
        return attempt


def attempt_number(folder_name: str) -> int | None:
    """Read ``attempt-3`` as 3; None for any other name."""
    match = _ATTEMPT.fullmatch(folder_name)
    return int(match[1]) if match else None


def complete_checkpoints(names: Iterable[str]) -> list[str]:
    """Return the complete checkpoints among the entries of a ``checkpoints`` folder, oldest first.

    Names sort by age. What is still being written ends in ``.tmp``, and hidden names belong to the file system (such as
    ``.nfs…`` of a file that was removed while it was open) or to somebody's tool.
    """
    return sorted(name for name in names if not name.endswith(".tmp") and not name.startswith("."))
