"""Stored baselines: the runs of a variance experiment, kept once and used by others as long as nothing else changed.

An experiment names one by ``analysis: {baseline_from: baseline_variance_1M}``. The first time it is needed, the runs of
that experiment are written to ``$HPC_ROOT/.baselines/NAME.json``; from then on the file is read and never written
again. It is refused where code, data, configuration or environment are not those of the experiment, with what differs.
"""

import contextlib
import hashlib
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from analysis.data.folders import read_object_or_none
from analysis.data.frame import ExperimentFrame, load_frame
from analysis.statistics.samples import Sample
from analysis.words import show_minute
from hpc.adapters.files import read_json_or_none, write_json
from hpc.core.errors import InputError
from hpc.core.experiment.grid import parameter_names
from hpc.core.experiment.spec import Sweep
from hpc.core.identity import canonical_json, content_hash
from hpc.core.layout import RunLayout
from hpc.core.prose import is_manifest, is_prose
from hpc.core.words import counted

SCHEMA = 1
ASPECTS = ("code", "data", "config", "environment")
_NOT_PROGRAM = ("docs", "tests")
"""Folders whose files do not change what a run computes."""
_NOT_OURS = ("manifests", "benchmarks", "containers", "hpc", "analysis")
"""Likewise in a clone of the toolkit, and where an earlier version put it beside the program: the image has its own
hash. In anybody else's repository such folders are part of the program."""


