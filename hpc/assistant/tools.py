"""The commands as tools for an assistant: each function is one tool, its docstring what the assistant reads.

Each runs its command in a process of its own with ``--json``, as `hpc.api` does, so a tool and its command cannot
differ. Names are checked first: none can be an option or a path, and so reading stays reading.
"""

import json
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hpc.adapters.collected_file import read_entries
from hpc.assistant.bounded import bounded
from hpc.core.credentials import hide_secrets
from hpc.core.errors import EXIT_DONE, EXIT_FAILED, EXIT_NOTHING, HpcError, InputError, TemporaryError
from hpc.core.layout import RunLayout, name_problem
from hpc.submissions.on_disk import list_attempts
from hpc.workspace import Workspace, own_command, own_environment

LIMIT_S = 600
"""A command that takes longer is ended, and that is said."""
MOST_LINES = 500
"""Lines of a log that can be asked for."""


def ask(verb: str, options: Sequence[str], *positional: str) -> str:
    """Run a command and return what it answers, as JSON text of bounded size without secrets.

    Raises:
        HpcError: It failed; in its own words.
    """
    command = own_command(f"hpc.{verb}", *options, "--json", *(["--", *positional] if positional else []))
    try:
        done = subprocess.run(
            command, env=own_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=LIMIT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise TemporaryError(f"hpc {verb} took more than {LIMIT_S} s and was ended") from None
    said = done.stderr.strip()
    if done.returncode in (EXIT_DONE, EXIT_FAILED) and done.stdout.strip():
        return told({"exit_code": done.returncode, "answer": json.loads(done.stdout), "notes": said.splitlines()})
    if done.returncode == EXIT_NOTHING:
        return told({"exit_code": EXIT_NOTHING, "answer": None, "notes": said.splitlines()})
    raise HpcError(hide_secrets(said.removeprefix("error: ")) or f"hpc {verb} ended with {done.returncode}")


def told(answer: Mapping[str, Any]) -> str:
    """An answer as JSON text, bounded, without what looks like a key or token."""
    return hide_secrets(bounded(answer))


def named(name: str, what: str = "experiment") -> str:
    """A name as it was given.

    Raises:
        InputError: It can be none: an option, a path, nothing.
    """
    if problem := name_problem(name):
        article = "an" if what[0] in "aeiou" else "a"
        raise InputError(f"{name!r} cannot be {article} {what}: it {problem}")
    return name


def worded(text: str) -> str:
    """Words for people as they were given.

    Raises:
        InputError: There are none, or they are too many.
    """
    if not text.strip() or len(text) > 2000:
        raise InputError("give some words, and at most 2,000 characters")
    return text


def _layout(experiment: str) -> RunLayout:
    return Workspace.current().layout(named(experiment), acts=False)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────


def list_experiments() -> str:
    """List all experiments: age, counts by outcome, best value, whether held or followed."""
    return ask("ls", [])


def status(experiment: str) -> str:
    """Say where an experiment stands: outcomes, what runs, time left, why jobs wait, why it is held."""
    return ask("status", [], named(experiment))


def why(experiment: str, task: str) -> str:
    """Explain how the newest attempt of a task ended: class, evidence, causes, steps, what a retry would change."""
    layout = _layout(experiment)
    numbers = list_attempts(layout, named(task, "task"))
    return ask("why", [], str(layout.task(task).attempt(max(numbers)).home) if numbers else task)


def logs(experiment: str, task: str, lines: int = 50) -> str:
    """Show the last lines that a task printed, of stdout and stderr."""
    return ask("logs", ["--tail", str(max(1, min(lines, MOST_LINES)))], named(experiment), named(task, "task"))


def results(experiment: str) -> str:
    """Read the newest collection as it is recorded: each task's outcome, class, final values, and what is decided.

    It may be older than the runs; `status` says what ended since.
    """
    layout = _layout(experiment)
    entries = list(read_entries(layout).values())
    if not entries:
        raise InputError(f"{experiment} is not collected yet: python -m hpc.collect {experiment}")
    shown = ("run_name", "parameters", "seed", "case", "outcome", "failure_class", "altered", "summary", "decision")
    return told({
        "experiment": layout.experiment,
        "collected": layout.verdicts.stat().st_mtime,
        "outcomes": dict(Counter(entry["outcome"] for entry in entries)),
        "failures": dict(Counter(entry["failure_class"] for entry in entries if entry.get("failure_class"))),
        "tasks": [{key: entry.get(key) for key in shown} for entry in entries],
    })  # fmt: skip


def report(experiment: str) -> str:
    """Read the statistical findings: the answer to the sealed question, comparisons, limitations, failed runs.

    That somebody looked is noted, as `hpc report` does.
    """
    with tempfile.TemporaryDirectory(prefix="hpc-findings-") as folder:
        return ask("report", ["--format", "md", "--out", folder], named(experiment))


def ask_history(question: str) -> str:
    """Ask the experiment log in plain English: what learning rates were tried, best loss, compare depth 12 with 24."""
    return ask("history", ["ask"], worded(question))


def plan_dry_run(experiment: str, changes: dict[str, str] | None = None, cluster: str = "") -> str:
    """Say what `plan` would freeze: tasks, hours asked, what the design can show, warnings. Nothing is written.

    `changes` are settings by path, such as {"resources.mem": "64GB"}.
    """
    return ask("plan", [*_changes(changes), *_cluster(cluster), "--dry-run"], named(experiment))


def reproduce_dry_run(experiment: str, task: str) -> str:
    """Say what of a run can be made again from its records, and what cannot be the same any more."""
    return ask("reproduce", ["--experiment", named(experiment), "--dry-run"], named(task, "task"))


def _changes(changes: Mapping[str, str] | None) -> list[str]:
    return [word for key, value in (changes or {}).items() for word in ("--set", f"{key}={value}")]


def _cluster(cluster: str) -> list[str]:
    return ["--cluster", named(cluster, "cluster")] if cluster else []


# ── acting ───────────────────────────────────────────────────────────────────────────────────────────────────────


def plan(experiment: str, changes: dict[str, str] | None = None, cluster: str = "") -> str:
    """Freeze an experiment: code, image, question; write its scripts. Only after the person agreed to the dry run."""
    return ask("plan", [*_changes(changes), *_cluster(cluster)], named(experiment))


def submit(experiment: str, canary: bool = True, follow: bool = False) -> str:
    """Submit what is not done yet, one task first unless told otherwise. Only after the person agreed to the cost."""
    flags = [*(["--canary"] if canary else []), *(["--follow"] if follow else []), "--detach"]
    return ask("submit", flags, named(experiment))


def retry_failed(experiment: str, dry_run: bool = True) -> str:
    """Collect, and start again what can be healed; by default only say what that would be."""
    return ask("collect", ["--retry-failed", *(["--dry-run"] if dry_run else [])], named(experiment))


def cancel(experiment: str, tasks: list[str]) -> str:
    """Cancel tasks that wait or run; an empty list cancels all. Ask the person which."""
    return ask("cancel", [], named(experiment), *(named(task, "task") for task in tasks))


def hold(experiment: str, reason: str) -> str:
    """Hold an experiment: nothing more of it starts. What runs goes on."""
    return ask("hold", ["--reason", worded(reason)], named(experiment))


def release(experiment: str) -> str:
    """Let an experiment that is held go on. Only after what held it is mended."""
    return ask("release", [], named(experiment))


Tool = Callable[..., str]
READING: tuple[Tool, ...] = (
    list_experiments, status, why, logs, results, report, ask_history, plan_dry_run, reproduce_dry_run,
)  # fmt: skip
"""Tools that change nothing."""
ACTING: tuple[Tool, ...] = (plan, submit, retry_failed, cancel, hold, release)
"""Tools that act, for ``--allow-actions``."""
