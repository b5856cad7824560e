"""Run benchmarks and write their sections of ``docs/benchmarks.md``.

    python benchmarks/run.py            all of them, half an hour (`make bench`)
    python benchmarks/run.py wrapper    one of them; the page's other sections stay as they are
    python benchmarks/run.py --quick    small sizes, once each, printed and not written: shows that they run

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
from pathlib import Path

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "benchmarks.md"
SECTIONS = {
    "planning": "Planning 10,000 tasks",
    "metrics": "A row of metrics",
    "wrapper": "The wrapper around a task",
    "queueing": "This machine's own queue",
    "packing": "Packing tiny tasks",
    "submitting": "Submitting 10,000 and 100,000 tasks",
    "start_up": "Starting a command",
    "collecting": "Collecting 10,000 runs",
    "collecting_large": "Collecting 30,000 runs",
    "reporting": "Reporting 10,000 runs",
    "explaining": "Explaining failures",
    "training": "A training step",
    "stacking": "Seeds as one stacked model",
}
"""Benchmark → heading, in the order of the page."""

WHEN_NAMED = frozenset({"collecting_large"})
"""What takes so long that it is only run when it is named."""


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


def describe_moment() -> str:
    """When, of which code, on which machine, and beside what else something is measured."""
    return (
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()}, on {_machine()}, "
        f"Python {platform.python_version()}, load before {os.getloadavg()[0]:.1f}"
    )


def _machine() -> str:
    model = _after("model name", Path("/proc/cpuinfo")) or platform.machine()
    memory_kib = int(_after("MemTotal", Path("/proc/meminfo")).split()[0])
    return f"{os.cpu_count()} × {model}, {memory_kib / 2**20:.0f} GiB, Linux {platform.release()}"


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


def section(name: str, table: str, measured: str) -> str:
    """A benchmark's part of the page, without its heading."""
    return "\n\n".join([describe(name), table.strip(), f"Measured {measured}.\nAgain: `python -m benchmarks.{name}`"])


def render(sections: Mapping[str, str]) -> str:
    """The page, its sections in the order of `SECTIONS`."""
    parts = [
        "# Benchmarks",
        "Written by `make bench` (`python benchmarks/run.py`); do not edit. Medians of several rounds in which all\n"
        "lines of a table took turns; × floor is the median of the ratios within each round, and what to compare\n"
        "between machines. "
        "Processor time (CPU) counts user and system time of the process and all its children.",
        *(f"## {SECTIONS[name]}\n\n{sections[name].strip()}" for name in SECTIONS if name in sections),
    ]
    return "\n\n".join(parts) + "\n"


def read_sections(page: str) -> dict[str, str]:
    """The sections of a page, by benchmark; one whose heading is no longer known is left out."""
    names = {heading: name for name, heading in SECTIONS.items()}
    parts = (part.partition("\n") for part in page.split("\n## ")[1:])
    return {names[heading]: text.strip() for heading, _, text in parts if heading in names}


def main() -> None:
    """Run them in order; a section is written as soon as its benchmark ran in full."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(SECTIONS)}; default: all but {', '.join(sorted(WHEN_NAMED))}",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, once; nothing is written")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(SECTIONS)):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    for name in options.names or [name for name in SECTIONS if name not in WHEN_NAMED]:
        print(f"benchmark {name} …", file=sys.stderr, flush=True)
        measured = describe_moment()
        table = run(name, quick=options.quick)
        print(table, flush=True)
        if not options.quick:
            sections = {**read_sections(PAGE.read_text(encoding="utf-8")), name: section(name, table, measured)}
            PAGE.write_text(render(sections), encoding="utf-8")
            print(f"written: {PAGE.relative_to(PROJECT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
