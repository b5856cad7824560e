"""What people write, as pydantic models: the experiment and the cluster profile.

Each value is checked with the sentence a user needs when it is wrong, and each field is described (the field reference
and the JSON Schema come from here). What must hold *between* values is in `hpc.core.checks`.
"""

import inspect
import json
import re
import shlex
from collections.abc import Callable, Iterator
from math import isfinite, prod
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self, cast, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from hpc.core.credentials import names_secret
from hpc.core.errors import nearest
from hpc.core.experiment.grid import MAX_TASKS
from hpc.core.experiment.placeholders import CHOICE, FLAG, NAME, SWITCH
from hpc.core.experiment.program import TRUE_FALSE
from hpc.core.experiment.spec import Value
from hpc.core.experiment.values import render_value
from hpc.core.launch.config_file import FORMATS
from hpc.core.launch.expansion import expansion_problem
from hpc.core.layout import name_problem
from hpc.core.resources import parse_carbon, parse_duration, parse_memory, parse_share, parse_time, parse_times

MAX_TEXT = 1000
EXPERIMENT_TYPES = (
    "hyperparameter_sweep",
    "phase_diagram",
    "cross_system",
    "training_ablation",
    "transfer_learning",
    "baseline_variance",
    "comparison",
)

# Values, each with the sentence a user needs when it is wrong


def _fail(message: str) -> PydanticCustomError:
    # pydantic formats the template with its context, so the text goes in as a value: it may hold braces.
    return PydanticCustomError("said", "{text}", {"text": message})


def shown(value: Any) -> str:
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
        raise _fail(f"must be text, not {shown(value)}{hint}")
    if not value.strip():
        raise _fail("is empty; write a text, or leave the key out")
    return _checked_characters(value)


def _checked_characters(value: str) -> str:
    if len(value) > MAX_TEXT:
        raise _fail(f"is {len(value):,} characters long; {MAX_TEXT:,} are allowed")
    bad = next((char for char in value if ord(char) < 32 or ord(char) == 127 or char in "\u0085\u2028\u2029"), None)
    if bad is not None:
        raise _fail(f"holds the control character {bad!r}; write it in one line of printable text")
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
        raise _fail(f"is {value}; parameters must be finite numbers")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise _fail(f"{value} does not fit into 64 bits")
    return cast("Value", value)


MAX_DEPTH = 8
MAX_JSON = 10_000


def _compound(value: list[Any] | dict[str, Any], depth: int) -> Value:
    """Check a list or mapping, and all that is in it."""
    if depth > MAX_DEPTH:
        raise _fail(f"is nested more than {MAX_DEPTH} levels deep; a file is the place for such a value")
    items = value.values() if isinstance(value, dict) else value
    for item in items:
        _compound(item, depth + 1) if isinstance(item, list | dict) else _value(item)
    if depth == 1 and (length := len(render_value(value))) > MAX_JSON:
        raise _fail(f"is {length:,} characters long as JSON; {MAX_JSON:,} are allowed. A file is the place for it")
    return value


RANGE = re.compile(r"\s*(\d{1,10})\s*(?:-|\.\.)\s*(\d{1,10})\s*", re.ASCII)
"""Seeds from one to another."""


