"""What is run, and what is asked of it before and after."""

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from hpc.core.experiment.program import TRUE_FALSE
from hpc.experiments.field_types import (
    AnyValue,
    Booleans,
    ConfigContent,
    ConfigFile,
    Inside,
    Parameter,
    Prose,
    Time,
    Workdir,
    fail,
)
from hpc.experiments.models.base import Model, exactly_one


def _config_in_a_word(value: Any) -> Any:
    return {"file": value} if isinstance(value, str) else value


class ConfigModel(Model):
    """A configuration file that every attempt gets with its own values filled in. You may also write only its path."""

    file: ConfigFile = Field(
        description="Its path in the project; every attempt has it in its working folder. It ends in .yaml, .json"
        " or .toml."
    )
    content: ConfigContent | None = Field(
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
        exactly_one(self)
        return self


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
            raise fail(f"needs exactly one of expression, command; {found}")
        return self


def read_check(value: Any) -> Any:
    return {"expression": value} if isinstance(value, str) else value
