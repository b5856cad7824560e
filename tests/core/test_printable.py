"""Nothing a terminal obeys gets through, and everything else does."""

import json
import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc.core.failures.log_scan import clean
from hpc.core.printable import guard_cell, one_line, printable, printable_json

OBEYED = ("Cc", "Cs", "Zl", "Zp")
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
INVISIBLE = "\u00ad\u180e\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\ufeff\U000e0001\U000e0041"
HIDDEN = set(BIDI + INVISIBLE)
WRITTEN = st.one_of(
    st.text(st.sampled_from("\x1b\x07\x08\r\n\t\x9b\x9d\x9c\x90\\[]P^_;?031mHK8lac é" + BIDI + INVISIBLE)),
    st.text(),
    st.binary().map(lambda raw: raw.decode(errors="surrogateescape")),
    st.binary().map(lambda raw: raw.decode("latin-1")),
)


def obeyed(text: str) -> set[str]:
    """Pick out the characters a terminal would obey or a reader not see, but newline and tab."""
    return {one for one in text if (unicodedata.category(one) in OBEYED or one in HIDDEN) and one not in "\n\t"}


@given(WRITTEN)
def test_whatever_is_written_nothing_that_is_printed_is_obeyed(text: str) -> None:
    """For any text or bytes the cleaned text holds no control, no surrogate and nothing invisible, and is UTF-8."""
    cleaned = printable(text)
    assert not obeyed(cleaned)
    assert not obeyed(one_line(text))
    assert not set("\n\t") & set(one_line(text))
    cleaned.encode()


@given(WRITTEN)
def test_cleaning_is_a_fixed_point(text: str) -> None:
    """Cleaning twice is cleaning once: nothing that was hidden inside a removed sequence comes to life."""
    assert printable(printable(text)) == printable(text)


@given(WRITTEN)
def test_the_line_of_a_log_that_becomes_evidence_is_clean(text: str) -> None:
    """A log line quoted as evidence has passed the same cleaning."""
    assert not obeyed(clean(text))


def test_every_character_of_unicode_that_is_obeyed_is_removed() -> None:
    """Each code point alone: controls, surrogates and separators go, letters of every script stay as they are."""
    everything = [chr(code) for code in range(sys.maxunicode + 1)]
    category = {one: unicodedata.category(one) for one in everything}
    dangerous = {one for one in everything if category[one] in OBEYED} - set("\n\t") | HIDDEN
    assert [hex(ord(one)) for one in dangerous if set(printable(f"a{one}b")) & dangerous] == []
    visible = "".join(one for one in everything if category[one][0] in "LMNPS" or category[one] == "Zs")
    assert printable(visible) == visible


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;cm0gLXJm\x07text", "text"),
        ("\x9d52;c;cm0gLXJm\x9ctext", "text"),
        ("\x1bP1$qm\x1b\\text", "text"),
        ("\x1b]0;nobody ends this: CUDA error", "0;nobody ends this: CUDA error"),
        ("\x1b\x1b[31m[31mtext", "[31mtext"),
        ("\x1b(0lqk\x1bc", "lqk"),
        ("\x1b[", ""),
        ("ab\x08\x08cd\x7f", "abcd"),
        ("one\r\ntwo\r", "one\ntwo"),
        ("50%\r100%", "50% 100%"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("pass\u200bword", "password"),
        ("bad \udc9b31m byte", "bad \N{REPLACEMENT CHARACTER}31m byte"),
        ("λ → 日本 ± 1\u00a0%\t|", "λ → 日本 ± 1\u00a0%\t|"),
    ],
)
def test_known_sequences_leave_the_text_around_them(written: str, shown: str) -> None:
    """Sequences go as a whole with what they carry; the words around them stay."""
    assert printable(written) == shown


@given(WRITTEN)
def test_json_says_the_same_and_is_not_obeyed(text: str) -> None:
    """A value printed as JSON comes back unchanged, although no unsafe character stands in the document."""
    document = printable_json(json.dumps({text: text}, ensure_ascii=False))
    assert not obeyed(document)
    assert json.loads(document) == {text: text}


@pytest.mark.parametrize("unit", ["\x1b", "\x1b[", "\x1b]", "\x9d", "\x1b]a", "\r", "\x1b[0;", "\x1bP\x9b", "\u202e"])
def test_a_hostile_text_costs_no_more_than_its_length(unit: str) -> None:
    """Sixteen times the text takes about sixteen times as long, not two hundred and fifty-six times."""

    def seconds(count: int) -> float:
        begun = time.process_time()
        printable(unit * count + "x")
        return time.process_time() - begun

    short = min(seconds(10_000) for _ in range(3))
    assert min(seconds(160_000) for _ in range(3)) < 80 * short + 0.02


@pytest.mark.parametrize(
    "text", ["=1+1", "+1 +cmd|' /C calc'!A0", "-2+3+cmd|x", "@SUM(A1)", "\t=1", "\r=1", "-inf", "-a"]
)
def test_what_a_spreadsheet_would_run_is_guarded(text: str) -> None:
    """A cell that begins like a formula and names anything gets an apostrophe, whatever number it hides behind."""
    assert guard_cell(text) == f"'{text}"


@pytest.mark.parametrize(
    "text", ["", "-5.2 %", "+0.03 (+3.0 %)", "-3.22 [-6.90, 0.47]", "-1e-05", "a=1", "3 of 5", "–"]
)
def test_numbers_stay_as_they_are(text: str) -> None:
    """Numbers with signs, units and brackets are no formulas and read as they were written."""
    assert guard_cell(text) == text