def _seeds(value: Any) -> Any:
    """Write out ranges such as ``0-9`` and ``1..5``, both ends included; ``0-2,7`` is a list of them."""
    parts = [_digits(part) for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(parts, list):
        raise _fail(f"must be a list such as [1, 2] or a range such as 0-9, not {shown(value)}")
    return [seed for part in parts for seed in (_range_of(part) or [part])]


def _digits(text: str) -> int | str:
    return int(text) if re.fullmatch(r"\s*\d{1,10}\s*", text, re.ASCII) else text


def _range_of(value: Any) -> range | None:
    """Return the seeds of a range; None for what is none, and for one that is empty or endless."""
    match = RANGE.fullmatch(value) if isinstance(value, str) else None
    found = range(int(match[1]), int(match[2]) + 1) if match else range(0)
    return found if 0 < len(found) <= MAX_TASKS else None


def _config_in_a_word(value: Any) -> Any:
    return {"file": value} if isinstance(value, str) else value


def _config_file(value: Any) -> str:
    text = _line(value)
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts:
        raise _fail(f"{text!r} is not a path inside the project, where each attempt gets its own")
    if path.suffix not in FORMATS:
        raise _fail(f"{text!r} is not a kind of file that can be written; use {', '.join(FORMATS)}")
    return str(path)


def _config_content(value: Any) -> Any:
    if not isinstance(value, dict) or not value:
        raise _fail(f"must be a block of keys, not {shown(value)}")
    return value


def _booleans(value: Any) -> str:
    """Check how true and false are written."""
    text = _line(value)
    if text not in (FLAG, SWITCH) and not re.fullmatch(CHOICE, text):
        raise _fail(f"{text!r} is not one of its values; write flag, switch, or two words such as True/False or 1/0")
    return text


def _identifier(value: Any) -> str:
    text = _line(value)
    if not re.fullmatch(NAME, text):
        raise _fail(
            f"{text!r} is not a parameter name; start with a letter, then letters, digits and _, with dots between "
            "parts"
        )
    return text


def _folder_name(value: Any) -> str:
    text = _line(value)
    if problem := name_problem(text):
        raise _fail(f"{text!r} {problem}")
    return text


def _inside(value: Any) -> str:
    """A path in the project, written without ``./`` and a slash at its end."""
    text = _line(value)
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or path == PurePosixPath("."):
        raise _fail(
            f"{text!r} is not a path inside the project; for one elsewhere write {{{path.name or 'data'}: {text}}}"
        )
    return str(path)


def _workdir(value: Any) -> str:
    text = _line(value)
    if ".." in PurePosixPath(text).parts:
        raise _fail(f"{text!r} points outside the project; write a folder inside it, or an absolute path")
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
        raise _fail(f"must be a factor such as 3x, not {shown(value)}") from None
    if not 1 < factor <= 1000:
        raise _fail(f"is {factor:g}; a factor is above 1 and at most 1000")
    return cast("str | float", value)


def _spelled(value: Any, parse: Callable[[str | int], int], what: str, limit: int) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _fail(f"must be {what}, not {shown(value)}")
    try:
        amount = parse(value)
    except ValueError as error:
        raise _fail(str(error)) from None
    if amount > limit:
        raise _fail(f"'{value}' is more than any site has; check the unit")
    return value


def _share(value: Any) -> str | float | int:
    """Check a relative difference: ``5%`` or ``0.05``."""
    try:
        share = parse_share(value)
    except (TypeError, ValueError):
        raise _fail(f"must be a share such as 5% or 0.05, not {shown(value)}") from None
    if not 0 < share < 10:
        raise _fail(f"is {share:g}; a meaningful difference is above 0 and below 10 (1000%)")
    return cast("str | float | int", value)


def _carbon(value: Any) -> str | float | int:
    """Check a factor of CO₂: ``0.3 kg/kWh``."""
    try:
        parse_carbon(value)
    except ValueError:
        raise _fail(f"must be a factor such as 0.3 kg/kWh, above 0 and below 10, not {shown(value)}") from None
    return cast("str | float | int", value)


def _limits(value: Any) -> list[float]:
    """Check the range of a metric: ``[0, 1]``."""
    if not isinstance(value, list) or len(value) != 2 or any(not _is_number(end) for end in value):
        given = f"[{', '.join(map(str, value))}]" if isinstance(value, list) else shown(value)
        raise _fail(f"must be two finite numbers [low, high], not {given}")
    if value[0] >= value[1]:
        raise _fail(f"is [{value[0]:g}, {value[1]:g}]; low must be below high")
    return cast("list[float]", value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _processes(value: Any) -> str | int:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1024):
        return cast("str | int", value)
    raise _fail(f"must be auto or a number of processes from 1 to 1024, not {shown(value)}")


_OURS = ("HPC_", "SLURM_", "APPTAINER", "SINGULARITY")


def _variable(value: Any) -> str:
    """Check the name of an environment variable; what looks like a secret does not belong into a file in git."""
    text = _line(value)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise _fail(f"{text!r} is not a variable name; start with a letter, then letters, digits and _")
    if names_secret(text):
        raise _fail(
            f"'{text}' looks like a secret, and this file is kept in git and copied into every run; "
            "export it in your shell or the site's own settings instead"
        )
    if text.upper().startswith(_OURS):
        raise _fail(f"'{text}' is set by the toolkit or the site; choose another name")
    return text


def _variable_value(value: Any) -> str | int | float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _fail(f"must be text, not {shown(value)}; put it in quotes as the program wants to see it")
    return _checked_characters(value) if isinstance(value, str) else value


def _bind(value: Any) -> str:
    """Check one bind: ``/host/path``, ``/host:/inside``, ``/host:/inside:ro``."""
    text = _line(value)
    source, *rest = text.split(":")
    absolute = all(re.match(r"[/~$]", part) for part in (source, *rest[:1]))
    if len(rest) > 2 or not absolute or "," in text or (len(rest) == 2 and rest[1] not in ("ro", "rw")):
        if problem := expansion_problem(text):
            raise _fail(problem)
        raise _fail(f"{text!r} is not a bind; write /host/path, /host/path:/inside or /host/path:/inside:ro")
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
        raise _fail(f"{text!r} is not an sbatch option; write its long name without dashes, such as exclude")
    if text in _OWN_DIRECTIVES:
        instead = f"; say it with {_OWN_DIRECTIVES[text]}" if _OWN_DIRECTIVES[text] else ""
        raise _fail(f"'{text}' is set by the array script itself{instead}")
    return text


def _partitions(value: Any) -> str:
    if isinstance(value, list) and value:
        return ",".join(_word(each) for each in value)
    return _word(value)


def _word(value: Any) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else _line(value)
    if not re.fullmatch(r"[^\s'\"\\$`%]+", text):
        raise _fail(f"{text!r} holds white space, a quote, backslash or one of $`%, which an sbatch option cannot")
    return text


def _directive_value(value: Any) -> str:
    """Check what stands behind an sbatch option: nothing (or true), a number, or a text that a script can hold."""
    if value is None or value is True:
        return ""
    if value is False:
        raise _fail("is false; leave the option out")
    text = str(value) if isinstance(value, int | float) else _line(value)
    if set(text) & set("\"'\\$`%"):
        raise _fail(f"{text!r} holds a quote, backslash or one of $`%, which an sbatch option cannot")
    return text


def _hook(value: Any) -> str:
    text = _line(value)
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", text, re.ASCII):
        raise _fail(f"{text!r} names no function; write module:function, such as my_hooks:decide")
    return text


def _command_line(value: Any) -> str:
    text = _line(value)
    try:
        if shlex.split(text):
            return text
    except ValueError as error:
        raise _fail(f"{text!r} is not a command line: {error}") from None
    raise _fail("is empty; write a program and its arguments")


def _webhook_variable(value: Any) -> str:
    text = _line(value)
    if "://" in text:
        raise _fail(
            "is a URL, which is a secret and belongs in no file; put it into an environment variable and name that here"
        )
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise _fail("is not a variable name, such as HPC_WEBHOOK")
    return text


def _address(value: Any) -> str:
    text = _line(value)
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*@[A-Za-z0-9][A-Za-z0-9.-]*", text, re.ASCII):
        raise _fail(f"{text!r} is not an e-mail address, such as someone@example.org")
    return text


def _exactly_one(model: BaseModel) -> None:
    """Refuse a block in which not exactly one of its optional keys is given."""
    keys = [field.alias or name for name, field in type(model).model_fields.items() if not field.is_required()]
    keys = [key for key in keys if key not in ("args", "on", "workdir", "inputs", "booleans", "config", "sanity")]
    given = [key for key in keys if getattr(model, _field_name(type(model), key)) is not None]
    if len(given) != 1:
        found = f"it has {' and '.join(given)}" if given else "it has none"
        raise _fail(f"needs exactly one of {', '.join(keys)}; {found}")


def _field_name(model: type[BaseModel], key: str) -> str:
    return next(name for name, field in model.model_fields.items() if (field.alias or name) == key)


def _case(value: dict[str, Any]) -> dict[str, Any]:
    """Check that a case has an id that can name a folder."""
    if "id" not in value:
        raise _fail("has no id; every case needs one, such as `id: ones_conv`")
    if not isinstance(value["id"], str):
        raise _fail(f"has the id {shown(value['id'])}; an id is text, put it in quotes")
    if problem := name_problem(value["id"]):
        raise _fail(f"has the id {value['id']!r}, which {problem}")
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
Values = Annotated[list[AnyValue], Field(min_length=1)]


class Model(BaseModel):
    """What all blocks share: unknown keys are errors, and a text is never taken for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=False, allow_inf_nan=False)


# The experiment


class BriefModel(Model):
    """The question and what would answer it, written down before any result is seen."""

    goal: Prose | None = Field(None, description="The question, in one sentence.")
    hypothesis: Prose | None = Field(None, description="What you expect, and from which parameter.")
    success: Prose | None = Field(None, description="The concrete threshold that would confirm the hypothesis.")
    criterion: Prose | None = Field(
        None,
        description="The same threshold as a rule that the report evaluates: SUPPORTED, MET AT FACE VALUE, "
        "REFUTED or UNDECIDED. See docs/pre-registration.md.",
    )
    data: Prose | None = Field(None, description="Which data, in which version, how much.")
    splits: Prose | None = Field(None, description="How they are split, and what keeps the parts apart.")
    known_issues: Prose | None = Field(None, description="What is known to be wrong with them, and who looked.")
    model: Prose | None = Field(None, description="Which model, and the settings on which the result depends.")
    baseline: Prose | None = Field(
        None,
        description="What it is compared with, in words; the configuration itself is the top-level key `baseline`.",
    )
    tuning: Prose | None = Field(
        None, description="How the baseline was tuned, and how the configurations compared with it."
    )
    metrics: Prose | None = Field(
        None,
        description="Which number decides, which others are shown, which difference is worth having, over how "
        "many seeds.",
    )
    constraints: Prose | None = Field(None, description="The compute and time available, and what is dropped first.")
    decision: Prose | None = Field(None, description="What you will do, depending on the result.")
    if_wrong: Prose | None = Field(None, description="What you will do if the hypothesis is wrong.")
    stage: Literal["exploratory", "confirmatory"] = Field(
        "exploratory", description="`confirmatory` if the hypothesis was fixed before the runs, else `exploratory`."
    )


class ConfigModel(Model):
    """A configuration file that every attempt gets with its own values filled in. You may also write only its path."""

    file: Annotated[str, PlainValidator(_config_file), WithJsonSchema({"type": "string"})] = Field(
        description="Its path in the project; every attempt has it in its working folder. It ends in .yaml, .json"
        " or .toml."
    )
    content: Annotated[Any, PlainValidator(_config_content), WithJsonSchema({"type": "object"})] | None = Field(
        None, description="Its content. Default: the project's file when the experiment is planned."
    )


class SanityModel(Model):
    """Quick checks that the program can run instead of its work; `sanity: --sanity` is short for `words` only."""

    words: Prose = Field(description="Words appended to its command line; placeholders as in `program.command`.")
    time: Time = Field("0:10:00", description="Time limit of the checks; if they exceed it, the task has failed.")


def _sanity(value: Any) -> Any:
    return {"words": value} if isinstance(value, str) else value


class ProgramModel(Model):
    """What every task runs: exactly one of `module` and `command`."""

    module: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")] | None = Field(
        None, description="Python module, started as `python -m MODULE --name value …` with every argument."
    )
    command: Prose | None = Field(
        None,
        description="Any command line with placeholders: parameters, `{seed}`, fixed arguments, the batch "
        "arguments, `{out_dir}`, `{task_dir}`, `{attempt_dir}`, `{task_json}`, `{run_name}`, "
        "`{experiment}`, `{task_id}`, `{resume_from}`. It is split into words first and filled in "
        "afterwards; no shell reads it, unless it is `bash -c '…'`. Lists and mappings are written as"
        " JSON; `{layers:words}` writes a list as several words.",
    )
    args: dict[Parameter, AnyValue] = Field({}, description="Arguments with the same value for every task.")
    booleans: Booleans = Field(
        TRUE_FALSE,
        description="How true and false are passed to the program: two words such as `True/False` or `1/0`, "
        "`flag` (`--amp` or nothing), or `switch` (`--amp` or `--no-amp`). In a command, "
        "`{amp:flag}`, `{amp:switch}` and `{amp:True/False}` set it for one placeholder.",
    )
    config: (
        Annotated[ConfigModel, BeforeValidator(_config_in_a_word, json_schema_input_type=str | ConfigModel)] | None
    ) = Field(
        None,
        description="Configuration file of the project, such as `conf/base.yaml`. Every attempt gets a copy with "
        "its own values, filled in at the keys of that name (`model.lr` leads into the block `model`)"
        " and where a text has `{name}`. `{config}` in the command is its path. A value that is "
        "filled in there does not have to be in the command.",
    )
    workdir: Workdir = Field(
        ".",
        description="Folder of the project in which the program is started. Every attempt works in its own copy "
        "of the code; what it writes there is kept in the attempt. An absolute path is a folder that "
        "all attempts share.",
    )
    inputs: list[Inside] | dict[Inside, Prose] = Field(
        [],
        description="Files and folders that are not code and that the program reads by a path in the project "
        "(`data`, `checkpoints/base`). They are linked into every working folder, read-only in "
        "containers, and not frozen. `{data: /scratch/imagenet}` links a file or folder from elsewhere.",
    )

    sanity: Annotated[SanityModel, BeforeValidator(_sanity, json_schema_input_type=str | SanityModel)] | None = Field(
        None,
        description="Words such as `--sanity` or `--dry-run` that make the program run quick checks and exit. "
        "With `submit --canary`, the canary runs them first, as one process in the same folder, "
        "environment and container; its run begins only if they end with exit code 0. A line that "
        "begins with `sanity: ` reports a result; if the checks fail, the last one says why. All "
        "output is in `sanity.log`.",
    )

    @model_validator(mode="after")
    def _one_program(self) -> Self:
        _exactly_one(self)
        return self


def _check_axes(cases: list[dict[str, Any]], axes: dict[str, list[dict[str, Any]]]) -> None:
    """Refuse cases beside axes, and a parameter that two axes set: one of the values would be lost."""
    if cases and axes:
        raise _fail("has `cases` and `axes`; make the cases one more axis")
    if (count := prod(map(len, axes.values()))) > MAX_TASKS:
        raise _fail(f"asks for {count:,} combinations of axes; {MAX_TASKS:,} are allowed")
    homes: dict[str, str] = {}
    for axis, listed in axes.items():
        for name in dict.fromkeys(name for case in listed for name in case if name != "id"):
            if homes.setdefault(name, axis) != axis:
                raise _fail(f"sets '{name}' in the axes {homes[name]} and {axis}; keep one")


class RangeModel(Model):
    """The range of one sampled parameter: exactly one of the keys."""

    linear: list[float] | None = Field(None, description="[low, high]: a float, uniform.")
    log: list[float] | None = Field(None, description="[low, high], both above 0: a float, uniform in its logarithm.")
    int_: list[int] | None = Field(None, alias="int", description="[low, high]: a whole number, including both ends.")
    int_log: list[int] | None = Field(
        None, description="[low, high], both above 0: a whole number, uniform in its logarithm."
    )
    choices: Values | None = Field(None, description="A list to choose from.")

    def chosen(self) -> tuple[str, list[Any]]:
        """Return the one key that is set, and its values."""
        fields = type(self).model_fields
        return next(
            (field.alias or name, getattr(self, name))
            for name, field in fields.items()
            if getattr(self, name) is not None
        )

    @model_validator(mode="after")
    def _one_range(self) -> Self:
        _exactly_one(self)
        kind, values = self.chosen()
        if kind != "choices" and (len(values) != 2 or values[0] >= values[1]):
            raise _fail(f"`{kind}` needs [low, high] with low below high")
        if "log" in kind and values[0] <= 0:
            raise _fail(f"`{kind}` needs bounds above 0")
        return self


class SampleModel(Model):
    """Parameter sets drawn from ranges instead of listed."""

    n: Annotated[int, Field(ge=1, le=100_000)] = Field(description="Number of parameter sets.")
    method: Literal["sobol", "random", "lhs"] = Field(
        "sobol", description="`sobol`, `random` or `lhs` (Latin hypercube)."
    )
    seed: Seed = Field(0, description="Seed of the drawing itself; the same seed draws the same sets.")
    space: Annotated[dict[Parameter, RangeModel], Field(min_length=1)] = Field(description="Parameter → range.")


class SweepModel(Model):
    """The tasks: every combination of cases, samples, zipped rows and grid, each with every seed.

    A value is text, a number, true/false, null, or a list or mapping of these; a name may have dots (`model.lr`).
    """

    grid: dict[Parameter, Values] = Field(
        {}, description="Parameter → values; every combination, with the last key varying fastest."
    )
    zip: dict[Parameter, Values] = Field({}, description="Parameter → values of equal length, taken side by side.")
    cases: list[Case] = Field([], description="Named parameter sets, each with its `id`.")
    axes: dict[Parameter, Annotated[list[Case], Field(min_length=1)]] = Field(
        {},
        description="Several lists of cases, combined with each other: `{model: [{id: small, …}, …], data: [{id: "
        "wiki, …}]}` gives the cases `small+wiki`, ….",
    )
    sample: SampleModel | None = Field(None, description="Parameter sets drawn from ranges.")
    where: Prose | None = Field(
        None,
        description="Condition over the parameters; combinations that do not meet it are left out. Any name can "
        "be used in it except `and`, `or`, `not`, `in` and `is`.",
    )
    when: dict[Parameter, Prose] = Field(
        {},
        description="Parameter → condition: `{momentum: optimizer == 'sgd'}`. Where the condition does not hold, "
        "the parameter does not exist, and combinations that become equal count as one. The command "
        "loses the word with its placeholder and the option before it; run names have `none`.",
    )
    seeds: Annotated[Seeds, Field(min_length=1)] = Field(
        [42], description="One task for each seed and combination: `[1, 2]`, `0-9` (or `0..9`), `[0-3, 42]`."
    )
    further_seeds: Seeds = Field(
        [], description="Seeds that `plan --second-look` adds to configurations the first ones did not settle."
    )

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_fields_set - {"where", "when"}:
            raise _fail("is empty; give at least one of grid, zip, cases, axes, sample or seeds")
        _check_axes(self.cases, self.axes)
        return self


class MetricModel(Model):
    """A number the experiment is about."""

    name: Line = Field(description="Its name, as the program writes it.")
    goal: Literal["min", "max"] = Field("min", description="Whether smaller or larger is better.")
    meaningful: Share | None = Field(
        None, description="Smallest difference worth having, relative to the baseline: `5%` or 0.05."
    )


class PrimaryModel(MetricModel):
    """The number that decides the verdict."""

    range_: Annotated[dict[str, Limits], Field(min_length=1)] | None = Field(
        None,
        alias="range",
        description="`{system: [low, high]}` for every system: the values that count as score 0 and score 1 "
        "there, such as random and best known. Results over systems are then computed from scores "
        "(docs/statistics.md).",
    )


class SourceModel(Model):
    """Where metrics come from if the program does not use `hpc.metrics`: exactly one of the keys."""

    stdout: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)] | None = Field(
        None, description="Regular expression over its output; each named group is a metric, `step` the step."
    )
    json_: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)] | None = Field(
        None, alias="json", description="The program prints one JSON object per line; this is the key of the step."
    )
    csv: Line | None = Field(
        None,
        description="CSV file with a header that the program writes, relative to its working folder or "
        "`{out_dir}`; `*` matches the part that varies. The step is the column step, global_step, "
        "iteration, iter or epoch, else the row.",
    )
    json_file: Line | None = Field(
        None,
        description="JSON file that the program writes: final values, lists over the steps, or records; or JSON lines.",
    )
    tensorboard: Line | None = Field(None, description="Folder of TensorBoard event files that the program writes.")

    def chosen(self) -> tuple[str, str]:
        """Return the one key that is set, and its text."""
        fields = type(self).model_fields
        given = ((field.alias or name, getattr(self, name)) for name, field in fields.items())
        return next((key, text) for key, text in given if text is not None)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        _exactly_one(self)
        return self


class MetricsModel(Model):
    """Which numbers are read, and from where."""

    primary: PrimaryModel = Field(description="The metric that decides the verdict.")
    secondary: list[MetricModel] = Field([], description="Metrics reported beside it.")
    source: SourceModel | None = Field(
        None, description="Where metrics come from; only for programs that do not use `hpc.metrics`."
    )


class AmountsModel(Model):
    """Other amounts for the tasks that meet a condition; if several conditions hold, the last one counts."""

    where: Prose = Field(
        description="Condition over parameters, fixed arguments, `seed` and `case`: `n_layers > 24`, `case == 'large'`."
    )
    nodes: Annotated[int, Field(ge=1, le=10_000)] | None = Field(None, description="Nodes.")
    gpus: Annotated[int, Field(ge=0, le=64)] | None = Field(None, description="GPUs per node.")
    cpus: Annotated[int, Field(ge=1, le=4096)] | None = Field(None, description="CPU cores per node.")
    mem: Memory | None = Field(None, description="Host memory per node.")
    time: Time | None = Field(None, description="Time limit.")
    disk: Memory | None = Field(None, description="Space one run needs in the run folder.")

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set - {"where"}:
            raise _fail("changes nothing; give at least one of nodes, gpus, cpus, mem, time or disk")
        return self


class ResourcesModel(Model):
    """What one task asks for."""

    nodes: Annotated[int, Field(ge=1, le=10_000)] = Field(1, description="Nodes.")
    gpus: Annotated[int, Field(ge=0, le=64)] = Field(0, description="GPUs per node.")
    cpus: Annotated[int, Field(ge=1, le=4096)] = Field(1, description="CPU cores per node.")
    mem: Memory = Field("4GB", description="Host memory per node: `32GB`, `500MB` or a number of MiB.")
    time: Time = Field("1:00:00", description='Time limit: `"24:00:00"`, `2-00:00:00` (days) or a number of minutes.')
    disk: Memory | None = Field(None, description="Disk space one run needs in the run folder; checked before a sweep.")
    for_: list[AmountsModel] | None = Field(
        None, alias="for", description="Other amounts for some tasks: `[{where: n_layers > 24, mem: 64GB}]`."
    )


class PackModel(Model):
    """Several tasks in one array element, for tasks too small for one each (docs/packing.md).

    Each keeps its own attempt, log, metrics, verdict and retry. `resources` are still those of one task: the element
    requests `at_once` times its cores and memory, and its time once for each task that runs after another. The GPUs
    are those of one task; tasks that run at once share them.
    """

    tasks: Annotated[int, Field(ge=1, le=1000)] = Field(description="Maximum number of tasks in one element.")
    at_once: Annotated[int, Field(ge=1, le=256)] = Field(1, description="Number of tasks that run at the same time.")


Hours = Annotated[float, Field(gt=0, le=1e9)]


class BudgetModel(Model):
    """Maximum total cost of the experiment, retries included. Nothing is started that might exceed it."""

    gpu_hours: Hours | None = Field(None, description="GPUs × hours.")
    core_hours: Hours | None = Field(None, description="Requested CPU cores × hours.")

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.gpu_hours is None and self.core_hours is None:
            raise _fail("bounds nothing; give gpu_hours or core_hours, such as {gpu_hours: 200}")
        return self


class DeepspeedModel(Model):
    """DeepSpeed, through Accelerate or its own launcher."""

    zero_stage: Annotated[int, Field(ge=0, le=3)] = Field(description="ZeRO stage 0 to 3.")
    offload: Literal["optimizer", "parameters"] | None = Field(
        None,
        description="What is kept in host memory instead of GPU memory: `optimizer` (its state and its step) or "
        "`parameters` (also the parameters, stage 3 only). Default: nothing.",
    )


class FsdpModel(Model):
    """Fully sharded data parallelism of PyTorch (FSDP2)."""

    sharding: Literal["full", "gradients"] = Field(
        "full",
        description="What is sharded between the processes. `full`: parameters, gradients and optimiser state. "
        "`gradients`: a layer's parameters stay gathered from the forward to the backward pass, which"
        " saves time and costs memory.",
    )
    wrap: list[Parameter] = Field(
        [],
        description="Classes of the layers that are gathered one at a time: `[LlamaDecoderLayer]`. Empty: the "
        "model is gathered as a whole. The programs in `train` know theirs.",
    )


class LaunchModel(Model):
    """How the processes of one task are started."""

    kind: Literal["plain", "accelerate", "torchrun", "deepspeed"] = Field("plain", description="The launcher.")
    processes: Processes = Field(
        "auto",
        description="Processes per node. `auto`: one per GPU, or one without GPUs; but a `command` with kind "
        "`plain` is started only once, on the first node, as in a batch script.",
    )
    mixed_precision: Literal["no", "fp16", "bf16"] = Field(
        "no", description="Number format of the forward and backward passes."
    )
    deepspeed: DeepspeedModel | None = Field(None, description="DeepSpeed settings. Default: no DeepSpeed.")
    fsdp: FsdpModel | None = Field(None, description="FSDP settings. Default: no FSDP.")
    gradient_checkpointing: bool = Field(
        default=False,
        description="Keep only the input of each layer and recompute the rest in the backward pass: less memory, "
        "a third more time. Supported by the programs in `train`, and by Accelerate with `fsdp`.",
    )
    torch_compile: bool = Field(
        default=False,
        description="Compile the model before training. Supported by the programs in `train`, and by Accelerate.",
    )
    rank_logs: bool = Field(
        default=False,
        description="Each rank except rank 0 writes its own `stdout.rankN.log` and `stderr.rankN.log`, so that "
        "`hpc logs --rank N` shows one rank. Default: the ranks of a node share one log.",
    )


class BatchModel(Model):
    """The batch size that an out-of-memory error may change (`micro`), and the one it must keep (`global`)."""

    global_: Annotated[int, Field(ge=1)] = Field(
        alias="global", description="Samples per optimiser step, over all processes."
    )
    micro: Annotated[int, Field(ge=1)] = Field(description="Samples per forward pass of one process.")
    parameter: Parameter = Field("micro_batch_size", description="The program's argument that takes `micro`.")
    accumulation: Parameter = Field(
        "gradient_accumulation_steps", description="The program's argument that takes the number of accumulation steps."
    )
    shape: list[Parameter] | None = Field(
        None,
        description="Parameters that decide how much memory a micro-batch needs. Tasks with the same values share"
        " what was learned. Default: all arguments except the seed and the learning rate.",
    )


class ContainerModel(Model):
    """The image each task runs in."""

    image: Line | None = Field(
        None,
        description="Name (`train` is `train.sif` in the site's image folder, `train.sqsh` with pyxis) or path; "
        "with pyxis also an image of a registry, `nvcr.io/nvidia/pytorch:24.05-py3`.",
    )
    runtime: Literal["apptainer", "pyxis"] = Field(
        "apptainer", description="What runs it: the profile's `apptainer`, or Slurm's plugin pyxis (enroot)."
    )
    binds: list[Bind] = Field(
        [], description="Folders to bind into the container: `/host`, `/host:/inside`, `/host:/inside:ro`."
    )


class OomGpuModel(Model):
    """After a GPU (or CPU allocator) out-of-memory error: micro-batch halved, accumulation doubled."""

    min_micro: Annotated[int, Field(ge=1)] = Field(1, description="Smallest micro-batch allowed.")


class FactorModel(Model):
    """By how much a limit grows."""

    factor: Annotated[float, Field(gt=1, le=10)] = Field(description="New limit = old limit × factor.")


class DivergenceModel(Model):
    """What changes when a diverged run is repeated, all together and once. The run is then altered, and keeps its
    seed. An empty block changes nothing: a diverged run is a result.
    """

    lower_learning_rate: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="New learning rate = old one × this. The parameter is `learning_rate` or `lr`."
    )
    set: dict[Parameter, AnyValue] = Field({}, description="Parameters with new values: `{max_grad_norm: 0.5}`.")
    mixed_precision: Literal["no", "fp16", "bf16"] | None = Field(
        None, description="Number format instead of `launch.mixed_precision`."
    )


class ExcludeNodesModel(Model):
    """How long to avoid a node that failed a task or has a broken GPU."""

    hours: Annotated[float, Field(gt=0, le=8760)] = Field(24.0, description="Hours after that failure.")
    at_most: Annotated[int, Field(ge=0, le=100)] = Field(
        3, description="Maximum number of nodes one task avoids, the latest ones; 0: none."
    )


class BreakerModel(Model):
    """When pending tasks are held because failures share one cause that a retry does not cure. A full disk or
    quota holds them at once.
    """

    same: Annotated[int, Field(ge=0, le=1000)] = Field(
        3, description="Number of failures with one fingerprint (class, cause, line) among the first tasks; 0: never."
    )
    of_first: Annotated[int, Field(ge=1, le=1000)] = Field(
        6, description="How many tasks, in the order in which they ended, count as the first."
    )
    share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="Share of the ended tasks that failed in one class without a cure; 0: never."
    )
    at_least: Annotated[int, Field(ge=1)] = Field(10, description="Number of ended tasks from which that share counts.")

    @model_validator(mode="after")
    def _can_trip(self) -> Self:
        if self.same > self.of_first:
            raise _fail(f"same: {self.same} is more than of_first: {self.of_first}, so it could never hold anything")
        return self


def _in_a_word(block: type[Model], words: dict[str, dict[str, Any]]) -> Any:
    """Let a block be said in one word that stands for its keys."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in words:
            raise _fail(f"{shown(value)} is not one of its values; {nearest(value, tuple(words))}, or a block of keys")
        return words[value]

    return Annotated[block, BeforeValidator(read, json_schema_input_type=Literal[tuple(words)] | block)]


DIVERGENCE_WORDS: dict[str, dict[str, Any]] = {"report": {}, "lower_learning_rate": {"lower_learning_rate": 0.5}}
BREAKER_WORDS: dict[str, dict[str, Any]] = {"off": {"same": 0, "share": 0.0}}
NEVER = "never"
WATCH_WORDS: dict[str, dict[str, Any]] = {"off": {"silent": NEVER}}
WANDB_WORDS: dict[str, dict[str, Any]] = {"off": {"mode": "disabled"}}


class RetryModel(Model):
    """How often a failed task is retried, and what may change."""

    max_attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        4,
        description="Maximum number of attempts, including the first. An attempt that gets further than those "
        "before resets the count.",
    )
    oom_gpu: OomGpuModel = Field(OomGpuModel(), description="After a GPU out-of-memory error.")  # type: ignore[call-arg]
    oom_host: FactorModel = Field(FactorModel(factor=1.5), description="After host memory ran out: more memory.")
    timeout: FactorModel = Field(
        FactorModel(factor=2.0), description="After the time limit: more time, from the checkpoint."
    )
    divergence: _in_a_word(DivergenceModel, DIVERGENCE_WORDS) = Field(  # type: ignore[valid-type]
        DivergenceModel(),  # type: ignore[call-arg]
        description="`report` (default): a diverged run is a result. `lower_learning_rate`: repeat it once at "
        "half the rate. Or a block of changes, all made together, once. The run is then altered.",
    )
    exclude_nodes: ExcludeNodesModel = Field(ExcludeNodesModel(), description="Avoids nodes after they failed.")  # type: ignore[call-arg]
    breaker: _in_a_word(BreakerModel, BREAKER_WORDS) = Field(  # type: ignore[valid-type]
        BreakerModel(),  # type: ignore[call-arg]
        description="`off`, or when one cause behind many failures holds the pending tasks.",
    )
    hook: Annotated[str, PlainValidator(_hook), WithJsonSchema({"type": "string"})] | None = Field(
        None, description="Your own `module:function` that may decide otherwise (docs/retry-policy.md)."
    )


