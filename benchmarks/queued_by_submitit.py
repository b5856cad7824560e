"""Trivial tasks through submitit's executor for one machine, two at once: a peer of `benchmarks.queueing`.

python -m benchmarks.queued_by_submitit FOLDER COUNT
"""

import subprocess
import sys
import time
from typing import Any

AT_ONCE = 2


def work(number: int) -> int:
    """What each task does."""
    return subprocess.run(["true", str(number)], check=True).returncode


def main() -> None:
    """Start each as soon as there is room, and check what all of them gave."""
    import submitit

    executor = submitit.LocalExecutor(folder=sys.argv[1])
    executor.update_parameters(timeout_min=60)
    waiting, running, done = list(range(int(sys.argv[2]))), list[Any](), list[Any]()
    while waiting or running:
        done += [job for job in running if job.done()]
        running = [job for job in running if not job.done()]
        while waiting and len(running) < AT_ONCE:
            running.append(executor.submit(work, waiting.pop(0)))
        time.sleep(0.02)
    assert [job.result() for job in done] == [0] * int(sys.argv[2])


if __name__ == "__main__":
    main()
