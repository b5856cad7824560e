"""``experiments.md``: its fixed format, and what people write into it survives every writing anew."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc.core.errors import InputError
from hpc.core.history.command import parse_command
from hpc.core.history.entries import Entry, fold, is_id, make_id, start_event
from hpc.core.history.page import changes, escape, read_page, render_page, unescape

HOSTILE = [
    "a|b",
    "x\ny",
    "`rm`",
    "<script>alert(1)</script>",
    "[a](javascript:x)",
    "\x1b[31mred",
    "# h",
    "**b**",
    "$x$",
]


def start(name, line="python t.py --depth 12", goal=""):
    """A start of a run."""
    return start_event(name, "2026-11-30T10:00:00+00:00", parse_command([line]), escape(goal), "", changed=False)


def finish(name, state="finished", step=None, **results):
    """The end of a run."""
    return {"event": "finish", "id": name, "time": "2026-11-30T12:00:00+00:00", "state": state, "results": results,
            "diverged_at": step}  # fmt: skip


EVENTS = [
    start("a", goal="is 12 deep enough?"), finish("a", loss=3.5), start("b", "torchrun t.py -- --depth=24"),
    finish("b", loss=3.25, score=0.42), start("c", "python t.py --lr 1"), finish("c", "diverged", 5000),
    {"event": "note", "id": "a", "text": "flat after 3000"}, {"event": "todo", "text": "lr 3e-4"},
]  # fmt: skip
LOG = fold(EVENTS)
PAGE = render_page(LOG, "8-00000000")


def test_the_page_has_the_format_of_the_requirements():
    """Summary table, best result, a section per experiment with its five parts and the exact command, things to try."""
    assert "| Run | Date | Config | Loss | Score | Notes |" in PAGE
    assert "| b | 2026-11-30 | depth=24 | 3.25 | 0.42 |  |" in PAGE
    assert "| c | 2026-11-30 | lr=1 |  |  | diverged at step 5000 |" in PAGE
    best = "- **Run**: b\n- **Config**: depth=24\n- **Loss**: 3.25\n- **Score**: 0.42\n"
    assert f"## Best result\n\n{best}" in PAGE
    section = PAGE.partition("### a\n")[2].partition("### b")[0]
    assert re.findall(r"^\*\*(\w+)\*\*:", section, re.MULTILINE) == [
        "Goal",
        "Config",
        "Results",
        "Observations",
        "Status",
    ]
    assert "```bash\ntorchrun t.py -- --depth=24\n```" in PAGE
    assert PAGE.endswith("## Things to try\n\n- [ ] lr 3e-4\n")


def test_an_untouched_page_changes_nothing():
    """What we wrote is nobody's edit."""
    assert changes(PAGE, LOG, LOG) == {}
    assert changes(PAGE, LOG, None) == {}


def edited(*pairs):
    """The page with pieces replaced."""
    text = PAGE
    for old, new in pairs:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


MINE = edited(
    ("| depth=24 | 3.25 | 0.42 |  |", "| depth=24 | 3.25 | 0.42 | the one to beat |"),
    ("diverged at step 5000 |", "diverged at step 5000; lr too high |"),
    ("**Goal**: is 12 deep enough?", "**Goal**: is 12 enough?\nAnd at what cost?"),
    ("- flat after 3000", "- flat after 3000\n- noisy\n\n  with <details>HTML</details> of mine"),
    ("**Results**: loss 3.25, score 0.42", "**Results**: loss 3.25, score 0.42\n\nread off by hand: 3.3"),
    ("- [ ] lr 3e-4", "- [x] lr 3e-4\n- warm-up\n- [ ] wd"),
    ("## Things to try", "## My thoughts\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n## Things to try"),
    ("## Best result", "A line above.\n\n## Best result"),
)


def test_what_people_write_survives():
    """Goal, observations, notes, to-dos, lines between ours and sections of their own: each is in the page again."""
    kept = fold([*EVENTS, {"event": "page", **changes(MINE, LOG, LOG)}])
    again = render_page(kept, "9-00000000")
    for text in ("| the one to beat |", "diverged at step 5000; lr too high |", "is 12 enough?\nAnd at what cost?",
                 "- noisy\n\n  with <details>HTML</details> of mine", "read off by hand: 3.3",
                 "- [x] lr 3e-4\n- [ ] warm-up\n- [ ] wd",
                 "## My thoughts\n\n| a | b |\n|---|---|\n| 1 | 2 |", "A line above."):  # fmt: skip
        assert again.count(text) == 1, text
    assert changes(again, kept, kept) == {}


def test_what_the_log_learned_meanwhile_is_kept_too():
    """The page was written, a note, a to-do and an end came, and somebody edited the old page: nothing is lost."""
    later = [{"event": "note", "id": "a", "text": "of the log"}, {"event": "todo", "text": "of the log"},
             start("d"), finish("d", loss=1.0)]  # fmt: skip
    now = fold([*EVENTS, *later])
    kept = fold([*EVENTS, *later, {"event": "page", **changes(MINE, now, LOG)}])
    again = render_page(kept, "")
    for text in (
        "- of the log",
        "- noisy",
        "- flat after 3000",
        "- [ ] of the log",
        "- [ ] warm-up",
        "- [x] lr 3e-4",
        "### d",
    ):
        assert again.count(text) == 1, text


