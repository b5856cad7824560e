"""Which configurations get the further seeds: ``python -m analysis.second_look lora_sweep`` prints them as JSON.

Reads a collected experiment, decides by `analysis.statistics.sequential`, changes nothing. `plan --second-look` adds
the tasks.
"""

import hpc.core  # noqa: F401  first: a Python without our packages is refused in one sentence

# isort: split
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from analysis.command import root_option, run
from analysis.data.baselines import stored_baseline
from analysis.data.frame import ExperimentFrame, load_frame
from analysis.data.values import find_baselines, group_rows, usable_values
from analysis.report import default_root, find_experiment
from analysis.statistics.samples import Sample
from analysis.statistics.sequential import needs_more_seeds
from hpc.adapters.progress import working
from hpc.core.errors import InputError
from hpc.core.printable import printable_json

SCHEMA = 1


@dataclass(frozen=True)
class Extension:
    """What the second look means for one configuration.

    Attributes:
        label: Its name for people.
        parameters: Its swept parameters.
        case: Its case; None without cases.
        seeds: Seeds to add; empty for a no.
        z: |difference of the means| in standard deviations of the baseline; None where it cannot be computed.
        reason: One sentence, also for a no.
    """

    label: str
    parameters: Mapping[str, Any]
    case: str | None
    seeds: tuple[int, ...]
    z: float | None
    reason: str


@dataclass(frozen=True)
class SecondLook:
    """The second look of an experiment.

    Attributes:
        experiment: Its name.
        manifest_sha: The manifest the decision rests on.
        metric: The primary metric.
        first: Seeds of the first look.
        further: Seeds declared for the second.
        extensions: One per configuration that has a baseline, and per baseline that needs the same seeds.
    """

    experiment: str
    manifest_sha: str
    metric: str
    first: tuple[int, ...]
    further: tuple[int, ...]
    extensions: tuple[Extension, ...]

    def as_json(self) -> dict[str, Any]:
        """JSON values, ``extensions`` as list of ``{"label", "parameters", "case", "seeds", "z", "reason"}``."""
        return {"schema": SCHEMA, "kind": "follow_up", **asdict(self)}


def decide_second_look(frame: ExperimentFrame, stored: npt.ArrayLike | Sample | None = None) -> SecondLook:
    """Decide for each configuration whether it gets `sweep.further_seeds`.

    A configuration is asked about once: with any of the further seeds planned for it the second look is over. While a
    run of its own first look or of its baseline is open the answer is no, for now. Where configurations get seeds that
    their baseline lacks, the baseline gets them too, so that runs stay comparable seed by seed.

    Args:
        frame: The experiment.
        stored: The runs of a stored baseline, used instead of a configuration of this experiment.

    Raises:
        InputError: No primary metric, no baseline or no further seeds are declared.
    """
    sweep = frame.spec.get("sweep") or {}
    first, further = tuple(sweep.get("seeds") or (42,)), tuple(sweep.get("further_seeds") or ())
    if not further:
        raise InputError("sweep.further_seeds is not declared; write the seeds a second look may add, e.g. [512, 1024]")
    if not frame.metric_goals:
        raise InputError("metrics.primary is not declared: there is nothing to decide by")
    primary = frame.metric_goals[0].name
    members = group_rows(frame)
    baseline_of = {} if stored is not None else find_baselines(frame)
    if stored is None and not baseline_of:
        raise InputError("no configuration of the sweep is the declared baseline: there is nothing to compare with")
    values, seeds = usable_values(frame, primary), frame.tasks["seed"].to_numpy()
    is_open = frame.tasks["outcome"].isin(("running", "pending", "planned")).to_numpy()
    decided: dict[int, Extension] = {}
    for number, rows in enumerate(members):
        base = baseline_of.get(number, number)
        if stored is None and base == number:
            continue
        early = rows[~np.isin(seeds[rows], further)]
        if len(early) < len(rows):
            decided[number] = _extension(frame, rows, (), None, "the second look has been taken: its seeds are planned")
        elif is_open[early].any():
            waiting = int(is_open[early].sum())
            decided[number] = _extension(frame, rows, (), None, f"{waiting} of its runs have not ended")
        elif stored is None and is_open[members[base]].any():
            waiting = int(is_open[members[base]].sum())
            count = "1 run of its baseline has" if waiting == 1 else f"{waiting} runs of its baseline have"
            decided[number] = _extension(frame, rows, (), None, f"{count} not ended")
        else:
            against = Sample(values[members[base]], seeds[members[base]]) if stored is None else stored
            found = needs_more_seeds(Sample(values[early], seeds[early]), against)
            decided[number] = _extension(frame, rows, further if found.needed else (), found.z, found.reason)
    wanted = sorted({baseline_of[number] for number, one in decided.items() if one.seeds and number in baseline_of})
    for base in wanted:
        lacking = tuple(seed for seed in further if seed not in seeds[members[base]].tolist())
        if lacking:
            reason = "the baseline of configurations that get these seeds"
            decided[base] = _extension(frame, members[base], lacking, None, reason)
    return SecondLook(
        experiment=frame.layout.experiment,
        manifest_sha=frame.manifest_sha,
        metric=primary,
        first=first,
        further=further,
        extensions=tuple(decided[number] for number in sorted(decided)),
    )


def _extension(
    frame: ExperimentFrame, rows: npt.NDArray[np.int64], seeds: Sequence[int], z: float | None, reason: str
) -> Extension:
    task = frame.manifest["tasks"][int(rows[0])]
    label = str(frame.tasks["label"].iloc[int(rows[0])])
    return Extension(label, dict(task["parameters"]), task.get("case"), tuple(seeds), z, reason)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name")
@root_option
def second_look(name: str, root: Path | None) -> None:
    """Print which configurations of experiment NAME get the further seeds, as one JSON value."""
    layout = find_experiment(root or default_root(), name)
    with working("reading results"):
        frame = load_frame(layout)
    stored = stored_baseline(frame)
    if stored is not None and stored.refused:
        raise InputError(stored.refused)
    kept = stored.samples[frame.metric_goals[0].name] if stored is not None and frame.metric_goals else None
    click.echo(printable_json(json.dumps(decide_second_look(frame, kept).as_json(), ensure_ascii=False)))


def main() -> int:
    """Run the command; return its exit code."""
    return run(second_look, "python -m analysis.second_look", None, "the second look")


if __name__ == "__main__":
    sys.exit(main())