class WandbModel(Model):
    """Weights & Biases, one run per task over all its attempts."""

    project: Line | None = Field(None, description="Project. Left out: the experiment's name.")
    entity: Line | None = Field(None, description="Team or user.")
    mode: Literal["offline", "online", "disabled"] = Field(
        "offline", description="`offline` runs are sent later by `hpc sync`."
    )


class TrackingModel(Model):
    """Where runs are logged in addition to the run folder."""

    wandb: _in_a_word(WandbModel, WANDB_WORDS) | None = Field(  # type: ignore[valid-type]
        None,
        description="`off`, or where runs go. Left out: programs that call `wandb.init()` log offline, and `hpc sync` "
        "sends every run.",
    )


class NoticeModel(Model):
    """Who is notified when the experiment ends or is held: exactly one of command, webhook_env and email."""

    command: Annotated[str, PlainValidator(_command_line), WithJsonSchema({"type": "string"})] | None = Field(
        None,
        description="Program and arguments, run without a shell. It gets HPC_EVENT, HPC_EXPERIMENT, HPC_TITLE and"
        " HPC_TEXT in its environment, and the text on standard input.",
    )
    webhook_env: Annotated[str, PlainValidator(_webhook_variable), WithJsonSchema({"type": "string"})] | None = Field(
        None,
        description="Name of the environment variable that holds the URL; JSON with `text` is posted to it.",
    )
    email: Annotated[str, PlainValidator(_address), WithJsonSchema({"type": "string"})] | None = Field(
        None, description="Address; sent with the sendmail or mail of this machine."
    )
    on: Annotated[list[Literal["ended", "held", "gave_up"]], Field(min_length=1)] = Field(
        ["ended", "held", "gave_up"],
        description="When to notify. `gave_up`: the experiment is no longer followed although it is not done, "
        "because its days are over or the rest can never begin.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        _exactly_one(self)
        return self


class AnalysisModel(Model):
    """How the results are judged; sealed before the first run."""

    alpha: Annotated[float, Field(gt=0, lt=1)] = Field(0.05, description="Error rate of the tests, after correction.")
    correction: Literal["holm", "bh"] = Field(
        "holm",
        description="Correction for many comparisons: Holm (family-wise error rate) or Benjamini–Hochberg (false "
        "discovery rate).",
    )
    confidence: Annotated[float, Field(gt=0, lt=1)] = Field(0.95, description="Coverage of the intervals.")
    equivalence: Share | None = Field(
        None,
        description="Difference below which two configurations count as equal, relative to the baseline. Default:"
        " `metrics.primary.meaningful`.",
    )
    baseline_from: FolderName | None = Field(
        None,
        description="Experiment of type baseline_variance whose stored runs are the baseline, as long as code, "
        "data, configuration and environment are the same.",
    )
    sigma: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Expected standard deviation between runs of one configuration, in the unit of the primary "
        "metric. `plan` uses it to say which difference the design can find. It does not affect any "
        "verdict.",
    )


