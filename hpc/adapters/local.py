"""The array script executed on this machine, through submitit's local executor: same script, no scheduler."""

import os
import socket
import subprocess
from pathlib import Path
from typing import Any

from hpc.core.errors import EXIT_CHECKPOINTED

MAX_RESTARTS = 1000
_NEVER_IN_TIME_MIN = 60 * 24 * 365.0
"""The wrapper keeps the time limit itself; submitit's clock must not be quicker."""


def run_element(script: str, position: int, log: str) -> int:
    """Run one array element to its end, again after each exit 85, as Slurm would; give its exit code.

    submitit calls this in a process of its own.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
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
        if done.returncode != EXIT_CHECKPOINTED:
            return done.returncode
    return EXIT_CHECKPOINTED


class LocalExecutor:
    """Starts elements and says which have ended."""

    def __init__(self, folder: Path) -> None:
        """Keep submitit's own files in `folder`."""
        import submitit

        self._executor = submitit.LocalExecutor(folder=str(folder))

    def start(self, script: Path, position: int, log: Path, gpus: tuple[int, ...]) -> Any:
        """Start one element on the given GPUs; give submitit's job."""
        self._executor.update_parameters(
            timeout_min=_NEVER_IN_TIME_MIN, gpus_per_node=len(gpus), visible_gpus=gpus, tasks_per_node=1
        )
        return self._executor.submit(run_element, str(script), position, str(log))


def count_gpus() -> int:
    """Count this machine's NVIDIA devices."""
    return sum(path.name.removeprefix("nvidia").isdecimal() for path in Path("/dev").glob("nvidia*"))
