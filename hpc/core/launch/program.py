"""The user's own program as an argument list: placeholders are filled in, and no value can add a word.

A command is split into words first, as a shell would, and only then filled in. The one place where a value meets a
shell is the script of ``bash -c '…'``: there each value is quoted as one shell word, and templates in which that would
not be enough (a placeholder inside quotes, backticks, here-documents, arithmetic) are refused when they are planned.
"""

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

from hpc.core.experiment.placeholders import (
    FLAG,
    SWITCH,
    WORDS,
    Field,
    Template,
    experiments_in,
    field_names,
    parse_template,
    render_field,
    render_template,
    render_words,
)
from hpc.core.experiment.program import TRUE_FALSE, Launch
from hpc.core.immutable import replace
from hpc.core.records.index import Element, SubmissionIndex

PLACES = ("out_dir", "task_dir", "attempt_dir", "task_json", "run_name", "experiment", "task_id", "resume_from")
"""Placeholders that the wrapper fills in where the task runs."""
CONFIG = "config"
"""The placeholder for the path of the program's configuration file, where it has one."""

_SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "ash"}
_OPTIONS_WITH_VALUE = {"-o", "+o", "-O", "+O", "--rcfile", "--init-file"}
_RUNS_SCRIPT = re.compile(r"-[A-Za-z]*c[A-Za-z]*")
_OPERATORS = {"&&", "||", "|", ";", "&", ">", ">>", "<", "2>", "2>&1", "&>", "|&"}
_UNQUOTABLE = {
    "`": "backticks",
    "<<": "a here-document",
    "$'": "$'…' quotes",
    "((": "shell arithmetic",
    "[[": "[[ … ]]",
}


class ProgramLike(Protocol):
    """What of a `Program` its argument list needs."""

    @property
    def module(self) -> str | None: ...

    @property
    def command(self) -> str | None: ...

    @property
    def booleans(self) -> str: ...

    @property
    def optional(self) -> Sequence[str]: ...


