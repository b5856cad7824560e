"""Run every benchmark and write ``docs/benchmarks.md``.

    python benchmarks/run.py            all of them, some minutes (`make bench`)
    python benchmarks/run.py --quick    small sizes, once each, printed and not written: shows that they run
    python benchmarks/run.py wrapper    one of them, printed and not written

Each is a process of its own, one after the other, so that none feels another. What counts are the ratios: both sides of
each were measured in turns within the same minutes.
"""

import argparse
import datetime
import os
import platform
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "benchmarks.md"
SECTIONS = {
    "planning": "Planning 10,000 tasks",
    "metrics": "A row of metrics",
    "wrapper": "The wrapper around a task",
    "queueing": "This machine's own queue",
    "packing": "Packing tiny tasks",
    "start_up": "Starting a command",
    "collecting": "Collecting 10,000 runs",
    "reporting": "Reporting 10,000 runs",
    "explaining": "Explaining failures",
    "training": "A training step",
    "stacking": "Seeds as one stacked model",
}
"""Benchmark → heading, in the order of the page."""
_PACKAGES = ("click", "filelock", "h5py", "jinja2", "numpy", "pydantic", "rich", "ruamel.yaml")


def run(name: str, *, quick: bool) -> str:
    """Run one benchmark; return its table.

    Raises:
        subprocess.CalledProcessError: It failed; what it said stands on stderr.
    """
    argv = [sys.executable, "-m", f"benchmarks.{name}", *(["--quick"] if quick else [])]
    return subprocess.run(argv, cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True).stdout


def describe(name: str) -> str:
    """What a benchmark measures: its docstring, without the part about its command line."""
    text = (PROJECT / "benchmarks" / f"{name}.py").read_text().split('"""')[1]
    paragraphs = (part.partition("``. ")[2] if part.startswith("Run: ``") else part for part in text.split("\n\n"))
    return "\n\n".join(textwrap.fill(" ".join(part.split()), 118) for part in paragraphs)


def describe_machine() -> str:
    """Say what the page was measured on."""
    model = _after("model name", Path("/proc/cpuinfo")) or platform.machine()
    memory_kib = int(_after("MemTotal", Path("/proc/meminfo")).split()[0])
    system = _after("PRETTY_NAME", Path("/etc/os-release"), "=").strip('"')
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"- {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()}\n"
        f"- {os.cpu_count()} × {model}, {memory_kib / 2**20:.0f} GiB; {system}, Linux {platform.release()}; "
        f"load before the first {load}\n"
        f"- Python {platform.python_version()}; {packages}\n"
    )


def _after(key: str, file: Path, separator: str = ":") -> str:
    """The value of a key in one of Linux's own text files; empty when it has none."""
    for line in file.read_text().splitlines():
        name, found, value = line.partition(separator)
        if found and name.strip() == key:
            return value.strip()
    return ""


def _commit() -> str:
    def git(*arguments: str) -> str:
        argv = ["git", "-C", str(PROJECT), *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()

    code_changed = git("status", "--porcelain", "--untracked-files=no", "--", "hpc", "benchmarks")
    return git("rev-parse", "--short", "HEAD") + (" with changes not committed" if code_changed else "")


def render(machine: str, tables: Mapping[str, str]) -> str:
    """The page."""
    parts = [
        "# Benchmarks",
        "Written by `make bench` (`python benchmarks/run.py`); do not edit. Medians of several rounds in which all\n"
        "lines of a table took turns; × floor is the median of the ratios within each round, and what to compare\n"
        "between machines. "
        "Processor time (CPU) counts user and system time of the process and all its children.",
        machine.strip(),
    ]
    for name, text in tables.items():
        command = f"`python -m benchmarks.{name}`"
        parts += [f"## {SECTIONS[name]}", describe(name), text.strip(), f"Again: {command}"]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Run them in order; the page is only written when all of them ran in full."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SECTIONS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="small sizes, once; nothing is written")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(SECTIONS)):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    machine = describe_machine()
    tables = {}
    for name in options.names or SECTIONS:
        print(f"benchmark {name} …", file=sys.stderr, flush=True)
        tables[name] = run(name, quick=options.quick)
        print(tables[name], flush=True)
    if not options.quick and not options.names:
        PAGE.write_text(render(machine, tables), encoding="utf-8")
        print(f"written: {PAGE.relative_to(PROJECT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
