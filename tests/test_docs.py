"""Documentation is generated or tested: pages say what the code says, links lead somewhere, commands exist."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest
from packaging.requirements import Requirement

import analysis.report
import hpc.cli
from hpc.adapters.yaml_file import parse_yaml
from hpc.core.experiment.grid import expand
from hpc.experiments.schema import experiment_from
from tests.pages import blocks

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "skills").rglob("*.md")])
GUIDES = [page for page in PAGES if page.parent.name != "decisions" and page.name != "CHANGELOG.md"]
"""Pages that tell what to type today; records of decisions and the changelog tell what once was."""
_CODE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|<img[^>]*src=\"([^\"]+)\"|srcset=\"([^\"]+)\"")
_MODULE = re.compile(r"python3? -m ((?:hpc|train|analysis|benchmarks)(?:\.\w+)+)((?: [^|;&#\n`]*)?)")
_YAML = re.compile(r"^```yaml[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELL = {"bash", "console", "text", "shell", "sh"}
_TYPED = re.compile(r"""(?:^|^\$ |&& |; |\| )hpc ([a-z_-]+(?=[ |;&#`]|$)(?:'[^']*'|"[^"]*"|[^|;&#`'"])*)""")
_TARGET = re.compile(r"\bmake ([a-z][a-z-]*)")


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """``docs/generate.py``, which is no package."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def links(page: Path) -> Iterator[str]:
    """Yield every link of a page that is not shown as code."""
    text = _INLINE.sub("", _CODE.sub("", page.read_text(encoding="utf-8")))
    for match in _LINK.finditer(text):
        yield next(group for group in match.groups() if group)


def anchors(page: Path) -> set[str]:
    """Return the names of a page's headings, as readers of Markdown build them."""
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


def code_of(page: Path) -> str:
    """Return everything a page shows as code."""
    text = page.read_text(encoding="utf-8")
    blocks = [match.group(0) for match in _CODE.finditer(text)]
    return "\n".join([*blocks, *_INLINE.findall(_CODE.sub("", text))])


def in_the_nav() -> set[str]:
    """Return the pages that mkdocs.yml puts into the nav, or names as left out of it, by their path below docs/."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = re.findall(r": (\S+(?:\.md|/))$", text[text.index("\nnav:") :], re.MULTILINE)
    left_out = re.findall(r"^  /(\S+)$", text[text.index("not_in_nav: |") : text.index("\nnav:")], re.MULTILINE)
    patterns = [f"{each}*.md" if each.endswith("/") else each for each in (*named, *left_out)]
    return {path.relative_to(ROOT / "docs").as_posix() for each in patterns for path in (ROOT / "docs").glob(each)}


def make_targets() -> set[str]:
    """Return the targets of the Makefile that have a line of help."""
    return set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_there_are_pages() -> None:
    """The search for pages finds those everybody reads."""
    names = {path.name for path in PAGES}

    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "cli.md", "failure-classes.md", "data-formats.md"} <= names


def test_generated_pages_are_current() -> None:
    """Commands, failure classes and fields are written down as the code has them; `make docs` writes them."""
    # In a process of its own, as `make docs` does it: other tests have loaded and called the commands here.
    command = [sys.executable, "docs/generate.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_check_notices_a_difference(generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that was edited by hand, and one that is missing, are both named."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for name, text in generator.pages().items():
        (docs / name).parent.mkdir(parents=True, exist_ok=True)
        (docs / name).write_text(text, encoding="utf-8")
    (docs / "cli.md").write_text("edited\n", encoding="utf-8")
    (docs / "experiment.md").unlink()
    skill = docs / generator.SKILL
    skill.write_text(skill.read_text(encoding="utf-8").replace("| `plan` |", "| `plam` |"), encoding="utf-8")
    monkeypatch.setattr(generator, "DOCS", docs)

    assert sorted(generator.outdated()) == [generator.SKILL, "cli.md", "experiment.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_is_broken(page: Path) -> None:
    """Each relative link leads to a file of this repository, and each anchor to a heading."""
    broken = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    """The reader of links sees plain ones, pictures and anchors, and leaves code alone."""
    page = tmp_path / "page.md"
    page.write_text('[a](b.md#c) ![x](y.svg) <img src="z.png">\n\n```text\n[no](no.md)\n```\n`[no](no.md)`\n')

    assert list(links(page)) == ["b.md#c", "y.svg", "z.png"]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    """What a page tells to type is a target with a line in `make help`."""
    named = set(_TARGET.findall(code_of(page)))

    assert named <= make_targets()


def test_every_page_is_in_the_nav_of_the_site() -> None:
    """A new page gets its line in mkdocs.yml, under nav or among those that are left out on purpose."""
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}

    assert sorted(pages - in_the_nav()) == []


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda path: path.name)
def test_every_command_that_is_shown_exists(page: Path) -> None:
    """Each `python -m` of ours is a module or package that runs, and each option shown with it is one it has."""
    shown = _MODULE.findall(code_of(page))
    assert shown or page.name != "README.md"
    for module, rest in shown:
        place = ROOT / Path(*module.split("."))
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module
        known = options_of(module)
        used = {word.split("=")[0] for word in rest.split() if word.startswith("--") and len(word) > 2}
        assert known is None or used <= known, f"{module}: {used - (known or set())}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_experiment_that_is_shown_is_valid(page: Path) -> None:
    """An experiment in YAML on a page is one that `hpc.plan` takes."""
    shown = [text for text in _YAML.findall(page.read_text(encoding="utf-8")) if text.startswith("name:")]

    assert shown or page.name != "own-program.md"
    for text in shown:
        assert expand(experiment_from(parse_yaml(text, page.name)))


@pytest.mark.parametrize("page", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_line_of_hpc_is_one_that_can_be_typed(page: Path) -> None:
    """Each ``hpc VERB …`` that any page shows as code names a verb, and options that this verb has."""
    assert [f"hpc {line}: {wrong}" for line in typed_lines(page) if (wrong := misread(line))] == []


@pytest.mark.parametrize(
    ("line", "is_right"),
    [
        ("plan NAME --dry-run", True),
        ("history best val_loss --json", True),
        ("plan NAME --dryrun", False),
        ("plam NAME", False),
        ("history bets", False),
        ("history start -- python train.py --lr 1e-3", True),
        ("history start torchrun --nproc_per_node=8 train.py", True),
    ],
)
def test_a_line_that_cannot_be_typed_is_seen(line: str, is_right: bool, tmp_path: Path) -> None:
    """A verb, a subcommand and an option that are not there; what belongs to somebody else's program is left alone."""
    page = tmp_path / "page.md"
    page.write_text(f"```console\n$ hpc {line}   # why\n```\n\nand `hpc {line}`.\n")

    (shown, again) = typed_lines(page)

    assert shown == again
    assert (misread(shown) == "") is is_right


def typed_lines(page: Path) -> list[str]:
    """Return what follows ``hpc`` in each command line of a page, up to a comment or a pipe."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in blocks(text) if block.language in SHELL for line in block.text.splitlines()]
    inline = [code.strip("`") for code in _INLINE.findall(_CODE.sub("", text))]
    return [match[1].strip() for line in (*lines, *inline) for match in _TYPED.finditer(line)]


def misread(line: str) -> str:
    """Return what a command line's own parser says against it; nothing where it takes the line."""
    command: click.Command | None = hpc.cli.main
    words = shlex.split(line)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        command = command.get_command(click.Context(command), words.pop(0))
    if command is None:
        return "no such command"
    try:
        command.make_parser(click.Context(command, **command.context_settings)).parse_args(words)
    except click.UsageError as error:
        return error.format_message()
    return ""


def options_of(module: str) -> set[str] | None:
    """Return the options of one of our click commands; None for programs of another kind."""
    room, _, verb = module.partition(".")
    command: click.Command | None = None
    if room == "hpc" and verb in hpc.cli.COMMANDS:
        command = hpc.cli.main.get_command(click.Context(hpc.cli.main), verb)
    elif module == "analysis.report":
        command = analysis.report.report
    return None if command is None else {option for each in command.params for option in each.opts} | {"--help"}


@pytest.mark.parametrize("verb", [*hpc.cli.COMMANDS, "report"])
def test_every_command_has_help_and_an_example(verb: str) -> None:
    """Help says what the command does, each option what it means, and an example can be typed."""
    command = (
        analysis.report.report if verb == "report" else hpc.cli.main.get_command(click.Context(hpc.cli.main), verb)
    )
    assert command is not None
    text = command.get_help(click.Context(command, info_name=verb, terminal_width=200))

    assert command.help
    assert re.search(r"Examples?:", text)
    assert [each.name for each in command.params if isinstance(each, click.Option) and not each.help] == []


def subcommands() -> list[tuple[str, click.Command]]:
    """The subcommands of the verbs that have some."""
    context = click.Context(hpc.cli.main)
    verbs = [(verb, hpc.cli.main.get_command(context, verb)) for verb in hpc.cli.COMMANDS]
    return [(f"{verb} {name}", each) for verb, one in verbs if isinstance(one, click.Group)
            for name, each in one.commands.items()]  # fmt: skip


@pytest.mark.parametrize(("words", "command"), subcommands())
def test_every_subcommand_has_an_example_that_can_be_typed(words: str, command: click.Command) -> None:
    """Its whole line, as that of a verb."""
    text = " ".join(command.get_help(click.Context(command, info_name=words, terminal_width=200)).split())
    assert f"Example: hpc {words}" in text


def examples() -> list[str]:
    """Return every example line of every command's help."""
    context = click.Context(hpc.cli.main)
    commands = [hpc.cli.main.get_command(context, verb) for verb in hpc.cli.COMMANDS]
    text = "\n".join(
        click.Context(each, info_name="x", terminal_width=300).get_help() for each in commands if each is not None
    )
    return re.findall(r"^ +(?:Example: )?(?:[^|\n]+ \| )?(hpc [a-z].*)$", text, re.MULTILINE)


@pytest.mark.parametrize("example", examples())
def test_every_example_is_understood(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line of each example is one its command can parse: names and options are right."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old_results").mkdir()
    _, verb, *rest = shlex.split(example.partition(" >")[0])
    command = hpc.cli.main.get_command(click.Context(hpc.cli.main), verb)

    assert command is not None
    assert command.make_context(verb, rest).params


def test_each_verb_has_an_example_that_was_found() -> None:
    """None is left out because it is written in another way."""
    assert {shlex.split(each)[1] for each in examples()} == set(hpc.cli.COMMANDS)


def test_the_makefile_says_what_it_can_do() -> None:
    """`make` alone lists every target with its line, and nothing is set up for that."""
    done = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)

    assert {line.split()[1] for line in done.stdout.splitlines()} == make_targets()
    assert {
        "setup", "demo", "test", "manifests", "submit", "report", "image", "cluster-up", "cluster-down", "lint",
        "bench", "docs", "clean", "help",
    } <= make_targets()  # fmt: skip


def test_the_readme_starts_with_the_two_commands() -> None:
    """A newcomer finds `make demo` and `make test` before anything about clusters."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert text.index("make demo") < text.index("make test") < text.index("sbatch manifests/rendered")


def test_the_readme_is_one_screen_with_a_picture() -> None:
    """At most 450 words beside its links' addresses, five lines to start, a picture that loads at once."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first = next(block for block in blocks(text) if block.language == "bash")

    assert len(re.sub(r"\]\([^)]*\)", "]", text).split()) <= 450
    assert len(first.text.splitlines()) == 5
    assert 10_000 < (ROOT / "docs/assets/report.png").stat().st_size <= 150_000


def test_the_changelog_knows_this_version() -> None:
    """The version in pyproject.toml has its section, with a date."""
    version = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)

    assert version is not None
    assert re.search(
        rf"^## \[?{re.escape(version[1])}\]? . \d{{4}}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )


def test_every_dependency_is_pinned() -> None:
    """Each package of pyproject.toml has its tested version in constraints.txt, within the bounds given."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        Requirement(each)
        for group in (project["dependencies"], *project["optional-dependencies"].values())
        for each in group
    ]
    pinned = dict(line.lower().split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())

    assert [str(each) for each in wanted if not each.specifier.contains(pinned.get(each.name.lower(), "0"))] == []


def test_every_field_of_a_record_is_documented(generator: ModuleType) -> None:
    """The docstring of each record that docs/formats shows explains its fields, no more and no fewer."""
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs/formats").glob("*.md"))
    for name, record in generator.RECORDS.items():
        fields = [each.name for each in dataclasses.fields(record)]
        assert list(generator.field_docs(record)) == fields, name
        assert f"<!-- fields of {name} -->" in pages
        parts = " ".join(generator.FIELD_GROUPS.get(name, {}).values()).split()
        assert sorted(parts) == sorted(set(parts) & set(fields)), name
        assert all(f"| `{field}` |" in generator.record_tables(name) for field in fields), name
