"""Soak: submit, collect, kill, purge, fill the disk and take the queue away, over and over, and count what is left.

    python -m benchmarks.soak                     ten minutes on this machine's own queue; prints a table
    python -m benchmarks.soak --seconds 1800 --seed 7
    python -m benchmarks.soak --slurm             the same on a Slurm of its own (scripts/lab/slurm, root on Debian)

Each round plans an experiment of its own in a project of its own, lets one thing go wrong, heals it by the commands a
person would type, and is counted: every task has ended well exactly once (its program says so in a file outside, too),
no process, job or temporary file is left, and after the purge the folder has as many files as before. Anything else is
named, and the exit code is 1. As root the runs lie on a small file system of their own, which can be filled.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hpc.core.layout import RunLayout

REPO = Path(__file__).parents[1]
MARK = "SOAK_MARK"
"""Variable by which every process of a soak is known."""
TASKS, AT_ONCE = 6, 2
DISK_MIB = 24
HEALED_S, COMMAND_S = 600.0, 300.0
PROGRAM = """
import os, sys, time
def say(what):
    file = os.open(os.environ["SOAK_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{what} {sys.argv[1]}\\n".encode())
say("begin")
time.sleep(0.15)
print(f"loss: {int(sys.argv[1]) / 2}", flush=True)
say("end")
"""
EXPERIMENT = """
name: {name}
type: comparison
program: {{command: "{python} program.py {{x}}"}}
sweep: {{grid: {{x: [{values}]}}, seeds: [1]}}
metrics:
  primary: {{name: loss, goal: min}}
  source: {{stdout: 'loss: (?P<loss>\\S+)'}}
environment: {{SOAK_LEDGER: "{ledger}", {mark}}}
run_name: "X{{x}}"
retry: {{max_attempts: 9}}
resources: {{cpus: 1, mem: 200MB, time: "0:10:00"}}
"""


@dataclass
class Round:
    """What one round came to.

    Attributes:
        kind: What went wrong in it.
        killed: Processes that were killed.
        attempts: Attempts of all its tasks.
        ends: How often a program came to its end.
        memory_mib: The most that a command had resident.
        problems: What does not add up.
    """

    kind: str
    seconds: float = 0.0
    killed: int = 0
    attempts: int = 0
    ends: int = 0
    files: int = 0
    descriptors: int = 0
    memory_mib: float = 0.0
    problems: list[str] = field(default_factory=list)


class Soak:
    """A project, its runs, and what was counted so far."""

    cluster = "local"
    profile = f'scheduler: local\napptainer: ""\nmax_parallel: {AT_ONCE}\nsignal_lead_s: 5\n'
    detach: tuple[str, ...] = ("--detach",)
    """What makes a submission return before its tasks have ended."""

    def __init__(self, folder: Path, disk: Path, seed: int) -> None:
        self.folder, self.disk, self.runs = folder, disk, disk / "runs"
        self.memory_mib = 0.0
        self.random = random.Random(seed)  # noqa: S311  no secret: which moment comes next
        self.mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self.rounds: list[Round] = []
        self.kinds = self.all_kinds()
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("HPC_", "SLURM_"))
        }
        self.environment |= {MARK: self.mark, "PYTHONPATH": str(REPO), "HPC_ROOT": str(self.runs)}
        for part in ("experiments", "clusters"):
            (folder / "manifests" / part).mkdir(parents=True)
        (folder / f"manifests/clusters/{self.cluster}.yaml").write_text(self.profile, encoding="utf-8")
        (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
        self.runs.mkdir()

    def all_kinds(self) -> dict[str, Callable[[Round, str], None]]:
        """What goes wrong, by its name."""
        return {
            "nothing": self.nothing, "queue killed": self.queue_killed, "task killed": self.task_killed,
            "submit killed": self.submit_killed, "collect killed": self.collect_killed,
            "queue away": self.queue_away, "disk full": self.disk_full,
        }  # fmt: skip

    def play(self, kind: str) -> Round:
        """Play a round and count."""
        found, began = Round(kind), time.monotonic()
        self.memory_mib = 0.0
        name = f"soak{len(self.rounds)}"
        values = ", ".join(map(str, range(TASKS)))
        text = EXPERIMENT.format(
            name=name, python=sys.executable, values=values, ledger=self.ledger(name), mark=f"{MARK}: '{self.mark}'"
        )
        (self.folder / f"manifests/experiments/{name}.yaml").write_text(text, encoding="utf-8")
        try:
            self.hpc("plan", name, "--cluster", self.cluster)
            self.kinds[kind](found, name)
            self.heal(name)
        except Broken as broken:
            found.problems.append(str(broken))
        self.count(found, name)
        self.purge(found, name)
        found.seconds, found.memory_mib = time.monotonic() - began, self.memory_mib
        self.rounds.append(found)
        return found

    def ledger(self, name: str) -> Path:
        """Where programs say that they began and ended."""
        return self.folder / f"{name}.ledger"

    def hpc(self, verb: str, *arguments: str, expect: tuple[int, ...] = (0, 1, 3)) -> str:
        """Run a command to its end.

        Raises:
            Broken: It ended as none should.
        """
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                [sys.executable, "-m", f"hpc.{verb}", *arguments], cwd=self.folder, env=self.environment,
                stdout=said, stderr=said, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            last_resort = threading.Timer(COMMAND_S, process.kill)
            last_resort.start()
            _, status, used = os.wait4(process.pid, 0)
            last_resort.cancel()
            process.returncode = os.waitstatus_to_exitcode(status)
            said.seek(0)
            told = said.read().decode("utf-8", "replace")
        self.memory_mib = max(self.memory_mib, used.ru_maxrss / 1024)
        if "Traceback" in told or process.returncode not in expect:
            raise Broken(f"hpc {verb} ended with {process.returncode}: {told[-600:]}")
        return told

    @contextlib.contextmanager
    def started(self, verb: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a command beside us."""
        with subprocess.Popen(
            [sys.executable, "-m", f"hpc.{verb}", *arguments], cwd=self.folder, env=self.environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                process.kill()

    # --- what goes wrong

    def nothing(self, _: Round, name: str) -> None:
        """Nothing does."""
        self.hpc("submit", name)

    def queue_killed(self, found: Round, name: str) -> None:
        """The queue's runner is killed while tasks run, two times."""
        for _ in range(2):
            self.hpc("submit", name, *self.detach)
            self.wait_for_a_task(name)
            time.sleep(self.random.uniform(0, 0.4))
            found.killed += self.kill(lambda line: b"hpc.local.runner" in line and name.encode() in line)

    def task_killed(self, found: Round, name: str) -> None:
        """Programs are killed as the kernel does it when memory runs out."""
        self.hpc("submit", name, *self.detach)
        for _ in range(2):
            self.wait_for_a_task(name)
            found.killed += self.kill(lambda line: b"program.py" in line)
            time.sleep(self.random.uniform(0, 0.4))

    def submit_killed(self, found: Round, name: str) -> None:
        """Who submits is killed at any moment, and types it again."""
        for _ in range(3):
            with self.started("submit", name, *self.detach) as process:
                time.sleep(self.random.uniform(0.1, 1.0))
                found.killed += process.poll() is None

    def collect_killed(self, found: Round, name: str) -> None:
        """Who collects is killed at any moment."""
        self.hpc("submit", name, *self.detach)
        for _ in range(3):
            with self.started("collect", name, "--retry-failed") as process:
                time.sleep(self.random.uniform(0.1, 1.2))
                found.killed += process.poll() is None

    def queue_away(self, _: Round, name: str) -> None:
        """The queue stands still for some seconds, and people ask and submit meanwhile."""
        self.hpc("submit", name, *self.detach)
        self.wait_for_a_task(name)
        stopped = self.processes(lambda line: b"hpc.local.runner" in line and name.encode() in line)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            self.hpc("status", name)
            self.hpc("submit", name, *self.detach)
            self.hpc("collect", name, "--retry-failed")
            time.sleep(self.random.uniform(0, 2))
        finally:
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def disk_full(self, _: Round, name: str) -> None:
        """Nothing more can be written while tasks run and somebody collects; then there is room again."""
        self.hpc("submit", name, *self.detach)
        self.wait_for_a_task(name)
        filler = self.disk / "filler"
        if self.disk != self.folder:
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(b"x" * 65536):
                    pass
        try:
            time.sleep(self.random.uniform(0, 1))
            self.hpc("collect", name, "--retry-failed", expect=(0, 1, 3, 73, 74, 75))
            self.hpc("status", name)
        finally:
            filler.unlink(missing_ok=True)

    # --- healing and counting

    def heal(self, name: str) -> None:
        """Do what a person would: submit what is left, collect and retry, until every task has ended well.

        Raises:
            Broken: It does not come to an end.
        """
        end, told = time.monotonic() + HEALED_S, ""
        while time.monotonic() < end:
            told = self.hpc("submit", name)
            self.settle(name)
            told += self.hpc("collect", name, "--retry-failed")
            if f"{name} is held" in told:  # half of the tasks failed in one way, which a person has to look at
                told += self.hpc("submit", name, "--release")
            if self.outcomes(name) == {"finished": TASKS}:
                return
            time.sleep(0.5)
        raise Broken(f"not healed within {HEALED_S:g} s: {dict(self.outcomes(name))}; told at last:\n{told[-1500:]}")

    def settle(self, name: str) -> None:
        """Wait until what was submitted has ended; here the submission did."""

    def outcomes(self, name: str) -> Counter[str]:
        """How many tasks the newest collection knows by outcome."""
        try:
            told = json.loads((self.runs / name / "collected/verdicts.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Counter()
        return Counter(task["outcome"] for task in told["tasks"])

    def count(self, found: Round, name: str) -> None:
        """Count what a round left, and name what does not add up."""
        layout = RunLayout(self.runs, name)
        good: Counter[str] = Counter()
        for path in layout.tasks.glob("*/attempt-*/exit.json"):
            good[path.parent.parent.name] += json.loads(path.read_text(encoding="utf-8"))["exit_code"] == 0
        found.attempts = sum(1 for _ in layout.tasks.glob("*/attempt-*"))
        ledger = self.ledger(name)
        said = Counter(ledger.read_text(encoding="utf-8").splitlines()) if ledger.exists() else Counter()
        found.ends = sum(times for line, times in said.items() if line.startswith("end "))
        for number in range(TASKS):
            run = f"X{number}"
            if good[run] != 1:
                found.problems.append(f"{run} ended well {good[run]} times")
            if not said[f"end {number}"]:
                found.problems.append(f"{run} counts as finished and its program never came to its end")
        end = time.monotonic() + 5
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(0.1)
        found.problems += [f"process {pid} is left" for pid in left]
        left_over = [path for path in layout.home.rglob("*.tmp") if "/code/" not in str(path)]
        found.problems += [f"left over: {path}" for path in left_over] if not found.killed else []

    def purge(self, found: Round, name: str) -> None:
        """Clean as the commands do, then remove the experiment; count what the folder of all runs holds then."""
        home = self.runs / name
        try:
            self.hpc("clean", name, "--caches", "--work", "--yes")
        except Broken as broken:
            found.problems.append(str(broken))
        found.problems += [f"clean left {path}" for path in home.rglob("*.tmp") if "/code/" not in str(path)]
        subprocess.run(["chmod", "-R", "u+w", home], check=False)
        shutil.rmtree(home, ignore_errors=True)
        self.ledger(name).unlink(missing_ok=True)
        (self.folder / f"manifests/experiments/{name}.yaml").unlink()
        found.files = sum(1 for _ in self.disk.rglob("*"))
        found.descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    def wait_for_a_task(self, name: str) -> None:
        """Wait until a program runs, or none will."""
        end = time.monotonic() + 15
        while time.monotonic() < end and self.outcomes(name) != {"finished": TASKS}:
            if self.processes(lambda line: b"program.py" in line):
                return
            time.sleep(0.02)

    def processes(self, wanted: Callable[[bytes], bool] = lambda _: True) -> list[int]:
        """Processes of this soak, by a variable that all inherit, or its folder, which Slurm's wrappers are given."""
        mark, runs, found = f"{MARK}={self.mark}".encode(), bytes(self.runs), []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    words = (entry / "cmdline").read_bytes()
                    is_ours = runs in words or mark in (entry / "environ").read_bytes().split(b"\0")
                    if is_ours and int(entry.name) != os.getpid() and wanted(words):
                        found.append(int(entry.name))
        return found

    def kill(self, wanted: Callable[[bytes], bool]) -> int:
        """Kill processes of this soak by their numbers; how many."""
        pids = self.processes(wanted)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(pids)


class SlurmSoak(Soak):
    """The same with a real Slurm: nodes and the controller die, too."""

    cluster, detach = "lab", ()
    profile = (
        'scheduler: slurm\npartition: main\napptainer: ""\nmax_parallel: 4\nmax_array_size: 1000\n'
        "max_time: '0:30:00'\nmax_memory: 4GB\nsignal_lead_s: 10\n"
    )

    def __init__(self, folder: Path, disk: Path, seed: int, lab: Path) -> None:
        super().__init__(folder, disk, seed)
        self.lab_environment = {"LAB_PORT": "18000", "LAB_PREFIX": "s", "LAB_NODES": "2"} | {
            name: value for name, value in os.environ.items() if not name.startswith(("HPC_", "SLURM_"))
        }
        self.lab_environment |= {"LAB": str(lab), "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        self.environment |= {"SLURM_CONF": str(lab / "etc/slurm.conf"), "PATH": self.lab_environment["PATH"]}
        lab.parent.chmod(0o755)  # its daemons are other users
        self.node = self.lab_environment["LAB_PREFIX"] + "1"

    def all_kinds(self) -> dict[str, Callable[[Round, str], None]]:
        """What goes wrong, by its name."""
        return {
            "nothing": self.nothing, "task killed": self.task_killed, "wrapper killed": self.wrapper_killed,
            "node killed": self.node_killed, "job cancelled": self.job_cancelled,
            "submit killed": self.submit_killed, "collect killed": self.collect_killed,
            "controller away": self.controller_away, "disk full": self.disk_full,
        }  # fmt: skip

    def lab(self, *words: str) -> None:
        """Call ``scripts/lab/slurm``."""
        command = [REPO / "scripts/lab/slurm", *words]
        subprocess.run(command, env=self.lab_environment, check=True, stdout=subprocess.DEVNULL, timeout=COMMAND_S)

    def slurm(self, *command: str) -> str:
        """Call a client of Slurm's; what it printed, nothing where it failed."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=COMMAND_S
        )
        return done.stdout

    def wrapper_killed(self, found: Round, name: str) -> None:
        """Wrappers are killed, with what they started."""
        self.hpc("submit", name)
        for _ in range(2):
            self.wait_for_a_task(name)
            found.killed += self.kill(lambda line: b"run_task" in line)
            time.sleep(self.random.uniform(0, 0.4))

    def node_killed(self, found: Round, name: str) -> None:
        """A node loses its power while tasks run, and comes back."""
        self.hpc("submit", name)
        self.wait_for_a_task(name)
        self.lab("node-kill", self.node, "hard")
        found.killed += 1
        time.sleep(self.random.uniform(0, 2))
        self.hpc("collect", name, "--retry-failed")
        self.lab("node-start", self.node)

    def job_cancelled(self, found: Round, name: str) -> None:
        """Somebody cancels all jobs by hand."""
        self.hpc("submit", name)
        self.wait_for_a_task(name)
        self.slurm("scancel", f"--name={name}")
        found.killed += 1

    def controller_away(self, _: Round, name: str) -> None:
        """The controller dies, people ask and submit meanwhile, and it comes back."""
        self.hpc("submit", name)
        self.wait_for_a_task(name)
        self.lab("ctld-kill")
        try:
            for verb, *more in (("status",), ("submit",), ("collect", "--retry-failed")):
                self.hpc(verb, name, *more, expect=(0, 1, 3, 75))
        finally:
            self.lab("ctld-start")

    def settle(self, name: str) -> None:
        """Wait until nothing is in the queue that will start."""
        end = time.monotonic() + HEALED_S
        while time.monotonic() < end:
            waiting = self.slurm("squeue", "--noheader", f"--name={name}", "--format=%r").splitlines()
            if all("Held" in reason for reason in waiting):
                return
            time.sleep(0.5)

    def count(self, found: Round, name: str) -> None:
        """Count jobs, too."""
        super().count(found, name)
        found.problems += [f"job {line.split()[0]} is left" for line in self.slurm("squeue", "-h").splitlines()]


class Broken(Exception):  # noqa: N818  what a round came to, no error of ours
    """A command did what none should do."""


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own for the runs, which can be filled; the folder itself where nobody may mount."""
    disk = folder / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "tmpfs", disk]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        disk.rmdir()
        yield folder
        return
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def run(seconds: float, seed: int, kinds: tuple[str, ...] = (), *, slurm: bool = False) -> list[Round]:
    """Play rounds for so long, each kind in turn, or these kinds once; on this machine's own queue, or on a Slurm."""
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-"))
        disk = stack.enter_context(small_disk(Path(name)))
        if slurm:
            home = stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-slurm-"))
            soak: Soak = (own := SlurmSoak(Path(name), disk, seed, Path(home, "slurm")))
            stack.callback(own.lab, "stop")
            own.lab("start")
        else:
            soak = Soak(Path(name), disk, seed)
        end = time.monotonic() + seconds
        while True:
            for kind in kinds or soak.kinds:
                found = soak.play(kind)
                for problem in found.problems:
                    print(f"{kind}: {problem}", file=sys.stderr, flush=True)
                if time.monotonic() > end and not kinds:
                    return soak.rounds
            if kinds:
                return soak.rounds


def table(rounds: list[Round]) -> str:
    """What each kind of round came to."""
    columns = ("what went wrong", "rounds", "tasks", "attempts", "killed", "programs ended", "s a round", "files left",
               "open files", "MiB a command", "problems")  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for kind in dict.fromkeys(each.kind for each in rounds):
        mine = [each for each in rounds if each.kind == kind]
        files, descriptors, memory = (
            {round(getattr(each, what)) for each in mine} for what in ("files", "descriptors", "memory_mib")
        )
        lines.append(
            f"| {kind} | {len(mine)} | {TASKS * len(mine)} | {sum(each.attempts for each in mine)} | "
            f"{sum(each.killed for each in mine)} | {sum(each.ends for each in mine)} | "
            f"{sum(each.seconds for each in mine) / len(mine):.1f} | {_span(files)} | {_span(descriptors)} | "
            f"{_span(memory)} | "
            f"{sum(len(each.problems) for each in mine)} |"
        )
    return "\n".join(lines)


def _span(values: set[int]) -> str:
    return str(min(values)) if len(values) == 1 else f"{min(values)}–{max(values)}"


def main() -> int:
    """Soak, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--slurm", action="store_true", help="on a Slurm of its own, started for it")
    arguments = parser.parse_args()
    rounds = run(arguments.seconds, arguments.seed, slurm=arguments.slurm)
    print(table(rounds))
    return int(any(each.problems for each in rounds) or len({each.files for each in rounds}) > 1)


if __name__ == "__main__":
    sys.exit(main())
