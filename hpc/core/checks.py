"""What must hold between the parts of an experiment, each part being valid in itself.

Every check is a pure generator over a `Draft`; a part that is missing or was already found wrong is None, and the
checks that need it are silent, so one mistake is reported once.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hpc.core.errors import nearest
from hpc.core.experiment.asking import asked_with
from hpc.core.experiment.expression import parse_expression
from hpc.core.experiment.grid import (
    CASE,
    MAX_TASKS,
    TASK_ID,
    Combination,
    combination_count,
    combinations,
    parameter_names,
    placeholder_values,
    run_name_of,
)
from hpc.core.experiment.placeholders import RUN, Field, Template, field_names, parse_template, render_words
from hpc.core.experiment.processes import processes_of, starts_once
from hpc.core.experiment.program import Launch, Program
from hpc.core.experiment.slug import is_plain
from hpc.core.experiment.spec import (
    Analysis,
    Batch,
    Check,
    Metric,
    Metrics,
    ResourceRule,
    RetryPolicy,
    Sanity,
    Sweep,
    Value,
)
from hpc.core.experiment.values import is_single, render_value, value_key
from hpc.core.launch.config_file import (
    content_problems,
    experiments_named,
    is_block,
    keys_of,
    names_taken,
    placeholders,
)
from hpc.core.launch.launchers import LAUNCHERS
from hpc.core.launch.possible import NO_FP16, OURS, Asked, refusals
from hpc.core.launch.program import (
    CONFIG,
    PLACES,
    command_experiments,
    command_fields,
    command_names,
    command_problems,
    launcher_in,
    script_positions,
    split_command,
)
from hpc.core.layout import name_problem
from hpc.core.question.baseline import agrees
from hpc.core.question.criterion import Question, bind, parse_criterion
from hpc.core.question.falsifiable import objections
from hpc.core.question.systems import ranged_parameter, values_named
from hpc.core.resources import ALONE, Pack, Resources
from hpc.core.retry.learned import LEARNING_RATE_NAMES
from hpc.core.words import counted

RESERVED = ("seed", CASE, "id", *PLACES)
"""Names that mean something else in templates and command lines."""

MEASURED = ("wall_time",)
"""Metrics that need no program: they are measured around it."""

SHOWN = 3
"""So many examples of one mistake are enough."""


@dataclass(frozen=True)
class Finding:
    """One thing that does not fit.

    Attributes:
        path: Where in the file, outermost key first.
        message: What was found and what would be valid.
    """

    path: tuple[str | int, ...]
    message: str


@dataclass(frozen=True)
class Draft:
    """The parts of an experiment that are valid in themselves; None for the others.

    Attributes:
        known_metrics: Names the program is known to write; None when only running it would tell.
        runtime: What starts the container; empty where that is not known.
    """

    program: Program | None = None
    sweep: Sweep | None = None
    baseline: Mapping[str, Value] | None = None
    metrics: Metrics | None = None
    run_name: str | None = None
    resources: Resources | None = None
    resource_rules: tuple[ResourceRule, ...] = ()
    launch: Launch | None = None
    batch: Batch | None = None
    retry: RetryPolicy | None = None
    known_metrics: tuple[str, ...] | None = None
    criterion: str | None = None
    analysis: Analysis | None = None
    acceptance: Check | None = None
    sanity: Sanity | None = None
    pack: Pack = ALONE
    runtime: str = ""


def check(draft: Draft) -> tuple[Finding, ...]:
    """Find everything that does not fit together."""
    found = [*_check_sweep(draft.sweep)] if draft.sweep else []
    grid: tuple[Combination, ...] | None = None
    if draft.sweep and not found:
        grid, found = _expand(draft.sweep)
    sound = draft if grid else replace(draft, sweep=None)
    for rule in _RULES:
        found += rule(draft if rule in _NAME_RULES else sound, grid or ())
    return tuple(found)


# The sweep in itself


def _check_sweep(sweep: Sweep) -> Iterator[Finding]:
    yield from _check_zip(sweep)
    yield from _check_repeats(sweep)
    yield from _check_cases(sweep)
    count = combination_count(sweep) * len(sweep.seeds)
    if count > MAX_TASKS:
        yield Finding(("sweep",), f"asks for {count:,} tasks; {MAX_TASKS:,} are allowed. Split it, or draw a `sample`")


def _check_zip(sweep: Sweep) -> Iterator[Finding]:
    lengths = {name: len(values) for name, values in sweep.zipped.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        yield Finding(("sweep", "zip"), f"needs lists of equal length, because they are taken side by side: {listed}")


def _check_repeats(sweep: Sweep) -> Iterator[Finding]:
    for name, values in sweep.grid.items():
        for value in _repeated(values):
            yield Finding(("sweep", "grid", name), f"holds {_shown(value)} twice; keep one")
    for seed in _repeated(sweep.seeds):
        yield Finding(("sweep", "seeds"), f"holds {seed} twice; keep one")
    for seed in _repeated((*dict.fromkeys(sweep.seeds), *sweep.further_seeds)):
        yield Finding(("sweep", "further_seeds"), f"holds {seed}, which is already asked for; keep it in one place")
    homes = {"grid": sweep.grid, "zip": sweep.zipped, "cases": _names(sweep.cases), "sample": _names(sweep.points)}
    owner: dict[str, str] = {}
    for home, names in homes.items():
        for name in names:
            if name in owner:
                yield Finding(
                    ("sweep", home, name), f"'{name}' is swept twice, in {owner[name]} and in {home}; keep one"
                )
            owner.setdefault(name, home)


def _check_cases(sweep: Sweep) -> Iterator[Finding]:
    ids = [str(case["id"]) for case in sweep.cases]
    for name in _repeated(ids):
        yield Finding(("sweep", "cases"), f"two cases have the id '{name}'")
    seen: dict[Any, str] = {}
    for case in sweep.cases:
        key = _key({name: value for name, value in case.items() if name != "id"})
        first = seen.setdefault(key, str(case["id"]))
        if first != case["id"]:
            yield Finding(
                ("sweep", "cases"),
                f"'{first}' and '{case['id']}' have the same parameters, which must tell cases apart",
            )


def _expand(sweep: Sweep) -> tuple[tuple[Combination, ...] | None, list[Finding]]:
    if wrong := list(_check_when(sweep)):
        return None, wrong
    try:
        grid = tuple(combinations(sweep))
    except ValueError as error:
        return None, [Finding(("sweep", "where"), str(error))]
    if not grid:
        count = combination_count(sweep)
        return None, [
            Finding(("sweep", "where"), f"'{sweep.where}' leaves out all {count} combinations, so nothing would run")
        ]
    is_product = not (sweep.zipped or sweep.points or sweep.cases or sweep.when)  # of lists without repeats
    repeated = None if is_product else _repeated_combination(grid)
    if repeated:
        return None, [Finding(("sweep",), f"gives the same parameters twice: {_described(repeated)}")]
    return grid, []


def _check_when(sweep: Sweep) -> Iterator[Finding]:
    """Find conditions of parameters that are not swept, or that cannot be computed."""
    names = parameter_names(sweep)
    for name, text in sweep.when.items():
        path = ("sweep", "when", name)
        if name not in names:
            yield Finding(path, f"'{name}' is not swept; {nearest(name, names)}")
            continue
        try:
            held = [one for one in combinations(replace(sweep, where="", when={name: text})) if name in one]
        except ValueError as error:
            yield Finding(path, str(error))
            continue
        if not held:
            yield Finding(path, f"'{text}' is never true, so '{name}' would never be used; leave the parameter out")


def _repeated_combination(grid: Sequence[Combination]) -> Combination | None:
    seen: set[Any] = set()
    for combination in grid:
        key = _key({name: value for name, value in combination.items() if name != CASE})
        if key in seen:
            return combination
        seen.add(key)
    return None


# Names: what may be called what


def _check_parameter_names(draft: Draft, _: Sequence[Combination]) -> Iterator[Finding]:
    swept = parameter_names(draft.sweep) if draft.sweep else ()
    args = draft.program.args if draft.program else {}
    batch = (draft.batch.parameter, draft.batch.accumulation_parameter) if draft.batch else ()
    for name in swept:
        if name in args:
            yield Finding(
                ("program", "args", name), f"'{name}' is fixed here and swept in `sweep`; keep one of the two"
            )
        if name in RESERVED:
            yield Finding(
                ("sweep",), f"'{name}' cannot be swept: the name has another meaning here; rename the parameter"
            )
        if name in batch:
            yield Finding(("batch",), f"'{name}' is swept, so `batch` cannot set it; drop one of the two")
    for name in args:
        if name in RESERVED:
            where = "; seeds are given by sweep.seeds" if name == "seed" else "; rename it"
            yield Finding(("program", "args", name), f"'{name}' cannot be a fixed argument{where}")
        if name in batch:
            yield Finding(("program", "args", name), f"'{name}' is set by `batch`; remove it here")


def _read_command(path: tuple[str, ...], command: str) -> tuple[Sequence[str] | None, list[Finding]]:
    """The names a command uses, None where it cannot be read at all; and what is wrong with it."""
    try:
        return command_names(command), [Finding(path, message) for message in command_problems(command)]
    except ValueError as error:
        return None, [Finding(path, str(error))]


def _check_command(draft: Draft, _: Sequence[Combination]) -> Iterator[Finding]:
    if draft.program is None or draft.program.command is None or draft.sweep is None:
        return
    path = ("program", "command")
    command = draft.program.command
    used, problems = _read_command(path, command)
    yield from problems
    if used is None:
        return
    valued = (*draft.program.args, *parameter_names(draft.sweep), "seed", *_case_names(draft.sweep))
    batch = (draft.batch.parameter, draft.batch.accumulation_parameter) if draft.batch else ()
    named, config = command_experiments(command), draft.program.config
    if named and RUN in valued:
        yield Finding(path, f"{{{RUN}:{named[0]}}} names a run, and '{RUN}' is a parameter; rename the parameter")
    elif named and f"{{{RUN}}}" in command:
        yield Finding(path, f"{{{RUN}}} names no experiment; write it as in {{{RUN}:{named[0]}}}")
    places = (*PLACES, *((CONFIG,) if config else ()), *((RUN,) if named else ()))
    yield from _unknown_placeholders(path, command, used, (*valued, *batch, *places))
    if config and CONFIG in valued:
        yield Finding(path, "'config' is the path of program.config here; rename the parameter")
    yield from _when_in_scripts(path, command, draft.sweep)
    yield from _unused(draft, draft.sweep, (*used, *(names_taken(config.content, (*valued, *batch)) if config else ())))
    yield from _missing_in_cases(path, used, draft.sweep)


def _when_in_scripts(path: tuple[str | int, ...], command: str, sweep: Sweep) -> Iterator[Finding]:
    """Find placeholders in a shell's script that have no value in some tasks: what to leave out there, nobody knows."""
    words = split_command(command)
    for index in script_positions(words):
        for name in field_names(parse_template(words[index])):
            if name in sweep.when:
                yield Finding(path, f"has {{{name}}} in a shell's script, and some tasks have no {name} (sweep.when)")


