"""Classifying 1,000 failures with ``hpc.why --jsonl``, one error in a log of 64 MiB, and logs of one kind of line.

Run: ``python -m benchmarks.explaining [--quick] [--json]``. The cases are those of ``tests/corpus``, again and again.
The floor reads the same logs and answers without looking at them; grep and ripgrep look at them for one pattern and
understand nothing. Each kind of line fills a log of its own: words that healthy programs print and rules look for.
"""

import itertools
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.made_experiments import healthy_log
from benchmarks.measuring import (
    PROJECT,
    PYTHON,
    Contender,
    Cost,
    Line,
    as_figures,
    execute,
    run_benchmark,
    table,
    take_turns,
)

CORPUS = PROJECT / "tests" / "corpus"
ERROR = "RuntimeError: CUDA error: device-side assert triggered"
GREP = "error|out of memory|killed|nan|timed out"
WHY = (PYTHON, "-m", "hpc.why", "--jsonl")


def load_cases(count: int) -> list[dict[str, Any]]:
    """So many cases of the corpus, as ``--jsonl`` takes them, each log with its whole path."""
    lines = (CORPUS / "cases.jsonl").read_text().splitlines()
    labelled = [json.loads(line) for line in lines if line.strip()]
    known = [
        {key: case[key] for key in ("log", "slurm_state", "exit_code", "metrics") if key in case} for case in labelled
    ]
    for case in known:
        case["log"] = str(CORPUS / case["log"]) if case.get("log") else None
    return list(itertools.islice(itertools.cycle(known), count))


def measure_cases(folder: Path, *, cases: int, rounds: int) -> list[Line]:
    """Cases a second."""
    asked, answered = folder / "cases.jsonl", folder / "answers.jsonl"
    chosen = load_cases(cases)
    asked.write_text("".join(json.dumps(case) + "\n" for case in chosen))
    logs = [case["log"] for case in chosen if case["log"]]

    def floor() -> Cost:
        cost = execute((PYTHON, "-m", "benchmarks.floors", "cases"), folder=folder, stdin=asked, stdout=answered)
        assert int(answered.read_text()) == cases
        return cost

    def explain() -> Cost:
        cost = execute(WHY, folder=folder, stdin=asked, stdout=answered)
        given = [json.loads(line) for line in answered.read_text().splitlines()]
        assert len(given) == cases
        assert not any("error" in each for each in given)
        assert len(Counter(each["category"] for each in given)) >= 5
        return cost

    return take_turns(
        [
            Contender("reading cases and logs (floor)", floor),
            Contender("`grep -ciE` of five words", lambda: search(folder, logs)),
            Contender("**hpc.why --jsonl**", explain),
        ],
        rounds,
    )


def search(folder: Path, logs: Sequence[str]) -> Cost:
    """Let grep count what five words find; into a file, because it does not read on when nobody reads it."""
    found = folder / "found.txt"
    cost = execute(("grep", "-ciE", GREP, *logs), folder=folder, stdout=found)
    counts = [int(line.rpartition(":")[2]) for line in found.read_text().splitlines()]
    assert len(counts) == len(logs)
    assert sum(counts) >= 1
    return cost


