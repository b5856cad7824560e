"""What of an experiment can go without a loss, and what stays and why; and taking it away.

Nothing is judged here: a checkpoint goes only where the newest collection says that the task has finished, and the
files say that no attempt has begun and no end has changed since. The caller holds the experiment's lock, so nothing is
submitted meanwhile; what is removed has lost its name before, so a death in between leaves nothing half.
"""

import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpc.adapters.collected_file import Entry, read_entries
from hpc.adapters.files import read_json, readable_record
from hpc.adapters.manifest_store import (
    find_manifest,
    load_index,
    load_manifest,
    planned_below,
    project_of,
    readable_indices,
)
from hpc.adapters.progress import through
from hpc.adapters.project import EXPERIMENTS
from hpc.adapters.removal import REMOVED, Size, measure, newest_change, remove, why_not_ours
from hpc.core.errors import HpcError, InputError
from hpc.core.failures.outcomes import Outcome
from hpc.core.immutable import field, immutable
from hpc.core.launch.program import experiments_before
from hpc.core.layout import AttemptLayout, RunLayout
from hpc.core.records.exit import ExitRecord
from hpc.core.records.index import SubmissionIndex
from hpc.core.records.task import TaskRecord
from hpc.core.words import counted, rounded
from hpc.snapshots.snapshot import take_snapshot
from hpc.snapshots.states import Snapshot, TaskState
from hpc.submissions.on_disk import list_attempts

CHECKPOINTS, CODE, IMAGES, WORK, CACHES, ASIDE = "checkpoints", "code", "images", "work", "caches", "aside"
KINDS = (CHECKPOINTS, CODE, IMAGES, WORK, CACHES, ASIDE)
USUAL = (CHECKPOINTS, CODE, CACHES)
"""What goes where nobody says what: nothing of it is a result, and nobody but us made it but the checkpoints."""
RECORDED = "when_recorded"
"""``clean_up`` in an experiment: the checkpoints of a run go as soon as its result is recorded."""
STALE_S = 86400.0
"""Seconds after which a temporary name of ours belongs to nobody any more."""
_LEFT = re.compile(r"\..*\.[0-9a-f]{8}\.tmp|" + re.escape(REMOVED) + r"[0-9a-f]{12}")
_IN_WORK = ("__pycache__", ".cache")


@immutable
class Item:
    """Something that can go.

    Attributes:
        kind: One of `KINDS`.
        path: Where it is.
        size: What it takes.
        run: The run it is of; empty where it is of none.
        told: That run as it was collected; None where the run's state does not matter.
    """

    kind: str
    path: Path
    size: Size
    run: str = ""
    told: Entry | None = None


@immutable
class Kept:
    """Something that stays.

    Attributes:
        kind: One of `KINDS`.
        what: A run, or the name of a copy.
        why: Why, one clause.
        size: What it takes.
    """

    kind: str
    what: str
    why: str
    size: Size


@immutable
class Cleaning:
    """What would go and what stays."""

    items: tuple[Item, ...] = ()
    kept: tuple[Kept, ...] = ()

    def size(self) -> Size:
        """What would be freed."""
        return sum((item.size for item in self.items), Size())


@immutable
class Protected:
    """Runs of an experiment that others point to.

    Attributes:
        all: Why all of its runs are; empty where they are not.
        runs: Run → why.
    """

    all: str = ""
    runs: Mapping[str, str] = field(default_factory=dict)

    def why(self, run: str) -> str:
        """Why a run is protected; empty where it is not."""
        return self.all or self.runs.get(run, "")


# ── what stays ───────────────────────────────────────────────────────────────────────────────────────────────────


def find_protected(layout: RunLayout, experiments: Path | None) -> Protected:
    """Find the runs that another experiment starts from: by ``after:``, ``{run:…}``, or a path in its settings.

    Args:
        experiments: Folder of the project's YAML files; None where there is none.
    """
    every, runs = "", dict[str, str]()
    texts = [(name, *_manifest(RunLayout(layout.root, name))) for name in planned_below(layout.root)]
    texts += [(path.stem, *_yaml(path)) for path in sorted(experiments.glob("*.yaml"))] if experiments else []
    for name, text, before in texts:
        if name == layout.experiment:
            runs |= dict.fromkeys(
                filter(None, _mentioned(layout, text.partition('"spec"')[2])), "its own plan points to it"
            )
            continue
        if layout.experiment in before or re.search(rf"\brun:{re.escape(layout.experiment)}\b", text):
            every = every or f"{name} comes after it"
        for run in _mentioned(layout, text):
            if run:
                runs.setdefault(run, f"{name} points to it")
            else:
                every = every or f"{name} points to its runs"
    return Protected(every, runs)


