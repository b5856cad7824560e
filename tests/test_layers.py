"""The rooms of the house and the doors between them (docs/decisions, CONTRIBUTING.md): imports only go downward.

Each wing has a table of its rooms, from the ground up, with the rooms below that each may import. A new room gets a
row; a new import that no row allows is either on the wrong floor, or the row says from now on that it is meant.

Imports are read from the source with `ast`, wherever they stand: at the top, inside a function, under TYPE_CHECKING.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from hpc import cli
from hpc.experiments.on_nodes import EVERY_START

ROOT = Path(__file__).parents[1]
PACKAGES = ("hpc", "train", "analysis")
CORE_NEVER = {
    "os", "subprocess", "time", "random", "logging", "shutil", "tempfile", "socket", "threading", "multiprocessing",
    "secrets", "sqlite3", "urllib", "http", "asyncio", "signal", "io", "glob", "getpass", "platform", "ctypes",
}  # fmt: skip
"""The world: files, clock, environment, other programs, chance. `pathlib` is allowed for composing paths only."""
PATH_IO = {
    "open", "read_text", "read_bytes", "write_text", "write_bytes", "exists", "is_file", "is_dir", "stat", "lstat",
    "mkdir", "iterdir", "glob", "rglob", "unlink", "rmdir", "rename", "touch", "resolve", "absolute", "cwd", "home",
    "samefile", "chmod", "symlink_to", "readlink", "expanduser",
}  # fmt: skip
TRAIN_MAY = {
    "hpc.core", "hpc.adapters.metrics_h5", "hpc.adapters.tracking", "hpc.adapters.files", "hpc.metrics",
    "hpc.callbacks",
}  # fmt: skip
ANALYSIS_MAY = {
    "hpc.core", "hpc.adapters.collected_file", "hpc.adapters.files", "hpc.adapters.finished_run",
    "hpc.adapters.ledger",
    "hpc.adapters.manifest_store", "hpc.adapters.metrics_h5", "hpc.adapters.owner", "hpc.adapters.printed",
    "hpc.adapters.progress", "hpc.adapters.project", "hpc.adapters.result_ledger", "hpc.adapters.started",
    "hpc.adapters.terminal", "hpc.adapters.wandb_files",
}  # fmt: skip
ADAPTERS_MAY = {
    "hpc.core",
    "hpc.adapters.files",
    "hpc.adapters.index_file",
    "hpc.adapters.ledger",
    "hpc.adapters.lock_lease",
    "hpc.adapters.locks",
    "hpc.adapters.proc",
    "hpc.adapters.metrics_rows",
    "hpc.adapters.slurm_client",
    "hpc.adapters.sparse_file",
    "hpc.adapters.metrics_alike",
    "hpc.adapters.metrics_read",
    "hpc.adapters.packed",
    "hpc.adapters.progress",
    "hpc.adapters.spool",
    "hpc.adapters.terminal",
    "hpc.adapters.curves",
    "hpc.adapters.wandb_files",
}


Table = Mapping[str, set[str]]
Graph = Mapping[str, set[str]]

CORE: Table = {
    "hpc.core.immutable": set(),
    "hpc.core.errors": {"hpc.core.immutable"},
    "hpc.core.extras": {"hpc.core.errors"},
    "hpc.core.identity": set(),
    "hpc.core.layout": {"hpc.core.immutable"},
    "hpc.core.words": set(),
    "hpc.core.printable": set(),
    "hpc.core.breaking": set(),
    "hpc.core.picture": set(),
    "hpc.core.typed": set(),
    "hpc.core.progress": {"hpc.core.immutable", "hpc.core.picture", "hpc.core.printable", "hpc.core.words"},
    "hpc.core.credentials": set(),
    "hpc.core.crate": set(),
    "hpc.core.prose": set(),
    "hpc.core.resources": {"hpc.core.immutable"},
    "hpc.core.log_search": {"hpc.core.immutable", "hpc.core.errors"},
    "hpc.core.profile": {"hpc.core.immutable", "hpc.core.resources"},
    "hpc.core.experiment": {
        "hpc.core.immutable", "hpc.core.errors", "hpc.core.identity", "hpc.core.layout",
        "hpc.core.resources",
    },
    "hpc.core.program": {"hpc.core.immutable"},
    "hpc.core.history": {
        "hpc.core.immutable",
        "hpc.core.errors", "hpc.core.words", "hpc.core.printable", "hpc.core.credentials", "hpc.core.program",
    },
    "hpc.core.records": {
        "hpc.core.immutable", "hpc.core.errors", "hpc.core.experiment", "hpc.core.layout",
        "hpc.core.resources",
    },
    "hpc.core.forecast": {
        "hpc.core.immutable", "hpc.core.words", "hpc.core.experiment", "hpc.core.records", "hpc.core.resources"
    },
    "hpc.core.usage": {"hpc.core.immutable", "hpc.core.words", "hpc.core.forecast", "hpc.core.resources"},
    "hpc.core.question": {
        "hpc.core.immutable",
        "hpc.core.words", "hpc.core.errors", "hpc.core.experiment", "hpc.core.identity", "hpc.core.records",
        "hpc.core.resources",
    },
    "hpc.core.launch": {
        "hpc.core.immutable", "hpc.core.experiment", "hpc.core.layout", "hpc.core.records",
        "hpc.core.resources",
    },
    "hpc.core.slurm": {
        "hpc.core.immutable",
        "hpc.core.words", "hpc.core.experiment", "hpc.core.records", "hpc.core.profile", "hpc.core.resources",
    },
    "hpc.core.checkup": {
        "hpc.core.immutable",
        "hpc.core.errors", "hpc.core.words", "hpc.core.resources", "hpc.core.profile", "hpc.core.slurm",
    },
    "hpc.core.failures": {
        "hpc.core.immutable",
        "hpc.core.words", "hpc.core.identity", "hpc.core.printable", "hpc.core.experiment", "hpc.core.records",
        "hpc.core.slurm",
    },
    "hpc.core.watching": {"hpc.core.words", "hpc.core.experiment", "hpc.core.records"},
    "hpc.core.retry": {
        "hpc.core.immutable",
        "hpc.core.words",
        "hpc.core.errors", "hpc.core.identity", "hpc.core.resources", "hpc.core.experiment", "hpc.core.records",
        "hpc.core.launch", "hpc.core.failures",
    },
    "hpc.core.checks": {
        "hpc.core.words",
        "hpc.core.errors", "hpc.core.layout", "hpc.core.resources", "hpc.core.experiment", "hpc.core.question",
        "hpc.core.launch", "hpc.core.retry",
    },
}  # fmt: skip
BELOW_ALL = {"hpc.core", "hpc.adapters"}
HPC: Table = {
    "hpc.core": set(),
    "hpc.adapters": {"hpc.core"},
    "hpc.hooks": {"hpc.core"},
    "hpc.completing": BELOW_ALL,
    "hpc.console": BELOW_ALL | {"hpc.completing"},
    "hpc.metrics": BELOW_ALL,
    "hpc.callbacks": BELOW_ALL | {"hpc.metrics"},
    "hpc.workspace": BELOW_ALL,
    "hpc.node": BELOW_ALL | {"hpc.metrics"},
    "hpc.submissions": BELOW_ALL,
    "hpc.local": BELOW_ALL | {"hpc.console", "hpc.workspace", "hpc.submissions"},
    "hpc.experiments": BELOW_ALL | {"hpc.workspace", "hpc.submissions"},
    "hpc.forecasting": BELOW_ALL | {"hpc.submissions", "hpc.local"},
    "hpc.snapshots": BELOW_ALL | {"hpc.submissions"},
    "hpc.rounds": BELOW_ALL
    | {"hpc.forecasting", "hpc.workspace", "hpc.node", "hpc.experiments", "hpc.snapshots", "hpc.submissions"},
    "hpc.explaining": BELOW_ALL | {"hpc.console", "hpc.workspace", "hpc.submissions", "hpc.snapshots", "hpc.rounds"},
    "hpc.standing": BELOW_ALL
    | {
        "hpc.console",
        "hpc.workspace",
        "hpc.submissions",
        "hpc.local",
        "hpc.experiments",
        "hpc.snapshots",
        "hpc.rounds",
    },
    "hpc.housekeeping": BELOW_ALL | {"hpc.workspace", "hpc.node", "hpc.submissions", "hpc.snapshots", "hpc.rounds"},
    "hpc.newcomer": BELOW_ALL | {"hpc.experiments", "hpc.metrics", "hpc.node"},
    "hpc.unattended": BELOW_ALL
    | {
        "hpc.console",
        "hpc.workspace",
        "hpc.submissions",
        "hpc.local",
        "hpc.experiments",
        "hpc.snapshots",
        "hpc.rounds",
        "hpc.housekeeping",
        "hpc.standing",
    },
    "hpc.logbook": BELOW_ALL | {"hpc.console", "hpc.workspace"},
    "hpc.reproduction": BELOW_ALL
    | {
        "hpc.workspace",
        "hpc.node",
        "hpc.experiments",
        "hpc.submissions",
        "hpc.snapshots",
        "hpc.rounds",
        "hpc.housekeeping",
        "hpc.logbook",
    },
    "hpc.checkup": BELOW_ALL | {"hpc.workspace", "hpc.experiments", "hpc.submissions"},
    "hpc.api": BELOW_ALL | {"hpc.workspace"},
    "hpc.assistant": BELOW_ALL | {"hpc.workspace", "hpc.submissions"},
    "hpc.cli": {"hpc.core", "hpc.adapters"},
    "hpc.__main__": {"hpc.cli"},
}
"""The commands stand above these; what they may import is in `hpc_table`."""
ANALYSIS: Table = {
    "analysis.words": set(),
    "analysis.command": set(),
    "analysis.statistics": set(),
    "analysis.data": {"analysis.words", "analysis.statistics"},
    "analysis.findings": {"analysis.words", "analysis.statistics", "analysis.data"},
    "analysis.figures": {"analysis.words", "analysis.statistics", "analysis.data", "analysis.findings"},
    "analysis.page": {
        "analysis.words", "analysis.statistics", "analysis.data", "analysis.findings", "analysis.figures",
    },
    "analysis.report": {
        "analysis.command", "analysis.words", "analysis.data", "analysis.findings", "analysis.figures", "analysis.page",
    },
    "analysis.loaded": {"analysis.data", "analysis.findings", "analysis.report"},
    "analysis.exports": {"analysis.data"},
    "analysis.export": {"analysis.command", "analysis.data", "analysis.loaded", "analysis.exports"},
    "analysis.second_look": {
        "analysis.command", "analysis.statistics", "analysis.data", "analysis.findings", "analysis.report",
    },
}  # fmt: skip
TRAIN: Table = {
    "train.systems": set(),
    "train.durable": set(),
    "train.schedule": set(),
    "train.distributed": set(),
    "train.trained": set(),
    "train.sequences": set(),
    "train.mamba": set(),
    "train.text": set(),
    "train.options": set(),
    "train.sizes": set(),
    "train.layers": set(),
    "train.gpt": {"train.text"},
    "train.demonstrations": {"train.systems"},
    "train.rollout": {"train.systems", "train.demonstrations"},
    "train.imitate": {"train.systems", "train.demonstrations", "train.sizes"},
    "train.model": {"train.durable", "train.trained"},
    "train.mamba2": {"train.mamba"},
    "train.sequence_models": {"train.mamba", "train.mamba2"},
    "train.symmetry_data": {"train.sequences"},
    "train.by_hand": set(),
    "train.program": {"train.by_hand", "train.distributed", "train.options"},
    "train.learner": {"train.trained", "train.layers"},
    "train.checkpoint": {"train.durable", "train.trained", "train.learner"},
    "train.loop": {"train.schedule", "train.distributed", "train.trained", "train.learner", "train.checkpoint"},
    "train.imitation": {"train.demonstrations", "train.rollout", "train.learner", "train.loop"},
    "train.sanity": {"train.learner", "train.loop", "train.trained"},
    "train.lm_sanity": {"train.gpt", "train.text", "train.learner", "train.loop", "train.sanity"},
    "train.lm": {"train.gpt", "train.text", "train.options", "train.sizes", "train.lm_sanity"},
    "train.classification": {
        "train.durable", "train.sequences", "train.symmetry_data", "train.learner", "train.loop", "train.sanity",
    },
    "train.grpo": {
        "train.systems", "train.demonstrations", "train.rollout", "train.schedule", "train.learner", "train.loop",
        "train.trained",
    },
    "train.memory": {"train.schedule", "train.trained", "train.learner", "train.checkpoint", "train.loop"},
    "train.recorder": {"train.memory"},
    "train.training": {
        "train.sanity", "train.program", "train.schedule", "train.learner", "train.checkpoint", "train.loop",
        "train.memory", "train.recorder",
    },
    "train.curriculum": {
        "train.systems", "train.demonstrations", "train.rollout", "train.schedule", "train.learner", "train.trained",
        "train.imitation", "train.grpo", "train.sanity", "train.training",
    },
    "train.control": {
        "train.options", "train.sizes", "train.program", "train.model", "train.schedule", "train.learner", "train.loop",
        "train.training", "train.curriculum",
    },
    "train.symmetry": {
        "train.options", "train.sizes", "train.program", "train.sequence_models", "train.symmetry_data",
        "train.schedule", "train.learner",
        "train.classification", "train.training",
    },
}  # fmt: skip


def module_name(path: Path) -> str:
    """Return ``hpc/core/experiment/grid.py`` as ``hpc.core.experiment.grid``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def sources(folder: str) -> list[Path]:
    """List the modules below a folder."""
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found, f"{folder} holds no Python: the test looks in the wrong place"
    return found


