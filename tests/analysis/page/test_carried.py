"""What a report takes with it: its data inside the page while that stays light, and one archive of everything."""

import base64
import gzip
import io
import json
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from analysis.page.carried import MOST, PLAIN, carry_csv, pack
from analysis.report import main
from tests.analysis.made_experiments import Experiment


def test_a_small_table_is_carried_as_it_is_and_a_large_one_compressed() -> None:
    """Both come back byte for byte under a name that says what they are, and twice the same."""
    small, large = "a,b\n1,é\n", "a,b\n" + "1,2\n" * PLAIN
    for text, ending, unpack in ((small, "csv", bytes), (large, "csv.gz", gzip.decompress)):
        found = carry_csv("sweep", text)
        assert found.saved == f"sweep-runs.{ending}"
        assert unpack(base64.b64decode(found.data.partition("base64,")[2])).decode() == text
        assert carry_csv("sweep", text) == found


def test_a_table_too_large_for_a_page_is_named_instead() -> None:
    """What does not compress below the bound is left beside the page, and its size is said."""
    text = np.random.default_rng(0).bytes(MOST + 50_000).hex()
    found = carry_csv("sweep", text)

    assert len(gzip.compress(text.encode())) > MOST
    assert found.data == ""
    assert found.name == "runs.csv"


def test_an_archive_has_the_same_bytes_and_is_its_owner_s() -> None:
    """Order of the files and time of packing change nothing; every entry is for the owner alone, below one folder."""
    one = pack("report-x", {"b.csv": b"2", "a.csv": b"1"})
    assert one == pack("report-x", {"a.csv": b"1", "b.csv": b"2"})
    with zipfile.ZipFile(io.BytesIO(one)) as archive:
        assert archive.namelist() == ["report-x/a.csv", "report-x/b.csv"]
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o100600}


def test_bundle_is_one_file_of_everything(realistic: Experiment, capsys: pytest.CaptureFixture[str]) -> None:
    """--bundle packs pages, figures, tables and findings; its name is printed; packed again it is the same."""
    layout = realistic.write()
    arguments = ["lora_sweep", "--root", str(layout.root), "--format", "md", "--bundle"]
    assert main(arguments) == 0
    path = layout.report / "report-lora_sweep.zip"
    assert f"packed {path}" in capsys.readouterr().out
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        names = {Path(name).name for name in archive.namelist()}
        assert {"report.md", "report.json", "runs.csv", "front.svg", "table-results.csv"} <= names
        told = json.loads(archive.read("report-lora_sweep/report.json"))
        assert told["counts"]["planned"] == 18
        assert set(told["files"]) == names - {"report.json"}
    assert main(arguments) == 0
    assert path.read_bytes() == first
    assert main(arguments[:-1]) == 0
    assert not path.exists()


@pytest.mark.parametrize("also", [("--style", "s1"), ("--compare", "a", "b")])
def test_bundle_goes_with_the_whole_report_only(
    realistic: Experiment, capsys: pytest.CaptureFixture[str], also: tuple[str, ...]
) -> None:
    """With a form that is one file, or with two experiments, it is an error of use."""
    name = () if also[0] == "--compare" else ("lora_sweep",)
    assert main([*name, "--root", str(realistic.write().root), "--bundle", *also]) == 2
    assert also[0] in capsys.readouterr().err
