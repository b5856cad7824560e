"""What a folder takes on the disk."""

from pathlib import Path

from hpc.adapters.space import size_of


def test_a_folder_is_measured_by_what_it_takes(tmp_path: Path) -> None:
    """Blocks on the disk and entries; a hole takes nothing."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_bytes(b"x" * (1 << 20))
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(1 << 30)
    mib, count = size_of(tmp_path)

    assert count == 3
    assert 0.9 < mib < 2.0
