"""Looks at a run from outside, judges what it sees, and keeps the evidence: ``watch.json`` and ``stacks.txt``.

Of an attempt over several nodes each node's wrapper looks after its own share and leaves what it saw in
``watch.nodeN.json``; that of the whole attempt brings it together, because a run hangs where every share does, and the
process that holds it up stands on one of them. Loaded with the first look.
"""

import contextlib
import os
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from pathlib import Path

from hpc.adapters import proc
from hpc.adapters.files import open_log, read_json, readable_record, write_json
from hpc.core.errors import HpcError
from hpc.core.experiment.program import Watch
from hpc.core.layout import AttemptLayout, RunLayout, TaskLayout, attempt_number
from hpc.core.records.record import RecordError
from hpc.core.records.task import TaskRecord
from hpc.core.records.watch import Alarm, NodeWatch, Rank, WatchRecord
from hpc.core.watching.judge import PICTURES, SLOW, SPINNING, Judge, Look, Suspicion, in_minutes, only_waits
from hpc.core.watching.stacks import compare, name_of, render
from hpc.core.words import counted
from hpc.node import where

KEPT_ALARMS = 5
MOST_STACKS_BYTES = 1 << 20
MOST_METRICS_BYTES = 64 << 20
"""Of a larger file the steps are not counted any more."""
MOST_SIBLINGS = 8
SHARE_S = 600.0
"""Between two looks at the siblings' pace, and between telling them ours."""
_NOT_SAID = ("system", "watch", "stacks", "node-", "task.json", "claim")
"""Files of an attempt whose change is no word of the program's."""


@dataclass(frozen=True)
class Eyes:
    """What the wrapper lets its watch see.

    Attributes:
        roots: Processes below which the program's are found.
        gpu_busy: Largest share of time the GPUs were busy since it was last asked; None: not known.
        step: Highest step that was printed; None where nobody counts.
    """

    roots: Callable[[], list[int]]
    gpu_busy: Callable[[], float | None]
    step: Callable[[], int | None]


class HangWatch:
    """Follows one attempt, or a node's share of it."""

    def __init__(
        self, task: TaskRecord, watch: Watch, attempt: AttemptLayout, every_s: float, node_rank: int | None
    ) -> None:
        self._task, self._watch, self._attempt, self._node_rank = task, watch, attempt, node_rank
        self._is_outer = node_rank is None and task.nodes > 1 and not task.on_first_node
        processes = task.processes * (task.nodes if self._is_outer else 1)
        self._judge = Judge(watch, every_s, processes)
        self._node = proc.this_host() if task.nodes > 1 else ""
        self._record = WatchRecord()
        self._is_reported = False
        self._pictures: list[tuple[float, tuple[Rank, ...]]] = []
        self._apart_s = watch.silent_s / 8
        self._next_stacks = 0.0
        self._siblings: tuple[str, ...] | None = None
        self._paces: tuple[float, ...] = ()
        self._next_share = 0.0
        self.grace_s = 0.0
        """Seconds the program may take to save when it is ended."""

    def look(
        self, roots: Callable[[], list[int]], gpu_busy: Callable[[], float | None], step: Callable[[], int | None]
    ) -> str:
        """Look once; say why the run is to be ended, empty while it may go on. Arguments as `Eyes`.

        Raises:
            OSError: The evidence cannot be written.
        """
        eyes, now = Eyes(roots, gpu_busy, step), time.monotonic()
        look = self._seen(eyes, now)
        suspicion = self._judge.see(look, self._paces)
        if self._watch.slower_than and self._node_rank is None:
            self._share_pace(now)
        if self._is_outer:
            return self._decide(suspicion)
        if not self._judge.is_told and suspicion is None:
            self._went_on()
        if suspicion is None:
            return ""
        ranks = self._confirmed(suspicion, eyes, now)
        return self._raise(suspicion, ranks) if ranks is not None else ""

    def close(self) -> str:
        """Leave the pace for the siblings; say what stands against the run at its end."""
        if self._watch.slower_than and self._node_rank is None and self._judge.pace.seconds_per_step:
            self._write(replace(self._record, seconds_per_step=self._judge.pace.seconds_per_step))
        standing = self._record.standing
        return standing.says if standing else ""

    def _seen(self, eyes: Eyes, now: float) -> Look:
        family = [pid for root in eyes.roots() for pid in (root, *proc.descendants(root))]
        is_counted = self._watch.slower_than and self._node_rank is None
        step = eyes.step()
        return Look(
            time=now,
            said=said_by(self._attempt),
            cpu_s=proc.used_by(family)[0],
            moved=where.moved_by(family),
            gpu_busy=eyes.gpu_busy(),
            step=step if step is not None else last_step(self._attempt) if is_counted else None,
        )

    def _confirmed(self, suspicion: Suspicion, eyes: Eyes, now: float) -> tuple[Rank, ...] | None:
        """Take the stacks; None where they do not bear a suspicion out, or not yet."""
        if suspicion.found != SPINNING:
            return where.take_stacks(eyes.roots(), self._node)
        if now < self._next_stacks:
            return None
        ranks, last = where.take_stacks(eyes.roots(), self._node), self._pictures[-1:]
        if last and not only_waits(last[0][1], ranks, now - last[0][0]):
            self._pictures = []
            self._apart_s = min(2 * self._apart_s, self._watch.silent_s)  # it works in silence: looked at less often
        self._pictures.append((now, ranks))
        self._next_stacks = now + self._apart_s
        if len(self._pictures) < PICTURES:
            return None
        self._judge.confirm()
        return ranks

    def _raise(self, suspicion: Suspicion, ranks: tuple[Rank, ...]) -> str:
        """Keep the evidence; say why the run is to be ended, empty where it is only watched."""
        if self._node_rank is not None:
            self._report(NodeWatch(suspicion.found, time.time(), suspicion.silent_s, ranks))
            return ""
        picture = compare(ranks)
        says = f"{suspicion.text}; {picture.text}"
        does = bool(self._watch.act)
        alarm = Alarm(
            found=suspicion.found,
            time=time.time(),
            silent_s=round(suspicion.silent_s, 1),
            says=says,
            odd=tuple(name_of(each) for each in picture.odd[:8]),
            ended=does,
            would=self._watch.act or ("resume" if self._task.resume_from or _has_checkpoint(self._attempt) else "end"),
        )
        print(f"hpc: {'ending the program' if does else 'possible hang, watched only'}: {says}", flush=True)
        with open_log(self._attempt.stacks) as file:
            text = f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {says}\n\n" + "\n".join(render(ranks)) + "\n"
            if os.fstat(file.fileno()).st_size < MOST_STACKS_BYTES:
                file.write(text.encode()[:MOST_STACKS_BYTES])
        self._write(replace(self._record, alarms=(*self._record.alarms, alarm)[-KEPT_ALARMS:]))
        self.grace_s = float(self._task.signal_lead_s) if suspicion.found == SLOW else 0.0
        return says if does else ""

    def _went_on(self) -> None:
        """Note that the run has outlived its last alarm."""
        self._pictures = []
        if self._is_reported:
            self._report(NodeWatch("", time.time(), 0.0))
        if standing := self._record.standing:
            over = replace(standing, over=time.time())
            print("hpc: the program is making progress again", flush=True)
            self._write(replace(self._record, alarms=(*self._record.alarms[:-1], over)))

    def _report(self, told: NodeWatch) -> None:
        write_json(_of_node(self._attempt, self._node_rank or 0), told.to_json(), parents=False)
        self._is_reported = bool(told.found)

    def _decide(self, suspicion: Suspicion | None) -> str:
        """Bring together what the shares say: a run hangs where each of them does."""
        if suspicion is not None and suspicion.found == SLOW:
            return self._raise(suspicion, ())
        found = [readable_record(_of_node(self._attempt, rank), NodeWatch) for rank in range(self._task.nodes)]
        told = [each for each in found if each is not None and each.found]
        if len(told) < self._task.nodes:
            standing = self._record.standing
            if standing and not (standing.found == SLOW and self._judge.is_told):
                self._went_on()
            return ""
        if self._record.standing:
            return ""
        silent_s = min(each.silent_s for each in told)
        kind = SPINNING if any(each.found == SPINNING for each in told) else told[0].found
        text = f"no step and no output for {in_minutes(silent_s)} on each of {counted(len(told), 'node')}"
        return self._raise(Suspicion(kind, silent_s, text), tuple(rank for each in told for rank in each.ranks))

    def _share_pace(self, now: float) -> None:
        """Tell the siblings how fast this run is, and hear how fast they are."""
        own = self._judge.pace.seconds_per_step
        if own is None or now < self._next_share:
            return
        self._next_share = now + SHARE_S
        self._write(replace(self._record, seconds_per_step=own))
        if self._siblings is None:
            self._siblings = siblings_of(self._task, self._attempt)
        tasks = self._attempt.home.parents[1]
        self._paces = tuple(filter(None, (_pace_of(TaskLayout(tasks / name)) for name in self._siblings)))

    def _write(self, record: WatchRecord) -> None:
        self._record = record
        write_json(self._attempt.watch, record.to_json(), parents=False)


