"""Holds that a person asked for: of an experiment (``hold.json``, as the failures' own), or of single runs of it.

``held_runs.json`` names the runs. No command and no queue of ours starts one of them; what waits for them in Slurm is
held there, element by element. The file is written before Slurm is asked and changed after it, so who dies in between
leaves a hold that the next command completes. ``holds.jsonl`` keeps who held and released what.

The caller holds the experiment's lock.
"""

import os
import pwd
import socket
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict

from hpc.adapters import slurm
from hpc.adapters.files import is_there, write_json
from hpc.adapters.ledger import append_json_line
from hpc.adapters.manifest_store import readable_indices
from hpc.adapters.spare import replace_json
from hpc.core.immutable import immutable, replace
from hpc.core.layout import RunLayout
from hpc.core.records.hold import HeldRun, HeldRuns, Hold
from hpc.core.slurm.executions import fold_elements
from hpc.core.slurm.pending import is_held
from hpc.submissions.held_runs import elements_of, held_runs
from hpc.submissions.holds import held, put_on_hold, release, rows_of


def this_person() -> str:
    """Who types this, as ``user@host``."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    return f"{user}@{socket.gethostname()}"


def note_hold(layout: RunLayout, act: str, runs: Collection[str], reason: str) -> None:
    """Write down who held or released what."""
    told = {"time": time.time(), "act": act, "by": this_person(), "runs": sorted(runs), "reason": reason}
    append_json_line(layout.holds, told)


# ── the experiment ───────────────────────────────────────────────────────────────────────────────────────────────


def hold_by_hand(layout: RunLayout, reason: str) -> Hold:
    """Start nothing more of an experiment because a person says so, and hold what waits in Slurm.

    Raises:
        TemporaryError: Slurm did not answer. The hold stands; the next command holds what waits.
    """
    by, was_held = this_person(), held(layout) is not None
    said = f"{reason or 'by hand'} ({by})"
    found = put_on_hold(layout, Hold(time.time(), said, f"python -m hpc.release {layout.experiment}", by=by))
    if not was_held:
        note_hold(layout, "hold", (), reason)
    return found


# ── single runs ──────────────────────────────────────────────────────────────────────────────────────────────────


def hold_runs(layout: RunLayout, names: Collection[str], reason: str) -> list[str]:
    """Hold runs, and what waits for them in Slurm; return those that were not held before, which keep their reason.

    Raises:
        InputError: The file cannot be read.
        TemporaryError: Slurm did not answer. They are held; the next command holds what waits.
    """
    known = held_runs(layout)
    new = [name for name in names if name not in known.runs]
    if new:
        one = HeldRun(time.time(), this_person(), reason)
        replace_json(layout.held_runs, replace(known, runs={**known.runs, **dict.fromkeys(new, one)}).to_json())
        note_hold(layout, "hold", new, reason)
    keep_runs_held(layout)
    return new


def keep_runs_held(layout: RunLayout) -> None:
    """Hold what waits in Slurm of held runs and is not held yet, such as what it put back into the queue since.

    Raises:
        InputError: The file cannot be read.
        TemporaryError: Slurm did not answer.
    """
    if not is_there(layout.held_runs):
        return
    known = held_runs(layout)
    if not any(index.scheduler == "slurm" for _, index in readable_indices(layout)):
        return
    rows = elements_of(layout, known.runs, rows_of(layout))
    unheld = [row.job for row in rows if row.state.is_waiting and not is_held(row.state, row.reason)]
    if unheld:
        # Noted before it is done: what is held and not noted would never be released.
        replace_json(layout.held_runs, replace(known, jobs=_joined(known.jobs, unheld)).to_json())
        slurm.hold_jobs(fold_elements(unheld))


def _joined(jobs: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({*jobs, *more}))


def release_runs(layout: RunLayout, names: Collection[str]) -> dict[str, HeldRun]:
    """Let held runs go on; return those that were held, each with who held it and why.

    Raises:
        InputError: The file cannot be read.
        TemporaryError: Slurm did not answer; they are still held, and the same call may be repeated.
    """
    known = held_runs(layout)
    freed = {name: known.runs[name] for name in names if name in known.runs}
    if not freed:
        return {}
    jobs = _release_elements(layout, known, freed)
    runs = {name: run for name, run in known.runs.items() if name not in freed}
    if runs:
        write_json(layout.held_runs, HeldRuns(runs, tuple(job for job in known.jobs if job not in jobs)).to_json())
    else:
        layout.held_runs.unlink()
    note_hold(layout, "release", freed, "")
    return freed


def _release_elements(layout: RunLayout, known: HeldRuns, runs: Collection[str]) -> set[str]:
    """Release the elements of runs in Slurm, unless all of the experiment is held: they are its own then."""
    if not known.jobs:
        return set()
    ours = set(known.jobs)
    found = elements_of(layout, runs, rows_of(layout), of_others_too=True)
    rows = [row for row in found if row.job in ours and not row.state.is_finished]
    jobs = {row.job for row in rows}
    present = held(layout)
    if jobs and present is not None:
        replace_json(layout.hold, replace(present, jobs=_joined(present.jobs, jobs)).to_json())
    elif jobs:
        slurm.release_jobs(fold_elements(sorted(jobs)))
    return jobs


@immutable
class Released:
    """What was let go.

    Attributes:
        hold: The hold of the experiment; None where it was not held.
        runs: Single runs, each with who held it and why.
    """

    hold: Hold | None
    runs: Mapping[str, HeldRun]

    def __bool__(self) -> bool:
        """Whether there was anything."""
        return self.hold is not None or bool(self.runs)

    def to_json(self) -> dict[str, object]:
        """As JSON."""
        return {
            "hold": self.hold.to_json() if self.hold else None,
            "runs": {name: asdict(run) for name, run in self.runs.items()},
        }


def release_all(layout: RunLayout) -> Released:
    """Let an experiment go on with every run of it, whoever or whatever held it.

    Raises:
        InputError: A file cannot be read.
        TemporaryError: Slurm did not answer; what is still held is released by the same call.
    """
    runs = release_runs(layout, list(held_runs(layout).runs))
    hold = release(layout)
    if hold:
        note_hold(layout, "release", (), hold.reason)
    return Released(hold, runs)
