"""What a person's own job script says: resources, the site, loops, and how the program is started there. Read, not run.

``#SBATCH`` lines, assignments, arrays and loops over words are understood as far as they are constant. A value that is
computed stays open.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

_SHORT = {
    "t": "time", "c": "cpus-per-task", "N": "nodes", "n": "ntasks", "p": "partition", "A": "account", "q": "qos",
    "C": "constraint", "G": "gpus", "a": "array",
}  # fmt: skip
_SETUP = re.compile(r"(?:module|ml|source|conda|micromamba|mamba|spack)\b|\. |eval [\"']?\$\(")
"""What prepares a node; an ``eval`` of what conda's hook prints is such a line, too."""
_ASSIGNED = re.compile(r"(?:export\s+|declare\s+(?:-\w+\s+)?)?([A-Za-z_]\w*)=(.*)")
_LOOP = re.compile(r"for\s+([A-Za-z_]\w*)\s+in\s+(.*)")
VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::?-([^{}]*))?\}|([A-Za-z_]\w*))")
"""``$lr``, ``${lr}``, ``${lr:-0.1}``: groups 1 and 3 are the name, 2 what it is by default."""
_ELEMENT = re.compile(r"\$\{([A-Za-z_]\w*)\[.*\]\}")
_COUNTED = re.compile(r"\{(-?\d+)\.\.(-?\d+)\}|\$\(seq\s+(-?\d+)\s+(-?\d+)\)")
_COMPUTED = re.compile(r"\$\(\([^()]*\)\)|\$\([^()]*\)|`[^`]*`")
TASK = "SLURM_ARRAY_TASK_ID"
MOST_VALUES = 100


@dataclass(frozen=True)
class JobScript:
    """One script.

    Attributes:
        directives: Its ``#SBATCH`` options, by their long names.
        lines: Its commands, each with the variables it can fill in filled in.
        loops: Variable → the values it takes, as written: of loops, arrays and ``--array``.
        setup: Lines that prepare the node, in their order.
        in_step: The loops that are elements of arrays, one of each a task: they go in step, and are not crossed.
    """

    directives: Mapping[str, str]
    lines: tuple[tuple[str, ...], ...]
    loops: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    setup: tuple[str, ...] = ()
    in_step: frozenset[str] = frozenset()


def read_job_script(text: str) -> JobScript:
    """Read a script; what cannot be read is left out."""
    directives = dict(_directives(text))
    reader = _Reader({TASK: _array(directives.get("array", ""))})
    for line in _lines(text):
        reader.take(line)
    loops = {name: values for name, values in reader.loops.items() if values}
    return JobScript(directives, tuple(reader.lines), loops, tuple(reader.setup), frozenset(reader.in_step))


class _Reader:
    """Takes the commands of a script one by one, with what is known of its variables."""

    def __init__(self, loops: dict[str, tuple[str, ...]]) -> None:
        self.loops = loops
        self.lines: list[tuple[str, ...]] = []
        self.setup: list[str] = []
        self.in_step: set[str] = set()
        self._arrays: dict[str, tuple[str, ...]] = {}
        self._constants: dict[str, str] = {}

    def take(self, line: str) -> None:
        """Take one command."""
        assigned = _ASSIGNED.fullmatch(line)
        if loop := _LOOP.fullmatch(line):
            self.loops[loop[1]] = tuple(self._values(loop[2]))
        elif assigned and (assigned[2].startswith("(") or len(_split(assigned[2])) <= 1):
            self._assign(assigned[1], assigned[2])
        elif _SETUP.match(line):
            self.setup.append(line)
        elif words := _split(_COMPUTED.sub("$COMPUTED", self._filled(line))):
            self.lines.append(tuple(words))

    def _assign(self, name: str, value: str) -> None:
        """Keep an array, one element of an array (which varies over it), another loop's variable, or a constant."""
        bare = value.strip('"')
        if value.startswith("(") and value.endswith(")"):
            self._arrays[name] = tuple(self._values(value[1:-1]))
        elif (element := _ELEMENT.fullmatch(bare)) and element[1] in self._arrays:
            self.loops[name] = self._arrays[element[1]]
            self.in_step.add(name)
        elif of := loop_of(bare, self.loops):
            self.loops[name] = self.loops[of]
        elif words := _split(self._filled(value)):
            self._constants[name] = words[0]

    def _filled(self, text: str) -> str:
        """A text with what is known of its variables; a default stands for one that is not."""
        return VARIABLE.sub(lambda found: self._constants.get(found[1] or found[3], found[2] or found[0]), text)

    def _values(self, text: str) -> Iterator[str]:
        """The words of a list; counted ranges are written out, arrays that it names are put in."""
        for word in _split(_COUNTED.sub(lambda found: " ".join(_count(found)), text)):
            element = _ELEMENT.fullmatch(word)
            if element and element[1] in self._arrays:
                yield from self._arrays[element[1]]
            elif not is_open(word):
                yield word


def loop_of(value: str, loops: Mapping[str, Sequence[str]]) -> str:
    """The loop's variable that an argument's value is, ``$lr`` or ``${lr}``; empty where it is none."""
    found = VARIABLE.fullmatch(value)
    name = (found[1] or found[3]) if found else ""
    return name if loops.get(name) else ""


def is_open(value: str) -> bool:
    """Whether a shell would still put something in: a variable, a command, a pattern."""
    return bool(re.search(r"[$`]", value))


def _directives(text: str) -> Iterator[tuple[str, str]]:
    for line in re.findall(r"^#SBATCH\s+(.+)$", text, re.MULTILINE):
        words = _split(line.split(" #")[0])
        while words:
            word = words.pop(0)
            name, given, value = word.partition("=")
            if not name.startswith("-"):
                continue
            if not name.startswith("--"):
                name, value = name[1:2], value or name[2:]
                name, given = _SHORT.get(name, name), value
            if not given and words and not words[0].startswith("-"):
                value = words.pop(0)
            yield name.removeprefix("--"), value


def _lines(text: str) -> Iterator[str]:
    """Commands of a script: continued lines put together, comments and the words of control left out."""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        for part in re.split(r";(?:\s+|$)", re.sub(r"(?:^|\s)#.*$", "", line)):
            command = re.sub(r"^(?:do|then|else)\s+", "", part.strip())
            if command and command not in ("do", "done", "then", "else", "fi", "esac"):
                yield command


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return []


def _count(found: re.Match[str]) -> Iterator[str]:
    first, last = (int(each) for each in found.groups() if each is not None)
    return map(str, list(range(first, last + 1))[:MOST_VALUES])


def _array(text: str) -> tuple[str, ...]:
    """The task numbers of ``--array=0-3,7%2``."""
    found: list[str] = []
    for part in re.sub(r"%\d+$", "", text).split(","):
        if ends := re.fullmatch(r"(\d+)-(\d+)", part):
            found += map(str, list(range(int(ends[1]), int(ends[2]) + 1))[:MOST_VALUES])
        elif part.isdigit():
            found.append(part)
    return tuple(found)
