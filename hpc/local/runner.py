"""Work off this machine's own queue (`hpc.local.queue`) until it is empty.

`hpc.submit --backend local` starts it detached, so that a closed terminal loses nothing; a second one finds the first
at work and leaves. By hand:  python -m hpc.local.runner runs/demo --max-parallel 2
"""

import argparse
import sys
from pathlib import Path

from hpc.adapters.files import follow_access
from hpc.adapters.locks import lock
from hpc.core.errors import EXIT_DONE, EXIT_NOTHING, TemporaryError
from hpc.core.layout import RunLayout
from hpc.local.queue import lock_path
from hpc.local.working import run_queue


def main() -> int:
    """Hold the queue, and work until it is empty."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path, help="the experiment's run folder")
    parser.add_argument("--max-parallel", type=int, default=1, help="elements that run at once")
    arguments = parser.parse_args()
    home = arguments.home.absolute()
    layout = RunLayout(home.parent, home.name)
    follow_access(home)
    try:
        with lock(lock_path(layout), timeout_s=2):  # commands look at the lock for moments
            run_queue(layout, arguments.max_parallel)
    except TemporaryError:
        return EXIT_NOTHING
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
