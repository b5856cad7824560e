"""What the log answers: values of a parameter, sides of a comparison with their trade-offs. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from hpc.core.errors import InputError, nearest
from hpc.core.history.command import same_value, value_key
from hpc.core.history.entries import Entry, State, goals_in
from hpc.core.history.metrics import (
    COST,
    LOSS,
    SCORE,
    Spread,
    deviation_of,
    goal_of,
    is_name,
    is_seed,
    kind_of,
    leading,
    mean_of,
    number,
    seed_spread,
)
from hpc.core.immutable import immutable
from hpc.core.words import counted, few, in_percent, rounded, with_spread

_ALIASES = (
    {"learning_rate", "lr"}, {"batch_size", "bs", "batch", "device_batch_size", "global_batch"},
    {"depth", "n_layer", "n_layers", "num_layers", "layers"}, {"width", "d_model", "n_embd", "hidden_size", "dim"},
    {"weight_decay", "wd"}, {"warmup", "warmup_steps", "warmup_ratio"}, {"optimizer", "optimiser", "optim"},
    {"dropout", "p_dropout"}, {"epochs", "num_epochs", "num_train_epochs", "n_epochs"}, {"heads", "n_head", "n_heads"},
    {"steps", "max_steps", "num_iterations", "max_iters", "iterations"}, {"lora_rank", "rank", "r"},
)  # fmt: skip
"""Names people give to one thing."""


def parameters_in(entries: Sequence[Entry]) -> list[str]:
    """Every parameter of the log, once, in order of first use."""
    return list(dict.fromkeys(name for entry in entries for name in entry.parameters))


def find_parameters(said: str, entries: Sequence[Entry]) -> list[str]:
    """The parameters that a name means: itself, its dotted end (``optimizer.lr``), or another name of the same thing.

    Raises:
        InputError: No run has such a parameter; the message lists those there are.
    """
    known = parameters_in(entries)
    words = "_".join(said.lower().replace("-", " ").split())
    forms = [words, words.removesuffix("s"), words.removesuffix("es")]
    same = next((group for group in _ALIASES for form in forms if form in group), set())
    for wanted in (set(forms), same):
        found = [name for name in known if name.lower() in wanted or name.lower().rpartition(".")[2] in wanted]
        if found:
            return found
    if not known:
        raise InputError("no run in the log has parameters yet; start one: python -m hpc.history start -- COMMAND")
    raise InputError(f"no run has a parameter '{said}'; {nearest(words, known)}")


_ORDER = {LOSS: 0, SCORE: 1, COST: 2}


@immutable
class Tried:
    """One value of a parameter.

    Attributes:
        value: As typed first.
        runs: Their ids.
        best: Metric → best value among them; the leading loss and the leading score.
        ended: How many of them have a result.
    """

    value: str
    runs: tuple[str, ...]
    best: Mapping[str, float]
    ended: int


def tried_values(name: str, entries: Sequence[Entry]) -> list[Tried]:
    """Each value of a parameter that was tried, in order of size."""
    groups: dict[object, list[Entry]] = {}
    for entry in entries:
        if name in entry.parameters:
            groups.setdefault(value_key(entry.parameters[name]), []).append(entry)
    ordered = sorted(groups.values(), key=lambda group: value_key(group[0].parameters[name]))
    return [
        Tried(
            group[0].parameters[name], tuple(entry.name for entry in group), _best_of(group),
            sum(bool(entry.results) for entry in group),
        )
        for group in ordered
    ]  # fmt: skip


def _best_of(group: Sequence[Entry]) -> dict[str, float]:
    found: dict[str, float] = {}
    for metric in (leading(entry.results, kind, entry.goals) for entry in group for kind in (LOSS, SCORE)):
        if metric and metric not in found:
            values = [entry.results[metric] for entry in group if metric in entry.results]
            found[metric] = min(values) if goal_of(metric, goals_in(group)) == "min" else max(values)
    return found


@immutable
class Side:
    """One side of a comparison.

    Attributes:
        label: As asked for.
        entries: Its runs.
    """

    label: str
    entries: tuple[Entry, ...]

    def values(self, metric: str) -> list[float]:
        """The final values of its runs."""
        return [entry.results[metric] for entry in self.entries if metric in entry.results]


def select(said: str, entries: Sequence[Entry]) -> Side:
    """The runs that ``depth=12`` or an id means; a run's own name will do where one experiment has it.

    Raises:
        InputError: There are none; the message says which there are.
    """
    found = [entry for entry in entries if entry.name == said]
    name, given, value = said.partition("=")
    if not given and not found:  # `depth=12` is a value first, whatever runs are called
        found = [entry for entry in entries if entry.name.endswith(f"/{said}")]
    if len(found) > 1:
        raise InputError(f"'{said}' is a run of several experiments; give one of {few([e.name for e in found], 8)}")
    if found:
        return Side(found[0].name, (found[0],))
    if not given:
        raise InputError(f"'{said}' is neither a run in the log nor PARAMETER=VALUE such as depth=12; {_some(entries)}")
    for parameter in find_parameters(name, entries):
        matching = tuple(
            entry for entry in entries
            if parameter in entry.parameters and same_value(entry.parameters[parameter], value)
        )  # fmt: skip
        if matching:
            return Side(f"{parameter}={value}", matching)
    parameters = find_parameters(name, entries)
    values = dict.fromkeys(tried.value for each in parameters for tried in tried_values(each, entries))
    raise InputError(f"no run has {said}; tried values: {few(list(values), 12)}")


def _some(entries: Sequence[Entry]) -> str:
    return f"the last runs: {few([entry.name for entry in reversed(entries)], 8)}" if entries else "the log is empty"


@immutable
class Comparison:
    """Sides beside each other.

    Attributes:
        sides: Two or more.
        metrics: In the order they are shown.
        differs: Other parameters that differ between the sides → their values, a text a side.
        words: What it comes to, one sentence each.
    """

    sides: tuple[Side, ...]
    metrics: tuple[str, ...]
    differs: Mapping[str, tuple[str, ...]]
    words: tuple[str, ...]


def compare(sides: Sequence[Side], entries: Sequence[Entry]) -> Comparison:
    """Hold sides against each other.

    Args:
        entries: All of the log: they tell how far runs scatter by their seed alone.
    """
    named = dict.fromkeys(metric for side in sides for entry in side.entries for metric in entry.results)
    goals = goals_in(entry for side in sides for entry in side.entries)
    metrics = tuple(sorted(named, key=lambda name: (_ORDER.get(kind_of(name, goals), len(_ORDER)), name)))
    differs = _differing(sides)
    spreads = {metric: seed_spread([entry.run for entry in entries], metric) for metric in metrics}
    return Comparison(tuple(sides), metrics, differs, tuple(_words(sides, metrics, differs, spreads)))


def cell(side: Side, metric: str) -> str:
    """``3.100 ± 0.020 (n 3)``; ``–`` where nothing was measured."""
    values = side.values(metric)
    if not values:
        return "–"
    spread = deviation_of(values)
    mean = mean_of(values)
    return number(mean) if spread is None else f"{with_spread(mean, spread)} (n {len(values)})"


def _differing(sides: Sequence[Side]) -> dict[str, tuple[str, ...]]:
    asked = {side.label.partition("=")[0] for side in sides}
    names = parameters_in([entry for side in sides for entry in side.entries])
    found = {}
    for name in names:
        values = [{entry.parameters.get(name, "not given") for entry in side.entries} for side in sides]
        keys = [frozenset(map(value_key, each)) for each in values]
        if not (name in asked or is_name(name) or is_seed(name)) and len(set(keys)) > 1:
            found[name] = tuple(", ".join(sorted(each, key=value_key)) for each in values)
    return found


def _words(
    sides: Sequence[Side],
    metrics: Sequence[str],
    differs: Mapping[str, Sequence[str]],
    spreads: Mapping[str, Spread | None],
) -> Iterator[str]:
    wins: dict[str, list[str]] = {}
    goals = goals_in(entry for side in sides for entry in side.entries)
    for metric in metrics:
        having = [side for side in sides if side.values(metric)]
        goal = goal_of(metric, goals)
        if len(having) < 2 or not goal:
            continue
        means = {side.label: mean_of(side.values(metric)) for side in having}
        ordered = sorted(means, key=lambda label: means[label] if goal == "min" else -means[label])
        first, second = ordered[:2]
        if means[first] == means[second]:
            yield f"{metric}: {first} and {second} are the same, {number(means[first])}"
            continue
        wins.setdefault(first, []).append(metric)
        against = f"{number(means[first])} against {number(means[second])}"
        yield f"{metric}: {first} is better, {against}{_apart(means[first], means[second], spreads[metric])}"
    yield from _trade_off(wins)
    for side in sides:
        lost = [entry for entry in side.entries if entry.state in (State.DIVERGED, State.FAILED)]
        if lost:
            of = counted(len(side.entries), "run")
            yield f"{side.label}: {len(lost)} of {of} diverged or failed, and are in no mean"
    if differs:
        told = few([f"{name} ({' | '.join(values)})" for name, values in differs.items()])
        yield f"They also differ in {told}; the effects cannot be separated here"


def _apart(first: float, second: float, spread: Spread | None) -> str:
    relative = f" ({in_percent(100 * (first - second) / abs(second))}%)" if second else ""
    if spread is None:
        return f"{relative}; without a known seed spread, some of it may be chance"
    if not spread.deviation:
        return relative
    times = rounded(abs(first - second) / spread.deviation, 2)
    return f"{relative}; {times} times the seed spread {rounded(spread.deviation, 2)}"


def _trade_off(wins: Mapping[str, Sequence[str]]) -> Iterator[str]:
    if len(wins) > 1:
        told = "; ".join(f"{label} for {', '.join(metrics)}" for label, metrics in wins.items())
        yield f"Trade-off: {told}"
    elif wins:
        (label, metrics), *_ = wins.items()
        measured = "what was measured" if len(metrics) == 1 else f"all {counted(len(metrics), 'result')}"
        cost = "" if any(kind_of(metric) == COST for metric in metrics) else "; time and memory are not known for both"
        yield f"No trade-off: {label} is better in {measured}{cost}"
