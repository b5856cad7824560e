"""Build docs/gallery.md: every shipped experiment in small, what its report answered, and its first picture.

    python docs/gallery/build.py --run       run them on this machine, one after another, first; an hour on two cores
    python docs/gallery/build.py             from run folders that are there (HPC_ROOT), each with its report

An experiment without a report ends it: the page holds all of them or is not written.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
EXPERIMENTS = (
    "phase_diagram_small", "ablations_small", "inverse_task_small",
    "lora_sweep_small", "cross_system_small", "training_ablation_small", "transfer_source_small", "transfer_small",
    "baseline_variance_1M_small", "comparison_1M_small", "depth_d12_d24_small",
)  # fmt: skip
"""In the order in which they can run: `transfer_small` starts from the runs of `transfer_source_small`."""


def run(name: str, *arguments: str, accepted: tuple[int, ...] = (0,)) -> None:
    """Run one of our commands; show what it said where it ended otherwise than accepted."""
    done = subprocess.run(
        [sys.executable, "-m", name, *arguments],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode not in accepted:
        sys.exit(f"{name} {' '.join(arguments)}: exit {done.returncode}\n{done.stdout.decode()}")


def whole_road(experiment: str) -> None:
    """Plan, run, collect and report on this machine. A run that fails is part of the report."""
    run("hpc.plan", experiment, "--cluster", "local")
    run("hpc.submit", experiment, "--backend", "local", accepted=(0, 1))
    run("hpc.collect", experiment, accepted=(0, 1))
    run("analysis.report", experiment)


def section(experiment: str, report: Path) -> str:
    """What the report of one experiment says first, with its picture beside this file."""
    text = (report / "report.md").read_text(encoding="utf-8")
    answer = re.search(r"^## The answer\n\n(.*?)^!\[(.*?)\]\((\S+\.svg)\)", text, re.MULTILINE | re.DOTALL)
    if answer is None:
        sys.exit(f"{report / 'report.md'} does not begin with an answer and a picture")
    told = [line for line in answer[1].splitlines() if line and not line.startswith("#")]
    goal = re.search(r"^- \*\*Goal:\*\* (.*)$", text, re.MULTILINE)
    shutil.copyfile(report / answer[3], Path(__file__).with_name(f"{experiment}.svg"))
    head = [f"## [{experiment}](../manifests/experiments/{experiment}.yaml)", goal[1] if goal else ""]
    return "\n\n".join([*filter(None, head), "\n".join(told), f"![{answer[2]}](gallery/{experiment}.svg)"]) + "\n"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true", help="run every experiment first")
    if parser.parse_args().run:
        for name in EXPERIMENTS:
            whole_road(name)
    root = Path(os.environ.get("HPC_ROOT") or PROJECT / "runs")
    missing = [name for name in EXPERIMENTS if not (root / name / "report" / "report.md").exists()]
    if missing:
        sys.exit(f"no report below {root} of: {', '.join(missing)}; python docs/gallery/build.py --run makes them")
    head = (
        "# Gallery: the shipped experiments in small\n\n"
        "What each report says first, as it was built here. The files at full size ask the same of larger runs: "
        "[workloads](workloads.md), [a language model](workloads-lm.md). Built by `python docs/gallery/build.py`.\n"
    )
    page = "\n".join([head, *(section(name, root / name / "report") for name in EXPERIMENTS)])
    (PROJECT / "docs" / "gallery.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
