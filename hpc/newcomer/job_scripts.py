"""The job script with which a person starts the program today: what it says becomes the first experiment."""

import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from hpc.core.credentials import looks_secret
from hpc.core.program.arguments import Interface, plain_name
from hpc.core.program.draft import choose_swept, is_folder, is_seed, parameter_of
from hpc.core.program.given import Given
from hpc.core.program.job_script import TASK, VARIABLE, JobScript, is_open, loop_of, read_job_script
from hpc.core.program.source import module_of
from hpc.core.resources import parse_memory, parse_time

_SUFFIXES = (".sh", ".slurm", ".sbatch", ".sub", ".job", ".bash")
_DEEP = ("", "*/", "*/*/", "*/*/*/")
_OURS = ("runs", "manifests")
MOST_BYTES = 200_000
MOST_SCRIPTS = 300
_LAUNCHERS = {
    "torchrun": "torchrun", "torch.distributed.run": "torchrun", "torch.distributed.launch": "torchrun",
    "accelerate": "accelerate", "deepspeed": "deepspeed",
}  # fmt: skip
_GPUS = ("gres", "gpus-per-node", "gpus-per-task", "gpus")
_END = re.compile(r"\||&&?|\|\||[12&]?>>?.*|2>&1|<.*")
"""Where the program's arguments end: a pipe, another command, a redirection."""
_OPTION = re.compile(r"(--?[A-Za-z][\w.-]*)(?:=(.*))?", re.DOTALL)
_HYDRA = re.compile(r"(\+{0,2}[A-Za-z_][\w./@-]*)=(.*)", re.DOTALL)
_WRITTEN = re.compile(
    r"(?!.*(?:resume|load|init|pretrain|from|data))(?:\w+_)?"
    r"(?:out|outputs?|logs?|saves?|checkpoints|results?|experiments?|runs?|tensorboard|artifacts?|(?:ckpt|checkpoint)(?=_))"
    r"(?:_(?:dir|path|folder|root|file))?"
)
"""Arguments that say where it writes: in one absolute folder for all, runs would overwrite and resume each other."""
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def find_given(
    project: Path, file: Path | None, interface: Interface, asked: PurePath | None = None
) -> tuple[Given, Interface] | None:
    """Find the script that starts a program, and what it gives; None where there is none.

    Args:
        project: The repository.
        file: The program; None for one that is no file of it.
        interface: Its arguments.
        asked: The script to read, relative to the project; None: of several the one that leaves least open and says
            most, those with ``#SBATCH`` lines first.

    Returns:
        What the script says, and the arguments with its values for their defaults.
    """
    if file is None:
        return None
    scripts = _scripts(project) if asked is None else [(asked, _read_script(project / asked))]
    starts = [
        (path, script, words, launcher)
        for path, script in scripts if script is not None
        for words, launcher in _starts(script, file.relative_to(project))
    ]  # fmt: skip
    if not starts:
        return None
    given, known = max((_give(*start, interface) for start in starts), key=lambda each: _said(each[0]))
    scripts_of = [str(path) for path, *_ in starts]
    return replace(given, others=len(set(scripts_of)) - 1, starts=scripts_of.count(given.script)), known


def _said(given: Given) -> tuple[bool, int, bool, int, str]:
    """How much a script says."""
    return bool(given.resources), -len(given.open), bool(given.grid), len(given.words), given.script


def started_by(project: Path, script: PurePath) -> Path | None:
    """The program of the project that a job script starts; None where it starts none."""
    found = _read_script(project / script) if script.suffix in _SUFFIXES else None
    lines = found.lines if found else ()
    named = (PurePath(word).parts for line in lines for word in line if word.endswith(".py"))
    tails = (PurePath(*parts[start:]) for parts in named for start in range(len(parts)) if parts[start] != "/")
    return next((path for tail in tails if (path := project / tail).is_file()), None)


