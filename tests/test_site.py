"""The documentation as a site (`make docs-site`): no warning when it is built, no link or anchor that leads nowhere."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
AS_IT_WAS = ("examples/sweep/report.html",)
"""A report as it was written: its links to runs led to folders that are not kept."""


class Links(HTMLParser):
    """What a page names with `id`, and where it leads. Links that a reader may follow elsewhere are left out."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.targets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" or (tag == "a" and name == "name"):
                self.names.add(value or "")
            elif name in {"href", "src"} and value and not (tag == "a" and urlsplit(value).netloc):
                self.targets.append(value)


@cache
def links(page: Path) -> Links:
    """Return the names and targets of a page."""
    return Links(page.read_text(encoding="utf-8"))


def broken(site: Path, page: Path) -> Iterator[str]:
    """Yield every link of a page that leads nowhere, and everything that it would fetch from another machine."""
    for target in links(page).targets:
        parts = urlsplit(target)
        if parts.scheme in {"mailto", "data", "javascript"}:
            continue
        if parts.scheme or parts.netloc:
            yield f"{target} leads out of the site"
            continue
        base = site if parts.path.startswith("/") else page.parent
        path = (base / unquote(parts.path).lstrip("/")).resolve() if parts.path else page
        path = path / "index.html" if path.is_dir() else path
        if not path.is_file():
            yield target
        elif parts.fragment and path.suffix == ".html" and unquote(parts.fragment) not in links(path).names:
            yield f"{target}: no such anchor"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs-site` builds it, without a warning and within 15 s of processor time."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "--quiet", "build", "--site-dir", str(target)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {
        **os.environ,
        "NO_MKDOCS_2_WARNING": "1",
        "https_proxy": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert done.returncode == 0, done.stderr
    assert done.stderr + done.stdout == ""
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 15
    return target


def test_every_link_and_anchor_of_the_site_leads_somewhere(site: Path) -> None:
    """Within the site; what pages load comes with it, so that it reads without any network."""
    pages = [page for page in site.rglob("*.html") if page.relative_to(site).as_posix() not in AS_IT_WAS]
    assert len(pages) > 50

    wrong = {page.relative_to(site).as_posix(): found for page in pages if (found := list(broken(site, page)))}

    assert wrong == {}


def test_reports_and_figures_are_part_of_the_site(site: Path) -> None:
    """The example's report is reached from the page of examples, the gallery's figures from the gallery."""
    examples, gallery = site / "examples/index.html", site / "gallery.html"

    assert "sweep/report.html" in links(examples).targets
    assert (site / "examples/sweep/report.html").stat().st_size > 10_000
    assert [target for target in links(gallery).targets if target.endswith("_small.svg")]


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    """A missing page, a missing anchor and a script of another machine are named; what is there is not."""
    page = tmp_path / "a.html"
    page.write_text(
        '<p id="here"><a href="#here"></a><a href="b.html#x"></a><a href="no.html"></a><a href="#no"></a>'
        '<script src="https://cdn.example/x.js"></script><a href="https://example.org">elsewhere</a>'
    )
    (tmp_path / "b.html").write_text('<p id="x">')

    assert list(broken(tmp_path, page)) == [
        "no.html",
        "#no: no such anchor",
        "https://cdn.example/x.js leads out of the site",
    ]
