"""What each task asks of the scheduler: the experiment's resources, changed where a condition over its values holds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from hpc.core.experiment.expression import Expression, parse_expression
from hpc.core.experiment.grid import CASE, placeholder_values
from hpc.core.experiment.spec import ExperimentSpec, ResourceRule, Task
from hpc.core.resources import Resources, parse_memory, parse_time

READ: Mapping[str, tuple[str, Any]] = {
    "nodes": ("nodes", int), "gpus": ("gpus", int), "cpus": ("cpus", int), "mem": ("memory_mib", parse_memory),
    "time": ("time_s", parse_time), "disk": ("disk_mib", parse_memory),
}  # fmt: skip
"""Key in a file → field of `Resources`, and how its value is read."""


def resources_of(spec: ExperimentSpec, task: Task) -> Resources:
    """Return what a task asks for."""
    if not spec.resource_rules:
        return spec.resources
    return asked_with(spec.resources, spec.resource_rules, _values(spec.program.args, task))


def _values(args: Mapping[str, Any], task: Task) -> dict[str, Any]:
    case = {CASE: task.case} if task.case is not None else {}
    return placeholder_values({**case, **task.parameters}, task.seed, args)


def every_resources(spec: ExperimentSpec, tasks: Iterable[Task]) -> tuple[Resources, ...]:
    """Return the different resources that some tasks ask for, in order of first appearance."""
    if not spec.resource_rules:
        return (spec.resources,)
    return tuple(dict.fromkeys(resources_of(spec, task) for task in tasks)) or (spec.resources,)


def asked_with(base: Resources, rules: Sequence[ResourceRule], values: Mapping[str, Any]) -> Resources:
    """Change the resources by every rule that holds for these values, in order; a later one goes before an earlier."""
    for rule in rules:
        if _holds(rule.where, values):
            base = replace(base, **rule.changes)
    return base


def _holds(where: str, values: Mapping[str, Any]) -> bool:
    """Whether a condition holds; one over a parameter that this task has not, as with cases, does not."""
    try:
        return _condition(where, tuple(values)).holds(values)
    except ValueError:
        return False


@cache
def _condition(where: str, names: tuple[str, ...]) -> Expression:
    return parse_expression(where, names)


def read_rules(written: Sequence[Mapping[str, Any]]) -> tuple[ResourceRule, ...]:
    """Read the rules as a file or manifest holds them."""
    return tuple(ResourceRule(str(one["where"]), read_amounts(one)) for one in written)


def read_amounts(written: Mapping[str, Any]) -> dict[str, int]:
    """Read amounts as a file or manifest holds them, by the fields of `Resources`; what is not said is left out."""
    return {field: read(written[key]) for key, (field, read) in READ.items() if written.get(key) is not None}


def asked_of_tasks(spec: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]) -> list[Resources]:
    """Return what each task of a manifest asks for, by the manifest's own specification."""
    written = spec.get("resources") or {}
    base, rules = Resources(**read_amounts(written)), read_rules(written.get("for") or ())
    args = (spec.get("program") or {}).get("args") or {}
    read = (Task("", "", each["parameters"], each["seed"], each.get("case")) for each in tasks)
    return [asked_with(base, rules, _values(args, task)) if rules else base for task in read]
