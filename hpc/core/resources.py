"""What a task asks for; time, memory and shares in the spellings people and Slurm use."""

import re

from hpc.core.immutable import immutable, replace

_UNITS_MIB = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024 * 1024}
_MEMORY = r"(?ai)(\d+(?:\.\d+)?)\s*([KMGT])?(?:i?B)?"
_TIME = r"(?a)(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?"
MINUTE, HOUR, DAY = 60, 3600, 86400


def parse_memory(text: str | int) -> int:
    """Read ``32GB``, ``32G``, ``500M``, ``1.5TiB`` or a bare number of MiB, as Slurm does (powers of 1024); return MiB.

    Raises:
        ValueError: The text is no amount of memory, or none at all.
    """
    match = re.fullmatch(_MEMORY, str(text).strip())
    mib = round(float(match[1]) * _UNITS_MIB[(match[2] or "M").upper()]) if match else 0
    if mib < 1:
        raise ValueError(f"'{text}' is not an amount of memory; write 32GB, 500MB or a number of MiB")
    return mib


def render_memory(mib: int) -> str:
    """Write MiB the way sbatch reads it, in the largest unit that loses nothing: ``32G``, ``1500M``."""
    return f"{mib // 1024}G" if mib % 1024 == 0 else f"{mib}M"


def parse_time(text: str | int) -> int:
    """Read a time limit in Slurm's spellings; return seconds.

    ``30`` (minutes), ``30:00`` (minutes:seconds), ``24:00:00``, ``2-00`` (days-hours), ``2-12:30``, ``2-12:30:00``.

    Raises:
        ValueError: The text is no duration, or a duration of nothing.
    """
    match = re.fullmatch(_TIME, str(text).strip())
    seconds = 0
    if match:
        days, first, second, third = (int(part) if part else None for part in match.groups())
        if days is not None:
            seconds = days * DAY + (first or 0) * HOUR + (second or 0) * MINUTE + (third or 0)
        elif third is not None:
            seconds = (first or 0) * HOUR + (second or 0) * MINUTE + third
        else:
            seconds = (first or 0) * MINUTE + (second or 0)
    if seconds < 1:
        raise ValueError(f"'{text}' is not a time limit; write HH:MM:SS, D-HH:MM:SS or minutes, for example 24:00:00")
    return seconds


def parse_duration(text: str | int) -> int:
    """Read ``20min``, ``90s``, ``2h``, or what `parse_time` reads; return seconds.

    Raises:
        ValueError: The text is no duration, or a duration of nothing.
    """
    match = re.fullmatch(r"(\d{1,9}) ?(s|sec|min|h)", str(text).strip())
    if match is None:
        return parse_time(text)
    seconds = int(match[1]) * {"s": 1, "sec": 1, "min": MINUTE, "h": HOUR}[match[2]]
    if seconds < 1:
        raise ValueError(f"'{text}' is no time at all; write 20min, 90s or 2h")
    return seconds


def parse_times(text: str | float) -> float:
    """Read a factor: ``3x``, ``2.5 x`` or a number.

    Raises:
        ValueError: The text is no factor.
        TypeError: Nor is it text or a number.
    """
    if isinstance(text, bool):
        raise TypeError("a factor is no switch")
    return float(text.strip().removesuffix("x")) if isinstance(text, str) else float(text)


def parse_carbon(text: str | float) -> float:
    """Read ``0.3 kg/kWh``, ``300 g/kWh`` or a bare number of kg as kilograms of CO₂ per kWh.

    Raises:
        ValueError: The text is no such factor, or not above 0 and below 10.
    """
    match = re.fullmatch(r"(?a)(\d+(?:\.\d+)?)\s*(k?g)?(?:\s*/\s*kWh)?", str(text).strip())
    factor = float(match[1]) * (0.001 if match[2] == "g" else 1.0) if match else 0.0
    if not 0 < factor < 10:
        raise ValueError(f"'{text}' is no factor of CO₂; write 0.3 kg/kWh")
    return factor


def parse_share(value: str | float) -> float:
    """Read ``5%`` or ``0.05`` as 0.05, ``-5%`` as -0.05.

    Raises:
        ValueError: It is neither.
        TypeError: It is not text or a number.
    """
    if isinstance(value, bool):
        raise TypeError("a share is a number")
    if isinstance(value, str):
        return float(value.strip().removesuffix("%")) / 100 if value.strip().endswith("%") else float(value)
    return float(value)


def render_time(seconds: int) -> str:
    """Write seconds the way sbatch reads it: ``24:00:00``, ``2-12:00:00``."""
    days, rest = divmod(int(seconds), DAY)
    clock = f"{rest // HOUR:02d}:{rest % HOUR // MINUTE:02d}:{rest % MINUTE:02d}"
    return f"{days}-{clock}" if days else clock


@immutable
class Resources:
    """What one task asks for.

    Attributes:
        nodes: Nodes.
        gpus: GPUs per node.
        cpus: CPU cores per node.
        memory_mib: Host memory per node, in MiB.
        time_s: Wall-clock limit, in seconds.
        disk_mib: Space one run needs in the run folder, in MiB; 0 means not declared.
    """

    nodes: int = 1
    gpus: int = 0
    cpus: int = 1
    memory_mib: int = 4096
    time_s: int = HOUR
    disk_mib: int = 0

    @property
    def gpu_hours(self) -> float:
        """GPU hours requested, if the whole limit were used."""
        return self.nodes * self.gpus * self.time_s / HOUR

    @property
    def core_hours(self) -> float:
        """Core hours asked for, if the whole limit were used."""
        return self.nodes * self.cpus * self.time_s / HOUR


@immutable
class Pack:
    """How many tasks share one array element.

    Attributes:
        tasks: Tasks of one element, at most.
        at_once: So many of them run at the same time.
    """

    tasks: int = 1
    at_once: int = 1

    @property
    def waves(self) -> int:
        """How many tasks come one behind the other, if each uses its whole time."""
        return -(-self.tasks // self.at_once)

    def element(self, one: Resources) -> Resources:
        """What an element asks for whose tasks each ask for `one`.

        Cores and memory of those that run at once, time for all of them; its GPUs are those of one task, and shared.
        """
        return replace(
            one, cpus=one.cpus * self.at_once, memory_mib=one.memory_mib * self.at_once, time_s=one.time_s * self.waves
        )


ALONE = Pack()
"""Every task has an element of its own."""