def said_by(attempt: AttemptLayout) -> Hashable:
    """What changes whenever the program says something: its logs, metrics, checkpoints and results."""
    found = []
    for folder in (attempt.home, attempt.checkpoints, attempt.work):
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if folder != attempt.home or not entry.name.startswith(_NOT_SAID):
                    with contextlib.suppress(OSError):
                        seen = entry.stat()
                        found.append((entry.name, seen.st_size, seen.st_mtime_ns))
    return hash(tuple(sorted(found)))


def last_step(attempt: AttemptLayout) -> int | None:
    """Highest step in the metrics; None where there are none, or they cannot be read here."""
    try:
        from hpc.adapters.metrics_read import read_contents

        if attempt.metrics.stat().st_size > MOST_METRICS_BYTES:
            return None
        series = read_contents(attempt.metrics).series
    except (ImportError, HpcError, OSError, KeyError):
        return None
    return max((int(each.step[-1]) for each in series.values() if each.step.size), default=None)


def siblings_of(task: TaskRecord, attempt: AttemptLayout) -> tuple[str, ...]:
    """Runs of the same submission that differ from this one in their seed alone."""
    home = attempt.home.parents[2]
    index = RunLayout(home.parent, home.name).submission(task.submission).index
    try:
        entries = read_json(index)["entries"]
        alike = [each["run_name"] for each in entries if each["parameters"] == dict(task.parameters)]
    except (HpcError, OSError, KeyError, TypeError, RecordError):
        return ()
    return tuple(name for name in alike if name != task.run_name)[:MOST_SIBLINGS]


def _pace_of(task: TaskLayout) -> float | None:
    """Seconds a step of a run's newest attempt takes, as its wrapper told it."""
    try:
        numbers = [attempt_number(name) or 0 for name in os.listdir(task.home)]  # noqa: PTH208  names alone
    except OSError:
        return None
    told = readable_record(task.attempt(max(numbers, default=0)).watch, WatchRecord)
    return told.seconds_per_step if told else None


def _has_checkpoint(attempt: AttemptLayout) -> bool:
    with contextlib.suppress(OSError):
        return any(attempt.checkpoints.iterdir())
    return False


def _of_node(attempt: AttemptLayout, node_rank: int) -> Path:
    return attempt.home / f"watch.node{node_rank}.json"