def _check_formats(draft: Draft, grid: Sequence[Combination]) -> Iterator[Finding]:
    """Find formats in a command that some value does not fit; it would fail in every such task."""
    if draft.program is None or draft.program.command is None or draft.sweep is None:
        return
    try:
        fields = [each for each in command_fields(draft.program.command) if each.spec and not each.experiment]
    except ValueError:
        return  # said by the command's own check
    misfits = (_misfit(field, value) for field in fields for value in _values_of(field.name, draft.program.args, grid))
    yield from _summed_at(("program", "command"), [message for message in misfits if message])


def _check_config(draft: Draft, grid: Sequence[Combination]) -> Iterator[Finding]:
    """Find what would fail on the node, where the configuration file is written."""
    config = draft.program.config if draft.program else None
    if config is None or draft.program is None or draft.sweep is None:
        return
    path = ("program", "config")
    if draft.program.module:
        yield Finding(path, f"is for a command; write command: python -m {draft.program.module} --config {{config}}")
    args, names = draft.program.args, (*draft.program.args, *parameter_names(draft.sweep))
    if RUN in names and (named := experiments_named(config.content)):
        yield Finding(path, f"{{{RUN}:{named[0]}}} names a run, and '{RUN}' is a parameter; rename the parameter")
    try:
        fields = list(dict.fromkeys(field for field in placeholders(config.content, (*names, "seed", *PLACES))))
    except ValueError as error:
        yield Finding(path, f"{config.file} {error}")
        return
    for name in dict.fromkeys(field.name for field in fields if field.name in draft.sweep.when):
        text = f"some tasks have no {{{name}}} (sweep.when); write a key {name} there, with its value for them"
        yield Finding(path, f"{config.file}: {text}")
    taken = names_taken(config.content, names)
    values = [(name, value) for name in taken for value in _values_of(name, args, grid)]
    wrong = [text for name, value in values for text in content_problems(config.file, value, name)]
    wrong += [
        f"{name} is a block of keys there, and {_shown(value)} would replace it; name one of its keys"
        for name, value in values
        if not isinstance(value, Mapping) and is_block(config.content, name)
    ]
    fitted = ((field, value) for field in fields if field.spec for value in _values_of(field.name, args, grid))
    wrong += [text for field, value in fitted if (text := _misfit(field, value))]
    yield from _summed_at(path, [f"{config.file}: {text}" for text in wrong])


