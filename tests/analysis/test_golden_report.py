"""The whole Markdown report of one experiment against a kept one; what differs by machine is normalised."""

import os
import re
from pathlib import Path

from analysis.report import build
from tests.analysis.made_experiments import make_realistic

GOLDEN = Path(__file__).parent / "golden_report.md"


def _normalised(text: str) -> str:
    """Digests, times of looks and the last digits of numbers: what other versions of the libraries may change."""
    text = re.sub(r"\b[0-9a-f]{12,64}\b", "DIGEST", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)? UTC", "TIME", text)
    return re.sub(r"(\d+\.\d{4})\d+", r"\1…", text)


def test_report_reads_as_the_kept_one(tmp_path: Path) -> None:
    """Every sentence and table of the report is as it was; whoever changes one sees it in the kept file.

    To keep a new one: HPC_KEEP_GOLDEN=1 python -m pytest tests/analysis/test_golden_report.py; read the difference.
    """
    built = build(make_realistic(tmp_path).write(), ("md",))
    text = _normalised((built.layout.report / "report.md").read_text("utf-8"))
    if os.environ.get("HPC_KEEP_GOLDEN") == "1":
        GOLDEN.write_text(text, encoding="utf-8")

    assert text == GOLDEN.read_text("utf-8")
