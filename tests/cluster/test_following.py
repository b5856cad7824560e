"""The unattended loop on real Slurm: nobody types anything after `submit --follow`, and one of its jobs is killed."""

import contextlib
import json
import os
import signal

import pytest

from hpc.adapters.ledger import read_json_lines
from tests.cluster.conftest import IMAGES, Project
from tests.cluster.test_crashes import HEALS, HEALS_LINE, check_all_healed, jobs_of, plan

LAB = f"""
scheduler: slurm
partition: main
max_time: '0:10:00'
max_memory: 4GB
image_dir: {IMAGES}
follow: {{every: '0:00:03', time: '0:05:00', mem: 1GB}}
"""


def kill_the_follower(project: Project, name: str) -> str:
    """Wait for the first relay to hold the lease, and kill -9 its process; return its job."""
    lease = project.runs / name / "follow.lease"
    killed: list[str] = []

    def strike() -> bool:
        held = json.loads(lease.read_text()) if lease.exists() else {}
        if held.get("holder"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(held["pid"], signal.SIGKILL)
                killed.append(held["job"])
        return bool(killed)

    project.lab.wait_until(strike, 40, "a relay at work")
    return killed[0]


@pytest.mark.cluster
def test_a_followed_experiment_ends_by_itself_although_a_relay_is_killed(project: Project) -> None:
    """Two of four tasks fail and are healed, the first follower dies by kill -9: one retry each, a report, no jobs."""
    (project.folder / "manifests/clusters/lab.yaml").write_text(LAB)
    plan(project, "night", HEALS_LINE, HEALS)
    answer = project.json("submit", "night", "--follow", expect=0)
    assert len(answer["relays"]) == 3  # end, look and spare
    victim = kill_the_follower(project, "night")
    ledger = project.runs / "night/follow.jsonl"
    project.lab.wait_until(lambda: any(line["event"] == "ended" for line in read_json_lines(ledger)), 90, "the end")
    lines = read_json_lines(ledger)
    assert victim in answer["relays"]
    assert [line["retried"] for line in lines if line["event"] == "round" and line["retried"]] == [["P1", "P2"]]
    assert len(jobs_of(project, "night")) == 2
    check_all_healed(project, "night")
    assert (project.runs / "night/report/report.md").exists()
    assert "followed to the end" in project.hpc("status", "night")
    assert project.lab.run(["squeue", "-h", "--states=PENDING", "--name=follow:night"]) == ""
