"""What is asked of the results: baseline, metrics, ranges, criterion, acceptance."""

from collections.abc import Iterator, Mapping, Sequence

from hpc.core.checks.draft import MEASURED, Draft, Finding
from hpc.core.checks.names import check_words
from hpc.core.checks.wording import SHOWN, combination_key, described, repeated
from hpc.core.errors import nearest
from hpc.core.experiment.expression import parse_expression
from hpc.core.experiment.grid import CASE, Combination, parameter_names
from hpc.core.experiment.spec import Analysis, Metric, Metrics, Sweep, Value
from hpc.core.launch.program import script_positions, split_command
from hpc.core.question.baseline import agrees
from hpc.core.question.criterion import Question, bind, parse_criterion
from hpc.core.question.falsifiable import objections
from hpc.core.question.systems import ranged_parameter, values_named


def check_baseline(draft: Draft, grid: Sequence[Combination]) -> Iterator[Finding]:
    """Find baselines that are not in the sweep."""
    if draft.baseline is not None and draft.analysis is not None and draft.analysis.baseline_from:
        yield Finding(("baseline",), "is given here and by analysis.baseline_from; keep one of the two")
    if draft.baseline is None or draft.sweep is None:
        return
    valid = (*parameter_names(draft.sweep), *((CASE,) if draft.sweep.cases else ()))
    unknown = [name for name in draft.baseline if name not in valid]
    for name in unknown:
        yield Finding(("baseline", name), f"'{name}' is not swept; {nearest(name, valid) if valid else 'nothing is'}")
    if not unknown and not any(agrees(combination, draft.baseline) for combination in grid):
        listed = "; ".join(f"({described(one)})" for one in _nearest_combinations(draft.baseline, grid))
        yield Finding(("baseline",), f"({described(draft.baseline)}) is not in the sweep; nearest: {listed}")


def _nearest_combinations(baseline: Mapping[str, Value], grid: Sequence[Combination]) -> list[Combination]:
    """Return what the sweep has instead: fewest parameters that differ, then the smallest difference in numbers."""

    def distance(one: Combination) -> tuple[int, float]:
        wrong = [name for name, value in baseline.items() if not agrees(one, {name: value})]
        return len(wrong), sum(_gap(baseline[name], one.get(name)) for name in wrong)

    ranked = sorted(grid, key=distance)
    shared: list[Combination] = [{name: one[name] for name in baseline if name in one} for one in ranked]
    return list({combination_key(one): one for one in shared}.values())[:SHOWN]


def _gap(left: Value, right: Value) -> float:
    """How far two numbers are apart relative to the larger, from 0 to 2; anything else is as far as numbers can be."""
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        return 2.0
    return abs(left - right) / (max(abs(left), abs(right)) or 1)


def check_metrics(draft: Draft, _: Sequence[Combination]) -> Iterator[Finding]:
    """Find metrics that are listed twice, or that nothing writes."""
    if draft.metrics is None:
        return
    every: list[tuple[tuple[str | int, ...], Metric]] = [(("primary",), draft.metrics.primary)]
    every += [(("secondary", index), metric) for index, metric in enumerate(draft.metrics.secondary)]
    names = [metric.name for _, metric in every]
    for name in repeated(names):
        yield Finding(("metrics",), f"'{name}' is listed twice; keep one")
    known = draft.known_metrics
    for place, metric in every:
        if known is not None and metric.name not in (*known, *MEASURED):
            yield Finding(
                ("metrics", *place, "name"),
                f"nothing writes '{metric.name}'; {nearest(metric.name, (*known, *MEASURED))}",
            )


