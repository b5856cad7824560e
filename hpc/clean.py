"""Make room: say what of an experiment can go and what stays and why, then remove it.

    python -m hpc.clean lora_sweep --dry-run
    python -m hpc.clean lora_sweep --checkpoints --older-than 30d --yes

Results stay as they are: checkpoints go only of runs that have finished and were collected so, copies of code only
where no task of the plan was made with them. Without a kind: checkpoints, code and caches.
"""

import re
import shlex
import sys
from collections import defaultdict

import click

from hpc.adapters.collected_file import read_entries
from hpc.adapters.locks import lock
from hpc.adapters.progress import working
from hpc.adapters.removal import Size
from hpc.console import dry_run_option, json_option, name_argument, note, print_json, print_table, say, speaks_plainly
from hpc.core.errors import EXIT_DONE, EXIT_FAILED, InputError, NothingToDo, Problem
from hpc.core.layout import RunLayout
from hpc.core.words import few
from hpc.housekeeping.freeing import KINDS, USUAL, Cleaning, Freed, Item, Kept, carry_out, in_words, plan_cleaning
from hpc.snapshots.snapshot import take_snapshot
from hpc.unattended.lease import LOCK_S
from hpc.workspace import Workspace

_UNITS = {"h": 3600, "d": 86400, "w": 7 * 86400}


@click.command(epilog="Example: python -m hpc.clean lora_sweep --older-than 30d --dry-run")
@name_argument
@click.option(
    "--checkpoints", "kinds", flag_value="checkpoints", multiple=True, help="Checkpoints of finished, collected runs."
)
@click.option("--code", "kinds", flag_value="code", multiple=True, help="Copies of code that no task uses.")
@click.option("--caches", "kinds", flag_value="caches", multiple=True, help="Caches and left-over temporary files.")
@click.option(
    "--work", "kinds", flag_value="work", multiple=True, help="Files that finished, collected runs left in work/."
)
@click.option(
    "--images",
    "kinds",
    flag_value="images",
    multiple=True,
    help="Stored images that no experiment below the root uses.",
)
@click.option("--aside", "kinds", flag_value="aside", multiple=True, help="Runs that made way for a changed plan.")
@click.option("--older-than", metavar="AGE", help="Only files last written longer ago than AGE: 12h, 30d, 2w.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@dry_run_option
@json_option
@speaks_plainly
def main(
    name: str | None, kinds: tuple[str, ...], older_than: str | None, yes: bool, dry_run: bool, as_json: bool
) -> int:
    """Free disk space: remove what experiment NAME (default: the one planned last) no longer needs."""
    age_s = parse_age(older_than) if older_than else 0.0
    workspace = Workspace.current()
    layout = workspace.layout(name)
    wanted = [kind for kind in KINDS if kind in (kinds or USUAL)]
    with lock(layout.lock, timeout_s=LOCK_S):
        with working(f"looking through {layout.experiment}"):
            snapshot = take_snapshot(layout)
            cleaning = plan_cleaning(snapshot, wanted, older_than_s=age_s, experiments=workspace.experiments)
        if dry_run or not cleaning.items:
            return _say_only(layout, cleaning, dry_run=dry_run, as_json=as_json)
        if not as_json:
            show(layout, cleaning)
        if not yes and not _agrees(layout, cleaning, as_json=as_json):
            say("nothing was removed")
            return EXIT_DONE
        freed = carry_out(layout, cleaning)
    if as_json:
        print_json(describe(layout, cleaning, freed))
    else:
        say(f"freed {in_words(freed.size())}")
    for problem in freed.problems:
        note(problem)
    return EXIT_FAILED if freed.problems else EXIT_DONE


def parse_age(text: str) -> float:
    """Read ``30d`` as seconds.

    Raises:
        InputError: It is no age.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", text.strip())
    if not found:
        raise InputError([Problem(f"{text!r} is not an age; write hours, days or weeks: 12h, 30d, 2w", "--older-than")])
    return float(found[1]) * _UNITS[found[2]]


def _agrees(layout: RunLayout, cleaning: Cleaning, *, as_json: bool) -> bool:
    """Ask a person.

    Raises:
        InputError: There is none.
    """
    if as_json or not sys.stdin.isatty():
        name = shlex.quote(layout.experiment)
        raise InputError(f"nothing was removed; to remove it: python -m hpc.clean {name} --yes")
    return click.confirm(f"remove {in_words(cleaning.size())}?")


def _say_only(layout: RunLayout, cleaning: Cleaning, *, dry_run: bool, as_json: bool) -> int:
    if as_json:
        print_json(describe(layout, cleaning, None))
    elif cleaning.items:
        show(layout, cleaning)
    else:
        _show_kept(cleaning)
    if not cleaning.items:
        ask = "" if read_entries(layout) else f"; first collect it: python -m hpc.collect {layout.experiment}"
        raise NothingToDo(f"{layout.experiment}: nothing to remove{ask}")
    if dry_run and not as_json:
        say(f"would free {in_words(cleaning.size())}")
    return EXIT_DONE


def show(layout: RunLayout, cleaning: Cleaning) -> None:
    """Print what would go, and what stays and why."""
    by_kind: dict[str, list[Item]] = defaultdict(list)
    for item in cleaning.items:
        by_kind[item.kind].append(item)
    rows = [
        (kind, _names([item.run or item.path.name for item in items]), *_columns(sum((i.size for i in items), Size())))
        for kind, items in by_kind.items()
    ]
    rows.append(("all", "", *_columns(cleaning.size())))
    print_table(f"{layout.experiment}: can be removed", ("what", "of", "bytes", "files"), rows, right=(2, 3))
    _show_kept(cleaning)


def _show_kept(cleaning: Cleaning) -> None:
    by_why: dict[tuple[str, str], list[Kept]] = defaultdict(list)
    for each in cleaning.kept:
        by_why[each.kind, each.why].append(each)
    rows = [
        (kind, _names([each.what for each in kept]), *_columns(sum((each.size for each in kept), Size())), why)
        for (kind, why), kept in by_why.items()
    ]
    if rows:
        print_table("stays", ("what", "of", "bytes", "files", "why"), rows, right=(2, 3))


def _names(names: list[str]) -> str:
    return few(list(dict.fromkeys(names)), most=3)


def _columns(size: Size) -> tuple[str, str]:
    return f"{size.bytes:,}", f"{size.files:,}"


def describe(layout: RunLayout, cleaning: Cleaning, freed: Freed | None) -> dict[str, object]:
    """What went or would go, and what stays, as one JSON value."""
    items, size = (cleaning.items, cleaning.size()) if freed is None else (freed.items, freed.size())
    return {
        "experiment": layout.experiment,
        "would_free" if freed is None else "freed": [
            {"kind": each.kind, "run": each.run, "path": str(each.path), **_size(each.size)} for each in items
        ],
        **_size(size),
        "kept": [{"kind": each.kind, "what": each.what, "why": each.why, **_size(each.size)} for each in cleaning.kept],
        "problems": list(freed.problems) if freed else [],
    }


def _size(size: Size) -> dict[str, int]:
    return {"bytes": size.bytes, "files": size.files}


if __name__ == "__main__":
    main()
