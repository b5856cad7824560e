"""What tasks ask for: batch, resources, launcher, packs, and what a retry may change of them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from hpc.core.checks.draft import RESERVED, Draft, Finding, Rule
from hpc.core.checks.sweep import case_names
from hpc.core.errors import nearest
from hpc.core.experiment.asking import asked_with
from hpc.core.experiment.expression import parse_expression
from hpc.core.experiment.grid import Combination, parameter_names, placeholder_values
from hpc.core.experiment.processes import processes_of, starts_once
from hpc.core.experiment.program import Program
from hpc.core.experiment.spec import Sweep
from hpc.core.launch.launchers import LAUNCHERS
from hpc.core.launch.possible import NO_FP16, OURS, Asked, refusals
from hpc.core.launch.program import launcher_in
from hpc.core.retry.learned import LEARNING_RATE_NAMES
from hpc.core.words import counted


def check_batch(draft: Draft, _: Sequence[Combination]) -> Iterator[Finding]:
    """Find batches that cannot be divided among the processes."""
    batch, launch, resources = draft.batch, draft.launch, draft.resources
    if batch is None:
        return
    if draft.retry and draft.retry.min_micro > batch.micro:
        yield Finding(("retry", "oom_gpu", "min_micro"), f"is {draft.retry.min_micro}, above batch.micro {batch.micro}")
    if draft.program and draft.sweep:
        parameters = (*draft.program.args, *parameter_names(draft.sweep))
        for name in batch.shape or ():
            if name not in parameters:
                yield Finding(("batch", "shape"), f"the program has no parameter '{name}'; {nearest(name, parameters)}")
    if batch.micro > batch.global_size:
        yield Finding(("batch", "micro"), f"is {batch.micro}, more than the global batch of {batch.global_size}")
    elif launch and resources:
        found = processes_of(draft.program or Program(), launch, resources)
        step = batch.micro * found.total
        if batch.global_size % step:
            below, above = batch.global_size // step * step, -(-batch.global_size // step) * step
            valid = " or ".join(str(size) for size in (below, above) if size)
            yield Finding(
                ("batch", "global"),
                f"{batch.global_size} cannot be divided by micro × processes × nodes = {batch.micro} × "
                f"{found.per_node} × {found.nodes} = {step}; {valid} could",
            )


def check_resource_rules(draft: Draft, grid: Sequence[Combination]) -> Iterator[Finding]:
    """Find rules that cannot be computed, and those that hold for no task: a misspelt one would ask for too little."""
    if not draft.resource_rules or draft.sweep is None or draft.program is None:
        return
    names = (*draft.program.args, *parameter_names(draft.sweep), "seed", *case_names(draft.sweep))
    tasks = list(_tasks_of(draft.program, draft.sweep, grid))
    for position, rule in enumerate(draft.resource_rules):
        path = ("resources", "for", position, "where")
        try:
            condition = parse_expression(rule.where, names)
        except ValueError as error:
            yield Finding(path, str(error))
            continue
        try:
            held = sum(condition.holds(values) for values in tasks if set(condition.names) <= set(values))
        except ValueError as error:
            yield Finding(path, f"'{rule.where}' cannot be computed: {error}")
            continue
        if not held:
            yield Finding(
                path, f"'{rule.where}' is true for none of the {counted(len(tasks), 'task')}; leave it out, or fix it"
            )


def _tasks_of(program: Program, sweep: Sweep, grid: Sequence[Combination]) -> Iterator[dict[str, Any]]:
    """The values that each task has, its further seeds included."""
    seeds = (*sweep.seeds, *sweep.further_seeds)
    return (placeholder_values(one, seed, program.args) for one in grid for seed in seeds)


def check_for_every_resources(rule: "Rule") -> "Rule":
    """Check a rule once for each of the resources that tasks ask for."""

    def found(draft: Draft, grid: Sequence[Combination]) -> Iterator[Finding]:
        if draft.resources is None or not draft.resource_rules or draft.sweep is None or draft.program is None:
            return iter(rule(draft, grid))
        tasks = _tasks_of(draft.program, draft.sweep, grid)
        every = dict.fromkeys(asked_with(draft.resources, draft.resource_rules, values) for values in tasks)
        return iter(dict.fromkeys(each for asked in every for each in rule(replace(draft, resources=asked), grid)))

    return found


def check_divergence(draft: Draft, _: Sequence[Combination]) -> Iterator[Finding]:
    """Find changes after a divergence that could not be made, or that would never reach the program."""
    asked = draft.retry.divergence if draft.retry else None
    if asked is None or draft.program is None or draft.sweep is None:
        return
    path = ("retry", "divergence")
    parameters = (*draft.program.args, *parameter_names(draft.sweep))
    if asked.lower_learning_rate is not None and not set(LEARNING_RATE_NAMES) & set(parameters):
        yield Finding(path, f"lowers the learning rate, but no parameter is called {' or '.join(LEARNING_RATE_NAMES)}")
    for name in asked.set:
        if name in (*RESERVED, *draft.batch_names):
            yield Finding((*path, "set", name), f"'{name}' cannot be changed here: the name has another meaning")
        elif draft.program.command is not None and name not in parameters:
            yield Finding((*path, "set", name), f"the command has no {{{name}}}; {nearest(name, parameters)}")
    if asked.mixed_precision == "fp16" and draft.resources and not draft.resources.gpus:
        yield Finding((*path, "mixed_precision"), "fp16 needs a GPU, and resources.gpus is 0; write bf16 or no")
    elif asked.mixed_precision == "fp16" and draft.program.module in OURS:
        yield Finding((*path, "mixed_precision"), NO_FP16)


def check_launch(draft: Draft, grid: Sequence[Combination]) -> Iterator[Finding]:
    """Find launchers that cannot start what is asked for."""
    launch, resources = draft.launch, draft.resources
    if launch is None or resources is None:
        return
    program = draft.program or Program()
    halved = draft.retry.divergence.mixed_precision if draft.retry and draft.retry.divergence else ""

    def values(name: str) -> set[str]:
        given = (one.get(name, program.args.get(name)) for one in grid or [{}])
        return {str(value) for value in given if value is not None}

    asked = Asked(
        module=program.module or "",
        program=program,
        launch=launch,
        resources=resources,
        formats={launch.mixed_precision, halved or launch.mixed_precision},
        training_types=values("training_type"),
        halves_in_process="True" in values("oom_in_process"),
    )
    yield from (Finding(path, why) for path, why in refusals(asked))
    if resources.gpus and launch.processes and launch.processes > resources.gpus:
        yield Finding(
            ("launch", "processes"),
            f"{launch.processes} processes on a node would share {resources.gpus} GPU(s), which collective operations "
            "refuse; write auto, or ask for more GPUs",
        )
    yield from _check_own_launcher(draft)


def _check_own_launcher(draft: Draft) -> Iterator[Finding]:
    """Find a command that starts processes `batch` would not count: its global batch would be another one."""
    program, launch = draft.program, draft.launch
    if draft.batch is None or program is None or launch is None or not starts_once(program, launch):
        return
    if launch.processes is None and (name := launcher_in(program.command or "")):
        instead = f"launch: {{kind: {name}}}" if name in LAUNCHERS else "launch.processes"
        yield Finding(
            ("program", "command"),
            f"'{name}' starts its own processes, which `batch` cannot count; take it out of the command and write "
            f"{instead}, or leave out `batch` and give the batch sizes as arguments",
        )


def check_pack(draft: Draft, _: Sequence[Combination]) -> Iterator[Finding]:
    """Find packs that cannot be; what one asks for is bounded by the site, not here (`hpc.core.slurm.packing`)."""
    pack, resources, path = draft.pack, draft.resources, ("pack",)
    if pack.at_once > pack.tasks:
        yield Finding(
            (*path, "at_once"), f"is {pack.at_once}, more than pack.tasks {pack.tasks}; write at most {pack.tasks}"
        )
    if pack.tasks > 1 and resources and resources.nodes > 1:
        yield Finding(
            path,
            f"tasks of {counted(resources.nodes, 'node')} cannot share an element; leave pack out, or write nodes: 1",
        )
    if pack.tasks > 1 and draft.runtime == "pyxis":
        yield Finding(path, "container.runtime: pyxis starts a step of Slurm for each task; leave pack out")