MODULES = {module_name(path) for package in PACKAGES for path in sources(package)}


@cache
def imported(path: Path) -> tuple[tuple[int, str], ...]:
    """Line and full name of all a file imports; ``from hpc.adapters import slurm`` is ``hpc.adapters.slurm``."""
    return tuple(read_imports(path))


def read_imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the imports of one file, wherever in it they stand."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write the whole name"
            assert node.module is not None
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ((node.lineno, name if name in MODULES else node.module) for name in names)


@cache
def imports() -> Graph:
    """Module → the modules of ours it imports. Read when a test asks: every worker collects this file."""
    return {
        module_name(path): {name for _, name in imported(path) if name in MODULES}
        for package in PACKAGES
        for path in sources(package)
    }


def runs_as_a_command(path: Path) -> bool:
    """Whether a file is there to be started: ``python -m hpc.collect``."""
    return '\nif __name__ == "__main__":' in path.read_text(encoding="utf-8")


COMMANDS = {path.stem for path in (ROOT / "hpc").glob("*.py") if runs_as_a_command(path)} - {"cli", "__main__"}
"""One verb a file; `hpc.cli` knows them by name only."""


def is_within(name: str, rooms: set[str]) -> bool:
    """Whether a module is one of the rooms or below it."""
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def own(name: str) -> bool:
    """Whether a module is ours."""
    return name.split(".", maxsplit=1)[0] in PACKAGES


