"""Look at this machine: interpreter, packages, limits of the shell."""

import ast
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator

from hpc.adapters.this_machine import count_own_threads, installed_version, own_requirements, read_limit
from hpc.checkup.bounded import Begin
from hpc.checkup.examined import Examined
from hpc.core.checkup.check import Check, Severity
from hpc.core.checkup.machine import (
    fits,
    judge_cpu_time,
    judge_open_files,
    judge_optional,
    judge_packages,
    judge_processes,
    judge_python,
    parse_requirement,
)
from hpc.workspace import OWN_CODE

PYTHON_S = 5.0


def look_at_machine(examined: Examined) -> Iterator[Begin | Check]:
    """Make the checks of this machine."""
    yield Begin("python")
    yield _look_at_python(examined)
    yield Begin("packages")
    yield from _look_at_packages(examined)
    yield Begin("open files")
    yield judge_open_files(*read_limit(resource.RLIMIT_NOFILE))
    yield Begin("processes")
    yield judge_processes(*read_limit(resource.RLIMIT_NPROC), count_own_threads())
    yield judge_cpu_time(*read_limit(resource.RLIMIT_CPU))


def _look_at_python(examined: Examined) -> Check:
    """Judge the interpreter that commands run by, or the one that the profile names for the wrapper."""
    named = examined.profile.python
    own = judge_python(sys.version_info[:3], sys.executable)
    if not named or own.severity is Severity.BLOCKING:
        return own
    path = shutil.which(named)
    line = "import sys; print(tuple(sys.version_info[:3]))"
    try:
        if path is None:
            raise FileNotFoundError
        done = subprocess.run([path, "-c", line], capture_output=True, text=True, timeout=PYTHON_S, check=True)
        return judge_python(ast.literal_eval(done.stdout.strip()), path)
    except (OSError, ValueError, SyntaxError, subprocess.SubprocessError):
        severity = Severity.BLOCKING if examined.is_local else Severity.WARNING
        from_nodes = f"python -m hpc.doctor --cluster {examined.profile.name}"
        mend = f"ls -l {named}; compute nodes alone may have it: {from_nodes}"
        return Check("python", f"python: {named} of the profile does not run here", own.expected, mend, severity)


def _look_at_packages(examined: Examined) -> Iterator[Check]:
    parsed = [parse_requirement(each) for each in own_requirements(OWN_CODE)]
    needed = {name: bounds for name, bounds, part in parsed if not part}
    yield judge_packages(needed, {name: installed_version(name) for name in needed})
    lacking: dict[str, list[str]] = {}
    for name, bounds, part in parsed:
        if part and part != "dev":
            version = installed_version(name)
            lacking.setdefault(part, [])
            if version is None or not fits(version, bounds):
                lacking[part].append(name)
    yield judge_optional(lacking, dict(_wanted_parts(examined)))


def _wanted_parts(examined: Examined) -> Iterator[tuple[str, str]]:
    """Which optional part is needed now, and by whom."""
    yield "report", "the report"
    spec, needs = examined.spec, examined.needs
    on_host = bool(
        needs and (needs.image is None or (examined.is_local and not shutil.which(examined.profile.apptainer)))
    )
    if spec and on_host and (spec.program.module or "").startswith("train."):
        yield "train", f"{spec.name} starts {spec.program.module} on the host"
    if spec and on_host and spec.wandb and spec.wandb.get("mode") != "disabled":
        yield "wandb", f"{spec.name} tracks its runs"
