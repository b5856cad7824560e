"""Build docs/gallery.md: every shipped experiment in small, what its report answered, and its first picture.

    python docs/gallery/build.py             from the run folders that are there and collected (HPC_ROOT)
    python docs/gallery/build.py --run       run them first, one after another, on this machine: an hour on two cores
    python docs/gallery/build.py --run --cluster lab --set container.image=train-cpu      the same on Slurm, in an image
    python docs/gallery/build.py --run transfer_source_small transfer_small               these only, the rest stays

Each report is built anew. What is not there keeps the section that the page has; the page holds all of them, or is not
written. What is run and does not end, or is not submitted, is an error: its section would be that of other runs.
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
    """Run one of our commands and return its standard output; end where its exit code is none of those accepted."""
    command = [sys.executable, "-m", name, *arguments]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in accepted:
        sys.exit(f"{name} {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def whole_road(experiment: str, planning: Sequence[str]) -> None:
    """Plan, run and collect; again for the second look, where there is one. A run that fails is part of the report."""
    run("hpc.plan", experiment, *planning)
    finish(experiment)
    if "further_seeds:" in (PROJECT / f"manifests/experiments/{experiment}.yaml").read_text(encoding="utf-8"):
        run("hpc.plan", experiment, "--second-look", accepted=(0, _NOTHING_TO_DO))
        finish(experiment)


def finish(experiment: str) -> None:
    """Submit what is left, and collect until every run has ended; a site may take them in portions."""
    left = None
    while True:
        said = run("hpc.submit", experiment, accepted=(0, 1, _NOTHING_TO_DO))
        outcomes = ended(experiment)
        if not outcomes["planned"]:
            return
        if outcomes["planned"] == left:
            sys.exit(f"{experiment}: {left} of its tasks are not submitted\n{said}")
        left = outcomes["planned"]


def ended(experiment: str) -> dict[str, int]:
    """The number of tasks by outcome, once none waits or runs."""
    while True:
        outcomes: dict[str, int] = json.loads(run("hpc.collect", experiment, "--json", accepted=(0, 1)))["outcomes"]
        if not outcomes["pending"] + outcomes["running"]:
            return outcomes
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
    parser.add_argument(
        "names", nargs="*", metavar="EXPERIMENT", help=f"default: all of them: {', '.join(EXPERIMENTS)}"
    )
    parser.add_argument("--run", action="store_true", help="run them first, in the order of the list")
    parser.add_argument("--cluster", default="local", help="with --run: the site profile to plan for")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="with --run: as hpc.plan takes it"
    )
    args = parser.parse_args()
    if unknown := sorted(set(args.names) - set(EXPERIMENTS)):
        parser.error(f"no {', '.join(unknown)} in the gallery; there are {', '.join(EXPERIMENTS)}")
    chosen = [name for name in EXPERIMENTS if name in args.names or not args.names]
    if args.run:
        planning = ["--cluster", args.cluster, *(word for each in args.set for word in ("--set", each))]
        for name in chosen:
            began = time.monotonic()
            print(f"{name}: plan, run, collect", flush=True)
            whole_road(name, planning)
            print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    root, page = Path(os.environ.get("HPC_ROOT") or PROJECT / "runs"), PROJECT / "docs/gallery.md"
    sections = earlier_sections(page)
    renewed = [name for name in chosen if is_collected(root / name)]
    if unfinished := [name for name in chosen if name not in renewed and (args.run or args.names)]:
        sys.exit(f"not every run has ended, or none is collected, below {root}: {', '.join(unfinished)}")
    for name in renewed:
        run("analysis.report", name, "--format", "md")
        sections[name] = section(name, root / name)
    if missing := [name for name in EXPERIMENTS if name not in sections]:
        sys.exit(f"not collected below {root}: {', '.join(missing)}; python docs/gallery/build.py --run makes them")
    page.write_text("\n".join([_HEAD, *(sections[name].rstrip("\n") + "\n" for name in EXPERIMENTS)]), encoding="utf-8")
    print(f"{page.relative_to(PROJECT)}: new of {', '.join(renewed) or 'none'}; {len(EXPERIMENTS)} sections")


if __name__ == "__main__":
    main()
