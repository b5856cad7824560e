"""From a sweep to its tasks: every combination once, in an order that never changes.

Cases, then sampled points, then zipped rows, then the grid in the order written (the last key varies fastest), and for
each combination its seeds, innermost.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from math import prod
from typing import Any

from hpc.core.expression import Expression, parse_expression
from hpc.core.identity import task_id
from hpc.core.placeholders import Template, parse_template, render_template
from hpc.core.spec import ExperimentSpec, Program, Sweep, Task, Value

Combination = Mapping[str, Value]
"""One grid point without its seed; a named case stands in it under ``case``."""

CASE = "case"
"""The name under which templates, conditions and the baseline see a case's id (`id` means the same)."""

MAX_TASKS = 100_000


def parameter_names(sweep: Sweep) -> tuple[str, ...]:
    """Give every swept name, in order of first appearance; the seed and the case's id are not among them."""
    sources = (*sweep.cases, *sweep.points, sweep.zipped, sweep.grid)
    return tuple(dict.fromkeys(name for source in sources for name in source if name != "id"))


def combination_count(sweep: Sweep) -> int:
    """Count the combinations before `where`, seeds not included, without making them."""
    rows = len(next(iter(sweep.zipped.values()), (None,)))
    return max(len(sweep.cases), 1) * max(len(sweep.points), 1) * rows * prod(len(v) for v in sweep.grid.values())


def combinations(sweep: Sweep) -> Iterator[Combination]:
    """Give every combination that `where` lets through.

    Raises:
        ValueError: `where` cannot be read, or not computed for one of them.
    """
    names = parameter_names(sweep)
    known = (*names, CASE, "id") if sweep.cases else names
    condition = parse_expression(sweep.where, known) if sweep.where else None
    for combination in _all_combinations(sweep):
        if condition is None or _holds(condition, combination):
            yield combination


def _holds(condition: Expression, combination: Combination) -> bool:
    try:
        return condition.holds(placeholder_values(combination))
    except ValueError as error:
        shown = ", ".join(f"{name}={value!r}" for name, value in combination.items())
        raise ValueError(f"'{condition.text}' cannot be computed for ({shown}): {error}") from None


def _all_combinations(sweep: Sweep) -> Iterator[Combination]:
    cases = [{CASE if name == "id" else name: value for name, value in case.items()} for case in sweep.cases] or [{}]
    points = sweep.points or ({},)
    rows = [dict(zip(sweep.zipped, row, strict=True)) for row in zip(*sweep.zipped.values(), strict=True)] or [{}]
    for case, point, row in product(cases, points, rows):
        for values in product(*sweep.grid.values()):
            yield {**case, **point, **row, **dict(zip(sweep.grid, values, strict=True))}


def placeholder_values(
    combination: Combination, seed: int | None = None, args: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Give what templates may name for one combination: fixed arguments, parameters, `seed`, `case` (also as `id`)."""
    values = {**(args or {}), **combination}
    if CASE in combination:
        values["id"] = combination[CASE]
    if seed is not None:
        values["seed"] = seed
    return values


def expand(spec: ExperimentSpec) -> tuple[Task, ...]:
    """Give every task of an experiment, in order.

    Raises:
        ValueError: `where` or the run name cannot be computed for a combination.
    """
    template = parse_template(spec.run_name)
    return tuple(
        _task(spec, template, combination, seed)
        for combination in combinations(spec.sweep)
        for seed in spec.sweep.seeds
    )


def make_task(spec: ExperimentSpec, combination: Combination, seed: int) -> Task:
    """Give the task of one combination and one seed, which need not be among the sweep's.

    Raises:
        ValueError: The run name cannot be computed for it.
    """
    return _task(spec, parse_template(spec.run_name), combination, seed)


def _task(spec: ExperimentSpec, template: Template, combination: Combination, seed: int) -> Task:
    parameters = {name: value for name, value in combination.items() if name != CASE}
    case = combination.get(CASE)
    return Task(
        task_id=task_id(program_identity(spec.program), {**parameters, "seed": seed}),
        run_name=render_template(template, placeholder_values(combination, seed, spec.program.args)),
        parameters=parameters,
        seed=seed,
        case=None if case is None else str(case),
    )


def program_identity(program: Program) -> dict[str, Any]:
    """Give the part of a task's identity that all tasks of an experiment share."""
    what = {"module": program.module} if program.module is not None else {"command": program.command}
    return {**what, "args": dict(program.args)}
