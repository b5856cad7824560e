"""Which arguments a Python program takes, read from its source and never by running it.

Known are argparse, click, typer, absl, fire, dataclasses that HfArgumentParser reads, hydra, OmegaConf's ``key=value``,
nanoGPT's configurator (``--key=value`` over module-level constants) and minGPT's nodes (``--trainer.key=value`` over
``C.trainer.key = …``). What is computed while it runs is not seen.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

Constant = bool | int | float | str | None
_NUMBER_WORDS = {"int": "int", "float": "float", "str": "str", "bool": "bool", "Path": "str"}
_HF_TRAINING = (
    ("output_dir", "str", None), ("learning_rate", "float", 5e-5), ("num_train_epochs", "float", 3.0),
    ("per_device_train_batch_size", "int", 8), ("weight_decay", "float", 0.0), ("seed", "int", 42),
)  # fmt: skip
"""The arguments of transformers' TrainingArguments that matter here; its source is not the user's."""


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


def read_interface(source: str) -> Interface:
    """Read a program's command line from its source; empty where it is no Python or nothing is recognised."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return Interface()
    readers: tuple[Callable[[ast.Module], Interface | None], ...] = (
        _hydra, _huggingface, _argparse, _click, _typer, _absl, _fire, _configurator, _omegaconf, _nodes,
    )  # fmt: skip
    return next((found for reader in readers if (found := reader(tree))), Interface())


def does_something(source: str) -> bool:
    """Whether a file does anything when it is started; a module that only defines does not. Unreadable ones may."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return True
    return any(
        isinstance(each, ast.If | ast.For | ast.While | ast.With)
        or (isinstance(each, ast.Expr | ast.Assign) and isinstance(each.value, ast.Call))
        for each in body
    )


def starts_only_as_module(source: str) -> bool:
    """Whether a file imports from its own package by dots, which Python refuses where it is started as a script.

    An import that is tried, or under a condition, may be meant for both ways; unreadable files may be, too.
    """
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return False
    names = (target for each in body if isinstance(each, ast.Assign) for target in each.targets)
    if any(isinstance(name, ast.Name) and name.id == "__package__" for name in names):  # as PEP 366 has it
        return False
    return any(isinstance(each, ast.ImportFrom) and each.level > 0 for each in body)


def imported_paths(source: str) -> tuple[PurePath, ...]:
    """What a file imports, in its order, as paths without ``.py`` from its folder or from where packages lie."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    found: dict[PurePath, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= dict.fromkeys(PurePath(*alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = PurePath(*[".."] * (node.level - 1), *(node.module or "").split("."))
            found |= dict.fromkeys((base, *(base / alias.name for alias in node.names)))
    return tuple(found)


def module_of(file: PurePath) -> str:
    """What a file below the project, or below its ``src``, is called as a module."""
    parts = file.with_suffix("").parts
    return ".".join(parts[1:] if parts[0] == "src" and len(parts) > 2 else parts)