def _values_of(name: str, args: Mapping[str, Any], grid: Sequence[Combination]) -> list[Any]:
    """Return the different values of a parameter or fixed argument."""
    values = [args[name]] if name in args else [one[name] for one in grid if name in one]
    return list({value_key(value): value for value in values}.values())


def _misfit(field: Field, value: Any) -> str:
    try:
        render_words(field, value)
    except ValueError as error:
        return str(error)
    return ""


def _unused(draft: Draft, sweep: Sweep, used: Sequence[str]) -> Iterator[Finding]:
    """Find values that would never reach the program, unless it reads ``task.json`` itself."""
    if "task_json" in used:
        return
    path = ("program", "command")
    hint = "; add it, or pass {task_json} to a program that reads its parameters from there"
    config = draft.program.config if draft.program else None
    if config and not config.content:
        return  # said where it was read
    for name in parameter_names(sweep):
        if name not in used:
            lacks = f"; {config.file} has no such key: {nearest(name, [*keys_of(config.content)])}" if config else hint
            yield Finding(path, f"'{name}' is swept, but the command has no {{{name}}}{lacks}")
    seeds = len(sweep.seeds) + len(sweep.further_seeds)
    if seeds > 1 and "seed" not in used:
        yield Finding(path, f"{seeds} seeds are asked for, but the command has no {{seed}}{hint}")
    for name in draft.program.args if draft.program else ():
        if name not in used:
            yield Finding(("program", "args", name), f"never reaches the program: the command has no {{{name}}}{hint}")
    if draft.batch and draft.batch.parameter not in used:
        name = draft.batch.parameter
        yield Finding(path, f"`batch` sets '{name}', but the command has no {{{name}}}{hint}")