def violations(folder: str, is_allowed: object) -> list[str]:
    """List the imports of ours that a folder may not have."""
    assert callable(is_allowed)
    return [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources(folder)
        for line, name in imported(path)
        if not is_allowed(path, name)
    ]


def test_core_touches_nothing() -> None:
    """`hpc.core` imports itself and the standard library, and of that nothing that touches the world.

    One file may have RE2, which is `re` with another engine: text in, a match out.
    """

    def is_allowed(path: Path, name: str) -> bool:
        first = name.split(".", maxsplit=1)[0]
        if first == "re2":
            return path.relative_to(ROOT).as_posix() == "hpc/core/failures/engine.py"
        standard = sys.stdlib_module_names | {"_sha2"}  # that of later versions
        return is_within(name, {"hpc.core"}) or (first in standard and first not in CORE_NEVER)

    assert violations("hpc/core", is_allowed) == []


def test_core_uses_paths_without_looking_at_the_disk() -> None:
    """`hpc.core` composes paths and never asks the disk about them; `open` and `print` are not called either."""
    found = []
    for path in sources("hpc/core"):
        uses_paths = any(name.split(".")[0] == "pathlib" for _, name in imported(path))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            is_method = isinstance(node.func, ast.Attribute)
            forbidden = (PATH_IO if uses_paths else set()) if is_method else {"open", "print", "input"}
            if called in forbidden:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} calls {called}")

    assert found == []


