"""`train.control` with too little memory on one process, from a step on: the allocator of PyTorch itself refuses.

SHORT_RANK SHORT_STEP SHORT_MIB python short_of_memory.py ARGUMENTS: from that step on that rank may hold so many MiB
more than it holds at its beginning (a resource limit on private memory, as `ulimit -d`).
"""

import os
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # started by its path, as torchrun does

from train import control, schedule

RANK, STEP, ROOM_MIB = (int(os.environ[f"SHORT_{name}"]) for name in ("RANK", "STEP", "MIB"))
learning_rate_at = schedule.Schedule.learning_rate_at  # the first thing each step asks for


def then_run_short(self: schedule.Schedule, step: int) -> float:
    if step == STEP and int(os.environ.get("RANK", "0")) == RANK:
        held = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) << 10
        resource.setrlimit(resource.RLIMIT_DATA, (held + (ROOM_MIB << 20), resource.RLIM_INFINITY))
    return learning_rate_at(self, step)


schedule.Schedule.learning_rate_at = then_run_short  # type: ignore[method-assign]  # this process is the test's own

if __name__ == "__main__":
    control.main()