def check_range(draft: Draft, grid: Sequence[Combination]) -> Iterator[Finding]:
    """Every system has a range and every range a system: one without the other would leave the numbers unnoticed."""
    if draft.metrics is None or draft.sweep is None or not draft.metrics.primary.ranges:
        return
    path = ("metrics", "primary", "range")
    ranged = [system for system, _, _ in draft.metrics.primary.ranges]
    name = ranged_parameter(grid, draft.baseline, ranged)
    if name is None:
        yield Finding(path, f"names {', '.join(map(repr, ranged))}; no swept parameter has such a value")
        return
    valid = values_named(grid, name)
    for system in ranged:
        if system not in valid:
            yield Finding((*path, system), f"'{system}' is not a value of {name}; {nearest(system, valid)}")
    missing = [system for system in valid if system not in ranged]
    if missing:
        yield Finding(path, f"has none for {name} {', '.join(missing)}; every system needs its [low, high]")


def check_criterion(draft: Draft, grid: Sequence[Combination]) -> Iterator[Finding]:
    """Find criteria that cannot be read, or that no result could decide."""
    if draft.criterion is None or draft.sweep is None or draft.metrics is None or draft.analysis is None:
        return
    path = ("brief", "criterion")
    question = question_of(grid, draft.sweep, draft.metrics, draft.baseline, draft.analysis)
    try:
        rule = parse_criterion(draft.criterion)
        bind(rule, question)
    except ValueError as error:
        yield Finding(path, str(error))
        return
    yield from (Finding(path, message) for message in objections(rule, question))


def check_acceptance(draft: Draft, _: Sequence[Combination]) -> Iterator[Finding]:
    """Find an acceptance check that cannot be computed or started."""
    if draft.acceptance is None or draft.program is None or draft.sweep is None:
        return
    arguments = (*draft.program.args, *parameter_names(draft.sweep), "seed")
    if draft.acceptance.command:
        yield from check_words(("check", "command"), draft.acceptance.command, draft, draft.sweep, arguments)
    elif draft.metrics is not None:
        yield from _check_condition(draft.acceptance.expression, draft.metrics, arguments)


def _check_condition(text: str, metrics: Metrics, arguments: Sequence[str]) -> Iterator[Finding]:
    declared = [*(metric.name for metric in (metrics.primary, *metrics.secondary)), *MEASURED]
    try:
        used = parse_expression(text, [*declared, *arguments], "a declared metric, a parameter or an argument").names
    except ValueError as error:
        yield Finding(("check",), str(error))
        return
    for name in used:
        if name in declared and name in arguments:
            yield Finding(("check",), f"uses '{name}', which is a metric and a parameter; rename one of them")
    if not set(used) & set(declared):
        yield Finding(("check",), f"names no metric, so no run could fail it; name one of {', '.join(declared)}")


def check_sanity(draft: Draft, _: Sequence[Combination]) -> Iterator[Finding]:
    """Find words of the sanity ladder that would not reach the program."""
    if draft.sanity is None or draft.program is None or draft.sweep is None:
        return
    path = ("program", "sanity")
    command = draft.program.command
    if command and _runs_script(command):
        yield Finding(
            path, "is appended to program.command, where a shell script does not read it; call a script file instead"
        )
        return
    arguments = (*draft.program.args, *parameter_names(draft.sweep), "seed")
    yield from check_words(path, draft.sanity.words, draft, draft.sweep, arguments)


def _runs_script(command: str) -> bool:
    """Whether a shell reads a script in it; what cannot be split is said of the command itself."""
    try:
        return bool(script_positions(split_command(command)))
    except ValueError:
        return False


def question_of(
    grid: Sequence[Combination],
    sweep: Sweep,
    metrics: Metrics,
    baseline: Mapping[str, Value] | None,
    analysis: Analysis,
) -> Question:
    """Say what a criterion can speak of in an experiment."""
    declared = [metric.name for metric in (metrics.primary, *metrics.secondary)]
    return Question(
        combinations=grid,
        metrics=tuple(dict.fromkeys([*declared, *MEASURED])),
        baseline=baseline,
        has_stored_baseline=bool(analysis.baseline_from),
        runs=len(sweep.seeds) + len(sweep.further_seeds),
        has_margin=analysis.equivalence is not None or metrics.primary.meaningful is not None,
    )
