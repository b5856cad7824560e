"""What a Python can do where runs will be: imports, GPUs, two processes that add, the size of /dev/shm.

    python3 - '{"modules": ["torch"], "all_reduce": true}' < self_test.py

It is fed to the interpreter of an image or of the host, which may be older than ours and has nothing of ours: standard
library only, and no newer Python than 3.7. Prints one JSON object as its last line.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from typing import Any

RANK = """
import os, sys, torch, torch.distributed as d
d.init_process_group("gloo", init_method="file://" + sys.argv[1], rank=int(sys.argv[2]), world_size=2)
x = torch.ones(1)
d.all_reduce(x)
print("sum", float(x[0]), flush=True)
os._exit(0)
"""
LIMIT_S = 60


def failed_imports(modules: list[str]) -> dict[str, str]:
    """Module → why it cannot be imported."""
    found = {}
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return found


def count_gpus() -> int:
    """GPUs by PyTorch where it was imported, else by the vendor's tool; 0 where nobody sees one."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return int(torch.cuda.device_count())
    for command, mark in ((["nvidia-smi", "-L"], "GPU "), (["rocm-smi", "--showid"], "GPU[")):
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        lines = done.stdout.decode(errors="replace").splitlines()
        return len({line.split(":")[0] for line in lines if line.startswith(mark)})
    return 0


def all_reduce() -> str:
    """Why two processes do not add; empty where they do."""
    folder = tempfile.mkdtemp()
    meeting = os.path.join(folder, "meeting")  # noqa: PTH118  as the whole file: short, and for any Python
    command = [sys.executable, "-c", RANK, meeting]
    children = [
        subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for rank in (0, 1)
    ]
    said = []
    for child in children:
        try:
            said.append(child.communicate(timeout=LIMIT_S)[0].decode(errors="replace").strip())
        except subprocess.TimeoutExpired:
            said.append(f"no answer within {LIMIT_S} s")
    for child in children:
        if child.poll() is None:
            child.kill()
            child.wait()
    wrong = [text for text in said if "sum 2.0" not in text]
    return wrong[0].splitlines()[-1] if wrong and wrong[0] else "nothing was said" if wrong else ""


def shm_mib() -> int | None:
    """Size of /dev/shm in MiB; None where there is none."""
    try:
        found = os.statvfs("/dev/shm")  # noqa: S108  its size alone is read
    except OSError:
        return None
    return found.f_blocks * found.f_frsize >> 20


def main(asked: dict[str, Any]) -> None:
    """Look, and print."""
    modules = asked.get("modules", [])
    wrong = failed_imports(modules)
    adds = asked.get("all_reduce") and "torch" not in wrong
    print(  # noqa: T201  its result
        json.dumps(
            {
                "python": ".".join(map(str, sys.version_info[:3])),
                "failed_imports": wrong,
                "imports": len(modules),
                "gpus": count_gpus(),
                "all_reduce": all_reduce() if adds else None,
                "shm_mib": shm_mib(),
            }
        )
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
