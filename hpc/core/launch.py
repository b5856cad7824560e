"""The user's own program as an argument list: placeholders are filled in, and no value can add a word.

A command is split into words first, as a shell would, and only then filled in. The one place where a value meets a
shell is the script of ``bash -c '…'``: there each value is quoted as one shell word, and templates in which that would
not be enough (a placeholder inside quotes, backticks, here-documents, arithmetic) are refused when they are planned.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from hpc.core.placeholders import (
    Field,
    Template,
    field_names,
    parse_template,
    render_field,
    render_template,
    render_value,
)

PLACES = ("out_dir", "task_dir", "attempt_dir", "task_json", "run_name", "experiment", "task_id", "resume_from")
"""Placeholders that the wrapper fills in where the task runs."""

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


def program_argv(program: ProgramLike, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the argument list of one task.

    Args:
        program: A module is given all of `values`; a command those it has placeholders for.
        values: Fixed arguments, parameters, seed, batch sizes; for a command also `out_dir` and the like.

    Raises:
        ValueError: The command is malformed, or a format does not fit its value.
        KeyError: A placeholder has no value.
    """
    if program.module is not None:
        return module_argv(program.module, values)
    return command_argv(program.command or "", values)


def launch_of(index: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """How an array element is started: as the experiment says, but for the number format a retry may have changed."""
    changed = {"mixed_precision": entry["mixed_precision"]} if entry.get("mixed_precision") else {}
    return {**index["launch"], **changed}


def module_argv(module: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Start a Python module with ``--name value`` for each value; None is left out.

    A value that begins with a dash is written ``--name=value``, or it would be read as an option.
    """
    words: list[str] = []
    for name, value in values.items():
        if value is not None:
            text = render_value(value)
            words += [f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text]
    return ("python", "-m", module, *words)


def command_argv(command: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Split a command into words, then fill in its placeholders.

    Raises:
        ValueError: The command cannot be split, or a value fits its place badly.
        KeyError: A placeholder has no value.
    """
    words = split_command(command)
    scripts = script_positions(words)
    return tuple(
        _script(parse_template(word), values) if index in scripts else render_template(parse_template(word), values)
        for index, word in enumerate(words)
    )


def _script(template: Template, values: Mapping[str, Any]) -> str:
    return "".join(
        shlex.quote(render_field(part, values[part.name])) if isinstance(part, Field) else part for part in template
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


def command_names(command: str) -> tuple[str, ...]:
    """Give the placeholders of a command, in order of first use.

    Raises:
        ValueError: The command or a placeholder in it is malformed.
    """
    names = (name for word in split_command(command) for name in field_names(parse_template(word)))
    return tuple(dict.fromkeys(names))


def command_problems(command: str) -> Iterator[str]:
    """Say what in a command would not do what its author expects.

    Raises:
        ValueError: The command or a placeholder in it is malformed.
    """
    words = split_command(command)
    scripts = script_positions(words)
    for index, word in enumerate(words):
        template = parse_template(word)
        if index in scripts:
            yield from _script_problems(template)
        elif word in _OPERATORS or (word.endswith(";") and len(word) > 1):
            yield f"holds '{word}', but no shell reads it; write bash -c '…' around commands that need one"
        elif re.search(r"\$(?:[A-Za-z_]|\{|\()", word):
            yield f"holds '{word}', which no shell expands; write bash -c '…', or a placeholder such as {{out_dir}}"


def _script_problems(template: Template) -> Iterator[str]:
    fields = field_names(template)
    script = "".join(part for part in template if isinstance(part, str))
    for text, what in _UNQUOTABLE.items():
        if fields and text in script:
            yield f"uses {what} in a shell script with placeholders, where no value can be kept one word; use a file"
    for name in _quoted_fields(template):
        yield f"has {{{name}}} inside quotes of a shell script; write it without: its value is quoted for you"


def _quoted_fields(template: Template) -> Iterator[str]:
    """Give the placeholders that stand inside quotes (or right after a backslash) of a shell script."""
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
