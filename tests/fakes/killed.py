"""Run a module and kill it with -9 right before its n-th rename or start of another program.

    python tests/fakes/killed.py 3 hpc.submit NAME

Everything our commands publish, they publish by a rename, so these are all the places where a death can matter.
"""

import os
import runpy
import signal
import sys

moments = iter(range(1, int(sys.argv[1])))
module = sys.argv[2]


def count(event: str, _arguments: object) -> None:
    """Count what changes the world; die at the n-th."""
    if event in ("os.rename", "subprocess.Popen") and next(moments, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)


sys.argv = sys.argv[2:]
sys.addaudithook(count)
runpy.run_module(module, run_name="__main__", alter_sys=True)
