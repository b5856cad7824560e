"""The modules of ours that tasks load on the compute nodes: they are frozen, and of the usual ones the bytecode too.

Nothing can be written into a frozen copy, so without it every start would compile them again, thousands of times. A
test runs the wrapper and holds the list against what was loaded.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

EVERY_START = frozenset({
    "hpc", "hpc.run_task",
    "hpc.node", "hpc.node.attempt", "hpc.node.exit_record", "hpc.node.supervise", "hpc.node.supervision",
    "hpc.node.task_record",
    "hpc.node.watching", "hpc.node.workdir",
    "hpc.adapters", "hpc.adapters.code_snapshot", "hpc.adapters.files", "hpc.adapters.index_file",
    "hpc.adapters.proc",
    "hpc.core", "hpc.core.errors", "hpc.core.identity", "hpc.core.immutable", "hpc.core.layout", "hpc.core.resources",
    "hpc.core.experiment", "hpc.core.experiment.placeholders", "hpc.core.experiment.processes",
    "hpc.core.experiment.program", "hpc.core.experiment.values",
    "hpc.core.launch", "hpc.core.launch.arguments", "hpc.core.launch.expansion", "hpc.core.launch.launchers",
    "hpc.core.launch.program",
    "hpc.core.records", "hpc.core.records.exit", "hpc.core.records.index", "hpc.core.records.record",
    "hpc.core.records.task",
})  # fmt: skip
"""What the wrapper loads for each attempt. It grows with care: each module is read over a shared file system."""
SOME_STARTS = frozenset({
    "hpc.adapters.apptainer",  # in a container
    "hpc.core.launch.config_file",  # with a configuration file
    "hpc.core.retry", "hpc.core.retry.learned",  # with a batch
    "hpc.node.sampler",  # with a run of more than 15 s
    "hpc.node.preflight",  # with a gate
    "hpc.node.hang_watch", "hpc.node.where", "hpc.core.records.watch",  # with one of more than a minute
    "hpc.core.watching", "hpc.core.watching.judge", "hpc.core.watching.stacks", "hpc.core.words",
    "hpc.node.shares",  # with several nodes
    "hpc.node.metric_files", "hpc.node.metric_tap", "hpc.node.pump",  # metrics from what is printed, or from files
    "hpc.adapters.lock_lease", "hpc.core.checkup", "hpc.core.checkup.check", "hpc.core.checkup.needs",
    "hpc.core.checkup.storage",  # on a file system without locks between machines
    "hpc.adapters.packed",  # in an attempt that was packed
    "hpc.node.pack",  # several tasks in an element
    "hpc.core.experiment.metric_files", "hpc.core.experiment.metric_source", "hpc.metrics",
    "hpc.adapters.locks", "hpc.adapters.metrics_h5", "hpc.adapters.metrics_jsonl", "hpc.adapters.metrics_read",
    "hpc.adapters.metrics_rows", "hpc.adapters.sparse_file",
})  # fmt: skip
"""What it loads besides where an experiment is so declared."""
ON_NODES = EVERY_START | SOME_STARTS


def module_of(file: str) -> str:
    """Name the module of a file: ``hpc/core/__init__.py`` is `hpc.core`."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


STARTED = ("hpc.run_task", "hpc.node", "hpc.metrics", "hpc.callbacks", "hpc.hooks", "train")
"""Where a task begins to load our packages, each with all below it: the wrapper, and what programs import."""
_IMPORT = re.compile(r"^ *(?:from +([\w.]+) +import +(\([^)]*\)|[^\n#]*)|import +([\w.]+))", re.MULTILINE)


def find_needed(modules: Mapping[str, Path]) -> set[str]:
    """Name the modules that a task can load: `STARTED` and what these import, also where they do it late.

    Two fifths of all: the commands of a login node are not among them, and each file of the copy is created on a shared
    file system and counts against a quota.

    Args:
        modules: Name of each module of ours → its file.
    """
    needed: set[str] = set()
    waiting = {name for name in modules if any(f"{name}.".startswith(f"{each}.") for each in STARTED)}
    while waiting:
        needed |= waiting
        imported = (name for each in waiting for name in _imported(modules[each].read_text(encoding="utf-8")))
        waiting = {name for each in imported for name in _with_parents(each)} & modules.keys() - needed
    return needed


def _imported(source: str) -> Iterable[str]:
    """Each name that may be a module: of ``from a import b`` both ``a`` and ``a.b``."""
    for origin, names, module in _IMPORT.findall(source):
        yield module or origin
        yield from (f"{origin}.{name}" for name in re.findall(r"\w+", names))


def _with_parents(module: str) -> Iterable[str]:
    while module:
        yield module
        module = module.rpartition(".")[0]