class TuningModel(Model):
    """How much each side was tuned before this experiment, in words or numbers of trials."""

    baseline: Line = Field(description="The baseline: `20 trials`, `defaults of the paper`.")
    others: Line = Field(description="Each configuration that is compared with it.")


class ReportingModel(Model):
    """What only its author knows and a reader asks for; printed in the report's checklist, and judged by nothing."""

    seed_varies: list[Literal["initialisation", "order", "split", "environment", "sampling"]] | None = Field(
        None,
        description="What changes with the seed: weight initialisation, order of the data, split into training "
        "and test data, the environment, random sampling.",
    )
    split: Literal["training", "validation", "test"] | None = Field(
        None, description="Which data the primary metric is measured on."
    )
    tuning: TuningModel | None = Field(None, description="Tuning budget of the baseline against the others.")


def _after(value: Any) -> list[str | int]:
    """Check what comes before: names are experiments, numbers are Slurm jobs."""
    given = value if isinstance(value, list) else [value]
    if not given:
        raise _fail("is empty; name an experiment or a Slurm job, or leave it out")
    return [_job_number(each) if isinstance(each, int) else _folder_name(each) for each in given]


def _job_number(value: int) -> int:
    if isinstance(value, bool) or not 0 < value < 10**10:
        raise _fail(f"{shown(value)} is neither an experiment nor a Slurm job such as 4711")
    return value


