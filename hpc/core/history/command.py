"""A training command as it was typed: its program, parameters, launcher and environment. Pure; nothing is run.

Known are ``--a b``, ``--a=b``, ``-a b``, hydra's ``a=b`` ``+a=b``, switches, ``--no-a``, what follows ``--``, variables
before the program, and the usual launchers (torchrun, accelerate, deepspeed, srun, mpirun, ``python -m``, uv, bash -c).
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from hpc.core.credentials import looks_secret, names_secret
from hpc.core.errors import InputError
from hpc.core.immutable import field, immutable

MASKED = "***"
"""Stands for a key, token or password: the log is read by people."""

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_HYDRA = re.compile(r"\+{0,2}([A-Za-z_][\w./@-]*)=(.*)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_PYTHON = re.compile(r"(?:i?python|pypy)[\d.]*")
_URL_PASSWORD = re.compile(r"(://[^/@\s:]+:)[^/@\s]+@")
_IN_SCRIPT = re.compile(r"(?P<name>[A-Za-z_][\w-]*)(?P<between>=|\s+)(?P<value>'[^']*'|\"[^\"]*\"|[^\s;&|]+)")
_VOCABULARY = re.compile(r"(?i)(?:eos|bos|pad|unk|sep|cls|mask|start|end|special|stop|image)_token$")
_SHELLS = frozenset({"bash", "sh", "zsh", "dash", "ksh"})
_BESIDE = frozenset({"cd", "source", ".", "export", "module", "set", "ulimit", "mkdir", "echo", "tee", "sleep"})
"""Commands of a script that train nothing."""
_SEPARATORS = frozenset({"&&", "||", ";", "|", "&"})
_REDIRECT = re.compile(r"(?:\d?|&)(?:>>?|<)(?P<target>[^<>]*)")
_PYTHON_VALUED = frozenset({"-W", "-X"})
_TWO_VALUES = frozenset({"--mca", "-mca", "--gmca"})


@immutable
class _Starter:
    """How a program that starts another one is written.

    Attributes:
        called: Its name in the log; empty for one that changes nothing about the training.
        verbs: Words that may follow it at once: ``accelerate launch``.
        flags: Options that take no value.
        before: Words between its options and the program: the image of ``apptainer exec``.
    """

    called: str = ""
    verbs: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    before: int = 0


_TORCHRUN = _Starter(
    "torchrun",
    flags=frozenset({"--standalone", "--no-python", "--no_python", "--run-path", "--run_path", "--use_env"}),
)
_ACCELERATE = _Starter(
    "accelerate",
    frozenset({"launch"}),
    frozenset({
        "--multi_gpu", "--cpu", "--tpu", "--use_deepspeed", "--use_fsdp", "--use_megatron_lm", "--debug", "--quiet",
        "-q", "--no_python", "--same_network", "--use_xpu", "--ipex", "--use_tp", "--enable_cpu_affinity",
    }),
)  # fmt: skip
_MPIRUN = _Starter(
    "mpirun",
    flags=frozenset({"--allow-run-as-root", "--oversubscribe", "--tag-output", "-q", "-v", "--report-bindings"}),
)
_RUN = frozenset({"run"})
_CONTAINER = _Starter(
    "",
    frozenset({"exec", "run"}),
    frozenset(
        {"--nv", "--rocm", "--cleanenv", "-e", "--contain", "-c", "--containall", "--no-home", "--writable-tmpfs"}
    ),
    1,
)
_STARTERS: Mapping[str, _Starter] = {
    "torchrun": _TORCHRUN, "torch.distributed.run": _TORCHRUN, "torch.distributed.launch": _TORCHRUN,
    "accelerate": _ACCELERATE, "accelerate.commands.launch": _ACCELERATE,
    "deepspeed": _Starter("deepspeed", flags=frozenset({"--no_python", "--no_local_rank", "--force_multi"})),
    "mpirun": _MPIRUN, "mpiexec": _MPIRUN, "horovodrun": _Starter("horovodrun"),
    "srun": _Starter(
        "srun", flags=frozenset({"-u", "--unbuffered", "--exclusive", "-l", "--label", "--pty", "--overlap", "-v"})
    ),
    "uv": _Starter("", _RUN, frozenset({"--no-sync", "--frozen", "--locked", "--isolated", "-q", "--no-project"})),
    "poetry": _Starter("", _RUN), "pipenv": _Starter("", _RUN), "pdm": _Starter("", _RUN),
    "conda": _Starter("", _RUN, frozenset({"--no-capture-output", "--live-stream"})),
    "apptainer": _CONTAINER, "singularity": _CONTAINER,
    "env": _Starter("", flags=frozenset({"-i"})), "nohup": _Starter(), "setsid": _Starter(), "stdbuf": _Starter(),
    "time": _Starter("", flags=frozenset({"-v", "-p"})), "nice": _Starter(), "numactl": _Starter(),
    "timeout": _Starter("", flags=frozenset({"--foreground", "--preserve-status"}), before=1),
}  # fmt: skip


@immutable
class Command:
    """A training command.

    Attributes:
        words: As typed; keys and passwords are masked.
        program: The script or module that trains.
        parameters: Name, dashes written as underscores → value as typed; ``true`` or ``false`` for a switch.
        positional: Arguments without a name.
        environment: Variables set before the program.
        launcher: What starts several processes of it, such as ``torchrun``; empty where nothing does.
        launching: Its options, named as `parameters` are.
    """

    words: tuple[str, ...]
    program: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    positional: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    launcher: str = ""
    launching: Mapping[str, str] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """The command as it can be pasted; variables stay before it."""
        return " ".join(map(_quoted, self.words))


def _quoted(word: str) -> str:
    """A word for a shell; of ``NAME=a b`` only the value is quoted, or it would be no assignment."""
    found = _ASSIGNMENT.fullmatch(word)
    return f"{found[1]}={shlex.quote(found[2])}" if found and found[2] else shlex.quote(word)


def parse_command(words: Sequence[str]) -> Command:
    """Read a training command.

    Args:
        words: As a shell hands them over; one word with blanks in it is split as a shell would.

    Raises:
        InputError: There is no program in it.
    """
    is_script = len(words) == 1 and bool(re.search(r"\s", words[0]))
    masked = tuple(_mask(_split(words[0]) if is_script else words))
    # A shell that handed words over has taken its operators out: what looks like one was quoted.
    reader = _Reader(_training_part(masked) if is_script else list(masked))
    reader.find_program()
    if not reader.program:
        raise InputError(
            "no program in the command; write it as you type it: "
            "python -m hpc.history start -- python train.py --lr 0.1"
        )
    parameters, positional = read_arguments(reader.rest)
    return Command(
        masked, reader.program, parameters, positional, reader.environment, reader.launcher, reader.launching
    )  # fmt: skip


def _split(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise InputError(f"the command cannot be split into words: {str(error).lower()}") from None


def _mask(words: Sequence[str]) -> Iterator[str]:
    """The words with what looks like a secret left out."""
    is_next = False
    for word in words:
        name, given, value = word.lstrip("-+").partition("=")
        called_so = _names_secret(name)
        if is_next and not word.startswith("-"):
            yield MASKED
        elif re.search(r"\s", word):  # a script
            yield _URL_PASSWORD.sub(rf"\g<1>{MASKED}@", _IN_SCRIPT.sub(_masked_in_script, word))
        elif given and value and (called_so or looks_secret("value", value.encode("utf-8", "replace"))):
            yield word[: len(word) - len(value)] + MASKED
        elif looks_secret("value", word.encode("utf-8", "replace")):
            yield MASKED
        else:
            yield _URL_PASSWORD.sub(rf"\g<1>{MASKED}@", word)
        is_next = word.startswith("-") and not given and called_so


def _names_secret(name: str) -> bool:
    """Whether a parameter or variable is called as secrets are; ``--eos_token`` is a word of a vocabulary."""
    plain = re.sub(r"\W", "_", name)
    return names_secret(plain) and not _VOCABULARY.search(plain)


def _masked_in_script(found: re.Match[str]) -> str:
    is_secret = _names_secret(found["name"]) or looks_secret("value", found["value"].encode("utf-8", "replace"))
    return f"{found['name']}{found['between']}{MASKED}" if is_secret else found[0]


def _training_part(words: Sequence[str]) -> list[str]:
    """Of ``cd x && python t.py > log`` the part that trains, without where its output goes."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word in _SEPARATORS:
            parts.append([])
        else:
            parts[-1].append(word.removesuffix(";") if word.endswith(";") else word)
            if word.endswith(";") and word != ";":
                parts.append([])
    found = next((part for part in parts if part and part[0] not in _BESIDE), parts[0])
    return list(_without_redirects(found))


