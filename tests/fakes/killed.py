"""Run a module and kill it with -9 right before its n-th rename or start of another program.

    python tests/fakes/killed.py 3 hpc.submit NAME

Everything our commands publish, they publish by a rename, so these are all the places where a death can matter. Slurm's
clients that only ask are not counted: to die before a question is to die before the next act.
"""

import os
import runpy
import signal
import sys
from collections.abc import Sequence
from typing import Any

moments = iter(range(1, int(sys.argv[1])))
module = sys.argv[2]


def only_asks(words: Sequence[str]) -> bool:
    """Whether a command line is a question to Slurm."""
    return words[0] in ("sacct", "sacctmgr", "squeue") or (words[0] == "scontrol" and "show" in words)


def count(event: str, arguments: tuple[Any, ...]) -> None:
    """Count what changes the world; die at the n-th."""
    acts = event == "os.rename" or (event == "subprocess.Popen" and not only_asks(list(arguments[1])))
    if acts and next(moments, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)


sys.argv = sys.argv[2:]
sys.addaudithook(count)
runpy.run_module(module, run_name="__main__", alter_sys=True)
