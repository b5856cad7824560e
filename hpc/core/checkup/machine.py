"""What the machine that commands are typed on must have: interpreter, packages, limits of the shell."""

import re
from collections.abc import Mapping, Sequence

from hpc.core.checkup.check import Check, Severity
from hpc.core.words import counted, few

LEAST_PYTHON = (3, 11)
ENOUGH_FILES, FEW_FILES = 1024, 128
ENOUGH_PROCESSES, FEW_PROCESSES = 256, 32
ENOUGH_CPU_S = 3600
UNLIMITED = -1
"""As `resource.RLIM_INFINITY`."""

_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*\(?(?P<bounds>[^;()]*)\)?\s*(?:;(?P<marker>.*))?"
)
_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")


def judge_python(version: Sequence[int], path: str) -> Check:
    """Judge an interpreter by its version."""
    said = f"{'.'.join(map(str, version[:3]))} ({path})"
    least = ".".join(map(str, LEAST_PYTHON))
    if tuple(version[:2]) >= LEAST_PYTHON:
        return Check("python", said, f"{least} or newer")
    return Check(
        "python", said, f"{least} or newer",
        "name a newer one in the profile (python: /path/to/python3.11): ls /usr/bin/python3.1*", Severity.BLOCKING,
    )  # fmt: skip


def parse_requirement(text: str) -> tuple[str, str, str]:
    """Split ``click>=8.1,<9; extra == "x"`` into name, bounds and the optional part it belongs to; empty for none."""
    found = _REQUIREMENT.match(text.strip())
    if found is None:
        return text.strip(), "", ""
    extra = _EXTRA.search(found["marker"] or "")
    return found["name"], found["bounds"].replace(" ", ""), extra[1] if extra else ""


def fits(version: str, bounds: str) -> bool:
    """Whether a version lies within bounds such as ``>=8.1,<9``; of pre-releases the numbers count alone."""
    return all(_holds(_numbers(version), each) for each in bounds.split(",") if each)


def _holds(version: tuple[int, ...], bound: str) -> bool:
    text = bound.lstrip("<>=!~")
    operator, wanted = bound.removesuffix(text), _numbers(text)
    length = max(len(version), len(wanted))
    ours, theirs = (each + (0,) * (length - len(each)) for each in (version, wanted))
    return {
        ">=": ours >= theirs, "<": ours < theirs, ">": ours > theirs, "<=": ours <= theirs, "==": ours == theirs,
        "!=": ours != theirs,
    }.get(operator, True)  # fmt: skip


def _numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else (0,)


def judge_packages(bounds: Mapping[str, str], installed: Mapping[str, str | None]) -> Check:
    """Judge the packages that every command needs.

    Args:
        bounds: Name → bounds.
        installed: Name → version; None where it is not installed.
    """
    wrong = [
        f"{name} {installed.get(name) or 'missing'}"
        for name, asked in bounds.items()
        if (version := installed.get(name)) is None or not fits(version, asked)
    ]
    if not wrong:
        return Check("packages", f"{counted(len(bounds), 'package')} within their bounds")
    named = [word.split(" ")[0] for word in wrong]
    asked = ", ".join(f"{name}{bounds[name]}" for name in named)
    line = " ".join(f"'{name}{bounds[name]}'" for name in named)
    return Check("packages", ", ".join(wrong), asked, f"python -m pip install {line}", Severity.BLOCKING)


def judge_optional(missing: Mapping[str, Sequence[str]], why: Mapping[str, str]) -> Check:
    """Judge the optional parts of the package.

    Args:
        missing: Part → packages of it that are missing or out of bounds.
        why: Part → who needs it, of those that somebody needs now; the others are only noted.
    """
    lacking = {part: packages for part, packages in missing.items() if packages}
    if not lacking:
        return Check("optional packages", "all that are needed")
    needed = [part for part in lacking if part in why]
    told = [
        f"{part}: {few(list(packages))} missing or too old" + (f" ({why[part]})" if part in why else "")
        for part, packages in lacking.items()
        if part in why or not needed
    ]
    spare = [part for part in lacking if needed and part not in why]
    said = "; ".join([*told, *([f"not needed here: {', '.join(spare)}"] if spare else [])])
    return Check(
        "optional packages", said, "what the experiment and the report need",
        f"python -m pip install 'hpc-batch[{','.join(needed or lacking)}]'",
        Severity.WARNING if needed else Severity.NOTE,
    )  # fmt: skip


def judge_open_files(soft: int, hard: int) -> Check:
    """Judge ``ulimit -n``."""
    severity = _against(soft, ENOUGH_FILES, FEW_FILES)
    return _limit("open files", soft, f"{ENOUGH_FILES} or more", severity, "n", hard)


def judge_processes(soft: int, hard: int, running: int) -> Check:
    """Judge ``ulimit -u``: what is left of it beside the user's processes (and threads) that run here."""
    left = soft if soft == UNLIMITED else max(0, soft - running)
    severity = _against(left, ENOUGH_PROCESSES, FEW_PROCESSES)
    check = _limit("processes", soft, f"room for {ENOUGH_PROCESSES} or more", severity, "u", hard)
    if severity is Severity.OK:
        return check
    return Check(check.name, f"{soft}, {running} run", check.expected, check.mend, severity)


def judge_cpu_time(soft: int, hard: int) -> Check:
    """Judge ``ulimit -t``: login nodes end what computes for long, such as a follower or a report."""
    severity = Severity.OK if soft == UNLIMITED or soft >= ENOUGH_CPU_S else Severity.WARNING
    check = _limit("processor time", soft, f"{ENOUGH_CPU_S} s or more", severity, "t", hard)
    if severity is Severity.OK or hard != soft:
        return check
    return Check(
        check.name, check.found, check.expected,
        "python -m hpc.submit --follow  # jobs then collect and report instead of this shell", severity,
    )  # fmt: skip


def _against(limit: int, enough: int, least: int) -> Severity:
    if limit == UNLIMITED or limit >= enough:
        return Severity.OK
    return Severity.WARNING if limit >= least else Severity.BLOCKING


def _limit(name: str, soft: int, expected: str, severity: Severity, letter: str, hard: int) -> Check:
    found = "unlimited" if soft == UNLIMITED else str(soft)
    if severity is Severity.OK:
        return Check(name, found, expected)
    most = "unlimited" if hard == UNLIMITED else str(hard)
    mend = f"ulimit -S{letter} {most}" if hard != soft else f"ask the site for more than {soft} (ulimit -H{letter})"
    return Check(name, found, expected, mend, severity)
