"""When a run that is at work counts as hung or slow, told by what can be seen from outside. Pure: no clock, no files.

The rules, each of which has to hold for as long as `Watch.silent_s` says:

- *idle*: no step, no output, and no work: neither CPU nor disk nor GPU.
- *spinning*: no step and no output, though CPU or GPU are busy. Processes that wait for others often poll. That alone
  proves nothing, since a program may compute in silence: it takes two looks at the stacks to tell (`only_waits`).
- *slow*: a step takes `Watch.slower_than` times as long as before. Medians are compared, so an evaluation, a checkpoint
  or a slow start, each a few long steps among many, does not count.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from hpc.core.experiment.program import Watch
from hpc.core.records.watch import Rank
from hpc.core.watching.stacks import in_collective, same_place
from hpc.core.words import counted, rounded

IDLE, SPINNING, SLOW = "idle", "spinning", "slow"
IDLE_CORES = 0.1
"""Cores that a run keeps busy although it does nothing: threads that report, or look whether others still live …"""
IDLE_CORES_EACH = 0.03
"""… and the same for each further process."""
IDLE_BYTES_S = 65536.0
"""Bytes a second read or written that are no work."""
IDLE_GPU = 0.02
GAP = 4.0
"""Looks that come so many times later than due: the wrapper was stopped, and the time in between is no silence."""
LEAST_GAP_S = 60.0
"""What taking the stacks may need between two looks is no such time."""
LEAST_PAST, LEAST_NOW = 20, 5
"""Steps, or looks at which there were new ones, that have to be known before and now to call a run slow."""
KEPT = 400


@dataclass(frozen=True)
class Look:
    """What is seen of a run at one moment.

    Attributes:
        time: Seconds, on a clock that nobody sets.
        said: Changes with every output, metric and checkpoint.
        cpu_s: Processor seconds of all its processes so far.
        moved: Bytes they have read and written so far.
        gpu_busy: Largest share of time its GPUs were busy since the last look; None: not known.
        step: Highest step so far; None where nobody counts.
    """

    time: float
    said: Hashable
    cpu_s: float = 0.0
    moved: int = 0
    gpu_busy: float | None = None
    step: int | None = None


@dataclass(frozen=True)
class Suspicion:
    """What a look gives reason to say.

    Attributes:
        found: `IDLE`, `SPINNING` (which the stacks have to confirm) or `SLOW`.
        silent_s: Seconds since the last step or output.
        text: In words, without the stacks.
    """

    found: str
    silent_s: float
    text: str


class Judge:
    """Follows one run from look to look."""

    def __init__(self, watch: Watch, every_s: float, processes: int = 1) -> None:
        """Begin.

        Args:
            watch: What counts.
            every_s: Seconds between two looks.
            processes: How many there are.
        """
        self._watch = watch
        self._gap = max(GAP * every_s, LEAST_GAP_S)
        self._idle_cores = IDLE_CORES + IDLE_CORES_EACH * max(0, processes - 1)
        self._last: Look | None = None
        self._said = self._worked = 0.0
        self._slow_since: float | None = None
        self._is_told = False
        self.pace = Pace(watch.silent_s)

    @property
    def is_told(self) -> bool:
        """Whether a suspicion stands that the run has not outlived."""
        return self._is_told

    def see(self, look: Look, siblings: Sequence[float] = ()) -> Suspicion | None:
        """Take in a look; say what it gives reason to, once until the run has gone on.

        Args:
            look: Later than the one before.
            siblings: Seconds per step of runs that differ from this one in their seed alone.
        """
        before, self._last = self._last, look
        if before is None or look.time - before.time > self._gap:
            self._said = self._worked = look.time
            self._slow_since = None
            self.pace.interrupt()
            return None
        went_on = look.said != before.said or look.step != before.step
        if went_on:
            self._said = look.time
        if went_on or self._works(before, look):
            self._worked = look.time
        if look.step is not None:
            self.pace.see(look.time, look.step)
        found = self._silence(look) or self._slowness(look, siblings)
        if found is None:
            self._is_told = self._is_told and not went_on
            return None
        if self._is_told:
            return None
        self._is_told = found.found != SPINNING  # which is asked again until the stacks confirm it
        return found

    def confirm(self) -> None:
        """The stacks have confirmed the last suspicion: it is not said again until the run has gone on."""
        self._is_told = True

    def _works(self, before: Look, look: Look) -> bool:
        seconds = max(look.time - before.time, 1e-3)
        cpu = look.cpu_s - before.cpu_s
        is_computing = cpu < 0 or cpu / seconds > self._idle_cores  # less than before: processes came and went
        is_moving = look.moved < before.moved or (look.moved - before.moved) / seconds > IDLE_BYTES_S
        return is_computing or is_moving or (look.gpu_busy or 0.0) > IDLE_GPU

    def _silence(self, look: Look) -> Suspicion | None:
        silent_s, idle_s = look.time - self._said, look.time - self._worked
        if silent_s < self._watch.silent_s:
            return None
        if idle_s >= self._watch.silent_s:
            return Suspicion(IDLE, silent_s, f"no step, no output and no work for {in_minutes(idle_s)}")
        return Suspicion(SPINNING, silent_s, f"no step and no output for {in_minutes(silent_s)}, although it is busy")

    def _slowness(self, look: Look, siblings: Sequence[float]) -> Suspicion | None:
        if not self._watch.slower_than or look.step is None:
            return None
        text = self.pace.compare(look.time, self._watch.slower_than, siblings)
        if not text:
            self._slow_since = None
            return None
        self._slow_since = look.time if self._slow_since is None else self._slow_since
        lasts = look.time - self._slow_since >= self._watch.silent_s / 2
        return Suspicion(SLOW, look.time - self._said, text) if lasts else None


class Pace:
    """How long the steps of a run take, by the looks at which there were new ones."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._last: tuple[float, int] | None = None
        self._taken: list[tuple[float, float]] = []

    def interrupt(self) -> None:
        """The time until the next look says nothing."""
        self._last = None

    def see(self, time: float, step: int) -> None:
        """Take in the highest step so far."""
        if self._last is not None and step > self._last[1]:
            self._taken.append((time, (time - self._last[0]) / (step - self._last[1])))
            if len(self._taken) > KEPT:  # the old half is thinned; the recent past stays as it is
                self._taken[: KEPT // 2] = self._taken[: KEPT // 2 : 2]
        if self._last is None or step != self._last[1]:  # fewer than before: it counts anew
            self._last = (time, step)

    @property
    def seconds_per_step(self) -> float | None:
        """The median so far; None while too few are known."""
        return median(each for _, each in self._taken) if len(self._taken) >= LEAST_PAST else None

    def compare(self, now: float, factor: float, siblings: Sequence[float]) -> str:
        """Say that steps take `factor` times as long as before, or as those of most siblings; empty where not."""
        inside = sum(time > now - self._window_s for time, _ in self._taken)
        count = max(inside, LEAST_NOW)
        before, recent = self._taken[:-count], self._taken[-count:]
        if len(recent) < LEAST_NOW:
            return ""
        present = median(each for _, each in recent)
        if len(before) >= LEAST_PAST and present >= factor * (past := median(each for _, each in before)):
            return f"a step takes {rounded(present)} s, {present / past:.1f} times as long as before"
        if len(siblings) >= 3 and len(self._taken) >= LEAST_PAST and present >= factor * (usual := median(siblings)):
            others = counted(len(siblings), "other seed")
            return f"a step takes {rounded(present)} s, {present / usual:.1f} times as long as in {others}"
        return ""


PICTURES = 5
"""Times the stacks are taken of a run that is busy in silence, an eighth of `Watch.silent_s` apart: a program that
spends half of its time in collectives is seen in the same one so often once in thirty times, and speaks in between."""


def only_waits(before: Sequence[Rank], now: Sequence[Rank], seconds: float) -> bool:
    """Whether a run that is busy in silence only waits, by two of its pictures: every process stands where it stood,
    and whoever uses processor time does so in a call that waits for the others.

    Args:
        before: The processes at an earlier look.
        now: The same.
        seconds: Time in between.
    """
    known: Mapping[int, Rank] = {each.pid: each for each in before}
    if not now or set(known) != {each.pid for each in now}:
        return False
    waiting = [each for each in now if in_collective(each)]
    idle = [each for each in now if each.cpu_s - known[each.pid].cpu_s <= IDLE_CORES * seconds]
    return (
        bool(waiting)
        and all(same_place(known[each.pid], each) for each in now)
        and all(each in waiting or each in idle for each in now)
    )


def in_minutes(seconds: float) -> str:
    """``20 min``; less than two in seconds."""
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
