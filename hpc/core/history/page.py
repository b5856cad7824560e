"""``experiments.md``: written from the log, and read back for what people wrote into it. Pure.

People own: the Goal and the Observations of a section, the rest of a Notes cell after what we say there, the list of
things to try, and every section that is not ours. A line of theirs between ours goes to the Observations. What we say
is written anew each time. Which log a page was written from is noted in it; three-way comparison with that one tells
what somebody changed, and nothing of anybody is lost.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpc.core.errors import InputError
from hpc.core.history.entries import Entry, Log, Todo, describe_results, goals_in
from hpc.core.history.metrics import LOSS, SCORE, best_runs, goal_of, leading, number
from hpc.core.immutable import field, mutable
from hpc.core.printable import one_line, printable

TITLE = "# Experiment log"
_HEAD = (
    "<!-- Written by `hpc history` from history.jsonl ({state}). You may edit these, and they are kept: Goal, "
    "Observations, what you write into Notes, things to try, your own sections. -->"
)
_STATE = re.compile(r"^<!-- Written by `hpc history` from history\.jsonl \((\d+-[0-9a-f]{8})?\)")
SUMMARY, BEST, EXPERIMENTS, TODO = "Summary", "Best result", "Experiments", "Things to try"
COLUMNS = ("Run", "Date", "Config", "Loss", "Score", "Notes")
_FIELD = re.compile(r"^\*\*(Goal|Config|Results|Observations|Status)\*\*:(.*)$")
_BEST_LINE = re.compile(r"^(- \*\*(Program|Run|Config|Loss|Score)\*\*: |Nothing has finished yet\.$)")
_TODO_LINE = re.compile(r"^\s*[-*] \[([ xX])\] (.*)$")
_CONFLICT = re.compile(r"^(<{7}|\|{7}|={7}|>{7})( |$)")
_MARKDOWN = re.compile(r"([\\`*\[\]|#~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
_PLAIN = re.compile(r"[A-Za-z0-9 =.,;:/+%()-]*")
NOTHING = "–"


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────


def escape(text: str) -> str:
    """A text of somebody's as one line of Markdown that is nothing but that text: no cell, link, HTML or heading."""
    if _PLAIN.fullmatch(text):
        return text.strip()
    plain = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", plain).strip()


def unescape(text: str) -> str:
    """Markdown of one line as it reads in a terminal: what `escape` put in is taken out."""
    plain = re.sub(r"\\([\\`*\[\]|#~$_])", r"\1", text)
    return plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def render_page(log: Log, state: str) -> str:
    """Write the page.

    Args:
        state: Of the log, as `entries.stamp` gives it.
    """
    parts = [
        TITLE, _HEAD.format(state=state),
        f"## {SUMMARY}", "\n".join(_summary(log.entries)),
        f"## {BEST}", "\n".join(_best(log.entries)),
        f"## {EXPERIMENTS}", *(_section(entry) for entry in log.entries),
        f"## {TODO}", "\n".join(f"- [{'x' if each.done else ' '}] {each.text}" for each in log.todos),
        *log.extras,
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(entries: Sequence[Entry]) -> Iterator[str]:
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    for entry in entries:
        cells = (entry.name, entry.date, escape(entry.config), *values_of(entry), notes_cell(entry))
        yield f"| {' | '.join(cells)} |"


def values_of(entry: Entry) -> tuple[str, str]:
    """The cells Loss and Score."""
    loss, score = (_value(entry, kind) for kind in (LOSS, SCORE))
    return escape(loss), escape(score)


def _value(entry: Entry, kind: str) -> str:
    """The leading result of a kind, with its name where that is not the column's."""
    name = leading(entry.results, kind, entry.goals)
    if not name:
        return ""
    return number(entry.results[name]) + (f" ({name})" if name != kind else "")


def notes_cell(entry: Entry) -> str:
    """What we say of a run, then what somebody wrote."""
    return "; ".join(filter(None, [escape(entry.notice), entry.remark]))


def best_entries(entries: Sequence[Entry]) -> list[tuple[str, str, Entry]]:
    """The best run of each program by each leading result, a loss before a score: program, metric, run.

    Results of different programs, or by different metrics, do not compare.
    """
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        if metric := _leading(entry):
            groups.setdefault((entry.program, metric), []).append(entry)
    found = []
    for (program, metric), group in groups.items():
        first = best_runs([entry.run for entry in group], metric, goal_of(metric, goals_in(group)))[0]
        found.append((program, metric, next(entry for entry in group if entry.name == first.name)))
    return found


def _leading(entry: Entry) -> str:
    return leading(entry.results, LOSS, entry.goals) or leading(entry.results, SCORE, entry.goals)


def _best(entries: Sequence[Entry]) -> Iterator[str]:
    found = best_entries(entries)
    if not found:
        yield "Nothing has finished yet."
    for program, metric, entry in found:
        loss, score = values_of(entry)
        if len(found) > 1:
            yield f"- **Program**: {escape(program) or NOTHING}, by {escape(metric)}"
        yield f"- **Run**: {entry.name}"
        yield f"- **Config**: {escape(entry.config) or NOTHING}"
        yield f"- **Loss**: {loss or NOTHING}"
        yield f"- **Score**: {score or NOTHING}"


def _section(entry: Entry) -> str:
    commit = f"commit {entry.commit[:8]}{', files changed' * entry.commit.endswith('+')}" if entry.commit else ""
    config = "; ".join(filter(None, [escape(entry.config), escape(entry.launching), commit]))
    parts = [
        f"### {entry.name}",
        f"**Goal**: {entry.goal}" if entry.goal else f"**Goal**: {NOTHING}",
        f"**Config**: {config or NOTHING}",
        _fenced(printable(entry.command)),
        f"**Results**: {escape(describe_results(entry.results)) or NOTHING}",
        "**Observations**:",
        entry.observations,
        f"**Status**: {escape(entry.status)}" + (f", {entry.ended[:10]}" if entry.ended else ""),
    ]
    return "\n\n".join(part for part in parts if part)


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}bash\n{text}\n{fence}"


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────


