"""Which program a repository trains with, and what can be known of it without running it."""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path, PurePath
from shlex import quote

from hpc.core.errors import InputError
from hpc.core.program.arguments import (
    Interface,
    from_help,
    from_mapping,
    read_interface,
)
from hpc.core.program.draft import takes_folder
from hpc.core.program.naming import Printed
from hpc.core.program.printed import find_printed
from hpc.core.program.source import does_something, imported_paths, module_of, starts_only_as_module
from hpc.core.program.written import OUT_DIR, find_written
from hpc.newcomer.hydra_config import read_config, targets_in

_LIKELY = ("train.py", "main.py", "run.py", "training.py", "pretrain.py", "finetune.py", "trainer.py", "experiment.py")
_FOLDERS = (".", "src", "scripts", "examples", "src/*", "*", "*/*")
_NEVER = ("setup.py", "conftest.py", "configurator.py", "noxfile.py", "tasks.py", "fabfile.py")
_ARGUMENTS = re.compile(
    r"^(?:def \w*(?:arg|pars|opt|flag|config)\w*\(|\w*(?:args|opt|options|parser) = )", re.MULTILINE
)
"""A module that holds what another program takes offers it: ``def get_args():``, ``parser = …``."""
INTERPRETERS = {
    ".sh": "bash", ".bash": "bash", ".R": "Rscript", ".r": "Rscript", ".jl": "julia", ".lua": "lua", ".pl": "perl",
}  # fmt: skip
"""What runs a program that is no Python, by the end of its name."""
_SETS = re.compile(r"[A-Za-z_]\w{0,200}=")
"""A variable that is set for the program, before its name."""
MOST_BYTES = 2_000_000
MOST_MODULES = 50
MOST_FILES = 300
HELP_S = 60


@dataclass(frozen=True)
class Program:
    """A program that could be swept.

    Attributes:
        start: How it is started, without arguments: ``python train.py``.
        file: Its source; None where it is no file of the project.
        interface: The arguments it takes.
        printed: The numbers it prints, or else those it writes into files; the likeliest metric first.
    """

    start: str
    file: Path | None
    interface: Interface
    printed: tuple[Printed, ...]


def find_programs(project: Path) -> list[Program]:
    """The programs of a project that look like trainings, the likeliest first."""
    seen: dict[Path, None] = {}
    for pattern in _FOLDERS:
        for folder in sorted(project.glob(pattern)) if pattern != "." else [project]:
            if folder == project or (folder.is_dir() and not folder.name.startswith((".", "test"))):
                seen |= dict.fromkeys(sorted(folder.glob("*.py")))
    files = [path for path in seen if path.name not in _NEVER and "runs" not in path.relative_to(project).parts]
    found = [read_program(project, path) for path in files[:MOST_FILES] if does_something(_source(path))]
    weighed = [(_weight(each), -len(each.file.parts), -len(each.file.name), each) for each in found if each.file]
    ranked = sorted(weighed, key=lambda each: each[:3], reverse=True)
    return [program for weight, *_, program in ranked if weight > 0]


def _weight(program: Program) -> int:
    """How much a file looks like the program that is swept; 0 for what takes no argument and prints no number."""
    name = program.file.name if program.file else ""
    named = (
        4 if name in _LIKELY[:2] else 3 if name in _LIKELY else 2 if "train" in name or name.startswith("run_") else 0
    )
    return named + 2 * bool(program.interface.style) + bool(program.printed)


def read_program(project: Path, file: Path) -> Program:
    """Read one program from its source."""
    source = _source(file)
    interface = read_interface(source)
    config = read_config(file.parent / interface.config[0], interface.config[1]) if interface.config else {}
    if config:
        interface = replace(interface, arguments=tuple(from_mapping(config)))
    name = file.relative_to(project)
    if len(name.parts) > 1 and starts_only_as_module(source):
        start = shlex.join([_python(), "-m", module_of(name)])
    else:
        start = shlex.join([_python(), f"./{name}" if str(name).startswith("-") else str(name)])
    numbers = find_printed(source) or find_written(source)
    if not numbers or not interface.style:
        beside = _imported(project, file, source, tuple(targets_in(config)))
        if not interface.style:
            offered = (read_interface(text) for text in beside.values() if _ARGUMENTS.search(text))
            interface = next((each for each in offered if each.style), interface)
        if not numbers:
            printed = sorted((each for text in beside.values() for each in find_printed(text)), key=_likelier)
            numbers = tuple(printed) or find_written("\n".join((*beside.values(), source)))
    known = tuple(
        replace(each, pattern=each.pattern.removeprefix(OUT_DIR))
        for each in numbers
        if OUT_DIR not in each.pattern or takes_folder(interface)
    )
    return Program(start, file, interface, known)


def _likelier(number: Printed) -> int:
    return -number.weight


def _imported(project: Path, file: Path, source: str, named: tuple[PurePath, ...] = ()) -> dict[Path, str]:
    """The project's own modules that a program imports or its configuration names, and what they import.

    Returns:
        File → source.
    """
    found: dict[Path, str] = {}
    left = [(file, source)]
    while left and len(found) < MOST_MODULES:
        importer, text = left.pop(0)
        for name in (*imported_paths(text), *(named if importer == file else ())):
            places = (folder / name.with_suffix(".py") for folder in (importer.parent, project, project / "src"))
            path = next((each.resolve() for each in places if each.is_file()), None)
            if path and path not in found and path != file and path.is_relative_to(project.resolve()):
                found[path] = _source(path)
                left.append((path, found[path]))
    return found