@dataclass(frozen=True, eq=False)
class StoredBaseline:
    """The runs of a stored baseline, or why they cannot be used.

    Attributes:
        experiment: Name of the variance experiment.
        path: The file in the store.
        samples: Metric → its runs; empty where the baseline is refused.
        written: When it was stored, Unix seconds; 0 where it is not.
        refused: Why it cannot be used, one sentence; empty where it can.
        unknown: Which of code, data, configuration and environment were not recorded on one of the sides.
    """

    experiment: str
    path: Path
    samples: Mapping[str, Sample] = field(default_factory=dict)
    written: float = 0.0
    refused: str = ""
    unknown: tuple[str, ...] = ()

    @property
    def limitation(self) -> str:
        """What the reader has to know of it, one or two sentences."""
        if self.refused:
            return f"{self.refused[:1].upper()}{self.refused[1:]}; nothing is compared with it here."
        said = (
            f"The baseline is {self.experiment}, {counted(len(self.seeds), 'run')} stored {show_minute(self.written)}."
        )
        missing = (
            f" Not recorded on both sides, so possibly different: {', '.join(self.unknown)}." if self.unknown else ""
        )
        return said + missing

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of its runs."""
        seeds = next(iter(self.samples.values())).seeds if self.samples else None
        return () if seeds is None else tuple(int(seed) for seed in seeds)


def stored_baseline(frame: ExperimentFrame) -> StoredBaseline | None:
    """Find the stored baseline of an experiment, storing it if this is the first time; None where none is named."""
    name = (frame.spec.get("analysis") or {}).get("baseline_from")
    if not name:
        return None
    source = RunLayout(frame.layout.root, name)
    path = frame.layout.stored_baseline(name)
    try:
        stored = read_json_or_none(path) or _store(source, path)
        _check(stored, path)
    except InputError as error:
        return StoredBaseline(name, path, refused=f"the baseline {name} cannot be used: {error}")
    ours = fingerprint(frame)
    differing = [text for aspect in ASPECTS for text in _differences(aspect, stored["fingerprint"], ours, frame.spec)]
    if differing:
        reason = f"the baseline {name} was measured with other {'; '.join(differing)}. Measure a new one for this"
        return StoredBaseline(name, path, written=stored["written"], refused=reason)
    unknown = tuple(aspect for aspect in ASPECTS if not (stored["fingerprint"][aspect] and ours[aspect]))
    seeds = np.array(stored["seeds"], dtype=np.int64)
    samples = {
        metric: Sample(np.array([np.nan if value is None else value for value in values], dtype=np.float64), seeds)
        for metric, values in stored["metrics"].items()
    }
    return StoredBaseline(name, path, samples, stored["written"], unknown=unknown)


def fingerprint(frame: ExperimentFrame) -> dict[str, Any]:
    """Say what the runs of an experiment ran: code, data, configuration, environment; empty where not recorded."""
    rows = np.flatnonzero(frame.tasks["outcome"] == "finished")
    provenance, spec = frame.manifest.get("provenance") or {}, frame.spec
    packages = {name: version for name, version in (provenance.get("packages") or {}).items() if name != "hpc-batch"}
    return {
        "code": _joined(_program_digest(frame.layout, sha) for sha in sorted(set(frame.ran["code"].iloc[rows]))),
        "data": _joined(_data_hash(frame, int(row)) for row in rows),
        "config": {
            "program": spec.get("program"),
            "batch": {name: value for name, value in (spec.get("batch") or {}).items() if name == "global"},
            "metrics": {"source": (spec.get("metrics") or {}).get("source")},
        },
        "environment": {
            "image": (provenance.get("image") or {}).get("sha256"),
            "python": provenance.get("python"),
            "packages": packages,
            "launch": spec.get("launch"),
            "gpus": (spec.get("resources") or {}).get("gpus"),
        },
    }


def _store(source: RunLayout, path: Path) -> dict[str, Any]:
    """Write a variance experiment into the store.

    Raises:
        InputError: It is not collected, not finished, or not one configuration with at least two runs.
    """
    if not source.manifest.is_file():
        raise InputError(f"there is no experiment {source.experiment} under {source.root}; run it first")
    frame = load_frame(source)
    if len(frame.configurations) != 1:
        raise InputError(
            f"it has {counted(len(frame.configurations), 'configuration')}; a stored baseline has one, and seeds"
        )
    still = int(frame.tasks["outcome"].isin(("running", "pending", "planned")).sum())
    if still:
        raise InputError(
            f"{still} of its {counted(len(frame.tasks), 'run has', 'runs have')} not ended; collect it when they have"
        )
    usable = frame.usable
    if usable.sum() < 2:
        raise InputError(
            f"{int(usable.sum())} of its {counted(len(frame.tasks), 'run')} can be used; its variance needs two"
        )
    content = {
        "schema": SCHEMA,
        "kind": "baseline",
        "experiment": source.experiment,
        "written": time.time(),
        "manifest_sha": frame.manifest_sha,
        "fingerprint": fingerprint(frame),
        "seeds": frame.tasks["seed"].tolist(),
        "metrics": {
            str(name): [
                float(value) if use and np.isfinite(value) else None for value, use in zip(column, usable, strict=True)
            ]
            for name, column in frame.values.items()
        },
    }
    stored = {**content, "sha256": content_hash(content)}
    with contextlib.suppress(PermissionError):  # a reader of somebody else's runs stores nothing
        write_json(path, stored)
    return stored


def _check(stored: Any, path: Path) -> None:
    """Raise InputError unless this is a stored baseline that nobody edited."""
    if not isinstance(stored, dict) or stored.get("kind") != "baseline" or stored.get("schema") != SCHEMA:
        raise InputError(f"not a stored baseline of schema {SCHEMA}", str(path))
    if content_hash({name: value for name, value in stored.items() if name != "sha256"}) != stored.get("sha256"):
        raise InputError("its content does not match its hash: it was edited after it was stored", str(path))


# What differs


def _differences(
    aspect: str, theirs: Mapping[str, Any], ours: Mapping[str, Any], spec: Mapping[str, Any]
) -> Iterator[str]:
    """Name an aspect with its digests and, where it has parts, the parts that differ."""
    if not theirs[aspect] or not ours[aspect]:
        return
    old, new = theirs[aspect], ours[aspect]
    if aspect == "config":
        swept = _swept(spec)
        old, new = _comparable(old, swept), _comparable(new, swept)
    if canonical_json(old) != canonical_json(new):
        parts = f": {', '.join(_parts(old, new))}" if isinstance(old, Mapping) else ""
        yield f"{aspect} ({_digest(old)} there, {_digest(new)} here{parts})"


def _parts(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name in dict.fromkeys((*old, *new)):
        left, right = old.get(name), new.get(name)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            yield from _parts(left, right, f"{path}{name}.")
        elif canonical_json(left) != canonical_json(right):
            yield f"{path}{name} {_shown(left)} there and {_shown(right)} here"


def _comparable(config: Mapping[str, Any], swept: Sequence[str]) -> dict[str, Any]:
    """Take out of a configuration what the experiment varies: that is what it is about."""
    program = {name: value for name, value in config["program"].items() if name != "sanity"}  # gives no number
    program["args"] = {name: value for name, value in (program.get("args") or {}).items() if name not in swept}
    if program.get("command"):
        program["command"] = shlex.join(_without(shlex.split(program["command"]), swept))
    return {**config, "program": program}


def _without(words: Sequence[str], swept: Sequence[str]) -> list[str]:
    """Leave out the words of a command that take a swept parameter, and the option before a bare one."""
    kept: list[str] = []
    for word in words:
        if any(f"{{{name}" in word for name in swept):
            if word.startswith("{") and kept and kept[-1].startswith("-"):
                kept.pop()
        else:
            kept.append(word)
    return kept


def _swept(spec: Mapping[str, Any]) -> tuple[str, ...]:
    sweep = spec.get("sweep") or {}
    sample = tuple((sweep.get("sample") or {}).get("space") or ())
    named = Sweep(grid=sweep.get("grid") or {}, zipped=sweep.get("zip") or {}, cases=tuple(sweep.get("cases") or ()))
    return (*parameter_names(named), *sample)


# What ran


def _program_digest(layout: RunLayout, code_sha: str) -> str:
    """Hash the frozen code without what cannot change a run (texts, manifests, tests); empty where it is gone."""
    folder = layout.code / code_sha[:16]
    if not code_sha or not folder.is_dir():
        return ""
    passed_over = (*_NOT_PROGRAM, *(_NOT_OURS if (folder / "hpc/run_task.py").is_file() else ()))
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] not in passed_over and not (is_prose(name) or is_manifest(name)):
            digest.update(
                f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode("utf-8", "surrogateescape")
            )
    return digest.hexdigest()


def _data_hash(frame: ExperimentFrame, row: int) -> str:
    """What the program said of its data when it ended; empty where it said nothing."""
    task = frame.layout.task(str(frame.tasks["run_name"].iloc[row]))
    ended = read_object_or_none(task.attempt(int(frame.tasks["attempts"].iloc[row])).exit_json) or {}
    return str(ended.get("data_hash") or "")


def _joined(values: Iterator[str]) -> str:
    """One value where all agree; empty where one is not known."""
    found = sorted(set(values))
    return "" if "" in found else " and ".join(found)


def _digest(value: Any) -> str:
    return (value if isinstance(value, str) else content_hash(value))[:8]


def _shown(value: Any) -> str:
    text = "nothing" if value is None else value if isinstance(value, str) else canonical_json(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
