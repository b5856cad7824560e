"""How we write: messages, which are read in other people's repositories, docstrings and pages."""

import ast
import re
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from hpc.core.words import counted, few
from tests.pages import blocks

ROOT = Path(__file__).parents[1]
TARGETS = re.findall(r"^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
IN_OUR_CLONE = {("hpc/adapters/images.py", "Build it: make image IMAGE=")}
"""Said only where our clone's own definition of that image lies beside the code."""


def texts(path: Path) -> Iterator[str]:
    """The string constants of a module that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    yield from (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare
    )


@pytest.mark.parametrize("package", ["hpc", "analysis", "train"])
def test_no_message_names_make(package: str) -> None:
    """`make setup`, `make image` and the like are named to nobody who has no Makefile of ours."""
    named = re.compile(rf"\bmake (?:{'|'.join(TARGETS)})\b")
    found = {
        (path.relative_to(ROOT).as_posix(), text)
        for path in sorted((ROOT / package).rglob("*.py"))
        for text in texts(path)
        if named.search(text)
    }

    assert len(TARGETS) > 10
    assert found - IN_OUR_CLONE == set()


def test_templates_and_profiles_name_no_make() -> None:
    """Nor do the scripts and profiles that we write or ship."""
    files = [*ROOT.glob("hpc/templates/*"), *ROOT.glob("hpc/profiles/*"), *ROOT.glob("analysis/page/templates/*")]

    assert len(files) > 3
    assert [path.name for path in files if re.search(rf"\bmake (?:{'|'.join(TARGETS)})\b", path.read_text())] == []


COUNTED = re.compile(
    r" (?:finished |more |other )?(runs|tasks|retries|configurations|attempts|metrics|comparisons|seeds|nodes|minutes|"
    r"programs|baselines|shapes)\b"
)
ALWAYS_SEVERAL = {
    ("analysis/figures/intervals.py", "total", "configurations"),  # more than are shown
    ("analysis/figures/parameters.py", "total", "configurations"),
    ("analysis/figures/strip.py", "total", "configurations"),
    ("analysis/figures/parameters.py", "len(shown)", "configurations"),
    ("analysis/figures/parameters.py", "found.runs", "runs"),  # of which a variance is told
    ("analysis/page/results.py", "found.runs", "runs"),
    ("analysis/statistics/comparisons.py", "ours.shape[1]", "seeds"),
    ("analysis/statistics/importance.py", "len(usable)", "runs"),
    ("analysis/statistics/verdicts.py", "one.n_baseline", "runs"),
    ("analysis/findings/answer.py", "len(decision.clauses)", "comparisons"),
    ("analysis/findings/limitations.py", "best.of", "configurations"),  # two at least, said a line above
    ("analysis/findings/registration.py", "len(valued)", "runs"),  # three at least, said a line above
    ("analysis/findings/verdict_text.py", "len(baselines)", "baselines"),
    ("analysis/second_look.py", "waiting", "runs"),
    ("hpc/core/checks/sweep.py", "count", "tasks"),  # more than are allowed
    ("hpc/core/checks/names.py", "seeds", "seeds"),
    ("hpc/core/experiment/processes.py", "found.nodes", "nodes"),
    ("hpc/core/experiment/processes.py", "resources.nodes", "nodes"),
    ("hpc/core/question/criterion.py", "len(found)", "configurations"),
    ("hpc/core/slurm/partitions.py", "resources.nodes", "nodes"),
    ("hpc/core/retry/answer.py", "len(task.attempts)", "attempts"),
    ("hpc/experiments/advising.py", "MOST_SEEDS", "seeds"),
    ("hpc/experiments/advising.py", "one.runs", "runs"),  # of two configurations at least
    ("hpc/experiments/detecting.py", "runs", "runs"),  # two at least: there is a spread
    ("hpc/experiments/detecting.py", "len(stored)", "runs"),  # two at least, said a line above
    ("hpc/submit.py", "LIMIT_S // MINUTE", "minutes"),
    ("hpc/init.py", "len(found)", "programs"),
    ("hpc/rounds/collected.py", "len(kept)", "runs"),
    ("hpc/submissions/sources.py", "len(matching)", "runs"),
}
"""Numbers that cannot be one where they are said."""
NO_NUMBER = {
    ("analysis/findings/cautions.py", "', unaltered' if self.has_altered else ''", "runs"),
    ("hpc/rounds/making_way.py", "_holds(live)", "runs"),
    ("hpc/rounds/on_request.py", "run", "runs"),
}


def plurals(path: Path) -> Iterator[tuple[str, str, str]]:
    """What stands in an f-string right before a noun in the plural."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        parts = node.values if isinstance(node, ast.JoinedStr) else []
        for value, after in pairwise(parts):
            found = COUNTED.match(str(after.value)) if isinstance(after, ast.Constant) else None
            if found and isinstance(value, ast.FormattedValue):
                yield path.relative_to(ROOT).as_posix(), ast.unparse(value.value), found[1]


@pytest.mark.parametrize("package", ["hpc", "analysis"])
def test_one_is_no_plural(package: str) -> None:
    """No sentence says "1 runs": a number before a noun goes through `hpc.core.words.counted`."""
    found = {each for path in sorted((ROOT / package).rglob("*.py")) for each in plurals(path)}
    assert found - ALWAYS_SEVERAL - NO_NUMBER == set()


def test_counted_and_few() -> None:
    """One is one, and a long list ends with how many more there are."""
    assert [counted(number, "retry", "retries") for number in (0, 1, 2)] == ["0 retries", "1 retry", "2 retries"]
    assert (few(["a", "b"]), few(list("abcdefg"), between="; ")) == ("a, b", "a; b; c; d; e and 2 more")


# ── docstrings and pages ──────────────────────────────────────────────────────────────────────────────────────────

WIDTH = 120
# Papers that lie outside the project, and numbers of tickets; `(?<!tasks/)` and the like are run names in paths.
PRIVATE = re.compile(
    r"\b(?:CONTRACT|DESIGN|HOUSE|FINDINGS|FIELD|STYLE|REQUIREMENTS)\.md\b"
    r"|\bCONTRACT's\b|\bof the contract\b|\b(?:our|with|per|see) issue #?\d+\b|\bS[0-4](?:'s\b|–S[0-4]\b| asks\b)"
)
# Texts by other people: their licence, logs of their programs, tables of files that they wrote.
FOREIGN = ("LICENSE", "tests/corpus/", "tests/data/", "docs/examples/")
WRITTEN = (".md", ".py", ".sh", ".yaml", ".toml", ".j2", ".def")


def _tracked() -> list[Path]:
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / line for line in listed.stdout.splitlines()]


