"""The commands as functions for Python: ``hpc.plan``, ``hpc.submit``, ``hpc.collect``, ``hpc.status``.

    import hpc
    hpc.plan("lora_sweep", cluster="lab", set={"resources.mem": "64GB"})
    hpc.submit("lora_sweep")
    hpc.collect("lora_sweep").outcomes

Each runs its command in a process of its own and gives what that prints with ``--json`` as a frozen record: a function
and its command cannot differ, and what a command does to its process (umask, locks, signals) never meets a notebook.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self, TypeVar

from hpc.core.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_NOTHING,
    EXIT_TEMPORARY,
    EXIT_USAGE,
    HpcError,
    InputError,
    NothingToDo,
    TemporaryError,
)
from hpc.workspace import own_command, python_path

_RAISED: Mapping[int, type[HpcError]] = {EXIT_NOTHING: NothingToDo, EXIT_TEMPORARY: TemporaryError}


@dataclass(frozen=True)
class Answer:
    """What every command answers.

    Attributes:
        experiment: Its name.
        more: What the command printed beyond the fields that a record names.
        said: What it wrote on stderr: notes and warnings.
    """

    experiment: str
    more: Mapping[str, Any] = field(default_factory=dict, repr=False, kw_only=True)
    said: str = field(default="", repr=False, kw_only=True)

    @classmethod
    def of(cls, answer: Mapping[str, Any], said: str) -> Self:
        """Take an answer apart."""
        named = {each.name for each in fields(cls)} - {"more", "said"}
        known = {name: value for name, value in answer.items() if name in named}
        return cls(**known, more={name: value for name, value in answer.items() if name not in named}, said=said)


@dataclass(frozen=True)
class Planned(Answer):
    """An experiment that was frozen.

    Attributes:
        home: Its folder.
        manifest_sha: Content hash of its manifest.
        tasks: How many there are.
        added: Run names that are new against the plan before.
        kept: Those that stayed.
        removed: Those that are no longer asked for.
        to_submit: Run names that nobody submitted yet.
        scripts: Slurm scripts to submit.
        objections: What Slurm says against them.
        notes: What else is to be known.
        forecast: What the runs are expected to take (docs/forecast.md).
        jobs: Of a dry run: each job with its script, its tasks' command lines and what Slurm says of it.
    """

    home: str
    manifest_sha: str
    tasks: int
    added: Sequence[str] = ()
    kept: Sequence[str] = ()
    removed: Sequence[str] = ()
    to_submit: Sequence[str] = ()
    scripts: Sequence[str] = ()
    objections: Sequence[str] = ()
    notes: Sequence[str] = ()
    forecast: Mapping[str, Any] = field(default_factory=dict)
    jobs: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Submitted(Answer):
    """What was handed over.

    Attributes:
        tasks: How many tasks.
        jobs: Submission number → job id; ``local`` on this machine.
        waiting: Tasks that the site does not take now.
        limit: Why not.
        would_submit: Of a dry run: the run names.
    """

    tasks: int = 0
    jobs: Mapping[str, str] = field(default_factory=dict)
    waiting: int = 0
    limit: str = ""
    would_submit: Sequence[str] = ()


@dataclass(frozen=True)
class Collected(Answer):
    """What became of every run.

    Attributes:
        tasks: How many there are.
        outcomes: Outcome → tasks.
        failures: Failure class → tasks.
        retry: What can be started again, and with which changes.
        declined: What is not, each with its reason.
        jobs: Submission number → job id of what was started again.
        held: Why the experiment is held; None when it is not.
        verdicts: The file that has one verdict per attempt.
        notes: What else is to be known.
    """

    tasks: int
    outcomes: Mapping[str, int]
    failures: Mapping[str, int] = field(default_factory=dict)
    retry: Sequence[Mapping[str, Any]] = ()
    declined: Sequence[Mapping[str, Any]] = ()
    jobs: Mapping[str, str] = field(default_factory=dict)
    held: str | None = None
    verdicts: str = ""
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Standing(Answer):
    """Where an experiment stands.

    Attributes:
        tasks: How many there are.
        outcomes: Outcome → tasks.
        gpu_hours: Used by attempts that ended.
        eta_s: Seconds until the rest is done at the pace so far; None where nobody can say.
        running: Run names of what runs.
        held: Why the experiment is held; None when it is not.
    """

    tasks: int
    outcomes: Mapping[str, int]
    gpu_hours: float = 0.0
    eta_s: float | None = None
    running: Sequence[str] = ()
    held: str | None = None


def plan(
    name: str,
    *,
    cluster: str | None = None,
    set: Mapping[str, Any] | None = None,  # noqa: A002  named as the option is
    seeds: Sequence[int] = (),
    resource_limits: str | None = None,
    second_look: bool = False,
    replace: bool = False,
    dry_run: bool = False,
) -> Planned:
    """Check an experiment, freeze its manifest, write the Slurm scripts.

    Args:
        name: Experiment, or the path of its YAML file.
        cluster: Site profile; None: $HPC_CLUSTER, else Slurm where there is sbatch, else this machine.
        set: Changes to the experiment: ``{"resources.mem": "64GB"}``.
        seeds: Instead of the experiment's own.
        resource_limits: Instead of its resources: ``"gpu:1,mem:32GB,time:24:00:00"``.
        second_look: Add ``sweep.further_seeds`` where the first seeds did not settle it; takes nothing else.
        replace: Set aside results that runs of other settings left under the same names.
        dry_run: Write nothing.

    Raises:
        InputError: Everything that is wrong with it, in the words of the command.
        HpcError: It failed otherwise.
    """
    words = [name, *_option("cluster", cluster), *_option("resource-limits", resource_limits)]
    words += [word for key, value in (set or {}).items() for word in ("--set", f"{key}={_yaml(value)}")]
    words += _option("seeds", ",".join(map(str, seeds)) or None)
    words += _flags({"second-look": second_look, "replace": replace, "dry-run": dry_run})
    return _ask(Planned, "plan", words)


def submit(
    name: str | None = None,
    *,
    backend: str | None = None,
    max_parallel: int | None = None,
    detach: bool = False,
    release: bool = False,
    canary: bool = False,
    follow: bool = False,
    probe: bool = False,
    dry_run: bool = False,
) -> Submitted:
    """Submit what is not done yet; on this machine wait for its end unless `detach` or `follow` says otherwise.

    Args:
        name: Experiment; None: the one planned last. The rest are the options of ``hpc submit``.

    Raises:
        NothingToDo: Everything is queued, running or done.
        TemporaryError: Slurm did not answer, or takes nothing now; the same call goes on later.
        InputError: There is no such plan, or it does not fit this machine.
        HpcError: It failed otherwise.
    """
    words = [*_named(name), *_option("backend", backend), *_option("max-parallel", max_parallel)]
    words += _flags({"detach": detach, "release": release, "canary": canary, "follow": follow, "probe": probe})
    return _ask(Submitted, "submit", [*words, *_flags({"dry-run": dry_run})])


def collect(
    name: str | None = None,
    *,
    retry_failed: bool = False,
    again: Sequence[str] = (),
    include_running: bool = False,
    forget_gone: bool = False,
    compact: bool = False,
    max_parallel: int | None = None,
    dry_run: bool = False,
) -> Collected:
    """Gather, classify and record every run; with `retry_failed` start again what can be healed.

    Args:
        name: Experiment; None: the one planned last. The rest are the options of ``hpc collect``.

    Raises:
        TemporaryError: Slurm did not answer.
        InputError: There is no such plan.
        HpcError: It failed otherwise.
    """
    words = [*_named(name), *_option("max-parallel", max_parallel)]
    words += [word for each in again for word in ("--again", each)]
    words += _flags({"retry-failed": retry_failed, "include-running": include_running})
    words += _flags({"forget-gone": forget_gone, "compact": compact, "dry-run": dry_run})
    return _ask(Collected, "collect", words)


def status(name: str | None = None) -> Standing:
    """Where an experiment stands; None: the one planned last.

    Raises:
        InputError: There is no such plan.
    """
    return _ask(Standing, "status", _named(name))


Record = TypeVar("Record", bound=Answer)


def _ask(record: type[Record], verb: str, words: Sequence[str]) -> Record:
    """Run a command and read its one JSON value; a failed task (exit 1) is an answer, not an error."""
    environment = {**os.environ, "PYTHONPATH": python_path()}
    command = [*own_command(f"hpc.{verb}"), "--json", *words]
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    said = done.stderr.strip()
    if done.returncode in (EXIT_DONE, EXIT_FAILED, EXIT_TEMPORARY) and done.stdout.strip():
        return record.of(json.loads(done.stdout), said)
    if done.returncode == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    message = said.removeprefix("error: ") or f"hpc {verb} ended with {done.returncode}"
    raise InputError(message) if done.returncode == EXIT_USAGE else _RAISED.get(done.returncode, HpcError)(message)


def _named(name: str | None) -> list[str]:
    return [] if name is None else [name]


def _option(name: str, value: object) -> list[str]:
    return [] if value is None else [f"--{name}", str(value)]


def _flags(asked: Mapping[str, bool]) -> list[str]:
    return [f"--{name}" for name, is_asked in asked.items() if is_asked]


def _yaml(value: Any) -> str:
    """A value as ``--set`` reads it: JSON is YAML."""
    return value if isinstance(value, str) else json.dumps(value)