def _manifest(layout: RunLayout) -> tuple[str, tuple[str, ...]]:
    """The text of an experiment's manifest, and what it comes after; as text alone where it cannot be read."""
    try:
        spec = find_manifest(layout)[0]["spec"]
        return layout.manifest.read_text(encoding="utf-8", errors="replace"), experiments_before(spec)
    except (HpcError, OSError, ValueError):
        return "", ()


def _yaml(path: Path) -> tuple[str, tuple[str, ...]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", ()
    named = re.search(r"^after:(.*(?:\n[ \t-].*)*)", text, re.MULTILINE)  # it may not be valid: words are enough
    return text, tuple(re.findall(r"[A-Za-z0-9][\w.=+,@-]*", named[1])) if named else ()


def _mentioned(layout: RunLayout, text: str) -> Iterator[str]:
    """Runs whose folders a text names; empty for one that names all of them, or a run by a placeholder."""
    name = re.escape(layout.experiment)
    for found in re.finditer(rf"(?<![\w.=+,@-]){name}/tasks(?:/([\w.=+,@-]*)([{{*?]?))?", text):
        yield "" if found[2] else found[1] or ""


def why_kept(state: TaskState, protected: Protected) -> str:
    """Why the checkpoints of a task stay; empty where they may go."""
    told, run = state.collected, state.task.run_name
    if state.is_live:
        return "waits or runs"
    if told is None:
        return "not collected yet"
    if told["outcome"] != Outcome.FINISHED:
        return "not finished: it may resume from them"
    if told.get("kept") or state.kept is not None or any(each.unreadable for each in state.attempts):
        return "part of it is missing or unreadable"
    last = state.attempts[-1] if state.attempts else None
    if last is None or last.began is None or not is_collected(told, last.layout):
        return "it has changed since it was collected"
    return protected.why(run)


def is_collected(told: Entry, attempt: AttemptLayout) -> bool:
    """Whether an attempt is, by its files at this moment, the one that gave a collected result, and the newest."""
    last = told["attempts"][-1]
    try:
        began, end = readable_record(attempt.task_json, TaskRecord), readable_record(attempt.exit_json, ExitRecord)
    except OSError:
        return False
    layout = RunLayout(attempt.home.parents[3], attempt.home.parents[2].name)
    numbers = list_attempts(layout, attempt.home.parent.name)
    return (
        began is not None
        and end is not None
        and end.is_done
        and (attempt.number, began.started, end.ended) == (last["attempt"], last.get("started"), last.get("ended"))
        and max(numbers, default=0) == attempt.number
    )


# ── what can go ──────────────────────────────────────────────────────────────────────────────────────────────────


def plan_cleaning(
    snapshot: Snapshot,
    kinds: Collection[str],
    *,
    older_than_s: float = 0.0,
    experiments: Path | None = None,
) -> Cleaning:
    """Find what can go. Writes nothing.

    Args:
        snapshot: The experiment, with what was collected of it.
        older_than_s: What was written later than so many seconds ago stays.
        experiments: Folder of the project's YAML files.
    """
    found = _Found(snapshot, time.time() - older_than_s)
    if {CHECKPOINTS, WORK} & set(kinds):
        protected = find_protected(snapshot.layout, experiments)
        for state in through("measuring what can go", snapshot.tasks):
            _of_task(found, state, kinds, protected)
    if {CODE, IMAGES} & set(kinds):
        _copies(found, kinds)
    if CACHES in kinds:
        _caches(found)
    if ASIDE in kinds:
        for path in sorted(snapshot.layout.aside.glob("[0-9]*/*")):
            if path.is_dir() and not path.is_symlink():  # aside.json stays: the report tells what was set aside
                found.offer(ASIDE, path, run=path.name)
    return Cleaning(tuple(found.items), tuple(found.kept))


class _Found:
    """Collects what can go and what stays."""

    def __init__(self, snapshot: Snapshot, before: float) -> None:
        self.snapshot, self.layout, self._before = snapshot, snapshot.layout, before
        self.items: list[Item] = []
        self.kept: list[Kept] = []

    def offer(
        self, kind: str, path: Path, *, run: str = "", told: Entry | None = None, root: Path | None = None
    ) -> None:
        """Take something in, unless it is not ours, empty or too new."""
        size, name = measure(path), run or path.name
        if not size.files:
            return
        if why := why_not_ours(root or self.layout.root, path):
            self.kept.append(Kept(kind, name, why, size))
        elif newest_change(path) > self._before:
            self.kept.append(Kept(kind, name, "too new", size))
        else:
            self.items.append(Item(kind, path, size, run, told))

    def keep(self, kind: str, what: str, why: str, paths: Sequence[Path]) -> None:
        """Note what stays."""
        if (size := sum(map(measure, paths), Size())).files:
            self.kept.append(Kept(kind, what, why, size))


def _of_task(found: _Found, state: TaskState, kinds: Collection[str], protected: Protected) -> None:
    run = state.task.run_name
    attempts = [found.layout.task(run).attempt(number) for number in list_attempts(found.layout, run)]
    for kind, paths in (
        (CHECKPOINTS, [each for attempt in attempts for each in _entries(attempt.checkpoints)]),
        (WORK, [attempt.work for attempt in attempts if attempt.work.is_dir()]),
    ):
        if kind not in kinds or not paths:
            continue
        if why := why_kept(state, protected):
            found.keep(kind, run, why, paths)
            continue
        for path in paths:
            found.offer(kind, path, run=run, told=state.collected)


def _entries(folder: Path) -> list[Path]:
    """What is in a folder; nothing where it is a link: what that leads to is not the run's."""
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def _copies(found: _Found, kinds: Collection[str]) -> None:
    """Copies of code and images that no task of the plan was made with, or still will be."""
    needed = names_needed(found.snapshot)
    if CODE in kinds:
        named = _named_by_jobs(found.layout)
        for folder in (found.layout.code, found.layout.toolkit):
            for path in _entries(folder):
                if _LEFT.fullmatch(path.name):
                    continue
                what = f"{folder.name}/{path.name[:12]}"
                if path.name in needed:
                    found.keep(CODE, what, "tasks of the plan were made with it, or will be", [path])
                elif path.name in named:
                    found.keep(CODE, what, "a relay or probe starts from it", [path])
                else:
                    found.offer(CODE, path)
    if IMAGES in kinds:
        _images(found, needed)


def _images(found: _Found, needed: set[str]) -> None:
    """Images kept by their digest, which nobody below this root names and of which no other name is left."""
    root, own = found.layout.root, found.layout.experiment
    named = {name: _images_of(root, name) for name in planned_below(root)}
    of_others = {path for name, paths in named.items() if name != own for path in paths}
    for folder in sorted({Path(path).parent for path in named.get(own, ()) if Path(path).parent.name == "by-digest"}):
        for path in _entries(folder):
            if path.name in needed | {Path(each).name for each in of_others}:
                found.keep(IMAGES, path.name, "tasks below this root were started in it, or will be", [path])
            elif path.lstat().st_nlink == 1:  # else it is a second name of an image that is there
                found.offer(IMAGES, path, root=folder)


def names_needed(snapshot: Snapshot) -> set[str]:
    """Copies and images of the plan, of what waits or runs, and of the attempt of each task that counts.

    By their names, which are digests: runs that were moved or copied name the place where they were before.
    """
    provenance = snapshot.manifest["provenance"]
    needed = {str((provenance.get(part) or {}).get("path", "")) for part in ("code", "toolkit", "image")}
    numbers = set[int]()
    for state in snapshot.tasks:
        counts = [each for each in state.attempts if each.is_claimed][-1:]
        numbers |= {each.submission for each in (*counts, *(each for each in state.attempts if each.end is None))}
        needed |= {each.began.code.path for each in counts if each.began}
    for number in numbers - {0}:
        try:
            needed |= _of_index(load_index(snapshot.layout.submission(number)))
        except InputError:  # what it needs nobody knows
            for _, index in readable_indices(snapshot.layout):
                needed |= _of_index(index)
    names = {Path(path).name for path in needed}
    return names | _diffs(snapshot, names)


def _diffs(snapshot: Snapshot, needed: Collection[str]) -> set[str]:
    """What of the code that is needed was in no commit: without it, nobody could say from git what ran."""
    manifests = [snapshot.manifest, *(_readable(path) for path in snapshot.layout.manifests.glob("*.json"))]
    found = set()
    for manifest in manifests:
        provenance = manifest.get("provenance") if isinstance(manifest, dict) else None
        git, code = ((provenance or {}).get(each) or {} for each in ("git", "code"))
        if git.get("diff_sha256") and Path(str(code.get("path", ""))).name in needed:
            found.add(snapshot.layout.diff(git["diff_sha256"]).name)
    return found


def _readable(path: Path) -> Any:
    """What is in a JSON file; None where nobody can read it."""
    try:
        return read_json(path)
    except (InputError, OSError):
        return None


def _of_index(index: SubmissionIndex) -> set[str]:
    parts = (index.code, index.toolkit, index.container)
    return {each.path for each in parts if each is not None}


def _images_of(root: Path, name: str) -> set[str]:
    """Images that another experiment's plans and submissions name."""
    layout = RunLayout(root, name)
    text = "".join(path.read_text("utf-8", "replace") for path in layout.manifests.glob("*.json"))
    named = set(re.findall(r'"path": "([^"]+\.(?:sif|sqsh))"', text))
    return named | {index.container.path for _, index in readable_indices(layout) if index.container}


def _named_by_jobs(layout: RunLayout) -> set[str]:
    """Names of copies in the scripts of relays and probes, which start from them."""
    scripts = [*layout.follow_jobs.glob("*/*.sbatch"), *layout.probes.glob("*/array.sbatch")]
    text = "".join(path.read_text("utf-8", "replace") for path in scripts)
    return set(re.findall(r"/(?:code|toolkit)/([0-9a-f]+)", text))


def _caches(found: _Found) -> None:
    """What can be made again, and what a death left under a temporary name."""
    layout = found.layout
    places = [
        layout.home,
        layout.code,
        layout.toolkit,
        *(layout.task(each.task.run_name).home for each in found.snapshot.tasks),
    ]
    for state in through("looking for caches", found.snapshot.tasks):
        task = layout.task(state.task.run_name)
        attempts = [task.attempt(number) for number in list_attempts(layout, state.task.run_name)]
        places += [attempt.checkpoints for attempt in attempts]
        if not state.is_live:
            for path in (attempt.work / name for attempt in attempts for name in _IN_WORK):
                if path.is_dir():
                    found.offer(CACHES, path, run=state.task.run_name)
    for path in (path for place in places for path in _entries(place)):
        if _LEFT.fullmatch(path.name) and time.time() - path.lstat().st_mtime > STALE_S:
            found.offer(CACHES, path)


# ── taking it away ───────────────────────────────────────────────────────────────────────────────────────────────


@immutable
class Freed:
    """What was done.

    Attributes:
        items: What is gone.
        problems: What could not be removed, one sentence each.
    """

    items: tuple[Item, ...] = ()
    problems: tuple[str, ...] = ()

    def size(self) -> Size:
        """What was freed."""
        return sum((item.size for item in self.items), Size())


def carry_out(layout: RunLayout, cleaning: Cleaning) -> Freed:
    """Remove what can go, each after one more look. Under the experiment's lock."""
    gone, problems = list[Item](), list[str]()
    for item in through("removing", cleaning.items):
        if item.told is not None and not _still(layout, item):
            problems.append(f"{item.run} changed meanwhile: nothing more of it was removed")
            continue
        if item.path.is_relative_to(layout.root) and (why := why_not_ours(layout.root, item.path)):
            problems.append(f"{item.path} stays: {why}")
            continue
        try:
            remove(item.path)
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(f"{item.path} was removed only in part: {error.strerror or error}")
            continue
        gone.append(item)
    return Freed(tuple(gone), tuple(dict.fromkeys(problems)))


def _still(layout: RunLayout, item: Item) -> bool:
    told = read_entries(layout).get(item.told["task_id"]) if item.told else None
    if told is None or told["outcome"] != Outcome.FINISHED:
        return False
    return is_collected(told, layout.task(item.run).attempt(told["attempts"][-1]["attempt"]))


def is_asked_for(manifest: Mapping[str, Any]) -> bool:
    """Whether an experiment wants its checkpoints gone once its results are recorded (``clean_up``)."""
    return bool(manifest["spec"].get("clean_up") == RECORDED)


def clean_recorded(layout: RunLayout) -> Freed:
    """Remove the checkpoints of what is recorded, where the experiment asks for it. Under its lock.

    Raises:
        InputError: There is no manifest, or a file was damaged.
        TemporaryError: Slurm is needed and did not answer; nothing was removed.
    """
    manifest = load_manifest(layout)
    if not is_asked_for(manifest):
        return Freed()
    project = project_of(manifest)
    experiments = Path(project.folder) / EXPERIMENTS if project else None
    return carry_out(layout, plan_cleaning(take_snapshot(layout), (CHECKPOINTS,), experiments=experiments))


def say_freed(freed: Freed) -> list[str]:
    """Say what a clean-up did, one sentence each; nothing where it did nothing."""
    runs = len({item.run for item in freed.items})
    said = f"cleaned up: checkpoints of {counted(runs, 'recorded run')}, {in_words(freed.size())}"
    return [*([said] if freed.items else []), *freed.problems]


def in_words(size: Size) -> str:
    """A size for people: ``1.2 GB in 340 files``; a gigabyte is 10⁹ bytes."""
    number, unit = float(size.bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            break
        number /= 1000
    return f"{rounded(number)} {unit} in {counted(size.files, 'file')}"
