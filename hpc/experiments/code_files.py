"""Which files of a project are its code, and which are not copied that a program may miss.

Never code: the run folder, experiments and profiles, prose, and files that git does not track and that are large, look
like secrets, or belong to an environment or a cache. Links are copied as links; submodules are code. Nothing here
writes.
"""

import os
import re
import stat
import sys
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path, PurePath
from typing import Any

from hpc.adapters.code_snapshot import LinkTo
from hpc.adapters.git import list_code_files, list_ignored, list_untracked
from hpc.core.credentials import MOST_BYTES, looks_secret
from hpc.core.errors import InputError, Problem
from hpc.core.experiment.placeholders import field_names, parse_template
from hpc.core.experiment.program import Program
from hpc.core.history.command import parse_command
from hpc.core.immutable import field, immutable
from hpc.core.launch.program import script_positions, split_command
from hpc.core.layout import EXPORTED
from hpc.core.program.source import module_of, starts_only_as_module
from hpc.core.prose import SUFFIXES as PROSE
from hpc.core.prose import is_about_the_project, is_manifest, is_prose

MOST_NAMED = 10
"""Files a note names."""
LARGE_BYTES = 1 << 20
"""Files that git does not track are, from this size on, code only by their suffix."""
HUGE_BYTES = 1 << 26
"""From this size on not even by that."""
_SOURCE_SUFFIXES = frozenset({".py", ".yaml", ".yml", ".json", ".toml", ".txt", ".cfg", ".sh", ".j2", ".csv"})
_LITTER = frozenset({
    "__pycache__", ".venv", ".env.d", "node_modules", "wandb", "mlruns", "lightning_logs", ".lab", ".git",
    ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints", ".tox", ".nox", ".idea",
    ".vscode", ".eggs", ".DS_Store", "htmlcov", ".coverage", "nohup.out",
})  # fmt: skip
"""Never code unless git tracks it, and nothing a program would miss."""
_LITTER_SUFFIXES = frozenset({".pyc", ".pyo", ".egg-info", ".swp", ".sif", ".sqsh"})
_BUILT = frozenset({"build", "dist"})
_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")
_IMAGES = ("*.sif", "*.sqsh")
_OTHER_INTERPRETERS = frozenset({"Rscript", "julia", "perl", "ruby", "node", "lua"})
_INTERPRETER = re.compile(rf"i?python[\d.]*|pypy\d*|(?:ba|z|da|k)?sh|{'|'.join(_OTHER_INTERPRETERS)}")
_SCRIPTS = frozenset({".py", ".sh"})
_REPORT = ("runs.csv", "table-results.csv")
"""Both are in every report, whatever formats it has."""
_NO_CODE = frozenset({".github", ".pre-commit-config.yaml"})
_OF_GIT = frozenset({".gitignore", ".gitattributes", ".gitmodules"})


class Reason(StrEnum):
    """Why something is not copied."""

    BROKEN = "cannot be copied"
    SECRET = "looks like a secret"  # noqa: S105
    IGNORED = "ignored by git"
    LARGE = "large, and not in git"


@immutable
class CodeFiles:
    """The code of a project.

    Attributes:
        files: Name → file to copy, or link to make.
        left_out: Why → name → what is to be said of it; folders end in ``/``.
        secrets: Files that git tracks and that look like secrets → what gave them away.
        in_git: Whether git says which files are code.
        roots: Folders Python imports from, the first one first.
    """

    files: Mapping[str, Path | LinkTo]
    left_out: Mapping[Reason, Mapping[str, str]] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    in_git: bool = True
    roots: tuple[str, ...] = (".",)

    def holds(self, name: str) -> bool:
        """Whether a file, folder or module of that name is in the copy, or may be behind one of its links."""
        return any(
            each == name or each.startswith(f"{name}/") or (isinstance(source, LinkTo) and name.startswith(f"{each}/"))
            for each, source in self.files.items()
        )


