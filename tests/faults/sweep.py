"""Whole commands on a file system that fails at one call: then the fault is gone, and the same command goes on.

    python -m tests.faults.sweep                     every place in every command, each kind of fault; an hour or so
    python -m tests.faults.sweep collect --some 20   this command at so many places, chosen at random

A place is a call that changes something, with the file it changes, digits and hashes aside. What has to hold: the
command says in words what happened and how it ends is documented, nothing is lost or there twice afterwards, and what
it said was done is done. What does not hold is printed, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from errno import EDQUOT, EIO, ENOSPC
from pathlib import Path

from hpc.adapters.files import read_regular
from tests.faults.filesystem import CHANGES, NEED_ROOM, Faults
from tests.faults.mounts import Mounted, mounted
from tests.local_projects import LocalProject, make_project

KINDS: Mapping[str, Faults] = {
    "EIO": Faults(calls=CHANGES, errno=EIO),
    "full": Faults(calls=(*NEED_ROOM, "fsync"), errno=ENOSPC, lasting=True),
    "quota": Faults(calls=("fsync",), errno=EDQUOT),
    "short": Faults(calls=("write",), short=True),
}
"""A call that fails once, a disk that is full from then on, a quota told by one fsync, and a write that takes half."""

TASKS = 3
ENDS = frozenset({0, 1, 2, 3, 74, 75})
MOST_ROUNDS = 8
PATIENCE_S = 600.0
"""For a command on a loaded machine: freezing hundreds of files takes minutes there."""
PROGRAM = """
import contextlib, os, sys
with contextlib.suppress(OSError), open("left", "w") as left:  # for `clean`
    left.write("what the program left")
