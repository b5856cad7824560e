"""When a run counts as hung or slow: what must never be told of runs that are well, over many shapes of them."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from hpc.core.experiment.program import Watch
from hpc.core.records.watch import Frame, Rank
from hpc.core.watching.judge import IDLE, SLOW, SPINNING, Judge, Look, only_waits

EVERY_S = 60.0
"""Between two looks, with the default of 20 minutes."""
HOURS = 8
MINUTE, HOUR = 60.0, 3600.0
WATCH = Watch(silent_s=1200, slower_than=3.0)


@dataclass
class Phase:
    """What a run does for a while.

    Attributes:
        seconds: How long.
        step_s: Seconds a step takes; 0: no steps.
        cores: Cores it keeps busy.
        bytes_s: Bytes it moves a second.
    """

    seconds: float
    step_s: float = 0.0
    cores: float = 0.0
    bytes_s: float = 0.0


Shape = Callable[[random.Random], Iterator[Phase]]


def steady(chance: random.Random) -> Iterator[Phase]:
    """Steps and nothing else, of some length between a twentieth of a second and five minutes."""
    yield Phase(HOURS * HOUR, chance.choice([0.05, 1, 10, 60, 300]), cores=1)


def with_evaluations(chance: random.Random) -> Iterator[Phase]:
    """Evaluations up to an hour long, in which nothing is logged; the GPU's driver keeps a core busy."""
    step_s, pause = chance.uniform(0.1, 20), chance.uniform(1, 60) * MINUTE
    while True:
        yield Phase(chance.uniform(5, 60) * MINUTE, step_s, cores=1)
        yield Phase(pause * chance.uniform(0.8, 1.2), cores=chance.uniform(0.5, 8))


def with_checkpoints(chance: random.Random) -> Iterator[Phase]:
    """Checkpoints to a slow file system: up to half an hour without a step, and hardly a processor at work."""
    step_s, mib = chance.uniform(0.5, 30), chance.uniform(1, 500)
    while True:
        yield Phase(chance.uniform(10, 90) * MINUTE, step_s, cores=1)
        yield Phase(chance.uniform(0.2, 30) * MINUTE, cores=0.05, bytes_s=mib * 2**20)


def slow_start(chance: random.Random) -> Iterator[Phase]:
    """Data staged and a model compiled in silence, and first steps that take ten times as long as those after."""
    yield Phase(chance.uniform(1, 60) * MINUTE, cores=0.06, bytes_s=2**22)
    yield Phase(chance.uniform(1, 60) * MINUTE, cores=chance.uniform(0.9, 16))
    step_s = chance.uniform(0.5, 10)
    yield Phase(chance.uniform(1, 20) * MINUTE, 10 * step_s, cores=1)
    yield Phase(HOURS * HOUR, step_s, cores=1)


def waits_for_data(chance: random.Random) -> Iterator[Phase]:
    """A loader that starves now and then: up to fifteen minutes in which nothing moves at all."""
    step_s = chance.uniform(0.5, 10)
    while True:
        yield Phase(chance.uniform(5, 40) * MINUTE, step_s, cores=1)
        yield Phase(chance.uniform(0, 15) * MINUTE, cores=0.02)


def noisy(chance: random.Random) -> Iterator[Phase]:
    """A shared node: the length of a step wanders by a factor of two and a half."""
    base = chance.uniform(0.5, 10)
    while True:
        yield Phase(chance.uniform(1, 20) * MINUTE, base * chance.uniform(1, 2.5), cores=1)


def longer_sequences(chance: random.Random) -> Iterator[Phase]:
    """A curriculum: steps grow longer by and by, three times in all."""
    base = chance.uniform(0.5, 5)
    for part in range(20):
        yield Phase(HOURS * HOUR / 20, base * (1 + 2 * part / 20), cores=1)


def looks_of(phases: Iterator[Phase], hours: float = HOURS) -> Iterator[Look]:
    """What the wrapper sees of a run, once a minute."""
    time, done, cpu, moved, left = 0.0, 0.0, 0.0, 0.0, 0.0
    phase = Phase(0)
    while time < hours * HOUR:
        wanted = EVERY_S
        while wanted > 0:
            if left <= 0:
                phase = next(phases, Phase(HOURS * HOUR, 1, cores=1))
                left = phase.seconds
            part = min(wanted, left)
            done += part / phase.step_s if phase.step_s else 0
            cpu, moved = cpu + part * phase.cores, moved + part * phase.bytes_s
            wanted, left = wanted - part, left - part
        time += EVERY_S
        yield Look(time, int(done), cpu, int(moved), None, int(done))