def find_code(project: Path, root: Path, inputs: Iterable[str] = (), experiment: str = "") -> CodeFiles:
    """Sort the files of a project.

    Args:
        root: Folder of all runs, which may lie in it.
        inputs: What is linked where the program runs; large files of that are no code, whoever tracks them.
        experiment: Its text: a ``prompt.md`` that it names is no prose.
    """
    tracked = list_code_files(project)
    untracked = set(list_untracked(project)) if tracked is not None else set()
    listed = list_files(project) if tracked is None else _without_litter(project, tracked, untracked)
    listed = [name for name in listed if _is_part(name) and not (project / name).is_relative_to(root)]
    homes = run_folders(project, listed)
    listed = [name for name in listed if homes.isdisjoint(name.parents)]
    unasked = set(listed) if tracked is None else untracked
    listed = [name for name in listed if name not in unasked or not _is_archive(name, root)]
    results = _result_folders(project, listed)
    listed = [name for name in listed if name not in unasked or results.isdisjoint(name.parents)]
    linked = tuple(map(os.path.normpath, inputs))
    large = [name for name in listed if name in untracked and _is_data(project / name)]
    given = [name for name in listed if is_in(str(name), linked) and _size(project / name) >= LARGE_BYTES]
    names = _without_prose(project, sorted({*listed} - {*large, *given}), experiment)
    broken = {name: why for name in names if (why := _unusable(project / name))}
    secret = {name: why for name in names if name not in broken and (why := _secret(project, name))}
    kept = [name for name in names if name not in broken and not (name in secret and name in unasked)]
    files = {str(name): _source(project, name) for name in kept}
    left_out: dict[Reason, Mapping[Any, str]] = {
        Reason.BROKEN: broken,
        Reason.SECRET: {name: why for name, why in secret.items() if name in unasked},
        Reason.IGNORED: {} if tracked is None else dict.fromkeys(_ignored(project, root), ""),
        Reason.LARGE: dict.fromkeys(_large(project, names, root) if tracked is None else large, ""),
    }
    return CodeFiles(
        files,
        {reason: {str(name): why for name, why in found.items()} for reason, found in left_out.items()},
        {str(name): why for name, why in secret.items() if name not in unasked},
        tracked is not None,
        import_roots(project, files),
    )


def run_folders(project: Path, names: Iterable[Path]) -> set[Path]:
    """Where experiments lie that were planned below another root than now; relative to the project."""
    return {
        name.parent
        for name in names
        if name.name == "manifest.json" and (project / name.parent / "submissions").is_dir()
    }


def is_in(name: str, folders: Iterable[str]) -> bool:
    """Whether a path is one of these, or below one."""
    return any(PurePath(name).is_relative_to(folder) for folder in folders)


def is_no_code(name: PurePath) -> bool:
    """Whether a file has no part in what a program does: prose, experiments and profiles, what only git reads."""
    return not _is_part(name) or is_prose(name)


def _is_part(name: PurePath) -> bool:
    """Whether a file may be code; bytecode is none, though many a repository tracks it: Python makes it anew."""
    is_kept_out = is_manifest(name) or name.parts[0] in _NO_CODE or name.name in _OF_GIT
    return not is_kept_out and "__pycache__" not in name.parts


def _without_prose(project: Path, names: Sequence[Path], experiment: str) -> list[Path]:
    """What is no prose; a text that a source or the experiment names, as ``prompt.md``, is none."""
    prose = {name for name in names if is_prose(name)}
    asked = {name for name in prose if name.suffix in PROSE and not is_about_the_project(name)}
    if asked:
        sources = [project / name for name in names if name.suffix in _SOURCE_SUFFIXES and not _is_data(project / name)]
        texts = [path.read_bytes() for path in sources if path.is_file() and not path.is_symlink()]
        texts.append(os.fsencode(experiment))
        prose -= {name for name in asked if any(os.fsencode(name.name) in text for text in texts)}
    return [name for name in names if name not in prose]


def list_files(folder: Path) -> list[Path]:
    """List the files below a folder that is in no git repository, relative to it: sources, and whatever is small."""
    found = []
    for parent, folders, names in os.walk(folder):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        folders[:] = sorted(name for name in folders if name not in links and not _is_passed_over(Path(parent, name)))
        for name in sorted((*names, *links)):
            path = Path(parent, name)
            if not _is_hidden(name) and not _is_data(path):
                found.append(path.relative_to(folder))
    return found


def _is_data(path: Path) -> bool:
    """Whether a file that git does not track is too large to be taken for code."""
    return _size(path) >= (HUGE_BYTES if path.suffix in _SOURCE_SUFFIXES else LARGE_BYTES)


