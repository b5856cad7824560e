"""Run names: a template that gives each task a name of its own, which is a file name too."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpc.core.checks.draft import Draft, Finding
from hpc.core.checks.names import missing_in_cases, unknown_placeholders
from hpc.core.checks.sweep import case_names
from hpc.core.checks.wording import combination_key, described, quoted, summed
from hpc.core.experiment.grid import TASK_ID, Combination, parameter_names, placeholder_values, run_name_of
from hpc.core.experiment.placeholders import Field, Template, field_names, parse_template
from hpc.core.experiment.program import Program
from hpc.core.experiment.slug import is_plain
from hpc.core.experiment.values import is_single, render_value
from hpc.core.layout import name_problem


def check_run_name(draft: Draft, grid: Sequence[Combination]) -> Iterator[Finding]:
    """Find run names that cannot be rendered, are no file names, or name two tasks."""
    if draft.run_name is None or draft.program is None or draft.sweep is None:
        return
    path = ("run_name",)
    try:
        template = parse_template(draft.run_name)
    except ValueError as error:
        yield Finding(path, str(error))
        return
    valid = (*draft.program.args, *parameter_names(draft.sweep), "seed", *case_names(draft.sweep), TASK_ID)
    wrong = [
        *unknown_placeholders(path, draft.run_name, field_names(template), valid),
        *missing_in_cases(path, field_names(template), draft.sweep),
    ]
    seeds = (*draft.sweep.seeds, *draft.sweep.further_seeds)
    yield from wrong or _check_rendered_names(template, draft.program, grid, seeds)


def _check_rendered_names(
    template: Template, program: Program, grid: Sequence[Combination], seeds: Sequence[int]
) -> Iterator[Finding]:
    owners: dict[str, tuple[str, Mapping[str, Any]]] = {}
    unsafe: dict[str, str] = {}
    doubles: list[str] = []
    for combination in grid:
        for seed in seeds:
            try:
                name = run_name_of(program, template, combination, seed)
            except ValueError as error:
                yield Finding(("run_name",), str(error))
                return
            if problem := name_problem(name):
                unsafe[name] = problem + _slug_hint(template, placeholder_values(combination, seed, program.args))
            owner = owners.setdefault(name.casefold(), (name, {**combination, "seed": seed}))
            if owner[1] != {**combination, "seed": seed}:
                doubles.append(_double(name, template, owner, {**combination, "seed": seed}))
    yield from summed(("run_name",), [f"{quoted(name)} {problem}" for name, problem in unsafe.items()])
    yield from summed(("run_name",), doubles)


def _slug_hint(template: Template, values: Mapping[str, Any]) -> str:
    """Say how values that are no file names can stand in a run name; empty where it is not they that are wrong."""
    plain = [part.name for part in template if isinstance(part, Field) and not part.spec]
    odd = [name for name in dict.fromkeys(plain) if name in values and not is_plain(render_value(values[name]))]
    odd = [name for name in odd if isinstance(values[name], str) or not is_single(values[name])]
    return f"; write {' and '.join(f'{{{name}:slug}}' for name in odd)}" if odd else ""


def _double(name: str, template: Template, first: tuple[str, Mapping[str, Any]], second: Mapping[str, Any]) -> str:
    differs = [
        key for key in second if combination_key({key: second[key]}) != combination_key({key: first[1].get(key)})
    ]
    missing = [f"{{{key}}}" for key in differs if key not in field_names(template)]
    if missing:
        remedy = f"add {' or '.join(missing)}"
    elif name != first[0]:
        remedy = "they differ only in case, which some file systems ignore"
    else:
        remedy = "its format hides the difference"
    return f"'{name}' would name both ({described(first[1])}) and ({described(second)}); {remedy}"
