"""What a compute node sees of the folder of the runs: the other half of `hpc.checkup.nodes`, started in its tiny job.

    srun python -P -m hpc.checkup.on_node FOLDER APPTAINER IMAGE

It tries the locks and the name that the machine of the check-up holds in FOLDER, and the lock of the node before it,
and writes ``node-N.json``. The first one also runs the self test whose command line stands in ``self_test.json``.
Standard library only.
"""

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from hpc.adapters.shared_disk import held, said, try_lock_now
from hpc.adapters.this_machine import cgroup_version, memory_bound_mib

WAIT_S = 20.0
"""For the other node to hold its lock, or to have tried it."""
SELF_TEST_S = 100.0
LOOK_S = 0.1


def see(folder: Path, apptainer: str, image: str) -> dict[str, object]:
    """Look at everything; what is missing is said in words."""
    found: dict[str, object] = {
        "host": os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "cgroups": cgroup_version(),
        "memory_mib": memory_bound_mib(),
        "flock": try_lock_now(folder / "held"),
        "fcntl": try_lock_now(folder / "held", fcntl.lockf),
        "once": _make_once(folder / "once"),
        "skew_s": _skew(folder),
        "apptainer": _version(apptainer) if apptainer else None,
        "image": Path(image).exists() if image else None,
    }
    return {**found, "between": _between(folder), "self_test": _self_test(folder)}


def _self_test(folder: Path) -> object:
    """What the self test printed, or why it did not; None where none was asked for, or another node runs it."""
    if os.environ.get("SLURM_PROCID", "0") != "0" or not (folder / "self_test.json").exists():
        return None
    argv = json.loads((folder / "self_test.json").read_text(encoding="utf-8"))
    program = Path(__file__).with_name("self_test.py").read_text(encoding="utf-8")
    try:
        done = subprocess.run(
            argv, input=program, capture_output=True, text=True, errors="replace", timeout=SELF_TEST_S, check=False,
            cwd="/",
        )  # fmt: skip
        return json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return ((done.stderr or done.stdout).strip().splitlines() or [f"ended with {done.returncode}"])[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)


def _make_once(path: Path) -> bool:
    """Whether a name that another machine made cannot be made again."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return True
    except OSError:
        return False
    return False


def _skew(folder: Path) -> float:
    """Seconds by which this clock is ahead of the one that wrote ``now``."""
    try:
        there = float((folder / "now").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0.0
    return time.time() - there


def _version(apptainer: str) -> str:
    try:
        done = subprocess.run([apptainer, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _between(folder: Path) -> int | None:
    """Try the lock of the node before; None where there is one node, or it did not hold it in time."""
    rank, count = int(os.environ.get("SLURM_PROCID", "0")), int(os.environ.get("SLURM_NTASKS", "1"))
    if count < 2:
        return None
    if rank == 0:
        with held(folder / "between") as problem:
            (folder / "between.held").write_text(problem, encoding="utf-8")
            _wait_for(folder, "between.tried")
        return None
    result = try_lock_now(folder / "between") if _wait_for(folder, "between.held") else None
    (folder / "between.tried").touch()
    return result


def _wait_for(folder: Path, name: str) -> bool:
    end = time.monotonic() + WAIT_S
    while name not in {
        path.name for path in folder.iterdir()
    }:  # a listing shows at once what a look at the name may not for half a minute
        if time.monotonic() > end:
            return False
        time.sleep(LOOK_S)
    return True


def main(arguments: Sequence[str]) -> int:
    """Look, and leave what was seen in the folder; what goes wrong there goes to the job's log."""
    folder, apptainer, image = arguments
    target = Path(folder, f"node-{os.environ.get('SLURM_PROCID', '0')}.json")
    try:
        answer = json.dumps(see(Path(folder), apptainer, image))
        target.with_suffix(".part").write_text(answer, encoding="utf-8")
        target.with_suffix(".part").replace(target)
    except OSError as error:
        print(f"{socket.gethostname()}: {folder}: {said(error)}", file=sys.stderr)  # noqa: T201  the job's log
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