def told_of(phases: Iterator[Phase], watch: Watch = WATCH, hours: float = HOURS) -> list[tuple[str, float]]:
    """What is told of a run, and when; where it is busy in silence, its stacks show that it works."""
    judge = Judge(watch, EVERY_S)
    found = [(judge.see(look), look.time) for look in looks_of(phases, hours)]
    return [(each.found, time) for each, time in found if each is not None and each.found != SPINNING]


SHAPES = (steady, with_evaluations, with_checkpoints, slow_start, waits_for_data, noisy, longer_sequences)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_alarm_is_false(shape: Shape) -> None:
    """In 12 runs of eight hours of each shape: none. docs/watch.md states the rate."""
    assert [each for seed in range(12) if (each := told_of(shape(random.Random(seed))))] == []  # noqa: S311  no secret


@pytest.mark.parametrize("shape", SHAPES)
def test_a_hang_is_told_in_time(shape: Shape) -> None:
    """Whatever the run was like before: once it stands still, it is told within the time given and two looks."""
    for seed in range(4):
        chance = random.Random(seed)  # noqa: S311  likewise
        before = chance.uniform(0.5, 3) * HOUR

        def phases(chance: random.Random = chance, before: float = before) -> Iterator[Phase]:
            left = before
            for phase in shape(chance):
                yield Phase(min(phase.seconds, left), phase.step_s, phase.cores, phase.bytes_s)
                left -= phase.seconds
                if left <= 0:
                    break
            yield Phase(HOURS * HOUR, cores=0.03)

        [(found, time)] = told_of(phases(), hours=before / HOUR + 1)
        assert found == IDLE
        assert before < time <= before + WATCH.silent_s + 2 * EVERY_S


@pytest.mark.parametrize("factor", [3.5, 10])
def test_a_slow_run_is_told(factor: float) -> None:
    """From one hour to the next each step takes so many times as long."""
    [(found, time)] = told_of(iter([Phase(3 * HOUR, 2, cores=1), Phase(5 * HOUR, 2 * factor, cores=1)]))

    assert found == SLOW
    assert 3 * HOUR < time < 3 * HOUR + 2 * WATCH.silent_s


def test_a_run_that_was_always_slow_is_told_by_its_siblings() -> None:
    judge = Judge(WATCH, EVERY_S)
    found = [judge.see(look, (2.0, 2.1, 1.9)) for look in looks_of(iter([Phase(2 * HOUR, 9, cores=1)]), 2)]

    [told] = [each for each in found if each]
    assert told.found == SLOW
    assert told.text == "a step takes 8.57 s, 4.3 times as long as in 3 other seeds"


def test_the_time_in_which_the_wrapper_was_stopped_is_no_silence() -> None:
    """A suspended job: everything stood still, the clock did not."""
    judge = Judge(WATCH, EVERY_S)

    assert judge.see(Look(0, 1)) is None
    assert judge.see(Look(60, 1)) is None
    assert judge.see(Look(60 + 5 * HOUR, 1)) is None
    assert judge.see(Look(120 + 5 * HOUR, 1)) is None


def test_a_hang_is_told_once_until_the_run_has_gone_on() -> None:
    judge = Judge(WATCH, EVERY_S)
    said = [0] * 50 + [1] * 50

    told = [minute for minute, each in enumerate(said) if judge.see(Look(60 * minute, each))]

    assert told == [20, 70]


def rank(number: int, *functions: str, cpu_s: float = 0.0, line: int = 7) -> Rank:
    """A process that stands in these functions, the one at work first."""
    return Rank(str(number), 100 + number, frames=tuple(Frame(each, "a.py", line) for each in functions), cpu_s=cpu_s)


BEFORE = (rank(0, "step", "all_reduce", "train"), rank(1, "load", "train"))
NOW = {
    "all wait": ((rank(0, "poll", "all_reduce", "train", cpu_s=60), rank(1, "load", "train")), True),
    "the odd one works": ((rank(0, "step", "all_reduce", "train"), rank(1, "load", "train", cpu_s=60)), False),
    "the odd one is elsewhere": ((rank(0, "step", "all_reduce", "train"), rank(1, "save", "train")), False),
    "another call": ((rank(0, "step", "all_reduce", "validate", cpu_s=60), rank(1, "load", "train")), False),
    "nobody waits for others": ((rank(0, "step", "train"), rank(1, "load", "train")), False),
    "another process": ((rank(0, "step", "all_reduce", "train"), rank(2, "load", "train")), False),
    "none": ((), False),
}


@pytest.mark.parametrize("name", NOW)
def test_what_is_busy_in_silence_hangs_where_it_only_waits(name: str) -> None:
    now, waits = NOW[name]

    assert only_waits(BEFORE, now, 60.0) is waits
