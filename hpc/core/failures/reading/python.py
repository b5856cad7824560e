"""Readers of what Python prints when an exception ends a program: plain, in groups, framed by rich, in notebooks."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from hpc.core.failures.reading.parts import Block, Frame, Part
from hpc.core.immutable import field, mutable, replace

LONGEST = 400
"""Lines of a traceback that are followed; deeper recursion repeats itself."""

_HEADER = re.compile(
    r"(?:Exception Group )?Traceback \(most recent call last\)"
    r"|[Tt]hread 0x\w{4,20} .{0,60}\(most recent call first\):"
)
_FRAME = re.compile(r'^\s*File "(?P<path>[^"]{1,400})", line \d+(?:,? in (?P<function>\S.{0,120}))?')
_MESSAGE = re.compile(
    r"^(?!(?:INFO|WARNING|DEBUG|ERROR|CRITICAL|NOTE|FATAL)\b)"
    r"(?:(?:[A-Za-z_]\w{0,60}\.){1,9}\w{1,80}|_{0,2}[A-Z]\w{0,80})(?:\(\w{1,60}\))?(?:: .{0,4000}|:?)$"
)
_LINK = re.compile(
    r"During handling of the above exception, another exception occurred"
    r"|The above exception was the direct cause of the following exception"
)
_GROUP_RULE = re.compile(r"^[+-]{2,4}-{4,}")
_HANDLED = re.compile(
    r"\b(?:WARN(?:ING)?|retry(?:ing)?|retries|ignor(?:ed|ing)|skipp?(?:ing|ed)|falling back|recover\w*|pruned)\b"
    r"|\b(?:trial|fold|sample|config\w*|case|seed|bracket|candidate|problem|prompt|tile|item)\b.{0,40}"
    r"\b(?:failed|error|crashed)\b",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_WARNED = re.compile(r"^\S{1,400}\.py:\d{1,7}: \w{0,60}Warning: ")


def read_link(texts: Sequence[str], at: int) -> Block | None:
    """The line that ties two tracebacks together."""
    link = _LINK.search(texts[at])
    return Block((Part.HEADER,), linked=True, causal=link[0].startswith("The")) if link else None


def read_warning(texts: Sequence[str], at: int) -> Block | None:
    """A warning, and the line of code Python quotes below it."""
    if not _WARNED.match(texts[at]) or at + 1 >= len(texts) or not texts[at + 1].startswith("  "):
        return None
    return Block((Part.PROSE, Part.SOURCE))


@mutable
class _Wrapped:
    """Lines of a traceback as they were before something wrote its prefix before each of them."""

    texts: Sequence[str]
    prefix: str
    indent: int

    @classmethod
    def of(cls, texts: Sequence[str], at: int, offset: int) -> "_Wrapped":
        text = texts[at]
        return cls(texts, _DIGIT.sub("0", text[:offset]), len(text) - len(text.lstrip(" ")))

    def is_quoted(self, at: int) -> bool:
        """Whether words of a program stand before the header alone: it prints what it caught, or what it ran."""
        words = any(letter.isalpha() for letter in self.prefix)
        return words and at + 1 < len(self.texts) and _FRAME.match(self.texts[at + 1]) is not None

    def __getitem__(self, at: int) -> str:
        text = self.texts[at]
        width = len(self.prefix)
        if width and _DIGIT.sub("0", text[:width]) == self.prefix:
            return text[width:]
        return text[self.indent :] if text[: self.indent].isspace() else text


def read_traceback(texts: Sequence[str], at: int) -> Block | None:
    """A traceback with its header, or from its first frame on where the header is lost or worded otherwise."""
    header = _HEADER.search(texts[at])
    if header is None and not _FRAME.match(texts[at]):
        return None
    wrapped = _Wrapped.of(texts, at, header.start() if header else 0)
    body = _Body()
    handled = any(_HANDLED.search(text) for text in texts[max(0, at - 2) : at])
    body.begin(header=header is not None, handled=handled or wrapped.is_quoted(at))
    first_is_innermost = bool(header and "first" in header[0])
    if header is None:
        body.add(Part.FRAME, frame=_FRAME.match(texts[at]))
    for k in range(at + 1, min(len(texts), at + LONGEST)):
        if not body.take(wrapped[k], partial(_goes_on, wrapped, len(texts), k)):
            break
    return body.block(dated_last=not first_is_innermost)


def _goes_on(wrapped: _Wrapped, end: int, at: int) -> bool:
    """Whether a line that is none of the traceback's only stands in the middle of it."""
    for k in range(at + 1, min(end, at + 4)):
        if _HEADER.search(wrapped[k]) or _LINK.search(wrapped[k]):
            return False
        if _FRAME.match(wrapped[k]):
            return True
    return False


