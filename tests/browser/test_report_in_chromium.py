"""The report in a real browser: opens from file://, asks for nothing, sorts, filters, stays usable, excludes nobody."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.analysis.made_types import TYPES
from tests.browser.conftest import open_page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")

SCREENS: Mapping[str, Mapping[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
}


FIRST_SCREENS = ({"width": 1280, "height": 800}, {"width": 390, "height": 844})
FIRST_PARTS = (".answer", ".said p:nth-of-type(2)", ".counts", "figure .scroll")
CUT_TABLES = """[...document.querySelectorAll(".scroll:not(.window) > table")]
  .filter(one => one.parentElement.scrollWidth > one.parentElement.clientWidth + 1).map(one => one.id)"""


def _serious(tab: Any) -> list[Any]:
    """What axe-core calls serious or worse."""
    found = axe.Axe().run(tab).response["violations"]
    return [
        (one["id"], [node["target"] for node in one["nodes"]][:5])
        for one in found if one["impact"] in ("serious", "critical")
    ]  # fmt: skip


def _column(tab: Any, number: int) -> list[str]:
    """Texts of a column of the table of runs, spacers left out."""
    found: list[str] = tab.eval_on_selector_all(
        "#table-runs tbody tr:not(.space)",
        f"rows => rows.map(row => row.cells[{number}].textContent.trim())",
    )
    return found


@pytest.mark.parametrize("screen", SCREENS)
def test_page_opens_offline_and_excludes_nobody(browser: Any, small: Path, screen: str, tmp_path: Path) -> None:
    """In both themes and on a phone: no error, no request, no sideways scrolling, axe-core finds nothing serious."""
    with open_page(browser, small, offline=True, **SCREENS[screen]) as tab:
        assert tab.title() == "lora_sweep: report"
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert _serious(tab) == []
        tab.screenshot(path=str(tmp_path / f"{screen}.png"), full_page=True)
        assert (tmp_path / f"{screen}.png").stat().st_size > 50_000


@pytest.mark.parametrize("kind", TYPES)
def test_first_screen_answers(browser: Any, kinds: Mapping[str, Path], kind: str) -> None:
    """Of each type, wide and on a phone: answer, sentence, picture and counts are seen without scrolling or being cut.

    The page itself never scrolls sideways, no table is cut on a wide screen, and axe-core finds nothing serious.
    """
    for screen in FIRST_SCREENS:
        with open_page(browser, kinds[kind], viewport=screen) as tab:
            shown = {name: tab.locator(f".front {name}").first.bounding_box() for name in FIRST_PARTS}
            for name, box in shown.items():
                assert box["height"] > 15, (name, screen)
                assert box["y"] + box["height"] <= screen["height"], (name, screen)
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= screen["width"], (name, screen)
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
            picture = tab.locator(".front figure svg:visible").bounding_box()
            assert picture["width"] <= shown["figure .scroll"]["width"]
            assert _serious(tab) == []
            if screen["width"] > 1000:
                assert tab.evaluate(CUT_TABLES) == []


def test_contents_stay_in_sight_and_foldsopen_page(browser: Any, kinds: Mapping[str, Path]) -> None:
    """The bar of contents stays when the page scrolls, fits a wide screen, and leads into what is folded; no script."""
    page = kinds["hyperparameter_sweep"]
    with open_page(browser, page, viewport=FIRST_SCREENS[0], java_script_enabled=False) as tab:
        bar = tab.get_by_role("navigation", name="Contents")
        assert tab.evaluate("(bar => bar.scrollWidth <= bar.clientWidth)(document.querySelector('nav ul'))")
        bar.get_by_role("link", name="Limitations").click()
        assert bar.bounding_box()["y"] == 0
        heading = tab.get_by_role("heading", name="Limitations").bounding_box()
        assert bar.bounding_box()["height"] <= heading["y"] < 200
        setup = tab.locator("details", has=tab.get_by_role("heading", name="Setup and provenance"))
        assert setup.get_attribute("open") is None
        setup.locator("> summary").focus()
        tab.keyboard.press("Enter")
        assert setup.get_by_text("Git commit").is_visible()


def test_figures_are_drawn_for_a_phone(browser: Any, small: Path) -> None:
    """On a phone no figure is wider than its box, and its text is at least 8 pixels high; as on a wide screen."""
    for screen in FIRST_SCREENS:
        with open_page(browser, small, viewport=screen) as tab:
            measured = tab.eval_on_selector_all(
                "figure .scroll",
                """all => all.map(box => {
                     const svg = [...box.querySelectorAll("svg")].find(one => one.getClientRects().length);
                     const texts = [...svg.querySelectorAll("text")].map(one => one.getBoundingClientRect());
                     const high = texts.map(one => Math.min(one.height, one.width));
                     return [box.getAttribute("aria-label"), box.scrollWidth - box.clientWidth, Math.min(...high)];
                   })""",
            )
            assert len(measured) >= 8
            assert [one for one in measured if one[1] > 1] == []
            assert [one for one in measured if one[2] < 5] == []


def test_every_figure_has_a_size_and_words(browser: Any, small: Path) -> None:
    """No figure is empty or wider than its box without scrolling, and each has a text for those who do not see it."""
    with open_page(browser, small) as tab:
        figures = tab.eval_on_selector_all(
            "figure",
            """all => all.filter(one => !one.classList.contains("only-print")).map(one => {
                 const box = one.querySelector(".scroll");
                 const shown = [...box.querySelectorAll("svg")].find(one => one.getClientRects().length);
                 const picture = shown.getBoundingClientRect();
                 return [box.getAttribute("aria-label").length, picture.height];
               })""",
        )
        assert len(figures) >= 8
        assert all(words > 20 and height > 50 for words, height in figures)


def test_marks_are_named(browser: Any, small: Path) -> None:
    """A curve says its run under the pointer, near it, and by the arrow keys; without scripts it has a title."""
    with open_page(browser, small, viewport=FIRST_SCREENS[0]) as tab:
        figure = tab.locator("figure", has_text="train/loss while training")
        figure.scroll_into_view_if_needed()
        told = figure.get_by_role("status")
        assert "arrow keys" in told.inner_text()
        box = figure.locator(".scroll")
        box.focus()
        tab.keyboard.press("ArrowRight")
        first = told.inner_text()
        assert first.startswith("R16_LR0.0002_S42: ")
        tab.keyboard.press("ArrowRight")
        assert told.inner_text() != first
        path = figure.locator(".named:visible path").first
        middle = path.evaluate("""path => {
            const point = path.getPointAtLength(path.getTotalLength() / 2).matrixTransform(path.getScreenCTM());
            return [point.x, point.y];
        }""")
        tab.mouse.move(middle[0], middle[1] + 3)
        assert "step 120" in told.inner_text()
    with open_page(browser, small, java_script_enabled=False) as tab:
        assert tab.locator("figure .named title").count() > 10


def test_small_table_sorts_by_value_and_filters_by_words(browser: Any, small: Path) -> None:
    """A head sorts up, then down, by number; runs without one stay last; words in the box leave matching rows."""
    with open_page(browser, small) as tab:
        head = tab.get_by_role("button", name="final_error", exact=True).last
        head.click()
        values = _column(tab, 6)
        numbers = [float(one) for one in values if one != "–"]
        assert numbers == sorted(numbers)
        assert values[len(numbers) :] == ["–"] * (18 - len(numbers))
        head.click()
        numbers = [float(one) for one in _column(tab, 6) if one != "–"]
        assert numbers == sorted(numbers, reverse=True)
        assert tab.locator("#table-runs th[aria-sort=descending]").count() == 1
        tab.get_by_label("Filter the runs").fill("failed oom_gpu")
        assert _column(tab, 0) == ["R16_LR0.0002_S137"]
        assert tab.locator(".search .count").inner_text() == "1 of 18 runs"


def test_keyboard_reaches_heads_and_boxes(browser: Any, small: Path) -> None:
    """The first stop is the way past the menu; heads are buttons that Enter presses; scrolled boxes can be reached."""
    with open_page(browser, small) as tab:
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.textContent") == "Skip to the report"
        tab.locator("#table-runs th button").first.focus()
        tab.keyboard.press("Enter")
        assert tab.locator("#table-runs th").first.get_attribute("aria-sort") == "ascending"
        boxes = tab.eval_on_selector_all(".scroll", "all => all.every(one => one.tabIndex === 0)")
        assert boxes is True


def test_metric_is_chosen_where_there_are_several(browser: Any, tmp_path: Path) -> None:
    """With two curves one is shown, the other when it is chosen; without scripts both are there."""
    from analysis.report import build
    from tests.analysis.made_experiments import make_realistic

    experiment = make_realistic(tmp_path)
    experiment.series["val_loss"] = [(row, 1, step, 1.0 / step, 0.0) for row in (6, 7, 8) for step in (1, 2, 3)]
    page = build(experiment.write(), ("html",)).files[0]
    shown = ".chooser figure:visible"
    with open_page(browser, page) as tab:
        assert tab.locator(shown).count() == 1
        tab.get_by_role("combobox", name="Metric").select_option("val_loss while training")
        assert tab.locator(f"{shown} h3").inner_text() == "val_loss while training"
    with open_page(browser, page, java_script_enabled=False) as tab:
        assert tab.locator(shown).count() == 2


def test_large_table_holds_all_runs_in_few_elements(browser: Any, large: Path) -> None:
    """1,200 runs can be sorted, filtered and scrolled to the last, and never more than a screenful are elements."""
    with open_page(browser, large) as tab:
        rows = "#table-runs tbody tr:not(.space)"
        assert tab.locator(rows).count() < 100
        assert tab.locator("#table-runs").get_attribute("aria-rowcount") == "1201"
        tab.get_by_role("button", name="final_error", exact=True).last.click()
        first = [float(one) for one in _column(tab, 6)]
        assert first == sorted(first)
        tab.get_by_label("Filter the runs").fill("oom_gpu a=19")
        assert tab.locator(".search .count").inner_text() == "6 of 1200 runs"
        assert set(_column(tab, 4)) == {"oom_gpu"}
        tab.get_by_label("Filter the runs").fill("")
        tab.eval_on_selector(".window", "box => { box.scrollTop = box.scrollHeight; }")
        tab.locator('#table-runs tr[aria-rowindex="1201"]').wait_for(state="attached")
        assert tab.locator(rows).count() < 100
        link = tab.locator("#table-runs tbody a").first.get_attribute("href")
        assert link.startswith("../tasks/A")


def test_a_page_copied_alone_has_its_data_and_no_dead_link(browser: Any, small: Path, tmp_path: Path) -> None:
    """Where it lies it leads to its runs; alone it leads into itself only, and still gives the CSV of its runs."""
    with open_page(browser, small) as tab:
        assert tab.locator("#table-runs a[href^='../tasks/']").count() > 10
    alone = tmp_path / "report.html"
    alone.write_bytes(small.read_bytes())
    with open_page(browser, alone) as tab:
        links = tab.eval_on_selector_all("a[href]", "all => all.map(one => one.getAttribute('href'))")
        assert [one for one in links if not one.startswith(("#", "data:"))] == []
        with tab.expect_download() as saved:
            tab.get_by_role("link", name="Every run as CSV").click()
        assert saved.value.suggested_filename == "lora_sweep-runs.csv"
        assert Path(saved.value.path()).read_bytes() == (small.parent / "runs.csv").read_bytes()


def test_large_table_is_a_plain_table_without_scripts(browser: Any, large: Path) -> None:
    """Without scripts the page shows the runs to look at first, failed ones on top, and says where the others are."""
    with open_page(browser, large, java_script_enabled=False) as tab:
        assert tab.locator("#table-runs tbody tr").count() == 400
        assert _column(tab, 3)[0] == "failed"
        assert tab.get_by_text("400 of 1200 runs are listed here").is_visible()


def test_page_prints(browser: Any, large: Path) -> None:
    """Printing gives pages: the menu and the filter stay away, the plain rows are there."""
    with open_page(browser, large) as tab:
        tab.emulate_media(media="print")
        assert not tab.locator("nav").is_visible()
        assert not tab.get_by_label("Filter the runs").is_visible()
        assert tab.pdf(format="A4")[:5] == b"%PDF-"
