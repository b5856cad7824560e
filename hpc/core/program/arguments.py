"""Which arguments a Python program takes, read from its source and never by running it.

Known are argparse (also over the keys of a dictionary), click, typer, absl, fire, dataclasses that HfArgumentParser,
tyro, simple_parsing, pyrallis or draccus reads, hydra, OmegaConf's ``key=value``, nanoGPT's configurator
(``--key=value`` over module-level constants) and minGPT's nodes (``--trainer.key=value`` over ``C.trainer.key = …``).
What is computed while it runs is not seen.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from hpc.core.immutable import immutable, replace
from hpc.core.program.source import MOST_KEPT, dotted, last_name, parse

Constant = bool | int | float | str | None
_NUMBER_WORDS = {"int": "int", "float": "float", "str": "str", "bool": "bool", "Path": "str"}
_HF_TRAINING = (
    ("output_dir", "str", None), ("learning_rate", "float", 5e-5), ("num_train_epochs", "float", 3.0),
    ("per_device_train_batch_size", "int", 8), ("weight_decay", "float", 0.0), ("seed", "int", 42),
)  # fmt: skip
"""The arguments of transformers' TrainingArguments that matter here; its source is not the user's."""
_ABSL_WORDS = {"integer": "int", "string": "str", "enum": "str", "boolean": "bool", "config_file": "str"}
_MOST_DEEP = 4


@immutable
class Argument:
    """One argument of a program.

    Attributes:
        name: As the program knows it, dashes written as underscores.
        words: How it is given: ``--lr`` and its value, ``--lr=`` or ``lr=`` in one word, empty for a positional one.
        kind: ``int``, ``float``, ``str``, ``bool`` (a switch) or empty where the source does not say.
        default: What it is when left out; None where there is none or it is computed.
        required: Whether the program refuses to run without it.
    """

    name: str
    words: str
    kind: str = ""
    default: Constant = None
    required: bool = False

    def given(self, value: str) -> str:
        """The argument with a value, as it stands in a command line."""
        return f"{self.words}{value}" if self.words.endswith("=") or not self.words else f"{self.words} {value}"


@immutable
class Interface:
    """What the source says about a program's command line.

    Attributes:
        style: Which of the known ways it is read by; empty where none was recognised.
        arguments: In the order of the source.
        config: For hydra: folder and name of the configuration that holds the arguments, as the source says them.
    """

    style: str = ""
    arguments: tuple[Argument, ...] = ()
    config: tuple[str, str] | None = None


@lru_cache(MOST_KEPT)
def read_interface(source: str) -> Interface:
    """Read a program's command line from its source; empty where it is no Python or nothing is recognised."""
    if (tree := parse(source)) is None:
        return Interface()
    readers: tuple[tuple[str, Callable[[ast.Module], Interface | None]], ...] = (
        ("hydra", _hydra), ("HfArgumentParser", _huggingface), ("tyro", _dataclass), ("pyrallis", _dataclass),
        ("draccus", _dataclass), ("simple_parsing", _dataclass), ("add_arg", _argparse), ("argpars", _dictionary),
        ("click", _click), ("typer", _typer), ("DEFINE_", _absl), ("fire", _fire), ("configurator", _configurator),
        ("from_cli", _omegaconf), ("merge_from_args", _nodes),
    )  # fmt: skip
    return next((found for word, reader in readers if word in source and (found := reader(tree))), Interface())


def from_mapping(values: Mapping[str, Any], prefix: str = "") -> Iterator[Argument]:
    """The arguments of a hydra or OmegaConf configuration: every value, inner ones as ``optimizer.lr``.

    What hydra reads itself, such as ``_target_``, is none.
    """
    for key, value in values.items():
        if re.fullmatch(r"_\w+_", str(key)):
            continue
        if isinstance(value, dict):
            yield from from_mapping(value, f"{prefix}{key}.")
        elif isinstance(value, bool | int | float | str) and key not in ("defaults", "hydra"):
            missing = value == "???"
            kind = "" if missing else type(value).__name__
            yield Argument(f"{prefix}{key}", f"{prefix}{key}=", kind, None if missing else value, missing)
        elif value is None:
            yield Argument(f"{prefix}{key}", f"{prefix}{key}=")


_OPTION = re.compile(
    r"^\s{1,8}(?:-\w(?:[ =][A-Z_]+)?,\s+)?(--[A-Za-z][\w.-]*)(?:[ =](?:\[?([A-Z<{][^\s\]]*)))?", re.MULTILINE
)
_DEFAULT = re.compile(r"\(?\[?default:?\s*=?\s*([^\s)\],;]+)")