After = Annotated[
    list[str | int],
    PlainValidator(_after),
    WithJsonSchema(
        {"anyOf": [{"type": ["string", "integer"]}, {"type": "array", "items": {"type": ["string", "integer"]}}]}
    ),
]


class CheckModel(Model):
    """What a finished run has to fulfil to be accepted; one that does not stays finished and counts, marked.

    Exactly one of expression and command. `check: "final_error <= 0.1"` is short for the first.
    """

    expression: Prose | None = Field(
        None,
        description="Condition over final metrics (declared in `metrics`), parameters and fixed arguments, "
        "written like `sweep.where`. It is evaluated when results are collected.",
    )
    command: Prose | None = Field(
        None,
        description="Command line that runs after the program has finished with exit code 0, in the same folder, "
        "environment and container, with the placeholders of `program.command`. Its output is in "
        "`check.log`. Exit code 0 means passed; 126, 127 and 128 + a signal mean not checked; any "
        "other means failed.",
    )
    time: Time = Field(
        "0:10:00", description="Time limit of the command; if it is exceeded, the run counts as not checked."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.expression is None) == (self.command is None):
            found = "it has none" if self.command is None else "it has both"
            raise _fail(f"needs exactly one of expression, command; {found}")
        return self


def _check(value: Any) -> Any:
    return {"expression": value} if isinstance(value, str) else value