@pytest.mark.parametrize("wing", ["hpc", "analysis", "train"])
def test_nothing_that_would_be_run_is_read(wing: str) -> None:
    """No pickle, from a file or another process: what is said is JSON, and checked as any file is."""
    runs = {"pickle", "_pickle", "shelve", "dill", "cloudpickle", "joblib"}
    assert violations(wing, lambda _path, name: name not in runs) == []


def test_an_adapter_knows_the_core_and_files_only() -> None:
    """An adapter imports `hpc.core` and the few that others are made of, never another adapter and never a command."""

    def is_allowed(path: Path, name: str) -> bool:
        return not own(name) or is_within(name, ADAPTERS_MAY) or name == module_name(path)

    assert violations("hpc/adapters", is_allowed) == []


def test_hpc_starts_the_other_rooms_and_never_imports_them() -> None:
    """`hpc` imports neither `train` nor `analysis`, so any other training program is an equal citizen."""
    assert violations("hpc", lambda _path, name: not is_within(name, {"train", "analysis"})) == []


def test_train_knows_little_of_hpc() -> None:
    """`train` imports the core, metrics, callbacks, the tracker and `files`; no command, and nothing of `analysis`."""
    allowed = TRAIN_MAY | {"train"}

    assert violations("train", lambda _path, name: not own(name) or is_within(name, allowed)) == []


