"""A place like that of an attempt: the same container, code, variables, arguments and folder, in a copy.

Nothing of the run's record is written: the working folder is laid out anew beside it, the variables and arguments that
named the attempt's folder name the copy's, and the container sees the run itself read-only.
"""

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpc.adapters.files import make_folder, read_record
from hpc.core.credentials import looks_secret, names_secret
from hpc.core.errors import InputError
from hpc.core.immutable import immutable, replace
from hpc.core.launch.launchers import launch_argv, launch_defaults, launch_environment
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.records.index import Image
from hpc.core.records.task import TaskRecord
from hpc.node.attempt import has_own_folder
from hpc.node.supervise import in_its_environment, placement_of
from hpc.node.workdir import lay_out, write_files

COMMAND = "HPC_COMMAND"
"""Variable that holds the line the program was started with: ``eval "$HPC_COMMAND"`` repeats it."""
_SHELL = ("sh", "-c", "if command -v bash >/dev/null; then exec bash -i; else exec sh -i; fi")
_NOT_OF_A_STEP = frozenset({
    "job-name", "comment", "array", "output", "error", "open-mode", "requeue", "no-requeue", "signal",
    "kill-on-invalid-dep", "dependency", "begin", "parsable", "nodes", "ntasks", "ntasks-per-node", "mail-type",
    "mail-user",
})  # fmt: skip
"""Options of the array's script that mean nothing to one interactive step, or that it sets itself."""


@immutable
class Inside:
    """What is to be started, and where.

    Attributes:
        record: The attempt as it was claimed.
        scratch: The copy.
        folder: The working folder in it, in which the program is started.
        program: The line it was started with, in the copy.
        line: What is started now.
        environment: Its variables.
        told: Those of them that are not this process's own.
    """

    record: TaskRecord
    scratch: Path
    folder: Path
    program: tuple[str, ...]
    line: tuple[str, ...]
    environment: Mapping[str, str]
    told: Mapping[str, str]


def read_attempt(attempt: AttemptLayout) -> TaskRecord:
    """Read what an attempt was asked to do.

    Raises:
        InputError: It cannot be read, or was not started by us.
    """
    try:
        record = read_record(attempt.task_json, TaskRecord)
    except FileNotFoundError:
        raise InputError(f"{attempt.task_json} is missing: how it was started is not known") from None
    if record.adopted or not record.argv:
        raise InputError(f"{record.run_name} was adopted from {record.adopted}: how it was started is not known")
    return record


def prepare(
    layout: RunLayout, attempt: AttemptLayout, scratch: Path, command: Sequence[str], host: Mapping[str, str]
) -> Inside:
    """Lay out the copy, and put together what is started in it.

    Args:
        scratch: A folder for it, which is empty or not there.
        command: What to start; empty: a shell.
        host: The variables around it, as `site_environment` gives them.

    Raises:
        InputError: The attempt cannot be read, or the code is not what it was.
        OSError: The code is gone, or the disk is full.
    """
    record = read_attempt(attempt)
    task, copy = layout.task(record.run_name), AttemptLayout(scratch / attempt.home.name)
    make_folder(copy.checkpoints)
    moved = _moved(record, attempt, copy, layout)
    if has_own_folder(record):
        _lay_out(record, attempt, copy, moved)
    inside = replace(
        record,
        code=replace(record.code, path=moved.place(record.code.path)),
        argv=tuple(map(moved, record.argv)),
        workdir=moved(record.workdir),
        environment={name: moved(value) for name, value in record.environment.items()},
        image=_closed(record.image, task.home, scratch, moved),
        nodes=1,
    )
    place = placement_of(inside, 0)
    program = launch_argv(inside.launch.kind, inside.argv, place)
    variables = {
        **launch_defaults(place),
        **inside.environment,
        **launch_environment(inside.launch.kind, place),
        COMMAND: shlex.join(program),
    }
    around = {name: moved.place(value) for name, value in host.items()}
    line, environment = in_its_environment(inside, command or _shell(inside), variables, around)
    told = {name: value for name, value in environment.items() if os.environ.get(name) != value}
    return Inside(record, scratch, Path(inside.workdir or inside.code.path), program, line, environment, told)


def _moved(record: TaskRecord, attempt: AttemptLayout, copy: AttemptLayout, layout: RunLayout) -> "_Moved":
    """How what the record names is called now: the attempt's folder by the copy's, and the run's where it lies today.

    Raises:
        InputError: The record contradicts itself, so that the program would be started in the run's own folder.
    """
    attempt_then = record.environment.get("HPC_ATTEMPT_DIR") or str(attempt.home)
    task_then = record.environment.get("HPC_TASK_DIR") or str(attempt.home.parent)
    home_then = str(Path(task_then).parents[1])
    moved = _Moved(attempt_then, str(copy.home), task_then, str(copy.home.parent), home_then, str(layout.home))
    place = Path(moved(record.workdir))
    if place.is_relative_to(layout.home) and has_own_folder(record):
        raise InputError(f"{attempt.task_json} names {record.workdir}, which is not of that attempt")
    return moved


def _lay_out(record: TaskRecord, attempt: AttemptLayout, copy: AttemptLayout, moved: "_Moved") -> None:
    """The code and inputs as the program found them, and over them what it left."""
    lay_out(replace(record.code, path=moved.place(record.code.path)), copy.work, record.inputs)
    write_files(copy.work, {name: moved(text) for name, text in record.files.items()})
    if attempt.work.is_dir():
        _overlay(attempt.work, copy.work)
    make_folder(Path(moved(record.workdir)))


