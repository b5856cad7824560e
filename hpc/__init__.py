"""From one YAML experiment to a Slurm array in containers, healed failures and an honest report.

What others may use: ``hpc.load``, ``hpc.plan``, ``hpc.submit``, ``hpc.collect``, ``hpc.status`` (`hpc.api`),
`hpc.metrics`, `hpc.callbacks` and `hpc.hooks`. The functions are loaded when they are first used, because the wrapper
on compute nodes imports this package thousands of times (docs/decisions/0019-python.md).
"""

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

    try:
        return getattr(import_module(_PUBLIC[name]), name)
    except ModuleNotFoundError as error:
        from hpc.core.extras import missing_package

        if (said := missing_package(error, f"hpc.{name}")) is None:
            raise
        raise said from None


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
