"""Names that a program puts together: ``f"{split}/loss"``, where ``split`` is one of the words it is given."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import islice, product

from hpc.core.program.source import last_name

Words = Mapping[str, Sequence[str]]
_MOST = 8
"""Ways to write one text that are looked at."""


def known_words(tree: ast.Module) -> Words:
    """The constant texts that each variable may hold: assigned, looped over, or passed to a function as an argument."""
    found: dict[str, dict[str, None]] = {}
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        for name, value in _bound(node, functions):
            for each in value.elts if isinstance(value, ast.List | ast.Tuple | ast.Set) else [value]:
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    found.setdefault(name, {})[each.value] = None
    return {name: tuple(words) for name, words in found.items()}


def _bound(node: ast.AST, functions: Mapping[str, ast.FunctionDef]) -> Iterator[tuple[str, ast.expr]]:
    """The names that one statement or call gives a value, with it."""
    if isinstance(node, ast.For | ast.comprehension) and isinstance(node.target, ast.Name):
        yield node.target.id, node.iter
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
        yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.FunctionDef):
        names = [argument.arg for argument in node.args.args]
        yield from zip(reversed(names), reversed(node.args.defaults), strict=False)
    elif isinstance(node, ast.Call) and (function := functions.get(last_name(node.func))):
        names = [argument.arg for argument in function.args.args]
        names = names[1:] if names[:1] in (["self"], ["cls"]) else names
        yield from zip(names, node.args, strict=False)
        yield from ((keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg)


def spelled_out(node: ast.Call, words: Words) -> Iterator[ast.Call]:
    """A call in each way it may be meant: words in place of the variables that its texts hold."""
    names = dict.fromkeys(
        part.value.id
        for each in ast.walk(node) if isinstance(each, ast.JoinedStr)
        for part in each.values if isinstance(part, ast.FormattedValue)
        if isinstance(part.value, ast.Name) and part.value.id in words
    )  # fmt: skip
    for chosen in islice(product(*(words[name] for name in names)), _MOST):
        yield _Filled(dict(zip(names, chosen, strict=True))).visit(deepcopy(node)) if names else node


class _Filled(ast.NodeTransformer):
    """Puts words into the texts that hold them."""

    def __init__(self, chosen: Mapping[str, str]) -> None:
        self._chosen = chosen

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.expr:
        """Replace the variable by its word."""
        name = node.value.id if isinstance(node.value, ast.Name) else ""
        return ast.Constant(self._chosen[name]) if name in self._chosen else node