def test_analysis_reads_files_and_calls_no_command() -> None:
    """`analysis` imports the core and the readers of files; it meets the commands in files only, and never `train`."""
    allowed = ANALYSIS_MAY | {"analysis"}

    assert violations("analysis", lambda _path, name: not own(name) or is_within(name, allowed)) == []


def hpc_table(rooms: Table = HPC, commands: set[str] = COMMANDS) -> Table:
    """The table of `hpc` with its commands: each may import every room, and the wrapper only what a node needs."""
    everything = set(rooms) - {"hpc.cli", "hpc.__main__"}
    above = {f"hpc.{verb}": everything for verb in sorted(commands)}
    return {**rooms, **above, "hpc.run_task": {"hpc.core", "hpc.adapters", "hpc.node"}}


TABLES = {"hpc": hpc_table(), "hpc.core": CORE, "analysis": ANALYSIS, "train": TRAIN}


def room_of(module: str, table: Table) -> str | None:
    """The row a module belongs to."""
    return next((room for room in table if is_within(module, {room})), None)


def misplaced(wing: str, table: Table, graph: Graph) -> list[str]:
    """Everything in a wing that its table does not allow."""
    found = []
    for module, names in sorted(graph.items()):
        room = room_of(module, table)
        if room is None and module.startswith(f"{wing}."):
            found.append(f"{module} has no row in the table of {wing}")
        targets = {name: room_of(name, table) for name in sorted(names)} if room else {}
        found += [
            f"{module} imports {name}: the row of {room} does not name {target}"
            for name, target in targets.items()
            if room and target and target != room and target not in table[room]
        ]
    return found


def circle(graph: Graph) -> list[str]:
    """Modules that need each other, in order; empty where there are none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def with_arrow(graph: Graph, importer: str, name: str) -> Graph:
    """The graph with one import more."""
    return {**graph, importer: graph.get(importer, set()) | {name}}


@pytest.mark.parametrize("wing", TABLES)
def test_each_room_imports_what_its_row_allows(wing: str) -> None:
    """Every module stands in a room of its wing's table and imports only rooms that its row names."""
    assert misplaced(wing, TABLES[wing], imports()) == []


@pytest.mark.parametrize("wing", TABLES)
def test_the_tables_lead_downward_only(wing: str) -> None:
    """A row names rows above it in the table alone, so that no circle of rooms can be written down."""
    rooms = list(TABLES[wing])

    assert [
        (room, below) for n, room in enumerate(rooms) for below in TABLES[wing][room] if below not in rooms[:n]
    ] == []


def test_no_modules_need_each_other() -> None:
    """There is no circle of imports anywhere, not within a room either."""
    assert circle(imports()) == []


@pytest.mark.parametrize(
    ("wing", "importer", "name"),
    [
        ("hpc", "hpc.submissions.prepare", "hpc.rounds.judge"),
        ("hpc", "hpc.core.layout", "hpc.adapters.files"),
        ("hpc", "hpc.run_task", "hpc.submissions.prepare"),
        ("hpc", "hpc.adapters.files", "hpc.workspace"),
        ("hpc", "hpc.attic.trunk", "hpc.core.errors"),
        ("hpc.core", "hpc.core.experiment.grid", "hpc.core.retry.plan"),
        ("hpc.core", "hpc.core.attic", "hpc.core.errors"),
        ("analysis", "analysis.statistics.estimates", "analysis.page.document"),
        ("analysis", "analysis.attic", "analysis.data.frame"),
        ("train", "train.model", "train.loop"),
    ],
)
def test_a_planted_import_against_the_table_is_seen(wing: str, importer: str, name: str) -> None:
    """One import upward, sideways, or out of a room without a row, and the check names it."""
    assert any(importer in line for line in misplaced(wing, TABLES[wing], with_arrow(imports(), importer, name)))


