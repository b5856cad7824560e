"""Collectors and followers of one experiment on two hosts at once: namespaces with names, processes and nets apart."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.local_projects import command_environment
from tests.test_following import PretendedSlurm, first_array_over, slurm  # noqa: F401  fixtures

COMMANDS = (["hpc.follow", "tiny"], ["hpc.collect", "tiny", "--retry-failed"])


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="only root makes namespaces")
def test_of_eight_on_two_hosts_one_acts(first_array_over: PretendedSlurm) -> None:  # noqa: F811
    """Four followers and four collectors, half of them on each host: one retry, and no id is lost."""
    cluster = first_array_over
    started = [
        subprocess.Popen(
            ["unshare", "--net", "--uts", "--pid", "--fork", "--mount-proc", "sh", "-c",
             'hostname "$0" && exec "$@"', host, sys.executable, "-m", *command],
            cwd=cluster.project.folder, env=command_environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for host in ("login1", "login2")
        for command in COMMANDS * 2
    ]  # fmt: skip
    said = [process.communicate(timeout=120)[1] for process in started]
    assert {process.returncode for process in started} <= {0, 1, 3}, said
    assert not any("Traceback" in each for each in said), said
    assert len(cluster.named("tiny")) == 2
    assert cluster.known() >= {*cluster.named("tiny"), *cluster.named("follow:tiny")}
    rounds = [line for line in cluster.ledger() if line["event"] == "round"]
    assert {line["by"]["host"] for line in rounds} <= {"login1", "login2"}
    assert rounds