def from_help(text: str) -> Interface:
    """Read the arguments from what ``--help`` printed, as argparse, click and typer write it."""
    found = list(_OPTION.finditer(text))
    arguments = []
    for number, match in enumerate(found):
        end = found[number + 1].start() if number + 1 < len(found) else len(text)
        default = _DEFAULT.search(text, match.end(), end)
        value = _literal(default[1]) if default else None
        kind = type(value).__name__ if value is not None else "" if match[2] else "bool"
        if match[1] not in ("--help", "--version"):
            arguments.append(Argument(plain_name(match[1]), match[1], kind, value))
    return Interface("help", tuple(arguments)) if arguments else Interface()


# ── one reader a way ─────────────────────────────────────────────────────────────────────────────────────────────


def _argparse(tree: ast.Module) -> Interface | None:
    calls = [call for call in _calls(tree) if last_name(call.func) in ("add_argument", "add_arg")]
    arguments = [found for call in calls if (found := _argparse_argument(call))]
    return Interface("argparse", _once(arguments)) if arguments else None


def _argparse_argument(call: ast.Call) -> Argument | None:
    flags = [text for each in call.args if isinstance(text := _constant(each), str)]
    if not flags:
        return None
    options = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    long = next((flag for flag in flags if flag.startswith("--")), flags[0])
    action = _constant(options.get("action"))
    is_switch = action in ("store_true", "store_false") or "Boolean" in last_name(options.get("action"))
    default = _constant(options.get("default"))
    kind = "bool" if is_switch else _kind(options.get("type"), default)
    if not long.startswith("-"):
        optional = _constant(options.get("nargs")) in ("?", "*")
        return Argument(plain_name(long), "", kind, default, not optional)
    return Argument(plain_name(long), long, kind, default, _constant(options.get("required")) is True)


def _dictionary(tree: ast.Module) -> Interface | None:
    """``add_dict_to_argparser(parser, defaults)``: each key of a dictionary is an option."""
    passed = {
        last_name(each)
        for call in _calls(tree) if "pars" in last_name(call.func)
        for each in call.args
    }  # fmt: skip
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and {last_name(each) for each in node.targets} & passed:
            for name, value in _items(node.value):
                default = _constant(value)
                found.append(Argument(name, f"--{name}", _kind(None, default), default))
    return Interface("argparse", _once(found)) if found else None


def _items(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Keys and values of a dictionary that is written out: ``{"lr": 0.1}`` or ``dict(lr=0.1)``."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(name := _constant(key), str) and name.isidentifier():
                yield name, value
    elif isinstance(node, ast.Call) and dotted(node.func) == "dict":
        yield from ((each.arg, each.value) for each in node.keywords if each.arg)


def _click(tree: ast.Module) -> Interface | None:
    found = []
    for call in _calls(tree):
        name = dotted(call.func)
        flags = [text for each in call.args if isinstance(text := _constant(each), str)]
        options = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        default = _constant(options.get("default"))
        if name in ("click.option", "option") and flags:
            long = next((flag for flag in flags if flag.startswith("--")), flags[0])
            is_switch = _constant(options.get("is_flag")) is True or "/" in long
            required = _constant(options.get("required")) is True
            kind = "bool" if is_switch else _kind(options.get("type"), default)
            found.append(Argument(plain_name(long), long.partition("/")[0], kind, default, required))
        elif name in ("click.argument", "argument") and flags:
            found.append(
                Argument(plain_name(flags[0]), "", _kind(options.get("type"), default), default, default is None)
            )
    return Interface("click", _once(found)) if found else None


def _typer(tree: ast.Module) -> Interface | None:
    if not _imports(tree, "typer"):
        return None
    run = {last_name(call.args[0]) for call in _calls(tree) if dotted(call.func) == "typer.run" and call.args}
    functions = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and (node.name in run or any(last_name(_called(each)) == "command" for each in node.decorator_list))
    ]
    return Interface("typer", _signature(functions[0], "--{dashed}")) if functions else None


def _fire(tree: ast.Module) -> Interface | None:
    if not _imports(tree, "fire"):
        return None
    names = [last_name(call.args[0]) for call in _calls(tree) if last_name(call.func) == "Fire" and call.args]
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    found = next((functions[name] for name in names if name in functions), None)
    return Interface("fire", _signature(found, "--{name}=")) if found else None