def _check_run_name(draft: Draft, grid: Sequence[Combination]) -> Iterator[Finding]:
    if draft.run_name is None or draft.program is None or draft.sweep is None:
        return
    path = ("run_name",)
    try:
        template = parse_template(draft.run_name)
    except ValueError as error:
        yield Finding(path, str(error))
        return
    valid = (*draft.program.args, *parameter_names(draft.sweep), "seed", *_case_names(draft.sweep), TASK_ID)
    wrong = [
        *_unknown_placeholders(path, draft.run_name, field_names(template), valid),
        *_missing_in_cases(path, field_names(template), draft.sweep),
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
    yield from _summed("run_name", [f"{_quoted(name)} {problem}" for name, problem in unsafe.items()])
    yield from _summed("run_name", doubles)


def _slug_hint(template: Template, values: Mapping[str, Any]) -> str:
    """Say how values that are no file names can stand in a run name; empty where it is not they that are wrong."""
    plain = [part.name for part in template if isinstance(part, Field) and not part.spec]
    odd = [name for name in dict.fromkeys(plain) if name in values and not is_plain(render_value(values[name]))]
    odd = [name for name in odd if isinstance(values[name], str) or not is_single(values[name])]
    return f"; write {' and '.join(f'{{{name}:slug}}' for name in odd)}" if odd else ""


def _double(name: str, template: Template, first: tuple[str, Mapping[str, Any]], second: Mapping[str, Any]) -> str:
    differs = [key for key in second if _key({key: second[key]}) != _key({key: first[1].get(key)})]
    missing = [f"{{{key}}}" for key in differs if key not in field_names(template)]
    if missing:
        remedy = f"add {' or '.join(missing)}"
    elif name != first[0]:
        remedy = "they differ only in case, which some file systems ignore"
    else:
        remedy = "its format hides the difference"
    return f"'{name}' would name both ({_described(first[1])}) and ({_described(second)}); {remedy}"


# What the parts say about each other


def _check_baseline(draft: Draft, grid: Sequence[Combination]) -> Iterator[Finding]:
    if draft.baseline is not None and draft.analysis is not None and draft.analysis.baseline_from:
        yield Finding(("baseline",), "is given here and by analysis.baseline_from; keep one of the two")
    if draft.baseline is None or draft.sweep is None:
        return
    valid = (*parameter_names(draft.sweep), *((CASE,) if draft.sweep.cases else ()))
    unknown = [name for name in draft.baseline if name not in valid]
    for name in unknown:
        yield Finding(("baseline", name), f"'{name}' is not swept; {nearest(name, valid) if valid else 'nothing is'}")
    if not unknown and not any(agrees(combination, draft.baseline) for combination in grid):
        listed = "; ".join(f"({_described(one)})" for one in _nearest_combinations(draft.baseline, grid))
        yield Finding(("baseline",), f"({_described(draft.baseline)}) is not in the sweep; nearest: {listed}")


def _nearest_combinations(baseline: Mapping[str, Value], grid: Sequence[Combination]) -> list[Combination]:
    """Return what the sweep has instead: fewest parameters that differ, then the smallest difference in numbers."""

    def distance(one: Combination) -> tuple[int, float]:
        wrong = [name for name, value in baseline.items() if not agrees(one, {name: value})]
        return len(wrong), sum(_gap(baseline[name], one.get(name)) for name in wrong)

    ranked = sorted(grid, key=distance)
    shared: list[Combination] = [{name: one[name] for name in baseline if name in one} for one in ranked]
    return list({_key(one): one for one in shared}.values())[:SHOWN]


def _gap(left: Value, right: Value) -> float:
    """How far two numbers are apart relative to the larger, from 0 to 2; anything else is as far as numbers can be."""
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        return 2.0
    return abs(left - right) / (max(abs(left), abs(right)) or 1)


def _check_batch(draft: Draft, _: Sequence[Combination]) -> Iterator[Finding]:
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


def _check_resource_rules(draft: Draft, grid: Sequence[Combination]) -> Iterator[Finding]:
    """Find rules that cannot be computed, and those that hold for no task: a misspelt one would ask for too little."""
    if not draft.resource_rules or draft.sweep is None or draft.program is None:
        return
    args, seeds = draft.program.args, (*draft.sweep.seeds, *draft.sweep.further_seeds)
    names = (*args, *parameter_names(draft.sweep), "seed", *_case_names(draft.sweep))
    tasks = [placeholder_values(one, seed, args) for one in grid for seed in seeds]
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


def _check_for_every_resources(rule: "Rule") -> "Rule":
    """Check a rule once for each of the resources that tasks ask for."""

    def found(draft: Draft, grid: Sequence[Combination]) -> Iterator[Finding]:
        if draft.resources is None or not draft.resource_rules or draft.sweep is None or draft.program is None:
            return iter(rule(draft, grid))
        args, seeds = draft.program.args, (*draft.sweep.seeds, *draft.sweep.further_seeds)
        tasks = (placeholder_values(one, seed, args) for one in grid for seed in seeds)
        every = dict.fromkeys(asked_with(draft.resources, draft.resource_rules, values) for values in tasks)
        return iter(dict.fromkeys(each for asked in every for each in rule(replace(draft, resources=asked), grid)))

    return found


def _check_divergence(draft: Draft, _: Sequence[Combination]) -> Iterator[Finding]:
    """Find changes after a divergence that could not be made, or that would never reach the program."""
    asked = draft.retry.divergence if draft.retry else None
    if asked is None or draft.program is None or draft.sweep is None:
        return
    path = ("retry", "divergence")
    parameters = (*draft.program.args, *parameter_names(draft.sweep))
    if asked.lower_learning_rate is not None and not set(LEARNING_RATE_NAMES) & set(parameters):
        yield Finding(path, f"lowers the learning rate, but no parameter is called {' or '.join(LEARNING_RATE_NAMES)}")
    batch = (draft.batch.parameter, draft.batch.accumulation_parameter) if draft.batch else ()
    for name in asked.set:
        if name in (*RESERVED, *batch):
            yield Finding((*path, "set", name), f"'{name}' cannot be changed here: the name has another meaning")
        elif draft.program.command is not None and name not in parameters:
            yield Finding((*path, "set", name), f"the command has no {{{name}}}; {nearest(name, parameters)}")
    if asked.mixed_precision == "fp16" and draft.resources and not draft.resources.gpus:
        yield Finding((*path, "mixed_precision"), "fp16 needs a GPU, and resources.gpus is 0; write bf16 or no")
    elif asked.mixed_precision == "fp16" and draft.program.module in OURS:
        yield Finding((*path, "mixed_precision"), NO_FP16)


def _check_launch(draft: Draft, grid: Sequence[Combination]) -> Iterator[Finding]:
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


def _check_pack(draft: Draft, _: Sequence[Combination]) -> Iterator[Finding]:
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


def _check_metrics(draft: Draft, _: Sequence[Combination]) -> Iterator[Finding]:
    if draft.metrics is None:
        return
    every: list[tuple[tuple[str | int, ...], Metric]] = [(("primary",), draft.metrics.primary)]
    every += [(("secondary", index), metric) for index, metric in enumerate(draft.metrics.secondary)]
    names = [metric.name for _, metric in every]
    for name in _repeated(names):
        yield Finding(("metrics",), f"'{name}' is listed twice; keep one")
    known = draft.known_metrics
    for place, metric in every:
        if known is not None and metric.name not in (*known, *MEASURED):
            yield Finding(
                ("metrics", *place, "name"),
                f"nothing writes '{metric.name}'; {nearest(metric.name, (*known, *MEASURED))}",
            )


def _check_range(draft: Draft, grid: Sequence[Combination]) -> Iterator[Finding]:
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


def _check_criterion(draft: Draft, grid: Sequence[Combination]) -> Iterator[Finding]:
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


def _check_acceptance(draft: Draft, _: Sequence[Combination]) -> Iterator[Finding]:
    if draft.acceptance is None or draft.program is None or draft.sweep is None:
        return
    arguments = (*draft.program.args, *parameter_names(draft.sweep), "seed")
    if draft.acceptance.command:
        yield from _check_words(("check", "command"), draft.acceptance.command, draft, draft.sweep, arguments)
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


def _check_sanity(draft: Draft, _: Sequence[Combination]) -> Iterator[Finding]:
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
    yield from _check_words(path, draft.sanity.words, draft, draft.sweep, arguments)


def _runs_script(command: str) -> bool:
    """Whether a shell reads a script in it; what cannot be split is said of the command itself."""
    try:
        return bool(script_positions(split_command(command)))
    except ValueError:
        return False


def _check_words(
    path: tuple[str, ...], command: str, draft: Draft, sweep: Sweep, arguments: Sequence[str]
) -> Iterator[Finding]:
    """Check a command line beside the program's own, with the same placeholders."""
    used, problems = _read_command(path, command)
    yield from problems
    if used is None:
        return
    batch = (draft.batch.parameter, draft.batch.accumulation_parameter) if draft.batch else ()
    yield from _unknown_placeholders(path, command, used, (*arguments, *_case_names(sweep), *batch, *PLACES))
    yield from _missing_in_cases(path, used, sweep)


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


Rule = Callable[[Draft, Sequence[Combination]], Iterable[Finding]]
_NAME_RULES: tuple[Rule, ...] = (_check_parameter_names, _check_command)
"""They need the names of the sweep only, so a sweep that cannot be expanded still has them checked."""
_RULES: tuple[Rule, ...] = (
    *_NAME_RULES,
    _check_formats,
    _check_config,
    _check_run_name,
    _check_baseline,
    _check_resource_rules,
    _check_for_every_resources(_check_batch),
    _check_for_every_resources(_check_divergence),
    _check_for_every_resources(_check_launch),
    _check_for_every_resources(_check_pack),
    _check_metrics,
    _check_range,
    _check_criterion,
    _check_acceptance,
    _check_sanity,
)


# Small things


def _case_names(sweep: Sweep) -> tuple[str, ...]:
    return (CASE, "id") if sweep.cases else ()


def _unknown_placeholders(
    path: tuple[str | int, ...], text: str, used: Sequence[str], valid: Sequence[str]
) -> Iterator[Finding]:
    for name in used:
        if f"${{{name}}}" in text and name not in valid:
            yield Finding(
                path, f"'${{{name}}}' reads as the placeholder {{{name}}}; write '${{{{{name}}}}}' for a shell variable"
            )
        elif name == "index" and TASK_ID in valid:
            yield Finding(path, "there is no {index}: positions change as the sweep grows; write {task_id}")
        elif name not in valid:
            yield Finding(path, f"there is no value for {{{name}}}; {nearest(name, valid)}")


def _missing_in_cases(path: tuple[str | int, ...], used: Sequence[str], sweep: Sweep) -> Iterator[Finding]:
    elsewhere = {*sweep.grid, *sweep.zipped, *_names(sweep.points)}
    for name in used:
        if name in _names(sweep.cases) and name not in elsewhere:
            without = [str(case["id"]) for case in sweep.cases if name not in case]
            if without:
                yield Finding(path, f"uses {{{name}}}, which the case(s) {', '.join(without)} do not set")


def _names(mappings: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for mapping in mappings for name in mapping if name != "id"))