def program_argv(program: ProgramLike, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the argument list of one task.

    Args:
        program: A module is given all of `values`; a command those it has placeholders for.
        values: Fixed arguments, parameters, seed, batch sizes; for a command also `out_dir` and the like.

    Raises:
        ValueError: The command is malformed, or a format does not fit its value.
        KeyError: A placeholder has no value.
    """
    if program.module is not None:
        return module_argv(program.module, values, program.booleans)
    return command_argv(program.command or "", values, program.booleans, program.optional)


def launch_of(index: SubmissionIndex, entry: Element) -> Launch:
    """How an array element is started: as the experiment says, but for the number format a retry may have changed."""
    return replace(index.launch, mixed_precision=entry.mixed_precision or index.launch.mixed_precision)


def module_argv(module: str, values: Mapping[str, Any], booleans: str = TRUE_FALSE) -> tuple[str, ...]:
    """Start a Python module with ``--name value`` for each value; None is left out.

    A value that begins with a dash is written ``--name=value``, or it would be read as an option.

    Args:
        booleans: How true and false are written: a format such as ``True/False``, ``flag`` or ``switch``.
    """
    words: list[str] = []
    for name, value in values.items():
        field = _spelled(Field(name), value, booleans)
        if field.spec in (FLAG, SWITCH):
            words += render_words(field, value)
        elif value is not None:
            text = render_field(field, value)
            words += [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]
    return ("python", "-m", module, *words)


def _spelled(field: Field, value: Any, booleans: str) -> Field:
    """Return the placeholder; one without a format gets the program's own way to write true and false."""
    is_plain = not field.spec and isinstance(value, bool) and booleans != TRUE_FALSE
    return replace(field, spec=booleans) if is_plain else field


def command_argv(
    command: str, values: Mapping[str, Any], booleans: str = TRUE_FALSE, optional: Sequence[str] = ()
) -> tuple[str, ...]:
    """Split a command into words, then fill in its placeholders.

    A word that is one placeholder may become none (a flag that is off) or several (a list in words).

    Args:
        booleans: How true and false are written where the placeholder has no format; see `module_argv`.
        optional: Parameters that may have no value: their words are left out, and an option before such a word.

    Raises:
        ValueError: The command cannot be split, or a value fits its place badly.
        KeyError: A placeholder has no value.
    """
    words = split_command(command)
    scripts = script_positions(words)
    left_out = _left_out(words, {name for name in optional if name not in values})
    argv: list[str] = []
    for index, word in enumerate(words):
        if index in left_out:
            continue
        template = tuple(
            _spelled(part, values[part.name], booleans) if isinstance(part, Field) else part
            for part in parse_template(word)
        )
        argv += [_script(template, values)] if index in scripts else _words(template, values)
    return tuple(argv)


def _left_out(words: Sequence[str], absent: Collection[str]) -> set[int]:
    """Return the words of parameters that have no value, with the options that they would be the value of."""
    found: set[int] = set()
    for index, word in enumerate(words) if absent else ():
        template = parse_template(word)
        if not set(field_names(template)).isdisjoint(absent):
            is_value = len(template) == 1 and index and re.fullmatch(r"--?[A-Za-z][^={}]*", words[index - 1])
            found |= {index, index - 1} if is_value else {index}
    return found


def _words(template: Template, values: Mapping[str, Any]) -> tuple[str, ...]:
    if len(template) == 1 and isinstance(template[0], Field):
        return render_words(template[0], values[template[0].name])
    return (render_template(template, values),)


def _script(template: Template, values: Mapping[str, Any]) -> str:
    """Fill in a shell's script: each value is one quoted word, a list in words several, a flag that is off none."""
    return "".join(
        " ".join(map(shlex.quote, render_words(part, values[part.name]))) if isinstance(part, Field) else part
        for part in template
    )


def split_command(command: str) -> tuple[str, ...]:
    """Split a command into words as a POSIX shell would.

    Raises:
        ValueError: A quote is not closed, or there is no word.
    """
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {str(error).lower()}") from None
    if not words:
        raise ValueError("holds no word; write the program to run")
    return words


def script_positions(words: Sequence[str]) -> frozenset[int]:
    """Find the words that a shell reads as a script: what follows ``bash -c``, ``sh -ec``, ``bash -o pipefail -c``."""
    shells = (index for index, word in enumerate(words) if word.rsplit("/", 1)[-1] in _SHELLS)
    return frozenset(found for shell in shells if (found := _script_after(words, shell)) is not None)


def _script_after(words: Sequence[str], shell: int) -> int | None:
    runs_script = False
    index = shell + 1
    while index < len(words) and words[index][:1] in ("-", "+"):
        runs_script = runs_script or bool(_RUNS_SCRIPT.fullmatch(words[index]))
        takes_value = words[index] in _OPTIONS_WITH_VALUE or bool(re.fullmatch(r"-[A-Za-z]+o", words[index]))
        index += 2 if takes_value else 1
    return index if runs_script and index < len(words) else None


_LAUNCHERS = {
    "torchrun": "torchrun", "torch.distributed.run": "torchrun", "torch.distributed.launch": "torchrun",
    "accelerate": "accelerate", "accelerate.commands.launch": "accelerate", "deepspeed": "deepspeed",
    "mpirun": "mpirun", "mpiexec": "mpiexec", "srun": "srun", "horovodrun": "horovodrun",
}  # fmt: skip
"""Programs and modules that start several processes of another, and what each is called here."""


def launcher_in(command: str) -> str:
    """Name the launcher a command begins with (``torchrun``, ``python -m accelerate.commands.launch``); empty for none.

    A command that cannot be split has none; `command_problems` says what is wrong with it.
    """
    try:
        words = split_command(command)
    except ValueError:
        return ""
    name = words[0].rsplit("/", 1)[-1]
    if name.startswith("python") and words[1:2] == ("-m",):
        name = "".join(words[2:3])
    return _LAUNCHERS.get(name, "")


def command_names(command: str) -> tuple[str, ...]:
    """Return the placeholders of a command, in order of first use.

    Raises:
        ValueError: The command or a placeholder in it is malformed.
    """
    names = (name for word in split_command(command) for name in field_names(parse_template(word)))
    return tuple(dict.fromkeys(names))


def command_experiments(command: str) -> tuple[str, ...]:
    """Return the experiments whose runs a command names, as ``{run:train}``, in order of first use.

    Raises:
        ValueError: The command or a placeholder in it is malformed.
    """
    found = (name for word in split_command(command) for name in experiments_in(parse_template(word)))
    return tuple(dict.fromkeys(found))


def named_experiments(command: str | None, content: Any = None) -> tuple[str, ...]:
    """Return the experiments whose runs a program names: in its command, and in the content of its configuration file.

    Raises:
        ValueError: The command or a placeholder in it is malformed.
    """
    in_command = command_experiments(command) if command else ()
    if not content:
        return in_command
    from hpc.core.launch.config_file import experiments_named  # here: most programs have none

    return tuple(dict.fromkeys([*in_command, *experiments_named(content)]))


def experiments_before(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the experiments that one comes after, by its YAML: those of `after`, and those its program names."""
    declared, program = spec.get("after") or [], spec.get("program") or {}
    after = [each for each in (declared if isinstance(declared, list | tuple) else [declared]) if isinstance(each, str)]
    config = program.get("config")
    content = config.get("content") if isinstance(config, dict) else None
    return tuple(dict.fromkeys([*after, *named_experiments(program.get("command"), content)]))


def command_problems(command: str) -> Iterator[str]:
    """Say what in a command would not do what its author expects.

    Raises:
        ValueError: The command or a placeholder in it is malformed.
    """
    words = split_command(command)
    scripts = script_positions(words)
    if found := re.match(r"([A-Za-z_]\w*)=", words[0]):
        yield (
            f"begins with '{words[0]}', which no shell reads; put it into environment:, or write env before {found[0]}…"
        )
    for index, word in enumerate(words):
        template = parse_template(word)
        if index in scripts:
            yield from _script_problems(template)
        elif word in _OPERATORS or (word.endswith(";") and len(word) > 1):
            yield f"holds '{word}', but no shell reads it; write bash -c '…' around commands that need one"
        elif re.search(r"\$(?:[A-Za-z_]|\{|\()", word):
            yield f"holds '{word}', which no shell expands; write bash -c '…', or a placeholder such as {{out_dir}}"
        for name in _words_within(template) if index not in scripts else ():
            yield f"holds '{word}', but {{{name}:{WORDS}}} stands for several words; put spaces around it"


def _script_problems(template: Template) -> Iterator[str]:
    fields = field_names(template)
    script = "".join(part for part in template if isinstance(part, str))
    for text, what in _UNQUOTABLE.items():
        if fields and text in script:
            yield (
                f"uses {what} in a shell script with placeholders, where a value cannot be kept as one word; use a file"
            )
    for name in _quoted_fields(template):
        yield f"has {{{name}}} inside quotes in a shell script; remove the quotes: its value is quoted for you"


def _words_within(template: Template) -> Iterator[str]:
    """Return the placeholders for several words that stand inside one."""
    return (part.name for part in template if isinstance(part, Field) and part.spec == WORDS and len(template) > 1)


def command_fields(command: str) -> tuple[Field, ...]:
    """Return the placeholders of a command with their formats, each once.

    Raises:
        ValueError: The command or a placeholder in it is malformed.
    """
    parts = (part for word in split_command(command) for part in parse_template(word))
    return tuple(dict.fromkeys(part for part in parts if isinstance(part, Field)))


def _quoted_fields(template: Template) -> Iterator[str]:
    """Return the placeholders that stand inside quotes (or right after a backslash) of a shell script."""
    state = ""
    previous = " "
    for part in template:
        if isinstance(part, Field):
            if state in ('"', "'", "\\", '"\\'):
                yield part.name
            previous = "x"
            state = "" if state == "\\" else state
            continue
        for char in part:
            state = _next_quote_state(state, char, previous)
            previous = char


def _next_quote_state(state: str, char: str, previous: str) -> str:
    """Follow POSIX quoting by one character; the state is the open quote, ``#`` in a comment, a pending backslash."""
    match state:
        case "":
            starts_comment = char == "#" and previous in " \t\n;&|("
            return char if char in "'\"\\" or starts_comment else ""
        case "\\":
            return ""
        case "#":
            return "" if char == "\n" else "#"
        case '"\\':
            return '"'
        case '"' if char == "\\":
            return '"\\'
        case _:
            return "" if char == state else state