def _scripts(project: Path) -> Iterator[tuple[PurePath, JobScript | None]]:
    """The shell scripts of a project, not deeper than three folders."""
    seen = (path for deep in _DEEP for suffix in _SUFFIXES for path in sorted(project.glob(f"{deep}*{suffix}")))
    for path in list(dict.fromkeys(seen))[:MOST_SCRIPTS]:
        name = path.relative_to(project)
        if name.parts[0] not in _OURS and str(name).isprintable():  # it will stand in a comment
            yield name, _read_script(path)


def _read_script(path: Path) -> JobScript | None:
    try:
        is_small = path.is_file() and path.stat().st_size <= MOST_BYTES
        return read_job_script(path.read_text(encoding="utf-8")) if is_small else None
    except (OSError, UnicodeDecodeError):
        return None


def _starts(script: JobScript, program: PurePath) -> Iterator[tuple[tuple[str, ...], str]]:
    """The arguments after a program, each time the script starts it, and its launcher."""
    for line in script.lines:
        for place, word in enumerate(line):
            is_module = place > 0 and line[place - 1] == "-m" and word == module_of(program)
            if is_module or (word.endswith(".py") and _is_same(PurePath(word), program)):
                launcher = next(
                    (_LAUNCHERS[name] for each in line[:place] if (name := PurePath(each).name) in _LAUNCHERS), ""
                )
                rest = line[place + 1 :]
                end = next((number for number, each in enumerate(rest) if _END.fullmatch(each)), len(rest))
                yield tuple(rest[:end]), launcher
                break


def _is_same(named: PurePath, program: PurePath) -> bool:
    """Whether a script's path, from wherever it starts, can be the program's: one ends with the other."""
    shorter, longer = sorted((named.parts, program.parts), key=len)
    return longer[-len(shorter) :] == shorter


@dataclass(frozen=True)
class _Word:
    """One argument: how it is written before its value, its name and its value; a word alone has neither."""

    before: str
    name: str = ""
    value: str | None = None


def _arguments(words: tuple[str, ...]) -> Iterator[_Word]:
    left = list(words)
    while left:
        word = left.pop(0)
        option, hydra = _OPTION.fullmatch(word), _HYDRA.fullmatch(word)
        if option and option[2] is not None:
            yield _Word(f"{option[1]}=", plain_name(option[1]), option[2])
        elif option and left and (not left[0].startswith("-") or _NUMBER.fullmatch(left[0])):
            yield _Word(f"{option[1]} ", plain_name(option[1]), left.pop(0))
        elif hydra and not option:
            yield _Word(f"{hydra[1]}=", hydra[1].lstrip("+"), hydra[2])
        elif variable := VARIABLE.search(word):
            yield _Word("", (variable[1] or variable[3]).lower(), word)
        else:
            yield _Word(_plain(word), plain_name(word) if option else "")


def _give(
    path: PurePath, script: JobScript, words: tuple[str, ...], launcher: str, interface: Interface
) -> tuple[Given, Interface]:
    arguments = list(_arguments(words))
    literal = {each.name: each.value for each in arguments if each.value is not None and not is_open(each.value)}
    known = replace(
        interface,
        arguments=tuple(
            replace(each, default=_typed(literal[each.name]), required=False) if each.name in literal else each
            for each in interface.arguments
        ),
    )
    loops = {each.name: loop for each in arguments if (loop := loop_of(each.value or "", script.loops))}
    varied = {name: loop for name, loop in loops.items() if not is_seed(name) and loop != TASK}
    values = [script.loops[loop] for loop in varied.values()]
    swept = None if varied else choose_swept(known.arguments)
    seeds = next((script.loops[loop] for name, loop in loops.items() if is_seed(name)), ())
    told = [(each, _placeholder(each, {*varied, swept.name} if swept else varied)) for each in arguments]
    left_open = [parameter_of(each.name) for each, value in told if value is None]
    given = Given(
        script=str(path),
        words=tuple(
            each.before + (f"{{{parameter_of(each.name)}}}" if value is None else value) for each, value in told
        ),
        names=tuple(each.name for each in arguments if each.name),
        grid=dict(zip(map(parameter_of, varied), values, strict=True)),
        in_step=len(varied) > 1 and script.in_step.issuperset(varied.values()) and len(set(map(len, values))) == 1,
        seeds=tuple(int(seed) for seed in seeds if seed.isdigit()),
        open=tuple(dict.fromkeys(left_open)),
        launcher=launcher,
        resources=dict(_resources(script.directives)),
        site=dict(_site(script.directives)),
        setup=tuple(line for line in script.setup if not looks_secret("value", line.encode("utf-8", "replace"))),
    )
    return given, known


