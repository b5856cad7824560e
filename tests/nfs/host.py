"""One host of the NFS laboratory: a process that mounts the share, and runs what it is told in children that can die.

A line of JSON each on stdin: ``{"id": 1, "do": "mount", "options": "vers=4.2"}``, ``unmount``, ``{"do": "call",
"name": …, "arguments": […], "user": 1000}`` (a function of `tests.nfs.work`), ``{"do": "kill", "of": 1}``. Each is
answered once with ``{"id": …, "value": …}`` or ``{"id": …, "error": …}``; a child that was killed says nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

from tests.nfs import work

MOUNTED = "/nfs"


def answer(number: int, **said: Any) -> None:
    """Print one line, in one write: children answer beside each other."""
    os.write(1, (json.dumps({"id": number, **said}) + "\n").encode())


def call(request: dict[str, Any]) -> int:
    """Run a function in a child of its own; its pid."""
    child = os.fork()
    if child:
        return child
    try:
        if user := request.get("user"):
            os.setgid(user)
            os.setuid(user)
        value = getattr(work, request["name"])(*request["arguments"])
        answer(request["id"], value=value)
    except BaseException as error:  # whatever it is, the other side is told
        answer(request["id"], error=f"{type(error).__name__}: {error}", errno=getattr(error, "errno", None))
    finally:
        os._exit(0)


def run(argv: list[str]) -> dict[str, Any]:
    """Run a command of the system; what it said where it failed."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return {"value": None} if done.returncode == 0 else {"error": done.stderr.strip() or f"{argv[0]}: failed"}


def main() -> None:
    """Answer requests until stdin ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    children: dict[int, int] = {}
    for line in sys.stdin:
        request = json.loads(line)
        number = request["id"]
        match request["do"]:
            case "mount":
                source = "10.9.0.1:/srv/exp" if "vers=3" in request["options"] else "10.9.0.1:/"
                options = f"{request['options']},nosharecache,retry=0"
                answer(number, **run(["mount", "-t", "nfs", "-o", options, source, MOUNTED]))
            case "unmount":
                answer(number, **run(["umount", "-l", MOUNTED]))
            case "call":
                children[number] = call(request)
            case "kill":
                os.kill(children[request["of"]], signal.SIGKILL)
                os.waitpid(children[request["of"]], 0)
                answer(number, value=None)


if __name__ == "__main__":
    main()
