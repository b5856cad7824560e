"""Run a command and wait for all it leaves behind, so that whoever measures this process measures them, too.

python -m benchmarks.whole_family COMMAND …
"""

import os
import subprocess
import sys

from hpc.adapters.proc import adopt_orphans


def main() -> int:
    """Return the exit code of the command."""
    adopt_orphans()
    code = subprocess.run(sys.argv[1:], check=False).returncode
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return code


if __name__ == "__main__":
    sys.exit(main())
