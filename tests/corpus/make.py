"""Write the made cases: ``python -m tests.corpus.make`` renders the logs and the labels of `made_*` into this folder.

The cases of the other origins (``first``: the short ones the first rules were written with; ``provoked``: see
`tests.corpus.provoke`) are kept as they are.
"""

import json
from pathlib import Path
from typing import Any

from tests.corpus.blocks import play
from tests.corpus.made_failures import CASES, Made
from tests.corpus.made_fifth import FIFTH
from tests.corpus.made_fourth import FOURTH
from tests.corpus.made_fresh import FRESH, SECOND, THIRD
from tests.corpus.made_sixth import SIXTH
from tests.corpus.made_traps import TRAPS

HERE = Path(__file__).parent


def row(case: Made, origin: str) -> dict[str, Any]:
    """A case as a line of cases.jsonl; empty fields are left out."""
    optional = {"metrics": case.metrics, "evidence": case.evidence, "alt": list(case.alt)}
    return {
        "id": case.id, "log": f"logs/{origin}/{case.id}.log", "slurm_state": case.state, "exit_code": case.exit,
        "category": case.category, "why": case.why, "origin": origin,
        **{key: value for key, value in optional.items() if value},
    }  # fmt: skip


def main() -> None:
    """Render every made case."""
    rows = []
    waves = {
        "made": [*CASES, *TRAPS], "fresh": FRESH, "second": SECOND, "third": THIRD, "fourth": FOURTH, "fifth": FIFTH,
        "sixth": SIXTH,
    }  # fmt: skip
    for origin, cases in waves.items():
        folder = HERE / "logs" / origin
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob("*.log"):
            stale.unlink()
        for case in cases:
            (folder / f"{case.id}.log").write_text(play(case.id, case.parts) if case.parts else "", encoding="utf-8")
        rows += [row(case, origin) for case in cases]
    table = HERE / "cases.jsonl"
    kept = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    rows = [old for old in kept if old["origin"] in ("first", "provoked")] + rows
    assert len({row["id"] for row in rows}) == len(rows)
    table.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
