r"""Text from outside as it may reach a terminal: no escape sequence, no control character, nothing that reorders it.

A log, a file name, a Slurm reason or a hook's words can hold whatever somebody wrote. A terminal obeys some of it:
colours and cursor moves (CSI), window titles, links and the clipboard (OSC 0, 8, 52), the same as C1 characters, and
marks that show text backwards or not at all.
"""

import re

_STRING = r"(?:[^\x00-\x08\x0a-\x1f\x80-\x9f]*(?:\x07|\x1b\\|\x9c))?"  # one that nobody ends hides nothing
_SEQUENCE = re.compile(
    r"(?:\x1b+\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI
    rf"|(?:\x1b+[\]PX^_]|[\x90\x98\x9d-\x9f]){_STRING}"  # OSC, DCS, SOS, PM, APC
    r"|\x1b+[ -/]*[0-~]?"  # two and three characters
)
_CARRIAGE_RETURN = re.compile(r"\r+(\n|\Z)?")
_LINE_END = re.compile("[\v\f\x1c-\x1e\x85\u2028\u2029]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_HIDDEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1
    "\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # zero width, bidi
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"  # shorthand, music, tags
)
_UNSAFE = re.compile(f"[{_HIDDEN}\ud800-\udfff]")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?( [\d.,%() \[\]e+–-]*)?")
"""A number, or several with their signs and brackets: without names there is nothing to call."""


def printable(text: str) -> str:
    """Text without anything a terminal would obey: tabs and newlines stay, other line ends become a space.

    Bytes that were no UTF-8 become ``\N{REPLACEMENT CHARACTER}``. What is printable comes back as it is, so cleaning
    twice changes nothing; the time is linear in the length.
    """
    if _UNSAFE.search(text) is None:
        return text
    text = _SEQUENCE.sub("", text)
    text = _CARRIAGE_RETURN.sub(lambda run: " " if run[1] is None else run[1], text)
    text = _LINE_END.sub(" ", text)
    return _UNSAFE.sub("", _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text))


def is_printable(text: str) -> bool:
    """Whether `printable` gives a text back as it is."""
    return text.isprintable() or _UNSAFE.search(text) is None


def one_line(text: str) -> str:
    """The same in one line, for a name or a value inside a sentence: nothing in it can pass for a line of ours."""
    return printable(text).replace("\n", " ").replace("\t", " ")


def guard_cell(text: str) -> str:
    """A text as a cell of a CSV file that no spreadsheet reads as a formula: what could be one gets an apostrophe."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(text) else text


def printable_json(document: str) -> str:
    """A JSON document with every unsafe character as ``\\uXXXX``: the same value, and no terminal obeys it."""
    return _UNSAFE.sub(lambda found: _escape(ord(found[0])), document)


def _escape(code: int) -> str:
    r"""A character as JSON's ``\uXXXX``; beyond the first plane as two of them."""
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
