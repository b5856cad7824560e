"""What of a program's output goes into the record of its end."""

from pathlib import Path

import pytest

from hpc.core.layout import AttemptLayout
from hpc.node.exit_record import _printed_data_hash

SHA = "5e1f" * 16


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (f"loading\ndata_hash: {SHA}\nStep 1 | val_loss: 2\n", SHA),
        (f"data_hash: {SHA}\r\ndata_hash: 0123456789\n", SHA),
        (f"the data_hash: {SHA}\n", None),
        ("data_hash: not computed\n", None),
        (f"{'x' * 70_000}\ndata_hash: {SHA}\n", None),
        ("", None),
    ],
)
def test_a_printed_data_hash_is_kept(tmp_path: Path, output: str, found: str | None) -> None:
    """The first line that is one, near the beginning; nothing else is taken for one."""
    attempt = AttemptLayout(tmp_path)
    attempt.stdout.write_bytes(output.encode())
    assert _printed_data_hash(attempt) == found


def test_no_output_has_no_data_hash(tmp_path: Path) -> None:
    """A log that is not there is no fault here."""
    assert _printed_data_hash(AttemptLayout(tmp_path)) is None
