"""Where the processes of a run stand: asked of py-spy, else of the program's faulthandler, else of the kernel.

Nothing here changes what the program does: py-spy reads without stopping it, and only a process that has shown that it
answers is sent a signal. Everything is bounded in time, and who does not answer is left to the kernel's word.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from hpc.adapters import proc
from hpc.core.records.watch import Frame, Rank
from hpc.core.watching.stacks import read_faulthandler, read_pyspy

ANSWER_S = 10.0
"""For all of py-spy's answers together; the same again for the others."""
MOST_PROCESSES = 256
MOST_BYTES = 1 << 20
_ASK = signal.SIGUSR2
_MEMORY_FILE = re.compile(r"^/memfd:hpc-stacks\b")
"""As `hpc.callbacks.stacks` names it."""
_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID", "LOCAL_RANK")
"""How launchers tell a process its rank."""
_TOOLS = ("apptainer", "singularity", "starter", "sh", "bash", "srun", "py-spy")


def find_processes(roots: Iterable[int]) -> list[tuple[int, str]]:
    """Find the processes that train, each with its rank; without ranks the program itself and its children.

    Workers of a data loader inherit their parent's rank, and are none.
    """
    found: list[tuple[int, str]] = []
    for root in roots:
        family = [root, *proc.descendants(root)]
        known = {pid: _rank_of(pid) for pid in family}
        above = {pid: _parent(pid) for pid in family}
        inherited = _rank_of(os.getpid())
        ranked = [pid for pid in family if known[pid] not in ("", known.get(above[pid], inherited))]
        # A launcher may be given what its ranks are given: whoever has ranked processes below is none.
        inner = [pid for pid in ranked if not any(_is_below(other, pid, above) for other in ranked if other != pid)]
        if inner:
            found += [(pid, known[pid].partition("=")[2]) for pid in inner]
            continue
        own = proc.find_ranks(root)
        found += [(pid, "") for pid in dict.fromkeys([*own, *(pid for pid in family if above[pid] in own)])]
    programs = [each for each in found if not _is_tool(each[0])]
    return (programs or found)[:MOST_PROCESSES]


def _is_below(pid: int, ancestor: int, above: Mapping[int, int]) -> bool:
    while pid in above:
        pid = above[pid]
        if pid == ancestor:
            return True
    return False


def _rank_of(pid: int) -> str:
    environment = proc.environment_of(pid)
    return next((f"{name}={environment[name]}" for name in _RANKS if environment.get(name)), "")


def _parent(pid: int) -> int:
    found = re.search(r"^PPid:\s*(\d+)", _read(f"/proc/{pid}/status"), re.MULTILINE)
    return int(found[1]) if found else 0


def _is_tool(pid: int) -> bool:
    return _read(f"/proc/{pid}/comm").strip().startswith(_TOOLS)


def take_stacks(roots: Iterable[int], node: str = "") -> tuple[Rank, ...]:
    """Ask every process of a run where it stands."""
    processes = find_processes(roots)
    spied = dict(_ask_pyspy([pid for pid, _ in processes]))
    asked = dict(_ask_faulthandler([pid for pid, _ in processes if not spied.get(pid)]))
    return tuple(_rank(pid, name, node, spied.get(pid, ()), asked.get(pid, ())) for pid, name in processes)


def _rank(pid: int, name: str, node: str, spied: tuple[Frame, ...], asked: tuple[Frame, ...]) -> Rank:
    source = "py-spy" if spied else "faulthandler" if asked else "kernel"
    state = re.search(r"^State:\s*(.+)", _read(f"/proc/{pid}/status"), re.MULTILINE)
    return Rank(
        rank=name,
        pid=pid,
        node=node,
        source=source,
        state=state[1] if state else "gone",
        frames=spied or asked or _ask_kernel(pid),
        cpu_s=round(proc.used_by([pid, *proc.descendants(pid)])[0], 2),
    )


def _ask_pyspy(pids: Sequence[int]) -> Iterator[tuple[int, tuple[Frame, ...]]]:
    """Ask py-spy of all processes at once; nothing of those of whom it does not know."""
    running = []
    for pid in pids:
        tool = _find_pyspy(pid)
        if not tool:
            continue
        with contextlib.suppress(OSError):
            command = [tool, "dump", "--json", "--nonblocking", "--pid", str(pid)]
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                errors="replace", start_new_session=True,
            )  # fmt: skip
            running.append((pid, child))
    end = time.monotonic() + ANSWER_S
    for pid, child in running:
        try:
            said, _ = child.communicate(timeout=max(0.01, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            said, _ = child.communicate()
        yield pid, read_pyspy(said[:MOST_BYTES]) if child.returncode == 0 else ()


def _find_pyspy(pid: int) -> str:
    """Find py-spy beside us, or where the process itself would: in its container."""
    beside = shutil.which(
        "py-spy", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    )
    if beside:
        return beside
    root = Path(f"/proc/{pid}/root")
    for folder in proc.environment_of(pid).get("PATH", "").split(os.pathsep):
        if folder.startswith("/") and os.access(inside := root / folder[1:] / "py-spy", os.X_OK):
            return str(inside)
    return ""


def _ask_faulthandler(pids: Iterable[int]) -> Iterator[tuple[int, tuple[Frame, ...]]]:
    """Ask the processes that have said that they answer."""
    files = [(pid, path) for pid in pids if proc.catches(pid, _ASK) and (path := _memory_file(pid))]
    before = {pid: _size(path) for pid, path in files}
    proc.send_signal([pid for pid, _ in files], _ASK)
    end = time.monotonic() + ANSWER_S
    for pid, path in files:
        seen = before[pid]
        while time.monotonic() < end:
            time.sleep(0.05)
            size = _size(path)
            if size > before[pid] and size == seen:
                break
            seen = size
        with contextlib.suppress(OSError), path.open("rb") as file:
            file.seek(before[pid])
            yield pid, read_faulthandler(file.read(MOST_BYTES).decode("utf-8", "replace"))


def _memory_file(pid: int) -> Path | None:
    """The file into which a process writes its stacks; None where it has none."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if _MEMORY_FILE.match(os.readlink(entry.path)):  # noqa: PTH115  a hundred open files
                    return Path(entry.path)
    return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _ask_kernel(pid: int) -> tuple[Frame, ...]:
    """What the kernel says a process waits in; its whole stack where we may read it."""
    stack = re.findall(r"\] (\w+)\+", _read(f"/proc/{pid}/stack"))
    waits = [] if (name := _read(f"/proc/{pid}/wchan").strip()) in ("", "0") else [name]
    return tuple(Frame(name, "kernel") for name in (stack or waits)[:8])


def moved_by(pids: Iterable[int]) -> int:
    """Bytes that processes have read and written so far, whether from a disk or through a pipe."""
    total = 0
    for pid in pids:
        told = re.findall(r"^[rw]char: (\d+)", _read(f"/proc/{pid}/io"), re.MULTILINE)
        total += sum(map(int, told))
    return total


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
