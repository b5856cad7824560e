"""The kinds of values that people write into an experiment or a cluster profile.

Each is checked with the sentence a user needs when it is wrong. The blocks made of them are in `models`.
"""

import re
import shlex
from collections.abc import Callable
from math import isfinite
from pathlib import PurePosixPath
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from hpc.core.credentials import names_secret
from hpc.core.experiment.grid import MAX_TASKS
from hpc.core.experiment.placeholders import CHOICE, FLAG, NAME, SWITCH
from hpc.core.experiment.spec import Value
from hpc.core.experiment.values import render_value
from hpc.core.launch.config_file import FORMATS
from hpc.core.launch.expansion import expansion_problem
from hpc.core.layout import name_problem
from hpc.core.resources import parse_carbon, parse_duration, parse_memory, parse_share, parse_time, parse_times

MAX_TEXT = 1000
NEVER = "never"


def fail(message: str) -> PydanticCustomError:
    """Return the error whose text is this sentence."""
    # pydantic formats the template with its context, so the text goes in as a value: it may hold braces.
    return PydanticCustomError("said", "{text}", {"text": message})


def shown(value: Any) -> str:
    """Return a value as a sentence names it."""
    if isinstance(value, str):
        return f"the text {value!r}" if len(value) <= 60 else f"the text {value[:59] + '…'!r}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    return "a list" if isinstance(value, list) else "a block of keys" if isinstance(value, dict) else str(value)


def _line(value: Any) -> str:
    """Check one line of text: no line break, no NUL, not endless."""
    if not isinstance(value, str):
        hint = f'; put it in quotes: "{shown(value)}"' if isinstance(value, int | float) else ""
        raise fail(f"must be text, not {shown(value)}{hint}")
    if not value.strip():
        raise fail("is empty; write a text, or leave the key out")
    return _checked_characters(value)


def _checked_characters(value: str) -> str:
    if len(value) > MAX_TEXT:
        raise fail(f"is {len(value):,} characters long; {MAX_TEXT:,} are allowed")
    bad = next((char for char in value if ord(char) < 32 or ord(char) == 127 or char in "\u0085\u2028\u2029"), None)
    if bad is not None:
        raise fail(f"holds the control character {bad!r}; write it in one line of printable text")
    return value


def _prose(value: Any) -> str:
    """Check text that may have several lines."""
    if isinstance(value, str) and value.strip():
        for line in value.splitlines():
            _checked_characters(line.replace("\t", " "))
        return value.strip()
    return _line(value)


def _value(value: Any) -> Value:
    """Check a parameter's value: text, number, true/false, null, or a list or mapping of these."""
    if isinstance(value, list | dict):
        return _compound(value, 1)
    if isinstance(value, str):
        return _checked_characters(value)
    if isinstance(value, float) and not isfinite(value):
        raise fail(f"is {value}; parameters must be finite numbers")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise fail(f"{value} does not fit into 64 bits")
    return cast("Value", value)


MAX_DEPTH = 8
MAX_JSON = 10_000


def _compound(value: list[Any] | dict[str, Any], depth: int) -> Value:
    """Check a list or mapping, and all that is in it."""
    if depth > MAX_DEPTH:
        raise fail(f"is nested more than {MAX_DEPTH} levels deep; a file is the place for such a value")
    items = value.values() if isinstance(value, dict) else value
    for item in items:
        _compound(item, depth + 1) if isinstance(item, list | dict) else _value(item)
    if depth == 1 and (length := len(render_value(value))) > MAX_JSON:
        raise fail(f"is {length:,} characters long as JSON; {MAX_JSON:,} are allowed. A file is the place for it")
    return value


RANGE = re.compile(r"\s*(\d{1,10})\s*(?:-|\.\.)\s*(\d{1,10})\s*", re.ASCII)
"""Seeds from one to another."""


