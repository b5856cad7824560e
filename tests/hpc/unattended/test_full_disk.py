"""Following on a disk that becomes full, the log of the relay on it: held, told, and gone on with."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc.core.layout import RunLayout
from hpc.unattended.describe import describe
from tests.hpc.unattended.pretended import PretendedSlurm, pretend
from tests.local_projects import command_environment

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
SAYS = """#!/bin/sh
echo "$HPC_EVENT: $HPC_TITLE" >> "$0.said"
"""
GO_ON_EVERY, TO_THE_END_EVERY = 4, 24
"""So many writes lie between two after which there is room again, and all is run to the end: these take seconds."""


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PretendedSlurm]:
    """A project on a disk of its own of 8 MB; the pretended Slurm and who is told are elsewhere."""
    folder = tmp_path_factory.mktemp("pretended")
    disk, says = folder / "disk", folder / "says"
    disk.mkdir()
    says.write_text(SAYS)
    says.chmod(0o700)
    mounting = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        with pretend(disk / "project", folder / "jobs", f"notify: [{{command: {says}}}]\n") as slurm:
            yield slurm
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture
def slurm(made_once: PretendedSlurm) -> PretendedSlurm:
    """Submitted and followed; the array is over, one of its tasks can be healed, the relay after it runs."""
    made_once.go_back_to("over")
    said(made_once).unlink(missing_ok=True)
    return made_once


def said(slurm: PretendedSlurm) -> Path:
    """What people were told."""
    return slurm.jobs.parent / "says.said"


def filler(slurm: PretendedSlurm) -> Path:
    """What takes all the room."""
    return slurm.project.folder / "filler"


def is_held(slurm: PretendedSlurm) -> bool:
    return (slurm.project.runs / "tiny/hold.json").exists()


def go_on(slurm: PretendedSlurm) -> None:
    """Make room, and release what is held."""
    filler(slurm).unlink()
    if is_held(slurm):
        command = json.loads((slurm.project.runs / "tiny/hold.json").read_text())["command"]
        assert command == "python -m hpc.submit tiny --release --follow"
        assert slurm.run("hpc.submit", *command.split()[3:]) == [0], slurm.said()


def play_the_next_round(slurm: PretendedSlurm) -> None:
    """Begin waiting relays until the failed task is in the queue; then everything is there once, and known."""
    while len(slurm.named("tiny")) < 2:
        assert slurm.let_the_next_one_run() == 0, slurm.said()
    assert len(slurm.named("tiny")) == 2
    assert len(slurm.waiting()) == 3
    assert slurm.known() >= {*slurm.named("tiny"), *slurm.named("follow:tiny")}


def run_to_the_end(slurm: PretendedSlurm) -> None:
    """Let the second array run, then every relay that waits."""
    array = list(slurm.named("tiny"))[-1]
    receipts = (slurm.project.runs / "tiny/submissions").glob("*/receipt.json")
    (number,) = [int(path.parent.name) for path in receipts if json.loads(path.read_text())["job"] == array]
    slurm.run_tasks(array, number)
    while slurm.waiting():
        assert slurm.let_the_next_one_run() in (0, 3), slurm.said()
    outcomes = {run: task["outcome"] for run, task in slurm.project.verdicts().items()}
    assert outcomes == {"X1": "finished", "X2": "finished"}
    state = json.loads((slurm.project.runs / "tiny/follow.json").read_text())
    assert (state["course"], state["told"]) == ("ended", "ended")


def test_a_disk_that_is_full_before_any_write_of_a_round_ends_no_chain(slurm: PretendedSlurm) -> None:
    """Full from its n-th write on: somebody waits to go on, or it is held and told; then it goes on, once each."""
    number = slurm.begin_the_end()
    slurm.keep("beginning")
    holds = 0
    for write in range(1, 500):
        slurm.go_back_to("beginning")
        said(slurm).unlink(missing_ok=True)
        (code,) = slurm.run("hpc.follow", "tiny", "--number", number, fill_at=write, patience_s=0.0)
        if not filler(slurm).exists():
            assert code == 0
            break
        held = is_held(slurm)
        assert code == (1 if held else 0), (write, code, slurm.said())
        assert held or slurm.waiting(), f"nobody would go on after write {write}"
        told = said(slurm).read_text().splitlines() if said(slurm).exists() else []
        assert len(told) == held, (write, told)
        assert all(line.startswith("held: tiny is held: the run folder can no longer be written") for line in told)
        holds += held
        if write % GO_ON_EVERY == 1:
            go_on(slurm)
            play_the_next_round(slurm)
        if write % TO_THE_END_EVERY == 1:
            run_to_the_end(slurm)
    assert write > 20
    assert holds > write / 2


def test_a_disk_that_is_full_for_a_moment_is_waited_for(slurm: PretendedSlurm) -> None:
    """Room is made while the relay is patient: it acts, nothing is held, nobody is told."""

    def make_room() -> None:
        end = time.monotonic() + 30
        while not filler(slurm).exists() and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)
        filler(slurm).unlink()

    thread = threading.Thread(target=make_room)
    thread.start()
    codes = slurm.run("hpc.follow", "tiny", "--number", slurm.begin_the_end(), fill_at=1)
    thread.join()
    assert codes == [0], slurm.said()
    assert not is_held(slurm)
    assert not said(slurm).exists()
    assert len(slurm.named("tiny")) == 2


def test_a_full_disk_without_room_set_aside_is_tried_again_by_the_jobs_script(slurm: PretendedSlurm) -> None:
    """Followed since before room was set aside: no hold can be written, so the job ends with 75 and is repeated."""
    for spare in (slurm.project.runs / "tiny").glob(".*.spare-*"):
        spare.unlink()
    number = slurm.begin_the_end()
    assert slurm.run("hpc.follow", "tiny", "--number", number, fill_at=1, patience_s=0.0) == [75], slurm.said()
    assert not is_held(slurm)
    assert slurm.waiting()
    filler(slurm).unlink()
    assert slurm.run("hpc.follow", "tiny", "--number", number) == [0], slurm.said()
    assert len(slurm.named("tiny")) == 2


def test_status_of_what_is_held_over_a_full_disk_says_how_to_go_on(slurm: PretendedSlurm) -> None:
    """The disk still full: why, since when it is not followed, and the command that goes on."""
    assert slurm.run("hpc.follow", "tiny", "--number", slurm.begin_the_end(), fill_at=5, patience_s=0.0) == [1]
    (line,) = describe(RunLayout(slurm.project.runs, "tiny"))[-1:]
    assert line == "not followed while it is held; to go on: python -m hpc.submit tiny --release --follow"
    told = slurm.project.hpc("status", "tiny")
    assert "tiny is held: the run folder can no longer be written: No space left on device" in told


def test_a_log_that_takes_no_line_ends_nothing(slurm: PretendedSlurm) -> None:
    """Standard output and error on a full device, or closed: the round is played and the exit code is its own."""
    slurm.keep("beginning")
    number = slurm.begin_the_end()
    for redirect in (">/dev/full 2>&1", ">&- 2>&-", "2>&1 | true"):
        slurm.go_back_to("beginning")
        script = f'"{sys.executable}" -m hpc.follow tiny --number {number} {redirect}; exit ${{PIPESTATUS[0]}}'
        folder, environment = slurm.project.folder, command_environment()
        done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, check=False)
        assert done.returncode == 0, redirect
        assert len(slurm.named("tiny")) == 2, redirect
