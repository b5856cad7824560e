"""Runs that somebody made without us: which folders they are, their settings and numbers, whether they are whole."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpc.adapters.progress import through
from hpc.adapters.yaml_file import load_yaml
from hpc.core.errors import HpcError, InputError, Problem
from hpc.core.experiment.metric_source import MetricSource, Reading, match_line, parse_source
from hpc.core.experiment.placeholders import Field, parse_template
from hpc.core.experiment.spec import Value
from hpc.node.metric_files import find_files, read_files

CONFIGS = ("config.json", "config.yaml", "config.yml", "args.json", "params.json", "hparams.yaml", ".hydra/config.yaml")
METRICS = (
    ("json_file", "metrics.json"), ("json_file", "results.json"), ("json_file", "final.json"),
    ("json_file", "trainer_state.json"), ("csv", "metrics.csv"), ("csv", "results.csv"), ("csv", "log.csv"),
    ("csv", "lightning_logs/*/metrics.csv"), ("json_file", "metrics.jsonl"), ("tensorboard", "."), ("wandb", "."),
)  # fmt: skip
"""Where numbers are looked for when nobody says, the first that is there."""
LOGS = ("stdout.log", "log.txt", "train.log", "output.log", "slurm-*.out", "*.log", "*.out")


@dataclass(frozen=True)
class ForeignRun:
    """One folder of somebody's results.

    Attributes:
        folder: Where it lies.
        parameters: From its name, `seed` apart.
        seed: From its name.
        config: Settings from its configuration file, flat; empty without one.
        readings: Its numbers, in order.
        ended: When the files that hold them were last written, Unix seconds; 0 without any.
        unfinished: Why it does not count as finished; empty where it does.
    """

    folder: Path
    parameters: Mapping[str, Value]
    seed: int
    config: Mapping[str, Any] = field(default_factory=dict)
    readings: Sequence[Reading] = ()
    ended: float = 0.0
    unfinished: str = ""

    @property
    def last_step(self) -> int | None:
        """The last step that a number was logged at; None where none has a step."""
        return max((each.step for each in self.readings if each.step is not None), default=None)

    def final(self, metric: str) -> float | None:
        """The last value of a metric."""
        return next((each.values[metric] for each in reversed(self.readings) if metric in each.values), None)


def read_pattern(pattern: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """Turn ``L{n_layers}_G{gamma}_S{seed}`` into an expression over a folder's name (or path, where it has ``/``).

    Raises:
        InputError: It is no template, names nothing, or one thing twice.
    """
    try:
        parts = parse_template(pattern)
    except ValueError as error:
        raise InputError(f"--pattern {error}") from None
    names = [part.name for part in parts if isinstance(part, Field)]
    if not names or len(set(names)) < len(names):
        raise InputError(f"--pattern {pattern!r} needs parameters, each once, such as 'L{{n_layers}}_S{{seed}}'")
    if dotted := next((name for name in names if "." in name), ""):
        raise InputError(
            f"--pattern {pattern!r}: {{{dotted}}} has a dot; name it by its last part, {dotted.rsplit('.', 1)[-1]}"
        )
    return re.compile("".join(map(_expression, parts))), tuple(names)


def _expression(part: str | Field) -> str:
    """A part of a pattern; a seed is a whole number, so that ``S1_old`` beside ``S1`` is no run."""
    if isinstance(part, str):
        return re.escape(part)
    return r"(?P<seed>[0-9]+)" if part.name == "seed" else rf"(?P<{part.name}>[^/]+?)"


def read_value(text: str) -> Value:
    """A value as a folder's name spells it: a number where it is one, else the text."""
    for kind in (int, float):
        try:
            return kind(text) if "_" not in text else text
        except ValueError:
            continue
    return {"True": True, "true": True, "False": False, "false": False}.get(text, text)


