"""The local backend's queue: starts the elements of submitted arrays on this machine, so many at once, until none is left.

`hpc.submit --backend local` starts it detached, so that a closed terminal loses nothing; a second one finds the first at
work and leaves. By hand:  python -m hpc.local_runner runs/demo --max-parallel 2
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc.adapters.files import lock, read_json_or_none
from hpc.adapters.local import LocalExecutor, count_gpus
from hpc.adapters.manifest_store import list_submissions, load_index
from hpc.core.errors import EXIT_DONE, EXIT_NOTHING, TemporaryError
from hpc.core.layout import RunLayout, SubmissionLayout

POLL_S = 0.2


@dataclass(frozen=True)
class Element:
    """One array element that nobody has claimed yet."""

    submission: SubmissionLayout
    position: int
    gpus: int


def waiting_elements(layout: RunLayout) -> Iterator[Element]:
    """List the elements of submitted local arrays whose attempt does not exist yet, oldest submission first."""
    for submission in list_submissions(layout):
        receipt = read_json_or_none(submission.receipt)
        if receipt is None or receipt["job"] != "local" or receipt.get("cancelled"):
            continue
        index = load_index(submission)
        for position, entry in enumerate(index["entries"]):
            if not layout.task(entry["run_name"]).attempt(entry["attempt"]).home.exists():
                yield Element(submission, position, index["resources"]["gpus"])


def run_queue(layout: RunLayout, max_parallel: int) -> None:
    """Start elements until all have ended. The queue is read again each time: more may have been submitted meanwhile."""
    executor = LocalExecutor(layout.home / ".local")
    free_gpus = list(range(count_gpus()))
    running: dict[Element, tuple[Any, tuple[int, ...]]] = {}
    started: set[Element] = set()
    while True:
        for element in [each for each, (job, _) in running.items() if job.done()]:
            free_gpus += running.pop(element)[1]
        waiting = [element for element in waiting_elements(layout) if element not in started]
        if not waiting and not running:
            return
        for element in waiting:
            if len(running) >= max_parallel or element.gpus > len(free_gpus):
                break
            gpus, free_gpus = tuple(free_gpus[: element.gpus]), free_gpus[element.gpus :]
            log = element.submission.logs / f"local_{element.position}.log"
            running[element] = (executor.start(element.submission.script, element.position, log, gpus), gpus)
            started.add(element)
        time.sleep(POLL_S)


def lock_path(layout: RunLayout) -> Path:
    """Held by the runner that is at work."""
    return layout.home / ".local.lock"


def is_at_work(layout: RunLayout) -> bool:
    """Whether a runner holds the queue of this experiment."""
    try:
        with lock(lock_path(layout), timeout_s=0):
            return False
    except TemporaryError:
        return True


def start_detached(layout: RunLayout, max_parallel: int) -> None:
    """Start a runner that outlives this process and its terminal."""
    log = layout.home / ".local" / "runner.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        subprocess.Popen(
            [sys.executable, "-m", "hpc.local_runner", str(layout.home), "--max-parallel", str(max_parallel)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(
                    filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")))
                ),
            },
        )


def main() -> int:
    """Hold the queue, and work until it is empty."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path, help="the experiment's run folder")
    parser.add_argument("--max-parallel", type=int, default=1, help="elements that run at once")
    arguments = parser.parse_args()
    home = arguments.home.absolute()
    layout = RunLayout(home.parent, home.name)
    try:
        with lock(lock_path(layout), timeout_s=0):
            run_queue(layout, arguments.max_parallel)
    except TemporaryError:
        return EXIT_NOTHING
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
