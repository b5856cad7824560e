"""Pages: complete, self-contained, safe against any text, identical when rebuilt."""

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.page.cells import show_interval, show_mean
from analysis.page.rendering import escape_markdown
from analysis.report import build
from analysis.statistics.estimates import estimate
from analysis.words import round_parts, run_link, say_p, show_duration, show_p, split_hours
from hpc.core.words import amount, amount_unit
from tests.analysis.made_experiments import (
    Experiment,
    make_attempt,
    make_finished,
    make_realistic,
    make_spec,
    make_task,
    make_verdict,
)

MARKUP = "</code><script>alert('x')</script>\"><img src=x onerror=alert(1)>"
HOSTILE = MARKUP + " \x1b[31mred\x1b[0m | `tick` [a](http://e.vil) \u202e"
VOID = {"meta", "input", "br", "img", "link", "hr"}


class Outline(HTMLParser):
    """Collects tags and attributes, and whether every element is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the element; void ones have no end."""
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """SVG's self-closing elements."""
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """Every end closes what was opened last."""
        assert self.open.pop() == tag


def _outline(html: str) -> Outline:
    outline = Outline()
    outline.feed(html)
    outline.close()
    assert outline.open == []
    return outline


def _build(experiment: Experiment) -> tuple[str, str, Path]:
    folder = build(experiment.write(), ("html", "md", "tex")).layout.report
    return (folder / "report.html").read_text("utf-8"), (folder / "report.md").read_text("utf-8"), folder


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    """HTML, Markdown and folder of the realistic experiment's report; only read."""
    return _build(make_realistic(tmp_path_factory.mktemp("pages")))


def test_page_is_well_formed_and_asks_for_nothing(pages: tuple[str, str, Path]) -> None:
    """Every element is closed, ids are unique, and nothing is fetched: no source, no import, only relative links."""
    outline = _outline(pages[0])
    links = [value for name, value in outline.attributes if name in ("href", "xlink:href")]
    targets = [value for name, value in outline.attributes if name == "data-href"]

    assert len(outline.ids) == len(set(outline.ids))
    assert not [value for name, value in outline.attributes if name in ("src", "srcset", "data")]
    assert not [tag for tag in outline.tags if tag in ("link", "img", "iframe", "object")]
    assert not [link for link in links if not link.startswith(("#", "data:text/csv;charset=utf-8;base64,"))]
    assert not [link for link in targets if not link.startswith("../tasks/") and "/" in link]
    assert "@import" not in pages[0]
    assert "url(http" not in pages[0]


def test_links_inside_the_report_lead_somewhere(pages: tuple[str, str, Path]) -> None:
    """Each file and section a link names is there."""
    html, _, folder = pages
    outline = _outline(html)
    for name, link in outline.attributes:
        if name == "href" and link.startswith("#"):
            assert link[1:] in outline.ids
        elif name == "data-href" and "/" not in link:
            assert (folder / link).is_file()


def test_all_sections_are_in_both_forms(pages: tuple[str, str, Path]) -> None:
    """The HTML page and the Markdown file have the same headings of the second level."""
    html, markdown, _ = pages
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", html)

    assert headings == re.findall(r"^## (.*)$", markdown, flags=re.MULTILINE)
    assert headings[:3] == ["The answer", "The verdict in full", "What was asked"]
    assert {
        "Registration and deviations",
        "Limitations",
        "Setup and provenance",
        "Every run",
        "Files generated",
    } <= set(headings)


def test_both_forms_tell_the_facts(pages: tuple[str, str, Path]) -> None:
    """Sum of runs, healed run, evidence, digests, quoted criterion and both kinds of verdict are in both."""
    for text in pages[:2]:
        for words in (
            "18 planned = 13 finished + 3 failed (1 code_bug, 1 divergence, 1 oom_gpu)",
            "micro-batch 16 → 8, accumulation 4 → 8, global batch stays 64",
            "CUDA out of memory. Tried to allocate 2.50 GiB",
            "c0ffee00",
            "with uncommitted changes",
            "quoted, not evaluated",
            "WINNER",
            "inconclusive",
            "best of 6",
            "not computable: n=1",
        ):
            assert words in text, words


def test_every_mean_carries_its_n(pages: tuple[str, str, Path]) -> None:
    """Wherever a ± stands in a table cell, the n stands beside it."""
    cells = re.findall(r"<td[^>]*>([^<]*± [^<]*)</td>", pages[0])

    assert len(cells) >= 4
    assert all(re.search(r"\(n=\d+\)$", cell) for cell in cells)


def test_same_results_give_the_same_bytes(realistic: Experiment) -> None:
    """Building again, after the report was deleted or over the old one, gives identical files."""
    _, _, folder = _build(realistic)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    _build(realistic)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_stale_figures_are_removed(realistic: Experiment) -> None:
    """A figure that the new results no longer have does not stay beside the new report."""
    _, _, folder = _build(realistic)
    assert (folder / "curve-1-train-loss.svg").exists()
    realistic.series.clear()
    _, markdown, _ = _build(realistic)

    assert not list(folder.glob("curve-*"))
    assert "No curve was recorded" in markdown