@mutable
class _Body:
    """A traceback as it is read, line after line."""

    parts: list[Part | None] = field(default_factory=list)
    texts: dict[int, str] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)
    message: int | None = None
    handled: bool = False
    group: bool = False
    flat: bool = False

    def begin(self, *, header: bool, handled: bool) -> None:
        self.handled = handled
        if header:
            self.add(Part.HEADER)

    def add(self, part: Part | None, frame: re.Match[str] | None = None) -> None:
        self.parts.append(part)
        if frame is not None:
            self.frames.append(Frame(frame["path"], frame["function"] or ""))

    def take(self, text: str, goes_on: Callable[[], bool]) -> bool:
        """Take one more line; False where it is no longer the traceback's."""
        if self.message is not None:
            return self._take_more(text)
        frame = _FRAME.match(text)
        if frame is not None:
            self.flat = text.startswith("File")
            self.add(Part.FRAME, frame)
        elif not text.strip() or text[0] in " \t":
            self._take_code(text)
        elif _HEADER.search(text) or _LINK.search(text):
            return False
        elif self.flat and self.parts[-1] is Part.FRAME and not _MESSAGE.match(text):
            self._take_code(text)  # something took all indentation away: what follows a call is its code
        elif goes_on():
            self.add(None)
        elif text.startswith("jax.errors.SimplifiedTraceback: "):
            self.add(Part.SOURCE)  # JAX's word on frames it left out; the exception follows
        elif _MESSAGE.match(text):
            self.message = len(self.parts)
            self.texts[self.message] = text
            self.add(Part.MESSAGE)
        else:
            return False
        return True

    def _take_code(self, text: str) -> None:
        if self.parts and self.parts[-1] is Part.FRAME:
            self.frames[-1] = replace(self.frames[-1], code=text.strip())
        self.add(Part.SOURCE)

    def _take_more(self, text: str) -> bool:
        if _GROUP_RULE.match(text.lstrip()):
            self.group = text.lstrip().startswith("+-+")  # a group's own message only says how many there are
            return False
        if text.startswith("Original Traceback"):
            self.group = True  # "Caught KeyError in DataLoader worker process 0.": the worker's own words follow
            return False
        if not text.strip() or text[0] not in " \t" or _FRAME.match(text):
            return False
        self.texts[len(self.parts)] = text
        self.add(Part.MORE)
        return True

    def block(self, *, dated_last: bool) -> Block | None:
        while self.parts and self.parts[-1] is None:
            self.parts.pop()
        if not self.parts:
            return None
        if self.group and self.message is not None:
            self.parts[self.message] = Part.HEADER
            self.message = None
        frames = tuple(self.frames if dated_last else reversed(self.frames))
        top = bool(frames) and frames[0].function in ("<module>", "_run_module_as_main")
        return Block(tuple(self.parts), self.texts, self.message, frames, outermost=top and not self.handled)


# ── framed by rich ───────────────────────────────────────────────────────────────────────────────────────────────

_BOX_TOP = re.compile(r"^\s*[╭┌+][─━-]{1,200} Traceback \(most recent call last\) [─━-]{1,200}[╮┐+]?")
_BOX_LINE = re.compile(r"^\s*[│┃|](?P<inside>.*?)[│┃|]?\s*$")
_BOX_END = re.compile(r"^\s*[╰└+][─━-]{10,}")
_BOX_CODE = re.compile(r"^\s*[❱>] ?\d{1,7} (?P<code>.{1,400})")
_BOX_FRAME = re.compile(r"^\s{0,3}(?P<path>\S.{0,400}?):\d{1,7} in (?P<function>[\w<>.]{1,120})")


def read_rich(texts: Sequence[str], at: int) -> Block | None:
    """A traceback in a frame, with code around each call: inside it nothing speaks, below it the message does."""
    if not _BOX_TOP.match(texts[at]):
        return None
    parts: list[Part | None] = [Part.HEADER]
    frames: list[Frame] = []
    k = at + 1
    for k in range(at + 1, min(len(texts), at + 4 * LONGEST)):
        inside = _BOX_LINE.match(texts[k])
        if inside is None:
            break
        frame = _BOX_FRAME.match(inside["inside"])
        parts.append(Part.FRAME if frame else Part.SOURCE)
        if frame:
            frames.append(Frame(frame["path"], frame["function"]))
        elif frames and (code := _BOX_CODE.match(inside["inside"])):
            frames[-1] = replace(frames[-1], code=code["code"].strip())
    message = None
    if k < len(texts) and _BOX_END.match(texts[k]):
        parts.append(Part.HEADER)
        rest = next(_after_blank(texts, k + 1), None)
        if rest is not None and _MESSAGE.match(texts[rest]):
            parts += [Part.SOURCE] * (rest - k - 1) + [Part.MESSAGE]
            message = rest - at
    top = bool(frames) and frames[0].function == "<module>"
    return Block(tuple(parts), {}, message, tuple(frames), outermost=top)


def _after_blank(texts: Sequence[str], at: int) -> Iterator[int]:
    return (k for k in range(at, min(len(texts), at + 3)) if texts[k].strip())


# ── in notebooks ─────────────────────────────────────────────────────────────────────────────────────────────────

_CELL = re.compile(r"^(?P<name>(?:\w{1,60}\.){0,8}[A-Za-z_]\w{1,80}) {2,}Traceback \(most recent call last\)")
_CELL_FRAME = re.compile(
    r"^(?:File |Cell |Input )?(?P<path>In ?\[\d+\]|<ipython-input[^>]{1,80}>|[~/.]?\S{1,400}\.py)(?:[,:]| in )"
    r"(?:.{0,40}?\bin (?P<function>[\w<>.]{1,120}))?"
)


def read_notebook(texts: Sequence[str], at: int) -> Block | None:
    """A traceback as IPython prints it: numbered code, and at the end the name it began with."""
    header = _CELL.match(texts[at])
    if header is None:
        return None
    name = header["name"].rpartition(".")[2]
    end = next(
        (k for k in range(at + 1, min(len(texts), at + 4 * LONGEST))
         if texts[k].startswith((f"{name}:", f"{header['name']}:")) or texts[k].strip() == name),
        None,
    )  # fmt: skip
    if end is None:
        return None
    inside = [_CELL_FRAME.match(texts[k]) for k in range(at + 1, end)]
    parts = (Part.HEADER, *(Part.FRAME if found else Part.SOURCE for found in inside), Part.MESSAGE)
    frames = tuple(Frame(found["path"], found["function"] or "") for found in inside if found)
    return Block(parts, {}, end - at, frames, outermost=True)