def find_runs(home: Path, pattern: str, source: MetricSource | None) -> tuple[list[ForeignRun], list[str]]:
    """Read every folder below that the pattern fits.

    Args:
        home: Where they lie.
        pattern: How they are called.
        source: Where their numbers stand; None looks at the usual places.

    Returns:
        The runs, by path; and the folders beside them that the pattern does not fit.

    Raises:
        InputError: There is none, one contradicts its own configuration, or two are the same run.
    """
    expression, _ = read_pattern(pattern)
    depth = pattern.count("/") + 1
    folders = sorted(
        path for path in home.glob("/".join("*" * depth)) if path.is_dir() and not path.name.startswith(".")
    )
    fits = {path: expression.fullmatch(path.relative_to(home).as_posix()) for path in folders}
    fitting = [(path, match) for path, match in fits.items() if match]
    runs = [_read_run(path, match.groupdict(), source) for path, match in through("reading runs", fitting)]
    if not runs:
        seen = ", ".join(path.relative_to(home).as_posix() for path in folders[:5])
        raise InputError(f"no folder below {home} is called like {pattern!r}; there is {seen or 'none at all'}")
    problems = [*_contradictions(runs), *_doubles(runs)]
    if problems:
        raise InputError(problems, str(home))
    return _mark_unfinished(runs), [path.name for path, match in fits.items() if not match]


def _read_run(folder: Path, values: Mapping[str, str], source: MetricSource | None) -> ForeignRun:
    parameters = {name: read_value(text) for name, text in values.items() if name != "seed"}
    readings, ended = _read_numbers(folder, source)
    return ForeignRun(folder, parameters, int(values.get("seed", 0)), _read_config(folder), readings, ended)


def _read_numbers(folder: Path, source: MetricSource | None) -> tuple[list[Reading], float]:
    for one in [source] if source else [parse_source(each) for each in METRICS]:
        if one.is_file:
            files = find_files(one, [folder])
            readings = read_files(one, files)
        else:
            files = next((found for name in LOGS if (found := sorted(folder.glob(name)))), [])
            readings = [each for path in files for each in _read_log(one, path)]
        if any(each.values for each in readings):
            return [each for each in readings if each.values], max(path.stat().st_mtime for path in files)
    return [], 0.0


def _read_log(source: MetricSource, path: Path) -> Iterator[Reading]:
    for line in path.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines():
        if (reading := match_line(source, line)) is not None:
            yield reading


def _read_config(folder: Path) -> dict[str, Any]:
    """The settings that a run left, flat: what stands in an inner block by its own name where that is unique."""
    path = next((folder / name for name in CONFIGS if (folder / name).is_file()), None)
    if path is None:
        return {}
    try:
        data = json.loads(path.read_bytes()) if path.suffix == ".json" else load_yaml(path).data
    except (HpcError, ValueError, OSError):
        return {}
    return dict(_flat(data)) if isinstance(data, dict) else {}


def _flat(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _flat(value)
        elif isinstance(value, bool | int | float | str):
            yield str(key), value


def _contradictions(runs: Sequence[ForeignRun]) -> Iterator[Problem]:
    """Runs whose configuration says something else than their name: which is true nobody knows."""
    for run in runs:
        for name, value in {**run.parameters, "seed": run.seed}.items():
            told = run.config.get(name, value)
            if told != value and str(told) != str(value):
                yield Problem(f"{run.folder.name} is called {name}={value}, but its configuration says {told}")


def _doubles(runs: Sequence[ForeignRun]) -> Iterator[Problem]:
    seen: dict[tuple[object, ...], Path] = {}
    for run in runs:
        key = (*run.parameters.items(), run.seed)
        if key in seen:
            yield Problem(f"{run.folder.name} and {seen[key].name} have names of the same run")
        seen.setdefault(key, run.folder)


def _mark_unfinished(runs: Sequence[ForeignRun]) -> list[ForeignRun]:
    """Say which runs are not whole: without numbers, or whose steps end before those of the others."""
    furthest = max((run.last_step for run in runs if run.last_step is not None), default=None)
    return [ForeignRun(**{**vars(run), "unfinished": _why_unfinished(run, furthest)}) for run in runs]


def _why_unfinished(run: ForeignRun, furthest: int | None) -> str:
    if not run.readings:
        return "no numbers were found"
    if furthest is not None and run.last_step is not None and run.last_step < furthest:
        return f"its numbers end at step {run.last_step}, those of others at {furthest}"
    return ""