def _is_hidden(name: str) -> bool:
    """Whether a file is nobody's source by its name; a configuration may be called ``.config.yaml``."""
    path = PurePath(name)
    return _is_litter_name(path) or (name.startswith(".") and path.suffix not in _SOURCE_SUFFIXES)


def _is_passed_over(folder: Path) -> bool:
    return folder.name.startswith(".") or _is_litter(folder)


def _is_litter_name(path: PurePath) -> bool:
    return path.name in _LITTER or path.suffix in _LITTER_SUFFIXES


def _is_litter(path: Path) -> bool:
    """Whether a file or folder is a cache, an environment, built, or an image, and nothing a program would miss.

    ``env``, ``build`` and ``images`` may as well be somebody's package or pictures: what is in them tells.
    """
    if _is_litter_name(path) or any((path / name).exists() for name in _ENVIRONMENTS):
        return True
    if not path.is_dir():
        return False
    if path.name in _BUILT:
        return next(path.glob("*.py"), None) is None
    return path.name == "images" and any(next(path.glob(each), None) for each in _IMAGES)


def _without_litter(project: Path, names: Iterable[Path], untracked: Container[Path]) -> list[Path]:
    """What git tracks, and of what it would track what is no litter: not everybody's .gitignore names ``.venv``."""
    known: dict[Path, bool] = {Path(): False}

    def is_litter(path: Path) -> bool:
        if path not in known:
            known[path] = is_litter(path.parent) or _is_litter(project / path)
        return known[path]

    return [name for name in names if name not in untracked or not (_is_litter_name(name) or is_litter(name.parent))]


def _is_archive(name: Path, root: Path) -> bool:
    """Whether a file is called as `hpc archive` calls that of an experiment: as code it would be another code."""
    from hpc.adapters.archive_file import SUFFIXES

    ends = next((each for each in SUFFIXES if name.name.endswith(each)), "")
    return bool(ends) and (root / name.name.removesuffix(ends) / "manifest.json").is_file()


def _result_folders(project: Path, names: Iterable[Path]) -> set[Path]:
    """Folders that `hpc export` and `hpc report --out` wrote: results are no code, and change with each collection."""
    found: set[Path] = set()
    for folder in {folder for name in names for folder in name.parents} - {Path()}:
        is_export = (project / folder / EXPORTED).is_file()
        is_report = all((project / folder / each).is_file() for each in _REPORT)
        found |= {folder} if is_export or is_report else set()
    return found


def _size(path: Path) -> int:
    """Bytes of a file; none of a link."""
    return path.lstat().st_size


def _large(project: Path, names: Iterable[Path], root: Path) -> Iterator[Path]:
    """The files outside git that are too large to be taken for code."""
    taken = set(names)
    for parent, folders, files in os.walk(project):
        folders[:] = [
            each for each in folders if Path(parent, each) != root and not _is_passed_over(Path(parent, each))
        ]
        for name in files:
            path = Path(parent, name).relative_to(project)
            if not _is_hidden(name) and path not in taken and _is_data(project / path):
                yield path


def _unusable(path: Path) -> str:
    """Why something cannot be copied; empty where it can."""
    if path.is_symlink():
        return "" if path.exists() else f"a link to {path.readlink()}, which is not there"
    if path.is_dir():
        return "a submodule that is not checked out; git submodule update --init --recursive"
    return "" if stat.S_ISREG(path.stat().st_mode) else "a special file"


def _secret(project: Path, name: Path) -> str:
    path = project / name
    if path.is_symlink():
        return ""
    with path.open("rb") as file:
        return looks_secret(str(name), file.read(MOST_BYTES))


def _source(project: Path, name: Path) -> Path | LinkTo:
    """What to copy: a link that leaves the project, or is absolute, keeps leading to where it leads now."""
    path = project / name
    if not path.is_symlink():
        return path
    target = str(path.readlink())
    leads_to = Path(os.path.normpath(path.parent / target))
    stays = not Path(target).is_absolute() and leads_to.is_relative_to(project)
    return LinkTo(target if stays else str(leads_to))


