"""Samples of what an attempt uses while it runs: cores, memory, GPUs; a line each in ``system.jsonl``.

Beside ``metrics.h5``, which has one writer, the program; `hpc.metrics.read` gives both. The names begin with `PREFIX`.

Loaded with the first sample, not at the start. Standard library; `pynvml` where the wrapper's interpreter has it, else
``nvidia-smi``. Nothing here may end or hold up the attempt: what cannot be sampled is left out.
"""

import contextlib
import importlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from hpc.adapters import proc
from hpc.adapters.files import mode_in

PREFIX = "system/"
_QUERY = "utilization.gpu,memory.used,power.draw"


class Devices(Protocol):
    """What answers how busy the GPUs are."""

    def look(self) -> dict[str, float]:
        """Mean share of time they were busy (0–1), highest memory in MiB, power of all in watts; what is known."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...


class Sampler:
    """Takes samples of the wrapper's descendants and of the GPUs of the task."""

    def __init__(self, path: Path, gpus: int) -> None:
        """Open the file; one that was there is continued.

        Raises:
            OSError: It cannot be made.
        """
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, mode_in(path.parent))
        self._count = 0
        self._devices = find_devices() if gpus else None
        self._cpu: tuple[float, float] | None = None
        self._shares: list[float] = []
        self._power: list[tuple[float, float]] = []
        self._peak_mib = 0.0
        self._asked = 0

    def busiest(self) -> float | None:
        """Largest share of time the GPUs were busy since it was last asked; None where nobody tells."""
        since, self._asked = self._shares[self._asked :], len(self._shares)
        return max(since, default=None)

    def sample(self) -> None:
        """Take one sample; whatever fails is left out."""
        now, told = time.time(), dict[str, float]()
        with contextlib.suppress(OSError):
            seconds, mib = proc.used_by(proc.descendants(os.getpid()))
            told["memory_mib"] = round(mib, 1)
            if self._cpu and seconds >= self._cpu[1]:
                told["cpu_cores"] = round((seconds - self._cpu[1]) / max(now - self._cpu[0], 1e-3), 3)
            self._cpu = (now, seconds)
        if self._devices:
            with contextlib.suppress(Exception):  # a driver's library may raise anything
                seen = self._devices.look()
                told |= seen
                self._remember(now, seen)
        with contextlib.suppress(OSError):
            metrics = {f"{PREFIX}{name}": value for name, value in told.items()}
            line = json.dumps({"step": self._count, "time": round(now, 3), "metrics": metrics})
            os.write(self._descriptor, line.encode() + b"\n")
            self._count += 1

    def _remember(self, now: float, seen: Mapping[str, float]) -> None:
        if "gpu_busy" in seen:
            self._shares.append(seen["gpu_busy"])
        if "gpu_power_w" in seen:
            self._power.append((now, seen["gpu_power_w"]))
        self._peak_mib = max(self._peak_mib, seen.get("gpu_memory_mib", 0.0))

    def summary(self) -> dict[str, float]:
        """What all samples come to: ``gpu_busy``, ``gpu_peak_mib``, ``gpu_energy_j``, those that are known."""
        found = {}
        if self._shares:
            found["gpu_busy"] = sum(self._shares) / len(self._shares)
        if self._peak_mib:
            found["gpu_peak_mib"] = self._peak_mib
        if len(self._power) > 1:
            pairs = zip(self._power, self._power[1:], strict=False)
            found["gpu_energy_j"] = sum((t1 - t0) * (p0 + p1) / 2 for (t0, p0), (t1, p1) in pairs)
        return found

    def close(self) -> None:
        """Close the file, and leave no process."""
        os.close(self._descriptor)
        if self._devices:
            self._devices.close()


def find_devices() -> Devices | None:
    """Find who can tell of the GPUs: NVML, else nvidia-smi; None where neither is there."""
    with contextlib.suppress(Exception):
        return Nvml()
    return Smi() if shutil.which("nvidia-smi") else None


def visible_devices(environment: Mapping[str, str]) -> list[str]:
    """The GPUs this task may use, by number or UUID; none where nothing says."""
    told = environment.get("CUDA_VISIBLE_DEVICES", "")
    return [each.strip() for each in told.split(",") if each.strip() and each.strip() != "NoDevFiles"]


class Nvml:
    """The driver's own library, through `pynvml`."""

    def __init__(self) -> None:
        """Find the devices.

        Raises:
            Exception: There is no such library, or no device.
        """
        pynvml: Any = importlib.import_module("pynvml")
        self._nvml = pynvml
        pynvml.nvmlInit()
        named = visible_devices(os.environ) or [str(place) for place in range(pynvml.nvmlDeviceGetCount())]
        self._handles = [
            pynvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdecimal() else pynvml.nvmlDeviceGetHandleByUUID(name)
            for name in named
        ]
        if not self._handles:
            raise LookupError("no device")

    def look(self) -> dict[str, float]:
        """As `Devices.look`."""
        busy, memory, power = list[float](), list[float](), list[float]()
        for handle in self._handles:
            with contextlib.suppress(self._nvml.NVMLError):  # parts of a divided GPU do not tell all
                busy.append(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)
            with contextlib.suppress(self._nvml.NVMLError):
                memory.append(self._nvml.nvmlDeviceGetMemoryInfo(handle).used / 2**20)
            with contextlib.suppress(self._nvml.NVMLError):
                power.append(self._nvml.nvmlDeviceGetPowerUsage(handle) / 1000)
        return _together(busy, memory, power)

    def close(self) -> None:
        """As `Devices.close`: the library goes with the process."""


class Smi:
    """``nvidia-smi``, started at one sample and read at the next: it may take a second, which nobody waits for."""

    def __init__(self) -> None:
        self._running: subprocess.Popen[str] | None = None
        self._only = visible_devices(os.environ)

    def look(self) -> dict[str, float]:
        """As `Devices.look`, of the sample before; nothing at the first."""
        found: dict[str, float] = {}
        if self._running and self._running.poll() is not None:
            found = read_smi(self._running.communicate()[0])
            self._running = None
        if self._running is None:
            which = [f"--id={','.join(self._only)}"] if self._only else []
            self._running = subprocess.Popen(
                ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits", *which],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                start_new_session=True,
            )  # fmt: skip
        return found

    def close(self) -> None:
        """As `Devices.close`. One that hangs in its driver is not waited for."""
        if self._running:
            self._running.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._running.wait(1.0)
            if self._running.stdout:
                self._running.stdout.close()


def read_smi(text: str) -> dict[str, float]:
    """Read a line a device: ``35, 1024, 71.5``; ``[N/A]`` is not known."""
    columns: tuple[list[float], ...] = ([], [], [])
    for line in text.splitlines():
        for column, word in zip(columns, line.split(","), strict=False):
            with contextlib.suppress(ValueError):
                column.append(float(word))
    busy, memory, power = columns
    return _together([each / 100 for each in busy], memory, power)


def _together(busy: list[float], memory: list[float], power: list[float]) -> dict[str, float]:
    """One number for all devices of each kind that was told."""
    found = {}
    if busy:
        found["gpu_busy"] = round(sum(busy) / len(busy), 4)
    if memory:
        found["gpu_memory_mib"] = round(max(memory), 1)
    if power:
        found["gpu_power_w"] = round(sum(power), 2)
    return found
