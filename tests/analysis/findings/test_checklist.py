"""The checklist for a paper: what is declared is printed, what is not is said not to be, in every form."""

import json
from pathlib import Path

import pytest

from analysis.report import main
from tests.analysis.made_experiments import make_arms

REPORTING = {
    "seed_varies": ["initialisation", "order"],
    "split": "validation",
    "tuning": {"baseline": "20 trials", "others": "5 trials"},
}


@pytest.mark.parametrize("is_declared", [False, True])
def test_the_checklist_is_filled(tmp_path: Path, is_declared: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """HTML, Markdown and JSON have the same answers; what only the author knows is never guessed."""
    experiment = make_arms(tmp_path, [{1: 1.0, 2: 1.2, 3: 0.9}, {1: 0.8, 2: 0.9, 3: 0.7}, {1: 1.1, 2: 1.0, 3: 1.3}])
    if is_declared:
        experiment.spec["reporting"] = REPORTING
    layout = experiment.write()

    assert main([layout.experiment, "--root", str(layout.root), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["checklist"]
    pages = [(layout.report / name).read_text("utf-8") for name in ("report.html", "report.md")]
    declared = {
        "Data split on which the results were measured": "validation",
        "How the hyperparameters were chosen": "baseline: 20 trials; others: 5 trials",
        "Factors of variability that the error bars capture": "the seed: initialisation and order",
    }
    for name, text in declared.items():
        assert told[name] == text if is_declared else told[name].startswith("not declared (reporting.")
        assert all(name in page for page in pages)
    assert all(("20 trials" in page) == is_declared for page in pages)
    assert "seed-blocked linear model over 2 arms and 3 seeds" in told["Method for calculating the error bars"]
    assert told["Runs behind each number"] == "3 per configuration"
