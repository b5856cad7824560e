"""List every experiment below the root: age, counts, the best value so far, and whether it is held or followed.

    python -m hpc.ls

From small files and what was collected last: Slurm is not asked (`hpc.standing.listed`).
"""

import time
from dataclasses import asdict

import click

from hpc.console import json_option, print_json, print_table, say, speaks_plainly
from hpc.core.errors import EXIT_DONE
from hpc.core.failures.outcomes import Outcome
from hpc.standing.listed import Row, age, list_rows
from hpc.workspace import Workspace


@click.command(epilog="Example: python -m hpc.ls --json")
@json_option
@speaks_plainly
def main(as_json: bool) -> int:
    """List the experiments below the root (HPC_ROOT, default ./runs), most recently planned first."""
    workspace = Workspace.current()
    rows = list(list_rows(workspace))
    if as_json:
        print_json({"root": str(workspace.root), "experiments": [asdict(row) for row in rows]})
    elif rows:
        show(rows, time.time())
    else:
        say(f"nothing was planned below {workspace.root}; to begin: python -m hpc.init --yes")
    return EXIT_DONE


def show(rows: list[Row], now: float) -> None:
    """Print the list."""
    cells = [(row.name, age(now - row.planned), row.tasks if row.tasks is not None else "?", _counts(row, now),
              row.best.removeprefix("best ") or "–", " ".join(row.state) or "–") for row in rows]  # fmt: skip
    print_table("", ("experiment", "planned", "tasks", "collected", "best", "state"), cells, right=(2,))
    say(f"to see where one stands: python -m hpc.status {rows[0].name}")


def _counts(row: Row, now: float) -> str:
    if row.problem:
        return row.problem
    if row.collected is None:
        return "not yet"
    told = ", ".join(f"{row.outcomes[each]} {each}" for each in Outcome if row.outcomes.get(each))
    return f"{told} ({age(now - row.collected)} ago)"


if __name__ == "__main__":
    main()
