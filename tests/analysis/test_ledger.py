"""The ledger of exports: what was sent is kept, and a damaged one is refused in words."""

from pathlib import Path

import pytest

from analysis.exports.ledger import Ledger
from hpc.core.errors import InputError

TARGET = {"to": "wandb", "where": "here"}


def test_what_was_sent_is_known_again(tmp_path: Path) -> None:
    """A second export of the same target finds what the first noted; one of another target counts for nothing."""
    path = tmp_path / "ledger.json"
    Ledger(path, TARGET).note("a", "digest", "place")

    assert Ledger(path, TARGET).has("a", "digest")
    assert not Ledger(path, TARGET).has("a", "other")
    assert not Ledger(path, {**TARGET, "where": "there"}).has("a", "digest")


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe{}", b"[" * 100_000, b"", b"[1]", b'{"target": {}}', b'{"target": {}, "sent": 3}',
        b'{"target": {}, "sent": {"a": 3}}',
    ],
)  # fmt: skip
def test_a_damaged_ledger_is_refused_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    """Whatever bytes stand there: the message names the file and the command that takes it out of the way."""
    path = tmp_path / "ledger.json"
    path.write_bytes(content)

    with pytest.raises(InputError, match="mv ") as caught:
        Ledger(path, TARGET)
    assert str(path) in str(caught.value)