def _absl(tree: ast.Module) -> Interface | None:
    calls = _calls(tree)
    required = {
        _constant(each)
        for call in calls if last_name(call.func) in ("mark_flag_as_required", "mark_flags_as_required")
        for part in call.args[:1]
        for each in (part.elts if isinstance(part, ast.List | ast.Tuple) else [part])
    }  # fmt: skip
    found = []
    for call in calls:
        kind = re.fullmatch(r"DEFINE_(integer|float|string|bool|boolean|enum|config_file)", last_name(call.func))
        name = _constant(call.args[0]) if call.args else None
        if kind and isinstance(name, str):
            default = _constant(call.args[1]) if len(call.args) > 1 else None
            word = _ABSL_WORDS.get(kind[1], kind[1])
            must = name in required or any(each.arg == "required" and _constant(each.value) for each in call.keywords)
            found.append(Argument(name, f"--{name}=", word, default, required=must))
    return Interface("absl", _once(found)) if found else None


def _huggingface(tree: ast.Module) -> Interface | None:
    call = next((call for call in _calls(tree) if last_name(call.func) == "HfArgumentParser" and call.args), None)
    if call is None:
        return None
    parts = call.args[0].elts if isinstance(call.args[0], ast.Tuple | ast.List) else [call.args[0]]
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    found: list[Argument] = []
    for name in map(last_name, parts):
        if name in classes:
            found += _fields(classes[name])
        elif name.endswith("TrainingArguments"):
            found += [
                Argument(each, f"--{each}", kind, default, each == "output_dir") for each, kind, default in _HF_TRAINING
            ]
    return Interface("huggingface", _once(found))


def _dataclass(tree: ast.Module) -> Interface | None:
    """``tyro.cli(Args)``, ``pyrallis.parse(config_class=Args)``, or ``@pyrallis.wrap()`` over what takes one."""
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    wrapped = [node for node in functions if any(last_name(_called(each)) == "wrap" for each in node.decorator_list)]
    readers = ("tyro.cli", "cli", "pyrallis.parse", "draccus.parse", "simple_parsing.parse", "parse")
    calls = [call for call in _calls(tree) if dotted(call.func) in readers]
    named = [each for call in calls for each in (*call.args[:1], *(each.value for each in call.keywords))]
    named += [each.annotation for node in wrapped for each in node.args.args[:1] if each.annotation]
    for name in map(last_name, named):
        if name in classes:
            return Interface("dataclass", _once([*_nested_fields(classes[name], classes)]))
        if function := next((node for node in functions if node.name == name), None):
            return Interface("dataclass", _signature(function, "--{name}"))
    return None


def _nested_fields(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef], outer: str = "") -> Iterator[Argument]:
    """The fields of a dataclass, those of a dataclass in it as ``--optim.lr``."""
    types = {
        each.target.id: last_name(each.annotation)
        for each in node.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }  # fmt: skip
    for field in _fields(node):
        kind = types[field.name]
        if kind in classes and kind != node.name and outer.count(".") < _MOST_DEEP:
            yield from _nested_fields(classes[kind], classes, f"{outer}{field.name}.")
        else:
            yield replace(field, name=f"{outer}{field.name}", words=f"--{outer}{field.name}")


def _hydra(tree: ast.Module) -> Interface | None:
    for node in ast.walk(tree):
        for each in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            if isinstance(each, ast.Call) and dotted(each.func) == "hydra.main":
                options = {keyword.arg: _constant(keyword.value) for keyword in each.keywords}
                folder, name = options.get("config_path"), options.get("config_name")
                return Interface("hydra", (), (str(folder or "."), str(name)) if name else None)
    return None


def _configurator(tree: ast.Module) -> Interface | None:
    executed = [call for call in _calls(tree) if last_name(call.func) == "exec" and "configurator" in ast.dump(call)]
    if not executed:
        return None
    end = executed[0].lineno
    return Interface("configurator", _once(_module_constants(tree, end, "--{name}=")))


def _omegaconf(tree: ast.Module) -> Interface | None:
    if not any(last_name(call.func) == "from_cli" for call in _calls(tree)):
        return None
    structures = [call for call in _calls(tree) if last_name(call.func) == "create" and call.args]
    values: dict[str, Any] = {}
    for call in structures:
        try:
            made = ast.literal_eval(call.args[0])
        except (ValueError, TypeError):
            continue
        values |= made if isinstance(made, dict) else {}
    return Interface("omegaconf", tuple(from_mapping(values)))


