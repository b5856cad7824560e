"""Which way a result is better, what a log says at its end, and how far runs scatter by their seed alone. Pure."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from types import MappingProxyType

from hpc.core.immutable import immutable
from hpc.core.program.naming import known_goal
from hpc.core.words import counted, in_percent, rounded

LOSS, SCORE, COST = "loss", "score", "cost"
_COSTS = {"time", "seconds", "minutes", "hours", "duration", "memory", "mib", "gib", "mb", "gb"}
_MORE_IS_BETTER = {"throughput", "mfu"}
_SCORES = {"core"}
_RATE = re.compile(r"per_?s(ec(ond)?)?\b|/s(ec)?\b")
_HELD_OUT = ("val", "valid", "validation", "test", "eval", "dev")
SEEDS = frozenset({"seed", "random_seed", "rng_seed", "manual_seed", "torch_seed"})
NAMES = frozenset({
    "run", "run_name", "name", "exp_name", "experiment_name", "job_name", "wandb_name", "wandb_run", "wandb_run_name",
    "output_dir", "out_dir", "outdir", "out", "output", "save_dir", "log_dir", "logdir", "ckpt_dir", "checkpoint_dir",
    "model_tag",
})  # fmt: skip
"""Parameters that say what a run is called or where it writes: they make no other run of it."""
_PAIR = re.compile(
    r"(?<![\w./-])(?P<name>[A-Za-z][\w./-]*"
    r"(?: (?:loss|acc|accuracy|score|error|ppl|perplexity|reward|return|f1|auc|bpb))?)"
    r"[\"']?\s*[:=]\s*"
    r"(?P<value>[+-]?(?:\d[\d,]*\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|nan|inf(?:inity)?))(?![\w.]|[:-]\d)",
    re.IGNORECASE,
)
_STEP = re.compile(r"\b(?:global_step|step|steps|iter|iteration|it)\b[\"']?\s*[:=#]?\s*(\d+)", re.IGNORECASE)


def kind_of(name: str, goals: Mapping[str, str] = MappingProxyType({})) -> str:
    """What a result is: ``loss``, ``score``, ``cost`` (time, memory, speed); empty for no idea.

    Args:
        goals: Metric → ``min`` or ``max`` where an experiment declares it; else its name says.
    """
    declared = {"min": LOSS, "max": SCORE}.get(goals.get(name, ""))
    return declared or _kind_by_name(name)


@cache
def _kind_by_name(name: str) -> str:
    goal, words = known_goal(name), set(re.findall(r"[a-z]+", name.lower().replace("_", " ")))
    if goal:
        return LOSS if goal == "min" else SCORE
    if words & _SCORES:
        return SCORE
    return COST if words & (_COSTS | _MORE_IS_BETTER) or _RATE.search(name.lower()) else ""


def goal_of(name: str, goals: Mapping[str, str] = MappingProxyType({})) -> str:
    """``min`` or ``max``; empty where nobody declares it and the name does not say which is better."""
    kind = kind_of(name, goals)
    if kind == COST:
        words = set(re.findall(r"[a-z]+", name.lower().replace("_", " ")))
        return "max" if words & _MORE_IS_BETTER or _RATE.search(name.lower()) else "min"
    return {LOSS: "min", SCORE: "max"}.get(kind, "")


def leading(results: Mapping[str, float], kind: str, goals: Mapping[str, str] = MappingProxyType({})) -> str:
    """The result of a kind that counts most: what an experiment decides by, then what was measured on held-out data,
    then the shortest name; empty for none.
    """
    names = [name for name in results if kind_of(name, goals) == kind]
    return min(names, key=lambda name: (name not in goals, not _is_held_out(name), len(name), name), default="")


def _is_held_out(name: str) -> bool:
    return bool(set(re.findall(r"[a-z]+", name.lower().replace("_", " "))) & set(_HELD_OUT))


def is_seed(parameter: str) -> bool:
    """Whether a parameter is the seed: ``seed``, ``trainer.seed``."""
    return parameter.lower().rpartition(".")[2] in SEEDS


def is_name(parameter: str) -> bool:
    """Whether a parameter says what a run is called or where it writes; see `NAMES`."""
    return parameter.lower().rpartition(".")[2] in NAMES


@immutable
class Ending:
    """What a log says at its end.

    Attributes:
        results: Metric → the last value of it; losses, scores and costs by their names.
        lost: Metrics whose last value is no number (nan, inf).
        step: The last step that a line names; None where none does.
        lost_step: The step where a metric of `lost` was first no number any more; None where it is not said.
    """

    results: Mapping[str, float]
    lost: tuple[str, ...] = ()
    step: int | None = None
    lost_step: int | None = None


def read_ending(lines: Iterable[str]) -> Ending:
    """Read the last values of a log with the usual ``name: value`` or ``name=value``."""
    last: dict[str, float] = {}
    since: dict[str, int | None] = {}
    step: int | None = None
    for line in lines:
        named = _STEP.search(line)
        step = int(named[1]) if named else step
        for pair in _PAIR.finditer(line):
            name, value = re.sub(r"[\s-]+", "_", pair["name"].strip()), float(pair["value"].replace(",", ""))
            if kind_of(name):
                if math.isfinite(value):
                    since.pop(name, None)
                else:
                    since.setdefault(name, step)
                last[name] = value
    lost = tuple(name for name, value in last.items() if not math.isfinite(value))
    finite = {name: value for name, value in last.items() if math.isfinite(value)}
    steps = [found for name in lost if (found := since[name]) is not None]
    return Ending(finite, lost, step, min(steps, default=None))


@immutable
class Run:
    """One run as statistics see it.

    Attributes:
        name: Its id.
        program: What trained.
        parameters: As typed, the seed included.
        results: Final values, all finite.
    """

    name: str
    program: str
    parameters: Mapping[str, str]
    results: Mapping[str, float]


@immutable
class Spread:
    """How far runs scatter that differ by their seed only.

    Attributes:
        deviation: Sample standard deviation, pooled over the groups.
        runs: In all groups.
        groups: Settings that were run with several seeds.
    """

    deviation: float
    runs: int
    groups: int

    def __str__(self) -> str:
        """``0.012 (standard deviation of 3 runs that differ by seed only)``."""
        settings = f", in {counted(self.groups, 'setting')}" if self.groups > 1 else ""
        runs = counted(self.runs, "run")
        return f"{rounded(self.deviation, 2)} (standard deviation of {runs} that differ only in the seed{settings})"


def settings_of(run: Run) -> tuple[str, tuple[tuple[str, str], ...]]:
    """What makes a run another one than its seed and its name: program and parameters, comparable."""
    own = sorted((name, value) for name, value in run.parameters.items() if not (is_seed(name) or is_name(name)))
    return run.program, tuple(own)


def seed_of(run: Run) -> str | None:
    """The seed as typed; None where the command names none."""
    return next((value for name, value in run.parameters.items() if is_seed(name)), None)


def seed_spread(runs: Sequence[Run], metric: str) -> Spread | None:
    """Pool the variance over settings that ran with several seeds; None where none did."""
    groups: dict[object, dict[str | None, float]] = {}
    for run in runs:
        if metric in run.results:
            groups.setdefault(settings_of(run), {})[seed_of(run)] = run.results[metric]
    several = [list(group.values()) for group in groups.values() if len(group) > 1]
    if not several:
        return None
    squares = math.fsum((value - mean_of(group)) ** 2 for group in several for value in group)
    freedom = sum(len(group) - 1 for group in several)
    return Spread(math.sqrt(squares / freedom), sum(map(len, several)), len(several))


def mean_of(values: Sequence[float]) -> float:
    """The arithmetic mean of at least one value."""
    return math.fsum(values) / len(values)


def deviation_of(values: Sequence[float]) -> float | None:
    """Sample standard deviation; None for one value."""
    if len(values) < 2:
        return None
    mean = mean_of(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def number(value: float) -> str:
    """A result as it is shown."""
    return f"{value:.6g}"


@immutable
class Standing:
    """One result of a run beside those before it.

    Attributes:
        metric: Its name.
        value: The result.
        goal: ``min`` or ``max``.
        before: Earlier runs of this program that have the metric.
        best: The best of them, id and value; None where there is none.
        spread: Of the seed, among them and this one; None where it is not known.
        only_seed: Whether this run differs from `best` by its seed only.
    """

    metric: str
    value: float
    goal: str
    before: int
    best: tuple[str, float] | None
    spread: Spread | None
    only_seed: bool = False

    @property
    def margin(self) -> float:
        """By how much it is better than the best before; negative where it is worse."""
        if self.best is None:
            return 0.0
        return self.best[1] - self.value if self.goal == "min" else self.value - self.best[1]

    @property
    def is_best(self) -> bool:
        """Whether it is better than every run before."""
        return self.best is not None and self.margin > 0

    def __str__(self) -> str:
        """One or two sentences."""
        shown = f"{self.metric} {number(self.value)}"
        if self.best is None:
            return f"{shown}: the first run of this program with this result"
        name, value = self.best
        relative = f" ({in_percent(100 * self.margin / value, sign=False)}%)" if value else ""
        margin = f"{number(abs(self.margin))}{relative}"
        if not self.margin:
            return f"{shown}: the same as the best so far, {name}"
        if not self.is_best:
            return f"{shown}: not the best; {name} has {number(value)}, better by {margin}"
        return f"{shown}: new best, better than {name} ({number(value)}) by {margin}. {self._beside_the_spread()}"

    def _beside_the_spread(self) -> str:
        if self.only_seed:
            return "The two differ only in the seed: that is chance, not a better setting"
        if self.spread is None:
            return "No seed spread is known: run one setting with several seeds to see how much is chance"
        if not self.spread.deviation:
            return f"The margin exceeds the seed spread {self.spread}"
        times = self.margin / self.spread.deviation
        said = f"{rounded(times, 2)} times the seed spread {self.spread}"
        if times >= 2:
            return f"The margin exceeds it: {said}"
        if times >= 1:
            return f"The margin barely exceeds it, which is suggestive but inconclusive: {said}"
        return f"The margin does not exceed it, so it may be chance: {said}"


def stand(
    run: Run, earlier: Sequence[Run], metric: str, goals: Mapping[str, str] = MappingProxyType({})
) -> Standing | None:
    """Hold a result against the earlier runs of the same program; None for a metric that is no loss and no score."""
    if kind_of(metric, goals) not in (LOSS, SCORE) or metric not in run.results:
        return None
    goal = goal_of(metric, goals)
    others = [each for each in earlier if each.program == run.program and metric in each.results]
    best = (min if goal == "min" else max)(others, key=lambda each: each.results[metric], default=None)
    return Standing(
        metric, run.results[metric], goal, len(others), (best.name, best.results[metric]) if best else None,
        seed_spread([*others, run], metric),
        best is not None and settings_of(best) == settings_of(run) and seed_of(best) != seed_of(run),
    )  # fmt: skip


def best_runs(runs: Sequence[Run], metric: str, goal: str) -> list[Run]:
    """Runs with a result, the best first."""
    having = [run for run in runs if metric in run.results]
    return sorted(having, key=lambda run: run.results[metric] if goal == "min" else -run.results[metric])


def describe_count(runs: Sequence[Run]) -> str:
    """How many runs, of how many programs."""
    programs = {run.program for run in runs}
    of = f" of {counted(len(programs), 'program')}" if len(programs) > 1 else ""
    return f"{counted(len(runs), 'run')}{of}"