def measure_log(folder: Path, *, mebibytes: int, rounds: int) -> list[Line]:
    """One large log whose error stands in its middle, followed by silence."""
    log, answered = folder / "large.log", folder / "large.json"
    calm = "".join(f"step {step} loss {1 / (step + 1):.6f} lr 0.0002 grad_norm 0.81\n" for step in range(20_000))
    half = calm * max(1, (mebibytes << 20) // (2 * len(calm)))
    noise = "[rank0] INFO waiting for the next batch of the queue\n" * (len(half) // 54)
    text = half + f'Traceback (most recent call last):\n  File "train.py", line 7\n{ERROR}\n' + noise
    log.write_text(text)
    lines = text.count("\n")

    def count_lines() -> Cost:
        cost = execute(("wc", "-l", str(log)), folder=folder, stdout=answered)
        assert int(answered.read_text().split()[0]) == lines
        return cost

    def explain() -> Cost:
        argv = (PYTHON, "-m", "hpc.why", str(log), "--state", "FAILED", "--exit", "1:0", "--json")
        cost = execute(argv, folder=folder, stdout=answered)
        assert ERROR in json.loads(answered.read_text())["evidence"][0]["text"]
        return cost

    return take_turns(
        [
            Contender("`wc -l` (floor)", count_lines),
            Contender("`grep -ciE` of five words", lambda: search(folder, [str(log)])),
            Contender("**hpc.why**", explain),
        ],
        rounds,
    )


KINDS: Mapping[str, Sequence[str]] = {
    "a healthy run's own words": tuple(healthy_log(1200)),
    "`waiting for the next batch of the queue`": ("[rank0] INFO waiting for the next batch of the queue",),
    "`val_error=0.1234`": tuple(f"step {step} val_error={1 / (step + 1):.4f}" for step in range(2000)),
    "`loss nan`": tuple(f"step {step} loss nan grad_norm nan" for step in range(2000)),
    "`WARNING: failed to read …, skipping`": tuple(
        f"WARNING: failed to read sample {step}, skipping" for step in range(2000)
    ),
    "`timeout=30, retrying`": tuple(f"[worker {step % 8}] timeout=30, retrying ({step}/2000)" for step in range(2000)),
    "tracebacks survived": (
        "Traceback (most recent call last):", '  File "reader.py", line 7, in read', "    return decode(sample)",
        "ValueError: bad sample", "skipped",
    ),
}  # fmt: skip
"""What each line of a log says → its lines, again and again."""


def measure_kinds(folder: Path, *, mebibytes: int, rounds: int) -> list[Line]:
    """A log a kind of line, as large as the one with an error; the floor is a pattern looked for in the first."""
    logs = {name: folder / f"kind-{number}.log" for number, name in enumerate(KINDS)}
    for name, log in logs.items():
        once = "".join(f"{line}\n" for line in KINDS[name])
        log.write_text(once * ((mebibytes << 20) // len(once) + 1))
    first = str(next(iter(logs.values())))
    grep = ("rg", "-ci") if shutil.which("rg") else ("grep", "-ciE")

    def explain(log: Path) -> Cost:
        return execute((PYTHON, "-m", "hpc.why", str(log), "--state", "FAILED", "--exit", "1:0"), folder=folder)

    ours = [Contender(f"**hpc.why**, {name}", partial(explain, log)) for name, log in logs.items()]
    floor = Contender(f"`{' '.join(grep)}` of five words (floor)", lambda: execute((*grep, GREP, first), folder=folder))
    return take_turns([floor, *ours], rounds)


def render(cases: list[Line], log: list[Line], kinds: list[Line], count: int, mebibytes: int) -> str:
    """The result as Markdown."""
    slowest = max(line.cpu_s for line in kinds[1:])
    a_second = count / cases[2].cpu_s
    return (
        table(f"{count:,} cases", cases, per=(count, "CPU ms per case"))
        + f"\n{a_second:,.0f} cases a second, the start of the command included.\n\n"
        + table(f"a log of {mebibytes} MiB", log)
        + "\n"
        + table(f"{mebibytes} MiB of one kind of line", kinds)
        + f"\nThe slowest kind is read at {mebibytes * 2**20 / 1e6 / slowest:,.0f} MB a second, the start included.\n"
    )


def found(folder: Path, *, quick: bool) -> tuple[str, dict[str, object]]:
    """Measure below an empty folder: the result as Markdown, and its figures."""
    count, mebibytes, rounds = (60, 2, 0) if quick else (1000, 64, 5)
    cases = measure_cases(folder, cases=count, rounds=rounds)
    log = measure_log(folder, mebibytes=mebibytes, rounds=rounds)
    kinds = measure_kinds(folder, mebibytes=mebibytes, rounds=rounds)
    figures = {"cases": as_figures(cases), "log": as_figures(log), "kinds": as_figures(kinds)}
    return render(cases, log, kinds, count, mebibytes), figures


if __name__ == "__main__":
    run_benchmark(__doc__, found)