file = os.open(os.environ["SWEEP_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
os.write(file, f"end {sys.argv[1]}\\n".encode())
print(f"loss: {int(sys.argv[1]) / 2}", flush=True)
"""
EXPERIMENT = """
name: tiny
type: comparison
program: {{command: "{python} program.py {{x}}"}}
sweep: {{grid: {{x: [{values}]}}, seeds: [1]}}
metrics:
  primary: {{name: loss, goal: min}}
  source: {{stdout: 'loss: (?P<loss>\\S+)'}}
environment: {{SWEEP_LEDGER: "{ledger}"}}
run_name: "X{{x}}"
retry: {{max_attempts: 9}}
resources: {{cpus: 1, mem: 200MB, time: "0:10:00"}}
"""


@dataclass(frozen=True)
class Place:
    """Where a fault is made.

    Attributes:
        verb: The command.
        kind: The kind of fault.
        at: The how-manieth call of those that the kind is about.
        what: The call and its file.
    """

    verb: str
    kind: str
    at: int
    what: str

    def __str__(self) -> str:
        return f"{self.verb}, {self.kind} at {self.at} ({self.what})"


@dataclass
class Sweep:
    """A project whose runs lie on a mount, and what its folder held before each command."""

    folder: Path
    mount: Mounted
    project: LocalProject = field(init=False)

    def __post_init__(self) -> None:
        self.shared, self.saved = self.folder / "shared", self.folder / "saved"
        self.ledger, self.log = self.folder / "ledger", self.folder / "log"
        text = EXPERIMENT.format(python=sys.executable, ledger=self.ledger, values=", ".join(map(str, range(TASKS))))
        self.project = make_project(self.folder / "project", text, PROGRAM)
        self.saved.mkdir()
        self.calls: dict[str, list[str]] = {}
        self.pages: dict[str, str] = {}

    def call(self, verb: str, *more: str) -> tuple[int, str]:
        """Run a command; its code and what it said."""
        given = {
            "plan": ["--cluster", "local"],
            "collect": ["--retry-failed"],
            "compact": ["--compact"],
            "clean": ["--caches", "--work", "--yes"],
        }
        done = self.project.call(
            "-m",
            f"hpc.{'collect' if verb == 'compact' else verb}",
            "tiny",
            *(more or given.get(verb, [])),
            timeout=PATIENCE_S,
            HPC_ROOT=str(self.mount.point / "runs"),
        )
        return done.returncode, done.stdout + done.stderr

    # --- going from state to state

    def record(self) -> None:
        """Run every command once without a fault: keep what was there before each, and what each changes."""
        for verb in VERBS:
            self.keep(verb)
            self.log.write_text("", encoding="utf-8")
            self.mount.switch(Faults(calls=CHANGES, log=str(self.log)))
            code, told = self.call(verb)
            self.mount.switch()
            assert code in (0, 3), (verb, told)
            self.calls[verb] = self.log.read_text(encoding="utf-8").splitlines()

    def keep(self, verb: str) -> None:
        """Copy the folder as it is before a command."""
        subprocess.run(["cp", "-a", self.shared, self.saved / verb], check=True)
        if self.ledger.exists():
            shutil.copy(self.ledger, self.saved / f"{verb}.ledger")

    def restore(self, verb: str) -> None:
        """Make the folder what it was before a command."""
        for path in self.shared.iterdir():
            shutil.rmtree(path)
        subprocess.run(["cp", "-a", f"{self.saved / verb}/.", self.shared], check=True)
        self.ledger.unlink(missing_ok=True)
        if (kept := self.saved / f"{verb}.ledger").exists():
            shutil.copy(kept, self.ledger)

    def places(self, verb: str) -> list[Place]:
        """Where each kind of fault can be made, each file and call once."""
        found = []
        for kind, faults in KINDS.items():
            met = [line for line in self.calls[verb] if line.split(" ", 1)[0] in faults.calls]
            first = {_alike(line): number for number, line in reversed([*enumerate(met, 1)])}
            found += [Place(verb, kind, number, what) for what, number in first.items()]
        return found

    # --- one fault

    def problems(self, place: Place) -> list[str]:
        """Make a fault at a place, then let the same command go on; what does not hold."""
        self.restore(place.verb)
        self.mount.switch(replace(KINDS[place.kind], at=place.at))
        code, told = self.call(place.verb)
        self.mount.switch()
        found = []
        if "Traceback" in told:
            found.append(f"a traceback: {told[-1500:]}")
        if code not in ENDS or (code not in (0, 3) and not told.strip()):
            found.append(f"ended with {code}: {told[-600:]}")
        found += [f"{each} (fault: {code}, {told[-300:]})" for each in self.heal(place.verb)]
        # A temporary file may be left where the very call that removes it failed.
        left = [path.relative_to(self.shared) for path in self.shared.rglob("*.tmp") if "/code/" not in str(path)]
        if left and not place.what.startswith("unlink"):
            found.append(f"left over: {[str(path) for path in left]}")
        return found

    def problems_or_hang(self, place: Place) -> list[str]:
        """As `problems`; a command that does not end is one, and the next place is tried all the same."""
        try:
            return self.problems(place)
        except subprocess.TimeoutExpired as error:
            return [f"did not end: {error}"]
        finally:
            self.mount.switch()

    def heal(self, verb: str) -> list[str]:
        """Let the command go on until it is done; what is lost or there twice."""
        goes_on = {"submit": self.finish, "collect": self.finish}.get(verb, lambda: self.once_more(verb))
        return goes_on() or RESULTS[verb](self)

    def once_more(self, verb: str) -> list[str]:
        """Run the command again; how it did not succeed."""
        code, told = self.call(verb)
        return [] if code in (0, 3) and "Traceback" not in told else [f"again: {code}, {told[-800:]}"]

    def finish(self) -> list[str]:
        """Submit and collect as a person would, until every task has ended well."""
        told = ""
        for _ in range(MOST_ROUNDS):
            for verb in ("submit", "collect"):
                code, said = self.call(verb)
                told += said
                if code not in ENDS or "Traceback" in said:
                    return [f"{verb} afterwards: {code}, {said[-1500:]}"]
                if "is held" in said:
                    self.call("submit", "--release")
            if self.outcomes() == {"finished": TASKS}:
                return []
        return [f"not finished: {dict(self.outcomes())}, {told[-1500:]}"]

    def outcomes(self) -> Counter[str]:
        """How many tasks are known by outcome."""
        try:
            told = json.loads((self.shared / "runs/tiny/collected/verdicts.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Counter()
        return Counter(task["outcome"] for task in told["tasks"])

    # --- what has to be there

    def planned(self) -> list[str]:
        """The manifest is the one that it was without a fault."""
        code, told = self.call("status", "--json")
        mine, theirs = (json.loads((home / "runs/tiny/manifest.json").read_text(encoding="utf-8"))
                        for home in (self.shared, self.saved / "submit"))  # fmt: skip
        found = [] if code in (0, 3) else [f"status afterwards: {code}, {told[-600:]}"]
        return found + [
            f"{name} of the manifest differs" for name in ("tasks", "sha256") if mine.get(name) != theirs.get(name)
        ]

    def ended_once(self) -> list[str]:
        """Every task ended well exactly once, and its program says so, too; its value is what it printed."""
        told = json.loads((self.shared / "runs/tiny/collected/verdicts.json").read_text(encoding="utf-8"))["tasks"]
        good = {
            task["run_name"]: sum(each["verdict"]["category"] == "success" for each in task["attempts"])
            for task in told
        }
        ends = Counter(self.ledger.read_text(encoding="utf-8").splitlines())
        found = [
            f"X{each} ended well {good.get(f'X{each}')} times" for each in range(TASKS) if good.get(f"X{each}") != 1
        ]
        found += [f"X{each} never came to its end" for each in range(TASKS) if not ends[f"end {each}"]]
        values = {task["run_name"]: task["summary"].get("loss") for task in told}
        wanted = {f"X{each}": each / 2 for each in range(TASKS)}
        return found + ([] if values == wanted else [f"values are {values}"])

    def reported(self) -> list[str]:
        """The page is there, with every value."""
        page = (self.shared / "runs/tiny/report/report.md").read_text(encoding="utf-8")
        return [] if "X0" in page or "loss" in page else ["the report says nothing"]

    def packed(self) -> list[str]:
        """What each task printed is there, and its result; of its small files one archive is left."""
        homes = {each: self.attempt(each) for each in range(TASKS)}
        found = [f"X{each} is not packed" for each, home in homes.items() if (home / "stdout.log").exists()]
        texts = {each: read_regular(home / "stdout.log", 1000) for each, home in homes.items()}
        lost = [f"X{each} printed {text!r}" for each, text in texts.items() if text != f"loss: {each / 2}\n".encode()]
        return [*found, *lost, *self.ended_once()]

    def cleaned(self) -> list[str]:
        """What the programs left is gone, and their results are there."""
        left = [each for each in range(TASKS) if (self.attempt(each) / "work/left").exists()]
        return [*(f"X{each}: work/ stays" for each in left), *self.ended_once()]

    def attempt(self, task: int) -> Path:
        """The attempt that ended well, which nothing disturbed."""
        return self.shared / f"runs/tiny/tasks/X{task}/attempt-1"


def _alike(line: str) -> str:
    """A call and its file without what tells it from others of its kind: numbers, hashes, and which file of a copy."""
    line = re.sub(r"/(toolkit|code)/.*", r"/\1/…", line)
    return re.sub(r"[0-9a-f]{8,}|\d+", "#", line)


VERBS = ("plan", "submit", "collect", "status", "report", "compact", "clean")
RESULTS: Mapping[str, Callable[[Sweep], list[str]]] = {
    "plan": Sweep.planned, "submit": Sweep.ended_once, "collect": Sweep.ended_once, "status": Sweep.ended_once,
    "report": Sweep.reported, "compact": Sweep.packed, "clean": Sweep.cleaned,
}  # fmt: skip


def main() -> int:
    """Try places, and print what does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verbs", nargs="*", metavar="COMMAND", help=f"of {', '.join(VERBS)}; default: all")
    parser.add_argument("--some", type=int, default=0, help="so many places of each command, not all")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance, tried, bad = random.Random(arguments.seed), 0, 0  # noqa: S311  no secret
    with tempfile.TemporaryDirectory(prefix="sweep-") as name, mounted(Path(name), mounts=1) as mounts:
        sweep = Sweep(Path(name), mounts[0])
        sweep.record()
        for verb in arguments.verbs or VERBS:
            places = sweep.places(verb)
            began = time.monotonic()
            print(f"{verb}: {len(sweep.calls[verb])} calls, {len(places)} places", flush=True)  # noqa: T201
            for place in chance.sample(places, min(arguments.some or len(places), len(places))):
                tried += 1
                if problems := sweep.problems_or_hang(place):
                    bad += 1
                    print(f"{place}:\n  " + "\n  ".join(problems), flush=True)  # noqa: T201
            print(f"  {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201
    print(f"{tried} places, {bad} with problems")  # noqa: T201
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