def _ignored(project: Path, root: Path) -> Iterator[str]:
    """What git ignores and a program may read: not litter, and not the runs."""
    found = list_ignored(project)
    folders = {name for name in found if name.endswith("/")}
    for name in found:
        path = PurePath(name)
        is_litter = any(_is_litter(project / each) for each in (path, *path.parents[:-1]))
        is_below_one = is_in(name, folders - {name})
        is_of_runs = root.is_relative_to(project / name) or (project / name).is_relative_to(root)
        is_ours = name == "manifests/" and all(
            is_manifest(each.relative_to(project)) for each in (project / name).iterdir()
        )
        if not (is_litter or is_below_one or is_no_code(path) or is_of_runs or is_ours):
            yield name


def import_roots(project: Path, files: Iterable[str]) -> tuple[str, ...]:
    """Folders of a project that Python imports from: its top, ``src`` where that holds packages or modules, and what
    an editable install put on this interpreter's path."""
    names = [PurePath(name) for name in files]
    folders = {str(folder) for name in names for folder in name.parents}
    source = any(name.parts[0] == "src" and name.suffix == ".py" for name in names) and "src/__init__.py" not in files
    installed = [
        str(each.relative_to(project))
        for each in (*map(Path, filter(None, sys.path)), *_editable_folders())
        if each.is_relative_to(project) and each != project
    ]
    return (".", *dict.fromkeys([*(["src"] if source else []), *(each for each in installed if each in folders)]))


def _editable_folders() -> Iterator[Path]:
    """Folders of packages that setuptools' editable installs map by name instead of by a path."""
    finders = [module for name, module in sys.modules.items() if name.startswith("__editable___")]
    for package, folder in (pair for each in finders for pair in getattr(each, "MAPPING", {}).items()):
        if Path(folder).name == package:
            yield Path(folder).parent