def _ours(*endings: str) -> list[Path]:
    return [
        path
        for path in _tracked()
        if path.suffix in endings and path.is_file() and not path.relative_to(ROOT).as_posix().startswith(FOREIGN)
    ]


def _docstrings(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


def test_no_docstring_begins_with_give():
    """A function returns, writes, yields or renames; it does not give."""
    files = _ours(".py")
    assert len(files) > 500

    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in files
        for line, text in _docstrings(path)
        if text.startswith(("Give ", "Gives ")) or "; give " in text.splitlines()[0]
    ]

    assert found == []


def test_nothing_is_cited_that_a_reader_cannot_open():
    """Comments, messages and pages say the thing itself: no private paper, no ticket number."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in _ours(*WRITTEN)
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if PRIVATE.search(line)
    ]

    assert found == []


@pytest.mark.parametrize(
    "text", ["CONTRACT's JSON", "DESIGN.md says so", "revised with issue 4", "S3 asks for five", "S0–S4", "S4's format"]
)
def test_a_citation_is_seen(text: str):
    """The pattern knows the citations that once stood here."""
    assert PRIVATE.search(text)


NARROW = [
    "brief", "callbacks", "chains", "doctor", "examples/README", "forecast", "glossary", "history", "housekeeping",
    "index", "out-of-memory", "overview", "pre-registration", "report", "requirements", "retry-policy", "sharing",
    "site-limits", "standing", "sweeping", "training-health", "troubleshooting", "tutorial", "unattended",
    "workloads", "workloads-lm",
]  # fmt: skip
PROSE = [
    ROOT / "README.md",
    *sorted((ROOT / "docs/how-to").glob("*.md")),
    *(ROOT / f"docs/{name}.md" for name in NARROW),
]
"""Pages at the width of our code; those that others are at work on join later, those that programs write do not."""


@pytest.mark.parametrize("page", PROSE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_prose_ends_at_the_width_of_our_code(page: Path):
    """120 characters, which a terminal and a diff show whole. Tables, headings, code and links may be longer."""
    text = page.read_text(encoding="utf-8")
    for block in blocks(text):
        text = text.replace(block.text, "")
    lines = [re.sub(r"\]\([^)]*\)", "]", line) for line in text.splitlines()]

    assert [line for line in lines if len(line) > WIDTH and not line.startswith(("|", "#", "<", "!"))] == []