def test_a_planted_circle_is_seen() -> None:
    """Two modules of one room that import each other are a circle, too."""
    graph = with_arrow(imports(), "hpc.core.experiment.expression", "hpc.core.experiment.grid")

    assert {"hpc.core.experiment.expression", "hpc.core.experiment.grid"} <= set(circle(graph))


def test_no_command_imports_another() -> None:
    """What two commands share is in a module of its own; only `hpc.cli` knows the commands, and by name."""
    commands = {f"hpc.{verb}" for verb in COMMANDS}

    def is_allowed(path: Path, name: str) -> bool:
        return name not in commands or module_name(path) == name

    assert violations("hpc", is_allowed) == []


def test_commands_are_found() -> None:
    """The glob finds the verbs that people type and the one that scripts start; each can be named to `hpc.cli`."""
    assert set(cli.COMMANDS) | {"run_task"} == COMMANDS


PACKAGE_FILES = [path for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")]


def test_the_door_for_python_loads_nothing_by_itself() -> None:
    """`import hpc` costs the wrapper nothing: it loads no module at all besides its own file."""
    assert loaded_by("hpc") - loaded_by("sys") == {"hpc"}


@pytest.mark.parametrize("path", [path for path in PACKAGE_FILES if path != ROOT / "hpc/__init__.py"])
def test_package_files_import_nothing(path: Path) -> None:
    """`__init__.py` holds no code: `python -m hpc.collect` must not meet itself, and a module must not cost a room."""
    body = ast.parse(path.read_text(encoding="utf-8")).body

    assert all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


def loaded_by(module: str) -> set[str]:
    """Names of everything a fresh interpreter has loaded after importing one module."""
    program = f"import json, sys; import {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {program}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(json.loads(done.stdout))


def test_the_wrapper_on_the_compute_node_is_standard_library() -> None:
    """`hpc.run_task` starts thousands of times on a shared file system: it loads nothing that has to be installed."""
    bare = loaded_by("sys")
    foreign = {
        name
        for name in loaded_by("hpc.run_task") - bare
        if name.split(".")[0] not in sys.stdlib_module_names and not own(name)
    }

    assert foreign == set()


def test_the_wrapper_loads_few_modules_of_ours() -> None:
    """It stays small: of `hpc` what its list has, part of the core, the adapters it needs and the node's part."""
    ours = {name for name in loaded_by("hpc.run_task") if own(name)}
    not_core = {name for name in ours if not is_within(name, {"hpc.core"})}

    assert not_core <= {
        "hpc", "hpc.run_task", "hpc.node", "hpc.node.attempt", "hpc.node.task_record", "hpc.node.exit_record",
        "hpc.node.supervise", "hpc.node.supervision",
        "hpc.adapters", "hpc.adapters.files", "hpc.adapters.index_file", "hpc.adapters.proc",
        "hpc.adapters.code_snapshot",
        "hpc.node.watching", "hpc.node.workdir",
    }  # fmt: skip
    assert ours == EVERY_START
    assert len(ours) <= 36


def test_the_wrapper_does_without_costly_modules() -> None:
    """What it took from them costs a line each: they would be loaded thousands of times."""
    costly = {
        "base64", "dataclasses", "difflib", "hashlib", "hmac", "inspect", "platform", "random", "secrets", "shutil",
        "socket", "ssl", "tempfile", "zipfile",
    } - loaded_by("sys")  # fmt: skip

    assert costly & loaded_by("hpc.run_task") == set()


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_help_needs_no_heavy_package(verb: str) -> None:
    """Importing a command, which is all `--help` does, loads no training stack, no statistics and no submitit."""
    heavy = {"torch", "accelerate", "deepspeed", "transformers", "pandas", "scipy", "matplotlib", "wandb", "submitit"}

    assert heavy & {name.split(".")[0] for name in loaded_by(f"hpc.{verb}")} == set()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import os\n", ["os"]),
        ("from hpc.adapters import slurm\n", ["hpc.adapters.slurm"]),
        ("from hpc.core.errors import HpcError\n", ["hpc.core.errors"]),
        ("def f():\n    from hpc.collect import main\n", ["hpc.collect"]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy as np\n", ["typing", "numpy"]),
    ],
)
def test_the_reader_of_imports_sees_every_kind(text: str, expected: list[str], tmp_path: Path) -> None:
    """The test itself sees imports in functions, under TYPE_CHECKING and of modules out of packages."""
    path = tmp_path / "sample.py"
    path.write_text(text)

    assert sorted(name for _, name in imported(path)) == sorted(expected)
