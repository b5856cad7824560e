"""What a Python file is, read from its source: whether it does anything when it is started, what it imports."""

import ast
from functools import lru_cache
from pathlib import PurePath

MOST_KEPT = 512
"""Sources whose reading is kept: the programs of a project import the same modules."""


@lru_cache(8)
def parse(source: str) -> ast.Module | None:
    """Python's tree of a source, None where it is no Python; the last ones are kept, for several ask in turn."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return None


def does_something(source: str) -> bool:
    """Whether a file does anything when it is started; a module that only defines does not. Unreadable ones may."""
    tree = parse(source)
    return tree is None or any(map(_acts, tree.body))


_DEFINES = ("getLogger", "get_logger", "partial", "compile", "namedtuple", "TypeVar", "NewType")
_SETS = ("filterwarnings", "simplefilter", "basicConfig", "append", "insert", "use", "manual_seed", "seed", "register")
"""Calls that modules make while they are imported: what is named, and what is set for all."""


def _acts(statement: ast.stmt) -> bool:
    """Whether a statement at the top of a file does more than to import, to define, and to set."""
    if isinstance(statement, ast.For | ast.While):
        return True
    if isinstance(statement, ast.If | ast.With | ast.Try):
        inner = [*statement.body, *getattr(statement, "orelse", []), *getattr(statement, "finalbody", [])]
        return any(map(_acts, inner))
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Call) and last_name(statement.value.func) not in _SETS
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
        names = [name for target in statement.targets if (name := last_name(target))]
        is_type_or_constant = all(name[:1].isupper() or name.startswith("_") for name in names)
        return not (names and is_type_or_constant) and last_name(statement.value.func) not in _DEFINES
    return False


def starts_only_as_module(source: str) -> bool:
    """Whether a file imports from its own package by dots, which Python refuses where it is started as a script.

    An import that is tried, or under a condition, may be meant for both ways; unreadable files may be, too.
    """
    body = tree.body if (tree := parse(source)) else []
    names = (target for each in body if isinstance(each, ast.Assign) for target in each.targets)
    if any(isinstance(name, ast.Name) and name.id == "__package__" for name in names):  # as PEP 366 has it
        return False
    return any(isinstance(each, ast.ImportFrom) and each.level > 0 for each in body)


@lru_cache(MOST_KEPT)
def imported_paths(source: str) -> tuple[PurePath, ...]:
    """What a file imports, in its order, as paths without ``.py`` from its folder or from where packages lie."""
    found: dict[PurePath, None] = {}
    for node in ast.walk(tree) if (tree := parse(source)) else ():
        if isinstance(node, ast.Import):
            found |= dict.fromkeys(PurePath(*alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = PurePath(*[".."] * (node.level - 1), *(node.module or "").split("."))
            found |= dict.fromkeys([base] if node.module else [])
            found |= dict.fromkeys(base / alias.name for alias in node.names)
    return tuple(found)


def module_of(file: PurePath) -> str:
    """What a file below the project, or below its ``src``, is called as a module."""
    parts = file.with_suffix("").parts
    return ".".join(parts[1:] if parts[0] == "src" and len(parts) > 2 else parts)


def dotted(node: ast.AST | None) -> str:
    """A name with what it belongs to: ``torch.nn.Linear``; empty for what is no name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def last_name(node: ast.AST | None) -> str:
    """A name without what it belongs to."""
    return dotted(node).rpartition(".")[2]
