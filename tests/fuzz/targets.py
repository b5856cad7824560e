"""What is fuzzed: functions that read what others wrote. Each takes any bytes and may raise what its docstring says.

Anything else is found: another error, a hang, or a law that does not hold. `SEEDS` is where the search begins.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from hpc.adapters import slurm
from hpc.adapters.ledger import read_json_lines
from hpc.adapters.logs import read_log
from hpc.adapters.manifest_store import find_manifest, project_of
from hpc.adapters.metrics_read import read_contents
from hpc.adapters.yaml_file import parse_yaml
from hpc.core.errors import InputError
from hpc.core.failures.classify import classify
from hpc.core.failures.evidence import Evidence
from hpc.core.layout import RunLayout
from hpc.core.records.check import CheckRecord
from hpc.core.records.exit import ExitRecord
from hpc.core.records.index import SubmissionIndex
from hpc.core.records.record import RecordError, record_from
from hpc.core.records.submitted import Asked
from hpc.core.records.task import TaskRecord
from hpc.core.slurm import executions
from hpc.core.slurm.states import SlurmState
from hpc.experiments.schema import experiment_from, profile_from
from hpc.metrics import MetricsWriter
from tests.made_records import exit_record, submission_index, task_record

REPO = Path(__file__).parents[2]
RECORDS: tuple[type[Any], ...] = (TaskRecord, ExitRecord, SubmissionIndex, Asked, CheckRecord)
Target = Callable[[bytes], None]


@cache
def _folder() -> Path:
    """A folder of this process's own for what is only read from files."""
    made = tempfile.TemporaryDirectory(prefix="fuzz-")
    _KEPT.append(made)
    return Path(made.name)


_KEPT: list[Any] = []


def yaml(data: bytes) -> None:
    """An experiment, or a cluster profile: a record, or `InputError` with every problem."""
    text = data.decode("utf-8", "replace")
    for read in (experiment_from, profile_from):
        with contextlib.suppress(InputError):
            read(parse_yaml(text, "x.yaml"))


def manifest(data: bytes) -> None:
    """``manifest.json``: a manifest whose hash is right, or `InputError`."""
    layout = RunLayout(_folder(), "e")
    layout.home.mkdir(exist_ok=True)
    layout.manifest.write_bytes(data)
    with contextlib.suppress(InputError):
        found, wrong = find_manifest(layout)
        assert wrong is None
        project_of(found)
    with contextlib.suppress(ValueError, RecursionError):
        project_of(json.loads(data))


def sacct(data: bytes) -> None:
    """What Slurm's clients print: rows; what is no row is passed over."""
    text = data.decode("utf-8", "replace")
    with patch.object(executions, "MAX_ELEMENTS", 1000):  # a hundred thousand are some seconds, guided
        for row in slurm.parse_accounting(text):
            asdict(row)
    for line in text.splitlines():
        if line.count("|") >= 5:  # as `query_queue` asks
            slurm.parse_queue_line(line)


def records(data: bytes) -> None:
    """Records of attempts and submissions, and ledgers: what is read is written and read back the same."""
    path = _folder() / "x.jsonl"
    path.write_bytes(data)
    read_json_lines(path)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return
    for kind in RECORDS:
        try:
            record = record_from(kind, content)
        except RecordError:
            continue
        again = record_from(kind, json.loads(json.dumps(record.to_json())))
        assert again == record, kind


def hdf5(data: bytes) -> None:
    """``metrics.h5``: series of equal lengths with times, or `InputError`."""
    path = _folder() / "metrics.h5"
    path.write_bytes(data)
    with contextlib.suppress(InputError):
        for series in read_contents(path).series.values():
            assert len(series.step) == len(series.value) == len(series.time)
            assert np.isfinite(series.time).all()


def logs(data: bytes) -> None:
    """What a task printed: always classified, by evidence that stands in the log."""
    path = _folder() / "x.log"
    path.write_bytes(data)
    verdict = classify(Evidence(state=SlurmState.FAILED, exit_code=1, log=read_log(path, "log")))
    assert verdict.category


TARGETS: Mapping[str, Target] = {each.__name__: each for each in (yaml, manifest, sacct, records, hdf5, logs)}


def seeds(target: str) -> Iterator[bytes]:
    """Whole examples of what a target reads."""
    match target:
        case "yaml":
            for pattern, step in (("manifests/*/*.yaml", 3), ("tests/data/**/*.yaml", 5)):
                yield from (path.read_bytes() for path in sorted(REPO.glob(pattern))[::step])
        case "manifest":
            yield from (path.read_bytes() for path in REPO.glob("tests/data/runs/**/manifest.json"))
            yield b'{"kind": "manifest", "schema": 1, "sha256": "", "provenance": {"project": {"folder": "/x"}}}'
        case "sacct":
            yield from (path.read_bytes() for path in REPO.glob("tests/data/sacct/*"))
        case "records":
            for record in (task_record(), exit_record(), submission_index()):
                yield json.dumps(record.to_json()).encode()
            yield b'{"a": 1}\n{"b": [1, 2.5, null]}\n'
        case "hdf5":
            path = _folder() / "seed.h5"
            with MetricsWriter(path, task_id="x") as metrics:
                for step in range(3):
                    metrics.log(step, {"train/loss": 1.0 / (step + 1)}, lr=1e-3)
                metrics.summary(final=0.5)
            yield path.read_bytes()
        case "logs":
            for path in sorted(REPO.glob("tests/corpus/logs/*.txt"))[::3]:
                yield path.read_bytes()[-4000:]


def found(target: str) -> Iterator[bytes]:
    """What earlier searches found, kept so that it stays mended."""
    for path in sorted((Path(__file__).parent / "found" / target).glob("*")):
        yield path.read_bytes()
