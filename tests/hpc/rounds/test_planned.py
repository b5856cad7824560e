"""What was planned is read back from memory as it would be read from the manifest, or not at all."""

import json
from pathlib import Path
from typing import Any

import pytest

from hpc.adapters.yaml_file import load_yaml
from hpc.core.experiment.spec import ExperimentSpec
from hpc.core.layout import RunLayout
from hpc.experiments.schema import experiment_from
from hpc.rounds import planned
from hpc.rounds.planned import read_planned
from hpc.snapshots.remembered import Memory

PROJECT = Path(__file__).parents[3]
EXPERIMENTS = sorted((PROJECT / "manifests/experiments").glob("*.yaml"))
CLUSTER = {"name": "here", "binds": [], "setup": []}


def manifest_of(spec: ExperimentSpec) -> dict[str, Any]:
    """As much of a manifest as is read back."""
    raw = json.loads(json.dumps(spec.raw))
    return {"experiment": spec.name, "sha256": "1" * 64, "spec": raw, "cluster": {**CLUSTER, "scheduler": "local"}}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_is_remembered_as_it_is_read(path: Path, tmp_path: Path) -> None:
    """All that is planned here: the second reading needs no schema, and has the same result."""
    manifest = manifest_of(experiment_from(load_yaml(path)))
    memory = Memory(RunLayout(tmp_path, "none"))
    first = read_planned(manifest, memory).spec
    memory.planned = json.loads(json.dumps(memory.planned))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("hpc.experiments.freezing._spec_of", None)
        assert read_planned(manifest, memory).spec == first


def test_of_another_plan_or_another_version_or_damaged_it_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read from the manifest then."""
    manifest = manifest_of(experiment_from(load_yaml(EXPERIMENTS[0])))
    memory = Memory(RunLayout(tmp_path, "none"))
    first = read_planned(manifest, memory).spec
    other = {**memory.planned, "spec": {**memory.planned["spec"], "name": "other"}}
    memory.planned = other
    assert read_planned(manifest, memory).spec.name == "other"
    assert read_planned({**manifest, "sha256": "2" * 64}, memory).spec == first
    memory.planned = {**other, "spec": {**other["spec"], "name": 7}}
    assert read_planned(manifest, memory).spec == first
    memory.planned = {**other, "spec": []}
    assert read_planned(manifest, memory).spec == first
    memory.planned = other
    monkeypatch.setattr(planned, "rooms_digest", lambda _: "0" * 64)
    assert read_planned(manifest, memory).spec == first


def test_what_another_would_be_read_of_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is one that is large."""
    manifest = manifest_of(experiment_from(load_yaml(EXPERIMENTS[0])))
    memory = Memory(RunLayout(tmp_path, "none"))
    monkeypatch.setattr(planned, "MOST_BYTES", 10)
    read_planned(manifest, memory)
    assert memory.planned == {}
    monkeypatch.undo()
    monkeypatch.setattr(planned, "record_from", lambda *_: None)
    read_planned(manifest, memory)
    assert memory.planned == {}
