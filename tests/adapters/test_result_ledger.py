"""The ledger is read as far as somebody asks for it: what is added is the same as when all of it is parsed."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpc.adapters.result_ledger import Line, _objects, append_results
from hpc.core.layout import RunLayout

SEED = 20261201
TASKS = [f"{number:012x}" for number in range(6)]
ROUNDS = 40


def _added(folder: Path, content: bytes, wanted: set[str] | None, told: str) -> tuple[str, bytes]:
    """Append a line of each wanted task that was not noted with this value; return the hash, and what was added."""
    layout = RunLayout(folder, "tiny")
    layout.home.mkdir(exist_ok=True)
    layout.ledger.write_bytes(content)

    def choose(known: Mapping[str, Line]) -> Sequence[Line]:
        tasks = TASKS[:3]
        new = [each for each in tasks if known.get(each, {}).get("attempt") != 1]
        return [{"time": 1.0, "task_id": each, "attempt": 1} for each in new]

    newest = append_results(layout, choose, lambda: told, wanted)
    return newest, layout.ledger.read_bytes()


def test_lines_of_other_tasks_need_not_be_parsed(tmp_path: Path) -> None:
    """Whatever stands there: other tasks, cut and edited lines, hashes that are gone, nothing at all."""
    chance = random.Random(SEED)  # noqa: S311  no secret
    for _ in range(ROUNDS):
        content, hashes = b"", [""]
        for _ in range(chance.randrange(4)):
            _, content = _added(tmp_path, content, None, "")
            rows = [row for _, row in _objects(content)]
            other = {**rows[-1], "task_id": chance.choice(TASKS), "attempt": chance.choice((1, 2))}
            other["sha256"] = f"{chance.randrange(1 << 60):064x}"
            hashes += [str(row["sha256"]) for row in (*rows, other)]
            content += json.dumps(other).encode() + chance.choice((b"\n", b"\n\n", b""))
        if content and chance.random() < 0.5:
            place = chance.randrange(len(content))
            content = content[:place] + chance.choice((b"", content[place + 1 :], b'"x\n' + content[place:]))
        told = chance.choice(hashes)
        assert _added(tmp_path, content, set(TASKS[:3]), told) == _added(tmp_path, content, None, told), content