def _placeholder(word: _Word, varied: Collection[str]) -> str | None:
    """How a command of ours has a value; None for one that only a person knows, empty where there is none."""
    key, value = parameter_of(word.name), word.value
    if value is None:
        return ""
    if is_seed(word.name):
        return "{seed}"
    if word.name in varied:
        return f"{{{key}}}"
    if is_folder(word.name):
        return "{out_dir}"
    if value.startswith(("/", "~", "$")) and _WRITTEN.fullmatch(key.lower()):
        file = PurePath(value)
        return "{out_dir}" + (f"/{_plain(file.name)}" if file.suffix else "")
    is_unknown = is_open(value) or not value.isprintable() or looks_secret("value", value.encode("utf-8", "replace"))
    return None if is_unknown else _plain(value)


def _plain(word: str) -> str:
    """A word of a command line, its braces no placeholder."""
    return shlex.quote(word).replace("{", "{{").replace("}", "}}")


def _typed(text: str) -> int | float | str:
    if not _NUMBER.fullmatch(text):
        return text
    return float(text) if re.search(r"[.eE]", text) else int(text)


def _resources(asked: Mapping[str, str]) -> Iterator[tuple[str, str | int]]:
    """What ``#SBATCH`` lines ask for a node, as `resources` says it; what cannot be read is left out."""
    nodes = _count(asked.get("nodes"))
    gpus = next(filter(None, (_gpus(asked.get(name)) for name in _GPUS)), 0)
    tasks = _count(asked.get("ntasks-per-node")) or (_count(asked.get("ntasks")) if nodes <= 1 else 1)
    cpus = max(1, _count(asked.get("cpus-per-task"))) * max(1, tasks)
    if nodes > 1:
        yield "nodes", nodes
    if gpus:
        yield "gpus", gpus if "gpus" not in asked else max(1, gpus // max(1, nodes))
    if {"cpus-per-task", "ntasks-per-node", "ntasks"} & asked.keys():
        yield "cpus", cpus
    for name, times in (("mem", 1), ("mem-per-cpu", cpus), ("mem-per-gpu", max(1, gpus))):
        if amount := _read(parse_memory, asked.get(name)):
            yield "mem", str(asked[name]) if times == 1 else f"{amount * times}MB"
            break
    if _read(parse_time, asked.get("time")):
        yield "time", f'"{asked["time"]}"'


def _site(asked: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Where it runs, and on which type of GPU."""
    for name in ("partition", "account", "qos", "constraint"):
        if asked.get(name) and not is_open(asked[name]):
            yield name, asked[name]
    types = (re.fullmatch(r"(?:gpu:)?([A-Za-z]\w*)(?::\d+)?", asked.get(name, "")) for name in _GPUS)
    if found := next((match[1] for match in types if match and match[1] != "gpu"), ""):
        yield "gpu_type", found


def _read(parse: Callable[[str], int], text: str | None) -> int:
    try:
        return parse(text) if text else 0
    except ValueError:
        return 0


def _count(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


def _gpus(text: str | None) -> int:
    """``gpu:a100:2``, ``gpu:2``, ``a100:2`` or ``2``; a resource that is no GPU is none."""
    parts = (text or "").split(",")[0].split(":")
    if parts == [""] or (parts[0] != "gpu" and len(parts) > 2):
        return 0
    return int(parts[-1]) if parts[-1].isdigit() else int(parts[0] == "gpu")
