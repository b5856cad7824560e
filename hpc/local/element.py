"""One array element on this machine: what a node of Slurm would do around the array script.

The runner forks a process for each (`hpc.adapters.local`).
"""

import contextlib
import os
import socket
import subprocess
from pathlib import Path

from hpc.adapters import proc
from hpc.core.errors import EXIT_CHECKPOINTED, EXIT_DONE
from hpc.workspace import users_python_path

MAX_RESTARTS = 1000
_SHORT = 1000
"""Bytes of a log in which the wrapper has said nothing but that it began and ended."""


def run_element(script: str, position: int, log: str) -> int:
    """Run one array element to its end, again after each exit 85, as Slurm would; return its exit code.

    Where Slurm has a cgroup, this process is the one to which everything falls that a killed wrapper leaves behind.
    """
    proc.adopt_orphans()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    inherited["PYTHONPATH"] = users_python_path()
    job = f"local-{socket.gethostname()}-{os.getpid()}_{position}"
    for restart in range(MAX_RESTARTS):
        environment = {
            **inherited,
            "SLURM_ARRAY_TASK_ID": str(position),
            "HPC_LOCAL_JOB": job,
            "HPC_LOCAL_RESTART": str(restart),
        }
        with Path(log).open("ab") as file:
            done = subprocess.run(["bash", script], env=environment, stdout=file, stderr=file, check=False)
        proc.end_descendants(grace_s=0)
        if done.returncode == EXIT_DONE:
            _forget_what_is_recorded(Path(log))
        if done.returncode != EXIT_CHECKPOINTED:
            return done.returncode
    return EXIT_CHECKPOINTED


def _forget_what_is_recorded(log: Path) -> None:
    """Remove the log of an element that ended well, where it says only what the records of its attempt say."""
    with contextlib.suppress(OSError):
        with log.open("rb") as file:
            text = file.read(_SHORT + 1)
        if len(text) <= _SHORT and all(line.startswith(b"hpc: ") for line in text.splitlines()):
            log.unlink()
