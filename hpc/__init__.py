"""From one YAML experiment to a Slurm array in containers, healed failures and an honest report.

What others may use: ``hpc.load``, ``hpc.plan``, ``hpc.submit``, ``hpc.collect``, ``hpc.status`` (`hpc.api`),
`hpc.metrics`, `hpc.callbacks` and `hpc.hooks`. The functions are loaded when they are first used, because the wrapper
on compute nodes imports this package thousands of times (docs/decisions/0019-python.md).
"""

_OLDEST_PYTHON = (3, 11)
_RUN_BY_ANY = ("hpc.run_task",)
"""Commands that the standard library is enough for."""


def _refuse_bare_python() -> None:
    """End ``python -m hpc.plan`` in one sentence where that Python has not what it needs: often it is another one."""
    import sys

    words = getattr(sys, "orig_argv", ["-m", "hpc.plan"])  # an older Python has none
    command = words[words.index("-m") + 1 :] if "-m" in words else []
    if not command or command[0].count(".") != 1 or command[0] in _RUN_BY_ANY:
        return
    started = (sys.argv or [""])[0]  # while Python looks for a command of ours, and while one of `analysis` is read
    if started != "-m" and not started.endswith(f"/{command[0].replace('.', '/')}.py"):
        return
    import importlib.util
    import os
    import shlex
    from pathlib import Path

    if command[0].startswith("hpc.") and _lacks(command[0]):
        sys.stderr.write(f"error: {_of_tasks(command[0])}: env -u PYTHONPATH python -m {shlex.join(command)}\n")
        raise SystemExit(2)
    is_old = sys.version_info[:2] < _OLDEST_PYTHON
    if not is_old and importlib.util.find_spec("click"):
        return
    oldest = ".".join(map(str, _OLDEST_PYTHON))
    lacks = f"is older than {oldest}" if is_old else "lacks the packages of hpc-batch"
    own = Path(__file__).parents[1] / ".venv/bin/python"
    install = [f"python{oldest}" if is_old else sys.executable, "-m", "pip", "install", "hpc-batch"]
    line = [str(own), "-m", *command] if os.access(own, os.X_OK) else install
    sys.stderr.write(f"error: this Python ({sys.executable}) {lacks}; type: {' '.join(map(shlex.quote, line))}\n")
    raise SystemExit(2)


def _lacks(module: str) -> bool:
    """Whether this is the copy that tasks run with, and a module is not in it (`hpc.experiments.on_nodes`)."""
    from pathlib import Path

    folder = Path(__file__).parent
    return not (folder / "cli.py").exists() and not (folder / f"{module.rpartition('.')[2]}.py").exists()


def _of_tasks(asked: str) -> str:
    return f"{asked} is not in the copy of hpc that tasks run with; where hpc-batch is installed too, take that"


_refuse_bare_python()

_PUBLIC = {
    "load": "analysis.loaded",
    "plan": "hpc.api",
    "submit": "hpc.api",
    "collect": "hpc.api",
    "status": "hpc.api",
}
"""Function → module that has it. Of the modules of the same names, which are commands, Python code imports nothing."""


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'hpc' has no attribute {name!r}")
    from importlib import import_module

    if _lacks("hpc.api"):
        raise ImportError(f"{_of_tasks(f'hpc.{name}')}: env -u PYTHONPATH python")
    try:
        return getattr(import_module(_PUBLIC[name]), name)
    except ModuleNotFoundError as error:
        from hpc.core.extras import missing_package

        if (said := missing_package(error, f"hpc.{name}")) is None:
            raise
        raise said from None


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