def _key(mapping: Mapping[str, Any]) -> frozenset[Any]:
    """Make combinations comparable: 1 and 1.0 are the same value, 1 and true are not."""
    return frozenset((name, value_key(value)) for name, value in mapping.items())


def _repeated(values: Iterable[Any]) -> list[Any]:
    counts: dict[Any, list[Any]] = defaultdict(list)
    for value in values:
        counts[value_key(value)].append(value)
    return [group[0] for group in counts.values() if len(group) > 1]


def _described(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_shown(value)}" for name, value in values.items()) or "no parameters"


def _shown(value: Any) -> str:
    return _quoted(value) if isinstance(value, str) else str(value) if is_single(value) else render_value(value)


def _quoted(text: str) -> str:
    short = text if len(text) <= 60 else text[:59] + "…"
    return repr(short)


def _summed(where: str, messages: Sequence[str]) -> Iterator[Finding]:
    """Report the first few of many equal mistakes, and how many more there are."""
    return _summed_at((where,), messages)


def _summed_at(path: tuple[str | int, ...], messages: Sequence[str]) -> Iterator[Finding]:
    for message in messages[:SHOWN]:
        yield Finding(path, message)
    if len(messages) > SHOWN:
        yield Finding(path, f"… and {len(messages) - SHOWN:,} more like these")
