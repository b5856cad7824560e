"""A pattern that nothing matches, a file that nobody wrote: the commonest slip beside a wrong command."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

import hpc.collect
from tests.hpc.strangers.repository import Repository

PROGRAM = "open('log.csv', 'w').write('step,acc\\n1,0.5\\n'); print('loss: 1'); print('{\"step\": 1, \"acc\": 2}')"
SOURCES = {
    "{stdout: 'loss=(?P<loss>.*)'}": "no line of its output matched loss in metrics.source.stdout: loss=(?P<loss>.*)",
    "{json: step}": "no line of its output was a JSON object with loss (metrics.source.json)",
    "{csv: lgo.csv}": "it left no lgo.csv with loss (metrics.source.csv)",
    "{csv: log.csv}": "it left no log.csv with loss (metrics.source.csv)",
    "{json_file: results.json}": "it left no results.json with loss (metrics.source.json_file)",
    "{tensorboard: runs}": "it left no runs with loss (metrics.source.tensorboard)",
    "{wandb: wandb}": "it left no wandb with loss (metrics.source.wandb)",
}


def verdict_of(repository: Repository) -> dict[str, Any]:
    """The verdict on the only run's last attempt."""
    done = CliRunner().invoke(hpc.collect.main, ["theirs"])
    assert done.exit_code in (0, 1), done.output
    (task,) = json.loads((repository.root / "theirs/collected/verdicts.json").read_text())["tasks"]
    return dict(task["attempts"][-1]["verdict"])


@pytest.mark.parametrize("source", SOURCES)
def test_what_was_looked_for_and_not_found_is_said(repository: Repository, source: str) -> None:
    """No blind retry of hours: the experiment is to be mended, and the evidence says where."""
    repository.write("t.py", PROGRAM)
    repository.profile("here", scheduler="local")
    repository.experiment()
    path = repository.folder / "manifests/experiments/theirs.yaml"
    path.write_text(path.read_text().replace("{stdout: 'loss=(?P<loss>\\S+)'}", source))
    repository.plan(cluster="here")
    assert repository.on_a_node() == 0
    verdict = verdict_of(repository)
    assert (verdict["category"], verdict["rule"]) == ("config", "metrics-source-matched-nothing")
    assert [line["text"] for line in verdict["evidence"]] == [f"the program ended normally, but {SOURCES[source]}"]


@pytest.mark.parametrize("program", ["print('loss=much')", "raise SystemExit(3)"])
def test_another_reason_goes_before_it(repository: Repository, program: str) -> None:
    """A value that is no number is that; a program that failed is no matter of patterns."""
    repository.write("t.py", program)
    repository.profile("here", scheduler="local")
    repository.experiment()
    repository.plan(cluster="here")
    repository.on_a_node()
    assert verdict_of(repository)["rule"] != "metrics-source-matched-nothing"


@pytest.mark.parametrize("printed", ["12.5%", "3ms", "much"])
def test_what_is_found_and_is_no_number_is_a_matter_of_the_pattern(repository: Repository, printed: str) -> None:
    """It will be none the next time either: no retry, and what to write instead."""
    repository.write("t.py", f"print('loss={printed}')")
    repository.profile("here", scheduler="local")
    repository.experiment()
    repository.plan(cluster="here")
    repository.on_a_node()
    verdict = verdict_of(repository)
    assert (verdict["category"], verdict["rule"]) == ("config", "metrics-source-matched-no-number")
    assert f"'{printed}' is not a number" in verdict["evidence"][-1]["text"]
    assert "hold the number alone" in verdict["suggestion"]


LOGGED = "import logging; logging.basicConfig(level=20); logging.info('loss=0.25'); print('done')"


def test_a_program_that_logs_to_stderr_is_read_there(repository: Repository) -> None:
    """Python's `logging`, absl and tqdm write to stderr: one process is read there where its stdout had no metric."""
    repository.write("t.py", LOGGED)
    repository.profile("here", scheduler="local")
    repository.experiment()
    repository.plan(cluster="here")
    assert repository.on_a_node() == 0
    assert verdict_of(repository)["category"] == "success"
    (task,) = json.loads((repository.root / "theirs/collected/verdicts.json").read_text())["tasks"]
    assert task["summary"]["loss"] == 0.25


def test_stdout_goes_before_stderr(repository: Repository) -> None:
    """Where both have a match, it is stdout's that counts, as it says in the experiment."""
    repository.write("t.py", f"{LOGGED}; print('loss=1.5')")
    repository.profile("here", scheduler="local")
    repository.experiment()
    repository.plan(cluster="here")
    assert repository.on_a_node() == 0
    assert verdict_of(repository)["category"] == "success"
    (task,) = json.loads((repository.root / "theirs/collected/verdicts.json").read_text())["tasks"]
    assert task["summary"]["loss"] == 1.5