def notes_of(code: CodeFiles, inputs: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Say what is not copied and may be missed, and what is copied and perhaps should not be.

    Args:
        inputs: What is linked instead: where, and what, as the experiment says it.
    """
    linked = tuple(os.path.normpath(name) for pair in (inputs or {}).items() for name in pair)
    left_out = {
        reason: {name: why for name, why in found.items() if not _is_settled(name, linked)}
        for reason, found in code.left_out.items()
    }
    notes = [_note(reason, found, in_git=code.in_git) for reason, found in left_out.items() if found]
    if links := [name for name, source in code.files.items() if isinstance(source, LinkTo) and source.target[0] == "/"]:
        notes.append(f"links that leave the project are followed where the program runs, not copied: {_named(links)}")
    if code.secrets:
        shown = _named(_with_reason(code.secrets))
        notes.append(f"warning: git tracks, and the copy of the code holds, what looks like secrets: {shown}")
    return tuple(notes)


def _is_settled(name: str, linked: Sequence[str]) -> bool:
    """Whether something is linked, or a folder of which somebody has said what is used: that is linked."""
    return is_in(name, linked) or (name.endswith("/") and any(is_in(each, [name]) for each in linked))


def _note(reason: Reason, found: Mapping[str, str], *, in_git: bool) -> str:
    names = list(found)
    match reason:
        case Reason.BROKEN:
            return f"left out of the copy of the code: {_named(_with_reason(found))}"
        case Reason.SECRET:
            remedy = "to copy them anyway, git add them" if in_git else "to copy them anyway, use git"
            shown = _named(_with_reason(found))
            return f"left out of the copy of the code, because they look like secrets: {shown}; {remedy}"
        case Reason.IGNORED | Reason.LARGE:
            large = (
                "they are large and git does not track them" if in_git else "they are large and in no git repository"
            )
            because = "git ignores them" if reason is Reason.IGNORED else large
            wanted = ", ".join(name.rstrip("/") for name in names[:MOST_NAMED])
            return (
                f"left out of the copy of the code, because {because}: {_named(names)}. What the program reads of them "
                f"is linked where it runs by  program: {{inputs: [{wanted}]}}"
            )


def _with_reason(found: Mapping[str, str]) -> list[str]:
    return [f"{name} ({why})" for name, why in found.items()]


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def mentions(code: CodeFiles, word: bytes) -> bool:
    """Whether a Python file of the code holds a word."""
    files = (file for name, file in code.files.items() if name.endswith(".py") and isinstance(file, Path))
    return any(word in file.read_bytes() for file in files)


def check_program(program: Program, code: CodeFiles, toolkit: CodeFiles, key: str = "program.command") -> None:
    """Refuse to plan a program that the working folder will not hold: every task would end at once.

    Args:
        key: Where its command stands in the experiment.

    Raises:
        InputError: The folder, script or module is not in the copy of the code; the message says why it is not.
    """
    workdir = PurePath(program.workdir)
    if workdir.is_absolute():
        return
    if workdir.parts and not code.holds(str(workdir)):
        raise InputError([Problem(f"there is no folder {workdir} in the copy of the code", "program.workdir")])
    wanted = program_file(program)
    module = program_module(program)
    path = wanted or (f"{module.replace('.', '/')}.py" if module else None)
    if path is None:
        return
    name = os.path.normpath(workdir / path)
    _check_start(wanted, name, code, key)
    if (
        is_in(name, program.inputs)
        or name.startswith("..")
        or code.holds(name)
        or (module and _importable(module, code, toolkit))
    ):
        return
    where = "program.module" if program.module else key
    raise InputError([Problem(f"there is no {name} in the copy of the code{_why_not(name, code)}", where)])


def _check_start(wanted: str | None, name: str, code: CodeFiles, key: str) -> None:
    """Refuse a file of a package that is started as a script: its first import would end it."""
    file = code.files.get(name)
    if wanted and "/" in name and isinstance(file, Path) and starts_only_as_module(_text_of(file)):
        as_module = f"-m {module_of(PurePath(name))}"
        raise InputError([Problem(f"{name} imports from its own package, so it is no script; write {as_module}", key)])


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace") if file.suffix == ".py" else ""
    except OSError:
        return ""


def program_file(program: Program) -> str | None:
    """The file of the project a program is started from, as it is written; None where that cannot be told."""
    word, before = _started(program)
    is_script = "/" in word or PurePath(word).suffix in _SCRIPTS or (before and _INTERPRETER.fullmatch(before))
    return word if word and before != "-m" and is_script and not PurePath(word).is_absolute() else None


def program_module(program: Program) -> str | None:
    """The module a program is started as; None where it is none."""
    if program.module is not None:
        return program.module
    word, before = _started(program)
    return word if before == "-m" else None


def _started(program: Program) -> tuple[str, str]:
    """The word of a command that trains (behind launchers, ``env``, ``uv run``), and ``-m`` or who interprets it.

    Empty where there is none, where it is filled in for each task, or where it stands in a script for a shell.
    """
    words = split_command(program.command or "") if program.module is None else ()
    if not words or script_positions(words) or "-c" in words:
        return "", ""
    try:
        found = parse_command([*words]).program
    except InputError:
        return "", ""
    if PurePath(found).name in _OTHER_INTERPRETERS:
        found = next((word for word in words[words.index(found) + 1 :] if not word.startswith("-")), "")
    if found not in words or field_names(parse_template(found)):
        return "", ""
    before = words[: words.index(found)]
    if before[-1:] in (("-m",), ("--module",)):
        return found, "-m"
    return found, next((each for word in before if _INTERPRETER.fullmatch(each := PurePath(word).name)), "")


def _importable(module: str, code: CodeFiles, toolkit: CodeFiles) -> bool:
    """Whether a module is in the copy (as a file or a package), among ours, or of a package that is in neither."""
    path = module.replace(".", "/")
    packages = [root for root in code.roots if code.holds(os.path.normpath(PurePath(root, path.split("/")[0])))]
    candidates = [os.path.normpath(PurePath(root, each)) for root in code.roots for each in (path, f"{path}.py")]
    if any(code.holds(each) for each in candidates) or toolkit.holds(f"{path}.py"):
        return True
    return not packages and not code.holds(f"{path.split('/')[0]}.py") and not toolkit.holds(path.split("/")[0])


def _why_not(name: str, code: CodeFiles) -> str:
    for reason, found in code.left_out.items():
        if any(name == each or (each.endswith("/") and name.startswith(each)) for each in found):
            return f": {reason}"
    if is_no_code(PurePath(name)):
        return ": experiments, profiles and documentation are never copied"
    near = get_close_matches(name, list(code.files), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""
