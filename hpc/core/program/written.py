"""Which numbers a program writes into files, read from its source: TensorBoard events, Lightning's CSV, a JSON file,
wandb's runs.
"""

import ast
from collections.abc import Iterator

from hpc.core.program.naming import Printed, goal_of, guess_for, weight_of
from hpc.core.program.printed import TRACKED, called
from hpc.core.program.source import dotted, parse
from hpc.core.program.spelled import known_words, spelled_out

_SUMMARY_WRITERS = ("SummaryWriter", "TensorBoardLogger", "create_file_writer")
_SCALARS = ("add_scalar", "scalar", "log")
OUT_DIR = "{out_dir}/"
"""Before a file whose folder is an argument of the program."""


def find_written(source: str) -> tuple[Printed, ...]:
    """The numbers a program writes that look like metrics, the likeliest first; each name once."""
    if (tree := parse(source)) is None:
        return ()
    words = known_words(tree)
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    calls = [spelled for node in nodes for spelled in spelled_out(node, words)]
    found = [
        Printed(name, goal_of(name), place or guess_for(name), weight_of(name), kind)
        for kind, place, names in (
            *_events(calls),
            *_lightning(calls),
            *_json_files(tree, calls),
            *_wandb(source, calls),
            *_tables(calls),
        )
        for name in names
        if weight_of(name)
    ]
    best = {each.name: each for each in reversed(found)}
    return tuple(sorted(best.values(), key=lambda each: -each.weight))


_Found = tuple[str, str, list[str]]
"""Kind of source, where it is, and the names in it."""


def _events(calls: list[ast.Call]) -> Iterator[_Found]:
    """TensorBoard's event files: in the folder that is named, in its own default, or somewhere below."""
    for call in calls:
        if called(call) in _SUMMARY_WRITERS:
            folder = _given(call, "log_dir", "logdir", "save_dir")
            place = _text(folder) or "." if folder is not None else "runs"
            yield "tensorboard", place, _logged(calls)


def _lightning(calls: list[ast.Call]) -> Iterator[_Found]:
    for call in calls:
        if called(call) == "CSVLogger":
            folder = _text(_given(call, "save_dir"))
            name = next((_text(each.value) for each in call.keywords if each.arg == "name"), "") or "lightning_logs"
            if folder:
                yield "csv", f"{folder.rstrip('/')}/{name}/*/metrics.csv", _logged(calls)


def _wandb(source: str, calls: list[ast.Call]) -> Iterator[_Found]:
    """What goes to ``wandb.log`` as a dictionary, or to Lightning's logger by name; summaries, too."""
    if "wandb" not in source.lower():
        return
    begun = next((call for call in calls if dotted(call.func) == "wandb.init"), None)
    folder = next((each.value for each in begun.keywords if each.arg == "dir"), None) if begun else None
    place = "wandb" if folder is None else _text(folder) or "."
    tables = [each for call in calls if called(call) in TRACKED for each in call.args if isinstance(each, ast.Dict)]
    names = [name for table in tables for name in _keys(table)]
    yield "wandb", place, [*names, *(_logged(calls) if "WandbLogger" in source else ())]


def _tables(calls: list[ast.Call]) -> Iterator[_Found]:
    """What Lightning prints at the end of ``trainer.test()`` and ``validate()``, where no file has it."""
    ends = {"test": ("test",), "validate": ("val",)}
    for verb, beginnings in ends.items():
        if any(isinstance(call.func, ast.Attribute) and called(call) == verb for call in calls):
            yield "stdout", "", [name for name in _logged(calls) if name.startswith(beginnings)]


def _logged(calls: list[ast.Call]) -> list[str]:
    return [name for call in calls if called(call) in _SCALARS and call.args and (name := _text(call.args[0]))]


def _json_files(tree: ast.Module, calls: list[ast.Call]) -> Iterator[_Found]:
    """The one JSON file that is opened to be written, with the keys of the dictionary that goes there."""
    places = list(dict.fromkeys(place for call in calls if called(call) == "open" and (place := _written_to(call))))
    if len(places) != 1:
        return
    assigned = {
        target.id: node.value
        for node in ast.walk(tree) if isinstance(node, ast.Assign)
        for target in node.targets if isinstance(target, ast.Name)
    }  # fmt: skip
    for call in calls:
        if called(call) in ("dump", "dumps") and call.args:
            content = call.args[0]
            content = assigned.get(content.id, content) if isinstance(content, ast.Name) else content
            if isinstance(content, ast.Dict):
                yield "json_file", places[0], list(_keys(content))


def _written_to(call: ast.Call) -> str:
    """The JSON file that ``open`` writes; empty where it reads, or the name is not in the source."""
    mode = _text(call.args[1]) if len(call.args) > 1 else ""
    if not call.args or not mode.startswith(("w", "a")):
        return ""
    path = call.args[0]
    if isinstance(path, ast.Call) and called(path) == "join" and path.args:  # os.path.join(args.out, "results.json")
        parts = [_text(each) for each in path.args]
        name = "/".join(parts if parts[0] else parts[1:]) if all(parts[1:]) else ""
        name = name if parts[0] or not name else OUT_DIR + name
    else:
        name = _text(path)
    return name if name.endswith(".json") and not name.startswith("/") else ""


def _keys(content: ast.Dict, prefix: str = "") -> Iterator[str]:
    for key, value in zip(content.keys, content.values, strict=True):
        name = _text(key)
        if isinstance(value, ast.Dict):
            yield from _keys(value, f"{prefix}{name}/")
        elif name:
            yield prefix + name


def _given(call: ast.Call, *names: str) -> ast.expr | None:
    """The first argument, or one of these names."""
    return call.args[0] if call.args else next((each.value for each in call.keywords if each.arg in names), None)


def _text(node: ast.expr | None) -> str:
    """A constant text; empty for what is none, or is known in part only."""
    if isinstance(node, ast.JoinedStr) and all(isinstance(part, ast.Constant) for part in node.values):
        return "".join(map(_text, node.values))
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