def test_hostile_texts_are_harmless_everywhere(realistic: Experiment) -> None:
    """Scripts, quotes, ANSI codes and overrides in parameters, evidence, brief and reasons remain text in all files."""
    task = realistic.judged[0]
    task["attempts"] = [make_attempt(task, 1, make_verdict("code_bug", HOSTILE, HOSTILE, HOSTILE))]
    task["attempts"][0]["directory"] = 'javascript:alert(1)//"><b>'
    task["decision"]["reason"] = HOSTILE
    realistic.spec["brief"] = {"goal": HOSTILE, "hypothesis": HOSTILE, "success": HOSTILE}
    realistic.provenance["packages"] = {HOSTILE: HOSTILE}
    finished = realistic.judged[6]["attempts"][0]
    finished["verdict"]["warnings"] = [HOSTILE]
    finished.update(code_sha256=HOSTILE, image_sha256=HOSTILE, launch={"kind": HOSTILE, "processes": 1})
    html, markdown, folder = _build(realistic)
    outline = _outline(html)

    assert outline.tags.count("script") == 1
    assert "img" not in outline.tags
    assert not [name for name, _ in outline.attributes if name.startswith("on")]
    assert not [
        value for name, value in outline.attributes if name.endswith("href") and value.startswith("javascript:")
    ]
    for text in (html, markdown, (folder / "runs.csv").read_text("utf-8")):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "<script" not in re.sub(r"```json.*?```", "", markdown.replace("\\<", ""), flags=re.DOTALL)


def test_markdown_tables_keep_their_shape(realistic: Experiment) -> None:
    """Bars and line breaks in texts do not add cells or rows."""
    realistic.judged[0]["attempts"][0]["verdict"]["evidence"][0]["text"] = "a | b\n| c | d |\n---|---"
    _, markdown, _ = _build(realistic)
    widths: set[int] = set()
    for line in markdown.splitlines():
        if not line.startswith("|"):
            assert len(widths) <= 1
            widths = set()
            continue
        widths.add(len(re.findall(r"(?<!\\)\|", line)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lora_rank=8", "lora_rank=8"),
        ("_it_ *b* `c` [d](e) <f> a|b", r"\_it\_ \*b\* \`c\` \[d\](e) \<f\> a\|b"),
        ("# no heading", r"\# no heading"),
        ("1. no list", r"1\. no list"),
        ("0.0326 ± 0.0005", "0.0326 ± 0.0005"),
        ("-0.004", "-0.004"),
        ("- no list", r"\- no list"),
        ("--- no rule", r"\--- no rule"),
        ("two\nlines", "two lines"),
    ],
)
def test_markdown_escapes_what_starts_something(text: str, expected: str) -> None:
    """Names stay readable; whatever Markdown would act on is escaped."""
    assert escape_markdown(text) == expected


def test_csv_has_every_run_and_every_value(realistic: Experiment, pages: tuple[str, str, Path]) -> None:
    """18 rows; failed runs have an empty metric, a class and evidence; numbers come back exactly."""
    rows = list(csv.DictReader(io.StringIO((pages[2] / "runs.csv").read_text("utf-8"))))

    assert [row["task_id"] for row in rows] == [task["task_id"] for task in realistic.asked]
    assert (rows[0]["metric.final_error"], rows[0]["failure_class"]) == ("", "code_bug")
    assert rows[0]["evidence"] == "KeyError: 'theta'"
    assert float(rows[6]["metric.final_error"]) == realistic.judged[6]["summary"]["final_error"]
    assert rows[13]["history"] == "1 oom_gpu; 2 success"
    assert rows[4]["in_means"] == "False"


def test_continued_attempts_stand_apart_from_failures(realistic: Experiment) -> None:
    """A planned slice is under 'continued', in no table of failures, and its hours are said to be the result's."""
    task = realistic.judged[6]
    sliced = make_verdict("timeout", "SIGUSR1", "told_to_stop", "checkpointed")
    task["attempts"] = [
        make_attempt(task, 1, sliced),
        make_attempt(task, 2, make_verdict("success"), resumed_from_attempt=1),
    ]
    html, markdown, folder = _build(realistic)
    rows = list(csv.DictReader(io.StringIO((folder / "runs.csv").read_text("utf-8"))))

    assert "told_to_stop" not in html
    for text in (html, markdown):
        assert "Continued attempts" in text
        assert "1 merely continued" in text
        assert "of it in continued attempts" in text
    assert (rows[6]["history"], rows[6]["last_failure"]) == ("1 timeout, continued in 2; 2 success", "")
    assert re.search(r"R8_LR0.0001_S42\].*finished, continued", markdown)


