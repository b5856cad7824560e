"""What a Python can do where runs will be: imports, GPUs, processes that add, the size of /dev/shm.

    python3 - '{"modules": ["torch"], "all_reduce": true}' < self_test.py
    python3 - '{"gpu_names": true, "ranks": {"here": 4, "world": 8, "first": 4, "meeting": "tcp://n1:29500",
                "limit_s": 60}}' < self_test.py

The second is the gate before a run (`hpc.node.preflight`): its ranks multiply on their GPU, and add over all nodes.

It is fed to the interpreter of an image or of the host, which may be older than ours and has nothing of ours: standard
library only, and no newer Python than 3.7. Prints one JSON object as its last line.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

RANK = """
import os, sys, torch, torch.distributed as d
meeting, rank, world, local, multiply = sys.argv[1], *map(int, sys.argv[2:])
gpu = bool(multiply) and torch.cuda.is_available()
device = torch.device("cuda", local % torch.cuda.device_count()) if gpu else torch.device("cpu")
if multiply:
    found = float((torch.ones(256, 256, device=device) @ torch.ones(256, 256, device=device)).mean())
    assert found == 256.0, "matmul: two matrices of ones made %r on %s, not 256" % (found, device)
print("multiplied", flush=True)
if world > 1:
    nccl = gpu and d.is_nccl_available()
    d.init_process_group("nccl" if nccl else "gloo", init_method=meeting, rank=rank, world_size=world)
    x = torch.ones(1, device=device if nccl else "cpu")
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


def gpu_names() -> list[str]:
    """Names of the GPUs as the vendor's tool has them; none where nobody tells."""
    try:
        done = subprocess.run(["nvidia-smi", "-L"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20,
                              check=False)  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = done.stdout.decode(errors="replace").splitlines()
    return [line.partition(": ")[2].partition(" (UUID")[0] for line in lines if line.startswith("GPU ")]


def has_torch() -> bool:
    """Whether PyTorch is installed."""
    return importlib.util.find_spec("torch") is not None


def all_reduce() -> str:
    """Why two processes do not add; empty where they do."""
    folder = tempfile.mkdtemp()
    meeting = "file://" + os.path.join(folder, "meeting")  # noqa: PTH118  as the whole file: short, and for any Python
    said = run_ranks({"here": 2, "world": 2, "first": 0, "meeting": meeting, "limit_s": LIMIT_S, "multiply": False})
    wrong = [text for text in said if "sum 2.0" not in text]
    return wrong[0].splitlines()[-1] if wrong and wrong[0] else "nothing was said" if wrong else ""


def run_ranks(asked: dict[str, Any]) -> list[str]:
    """What each of the processes of this machine said."""
    command = [sys.executable, "-c", RANK, asked["meeting"]]
    children = [
        subprocess.Popen(
            [*command, *map(str, (asked["first"] + rank, asked["world"], rank, int(asked["multiply"])))],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for rank in range(asked["here"])
    ]  # fmt: skip
    said, end = [], time.monotonic() + asked["limit_s"]
    for child in children:
        try:
            told = child.communicate(timeout=max(0.1, end - time.monotonic()))[0]
            said.append(told.decode(errors="replace").strip())
        except subprocess.TimeoutExpired:
            child.kill()
            said.append(
                f"{child.communicate()[0].decode(errors='replace')}\nno answer within {asked['limit_s']} s".strip()
            )
    return said


def shm_mib() -> int | None:
    """Size of /dev/shm in MiB; None where there is none."""
    try:
        found = os.statvfs("/dev/shm")  # noqa: S108  its size alone is read
    except OSError:
        return None
    return found.f_blocks * found.f_frsize >> 20


def gate(asked: dict[str, Any]) -> dict[str, Any]:
    """What the gate before a run asks for besides; nothing where it does not ask."""
    found: dict[str, Any] = {}
    if asked.get("gpu_names"):
        found["gpu_names"] = gpu_names()
    if asked.get("ranks"):
        found["ranks"] = run_ranks(asked["ranks"]) if has_torch() else None
    return found


def main(asked: dict[str, Any]) -> None:
    """Look, and print."""
    modules = asked.get("modules", [])
    wrong = failed_imports(modules)
    adds = asked.get("all_reduce") and "torch" not in wrong
    print(  # noqa: T201  its result
        json.dumps(
            {
                **gate(asked),
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