def _nodes(tree: ast.Module) -> Interface | None:
    """``C.trainer.lr = 5e-4``, or the class whose defaults a node takes, and ``C.merge_from_args(sys.argv[1:])``."""
    if not any(last_name(call.func) == "merge_from_args" for call in _calls(tree)):
        return None
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    own = [node for node in tree.body if not isinstance(node, ast.ClassDef)]
    found = []
    for name, value in (pair for node in own for pair in _attributes(node)):
        made_by = value.func.value if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) else None
        inner = _attributes(classes[last_name(made_by)]) if last_name(made_by) in classes else []
        pairs = [(name, value), *((f"{name}.{each.rpartition('.')[2]}", default) for each, default in inner)]
        found += [(each, default) for each, node in pairs if (default := _constant(node)) is not None]
    return Interface(
        "nodes", _once([Argument(each, f"--{each}=", type(value).__name__, value) for each, value in found])
    )


def _attributes(tree: ast.AST) -> list[tuple[str, ast.expr]]:
    """What is assigned to attributes of a name, without that name: ``C.model.depth = 3`` is ``model.depth``."""
    return [
        (dotted(target).partition(".")[2], node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Attribute) and not dotted(target).startswith(("self.", "."))
    ]


# ── pieces of source ─────────────────────────────────────────────────────────────────────────────────────────────


def _calls(tree: ast.AST) -> list[ast.Call]:
    """Every call, in the order of the source: `ast.walk` goes by depth."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return sorted(found, key=lambda call: (call.lineno, call.col_offset))


def _imports(tree: ast.AST, module: str) -> bool:
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return any(name.partition(".")[0] == module for name in names)


def _called(node: ast.AST) -> ast.AST:
    return node.func if isinstance(node, ast.Call) else node


def _constant(node: ast.AST | None) -> Constant:
    """The value of a literal, also a negative one; None for anything else."""
    try:
        value = ast.literal_eval(node) if isinstance(node, ast.expr) else None
    except (ValueError, TypeError):
        return None
    return value if isinstance(value, bool | int | float | str) else None


def _literal(text: str) -> Constant:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None if text == "None" else text
    return value if isinstance(value, bool | int | float | str) else None


def _kind(node: ast.AST | None, default: Constant) -> str:
    """The type an argument is declared with, else that of its default."""
    word = _NUMBER_WORDS.get(last_name(node), "") or _NUMBER_WORDS.get(last_name(node).lower(), "")
    return word or ("" if default is None else type(default).__name__)


def plain_name(flag: str) -> str:
    """A flag as the program knows it: ``--batch-size`` is ``batch_size``."""
    return flag.partition("/")[0].lstrip("-").replace("-", "_")


def _once(arguments: Sequence[Argument]) -> tuple[Argument, ...]:
    """Each name once: the last of a name is what the program would take."""
    return tuple({argument.name: argument for argument in arguments}.values())


def _signature(function: ast.FunctionDef, words: str) -> tuple[Argument, ...]:
    """The parameters of a function that a library turns into options."""
    named = [*function.args.posonlyargs, *function.args.args]
    values: list[ast.expr | None] = [None] * (len(named) - len(function.args.defaults)) + list(function.args.defaults)
    pairs = [*zip(named, values, strict=True), *zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)]
    found = []
    for parameter, value in pairs:
        inner = value.args[0] if isinstance(value, ast.Call) and value.args else value  # typer.Option(0.1)
        default = _constant(inner)
        word = words.format(name=parameter.arg, dashed=parameter.arg.replace("_", "-")) if value is not None else ""
        required = value is None or (isinstance(inner, ast.Constant) and inner.value is ...)
        found.append(Argument(parameter.arg, word, _kind(parameter.annotation, default), default, required))
    return tuple(found)


def _fields(node: ast.ClassDef) -> Iterator[Argument]:
    """The fields of a dataclass."""
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name, value = statement.target.id, statement.value
            if isinstance(value, ast.Call):
                options = {keyword.arg: keyword.value for keyword in value.keywords}
                default, required = _constant(options.get("default")), not {"default", "default_factory"} & set(options)
            else:
                default, required = _constant(value), value is None
            yield Argument(name, f"--{name}", _kind(statement.annotation, default), default, required)


def _module_constants(tree: ast.Module, end: int, words: str) -> list[Argument]:
    """Module-level constants assigned before a line."""
    found = []
    for statement in tree.body:
        if not isinstance(statement, ast.Assign) or statement.lineno >= end:
            continue
        for target in statement.targets:
            if isinstance(target, ast.Name) and not target.id.startswith("_"):
                value = _constant(statement.value)
                if value is not None:
                    found.append(Argument(target.id, words.format(name=target.id), type(value).__name__, value))
    return found