@pytest.mark.parametrize(
    ("values", "mean", "interval"),
    [
        ([0.0321, 0.0330, 0.0327], "0.03260 ± 0.00046 (n=3)", "[0.03146, 0.03374]"),
        ([100.0, 300.0, 260.0], "220 ± 110 (n=3)", "[-40, 480]"),
        ([4.0], "4 (n=1, no std)", "not computable: n=1"),
        ([], "no value (n=0)", "not computable: n=0"),
        ([2.0, 2.0], "2 ± 0 (n=2)", "[2.0, 2.0]"),
    ],
)
def test_means_are_written_with_spread_and_n(values: list[float], mean: str, interval: str) -> None:
    """The spread has two digits, the mean ends at the same place, n is always there."""
    assert show_mean(estimate(values)) == mean
    assert show_interval(estimate(values)) == interval


@given(st.lists(st.floats(0, 1e6), max_size=12))
def test_rounded_parts_add_up_to_the_rounded_whole(parts: list[float]) -> None:
    """What a reader adds up is the sum that is shown, and no part is off by more than one unit of the last place."""
    rounded, places = round_parts(parts)
    whole = sum(round(one * 10**places) for one in rounded)

    assert abs(whole - sum(parts) * 10**places) <= 0.5 + 1e-6
    assert all(abs(shown - exact) <= 10.0**-places for shown, exact in zip(rounded, parts, strict=True))


def _number(text: str) -> tuple[float, str]:
    """``1,234.5 h`` as its number and unit."""
    number, unit = re.search(r"([\d,.]+) (h|min|s)\b", text).groups()
    return float(number.replace(",", "")), unit


def test_hours_add_up_in_writing(pages: tuple[str, str, Path]) -> None:
    """The parts of the sum of hours are the whole, as they are written."""
    for line in ("GPU hours used", "Core hours used"):
        text = next(one for one in pages[1].splitlines() if one.startswith(f"- **{line}"))
        text = re.sub(r"\([^)]*of it[^)]*\)", "", text).partition(";")[0]
        total, *parts = (_number(one) for one in re.split(r"[=+]", text.partition(":** ")[2]))
        assert total[0] > 1
        assert sum(number for number, _ in parts) == pytest.approx(total[0], abs=1e-9)
        assert {unit for _, unit in (total, *parts)} == {"h"}


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=12))
def test_hours_are_said_as_everywhere_and_add_up(parts: list[float]) -> None:
    """In the unit that `amount` says the sum in, and to a digit more; what is written adds up as it is written."""
    split = split_hours(parts)
    written = [_number(split.write(one)) for one in split.parts]
    total = _number(split.write(split.total))

    assert sum(number for number, _ in written) == pytest.approx(total[0], abs=1e-6)
    assert {unit for _, unit in (*written, total)} == {amount(sum(parts), "h").rpartition(" ")[2]}
    assert total[0] == pytest.approx(sum(parts) * amount_unit(sum(parts), "h")[0], rel=0.006, abs=6e-4)


def test_hours_in_files_stay_numbers_of_their_unit(pages: tuple[str, str, Path]) -> None:
    """The page says the unit beside each, minutes where it is little; the CSV below a head of hours has hours."""
    rows = list(csv.DictReader(io.StringIO((pages[2] / "table-spending.csv").read_text("utf-8"))))

    assert re.search(r"<td[^>]*>0\.5\d h</td>", pages[0])
    assert rows[-1]["GPU hours"] == "2.272"
    assert sum(float(row["GPU hours"]) for row in rows[:-1]) == pytest.approx(2.272)


def test_no_sentence_says_that_a_p_value_equals_a_bound() -> None:
    """``p = < 0.0001`` comes of a sentence that does not ask `say_p`."""
    sources = (Path(__file__).parents[3] / "analysis").rglob("*.py")
    assert [path for path in sources if re.search(r"p\s*=\s*\{show_p", path.read_text("utf-8"))] == []


def test_small_texts() -> None:
    """p-values, durations and links are written one way."""
    assert (show_p(0.00001), show_p(0.04321), show_p(None)) == ("< 0.0001", "0.0432", "–")
    assert (say_p(0.00001), say_p(0.04321)) == ("p < 0.0001", "p = 0.0432")
    assert (show_duration(12.3), show_duration(349), show_duration(7300)) == ("12.3 s", "5 min 49 s", "2 h 1 min")
    assert run_link("tasks/R8 a/attempt-1") == "../tasks/R8%20a/attempt-1"


def test_a_first_sweep_of_one_run_each_claims_nothing(tmp_path: Path) -> None:
    """No brief is quoted where there is none; drawing one run again shows no firmness; a reason is said once."""
    spec = make_spec("first_sweep", sweep={"grid": {"lr": [1, 2]}, "seeds": [1]}, brief={"stage": "exploratory"})
    tasks = [make_task({"lr": lr}, 1, f"LR{lr}_S1") for lr in (1, 2)]
    experiment = Experiment(tmp_path, tasks, {**spec, "baseline": {"lr": 1}})
    experiment.judged += [make_finished(experiment, task, {"final_error": task["parameters"]["lr"]}) for task in tasks]
    page = build(experiment.write(), ("md",)).files[0].read_text()

    assert "No brief is recorded with this experiment." in page
    assert "no brief states what it should confirm" in page
    assert "bootstrap" not in page
    assert page.count("the baseline has n=1") == 1
