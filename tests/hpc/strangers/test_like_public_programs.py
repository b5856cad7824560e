"""Three programs as people publish them, swept unchanged: each run's value is what the same command prints by hand.

They are look-alikes, with what made such programs give wrong numbers: a fixed file name that every run saves to and
reads again, data that git ignores, a package that is imported from the folder above.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.hpc.strangers.repository import Repository

LANGUAGE_MODEL = """\
import argparse, json, random
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=20)
parser.add_argument("--seed", type=int, default=1111)
parser.add_argument("--save", default="model.pt")
args = parser.parse_args()
chance, words = random.Random(args.seed), len(open("data/wiki/train.txt").read().split())
best = None
for epoch in (1, 2):
    loss = chance.random() / (1 + args.lr) + words / 100
    if best is None or loss < best:
        json.dump(loss, open(args.save, "w"))
        best = loss
    print(f"| end of epoch {epoch:3d} | time: {0.5:5.2f}s | valid loss {loss:5.4f} |")
print(f"| End of training | test loss {json.load(open(args.save)):5.6f} |")
"""

CONFIGURED = """\
import os, pickle, sys
out_dir = "out"
learning_rate = 6e-4
for word in sys.argv[1:]:
    key, value = word.removeprefix("--").split("=")
    globals()[key] = type(globals()[key])(value)
text = pickle.load(open(os.path.join("data", "chars", "train.bin"), "rb"))
os.makedirs(out_dir, exist_ok=True)
for step in (0, 10):
    print(f"step {step}: train loss {len(text) / 7:.4f}, val loss {len(text) / (3 + step * learning_rate):.4f}")
open(os.path.join(out_dir, "ckpt.pt"), "w").write("x")
"""

IN_A_FOLDER = """\
import os, sys
from ourpackage.model import loss_at
settings = dict(word.removeprefix("--").split("=") for word in sys.argv[1:])
os.makedirs("./out/adder", exist_ok=True)
open("./out/adder/args.txt", "a").write(" ".join(sys.argv))
for step in (0, 10):
    loss = loss_at(float(settings["trainer.learning_rate"]), int(settings["system.seed"]), step)
    runs = open("./out/adder/args.txt").read().count("--system")
    print(f"iter_dt 3.10ms; iter {step}: train loss {loss:.5f}; runs in here {runs}")
"""


@dataclass(frozen=True)
class Public:
    """A program, and how somebody sweeps it.

    Attributes:
        files: What its repository holds besides, and what was made in its folders (ignored by git).
        pattern: Finds its value.
        inputs: Ignored files it reads, as `plan` tells to name them.
    """

    command: str
    files: dict[str, str]
    pattern: str
    inputs: str = "[]"
    grid: dict[str, list[float]] = field(default_factory=lambda: {"lr": [0.5, 20]})
    seeds: tuple[int, ...] = (1, 2)


PROGRAMS = {
    "saves to one name and reads it again": Public(
        "main.py --lr {lr} --seed {seed}",
        {"main.py": LANGUAGE_MODEL, "data/wiki/train.txt": "a b c " * 5},
        r"test loss\s*(?P<loss>\S+)",
    ),
    "reads what git ignores": Public(
        "train.py --learning_rate={lr} --out_dir={out_dir}",
        {
            "train.py": CONFIGURED,
            ".gitignore": "*.bin\n",
            "data/chars/prepare.py": "",
            "data/chars/train.bin": "\x80\x04\x8c\x05hello\x94.",
        },
        r"val loss\s*(?P<loss>\S+)",
        inputs="[data/chars/train.bin]",
        seeds=(1,),
    ),
    "imports from the folder above": Public(
        "projects/adder/adder.py --trainer.learning_rate={lr} --system.seed={seed}",
        {
            "projects/adder/adder.py": IN_A_FOLDER,
            "ourpackage/__init__.py": "",
            "ourpackage/model.py": "def loss_at(rate, seed, step):\n    return (1 + seed) / (1 + rate * step)\n",
        },
        r"train loss\s*(?P<loss>[\d.]+)",
        grid={"lr": [0.5]},
    ),
}


def put(repository: Repository, public: Public) -> None:
    """Commit its files, and write the experiment."""
    for name, text in public.files.items():
        path = repository.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1"))
    repository.git()
    repository.write(
        "manifests/experiments/theirs.yaml",
        f"name: theirs\ntype: comparison\nprogram: {{command: 'python {public.command}', inputs: {public.inputs}}}\n"
        f"sweep: {{grid: {json.dumps(public.grid)}, seeds: {list(public.seeds)}}}\n"
        f"metrics: {{primary: {{name: loss}}, source: {{stdout: '{public.pattern}'}}}}\n"
        "run_name: 'L{lr}_S{seed}'\nresources: {cpus: 1, mem: 400MB, time: '0:02:00'}\n",
    )


def by_hand(folder: Path, words: list[str]) -> list[str]:
    """Run it where it lies, as its README says; return its lines."""
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.mark.parametrize("public", PROGRAMS.values(), ids=PROGRAMS)
def test_a_swept_program_prints_what_it_prints_by_hand(repository: Repository, tmp_path: Path, public: Public) -> None:
    """Line by line and in each digit, though all runs share names and folders; nothing is left in the repository."""
    put(repository, public)
    said = repository.plan()
    assert "left out of the copy" not in said
    before = sorted(repository.folder.rglob("[!.]*"))
    asked = [(rate, seed) for rate in public.grid["lr"] for seed in public.seeds]
    for position, _ in enumerate(asked):
        assert repository.on_a_node(position=position) == 0

    assert sorted(repository.folder.rglob("[!.]*")) == before
    for rate, seed in asked:
        clean = tmp_path / f"clean-{rate}-{seed}"
        subprocess.run(["cp", "-r", str(repository.folder), str(clean)], check=True)
        lines = by_hand(clean, public.command.format(lr=rate, seed=seed, out_dir="out").split())
        run = f"L{rate}_S{seed}"
        assert repository.printed(run) == lines
        kept = json.loads((repository.root / "theirs/tasks" / run / "metrics.json").read_text())
        assert kept["loss"] == float(re.findall(public.pattern, "\n".join(lines))[-1])