def _without_redirects(words: Sequence[str]) -> Iterator[str]:
    skip = False
    for word in words:
        redirect = _REDIRECT.fullmatch(word)
        if not skip and not redirect:
            yield word
        skip = redirect is not None and not redirect["target"]


class _Reader:
    """Walks from the first word to the program."""

    def __init__(self, words: list[str]) -> None:
        self.rest = words
        self.program = ""
        self.environment: dict[str, str] = {}
        self.launcher = ""
        self.launching: dict[str, str] = {}

    def find_program(self) -> None:
        """Take words until the program is known; what follows it stays in `rest`."""
        while self.rest and not self.program:
            word = self.rest.pop(0)
            name = word.rsplit("/", 1)[-1]
            if assigned := _ASSIGNMENT.fullmatch(word):
                self.environment[assigned[1]] = assigned[2]
            elif word == "--":
                continue
            elif _PYTHON.fullmatch(name):
                self._python()
            elif name in _SHELLS:
                self._shell()
            elif name in _STARTERS:
                self._starter(_STARTERS[name])
            else:
                self.program = word

    def _python(self) -> None:
        while self.rest and self.rest[0].startswith("-") and self.rest[0] != "--":
            option = self.rest.pop(0)
            if option == "-m":
                self._module()
                return
            if option == "-c":
                self.program, self.rest = "python -c", self.rest[1:]
                return
            if option in _PYTHON_VALUED:
                self.rest = self.rest[1:]
        if self.rest:
            self.program = self.rest.pop(0)

    def _module(self) -> None:
        module = self.rest.pop(0) if self.rest else ""
        if module in _STARTERS:
            self._starter(_STARTERS[module])
        else:
            self.program = module

    def _shell(self) -> None:
        while self.rest and self.rest[0].startswith("-"):
            option = self.rest.pop(0)
            if "c" in option.lstrip("-") and not option.startswith("--") and self.rest:
                self.rest = _training_part(_split(self.rest[0]))
                return
        if self.rest:
            self.program = self.rest.pop(0)

    def _starter(self, starter: _Starter) -> None:
        self.launcher = self.launcher or starter.called
        if self.rest and self.rest[0] in starter.verbs:
            self.rest.pop(0)
        while self.rest and self.rest[0].startswith("-") and self.rest[0] != "--":
            option = self.rest.pop(0)
            if option in ("-m", "--module") and starter.called:
                self._module()
                return
            self._option(option, starter)
        self.rest = self.rest[starter.before :]

    def _option(self, option: str, starter: _Starter) -> None:
        name, given, value = option.partition("=")
        if not given:
            takes = 0 if option in starter.flags or re.fullmatch(r"-[A-Za-z]?\d+", option) else 1
            takes = 2 if option in _TWO_VALUES else takes
            if not self.rest or self.rest[0].endswith(".py") or self.rest[0].startswith("-"):
                takes = 0
            value, self.rest = " ".join(self.rest[:takes]) or "true", self.rest[takes:]
        if starter.called:
            self.launching[plain_name(name)] = value


