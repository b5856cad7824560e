"""Elements Slurm holds because they could not be launched: which, and how often they are let go."""

from pathlib import Path

import pytest

from hpc.core.experiment.spec import Task
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.slurm.executions import JobRow
from hpc.core.slurm.states import SlurmState
from hpc.rounds.refused import MAX_RELEASES, refused_launches, relaunch
from hpc.snapshots.states import AttemptState, Progress, Snapshot, TaskState


def waiting(layout: RunLayout, job: str, reason: str) -> TaskState:
    """A task with one element in the queue."""
    row = JobRow(job, job.replace("_", ""), SlurmState.PENDING, reason)
    attempt = AttemptState(1, 1, job, Progress.WAITING, AttemptLayout(layout.home), None, None, row)
    return TaskState(Task(job, job, {}, 1), (attempt,))


@pytest.fixture
def layout(tmp_path: Path) -> RunLayout:
    layout = RunLayout(tmp_path, "night")
    layout.home.mkdir()
    return layout


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What was said to scontrol, one call a line."""
    said = tmp_path / "said"
    said.touch()
    scontrol = tmp_path / "bin/scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {said}\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(scontrol.parent), prepend=":")
    return said


@pytest.mark.parametrize("reason", ["launch failed requeued held", "launch_failed_requeued_held"])
def test_only_what_slurm_could_not_launch_is_found(layout: RunLayout, reason: str) -> None:
    """In either spelling; a hold by a person or a wait for resources is not ours to end."""
    tasks = [waiting(layout, "7_1", reason), waiting(layout, "7_2", "JobHeldUser"), waiting(layout, "7_3", "Resources")]
    assert refused_launches(Snapshot(layout, {}, tuple(tasks), 0.0)) == ["7_1"]


def test_an_element_is_released_a_few_times_and_then_left_to_a_person(layout: RunLayout, said: Path) -> None:
    """A node that refuses every launch does not keep the night busy; another element has its own count."""
    for _ in range(MAX_RELEASES + 2):
        relaunch(layout, ["7_1"])
    assert said.read_text().splitlines() == ["release 7_1"] * MAX_RELEASES
    assert relaunch(layout, ["7_1", "7_2"]) == ["7_2"]