CheckOrText = Annotated[CheckModel, BeforeValidator(_check, json_schema_input_type=str | CheckModel)]


class PreflightModel(Model):
    """Checks of a node before a program starts on it (docs/watch.md); `preflight: true` takes all defaults.

    A node that fails is excluded at once, and the task starts on another.
    """

    gpu: Word | None = Field(
        None, description="Part of the name of each GPU: `H100`. Default: the profile's `gpu_type`."
    )
    matmul: bool = Field(
        True, description="Each process multiplies two matrices on its device, where PyTorch is installed."
    )
    all_reduce: bool = Field(
        True, description="All processes on all nodes take part in one all-reduce, where PyTorch is installed."
    )
    shm: Memory = Field("64MB", description="Minimum size of `/dev/shm`.")
    time: Annotated[str | int, PlainValidator(_limit), WithJsonSchema({"type": ["string", "integer"]})] = Field(
        "60s", description="Time limit of the whole check, which takes a few seconds."
    )


def _preflight(value: Any) -> Any:
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


class WatchModel(Model):
    """When a run counts as hung or slow (docs/watch.md). By default a run is watched but never ended.

    The wrapper checks once a minute. A run hangs when it shows no step, no output and no CPU, disk or GPU activity
    for the time given, or when it is busy without output and its stacks show that it only waits.
    """

    silent: Annotated[str | int, PlainValidator(_silence), WithJsonSchema({"type": ["string", "integer"]})] = Field(
        "20min",
        description="How long a run must show no progress: `20min`, `90s`, `2h`, or as a time limit is written; "
        "`never` turns the watch off.",
    )
    slower_than: (
        Annotated[str | float, PlainValidator(_times), WithJsonSchema({"type": ["string", "number"]})] | None
    ) = Field(
        None,
        description="`3x`: a run is slow when a step takes three times as long as before, or as in most runs that "
        "differ in their seed alone. Default: off.",
    )
    act: Literal[False, "end", "resume"] = Field(
        False,
        description="`end` ends a run that hangs or is slow. `resume` also restarts it in the same allocation if "
        "it left a new checkpoint and time is left; otherwise the retry policy decides. `false` only records it.",
    )