def plain_name(name: str) -> str:
    """A parameter's name without what marks it as one: ``--learning-rate`` is ``learning_rate``."""
    return name.lstrip("-+~").replace("-", "_")


def read_arguments(words: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Read a program's arguments: named ones (the last of a name counts), and those without a name."""
    named: dict[str, str] = {}
    positional: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            continue
        if word.startswith("-") and len(word) > 1 and not _NUMBER.fullmatch(word):
            name, value = _named(word, left)
            named[name] = value
        elif hydra := _HYDRA.fullmatch(word):
            named[hydra[1]] = hydra[2]
        else:
            positional.append(word)
    return named, tuple(positional)


def _named(word: str, left: list[str]) -> tuple[str, str]:
    """Name and value of an option; its value is taken from `left`."""
    name, given, value = word.partition("=")
    if given:
        return plain_name(name), value
    values = [left.pop(0)] if left and _is_value(left[0]) else []
    while values and _NUMBER.fullmatch(values[0]) and left and _NUMBER.fullmatch(left[0]):
        values.append(left.pop(0))
    if values:
        return plain_name(name), " ".join(values)
    plain = plain_name(name)
    return (plain.removeprefix("no_"), "false") if plain.startswith("no_") and len(plain) > 3 else (plain, "true")


def _is_value(word: str) -> bool:
    """Whether a word is the value of the option before it: no option, and no ``a=b`` of its own."""
    if _HYDRA.fullmatch(word):
        return False
    return not word.startswith("-") or word == "-" or bool(_NUMBER.fullmatch(word))


def same_value(one: str, other: str) -> bool:
    """Whether two values as typed are the same: ``1e-3`` and ``0.001`` are, ``True`` and ``true``, too."""
    return one == other or value_key(one) == value_key(other)


def value_key(text: str) -> tuple[int, float, str]:
    """Order and compare values: numbers first, by size, then texts."""
    return (0, float(text), "") if _NUMBER.fullmatch(text) else (1, 0.0, text.lower())
