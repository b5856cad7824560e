"""Build docs/gallery.md: every shipped experiment in small, what its report answered, and its first picture.

    python docs/gallery/build.py             from the run folders that are there and collected (HPC_ROOT)
    python docs/gallery/build.py --run       run them first, one after another, on this machine: an hour on two cores
    python docs/gallery/build.py --run --cluster lab --set container.image=train-cpu      the same on Slurm, in an image

Each report is built anew. What is not there keeps the section that the page has; the page holds all of them, or is not
written.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).parents[2]
EXPERIMENTS = (
    "phase_diagram_small", "ablations_small", "inverse_task_small",
    "lora_sweep_small", "cross_system_small", "training_ablation_small", "transfer_source_small", "transfer_small",
    "baseline_variance_1M_small", "comparison_1M_small", "weight_decay_1M_small", "depth_d12_d24_small",
)  # fmt: skip
"""In the order in which they can run: two start from, or are compared with, the runs of an earlier one."""
_HEAD = (
    "# Gallery: the shipped experiments in small\n\n"
    "What each report says first. The files at full size ask the same of larger runs: [workloads](workloads.md), "
    "[a language model](workloads-lm.md). Click a picture to see it at full size. "
    "Built by `python docs/gallery/build.py`.\n"
)
_NOTHING_TO_DO = 3
_EVERY_S = 10


def run(name: str, *arguments: str, accepted: tuple[int, ...] = (0,)) -> str:
    """Run one of our commands and return its standard output; show what it said where it ended otherwise."""
    done = subprocess.run(
        [sys.executable, "-m", name, *arguments], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if done.returncode not in accepted:
        sys.exit(f"{name} {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def whole_road(experiment: str, planning: Sequence[str]) -> None:
    """Plan, run and collect; again for the second look, where there is one. A run that fails is part of the report."""
    run("hpc.plan", experiment, *planning)
    finish(experiment)
    if "further_seeds:" in (PROJECT / f"manifests/experiments/{experiment}.yaml").read_text(encoding="utf-8"):
        run("hpc.plan", experiment, "--second-look", accepted=(0, _NOTHING_TO_DO))
        finish(experiment)


def finish(experiment: str) -> None:
    """Submit what is left, and collect until nothing waits or runs."""
    run("hpc.submit", experiment, accepted=(0, 1, _NOTHING_TO_DO))
    while True:
        outcomes = json.loads(run("hpc.collect", experiment, "--json", accepted=(0, 1)))["outcomes"]
        if not outcomes["pending"] + outcomes["running"]:
            return
        time.sleep(_EVERY_S)


def section(experiment: str, home: Path) -> str:
    """What the report of one experiment says first, with its picture beside this file and what stands below that."""
    report = home / "report"
    text = (report / "report.md").read_text(encoding="utf-8")
    front = re.search(r"^## The answer\n\n(.*?)^!\[(.*?)\]\((\S+\.svg)\)\n\n(.*?)\n", text, re.MULTILINE | re.DOTALL)
    if front is None:
        sys.exit(f"{report / 'report.md'} does not begin with an answer and a picture")
    answer, shown, picture, legend = front.groups()
    told = [line for line in answer.splitlines() if line and not line.startswith("#")]
    told = [re.sub(r"(conditions?) stands? below\.", r"\1 in the report itself.", line) for line in told]
    goal = re.search(r"^- \*\*Goal:\*\* (.*)$", text, re.MULTILINE)
    shutil.copyfile(report / picture, Path(__file__).with_name(f"{experiment}.svg"))
    parts = [
        f"## [{experiment}](../manifests/experiments/{experiment}.yaml)",
        goal[1] if goal else "",
        "\n".join([*told, f"- Run {where(home)}."]),
        f"[![{shown}](gallery/{experiment}.svg)](gallery/{experiment}.svg)",
        legend if not legend.startswith("#") else "",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def where(home: Path) -> str:
    """Where the runs of a plan were made."""
    manifest = json.loads((home / "manifest.json").read_text(encoding="utf-8"))
    image = (manifest["spec"].get("container") or {}).get("image")
    slurm = manifest["cluster"]["scheduler"] == "slurm"
    place = f"on Slurm (`{manifest['cluster']['name']}`)" if slurm else "without Slurm"
    return f"{place}, {f'in the image `{image}`' if image else 'without a container'}"


def is_collected(home: Path) -> bool:
    """Whether every run of an experiment had ended when it was collected last."""
    verdicts = home / "collected/verdicts.json"
    if not verdicts.exists():
        return False
    tasks = json.loads(verdicts.read_text(encoding="utf-8"))["tasks"]
    return all(task["outcome"] in ("finished", "failed") for task in tasks)


def earlier_sections(page: Path) -> dict[str, str]:
    """The sections that a page has already, by experiment."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    return {re.match(r"## \[(\w+)", part)[1]: part for part in re.split(r"^(?=## \[)", text, flags=re.MULTILINE)[1:]}  # type: ignore[index]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true", help="run every experiment first")
    parser.add_argument("--cluster", default="local", help="with --run: the site profile to plan for")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="with --run: as hpc.plan takes it"
    )
    args = parser.parse_args()
    if args.run:
        planning = ["--cluster", args.cluster, *(word for each in args.set for word in ("--set", each))]
        for name in EXPERIMENTS:
            whole_road(name, planning)
    root, page = Path(os.environ.get("HPC_ROOT") or PROJECT / "runs"), PROJECT / "docs/gallery.md"
    sections = earlier_sections(page)
    for name in EXPERIMENTS:
        if is_collected(root / name):
            run("analysis.report", name, "--format", "md")
            sections[name] = section(name, root / name)
    if missing := [name for name in EXPERIMENTS if name not in sections]:
        sys.exit(f"not collected below {root}: {', '.join(missing)}; python docs/gallery/build.py --run makes them")
    page.write_text("\n".join([_HEAD, *(sections[name].rstrip("\n") + "\n" for name in EXPERIMENTS)]), encoding="utf-8")


if __name__ == "__main__":
    main()