def from_mapping(values: Mapping[str, Any], prefix: str = "") -> Iterator[Argument]:
    """The arguments of a hydra or OmegaConf configuration: every value, inner ones as ``optimizer.lr``."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from from_mapping(value, f"{prefix}{key}.")
        elif isinstance(value, bool | int | float | str) and key not in ("defaults", "hydra"):
            missing = value == "???"
            kind = "" if missing else type(value).__name__
            yield Argument(f"{prefix}{key}", f"{prefix}{key}=", kind, None if missing else value, missing)


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
            arguments.append(Argument(_plain(match[1]), match[1], kind, value))
    return Interface("help", tuple(arguments)) if arguments else Interface()


# ── one reader a way ─────────────────────────────────────────────────────────────────────────────────────────────


def _argparse(tree: ast.Module) -> Interface | None:
    calls = [call for call in _calls(tree) if _last_name(call.func) in ("add_argument", "add_arg")]
    arguments = [found for call in calls if (found := _argparse_argument(call))]
    return Interface("argparse", _once(arguments)) if arguments else None


def _argparse_argument(call: ast.Call) -> Argument | None:
    flags = [text for each in call.args if isinstance(text := _constant(each), str)]
    if not flags:
        return None
    options = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    long = next((flag for flag in flags if flag.startswith("--")), flags[0])
    action = _constant(options.get("action"))
    is_switch = action in ("store_true", "store_false") or "Boolean" in _last_name(options.get("action"))
    default = _constant(options.get("default"))
    kind = "bool" if is_switch else _kind(options.get("type"), default)
    if not long.startswith("-"):
        optional = _constant(options.get("nargs")) in ("?", "*")
        return Argument(_plain(long), "", kind, default, not optional)
    return Argument(_plain(long), long, kind, default, _constant(options.get("required")) is True)


def _click(tree: ast.Module) -> Interface | None:
    found = []
    for call in _calls(tree):
        name = _dotted(call.func)
        flags = [text for each in call.args if isinstance(text := _constant(each), str)]
        options = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        default = _constant(options.get("default"))
        if name in ("click.option", "option") and flags:
            long = next((flag for flag in flags if flag.startswith("--")), flags[0])
            is_switch = _constant(options.get("is_flag")) is True or "/" in long
            required = _constant(options.get("required")) is True
            kind = "bool" if is_switch else _kind(options.get("type"), default)
            found.append(Argument(_plain(long), long.partition("/")[0], kind, default, required))
        elif name in ("click.argument", "argument") and flags:
            found.append(Argument(_plain(flags[0]), "", _kind(options.get("type"), default), default, default is None))
    return Interface("click", _once(found)) if found else None


def _typer(tree: ast.Module) -> Interface | None:
    if not _imports(tree, "typer"):
        return None
    run = {_last_name(call.args[0]) for call in _calls(tree) if _dotted(call.func) == "typer.run" and call.args}
    functions = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and (node.name in run or any(_last_name(_called(each)) == "command" for each in node.decorator_list))
    ]
    return Interface("typer", _signature(functions[0], "--{dashed}")) if functions else None


def _fire(tree: ast.Module) -> Interface | None:
    if not _imports(tree, "fire"):
        return None
    names = [_last_name(call.args[0]) for call in _calls(tree) if _last_name(call.func) == "Fire" and call.args]
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    found = next((functions[name] for name in names if name in functions), None)
    return Interface("fire", _signature(found, "--{name}=")) if found else None


def _absl(tree: ast.Module) -> Interface | None:
    found = []
    for call in _calls(tree):
        kind = re.fullmatch(r"DEFINE_(integer|float|string|bool|boolean|enum)", _last_name(call.func))
        name = _constant(call.args[0]) if call.args else None
        if kind and isinstance(name, str):
            default = _constant(call.args[1]) if len(call.args) > 1 else None
            word = {"integer": "int", "string": "str", "enum": "str", "boolean": "bool"}.get(kind[1], kind[1])
            found.append(Argument(name, f"--{name}=", word, default))
    return Interface("absl", _once(found)) if found else None


def _huggingface(tree: ast.Module) -> Interface | None:
    call = next((call for call in _calls(tree) if _last_name(call.func) == "HfArgumentParser" and call.args), None)
    if call is None:
        return None
    parts = call.args[0].elts if isinstance(call.args[0], ast.Tuple | ast.List) else [call.args[0]]
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    found: list[Argument] = []
    for name in map(_last_name, parts):
        if name in classes:
            found += _fields(classes[name])
        elif name.endswith("TrainingArguments"):
            found += [
                Argument(each, f"--{each}", kind, default, each == "output_dir") for each, kind, default in _HF_TRAINING
            ]
    return Interface("huggingface", _once(found))


def _hydra(tree: ast.Module) -> Interface | None:
    for node in ast.walk(tree):
        for each in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            if isinstance(each, ast.Call) and _dotted(each.func) == "hydra.main":
                options = {keyword.arg: _constant(keyword.value) for keyword in each.keywords}
                folder, name = options.get("config_path"), options.get("config_name")
                return Interface("hydra", (), (str(folder or "."), str(name)) if name else None)
    return None


def _configurator(tree: ast.Module) -> Interface | None:
    executed = [call for call in _calls(tree) if _last_name(call.func) == "exec" and "configurator" in ast.dump(call)]
    if not executed:
        return None
    end = executed[0].lineno
    return Interface("configurator", _once(_module_constants(tree, end, "--{name}=")))


def _omegaconf(tree: ast.Module) -> Interface | None:
    if not any(_last_name(call.func) == "from_cli" for call in _calls(tree)):
        return None
    structures = [call for call in _calls(tree) if _last_name(call.func) == "create" and call.args]
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
    if not any(_last_name(call.func) == "merge_from_args" for call in _calls(tree)):
        return None
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    own = [node for node in tree.body if not isinstance(node, ast.ClassDef)]
    found = []
    for name, value in (pair for node in own for pair in _attributes(node)):
        made_by = value.func.value if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) else None
        inner = _attributes(classes[_last_name(made_by)]) if _last_name(made_by) in classes else []
        pairs = [(name, value), *((f"{name}.{each.rpartition('.')[2]}", default) for each, default in inner)]
        found += [(each, default) for each, node in pairs if (default := _constant(node)) is not None]
    return Interface(
        "nodes", _once([Argument(each, f"--{each}=", type(value).__name__, value) for each, value in found])
    )


def _attributes(tree: ast.AST) -> list[tuple[str, ast.expr]]:
    """What is assigned to attributes of a name, without that name: ``C.model.depth = 3`` is ``model.depth``."""
    return [
        (_dotted(target).partition(".")[2], node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Attribute) and not _dotted(target).startswith(("self.", "."))
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


def _dotted(node: ast.AST | None) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _last_name(node: ast.AST | None) -> str:
    return _dotted(node).rpartition(".")[2]


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
    word = _NUMBER_WORDS.get(_last_name(node), "") or _NUMBER_WORDS.get(_last_name(node).lower(), "")
    return word or ("" if default is None else type(default).__name__)


def _plain(flag: str) -> str:
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
