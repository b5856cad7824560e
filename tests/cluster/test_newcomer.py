"""A newcomer's first day: a repository of theirs, a Slurm, a terminal; they type what the last screen told them to.

``FIRST_DAY=write python -m pytest tests/cluster/test_newcomer.py`` writes docs/how-to/first-day.md anew.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpc.adapters.started import VARIABLE
from tests.cluster.conftest import REPO, Lab
from tests.conversation import converse
from tests.pages import blocks, steps

PAGE = REPO / "docs/how-to/first-day.md"
WRITES = os.environ.get("FIRST_DAY") == "write"
FOLDER = "/home/you/line"
"""What the page calls the repository."""
WIDE, NARROW = 120, 80
SHELL = "import os, sys; os.execvp('sh', ['sh', '-c', sys.argv[1]])"
UNSET = (VARIABLE, "HPC_CLUSTER", "HPC_ROOT", "COLUMNS", "LINES", "FORCE_COLOR", "OMP_NUM_THREADS")

PROGRAM = '''"""Fit a line by gradient descent, one new batch a step."""

import argparse
import random

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.03, help="step size")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=50)
args = parser.parse_args()

random.seed(args.seed)
weight, target = 0.0, 3.0
for step in range(1, args.steps + 1):
    batch = [random.gauss(0, 1) for _ in range(32)]
    gradient = sum(2 * (weight - target) * x * x for x in batch) / len(batch)
    weight -= args.lr * gradient
    loss = (weight - target) ** 2 + random.gauss(0.1, 0.001)
    if step % 10 == 0:
        print(f"step {step} | loss {loss:.4f}", flush=True)
    if step == 30 and loss < 0.099:
        print(f"good so early: {best:.4f}")
'''
BUG, MEND = "{best:.4f}", "{loss:.4f}"
"""One run in nine gets so far, and names what is not there."""

BRIEF = (
    "just run it and see",
    "Which learning rate gives the lowest loss after 50 steps?",
    "Which one is best?",
    "lr=0.1 lowers loss against lr=0.03 by at least 10 %",
    "lr=0.09 lowers loss against lr=0.03 by at least 10 %",
    "a line with noise, 32 new points a step, seeded",
    "every batch is new, so that the last loss is of points not seen before",
    "none: I looked at 100 points for duplicates and gaps",
    "one weight, plain gradient descent, 50 steps",
    "",
    "neither was tuned; both have the same 50 steps",
    "",
    "loss at lr=0.09 at least 10 % below lr=0.03",
    "",
    "one core hour, today; lr=0.01 is dropped first",
    "exploratory",
    "whether the default of --lr changes or stays",
    "the default stays, and we say so",
    "y",
)


@dataclass(frozen=True)
class Screen:
    """What stood on the terminal after one line."""

    line: str
    text: str

    def told(self, after: str) -> str:
        """The command of ours that the screen gives after these words; fails where it gives none."""
        found = re.search(rf"{after}:?\s+(hpc [^\n]+)", self.text)
        assert found, f"{self.line} gives no command after {after!r}:\n{self.text}"
        return found[1].strip()

    @property
    def shown(self) -> str:
        """As the page has it: of the check-up, which looks at this machine, only what it comes to."""
        lines = [line.rstrip() for line in self.text.splitlines() if line.strip()]
        if "doctor" in self.line:
            lines = ["…", "how to fix it:", *(line for line in lines if line.startswith("  BLOCKING")), "…"]
        return "\n".join(lines)


class Newcomer:
    """Somebody at a terminal in a repository of their own."""

    def __init__(self, folder: Path, lab: Lab) -> None:
        """Set up the repository, with a commit in it, and an environment without any setting of ours."""
        self.folder, self.lab = folder, lab
        self.screens: list[Screen] = []
        environment = {name: value for name, value in lab.environment.items() if name not in UNSET}
        path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        self.environment = {**environment, "PATH": path, "PYTHONPATH": str(REPO), "TERM": "xterm", "NO_COLOR": "1"}
        folder.mkdir()
        (folder / "train.py").write_text(PROGRAM)
        who = ("-c", "user.name=you", "-c", "user.email=you@example.org")
        for arguments in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "Fit a line")):
            subprocess.run(["git", *arguments], cwd=folder, check=True)

    def types(self, line: str, *says: str, answers: Sequence[str] = (), code: int = 0, columns: int = WIDE) -> Screen:
        """Type a line and read the screen: it ends with that code, and says all of these."""
        ended, text = converse(["-c", SHELL, line], answers, self.folder, self.environment, columns)
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
        text = text.replace(str(self.folder.resolve()), FOLDER).replace(str(self.folder), FOLDER)
        screen = Screen(line, text)
        assert ended == code, f"{line}: {ended}\n{text}"
        assert "Traceback" not in text
        flat = " ".join(text.split())
        for sentence in says:
            assert sentence in flat, f"{line} does not say {sentence!r}:\n{text}"
        self.screens.append(screen)
        return screen

    def waits(self) -> None:
        """Wait as somebody does who has a coffee."""
        self.lab.wait_idle(60, job_name="first_sweep")


def walk(person: Newcomer) -> None:
    """From an empty repository to an answer; each line is one that a screen before gave."""
    begun = person.types("hpc init", "first_sweep starts `python train.py`, compares values of lr", answers=("", ""))
    asked = person.types(
        begun.told("next, to say what you want to find out"), "whatever the result, it would answer nothing",
        "a question claims nothing",
        "SUPPORTED if the mean of loss with lr=0.09 is at least 10 % below",
        "lr=0.1 is not in the sweep (0.01, 0.03, 0.09)",
        answers=BRIEF, columns=NARROW,
    )  # fmt: skip
    refused = person.types(asked.told("next"), "Slurm rejects this plan", code=1)
    looked = person.types(refused.told("exceeds the limits"), "BLOCKING memory: hpc plan first_sweep", code=1)
    planned = person.types(
        looked.told("BLOCKING  memory"), "9 tasks, 9 to submit", "cost: at most 72 core hours", columns=NARROW
    )
    submit = f"{planned.told('interrupted halfway')} --canary"
    sent = person.types(submit, "the canary: one task", "they start when the canary has succeeded")
    person.waits()
    stands = person.types(sent.told("next"), "9 tasks = 8 finished + 1 failed", "why it failed")
    gathered = person.types(stands.told("why it failed"), "code_bug", "NameError: name", code=1)
    explained = person.types(gathered.told("more about it"), "lr0.09_S2: code_bug", "NameError: name 'best'")
    again = gathered.told(r"once fixed \(1 of code_bug\)")
    assert again in explained.text
    program = person.folder / "train.py"
    program.write_text(program.read_text().replace(BUG, MEND))
    retried = person.types(again, "submitted 1 retry", code=1)
    person.waits()
    stands = person.types(retried.told("next"), "9 tasks = 9 finished", "8 runs have a result made by other code")
    gathered = person.types(stands.told("next"), "9 tasks = 9 finished")
    person.types(gathered.told("next"), "UNDECIDED: still open:", "wrote runs/first_sweep/report/report.html")
    person.types("hpc history best", "best loss (lower is better, 9 runs)")
    person.types('hpc history ask "what learning rates have I tried?"', "lr: 3 values in 9 runs: 0.01, 0.03, 0.09")


WORDS = {
    "hpc init": "You have a repository with a training program, and a login on a Slurm cluster. Type `hpc init`.",
    "hpc brief": "Say what you want to find out. Where an answer leaves open what would count, you are asked again.",
    "hpc plan": "Plan it: what will run, what it costs at most, what to type next. Here a task asks for more\n"
    "memory than a node has, so the next line is not `sbatch`.",
    "hpc doctor": "The check-up says what blocks, with a line that mends it (here no more than that).",
    "hpc plan first_sweep --cluster": "That line is the plan again, with less memory.",
    "hpc submit": "`--canary` sends one task first.",
    "hpc status": "How it stands:",
    "hpc collect": "Gather what the runs left:",
    "hpc why": "Read all that is known of the failure:",
    "hpc collect first_sweep --retry-failed": "Mend `train.py`, then type the line that `collect` and `why` gave.",
    "hpc report": "The answer, as text and as a page:",
    "hpc history best": "What you have tried, in this experiment and all others:",
}


def page_of(screens: Sequence[Screen]) -> str:
    """Write the page: each line with the screen below it."""
    told = [
        "# The first day",
        "Each line typed here was given by the screen before it. The page is written by a walk on a Slurm of one",
        "machine (`FIRST_DAY=write python -m pytest tests/cluster/test_newcomer.py`); times, ids and paths vary.\n",
    ]
    for screen in screens:
        fits = [words for begin, words in WORDS.items() if screen.line.startswith(begin)]
        told += [f"{fits[-1]}\n"] if fits else []
        told += ["```console", f"$ {screen.line}", screen.shown, "```\n"]
    told[0] += "\n"
    return "\n".join(told).rstrip() + "\n"


def masked(text: str) -> list[str]:
    """Return the words of a screen in alphabetical order, without numbers, digests and the lines of a table.

    In order, because a job id with a digit more folds the cells of a table elsewhere.
    """
    text = re.sub(r"\b[0-9a-f]{16}\b", "<digest>", text)
    text = re.sub(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?Z?)?", "<time>", text)
    text = re.sub(r"\d[\d.,]*(?:e-?\d+)?", "0", text)
    return sorted(text.replace("─", " ").split())


@pytest.mark.cluster
def test_a_newcomer_gets_from_nothing_to_an_answer(lab: Lab, tmp_path: Path) -> None:
    """Every screen says its main sentence, every line it gives works when pasted, and the page shows these screens."""
    person = Newcomer(tmp_path / "line", lab)
    walk(person)
    if WRITES:
        PAGE.write_text(page_of(person.screens), encoding="utf-8")
    page = [each for block in blocks(PAGE.read_text(encoding="utf-8")) for each in steps(block)]
    assert [each.command for each in page] == [screen.line for screen in person.screens]
    for shown, screen in zip(page, person.screens, strict=True):
        assert masked(shown.shown) == masked(screen.shown), f"{screen.line}: write the page anew, as the head says"