def _seeds(value: Any) -> Any:
    """Write out ranges such as ``0-9`` and ``1..5``, both ends included; ``0-2,7`` is a list of them."""
    parts = [_digits(part) for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(parts, list):
        raise fail(f"must be a list such as [1, 2] or a range such as 0-9, not {shown(value)}")
    return [seed for part in parts for seed in (_range_of(part) or [part])]


def _digits(text: str) -> int | str:
    return int(text) if re.fullmatch(r"\s*\d{1,10}\s*", text, re.ASCII) else text


def _range_of(value: Any) -> range | None:
    """Return the seeds of a range; None for what is none, and for one that is empty or endless."""
    match = RANGE.fullmatch(value) if isinstance(value, str) else None
    found = range(int(match[1]), int(match[2]) + 1) if match else range(0)
    return found if 0 < len(found) <= MAX_TASKS else None


def _config_file(value: Any) -> str:
    text = _line(value)
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts:
        raise fail(f"{text!r} is not a path inside the project, where each attempt gets its own")
    if path.suffix not in FORMATS:
        raise fail(f"{text!r} is not a kind of file that can be written; use {', '.join(FORMATS)}")
    return str(path)


def _config_content(value: Any) -> Any:
    if not isinstance(value, dict) or not value:
        raise fail(f"must be a block of keys, not {shown(value)}")
    return value


def _booleans(value: Any) -> str:
    """Check how true and false are written."""
    text = _line(value)
    if text not in (FLAG, SWITCH) and not re.fullmatch(CHOICE, text):
        raise fail(f"{text!r} is not one of its values; write flag, switch, or two words such as True/False or 1/0")
    return text


def _identifier(value: Any) -> str:
    text = _line(value)
    if not re.fullmatch(NAME, text):
        raise fail(
            f"{text!r} is not a parameter name; start with a letter, then letters, digits and _, with dots between "
            "parts"
        )
    return text


def _folder_name(value: Any) -> str:
    text = _line(value)
    if problem := name_problem(text):
        raise fail(f"{text!r} {problem}")
    return text


def _inside(value: Any) -> str:
    """A path in the project, written without ``./`` and a slash at its end."""
    text = _line(value)
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or path == PurePosixPath("."):
        raise fail(
            f"{text!r} is not a path inside the project; for one elsewhere write {{{path.name or 'data'}: {text}}}"
        )
    return str(path)


def _workdir(value: Any) -> str:
    text = _line(value)
    if ".." in PurePosixPath(text).parts:
        raise fail(f"{text!r} points outside the project; write a folder inside it, or an absolute path")
    return str(PurePosixPath(text))


def _memory(value: Any) -> str | int:
    return _spelled(value, parse_memory, "an amount of memory such as 32GB", limit=2**30)


def _time(value: Any) -> str | int:
    return _spelled(value, parse_time, 'a time limit such as "24:00:00"', limit=366 * 86400)


def _limit(value: Any) -> str | int:
    return _spelled(value, parse_duration, "a time such as 60s", limit=3600)


def _silence(value: Any) -> str | int:
    if value == NEVER:
        return NEVER
    return _spelled(value, parse_duration, "a time such as 20min", limit=366 * 86400)


def _times(value: Any) -> str | float:
    """Check a factor: ``3x`` or ``3``."""
    try:
        factor = parse_times(value)
    except (TypeError, ValueError):
        raise fail(f"must be a factor such as 3x, not {shown(value)}") from None
    if not 1 < factor <= 1000:
        raise fail(f"is {factor:g}; a factor is above 1 and at most 1000")
    return cast("str | float", value)


def _spelled(value: Any, parse: Callable[[str | int], int], what: str, limit: int) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise fail(f"must be {what}, not {shown(value)}")
    try:
        amount = parse(value)
    except ValueError as error:
        raise fail(str(error)) from None
    if amount > limit:
        raise fail(f"'{value}' is more than any site has; check the unit")
    return value


def _share(value: Any) -> str | float | int:
    """Check a relative difference: ``5%`` or ``0.05``."""
    try:
        share = parse_share(value)
    except (TypeError, ValueError):
        raise fail(f"must be a share such as 5% or 0.05, not {shown(value)}") from None
    if not 0 < share < 10:
        raise fail(f"is {share:g}; a meaningful difference is above 0 and below 10 (1000%)")
    return cast("str | float | int", value)


def _carbon(value: Any) -> str | float | int:
    """Check a factor of CO₂: ``0.3 kg/kWh``."""
    try:
        parse_carbon(value)
    except ValueError:
        raise fail(f"must be a factor such as 0.3 kg/kWh, above 0 and below 10, not {shown(value)}") from None
    return cast("str | float | int", value)


def _limits(value: Any) -> list[float]:
    """Check the range of a metric: ``[0, 1]``."""
    if not isinstance(value, list) or len(value) != 2 or any(not _is_number(end) for end in value):
        given = f"[{', '.join(map(str, value))}]" if isinstance(value, list) else shown(value)
        raise fail(f"must be two finite numbers [low, high], not {given}")
    if value[0] >= value[1]:
        raise fail(f"is [{value[0]:g}, {value[1]:g}]; low must be below high")
    return cast("list[float]", value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _processes(value: Any) -> str | int:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1024):
        return cast("str | int", value)
    raise fail(f"must be auto or a number of processes from 1 to 1024, not {shown(value)}")


_OURS = ("HPC_", "SLURM_", "APPTAINER", "SINGULARITY")


def _variable(value: Any) -> str:
    """Check the name of an environment variable; what looks like a secret does not belong into a file in git."""
    text = _line(value)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise fail(f"{text!r} is not a variable name; start with a letter, then letters, digits and _")
    if names_secret(text):
        raise fail(
            f"'{text}' looks like a secret, and this file is kept in git and copied into every run; "
            "export it in your shell or the site's own settings instead"
        )
    if text.upper().startswith(_OURS):
        raise fail(f"'{text}' is set by the toolkit or the site; choose another name")
    return text


def _variable_value(value: Any) -> str | int | float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise fail(f"must be text, not {shown(value)}; put it in quotes as the program wants to see it")
    return _checked_characters(value) if isinstance(value, str) else value


def _bind(value: Any) -> str:
    """Check one bind: ``/host/path``, ``/host:/inside``, ``/host:/inside:ro``."""
    text = _line(value)
    source, *rest = text.split(":")
    absolute = all(re.match(r"[/~$]", part) for part in (source, *rest[:1]))
    if len(rest) > 2 or not absolute or "," in text or (len(rest) == 2 and rest[1] not in ("ro", "rw")):
        if problem := expansion_problem(text):
            raise fail(problem)
        raise fail(f"{text!r} is not a bind; write /host/path, /host/path:/inside or /host/path:/inside:ro")
    return text


_OWN_DIRECTIVES = {
    "job-name": "name", "array": "max_parallel", "output": "the run folder", "error": "the run folder",
    "open-mode": "", "requeue": "", "no-requeue": "", "signal": "signal_lead_s", "comment": "",
    "kill-on-invalid-dep": "", "dependency": "", "chdir": "", "export": "environment", "time": "resources.time",
    "nodes": "resources.nodes", "ntasks": "", "ntasks-per-node": "", "cpus-per-task": "resources.cpus",
    "mem": "resources.mem", "mem-per-cpu": "memory", "mem-per-gpu": "memory", "gres": "gres",
    "gpus": "resources.gpus", "gpus-per-node": "gpu_option", "gpus-per-task": "gpu_option",
    "partition": "partition", "account": "account", "qos": "qos", "constraint": "constraint",
}  # fmt: skip
"""sbatch options the array script sets itself, and the field that says them here."""


def _directive(value: Any) -> str:
    text = _line(value)
    if not re.fullmatch(r"[a-z][a-z0-9-]*", text):
        raise fail(f"{text!r} is not an sbatch option; write its long name without dashes, such as exclude")
    if text in _OWN_DIRECTIVES:
        instead = f"; say it with {_OWN_DIRECTIVES[text]}" if _OWN_DIRECTIVES[text] else ""
        raise fail(f"'{text}' is set by the array script itself{instead}")
    return text


def _partitions(value: Any) -> str:
    if isinstance(value, list) and value:
        return ",".join(_word(each) for each in value)
    return _word(value)


def _word(value: Any) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else _line(value)
    if not re.fullmatch(r"[^\s'\"\\$`%]+", text):
        raise fail(f"{text!r} holds white space, a quote, backslash or one of $`%, which an sbatch option cannot")
    return text


def _directive_value(value: Any) -> str:
    """Check what stands behind an sbatch option: nothing (or true), a number, or a text that a script can hold."""
    if value is None or value is True:
        return ""
    if value is False:
        raise fail("is false; leave the option out")
    text = str(value) if isinstance(value, int | float) else _line(value)
    if set(text) & set("\"'\\$`%"):
        raise fail(f"{text!r} holds a quote, backslash or one of $`%, which an sbatch option cannot")
    return text


def _hook(value: Any) -> str:
    text = _line(value)
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", text, re.ASCII):
        raise fail(f"{text!r} names no function; write module:function, such as my_hooks:decide")
    return text


def _command_line(value: Any) -> str:
    text = _line(value)
    try:
        if shlex.split(text):
            return text
    except ValueError as error:
        raise fail(f"{text!r} is not a command line: {error}") from None
    raise fail("is empty; write a program and its arguments")


def _webhook_variable(value: Any) -> str:
    text = _line(value)
    if "://" in text:
        raise fail(
            "is a URL, which is a secret and belongs in no file; put it into an environment variable and name that here"
        )
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise fail("is not a variable name, such as HPC_WEBHOOK")
    return text


def _address(value: Any) -> str:
    text = _line(value)
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*@[A-Za-z0-9][A-Za-z0-9.-]*", text, re.ASCII):
        raise fail(f"{text!r} is not an e-mail address, such as someone@example.org")
    return text


def _case(value: dict[str, Any]) -> dict[str, Any]:
    """Check that a case has an id that can name a folder."""
    if "id" not in value:
        raise fail("has no id; every case needs one, such as `id: ones_conv`")
    if not isinstance(value["id"], str):
        raise fail(f"has the id {shown(value['id'])}; an id is text, put it in quotes")
    if problem := name_problem(value["id"]):
        raise fail(f"has the id {value['id']!r}, which {problem}")
    return value


Line = Annotated[str, PlainValidator(_line), WithJsonSchema({"type": "string"})]
Prose = Annotated[str, PlainValidator(_prose), WithJsonSchema({"type": "string"})]
Word = Annotated[str, PlainValidator(_word), WithJsonSchema({"type": ["string", "integer"]})]
Partitions = Annotated[
    str,
    PlainValidator(_partitions),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Inside = Annotated[str, PlainValidator(_inside), WithJsonSchema({"type": "string"})]
Workdir = Annotated[str, PlainValidator(_workdir), WithJsonSchema({"type": "string"})]
FolderName = Annotated[str, PlainValidator(_folder_name), WithJsonSchema({"type": "string"})]
Parameter = Annotated[str, PlainValidator(_identifier), WithJsonSchema({"type": "string"})]
Booleans = Annotated[str, PlainValidator(_booleans), WithJsonSchema({"type": "string"})]
AnyValue = Annotated[
    Any,
    PlainValidator(_value),
    WithJsonSchema({"type": ["string", "number", "integer", "boolean", "null", "array", "object"]}),
]
Memory = Annotated[Any, PlainValidator(_memory), WithJsonSchema({"type": ["string", "integer"]})]
Time = Annotated[Any, PlainValidator(_time), WithJsonSchema({"type": ["string", "integer"]})]
Carbon = Annotated[Any, PlainValidator(_carbon), WithJsonSchema({"type": ["string", "number"]})]
Share = Annotated[Any, PlainValidator(_share), WithJsonSchema({"type": ["string", "number"]})]
Limits = Annotated[
    list[float],
    PlainValidator(_limits),
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
]
Processes = Annotated[Any, PlainValidator(_processes), WithJsonSchema({"type": ["string", "integer"]})]
Variable = Annotated[str, PlainValidator(_variable), WithJsonSchema({"type": "string"})]
VariableValue = Annotated[
    Any, PlainValidator(_variable_value), WithJsonSchema({"type": ["string", "number", "integer"]})
]
Bind = Annotated[str, PlainValidator(_bind), WithJsonSchema({"type": "string"})]
DirectiveValue = Annotated[
    Any, PlainValidator(_directive_value), WithJsonSchema({"type": ["string", "number", "integer", "boolean", "null"]})
]
Directive = Annotated[str, PlainValidator(_directive), WithJsonSchema({"type": "string"})]
Case = Annotated[dict[Parameter, AnyValue], AfterValidator(_case)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Seeds = Annotated[
    list[Seed],
    BeforeValidator(
        _seeds,
        json_schema_input_type=Annotated[
            list[int | str] | str, Field(description="Whole numbers and ranges such as 0-9 or 1..5.")
        ],
    ),
]
ConfigFile = Annotated[str, PlainValidator(_config_file), WithJsonSchema({"type": "string"})]
ConfigContent = Annotated[Any, PlainValidator(_config_content), WithJsonSchema({"type": "object"})]
Hook = Annotated[str, PlainValidator(_hook), WithJsonSchema({"type": "string"})]
CommandLine = Annotated[str, PlainValidator(_command_line), WithJsonSchema({"type": "string"})]
WebhookVariable = Annotated[str, PlainValidator(_webhook_variable), WithJsonSchema({"type": "string"})]
Address = Annotated[str, PlainValidator(_address), WithJsonSchema({"type": "string"})]
Patience = Annotated[str | int, PlainValidator(_limit), WithJsonSchema({"type": ["string", "integer"]})]
Silence = Annotated[str | int, PlainValidator(_silence), WithJsonSchema({"type": ["string", "integer"]})]
Factor = Annotated[str | float, PlainValidator(_times), WithJsonSchema({"type": ["string", "number"]})]
Values = Annotated[list[AnyValue], Field(min_length=1)]


def _after(value: Any) -> list[str | int]:
    """Check what comes before: names are experiments, numbers are Slurm jobs."""
    given = value if isinstance(value, list) else [value]
    if not given:
        raise fail("is empty; name an experiment or a Slurm job, or leave it out")
    return [_job_number(each) if isinstance(each, int) else _folder_name(each) for each in given]


def _job_number(value: int) -> int:
    if isinstance(value, bool) or not 0 < value < 10**10:
        raise fail(f"{shown(value)} is neither an experiment nor a Slurm job such as 4711")
    return value


After = Annotated[
    list[str | int],
    PlainValidator(_after),
    WithJsonSchema(
        {"anyOf": [{"type": ["string", "integer"]}, {"type": "array", "items": {"type": ["string", "integer"]}}]}
    ),
]
