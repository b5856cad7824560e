"""A first experiment for a program, as the YAML text that `hpc init` writes: to be read, changed and kept in git."""

import math
import re
from collections.abc import Sequence
from textwrap import wrap

from hpc.core.immutable import immutable
from hpc.core.program.arguments import Argument, Constant, Interface
from hpc.core.program.given import Given
from hpc.core.program.naming import Printed

SEEDS = (1, 2, 3)
WIDTH = 110
_RATES = ("learning_rate", "lr", "base_lr", "max_lr", "max_learning_rate", "init_lr", "blr", "step_size")
_OTHERS = ("weight_decay", "hidden_size", "d_model", "n_embd", "emsize", "nhid", "batch_size")
_SEED = re.compile(r"(?!data|split|env|eval|test)(?:\w+_)?(?:manual)?seed")
"""Of the whole program; some have one more for what they draw from."""
_FOLDERS = ("out_dir", "output_dir", "outdir", "save_dir", "savedir", "checkpoint_dir", "ckpt_dir", "log_dir", "logdir",
            "results_dir", "result_dir", "work_dir", "workdir", "model_dir", "exp_dir", "log_folder")  # fmt: skip
_LITERALS = "nodes"
"""Programs of this style (minGPT's) read every value as a Python literal, and die of a path. Their default leads into
each run's own folder as it is."""
_NEVER_SWEPT = re.compile(
    r"seed|worker|interval|every|freq|log|port|rank|device|gpu|num_proc|version|epoch|iters|steps"
)


@immutable
class Draft:
    """What a first experiment asks.

    Attributes:
        name: Of the experiment.
        start: The command line without arguments: ``python train.py``.
        interface: The program's arguments.
        metric: The number that decides.
        is_guess: Whether nothing in the source prints that number, so that its pattern is a guess.
        cpus, memory: What one run may use at most; a guess, and no more than the machine has that will run it.
        given: What a person's own job script says; None without one.
    """

    name: str
    start: str
    interface: Interface
    metric: Printed
    is_guess: bool = False
    cpus: int = 2
    memory: str = "8GB"
    given: Given | None = None

    @property
    def swept(self) -> Argument | None:
        """The argument whose values are compared: a learning rate where there is one, and no loop of a script."""
        return None if self.given and self.given.grid else choose_swept(self.interface.arguments)

    @property
    def seed(self) -> Argument | None:
        """The argument that takes the seed."""
        found = [each for each in self.interface.arguments if is_seed(each.name)]
        return min(found, key=lambda each: len(_short(each)), default=None)

    @property
    def takes_seed(self) -> bool:
        """Whether the command has a place for the seed."""
        return self.seed is not None or any("{seed}" in word for word in (self.given.words if self.given else ()))

    @property
    def unknown(self) -> tuple[Argument, ...]:
        """Arguments the program refuses to run without, and for which only a person knows a value."""
        settled = {each.name for each in (self.swept, self.seed) if each}
        settled |= set(self.given.names) if self.given else set()
        required = [
            each
            for each in self.interface.arguments
            if each.required and each.name not in settled and not is_folder(each.name)
        ]
        return (*required, *(Argument(key, "") for key in (self.given.open if self.given else ())))

    @property
    def grid(self) -> dict[str, list[str]]:
        """Parameter → values to compare, as YAML."""
        if self.given and self.given.grid:
            return {key: [_scalar(value) for value in values] for key, values in self.given.grid.items()}
        values = values_around(self.swept.default, _short(self.swept)) if self.swept else []
        return {key_of(self.swept): [_number(value) for value in values]} if self.swept else {}

    @property
    def baseline(self) -> dict[str, str]:
        """The values that the others are compared with: the program's own where they are among them, else the first."""
        if self.given and self.given.in_step:
            return {key: values[0] for key, values in self.grid.items()}
        own = {key_of(each): each.default for each in self.interface.arguments}
        default = {key: _number(own[key]) for key in self.grid if own.get(key) is not None}
        return {key: default[key] if default.get(key) in values else values[0] for key, values in self.grid.items()}