class ExperimentModel(Model):
    """One experiment: `manifests/experiments/NAME.yaml`."""

    name: FolderName = Field(description="Names the run folder.")
    type: Literal[EXPERIMENT_TYPES] = Field(description="The kind of question; it decides the layout of the report.")  # type: ignore[valid-type]
    brief: BriefModel = Field(BriefModel(), description="The question.")  # type: ignore[call-arg]
    program: ProgramModel = Field(description="What every task runs.")
    sweep: SweepModel = Field(description="The tasks to run.")
    baseline: Annotated[dict[Parameter, AnyValue], Field(min_length=1)] | None = Field(
        None,
        description="The configuration that the others are compared with. It may name only some of the parameters"
        " (or `case`): then every configuration with these values is a baseline, for the others that "
        "have the same values of the parameters in which the baselines differ. A configuration "
        "without such a baseline is not compared, and the report says so.",
    )
    metrics: MetricsModel = Field(description="Which numbers are read.")
    analysis: AnalysisModel = Field(AnalysisModel(), description="How the results are judged.")  # type: ignore[call-arg]
    check: CheckOrText | None = Field(
        None, description="Condition for accepting a finished run, such as `final_error <= 0.1`, or a block."
    )
    reporting: ReportingModel | None = Field(
        None, description="Facts that only the author knows and readers ask for; printed in the report's checklist."
    )
    after: After | None = Field(
        None,
        description="Experiment, Slurm job (a number), or a list of them. A job has to end with COMPLETED before "
        "a task starts. With an experiment below the same run folder, a task is submitted once its "
        "matching runs have finished: those with the same seed and the same values of all parameters "
        "that both set. `{run:NAME}` in the command also waits, and is the folder of the one run that"
        " matches (docs/chains.md).",
    )
    run_name: Line | None = Field(
        None,
        description="Template for the names of task folders: parameters, `seed`, `case` (or `id`), fixed "
        "arguments, `task_id`. Names must be unique and valid as file names: `{model:slug}` converts "
        "any value, such as `meta-llama/Llama-3.1-8B` to `meta-llama-Llama-3.1-8B@` and six digits. "
        "Default: all parameters and the seed.",
    )
    resources: ResourcesModel = Field(ResourcesModel(), description="What one task asks for.")  # type: ignore[call-arg]
    pack: PackModel | None = Field(None, description="Several tasks in one array element.")
    budget: BudgetModel | None = Field(None, description="Maximum total cost; see docs/forecast.md. Default: no limit.")
    launch: LaunchModel = Field(LaunchModel(), description="How the processes of a task are started.")  # type: ignore[call-arg]
    batch: BatchModel | None = Field(None, description="Batch sizes; how an out-of-memory error may change them.")
    container: ContainerModel = Field(ContainerModel(), description="The image.")  # type: ignore[call-arg]
    retry: RetryModel = Field(RetryModel(), description="What happens after a failure.")  # type: ignore[call-arg]
    tracking: TrackingModel = Field(TrackingModel(), description="Logging outside the run folder.")  # type: ignore[call-arg]
    clean_up: Literal["when_recorded"] | None = Field(
        None,
        description="`when_recorded`: a run's checkpoints are removed as soon as a collection has recorded its "
        "result, unattended too (docs/housekeeping.md). Default: only `hpc clean` removes "
        "checkpoints.",
    )
    compact: Literal["when_recorded"] | None = Field(
        None,
        description="`when_recorded`: the small files of a run's attempts go into one archive each as soon as a "
        "collection has recorded its result, unattended too (docs/housekeeping.md). Default: only `hpc collect "
        "--compact` packs them.",
    )
    preflight: Annotated[
        PreflightModel | None, BeforeValidator(_preflight, json_schema_input_type=bool | PreflightModel)
    ] = Field(None, description="Checks of each node before a task starts on it. Default: none.")
    watch: _in_a_word(WatchModel, WATCH_WORDS) | None = Field(  # type: ignore[valid-type]
        None,
        description="When a run counts as hung or slow, and whether it is then ended. Default: it is watched but "
        "never ended. `off`: it is not watched.",
    )
    notify: list[NoticeModel] = Field([], description="Who is notified when the experiment ends or is held.")
    environment: dict[Variable, VariableValue] = Field(
        {},
        description="Environment variables of the program; they override the profile's. `$NAME` and a leading `~`"
        " are expanded on the node; `$$` is a dollar sign. No secrets.",
    )


