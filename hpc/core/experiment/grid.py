"""From a sweep to its tasks: every combination once, in an order that never changes.

Cases, then sampled points, then zipped rows, then the grid in the order written (the last key varies fastest), and for
each combination its seeds, innermost.
"""

from collections.abc import Hashable, Iterator, Mapping
from itertools import product
from math import prod
from typing import Any

from hpc.core.experiment.expression import Expression, parse_expression
from hpc.core.experiment.placeholders import Field, Template, field_names, parse_template, render_template
from hpc.core.experiment.program import TRUE_FALSE, Program
from hpc.core.experiment.spec import ExperimentSpec, Sweep, Task, Value
from hpc.core.experiment.values import value_key
from hpc.core.identity import task_id

Combination = Mapping[str, Value]
"""One grid point without its seed; a named case stands in it under ``case``."""

CASE = "case"
"""The name under which templates, conditions and the baseline see a case's id (`id` means the same)."""

TASK_ID = "task_id"
"""The name under which a run name sees the task's id: short, unique, and the same however the sweep grows."""

ABSENT = "none"
"""What a run name says of a parameter that this task has not."""

MAX_TASKS = 100_000

_IDENTIFYING: Mapping[str, Any] = {"workdir": ".", "booleans": TRUE_FALSE, "config": None}
"""Settings of a program that make it another one, with their defaults."""


def parameter_names(sweep: Sweep) -> tuple[str, ...]:
    """Return every swept name, in order of first appearance; the seed and the case's id are not among them."""
    sources = (*sweep.cases, *sweep.points, sweep.zipped, sweep.grid)
    return tuple(dict.fromkeys(name for source in sources for name in source if name != "id"))


def combination_count(sweep: Sweep) -> int:
    """Count the combinations before `where`, seeds not included, without making them."""
    rows = len(next(iter(sweep.zipped.values()), (None,)))
    return max(len(sweep.cases), 1) * max(len(sweep.points), 1) * rows * prod(len(v) for v in sweep.grid.values())


def combinations(sweep: Sweep) -> Iterator[Combination]:
    """Return every combination that `where` lets through, each with the parameters that `when` leaves it, once.

    Raises:
        ValueError: A condition cannot be read, or not computed for one of them.
    """
    condition = condition_over(sweep, sweep.where) if sweep.where else None
    optional = {name: condition_over(sweep, text) for name, text in sweep.when.items()}
    seen: set[Hashable] = set()
    for combination in _all_combinations(sweep):
        if condition is not None and not _holds(condition, combination):
            continue
        absent = [name for name, wanted in optional.items() if not _holds(wanted, combination)]
        left = {name: value for name, value in combination.items() if name not in absent}
        key = value_key(left) if optional else None
        if key is None or key not in seen:
            yield left
        seen.add(key)


def condition_over(sweep: Sweep, text: str) -> Expression:
    """Read a condition over the sweep's parameters.

    Raises:
        ValueError: It is none.
    """
    names = parameter_names(sweep)
    return parse_expression(text, (*names, CASE, "id") if sweep.cases else names)


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
    """Return what templates may name for one combination: fixed arguments, parameters, `seed`, `case` (or `id`)."""
    values = {**(args or {}), **combination}
    if CASE in combination:
        values["id"] = combination[CASE]
    if seed is not None:
        values["seed"] = seed
    return values


def expand(spec: ExperimentSpec) -> tuple[Task, ...]:
    """Return every task of an experiment, in order.

    Raises:
        ValueError: `where` or the run name cannot be computed for a combination.
    """
    template, identity = parse_template(spec.run_name), program_identity(spec.program)
    return tuple(
        _task(spec, template, identity, combination, seed)
        for combination in combinations(spec.sweep)
        for seed in spec.sweep.seeds
    )


def make_task(spec: ExperimentSpec, combination: Combination, seed: int) -> Task:
    """Return the task of one combination and one seed, which need not be among the sweep's.

    Raises:
        ValueError: The run name cannot be computed for it.
    """
    return _task(spec, parse_template(spec.run_name), program_identity(spec.program), combination, seed)


def _task(
    spec: ExperimentSpec, template: Template, identity: Mapping[str, Any], combination: Combination, seed: int
) -> Task:
    parameters = {name: value for name, value in combination.items() if name != CASE}
    case = combination.get(CASE)
    return Task(
        task_id=task_id(identity, {**parameters, "seed": seed}),
        run_name=run_name_of(spec.program, template, combination, seed),
        parameters=parameters,
        seed=seed,
        case=None if case is None else str(case),
    )


def run_name_of(program: Program, template: Template, combination: Combination, seed: int) -> str:
    """Return the name of one task's folder.

    Raises:
        ValueError: A format does not fit its value.
    """
    values = placeholder_values(combination, seed, program.args)
    if TASK_ID in field_names(template):
        values[TASK_ID] = combination_id(program, combination, seed)
    absent = {name for name in program.optional if name not in values}
    if absent:
        template = tuple(ABSENT if isinstance(part, Field) and part.name in absent else part for part in template)
    return render_template(template, values)


def combination_id(program: Program, combination: Combination, seed: int) -> str:
    """Return the id of the task of one combination and seed; a case is known by its parameters."""
    parameters = {name: value for name, value in combination.items() if name != CASE}
    return task_id(program_identity(program), {**parameters, "seed": seed})


def program_identity(program: Program) -> dict[str, Any]:
    """Return the part of a task's identity that all tasks of an experiment share."""
    config = {"config": {**vars(program.config)}} if program.config else {}
    return identity_of({**vars(program), **config})


def identity_of(program: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same of a program as a manifest holds it; what is left at its default is no part of it."""
    what = "command" if program.get("module") is None else "module"
    said = {name: program.get(name, default) for name, default in _IDENTIFYING.items()}
    changed = {name: value for name, value in said.items() if value != _IDENTIFYING[name]}
    return {what: program.get(what), **changed, "args": dict(program.get("args") or {})}
