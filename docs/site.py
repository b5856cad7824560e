"""What mkdocs is told beyond mkdocs.yml: pages from the root of the repository, and links that lead out of ``docs/``.

The pages are written for readers of the repository; the site shows the same text. Started by mkdocs, as a hook.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
FROM_THE_ROOT = {"CHANGELOG.md": "changes.md", "CONTRIBUTING.md": "contributing.md"}
"""Pages of the repository's root, by their place in the site."""

_LINK = re.compile(r"(\]\(|\bsrc=\")((?:\.\./)*)([^)\s\"#:]+)(#[^)\s\"]*)?(?=[)\"])")
_LIST = re.compile(r"^(?:[-*]|\d+\.) ")
_FENCE = re.compile(r"^ *(```|~~~)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """A folder in the nav stands for all its pages, by name."""
    docs = Path(config.docs_dir)
    config.nav = [_with_folders(entry, docs) for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root, and the files outside ``docs/`` that pages link to."""
    for name, place in FROM_THE_ROOT.items():
        text = re.sub(r"(\]\()docs/", r"\1", (ROOT / name).read_text(encoding="utf-8"))
        files.append(File.generated(config, place, content=text))
    for path in sorted(_linked(files)):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links out of ``docs/`` to the copies in the site; a list that follows a line of text begins a block."""
    depth = page.file.src_uri.count("/")

    def turned(match: re.Match[str]) -> str:
        begin, ups, rest, anchor = match[1], match[2], match[3], match[4] or ""
        if begin == "](" and ups.count("../") > depth:
            rest = FROM_THE_ROOT.get(rest, rest.removeprefix("docs/"))
            ups = "../" * depth
        return f"{begin}{ups}{rest}{anchor}"

    return "\n".join(_apart(_LINK.sub(turned, markdown).splitlines()))


def _with_folders(entry: Any, docs: Path) -> Any:
    if isinstance(entry, dict):
        return {title: _with_folders(value, docs) for title, value in entry.items()}
    if isinstance(entry, list):
        return [_with_folders(each, docs) for each in entry]
    if entry.endswith("/"):
        return [path.relative_to(docs).as_posix() for path in sorted((docs / entry).glob("*.md"))]
    return entry


def _linked(files: Files) -> set[Path]:
    """Return the files outside ``docs/`` that pages link to."""
    docs, found = ROOT / "docs", set()
    for file in files.documentation_pages():
        for match in _LINK.finditer(file.content_string):
            target = ((docs / file.src_uri).parent / match[2] / match[3]).resolve()
            if not target.is_relative_to(docs) and target.is_file() and target.suffix != ".md":
                found.add(target)
    return found


def _apart(lines: list[str]) -> list[str]:
    """Put an empty line before each list that follows a line of text, outside code."""
    out: list[str] = []
    is_code = False
    for line in lines:
        before = out[-1] if out else ""
        if _LIST.match(line) and not is_code and before.strip() and not _LIST.match(before) and before[0] != " ":
            out.append("")
        is_code ^= bool(_FENCE.match(line))
        out.append(line)
    return out
