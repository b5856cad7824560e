"""The head of ``verdicts.json`` is read without its tasks; any other JSON as a whole."""

from pathlib import Path

import pytest

from hpc.adapters.verdict_lines import line_of, read_head, write_verdicts
from hpc.core.errors import InputError


@pytest.mark.parametrize("runs", [0, 1, 3])
def test_the_head_is_all_but_the_tasks(tmp_path: Path, runs: int) -> None:
    """Whatever stands in it, and however many tasks follow."""
    told = {"experiment": 'é"],\n', "notes": ["tasks", ' "tasks": [']}
    write_verdicts(tmp_path / "verdicts.json", 1, told, (line_of({"task_id": str(run)}) for run in range(runs)))
    assert read_head(tmp_path / "verdicts.json") == {"schema": 1, **told}


def test_other_json_is_read_whole_and_damage_is_said(tmp_path: Path) -> None:
    """Of earlier versions, or edited: what is there counts; no object says nothing."""
    path = tmp_path / "verdicts.json"
    for text, expected in (('{"ledger": "a",\n"tasks": []}', {"ledger": "a", "tasks": []}), ("[1]", {}), ("{}", {})):
        path.write_text(text)
        assert read_head(path) == expected
    path.write_text('{"ledger": "a",')
    with pytest.raises(InputError, match="cut or edited"):
        read_head(path)
