"""What the runs used of what they asked for, where their time went, and what would do for the next sweep.

    python -m hpc.usage lora_sweep

From what was collected; Slurm is asked for energy alone, where it may have it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from hpc.adapters.collected_file import read_entries
from hpc.adapters.manifest_store import load_manifest
from hpc.console import json_option, name_argument, note, print_json, print_table, say, speaks_plainly
from hpc.core.errors import EXIT_DONE, InputError
from hpc.core.forecast.forecast import say_memory, say_span
from hpc.core.immutable import immutable
from hpc.core.layout import RunLayout
from hpc.core.slurm.executions import is_job
from hpc.core.usage.split import TimeSplit, add_up, split_run
from hpc.core.usage.used import J_PER_KWH, Used, advise, say_energy, say_split, used_by
from hpc.core.words import counted
from hpc.workspace import Workspace

SHOWN = 20
"""Runs that are listed, the longest first."""
NOT_MEASURED = "–"


@immutable
class Usage:
    """What an experiment used.

    Attributes:
        runs: One for each task with an attempt.
        splits: Run name → where its time went; none for what is not over.
        split: Over all runs of which everything was measured; None where there is none.
        energy_source: Who measured energy; empty where nobody did.
        carbon: Kilograms of CO₂ per kWh, as the profile states it; 0: it does not.
    """

    runs: Sequence[Used]
    splits: Mapping[str, TimeSplit]
    split: TimeSplit | None
    energy_source: str
    carbon: float


@click.command(epilog="Example: python -m hpc.usage lora_sweep")
@name_argument
@click.option("--all", "shows_all", is_flag=True, help=f"List every run, not {SHOWN} of them.")
@json_option
@speaks_plainly
def main(name: str | None, shows_all: bool, as_json: bool) -> int:
    """Compare the resources that experiment NAME (default: the one planned last) used with those it requested."""
    layout = Workspace.current().layout(name, acts=False)
    found = look(layout)
    if as_json:
        print_json(describe(layout, found))
    else:
        show(layout, found, shows_all=shows_all)
    return EXIT_DONE


def look(layout: RunLayout) -> Usage:
    """Read what was collected.

    Raises:
        InputError: Nothing was.
    """
    entries = [each for each in map(_that_began, read_entries(layout).values()) if each["attempts"]]
    if not entries:
        raise InputError(
            f"{layout.experiment}: no run that started has been collected; first: python -m hpc.collect "
            f"{layout.experiment}"
        )
    energy = ask_energy(entries)
    splits = {each["run_name"]: split for each in entries if (split := split_run(each))}
    runs = [used_by(each, energy.get(each["run_name"])) for each in entries]
    sampled = any(each.energy_j is not None for each in runs)
    return Usage(
        runs,
        splits,
        add_up(list(splits.values())),
        "whole nodes, by Slurm" if energy else "GPUs alone, by their driver" if sampled else "",
        float(load_manifest(layout)["cluster"].get("carbon") or 0.0),
    )


def _that_began(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """A task with those attempts that began: one that waits has used nothing yet."""
    began = [each for each in entry["attempts"] if (each.get("started", 0), each.get("elapsed_s")) != (None, None)]
    return {**entry, "attempts": began}


def ask_energy(entries: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Run name → joules of all its attempts, as Slurm measured them; empty where it does not."""
    jobs = {
        each["run_name"]: [one["job"] for one in each["attempts"] if is_job(one.get("job") or "")] for each in entries
    }
    named = sorted({job for each in jobs.values() for job in each})
    if not named:
        return {}
    from hpc.adapters.slurm import query_energy

    known = query_energy(named)
    whole = {run: each for run, each in jobs.items() if each and all(job in known for job in each)}
    return {run: sum(known[job] for job in each) for run, each in whole.items()}


def describe(layout: RunLayout, found: Usage) -> dict[str, object]:
    """All of it as one JSON value; what was not measured is null."""
    shares = ("time_share", "memory_share", "cpu_share")
    joules = [each.energy_j for each in found.runs if each.energy_j is not None]
    kwh = sum(joules) / J_PER_KWH if joules else None
    return {
        "experiment": layout.experiment,
        "runs": [
            {**asdict(each), **{name: getattr(each, name) for name in shares},
             "split": asdict(found.splits[each.run_name]) if each.run_name in found.splits else None}
            for each in found.runs
        ],
        "split": asdict(found.split) if found.split else None,
        "ettr": found.split.ettr if found.split else None,
        "energy_kwh": kwh,
        "energy_source": found.energy_source,
        "co2_kg": kwh * found.carbon if kwh is not None and found.carbon else None,
        "advice": list(advise(found.runs)),
    }  # fmt: skip


def show(layout: RunLayout, found: Usage, *, shows_all: bool) -> None:
    """Print a row for each run, where the time went, energy, and what would do."""
    longest = sorted(found.runs, key=lambda each: -(each.longest_s or 0.0))
    listed = longest if shows_all else longest[:SHOWN]
    has_gpus = any(each.gpus for each in found.runs)
    has_energy = bool(found.energy_source)
    head = ["run", "attempts", "time", "of limit", "memory", "of asked", "cores", "of asked"]
    head += ["GPU busy", "GPU memory"] if has_gpus else []
    head += ["kWh"] if has_energy else []
    rows = [_row(each, has_gpus=has_gpus, has_energy=has_energy) for each in listed]
    say(f"{layout.experiment}: {counted(len(found.runs), 'run')}, as collected; {NOT_MEASURED} is not measured")
    print_table("", head, rows, right=range(1, len(head)))
    if len(listed) < len(found.runs):
        say(f"and {len(found.runs) - len(listed)} shorter ones: --all")
    for line in say_split(found.split, len(found.splits)):
        say(line)
    joules = [each.energy_j for each in found.runs if each.energy_j is not None]
    say(say_energy(sum(joules), len(joules), found.carbon, found.energy_source) if joules else "energy: not measured")
    for line in advise(found.runs):
        note(f"advice: {line}")


def _row(run: Used, *, has_gpus: bool, has_energy: bool) -> list[str]:
    row = [
        run.run_name, str(run.attempts), _said(run.longest_s, say_span), _share(run.time_share),
        _said(run.peak_memory_mib, say_memory), _share(run.memory_share), _said(run.cores, "{:.2f}".format),
        _share(run.cpu_share),
    ]  # fmt: skip
    if has_gpus:
        row += [_share(run.gpu_busy), _said(run.peak_gpu_memory_mib, say_memory)]
    if has_energy:
        row.append(_said(None if run.energy_j is None else run.energy_j / J_PER_KWH, "{:.3f}".format))
    return row


def _share(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.0%}"


def _said(value: float | None, say_it: Callable[[float], str]) -> str:
    return NOT_MEASURED if value is None else say_it(value)


if __name__ == "__main__":
    main()
