"""How the user started us: ``hpc plan``, ``python -m hpc.plan``, ``.venv/bin/python -m hpc.plan``.

Processes that we start (the queue, the follower, the report) speak to the same user: they are told by a variable.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from hpc.core.typed import PLAIN

VARIABLE = "HPC_STARTED_AS"


def started_as() -> str:
    """A template with ``{verb}`` that this user can type: what a process above us says, else how we were started."""
    told = os.environ.get(VARIABLE, "")
    return told if "{verb}" in told else template_of(sys.argv[0], sys.orig_argv, shutil.which("hpc"))


def pass_on() -> None:
    """Let the processes below us know how the user started us."""
    os.environ[VARIABLE] = started_as()


def template_of(script: str, command: Sequence[str], on_path: str | None) -> str:
    """Tell how a process was started.

    Args:
        script: ``sys.argv[0]``.
        command: ``sys.orig_argv``.
        on_path: Where a shell finds ``hpc``; None where it does not.
    """
    if Path(script).name == "hpc":
        is_found = on_path is not None and Path(on_path).absolute() == Path(script).absolute()
        return "hpc {verb}" if is_found else f"{shlex.quote(script)} {{verb}}"
    if not command or not command[0] or "{" in command[0]:
        return PLAIN
    return f"{shlex.quote(command[0])} -m hpc.{{verb}}"