def choose_swept(arguments: Sequence[Argument]) -> Argument | None:
    """Choose the argument whose values are worth comparing first; None where none has a number to begin with."""
    numbers = [each for each in arguments if _is_positive(each.default) and not _NEVER_SWEPT.search(_short(each))]
    named = [each for word in (*_RATES, *_OTHERS) for each in numbers if _short(each) == word]
    return next(iter([*named, *(each for each in numbers if isinstance(each.default, float))]), None)


def values_around(default: Constant, name: str) -> list[float | int]:
    """Values to compare with a default: a third and three times a rate, half and double of a count."""
    if isinstance(default, bool) or not isinstance(default, int | float) or default <= 0:
        return []
    if isinstance(default, int):
        return sorted({max(1, default // 2), default, default * 2})
    if name in _RATES or default < 1e-2:
        return [_rounded(default / 3), default, _rounded(default * 3)]
    return [_rounded(default / 2), default]


def render_draft(draft: Draft, schema: str) -> str:
    """Write the YAML.

    Args:
        draft: What is asked.
        schema: Path of the JSON Schema, from the file's own folder.
    """
    metric, given = draft.metric, draft.given
    seeds = ", ".join(map(str, (given.seeds if given else ()) or (SEEDS if draft.takes_seed else SEEDS[:1])))
    listed = ", ".join(f"{key}: [{', '.join(values)}]" for key, values in draft.grid.items())
    kind = "zip" if given and given.in_step else "grid"
    grid = f"  {kind}: {{{listed}}}\n" if listed else ""
    compared = ", ".join(f"{key}: {value}" for key, value in draft.baseline.items())
    baseline = f"baseline: {{{compared}}}   # what the others are compared with\n" if compared else ""
    no_seed = "" if draft.takes_seed else "   # the program takes no seed: another seed would only repeat the run"
    told = ["a guess: nothing in the source prints it"] if draft.is_guess else []
    told += ["the last match is a run's value"] if metric.kind == "stdout" else []
    comment = f"   # {'; '.join(told)}" if told else ""
    return f"""\
# yaml-language-server: $schema={schema}
# {draft.name}: written by `hpc init`, yours to change. All fields: `docs/experiment.md` of hpc-batch, or your editor.
name: {draft.name}
type: hyperparameter_sweep

# Words in braces are filled in for each run. Each run starts in its own folder.{_whence(draft)}
program:
  command: {quoted(_command(draft))}
{_list_others(draft)}
sweep:
{grid}  seeds: [{seeds}]{no_seed}
{baseline}
metrics:
  primary: {{name: {_named(metric)}, goal: {metric.goal}}}
  source: {{{metric.kind}: {quoted(metric.pattern)}}}{comment}

{_run_name(draft)}{_resources(draft)}"""


def _whence(draft: Draft) -> str:
    """Where the command comes from."""
    return f" The arguments are those of {draft.given.script}." if draft.given else ""


def _run_name(draft: Draft) -> str:
    """Names made of the values, where every value can be part of one; else `plan` makes them."""
    plain = all(re.fullmatch(r"[\w.+-]+", value) for values in draft.grid.values() for value in values)
    name = "".join(f"{key}{{{key}}}_" for key in draft.grid) + "S{seed}"
    return f"run_name: {quoted(name)}\n" if plain else ""


def _resources(draft: Draft) -> str:
    """What one run asks for, and how its processes are started."""
    asked = {"cpus": draft.cpus, "mem": draft.memory, "time": '"4:00:00"'}
    told = draft.given.resources if draft.given else {}
    listed = ", ".join(f"{name}: {value}" for name, value in {**asked, **told}.items())
    guessed = [name for name in asked if name not in told]
    launch = f"launch: {{kind: {draft.given.launcher}}}\n" if draft.given and draft.given.launcher else ""
    said = f"# From {draft.given.script}" if draft.given and told else "# Guesses: the most that one run may use"
    more = f"; a guess: {', '.join(guessed)}" if told and guessed else ""
    gpu = "" if "gpus" in told else "; on a GPU add gpus: 1"
    return (
        f"{said}{more}. After the first runs `hpc usage` says what they needed{gpu}.\nresources: {{{listed}}}\n{launch}"
    )


def _command(draft: Draft) -> str:
    """The command line with its placeholders; a person's part stands as one that has no value yet."""
    parts, there = [draft.start], set(draft.given.names) if draft.given else set()
    parts += draft.given.words if draft.given else ()
    if draft.swept and draft.swept.name not in there:
        parts.append(draft.swept.given(f"{{{key_of(draft.swept)}}}"))
    for each in draft.interface.arguments:
        if each.name in there:
            continue
        if each == draft.seed:
            parts.append(each.given("{seed}"))
        elif _is_given_folder(draft, each):
            parts.append(each.given("{out_dir}"))
        elif each in draft.unknown:
            parts.append(each.given(f"{{{key_of(each)}}}"))
    return " ".join(parts)


def _is_given_folder(draft: Draft, argument: Argument) -> bool:
    """Whether the command gives it the run's own folder; where the program was started is none."""
    if ".cwd}" in str(argument.default):
        return False
    return is_folder(argument.name) and argument != draft.swept and draft.interface.style != _LITERALS


def _list_others(draft: Draft) -> str:
    """What else the program takes, as a comment: numbers first, which could be swept."""
    known = (draft.swept, draft.seed, *draft.unknown)
    there = draft.given.names if draft.given else ()
    others = [
        each for each in draft.interface.arguments
        if each not in known and each.name not in there and each.default is not None
        and not _is_given_folder(draft, each)
    ]  # fmt: skip
    others.sort(key=lambda each: not _is_positive(each.default))
    told = [each.words if each.kind == "bool" and each.words[-1:] not in ("=", "") else each.given(repr(each.default))
            for each in others]  # fmt: skip
    lines = wrap(f"It also takes, with these defaults: {', '.join(told)}", WIDTH, break_long_words=False,
                 break_on_hyphens=False)  # fmt: skip
    return "".join(f"# {line}\n" for line in lines) if told else ""


def _short(argument: Argument) -> str:
    return argument.name.rpartition(".")[2].lower()


def is_seed(name: str) -> bool:
    """Whether an argument of this name is the program's seed."""
    return bool(_SEED.fullmatch(name.rpartition(".")[2].lower()))


def is_folder(name: str) -> bool:
    """Whether an argument of this name says where the program writes."""
    return name.rpartition(".")[2].lower() in _FOLDERS


def parameter_of(name: str) -> str:
    """An argument as a parameter of the experiment: ``optimizer.lr`` is ``lr``."""
    return re.sub(r"\W", "_", name.rpartition(".")[2])


def takes_folder(interface: Interface) -> bool:
    """Whether an argument says where the program writes: it is given the run's own folder."""
    return any(is_folder(each.name) for each in interface.arguments)


def key_of(argument: Argument | None) -> str:
    """An argument as a parameter; empty for none."""
    return parameter_of(argument.name) if argument else ""


def _named(metric: Printed) -> str:
    """The metric as its pattern, or the file, calls it."""
    if metric.kind != "stdout":
        return quoted(metric.name)
    groups = [group for group in re.findall(r"\(\?P<(\w+)>", metric.pattern) if group != "step"]
    return groups[0] if groups else metric.name


def _is_positive(value: Constant) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0 and math.isfinite(value)


def _rounded(value: float) -> float:
    return float(f"{value:.1g}")


def _number(value: Constant) -> str:
    """A number as YAML 1.2 reads it back, of the same type."""
    return repr(value)


def _scalar(text: str) -> str:
    """A value as YAML: a number as it is, anything else as text."""
    return text if re.fullmatch(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", text) else quoted(text)


def quoted(text: str) -> str:
    """A text as YAML."""
    return "'" + text.replace("'", "''") + "'"
