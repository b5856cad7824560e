"""Names: what a parameter may be called, and what the placeholders of a command, a file and a run name mean."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpc.core.checks.draft import RESERVED, Draft, Finding
from hpc.core.checks.sweep import case_names, swept_in
from hpc.core.checks.wording import shown, summed
from hpc.core.errors import nearest
from hpc.core.experiment.grid import TASK_ID, Combination, parameter_names
from hpc.core.experiment.placeholders import RUN, Field, field_names, parse_template, render_words
from hpc.core.experiment.spec import Sweep
from hpc.core.experiment.values import value_key
from hpc.core.launch.config_file import (
    content_problems,
    experiments_named,
    is_block,
    keys_of,
    names_taken,
    placeholders,
)
from hpc.core.launch.program import (
    CONFIG,
    PLACES,
    command_experiments,
    command_fields,
    command_names,
    command_problems,
    script_positions,
    split_command,
)


def check_parameter_names(draft: Draft, _: Sequence[Combination]) -> Iterator[Finding]:
    """Find parameters and fixed arguments that have a name of another meaning, or one of two homes."""
    swept = parameter_names(draft.sweep) if draft.sweep else ()
    args = draft.program.args if draft.program else {}
    batch = draft.batch_names
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


def read_command(path: tuple[str, ...], command: str) -> tuple[Sequence[str] | None, list[Finding]]:
    """The names a command uses, None where it cannot be read at all; and what is wrong with it."""
    try:
        return command_names(command), [Finding(path, message) for message in command_problems(command)]
    except ValueError as error:
        return None, [Finding(path, str(error))]


def check_command(draft: Draft, _: Sequence[Combination]) -> Iterator[Finding]:
    """Find placeholders of a command that have no value, and values that never reach it."""
    if draft.program is None or draft.program.command is None or draft.sweep is None:
        return
    path = ("program", "command")
    command = draft.program.command
    used, problems = read_command(path, command)
    yield from problems
    if used is None:
        return
    valued = (*draft.program.args, *parameter_names(draft.sweep), "seed", *case_names(draft.sweep))
    batch = draft.batch_names
    named, config = command_experiments(command), draft.program.config
    if named and RUN in valued:
        yield Finding(path, f"{{{RUN}:{named[0]}}} names a run, and '{RUN}' is a parameter; rename the parameter")
    elif named and f"{{{RUN}}}" in command:
        yield Finding(path, f"{{{RUN}}} names no experiment; write it as in {{{RUN}:{named[0]}}}")
    places = (*PLACES, *((CONFIG,) if config else ()), *((RUN,) if named else ()))
    yield from unknown_placeholders(path, command, used, (*valued, *batch, *places))
    if config and CONFIG in valued:
        yield Finding(path, "'config' is the path of program.config here; rename the parameter")
    yield from _when_in_scripts(path, command, draft.sweep)
    yield from _unused(draft, draft.sweep, (*used, *(names_taken(config.content, (*valued, *batch)) if config else ())))
    yield from missing_in_cases(path, used, draft.sweep)


def _when_in_scripts(path: tuple[str | int, ...], command: str, sweep: Sweep) -> Iterator[Finding]:
    """Find placeholders in a shell's script that have no value in some tasks: what to leave out there, nobody knows."""
    words = split_command(command)
    for index in script_positions(words):
        for name in field_names(parse_template(words[index])):
            if name in sweep.when:
                yield Finding(path, f"has {{{name}}} in a shell's script, and some tasks have no {name} (sweep.when)")


def check_formats(draft: Draft, grid: Sequence[Combination]) -> Iterator[Finding]:
    """Find formats in a command that some value does not fit; it would fail in every such task."""
    if draft.program is None or draft.program.command is None or draft.sweep is None:
        return
    try:
        fields = [each for each in command_fields(draft.program.command) if each.spec and not each.experiment]
    except ValueError:
        return  # said by the command's own check
    misfits = (_misfit(field, value) for field in fields for value in _values_of(field.name, draft.program.args, grid))
    yield from summed(("program", "command"), [message for message in misfits if message])


def check_config(draft: Draft, grid: Sequence[Combination]) -> Iterator[Finding]:
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
        f"{name} is a block of keys there, and {shown(value)} would replace it; name one of its keys"
        for name, value in values
        if not isinstance(value, Mapping) and is_block(config.content, name)
    ]
    fitted = ((field, value) for field in fields if field.spec for value in _values_of(field.name, args, grid))
    wrong += [text for field, value in fitted if (text := _misfit(field, value))]
    yield from summed(path, [f"{config.file}: {text}" for text in wrong])


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


def check_words(
    path: tuple[str, ...], command: str, draft: Draft, sweep: Sweep, arguments: Sequence[str]
) -> Iterator[Finding]:
    """Check a command line beside the program's own, with the same placeholders."""
    used, problems = read_command(path, command)
    yield from problems
    if used is None:
        return
    batch = draft.batch_names
    yield from unknown_placeholders(path, command, used, (*arguments, *case_names(sweep), *batch, *PLACES))
    yield from missing_in_cases(path, used, sweep)


def unknown_placeholders(
    path: tuple[str | int, ...], text: str, used: Sequence[str], valid: Sequence[str]
) -> Iterator[Finding]:
    """Find placeholders that have no value."""
    for name in used:
        if f"${{{name}}}" in text and name not in valid:
            yield Finding(
                path, f"'${{{name}}}' reads as the placeholder {{{name}}}; write '${{{{{name}}}}}' for a shell variable"
            )
        elif name == "index" and TASK_ID in valid:
            yield Finding(path, "there is no {index}: positions change as the sweep grows; write {task_id}")
        elif name not in valid:
            yield Finding(path, f"there is no value for {{{name}}}; {nearest(name, valid)}")


def missing_in_cases(path: tuple[str | int, ...], used: Sequence[str], sweep: Sweep) -> Iterator[Finding]:
    """Find placeholders that some cases have no value for."""
    elsewhere = {*sweep.grid, *sweep.zipped, *swept_in(sweep.points)}
    for name in used:
        if name in swept_in(sweep.cases) and name not in elsewhere:
            without = [str(case["id"]) for case in sweep.cases if name not in case]
            if without:
                yield Finding(path, f"uses {{{name}}}, which the case(s) {', '.join(without)} do not set")