class FollowModel(Model):
    """The small job that follows an experiment (`submit --follow`): collects, retries, reports."""

    partition: Word | None = Field(None, description="Left out: the one of the tasks.")
    account: Word | None = Field(None, description="Left out: the one of the tasks.")
    qos: Word | None = Field(None, description="Left out: the one of the tasks.")
    constraint: Word | Literal[""] | None = Field(
        None, description='Left out: the one of the tasks, unless `partition` is another; "": none.'
    )
    time: Time = Field("0:30:00", description="Its time limit.")
    mem: Memory = Field("2GB", description="Its memory, asked for as `memory` of the profile says.")
    directives: dict[Directive, DirectiveValue] | None = Field(
        None, description="Further sbatch options of it. Left out: those of the tasks; `{}`: none."
    )
    every: Time = Field(
        "0:10:00", description="Time between two looks at an array that still runs; longer while nothing happens."
    )
    max_days: Annotated[float, Field(gt=0, le=365)] = Field(
        14.0, description="Days after which an experiment is no longer followed."
    )
    shadow: bool = Field(
        False,
        description="It decides and keeps what it decided, and does nothing; `hpc status` says how often people did "
        "the same (docs/unattended.md).",
    )


class ProfileModel(Model):
    """One site: `manifests/clusters/NAME.yaml`."""

    scheduler: Literal["slurm", "local"] = Field("slurm", description="`slurm`, or `local` for this machine.")
    partition: Partitions | None = Field(
        None,
        description="Passed to sbatch. With several, `[short, long]`, a task goes to those whose limits and nodes"
        " fit, and Slurm starts it in whichever is free first.",
    )
    account: Word | None = Field(None, description="Passed to sbatch.")
    qos: Word | None = Field(None, description="Passed to sbatch.")
    constraint: Word | None = Field(None, description="Passed to sbatch, such as `a100`.")
    gpu_type: Word | None = Field(
        None, description="Type of GPU to request, such as `a100`, or `a100_3g.20gb` for a part of a divided one."
    )
    gpu_option: Literal["gres", "gpus-per-node", "gpus-per-task", "none"] = Field(
        "gres", description="The sbatch option that requests GPUs; `none` where the partition allocates whole nodes."
    )
    gres: list[Word] = Field([], description="Additional generic resources of every task, such as `lscratch:100`.")
    memory: Literal["per_node", "per_cpu", "per_gpu", "none"] = Field(
        "per_node",
        description="How memory is requested: `--mem`, `--mem-per-cpu`, `--mem-per-gpu` (`--mem` for tasks "
        "without GPUs), or not at all, where the site assigns it by cores or by node. `resources.mem`"
        " is always per node.",
    )
    max_array_size: Annotated[int, Field(ge=1, le=4_000_000)] = Field(
        1000, description="Maximum number of elements in one array: the site's MaxArraySize less one."
    )
    max_submit: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Maximum number of your jobs and array elements in the queue, if you want fewer than the site"
        " allows; 0: only the site's own limits.",
    )
    max_parallel: Annotated[int, Field(ge=0)] = Field(
        0, description="Elements of one array that may run at once (one task each, unless packed); 0: no limit."
    )
    max_gpus: Annotated[int, Field(ge=0)] = Field(
        0, description="GPUs one experiment may use at once, over all its arrays, on Slurm; 0: no limit."
    )
    max_time: Time | None = Field(None, description="Longest time limit the partition allows.")
    max_memory: Memory | None = Field(None, description="Largest memory of a node.")
    signal_lead_s: Annotated[int, Field(ge=1, le=65535)] = Field(
        120, description="Seconds before the time limit at which SIGUSR1 is sent."
    )
    python: Line | None = Field(
        None, description="Python interpreter of the wrapper on the node. Default: the one that planned."
    )
    apptainer: str = Field(
        "apptainer",
        description='The command that runs containers, `apptainer` or `singularity`; "" means that there is none.',
    )
    gpu_vendor: Literal["nvidia", "amd"] = Field(
        "nvidia", description="Vendor of the GPUs that containers see: `amd` uses `--rocm` instead of `--nv`."
    )
    image_dir: Line | None = Field(None, description="Folder of the images: `image: train` is `train.sif` in it.")
    images_signed_by: Line | None = Field(
        None,
        description="`plan` refuses an image that is not signed: by the public key in this PEM file, or, with "
        "`keyring`, by one of Apptainer's own keyring. Default: nobody asks for a signature.",
    )
    binds: list[Bind] = Field(
        [], description="Folders bound into every container. `$NAME` and `~` are expanded on the node."
    )
    setup: list[Line] = Field(
        [], description="Shell lines that run before the wrapper, such as `module load apptainer`."
    )
    environment: dict[Variable, VariableValue] = Field(
        {},
        description="Environment variables of every task, in containers too (except PATH, which names folders of "
        "the host). `$NAME` and a leading `~` are expanded on the node; `$$` is a dollar sign. No "
        "secrets.",
    )
    directives: dict[Directive, DirectiveValue] = Field(
        {}, description="Additional sbatch options: `{exclude: n3}`; without a value: `{exclusive: }`."
    )
    template: Line | None = Field(None, description="Jinja template that extends `array.sbatch.j2`.")
    group_access: Literal["none", "read"] = Field(
        "none",
        description="`read`: the group of the run folder may look, collect and report, but change nothing. "
        "`none`: the runs are private to their owner.",
    )
    carbon: Carbon | None = Field(
        None,
        description="CO₂ of the site's electricity, `0.3 kg/kWh` or `300 g/kWh`; `hpc usage` then reports "
        "emissions. Default: it does not report CO₂.",
    )
    follow: FollowModel = Field(FollowModel(), description="The relay, the small job that follows an experiment.")  # type: ignore[call-arg]


# Documentation generated from the models


def json_schema(model: type[Model] = ExperimentModel) -> dict[str, Any]:
    """Return the JSON Schema of a file, for editors that complete and check while one types."""
    return {"$schema": "http://json-schema.org/draft-07/schema#", **model.model_json_schema(by_alias=True)}


def field_reference(model: type[Model] = ExperimentModel) -> str:
    """Return every field of a file as Markdown tables, one a block, in the order in which they are written."""
    return "\n".join(_block_reference(model, ""))


def _block_reference(model: type[BaseModel], path: str) -> Iterator[str]:
    if path:
        yield f"### `{path}`\n"
    yield f"{inspect.cleandoc(model.__doc__ or '')}\n"
    yield "| field | default | meaning |\n|---|---|---|"
    for name, field in model.model_fields.items():
        meaning = (field.description or "").replace("|", "\\|")
        yield f"| `{field.alias or name}` | {_default(field)} | {_options(field.annotation)}{meaning} |"
    yield ""
    for name, field in model.model_fields.items():
        inner = inner_model(field.annotation)
        if inner is not None:
            yield from _block_reference(inner, ".".join(part for part in (path, field.alias or name) if part))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    default = field.get_default()
    return "" if default in (None, [], {}) or isinstance(default, BaseModel) else f"`{json.dumps(default)}`"


def _options(annotation: Any) -> str:
    options = [option for option in get_args(annotation) if isinstance(option, str)] if _is_literal(annotation) else []
    return " \\| ".join(f"`{option}`" for option in options) + ". " if options else ""


def _is_literal(annotation: Any) -> bool:
    return get_origin(annotation) is Literal


def inner_model(annotation: Any) -> type[BaseModel] | None:
    """Find the block inside an annotation such as ``list[MetricModel]`` or ``BatchModel | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := inner_model(inner))), None)