def test_removing_is_an_edit_where_the_base_is_known():
    """A line and a to-do that somebody removed stay away; without a base nothing is taken as removed."""
    text = edited(("- flat after 3000\n\n", ""), ("- [ ] lr 3e-4", ""))
    event = changes(text, LOG, LOG)
    assert event == {"observations": {"a": ""}, "todos": []}
    assert changes(text, LOG, None) == {}
    assert changes(text.partition("## Things")[0], LOG, LOG) == {"observations": {"a": ""}}  # cut, not emptied


@pytest.mark.parametrize("mark", ["<<<<<<< HEAD", ">>>>>>> theirs"])
def test_a_merge_conflict_is_named(mark):
    """With its line; a line of ``=`` alone is a heading's underline."""
    with pytest.raises(InputError, match=r"merge conflict \(line 2\)"):
        read_page(f"# Experiment log\n{mark}\n", [])
    assert read_page("Title\n=======\n", []).extras


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_only_texts(text):
    """In a value, a command, a goal, a note and a to-do: no row, cell, heading, fence, link or tag more, no escape."""
    command = parse_command(["python", "t.py", "--x", text, "--y", "```\n## z"])
    event = start_event("a", "2026-11-30T10:00:00+00:00", command, escape(text), "", changed=False)
    log = fold([event, finish("a", **{text: 1.0}), {"event": "note", "id": "a", "text": escape(text)},
                {"event": "todo", "text": escape(text)}])  # fmt: skip
    page = render_page(log, "1-00000000")
    assert "\x1b" not in page
    outside = re.sub(r"(`{3,})bash\n.*?\n\1\n", "", page, flags=re.DOTALL)
    assert "<script" not in outside
    assert re.findall(r"^#+ .*", outside, re.MULTILINE) == [
        "# Experiment log", "## Summary", "## Best result", "## Experiments", "### a", "## Things to try",
    ]  # fmt: skip
    rows = [line for line in outside.split("\n") if line.startswith("|")]
    assert [len(re.split(r"(?<!\\)\|", row)) for row in rows] == [8, 8, 8]
    assert changes(page, log, log) == {}


@settings(max_examples=60)
@given(st.text(max_size=40))
def test_any_text_comes_back(text):
    """A goal and a note of any text read back as they were written, and read in a terminal as they were typed."""
    shown = escape(text)
    log = fold([start("a", goal=text), {"event": "note", "id": "a", "text": shown}])
    assert changes(render_page(log, ""), log, log) == {}
    assert escape(unescape(shown)) == shown


_LINE = st.text(alphabet="ab #*-|`<>=~[]x:1", max_size=8)


def test_a_line_survives_wherever_it_is_written():
    """Between rows, in a section, in its code, before the title: it is somewhere in the next page, once."""
    lines = PAGE.split("\n")
    for place in range(len(lines) + 1):
        text = "\n".join([*lines[:place], "my own words", *lines[place:]])
        kept = fold([*EVENTS, {"event": "page", **changes(text, LOG, LOG)}])
        assert render_page(kept, "").count("my own words") == 1, lines[place]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 60), _LINE), max_size=6))
def test_any_edit_settles(edits):
    """Whatever lines somebody adds anywhere, reading and writing once more changes nothing."""
    lines = PAGE.split("\n")
    for place, line in edits:
        lines.insert(min(place, len(lines)), line)
    try:
        event = changes("\n".join(lines), LOG, LOG)
    except InputError:
        return
    kept = fold([*EVENTS, *([{"event": "page", **event}] if event else [])])
    again = render_page(kept, "")
    assert changes(again, kept, kept) == {}


def test_ids():
    """From the name, what the command calls the run, or its program; never twice, and safe wherever they stand."""
    line = parse_command(["python scripts/train.py --run 'my run|1'"])
    assert make_id("", line, []) == "my-run-1"
    assert make_id("", line, ["my-run-1"]) == "my-run-1-2"
    bare = parse_command(["python -m scripts.base_train"])
    assert make_id("", bare, []) == "base_train-1"
    assert make_id("", bare, ["base_train-1"]) == "base_train-2"
    assert make_id("x", bare, []) == "x"
    assert not any(is_id(text) for text in ("", "-x", "a|b", "a b", "a\nb", "../x", "x" * 200))


def test_events_of_two_logs_in_any_order():
    """Logs that were joined line by line mean the same; what means nothing is a problem, not an end."""
    assert fold(EVENTS[::-1]).find("b") == LOG.find("b")
    odd = fold([{"event": "finish", "id": "z"}, {"event": "dance"}, start("a"), start("a"), {"event": "start"}])
    assert len(odd.problems) == 3
    assert [entry.name for entry in odd.entries] == ["a"]


def test_two_runs_of_one_id_are_two_runs():
    """Two copies of a log made the same id and were joined, or an experiment was planned under a run's name."""
    both = [start("a"), finish("a", loss=1.0), start("a", "python other.py"), finish("a", loss=2.0)]
    log = fold(both, [Entry("a", "2026", experiment="a")])
    assert {entry.name: entry.results.get("loss") for entry in log.entries} == {"a": 1.0, "a+2": 2.0, "a+3": None}
    assert changes(render_page(log, ""), log, log) == {}
