"""The benchmarks run: each in small, with its own checks of what it measured. No time is judged here."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.measuring import Contender, Cost, take_turns
from benchmarks.run import SECTIONS, describe, describe_moment, read_sections, render, section

PROJECT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", SECTIONS)
def test_benchmark_runs_and_prints_a_table(name: str) -> None:
    """Each gives a Markdown table whose first line is the floor, at one times itself."""
    argv = [sys.executable, "benchmarks/run.py", "--quick", name]
    page = PROJECT / "docs" / "benchmarks.md"
    before = page.stat().st_mtime_ns if page.exists() else None

    done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    assert "× floor" in done.stdout.splitlines()[0]
    assert len(rows) >= 4
    assert "(floor)" in rows[1][0]
    assert "1.0" in done.stdout.splitlines()[2]
    assert (page.stat().st_mtime_ns if page.exists() else None) == before  # a quick run is no measurement


def test_every_benchmark_is_on_the_page() -> None:
    """A file that measures something cannot be forgotten by `make bench`."""
    measuring = {path.stem for path in (PROJECT / "benchmarks").glob("*.py") if "\nRun: ``" in path.read_text()}
    assert set(SECTIONS) == measuring


def test_page_says_what_was_measured_when_where_and_how() -> None:
    """For each table its meaning, its command, moment, machine and commit; a section read back is the same."""
    moment = describe_moment()
    sections = {name: section(name, "| a table |", moment) for name in SECTIONS}
    page = render(sections)
    for name, heading in SECTIONS.items():
        again = f"Measured {moment}.\nAgain: `python -m benchmarks.{name}`"
        assert f"## {heading}\n\n{describe(name)}\n\n| a table |\n\n{again}" in page
        assert "Run:" not in describe(name)
    assert "commit " in moment
    assert "GiB" in moment
    assert read_sections(page) == sections
    assert read_sections(page + "\n## What was measured once\n\nx") == sections


def test_ratios_are_taken_within_each_round() -> None:
    """A machine that becomes ten times slower between two rounds changes no ratio; the first round does not count."""
    slowness = iter([1000, 1000, 1, 1, 10, 10, 100, 100])

    def costs(seconds: float) -> Cost:
        factor = next(slowness)
        return Cost(seconds * factor, 2 * seconds * factor)

    floor, ours = take_turns([Contender("floor", lambda: costs(1)), Contender("ours", lambda: costs(3))], rounds=3)

    assert (floor.wall_s, floor.cpu_s, floor.wall_ratio, floor.cpu_ratio) == (10, 20, 1, 1)
    assert (ours.wall_s, ours.cpu_s, ours.wall_ratio, ours.cpu_ratio) == (30, 60, 3, 3)
