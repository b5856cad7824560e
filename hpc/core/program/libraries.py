"""What libraries print for a program that calls them: their form is theirs, so no print stands in its source."""

import ast
import re
from collections.abc import Iterator, Mapping

from hpc.core.program.naming import Printed, goal_of, weight_of
from hpc.core.program.source import dotted, last_name

HUGGING_FACE = Printed("eval_loss", "min", r"eval_loss'?\s*[:=]\s*'?(?P<eval_loss>\S+)", weight_of("eval loss"))
"""transformers' Trainer, after an evaluation, in its two forms."""
_BASELINES = Printed("ep_rew_mean", "max", r"\bep_rew_mean\s*\|\s*(?P<ep_rew_mean>\S+)", weight_of("reward"))
"""Stable-Baselines3, in the table it prints after each update."""
_BOOSTED = re.compile(r"\b(?:xgboost|lightgbm)\b")


def printed_by_libraries(source: str, tree: ast.Module) -> Iterator[Printed]:
    """The numbers that transformers, evaluate, Keras, XGBoost, LightGBM and Stable-Baselines3 print for a program."""
    if "Trainer(" in source and "transformers" in source:
        yield HUGGING_FACE
    if "stable_baselines3" in source and ".learn(" in source:
        yield _BASELINES
    if "evaluate" in source:
        yield from _evaluate(tree)
    if "keras" in source:
        yield from _keras(tree)
    if _BOOSTED.search(source):
        yield from _boosted(tree)


def _keras(tree: ast.Module) -> Iterator[Printed]:
    """``loss: 0.69 - val_loss: 0.71`` at the end of an epoch, and what ``compile`` names beside it."""
    fits = [_keywords(call) for call in _calls(tree, "fit")]
    if not fits:
        return
    is_validated = any({"validation_data", "validation_split"} & given.keys() for given in fits)
    named = (word for call in _calls(tree, "compile") for word in _words(_keywords(call).get("metrics")))
    for word in ("loss", *("accuracy" if word == "acc" else word for word in named)):
        name = f"val_{word}" if is_validated else word
        yield _number(name, rf"\b{re.escape(name)}:\s*")


def _evaluate(tree: ast.Module) -> Iterator[Printed]:
    """What ``evaluate.load('accuracy').compute()`` gives is printed as a dictionary; GLUE's has an accuracy, too."""
    for call in _calls(tree, "load"):
        for word in (word for each in call.args[:1] for word in _words(each)):
            name = "accuracy" if word == "glue" else word
            if dotted(call.func) == "evaluate.load" and weight_of(name):
                yield _number(name, rf"'{re.escape(name)}':\s*", weight_of(f"eval {name}"))


def _boosted(tree: ast.Module) -> Iterator[Printed]:
    """``[9]  valid-auc:0.21`` or ``[9]  valid_0's auc: 0.21``; of several sets the last is the held-out one."""
    for node in (each for each in ast.walk(tree) if isinstance(each, ast.Call | ast.Dict)):
        given = _keywords(node) if isinstance(node, ast.Call) else _entries(node)
        for word in (*_words(given.get("eval_metric")), *_words(given.get("metric"))):
            before = rf"\[(?P<step>\d+)\].*(?:-|'s ){re.escape(word)}:\s*"
            yield _number(word, before, weight_of("val loss"))


def _number(name: str, before: str, weight: int = 0) -> Printed:
    group = re.sub(r"\W", "_", name)
    return Printed(name, goal_of(name), rf"{before}(?P<{group}>\S+)", weight or weight_of(name))


def _calls(tree: ast.Module, name: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call) and last_name(node.func) == name)


def _keywords(call: ast.Call) -> Mapping[str, ast.expr]:
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}


def _entries(node: ast.Dict) -> Mapping[str, ast.expr]:
    pairs = zip(node.keys, node.values, strict=True)
    return {str(key.value): value for key, value in pairs if isinstance(key, ast.Constant)}


def _words(node: ast.expr | None) -> Iterator[str]:
    """The constant texts of an argument: one, or a list of them."""
    for each in node.elts if isinstance(node, ast.List | ast.Tuple) else [node]:
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value