@mutable
class Written:
    """What people may have written into a page.

    Attributes:
        goals: Id → Goal.
        observations: Id → Observations.
        cells: Id → Notes cell, as it stands.
        between: Id → lines of its section that are none of these.
        todos: Things to try; None where the page has no such list.
        extras: Sections that are not ours.
    """

    goals: dict[str, str] = field(default_factory=dict)
    observations: dict[str, str] = field(default_factory=dict)
    cells: dict[str, str] = field(default_factory=dict)
    between: dict[str, list[str]] = field(default_factory=dict)
    todos: list[Todo] | None = None
    extras: list[str] = field(default_factory=list)


def conflict_in(text: str) -> int | None:
    """The line, from 1, where a merge left its marks; None where there are none."""
    return next((n for n, line in enumerate(text.split("\n"), 1) if _CONFLICT.match(line) and line[0] in "<>"), None)


def read_page(text: str, known: Sequence[str]) -> Written:
    """Read back what people wrote.

    Args:
        known: Ids of the log; a section of another name is somebody's own.

    Raises:
        InputError: The page holds the marks of a merge conflict.
    """
    if line := conflict_in(text):
        raise InputError(
            f"holds a merge conflict (line {line}): the page was left as it is. Keep what you want from both sides, "
            "remove the markers (<<<<<<< ======= >>>>>>>), then: python -m hpc.history render"
        )
    found = Written()
    ids = set(known)
    stray: list[str] = []
    for title, lines in _sections(text):
        if title in ("", TITLE):
            stray += [line for line in lines if not _STATE.match(line)]
        elif title == f"## {SUMMARY}":
            stray += [line for line in lines if not _takes_row(found, line)]
        elif title == f"## {BEST}":
            stray += [line for line in lines if not _BEST_LINE.match(line)]
        elif title == f"## {EXPERIMENTS}":
            stray += lines
        elif title.startswith("### ") and title[4:] in ids and title[4:] not in found.goals:
            _read_section(found, title[4:], lines)
        elif title == f"## {TODO}":
            found.todos = [*(found.todos or []), *_read_todos(lines)]
        else:
            found.extras.append(_tidy([title, *lines]))
    if kept := _tidy(stray):
        found.extras.insert(0, f"## Notes\n\n{kept}")
    return found


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    """The page by its headings of the first three levels; one inside a code block is none."""
    title, fence = "", ""
    lines: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        found = re.match(r"^(`{3,}|~{3,})", line)
        if found and not fence:
            fence = found[1]
        elif found and found[1].startswith(fence) and not line.strip("`~ "):
            fence = ""
        elif not fence and re.match(r"^#{1,3} ", line):
            yield title, lines
            title, lines = line.rstrip(), []
            continue
        lines.append(line)
    yield title, lines


def read_state(text: str) -> str:
    """Which log a page was written from, as `entries.stamp` gives it; empty where it does not say."""
    return next((found[1] or "" for line in text.split("\n") if (found := _STATE.match(line))), "")


def _takes_row(found: Written, line: str) -> bool:
    """Whether a line is of our table; a row of a known run gives its Notes."""
    if not line.lstrip().startswith("|"):
        return False
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))]
    if tuple(cells) == COLUMNS or not line.strip("|-: "):
        return True
    if len(cells) >= len(COLUMNS):  # a bar that somebody wrote into Notes makes more of them
        found.cells[cells[0]] = r" \| ".join(cells[len(COLUMNS) - 1 :]).strip()
    return len(cells) >= len(COLUMNS)