def _python() -> str:
    """What Python is called here: some systems have no `python` outside of environments."""
    return "python" if shutil.which("python") or not shutil.which("python3") else "python3"


def read_command(project: Path, command: str) -> Program:
    """Read the program that a command line starts, or a path alone.

    Raises:
        InputError: It is empty, names a Python file or module that the project does not have, or what it names cannot
            be started.
    """
    words = [command] if command and (project / command).is_file() else _split(command)
    if not words:
        raise InputError("the command is empty; write a program, such as train.py")
    variables = [*takewhile(_SETS.match, words)]
    if variables and variables != words:  # as people type it; only a shell reads that, and none is started
        program = read_command(project, shlex.join(words[len(variables) :]))
        return replace(program, start=f"env {shlex.join(variables)} {program.start}")
    words = _startable(project, words)
    file = _file_of(project, words)
    if file is not None and len(words) == 1:
        return read_program(project, file)
    if len(words) == 1 and words[0].endswith(".py"):
        words = [_python(), *words]
    if file is None:
        return Program(shlex.join(words), None, Interface(), ())
    found = read_program(project, file)
    return Program(shlex.join(words), file, found.interface, found.printed)


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise InputError(f"{command!r} is not a command line: {error}") from None


def _startable(project: Path, words: list[str]) -> list[str]:
    """The words of a command that can be started; a shell script alone gets its shell.

    Raises:
        InputError: It starts a notebook, a folder, a file that is no program, or one that is not there.
    """
    name = words[1] if len(words) > 1 and words[0] in ("python", "python3") else words[0]
    path = project / name
    if path.suffix == NOTEBOOK:
        raise InputError(f"{name} is a notebook, not a program. {as_script(name)}")
    if len(words) > 1 or path.suffix == ".py":
        return words
    if path.is_dir():
        raise InputError(f"{name} is a folder; name a program in it, such as train.py")
    if path.is_file() and not os.access(path, os.X_OK):
        if interpreter := INTERPRETERS.get(path.suffix):
            return [interpreter, name]
        raise InputError(f"{name} cannot be started: it is no Python file and not executable (chmod +x {quote(name)})")
    if not path.is_file() and ("/" in name or path.suffix):  # one word may be a program of the container
        raise InputError(f"no file {name} in {project}; there is {_known(project)}")
    return words


def find_other_programs(project: Path) -> list[str]:
    """The programs in R, Julia and other languages at the top of a project and one folder below, relative to it."""
    endings = [each for each in INTERPRETERS if each not in (".sh", ".bash")]
    found = (path for end in endings for folder in ("", "[!.]*/") for path in sorted(project.glob(f"{folder}*{end}")))
    return [str(path.relative_to(project)) for path in found if path.is_file()]


NOTEBOOK = ".ipynb"


def as_script(notebook: str) -> str:
    """What to do with a notebook."""
    script = notebook.removesuffix(NOTEBOOK) + ".py"
    return f"Write it as one: jupyter nbconvert --to script {quote(notebook)}; then: python -m hpc.init {quote(script)}"


def find_notebooks(project: Path) -> list[str]:
    """The notebooks at the top of a project and one folder below, relative to it."""
    return [str(path.relative_to(project)) for path in (*project.glob("*.ipynb"), *project.glob("[!.]*/*.ipynb"))]


def _known(project: Path) -> str:
    names = [str(each.file.relative_to(project)) for each in find_programs(project) if each.file]
    return ", ".join(names or find_other_programs(project)) or "no program in Python, R or Julia"


def _file_of(project: Path, words: list[str]) -> Path | None:
    """The Python file that a command line runs; None where it runs something else."""
    script = next((word for word in words if word.endswith(".py")), None)
    if script is not None:
        path = (project / script).resolve()
        if not path.is_file():
            raise InputError(f"no file {script} in {project}; there is {_known(project)}")
        return path if path.is_relative_to(project.resolve()) else None
    if "-m" in words[:-1]:
        relative = Path(*words[words.index("-m") + 1].split("."))
        places = [project / top / each for top in ("", "src") for each in (f"{relative}.py", relative / "__main__.py")]
        return next((path for path in places if path.is_file()), None)
    return None


def ask_the_program(project: Path, program: Program) -> Program:
    """Run ``PROGRAM --help``, which executes it, and read its arguments from what it says.

    Raises:
        InputError: It does not start or says nothing that could be read.
    """
    command = [*shlex.split(program.start), "--help"]
    try:
        done = subprocess.run(
            command, cwd=project, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=HELP_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"{shlex.join(command)}: {error}") from None
    interface = from_help(done.stdout)
    if not interface.style:
        last = (done.stderr.strip().splitlines() or ["it printed no options"])[-1]
        raise InputError(f"{shlex.join(command)} ended with {done.returncode}: {last}")
    return Program(program.start, program.file, interface, program.printed)


def _source(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.stat().st_size < MOST_BYTES else ""
    except OSError:
        return ""