def _overlay(source: Path, target: Path) -> None:
    """Copy what is in a folder over another; links stay links, and nothing is written through one."""
    for each in os.scandir(source):
        place = target / each.name
        if each.is_dir(follow_symlinks=False):
            if place.is_symlink():
                place.unlink()
            make_folder(place)
            _overlay(Path(each.path), place)
        elif each.is_symlink() or each.is_file():
            if place.is_symlink() or place.is_file():
                place.unlink()
            if not place.exists():
                shutil.copy2(each.path, place, follow_symlinks=False)


@immutable
class _Moved:
    """Names the copy where a text named the attempt, or the task's folder but for its other attempts.

    What else it names of the experiment is found where that lies today: runs may have been moved since.
    """

    attempt: str
    copy: str
    task: str
    scratch: str
    home_then: str = ""
    home: str = ""

    def __call__(self, text: str) -> str:
        """Rename in a text."""
        text = self._renamed(text, self.attempt, self.copy, "")
        return self.place(self._renamed(text, self.task, self.scratch, "/attempt-"))

    def place(self, text: str) -> str:
        """Rename the experiment's folder alone."""
        return self._renamed(text, self.home_then, self.home, "") if self.home_then != self.home else text

    @staticmethod
    def _renamed(text: str, old: str, new: str, but: str) -> str:
        parts = text.split(old)
        joined = parts[0]
        for part in parts[1:]:
            is_whole = not part or not (part[0].isalnum() or part[0] in "._=+,@-")  # else it is a longer name
            joined += (new if is_whole and not (but and part.startswith(but)) else old) + part
        return joined


def _closed(image: Image | None, task: Path, scratch: Path, moved: _Moved) -> Image | None:
    """The container sees the run read-only, and the copy."""
    if image is None:
        return None
    placed = [(moved.place(path), read_only) for path, read_only in image.mounts]
    mounts = [(path, True if path == str(task) else read_only) for path, read_only in placed]
    return replace(image, mounts=(*mounts, (str(scratch), False)))


def _shell(record: TaskRecord) -> tuple[str, ...]:
    return _SHELL if record.image else (shutil.which("bash") or "sh", "-i")


# ── around it ────────────────────────────────────────────────────────────────────────────────────────────────────


def site_environment(script: Path) -> tuple[dict[str, str], str]:
    """The variables that the array's script makes before it starts anything: the site's setup lines, the profile's.

    Returns:
        The variables; and why they are only this process's own, empty where they are not.
    """
    try:
        lines = script.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        return dict(os.environ), f"{script} is not read ({error.strerror}): its setup lines are left out"
    body = next((number for number, line in enumerate(lines) if line.startswith("exec ")), None)
    if body is None:
        return dict(os.environ), f"{script} is a site's own template: its setup lines are left out"
    text = "\n".join([*lines[:body], "exec env -0"])
    done = subprocess.run(["bash", "-c", text], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        said = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"])[-1]
        return dict(os.environ), f"the site's setup lines fail here and are skipped ({said})"
    pairs = (each.partition("=") for each in os.fsdecode(done.stdout).split("\0") if each)
    passing = ("_", "SHLVL", "PWD", "OLDPWD")
    return {name: value for name, _, value in pairs if name not in passing}, ""


def through_srun(line: Sequence[str], record: TaskRecord, script: Path, *, interactive: bool) -> tuple[str, ...]:
    """Start a line as a step of its own with the resources of the task.

    Raises:
        InputError: The script of its submission is gone.
    """
    try:
        options = step_options(script.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{script} cannot be read ({error.strerror}): the task's resources are not known") from None
    srun = ["srun", "--nodes=1", "--ntasks=1", *options, *(["--pty"] if interactive else [])]
    if record.image is not None and record.image.runtime == "pyxis":  # the container is a step already
        given = {"--nodes=1", "--ntasks=1", "--overlap", "--mem=0"}
        rest = [
            word for word in line[1:] if word not in given and not word.startswith(("--nodelist=", "--cpus-per-task="))
        ]
        return (*srun, *rest)
    return (*srun, *line)


def step_options(script: str) -> list[str]:
    """The options of an array's script that say what a task is given: time, memory, GPUs, partition, account."""
    found = []
    for line in script.splitlines():
        option = line.removeprefix("#SBATCH ").strip()
        if line.startswith("#SBATCH --") and option.removeprefix("--").partition("=")[0] not in _NOT_OF_A_STEP:
            found.append(option)
    return found


def as_shell_line(inside: Inside, line: Sequence[str]) -> str:
    """What is started as one line to paste; a secret is named by its variable, never by its value."""
    assignments = [_assignment(name, value) for name, value in sorted(inside.told.items())]
    return f"cd {shlex.quote(str(inside.folder))} && env {' '.join([*assignments, shlex.join(line)])}"


def is_secret(name: str, value: str) -> bool:
    """Whether a variable is called as secrets are, or its value looks like one."""
    return names_secret(_plain(name)) or bool(looks_secret("value", value.encode("utf-8", "replace")))


def _plain(name: str) -> str:
    """The name inside the container."""
    return name.removeprefix("APPTAINERENV_").removeprefix("SINGULARITYENV_")


def _assignment(name: str, value: str) -> str:
    return f'{name}="${_plain(name)}"' if is_secret(name, value) else f"{name}={shlex.quote(value)}"