def _read_section(found: Written, name: str, lines: Sequence[str]) -> None:
    parts: dict[str, list[str]] = {"": []}
    place, fence = "", ""
    for line in lines:
        mark = re.match(r"^(`{3,}|~{3,})", line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        field_found = None if fence else _FIELD.match(line)
        if field_found and field_found[1] not in parts:
            place = field_found[1]
            parts[place] = [field_found[2].strip()]
        else:
            parts[place].append(line)
    goal = _tidy(parts.pop("Goal", []))
    found.goals[name] = "" if goal == NOTHING else goal
    found.observations[name] = _tidy(parts.pop("Observations", []))
    found.between[name] = [line for part in parts.values() for line in part if line.strip()]


def _read_todos(lines: Sequence[str]) -> Iterator[Todo]:
    for line in lines:
        if box := _TODO_LINE.match(line):
            yield Todo(box[2].strip(), box[1] != " ")
        elif line.strip():
            yield Todo(re.sub(r"^\s*(?:[-*+]|\d+[.)])\s+", "", line).strip())


def _tidy(lines: Sequence[str]) -> str:
    return "\n".join(line.rstrip() for line in lines).strip("\n").rstrip()


# ── what somebody changed ────────────────────────────────────────────────────────────────────────────────────────


def changes(page: str, now: Log, base: Log | None, written: str = "") -> dict[str, Any]:
    """What somebody wrote into a page since it was written, as the ``page`` event that keeps it; empty for nothing.

    Args:
        now: The log as it stands.
        base: The log that the page was written from; None where that is not known: then nothing is taken as removed.
        written: The page of `now`, where it was written already.

    Raises:
        InputError: The page holds a merge conflict.
    """
    names = [entry.name for entry in now.entries]
    found = read_page(page, names)
    ours = read_page(written or render_page(now, ""), names)
    old = ours if base is now else read_page(render_page(base, ""), names) if base else None
    event: dict[str, Any] = {}
    for key, theirs, before, current in (
        ("goals", found.goals, old.goals if old else None, ours.goals),
        ("observations", found.observations, old.observations if old else None, ours.observations),
    ):
        merged = {
            name: _merge(text, None if before is None else before.get(name, ""), current[name])
            for name, text in theirs.items()
        }
        event[key] = {name: text for name, text in merged.items() if text != current[name]}
    for name, added in _between(found, old, now, ours).items():
        noted = event["observations"].get(name, ours.observations[name])
        event["observations"][name] = "\n".join(filter(None, [noted, added]))
    event["remarks"] = _remarks(found, base, now)
    todos = None if found.todos is None else _merge_todos(found.todos, old.todos if old else None, ours.todos or [])
    if todos is not None and todos != ours.todos:
        event["todos"] = [{"text": each.text, "done": each.done} for each in todos]
    extras = found.extras if old else list(dict.fromkeys([*ours.extras, *found.extras]))
    if old and ours.extras != old.extras:
        extras = list(dict.fromkeys([*found.extras, *(each for each in ours.extras if each not in old.extras)]))
    if extras != ours.extras:
        event["extras"] = extras
    return {key: value for key, value in event.items() if value or key in ("todos", "extras")}


def _merge(theirs: str, before: str | None, ours: str) -> str:
    """Three-way merge of a text; where both sides changed it, their lines stand after ours and none twice."""
    if theirs in (before, ours):
        return ours
    if before is not None and before == ours:
        return theirs
    had = set(ours.split("\n"))
    return "\n".join(filter(None, [ours, *(line for line in theirs.split("\n") if line not in had)]))


def _between(found: Written, old: Written | None, now: Log, ours: Written) -> Mapping[str, str]:
    """Lines that somebody wrote between ours in a section, by id.

    Only where we know what we had written: an old line of ours is nobody's observation.
    """
    own = {entry.name for entry in now.entries if not entry.experiment}
    return {
        name: "\n".join(added)
        for name, lines in found.between.items()
        if old and name in own and name in old.between
        and (added := [line for line in lines if line not in old.between[name] and line not in ours.between[name]])
    }  # fmt: skip


def _remarks(found: Written, base: Log | None, now: Log) -> dict[str, str]:
    changed = {}
    for entry in now.entries:
        cell = found.cells.get(entry.name)
        before = base.find(entry.name) if base else None
        if cell is None or cell == notes_cell(entry) or (before and cell == notes_cell(before)):
            continue
        notices = [escape(each.notice) for each in (before, entry) if each and each.notice]
        start = next((each for each in notices if cell == each or re.match(re.escape(each) + r"\s*[;,.:]", cell)), "")
        remark = cell[len(start) :].lstrip(" ;,.:").strip()
        merged = _merge(remark, before.remark if before else None, entry.remark).replace("\n", "; ")
        if merged != entry.remark:
            changed[entry.name] = merged
    return changed


def _merge_todos(theirs: Sequence[Todo], before: Sequence[Todo] | None, ours: Sequence[Todo]) -> list[Todo]:
    """Theirs, with what was added to the log meanwhile, and ticked where either side ticked it."""
    known = {each.text: each for each in before or ()}
    done = {each.text for each in ours if each.done and not (known.get(each.text) and known[each.text].done)}
    listed = {each.text for each in theirs}
    merged = [Todo(each.text, each.done or each.text in done) for each in theirs]
    return [*merged, *(each for each in ours if each.text not in listed and (before is None or each.text not in known))]
