"""What `hpc report --json` says of used and asked for is what `hpc usage --json` says of the same results."""

import json
from pathlib import Path

from analysis.data.frame import load_frame
from analysis.findings.findings import find_findings
from analysis.report import BuiltReport, _summary
from hpc import usage
from tests.analysis.made_experiments import make_realistic


def test_both_commands_give_the_same_numbers(tmp_path: Path) -> None:
    """Runs, shares, where the time went and the advice."""
    layout = make_realistic(tmp_path).write()
    found = find_findings(load_frame(layout))
    told = json.loads(json.dumps(_summary(BuiltReport(layout, found, (), 0)), allow_nan=False))["usage"]
    own = json.loads(json.dumps(usage.describe(layout, usage.look(layout))))

    assert len(told["runs"]) > 5
    assert {name: told[name] for name in ("runs", "split", "ettr", "advice")} == {
        name: own[name] for name in ("runs", "split", "ettr", "advice")
    }
